"""The `install` step of a component that is a model: put it where the detector finds it.

    python3 install_model --component NAME --source DIR --work DIR --root DIR

The model lies in `<work>/model-<digest>`, a folder named after its content, and `<work>/current` is
a link to it that is switched in one step: who reads it finds a whole model or none. Before that,
where runtime and detector are at hand, the model looks at the golden pictures that come with its
card. If it does not find what the card promises, the step fails, the link stays, and with it the
model that works.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

RUNTIME, DETECTOR = "verge.OnnxRuntime", "verge.OnnxObjectDetection"


def main() -> int:
    """Install a model. Exit codes: 0 done, 1 it breaks its promises or cannot be copied."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--component", required=True, help="its name, for messages")
    parser.add_argument("--source", type=Path, required=True, help="card, model, pictures")
    parser.add_argument("--work", type=Path, required=True, help="its work directory")
    parser.add_argument("--root", type=Path, required=True, help="of the nucleus")
    options = parser.parse_args()
    try:
        folder = _copy(options.source, options.work)
        link = options.work / "current"
        missed = [] if _leads_to(link, folder) else _check(folder, options.root / "work")
    except OSError as error:
        print(f"cannot install {options.component}: {error}", file=sys.stderr)
        return 1
    if missed:
        _remove(folder)
        print(f"cannot use this model: {'; '.join(missed)}", file=sys.stderr)
        return 1
    _switch(folder, link)
    for other in options.work.glob("model-*"):
        if other != folder:
            _remove(other)
    print(f"{options.component}: the model is at {link}")
    return 0


def _copy(source: Path, work: Path) -> Path:
    """Copy the files durably, into a folder named after them; return it."""
    files = sorted(path for path in source.iterdir() if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    folder = work / f"model-{digest.hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    new = work / "new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for path in files:
        shutil.copyfile(path, new / path.name)
        _sync(new / path.name)
    _sync(new)
    new.rename(folder)
    return folder


def _leads_to(link: Path, folder: Path) -> bool:
    return link.exists() and link.resolve() == folder.resolve()


def _check(folder: Path, work: Path) -> list[str]:
    """Return the promises of the card that the model breaks, as far as it can be told here."""
    python, sources = work / RUNTIME / "current/bin/python", work / DETECTOR / "current"
    if not python.exists() or not sources.exists():
        print("the golden pictures are not looked at: no detector is at hand yet")
        return []
    done = subprocess.run(
        [
            *(str(python), "-P", "-m", "object_detection.check", "--present"),
            *("--card", str(folder / "model.yaml"), "--pictures", str(folder)),
        ],
        env={**os.environ, "PYTHONPATH": str(sources)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return [f"looking at its golden pictures ended with exit code {done.returncode}"]
    if "error" in found:
        return [str(found["error"])]
    return [str(reason) for reason in found["missed"]]


def _switch(folder: Path, link: Path) -> None:
    new = link.with_name("next")
    new.unlink(missing_ok=True)
    new.symlink_to(folder.name)
    new.replace(link)
    _sync(link.parent)


def _remove(folder: Path) -> None:
    """Remove a model under another name: a removal that is cut off leaves no half of a model."""
    old = folder.with_name("old")
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    shutil.rmtree(old)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
