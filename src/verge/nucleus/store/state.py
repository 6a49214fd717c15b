"""What the device is: its components, their configuration and the roots of every group.

A deployment replaces this state in one transaction; whoever kills the nucleus leaves the former
one or the new one, never a mixture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from verge.nucleus.store import database, tree


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """One component as the last deployment left it."""

    name: str
    version: str
    recipe_text: str
    """The recipe as the store keeps it."""
    content: str = ""
    """Identity of its artifacts in the component store; empty if it has none."""
    lifecycle: dict[str, Any] = {}
    """Selected for this platform and interpolated when it was deployed (contract 1.8)."""
    dependencies: dict[str, bool] = {}
    """Dependency → whether it is HARD."""
    posix_user: str | None = None
    memory_kilobytes: int | None = None
    cpus: float | None = None


class DeviceState(msgspec.Struct, frozen=True, kw_only=True):
    """Components and configuration by component name, roots by group name."""

    components: Mapping[str, Installed] = {}
    configuration: Mapping[str, tree.Tree] = {}
    roots: Mapping[str, Mapping[str, str]] = {}
    """Group → component → exact version."""


class _Document(msgspec.Struct):
    components: list[Installed]
    configuration: dict[str, Any]
    roots: dict[str, dict[str, str]]


def encode(state: DeviceState) -> bytes:
    """Return a state as JSON."""
    return msgspec.json.encode(
        {
            "components": list(state.components.values()),
            "configuration": {k: tree.encode(v) for k, v in state.configuration.items()},
            "roots": state.roots,
        }
    )


def decode(text: bytes) -> DeviceState:
    """Undo `encode`."""
    document = msgspec.json.decode(text, type=_Document)
    return DeviceState(
        components={component.name: component for component in document.components},
        configuration={k: _decode_tree(v) for k, v in document.configuration.items()},
        roots=document.roots,
    )


def _decode_tree(value: Any) -> tree.Tree:
    node = tree.decode(value)
    return {} if isinstance(node, tree.Leaf) else node


class StateStore:
    """The device state in the database."""

    def __init__(self, db: database.Database) -> None:
        self._db = db
        self.commits = db.commits
        """For writes that many components ask for at the same time."""

    def load(self) -> DeviceState:
        """Return the stored state. Raises DamagedError."""
        try:
            return self._load()
        except (msgspec.MsgspecError, UnicodeDecodeError, IndexError) as error:
            raise database.DamagedError(f"cannot understand {self._db.file}: {error}") from error

    def _load(self) -> DeviceState:
        decoder = msgspec.json.Decoder(Installed)
        components = [
            decoder.decode(document)
            for (document,) in self._db.rows("SELECT document FROM components")
        ]
        roots: dict[str, dict[str, str]] = {}
        for group, name, version in self._db.rows("SELECT * FROM roots"):
            roots.setdefault(group, {})[name] = version
        return DeviceState(
            components={component.name: component for component in components},
            configuration={
                name: _decode_tree(msgspec.json.decode(text))
                for name, text in self._db.rows("SELECT * FROM configuration")
            },
            roots=roots,
        )

    def replace(self, state: DeviceState) -> None:
        """Store a whole state in place of the former one."""
        with self._db.transaction():
            for table in ("components", "configuration", "roots"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names from above
            self._db.execute_many(
                "INSERT INTO components VALUES (?, ?)",
                [(c.name, msgspec.json.encode(c)) for c in state.components.values()],
            )
            for name, configuration in state.configuration.items():
                self.write_configuration(name, configuration)
            self._db.execute_many(
                "INSERT INTO roots VALUES (?, ?, ?)",
                [(g, n, v) for g, members in state.roots.items() for n, v in members.items()],
            )

    def write_configuration(self, component: str, configuration: tree.Tree) -> None:
        """Store the configuration of one component."""
        with self._db.transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO configuration VALUES (?, ?)",
                component,
                msgspec.json.encode(tree.encode(configuration)),
            )
