"""Carries a deployment out: prepare, activate, wait for health, finish or go back.

Each phase is on disk before the next one begins, so a nucleus that is killed at any point leaves
a device in the former state or in the new one, and the next nucleus ends what was begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from verge.nucleus import errors, logs, settings
from verge.nucleus.consent import gate
from verge.nucleus.deployment import bootstrap, failures, history, plan, target
from verge.nucleus.deployment.documents import ComponentFault, Detail, Phase, Record, Status
from verge.nucleus.ipc import host
from verge.nucleus.lifecycle import definition, health, states, supervisor
from verge.nucleus.lifecycle.supervisor import Reaction
from verge.nucleus.store import configuration, database, packages, state
from verge.recipe import graph

MAX_ATTEMPTS = 3
"""Preparations that may be cut short by an end of the nucleus before a deployment is given up."""

log = logs.Logger("deployment")


class Device:
    """What the device is now, in memory as in the database."""

    def __init__(
        self,
        db: database.Database,
        store: state.StateStore,
        trees: configuration.ConfigurationStore,
        loaded: state.DeviceState,
    ) -> None:
        self.db = db
        self.configuration = trees
        self._store = store
        self._components = dict(loaded.components)
        self._roots = loaded.roots
        self._names = set(loaded.components)

    @property
    def present(self) -> state.DeviceState:
        """The present state, with what components have written since."""
        return state.DeviceState(
            components=self._components,
            configuration={name: self.configuration.tree_of(name) for name in self._components},
            roots=self._roots,
        )

    def root_names(self) -> frozenset[str]:
        """Return the components that some group asks for."""
        return frozenset(name for roots in self._roots.values() for name in roots)

    def replace(self, wanted: state.DeviceState, also: Callable[[], None]) -> None:
        """Make a state the present one, together with what else has to be written."""
        with self.db.transaction():
            self._store.replace(wanted)
            also()
        self._components = dict(wanted.components)
        self._roots = wanted.roots
        for name, tree in wanted.configuration.items():
            self.configuration.adopt(name, tree)


class Executor:
    """Carries out one deployment at a time."""

    def __init__(
        self,
        configured: settings.Settings,
        device: Device,
        selector: target.Selector,
        store: packages.PackageStore,
        records: history.History,
        components: supervisor.Supervisor,
        bootstrapper: bootstrap.Bootstrapper,
        consent: gate.Gate,
    ) -> None:
        self._settings = configured
        self._device = device
        self._selector = selector
        self._store = store
        self._records = records
        self._components = components
        self._bootstrapper = bootstrapper
        self._consent = consent
        self._watch: health.Watch | None = None

    def changes(self, request: host.LocalDeployment, now: float) -> list[host.PlannedChange]:
        """Return what a request would change, touching nothing."""
        before = self._device.present
        stored = self._records.stored_versions()
        selection = self._selector.select(request, before, stored, now, planned=True)
        after = self._selector.compose(selection, before)
        found = plan.changes(before, after)
        named = {change.component for change in found if change.action != "configure"}
        for name in self.broken(after):
            if name not in named:
                version = after.components[name].version
                found.append(host.PlannedChange(name, "reinstall", version, version))
        return found

    def cancel(self, record: Record) -> None:
        """Stop as soon as it is safe: at once while waiting for health, else before activation."""
        record.cancel_requested = True
        self._consent.withdraw(record.id)
        if self._watch and self._records.phases[record.id] is Phase.ACTIVATED:
            self._watch.cancel()

    async def run(self, record: Record) -> None:
        """Carry a deployment out from the phase that it is in, to its end."""
        match self._records.phases[record.id]:
            case Phase.QUEUED | Phase.PREPARING:
                await self._begin(record)
            case Phase.ACTIVATED:
                log.info("Deployment resumed", deployment=record.id)
                before = self._records.snapshot(record)
                changed = plan.reactions(before.components, self._device.present.components)
                await self._finish(
                    record, before, self._affected(self._device.present, list(changed))
                )
            case Phase.ROLLING_BACK:
                log.info("Rollback resumed", deployment=record.id)
                await self._finish_rollback(record, list(self._device.present.components))
            case Phase.DONE:
                return

    # Phase PREPARING

    async def _begin(self, record: Record) -> None:
        record.status = Status.IN_PROGRESS
        record.attempts += 1
        self._records.save(record, Phase.PREPARING)
        log.info("Deployment begun", deployment=record.id, attempt=record.attempts)
        try:
            if record.attempts > MAX_ATTEMPTS:
                raise failures.DeploymentError(
                    f"cannot deploy: the nucleus ended {MAX_ATTEMPTS} times while preparing this; "
                    f"see {self._settings.paths.logs / 'greengrass.log'}",
                    "DEPLOYMENT_INTERRUPTED",
                    "NUCLEUS_ERROR",
                )
            selection = await asyncio.to_thread(
                self._selector.select,
                record.request,
                self._device.present,
                self._records.stored_versions(),
                record.created,
            )
            await asyncio.to_thread(self._fetch, selection)
            await self._ask_components(record, selection)
            if not record.cancel_requested:
                await self._bootstrap(selection)
        except failures.EXPECTED as error:
            self._fail(record, failures.explain(error), Detail.NO_STATE_CHANGE)
            return
        if record.cancel_requested:
            self._end(record, Status.CANCELED, None)
            return
        await self._activate(record, selection)

    def _fetch(self, selection: target.Selection) -> None:
        self._store.check_space(selection.packages)
        for package in selection.packages:
            self._store.put(package)

    async def _ask_components(self, record: Record, selection: target.Selection) -> None:
        before = self._device.present
        await self._consent.open(record.id, before, self._selector.compose(selection, before))

    async def _bootstrap(self, selection: target.Selection) -> None:
        before = self._device.present
        after = self._selector.compose(selection, before)
        await self._bootstrapper.run_all(before, after)

    # Phase ACTIVATED

    async def _activate(self, record: Record, selection: target.Selection) -> None:
        before = self._device.present
        after = self._selector.compose(selection, before)

        def keep_the_way_back() -> None:
            self._records.save_snapshot(record, before)
            self._records.save(record, Phase.ACTIVATED)

        self._device.replace(after, keep_the_way_back)
        log.info("Deployment activated", deployment=record.id)
        await self._finish(record, before, self._put_into_force(before, after))

    def _put_into_force(self, before: state.DeviceState, after: state.DeviceState) -> list[str]:
        """Tell the supervisor; return the components whose health decides."""
        reactions = plan.reactions(before.components, after.components)
        for name in self.broken(after):
            reactions.setdefault(name, Reaction.REINSTALL)
        self._components.change(
            {
                name: (definition.define(after.components[name]), reaction)
                for name, reaction in reactions.items()
            }
        )
        return self._affected(
            after, [n for n, reaction in reactions.items() if reaction is not Reaction.NONE]
        )

    def _affected(self, after: state.DeviceState, changed: Collection[str]) -> list[str]:
        """Return the changed components and those that restart with them."""
        needs = {
            name: [dependency for dependency, hard in installed.dependencies.items() if hard]
            for name, installed in after.components.items()
        }
        return sorted({*changed, *graph.dependants(needs, changed)})

    def broken(self, wanted: state.DeviceState) -> list[str]:
        """Return the wanted components that are BROKEN; every deployment tries them again."""
        return sorted(
            name
            for name, one in self._components.runners.items()
            if one.state is states.State.BROKEN and name in wanted.components
        )

    async def _finish(
        self, record: Record, before: state.DeviceState, tracked: Collection[str]
    ) -> None:
        after = self._device.present
        watch = self._watch = health.Watch(
            self._components, self._settings.settle, self._settings.health_limit
        )
        if record.cancel_requested:
            watch.cancel()
        faults = await watch.wait(tracked)
        self._watch = None
        if watch.cancelled or faults:
            await self._give_up(record, before, faults)
            return
        removed = set(before.components) - set(after.components)
        await self._components.remove(removed)
        for name in removed:
            self._device.configuration.forget(name)
        self._clean_up(after)
        record.detail = Detail.SUCCESSFUL
        self._end(record, Status.SUCCEEDED, None)

    def _clean_up(self, after: state.DeviceState) -> None:
        try:
            kept = self._records.use_versions(after, self._settings.keep_versions)
            self._store.keep_only(kept)
        except (OSError, errors.StoreError) as error:
            log.warning("Old versions not removed", reason=error)

    # Phase ROLLING_BACK

    async def _give_up(
        self, record: Record, before: state.DeviceState, faults: Sequence[health.Fault]
    ) -> None:
        record.faults = [
            ComponentFault(f.component, f.version, f.code, f.reason, f.lines) for f in faults
        ]
        if faults:
            record.error_stack = [
                "DEPLOYMENT_FAILURE",
                "COMPONENT_UPDATE_ERROR",
                "COMPONENT_BROKEN",
            ]
            record.error_types = ["USER_COMPONENT_ERROR"]
            record.failure_cause = _cause(faults)
        if record.request.failure_handling_policy != "ROLLBACK":
            self._leave_as_is(record, before)
            return
        failed = self._device.present
        back = _former_state(before, failed)
        # A stored phase of ROLLING_BACK implies the former state, so both go in one transaction.
        self._device.replace(back, lambda: self._records.save(record, Phase.ROLLING_BACK))
        log.warning("Rolling back", deployment=record.id, reason=_first_line(record.failure_cause))
        unhealthy_before = set(self.broken(back)) - {fault.component for fault in faults}
        changed = self._put_into_force(failed, back)
        added = set(failed.components) - set(back.components)
        await self._components.remove(added)
        for name in added:
            self._device.configuration.forget(name)
        await self._finish_rollback(record, [n for n in changed if n not in unhealthy_before])

    async def _finish_rollback(self, record: Record, tracked: Collection[str]) -> None:
        # What nobody touched and is BROKEN was so before; its dependents cannot be waited for.
        broken = set(self.broken(self._device.present)) - set(tracked)
        watch = health.Watch(self._components, self._settings.settle, self._settings.health_limit)
        faults = await watch.wait([n for n in tracked if not self._needs_any(n, broken)])
        detail = Detail.ROLLBACK_COMPLETE
        if faults:
            detail = Detail.UNABLE_TO_ROLLBACK
            record.failure_cause = (
                f"{record.failure_cause or 'the deployment was cancelled'}\n"
                f"after the rollback: {_cause(faults)}"
            )
        self._clean_up(self._device.present)
        record.detail = detail
        status = Status.CANCELED if record.cancel_requested else Status.FAILED
        self._end(record, status, record.failure_cause)

    def _needs_any(self, name: str, others: Collection[str]) -> bool:
        one = self._components.runners.get(name)
        return one is not None and bool(one.definition.hard_dependencies & set(others))

    def _leave_as_is(self, record: Record, before: state.DeviceState) -> None:
        """End without a rollback: what was to be removed stays, and so do the groups' roots."""
        now = self._device.present
        mixed = state.DeviceState(
            components={**before.components, **now.components},
            configuration={**before.configuration, **now.configuration},
            roots=before.roots,
        )
        record.detail = Detail.ROLLBACK_NOT_REQUESTED
        self._device.replace(mixed, lambda: None)
        status = Status.CANCELED if record.cancel_requested else Status.FAILED
        self._end(record, status, record.failure_cause)

    # The end

    def _fail(self, record: Record, error: failures.DeploymentError, detail: Detail) -> None:
        record.error_stack = error.error_stack
        record.error_types = [error.kind]
        record.detail = detail
        self._clean_up(self._device.present)
        self._end(record, Status.FAILED, str(error))

    def _end(self, record: Record, status: Status, cause: str | None) -> None:
        record.status = status
        record.failure_cause = cause
        self._records.save(record, Phase.DONE)
        self._consent.close(record.id)
        self._records.write_report(record)
        self._records.forget_old()
        if status is Status.FAILED:
            log.error("Deployment failed", deployment=record.id, reason=_first_line(cause))
        else:
            log.info("Deployment ended", deployment=record.id, status=status)


def _former_state(before: state.DeviceState, failed: state.DeviceState) -> state.DeviceState:
    """Return the state before; a component that was left alone keeps what it wrote meanwhile."""
    kept = {
        name: failed.configuration[name]
        for name, installed in before.components.items()
        if failed.components.get(name) == installed
        and before.configuration.get(name) == failed.configuration.get(name)
    }
    return state.DeviceState(
        components=before.components,
        configuration={**before.configuration, **kept},
        roots=before.roots,
    )


def _cause(faults: Sequence[health.Fault]) -> str:
    """Return one sentence for each fault, followed by the last lines of the component."""
    parts: list[str] = []
    for fault in faults:
        parts.append(f"{fault} ({fault.code})" if fault.code != "NONE" else str(fault))
        parts += [f"  {line}" for line in fault.lines]
    return "\n".join(parts)


def _first_line(cause: str | None) -> str:
    # The log of the component has its lines already.
    return (cause or "cancelled").partition("\n")[0]
