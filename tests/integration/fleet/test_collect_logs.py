"""`./inv collect-logs`: the playbook, with this machine as the device."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOSTS = """
all:
  hosts:
    press-01:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
      edge_device_driver: existing
"""


@pytest.mark.skipif(
    shutil.which("journalctl") is None or os.geteuid() != 0,
    reason="needs journalctl, of Debian's systemd, and root",
)
def test_a_log_that_is_removed_meanwhile_keeps_no_other_back(tmp_path: Path) -> None:
    """A log that the nucleus removed after they were listed is left out, and the others come."""
    (tmp_path / "hosts.yml").write_text(HOSTS, encoding="utf-8")
    (tmp_path / "nucleus/logs").mkdir(parents=True)
    (tmp_path / "nucleus/logs/b.log").write_text("a line\n", encoding="utf-8")
    listed = [{"path": str(tmp_path / "nucleus/logs" / name)} for name in ("a.log", "b.log")]
    given = {
        "site_state_directory": str(tmp_path / "state"),
        "site_nucleus_root": str(tmp_path / "nucleus"),
        # In place of what the playbook lists itself.
        "collect_logs_files": {"files": listed},
    }
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "playbooks/collect_logs.yml",
    ]
    command += ["--inventory", str(tmp_path / "hosts.yml"), "--extra-vars", json.dumps(given)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    fetched = tmp_path / "state/logs/press-01"
    assert sorted(path.name for path in fetched.iterdir()) == ["b.log", "journal.log"]
    assert (fetched / "b.log").read_text(encoding="utf-8") == "a line\n"
