"""Configuration values arrive as numbers on one nucleus and as text on another."""

from collections.abc import Callable
from typing import Any

import pytest
from edge_ipc import values
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(True, True, id="true"),
        pytest.param(False, False, id="false"),
        pytest.param("true", True, id="text true"),
        pytest.param(" False ", False, id="text false with spaces"),
        pytest.param("", False, id="empty text"),
        pytest.param(1, True, id="one"),
        pytest.param("off", False, id="off"),
    ],
)
def test_reads_booleans(value: Any, *, expected: bool) -> None:
    """Booleans are read from whatever a nucleus made of them."""
    assert values.read_boolean({"x": value}, "x", default=not expected) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(["a", "b"], ("a", "b"), id="list"),
        pytest.param('["a", "b"]', ("a", "b"), id="list as JSON text"),
        pytest.param("a", ("a",), id="one text"),
        pytest.param("", (), id="empty text"),
        pytest.param([], (), id="empty list"),
    ],
)
def test_reads_texts(value: Any, expected: tuple[str, ...]) -> None:
    """A list of texts may arrive as a list, as JSON, or as its only item."""
    assert values.read_texts({"x": value}, "x", ["default"]) == expected


@given(st.integers(-1000, 1000))
def test_reads_integers_in_every_form(number: int) -> None:
    """An integer is the same whether it comes as integer, float or text."""
    for form in (number, float(number), str(number), f"{number}.0"):
        assert values.read_integer({"x": form}, "x", 0, low=-1000, high=1000) == number


def _integer(settings: dict[str, Any]) -> int:
    return values.read_integer(settings, "x", 0, low=0, high=10)


def _boolean(settings: dict[str, Any]) -> bool:
    return values.read_boolean(settings, "x", default=False)


def _texts(settings: dict[str, Any]) -> tuple[str, ...]:
    return values.read_texts(settings, "x", [])


@pytest.mark.parametrize(
    ("read", "value"),
    [
        pytest.param(_integer, "seven", id="word for a number"),
        pytest.param(_integer, 11, id="too large"),
        pytest.param(_integer, -1, id="too small"),
        pytest.param(_integer, 1.5, id="fraction"),
        pytest.param(_integer, 10**400, id="beyond all floats"),
        pytest.param(_integer, "nan", id="not a number"),
        pytest.param(_integer, True, id="boolean for a number"),
        pytest.param(_integer, None, id="nothing for a number"),
        pytest.param(_boolean, "maybe", id="word for a boolean"),
        pytest.param(_texts, [1], id="number in a list"),
        pytest.param(_texts, "[1", id="broken JSON"),
        pytest.param(_texts, {}, id="map for a list"),
    ],
)
def test_refuses_with_the_name_of_the_setting(
    read: Callable[[dict[str, Any]], object], value: Any
) -> None:
    """A value that cannot be used is named with its setting."""
    with pytest.raises(values.SettingError, match="cannot use the setting x: ") as caught:
        read({"x": value})
    assert caught.value.name == "x"


def test_defaults_stand_in_for_what_is_absent() -> None:
    """An absent setting is its default."""
    assert values.read_text({}, "x", "default") == "default"
    assert values.read_number({}, "x", 0.5, low=0, high=1) == 0.5
