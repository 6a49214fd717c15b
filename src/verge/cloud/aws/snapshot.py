"""What moto knows as bytes, so that a start need not repeat a long journal.

A snapshot only saves time: the journal stays complete, and one that cannot be made or read, or
that another version made, is passed over.
"""

from __future__ import annotations

import collections
import copyreg
import importlib
import io
import logging
import marshal
import pickle
import platform
import threading
import types
from typing import Any

import moto
from moto import backends
from moto.core.base_backend import BackendDict

from verge.cloud import database

_log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS aws_snapshot (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    content BLOB NOT NULL
)
"""

_MADE_BY = (
    f"1 moto {moto.__version__} {platform.python_implementation()} {platform.python_version()}"
)


class Snapshots:
    """Keeps the newest snapshot."""

    def __init__(self, database: database.Database) -> None:
        self._rows = database

    def take(self, number: int) -> None:
        """Keep what moto knows now, after journal entry `number`."""
        try:
            content = _dump()
        except Exception as error:  # noqa: BLE001  # some models hold threads and the like
            _log.info("Snapshot not possible reason=%s", error)
            return
        self._rows.execute(
            "INSERT OR REPLACE INTO aws_snapshot VALUES (1, ?, ?, ?)", (number, _MADE_BY, content)
        )

    def restore(self) -> int:
        """Make moto what it was; return after which journal entry, 0 if there is no snapshot."""
        row = self._rows.one("SELECT * FROM aws_snapshot WHERE made_by = ?", (_MADE_BY,))
        if row is None:
            return 0
        try:
            _load(row["content"])
        except Exception:  # noqa: BLE001  # as above
            _log.exception("Snapshot passed over")
            return 0
        return int(row["number"])


def _dump() -> bytes:
    found = {
        service.service_name: {account: dict(regions) for account, regions in service.items()}
        for service in BackendDict._instances  # type: ignore[misc]
    }
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(found)
    return buffer.getvalue()


def _load(content: bytes) -> None:
    # The file lies in the state directory, whose owner may run any code here anyway.
    found: dict[str, Any] = pickle.loads(content)  # noqa: S301
    for service, accounts in found.items():
        known: Any = backends.get_backend(service)  # type: ignore[call-overload]
        for account, regions in accounts.items():
            for region, backend in regions.items():
                known[account][region] = backend


class _Pickler(pickle.Pickler):
    """Takes what moto's models hold and the standard one refuses."""

    def reducer_override(self, value: Any) -> Any:
        """Return how to make the value again."""
        if isinstance(value, types.FunctionType) and "<" in value.__qualname__:
            cells = tuple(cell.cell_contents for cell in value.__closure__ or ())
            code = marshal.dumps(value.__code__)
            return _function, (code, value.__module__, value.__defaults__, cells)
        if (
            isinstance(value, collections.defaultdict)
            and type(value) is not collections.defaultdict
        ):
            # Made without calling its class, which may want arguments.
            state = (vars(value), {"default_factory": value.default_factory})
            return copyreg.__newobj__, (type(value),), state, None, iter(value.items())  # type: ignore[attr-defined]
        if isinstance(value, type(threading.RLock())):
            return threading.RLock, ()
        if isinstance(value, type(threading.Lock())):
            return threading.Lock, ()
        return NotImplemented


def _function(code: bytes, module: str, defaults: Any, cells: tuple[Any, ...]) -> Any:
    made = marshal.loads(code)  # noqa: S302  # as above
    members = vars(importlib.import_module(module))
    closure = tuple(types.CellType(each) for each in cells)
    return types.FunctionType(made, members, made.co_name, defaults, closure)
