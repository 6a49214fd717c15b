"""What is kept of groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from verge.nucleus.deployment import groups, roots
from verge.nucleus.store import database

ARN = "arn:aws:greengrass:e:1:configuration:thinggroup/a:1"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[database.Database]:
    """Return an empty database."""
    opened = database.Database(tmp_path / "db")
    yield opened
    opened.close()


def test_facts_outlive_the_nucleus(db: database.Database) -> None:
    """Last deployments, membership and numbers are there for the next nucleus."""
    known = groups.Groups(db)
    assert (known.last("thinggroup/a"), known.members(), known.fact("n", 3)) == (0, None, 3)
    known.note("thinggroup/a", 5.0, ARN, ["thinggroup/a"])
    known.remember({"thinggroup/a", "thinggroup/b"})
    known.set_fact("n", 7)
    again = groups.Groups(db)
    assert again.last("thinggroup/a") == 5
    assert again.arns() == {"thinggroup/a": ARN}
    assert again.members() == frozenset({"thinggroup/a", "thinggroup/b"})
    assert again.fact("n", 0) == 7


def test_being_in_no_group_is_knowledge(db: database.Database) -> None:
    """A device that is in no group is told from one that never asked."""
    known = groups.Groups(db)
    known.remember(())
    assert groups.Groups(db).members() == frozenset()


def test_groups_that_are_gone_are_forgotten(db: database.Database) -> None:
    """A group without roots has no configuration in force."""
    known = groups.Groups(db)
    known.note("thinggroup/a", 5.0, ARN, ["thinggroup/a"])
    known.note("thinggroup/b", 6.0, ARN, ["thinggroup/b"])
    assert set(known.arns()) == {"thinggroup/b"}


@pytest.mark.parametrize(
    ("group", "members", "counts"),
    [
        ("thinggroup/a", {"thinggroup/a"}, True),
        ("thinggroup/a", {"thinggroup/b"}, False),
        ("thinggroup/a", set(), False),
        ("thinggroup/a", None, True),
        ("thing/press-01", set(), True),
        ("LOCAL_DEPLOYMENT", set(), True),
    ],
)
def test_whose_roots_count(group: str, members: set[str] | None, counts: bool) -> None:
    """Only a thing group can be left; without knowledge nothing is (contract 3.3)."""
    assert roots.belongs(group, members) is counts
