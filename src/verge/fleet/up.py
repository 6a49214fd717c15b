"""The main job: from a checkout to objects detected on simulated devices, and back again."""

from __future__ import annotations

import functools
import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from verge.fleet import (
    build,
    bundle,
    controller,
    devices,
    errors,
    inventory,
    output,
    playbook,
    project,
    wheelhouse,
)

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


@dataclass
class UpResult:
    """What `bring_up` did and saw."""

    changes: list[str] = field(default_factory=list)
    """One line for each thing that was not as wanted before."""
    sightings: list[devices.Sighting] = field(default_factory=list)
    seconds: float = 0.0


def prepare_release(
    where: project.Project, fleet: inventory.Inventory, reporter: output.Reporter
) -> list[str]:
    """Build the components, the wheelhouse and the bundle; return what changed."""
    reporter.step("Building components")
    built = build.build_components(where, report=reporter.detail)
    changes = [f"built {result.name}" for result in built if result.outcome != "unchanged"]
    reporter.step("Preparing the wheelhouse")
    prepared = wheelhouse.build_wheelhouse(where, platforms_of(fleet), report=reporter.detail)
    changes += [f"prepared the wheelhouse for {item.platform}" for item in prepared if item.changed]
    reporter.step("Bundling the release")
    release = bundle.build_bundle(where, report=reporter.detail)
    changes += [f"released {name} {version}" for name, version in release.new_versions.items()]
    for device in fleet.devices.values():
        inventory.resolve_deployment(release, device)
    return changes


def platforms_of(fleet: inventory.Inventory) -> list[str]:
    """Return the wheelhouse platforms that the devices of the inventory need."""
    return sorted({device.platform for device in fleet.devices.values()})


def bring_up(where: project.Project, inventory_path: Path, reporter: output.Reporter) -> UpResult:
    """Bring the fleet of the inventory to its declared state and show it pictures.

    Raises FleetError at the first step that fails; what was done stays and is not repeated.
    """
    began = time.monotonic()
    fleet = inventory.load_inventory(where, inventory_path)
    result = UpResult()
    result.changes += controller.ensure_controller(where, inventory_path, reporter)
    result.changes += prepare_release(where, fleet, reporter)
    reporter.step(f"Bringing up {', '.join(fleet.devices)}")
    site = playbook.run_playbook(where, "site", inventory=inventory_path, reporter=reporter)
    result.changes += [f"{host}: {task}" for host, task in site.changes]
    reporter.step("Looking at pictures")
    result.sightings = show_pictures(where, list(fleet.devices.values()), sample_pictures(where))
    result.seconds = time.monotonic() - began
    return result


def sample_pictures(where: project.Project) -> list[Path]:
    """Return the pictures shipped with the repository."""
    return find_pictures(where.root / "pictures")


def find_pictures(path: Path) -> list[Path]:
    """Return the file itself, or the pictures of a directory in name order."""
    if not path.is_dir():
        return [path]
    found = sorted(item for item in path.iterdir() if item.suffix.lower() in PICTURE_SUFFIXES)
    if not found:
        raise errors.FleetError(f"cannot find a JPEG or PNG file in {path}", hint="name a picture")
    return found


def show_pictures(
    where: project.Project, targets: Sequence[inventory.Device], pictures: Sequence[Path]
) -> list[devices.Sighting]:
    """Return what each device sees on each picture; a picture it knows already is not repeated."""
    work = functools.partial(_show_on_device, where, pictures)
    sightings: list[devices.Sighting] = []
    for _, answer in devices.for_each(targets, work):
        if isinstance(answer, errors.FleetError):
            raise answer
        sightings += answer
    return sightings


def _show_on_device(
    where: project.Project, pictures: Sequence[Path], device: inventory.Device
) -> list[devices.Sighting]:
    known: dict[tuple[str, str], devices.Sighting] = {}
    for document in reversed(devices.read_results(where, device)):
        picture = document["picture"]
        name = Path(picture["path"]).name
        known[name, picture.get("sha256", "")] = devices.Sighting(device.name, name, document)
    sightings = []
    for picture in pictures:
        key = (picture.name, hashlib.sha256(picture.read_bytes()).hexdigest())
        if key in known:
            sightings.append(devices.fetch_annotated(where, device, known[key]))
        else:
            sightings.append(devices.drop_picture(where, device, picture))
    return sightings


def take_down(where: project.Project, inventory_path: Path, reporter: output.Reporter) -> list[str]:
    """Remove devices, images, networks, builds and fetched results; return what was removed."""
    reporter.step("Removing devices")
    result = playbook.run_playbook(where, "reset", inventory=inventory_path, reporter=reporter)
    builds = [folder / project.BUILD_NAME for folder in where.folders()]
    for stale in (where.results_dir, where.ssh_dir, *builds):
        shutil.rmtree(stale, ignore_errors=True)
    return [f"{host}: {task}" for host, task in result.changes]
