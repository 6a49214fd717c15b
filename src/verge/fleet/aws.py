"""AWS as the tooling sees it: sessions, clients and one kind of error.

Everything that boto3 raises leaves this package as a CloudError, whatever cloud answers.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import botocore.session

from verge.fleet import errors

_NOT_FOUND = frozenset(
    {"404", "NoSuchKey", "NoSuchBucket", "NoSuchUpload", "NotFound", "ResourceNotFoundException"}
)
_CONFLICT = frozenset({"ConflictException", "PreconditionFailed", "ConditionalRequestConflict"})
# A command waits for an answer that a person waits for; the standard mode backs off by itself.
_RETRIES: dict[str, Any] = {"mode": "standard", "max_attempts": 4}


class CloudError(errors.FleetError):
    """A call to the cloud failed; `.operation`, `.code` and `.reason` are the cloud's own.

    Without an operation the cloud was not reached at all.
    """

    def __init__(
        self,
        operation: str,
        code: str,
        reason: str,
        hint: str | None = None,
        *,
        deed: str = "reach the cloud",
    ) -> None:
        deed = f"do {operation}" if operation else deed
        super().__init__(f"cannot {deed}: {reason} ({code})", hint)
        self.operation = operation
        self.code = code
        self.reason = reason

    @property
    def not_found(self) -> bool:
        """Whether what was named does not exist."""
        return self.code in _NOT_FOUND

    @property
    def conflict(self) -> bool:
        """Whether somebody else was first."""
        return self.code in _CONFLICT


@contextmanager
def explained(hint: str | None = None) -> Iterator[None]:
    """Turn what botocore raises inside into a CloudError."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        answer = error.response.get("Error", {})
        code = str(answer.get("Code", "Unknown"))
        reason = str(answer.get("Message") or "the cloud gave no reason")
        raise CloudError(error.operation_name, code, _clause(reason), hint) from error
    except (
        botocore.exceptions.NoCredentialsError,
        botocore.exceptions.PartialCredentialsError,
        botocore.exceptions.ProfileNotFound,
    ) as error:
        raise CloudError(
            "",
            type(error).__name__,
            _clause(str(error)),
            "sign in first (`aws configure`, `aws sso login`, AWS_PROFILE), or use --env local",
        ) from error
    except botocore.exceptions.ParamValidationError as error:
        raise CloudError(
            "",
            type(error).__name__,
            _clause(str(error)),
            "correct that value where you gave it: an option, a gdk-config.json or the inventory",
            deed="ask the cloud",
        ) from error
    except botocore.exceptions.BotoCoreError as error:
        raise CloudError(
            "",
            type(error).__name__,
            _clause(str(error)),
            hint or "check the network; `./inv cloud --status` says whether the local cloud runs",
        ) from error


def _clause(text: str) -> str:
    """Return a message of the cloud as it fits into a sentence of ours."""
    text = " ".join(text.split()).rstrip(".")
    first, _, _ = text.partition(" ")
    return text if first.isupper() or not first.isalpha() else text[:1].lower() + text[1:]


@dataclass(frozen=True)
class Access:
    """How an account is reached; `endpoint` is None on AWS itself.

    `key` and `secret` are set for the local cloud only: on AWS the standard chain finds them.
    """

    region: str
    endpoint: str | None = None
    key: str | None = None
    secret: str | None = None
    profile: str | None = None


class Account:
    """An account in a region, local or not."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.region = access.region
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service; clients may be used from several threads."""
        if service not in self._clients:
            with explained():
                self._clients[service] = self._session.client(
                    service, endpoint_url=self.access.endpoint, config=self._config()
                )
        return self._clients[service]

    def _config(self) -> botocore.config.Config:
        local = self.access.endpoint is not None
        return botocore.config.Config(
            retries=_RETRIES,
            s3={"addressing_style": "path"} if local else {},
            # A proxy of the user's leads out, and the local cloud is in.
            proxies={} if local else None,
            max_pool_connections=16,
        )

    @functools.cached_property
    def _session(self) -> Any:
        if self.access.endpoint is None:
            return boto3.Session(region_name=self.region, profile_name=self.access.profile)
        # Neither profiles nor files of the user must reach the local cloud.
        core = botocore.session.Session(
            session_vars={
                "profile": (None, None, None, None),
                "config_file": (None, None, os.devnull, None),
                "credentials_file": (None, None, os.devnull, None),
            }
        )
        return boto3.Session(
            aws_access_key_id=self.access.key,
            aws_secret_access_key=self.access.secret,
            region_name=self.region,
            botocore_session=core,
        )

    @functools.cached_property
    def _identity(self) -> tuple[str, str]:
        with explained():
            answer = self.client("sts").get_caller_identity()
        return str(answer["Account"]), str(answer["Arn"]).split(":")[1]

    @property
    def id(self) -> str:
        """The twelve digits of the account."""
        return self._identity[0]

    @property
    def partition(self) -> str:
        """The first word of its ARNs, such as `aws`."""
        return self._identity[1]

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of something in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.id}:{resource}"
