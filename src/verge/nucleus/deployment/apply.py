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
    conclusion,
    device,
    failures,
    force,
    groups,
    history,
    plan,
    preparation,
    target,
)
from verge.nucleus.deployment.documents import Detail, Phase, Record, Status
from verge.nucleus.ipc import host
from verge.nucleus.lifecycle import definition, health, supervisor
from verge.nucleus.store import packages, state

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
        self._force = force.Force(configured, components)
        self._conclusion = conclusion.Conclusion(records, present, known_groups, consent)
        self._stop = threads.Stop()
        self._current = ""
        self._watch: health.Watch | None = None

    async def changes(self, request: host.LocalDeployment) -> list[host.PlannedChange]:
        """Return what a request would change, touching nothing."""
        before = self._device.present
        selection = await self.preparation.plan(request)
        after = self._selector.compose(selection, before)
        self._force.restart_needed_for(after)
        found = plan.changes(before, after)
        named = {change.component for change in found if change.action != "configure"}
        for name in self._force.broken(after):
            if name not in named:
                version = after.components[name].version
                found.append(host.PlannedChange(name, "reinstall", version, version))
        return found

    def cancel(self, record: Record) -> None:
        """Stop as soon as it is safe: at once while waiting for health, else before activation."""
        record.cancel_requested = True
        self._records.save(record, self._records.phases[record.id])
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
        if record.cancel_requested:  # by a client of an earlier nucleus
            self._conclusion.end(record, Status.CANCELED, None)
            return
        record.status = Status.IN_PROGRESS
        try:
            self._count_attempt(record, Phase.PREPARING)
            selection = await self.preparation.select(record, self._stop)
            await self.preparation.fetch(record, selection, self._stop)
            before = self._device.present
            after = self._selector.compose(selection, before)
            due = bootstrap.due(before, after)
            restarting = bool(due or self._force.restart_needed_for(after))
            policy = _policy(record)
            await self._consent.open(record.id, before, after, policy, restarting=restarting)
        except threads.StoppedError:
            self._conclusion.end(record, Status.CANCELED, None)
            return
        except admission.StaleError as error:
            self._conclusion.reject(record, error)
            return
        except failures.EXPECTED as error:
            self._fail(record, error)
            return
        if record.cancel_requested:
            self._conclusion.end(record, Status.CANCELED, None)
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

    def _fail(self, record: Record, error: Exception) -> None:
        self._clean_up(self._device.present)
        self._conclusion.fail(record, failures.explain(error), Detail.NO_STATE_CHANGE)

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
            self._fail(record, error)
            return
        if record.cancel_requested:
            self._conclusion.end(record, Status.CANCELED, None)
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
        restarts = bool(self._force.restart_needed_for(after)) or bootstrapped
        self._device.replace(after, keep_the_way_back)
        log.info("Deployment activated", deployment=record.id)
        if restarts:
            self._restart(record)
            return
        self._force.adopt_settings(after)
        await self._finish(record, before, self._force.put(before, after))

    async def _resume(self, record: Record) -> None:
        log.info("Deployment resumed", deployment=record.id)
        before, present = self._records.snapshot(record), self._device.present
        # Removed components do not run any more, but have yet to be uninstalled.
        removed = set(before.components) - set(present.components)
        self._components.take_over(definition.define(before.components[n]) for n in removed)
        changed = plan.reactions(before.components, present.components)
        await self._finish(record, before, self._force.affected(present, list(changed)))

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
        self._conclusion.end(record, Status.SUCCEEDED, None)
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
        conclusion.blame(record, faults)
        if record.request.failure_handling_policy != "ROLLBACK":
            self._leave_as_is(record, before)
            return
        await self._bootstrap_back(record, self._device.present, before)
        failed = self._device.present
        back = device.former_state(before, failed, record.request.configuration)
        # A stored phase of ROLLING_BACK implies the former state, so both go in one transaction.
        self._device.replace(back, lambda: self._records.save(record, Phase.ROLLING_BACK))
        log.warning(
            "Rolling back", deployment=record.id, reason=conclusion.first_line(record.failure_cause)
        )
        if self._force.restart_needed_for(back):
            self._restart(record)
            return
        self._force.adopt_settings(back)
        unhealthy_before = set(self._force.broken(back)) - {fault.component for fault in faults}
        changed = self._force.put(failed, back)
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
        broken = set(self._force.broken(self._device.present)) - set(tracked)
        watch = health.Watch(self._components, self._settings.settle, self._settings.health_limit)
        faults = await watch.wait([n for n in tracked if not self._force.needs_any(n, broken)])
        detail = Detail.ROLLBACK_COMPLETE
        if faults:
            detail = Detail.UNABLE_TO_ROLLBACK
            record.failure_cause = (
                f"{record.failure_cause or 'the deployment was cancelled'}\n"
                f"after the rollback: {conclusion.cause(faults)}"
            )
        self._clean_up(self._device.present)
        record.detail = detail
        status = Status.CANCELED if record.cancel_requested else Status.FAILED
        self._conclusion.end(record, status, record.failure_cause)

    def _leave_as_is(self, record: Record, before: state.DeviceState) -> None:
        """End without a rollback."""
        mixed = device.left_as_is(before, self._device.present)
        record.detail = Detail.ROLLBACK_NOT_REQUESTED
        self._device.replace(mixed, lambda: None)
        status = Status.CANCELED if record.cancel_requested else Status.FAILED
        self._conclusion.end(record, status, record.failure_cause)


def _policy(record: Record) -> gate.Policy:
    """Return how long components may take to answer; nobody is told of local deployments."""
    if record.fleet is None:
        return gate.LOCAL
    return gate.Policy(record.fleet.validation_limit, record.fleet.update_limit)
