"""Print the answers of the verbs: tables for people, one JSON document for machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verge.fleet import errors, output

if TYPE_CHECKING:
    from verge.fleet import (
        build,
        bundle,
        cloud_process,
        devices,
        models,
        operations,
        playbook,
        publish,
        up,
        validate,
        wheelhouse,
    )

_OUTCOMES = {"published": "published", "unchanged": "unchanged", "planned": "would be published"}

_NEXT_STEPS = (
    ("./inv drop PICTURE", "see what the devices find in a picture of yours"),
    ("./inv status", "what runs where"),
    ("./inv logs verge.OnnxObjectDetection --device press-01 --follow", "watch the detector"),
    ("./inv publish --dry-run", "which components would get a new version"),
    ("./inv cloud --status", "where the local cloud is reached"),
    ("./inv destroy", "remove the devices again"),
)


def print_up(result: up.UpResult) -> None:
    """Print what was seen, where the annotated pictures are and what to try next."""
    print_sightings(result.sightings)
    annotated = [str(item.annotated) for item in result.sightings if item.annotated]
    if annotated:
        print(
            f"\nAnnotated pictures: {annotated[0]}"
            + (f" and {len(annotated) - 1} more" * (len(annotated) > 1))
        )
    if result.changes:
        print(f"\n{_count(result.changes, 'change')} in {result.seconds:.1f} s.")
    else:
        print(f"\nNothing to change: everything is as declared ({result.seconds:.1f} s).")
    print("\nWhat to try next:")
    width = max(len(command) for command, _ in _NEXT_STEPS)
    for command, purpose in _NEXT_STEPS:
        print(f"  {command:<{width}}  {purpose}")


def print_sightings(sightings: Sequence[devices.Sighting], as_json: bool = False) -> None:
    """Print a row for each detection, or for each picture without one."""
    if as_json:
        output.print_json(
            [
                {
                    "device": item.device,
                    "picture": item.picture,
                    "seconds": item.seconds,
                    "annotated": str(item.annotated) if item.annotated else None,
                    "result": item.document,
                }
                for item in sightings
            ]
        )
        return
    rows = [row for item in sightings for row in _sighting_rows(item)]
    output.print_table(
        ["device", "picture", "found", "score", "box (x1, y1, x2, y2)", "took"], rows
    )


def _sighting_rows(item: devices.Sighting) -> Iterable[tuple[str, ...]]:
    document = item.document
    if "reason" in document:
        yield item.device, item.picture, f"rejected: {document['reason']}", "", "", ""
        return
    took = f"{document['timings_ms']['total']:.0f} ms"
    for number, found in enumerate(document["detections"]):
        box = ", ".join(f"{value:.0f}" for value in found["box"])
        shown = (item.device, item.picture) if number == 0 else ("", "")
        yield *shown, found["label"], f"{found['score']:.2f}", box, took if number == 0 else ""
    if not document["detections"]:
        yield item.device, item.picture, "nothing", "", "", took


def print_changes(changes: Sequence[str], done: str) -> None:
    """Print how many things were done."""
    print(f"{_count(changes, 'thing')} {done}." if changes else f"Nothing to be {done}.")


def print_builds(results: Sequence[build.BuildResult], as_json: bool = False) -> None:
    """Print what was built."""
    if as_json:
        output.print_json([_plain(dataclasses.asdict(result)) for result in results])
        return
    built = [result.name for result in results if result.outcome != "unchanged"]
    if built:
        print(f"Built {', '.join(built)}; {len(results) - len(built)} unchanged.")
    else:
        print(f"Nothing to build: {_count(results, 'component')} unchanged.")


def print_created(folder: Path) -> None:
    """Print where a new component lies and what comes next."""
    print(f"Created {folder}")
    print(f"{output.TIP} ./inv build {folder.name} builds it; its README says what to change")


def print_findings(findings: Sequence[validate.Finding], as_json: bool = False) -> None:
    """Print what is wrong. Raises FleetError if any finding is an error."""
    wrong = [item for item in findings if item.severity == "error"]
    if as_json:
        output.print_json([_plain(dataclasses.asdict(item)) for item in findings])
    else:
        for item in findings:
            print(item)
    if wrong:
        raise errors.FleetError(
            f"{_count(wrong, 'error')} in components/", hint="mend the places named above"
        )
    if not as_json:
        print(f"All components are valid; {_count(findings, 'warning')}.")


def print_model_check(result: models.ModelCheck, as_json: bool = False) -> None:
    """Print what a model found. Raises FleetError if it misses what its card promises."""
    if as_json:
        output.print_json(dataclasses.asdict(result))
    else:
        print(f"{result.model['name']} {result.model['version']}, read as {result.model['family']}")
        rows = [row for item in result.pictures for row in _finding_rows(item)]
        output.print_table(["picture", "found", "score", "box (x1, y1, x2, y2)", "took"], rows)
        print("Boxes drawn: " + ", ".join(item["annotated"] for item in result.pictures))
    if result.missed:
        raise errors.FleetError(
            f"{result.card}: {'; '.join(result.missed)}",
            hint="correct input, output or golden of the card; docs/how-to/bring-your-own-model.md "
            "says what to look for",
        )


def _finding_rows(item: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    took = f"{sum(item['timings_ms'].values()):.0f} ms"
    for number, found in enumerate(item["detections"]):
        box = ", ".join(f"{value:.0f}" for value in found["box"])
        shown, time = (item["picture"], took) if number == 0 else ("", "")
        yield shown, found["label"], f"{found['score']:.2f}", box, time
    if not item["detections"]:
        yield item["picture"], "nothing", "", "", took


def print_names(names: Sequence[str], as_json: bool = False) -> None:
    """Print one name a line."""
    if as_json:
        output.print_json(list(names))
    else:
        print("\n".join(names) if names else "Nothing changed.")


def print_wheelhouses(results: Sequence[wheelhouse.Wheelhouse]) -> None:
    """Print what lies in each wheelhouse."""
    rows = [
        (
            item.platform,
            str(item.wheels),
            f"{item.size / 1e6:.0f} MB",
            "prepared" if item.changed else "unchanged",
            str(item.path),
        )
        for item in results
    ]
    output.print_table(["platform", "wheels", "size", "", "folder"], rows)


def print_bundle(release: bundle.Bundle, as_json: bool = False) -> None:
    """Print the components of a bundle."""
    if as_json:
        output.print_json(release.document)
        return
    rows = [
        (name, item["version"], "new" if name in release.new_versions else "unchanged")
        for name, item in sorted(release.document["components"].items())
    ]
    output.print_table(["component", "version", ""], rows)
    print(f"Bundle: {release.path}")


def print_publications(results: Sequence[publish.Publication], as_json: bool = False) -> None:
    """Print the version of each component, and what a dry run would send."""
    from verge.fleet import publish

    if as_json:
        output.print_json(publish.describe(results))
        return
    output.print_table(
        ["component", "version", ""],
        [(item.component, item.version, _OUTCOMES[item.outcome]) for item in results],
    )
    planned = [item for item in results if item.outcome == publish.PLANNED]
    for bucket in dict.fromkeys(item.new_bucket for item in planned if item.new_bucket):
        print(f"would make bucket {bucket}")
    for upload in (upload for item in planned for upload in item.uploads):
        print(f"would upload {upload.uri} ({upload.size / 1e6:,.1f} MB)")
    if planned:
        print("This was a dry run: nothing was changed.")


def print_cloud(status: cloud_process.Status, as_json: bool = False) -> None:
    """Print where the local cloud is reached. Raises FleetError if it does not run."""
    from verge.fleet import cloud_process

    if as_json:
        output.print_json(cloud_process.describe(status))
    elif status.running and status.endpoints:
        found = status.endpoints
        print(f"The local cloud runs as process {found.pid}.")
        print(f"  API       {found.api}   (account {found.account}, {found.region})")
        print(f"  page      {found.api}/_console   (devices and deployments, for a browser)")
        for address in found.device_addresses:
            print(
                f"  devices   https {address}:{found.device_port}, mqtt {address}:{found.mqtt_port}"
            )
        print(
            f'{output.TIP} eval "$(./inv cloud --env-vars)" leads boto3, the AWS CLI and GDK to it'
        )
    if not status.running:
        raise errors.FleetError(
            f"the local cloud is not at hand: {status.reason}", "`./inv cloud` starts it"
        )


def print_playbook(result: playbook.PlaybookResult, *, check: bool = False) -> None:
    """Print what was or would be deployed, then one line a device."""
    rows = [
        (host, item["component"], item["action"], item.get("path") or "", _shown_change(item))
        for host, changes in result.deployments.items()
        for item in changes
    ]
    if rows:
        output.print_table(["device", "component", "would" if check else "did", "where", ""], rows)
    for host, summary in result.hosts.items():
        print(f"{host}  {summary.changed} changed" if summary.changed else f"{host}  unchanged")
    if check:
        print("This was a check: nothing was changed.")


def _shown_change(item: Mapping[str, Any]) -> str:
    before, after = item.get("before"), item.get("after")
    if before is None or after is None:
        return str(after if before is None else before)
    return f"{before} → {after}"


def print_status(statuses: Sequence[operations.DeviceStatus], as_json: bool = False) -> None:
    """Print what runs where. Raises FleetError if a device is not healthy."""
    if as_json:
        output.print_json(
            {
                item.device: {**dataclasses.asdict(item), "healthy": item.healthy}
                for item in statuses
            }
        )
    else:
        rows = [row for item in statuses for row in _status_rows(item)]
        output.print_table(["device", "component", "version", "state", "why"], rows)
        for item in statuses:
            for component, lines in item.logs.items():
                print(f"\n{item.device}: last lines of {component}:")
                print("\n".join(f"  {line}" for line in lines))
    sick = [item.device for item in statuses if not item.healthy]
    if sick:
        raise errors.FleetError(
            f"{len(sick)} of {len(statuses)} devices are not healthy: {', '.join(sick)}",
            hint="./inv logs COMPONENT --device DEVICE shows more; ./inv up repairs local devices",
        )


def _status_rows(item: operations.DeviceStatus) -> Iterable[tuple[str, ...]]:
    if item.error:
        yield item.device, "", "", "UNKNOWN", item.error
    for number, component in enumerate(item.components):
        yield (
            item.device if number == 0 else "",
            component["name"],
            component["version"],
            component["state"],
            component.get("status_reason") or "",
        )
    if not item.error and not item.components:
        yield item.device, "", "", "EMPTY", "nothing is deployed; ./inv deploy"


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
