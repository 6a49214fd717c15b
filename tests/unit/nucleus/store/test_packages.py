"""The component store: artifacts in, links, retention."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from tests.support import recipes
from verge.nucleus import errors, paths, settings
from verge.nucleus.store import archive, composition, packages, state
from verge.recipe import model

PRESS = "com.example.Press"


@pytest.fixture
def where(tmp_path: Path) -> paths.Paths:
    found = paths.Paths(tmp_path / "root")
    found.create()
    return found


@pytest.fixture
def store(where: paths.Paths) -> packages.PackageStore:
    return packages.PackageStore(settings.Settings(where))


def artifact(name: str, content: bytes | None = None, **more: object) -> model.Artifact:
    stated = {"digest": recipes.digest(content), "algorithm": "SHA-256"} if content else {}
    return model.Artifact(uri=f"s3://B/{name}", **stated, **more)  # type: ignore[arg-type]


def give(tmp_path: Path, name: str, content: bytes, version: str = "1.0.0") -> Path:
    file = tmp_path / "artifacts" / PRESS / version / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return tmp_path / "artifacts"


def install(
    store: packages.PackageStore, package: composition.Package, recipe: str = "x"
) -> state.Installed:
    store.put(package)
    installed = state.Installed(
        name=package.component,
        version=package.version,
        recipe_text=recipe,
        content=package.content,
    )
    store.link(installed)
    return installed


def test_package_appears_under_its_known_paths(
    store: packages.PackageStore, where: paths.Paths, tmp_path: Path
) -> None:
    """Files and unpacked archives lie where recipes look for them, with the stated permission."""
    given = give(tmp_path, "app.zip", content := recipes.archive({"app/main.py": b"print()"}))
    permission = model.Permission(execute=model.Access.ALL)
    one = artifact("app.zip", content, unarchive=model.Unarchive.ZIP, permission=permission)
    install(store, store.locate(PRESS, "1.0.0", [one], given))
    assert (where.artifacts(PRESS, "1.0.0") / "app.zip").read_bytes() == content
    main = where.unarchived(PRESS, "1.0.0") / "app" / "app" / "main.py"
    assert main.read_bytes() == b"print()"
    assert stat.S_IMODE(main.stat().st_mode) == 0o555
    assert stat.S_IMODE(main.parent.stat().st_mode) == 0o755
    assert where.recipe(PRESS, "1.0.0").read_text() == "x"


def test_artifact_with_the_time_and_size_of_the_former_one_is_another(
    store: packages.PackageStore, where: paths.Paths, tmp_path: Path
) -> None:
    """Reproducible builds give all files one time, and short changes keep the size."""
    for content in (b"old", b"new"):
        given = give(tmp_path, "data", content)
        os.utime(given / PRESS / "1.0.0" / "data", (1, 1))
        install(store, store.locate(PRESS, "1.0.0", [artifact("data")], given))
        assert (where.artifacts(PRESS, "1.0.0") / "data").read_bytes() == content


def test_digest_is_verified_while_copying(
    store: packages.PackageStore, where: paths.Paths, tmp_path: Path
) -> None:
    """A file that differs from its digest is refused, and nothing of it stays."""
    given = give(tmp_path, "data", b"truncat")
    package = store.locate(PRESS, "1.0.0", [artifact("data", b"truncated")], given)
    with pytest.raises(composition.ChecksumError, match="its SHA-256 is not the one in the recipe"):
        store.put(package)
    assert not list(where.contents.iterdir())
    assert not list(where.staging.iterdir())


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        pytest.param(artifact("absent"), "put it at .*/com.example.Press/1.0.0/absent", id="gone"),
        pytest.param(model.Artifact(uri="docker:x"), "scheme", id="docker"),
        pytest.param(model.Artifact(uri="s3://B/"), "no file name", id="no-name"),
        pytest.param(model.Artifact(uri="s3://B/.."), "no file name", id="dots"),
        pytest.param(
            model.Artifact(uri="s3://B/x", digest="!", algorithm="SHA-256"), "base64", id="digest"
        ),
        pytest.param(
            model.Artifact(uri="s3://B/x", digest="eA==", algorithm="MD5"), "MD5", id="algorithm"
        ),
    ],
)
def test_unusable_artifact_is_refused(
    store: packages.PackageStore, tmp_path: Path, one: model.Artifact, sentence: str
) -> None:
    """An artifact that is absent or cannot be verified is refused by its name."""
    with pytest.raises(errors.StoreError, match=sentence):
        store.locate(PRESS, "1.0.0", [one], tmp_path)


def test_two_artifacts_of_one_name_are_refused(
    store: packages.PackageStore, tmp_path: Path
) -> None:
    """Two URIs with the same last segment would be one file."""
    both = [model.Artifact(uri="s3://B/a/x"), model.Artifact(uri="s3://B/b/x")]
    with pytest.raises(errors.StoreError, match="two artifacts have the file name x"):
        store.locate(PRESS, "1.0.0", both, give(tmp_path, "x", b"1"))


def test_stored_content_needs_no_directory(store: packages.PackageStore, tmp_path: Path) -> None:
    """What the store holds is not asked for again."""
    one = artifact("data", b"data")
    install(store, store.locate(PRESS, "1.0.0", [one], give(tmp_path, "data", b"data")))
    again = store.locate(PRESS, "1.0.0", [one], None)
    assert store.has(again.content)


def test_open_file_survives_a_swap(
    store: packages.PackageStore, where: paths.Paths, tmp_path: Path
) -> None:
    """The same version with other content takes its place without touching files in use."""
    data = where.artifacts(PRESS, "1.0.0") / "data"
    install(store, store.locate(PRESS, "1.0.0", [artifact("data")], give(tmp_path, "data", b"old")))
    with data.open("rb") as used:
        given = give(tmp_path, "data", b"new")
        install(store, store.locate(PRESS, "1.0.0", [artifact("data")], given))
        assert used.read() == b"old"
    assert data.read_bytes() == b"new"


def test_only_kept_versions_stay(
    store: packages.PackageStore, where: paths.Paths, tmp_path: Path
) -> None:
    """Cleaning up removes links, content and recipes of all other versions."""
    installed = {}
    for version in ("1.0.0", "1.1.0"):
        given = give(tmp_path, "data", version.encode(), version)
        package = store.locate(PRESS, version, [artifact("data")], given)
        installed[version] = install(store, package)
    store.keep_only([(PRESS, "1.1.0", installed["1.1.0"].content)])
    assert [p.name for p in where.artifacts(PRESS, "x").parent.iterdir()] == ["1.1.0"]
    assert not store.has(installed["1.0.0"].content)
    assert [p.name for p in where.recipes.iterdir()] == [where.recipe(PRESS, "1.1.0").name]
    store.keep_only([])
    assert not list(where.contents.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only directories")
def test_unwritable_store_is_explained(
    store: packages.PackageStore, where: paths.Paths, tmp_path: Path
) -> None:
    """A store that cannot be written to is named in the refusal."""
    where.contents.chmod(0o500)
    package = store.locate(PRESS, "1.0.0", [artifact("data")], give(tmp_path, "data", b"x"))
    with pytest.raises(errors.StoreError, match="cannot store"):
        store.put(package)


def unpack(tmp_path: Path, limit: int = 10**9) -> list[Path]:
    return archive.unpack(tmp_path / "a.zip", tmp_path / "out", model.Permission(), limit)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "..", "a\\..\\evil", "./../x"]
)
def test_escaping_entry_is_refused(tmp_path: Path, name: str) -> None:
    """An entry that would land outside is refused before anything is written."""
    (tmp_path / "a.zip").write_bytes(recipes.archive({"good": b"1", name: b"2"}))
    with pytest.raises(archive.ArchiveError, match="would land outside"):
        unpack(tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK])
def test_link_or_device_is_refused(tmp_path: Path, kind: int) -> None:
    """An entry that is neither file nor directory is refused."""
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr(entry, "/etc/passwd")
    with pytest.raises(archive.ArchiveError, match="neither a file nor a directory"):
        unpack(tmp_path)


def test_bomb_is_refused(tmp_path: Path) -> None:
    """An archive that unpacks to more than there is room for is refused unopened."""
    (tmp_path / "a.zip").write_bytes(recipes.archive({"zeros": bytes(10_000_000)}))
    with pytest.raises(archive.ArchiveError, match="it would take 10000000 bytes"):
        unpack(tmp_path, limit=1_000_000)


def test_archive_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    """An entry longer than its header says does not get further than the header."""
    content = bytearray(recipes.archive({"zeros": bytes(1_000_000)}))
    directory = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, directory + 24, 10)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(archive.ArchiveError):
        unpack(tmp_path, limit=1000)
    written = sum(file.stat().st_size for file in (tmp_path / "out").rglob("*"))
    assert written <= 1000


@pytest.mark.parametrize("size", [0, 10, 50, 100, 115])
def test_truncated_archive_is_refused(tmp_path: Path, size: int) -> None:
    """An archive that was cut short is refused wherever the cut is."""
    whole = recipes.archive({"main.py": b"print('hello')"})
    assert size < len(whole)
    (tmp_path / "a.zip").write_bytes(whole[:size])
    with pytest.raises(archive.ArchiveError, match=r"a\.zip"):
        unpack(tmp_path)


def test_entry_that_is_file_and_directory_is_refused(tmp_path: Path) -> None:
    """Entries that contradict one another are refused."""
    (tmp_path / "a.zip").write_bytes(recipes.archive({"a": b"1", "a/b": b"2"}))
    with pytest.raises(archive.ArchiveError, match="cannot unpack"):
        unpack(tmp_path)


def test_plan_needs_no_artifact_whose_digest_is_stated(store: packages.PackageStore) -> None:
    """A plan made before the artifacts have come trusts the digest in the recipe."""
    stated, unstated = artifact("data", b"content"), artifact("data")
    assert store.locate(PRESS, "1.0.0", [stated], None, planned=True).content
    with pytest.raises(composition.MissingArtifactError, match="cannot find data"):
        store.locate(PRESS, "1.0.0", [stated], None)
    with pytest.raises(composition.MissingArtifactError, match="cannot find data"):
        store.locate(PRESS, "1.0.0", [unstated], None, planned=True)
