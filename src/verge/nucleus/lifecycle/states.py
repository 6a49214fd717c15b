"""The states of a component and the ways between them (Greengrass contract 2.1 and 2.2).

This module imports nothing of ours, so everything may import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """What a component is doing, as IPC and cloud spell it."""

    NEW = "NEW"
    INSTALLED = "INSTALLED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    ERRORED = "ERRORED"
    BROKEN = "BROKEN"
    FINISHED = "FINISHED"


CLOSED = frozenset({State.NEW, State.INSTALLED, State.ERRORED, State.BROKEN, State.FINISHED})
"""Nothing of the component that others depend on is at work: their order is kept."""

ACTIVE = frozenset({State.STARTING, State.RUNNING, State.STOPPING})
"""The component's program is at work or ends."""

STARTED = frozenset({State.STARTING, State.RUNNING})
"""The component's program is wanted and at work."""

READY = frozenset({State.RUNNING, State.FINISHED})
"""A HARD dependent may start."""

COUNTED = frozenset({State.NEW, State.STARTING, State.RUNNING})
"""States in which errors are counted, each on its own (contract 2.4)."""

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.NEW: frozenset({State.INSTALLED, State.ERRORED, State.BROKEN, State.FINISHED}),
    State.INSTALLED: frozenset({State.STARTING, State.FINISHED, State.NEW}),
    State.STARTING: frozenset({State.RUNNING, State.STOPPING, State.ERRORED, State.BROKEN}),
    State.RUNNING: frozenset({State.STOPPING, State.ERRORED, State.BROKEN}),
    State.STOPPING: frozenset({State.FINISHED, State.INSTALLED, State.NEW, State.ERRORED}),
    State.ERRORED: frozenset({State.NEW, State.INSTALLED, State.STOPPING, State.FINISHED}),
    State.BROKEN: frozenset({State.NEW, State.FINISHED}),
    State.FINISHED: frozenset({State.NEW, State.INSTALLED}),
}
"""Every step a component may take; `Component` takes no other."""

REPORTABLE: Mapping[State, frozenset[State]] = {
    State.NEW: frozenset({State.ERRORED}),
    State.STARTING: frozenset({State.RUNNING, State.ERRORED, State.FINISHED}),
    State.RUNNING: frozenset({State.ERRORED, State.FINISHED}),
    State.STOPPING: frozenset({State.ERRORED, State.FINISHED}),
}
"""What a component may say of itself with UpdateState (contract 2.3)."""


class StatusCode(StrEnum):
    """Why a component is in its state (contract 2.5)."""

    NONE = "NONE"
    INSTALL_ERROR = "INSTALL_ERROR"
    INSTALL_CONFIG_NOT_VALID = "INSTALL_CONFIG_NOT_VALID"
    INSTALL_IO_ERROR = "INSTALL_IO_ERROR"
    INSTALL_MISSING_DEFAULT_RUNWITH = "INSTALL_MISSING_DEFAULT_RUNWITH"
    INSTALL_TIMEOUT = "INSTALL_TIMEOUT"
    STARTUP_ERROR = "STARTUP_ERROR"
    STARTUP_CONFIG_NOT_VALID = "STARTUP_CONFIG_NOT_VALID"
    STARTUP_IO_ERROR = "STARTUP_IO_ERROR"
    STARTUP_MISSING_DEFAULT_RUNWITH = "STARTUP_MISSING_DEFAULT_RUNWITH"
    STARTUP_TIMEOUT = "STARTUP_TIMEOUT"
    RUN_ERROR = "RUN_ERROR"
    RUN_CONFIG_NOT_VALID = "RUN_CONFIG_NOT_VALID"
    RUN_IO_ERROR = "RUN_IO_ERROR"
    RUN_MISSING_DEFAULT_RUNWITH = "RUN_MISSING_DEFAULT_RUNWITH"
    RUN_TIMEOUT = "RUN_TIMEOUT"
    SHUTDOWN_ERROR = "SHUTDOWN_ERROR"
    SHUTDOWN_TIMEOUT = "SHUTDOWN_TIMEOUT"
    UNINSTALL_ERROR = "UNINSTALL_ERROR"
    UNINSTALL_TIMEOUT = "UNINSTALL_TIMEOUT"
