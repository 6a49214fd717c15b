"""Print the results on a device, newest first, as one JSON list.

Arguments: result directory, how many at most.
"""

import json
import os
import sys


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
    entries.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    documents = []
    for entry in entries[:limit]:
        with open(entry.path, encoding="utf-8") as file:
            documents.append(json.load(file))
    json.dump(documents, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
