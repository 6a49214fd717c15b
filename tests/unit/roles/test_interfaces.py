"""What every role promises about its variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.roles import tables

ROLES = tables.role_directories()


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8")) if path.is_file() else None


def _tasks(role: Path) -> Iterator[dict[str, Any]]:
    pending: list[Any] = []
    for folder in ("tasks", "handlers"):
        for path in sorted((role / folder).glob("*.yml")):
            pending += _load(path) or []
    while pending:
        task = pending.pop()
        yield task
        for part in ("block", "rescue", "always"):
            pending += task.get(part, [])


@pytest.fixture(params=ROLES, ids=lambda role: role.name)
def role(request: pytest.FixtureRequest) -> Path:
    """Return the directory of each role in turn."""
    path: Path = request.param
    return path


def test_defaults_are_specified(role: Path) -> None:
    """Every default is specified, and every specified variable has a default."""
    assert list(_load(role / "defaults" / "main.yml")) == list(tables.read_options(role))


def test_defaults_are_documented_as_they_are(role: Path) -> None:
    """A constant default is the same in the specification."""
    options = tables.read_options(role)
    for name, default in _load(role / "defaults" / "main.yml").items():
        if name != "edge_device_prefix":  # it is said in words there
            assert str(options[name]["default"]).split() == str(default).split()


def test_readme_has_the_table_of_variables(role: Path) -> None:
    """The README's table is the one made by `python tests/unit/roles/tables.py`."""
    assert tables.read_table(role) == tables.make_table(role)


def test_every_default_has_a_comment(role: Path) -> None:
    """The defaults are explained where they stand, alone or as a group."""
    text = (role / "defaults" / "main.yml").read_text("utf-8")
    for paragraph in text.split("\n\n"):
        assert paragraph.startswith("#"), paragraph


def test_variables_carry_the_role_in_their_name(role: Path) -> None:
    """What is to be set is `<role>_…`, constants are `_<role>_…`, results are `__<role>_…`."""
    wrong = [name for name in tables.read_options(role) if not name.startswith(f"{role.name}_")]
    wrong += [
        name
        for name in _load(role / "vars" / "main.yml") or {}
        if not name.startswith(f"_{role.name}_")
    ]
    for task in _tasks(role):
        set_here = [task["register"]] if "register" in task else []
        set_here += task.get("ansible.builtin.set_fact", {})
        wrong += [name for name in set_here if not name.startswith(f"__{role.name}_")]
    assert wrong == []


def test_a_role_reads_no_other_roles_variables(role: Path) -> None:
    """Roles meet in the inventory only, apart from those whose parameters they set."""
    others = [other.name for other in ROLES if other != role]
    pattern = re.compile(rf"\b_{{0,2}}({'|'.join(others)})_[a-z_]+\b")
    own = {"file_set"} if role.name in {"wheelhouse", "deployment"} else set()
    wrong = set()
    for folder in ("tasks", "handlers", "defaults", "vars", "templates"):
        for path in (role / folder).rglob("*"):
            if path.is_file():
                found = pattern.finditer(path.read_text("utf-8"))
                wrong |= {m[0] for m in found if m[1] not in own and m[0] not in MODULES}
    assert wrong == set()


MODULES = {
    path.stem
    for role in ROLES
    for kind in ("library", "filter_plugins")
    for path in (role / kind).glob("*.py")
} | {
    "wheelhouse_contents",
    "deployment_release",
    "edge_device_debian_sources",
    "greengrass_packages",
}


def test_tasks_have_a_name(role: Path) -> None:
    """Every task says which state it leaves."""
    assert [task for task in _tasks(role) if not task.get("name")] == []


def test_modules_are_named_in_full(role: Path) -> None:
    """No task leaves it to a search path which module it means."""
    keywords = {"block", "rescue", "always", "name", "when", "vars", "loop", "register"}
    for task in _tasks(role):
        modules = [
            key
            for key in task
            if key not in keywords and isinstance(task[key], dict | str) and "." in key
        ]
        ours = [key for key in task if key.startswith("verge_")]
        assert modules or ours or "block" in task, task["name"]


def test_main_only_includes_phases_with_tags(role: Path) -> None:
    """`tasks/main.yml` is a table of contents; a helper is one phase itself."""
    if role.name == "file_set":
        return
    for task in _load(role / "tasks" / "main.yml"):
        assert task.keys() & {"ansible.builtin.include_tasks", "ansible.builtin.import_tasks"}
        assert role.name in task["tags"]


def test_roles_can_take_back_what_they_added(role: Path) -> None:
    """`<role>_state` is present or absent."""
    if role.name == "file_set":
        return
    assert tables.read_options(role)[f"{role.name}_state"]["choices"] == ["present", "absent"]


def test_the_inventory_sets_only_variables_that_exist() -> None:
    """A variable of a role in the inventory stands in that role's specification."""
    known = {name for role in ROLES for name in tables.read_options(role)}
    prefixes = tuple(f"{role.name}_" for role in ROLES)
    folder = tables.ROLES.parent / "inventory" / "local" / "group_vars"
    unknown = [
        name
        for path in sorted(folder.rglob("*.yml"))
        for name in _load(path)
        if name.startswith(prefixes) and name not in known
    ]
    assert unknown == []
