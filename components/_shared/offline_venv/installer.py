"""Build the environment aside and switch the link `current` to it.

The work directory of a component holds `venv-<digest>` folders, one per lock and interpreter,
and the link `current`. A folder counts only with its `.complete` mark, so whatever interrupts
a build, `current` leads to a whole environment or to none.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offline_venv import locks, wheels
from offline_venv.errors import InstallError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MARK = ".complete"
_KEEP = 2
"""The environment in use and the one before it, from which a dependent may still be running."""


@dataclass(frozen=True)
class Request:
    """What to install and from where."""

    component: str
    locks: Path
    wheelhouse: Path
    target: Path
    index_url: str = ""
    """Address of a package index, or empty: then no index is ever asked."""


def install(request: Request) -> bool:
    """Make `<target>/current` the environment of this platform's lock.

    Returns False if it already was. Raises InstallError; the former environment stays.
    """
    key = locks.platform_key()
    lock = locks.choose_lock(request.locks, key)
    venv = request.target / f"venv-{_digest(lock)}"
    with _locked(request.target):
        if _is_current(request.target, venv):
            return False
        if not _works(venv):
            if not request.index_url:
                wheels.check_wheelhouse(request.wheelhouse, locks.read_lock(lock), key)
            _build(request, lock, venv)
        _switch(request.target, venv)
        _remove_old(request.target, venv)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Install as the `install` step of a recipe asks; exit code 0 or 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--component", required=True, help="name to use in messages")
    parser.add_argument("--locks", type=Path, required=True, help="folder with <platform>.txt")
    parser.add_argument("--wheelhouse", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True, help="work directory")
    parser.add_argument("--index-url", default="")
    request = Request(**vars(parser.parse_args(arguments)))
    try:
        changed = install(request)
    except (InstallError, OSError) as error:
        print(f"ERROR cannot install {request.component}: {error}", file=sys.stderr)
        return 1
    state = "is ready" if changed else "was already up to date"
    print(f"{request.component}: the environment {request.target / 'current'} {state}")
    return 0


def _digest(lock: Path) -> str:
    """Return what identifies an environment: the lock and the interpreter it is made for."""
    identity = f"{sys.version}\0{os.path.realpath(sys.executable)}\0".encode()
    return hashlib.sha256(identity + lock.read_bytes()).hexdigest()[:12]


def _is_current(target: Path, venv: Path) -> bool:
    link = target / "current"
    return link.is_symlink() and link.readlink().name == venv.name and _works(venv)


def _works(venv: Path) -> bool:
    python = venv / "bin" / "python"
    if not (venv / _MARK).is_file() or not python.exists():
        return False
    return (
        subprocess.run([python, "-I", "-c", ""], check=False, capture_output=True).returncode == 0
    )


def _build(request: Request, lock: Path, venv: Path) -> None:
    shutil.rmtree(venv, ignore_errors=True)
    try:
        _run("create the virtual environment", [sys.executable, "-m", "venv", str(venv)])
        source = ["--index-url", request.index_url] if request.index_url else ["--no-index"]
        _run(
            "install the wheels",
            [
                str(venv / "bin" / "python"),
                *("-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input"),
                *("install", "--quiet", "--no-cache-dir", "--no-deps", "--only-binary=:all:"),
                *("--require-hashes", *source, "--find-links", str(request.wheelhouse)),
                *("--requirement", str(lock)),
            ],
        )
        os.sync()  # After a power cut the mark must not be there without the files.
        (venv / _MARK).touch()
    except BaseException:
        shutil.rmtree(venv, ignore_errors=True)
        raise


def _run(step: str, command: list[str]) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        command, env=environment, check=False, capture_output=True, text=True, errors="replace"
    )
    if done.returncode != 0:
        tail = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise InstallError(f"cannot {step} (exit code {done.returncode}): {tail or 'no output'}")


def _switch(target: Path, venv: Path) -> None:
    """Replace the link in one step, so that a reader finds the old or the new environment."""
    new = target / f".current-{os.getpid()}"
    new.unlink(missing_ok=True)
    new.symlink_to(venv.name)
    new.replace(target / "current")


def _remove_old(target: Path, venv: Path) -> None:
    others = [path for path in target.glob("venv-*") if path != venv]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[_KEEP - 1 :]:
        # First the mark: a removal that is cut off leaves nothing that counts as whole.
        (path / _MARK).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Keep a second install of the same component waiting."""
    target.mkdir(parents=True, exist_ok=True)
    with (target / ".install.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
