from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.fleet import samples
from verge.fleet import build, errors, project
from verge.recipe import documents

NAME = "com.example.Hello"
REPOSITORY = Path(__file__).resolve().parents[3]


def outcomes(where: project.Project, *names: str) -> dict[str, str]:
    """Build and return what became of each component."""
    return {result.name: result.outcome for result in build.build_components(where, names)}


def refusal(where: project.Project, *names: str) -> str:
    """Build what cannot be built and return the sentence."""
    with pytest.raises(errors.FleetError) as told:
        build.build_components(where, names)
    return str(told.value)


def entries(path: Path) -> list[str]:
    """Return the names in an archive."""
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_output_has_the_layout_of_gdk(where: project.Project) -> None:
    """Trap 19: recipe and archive lie where GDK puts them, under NEXT_PATCH as it is written."""
    folder = samples.add_component(where)
    (result,) = build.build_components(where)
    assert set(samples.tree(folder / "greengrass-build")) == {
        "recipes/recipe.yaml",
        f"artifacts/{NAME}/NEXT_PATCH/{NAME}.zip",
    }
    assert (result.name, result.outcome) == (NAME, "built")
    assert [item.path.name for item in result.artifacts] == [f"{NAME}.zip"]
    assert entries(result.artifacts[0].path) == ["src/main.py"]


def test_recipe_is_transformed(where: project.Project) -> None:
    """Name, version and publisher come from the configuration; key case and order stay."""
    samples.add_component(where)
    (result,) = build.build_components(where)
    document = documents.load_yaml(result.recipe.path.read_bytes())
    assert list(document)[:4] == [
        "RecipeFormatVersion",
        "ComponentName",
        "ComponentVersion",
        "ComponentPublisher",
    ]
    assert [document[key] for key in list(document)[1:4]] == [NAME, "NEXT_PATCH", "Example"]
    (artifact,) = document["Manifests"][0]["Artifacts"]
    assert artifact["URI"] == f"s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/{NAME}.zip"


def test_json_recipe_stays_json(where: project.Project) -> None:
    """A JSON recipe gives a JSON recipe, keys in their case and order, indented by 4."""
    folder = samples.add_component(where)
    document = documents.load_yaml((folder / "recipe.yaml").read_bytes())
    document["manifests"] = document.pop("Manifests")
    (folder / "recipe.yaml").unlink()
    (folder / "recipe.json").write_text(json.dumps(document))
    (result,) = build.build_components(where)
    text = result.recipe.path.read_text("utf-8")
    assert result.recipe.path.name == "recipe.json"
    assert list(json.loads(text)) == list(document)
    assert text.startswith('{\n    "RecipeFormatVersion"')


ZIP_NAMES: dict[str, tuple[dict[str, object] | None, str]] = {
    "no options: the folder's name": (None, "folder.zip"),
    "options without a name: the folder's name": ({"excludes": ["**/x"]}, "folder.zip"),
    "an empty name: the component's name": ({"zip_name": ""}, f"{NAME}.zip"),
    "a name": ({"zip_name": "app"}, "app.zip"),
}


@pytest.mark.parametrize(("options", "archive"), ZIP_NAMES.values(), ids=ZIP_NAMES.keys())
def test_archive_is_named(
    where: project.Project, options: dict[str, object] | None, archive: str
) -> None:
    """The archive is named after the folder, the component or `zip_name`, as GDK does."""
    folder = samples.add_component(where, folder="folder")
    settings = {"build_system": "zip", **({"options": options} if options else {})}
    (folder / "gdk-config.json").write_text(samples.config_text(NAME, settings))
    (folder / "recipe.yaml").write_text(samples.recipe_text(archive))
    (result,) = build.build_components(where)
    assert [item.path.name for item in result.artifacts] == [archive]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (None, {"src/main.py"}),
        (
            {"zip_name": "folder"},
            {"src/main.py", "tests/test_main.py", ".hidden", "node_modules/m.js", "a/recipe.yaml"},
        ),
    ],
    ids=["defaults without options", "no defaults with options"],
)
def test_default_excludes(
    where: project.Project, options: dict[str, object] | None, kept: set[str]
) -> None:
    """Trap 19: without options GDK's defaults apply; with any, only what it lists is left out."""
    extra = {".hidden": "", "node_modules/m.js": "", "src/m.pyc": "", "src/__pycache__/m": ""}
    if options:
        extra["a/recipe.yaml"] = ""
    folder = samples.add_component(where, folder="folder", files=extra)
    settings = {"build_system": "zip", **({"options": options} if options else {})}
    (folder / "gdk-config.json").write_text(samples.config_text(NAME, settings))
    (folder / "recipe.yaml").write_text(samples.recipe_text("folder.zip"))
    (result,) = build.build_components(where)
    assert set(entries(result.artifacts[0].path)) == kept


def test_recipe_without_artifacts_builds(where: project.Project) -> None:
    """A component that is only a recipe needs no archive."""
    folder = samples.add_component(where)
    (folder / "recipe.yaml").write_text(samples.recipe_text(None))
    (result,) = build.build_components(where)
    assert result.artifacts == ()


def test_second_build_does_nothing(where: project.Project) -> None:
    """Nothing is written when nothing changed."""
    folder = samples.add_component(where)
    outcomes(where)
    settle(where)
    before = {
        path: path.stat().st_mtime_ns for path in where.root.rglob("*") if path.name != "lock"
    }
    assert outcomes(where) == {NAME: "unchanged"}
    after = {path: path.stat().st_mtime_ns for path in where.root.rglob("*") if path.name != "lock"}
    assert before == after
    assert folder.is_dir()


def settle(where: project.Project) -> None:
    """Build until the cache trusts the files: they have to be older than a clock's tick."""
    deadline = time.monotonic() + 10
    cache = where.build_dir / "cache.json"
    while any(stamp[0] == -1 for stamp in json.loads(cache.read_text())["stamps"].values()):
        assert time.monotonic() < deadline
        build.build_components(where)


@pytest.mark.parametrize("settled", [True, False], ids=["old files", "files just written"])
def test_touching_a_file_changes_nothing(where: project.Project, settled: bool) -> None:
    """Only content, names and executable bits count."""
    folder = samples.add_component(where)
    outcomes(where)
    if settled:
        settle(where)
    (folder / "src" / "main.py").touch()
    (folder / "tests" / "new.py").write_text("left out of the archive")
    (folder / "empty").mkdir()
    assert outcomes(where) == {NAME: "unchanged"}


EDITS: dict[str, Callable[[Path], object]] = {
    "a byte of a source": lambda folder: (folder / "src/main.py").write_text("print('hellp')\n"),
    "the recipe": lambda folder: (folder / "recipe.yaml").open("a").write("# more\n"),
    "the configuration": lambda folder: (folder / "gdk-config.json").open("a").write("\n"),
    "an executable bit": lambda folder: (folder / "src/main.py").chmod(0o755),
    "a new file": lambda folder: (folder / "new.txt").touch(),
    "a deleted file": lambda folder: (folder / "data.txt").unlink(),
    "a renamed file": lambda folder: (folder / "data.txt").rename(folder / "data2.txt"),
}


@pytest.mark.filterwarnings("ignore:unclosed file")
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_edit_rebuilds_one_component(
    where: project.Project, edit: Callable[[Path], object]
) -> None:
    """An edit rebuilds the component it was made in, and no other, not even its dependants."""
    folder = samples.add_component(where, files={"data.txt": "1"})
    samples.add_component(where, f"{NAME}Model", needs={NAME: ">=1.0.0"})
    outcomes(where)
    edit(folder)
    assert outcomes(where) == {NAME: "built", f"{NAME}Model": "unchanged"}
    assert set(outcomes(where).values()) == {"unchanged"}


def test_edit_that_keeps_size_and_times_is_seen(where: project.Project) -> None:
    """An edit that sets size and modification time back is seen all the same."""
    folder = samples.add_component(where)
    outcomes(where)
    settle(where)
    path = folder / "src/main.py"
    status = path.stat()
    path.write_text("print('hellp')\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert outcomes(where) == {NAME: "built"}


DAMAGE: dict[str, Callable[[Path], object]] = {
    "archive gone": lambda out: next(out.rglob("*.zip")).unlink(),
    "archive edited": lambda out: next(out.rglob("*.zip")).write_bytes(b"x"),
    "recipe edited": lambda out: (out / "recipes/recipe.yaml").write_text("x"),
    "file added": lambda out: (out / "recipes/other.yaml").write_text("x"),
    "all gone": lambda out: out.rename(out.parent.parent.parent / "away"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_output_is_built_again(
    where: project.Project, damage: Callable[[Path], object]
) -> None:
    """Output that is not what the build left there is built again."""
    folder = samples.add_component(where)
    outcomes(where)
    wanted = samples.tree(folder / "greengrass-build")
    damage(folder / "greengrass-build")
    assert outcomes(where) == {NAME: "built"}
    assert samples.tree(folder / "greengrass-build") == wanted


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}', "\0"], ids=repr)
def test_cache_can_be_damaged_or_deleted(where: project.Project, content: str) -> None:
    """A damaged cache costs a build and nothing else."""
    folder = samples.add_component(where)
    outcomes(where)
    wanted = samples.tree(folder / "greengrass-build")
    (where.build_dir / "cache.json").write_text(content)
    assert outcomes(where) == {NAME: "built"}
    assert samples.tree(folder / "greengrass-build") == wanted


def test_names_select_components(where: project.Project) -> None:
    """A component is named by itself or by its folder; the others stay as they are."""
    samples.add_component(where, folder="hello")
    samples.add_component(where, "com.example.Other")
    assert outcomes(where, "com.example.Other") == {"com.example.Other": "built"}
    assert outcomes(where, "hello", NAME) == {NAME: "built"}
    assert outcomes(where) == {NAME: "unchanged", "com.example.Other": "unchanged"}


def test_component_that_is_gone_is_forgotten(where: project.Project) -> None:
    """The cache holds nothing about components that were removed."""
    folder = samples.add_component(where)
    samples.add_component(where, "com.example.Other")
    outcomes(where)
    folder.rename(where.root / "away")
    outcomes(where)
    assert NAME not in (where.build_dir / "cache.json").read_text()


def test_links_are_followed(where: project.Project) -> None:
    """The content that a link leads to is archived, and a change to it rebuilds the component."""
    folder = samples.add_component(where)
    samples.write_files(where.shared_dir, {"lib/a.py": "1", "lib/__pycache__/a.pyc": "x"})
    (folder / "src" / "lib").symlink_to("../../_shared/lib")
    samples.add_component(where, "com.example.Other")
    (result, _) = build.build_components(where)
    assert entries(result.artifacts[0].path) == ["src/lib/a.py", "src/main.py"]
    (where.shared_dir / "lib" / "a.py").write_text("2")
    assert outcomes(where) == {NAME: "built", "com.example.Other": "unchanged"}


def test_shared_files_count_where_the_configuration_names_them(where: project.Project) -> None:
    """A component whose gdk-config.json says `_shared` has that whole folder as an input."""
    script = "import shutil; shutil.copy('recipe.yaml', 'greengrass-build/recipes')\n"
    samples.add_custom(where, script, archive=None, extra={"uses": "../_shared"})
    samples.add_component(where)
    samples.write_files(where.shared_dir, {"lib/a.py": "1"})
    outcomes(where)
    (where.shared_dir / "lib" / "a.py").write_text("2")
    assert outcomes(where) == {"com.example.Custom": "built", NAME: "unchanged"}


def _nothing(_folder: Path) -> None:
    """Leave the component as it is."""


def _rewrite(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def _config(**changes: object) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        settings = {"build_system": "zip", "options": {"zip_name": ""}} | changes
        (folder / "gdk-config.json").write_text(samples.config_text(NAME, settings))

    return write


PLACE = f"components/{NAME}"
REFUSALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no configuration": (
        lambda folder: (folder / "gdk-config.json").unlink(),
        f"cannot build {PLACE}: it has no gdk-config.json",
    ),
    "configuration is no JSON": (
        _rewrite("gdk-config.json", "{"),
        (
            f"{PLACE}/gdk-config.json: cannot be read as JSON: "
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
        ),
    ),
    "configuration is a list": (
        _rewrite("gdk-config.json", "[]"),
        f"{PLACE}/gdk-config.json: the whole: should be an object",
    ),
    "two components": (
        _rewrite("gdk-config.json", '{"component": {"a": {}, "b": {}}}'),
        f"{PLACE}/gdk-config.json: component: should hold exactly one component",
    ),
    "a name with a slash": (
        _rewrite("gdk-config.json", '{"component": {"../a": {}}}'),
        f"{PLACE}/gdk-config.json: component: '../a' is no component name",
    ),
    "a name that leads up": (
        _rewrite("gdk-config.json", '{"component": {"..": {}}}'),
        f"{PLACE}/gdk-config.json: component: '..' is no component name",
    ),
    "no version": (
        _rewrite(
            "gdk-config.json",
            '{"component": {"a": {"author": "b", "build": {"build_system": "zip"}}}}',
        ),
        f"{PLACE}/gdk-config.json: component/a/version: is missing",
    ),
    "a version that is none": (
        lambda folder: samples.write_files(
            folder,
            {"gdk-config.json": samples.config_text(NAME, {"build_system": "zip"}, "../1.0")},
        ),
        (
            f"{PLACE}/gdk-config.json: component/{NAME}/version: cannot read version '../1.0': "
            "must be MAJOR.MINOR.PATCH as in 1.0.0, or NEXT_PATCH"
        ),
    ),
    "maven": (
        _config(build_system="maven"),
        (
            f"{PLACE}/gdk-config.json: component/{NAME}/build/build_system: "
            "'maven' is not supported; use 'zip', or 'custom' with the command that builds it"
        ),
    ),
    "unknown build system": (
        _config(build_system="tar"),
        (
            f"{PLACE}/gdk-config.json: component/{NAME}/build/build_system: 'tar' is unknown; "
            "use 'zip', or 'custom' with the command that builds it"
        ),
    ),
    "custom without command": (
        _config(build_system="custom"),
        (
            f"{PLACE}/gdk-config.json: component/{NAME}/build/custom_build_command: "
            "should be a command: a text, or a list of texts"
        ),
    ),
    "custom with a quote too many": (
        _config(build_system="custom", custom_build_command="sh -c 'x"),
        (
            f"{PLACE}/gdk-config.json: component/{NAME}/build/custom_build_command: "
            "should be a command: a text, or a list of texts"
        ),
    ),
    "zip name with a folder": (
        _config(options={"zip_name": "../x"}),
        (
            f"{PLACE}/gdk-config.json: component/{NAME}/build/options/zip_name: "
            "should be a file name without folder"
        ),
    ),
    "excludes that are no list": (
        _config(options={"excludes": "x"}),
        (
            f"{PLACE}/gdk-config.json: component/{NAME}/build/options/excludes: "
            "should be a list of patterns"
        ),
    ),
    "metadata of uploads that is no object": (
        _rewrite(
            "gdk-config.json",
            '{"component": {"a": {"author": "b", "version": "1.0.0", "build": {"build_system": '
            '"zip"}, "publish": {"options": {"file_upload_args": {"Metadata": "x"}}}}}}',
        ),
        (
            f"{PLACE}/gdk-config.json: component/a/publish/options/file_upload_args/Metadata: "
            "should be an object"
        ),
    ),
    "no recipe": (
        lambda folder: (folder / "recipe.yaml").unlink(),
        f"cannot build {NAME}: {PLACE} has neither recipe.json nor recipe.yaml",
    ),
    "two recipes": (
        _rewrite("recipe.json", "{}"),
        f"cannot build {NAME}: {PLACE} has both recipe.json and recipe.yaml",
    ),
    "recipe too large": (
        _rewrite("recipe.yaml", "#" * 16_001),
        f"{PLACE}/recipe.yaml: cannot use a recipe of 16001 bytes: 16000 is the most",
    ),
    "artifact that no build gives": (
        _rewrite("recipe.yaml", samples.recipe_text("other.zip")),
        (
            f"{PLACE}/recipe.yaml: Manifests/0/Artifacts/0: cannot find the artifact other.zip: "
            f"the build of {NAME} gives {NAME}.zip"
        ),
    ),
    "a link to nothing": (
        lambda folder: (folder / "src/link").symlink_to("nowhere"),
        "cannot read {root}/components/com.example.Hello/src/link: no such file or directory",
    ),
    "a link to a folder above": (
        lambda folder: (folder / "src/link").symlink_to(".."),
        (
            "cannot build {root}/components/com.example.Hello/src/link: "
            "the link leads back to a folder above it"
        ),
    ),
    "a pipe": (
        lambda folder: os.mkfifo(folder / "src/pipe"),
        (
            "cannot build {root}/components/com.example.Hello/src/pipe: "
            "it is neither a file nor a folder"
        ),
    ),
    "a name that is no UTF-8": (
        lambda folder: Path(os.fsdecode(os.fsencode(folder) + b"/src/\xff")).touch(),
        (
            "cannot build '{root}/components/com.example.Hello/src/\\udcff': "
            "its name is not valid UTF-8"
        ),
    ),
}


@pytest.mark.parametrize(("spoil", "sentence"), REFUSALS.values(), ids=REFUSALS.keys())
def test_bad_input_is_refused(
    where: project.Project, spoil: Callable[[Path], object], sentence: str
) -> None:
    """Bad input gets one sentence that names the place, and the former output stays."""
    folder = samples.add_component(where)
    outcomes(where)
    former = samples.tree(folder / "greengrass-build")
    spoil(folder)
    assert refusal(where) == sentence.replace("{root}", str(where.root))
    assert samples.tree(folder / "greengrass-build") == former
    assert not (where.build_dir / "staging").exists()


RECIPES = {
    "broken YAML": ("a: [", "cannot read YAML"),
    "no object": ("- a", "must be"),
    "unknown key": (samples.recipe_text() + "Surprise: 1\n", "Surprise"),
    "unarchive tar": (samples.recipe_text().replace("ZIP", "TAR"), "Unarchive"),
    "wrong version range": (
        samples.recipe_text(needs={"a": ">=one"}),
        "ComponentDependencies/a/VersionRequirement: cannot read version range '>=one'",
    ),
}


@pytest.mark.parametrize(("text", "part"), RECIPES.values(), ids=RECIPES.keys())
def test_bad_recipe_is_refused(where: project.Project, text: str, part: str) -> None:
    """A bad recipe is refused by file and place in it."""
    folder = samples.add_component(where)
    (folder / "recipe.yaml").write_text(text)
    said = refusal(where)
    assert said.startswith(f"components/{NAME}/recipe.yaml: ")
    assert part in said
    assert "\n" not in said


def test_two_components_of_one_name_are_refused(where: project.Project) -> None:
    """Two folders cannot hold the same component."""
    samples.add_component(where, folder="a")
    samples.add_component(where, folder="b")
    assert refusal(where) == (
        f"components/b/gdk-config.json: component: {NAME} is the name of another component, "
        "see components/a/gdk-config.json"
    )


def test_unknown_name_is_refused(where: project.Project) -> None:
    """A name that no component has is refused, and the hint lists those there are."""
    samples.add_component(where)
    with pytest.raises(errors.FleetError) as told:
        build.build_components(where, ["com.example.Hell"])
    assert str(told.value) == (
        "cannot find com.example.Hell: components/ has no component of that name"
    )
    assert told.value.hint is not None
    assert NAME in told.value.hint


# Builds with build system `custom`

CUSTOM = """
import pathlib, shutil, zipfile
out = pathlib.Path("greengrass-build")
assert not [path for path in out.rglob("*") if path.is_file()], "a build begins empty"
shutil.copy("recipe.yaml", out / "recipes")
place = out / "artifacts/com.example.Custom/NEXT_PATCH"
pathlib.Path("made.txt").write_text("left behind by the build")
entry = zipfile.ZipInfo("ENTRY")
with zipfile.ZipFile(place / "model.zip", "w") as archive:
    archive.writestr(entry, "model")
"""


def test_custom_command_builds(where: project.Project) -> None:
    """The command puts recipe and artifacts in place itself; its recipe is not transformed."""
    folder = samples.add_custom(where, CUSTOM.replace("ENTRY", "a.onnx"))
    (result,) = build.build_components(where)
    assert [item.path.name for item in result.artifacts] == ["model.zip"]
    assert (folder / "greengrass-build/recipes/recipe.yaml").read_text() == samples.recipe_text(
        "model.zip"
    )


def test_what_a_command_leaves_behind_is_no_input_if_git_ignores_it(
    where: project.Project,
) -> None:
    """Files that git ignores are no inputs of a custom build, so a second build does nothing."""
    samples.add_custom(where, CUSTOM.replace("ENTRY", "a.onnx"))
    (where.root / ".gitignore").write_text("made.txt\ngreengrass-build/\n")
    subprocess.run(["git", "init", "-q", str(where.root)], check=True)
    outcomes(where)
    assert outcomes(where) == {"com.example.Custom": "unchanged"}


CUSTOM_REFUSALS = {
    "the command fails": (
        "import sys; print('no compiler', file=sys.stderr); sys.exit(3)",
        "cannot build com.example.Custom: `python3 build.py` ended with 3\n  no compiler",
    ),
    "no recipe": (
        "pass",
        (
            "cannot build com.example.Custom: its command left 0 recipes in "
            "components/com.example.Custom/greengrass-build/recipes"
        ),
    ),
    "artifact absent": (
        "import shutil; shutil.copy('recipe.yaml', 'greengrass-build/recipes')",
        (
            "components/com.example.Custom/greengrass-build/recipes/recipe.yaml: "
            "Manifests/0/Artifacts/0: cannot find the artifact model.zip: "
            "the build of com.example.Custom gives no file"
        ),
    ),
    "no artifacts folder": (
        "import shutil; shutil.rmtree('greengrass-build/artifacts')",
        (
            "cannot read {root}/components/com.example.Custom/greengrass-build/artifacts/"
            "com.example.Custom/NEXT_PATCH: no such file or directory"
        ),
    ),
    "zip entry that escapes": (
        CUSTOM.replace("ENTRY", "../../evil.sh"),
        (
            "cannot use components/com.example.Custom/greengrass-build/artifacts/"
            "com.example.Custom/NEXT_PATCH/model.zip: its entry '../../evil.sh' escapes its folder"
        ),
    ),
}


@pytest.mark.parametrize(
    ("script", "sentence"), CUSTOM_REFUSALS.values(), ids=CUSTOM_REFUSALS.keys()
)
def test_bad_custom_build_leaves_the_former_output(
    where: project.Project, script: str, sentence: str
) -> None:
    """A custom build that fails, or leaves what cannot be released, is refused and undone."""
    folder = samples.add_custom(where, CUSTOM.replace("ENTRY", "a.onnx"))
    outcomes(where)
    former = samples.tree(folder / "greengrass-build")
    samples.add_custom(where, script)
    assert refusal(where) == sentence.replace("{root}", str(where.root))
    assert samples.tree(folder / "greengrass-build") == former


def test_missing_command_is_refused(where: project.Project) -> None:
    """A command that is not there is named, with the file that names it."""
    folder = samples.add_custom(where, "")
    settings = {"build_system": "custom", "custom_build_command": "no-such-tool --fast"}
    (folder / "gdk-config.json").write_text(samples.config_text("com.example.Custom", settings))
    assert refusal(where) == (
        "cannot build com.example.Custom: cannot run 'no-such-tool': No such file or directory"
    )


# Reproducible, atomic, concurrent

PROGRAM = """
import os, sys
os.umask(int(sys.argv[2], 8))
from pathlib import Path
from verge.fleet import build, project
where = project.Project(Path(sys.argv[1]))
build.build_components(where, report=lambda line: print(line, flush=True))
"""


def run_build(root: Path, *, umask: str = "022", **environment: str) -> subprocess.Popen[str]:
    """Start a build in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(root), umask],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a build to end well and return what it printed."""
    with process:
        said, _ = process.communicate(timeout=50)
        assert process.returncode == 0
        return said


def outputs(where: project.Project) -> dict[str, dict[str, bytes]]:
    """Return the build output of every component."""
    return {folder.name: samples.tree(folder / "greengrass-build") for folder in where.folders()}


def copy_sources(source: project.Project, target: project.Project, seed: int) -> None:
    """Copy the components in another order, with other times, to another place."""
    paths = [
        path for path in source.components_dir.rglob("*") if "greengrass-build" not in str(path)
    ]
    chance = random.Random(seed)  # noqa: S311 - an order, no secret
    chance.shuffle(paths)
    for path in paths:
        place = target.components_dir / path.relative_to(source.components_dir)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            place.symlink_to(path.readlink())
        elif path.is_file():
            place.write_bytes(path.read_bytes())
            place.chmod(0o700 if path.stat().st_mode & 0o100 else 0o600)
            os.utime(place, (chance.randrange(10**9), chance.randrange(10**9)))


def test_two_folders_give_the_same_bytes(where: project.Project, tmp_path: Path) -> None:
    """Folder, umask, times, file order, time zone and language of a build do not show."""
    samples.write_files(where.shared_dir, {"lib/a.py": "1"})
    for name in ("com.example.A", "com.example.B"):
        folder = samples.add_component(
            where, name, files={f"src/{letter}.txt": letter for letter in "zyxäÄabc"}
        )
        (folder / "src/run.sh").write_text("#!/bin/sh\n")
        (folder / "src/run.sh").chmod(0o755)
        (folder / "src/lib").symlink_to("../../_shared/lib")
    other = samples.make_project(tmp_path / "elsewhere" / "deep")
    copy_sources(where, other, seed=7)
    finish(run_build(where.root, umask="022", TZ="UTC", LC_ALL="C"))
    finish(
        run_build(other.root, umask="077", TZ="Asia/Tokyo", LC_ALL="C.UTF-8", PYTHONHASHSEED="3")
    )
    assert outputs(where) == outputs(other)
    found = build.build_components(where)
    assert [r.identity for r in found] == [r.identity for r in build.build_components(other)]


@pytest.mark.skipif(
    not (REPOSITORY / "components").is_dir(), reason="there are no components in this repository"
)
def test_components_of_this_repository_are_reproducible(tmp_path: Path) -> None:
    """The components shipped here give the same bytes in two folders."""
    repository = project.Project(REPOSITORY)
    made = [samples.make_project(tmp_path / name) for name in ("one", "two")]
    for number, copy in enumerate(made):
        copy_sources(repository, copy, seed=number)
        # Models link to their golden pictures, what speaks IPC to the codec of its frames.
        for name in ("pictures", "src"):
            (copy.root / name).symlink_to(REPOSITORY / name)
        finish(run_build(copy.root, umask="022" if number else "077"))
    assert outputs(made[0]) == outputs(made[1])


def test_killed_build_leaves_old_or_new(where: project.Project) -> None:
    """A build killed at any moment leaves whole output, and the next build finishes the job."""
    folder = samples.add_component(where)
    large = folder / "large.bin"
    versions: list[dict[str, bytes]] = []
    for fill in (b"\1", b"\2"):
        large.write_bytes(fill * 3_000_000)
        outcomes(where)
        versions.append(samples.tree(folder / "greengrass-build"))
    cut_short = 0
    for attempt in range(12):
        large.write_bytes(bytes([1 + attempt % 2]) * 3_000_000)
        process = run_build(where.root)
        assert process.stdout is not None
        process.stdout.readline()  # the build of the component has begun
        timer = threading.Timer(attempt * 0.002, process.send_signal, [signal.SIGKILL])
        timer.start()
        with process:
            cut_short += process.wait(30) == -signal.SIGKILL
        timer.join()
        assert samples.tree(folder / "greengrass-build") in versions
        outcomes(where)
        assert samples.tree(folder / "greengrass-build") == versions[attempt % 2]
        assert not (where.build_dir / "staging").exists()
    assert cut_short


def test_killed_custom_build_is_built_again(where: project.Project) -> None:
    """The half output of a custom build that was killed never counts as built."""
    # The command goes on writing after the build is gone.
    wait = "import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(0.3)\n"
    folder = samples.add_custom(where, CUSTOM.replace("ENTRY", "a.onnx"))
    outcomes(where)
    wanted = samples.tree(folder / "greengrass-build")
    script = (folder / "build.py").read_text()
    (folder / "build.py").write_text(wait + script)
    with run_build(where.root) as process:
        process.communicate(timeout=30)
    (folder / "build.py").write_text(script)
    assert outcomes(where) == {"com.example.Custom": "built"}
    assert samples.tree(folder / "greengrass-build") == wanted


def test_builds_at_once_take_turns(where: project.Project) -> None:
    """Of builds that run at once one builds, and the others find the work done."""
    for number in range(5):
        samples.add_component(where, f"com.example.C{number}")
    said = [finish(process) for process in [run_build(where.root) for _ in range(4)]]
    built = [line for text in said for line in text.splitlines() if line.startswith("Building")]
    assert len(built) == 5
    assert set(outcomes(where).values()) == {"unchanged"}


def test_waiting_build_says_for_whom(where: project.Project) -> None:
    """A build that has to wait names the command and the process that hold the lock."""
    folder = samples.add_custom(where, "import pathlib, time\n" + CUSTOM.replace("ENTRY", "a"))
    go = where.root / "go"
    script = (
        f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)\n"
    )
    (folder / "build.py").write_text(script + (folder / "build.py").read_text())
    first = run_build(where.root)
    assert first.stdout is not None
    assert first.stdout.readline() == "Building com.example.Custom\n"
    said: list[str] = []

    def heard(line: str) -> None:
        said.append(line)
        go.touch()

    build.build_components(where, report=heard)
    finish(first)
    assert said[0].startswith(f"Waiting for build of process {first.pid}, under way since ")


# Folders that cannot be written


def test_state_folder_that_is_a_file_is_told(where: project.Project) -> None:
    """A state folder that cannot be made is named with the reason."""
    samples.add_component(where)
    where.state_dir.write_text("")
    assert refusal(where) == f"cannot write {where.build_dir}: not a directory"


TELL = """
import sys
from pathlib import Path
from verge.fleet import build, errors, project
try:
    build.build_components(project.Project(Path(sys.argv[1])))
except errors.FleetError as error:
    print(error.message, error.hint, sep="|")
"""


def run_program(*command: str, where: project.Project) -> str:
    """Run TELL under a command that limits what it may do and return what it said."""
    done = subprocess.run(
        [*command, sys.executable, "-c", TELL, str(where.root)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def as_ordinary_user() -> list[str]:
    """Return the command that makes permissions count, for root too."""
    if os.geteuid():
        return []
    command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    if not shutil.which("setpriv") or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("root writes everywhere, and setpriv cannot take that away here")
    return command


@pytest.mark.parametrize("place", ["components/com.example.Hello", ".verge/build"])
def test_read_only_folder_is_told(where: project.Project, place: str) -> None:
    """A folder that cannot be written is named with the reason and a next step."""
    folder = samples.add_component(where)
    outcomes(where)
    former = samples.tree(folder / "greengrass-build")
    (folder / "src/main.py").write_text("2")
    (where.root / place).chmod(0o555)
    try:
        said = run_program(*as_ordinary_user(), where=where)
    finally:
        (where.root / place).chmod(0o755)
    assert said.startswith(f"cannot write {where.root / place}")
    assert said.endswith(
        "permission denied|make it writable for this user and run the command again"
    )
    assert samples.tree(folder / "greengrass-build") == former


def test_full_disk_is_told(where: project.Project) -> None:
    """A file system without space gives one sentence, and nothing half-done stays."""
    folder = samples.add_component(where)
    outcomes(where)
    former = samples.tree(folder / "greengrass-build")
    (folder / "large.bin").write_bytes(b"1" * 2_000_000)
    limit = "ulimit -f 500; trap '' XFSZ; exec \"$@\""
    said = run_program("bash", "-c", limit, "bash", where=where)
    assert said.startswith("cannot write ")
    assert "file too large" in said
    assert samples.tree(folder / "greengrass-build") == former
    assert not (where.build_dir / "staging").exists()
