"""The component's process: open the ledger, connect, work."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ipc import nucleus, process, values

from file_system_monitor import inbox, ledger, service, watch

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop. Exit codes: 0 asked to, 1 failed, 3 could not start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the ledger")
    options = parser.parse_args(arguments)
    events = inbox.Inbox()
    process.prepare(events.put_stop)
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
    process.leave(main())
