"""The component's process: load the model, connect, work."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
from edge_ipc import nucleus, process, values

from object_detection import annotate, errors, inbox, service, shelf

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop. Exit codes: 0 asked to, 1 failed, 3 could not start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="where components' folders lie")
    parser.add_argument("--wait", type=float, default=0, help="seconds a model may take to come")
    options = parser.parse_args(arguments)
    events = inbox.Inbox()
    models = shelf.Shelf(options.models, options.wait)

    def stop(code: int, reason: str) -> None:
        events.put_stop(code, reason)
        models.stopped.set()

    process.prepare(stop)
    cv2.setNumThreads(1)  # More wait spinning, for what the pipeline makes better use of.
    try:
        annotate.prepare()
        # When the link is gone nothing can be answered: leave, so that the nucleus starts anew.
        link = nucleus.Nucleus.connect(lambda reason: stop(1, reason))
        device = os.environ.get("AWS_IOT_THING_NAME", "unknown")
        worker = service.Service(link, events, models, device)
        worker.start()
    except (errors.DetectionError, values.SettingError, nucleus.NucleusError, OSError) as error:
        _log.error("Cannot start reason=%s", error)
        return 3
    return worker.run()


if __name__ == "__main__":
    process.leave(main())
