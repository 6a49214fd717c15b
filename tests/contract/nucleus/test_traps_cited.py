"""Every numbered trap of Greengrass contract 7 is a test that cites it."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[2]


def test_every_trap_is_cited() -> None:
    """The docstring of at least one test names each of the twenty traps."""
    cited: set[int] = set()
    for file in TESTS.rglob("test_*.py"):
        for text in re.findall(r'(?s)def test_\w+\(.*?"""(.*?)"""', file.read_text()):
            cited |= {int(number) for number in re.findall(r"[Tt]rap (\d+)", text)}
    assert set(range(1, 21)) <= cited, set(range(1, 21)) - cited
