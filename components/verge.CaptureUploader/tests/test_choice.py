"""Which results are read, and which pictures are taken."""

from typing import Any

import pytest
from capture_uploader import choice, settings
from edge_ipc import values
from hypothesis import given
from hypothesis import strategies as st


def document(score: float | None = 0.4, identity: str = "1") -> dict[str, Any]:
    return {
        "schema": choice.RESULT,
        "id": identity,
        "device": "press-01",
        "picture": {"path": "/pictures/1.jpg", "sha256": "0" * 64},
        "detections": [] if score is None else [{"score": 0.1}, {"score": score}],
        "time": "2026-11-21T10:15:02.345Z",
    }


def wanted(score: float | None, **configuration: Any) -> bool:
    result = choice.read_result(document(score))
    assert result
    return choice.is_wanted(result, settings.read_settings(configuration))


@pytest.mark.parametrize(
    ("score", "configuration", "taken"),
    [
        pytest.param(0.49, {}, True, id="unsure"),
        pytest.param(0.5, {}, False, id="sure"),
        pytest.param(None, {}, True, id="nothing found"),
        pytest.param(None, {"scoreAtLeast": "0.2"}, False, id="nothing found, not wanted"),
        pytest.param(0.2, {"scoreAtLeast": "0.2"}, True, id="at least"),
        pytest.param(0.9, {"sampleEvery": "1"}, True, id="every picture"),
        pytest.param(0.9, {"scoreBelow": 2}, True, id="all"),
    ],
)
def test_takes_what_was_asked_for(
    score: float | None, configuration: dict[str, Any], taken: bool
) -> None:
    """The best score decides, and the sample does; without detections it is 0."""
    assert wanted(score, **configuration) is taken


def test_a_sample_is_a_part_and_stays_the_same() -> None:
    """One of so many pictures is drawn, by its id alone."""
    every = settings.read_settings({"sampleEvery": 10})
    results = [choice.read_result(document(0.9, f"id-{n}")) for n in range(2000)]
    drawn = [result.id for result in results if result and choice.is_wanted(result, every)]
    assert 120 < len(drawn) < 280
    assert drawn == [result.id for result in results if result and choice.is_wanted(result, every)]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_anything_else_is_no_result(garbage: Any) -> None:
    """Whatever comes on the topic is read or passed over, never an error."""
    assert choice.read_result(garbage) is None


@pytest.mark.parametrize("key", ["schema", "id", "device", "picture", "detections", "time"])
@pytest.mark.parametrize("value", [None, 7, "../up", {}, [{}]])
def test_a_damaged_result_is_no_result(key: str, value: Any) -> None:
    """A result with a part that cannot be used is passed over; its id can name no other file."""
    assert choice.read_result({**document(), key: value}) is None


@pytest.mark.parametrize(
    "part",
    [
        pytest.param({"picture": {"path": "/a\udcff", "sha256": "0"}}, id="path of other bytes"),
        pytest.param({"picture": {"path": "/a\0", "sha256": "0"}}, id="path with a zero"),
        pytest.param({"detections": [{"score": 0.1, "label": "\ud800"}]}, id="half a character"),
        pytest.param({"detections": [{"score": 10**400}]}, id="score beyond all floats"),
    ],
)
def test_a_result_that_cannot_be_kept_is_no_result(part: dict[str, Any]) -> None:
    """What JSON can say, but no file can be named or hold, is passed over."""
    assert choice.read_result({**document(), **part}) is None


@pytest.mark.parametrize(
    ("configuration", "name"),
    [
        ({"scoreBelow": "low"}, "scoreBelow"),
        ({"whenFull": "explode"}, "whenFull"),
        ({"resultsDirectory": "results"}, "resultsDirectory"),
        ({"maxSpoolBytes": -1}, "maxSpoolBytes"),
    ],
)
def test_names_a_setting_it_cannot_use(configuration: dict[str, Any], name: str) -> None:
    """A wrong value is refused with the name of its setting."""
    with pytest.raises(values.SettingError, match=f"the setting {name}"):
        settings.read_settings(configuration)
