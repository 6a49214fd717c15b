"""Arguments without an option name."""

from __future__ import annotations

import pytest

from verge.fleet import program

VERBS = {"build", "validate", "up", "drop"}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["build"], ["build"]),
        (["build", "a", "b"], ["build", "--name=a", "--name=b"]),
        (["build", "a", "--json"], ["build", "--name=a", "--json"]),
        (["build", "a", "validate", "b"], ["build", "--name=a", "validate", "--name=b"]),
        (["drop", "cat.png"], ["drop", "cat.png"]),
    ],
    ids=["none", "two", "with a flag", "two verbs", "a verb with its own positional"],
)
def test_names_need_no_option(given: list[str], meant: list[str]) -> None:
    """`./inv build a b` means the same as naming the option each time."""
    assert program.name_arguments(given, VERBS) == meant
