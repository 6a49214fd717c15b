"""Publish components: artifacts into a bucket, recipes into the cloud, versions from content.

What a version was published with stands in a tag, so that a component is published again only when
its content differs from that of the newest version. Greengrass contract 5.4 and 6.5.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from verge.fleet import (
    artifacts,
    aws,
    build,
    bundle,
    files,
    gdk,
    output,
    published,
    recipes,
    registry,
    releases,
    uploads,
)
from verge.fleet.errors import FleetError
from verge.fleet.project import Project
from verge.recipe import model

PUBLISHED = "published"
UNCHANGED = "unchanged"
PLANNED = "planned"

_ATTEMPTS = 5
"""How often somebody else may publish the same component at the same time."""


@dataclass(frozen=True)
class Publication:
    """What became of one component, or would become of it in a dry run."""

    component: str
    version: str
    outcome: str
    """`published`, `unchanged` or `planned`."""
    new_bucket: str | None = None
    """The bucket that was or would be made for it."""
    uploads: tuple[uploads.Upload, ...] = ()
    """What was or would be sent."""


def publish_components(
    where: Project,
    account: aws.Account,
    names: Iterable[str] = (),
    *,
    bucket: str = "",
    dry_run: bool = False,
    reporter: output.Reporter,
) -> list[Publication]:
    """Build and publish the components named (none named: all) and return one result each.

    `bucket` is used as it is given; without it, artifacts go to
    `<publish.bucket>-<region>-<account>`. Repeating a command that was interrupted goes on where it
    stopped. Raises FleetError at the first component that cannot be published.
    """
    with files.held(where.build_dir, "publish", reporter.detail):
        results = build.run_build(where, names, report=reporter.detail)
        run = _Run(where, account, bucket, dry_run=dry_run, reporter=reporter)
        configs = {config.name: config for config in build.load_configs(where)}
        return [run.component(configs[result.name], result) for result in results]


@dataclass(frozen=True)
class _Decision:
    """The version that stands for a build, and whether the cloud has it."""

    version: str
    is_published: bool
    failed: bool = False
    """A version of that number was refused by the cloud and is in the way."""


class _Run:
    """One publishing under the lock of the builds."""

    def __init__(
        self,
        where: Project,
        account: aws.Account,
        bucket: str,
        *,
        dry_run: bool,
        reporter: output.Reporter,
    ) -> None:
        self.where = where
        self.account = account
        self.bucket = bucket
        self.dry_run = dry_run
        self.reporter = reporter
        self.registry = registry.Registry(account)
        self.memory = releases.Releases(where)
        self.checked_buckets: set[str] = set()

    def component(self, config: gdk.Config, result: build.BuildResult) -> Publication:
        """Publish one component if it has to be."""
        for _ in range(_ATTEMPTS):
            decision = self._decide(config, result)
            if decision.is_published:
                return Publication(config.name, decision.version, UNCHANGED)
            bucket = self._bucket(config, result)
            new_bucket = bucket.name if bucket and self._lacks(bucket) else None
            missing = tuple(self._missing(bucket, config, result, decision, new_bucket))
            if self.dry_run:
                return Publication(config.name, decision.version, PLANNED, new_bucket, missing)
            # Remembered first: a version that was given out must never get other content.
            self.memory.save()
            self._send(bucket, new_bucket, missing)
            if self._register(config, result, decision, bucket):
                return Publication(config.name, decision.version, PUBLISHED, new_bucket, missing)
        raise FleetError(
            f"cannot publish {config.name}: others publish it at the same time, again and again",
            "wait for them and repeat the command",
        )

    def _decide(self, config: gdk.Config, result: build.BuildResult) -> _Decision:
        content = bundle.content_of(result)
        known = self.registry.versions(config.name)
        fixed = config.version != gdk.NEXT_PATCH
        newest = config.version if fixed else published.newest(known)
        found = self.registry.describe(config.name, newest) if newest else None
        if found is not None and self._is_same(found, config, result, content):
            if not self.dry_run:
                found = self.registry.wait(found.name, found.version)
            if found.state != registry.FAILED:
                return _Decision(found.version, is_published=True)
            return _Decision(found.version, is_published=False, failed=True)
        if found is not None and fixed:
            raise FleetError(
                f"cannot publish {config.name} {config.version}: it is published already, with "
                "other content",
                f"raise the version in {config.place}, or set it to {gdk.NEXT_PATCH}",
            )
        above = newest if found is not None else None
        return _Decision(self.memory.assign(config, content, above), is_published=False)

    def _is_same(
        self,
        found: registry.Version,
        config: gdk.Config,
        result: build.BuildResult,
        content: str,
    ) -> bool:
        if found.content is not None:
            return found.content == content
        theirs = self.registry.recipe(found.name, found.version)
        source = self._source(config, result)
        return published.is_same(theirs, source, found.version, _digests(result))

    def _source(self, config: gdk.Config, result: build.BuildResult) -> recipes.Source:
        path = result.recipe.path
        return recipes.read_source(path, self.where.relative(path), config)

    def _bucket(self, config: gdk.Config, result: build.BuildResult) -> artifacts.Bucket | None:
        """Return where the artifacts go; a component that is only a recipe needs no bucket."""
        if not result.artifacts:
            return None
        if not self.bucket and not config.bucket:
            raise FleetError(
                f"{config.place}: component/{config.name}/publish/bucket: is missing",
                "name a bucket there, or give --bucket",
            )
        name = self.bucket or f"{config.bucket}-{self.account.region}-{self.account.id}"
        return artifacts.Bucket(self.where, self.account, name)

    def _lacks(self, bucket: artifacts.Bucket) -> bool:
        if bucket.name in self.checked_buckets:
            return False
        lacking = not bucket.exists()
        self.checked_buckets.add(bucket.name)
        return lacking

    def _missing(
        self,
        bucket: artifacts.Bucket | None,
        config: gdk.Config,
        result: build.BuildResult,
        decision: _Decision,
        new_bucket: str | None,
    ) -> Iterator[uploads.Upload]:
        if bucket is None:
            return
        for item in result.artifacts:
            with files.explained("read", item.path):
                size = item.path.stat().st_size
            upload = uploads.Upload(
                path=item.path,
                sha256=item.sha256,
                size=size,
                bucket=bucket.name,
                key=f"{config.name}/{decision.version}/{item.path.name}",
                options=config.upload_options,
            )
            if new_bucket or not bucket.holds(upload):
                yield upload

    def _send(
        self,
        bucket: artifacts.Bucket | None,
        new_bucket: str | None,
        wanted: Iterable[uploads.Upload],
    ) -> None:
        if bucket is None:
            return
        if new_bucket:
            self.reporter.detail(f"Making bucket {new_bucket}")
            bucket.create()
        for upload in wanted:
            self.reporter.detail(f"Uploading {upload.uri} ({upload.size / 1e6:,.1f} MB)")
            bucket.send(upload, self.reporter.now)
            self.reporter.clear()

    def _register(
        self,
        config: gdk.Config,
        result: build.BuildResult,
        decision: _Decision,
        bucket: artifacts.Bucket | None,
    ) -> bool:
        """Create the version; False if somebody else was first and the decision is void."""
        name, version = config.name, decision.version
        self.reporter.detail(f"Publishing {name} {version}")
        text = recipes.publication(
            self._source(config, result),
            config,
            version,
            bucket.name if bucket else "",
            {item.path.name for item in result.artifacts},
        )
        if decision.failed:
            self.registry.delete(name, version)
        try:
            self.registry.create(text, bundle.content_of(result))
        except aws.CloudError as error:
            if error.conflict:
                return False
            raise FleetError(
                f"cannot publish {name} {version}: {error.reason} ({error.code})",
                f"mend {self.where.relative(config.folder)} and repeat the command",
            ) from error
        found = self.registry.wait(name, version)
        if found.state == registry.FAILED:
            raise _refused(found, self.where.relative(config.folder))
        if published.has_digests(self.registry.recipe(name, version), _digests(result)):
            return True
        # Somebody else's artifact took the place of ours before the cloud read it.
        self.registry.delete(name, version)
        return False


def read_recipes(where: Project, publications: Iterable[Publication]) -> dict[str, model.Recipe]:
    """Return the recipes that were published, with their versions, by component."""
    configs = {config.name: config for config in build.load_configs(where)}
    found = {}
    for item in publications:
        source = recipes.load_source(where, configs[item.component])
        found[item.component] = msgspec.structs.replace(source.recipe, version=item.version)
    return found


def _refused(found: registry.Version, folder: str) -> FleetError:
    lines = [f"cannot publish {found.name} {found.version}: {found.message or 'the cloud failed'}"]
    lines += [f"  {place}: {reason}" for place, reason in sorted(found.problems.items())]
    return FleetError("\n".join(lines), f"mend {folder} and repeat the command")


def _digests(result: build.BuildResult) -> dict[str, str]:
    """Return the digests of the artifacts as recipes state them: base64, by file name."""
    return {
        item.path.name: base64.b64encode(bytes.fromhex(item.sha256)).decode()
        for item in result.artifacts
    }


def describe(items: Iterable[Publication]) -> list[dict[str, Any]]:
    """Return publications as one plain document."""
    return [
        {
            "component": item.component,
            "version": item.version,
            "outcome": item.outcome,
            "newBucket": item.new_bucket,
            "uploads": [
                {"file": str(upload.path), "uri": upload.uri, "size": upload.size}
                for upload in item.uploads
            ],
        }
        for item in items
    ]
