"""The wrapper `inv`, run in a folder that holds nothing but it and what it reads."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "dirname", "cat", "cmp", "flock", "rm", "id")


def test_an_environment_whose_python_has_gone_is_made_anew(tmp_path: Path) -> None:
    """A .venv that is up to date in all but its interpreter is not used; no Python is refused."""
    root, tools = tmp_path / "checkout", tmp_path / "bin"
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/python").symlink_to(tmp_path / "python3.11")
    (root / ".venv/verge.stamp").write_text(f"{root}\nthe lock\n", encoding="utf-8")
    (root / "requirements.lock").write_text("the lock\n", encoding="utf-8")
    shutil.copy(REPOSITORY / "inv", root)
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(str(shutil.which(name)))
    done = subprocess.run(
        [root / "inv", "--list"],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.startswith(
        "ERROR cannot find Python 3.11, 3.12 or 3.13\nTIP install python3"
    )
