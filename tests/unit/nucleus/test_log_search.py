"""Time windows and filters of `logs get`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from verge.nucleus.commands import connection, log_search

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        pytest.param("2026-03-04,", "2026-03-04T00:00:00", "2026-03-04T12:00:00", id="date"),
        pytest.param("20260303,20260304", "2026-03-03T00:00:00", "2026-03-04T00:00:00", id="dates"),
        pytest.param("10:00:00,11:30:00", "2026-03-04T10:00:00", "2026-03-04T11:30:00", id="times"),
        pytest.param("10:00:00500", "2026-03-04T10:00:00.5", "2026-03-04T12:00:00", id="millis"),
        pytest.param(
            "2026-03-04T01:02:03.250Z,2026-03-04T01:02:04Z",
            "2026-03-04T01:02:03.25",
            "2026-03-04T01:02:04",
            id="instants",
        ),
        pytest.param("-1h30m,-10s", "2026-03-04T10:30:00", "2026-03-04T11:59:50", id="relative"),
        pytest.param("-2hours,+1 min", "2026-03-04T10:00:00", "2026-03-04T12:01:00", id="words"),
        pytest.param(",-1h", "1970-01-01T00:00:00", "2026-03-04T11:00:00", id="open-begin"),
    ],
)
def test_window(text: str, begin: str, end: str) -> None:
    """Each form of the contract means the time it should, in UTC."""
    wanted = [datetime.fromisoformat(each).replace(tzinfo=UTC).timestamp() for each in (begin, end)]
    assert list(log_search.parse_window(text, NOW)) == wanted


@pytest.mark.parametrize("text", ["tomorrow", "-", "25:00:00", "-1h,-2h", "2026-13-01"])
def test_useless_window_is_refused(text: str) -> None:
    """What is no time, or ends before it begins, is refused with an example or the reason."""
    with pytest.raises(connection.CommandError, match="cannot use the time"):
        log_search.parse_window(text, NOW)


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        pytest.param(["level=warn"], True, id="field"),
        pytest.param(["level=ERROR,serviceName=press"], True, id="or"),
        pytest.param(["level=WARN", "serviceName=camera"], False, id="and"),
        pytest.param(["len[sz]"], True, id="expression"),
        pytest.param(["LENS"], False, id="expression-has-case"),
    ],
)
def test_filter(filters: list[str], matches: bool) -> None:
    """A comma means or, several filters mean and, KEY=VALUE compares a field."""
    entry = log_search.parse_line(
        '{"timestamp": 1, "level": "WARN", "message": "no lens", '
        '"contexts": {"serviceName": "press"}}'
    )
    assert entry
    assert log_search.parse_query([], filters, NOW).matches(entry) is matches


@pytest.mark.parametrize("line", ["", "plain text", "7", "[]", '{"no": "time"}', '{"a":'])
def test_other_lines_are_no_entries(line: str) -> None:
    """Lines of text logs and torn lines are told from JSON ones."""
    assert log_search.parse_line(line) is None
