from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.fleet import samples
from verge.fleet import build, bundle, errors, project
from verge.recipe import loading

NAME = "com.example.Hello"
SOURCES = Path(__file__).resolve().parents[3] / "src"


PROGRAM = """
import sys
from pathlib import Path
from verge.fleet import bundle, project
where = project.Project(Path(sys.argv[1]))
bundle.build_bundle(where, report=lambda line: print(line, flush=True))
"""


def edit(folder: Path, text: str) -> None:
    """Change what a component is made of."""
    (folder / "src/main.py").write_text(text)


def test_bundle_holds_what_a_cloud_would_hand_out(where: project.Project) -> None:
    """Recipes carry version, place and digest; the index lists files with size and SHA-256."""
    folder = samples.add_component(where)
    made = bundle.build_bundle(where)
    (result,) = build.build_components(where)
    content = result.artifacts[0].path.read_bytes()
    digest = hashlib.sha256(content)
    assert json.loads((where.bundle_dir / "bundle.json").read_bytes()) == made.document
    assert made.document == {
        "format": 1,
        "components": {
            NAME: {
                "version": "1.0.0",
                "identity": result.identity,
                "recipe": f"recipes/{NAME}-1.0.0.yaml",
                "artifacts": [
                    {"file": f"{NAME}.zip", "sha256": digest.hexdigest(), "size": len(content)}
                ],
            }
        },
    }
    recipe = loading.load_recipe(where.bundle_dir / f"recipes/{NAME}-1.0.0.yaml", strict=True)
    (artifact,) = recipe.manifests[0].artifacts
    assert (recipe.name, recipe.version) == (NAME, "1.0.0")
    assert artifact.uri == f"s3://BUCKET_NAME/{NAME}/1.0.0/{NAME}.zip"
    assert artifact.digest == base64.b64encode(digest.digest()).decode()
    assert artifact.algorithm == "SHA-256"
    assert (where.bundle_dir / f"artifacts/{NAME}/1.0.0/{NAME}.zip").read_bytes() == content
    assert made.new_versions == {NAME: "1.0.0"}
    assert folder.is_dir()


def test_second_bundle_writes_nothing(where: project.Project) -> None:
    """Where nothing changed the bundle stays the very same files."""
    samples.add_component(where)
    bundle.build_bundle(where)
    before = {path: path.stat().st_ino for path in where.bundle_dir.rglob("*")}
    again = bundle.build_bundle(where)
    assert again.new_versions == {}
    assert {path: path.stat().st_ino for path in where.bundle_dir.rglob("*")} == before


def test_versions_follow_from_content(where: project.Project) -> None:
    """New content gets the next patch, known content its own version, others keep theirs."""
    folder = samples.add_component(where)
    samples.add_component(where, "com.example.Other")
    seen = []
    for text in ("1", "2", "2", "3", "2"):
        edit(folder, text)
        seen.append(bundle.build_bundle(where).versions)
    assert [versions[NAME] for versions in seen] == ["1.0.0", "1.0.1", "1.0.1", "1.0.2", "1.0.1"]
    assert {versions["com.example.Other"] for versions in seen} == {"1.0.0"}
    assert not (where.bundle_dir / f"recipes/{NAME}-1.0.2.yaml").exists()


def test_what_does_not_change_the_output_makes_no_version(where: project.Project) -> None:
    """A rebuild that gives the same output keeps the version."""
    folder = samples.add_component(where)
    bundle.build_bundle(where)
    with (folder / "recipe.yaml").open("a") as stream:
        stream.write("# a comment\n")
    assert bundle.build_bundle(where).new_versions == {}


def test_fixed_version_is_immutable(where: project.Project) -> None:
    """A fixed version is taken as it is, and refused once its content has changed."""
    folder = samples.add_component(where, version="2.1.0")
    assert bundle.build_bundle(where).versions == {NAME: "2.1.0"}
    former = samples.tree(where.bundle_dir)
    edit(folder, "other")
    with pytest.raises(errors.FleetError) as told:
        bundle.build_bundle(where)
    assert str(told.value) == (
        f"cannot release {NAME} 2.1.0: "
        "its content differs from the one released under this version before"
    )
    assert told.value.hint == (
        f"raise the version in components/{NAME}/gdk-config.json, or set it to NEXT_PATCH"
    )
    assert samples.tree(where.bundle_dir) == former


def test_next_patch_continues_after_a_fixed_version(where: project.Project) -> None:
    """NEXT_PATCH continues from the highest version there ever was, numerically."""
    folder = samples.add_component(where, version="1.9.10")
    bundle.build_bundle(where)
    config = folder / "gdk-config.json"
    config.write_text(config.read_text().replace("1.9.10", "NEXT_PATCH"))
    assert bundle.build_bundle(where).versions == {NAME: "1.9.11"}


@pytest.mark.parametrize("damage", ["recipe", "artifact", "index", "extra", "all"])
def test_damaged_bundle_is_made_again(where: project.Project, damage: str) -> None:
    """A bundle that is not what was written is replaced by what it should be."""
    samples.add_component(where)
    bundle.build_bundle(where)
    wanted = samples.tree(where.bundle_dir)
    path = {
        "recipe": where.bundle_dir / f"recipes/{NAME}-1.0.0.yaml",
        "artifact": where.bundle_dir / f"artifacts/{NAME}/1.0.0/{NAME}.zip",
        "index": where.bundle_dir / "bundle.json",
        "extra": where.bundle_dir / "recipes/extra.yaml",
    }.get(damage)
    if path:
        path.write_bytes(b"damaged")
    else:
        where.bundle_dir.rename(where.root / "away")
    assert bundle.build_bundle(where).new_versions == {}
    assert samples.tree(where.bundle_dir) == wanted


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2}'], ids=repr)
def test_damaged_memory_of_versions_is_refused(where: project.Project, content: str) -> None:
    """Versions are never given out anew by mistake: a damaged memory stops the bundle."""
    samples.add_component(where)
    bundle.build_bundle(where)
    where.releases_file.write_text(content)
    with pytest.raises(
        errors.FleetError, match=r"cannot use \.verge/releases\.json: it is damaged"
    ):
        bundle.build_bundle(where)


def test_state_can_be_deleted(where: project.Project) -> None:
    """Without `.verge` versions begin anew."""
    folder = samples.add_component(where)
    bundle.build_bundle(where)
    edit(folder, "2")
    bundle.build_bundle(where)
    where.state_dir.rename(where.root / "away")
    assert bundle.build_bundle(where).versions == {NAME: "1.0.0"}


DEPENDENCIES = {
    "missing": (
        {"com.example.None": ">=1.0.0"},
        (
            f"cannot bundle {NAME}: cannot find the dependency com.example.None: "
            "components/ has no component of that name"
        ),
    ),
    "range not met": (
        {"com.example.Other": ">=2.0.0"},
        f"cannot bundle {NAME}: cannot satisfy '>=2.0.0': com.example.Other has version 1.0.0",
    ),
    "cycle": (
        {"com.example.Needy": "*"},
        (f"cannot bundle {NAME}: there is a dependency cycle: {NAME} → com.example.Needy → {NAME}"),
    ),
}


@pytest.mark.parametrize(("needs", "sentence"), DEPENDENCIES.values(), ids=DEPENDENCIES.keys())
def test_unsatisfiable_dependency_is_refused(
    where: project.Project, needs: dict[str, str], sentence: str
) -> None:
    """A bundle in which a dependency cannot be satisfied is not made."""
    samples.add_component(where, needs=needs)
    samples.add_component(where, "com.example.Other")
    samples.add_component(where, "com.example.Needy", needs={NAME: "*"})
    with pytest.raises(errors.FleetError) as told:
        bundle.build_bundle(where)
    assert str(told.value) == sentence
    assert not where.bundle_dir.exists()
    assert not where.releases_file.exists()


def test_components_of_greengrass_itself_are_provided(where: project.Project) -> None:
    """A dependency on one of AWS's own components is left to the nucleus."""
    samples.add_component(where, needs={"aws.greengrass.Nucleus": ">=2.0.0 <3.0.0"})
    assert bundle.build_bundle(where).versions == {NAME: "1.0.0"}


def test_uploaded_artifact_cannot_be_bundled(where: project.Project) -> None:
    """An artifact that lies in a bucket builds, but devices without a cloud could not fetch it."""
    folder = samples.add_component(where)
    text = samples.recipe_text("x").replace("BUCKET_NAME/COMPONENT_NAME", "models-eu/yolo")
    (folder / "recipe.yaml").write_text(text)
    (result,) = build.build_components(where)
    assert result.artifacts == ()
    with pytest.raises(errors.FleetError, match="cannot find the artifact x"):
        bundle.build_bundle(where)


def test_killed_bundle_is_old_or_new(where: project.Project) -> None:
    """A bundle killed at any moment is whole, and its versions never change their content."""
    folder = samples.add_component(where)
    seen: dict[str, str] = {}
    for attempt in range(10):
        (folder / "large.bin").write_bytes(bytes([attempt]) * 2_000_000)
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(where.root)],
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        timer = threading.Timer(attempt * 0.004, process.send_signal, [signal.SIGKILL])
        timer.start()
        with process:
            process.wait(30)
        timer.join()
        if where.bundle_dir.exists():
            check_whole(where.bundle_dir)
        version = bundle.build_bundle(where).versions[NAME]
        check_whole(where.bundle_dir)
        (artifact,) = where.bundle_dir.rglob("*.zip")
        content = hashlib.sha256(artifact.read_bytes()).hexdigest()
        assert seen.setdefault(version, content) == content
    assert len(seen) == 10


def check_whole(folder: Path) -> None:
    """Fail unless a bundle holds exactly what its index says."""
    document = json.loads((folder / "bundle.json").read_bytes())
    wanted = {"bundle.json"}
    for name, entry in document["components"].items():
        wanted.add(entry["recipe"])
        loading.load_recipe(folder / entry["recipe"], strict=True)
        for item in entry["artifacts"]:
            path = f"artifacts/{name}/{entry['version']}/{item['file']}"
            wanted.add(path)
            content = (folder / path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == item["sha256"]
    assert set(samples.tree(folder)) == wanted
