"""The test suite in the order in which it fails cheapest, and the benchmarks."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from verge.fleet import (  # fmt: skip
    build,
    bundle,
    checks,
    controller,
    errors,
    inventory,
    output,
    project,
    up,
    wheelhouse,
)

_PYTEST = (sys.executable, "-m", "pytest", "-q")
_NO_DEVICE = ("-m", "not device")
# Most tests wait for processes. A file stays with one worker, which starts once what it needs.
_SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile")
_CLOUD_CONTRACT = "tests/contract/cloud"
_QUICK_TESTS = (
    ("Unit and component tests", "tests/unit", "components", *_NO_DEVICE, *_SIDE_BY_SIDE),
    ("Contract tests", "tests/contract", "--ignore", _CLOUD_CONTRACT, *_NO_DEVICE, *_SIDE_BY_SIDE),
    # One after the other: what one file has seen of the cloud's answers the next one counts.
    ("Contract tests of the cloud", _CLOUD_CONTRACT, *_NO_DEVICE),
    ("Integration tests", "tests/integration", *_NO_DEVICE, *_SIDE_BY_SIDE),
)
# A device boots, is provisioned and torn down within one test, and its progress is worth seeing.
_DEVICE_TESTS = (
    "Tests on simulated devices",
    "tests/integration",
    "-m",
    "device",
    "--timeout",
    "1200",
    "-s",
)


def run_suite(where: project.Project, reporter: output.Reporter, *, quick: bool = False) -> None:
    """Run everything that CI runs; `quick` leaves out what needs a device.

    Raises FleetError at the first part that fails.
    """
    began = time.monotonic()
    reporter.step("Static checks")
    checks.raise_for_failures(checks.run_checks(where, checks.static_checks(where), reporter))
    if not quick:
        # What it installs the other tests need as well: mosquitto, podman.
        controller.ensure_controller(where, where.inventory("local"), reporter)
    prepare_inputs(where, reporter)
    for name, *arguments in _QUICK_TESTS:
        checks.run_live(where, checks.Check(name, (*_PYTEST, *arguments)), reporter)
    if not quick:
        checks.run_live(where, molecule(where), reporter)
        name, *arguments = _DEVICE_TESTS
        checks.run_live(where, checks.Check(name, (*_PYTEST, *arguments)), reporter)
    reporter.step(f"Everything passed in {(time.monotonic() - began) / 60:.1f} minutes")


def prepare_inputs(where: project.Project, reporter: output.Reporter) -> None:
    """Build what tests and scenarios take from the tooling: components, wheels, bundle."""
    reporter.step("Building components, wheelhouse and bundle")
    fleet = inventory.load_inventory(where, where.inventory("local"))
    build.build_components(where, report=reporter.detail)
    wheelhouse.build_wheelhouse(where, up.platforms_of(fleet), report=reporter.detail)
    bundle.build_bundle(where, report=reporter.detail)


def molecule(where: project.Project) -> checks.Check:
    """Return the command that runs every molecule scenario on one shared device."""
    environment = {
        "ANSIBLE_CONFIG": str(where.root / "ansible.cfg"),
        "ANSIBLE_ROLES_PATH": str(where.root / "roles"),
    }
    return checks.Check(
        "Molecule scenarios", ("molecule", "test", "--all"), tuple(environment.items())
    )


def run_benchmarks(
    where: project.Project, reporter: output.Reporter, names: Sequence[str] = ()
) -> None:
    """Run the named benchmarks of tests/bench, or all of them."""
    folder = where.root / "tests" / "bench"
    known = {path.stem.removeprefix("bench_"): path for path in sorted(folder.glob("bench_*.py"))}
    for name in names:
        if name not in known:
            raise errors.FleetError(
                f"cannot find benchmark {name}", hint=f"benchmarks: {', '.join(known)}"
            )
    for name in names or known:
        _run_benchmark(where, known[name], reporter)


def _run_benchmark(where: project.Project, path: Path, reporter: output.Reporter) -> None:
    command = (sys.executable, str(path))
    environment = (("PYTHONPATH", os.pathsep.join([str(where.root / "src"), str(where.root)])),)
    name = f"Benchmark {path.stem.removeprefix('bench_')}"
    checks.run_live(where, checks.Check(name, command, environment), reporter)
