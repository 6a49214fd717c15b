"""What the device is now, in memory as in the database."""

from __future__ import annotations

from collections.abc import Callable, Collection

from verge.nucleus import settings
from verge.nucleus.store import configuration, database, state, tree


class Device:
    """The present state; a deployment replaces it in one transaction."""

    def __init__(
        self,
        db: database.Database,
        store: state.StateStore,
        trees: configuration.ConfigurationStore,
        loaded: state.DeviceState,
    ) -> None:
        self.configuration = trees
        self._db = db
        self._store = store
        self._components = dict(loaded.components)
        self._roots = loaded.roots

    @property
    def present(self) -> state.DeviceState:
        """The present state, with what components have written since."""
        names = [*settings.OWN, *self._components]
        return state.DeviceState(
            components=self._components,
            configuration={name: self.configuration.tree_of(name) for name in names},
            roots=self._roots,
        )

    def groups_of(self, name: str) -> tuple[str, ...]:
        """Return the groups that ask for a component, sorted."""
        return tuple(sorted(group for group, names in self._roots.items() if name in names))

    def replace(self, wanted: state.DeviceState, also: Callable[[], None]) -> None:
        """Make a state the present one, together with what else has to be written."""
        with self._db.transaction():
            self._store.replace(wanted)
            also()
        self._components = dict(wanted.components)
        self._roots = wanted.roots
        for name, one in wanted.configuration.items():
            self.configuration.adopt(name, one)


def former_state(
    before: state.DeviceState, failed: state.DeviceState, configured: Collection[str]
) -> state.DeviceState:
    """Return the state before; a component that was left alone keeps what it wrote meanwhile.

    `configured` names those whose configuration the deployment changed; that of the nucleus may
    have changed the values of all.
    """
    kept = {
        name: failed.configuration[name]
        for name, installed in before.components.items()
        if failed.components.get(name) == installed
        and not {name, settings.NUCLEUS} & set(configured)
    }
    return state.DeviceState(
        components=before.components,
        configuration={**before.configuration, **kept},
        roots=before.roots,
    )


def left_as_is(before: state.DeviceState, failed: state.DeviceState) -> state.DeviceState:
    """Return the state after a failure without rollback.

    What was to be removed stays, and so do the roots of all groups.
    """
    return state.DeviceState(
        components={**before.components, **failed.components},
        configuration={**before.configuration, **failed.configuration},
        roots=before.roots,
    )


def updated(
    target: state.DeviceState, present: state.DeviceState, since: float
) -> state.DeviceState:
    """Return a target made some time ago with what components have written since then."""
    return state.DeviceState(
        components=target.components,
        configuration={
            name: tree.take_newer(one, present.configuration.get(name, {}), since)
            for name, one in target.configuration.items()
        },
        roots=target.roots,
    )
