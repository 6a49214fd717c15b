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
    aws,
    build,
    bundle,
    capture_places,
    cloud_process,
    controller,
    deploy,
    devices,
    environments,
    errors,
    files,
    inventory,
    network,
    nuclei,
    output,
    playbook,
    project,
    publish,
    targets,
    verify,
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
    changes = prepare_wheels(where, fleet, reporter)
    reporter.step("Bundling the release")
    release = bundle.build_bundle(where, report=reporter.detail)
    changes += [f"released {name} {version}" for name, version in release.new_versions.items()]
    for device in fleet.devices.values():
        inventory.resolve_deployment(release, device)
    return changes


def prepare_wheels(
    where: project.Project, fleet: inventory.Inventory, reporter: output.Reporter
) -> list[str]:
    """Build the components and the wheelhouse; return what changed."""
    reporter.step("Building components")
    built = build.build_components(where, report=reporter.detail)
    changes = [f"built {result.name}" for result in built if result.outcome != "unchanged"]
    reporter.step("Preparing the wheelhouse")
    prepared = wheelhouse.build_wheelhouse(where, platforms_of(fleet), report=reporter.detail)
    return changes + [
        f"prepared the wheelhouse for {item.platform}" for item in prepared if item.changed
    ]


def platforms_of(fleet: inventory.Inventory) -> list[str]:
    """Return the wheelhouse platforms that the devices of the inventory need."""
    return sorted({device.platform for device in fleet.devices.values()})


def bring_up(
    where: project.Project,
    environment: environments.Environment,
    reporter: output.Reporter,
    *,
    offline: bool = False,
) -> UpResult:
    """Bring the fleet of an environment to its declared state and show it pictures.

    Components reach the devices through the environment's cloud or, if `offline`, over SSH alone.
    Raises FleetError at the first step that fails; what was done stays and is not repeated.
    """
    began = time.monotonic()
    inventory_path = where.inventory(environment.name)
    fleet = inventory.load_inventory(where, inventory_path)
    result = UpResult()
    if offline:
        nuclei.require_bundles(where, fleet.devices.values())
    result.changes += controller.ensure_controller(where, inventory_path, reporter)
    if offline:
        result.changes += prepare_release(where, fleet, reporter)
        result.changes += bring_up_offline(where, fleet, reporter)
    else:
        result.changes += bring_up_by_cloud(where, environment, fleet, reporter)
    reporter.step("Looking at pictures")
    result.sightings = show_pictures(where, list(fleet.devices.values()), sample_pictures(where))
    result.seconds = time.monotonic() - began
    return result


def bring_up_offline(
    where: project.Project, fleet: inventory.Inventory, reporter: output.Reporter
) -> list[str]:
    """Provision the devices without a cloud and push the bundle to them; return what changed."""
    reporter.step(f"Bringing up {', '.join(fleet.devices)}")
    site = playbook.run_playbook(
        where, "site", inventory=fleet.path, variables=playbook.WITHOUT_CLOUD, reporter=reporter
    )
    return [f"{host}: {task}" for host, task in site.changes]


def bring_up_by_cloud(
    where: project.Project,
    environment: environments.Environment,
    fleet: inventory.Inventory,
    reporter: output.Reporter,
) -> list[str]:
    """Publish, provision, deploy to the thing groups and wait for them; return what changed."""
    changes = prepare_wheels(where, fleet, reporter)
    account, started = reach_cloud(where, environment, reporter)
    changes += started
    reporter.step("Publishing components")
    publications = publish.publish_components(where, account, reporter=reporter)
    changes += [
        f"published {item.component} {item.version}"
        for item in publications
        if item.outcome == publish.PUBLISHED
    ]
    wanted = targets.plan_targets(fleet, publish.read_recipes(where, publications))
    changes += capture_places.ensure_buckets(where, account, fleet, reporter)
    reporter.step(f"Bringing up {', '.join(fleet.devices)}")
    provisioned = playbook.run_playbook(where, "provision", inventory=fleet.path, reporter=reporter)
    changes += [f"{host}: {task}" for host, task in provisioned.changes]
    # Two commands at once must not make the same deployment twice.
    with files.held(where.state_dir / "locks" / "deploy", "deployment", reporter.detail):
        changes += deploy_targets(account, wanted, reporter)
    reporter.step("Verifying that everything is at work")
    versions = {
        device: {name: item.version for name, item in target.components.items()}
        for target in wanted
        for device in target.devices
    }
    verify.verify_devices(where, list(fleet.devices.values()), versions)
    return changes


def reach_cloud(
    where: project.Project, environment: environments.Environment, reporter: output.Reporter
) -> tuple[aws.Account, list[str]]:
    """Return the account that the devices can reach, and what changed until they could."""
    reporter.step("Reaching the cloud")
    changes: list[str] = []
    if environment.local:
        inventory_path = where.inventory(environment.name)
        changes += network.ensure_network(where, inventory_path, reporter)
    account, started = environments.reach(where, environment, reporter)
    return account, changes + started


def deploy_targets(
    account: aws.Account, wanted: Sequence[targets.Target], reporter: output.Reporter
) -> list[str]:
    """Deploy what differs and wait until every device reports it; return what changed."""
    reporter.step(f"Deploying to {', '.join(target.name for target in wanted)}")
    service = deploy.Deployments(account)
    made = [item for target in wanted if (item := service.ensure(target)) is not None]
    for item in made:
        if item.created:
            reporter.detail(f"Deployment {item.id} for {item.target.name}")
    for item in made:
        service.wait(item, now=reporter.now)
        reporter.clear()
    return deploy.describe_changes(made)


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


def take_down(
    where: project.Project, environment: environments.Environment, reporter: output.Reporter
) -> list[str]:
    """Remove devices, images, networks, builds and fetched results; return what was removed.

    The local cloud goes with its devices: what it knows of them would be of no use.
    """
    reporter.step("Removing devices")
    result = playbook.run_playbook(
        where,
        "reset",
        inventory=where.inventory(environment.name),
        variables=playbook.WITHOUT_CLOUD if environment.local else None,
        reporter=reporter,
    )
    removed = [f"{host}: {task}" for host, task in result.changes]
    stale = [where.results_dir, *(folder / project.BUILD_NAME for folder in where.folders())]
    if environment.local:
        removed += cloud_process.reset_cloud(where, reporter)
        stale.append(where.ssh_dir)
    for folder in stale:
        shutil.rmtree(folder, ignore_errors=True)
    return removed
