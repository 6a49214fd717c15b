"""Playbooks are run by the real Ansible, on this machine."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from verge.fleet import files, output, playbook, project

ROOT = Path(__file__).parents[3]

PLAY = """
- name: Try
  hosts: all
  gather_facts: false
  tasks:
    - name: Ensure the file exists
      ansible.builtin.copy:
        content: "here"
        dest: "{{ place }}"
        mode: "0644"
    - name: Ensure what cannot be
      ansible.builtin.fail:
        msg: "the lens cap is on"
      when: broken | default(false)
"""

HOSTS = """
all:
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  hosts:
    a: {}
    b: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> project.Project:
    """Return a small project with one playbook and two hosts on this machine."""
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "try.yml").write_text(PLAY, encoding="utf-8")
    (tmp_path / "ansible.cfg").write_text("[defaults]\n", encoding="utf-8")
    (tmp_path / "hosts.yml").write_text(HOSTS, encoding="utf-8")
    return project.Project(tmp_path)


def _run(checkout: project.Project, limit: str, **variables: object) -> playbook.PlaybookResult:
    return playbook.run_playbook(
        checkout,
        "try",
        inventory=checkout.root / "hosts.yml",
        limit=[limit],
        variables={"place": str(checkout.root / "made"), **variables},
        reporter=output.Reporter(),
    )


def test_changes_are_told_by_host_and_task(checkout: project.Project) -> None:
    """The first run names what it changed, the second has nothing to tell."""
    first = _run(checkout, "a")
    assert first.changes == [("a", "Ensure the file exists")]
    assert first.hosts == {"a": playbook.HostSummary(changed=1)}
    assert _run(checkout, "a").changes == []


def test_failure_names_host_task_and_reason(checkout: project.Project) -> None:
    """A failed task is one sentence with the device, the task and what it said."""
    with pytest.raises(playbook.PlaybookError) as caught:
        _run(checkout, "a", broken=True)
    assert str(caught.value) == "a: Ensure what cannot be: the lens cap is on"


def test_unreachable_host_is_named(checkout: project.Project) -> None:
    """A device that does not answer is named, with a next step."""
    with pytest.raises(playbook.PlaybookError) as caught:
        _run(checkout, "b")
    assert str(caught.value).startswith("b: ")
    assert caught.value.hint is not None
    assert "SSH" in caught.value.hint


def test_runs_at_once_take_turns(
    checkout: project.Project, capfd: pytest.CaptureFixture[str]
) -> None:
    """A second run waits for the first and says for whom."""
    free = threading.Event()

    def hold() -> None:
        with files.held(checkout.state_dir / "playbook", "playbook site"):
            holding.set()
            free.wait()

    holding = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait()
    runner = threading.Thread(target=_run, args=(checkout, "a"))
    runner.start()
    said = ""
    while "Waiting for playbook site" not in said:
        said += capfd.readouterr().err
    assert not (checkout.root / "made").exists()
    free.set()
    runner.join()
    holder.join()
    assert (checkout.root / "made").exists()


WAITING = """
- name: Wait
  hosts: all
  gather_facts: false
  tasks:
    - name: Say that it has begun
      ansible.builtin.copy: {content: "", dest: "{{ playbook_dir }}/begun", mode: "0644"}
    - name: Wait for the word
      ansible.builtin.wait_for: {path: "{{ playbook_dir }}/go", sleep: 1, timeout: 60}
"""
RUN = """
import pathlib, sys
from verge.fleet import output, playbook, project
root = pathlib.Path(sys.argv[1])
playbook.run_playbook(
    project.Project(root),
    "wait", inventory=root / "hosts.yml", limit=["a"], reporter=output.Reporter(),
)
"""


def _is_held(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_ansible_keeps_the_turn_of_a_command_that_was_killed(checkout: project.Project) -> None:
    """Ansible goes on when the command is killed, and the next run waits until it has ended."""
    folder, lock = checkout.root / "playbooks", checkout.state_dir / "playbook/lock"
    (folder / "wait.yml").write_text(WAITING, encoding="utf-8")
    command = subprocess.Popen([sys.executable, "-c", RUN, str(checkout.root)])
    try:
        while not (folder / "begun").exists():
            assert command.poll() is None
            time.sleep(0.05)
        command.kill()
        command.wait()
        assert _is_held(lock)
    finally:
        (folder / "go").touch()
    deadline = time.monotonic() + 60
    while _is_held(lock):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_playbook_that_does_not_parse_says_why(checkout: project.Project) -> None:
    """What Ansible says before it starts is not lost."""
    (checkout.root / "playbooks" / "try.yml").write_text("- hosts: [\n", encoding="utf-8")
    with pytest.raises(playbook.PlaybookError, match=r"cannot run playbooks/try\.yml"):
        _run(checkout, "a")
