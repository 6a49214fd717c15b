"""Carries a deployment out: prepare, activate, wait for health, finish or go back.

Each phase is on disk before the next one begins, so a nucleus that is killed at any point leaves
a device in the former state or in the new one, and the next nucleus ends what was begun.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from verge.nucleus import errors, logs, settings, threads
from verge.nucleus.consent import gate
from verge.nucleus.deployment import (
    admission,
    bootstrap,
    device,
    failures,
    groups,
    history,
    plan,
    preparation,
    target,
)
from verge.nucleus.deployment.documents import ComponentFault, Detail, Phase, Record, Status
from verge.nucleus.ipc import host
from verge.nucleus.lifecycle import definition, health, states, supervisor, users
from verge.nucleus.lifecycle.supervisor import Reaction
from verge.nucleus.store import packages, state, tree
from verge.recipe import graph

MAX_ATTEMPTS = 3
"""Preparations that may be cut short by an end of the nucleus before a deployment is given up."""

log = logs.Logger("deployment")


class Executor:
    """Carries out one deployment at a time."""

    def __init__(
        self,
        configured: settings.Settings,
        present: device.Device,
        selector: target.Selector,
        store: packages.PackageStore,
        records: history.History,
        components: supervisor.Supervisor,
        bootstrapper: bootstrap.Bootstrapper,
        consent: gate.Gate,
        known_groups: groups.Groups,
        clock: Callable[[], float],
    ) -> None:
        self.wish = bootstrap.Wish.NOTHING
        """Whether the nucleus has to restart before deployments can go on."""
        self.preparation = preparation.Preparation(
            configured, present, selector, store, records, known_groups, clock
        )
        self._settings = configured
        self._device = present
        self._selector = selector
        self._store = store
        self._records = records
        self._components = components
        self._bootstrapper = bootstrapper
        self._consent = consent
        self._groups = known_groups
        self._clock = clock
        self._stop = threads.Stop()
        self._current = ""
        self._watch: health.Watch | None = None

    async def changes(self, request: host.LocalDeployment) -> list[host.PlannedChange]:
        """Return what a request would change, touching nothing."""
        before = self._device.present
        selection = await self.preparation.plan(request)
        after = self._selector.compose(selection, before)
        self._check_nucleus(after)
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
        if record.id == self._current:
            self._stop.request()
        self._consent.withdraw(record.id)
        if self._watch and self._records.phases[record.id] is Phase.ACTIVATED:
            self._watch.cancel()

    async def run(self, record: Record) -> None:
        """Carry a deployment out from the phase that it is in, to its end."""
        self._current, self._stop = record.id, threads.Stop()
        match self._records.phases[record.id]:
            case Phase.QUEUED | Phase.PREPARING:
                await self._begin(record)
            case Phase.BOOTSTRAPPING:
                await self._bootstrap(record, resumed=True)
            case Phase.ACTIVATED:
                await self._resume(record)
            case Phase.ROLLING_BACK:
                log.info("Rollback resumed", deployment=record.id)
                await self._finish_rollback(record, list(self._device.present.components))
            case Phase.DONE:
                return

    # Phase PREPARING

    async def _begin(self, record: Record) -> None:
        record.status = Status.IN_PROGRESS
        try:
            self._count_attempt(record, Phase.PREPARING)
            selection = await self.preparation.select(record, self._stop)
            await self.preparation.fetch(record, selection, self._stop)
            before = self._device.present
            after = self._selector.compose(selection, before)
            due = bootstrap.due(before, after)
            restarting = bool(due or self._check_nucleus(after))
            policy = _policy(record)
            await self._consent.open(record.id, before, after, policy, restarting=restarting)
        except threads.StoppedError:
            self._end(record, Status.CANCELED, None)
            return
        except admission.StaleError as error:
            self._reject(record, error)
            return
        except failures.EXPECTED as error:
            self._fail(record, failures.explain(error), Detail.NO_STATE_CHANGE)
            return
        if record.cancel_requested:
            self._end(record, Status.CANCELED, None)
        elif due:
            with self._records.transaction():
                self._records.save_target(record, after)
                self._records.save(record, Phase.BOOTSTRAPPING)
            await self._bootstrap(record)
        else:
            # Components may have written configuration while they were asked.
            await self._activate(record, self._selector.compose(selection, self._device.present))

    def _count_attempt(self, record: Record, phase: Phase) -> None:
        record.attempts += 1
        self._records.save(record, phase)
        log.info("Deployment begun", deployment=record.id, attempt=record.attempts)
        if record.attempts > MAX_ATTEMPTS:
            raise failures.DeploymentError(
                f"cannot deploy: the nucleus ended {MAX_ATTEMPTS} times while preparing this; "
                f"see {self._settings.paths.logs / 'greengrass.log'}",
                "DEPLOYMENT_INTERRUPTED",
                "NUCLEUS_ERROR",
            )

    def _wanted_settings(self, wanted: state.DeviceState) -> settings.Settings:
        content = tree.plain(wanted.configuration.get(settings.NUCLEUS, {}))
        return self._settings.configured(content)

    def _check_nucleus(self, wanted: state.DeviceState) -> list[str]:
        """Return the settings that need a restart. Raises NucleusError if they cannot be used."""
        configured = self._wanted_settings(wanted)
        if configured.posix_user and configured.posix_user != self._settings.posix_user:
            users.resolve(configured.posix_user)
        return self._settings.restart_needed(configured)

    # Phase BOOTSTRAPPING

    async def _bootstrap(self, record: Record, *, resumed: bool = False) -> None:
        """Run what is due and not done yet, restarting the nucleus where a step asks for it."""
        after = self._records.target(record)
        try:
            if resumed:
                self._count_attempt(record, Phase.BOOTSTRAPPING)
            due = bootstrap.due(self._device.present, after)
            for name in due:
                if name in record.bootstrapped or record.cancel_requested:
                    continue
                wish = await self._bootstrapper.run(after.components[name])
                record.bootstrapped.append(name)
                asked = wish is not bootstrap.Wish.NOTHING
                if asked:
                    record.attempts = 0  # the nucleus ends on purpose
                self._records.save(record, Phase.BOOTSTRAPPING)
                if asked:
                    self._restart(record, wish)
                if asked and name != due[-1]:
                    return
        except failures.EXPECTED as error:
            self._fail(record, failures.explain(error), Detail.NO_STATE_CHANGE)
            return
        if record.cancel_requested:
            self._end(record, Status.CANCELED, None)
            return
        present = self._device.present
        await self._activate(
            record, device.updated(after, present, record.created), bootstrapped=True
        )

    def _restart(self, record: Record, wish: bootstrap.Wish = bootstrap.Wish.RESTART) -> None:
        log.info("Nucleus restarts for a deployment", deployment=record.id, code=int(wish))
        self.wish = max(self.wish, wish)

    # Phase ACTIVATED

    async def _activate(
        self, record: Record, after: state.DeviceState, *, bootstrapped: bool = False
    ) -> None:
        before = self._device.present

        def keep_the_way_back() -> None:
            self._records.save_snapshot(record, before)
            self._records.save(record, Phase.ACTIVATED)

        # A nucleus that restarts stops the former version and starts the new one.
        restarts = bool(self._check_nucleus(after)) or bootstrapped
        self._device.replace(after, keep_the_way_back)
        log.info("Deployment activated", deployment=record.id)
        if restarts:
            self._restart(record)
            return
        self._adopt_settings(after)
        await self._finish(record, before, self._put_into_force(before, after))

    async def _resume(self, record: Record) -> None:
        log.info("Deployment resumed", deployment=record.id)
        before, present = self._records.snapshot(record), self._device.present
        # Removed components do not run any more, but have yet to be uninstalled.
        removed = set(before.components) - set(present.components)
        self._components.take_over(definition.define(before.components[n]) for n in removed)
        changed = plan.reactions(before.components, present.components)
        await self._finish(record, before, self._affected(present, list(changed)))

    def _adopt_settings(self, wanted: state.DeviceState) -> None:
        former = self._settings.limits
        self._settings.adopt(self._wanted_settings(wanted))
        if self._settings.limits != former:
            self._components.limit_all()

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
        self.preparation.clear()
        self._end(record, Status.SUCCEEDED, None)
        try:
            self._records.back_up()
        except errors.StoreError as error:
            log.warning("No backup made", reason=error)

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
        back = device.former_state(before, failed)
        await self._bootstrap_back(record, failed, back)
        # A stored phase of ROLLING_BACK implies the former state, so both go in one transaction.
        self._device.replace(back, lambda: self._records.save(record, Phase.ROLLING_BACK))
        log.warning("Rolling back", deployment=record.id, reason=_first_line(record.failure_cause))
        if self._check_nucleus(back):
            self._restart(record)
            return
        self._adopt_settings(back)
        unhealthy_before = set(self.broken(back)) - {fault.component for fault in faults}
        changed = self._put_into_force(failed, back)
        added = set(failed.components) - set(back.components)
        await self._components.remove(added)
        for name in added:
            self._device.configuration.forget(name)
        await self._finish_rollback(record, [n for n in changed if n not in unhealthy_before])

    async def _bootstrap_back(
        self, record: Record, failed: state.DeviceState, back: state.DeviceState
    ) -> None:
        """Run the bootstrap steps of the former versions, which the new ones may have undone."""
        for name in bootstrap.due(failed, back):
            if name not in failed.components:
                continue
            try:
                self.wish = max(self.wish, await self._bootstrapper.run(back.components[name]))
            except failures.EXPECTED as error:
                log.warning("Former version not bootstrapped", component=name, reason=error)
                record.failure_cause = f"{record.failure_cause}\nduring the rollback: {error}"

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
        """End without a rollback."""
        mixed = device.left_as_is(before, self._device.present)
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

    def _reject(self, record: Record, error: failures.DeploymentError) -> None:
        record.error_stack = error.error_stack
        record.error_types = [error.kind]
        record.detail = Detail.REJECTED
        self._end(record, Status.REJECTED, str(error))

    def _end(self, record: Record, status: Status, cause: str | None) -> None:
        record.status = status
        record.failure_cause = cause
        with self._records.transaction():
            self._records.save(record, Phase.DONE)
            if record.fleet and status is Status.SUCCEEDED:
                arn, present = record.fleet.configuration_arn, self._device.present.roots
                self._groups.note(record.origin, record.created, arn, present)
        self._consent.close(record.id)
        self._records.write_report(record)
        self._records.forget_old()
        if status is Status.FAILED:
            log.error("Deployment failed", deployment=record.id, reason=_first_line(cause))
        else:
            log.info(
                "Deployment ended",
                deployment=record.id,
                status=status,
                bytes_copied=record.bytes_copied,
                bytes_fetched=record.bytes_fetched,
            )


def _policy(record: Record) -> gate.Policy:
    """Return how long components may take to answer; nobody is told of local deployments."""
    if record.fleet is None:
        return gate.LOCAL
    return gate.Policy(record.fleet.validation_limit, record.fleet.update_limit)


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
