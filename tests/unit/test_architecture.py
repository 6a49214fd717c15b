"""The import rules that keep the parts of Verge apart."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"

# What each part may import of ours.
ALLOWED = {
    "verge.recipe": {"verge.recipe"},
    "verge.fleet": {"verge.fleet", "verge.recipe"},
    "verge.nucleus": {"verge.nucleus", "verge.recipe"},
    "verge.cloud": {"verge.cloud", "verge.recipe"},
}
# What a device installs besides the standard library.
ON_DEVICES = {"msgspec", "nodesemver", "paho", "yaml"}


def _modules(part: str) -> list[Path]:
    return sorted((SOURCE / part.replace(".", "/")).rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names if module == "verge")


def _ours(name: str) -> str | None:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "verge" and len(parts) > 1 else None


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_parts_import_one_way(part: str) -> None:
    """No module imports a part of Verge that its own part must not know."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in _modules(part)
        for name in _imports(path)
        if _ours(name) is not None and _ours(name) not in ALLOWED[part]
    ]
    assert wrong == []


@pytest.mark.parametrize("part", ["verge.recipe", "verge.nucleus"])
def test_devices_need_few_libraries(part: str) -> None:
    """What runs on devices imports only the standard library and four small libraries."""
    known = sys.stdlib_module_names | ON_DEVICES | {"verge"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in _modules(part)
        for name in _imports(path)
        if name.split(".")[0] not in known
    ]
    assert wrong == []


def test_components_import_nothing_of_ours() -> None:
    """A component runs on a device that has no Verge."""
    sources = sorted((ROOT / "components").glob("*/src/**/*.py"))
    assert sources
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources
        for name in _imports(path)
        if name.split(".")[0] == "verge"
    ]
    assert wrong == []


def test_remote_scripts_need_only_the_standard_library() -> None:
    """A script sent to a device runs on its bare Python."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in _modules("verge.fleet.remote")
        for name in _imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names
    ]
    assert wrong == []


def test_tasks_stay_thin() -> None:
    """`tasks.py` imports Invoke and verge.fleet, nothing else of ours."""
    wrong = [
        name for name in _imports(ROOT / "tasks.py") if _ours(name) not in (None, "verge.fleet")
    ]
    assert wrong == []
