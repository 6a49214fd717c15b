"""The monitor's configuration."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from edge_ipc.values import SettingError
from file_system_monitor import settings

RECIPE = Path(__file__).parents[1] / "recipe.yaml"


def test_the_recipe_holds_the_defaults() -> None:
    """What the recipe says is what holds where a deployment leaves a key out, patterns aside."""
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    written = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    patterns = written.pop("patterns")
    assert settings.read_settings(written) == settings.read_settings({})
    assert "*.jpg" in patterns


@pytest.mark.parametrize(
    ("name", "patterns", "wanted"),
    [
        pytest.param("a.png", ["*.png"], True, id="plain"),
        pytest.param("A.PNG", ["*.png"], True, id="upper case"),
        pytest.param("a.png", ["*.PNG"], True, id="upper case pattern"),
        pytest.param("a.jpg", ["*.png"], False, id="another ending"),
        pytest.param("a.png.part", ["*.png"], False, id="not finished"),
        pytest.param(".a.png.Xy12", ["*"], False, id="hidden part of rsync"),
        pytest.param(".ansible_tmpab12a.png", ["*.png"], False, id="hidden part of Ansible"),
        pytest.param(".a.png", [".*.png"], True, id="hidden on purpose"),
        pytest.param("a.png", [], False, id="no pattern"),
    ],
)
def test_matches_names(name: str, patterns: list[str], *, wanted: bool) -> None:
    """A file counts if its name matches, ignoring case; hidden files do not."""
    assert settings.read_settings({"patterns": patterns}).matches(name) is wanted


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("directories", "pictures", id="relative"),
        pytest.param("directories", [1], id="no text"),
        pytest.param("patterns", ["a/*.png"], id="pattern with a folder"),
        pytest.param("recursive", "perhaps", id="no boolean"),
        pytest.param("redeliverAfterSeconds", 0, id="without a pause"),
        pytest.param("settleSeconds", "-1", id="negative"),
    ],
)
def test_refuses_by_name(key: str, value: Any) -> None:
    """A setting that cannot be used is named."""
    with pytest.raises(SettingError, match=f"cannot use the setting {key}"):
        settings.read_settings({key: value})


def test_one_directory_counts_once() -> None:
    """However a directory is written, it is watched once."""
    found = settings.read_settings({"directories": ["/a/b", "/a/b/", "/a//b"]})
    assert found.directories == (Path("/a/b"),)
