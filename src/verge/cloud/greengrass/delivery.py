"""Hands deployments over to the devices: groups by a continuous job, things by their shadow.

What was stored and not handed over, because this process ended in between, is handed over at the
next start: both ways can be taken twice without harm.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from verge.cloud import errors, ports
from verge.cloud.greengrass import arns, documents, history

SHADOW = "AWSManagedGreengrassV2Deployment"
"""The named shadow that carries a thing's deployment (contract 5.8)."""

_log = logging.getLogger(__name__)


class Delivery:
    """Passes deployments to the jobs service and to shadows."""

    def __init__(
        self,
        *,
        store: history.Store,
        names: arns.Names,
        jobs: ports.Jobs,
        shadows: ports.Shadows,
    ) -> None:
        self._store = store
        self._names = names
        self._jobs = jobs
        self._shadows = shadows

    def deliver(self, new: history.Deployment, replaced: Iterable[history.Deployment]) -> None:
        """Withdraw what a deployment replaces and hand it over.

        One that is refused, because its target went away in between, has FAILED; raises CloudError.
        """
        try:
            for old in replaced:
                self._withdraw_job(old)
            if new.job is None:
                fleet_config = documents.encode(new.sent).decode()
                self._desire(new, {"fleetConfig": fleet_config, "desiredStatus": "SUCCEEDED"})
            else:
                self._create_job(new, new.job)
        except errors.CloudError:
            self._store.set_status(new.id, history.FAILED, only_if=history.ACTIVE)
            self._store.delivered(new.id)
            raise
        self._store.delivered(new.id)

    def resume(self) -> None:
        """Hand over what an earlier process did not."""
        for deployment in self._store.undelivered():
            if deployment.status == history.ACTIVE:
                self._deliver_late(deployment, self._store.replaced_by(deployment))
            else:
                self._withdraw_job(deployment)
                self._store.delivered(deployment.id)

    def _deliver_late(
        self, deployment: history.Deployment, replaced: Iterable[history.Deployment]
    ) -> None:
        try:
            self.deliver(deployment, replaced)
        except errors.CloudError:
            _log.exception("Cannot hand over a deployment deployment=%s", deployment.id)
        else:
            _log.info("Handed over a deployment deployment=%s", deployment.id)

    def withdraw(self, deployment: history.Deployment) -> None:
        """Take a deployment back from devices that have not begun it."""
        if deployment.job is None:
            self._desire(deployment, {"desiredStatus": "CANCELED"})
        else:
            self._withdraw_job(deployment)

    def _create_job(self, new: history.Deployment, job_id: str) -> None:
        try:
            self._jobs.status(job_id)
        except errors.NotFoundError:
            config = new.request.get("iotJobConfiguration", {})
            self._jobs.create(
                ports.NewJob(
                    id=job_id,
                    targets=(self._names.group(new.target),),
                    document=new.sent,
                    namespace=ports.GREENGRASS_NAMESPACE,
                    continuous=True,
                    rollout=config.get("jobExecutionsRolloutConfig", {}),
                    abort=config.get("abortConfig", {}),
                    timeout=config.get("timeoutConfig", {}),
                )
            )

    def _withdraw_job(self, deployment: history.Deployment) -> None:
        if deployment.job is None:
            return
        try:
            self._jobs.cancel(deployment.job)
        except errors.NotFoundError:
            _log.info("No job to cancel job=%s", deployment.job)

    def _desire(self, deployment: history.Deployment, desired: ports.Document) -> None:
        try:
            self._shadows.update(deployment.target, SHADOW, {"desired": desired})
        except errors.NotFoundError:
            _log.warning("Cannot reach a thing that is gone thing=%s", deployment.target)
