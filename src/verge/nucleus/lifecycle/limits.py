"""Memory and processor limits of components through control groups (Greengrass contract 2.9).

Both versions of the kernel's interface are known. Version 2 takes part of the nucleus's own group,
which the service manager delegates; version 1 a group of its own in every controller. Where the
host allows neither, `GroupsError` says why, and the component runs without its limits.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from verge.nucleus import errors

MOUNT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")

PERIOD = 100_000
"""Microseconds over which a processor quota counts, the kernel's own default."""

KIBIBYTE = 1024


class GroupsError(errors.NucleusError):
    """Control groups cannot be used for a component."""


@dataclass(frozen=True)
class Limits:
    """Kilobytes of memory and a number of processors, which may be a fraction; None: no limit."""

    memory_kilobytes: int | None = None
    cpus: float | None = None

    def __bool__(self) -> bool:
        return bool(self.memory_kilobytes or self.cpus)

    @property
    def memory(self) -> int | None:
        """The memory limit in bytes."""
        return self.memory_kilobytes * KIBIBYTE if self.memory_kilobytes else None

    @property
    def quota(self) -> int | None:
        """The microseconds of processor time in one period."""
        return max(1000, round(self.cpus * PERIOD)) if self.cpus else None


class Groups:
    """The control groups of all components of one nucleus root."""

    def __init__(self, root: Path, mount: Path = MOUNT, own: Path = OWN) -> None:
        # Several nuclei may share a machine, and their components may have the same names.
        self._name = "greengrass-" + hashlib.sha256(str(root).encode()).hexdigest()[:8]
        self._mount = mount
        self._own = own
        self._v2: Path | None = None

    @property
    def is_v2(self) -> bool:
        """Whether the host offers the unified hierarchy alone."""
        return (self._mount / "cgroup.controllers").is_file()

    def limit(self, component: str, limits: Limits) -> None:
        """Make the component's groups have these limits, and no others. Raises GroupsError."""
        try:
            if self.is_v2:
                self._limit_v2(component, limits)
            else:
                self._limit_v1(component, limits)
        except OSError as error:
            raise GroupsError(_reason(error)) from error

    def lift(self, component: str) -> None:
        """Take the limits off, if the component has any. Raises GroupsError."""
        if any(group.is_dir() for group in self._groups(component)):
            self.limit(component, Limits())

    def admit(self, component: str, pids: Iterable[int]) -> None:
        """Move processes into the component's groups. Raises GroupsError."""
        for pid in pids:
            for group in self._groups(component):
                try:
                    _write(group / "cgroup.procs", pid)
                except ProcessLookupError:
                    continue
                except OSError as error:
                    raise GroupsError(_reason(error)) from error

    def ran_out_of_memory(self, component: str) -> bool:
        """Return whether the kernel has ended a process of the component for its limit."""
        for group in self._groups(component):
            for file in ("memory.events", "memory.oom_control"):
                with contextlib.suppress(OSError):
                    for line in (group / file).read_text().splitlines():
                        key, _, count = line.partition(" ")
                        if key == "oom_kill" and count != "0":
                            return True
        return False

    def freeze(self, component: str, limits: Limits, find: Callable[[], set[int]]) -> None:
        """Stop the component's processes where they are. Raises GroupsError.

        `find` is asked until it finds no more: what a process of the group starts is in it, too.
        """
        try:
            group = self._make_freezable(component, limits)
            admitted: set[int] = set()
            while fresh := find() - admitted:
                for pid in fresh:
                    with contextlib.suppress(ProcessLookupError):
                        _write(group / "cgroup.procs", pid)
                admitted |= fresh
            self._set_frozen(group, frozen=True)
        except OSError as error:
            raise GroupsError(_reason(error)) from error

    def thaw(self, component: str) -> None:
        """Let the component's processes go on, if they were frozen."""
        group = self._freezable(component)
        if group is not None and group.is_dir():
            with contextlib.suppress(OSError):
                self._set_frozen(group, frozen=False)

    def thaw_all(self) -> None:
        """Let everything go on that a nucleus froze which was killed then; it could not end."""
        with contextlib.suppress(OSError, StopIteration):
            above = self._own_v2() / self._name if self.is_v2 else self._freezer / self._name
            for group in above.iterdir():
                if group.is_dir():
                    self._set_frozen(group, frozen=False)

    def remove(self, component: str) -> None:
        """Remove the component's groups; nothing runs in them any more."""
        frozen = self._freezable(component)
        for group in {*self._groups(component), *([frozen] if frozen else [])}:
            for directory in (group, group.parent):
                with contextlib.suppress(OSError):
                    directory.rmdir()

    def _groups(self, component: str) -> list[Path]:
        if self.is_v2:
            return [self._v2 / component] if self._v2 else []
        return [top / self._name / component for top in (self._memory, self._cpu)]

    # Freezing: version 1 has a hierarchy of its own for that, in version 2 every group can

    @property
    def _freezer(self) -> Path:
        return self._mount / "freezer"

    def _freezable(self, component: str) -> Path | None:
        if self.is_v2:
            return self._v2 / component if self._v2 else None
        return self._freezer / self._name / component

    def _make_freezable(self, component: str, limits: Limits) -> Path:
        if self.is_v2:
            if limits:
                self._limit_v2(component, limits)
            group = self._top_v2() / component  # every group can freeze, without a controller
        elif self._freezer.is_dir():
            group = self._freezer / self._name / component
        else:
            raise GroupsError("the host offers no control groups to freeze processes")
        group.mkdir(parents=True, exist_ok=True)
        return group

    def _set_frozen(self, group: Path, *, frozen: bool) -> None:
        if self.is_v2:
            _write(group / "cgroup.freeze", int(frozen))
        else:
            _write(group / "freezer.state", "FROZEN" if frozen else "THAWED")

    # Version 1

    @property
    def _memory(self) -> Path:
        return self._mount / "memory"

    @property
    def _cpu(self) -> Path:
        joint = self._mount / "cpu,cpuacct"
        return joint if joint.is_dir() else self._mount / "cpu"

    def _limit_v1(self, component: str, limits: Limits) -> None:
        for controller, wanted in ((self._memory, limits.memory), (self._cpu, limits.quota)):
            if not controller.is_dir():
                if wanted is None:
                    continue
                raise GroupsError(f"the host offers no control groups for {controller.name}")
            (controller / self._name / component).mkdir(parents=True, exist_ok=True)
        memory, cpu = self._groups(component)
        if memory.is_dir():
            _write(memory / "memory.limit_in_bytes", limits.memory or -1)
        if cpu.is_dir():
            _write(cpu / "cpu.cfs_period_us", PERIOD)
            _write(cpu / "cpu.cfs_quota_us", limits.quota or -1)

    # Version 2

    def _limit_v2(self, component: str, limits: Limits) -> None:
        top = self._top_v2()
        for parent in (top.parent, top):
            _write(parent / "cgroup.subtree_control", "+memory +cpu")
        group = top / component
        group.mkdir(parents=True, exist_ok=True)
        _write(group / "memory.max", limits.memory or "max")
        _write(group / "cpu.max", f"{limits.quota or 'max'} {PERIOD}")

    def _own_v2(self) -> Path:
        """Return the nucleus's own group."""
        line = next(x for x in self._own.read_text().splitlines() if x.startswith("0::"))
        return self._mount / line.removeprefix("0::").lstrip("/")

    def _top_v2(self) -> Path:
        """Return the group above those of the components, which is made if it is missing."""
        if self._v2 is None:
            own = self._own_v2()
            if own != self._mount:
                # A group with processes of its own may not limit groups below it.
                leaf = own / "nucleus"
                leaf.mkdir(exist_ok=True)
                for pid in (own / "cgroup.procs").read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        _write(leaf / "cgroup.procs", pid)
            self._v2 = own / self._name
        self._v2.mkdir(exist_ok=True)  # it went with the last of the components
        return self._v2


def _write(file: Path, value: object) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    return f"the host does not allow control groups: {error.filename}: {error.strerror}"
