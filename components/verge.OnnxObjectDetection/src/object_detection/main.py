"""The component's process: load the model, connect, work."""

from __future__ import annotations

import argparse
import functools
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ipc import nucleus, process, values

from object_detection import annotate, card, detector, errors, inbox, service

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop. Exit codes: 0 asked to, 1 failed, 3 could not start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--card", type=Path, required=True, help="the model's card")
    options = parser.parse_args(arguments)
    events = inbox.Inbox()
    process.prepare(events.put_stop)
    try:
        card.read_card(options.card)  # A wrong one is said before anything else.
        annotate.prepare()
        # When the link is gone nothing can be answered: leave, so that the nucleus starts anew.
        link = nucleus.Nucleus.connect(lambda reason: events.put_stop(1, reason))
        device = os.environ.get("AWS_IOT_THING_NAME", "unknown")
        load = functools.partial(detector.Detector.load, options.card)
        worker = service.Service(link, events, load, device)
        worker.start()
    except (errors.DetectionError, values.SettingError, nucleus.NucleusError, OSError) as error:
        _log.error("Cannot start reason=%s", error)
        return 3
    return worker.run()


if __name__ == "__main__":
    process.leave(main())
