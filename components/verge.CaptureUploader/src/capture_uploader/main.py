"""The component's process: open the spool, connect, work."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ipc import nucleus, process, values

from capture_uploader import service, spool, upload

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop. Exit codes: 0 asked to, 1 failed, 3 could not start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the spool")
    options = parser.parse_args(arguments)
    inbox = service.Inbox()
    process.prepare(inbox.put_stop)
    try:
        captures = spool.Spool(options.work)
        # When the link is gone nobody tells of results: leave, so that the nucleus starts anew.
        link = nucleus.Nucleus.connect(lambda reason: inbox.put_stop(1, reason))
        worker = service.Service(link, inbox, captures, upload.make_client)
        worker.start()
    except (spool.SpoolError, values.SettingError, nucleus.NucleusError, OSError) as error:
        _log.error("Cannot start reason=%s", error)
        return 3
    return worker.run()


if __name__ == "__main__":
    process.leave(main())
