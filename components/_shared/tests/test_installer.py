"""The private environment, with real interpreters, real pip and small wheels made here."""

import base64
import hashlib
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from offline_venv import installer, locks
from offline_venv.errors import InstallError


def make_wheel(folder: Path, name: str, version: str, answer: int) -> str:
    """Write a wheel whose module `name` holds `ANSWER`; return its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"ANSWER = {answer}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={_record_hash(text)},{len(text)}\n" for path, text in files.items()
    )
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def make_request(root: Path, lock: str) -> installer.Request:
    """Write the lock for this platform and return a request for it."""
    folder = root / "locks"
    folder.mkdir(exist_ok=True)
    (folder / f"{locks.platform_key()}.txt").write_text(lock, encoding="utf-8")
    return installer.Request("verge.Demo", folder, root / "wheelhouse", root / "work")


def pin(version: str, *hashes: str) -> str:
    lines = " \\\n".join([f"demo=={version}", *(f"    --hash=sha256:{value}" for value in hashes)])
    return f"{lines}\n    # via -r requirements.in\n"


def answer_of(root: Path) -> str:
    """Return what a dependent gets through the link `current`."""
    python = root / "work" / "current" / "bin" / "python"
    command = [python, "-I", "-c", "import demo; print(demo.ANSWER)"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_installs_once_and_switches_on_a_new_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same lock is not installed again; a new one replaces the environment in one step."""
    # Neither another source of packages nor one's own settings may matter.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/never")
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    first = make_wheel(tmp_path / "wheelhouse", "demo", "1.0", 1)
    request = make_request(tmp_path, pin("1.0", first))
    assert installer.install(request)
    assert answer_of(tmp_path) == "1"
    before = (tmp_path / "work" / "current").readlink()
    assert not installer.install(request), "nothing changed, so nothing is to be done"

    second = make_wheel(tmp_path / "wheelhouse", "demo", "2.0", 2)
    assert installer.install(make_request(tmp_path, pin("2.0", second)))
    assert answer_of(tmp_path) == "2"
    assert (tmp_path / "work" / before).is_dir(), "a dependent may still run from the former one"


def test_an_interrupted_build_is_done_again(tmp_path: Path) -> None:
    """A folder without the mark of completeness is never used."""
    digest = make_wheel(tmp_path / "wheelhouse", "demo", "1.0", 1)
    request = make_request(tmp_path, pin("1.0", digest))
    lock = request.locks / f"{locks.platform_key()}.txt"
    half = tmp_path / "work" / f"venv-{installer._digest(lock)}"
    (half / "bin").mkdir(parents=True)
    (half / "bin" / "python").write_text("cut off", encoding="utf-8")
    assert installer.install(request)
    assert answer_of(tmp_path) == "1"


def test_an_environment_that_no_longer_runs_is_built_anew(tmp_path: Path) -> None:
    """Whatever happened to its interpreter, the next install mends it."""
    digest = make_wheel(tmp_path / "wheelhouse", "demo", "1.0", 1)
    request = make_request(tmp_path, pin("1.0", digest))
    assert installer.install(request)
    (tmp_path / "work" / "current" / "bin" / "python").unlink()
    assert installer.install(request)
    assert answer_of(tmp_path) == "1"


def test_a_removal_that_was_cut_off_is_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of an old environment is built anew when its version comes back."""
    hashes = {
        version: make_wheel(tmp_path / "wheelhouse", "demo", version, number)
        for number, version in enumerate(("1.0", "2.0", "3.0"))
    }
    removed = []

    def cut_off(path: Path, **_: object) -> None:
        if path.exists():
            removed.append(path)
            for module in path.glob("lib/python3*/site-packages/demo.py"):
                module.unlink()

    for version, digest in hashes.items():
        if version == "3.0":
            monkeypatch.setattr(shutil, "rmtree", cut_off)
        assert installer.install(make_request(tmp_path, pin(version, digest)))
    assert len(removed) == 1
    monkeypatch.undo()
    assert installer.install(make_request(tmp_path, pin("1.0", hashes["1.0"])))
    assert answer_of(tmp_path) == "0"


@pytest.mark.parametrize(
    ("wheels", "lock", "message"),
    [
        pytest.param([], pin("1.0", "0" * 64), "no wheels were preloaded at", id="no wheelhouse"),
        pytest.param(
            ["2.0"], pin("1.0", "0" * 64), "has no wheel of demo 1.0 for cp3", id="missing wheel"
        ),
        pytest.param(
            ["1.0"], pin("1.0", "0" * 64), "is not the file that the lock names", id="wrong hash"
        ),
        pytest.param(["1.0"], "demo==1.0\n", "without version and hash: demo==1.0", id="no hash"),
        pytest.param(
            ["1.0"], "demo>=1 --hash=sha256:00\n", "without version and hash", id="no version"
        ),
    ],
)
def test_refuses_and_leaves_nothing(
    tmp_path: Path, wheels: list[str], lock: str, message: str
) -> None:
    """What is missing is named, and no environment is begun."""
    for version in wheels:
        make_wheel(tmp_path / "wheelhouse", "demo", version, 1)
    with pytest.raises(InstallError, match=message):
        installer.install(make_request(tmp_path, lock))
    assert not list((tmp_path / "work").glob("venv-*"))
    assert not (tmp_path / "work" / "current").is_symlink()


def test_names_the_platforms_there_are(tmp_path: Path) -> None:
    """A device without a lock of its own learns which platforms have one."""
    folder = tmp_path / "locks"
    folder.mkdir()
    (folder / "cp39-riscv64.txt").touch()
    with pytest.raises(InstallError, match=r"no lock for the platform .* \(there are: cp39-risc"):
        locks.choose_lock(folder, locks.platform_key())


def test_a_failing_pip_leaves_the_former_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wheel that cannot be unpacked is reported in one line, and nothing half-built stays."""
    wheelhouse = tmp_path / "wheelhouse"
    wheelhouse.mkdir()
    broken = wheelhouse / "demo-1.0-py3-none-any.whl"
    broken.write_bytes(b"this is no archive")
    digest = hashlib.sha256(broken.read_bytes()).hexdigest()
    request = make_request(tmp_path, pin("1.0", digest))
    arguments = ["--component", request.component, "--locks", str(request.locks)]
    arguments += ["--wheelhouse", str(wheelhouse), "--target", str(request.target)]
    assert installer.main([*arguments, "--index-url", ""]) == 1
    error = capsys.readouterr().err
    assert error.startswith("ERROR cannot install verge.Demo: cannot install the wheels")
    assert error.count("\n") == 1
    assert not list(request.target.glob("venv-*"))


@pytest.mark.parametrize(
    ("component", "package"),
    [("verge.OnnxRuntime", "onnxruntime"), ("verge.FileSystemMonitor", "watchdog")],
)
@pytest.mark.parametrize("platform", ["cp311-x86_64", "cp311-aarch64"])
def test_the_committed_locks_can_be_read(component: str, package: str, platform: str) -> None:
    """Every line of our own locks has a version and hashes, and no address stands in them."""
    path = Path(__file__).parents[2] / component / "locks" / f"{platform}.txt"
    names = {pin.name for pin in locks.read_lock(path)}
    assert package in names
    assert "://" not in path.read_text(encoding="utf-8")
