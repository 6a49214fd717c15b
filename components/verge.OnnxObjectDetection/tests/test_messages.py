"""The documents on the topics, their schemas and the pinned examples."""

import ast
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from edge_ipc import documents
from hypothesis import given
from hypothesis import strategies as st
from object_detection import messages
from object_detection.errors import PictureError

SCHEMAS = Path(messages.__file__).parent / "schemas"
CASES = Path(__file__).parents[3] / "tests" / "cases" / "wire"
KINDS = ("file", "result", "rejection")


def schema(kind: str) -> Any:
    return json.loads((SCHEMAS / f"{kind}.json").read_bytes())


def example(kind: str) -> Any:
    return json.loads((CASES / f"{kind}.json").read_bytes())


def check(kind: str, document: Any) -> None:
    jsonschema.Draft202012Validator(schema(kind)).validate(document)


@pytest.mark.parametrize("kind", KINDS)
def test_the_examples_are_valid(kind: str) -> None:
    """The pinned examples obey their schemas."""
    jsonschema.Draft202012Validator.check_schema(schema(kind))
    check(kind, example(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_counts(kind: str) -> None:
    """A document that lacks a field, or has one too many, is not valid."""
    for key in example(kind):
        document = {name: value for name, value in example(kind).items() if name != key}
        with pytest.raises(jsonschema.ValidationError):
            check(kind, document)
    with pytest.raises(jsonschema.ValidationError):
        check(kind, {**example(kind), "more": 1})


def test_results_obey_the_schema(loaded: Any, pictures: Path) -> None:
    """What is found in a real picture is written as the schema says."""
    event = messages.read_event({"id": "a-1", "path": str(pictures / "chelsea.png")})
    analysis = loaded.analyse(event.path, 10**8, loaded.thresholds(None, None))
    document = messages.make_result(event, "press-01", loaded.card, analysis, None)
    document["timings_ms"]["total"] = 1.0
    check("result", json.loads(json.dumps(document)))
    assert document["model"] == example("result")["model"]
    assert document["picture"] | {"path": ""} == example("result")["picture"] | {"path": ""}


DETECTION = example("result")["detections"][0]


@given(labels=st.lists(st.text(max_size=40), max_size=120), limit=st.integers(min_value=800))
def test_a_result_is_shortened_to_what_fits(labels: list[str], limit: int) -> None:
    """Of a result that is too long the first detections stay, as many as fit, with a count."""
    whole = {**example("result"), "detections": [{**DETECTION, "label": one} for one in labels]}
    short = messages.shorten(whole, limit)
    check("result", short)
    if len(documents.encode(whole)) <= limit:
        assert short is whole
        return
    kept = len(short["detections"])
    assert short["detections"] == whole["detections"][:kept]
    assert short["truncated"] == len(labels) - kept
    assert len(documents.encode(short)) <= limit
    left = short["truncated"] - 1
    one_more = {**short, "detections": whole["detections"][: kept + 1], "truncated": left}
    assert len(documents.encode(one_more)) > limit


def test_without_a_limit_nothing_is_left_out() -> None:
    """Where the nucleus takes any message, and where there is nothing to leave out, all stays."""
    whole = {**example("result"), "detections": [DETECTION] * 500}
    assert messages.shorten(whole, None) is whole
    rejection = example("rejection")
    assert messages.shorten(rejection, 10) is rejection


def test_rejections_obey_the_schema() -> None:
    """Every code that the detector and the monitor use stands in the schema, and no other."""
    used: set[str] = set()
    for source in SCHEMAS.parent.glob("*.py"):
        used.update(
            part.split('"')[1]
            for part in source.read_text(encoding="utf-8").split("PictureError(")[1:]
            if part.startswith('"')
        )
    monitor = SCHEMAS.parents[3] / "verge.FileSystemMonitor/src/file_system_monitor/states.py"
    _, _, refusals = monitor.read_text(encoding="utf-8").partition("REFUSALS = ")
    used.update(ast.literal_eval(refusals[: refusals.index("}") + 1]))
    assert used == set(schema("rejection")["properties"]["code"]["enum"])
    event = messages.FileEvent("a", "/x")
    document = messages.make_rejection(event, "press-01", PictureError("missing", "it is gone"))
    check("rejection", document)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(None, id="nothing"),
        pytest.param([], id="list"),
        pytest.param({}, id="no id"),
        pytest.param({"id": 7, "path": "/x"}, id="number"),
        pytest.param({"id": "", "path": "/x"}, id="empty"),
        pytest.param({"id": "../../etc/passwd", "path": "/x"}, id="leads out"),
        pytest.param({"id": ".hidden", "path": "/x"}, id="hidden"),
        pytest.param({"id": "a\n", "path": "/x"}, id="line break"),
        pytest.param({"id": "a" * 129, "path": "/x"}, id="too long"),
    ],
)
def test_refuses_an_event_it_cannot_answer(document: Any) -> None:
    """Without an id that can name a file there is no answer."""
    with pytest.raises(messages.EventError):
        messages.read_event(document)


@pytest.mark.parametrize("path", [None, 7, "", "relative.png", "/a\0b", "/a\udcff", {}])
def test_an_event_without_a_path_is_rejected(path: Any) -> None:
    """An id without a usable path is answered with a rejection."""
    event = messages.read_event({"id": "a", "path": path})
    with pytest.raises(PictureError) as caught:
        messages.check_event(event)
    assert caught.value.code == "invalid_event"


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.just(10**400),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
    | st.fixed_dictionaries(
        {
            "id": st.text("ab./", min_size=1, max_size=3),
            "path": st.text(st.characters(categories=["L", "Cs", "Cc"])).map("/".__add__),
            "size": st.integers() | st.booleans(),
            "modified": st.floats() | st.just(-(10**400)) | st.just(10**400),
        }
    )
)
def test_any_document_is_an_event_or_an_error(document: Any) -> None:
    """Whatever anybody publishes, it is read as an event that has an answer, or refused."""
    try:
        event = messages.read_event(document)
    except messages.EventError:
        return
    assert Path("/results", f"{event.id}.json").resolve().parent == Path("/results")
    rejection = messages.make_rejection(event, "press-01", PictureError("missing", "it is gone"))
    assert documents.encode(rejection)
