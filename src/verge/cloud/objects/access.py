"""Who may do what with objects."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from typing import NamedTuple

from werkzeug.wrappers import Request

from verge.cloud import ports
from verge.cloud.aws import permissions
from verge.cloud.objects import faults, keys, signatures

_READS = frozenset({"s3:GetObject"})


class Caller(NamedTuple):
    """Who sent a request, after its signature has been checked."""

    signature: signatures.Signature
    key: keys.Key | None
    """None for a tool on loopback, whose key may be any."""


class Access:
    """Checks signatures and permissions.

    On loopback (`trusted`) any well-formed signature will do unless its key is known here: tools
    use made-up credentials. Elsewhere the key must be known, and the policies of its role decide.
    """

    def __init__(
        self,
        *,
        keys: keys.Keys,
        permissions: permissions.Permissions,
        core_devices: ports.CoreDevices,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._permissions = permissions
        self._core_devices = core_devices
        self._now = now

    def identify(self, request: Request, *, trusted: bool) -> Caller:
        """Return who sent a request. Raises FaultError."""
        now = self._now()
        signature = signatures.read(request, now)
        if signature is None:
            raise faults.FaultError("AccessDenied", "Access Denied")
        key = self._keys.find(signature.access_key_id)
        if key is None and trusted:
            return Caller(signature, None)
        if key is None:
            raise faults.FaultError(
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            )
        if not hmac.compare_digest(signature.token or "", key.token or ""):
            raise faults.FaultError(
                "InvalidToken", "The provided token is malformed or otherwise invalid."
            )
        signatures.verify(request, signature, key.secret, now)
        return Caller(signature, key)

    def require(
        self, caller: Caller, action: str, bucket: str, name: str = "", *, trusted: bool
    ) -> None:
        """Raise FaultError unless the caller may do an action, such as "s3:GetObject".

        `name` is a key, or for "s3:ListBucket" the prefix.
        """
        if not self.allows(caller, action, bucket, name, trusted=trusted):
            raise faults.FaultError("AccessDenied", f"Access Denied: {action} on {bucket}/{name}")

    def allows(
        self, caller: Caller, action: str, bucket: str, name: str = "", *, trusted: bool
    ) -> bool:
        """Whether the caller may do an action."""
        key = caller.key
        if key is None or key.own:
            return True
        if key.role is None:
            return trusted
        listing = action == "s3:ListBucket"
        resource = (
            f"arn:aws:s3:::{bucket}" if listing or not name else f"arn:aws:s3:::{bucket}/{name}"
        )
        context = {"s3:prefix": name} if listing else {}
        if key.thing is not None:
            context["credentials-iot:ThingName"] = key.thing
        if not self._permissions.allow(key.role, action, resource, context):
            return trusted and key.thing is None
        return not (
            action in _READS
            and key.thing is not None
            and self._core_devices.may_read(key.thing, bucket, name) is False
        )
