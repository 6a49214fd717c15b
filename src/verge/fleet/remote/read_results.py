"""Print the results on a device, newest first, as one JSON list.

Arguments: result directory, how many at most.
"""

import json
import os
import sys


def read_time(entry: "os.DirEntry[str]") -> float:
    """Return when a result was written; one that the detector removes meanwhile is the oldest."""
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def main() -> int:
    """Read the result files."""
    directory, limit = sys.argv[1], int(sys.argv[2])
    try:
        entries = [
            entry
            for entry in os.scandir(directory)
            if entry.name.endswith(".json") and not entry.name.startswith(".")
        ]
    except FileNotFoundError:
        entries = []
    entries.sort(key=read_time, reverse=True)
    documents = []
    for entry in entries[:limit]:
        try:
            with open(entry.path, encoding="utf-8") as file:
                documents.append(json.load(file))
        except FileNotFoundError:
            continue
    json.dump(documents, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
