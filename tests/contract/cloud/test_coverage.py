"""The coverage file against botocore's model, and its page."""

from __future__ import annotations

import pytest

from tests.contract.cloud import coverage


def test_operations() -> None:
    """Every operation of the model is in the file, in its order, and no other."""
    assert list(coverage.read()) == sorted(coverage.expected())


@pytest.mark.parametrize("operation", sorted(coverage.expected()))
@pytest.mark.parametrize("side", coverage.SIDES)
def test_members(operation: str, side: str) -> None:
    """Every member of the model is in the file, in the model's order, and no other."""
    assert list(coverage.read()[operation][side] or {}) == coverage.expected()[operation][side]


def test_words() -> None:
    """What is not covered in full says how and why."""
    for operation, entry in coverage.read().items():
        for side in coverage.SIDES:
            for path, text in (entry[side] or {}).items():
                word, _, reason = text.partition(": ")
                assert word in coverage.WORDS, f"{operation} {path}"
                assert bool(reason) == (word != coverage.FULL), f"{operation} {path}"


def test_page() -> None:
    """The page is what the file says; `python -m tests.contract.cloud.coverage` writes it."""
    assert coverage.PAGE.read_text() == coverage.render()
