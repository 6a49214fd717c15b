"""Put a picture from standard input into the watched directory and wait for its result.

Arguments: watched directory, result directory, file name, seconds to wait.
Prints the result document and the seconds it took as JSON. Exits with 75 if none came in time.
"""

import json
import os
import sys
import time

POLL_SECONDS = 0.02  # well below the second or two in which a result is expected
DRAWN_SECONDS = 5.0  # the annotated picture follows its result within a few milliseconds


def put_picture(target: str) -> None:
    """Write standard input beside the target, then rename it: the monitor sees it complete."""
    partial = os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.part")
    with open(partial, "wb") as file:
        while block := sys.stdin.buffer.read(1 << 20):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(partial, 0o644)
    os.replace(partial, target)


def find_result(results: str, seen: set[str], target: str) -> dict[str, object] | None:
    """Return the document of a result file that is new and belongs to the target, or None."""
    for name in set(os.listdir(results)) - seen:
        if not name.endswith(".json") or name.startswith("."):
            continue
        seen.add(name)
        try:
            with open(os.path.join(results, name), encoding="utf-8") as file:
                document = json.load(file)
        except FileNotFoundError:  # the detector keeps so many, and has newer ones
            continue
        if document["picture"]["path"] == target:
            return dict(document)
    return None


def wait_until_drawn(document: dict[str, object]) -> None:
    """Return when the annotated picture of a result is there, or does not come."""
    annotated = document.get("annotated")
    deadline = time.monotonic() + DRAWN_SECONDS
    while annotated and not os.path.exists(str(annotated)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def main() -> int:
    """Drop the picture and report."""
    directory, results, name, patience = sys.argv[1:5]
    seen = set(os.listdir(results))
    target = os.path.join(directory, name)
    put_picture(target)
    began = time.monotonic()
    while time.monotonic() - began < float(patience):
        document = find_result(results, seen, target)
        if document is not None:
            seconds = time.monotonic() - began
            wait_until_drawn(document)
            json.dump({"result": document, "seconds": seconds}, sys.stdout)
            return 0
        time.sleep(POLL_SECONDS)
    return 75


if __name__ == "__main__":
    sys.exit(main())
