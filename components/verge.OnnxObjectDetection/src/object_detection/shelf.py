"""The models that other components provide, and which one lies there now.

A model component keeps `<models>/<component>/current`, a link to a folder with its card. The link
is switched when a new version is installed; a look at it tells, so nobody has to be told.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from object_detection import check, detector, session
from object_detection.errors import ModelError

CARD = "model.yaml"
_POLL_SECONDS = 0.5
_REMIND_SECONDS = 15.0

_log = logging.getLogger(__name__)


class Shelf:
    """The folder below which components keep their models."""

    def __init__(self, folder: Path, wait: float = 0.0) -> None:
        """`wait` is how many seconds a model may take to appear, for the first `load` only."""
        self._folder = folder
        self._wait = wait
        self.stopped = threading.Event()
        """Ends a wait."""

    def identity(self, component: str) -> str:
        """Return a text that changes with the model of a component; empty if there is none."""
        try:
            return os.path.realpath(self._card(component), strict=True)
        except OSError:
            return ""

    def load(self, component: str, running: session.Running) -> detector.Detector:
        """Load a model and have it look at its golden pictures.

        Raises CardError, or ModelError if it is not there, cannot be used or breaks its promises.
        """
        seconds, self._wait = self._wait, 0.0
        self._wait_for(component, seconds)
        card = self._card(component)
        loaded = detector.Detector.load(card, running)
        if missed := check.find_missed(loaded, card.parent):
            raise ModelError(f"cannot use the model of {component}: {'; '.join(missed)}")
        return loaded

    def _card(self, component: str) -> Path:
        return self._folder / component / "current" / CARD

    def _wait_for(self, component: str, seconds: float) -> None:
        """Wait: some nuclei start everything at once, whatever depends on what."""
        ends = time.monotonic() + seconds
        remind = 0.0
        while not self.identity(component):
            now = time.monotonic()
            if now >= ends or self.stopped.is_set():
                raise ModelError(
                    f"{component} has not provided {self._card(component)}; "
                    f"deploy it or look into its log"
                )
            if now >= remind:
                _log.info("Waiting for %s to provide %s", component, self._card(component))
                remind = now + _REMIND_SECONDS
            self.stopped.wait(_POLL_SECONDS)
