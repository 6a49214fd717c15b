"""Secrets on the device: one file each, read by the nucleus, written by the command line.

A file is readable by the nucleus's user alone (mode 0600 in a directory 0700) and not encrypted:
the key would have to lie beside it. Whoever becomes root on the device, or takes its disk, has
the secrets; encrypt the disk if that matters. Every read sees a whole version, the former or the
new one, because files are replaced in one step.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import string
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from verge.nucleus import errors
from verge.nucleus.store import durable

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
MAX_BYTES = 65_536
"""The longest value, as AWS Secrets Manager has it."""

ACCOUNT = "000000000000"
"""The account in names of secrets that no cloud knows."""

_NAME = re.compile(r"[a-zA-Z0-9/_+=.@-]{1,512}")
_SUFFIX = string.ascii_letters + string.digits
_SUFFIX_LENGTH = 6


class SecretError(errors.NucleusError):
    """A secret cannot be kept, found or read."""


class Version(msgspec.Struct):
    """One value of a secret: either text or bytes."""

    id: str
    stages: list[str]
    text: str | None = None
    binary: bytes | None = None


class Secret(msgspec.Struct):
    """One secret and its versions, newest first."""

    name: str
    arn: str
    versions: list[Version]

    def find(self, version: str | None, stage: str | None) -> Version | None:
        """Return the version of an id or of a stage, by default the current one."""
        if version:
            return next((each for each in self.versions if each.id == version), None)
        wanted = stage or CURRENT
        return next((each for each in self.versions if wanted in each.stages), None)


class SecretFiles:
    """The secrets of one nucleus root."""

    def __init__(self, directory: Path, region: str = "") -> None:
        self._directory = directory
        self._region = region or "local"

    def find(self, wanted: str) -> Secret | None:
        """Return a secret by its name or ARN, or None. Raises SecretError.

        An ARN may lack the random characters at its end.
        """
        name = _name_in(wanted)
        for candidate in {name, name[: -_SUFFIX_LENGTH - 1]}:
            found = self._read(self._file(candidate))
            if found and wanted in {found.name, found.arn, found.arn[: -_SUFFIX_LENGTH - 1]}:
                return found
        return None

    def list(self) -> Sequence[Secret]:
        """Return all secrets in name order. Raises SecretError."""
        with _explained(self._directory):
            files = [*self._directory.glob("*.json")] if self._directory.is_dir() else []
        found = [secret for file in files if (secret := self._read(file))]
        return sorted(found, key=lambda secret: secret.name)

    def put(
        self, name: str, value: str | bytes, *, stages: Sequence[str] = (), arn: str = ""
    ) -> Version:
        """Keep a new current version and return it; the former one becomes the previous.

        Further stages move to the new version. Versions without a stage go. Raises SecretError.
        """
        _check(name, value)
        with self._locked():
            present = self._read(self._file(name)) or Secret(name, arn or self._make_arn(name), [])
            version = Version(id=str(uuid.uuid4()), stages=[CURRENT, *stages])
            if isinstance(value, str):
                version.text = value
            else:
                version.binary = value
            versions = [version, *_make_way(present.versions, stages)]
            self._write(Secret(name, arn or present.arn, versions))
        return version

    def remove(self, wanted: str) -> None:
        """Forget a secret, by its name or ARN. Raises SecretError."""
        with self._locked():
            found = self.find(wanted)
            if found is None:
                raise SecretError(f"cannot remove secret {wanted}: there is none of that name")
            with _explained(self._directory):
                self._file(found.name).unlink()

    def _file(self, name: str) -> Path:
        return self._directory / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"

    def _make_arn(self, name: str) -> str:
        suffix = "".join(secrets.choice(_SUFFIX) for _ in range(_SUFFIX_LENGTH))
        return f"arn:aws:secretsmanager:{self._region}:{ACCOUNT}:secret:{name}-{suffix}"

    def _read(self, file: Path) -> Secret | None:
        try:
            return msgspec.json.decode(file.read_bytes(), type=Secret)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SecretError(f"cannot read {file}: {error.strerror}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # The reason is left out: it could quote the content.
            raise SecretError(f"cannot read {file}: it is damaged; put the secret again") from None

    def _write(self, secret: Secret) -> None:
        with _explained(self._directory):
            text = msgspec.json.encode(secret).decode()
            durable.write_atomically(self._file(secret.name), text, 0o600)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with _explained(self._directory):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _make_way(versions: Sequence[Version], stages: Sequence[str]) -> list[Version]:
    """Return the former versions, less what the new current one takes from them."""
    taken = {CURRENT, PREVIOUS, *stages}
    kept = []
    for version in versions:
        was_current = CURRENT in version.stages
        version.stages = [stage for stage in version.stages if stage not in taken]
        if was_current:
            version.stages.insert(0, PREVIOUS)
        if version.stages:
            kept.append(version)
    return kept


def _check(name: str, value: str | bytes) -> None:
    if not _NAME.fullmatch(name):
        raise SecretError(
            f"cannot keep secret {name!r}: a name has 1 to 512 letters, digits or /_+=.@-"
        )
    size = len(value.encode() if isinstance(value, str) else value)
    if not 0 < size <= MAX_BYTES:
        raise SecretError(
            f"cannot keep secret {name}: its value has {size} bytes, it must have 1 to {MAX_BYTES}"
        )


def _name_in(wanted: str) -> str:
    """Return the name in an ARN, with its random end, or the name itself."""
    return wanted.split(":", 6)[-1] if wanted.startswith("arn:") else wanted


@contextlib.contextmanager
def _explained(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SecretError(
            f"cannot use the secrets in {directory}: {error.strerror}; run this as the nucleus's "
            "user"
        ) from error
