"""Recipes from files and text, and back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.cases.recipe import changes
from verge.recipe import documents, errors, loading, model, reading

CASES = Path(__file__).parents[2] / "cases" / "recipe"
EDGE = CASES / "edge.yaml"
BAD = yaml.safe_load((CASES / "bad_recipes.yml").read_text(encoding="utf-8"))


def dump_json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False)


def test_a_whole_recipe_is_read() -> None:
    """Every field of a recipe arrives, with defaults where it says nothing."""
    recipe = loading.load_recipe(EDGE, strict=True)
    assert (recipe.name, recipe.version) == ("com.example.Edge", "1.2.3")
    assert (recipe.type, recipe.publisher) == ("aws.greengrass.generic", "Example")
    assert recipe.default_configuration["interval"] == 5
    assert recipe.dependencies == {
        "aws.greengrass.Nucleus": model.Dependency(">=2.5.0 <3.0.0", model.DependencyType.SOFT),
        "com.example.Runtime": model.Dependency(">=1.0.0 <2.0.0", model.DependencyType.HARD),
    }
    linux, other = recipe.manifests
    assert linux.platform == {"os": "linux", "architecture": "/amd64|aarch64/", "runtime": "*"}
    assert linux.selections is None
    assert linux.lifecycle["run"].startswith("set -eu\n")
    assert linux.artifacts == (
        model.Artifact(
            uri="s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/edge.zip",
            unarchive=model.Unarchive.ZIP,
            permission=model.Permission(model.Access.ALL, model.Access.OWNER),
            digest="47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            algorithm="SHA-256",
        ),
        model.Artifact("s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/settings.json"),
    )
    assert other == model.Manifest(name="Anything else", selections=("other",))
    assert recipe.lifecycle == {"run": {"other": "echo other", "all": "echo all"}}


def test_json_and_yaml_give_the_same_recipe(tmp_path: Path) -> None:
    """The same recipe is read from JSON text and file as from YAML."""
    document = changes.load(EDGE, {})
    file = tmp_path / "recipe.json"
    file.write_text(dump_json(document), encoding="utf-8")
    assert loading.load_recipe(file) == loading.load_recipe(EDGE)
    assert loading.parse_recipe(EDGE.read_bytes()) == loading.load_recipe(EDGE)


def test_keys_and_fixed_words_match_in_any_case() -> None:
    """Modelled keys, types, permissions and dependency types match in any case (contract 1.1)."""

    def lower(value: Any) -> Any:
        if isinstance(value, list):
            return [lower(item) for item in value]
        if isinstance(value, dict):
            return {key.lower(): lower(item) for key, item in value.items()}
        return value.lower() if value in {"ZIP", "ALL", "OWNER", "SOFT"} else value

    document = changes.load(EDGE, {})
    untyped = {"lifecycle", "platform"}
    changed = lower(document)
    changed["componentdependencies"] = {
        name: lower(dependency) for name, dependency in document["ComponentDependencies"].items()
    }
    changed["componentconfiguration"] = {
        "DEFAULTCONFIGURATION": document["ComponentConfiguration"]["DefaultConfiguration"]
    }
    changed["componenttype"] = "AWS.Greengrass.Generic"
    for new, old in zip(changed["manifests"], document["Manifests"], strict=True):
        new.update({k: old[k.capitalize()] for k in untyped if k.capitalize() in old})
    assert reading.read_recipe(changed) == loading.load_recipe(EDGE)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in BAD])
def test_bad_recipes_are_refused_with_their_place(case: dict[str, Any]) -> None:
    """A mistake is refused in one sentence with its path; a device lets pass what it can."""
    text = dump_json(changes.load(EDGE, case))
    strict = case.get("strict", False)
    if strict:
        assert loading.parse_recipe(text).version == "1.2.3"
    with pytest.raises(errors.RecipeError) as caught:
        loading.parse_recipe(text, source="recipe.yaml", strict=strict)
    assert str(caught.value) == f"recipe.yaml: {case['says']}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "recipe: cannot find a recipe: the text is empty"),
        ("# nothing\n", "recipe: cannot find a recipe: the text is empty"),
        ("just text", "recipe: must be a mapping"),
        ("[]", "recipe: must be a mapping"),
        ("a: b: c", "recipe: line 1, column 5: cannot read YAML: mapping values are not allowed"),
        ('{"a": ', "recipe: line 1, column 7: cannot read JSON: Expecting value"),
    ],
    ids=["empty", "comment", "text", "list", "yaml", "json"],
)
def test_what_is_no_recipe_is_refused(text: str, says: str) -> None:
    """Text that holds no recipe is refused with the place where it goes wrong."""
    with pytest.raises(errors.RecipeError) as caught:
        loading.parse_recipe(text)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("limit", [0, 1])
def test_building_bounds_the_size_of_a_recipe(limit: int) -> None:
    """A recipe may have 16,000 bytes to be built; a device takes larger ones."""
    document = changes.load(EDGE, {"set": {"ComponentDescription": ""}})
    rest = loading.MAX_BUILT_BYTES - len(dump_json(document).encode())
    document["ComponentDescription"] = "ä" * ((rest - rest % 2) // 2) + "x" * (rest % 2 + limit)
    text = dump_json(document)
    loading.parse_recipe(text)
    if not limit:
        loading.parse_recipe(text, strict=True)
        return
    with pytest.raises(errors.RecipeError, match="a recipe of 16001 bytes: 16000 is the most"):
        loading.parse_recipe(text, strict=True)


@pytest.mark.parametrize(
    ("name", "says"),
    [("missing.yaml", "No such file or directory"), (".", "Is a directory")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, says: str) -> None:
    """A missing recipe or a directory is refused with its path and the reason."""
    path = tmp_path / name
    with pytest.raises(errors.RecipeError) as caught:
        loading.load_recipe(path)
    assert str(caught.value) == f"{path}: cannot read the recipe: {says}"


def test_an_endless_file_is_refused() -> None:
    """A file without end is read up to the limit only."""
    with pytest.raises(errors.RecipeError, match="cannot read more than"):
        loading.load_recipe("/dev/zero")


@pytest.mark.parametrize("cut", range(0, 1400, 50))
def test_a_truncated_recipe_is_read_or_refused(cut: int) -> None:
    """A file cut off anywhere gives a recipe or our error."""
    content = EDGE.read_bytes()
    message = "recipe: "
    try:
        loading.parse_recipe(content[:cut], strict=True)
    except errors.RecipeError as error:
        message = str(error)
    assert message.startswith("recipe: ")
    assert cut < len(content)


def test_the_document_is_canonical() -> None:
    """A recipe is written in canonical case, without defaults, and keeps its meaning."""
    document = loading.to_document(loading.load_recipe(EDGE))
    assert list(document) == [
        "RecipeFormatVersion",
        "ComponentName",
        "ComponentVersion",
        "ComponentDescription",
        "ComponentPublisher",
        "ComponentConfiguration",
        "ComponentDependencies",
        "Manifests",
        "Lifecycle",
    ]
    assert document["ComponentDependencies"] == {
        "aws.greengrass.Nucleus": {
            "VersionRequirement": ">=2.5.0 <3.0.0",
            "DependencyType": "SOFT",
        },
        "com.example.Runtime": {"VersionRequirement": ">=1.0.0 <2.0.0"},
    }
    assert document["Manifests"][0]["Artifacts"][1] == {
        "Uri": "s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/settings.json"
    }


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
trees = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
mappings = st.dictionaries(words, trees, max_size=3)
names = st.from_regex(r"[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,20}", fullmatch=True)
artifacts = st.builds(
    model.Artifact,
    uri=names.map(lambda name: f"s3://BUCKET/{name}"),
    unarchive=st.sampled_from(model.Unarchive),
    permission=st.builds(
        model.Permission, st.sampled_from(model.Access), st.sampled_from(model.Access)
    ),
    digest=st.none() | words,
    algorithm=st.none() | words,
)
manifests = st.builds(
    model.Manifest,
    name=st.none() | words,
    platform=st.dictionaries(words, st.none() | words, max_size=3),
    lifecycle=mappings,
    selections=st.none() | st.lists(words, max_size=3).map(tuple),
    artifacts=st.lists(artifacts, max_size=3).map(tuple),
)
recipes = st.builds(
    model.Recipe,
    name=names,
    version=st.sampled_from(["1.0.0", "0.0.1-rc.1+b", "999999.0.0"]),
    type=st.sampled_from(model.COMPONENT_TYPES),
    source=st.none() | words,
    description=st.none() | words,
    publisher=st.none() | words,
    default_configuration=mappings,
    dependencies=st.dictionaries(
        names,
        st.builds(
            model.Dependency,
            st.sampled_from(["", "*", "^1.0.0", ">=1.0.0 <2.0.0"]),
            st.sampled_from(model.DependencyType),
        ),
        max_size=3,
    ),
    manifests=st.lists(manifests, max_size=3).map(tuple),
    lifecycle=mappings,
)


@given(recipes)
def test_recipes_survive_yaml_and_json(recipe: model.Recipe) -> None:
    """Any recipe, written as YAML or JSON, reads back as the same recipe."""
    assert loading.parse_recipe(loading.dump_recipe(recipe)) == recipe
    assert loading.parse_recipe(dump_json(loading.to_document(recipe))) == recipe


@given(st.data())
def test_a_recipe_with_one_wrong_value_is_read_or_refused(data: st.DataObject) -> None:
    """Any value in any place of a recipe gives a recipe or our error, on devices and builders."""
    document = changes.load(EDGE, {})
    value: Any = document
    while True:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        place = data.draw(st.sampled_from(places))
        deeper = isinstance(value[place], dict | list) and value[place]
        if not deeper or data.draw(st.booleans()):
            value[place] = data.draw(trees)
            break
        value = value[place]
    for strict in (False, True):
        caught = None
        try:
            reading.read_recipe(document, strict=strict)
        except errors.RecipeError as error:
            caught = error
        assert caught is None or caught.path


def test_recipes_are_frozen() -> None:
    """A field of a recipe cannot be set, so a recipe can be shared."""
    recipe = loading.load_recipe(EDGE)
    with pytest.raises(AttributeError):
        recipe.name = "other"  # type: ignore[misc]
    assert msgspec.structs.replace(recipe, name="other").name == "other"


def test_importing_the_package_leaves_out_what_devices_need_not_load() -> None:
    """Reading a recipe of plain comparators needs neither node-semver nor other heavy modules."""
    code = (
        "import sys; from verge.recipe import loading; "
        f"loading.load_recipe({str(EDGE)!r}); "
        "print([m for m in ('nodesemver', 'asyncio', 'subprocess', 'ssl') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(documents.__file__).parents[2])},
    )
    assert found.stdout.strip() == "[]"
