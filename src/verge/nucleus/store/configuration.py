"""The configuration of all components: in memory to read, in the database to keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from verge.nucleus.ipc import host
from verge.nucleus.store import state, tree

Changed = Callable[[str, Sequence[str]], None]


class ConfigurationStore:
    """Implements `host.Configuration`."""

    def __init__(self, store: state.StateStore, trees: Mapping[str, tree.Tree]) -> None:
        self._store = store
        self._trees = dict(trees)
        self._subscribers: dict[object, tuple[str, tree.Path, Changed]] = {}

    @property
    def trees(self) -> Mapping[str, tree.Tree]:
        """All configurations by component name."""
        return self._trees

    def tree_of(self, component: str) -> tree.Tree:
        """Return one configuration; empty if the component has none."""
        return self._trees.get(component, {})

    def get(self, component: str, path: Sequence[str]) -> Any:
        """Return the value at the path. Raises KeyError."""
        return tree.plain(tree.lookup(self._trees[component], path))

    async def merge(
        self, component: str, path: Sequence[str], value: Mapping[str, Any], timestamp: float
    ) -> None:
        """Write a component's own update; on return it is on disk (contract 4.8).

        Raises KeyError for an unknown component, StaleWriteError if any value to be replaced is
        newer and StoreError; then nothing is written.
        """
        nested: Mapping[str, Any] = value
        for key in reversed(path):
            nested = {key: nested}

        def undo(changed: tuple[tree.Tree, tree.Tree]) -> None:
            self._trees[component] = changed[0]

        former, merged = await self._store.commits.write(
            lambda: self._merge(component, nested, timestamp), undo
        )
        self._tell(component, former, merged)

    def _merge(
        self, component: str, value: Mapping[str, Any], timestamp: float
    ) -> tuple[tree.Tree, tree.Tree]:
        present = self._trees[component]
        self._refuse_stale(present, value, timestamp)
        merged = tree.merge(present, value, timestamp)
        self._store.write_configuration(component, merged)
        self._trees[component] = merged
        return present, merged

    def _refuse_stale(self, node: tree.Tree, value: Mapping[str, Any], timestamp: float) -> None:
        for key, wanted in value.items():
            present = tree.find_key(node, key)
            if present is None:
                continue
            child = node[present]
            if isinstance(wanted, Mapping) and not isinstance(child, tree.Leaf):
                self._refuse_stale(child, wanted, timestamp)
            elif tree.newest(child) > timestamp:
                raise host.StaleWriteError(
                    f"cannot write {key}: the value on the device is newer than the update"
                )

    def subscribe(self, component: str, path: Sequence[str], changed: Changed) -> host.Unsubscribe:
        """Call back for every changed leaf at or below the path. Raises KeyError."""
        present = self._trees[component]
        tree.lookup(present, path)
        token = object()
        self._subscribers[token] = (component, tuple(key.lower() for key in path), changed)

        def unsubscribe() -> None:
            self._subscribers.pop(token, None)

        return unsubscribe

    def adopt(self, component: str, configuration: tree.Tree) -> None:
        """Take a configuration that is in the database already, and tell the subscribers."""
        former = self._trees.get(component, {})
        self._trees[component] = configuration
        self._tell(component, former, configuration)

    def forget(self, component: str) -> None:
        """Drop the configuration of a removed component."""
        self._trees.pop(component, None)

    def _tell(self, component: str, former: tree.Tree, present: tree.Tree) -> None:
        for path in tree.changed_leaves(former, present):
            self._notify(component, path)

    def _notify(self, component: str, path: tree.Path) -> None:
        lowered = tuple(key.lower() for key in path)
        for owner, prefix, changed in list(self._subscribers.values()):
            if owner == component and lowered[: len(prefix)] == prefix:
                changed(component, path)
