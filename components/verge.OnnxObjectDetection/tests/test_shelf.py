"""Models that other components provide."""

import shutil
import threading
from pathlib import Path

import pytest
import yaml
from object_detection import session, shelf
from object_detection.errors import DetectionError

NAME = "verge.OnnxModel"


def install(shelf_folder: Path, card_path: Path, version: str, label: str = "cat") -> None:
    """Put a model onto the shelf, as its component does."""
    folder = shelf_folder / NAME / f"model-{version}"
    shutil.copytree(card_path.parent, folder, symlinks=False)
    document = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
    document["version"] = version
    document["golden"][0]["label"] = label
    (folder / "model.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    link = shelf_folder / NAME / "next"
    link.symlink_to(folder.name)
    link.replace(shelf_folder / NAME / "current")


def test_the_model_that_lies_there_is_loaded(tmp_path: Path, card_path: Path) -> None:
    """Its identity changes when another one is installed, and loading gives the newest."""
    models = shelf.Shelf(tmp_path)
    assert models.identity(NAME) == ""
    install(tmp_path, card_path, "1")
    first = models.identity(NAME)
    assert models.load(NAME, session.Running()).card.version == "1"
    install(tmp_path, card_path, "2")
    assert models.identity(NAME) not in {"", first}
    assert models.load(NAME, session.Running()).card.version == "2"


def test_a_model_that_breaks_its_promises_is_refused(tmp_path: Path, card_path: Path) -> None:
    """The golden pictures beside the card are looked at before the model is used."""
    install(tmp_path, card_path, "1", label="zebra")
    with pytest.raises(DetectionError, match=r"verge.OnnxModel: no zebra in chelsea.png: the"):
        shelf.Shelf(tmp_path).load(NAME, session.Running())


def test_waits_for_a_model_at_first(tmp_path: Path, card_path: Path) -> None:
    """A model that is still being installed is waited for; one that never comes is named."""
    models = shelf.Shelf(tmp_path, wait=60)
    timer = threading.Timer(0.1, install, (tmp_path, card_path, "1"))
    timer.start()
    assert models.load(NAME, session.Running()).card.version == "1"
    timer.join()
    with pytest.raises(DetectionError, match=r"verge.Other has not provided .*; deploy it or"):
        models.load("verge.Other", session.Running())


def test_a_stop_ends_the_wait(tmp_path: Path) -> None:
    """Asked to leave while it waits, it waits no longer."""
    models = shelf.Shelf(tmp_path, wait=3600)
    models.stopped.set()
    with pytest.raises(DetectionError, match="has not provided"):
        models.load(NAME, session.Running())


def test_pictures_that_the_card_names_in_a_folder_lie_beside_it(
    tmp_path: Path, card_path: Path
) -> None:
    """A card that names its golden picture in a folder is checked with the one beside it."""
    install(tmp_path, card_path, "1", label="zebra")
    card = tmp_path / NAME / "current" / "model.yaml"
    document = yaml.safe_load(card.read_text(encoding="utf-8"))
    document["golden"][0]["picture"] = "pets/chelsea.png"
    card.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(DetectionError, match=r"no zebra in pets/chelsea.png: the"):
        shelf.Shelf(tmp_path).load(NAME, session.Running())
