"""The component store: recipes and artifacts of the versions on the device.

Artifacts lie in immutable directories, one for each distinct content of a component. The paths
that recipes know, `packages/artifacts/<component>/<version>` and its unarchived twin, are links
to them. So a version whose content changes goes to a new directory and is swapped in one step,
going back needs nothing fetched, and no file in use is ever written over.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from verge.nucleus import errors, faults, logs, settings
from verge.nucleus.store import archive, state
from verge.recipe import model

SYNC_ALL_ABOVE = 64
"""Files above which one sync of the whole system is quicker than one for each file."""

log = logs.Logger("store")


class MissingArtifactError(errors.StoreError):
    """A recipe names an artifact that is nowhere to be found."""


class ChecksumError(errors.StoreError):
    """An artifact is not what its recipe says."""


class DiskSpaceError(errors.StoreError):
    """There is not enough room for the artifacts."""


@dataclass(frozen=True)
class Source:
    """An artifact and the file it comes from."""

    artifact: model.Artifact
    file: Path | None
    """None where the content is in the store already."""
    sha256: str
    """In lower-case hexadecimal digits."""
    expected: int = 0
    """Bytes that are yet to come, as far as they are known."""
    verified: bool = False
    """Whether the file was verified as it came and belongs to the store, which need not copy it."""


@dataclass(frozen=True)
class Package:
    """What a component version consists of, and under which name the store keeps it."""

    component: str
    version: str
    sources: tuple[Source, ...]

    @property
    def content(self) -> str:
        """Return the identity of the content, which is also its place below `contents`."""
        if not self.sources:
            return ""
        facts = sorted(
            (s.artifact.file_name, s.sha256, s.artifact.unarchive, s.artifact.permission.file_mode)
            for s in self.sources
        )
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return f"{self.component}/{digest[:32]}"


class PackageStore:
    """Puts packages into the store, points the known paths at them and cleans up."""

    def __init__(self, configured: settings.Settings) -> None:
        self._settings = configured
        self._paths = configured.paths
        self._hashes: dict[tuple[int, int, int, int], str] = {}
        self.bytes_copied = 0
        """How much has been copied into the store since the nucleus started."""

    def clear_staging(self) -> None:
        """Remove what an earlier nucleus had not finished."""
        for leftover in self._paths.staging.iterdir():
            _remove(leftover)

    # Finding

    def locate(
        self,
        component: str,
        version: str,
        artifacts: Sequence[model.Artifact],
        directory: Path | None,
        *,
        planned: bool = False,
    ) -> Package:
        """Return the package of a version whose artifacts lie in a directory or in the store.

        `planned` is for a plan made before the artifacts have come: without a directory, those
        whose digest the recipe states may be missing.

        Raises MissingArtifactError if one is nowhere, StoreError if one cannot be used.
        """
        _check_names(component, version, artifacts)
        sources = [self._source(component, version, a, directory) for a in artifacts]
        package = Package(component, version, tuple(sources))
        missing = [
            s.artifact.file_name
            for s in sources
            if s.file is None and not (planned and directory is None and s.sha256)
        ]
        if missing and not self.has(package.content):
            place = f"{component}/{version}/{missing[0]}"
            raise MissingArtifactError(
                f"cannot find {missing[0]}, which the recipe of {component} {version} names: "
                + (f"put it at {directory / place}" if directory else f"deploy it with {place}")
                + (" below the artifact directory" if not directory else "")
            )
        return package

    def expect(self, component: str, version: str, artifacts: Sequence[model.Artifact]) -> Package:
        """Return the package of a version whose artifacts come from the cloud.

        Raises StoreError if one cannot be used, among others because no digest is stated for it.
        """
        _check_names(component, version, artifacts)
        sources: list[Source] = []
        for artifact in artifacts:
            stated = _stated_digest(component, version, artifact)
            if not stated:
                raise ChecksumError(
                    f"cannot verify {artifact.file_name} of {component} {version}: its recipe "
                    "states no Digest; publish the component again"
                )
            sources.append(Source(artifact, None, stated))
        return Package(component, version, tuple(sources))

    def has(self, content: str) -> bool:
        """Return whether the store holds a content."""
        return not content or (self._paths.contents / content).is_dir()

    def _source(
        self, component: str, version: str, artifact: model.Artifact, directory: Path | None
    ) -> Source:
        stored = self._paths.artifacts(component, version) / artifact.file_name
        given = directory / component / version / artifact.file_name if directory else None
        file = next((path for path in (given, stored) if path and path.is_file()), None)
        stated = _stated_digest(component, version, artifact)
        if stated:
            return Source(artifact, file, stated)
        if file is None:
            # Nothing to compare with, so only an identical name in the store could serve.
            return Source(artifact, None, "")
        return Source(artifact, file, self._hash(file))

    def _hash(self, file: Path) -> str:
        facts = file.stat()
        key = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
        if key not in self._hashes:
            if len(self._hashes) > 1000:
                self._hashes.clear()
            with file.open("rb") as opened:
                self._hashes[key] = hashlib.file_digest(opened, "sha256").hexdigest()
        return self._hashes[key]

    # Storing

    def check_space(self, packages: Iterable[Package]) -> None:
        """Make sure that the packages fit. Raises DiskSpaceError, saying what is missing."""
        need = sum(_size(s) for p in packages if not self.has(p.content) for s in p.sources)
        if not need:
            return
        free = shutil.disk_usage(self._paths.packages).free
        if need + self._settings.minimum_free_disk > free:
            raise DiskSpaceError(
                f"cannot store the artifacts below {self._paths.packages}: they need {need} bytes "
                f"with {self._settings.minimum_free_disk} to spare, and {free} are free; make room "
                "and deploy again"
            )
        used = _tree_size(self._paths.contents)
        if need + used > self._settings.store_limit:
            raise DiskSpaceError(
                f"cannot store the artifacts: with them the component store would hold "
                f"{need + used} bytes, more than componentStoreMaxSizeBytes "
                f"({self._settings.store_limit})"
            )

    def put(self, package: Package) -> None:
        """Store a package, all of it or nothing. Raises StoreError."""
        if self.has(package.content):
            return
        staged = Path(tempfile.mkdtemp(dir=self._paths.staging))
        staged.chmod(0o755)
        try:
            files = self._fill(package, staged)
            _sync(files, staged)
            target = self._paths.contents / package.content
            target.parent.mkdir(mode=0o755, exist_ok=True)
            faults.write_point()
            staged.rename(target)
            faults.write_point()
            _sync_directory(target.parent)
        except OSError as error:
            raise errors.StoreError(
                f"cannot store {package.component} {package.version}: {error}"
            ) from error
        finally:
            if staged.exists():
                _remove(staged)

    def _fill(self, package: Package, staged: Path) -> list[Path]:
        artifacts, unarchived = staged / "artifacts", staged / "unarchived"
        for directory in (artifacts, unarchived):
            directory.mkdir(mode=0o755)
            directory.chmod(0o755)
        files: list[Path] = []
        for source in package.sources:
            file = artifacts / source.artifact.file_name
            faults.write_point()
            if source.verified and source.file:
                os.link(source.file, file)
            else:
                self.bytes_copied += _copy(source, file, package)
            files.append(file)
            if source.artifact.unarchive is model.Unarchive.ZIP:
                room = shutil.disk_usage(staged).free - self._settings.minimum_free_disk
                target = unarchived / source.artifact.archive_stem
                files += archive.unpack(
                    file, target, source.artifact.permission, min(room, self._settings.store_limit)
                )
            file.chmod(source.artifact.permission.file_mode)
        return files

    # Pointing the known paths at the store

    def link(self, installed: state.Installed) -> None:
        """Make the paths and the recipe file of a component version say what is installed."""
        target = f"../../contents/{installed.content}"
        for known, part in (
            (self._paths.artifacts(installed.name, installed.version), "artifacts"),
            (self._paths.unarchived(installed.name, installed.version), "unarchived"),
        ):
            if installed.content:
                _point(known, f"{target}/{part}")
            elif known.is_symlink():
                known.unlink()
        recipe = self._paths.recipe(installed.name, installed.version)
        if _read(recipe) != installed.recipe_text:
            write_atomically(recipe, installed.recipe_text, 0o600)

    def is_linked(self, component: str, version: str) -> bool:
        """Return whether the known path of a version points at some content."""
        return self._paths.artifacts(component, version).is_symlink()

    # Cleaning up

    def keep_only(self, kept: Collection[tuple[str, str, str]]) -> None:
        """Remove every version and content but these (component, version, content)."""
        contents = {content for _, _, content in kept if content}
        versions = {(component, version) for component, version, _ in kept}
        recipes = {self._paths.recipe(component, version).name for component, version in versions}
        for parent in ("artifacts", "artifacts-unarchived"):
            for known in _grandchildren(self._paths.packages / parent):
                if (known.parent.name, known.name) not in versions:
                    _remove(known)
        for content in _grandchildren(self._paths.contents):
            if f"{content.parent.name}/{content.name}" not in contents:
                log.info("Artifacts removed", component=content.parent.name)
                _remove(content)
        for recipe in self._paths.recipes.iterdir():
            if recipe.name not in recipes:
                _remove(recipe)
        for parent in ("artifacts", "artifacts-unarchived", "contents"):
            for empty in (self._paths.packages / parent).iterdir():
                with contextlib.suppress(OSError):
                    empty.rmdir()


def write_atomically(file: Path, text: str, mode: int, group: int | None = None) -> None:
    """Replace a file's content in one step; its group is one's own, or the given one.

    Raises PermissionError, having changed nothing, if files cannot be given to the group.
    """
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".")
    with open(handle, "w", encoding="utf-8") as opened:  # noqa: PTH123 - a descriptor
        if group is not None:
            try:
                os.fchown(handle, -1, group)
            except PermissionError:
                Path(name).unlink()
                raise
        opened.write(text)
        os.fchmod(handle, mode)
        opened.flush()
        os.fsync(handle)
    faults.write_point()
    Path(name).replace(file)
    faults.write_point()


def _check_names(component: str, version: str, artifacts: Sequence[model.Artifact]) -> None:
    names: set[str] = set()
    for artifact in artifacts:
        _check_name(component, version, artifact)
        if artifact.file_name in names:
            raise errors.StoreError(
                f"cannot use {component} {version}: two artifacts have the file name "
                f"{artifact.file_name}; rename one"
            )
        names.add(artifact.file_name)


def _check_name(component: str, version: str, artifact: model.Artifact) -> None:
    name = artifact.file_name
    if artifact.scheme not in {"s3", "greengrass"}:
        raise errors.StoreError(
            f"cannot use {component} {version}: the scheme of its artifact {artifact.uri} is not "
            "supported here; use s3: or greengrass:"
        )
    if name in {"", ".", ".."} or "\0" in name:
        raise errors.StoreError(
            f"cannot use {component} {version}: its artifact {artifact.uri} has no file name"
        )


def _stated_digest(component: str, version: str, artifact: model.Artifact) -> str:
    if not artifact.digest:
        return ""
    algorithm = (artifact.algorithm or "SHA-256").upper().replace("-", "")
    if algorithm != "SHA256":
        raise ChecksumError(
            f"cannot verify {artifact.file_name} of {component} {version}: the algorithm "
            f"{artifact.algorithm} is unknown, use SHA-256"
        )
    try:
        digest = base64.b64decode(artifact.digest, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise ChecksumError(
            f"cannot verify {artifact.file_name} of {component} {version}: its Digest is no "
            "SHA-256 in base64"
        )
    return digest.hex()


def _copy(source: Source, target: Path, package: Package) -> int:
    """Copy an artifact and verify it on the way, so what was verified is what is used.

    Return the number of bytes.
    """
    if source.file is None:
        raise MissingArtifactError(
            f"cannot find {source.artifact.file_name} of {package.component} {package.version}"
        )
    digest = hashlib.sha256()
    size = 0
    with source.file.open("rb") as opened, target.open("xb") as file:
        while chunk := opened.read(archive.CHUNK):
            digest.update(chunk)
            size += file.write(chunk)
    if digest.hexdigest() != source.sha256:
        raise ChecksumError(
            f"cannot use {source.file}: its SHA-256 is not the one in the recipe of "
            f"{package.component} {package.version}; build or copy it again"
        )
    return size


def _size(source: Source) -> int:
    """Return how many bytes the store grows by for an artifact."""
    if source.file is None:
        return source.expected
    held = 0 if source.verified else source.file.stat().st_size
    zipped = source.artifact.unarchive is model.Unarchive.ZIP
    return held + (archive.unpacked_size(source.file) if zipped else 0)


def _tree_size(top: Path) -> int:
    return sum(
        os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_size
        for _, _, files, descriptor in os.fwalk(top)
        for name in files
    )


def _sync(files: Sequence[Path], top: Path) -> None:
    if len(files) > SYNC_ALL_ABOVE:
        os.sync()
        return
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    for directory, _, _ in os.walk(top):
        _sync_directory(Path(directory))


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _point(link: Path, target: str) -> None:
    """Make a path a link to a target, in one step even where it points elsewhere now."""
    if link.is_symlink() and os.readlink(link) == target:  # noqa: PTH115 - compared as text
        return
    link.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if link.is_dir() and not link.is_symlink():
        _remove(link)
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    faults.write_point()
    fresh.replace(link)
    faults.write_point()


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _grandchildren(top: Path) -> list[Path]:
    return [path for child in top.iterdir() if child.is_dir() for path in child.iterdir()]


def _remove(path: Path) -> None:
    faults.write_point()
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
