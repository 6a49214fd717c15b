"""The verbs: each reads its arguments, calls one function of verge.fleet and prints.

Imports stand inside the verbs so that each loads only what it needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invoke import task

_FLEET_HELP = {
    "group": "a group of the inventory",
    "device": "one device",
    "all": "every device of the inventory",
}
_ENVIRONMENT_HELP = {"env": "the inventory to act on (a folder of inventory/)"}
_NAMES_HELP = {"name": "a component, repeatable; `./inv build a b` says the same; all without it"}
_JSON_HELP = {"json": "print one machine-readable document"}


@task(help=_ENVIRONMENT_HELP | {"offline": "push components over SSH, without a cloud"})
def up(c: Any, env: str = "local", offline: bool = False) -> None:
    """Build, publish, create the devices, deploy, and show what they see on real pictures."""
    from verge.fleet import environments, output, project, report, up

    where = project.Project.find()
    environment = environments.read_environment(where, env)
    result = up.bring_up(where, environment, output.Reporter(), offline=offline)
    report.print_up(result)


@task(help=_ENVIRONMENT_HELP)
def destroy(c: Any, env: str = "local") -> None:
    """Remove devices, image, network and the local cloud; .venv and caches in .verge stay."""
    from verge.fleet import environments, output, project, report, up

    where = project.Project.find()
    environment = environments.read_environment(where, env)
    report.print_changes(up.take_down(where, environment, output.Reporter()), "removed")


@task(iterable=["name"], help=_NAMES_HELP | _JSON_HELP)
def build(c: Any, name: list[str], json: bool = False) -> None:
    """Build components whose inputs changed, into components/NAME/greengrass-build."""
    from verge.fleet import build, output, project, report

    reporter = output.Reporter()
    results = build.build_components(project.Project.find(), name, report=reporter.detail)
    report.print_builds(results, as_json=json)


@task(positional=["name"], help={"name": "the component's name, such as com.example.Counter"})
def new(c: Any, name: str) -> None:
    """Create a component from components/_template."""
    from verge.fleet import project, report, scaffold

    report.print_created(scaffold.create_component(project.Project.find(), name))


@task(
    positional=["name"],
    help={
        "name": "the component to run",
        "config": "configuration to merge, as JSON",
    },
)
def run(c: Any, name: str, config: str = "") -> None:
    """Try a component on this machine, without root or a device; every save runs it anew."""
    from verge.fleet import project, tryout

    tryout.run_component(project.Project.find(), name, config)


@task(iterable=["name"], help=_NAMES_HELP | _JSON_HELP)
def validate(c: Any, name: list[str], json: bool = False) -> None:
    """Check recipes, gdk-configs and the dependencies between components."""
    from verge.fleet import project, report, validate

    findings = validate.validate_components(project.Project.find(), name)
    report.print_findings(findings, as_json=json)


@task(help={"since": "a git revision to compare with"} | _JSON_HELP)
def changed(c: Any, since: str = "HEAD", json: bool = False) -> None:
    """List the components that differ from a git revision, dependants included."""
    from verge.fleet import changes, project, report

    names = changes.changed_components(project.Project.find(), since=since)
    report.print_names(names, as_json=json)


@task(
    iterable=["platform"],
    help={
        "platform": "such as cp311-aarch64, repeatable; without it, what the inventory needs",
        "relock": "compile the locks anew from requirements.in",
    }
    | _ENVIRONMENT_HELP,
)
def wheels(c: Any, platform: list[str], relock: bool = False, env: str = "local") -> None:
    """Lock and download the wheels that devices install offline."""
    from verge.fleet import inventory, output, project, report, up, wheelhouse

    where = project.Project.find()
    wanted = platform or up.platforms_of(inventory.load_inventory(where, where.inventory(env)))
    reporter = output.Reporter()
    results = wheelhouse.build_wheelhouse(where, wanted, relock=relock, report=reporter.detail)
    report.print_wheelhouses(results)


@task(help=_JSON_HELP)
def bundle(c: Any, json: bool = False) -> None:
    """Build and gather the release: recipes with digests, artifacts, versions from content."""
    from verge.fleet import build, bundle, output, project, report

    where, reporter = project.Project.find(), output.Reporter()
    build.build_components(where, report=reporter.detail)
    report.print_bundle(bundle.build_bundle(where, report=reporter.detail), as_json=json)


@task(
    iterable=["name"],
    help=_NAMES_HELP
    | _JSON_HELP
    | {
        "env": "whose cloud: a folder of inventory/",
        "dry-run": "show what would be uploaded and created, and do nothing",
        "bucket": "the bucket's whole name; without it BUCKET-REGION-ACCOUNT of gdk-config.json",
    },
)
def publish(
    c: Any,
    name: list[str],
    env: str = "local",
    dry_run: bool = False,
    json: bool = False,
    bucket: str = "",
) -> None:
    """Build components and publish those whose content changed, as new versions."""
    from verge.fleet import environments, output, project, publish, report

    where, reporter = project.Project.find(), output.Reporter()
    account, _ = environments.reach(where, environments.read_environment(where, env), reporter)
    results = publish.publish_components(
        where, account, name, bucket=bucket, dry_run=dry_run, reporter=reporter
    )
    report.print_publications(results, as_json=json)


@task(
    help={
        "status": "only say whether it runs, and where",
        "stop": "stop it and keep its state",
        "reset": "stop it and delete its state",
        "logs": "show the end of its log",
        "lines": "how many lines of the log",
        "env-vars": 'print shell lines that lead AWS tools to it: eval "$(./inv cloud --env-vars)"',
        "env": "whose cloud: a folder of inventory/",
    }
    | _JSON_HELP
)
def cloud(
    c: Any,
    status: bool = False,
    stop: bool = False,
    reset: bool = False,
    logs: bool = False,
    lines: int = 50,
    env_vars: bool = False,
    env: str = "local",
    json: bool = False,
) -> None:
    """Start the local cloud in the background, or look after it."""
    from verge.fleet import cloud_process, environments, output, project, report

    where, reporter = project.Project.find(), output.Reporter()
    environment = environments.read_environment(where, env)
    if env_vars:
        print("\n".join(environments.shell_lines(where, environment)))
        return
    environments.require_local(environment)
    if logs:
        print("\n".join(cloud_process.read_log(where, lines)))
    elif reset:
        report.print_changes(cloud_process.reset_cloud(where, reporter), "done")
    elif stop:
        report.print_changes(cloud_process.stop_cloud(where, reporter), "done")
    else:
        if not status:
            environments.reach(where, environment, reporter)
        report.print_cloud(cloud_process.read_status(where), as_json=json)


@task(
    name="model-check",
    positional=["file"],
    help={
        "file": "a model's card (model.yaml), or the .onnx file beside one",
        "picture": "a picture to look at; without it, the golden ones of the card",
    }
    | _JSON_HELP,
)
def model_check(c: Any, file: str, picture: str = "", json: bool = False) -> None:
    """Check a model's card, show what the model finds, and hold it to what the card promises."""
    from verge.fleet import models, project, report

    result = models.check_model(
        project.Project.find(), Path(file), Path(picture) if picture else None
    )
    report.print_model_check(result, as_json=json)


@task(
    name="model-bytes",
    positional=["file"],
    help={"file": "a model's card (model.yaml), or the .onnx file beside one"},
)
def model_bytes(c: Any, file: str) -> None:
    """Move the scaling of pictures into a model, which then takes their bytes and is quicker."""
    from verge.fleet import model_bytes, project

    where = project.Project.find()
    card = model_bytes.take_bytes(where, Path(file))
    print(f"{where.relative(card)}: the network takes bytes and keeps what the card promises")


@task(help=_FLEET_HELP | _ENVIRONMENT_HELP | {"offline": "leave the devices without a cloud"})
def provision(
    c: Any,
    group: str = "",
    device: str = "",
    all: bool = False,
    env: str = "local",
    offline: bool = False,
) -> None:
    """Create and provision devices: users, wheelhouse, identity, Greengrass."""
    _run_on_fleet("provision", group, device, all, env, prepare=True, cloud=not offline)


@task(
    help=_FLEET_HELP
    | _ENVIRONMENT_HELP
    | {"check": "show what would change, with differences, and change nothing"}
)
def deploy(
    c: Any,
    group: str = "",
    device: str = "",
    all: bool = False,
    env: str = "local",
    check: bool = False,
) -> None:
    """Build, bundle and deploy over SSH, without a cloud; a version that fails is rolled back."""
    _run_on_fleet("deploy_offline", group, device, all, env, prepare=True, check=check)


@task(name="collect-logs", help=_FLEET_HELP | _ENVIRONMENT_HELP)
def collect_logs(
    c: Any, group: str = "", device: str = "", all: bool = False, env: str = "local"
) -> None:
    """Fetch all logs of devices into .verge/logs."""
    _run_on_fleet("collect_logs", group, device, all, env)


@task(
    positional=["picture"],
    help={
        "picture": "a JPEG or PNG file, or a folder of them",
        "device": "one device; all without it",
    }
    | _ENVIRONMENT_HELP
    | _JSON_HELP,
)
def drop(c: Any, picture: str, device: str = "", env: str = "local", json: bool = False) -> None:
    """Copy a picture into the watched directory of devices and show what they see."""
    from verge.fleet import operations, output, project, report

    where = project.Project.find()
    sightings = operations.drop_pictures(
        where, where.inventory(env), Path(picture), device, output.Reporter()
    )
    report.print_sightings(sightings, as_json=json)


@task(
    help={
        "device": "one device, also one that is no longer in the inventory; all without it",
        "since": "only those since then, in UTC: 2026-11-21, or 2026-11-21T06:30",
        "limit": "how many of the newest to show; 0: all",
        "bucket": "another bucket than the one that the inventory gives verge.CaptureUploader",
        "download": "a folder for pictures and results, as DEVICE/DAY/TIME-ID.jpg and .json; "
        "what is there is not fetched again",
    }
    | _ENVIRONMENT_HELP
    | _JSON_HELP
)
def captures(
    c: Any,
    device: str = "",
    since: str = "",
    limit: int = 20,
    bucket: str = "",
    download: str = "",
    env: str = "local",
    json: bool = False,
) -> None:
    """List the pictures that devices sent for labelling, the newest first, or download them."""
    from verge.fleet import (
        capture_listing,
        capture_places,
        capture_report,
        captures,
        environments,
        inventory,
        output,
        project,
    )

    where = project.Project.find()
    environment = environments.read_environment(where, env)
    wanted = captures.Wanted(device, capture_listing.read_since(since), limit)
    fleet = inventory.load_inventory(where, where.inventory(env))
    places = capture_places.find_places(fleet, device, bucket)
    account = environments.connect(where, environment)
    folder = Path(download) if download else None
    found = captures.gather(account, places, wanted, output.Reporter(), folder)
    capture_report.print_captures(found, as_json=json)


@task(help={"device": "one device; all without it"} | _ENVIRONMENT_HELP | _JSON_HELP)
def status(c: Any, device: str = "", env: str = "local", json: bool = False) -> None:
    """Show what runs where, with the last log lines of what failed."""
    from verge.fleet import operations, project, report

    where = project.Project.find()
    report.print_status(operations.read_status(where, where.inventory(env), device), as_json=json)


@task(
    positional=["component"],
    help={
        "component": "a component, or greengrass for the nucleus itself",
        "device": "the device",
        "lines": "how many of the last lines",
        "follow": "go on showing new lines until interrupted",
    }
    | _ENVIRONMENT_HELP,
)
def logs(
    c: Any,
    component: str,
    device: str = "",
    lines: int = 50,
    follow: bool = False,
    env: str = "local",
) -> None:
    """Show the log of a component, or of the nucleus, on a device."""
    from verge.fleet import operations, project

    where = project.Project.find()
    operations.show_log(where, where.inventory(env), device, component, lines, follow)


@task(positional=["device"], help={"device": "the device"} | _ENVIRONMENT_HELP)
def ssh(c: Any, device: str, env: str = "local") -> None:
    """Open a shell on a device."""
    from verge.fleet import operations, project

    where = project.Project.find()
    operations.open_shell(where, where.inventory(env), device)


@task
def lock(c: Any) -> None:
    """Compile requirements.lock from requirements.in."""
    from verge.fleet import locks, output, project

    changed = locks.lock_tooling(project.Project.find())
    output.Reporter().detail("requirements.lock " + ("changed" if changed else "is up to date"))


@task
def check(c: Any) -> None:
    """Run the static checks: ruff, mypy, codespell, yamllint, ansible-lint, architecture."""
    from verge.fleet import checks, output, project

    where, reporter = project.Project.find(), output.Reporter()
    checks.raise_for_failures(checks.run_checks(where, checks.static_checks(where), reporter))


@task(help={"quick": "only what needs no device: checks, unit, contract and component tests"})
def test(c: Any, quick: bool = False) -> None:
    """Run everything that CI runs."""
    from verge.fleet import output, project, suite

    suite.run_suite(project.Project.find(), output.Reporter(), quick=quick)


@task(
    iterable=["name"],
    help={"name": "a file of tests/bench without bench_, repeatable; all without it"},
)
def bench(c: Any, name: list[str]) -> None:
    """Run the benchmarks and print their ratios."""
    from verge.fleet import output, project, suite

    suite.run_benchmarks(project.Project.find(), output.Reporter(), name)


def _run_on_fleet(
    playbook_name: str,
    group: str,
    device: str,
    everything: bool,
    env: str,
    *,
    prepare: bool = False,
    check: bool = False,
    cloud: bool = False,
) -> None:
    from verge.fleet import environments, operations, output, project, report

    where = project.Project.find()
    result = operations.run_on_fleet(
        where,
        where.inventory(env),
        playbook_name,
        operations.Target(group=group, device=device, everything=everything),
        output.Reporter(),
        prepare=prepare,
        check=check,
        environment=environments.read_environment(where, env) if cloud else None,
    )
    report.print_playbook(result, check=check)
