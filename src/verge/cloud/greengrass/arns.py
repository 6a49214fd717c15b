"""ARNs of Greengrass and of what it points to (contract 5.3)."""

from __future__ import annotations

import re
from typing import Self

import msgspec

from verge.cloud import settings

PUBLIC = "aws"
"""The account of components that AWS provides."""
THING = "thing"
THING_GROUP = "thinggroup"

_COMPONENT = re.compile(
    r"arn:[^:]*:greengrass:(?P<region>[^:]*):(?P<account>aws|[0-9]+)"
    r":components:(?P<name>[^:]+)(?::versions:(?P<version>[^:]+))?"
)
_TARGET = re.compile(
    r"arn:[^:]*:iot:(?P<region>[^:]*):(?P<account>[0-9]+):(?P<kind>thing|thinggroup)/(?P<name>.+)"
)
_CONFIGURATION = re.compile(
    r"arn:[^:]*:greengrass:[^:]*:[0-9]+"
    r":configuration:(?P<kind>thing|thinggroup)/(?P<name>.+):(?P<revision>[0-9]{1,18})"
)


class Component(msgspec.Struct, frozen=True):
    """A component or, with `version`, one of its versions."""

    region: str
    account: str
    name: str
    version: str | None = None

    @classmethod
    def parse(cls, arn: str) -> Self | None:
        """Return what an ARN names; None if it is no component's."""
        match = _COMPONENT.fullmatch(arn)
        return match and cls(**match.groupdict())


class Target(msgspec.Struct, frozen=True):
    """A thing or a thing group that deployments are for; `kind` is a word of the ARN."""

    region: str
    account: str
    kind: str
    name: str

    @classmethod
    def parse(cls, arn: str) -> Self | None:
        """Return what an ARN names; None if it is neither a thing's nor a group's."""
        match = _TARGET.fullmatch(arn)
        return match and cls(**match.groupdict())


class Configuration(msgspec.Struct, frozen=True):
    """One revision of what a target is to run, as devices name it in their reports."""

    kind: str
    name: str
    revision: int

    @classmethod
    def parse(cls, arn: str) -> Self | None:
        """Return what an ARN names; None if it is no configuration's."""
        match = _CONFIGURATION.fullmatch(arn)
        if match is None:
            return None
        return cls(match["kind"], match["name"], int(match["revision"]))


class Names(msgspec.Struct, frozen=True):
    """Makes the ARNs of one account in one region."""

    region: str
    account: str

    @classmethod
    def of(cls, given: settings.Settings) -> Self:
        """Return the names of the account that the settings say."""
        return cls(given.region, given.account)

    def component(self, name: str, *, account: str | None = None) -> str:
        """Return the ARN of a component."""
        return f"{self._greengrass(account)}:components:{name}"

    def version(self, name: str, version: str, *, account: str | None = None) -> str:
        """Return the ARN of a component version."""
        return f"{self.component(name, account=account)}:versions:{version}"

    def core_device(self, thing: str) -> str:
        """Return the ARN of a core device."""
        return f"{self._greengrass()}:coreDevices:{thing}"

    def deployment(self, deployment_id: str) -> str:
        """Return the ARN of a deployment."""
        return f"{self._greengrass()}:deployments:{deployment_id}"

    def configuration(self, kind: str, name: str, revision: int) -> str:
        """Return the ARN of a revision of what a target is to run."""
        return f"{self._greengrass()}:configuration:{kind}/{name}:{revision}"

    def thing(self, name: str) -> str:
        """Return the ARN of a thing."""
        return f"{self._iot()}:{THING}/{name}"

    def group(self, name: str) -> str:
        """Return the ARN of a thing group."""
        return f"{self._iot()}:{THING_GROUP}/{name}"

    def job(self, job_id: str) -> str:
        """Return the ARN of a job."""
        return f"{self._iot()}:job/{job_id}"

    def owns(self, region: str, account: str) -> bool:
        """Return whether an ARN with this region and account is of this account here."""
        return (region, account) == (self.region, self.account)

    def _greengrass(self, account: str | None = None) -> str:
        return f"arn:aws:greengrass:{self.region}:{account or self.account}"

    def _iot(self) -> str:
        return f"arn:aws:iot:{self.region}:{self.account}"
