from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.unit.fleet import samples
from verge.fleet import errors, locks, platforms, project, wheelhouse

REPOSITORY = Path(__file__).resolve().parents[3]
X86, ARM = "cp311-x86_64", "cp311-aarch64"
PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "verge-fleet"
version = "0.1.0"
requires-python = ">=3.11"
readme = "README.md"
dependencies = ["alpha"]
[tool.hatch.build.targets.wheel]
packages = ["src/verge"]
"""


class Index:
    """A package index in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def add(self, name: str, version: str, *tags: str, needs: str = "") -> None:
        """Add a wheel for each tag."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        for tag in tags:
            self._write(place / f"{name}-{version}-{tag}.whl", name, version, tag, needs)
        links = []
        for path in sorted(place.glob("*.whl")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            links.append(f'<a href="{path.name}#sha256={digest}">{path.name}</a>')
        (place / "index.html").write_text("<!DOCTYPE html>" + "\n".join(links))

    def _write(self, path: Path, name: str, version: str, tag: str, needs: str) -> None:
        about = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += f"Requires-Dist: {needs}\n" if needs else ""
        contents = {
            f"{name}.py": f"tag = {tag!r}\n",
            f"{about}/METADATA": metadata,
            f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        lines = []
        for entry, text in contents.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            lines.append(f"{entry},sha256={digest.decode().rstrip('=')},{len(text)}")
        contents[f"{about}/RECORD"] = "\n".join([*lines, f"{about}/RECORD,,"]) + "\n"
        with zipfile.ZipFile(path, "w") as archive:
            for entry, text in contents.items():
                archive.writestr(entry, text)


def set_up(monkeypatch: pytest.MonkeyPatch, index: Path, cache: Path) -> None:
    """Make pip and uv ask this index and no other."""
    for name in os.environ.keys() & {"PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX"}:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_INDEX_URL", index.as_uri())
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an index and a checkout whose wheelhouse is filled for both platforms.

    alpha has wheels for both, beta one for all, gamma for x86_64 alone. The nucleus needs alpha, a
    component needs beta, which needs an older alpha.
    """
    folder = tmp_path_factory.mktemp("prepared")
    index = Index(folder / "index")
    both = ("cp311-cp311-manylinux_2_17_{}", "cp311-cp311-manylinux_2_28_{}")
    for number, tag in enumerate(both, start=1):
        index.add("alpha", f"1.{number}", tag.format("x86_64"), tag.format("aarch64"))
    index.add("beta", "2.0", "py3-none-any", needs="alpha<1.2")
    index.add("gamma", "3.0", "cp311-abi3-manylinux2014_x86_64")
    where = samples.make_project(folder / "checkout")
    samples.write_files(
        where.root,
        {
            "pyproject.toml": PYPROJECT,
            "README.md": "Read me",
            "src/verge/__init__.py": "",
            "src/verge/nucleus/__init__.py": "",
            "src/verge/recipe/__init__.py": "",
            "src/verge/fleet/__init__.py": "",
            "wheelhouse/nucleus/requirements.in": "alpha\n",
        },
    )
    samples.add_component(where, files={"requirements.in": "beta\n"})
    samples.add_component(where, "com.example.Plain")
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_up(monkeypatch, index.folder, folder / "cache")
        assert gather(where, X86, ARM) == [True, True]
    return folder


@pytest.fixture
def index(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """Return an index of one's own."""
    shutil.copytree(prepared / "index", tmp_path / "index")
    set_up(monkeypatch, tmp_path / "index", tmp_path / "cache")
    return Index(tmp_path / "index")


@pytest.fixture
def fleet(prepared: Path, index: Index, tmp_path: Path) -> project.Project:
    """Return a checkout of one's own, with its wheelhouse filled."""
    shutil.copytree(prepared / "checkout", tmp_path / "checkout")
    return project.Project(tmp_path / "checkout")


def names(where: project.Project, key: str = X86) -> set[str]:
    """Return what lies in a wheelhouse."""
    return {path.name for path in (where.wheelhouse_dir / key).iterdir()}


def gather(where: project.Project, *keys: str, relock: bool = False) -> list[bool]:
    """Bring the wheelhouse up to date and return what changed."""
    found = wheelhouse.build_wheelhouse(where, keys or (X86,), relock=relock)
    return [item.changed for item in found]


OWN = "verge_fleet-0.1.0-py3-none-any.whl"
TAGS = {X86: "x86_64", ARM: "aarch64"}


def test_each_platform_gets_its_wheels(fleet: project.Project) -> None:
    """Every lock's wheels lie flat in the platform's folder, with manifest and nucleus lock."""
    found = wheelhouse.build_wheelhouse(fleet, [X86, ARM])
    for item in found:
        tag = TAGS[item.platform]
        assert names(fleet, item.platform) == {
            f"alpha-1.1-cp311-cp311-manylinux_2_17_{tag}.whl",
            f"alpha-1.2-cp311-cp311-manylinux_2_28_{tag}.whl",
            "beta-2.0-py3-none-any.whl",
            OWN,
            "manifest.json",
            "nucleus.txt",
        }
        manifest = json.loads((item.path / "manifest.json").read_bytes())
        assert manifest["platform"] == item.platform
        assert len(manifest["wheels"]) == item.wheels == 4
        assert sum(wheel["size"] for wheel in manifest["wheels"]) == item.size
        for wheel in manifest["wheels"]:
            content = (item.path / wheel["file"]).read_bytes()
            assert wheel["sha256"] == hashlib.sha256(content).hexdigest()
            assert wheel["size"] == len(content)
    locked = fleet.components_dir / "com.example.Hello/locks"
    assert {path.name for path in locked.iterdir()} == {f"{X86}.txt", f"{ARM}.txt"}
    assert "file:" not in (locked / f"{X86}.txt").read_text()


def test_nucleus_installs_from_the_folder_alone(fleet: project.Project, tmp_path: Path) -> None:
    """`nucleus.txt` installs the nucleus with hashes and without any index."""
    folder = fleet.wheelhouse_dir / X86
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--require-hashes"]
    command += ["--find-links", str(folder), "--target", str(tmp_path / "device")]
    command += ["--no-compile", "--platform", "manylinux_2_28_x86_64", "--only-binary=:all:"]
    command += ["--python-version", "311", "-r", str(folder / "nucleus.txt")]
    subprocess.run(command, check=True)
    assert (tmp_path / "device/alpha.py").is_file()
    assert (tmp_path / "device/verge/nucleus/__init__.py").is_file()
    assert not (tmp_path / "device/verge/fleet").exists()


def test_second_run_does_nothing(fleet: project.Project, index: Index) -> None:
    """With nothing to do neither index nor tools are asked, even where the index is gone."""
    gather(fleet, X86, ARM)
    before = samples.tree(fleet.wheelhouse_dir)
    index.folder.rename(fleet.root / "gone")
    started = time.perf_counter()
    assert gather(fleet, X86, ARM) == [False, False]
    assert time.perf_counter() - started < 1
    after = samples.tree(fleet.wheelhouse_dir)
    assert {name: after[name] for name in after if "cp311-x86_64/" in name} == {
        name: before[name] for name in before if "cp311-x86_64/" in name
    }


def test_only_missing_wheels_are_downloaded(fleet: project.Project, index: Index) -> None:
    """A wheel that is there and whole is not fetched again."""
    folder = fleet.wheelhouse_dir / X86
    (folder / "beta-2.0-py3-none-any.whl").unlink()
    for path in index.folder.glob("alpha/*.whl"):
        path.unlink()
    said: list[str] = []
    wheelhouse.build_wheelhouse(fleet, [X86], report=said.append)
    assert said == [f"Downloading 1 wheels for {X86}"]
    assert (folder / "beta-2.0-py3-none-any.whl").is_file()


def replace_by_folder(path: Path) -> None:
    """Put a folder where a file was."""
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "other content": lambda path: path.write_bytes(b"x" * path.stat().st_size),
    "empty": lambda path: path.write_bytes(b""),
    "a folder": replace_by_folder,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("name", ["beta-2.0-py3-none-any.whl", OWN], ids=["foreign", "own"])
def test_damaged_wheel_is_replaced(
    fleet: project.Project, damage: Callable[[Path], object], name: str
) -> None:
    """A wheel is taken for what a lock names only if its SHA-256 says so."""
    path = fleet.wheelhouse_dir / X86 / name
    good = path.read_bytes()
    damage(path)
    assert gather(fleet) == [True]
    assert path.read_bytes() == good
    assert gather(fleet) == [False]


def test_wheels_nobody_names_are_removed(fleet: project.Project) -> None:
    """What no lock names any more leaves the folder, the manifest included."""
    folder = fleet.wheelhouse_dir / X86
    (folder / "stray-1.0-py3-none-any.whl").write_bytes(b"x")
    (folder / ".partial").mkdir()
    (fleet.components_dir / "com.example.Hello/requirements.in").unlink()
    assert gather(fleet) == [True]
    wanted = {"alpha-1.2-cp311-cp311-manylinux_2_28_x86_64.whl", OWN, "manifest.json"}
    assert names(fleet) == wanted | {"nucleus.txt"}
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert {wheel["file"] for wheel in manifest["wheels"]} == wanted - {"manifest.json"}


def test_lock_follows_its_requirements(fleet: project.Project, index: Index) -> None:
    """A lock stays until what it was compiled from changes; then versions stay where they can."""
    lock = fleet.nucleus_locks_dir / f"{X86}.txt"
    index.add("alpha", "1.3", "py3-none-any")
    assert gather(fleet) == [False]
    (fleet.nucleus_locks_dir / "requirements.in").write_text("alpha>=1.0\n")
    assert gather(fleet) == [True]
    assert "alpha==1.2" in lock.read_text()
    assert gather(fleet, relock=True) == [True]
    assert "alpha==1.3" in lock.read_text()


def test_missing_wheel_is_named_when_locking(fleet: project.Project) -> None:
    """A package without wheel for a platform fails here, by name and platform."""
    (fleet.nucleus_locks_dir / "requirements.in").write_text("gamma\n")
    assert gather(fleet, X86) == [True]
    with pytest.raises(errors.FleetError) as told:
        gather(fleet, ARM)
    assert told.value.message.startswith(
        f"cannot lock wheelhouse/nucleus/requirements.in for {ARM}: "
    )
    assert "gamma" in told.value.message
    assert "\n" not in told.value.message


def test_missing_wheel_is_named_when_downloading(fleet: project.Project, index: Index) -> None:
    """A locked package whose wheel the index no longer has is named, with who wants it."""
    (fleet.wheelhouse_dir / X86 / "beta-2.0-py3-none-any.whl").unlink()
    (index.folder / "beta/index.html").write_text("<!DOCTYPE html>")
    with pytest.raises(errors.FleetError) as told:
        gather(fleet)
    assert told.value.message == (
        f"cannot find a wheel of beta 2.0 for {X86} "
        "(wanted by components/com.example.Hello/requirements.in): "
        "the package index has none that the lock allows"
    )
    assert told.value.hint == ("require a version that has one, then run `./inv wheels --relock`")


def test_wheel_that_was_exchanged_is_refused(fleet: project.Project, index: Index) -> None:
    """A file with a locked name and other content never gets into the wheelhouse."""
    (fleet.wheelhouse_dir / X86 / "beta-2.0-py3-none-any.whl").unlink()
    index.add("beta", "2.0", "py3-none-any", needs="alpha<9")
    with pytest.raises(errors.FleetError, match=r"cannot .*cp311-x86_64"):
        gather(fleet)
    assert "beta-2.0-py3-none-any.whl" not in names(fleet)
    assert not (fleet.wheelhouse_dir / "staging").exists()


def test_unreachable_index_is_told(fleet: project.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the index cannot be reached the command says so and names the next step."""
    (fleet.wheelhouse_dir / X86 / "beta-2.0-py3-none-any.whl").unlink()
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(errors.FleetError, match=f"for {X86}") as told:
        gather(fleet)
    assert told.value.hint


BAD_LOCKS = {
    "no hash": "alpha==1.2\n",
    "no version": "alpha --hash=sha256:" + "0" * 64,
    "a path": "./alpha.whl",
    "an option": "--index-url https://example.com",
}


@pytest.mark.parametrize("text", BAD_LOCKS.values(), ids=BAD_LOCKS.keys())
def test_bad_lock_is_refused(fleet: project.Project, text: str) -> None:
    """A lock that was edited into something else is refused by file and line."""
    lock = fleet.nucleus_locks_dir / f"{X86}.txt"
    header = lock.read_text().splitlines()[0]
    lock.write_text(f"{header}\n{text}\n")
    with pytest.raises(errors.FleetError) as told:
        gather(fleet)
    assert told.value.message.startswith(
        f"cannot use the lock wheelhouse/nucleus/{X86}.txt: it has a line without exact version"
    )


@pytest.mark.parametrize("key", ["", "cp311", "cp27-x86_64", "cp311-riscv", "../x"], ids=repr)
def test_unknown_platform_is_refused(fleet: project.Project, key: str) -> None:
    """A platform is Python and architecture, and both have to be known."""
    with pytest.raises(errors.FleetError, match="cannot gather wheels for"):
        gather(fleet, key)


def own_wheel(where: project.Project) -> str:
    """Return the SHA-256 of the wheel of the nucleus."""
    gather(where)
    return hashlib.sha256((where.wheelhouse_dir / X86 / OWN).read_bytes()).hexdigest()


def test_wheel_of_the_nucleus_depends_on_its_sources_alone(
    fleet: project.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tooling, README, times and modes do not show in it; a byte of the nucleus does."""
    first = own_wheel(fleet)
    samples.write_files(
        fleet.root,
        {
            "README.md": "Other words",
            "src/verge/fleet/more.py": "1",
            "src/verge/nucleus/__pycache__/x.pyc": "1",
        },
    )
    (fleet.root / "src/verge/recipe/__init__.py").chmod(0o600)
    os.utime(fleet.root / "src/verge/nucleus/__init__.py", (1, 1))
    (fleet.wheelhouse_dir / "device-wheel.json").unlink()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert own_wheel(fleet) == first
    samples.write_files(fleet.root, {"src/verge/nucleus/__init__.py": "# more\n"})
    assert own_wheel(fleet) != first


def test_pip_is_asked_for_glibc_of_the_device() -> None:
    """Wheels for glibc 2.28 and older are taken, of the right architecture only."""
    options = platforms.Platform.parse(ARM).pip_options
    tags = [options[i + 1] for i, option in enumerate(options) if option == "--platform"]
    assert tags[0] == "manylinux_2_28_aarch64"
    assert tags[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]


INVENTORY_NAMES: Mapping[tuple[str, str], str] = {
    ("3.11", "x86_64"): X86,
    ("3.11", "arm64"): ARM,
    ("3.13", "amd64"): "cp313-x86_64",
}


@pytest.mark.parametrize(("facts", "key"), INVENTORY_NAMES.items(), ids=INVENTORY_NAMES.values())
def test_key_of_a_device(facts: tuple[str, str], key: str) -> None:
    """Both spellings of an architecture give the key that devices use for themselves."""
    assert platforms.key_of(*facts) == key


def test_nucleus_requirements_agree_with_the_distribution() -> None:
    """What is locked for devices is what the distribution says it needs."""
    stated = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    needs = [*stated["dependencies"], *stated["optional-dependencies"]["nucleus"]]
    wanted = {locks.normalise(text.split(">")[0]) for text in needs}
    text = (REPOSITORY / "wheelhouse/nucleus/requirements.in").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert {locks.normalise(line.split(">")[0]) for line in lines} == wanted


def test_committed_locks_are_current() -> None:
    """The locks in this repository were compiled from what stands beside them."""
    where = project.Project(REPOSITORY)
    for source in locks.lock_sources(where):
        for key in (X86, ARM):
            platform = platforms.Platform.parse(key)
            assert locks.is_current(source, platform), f"{source.folder}: ./inv wheels"
            assert locks.read_lock(where, source.lock(platform))
