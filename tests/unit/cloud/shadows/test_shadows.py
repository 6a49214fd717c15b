"""Shadows over MQTT, over HTTP and for the other parts of the cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support import cloud_doubles as doubles
from tests.support import cloud_http
from verge.cloud import database, errors, shadows

WIRE = Path(__file__).parents[3] / "cases" / "wire"
NAMED = "AWSManagedGreengrassV2Deployment"
NOW = 1_700_000_000
STAMP = {"timestamp": NOW}


class Site:
    """A registry of shadows with its doubles; `restart` is what SIGKILL and a new start leave."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = float(NOW)
        self.things = doubles.Registry()
        self.things.add("line", "press-01", "press-02")
        self.restart()

    def restart(self) -> None:
        """Forget all that is not in the database."""
        self.database = database.Database(self.path, [shadows.SCHEMA])
        self.bus = doubles.Bus()
        self.registry = shadows.Registry(
            database=self.database, things=self.things, bus=self.bus, clock=lambda: self.now
        )
        self.registry.start()

    def ask(self, verb: str, payload: Any = b"", name: str | None = None) -> Any:
        """Ask as press-01; return the payload of the answer, `rejected` under that key."""
        shadow = f"shadow/name/{name}" if name else "shadow"
        topic = f"$aws/things/press-01/{shadow}/{verb}"
        self.bus.receive(topic, payload)
        for answer in self.bus.take(f"{topic}/accepted"):
            return answer
        return {"rejected": self.bus.take(f"{topic}/rejected")[0]}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Yield a site."""
    found = Site(tmp_path / "cloud.db")
    yield found
    found.database.close()


def wire(name: str) -> Any:
    """Return a pinned document."""
    return json.loads((WIRE / f"{name}.json").read_text(encoding="utf-8"))


def shape(value: Any) -> Any:
    """Return the names and kinds of a document, without its values."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__


def test_a_thing_deployment_goes_there_and_back(site: Site) -> None:
    """The cloud desires, the device gets and reports, all in the pinned shapes."""
    desired = wire("shadow_answer")["state"]["desired"]
    heard: list[Any] = []
    site.registry.on_update(lambda *update: heard.append(update))
    site.registry.update("press-01", NAMED, {"desired": desired})
    (accepted,) = site.bus.take("update/accepted")
    assert shape(accepted) == shape(wire("shadow_update_accepted"))
    answer = site.ask("get", name=NAMED)
    assert shape(answer) == shape(wire("shadow_answer"))
    assert answer["state"]["desired"] == desired
    report = {**wire("shadow_report"), "version": answer["version"]}
    assert site.ask("update", report, NAMED)["version"] == 2
    refused = site.ask("update", report, NAMED)["rejected"]
    assert shape(refused) == shape(wire("shadow_refusal"))
    assert [(thing, name, whole["version"]) for thing, name, whole in heard] == [
        ("press-01", NAMED, 1),
        ("press-01", NAMED, 2),
    ]
    assert heard[1][2]["state"]["reported"] == report["state"]["reported"]
    assert site.registry.get("press-01", NAMED) == heard[1][2]
    assert site.registry.get("press-01", None) is None


def test_documents_are_merged(site: Site) -> None:
    """Objects are merged, null takes away, lists and other values are replaced."""
    site.ask("update", {"state": {"desired": {"a": {"x": 1, "y": 2}, "l": [1, 2], "z": 0}}})
    site.now += 10
    change = {"a": {"x": None, "n": {"d": None, "e": 3}}, "l": [3], "z": {"deep": True}}
    answer = site.ask("update", {"state": {"desired": change}, "clientToken": "t"})
    assert answer["state"] == {"desired": change}
    assert (answer["clientToken"], answer["version"]) == ("t", 2)
    later = {"timestamp": NOW + 10}
    whole = site.ask("get")
    expected = {"a": {"y": 2, "n": {"e": 3}}, "l": [3], "z": {"deep": True}}
    assert whole["state"] == {"desired": expected, "delta": expected}
    assert whole["metadata"] == {
        "desired": {
            "a": {"y": STAMP, "n": {"e": later}},
            "l": [later],
            "z": {"deep": later},
        }
    }


@pytest.mark.parametrize(
    ("desired", "reported", "delta"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"a": 1, "b": 2}, None),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}, {"a": {"y": 2}}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1, 2]}),
        ({"a": True}, {"a": 1}, {"a": True}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": {"x": 1}}),
        ({}, {"a": 1}, None),
    ],
)
def test_the_delta_is_what_is_not_reported(
    site: Site, desired: Any, reported: Any, delta: Any
) -> None:
    """The delta is told exactly where the desired state is not the reported one."""
    site.ask("update", {"state": {"desired": desired, "reported": reported}})
    told = site.bus.take("update/delta")
    assert [each["state"] for each in told] == ([] if delta is None else [delta])
    assert site.ask("get")["state"].get("delta") == delta


def test_documents_are_told(site: Site) -> None:
    """`update/documents` has the states before and after."""
    site.ask("update", {"state": {"reported": {"a": 1}}})
    site.ask("update", {"state": {"reported": {"a": 2}}, "clientToken": "t"})
    _, told = site.bus.take("update/documents")
    assert told == {
        "previous": {
            "state": {"reported": {"a": 1}},
            "metadata": {"reported": {"a": STAMP}},
            "version": 1,
        },
        "current": {
            "state": {"reported": {"a": 2}},
            "metadata": {"reported": {"a": STAMP}},
            "version": 2,
        },
        "timestamp": NOW,
        "clientToken": "t",
    }


def test_versions_are_checked(site: Site) -> None:
    """An update of an old version is rejected and changes nothing."""
    site.ask("update", {"state": {"desired": {"a": 1}}})
    assert site.ask("update", {"state": {"desired": {"a": 2}}, "version": 1})["version"] == 2
    late = {"state": {"desired": {"a": 3}}, "version": 1, "clientToken": "late"}
    assert site.ask("update", late)["rejected"] == {
        "code": 409,
        "message": "Version conflict",
        "timestamp": NOW,
        "clientToken": "late",
    }
    assert site.ask("get")["state"]["desired"] == {"a": 2}


def test_a_section_set_to_null_is_taken_away(site: Site) -> None:
    """`"desired": null` removes the section and its metadata."""
    site.ask("update", {"state": {"desired": {"a": 1}, "reported": {"a": 1}}})
    site.ask("update", {"state": {"desired": None}})
    whole = site.ask("get")
    assert whole["state"] == {"reported": {"a": 1}}
    assert whole["metadata"] == {"reported": {"a": STAMP}}


def test_a_deleted_shadow_goes_on_counting(site: Site) -> None:
    """Deleting answers with the version; the next shadow of that name continues from it."""
    site.ask("update", {"state": {"desired": {"a": 1}}}, "config")
    gone = site.ask("delete", {"clientToken": "t"}, "config")
    assert gone == {"version": 1, "timestamp": NOW, "clientToken": "t"}
    assert site.ask("get", name="config")["rejected"]["code"] == 404
    assert site.ask("delete", name="config")["rejected"]["code"] == 404
    assert site.ask("update", {"state": {"desired": {"b": 1}}}, "config")["version"] == 2
    assert site.ask("get", name="config")["state"]["desired"] == {"b": 1}


def test_shadows_survive_a_kill(site: Site) -> None:
    """What was accepted is there after a restart, deleted shadows stay deleted."""
    site.ask("update", {"state": {"desired": {"a": 1}}})
    site.ask("update", {"state": {"desired": {"a": 1}}}, "gone")
    site.ask("delete", name="gone")
    site.restart()
    assert site.ask("get")["state"]["desired"] == {"a": 1}
    assert site.ask("get", name="gone")["rejected"]["code"] == 404


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        pytest.param(b"", 400, id="nothing"),
        pytest.param(b"\xff", 400, id="binary"),
        pytest.param(b"[]", 400, id="list"),
        pytest.param(b'{"state":' + b"[" * 50_000, 400, id="deep garbage"),
        pytest.param({}, 400, id="no state"),
        pytest.param(b'{"state": {"desired": {"a": NaN}}}', 400, id="no number"),
        pytest.param(b'{"state": {"desired": {"a": 1e999}}}', 400, id="infinity"),
        pytest.param(b'{"state": {"desired": {"a": "\\ud800"}}}', 400, id="half a pair"),
        pytest.param(b'{"state": {}, "clientToken": "\\ud800"}', 400, id="half a token"),
        pytest.param({"state": []}, 400, id="state"),
        pytest.param({"state": {"wanted": {}}}, 400, id="section"),
        pytest.param({"state": {"desired": 5}}, 400, id="kind"),
        pytest.param({"state": {"desired": {"a": 1}}, "version": "1"}, 400, id="version"),
        pytest.param({"state": {"desired": {"a": 1}}, "clientToken": 5}, 400, id="token"),
        pytest.param(
            {"state": {"desired": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {}}}}}}}}}}},
            400,
            id="nesting",
        ),
        pytest.param({"state": {"desired": {"a": "x" * 8192}}}, 413, id="size"),
    ],
)
def test_bad_updates_are_rejected(site: Site, payload: Any, code: int) -> None:
    """What cannot be taken is rejected and leaves no shadow behind."""
    assert site.ask("update", payload)["rejected"]["code"] == code
    assert site.ask("get")["rejected"]["code"] == 404


@pytest.mark.parametrize("depth", range(950, 1000))
def test_nesting_near_the_limit_of_readers(site: Site, depth: int) -> None:
    """However deep an update is, it is answered."""
    update = b'{"state": {"desired": {"a": ' + b"[" * depth + b"]" * depth + b"}}}"
    assert site.ask("update", update)["rejected"]["code"] == 400


def test_the_size_is_that_of_the_whole_state(site: Site) -> None:
    """Updates that are small by themselves cannot grow a shadow beyond its limit."""
    site.ask("update", {"state": {"desired": {"a": "x" * 5000}}})
    assert site.ask("update", {"state": {"reported": {"a": "x" * 5000}}})["rejected"]["code"] == 413
    assert site.ask("get")["version"] == 1


def test_things_that_do_not_exist_have_no_shadows(site: Site) -> None:
    """The other parts are told so by an error of the kind they know."""
    with pytest.raises(errors.NotFoundError, match="press-99"):
        site.registry.update("press-99", None, {"desired": {"a": 1}})


def refusal(call: Any, **arguments: Any) -> tuple[str, int]:
    """Return code and status of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_shadows_over_http(site: Site) -> None:
    """Unmodified boto3 updates, gets, lists and deletes; devices hear of it."""
    with cloud_http.serving(site.registry.routes()) as url:
        client = cloud_http.client("iot-data", url)
        me = {"thingName": "press-01"}
        payload = json.dumps({"state": {"desired": {"a": 1}}})
        answer = client.update_thing_shadow(**me, payload=payload)
        assert json.load(answer["payload"])["version"] == 1
        assert site.bus.take("things/press-01/shadow/update/delta")[0]["state"] == {"a": 1}
        for name in ("three", "one", "two"):
            client.update_thing_shadow(**me, shadowName=name, payload=payload)
        found = json.load(client.get_thing_shadow(**me, shadowName="one")["payload"])
        assert found["state"] == {"desired": {"a": 1}, "delta": {"a": 1}}
        page = client.list_named_shadows_for_thing(**me, pageSize=2)
        rest = client.list_named_shadows_for_thing(**me, nextToken=page["nextToken"])
        assert page["results"] + rest["results"] == ["one", "three", "two"]
        assert "nextToken" not in rest
        client.delete_thing_shadow(**me, shadowName="one")
        get, update = client.get_thing_shadow, client.update_thing_shadow
        assert refusal(get, **me, shadowName="one") == ("ResourceNotFoundException", 404)
        assert refusal(get, thingName="press-99") == ("ResourceNotFoundException", 404)
        late = json.dumps({"state": {"desired": {"a": 1}}, "version": 9})
        assert refusal(update, **me, payload=late) == ("ConflictException", 409)
        assert refusal(update, **me, payload=b"x") == ("InvalidRequestException", 400)
        large = json.dumps({"state": {"desired": {"a": "x" * 8200}}})
        assert refusal(update, **me, payload=large) == ("RequestEntityTooLargeException", 413)
