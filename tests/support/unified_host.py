"""Run tests on a host whose only control groups are those of the unified hierarchy (version 2).

    .venv/bin/python -m tests.support.unified_host [TEST ...]

A virtual machine boots Debian's kernel on this machine's own files, which it sees but does not
change, and runs the tests in a group of their own with the controllers delegated, as a service
manager starts a nucleus. For machines that still have version 1, or both; no part of CI. It needs
root and `apt-get install qemu-system-x86`, and three minutes: the processor is emulated.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".verge" / "unified-host"
TESTS = ("tests/integration/nucleus/test_limits.py", "tests/integration/nucleus/test_freezing.py")
VIRTIOFSD = Path("/usr/lib/qemu/virtiofsd")
MODULES = ("virtio_pci", "virtiofs", "overlay")
MEMORY = "2G"
ENDED = re.compile(r"^tests ended with (\d+)", re.MULTILINE)

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /host /changes /new
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in {modules}; do modprobe $module; done
mount -t virtiofs -o ro host /host
mount -t tmpfs changes /changes
mkdir /changes/upper /changes/work
mount -t overlay -o lowerdir=/host,upperdir=/changes/upper,workdir=/changes/work new /new
for place in proc sys dev; do mount --move /$place /new/$place; done
for place in tmp run dev/shm; do mkdir -p /new/$place; mount -t tmpfs tmp /new/$place; done
chmod 1777 /new/tmp
mkdir -p /new/dev/pts
mount -t devpts devpts /new/dev/pts
groups=/new/sys/fs/cgroup
mount -t cgroup2 groups $groups
mkdir -p $groups/system.slice/tests.service
for group in $groups $groups/system.slice; do
    echo '+memory +cpu' >$group/cgroup.subtree_control
done
echo $$ >$groups/system.slice/tests.service/cgroup.procs
ip link set lo up
hostname unified-host
chroot /new /bin/sh -c {command}
echo "tests ended with $?"
poweroff -f
"""


def main() -> int:
    """Run the tests and return their exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tests", nargs="*", default=TESTS, help="arguments for pytest")
    options = parser.parse_args()
    if not VIRTIOFSD.exists():
        print("cannot find qemu; run: apt-get install qemu-system-x86", file=sys.stderr)
        return 3
    kernel = fetched()
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        first = first_files(kernel, scratch, command_line(options.tests))
        with shared_files(scratch) as socket:
            return boot(kernel, first, socket)


def command_line(tests: list[str]) -> str:
    """Return the command line that runs the tests within the machine."""
    words = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--color=no", *tests]
    return f"cd {shlex.quote(str(ROOT))} && exec {shlex.join(words)} </dev/null"


def fetched() -> Path:
    """Return the folder with the unpacked kernel and busybox, downloaded on the first call."""
    unpacked = CACHE / "unpacked"
    if not unpacked.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        meta = subprocess.run(
            ["apt-cache", "depends", "linux-image-cloud-amd64"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        kernel = re.findall(r"Depends: (linux-image-\S+)", meta)[0]
        subprocess.run(["apt-get", "download", kernel, "busybox-static"], cwd=CACHE, check=True)
        draft = CACHE / "unpacking"
        for package in CACHE.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, draft], check=True)
        draft.rename(unpacked)
    return unpacked


def first_files(unpacked: Path, scratch: Path, command: str) -> Path:
    """Return the archive that the kernel starts from: busybox, modules and what to do first."""
    tree = scratch / "first"
    (tree / "bin").mkdir(parents=True)
    busybox = unpacked / "bin" / "busybox"
    (tree / "bin" / "busybox").write_bytes(busybox.read_bytes())
    (tree / "bin" / "busybox").chmod(0o755)
    (modules,) = (unpacked / "lib" / "modules").iterdir()
    for part in ("drivers/virtio", "fs/fuse", "fs/overlayfs"):
        for module in (modules / "kernel" / part).rglob("*.ko"):
            copy = tree / module.relative_to(unpacked)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(module.read_bytes())
    subprocess.run([busybox, "depmod", "-b", tree, modules.name], check=True)
    init = tree / "init"
    init.write_text(INIT.format(modules=" ".join(MODULES), command=shlex.quote(command)))
    init.chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    archive = subprocess.run(
        [busybox, "cpio", "-o", "-H", "newc"],
        cwd=tree, input=names.encode(), check=True, capture_output=True,
    ).stdout  # fmt: skip
    packed = scratch / "first.gz"
    packed.write_bytes(gzip.compress(archive))
    return packed


@contextlib.contextmanager
def shared_files(scratch: Path) -> Iterator[Path]:
    """Share this machine's files through a socket; the guest mounts them to read."""
    socket = scratch / "files.socket"
    command = [
        str(VIRTIOFSD),
        f"--socket-path={socket}",
        "-o",
        "source=/,sandbox=chroot,cache=always",
    ]
    with (scratch / "files.log").open("w") as log:
        sharing = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield socket
        finally:
            sharing.terminate()
            sharing.wait()


def boot(unpacked: Path, first: Path, socket: Path) -> int:
    """Boot the machine, show what it says, and return what the tests ended with."""
    (kernel,) = (unpacked / "boot").glob("vmlinuz-*")
    command = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
        "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
        "-m", MEMORY, "-object", f"memory-backend-memfd,id=memory,size={MEMORY},share=on",
        "-numa", "node,memdev=memory",
        "-chardev", f"socket,id=files,path={socket}",
        "-device", "vhost-user-fs-pci,chardev=files,tag=host",
        "-kernel", str(kernel), "-initrd", str(first),
        "-append", "console=ttyS0 loglevel=1 panic=-1",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as machine:
        said = ""
        for line in machine.stdout or ():
            print(line, end="", flush=True)
            said += line
    ended = ENDED.search(said)
    return int(ended[1]) if ended else 1


if __name__ == "__main__":
    sys.exit(main())
