from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fleet import samples
from verge.fleet import build, errors, project, scaffold, validate

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def templated(where: project.Project) -> project.Project:
    """Return a checkout with a small template."""
    folder = samples.add_component(
        where,
        scaffold.TEMPLATE,
        folder="_template",
        files={
            f"src/{scaffold.TEMPLATE}.txt": f"I am {scaffold.TEMPLATE}.",
            "src/__pycache__/main.pyc": "x",
            ".pytest_cache/x": "x",
            "greengrass-build/recipes/recipe.yaml": "x",
        },
    )
    (folder / "src/raw.bin").write_bytes(b"\xff\x00")
    (folder / "src/main.py").chmod(0o755)
    return where


def test_new_component_has_its_name_everywhere(templated: project.Project) -> None:
    """The name replaces the template's in files and their names; leftovers are not copied."""
    folder = scaffold.create_component(templated, "com.example.Counter")
    assert folder == templated.components_dir / "com.example.Counter"
    contents = samples.tree(folder)
    assert set(contents) == {
        "gdk-config.json",
        "recipe.yaml",
        "src/com.example.Counter.txt",
        "src/main.py",
        "src/raw.bin",
        "tests/test_main.py",
    }
    assert contents["src/com.example.Counter.txt"] == b"I am com.example.Counter."
    assert not any(b"Template" in content for content in contents.values())
    assert (folder / "src/main.py").stat().st_mode & 0o111


def test_new_component_builds_at_once(templated: project.Project) -> None:
    """A new component is valid and builds without an edit."""
    scaffold.create_component(templated, "com.example.Counter")
    assert validate.validate_components(templated) == []
    (result,) = build.build_components(templated)
    assert (result.name, result.outcome) == ("com.example.Counter", "built")


@pytest.mark.skipif(
    not (REPOSITORY / "components/_template/recipe.yaml").is_file(), reason="no template here"
)
def test_template_of_this_repository_builds(where: project.Project) -> None:
    """The template shipped here gives a component that is valid, portable and builds."""
    source = REPOSITORY / "components"
    for path in source.rglob("*"):
        relative = path.relative_to(source)
        if relative.parts[0] in ("_template", "_shared"):
            target = where.components_dir / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                target.symlink_to(path.readlink())
            elif path.is_file() and "cache" not in str(relative):
                target.write_bytes(path.read_bytes())
    folder = scaffold.create_component(where, "com.example.Counter")
    assert validate.validate_components(where) == []
    (result,) = build.build_components(where)
    assert result.name == "com.example.Counter"
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert not any(scaffold.TEMPLATE.encode() in text for text in texts)


REFUSALS = {
    "a slash": ("a/b", "cannot create 'a/b': a component is named with up to 128 letters"),
    "a way out": ("..", "cannot create '..': a component is named with"),
    "empty": ("", "cannot create '': a component is named with"),
    "too long": ("a" * 129, "cannot create 'aaa"),
    "umlaut": ("zähler", "cannot create 'zähler': a component is named with"),
    "line end": ("abc\n", "cannot create 'abc\\n': a component is named with"),
    "dot first": (".x", "cannot create '.x': folders whose names begin with ."),
    "underscore first": ("_x", "cannot create '_x': folders whose names begin with _"),
    "taken": ("com.example.Hello", "cannot create com.example.Hello: components/com.ex"),
    "taken in other case": ("COM.example.hello", "cannot create com.example.Hello: components/c"),
}


@pytest.mark.parametrize(("name", "start"), REFUSALS.values(), ids=REFUSALS.keys())
def test_bad_name_is_refused(templated: project.Project, name: str, start: str) -> None:
    """A name that is taken, or that Greengrass or the layout do not take, creates nothing."""
    samples.add_component(templated)
    before = samples.tree(templated.components_dir)
    with pytest.raises(errors.FleetError) as told:
        scaffold.create_component(templated, name)
    assert str(told.value).startswith(start)
    assert samples.tree(templated.components_dir) == before


def test_missing_template_is_told(where: project.Project) -> None:
    """Without a template nothing is created."""
    with pytest.raises(errors.FleetError, match=r"cannot create com\.example\.A: there is no"):
        scaffold.create_component(where, "com.example.A")
    assert list(where.components_dir.iterdir()) == []
