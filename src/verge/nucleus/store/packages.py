"""The component store: recipes and artifacts of the versions on the device.

Artifacts lie in immutable directories, one for each distinct content of a component. The paths
that recipes know, `packages/artifacts/<component>/<version>` and its unarchived twin, are links
to them. So a version whose content changes goes to a new directory and is swapped in one step,
going back needs nothing fetched, and no file in use is ever written over.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from verge.nucleus import errors, faults, logs, settings
from verge.nucleus.store import archive, composition, durable, state
from verge.recipe import model

log = logs.Logger("store")


class DiskSpaceError(errors.StoreError):
    """There is not enough room for the artifacts."""


class PackageStore:
    """Puts packages into the store, points the known paths at them and cleans up."""

    def __init__(self, configured: settings.Settings) -> None:
        self._settings = configured
        self._paths = configured.paths
        self._hashes: dict[tuple[int, ...], str] = {}
        self.bytes_copied = 0
        """How much has been copied into the store since the nucleus started."""

    def clear_staging(self) -> None:
        """Remove what an earlier nucleus had not finished."""
        for leftover in self._paths.staging.iterdir():
            durable.remove(leftover)

    # Finding

    def locate(
        self,
        component: str,
        version: str,
        artifacts: Sequence[model.Artifact],
        directory: Path | None,
        *,
        planned: bool = False,
    ) -> composition.Package:
        """Return the package of a version whose artifacts lie in a directory or in the store.

        `planned` is for a plan made before the artifacts have come: without a directory, those
        whose digest the recipe states may be missing.

        Raises MissingArtifactError if one is nowhere, StoreError if one cannot be used.
        """
        composition.check_names(component, version, artifacts)
        sources = [self._source(component, version, a, directory) for a in artifacts]
        package = composition.Package(component, version, tuple(sources))
        missing = [
            s.artifact.file_name
            for s in sources
            if s.file is None and not (planned and directory is None and s.sha256)
        ]
        if missing and not self.has(package.content):
            place = f"{component}/{version}/{missing[0]}"
            raise composition.MissingArtifactError(
                f"cannot find {missing[0]}, which the recipe of {component} {version} names: "
                + (f"put it at {directory / place}" if directory else f"deploy it with {place}")
                + (" below the artifact directory" if not directory else "")
            )
        return package

    def expect(
        self, component: str, version: str, artifacts: Sequence[model.Artifact]
    ) -> composition.Package:
        """Return the package of a version whose artifacts come from the cloud.

        Raises StoreError if one cannot be used, among others because no digest is stated for it.
        """
        composition.check_names(component, version, artifacts)
        sources: list[composition.Source] = []
        for artifact in artifacts:
            stated = composition.stated_digest(component, version, artifact)
            if not stated:
                raise composition.ChecksumError(
                    f"cannot verify {artifact.file_name} of {component} {version}: its recipe "
                    "states no Digest; publish the component again"
                )
            sources.append(composition.Source(artifact, None, stated))
        return composition.Package(component, version, tuple(sources))

    def has(self, content: str) -> bool:
        """Return whether the store holds a content."""
        return not content or (self._paths.contents / content).is_dir()

    def _source(
        self, component: str, version: str, artifact: model.Artifact, directory: Path | None
    ) -> composition.Source:
        stored = self._paths.artifacts(component, version) / artifact.file_name
        given = directory / component / version / artifact.file_name if directory else None
        file = next((path for path in (given, stored) if path and path.is_file()), None)
        stated = composition.stated_digest(component, version, artifact)
        if stated:
            return composition.Source(artifact, file, stated)
        if file is None:
            # Nothing to compare with, so only an identical name in the store could serve.
            return composition.Source(artifact, None, "")
        return composition.Source(artifact, file, self._hash(file))

    def _hash(self, file: Path) -> str:
        facts = file.stat()
        # The time of the last change is nobody's to set, as that of the content is.
        key = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        if key not in self._hashes:
            if len(self._hashes) > 1000:
                self._hashes.clear()
            with file.open("rb") as opened:
                self._hashes[key] = hashlib.file_digest(opened, "sha256").hexdigest()
        return self._hashes[key]

    # Storing

    def check_space(self, packages: Iterable[composition.Package]) -> None:
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
        used = durable.tree_size(self._paths.contents)
        if need + used > self._settings.store_limit:
            raise DiskSpaceError(
                f"cannot store the artifacts: with them the component store would hold "
                f"{need + used} bytes, more than componentStoreMaxSizeBytes "
                f"({self._settings.store_limit})"
            )

    def put(self, package: composition.Package) -> None:
        """Store a package, all of it or nothing. Raises StoreError."""
        if self.has(package.content):
            return
        staged = Path(tempfile.mkdtemp(dir=self._paths.staging))
        staged.chmod(0o755)
        try:
            files = self._fill(package, staged)
            durable.sync(files, staged)
            target = self._paths.contents / package.content
            target.parent.mkdir(mode=0o755, exist_ok=True)
            faults.write_point()
            staged.rename(target)
            faults.write_point()
            durable.sync_directory(target.parent)
        except OSError as error:
            raise errors.StoreError(
                f"cannot store {package.component} {package.version}: {error}"
            ) from error
        finally:
            if staged.exists():
                durable.remove(staged)

    def _fill(self, package: composition.Package, staged: Path) -> list[Path]:
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
                durable.point(known, f"{target}/{part}")
            elif known.is_symlink():
                known.unlink()
        recipe = self._paths.recipe(installed.name, installed.version)
        if durable.read(recipe) != installed.recipe_text:
            durable.write_atomically(recipe, installed.recipe_text, 0o600)

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
            for known in durable.grandchildren(self._paths.packages / parent):
                if (known.parent.name, known.name) not in versions:
                    durable.remove(known)
        for content in durable.grandchildren(self._paths.contents):
            if f"{content.parent.name}/{content.name}" not in contents:
                log.info("Artifacts removed", component=content.parent.name)
                durable.remove(content)
        for recipe in self._paths.recipes.iterdir():
            if recipe.name not in recipes:
                durable.remove(recipe)
        for parent in ("artifacts", "artifacts-unarchived", "contents"):
            for empty in (self._paths.packages / parent).iterdir():
                with contextlib.suppress(OSError):
                    empty.rmdir()


def _copy(source: composition.Source, target: Path, package: composition.Package) -> int:
    """Copy an artifact and verify it on the way, so what was verified is what is used.

    Return the number of bytes.
    """
    if source.file is None:
        raise composition.MissingArtifactError(
            f"cannot find {source.artifact.file_name} of {package.component} {package.version}"
        )
    digest = hashlib.sha256()
    size = 0
    with source.file.open("rb") as opened, target.open("xb") as file:
        while chunk := opened.read(archive.CHUNK):
            digest.update(chunk)
            size += file.write(chunk)
    if digest.hexdigest() != source.sha256:
        raise composition.ChecksumError(
            f"cannot use {source.file}: its SHA-256 is not the one in the recipe of "
            f"{package.component} {package.version}; build or copy it again"
        )
    return size


def _size(source: composition.Source) -> int:
    """Return how many bytes the store grows by for an artifact."""
    if source.file is None:
        return source.expected
    held = 0 if source.verified else source.file.stat().st_size
    zipped = source.artifact.unarchive is model.Unarchive.ZIP
    return held + (archive.unpacked_size(source.file) if zipped else 0)
