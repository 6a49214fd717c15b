"""The component's process: open the ledger, connect, work."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ipc import nucleus, values

from file_system_monitor import inbox, ledger, service, watch

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop. Exit codes: 0 asked to, 1 failed, 3 could not start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the ledger")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    events = inbox.Inbox()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(
            number, lambda number, _frame: events.put_stop(0, signal.strsignal(number) or "")
        )
    try:
        # When the link is gone nobody hears of a file: leave, so that the nucleus starts anew.
        link = nucleus.Nucleus.connect(lambda reason: events.put_stop(1, reason))
        book = ledger.Ledger(options.work / "ledger.sqlite3")
        watcher = watch.Watcher(events.put_event)
        device = os.environ.get("AWS_IOT_THING_NAME", "unknown")
        worker = service.Service(link, events, watcher, book, device)
        worker.start()
    except (ledger.LedgerError, values.SettingError, nucleus.NucleusError, OSError) as error:
        _log.error("Cannot start reason=%s", error)
        return 3
    return worker.run()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # The IPC library's threads may still hold the connection; nothing is left to be done.
    os._exit(code)
