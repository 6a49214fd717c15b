"""The uploader as a process whose nucleus is a pipe: each line it reads is a result.

uploader_process.py WORK CONFIGURATION
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from capture_uploader import service, spool, upload
from edge_ipc import documents, process

upload.FIRST_DELAY = upload.LONGEST_DELAY = 0.05


class Pipe:
    """Stands for the nucleus."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._configuration = dict(configuration)

    def read_configuration(self) -> dict[str, Any]:
        return self._configuration

    def watch_configuration(self, changed: Callable[[], None]) -> None:
        pass

    def publish(self, topic: str, document: documents.Document) -> None:
        pass

    def subscribe(self, topic: str, received: Callable[[Any], None]) -> None:
        def read() -> None:
            for line in sys.stdin:
                received(json.loads(line))

        threading.Thread(target=read, daemon=True).start()

    def report_running(self) -> None:
        # In one piece: `print` lets a line of the log in before the end of its own.
        sys.stdout.write("RUNNING\n")
        sys.stdout.flush()


def main() -> int:
    work, configuration = Path(sys.argv[1]), json.loads(sys.argv[2])
    inbox = service.Inbox()
    process.prepare(inbox.put_stop)
    worker = service.Service(Pipe(configuration), inbox, spool.Spool(work), upload.make_client)
    worker.start()
    return worker.run()


if __name__ == "__main__":
    process.leave(main())
