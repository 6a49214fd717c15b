"""How deployments end: what is recorded, reported and logged of it."""

from __future__ import annotations

from collections.abc import Sequence

from verge.nucleus import errors, logs
from verge.nucleus.consent import gate
from verge.nucleus.deployment import device, failures, groups, history
from verge.nucleus.deployment.documents import ComponentFault, Detail, Phase, Record, Status
from verge.nucleus.lifecycle import health

log = logs.Logger("deployment")


class Conclusion:
    """Ends deployments."""

    def __init__(
        self,
        records: history.History,
        present: device.Device,
        known_groups: groups.Groups,
        consent: gate.Gate,
    ) -> None:
        self._records = records
        self._device = present
        self._groups = known_groups
        self._consent = consent

    def fail(self, record: Record, error: failures.DeploymentError, detail: Detail) -> None:
        """End a deployment that failed."""
        record.error_stack = error.error_stack
        record.error_types = [error.kind]
        record.detail = detail
        self.end(record, Status.FAILED, str(error))

    def reject(self, record: Record, error: failures.DeploymentError) -> None:
        """End a deployment that must not be carried out."""
        record.error_stack = error.error_stack
        record.error_types = [error.kind]
        record.detail = Detail.REJECTED
        self.end(record, Status.REJECTED, str(error))

    def end(self, record: Record, status: Status, cause: str | None) -> None:
        """End a deployment; nothing of it is done after this."""
        record.status = status
        record.failure_cause = cause
        with self._records.transaction():
            self._records.save(record, Phase.DONE)
            if record.fleet and status is Status.SUCCEEDED:
                arn, present = record.fleet.configuration_arn, self._device.present.roots
                self._groups.note(record.origin, record.created, arn, present)
        self._consent.close(record.id)
        self._tidy(record)
        if status is Status.FAILED:
            log.error("Deployment failed", deployment=record.id, reason=first_line(cause))
        else:
            log.info(
                "Deployment ended",
                deployment=record.id,
                status=status,
                bytes_copied=record.bytes_copied,
                bytes_fetched=record.bytes_fetched,
            )

    def _tidy(self, record: Record) -> None:
        """Write the report and forget what is old; the deployment has ended without it, too."""
        try:
            self._records.write_report(record)
            self._records.forget_old()
        except (OSError, errors.StoreError) as error:
            log.warning("Report not written", deployment=record.id, reason=error)


def blame(record: Record, faults: Sequence[health.Fault]) -> None:
    """Note in the record which components failed it, and how."""
    record.faults = [
        ComponentFault(f.component, f.version, f.code, f.reason, f.lines) for f in faults
    ]
    if faults:
        record.error_stack = ["DEPLOYMENT_FAILURE", "COMPONENT_UPDATE_ERROR", "COMPONENT_BROKEN"]
        record.error_types = ["USER_COMPONENT_ERROR"]
        record.failure_cause = cause(faults)


def cause(faults: Sequence[health.Fault]) -> str:
    """Return one sentence for each fault, followed by the last lines of the component."""
    parts: list[str] = []
    for fault in faults:
        parts.append(f"{fault} ({fault.code})" if fault.code != "NONE" else str(fault))
        parts += [f"  {line}" for line in fault.lines]
    return "\n".join(parts)


def first_line(cause: str | None) -> str:
    """Return the sentence of a cause."""
    # The log of the component has its lines already.
    return (cause or "cancelled").partition("\n")[0]
