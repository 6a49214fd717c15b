"""The operations on deployments."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from verge.cloud import database as db
from verge.cloud import errors, ports
from verge.cloud.greengrass import (
    arns,
    checks,
    components,
    delivery,
    documents,
    faults,
    history,
    idempotency,
    pages,
    tags,
)

Params = Mapping[str, Any]
Result = dict[str, Any]
RESOURCE = "deployment"


class Deployments:
    """Creates, shows, cancels and deletes deployments. All raise Fault."""

    def __init__(
        self,
        *,
        database: db.Database,
        names: arns.Names,
        store: history.Store,
        versions: components.Store,
        deliveries: delivery.Delivery,
        tokens: idempotency.Tokens,
        tagged: tags.Tags,
        things: ports.Things,
        jobs: ports.Jobs,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._names = names
        self._store = store
        self._versions = versions
        self._delivery = deliveries
        self._tokens = tokens
        self._tags = tagged
        self._things = things
        self._jobs = jobs
        self._clock = clock
        # A job must exist before the revision after it cancels it.
        self._one_by_one = threading.Lock()

    def create(self, params: Params) -> Result:
        """Make the next revision of a target and hand it over."""
        target = checks.target("targetArn", params, self._names, self._things)
        self._check_parent(params, target)
        checks.values(params)
        checks.versions(params, self._versions)
        with self._one_by_one:
            return self._create(params, target)

    def _create(self, params: Params, target: arns.Target) -> Result:
        self._delivery.resume()  # what a full disk has stopped; revisions are taken in order
        with self._database.transaction():
            new = self._revision(params, target)
            replaced = self._store.add(new)
            result = {"deploymentId": new.id, **self._job(new)}
            self._tokens.keep("CreateDeployment", params.get("clientToken"), result)
            self._tags.add(self._names.deployment(new.id), params.get("tags", {}))
        try:
            # After the commit: jobs must not reach a device for a deployment that is not stored.
            self._delivery.deliver(new, replaced)
        except (errors.CloudError, sqlite3.Error):
            self._tokens.forget("CreateDeployment", params.get("clientToken"))
            raise
        return result

    def get(self, params: Params) -> Result:
        """Return a deployment."""
        found = self.require(params["deploymentId"])
        request = found.request
        return {
            **self._summary(found),
            **self._job(found),
            "components": request.get("components", {}),
            "deploymentPolicies": request["deploymentPolicies"],
            "iotJobConfiguration": request.get("iotJobConfiguration", {}),
            "tags": self._tags.of(self._names.deployment(found.id)) or None,
        }

    def list(self, params: Params) -> Result:
        """Return a page of deployments, newest first."""
        page = pages.Page.of("ListDeployments", params)
        arn = params.get("targetArn")
        rows = self._store.select(
            before=None if page.after is None else int(page.after),
            most=page.fetch,
            target=None if arn is None else arns.Target.parse(arn),
            parent=params.get("parentTargetArn"),
            latest_only=params.get("historyFilter", "LATEST_ONLY") == "LATEST_ONLY",
        )
        shown, token = page.cut(rows, lambda row: row.number)
        return {"deployments": [self._summary(row) for row in shown], "nextToken": token}

    def cancel(self, params: Params) -> Result:
        """Take an active deployment back from devices that have not received it."""
        with self._one_by_one:
            found = self.require(params["deploymentId"])
            status = self.status(found)
            if status != history.ACTIVE:
                raise faults.ConflictFault(
                    f"cannot cancel the deployment {found.id}: it is {status}, not ACTIVE",
                    found.id,
                    RESOURCE,
                )
            # In this order: what is cut off in between is still ACTIVE and can be canceled again.
            self._delivery.withdraw(found)
            self._store.set_status(found.id, history.CANCELED, only_if=history.ACTIVE)
        return {"message": f"The deployment {found.id} was canceled"}

    def delete(self, params: Params) -> Result:
        """Remove a deployment that is not active."""
        found = self.require(params["deploymentId"])
        if self.status(found) == history.ACTIVE:
            raise faults.ConflictFault(
                f"cannot delete the deployment {found.id}: it is ACTIVE; cancel it first",
                found.id,
                RESOURCE,
            )
        with self._database.transaction():
            self._store.remove(found.id)
            self._tags.forget(self._names.deployment(found.id))
        return {}

    def require(self, deployment_id: str) -> history.Deployment:
        """Return a deployment that is not deleted."""
        found = self._store.find(deployment_id)
        if found is None or found.status == history.DELETED:
            raise faults.NotFoundFault(
                f"cannot find the deployment {deployment_id}", deployment_id, RESOURCE
            )
        return found

    def status(self, deployment: history.Deployment) -> str:
        """Return the status, which for a group is CANCELED too once its job was aborted."""
        if deployment.status != history.ACTIVE or deployment.job is None:
            return deployment.status
        try:
            aborted = self._jobs.status(deployment.job) == "CANCELED"
        except errors.NotFoundError:
            return deployment.status
        return history.CANCELED if aborted else deployment.status

    def _check_parent(self, params: Params, target: arns.Target) -> None:
        if "parentTargetArn" not in params:
            return
        if target.kind != arns.THING_GROUP:
            raise faults.invalid("targetArn", "a subdeployment can only target a thing group")
        checks.target("parentTargetArn", params, self._names, self._things)
        parent = params["parentTargetArn"]
        if parent == params["targetArn"]:
            raise faults.invalid("parentTargetArn", "a thing group cannot be its own parent")
        used = self._store.parent_of(target.name)
        if used not in {None, parent}:
            raise faults.invalid(
                "parentTargetArn", f"{target.name} is used for subdeployments of {used} already"
            )

    def _revision(self, params: Params, target: arns.Target) -> history.Deployment:
        number = self._store.next_revision(target.kind, target.name)
        revision = documents.Revision(
            deployment_id=str(uuid.uuid4()),
            configuration_arn=self._names.configuration(target.kind, target.name, number),
            created=max(self._clock(), self._store.newest_time() + 0.001),
        )
        request = {
            **{k: v for k, v in params.items() if k not in {"clientToken", "tags"}},
            "deploymentPolicies": documents.policies(params.get("deploymentPolicies", {})),
        }
        document = documents.build(request, revision)
        return history.Deployment(
            number=0,
            id=revision.deployment_id,
            kind=target.kind,
            target=target.name,
            parent=params.get("parentTargetArn"),
            revision=number,
            request=request,
            document=document,
            reference=documents.reference(document, target.kind),
            job=str(uuid.uuid4()) if target.kind == arns.THING_GROUP else None,
            created=revision.created,
            status=history.ACTIVE,
            latest=True,
        )

    def _summary(self, found: history.Deployment) -> Result:
        return {
            "targetArn": found.request["targetArn"],
            "revisionId": str(found.revision),
            "deploymentId": found.id,
            "deploymentName": found.request.get("deploymentName"),
            "creationTimestamp": found.created,
            "deploymentStatus": self.status(found),
            "isLatestForTarget": found.latest,
            "parentTargetArn": found.parent,
        }

    def _job(self, found: history.Deployment) -> Result:
        if found.job is None:
            return {}
        return {"iotJobId": found.job, "iotJobArn": self._names.job(found.job)}
