"""What an unquoted scalar stands for."""

from __future__ import annotations

import pytest

from verge.recipe import errors, scalars


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("nUll", "nUll"),
        ("true", True),
        ("TRUE", True),
        ("False", False),
        ("yes", "yes"),
        ("on", "on"),
        ("y", "y"),
        ("0", 0),
        ("-5", -5),
        ("+5", 5),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("0755", "0755"),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-1.5E-3", -0.0015),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("12:30", "12:30"),
        ("1.2.3", "1.2.3"),
        ("2020-01-25", "2020-01-25"),
        ("2020-01-25T10:00:00Z", "2020-01-25T10:00:00Z"),
        ("\uff11", "\uff11"),
        ("-", "-"),
    ],
)
def test_only_plain_constants_and_decimal_numbers_are_not_text(text: str, value: object) -> None:
    """A scalar is text unless it is null, a truth value or a decimal number."""
    result = scalars.plain(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize("text", ["9223372036854775808", "1e400", "9" * 5000, "NaN", "-Infinity"])
def test_numbers_out_of_range_are_refused(text: str) -> None:
    """A number that 64 bits cannot hold is refused, in a message of bounded length."""
    with pytest.raises(errors.RecipeError, match="quote it as text") as caught:
        scalars.number(text)
    assert len(str(caught.value)) < 120
