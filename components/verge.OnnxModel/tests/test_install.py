"""The install step of the recipe, run by a shell, and what it installs."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

COMPONENT = Path(__file__).parents[1]
MODEL = COMPONENT / "model"

KILLED_REMOVAL = """
import os, shutil
def remove(path, *_, **__):
    if os.path.exists(path):
        os.unlink(os.path.join(path, "model.yaml"))
        os._exit(9)
shutil.rmtree = remove
"""
"""Python that is killed while it removes a model."""


class Device:
    """The component's directories on a device."""

    def __init__(self, folder: Path) -> None:
        self.artifacts = folder / "artifacts"
        self.work = folder / "work"
        self.work.mkdir()
        self.model = self.artifacts / "verge.OnnxModel" / "model"
        shutil.copytree(MODEL, self.model)
        shutil.copytree(COMPONENT / "install_model", self.model.parent / "install_model")
        self.root = folder / "root"
        recipe = yaml.safe_load((COMPONENT / "recipe.yaml").read_text(encoding="utf-8"))
        self._script = recipe["Manifests"][0]["Lifecycle"]["install"]["Script"]

    def install(self, slash: str = "") -> subprocess.CompletedProcess[str]:
        """Run the step as a nucleus does; Lite ends paths with a slash."""
        script = self._script.replace("{work:path}", f"{self.work}{slash}")
        script = script.replace("{artifacts:decompressedPath}", f"{self.artifacts}{slash}")
        script = script.replace("{kernel:rootPath}", f"{self.root}")
        assert "{" not in script
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)

    @property
    def current(self) -> Path:
        return self.work / "current"


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


@pytest.mark.parametrize("slash", ["", "/"])
def test_installs_the_model_with_its_papers(device: Device, slash: str) -> None:
    """Dependents find the network, the card and both licences."""
    done = device.install(slash)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in device.current.iterdir()}
    assert names == {path.name for path in MODEL.iterdir()}
    for name in names:
        assert (device.current / name).read_bytes() == (MODEL / name).read_bytes()
    assert {path.name for path in device.work.iterdir()} == {
        *("current", os.readlink(device.current)),  # noqa: PTH115 - the name as it stands
    }


def test_the_same_model_is_left_alone(device: Device) -> None:
    """A second install changes nothing that a running dependent has open."""
    device.install()
    card = device.current / "model.yaml"
    before = (device.current.resolve(), card.stat().st_ino)
    assert device.install().returncode == 0
    assert (device.current.resolve(), card.stat().st_ino) == before


def test_another_model_takes_its_place(device: Device) -> None:
    """A new model replaces the former one, whose folder goes."""
    device.install()
    before = device.current.resolve()
    with (device.model / "model.yaml").open("a", encoding="utf-8") as card:
        card.write("# changed\n")
    assert device.install().returncode == 0
    assert device.current.resolve() != before
    assert not before.exists()
    assert (device.current / "model.yaml").read_text(encoding="utf-8").endswith("# changed\n")


def test_an_interrupted_install_is_done_again(device: Device) -> None:
    """What a killed install left half-done does not count and does not stay."""
    (device.work / "new").mkdir()
    (device.work / "new" / "nanodet-g-416.onnx").write_bytes(b"half")
    (device.work / "next").symlink_to("nowhere")
    assert device.install().returncode == 0
    assert (device.current / "nanodet-g-416.onnx").stat().st_size > 7_000_000
    assert not (device.work / "new").exists()


def test_a_removal_that_was_killed_is_no_model(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that comes back is whole, although its former removal ended in the middle."""
    device.install()
    first = (device.model / "model.yaml").read_bytes()
    (device.model / "model.yaml").write_bytes(first + b"# changed\n")
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "sitecustomize.py").write_text(KILLED_REMOVAL, encoding="utf-8")
    with monkeypatch.context() as killed:
        killed.setenv("PYTHONPATH", str(tmp_path / "killed"))
        assert device.install().returncode == 9
    (device.model / "model.yaml").write_bytes(first)
    done = device.install()
    assert done.returncode == 0, done.stderr
    assert (device.current / "model.yaml").read_bytes() == first
    assert {path.name for path in device.work.iterdir()} == {
        *("current", os.readlink(device.current)),  # noqa: PTH115 - the name as it stands
    }


def test_a_failed_copy_leaves_the_former_model(device: Device) -> None:
    """When the artifact cannot be read, the step fails and `current` stays."""
    device.install()
    before = device.current.resolve()
    shutil.rmtree(device.model)
    assert device.install().returncode != 0
    assert device.current.resolve() == before
    assert (device.current / "model.yaml").is_file()


def have_detector(device: Device) -> None:
    """Put runtime and detector beside the model, as on a device that runs them."""
    runtime = device.root / "work" / "verge.OnnxRuntime"
    detector = device.root / "work" / "verge.OnnxObjectDetection"
    for folder in (runtime, detector):
        folder.mkdir(parents=True)
    (runtime / "current").symlink_to(sys.prefix)
    (detector / "current").symlink_to(COMPONENT.parent / "verge.OnnxObjectDetection" / "src")


def test_a_model_that_breaks_its_promises_is_not_installed(device: Device) -> None:
    """With a detector at hand the golden picture decides; if it fails, the former model stays."""
    have_detector(device)
    done = device.install()
    assert done.returncode == 0, done.stderr
    before = device.current.resolve()
    card = device.model / "model.yaml"
    card.write_text(card.read_text(encoding="utf-8").replace("label: cat", "label: zebra"))
    done = device.install()
    assert done.returncode == 1
    assert "cannot use this model: no zebra in chelsea.png: the model finds cat" in done.stderr
    assert device.current.resolve() == before
    assert [path.name for path in device.work.glob("model-*")] == [before.name]


def test_a_model_that_cannot_be_loaded_is_not_installed(device: Device) -> None:
    """Bytes that are no network, and a card that is none, are named."""
    have_detector(device)
    (device.model / "model.yaml").write_text("format: other", encoding="utf-8")
    done = device.install()
    assert done.returncode == 1
    assert "cannot use this model: model.yaml: format" in done.stderr
    assert not device.current.exists()


def test_the_card_names_the_file_that_ships() -> None:
    """The SHA-256 of the card is that of the network."""
    card = yaml.safe_load((MODEL / "model.yaml").read_text(encoding="utf-8"))
    assert hashlib.sha256((MODEL / card["file"]).read_bytes()).hexdigest() == card["sha256"]


def test_both_licences_travel_with_the_model() -> None:
    """The notices of NanoDet and of the weights stand beside the network, whole."""
    apache = (MODEL / "LICENSE.nanodet").read_text(encoding="utf-8")
    mit = (MODEL / "LICENSE.human-models").read_text(encoding="utf-8")
    notice = (MODEL / "NOTICE").read_text(encoding="utf-8")
    assert apache.startswith("Copyright 2020-2021 RangiLyu\n")
    assert "END OF TERMS AND CONDITIONS" in apache
    assert "Copyright (c) Vladimir Mandic" in mit
    assert "THE SOFTWARE IS PROVIDED" in mit
    for name in ("LICENSE.nanodet", "LICENSE.human-models", "nanodet-g-416.onnx"):
        assert name in notice
