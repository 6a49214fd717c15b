"""Puts the parts of Greengrass together, for HTTP and for the other parts of the cloud."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from verge.cloud import database as db
from verge.cloud import ports, settings
from verge.cloud.greengrass import (
    account,
    api,
    arns,
    catalogue,
    client_devices,
    components,
    core_devices,
    delivery,
    deployments,
    digests,
    documents,
    effective,
    faults,
    history,
    idempotency,
    notifications,
    outcomes,
    reach,
    reports,
    tags,
)
from verge.cloud.http import routing

Params = Mapping[str, Any]
Result = dict[str, Any]
Operation = Callable[[Params], Result]

_log = logging.getLogger(__name__)


class Service:
    """The API `greengrassv2` and what devices report (implements ports.CoreDevices)."""

    def __init__(
        self,
        *,
        database: db.Database,
        things: ports.Things,
        objects: ports.Objects,
        jobs: ports.Jobs,
        shadows: ports.Shadows,
        events: ports.Events,
        settings: settings.Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._names = arns.Names.of(settings)
        tokens = idempotency.Tokens(database=database, clock=clock)
        versions = components.Store(database=database, names=self._names, clock=clock)
        self._history = history.Store(database=database)
        self._worker = digests.Worker(store=versions, objects=objects)
        self._tags = tags.Tags(database=database, exists=self._exists)
        self._catalogue = catalogue.Catalogue(
            database=database,
            names=self._names,
            store=versions,
            worker=self._worker,
            objects=objects,
            tokens=tokens,
            tagged=self._tags,
        )
        self._delivery = delivery.Delivery(
            store=self._history, names=self._names, jobs=jobs, shadows=shadows
        )
        self._deployments = deployments.Deployments(
            database=database,
            names=self._names,
            store=self._history,
            versions=versions,
            deliveries=self._delivery,
            tokens=tokens,
            tagged=self._tags,
            things=things,
            jobs=jobs,
            clock=clock,
        )
        self._registry = core_devices.Registry(
            database=database, names=self._names, deployments=self._history
        )
        self._notifications = notifications.Notifications(names=self._names, events=events)
        self._outcomes = outcomes.Outcomes(
            database=database,
            store=self._history,
            settled=self._registry.succeeded,
            changed=self._notifications.deployment,
            clock=clock,
        )
        self._effective = effective.Effective(
            names=self._names, store=self._history, results=self._outcomes, jobs=jobs
        )
        self._clients = client_devices.Clients(
            database=database, registry=self._registry, things=things, clock=clock
        )
        self._account = account.Account(database=database, things=things, clock=clock)
        self._reach = reach.Reach(store=versions, deployments=self._history, things=things)
        self._api = api.Api(self._operations(), self._catalogue.artifact_url, tokens)
        jobs.on_execution(self._outcomes.execution)
        shadows.on_update(self._outcomes.shadow)

    def start(self) -> None:
        """Go on with what an earlier process did not end."""
        self._worker.start()
        self._delivery.resume()

    def stop(self) -> None:
        """End the work in the background."""
        self._worker.stop()

    def routes(self) -> Sequence[routing.Route]:
        """Return the routes of all operations."""
        return self._api.routes()

    def ask(self, operation: str, params: Params) -> Result:
        """Carry out an operation for another part. Raises Fault where a client is refused."""
        return self._operations()[operation](params)

    def handler(self, operation: str) -> routing.Handler:
        """Return what answers one operation, for the data plane to put behind its own check.

        Pre-signed URLs it answers with begin with the URL that the request came to.
        """
        return self._api.handler(operation)

    def report(self, thing: str, message: ports.Document) -> None:
        """See ports.CoreDevices. Raises ReportError for a message that says nothing usable."""
        report = reports.read(message)
        failing = self._registry.newly_in(thing, notifications.FAILING, report)
        if self._registry.take(thing, report, self._clock()):
            self._notifications.components(thing, failing)
            given = report.deployment
            self._outcomes.reported(
                thing,
                given.get("fleetConfigurationArnForStatus"),
                given.get("status"),
                given.get("statusDetails"),
            )

    def may_read(self, thing: str, bucket: str, key: str) -> bool | None:
        """See ports.CoreDevices."""
        return self._reach.may_read(thing, bucket, key)

    def may_resolve(self, thing: str, component: str) -> bool:
        """See ports.CoreDevices."""
        return self._reach.may_resolve(thing, component)

    def configuration_document(self, thing: str, deployment_id: str) -> bytes | None:
        """Return the whole document of a deployment that targets a thing, else None.

        Devices ask for it where the job or the shadow held a reference (LARGE_CONFIGURATION).
        """
        found = self._history.find(deployment_id)
        if found is None or not self._reach.targets(thing, found.kind, found.target):
            return None
        return documents.encode(dict(found.document))

    def _operations(self) -> Mapping[str, Operation]:
        return {
            "CreateComponentVersion": self._catalogue.create,
            "DescribeComponent": self._catalogue.describe,
            "GetComponent": self._catalogue.get,
            "DeleteComponent": self._catalogue.delete,
            "ListComponents": self._catalogue.list_components,
            "ListComponentVersions": self._catalogue.list_versions,
            "ResolveComponentCandidates": self._catalogue.resolve,
            "CreateDeployment": self._deployments.create,
            "GetDeployment": self._deployments.get,
            "ListDeployments": self._deployments.list,
            "CancelDeployment": self._deployments.cancel,
            "DeleteDeployment": self._deployments.delete,
            "GetCoreDevice": self._get_core_device,
            "ListCoreDevices": self._registry.list,
            "DeleteCoreDevice": self._delete_core_device,
            "ListEffectiveDeployments": self._list_effective,
            "ListInstalledComponents": self._registry.installed,
            "BatchAssociateClientDeviceWithCoreDevice": self._clients.associate,
            "BatchDisassociateClientDeviceFromCoreDevice": self._clients.disassociate,
            "ListClientDevicesAssociatedWithCoreDevice": self._clients.list,
            "GetConnectivityInfo": self._account.connectivity,
            "UpdateConnectivityInfo": self._account.update_connectivity,
            "AssociateServiceRoleToAccount": self._account.associate_role,
            "GetServiceRoleForAccount": self._account.role,
            "DisassociateServiceRoleFromAccount": self._account.disassociate_role,
            "ListTagsForResource": self._list_tags,
            "TagResource": self._tag,
            "UntagResource": self._untag,
        }

    def _get_core_device(self, params: Params) -> Result:
        thing = params["coreDeviceThingName"]
        found = self._registry.get(thing)
        return {**found, "tags": self._tags.of(self._names.core_device(thing)) or None}

    def _delete_core_device(self, params: Params) -> Result:
        thing = params["coreDeviceThingName"]
        self._registry.delete(thing)
        self._tags.forget(self._names.core_device(thing))
        _log.info("Deleted a core device thing=%s", thing)
        return {}

    def _list_effective(self, params: Params) -> Result:
        self._registry.require(params["coreDeviceThingName"])
        return self._effective.page(params)

    def _list_tags(self, params: Params) -> Result:
        self._tags.require(params["resourceArn"])
        return {"tags": self._tags.of(params["resourceArn"])}

    def _tag(self, params: Params) -> Result:
        self._tags.require(params["resourceArn"])
        self._tags.add(params["resourceArn"], params["tags"])
        return {}

    def _untag(self, params: Params) -> Result:
        self._tags.require(params["resourceArn"])
        self._tags.remove(params["resourceArn"], params["tagKeys"])
        return {}

    def _exists(self, arn: str) -> bool:
        kind, _, name = arn.split(":", 5)[5].partition(":")
        try:
            match kind:
                case "components":
                    self._catalogue.require(arn)
                case "deployments":
                    self._deployments.require(name)
                case _:
                    self._registry.require(name)
        except faults.NotFoundFault:
            return False
        return arn.split(":")[4] in {self._names.account, arns.PUBLIC}
