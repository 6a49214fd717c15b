"""Modules and plugins of roles, which are no package, loaded for tests."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from tests.unit.roles import tables


def load(role: str, kind: str, name: str) -> ModuleType:
    """Return `roles/<role>/<kind>/<name>.py` as a module."""
    path = tables.ROLES / role / kind / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"role_{role}_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
