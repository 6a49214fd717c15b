"""Which directories are polled."""

import os
from pathlib import Path

import pytest
from file_system_monitor import filesystems

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 22 0:27 / /mnt/line rw shared:2 - nfs4 server:/line rw,vers=4.2
32 22 0:28 / /mnt/my\\040share rw - cifs //server/share rw
33 22 0:29 / /mnt/line/local rw shared:3 - tmpfs tmpfs rw
34 22 0:30 / /mnt/s3 rw - fuse.s3fs s3fs rw
35 22 0:31 / /mnt/overlay rw - fuse.fuse-overlayfs x rw
36 22 0:32 / /mnt/twice rw - nfs server:/ rw
37 36 0:33 / /mnt/twice rw - xfs /dev/vdb rw
no mount at all
"""


@pytest.mark.parametrize(
    ("path", "kind", "polled"),
    [
        ("/var/lib/verge/pictures", "ext4", False),
        ("/mnt/line", "nfs4", True),
        ("/mnt/line/press-01", "nfs4", True),
        ("/mnt/line/../../var", "ext4", False),
        ("/mnt/liner", "ext4", False),
        ("/mnt/my share/a", "cifs", True),
        ("/mnt/line/local", "tmpfs", False),
        ("/mnt/s3/in", "fuse.s3fs", True),
        ("/mnt/overlay", "fuse.fuse-overlayfs", False),
        ("/mnt/twice", "xfs", False),
    ],
)
def test_the_mount_decides(tmp_path: Path, path: str, kind: str, polled: bool) -> None:
    """The innermost mount in sight decides; network file systems are polled."""
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    assert filesystems.type_of(Path(path), table) == kind
    assert filesystems.needs_polling(Path(path), table) is polled


def test_reads_the_table_of_this_machine(tmp_path: Path) -> None:
    """On this machine every path has a type, and no table means no polling."""
    assert filesystems.type_of(Path(os.sep)) != ""
    assert not filesystems.needs_polling(Path(os.sep), tmp_path / "absent")
