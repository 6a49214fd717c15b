"""moto behind its journal, in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from verge.cloud import aws, database, ports, settings

JSON = [("Content-Type", "application/x-amz-json-1.1")]


class Life:
    """A backend on a database; `again` is what a restart makes of it."""

    def __init__(self, path: Path) -> None:
        self._options = settings.Settings(state=path)
        self.rows = database.Database(self._options.database, [aws.SCHEMA])
        self.backend = aws.Backend(database=self.rows, settings=self._options)

    def again(self) -> int:
        """Begin anew with the same database; return how many requests were replayed."""
        self.backend = aws.Backend(database=self.rows, settings=self._options)
        return self.backend.replay()

    def iot(self, method: str, path: str, **members: Any) -> Any:
        """Make a request to IoT; return its document."""
        body = json.dumps(members).encode() if members else b""
        response = self.backend.call(method, path, (), body)
        assert response.status_code < 400, response.get_data()
        return json.loads(response.get_data() or b"{}")

    def parameter(self, operation: str, **members: Any) -> Any:
        """Make a request to SSM; return its document or its error."""
        headers = [*JSON, ("X-Amz-Target", f"AmazonSSM.{operation}")]
        response = self.backend.call(
            "POST", "/", headers, json.dumps(members).encode(), service="ssm"
        )
        return json.loads(response.get_data())


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    made = Life(tmp_path)
    yield made
    made.rows.close()


def test_only_changes_are_journaled(life: Life) -> None:
    """Reads and refusals do not make the start longer."""
    life.iot("POST", "/things/press-07")
    for _ in range(5):
        life.iot("GET", "/things/press-07")
        life.parameter("DescribeParameters")
        assert "Errors" not in life.parameter("GetParameter", Name="/none")
        life.backend.call("DELETE", "/thing-groups/none", (), b"")
    life.parameter("PutParameter", Name="/a", Value="1", Type="String")
    life.parameter("PutParameter", Name="/a", Value="2", Type="String")  # refused: no Overwrite
    deleted_groups = 5  # moto deletes groups that are not there
    assert life.again() in {2, 2 + deleted_groups}
    assert life.parameter("GetParameter", Name="/a")["Parameter"]["Value"] == "1"


def test_what_fails_to_replay_costs_nothing_else(life: Life) -> None:
    """An entry that moto no longer takes is skipped; those around it are not."""
    life.iot("POST", "/things/press-07")
    life.iot("POST", "/things/press-08")
    life.rows.execute("UPDATE aws_journal SET target = '/nowhere/at/all' WHERE number = 1")
    assert life.again() == 2
    assert [each["thingName"] for each in life.iot("GET", "/things")["things"]] == ["press-08"]


def test_an_entry_that_cannot_be_kept_is_not_acknowledged(life: Life) -> None:
    """Without room for the journal the request fails and has no effect, now or after a restart."""
    life.iot("POST", "/things/press-06")
    life.rows.execute(
        "CREATE TRIGGER full BEFORE INSERT ON aws_journal BEGIN SELECT RAISE(FAIL, 'full'); END"
    )
    with pytest.raises(Exception, match="full"):
        life.iot("POST", "/things/press-07")
    life.rows.execute("DROP TRIGGER full")
    for _ in range(2):
        assert [each["thingName"] for each in life.iot("GET", "/things")["things"]] == ["press-06"]
        assert life.again() == 1


def test_changes_are_told_before_the_answer(life: Life) -> None:
    """Whoever follows a service hears of its changes, of no reads, and of no other service's."""
    heard: list[int] = []
    life.backend.on_change("iot", lambda: heard.append(1))
    life.iot("POST", "/things/press-07")
    assert len(heard) == 1
    life.iot("GET", "/things/press-07")
    life.parameter("PutParameter", Name="/a", Value="1", Type="String")
    assert len(heard) == 1


def test_dates_stand_still(life: Life) -> None:
    """Everything in one request happens at the moment the journal keeps."""
    life.parameter("PutParameter", Name="/a", Value="1", Type="String")
    before = life.parameter("GetParameter", Name="/a")["Parameter"]["LastModifiedDate"]
    life.rows.execute("UPDATE aws_journal SET at = at - 86400")
    life.again()
    after = life.parameter("GetParameter", Name="/a")["Parameter"]["LastModifiedDate"]
    assert before - after == pytest.approx(86400, abs=0.01)


def test_missing_operations_are_named(life: Life) -> None:
    """An operation that moto does not have is refused by its name, in its own protocol."""
    answer = life.parameter("CreateActivation", IamRole="r")
    assert answer["__type"] == "NotImplementedException"
    assert answer["message"] == (
        "cannot handle CreateActivation: not implemented in the local cloud"
    )


class Registry(Life):
    """A life with a fleet in it."""

    def fleet(self) -> None:
        """Make a device in a group below another, with a certificate and policies."""
        for name in ("press-07", "press-08"):
            self.iot("POST", f"/things/{name}")
        self.iot("POST", "/thing-groups/plant")
        self.iot("POST", "/thing-groups/line", parentGroupName="plant")
        self.iot(
            "PUT", "/thing-groups/addThingToThingGroup", thingGroupName="line", thingName="press-07"
        )
        self.iot(
            "PUT",
            "/thing-groups/addThingToThingGroup",
            thingGroupName="plant",
            thingName="press-08",
        )


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    made = Registry(tmp_path)
    made.fleet()
    yield made
    made.rows.close()


def test_groups_contain_the_groups_below_them(registry: Registry) -> None:
    """A group's things are its own and those of the groups below it, each once."""
    things = aws.Things(backend=registry.backend)
    assert things.things_in("line") == ("press-07",)
    assert things.things_in("plant") == ("press-07", "press-08")
    assert things.things_in("none") == ()
    (group,) = things.groups_of("press-07")
    assert (group.name, group.parents) == ("line", ("plant",))
    assert group.arn == "arn:aws:iot:eu-west-1:123456789012:thinggroup/line"
    assert things.exists("press-07")
    assert not things.exists("press-09")
    assert things.group_exists("plant")
    assert not things.group_exists("press-07")


def test_groups_forget_deleted_things(life: Life) -> None:
    """A deleted thing leaves its groups, and the next one of that name begins outside of them."""
    things = aws.Things(backend=life.backend)
    life.iot("POST", "/thing-groups/line")
    life.iot("POST", "/things/press-07")
    member = {"thingGroupName": "line", "thingName": "press-07"}
    life.iot("PUT", "/thing-groups/addThingToThingGroup", **member)
    assert things.things_in("line") == ("press-07",)
    life.iot("DELETE", "/things/press-07")
    assert things.things_in("line") == ()
    life.iot("POST", "/things/press-07")
    life.again()
    things = aws.Things(backend=life.backend)
    assert things.groups_of("press-07") == ()
    life.iot("PUT", "/thing-groups/addThingToThingGroup", **member)
    assert things.things_in("line") == ("press-07",)


def _certificate() -> tuple[bytes, str]:
    """Return a certificate, DER and PEM."""
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding
    return made.public_bytes(encoding.DER), made.public_bytes(encoding.PEM).decode()


def test_a_certificate_stands_for_its_thing_while_active(registry: Registry) -> None:
    """Registered, attached and ACTIVE: anything less stands for nobody, also after a restart."""
    der, pem = _certificate()
    things = aws.Things(backend=registry.backend)
    assert things.authenticate(der) is None
    arn = registry.iot("POST", "/certificate/register-no-ca", certificatePem=pem, status="ACTIVE")[
        "certificateArn"
    ]
    assert things.authenticate(der) is None
    registry.backend.call("PUT", "/things/press-07/principals", [("x-amzn-principal", arn)])
    registry.iot("POST", "/policies/one", policyDocument='{"Statement": [{"Sid": "one"}]}')
    registry.iot("POST", "/policies/two", policyDocument='{"Statement": [{"Sid": "two"}]}')
    registry.iot("PUT", "/target-policies/one", target=arn)
    group = "arn:aws:iot:eu-west-1:123456789012:thinggroup/plant"
    registry.iot("PUT", "/target-policies/two", target=group)

    registry.again()
    things = aws.Things(backend=registry.backend)
    device = things.authenticate(der)
    assert device is not None
    assert device.thing == "press-07"
    assert device.certificate_id == arn.rpartition("/")[2]
    sids = [document["Statement"][0]["Sid"] for document in things.policies_of(device)]
    assert sids == ["one", "two"]
    registry.iot("PUT", f"/certificates/{device.certificate_id}?newStatus=REVOKED")
    assert things.authenticate(der) is None


def test_every_change_of_a_certificate_counts_at_once(registry: Registry) -> None:
    """Attached, detached and attached to another thing: each answer is that of the moment."""
    der, pem = _certificate()
    things = aws.Things(backend=registry.backend)
    arn = registry.iot("POST", "/certificate/register-no-ca", certificatePem=pem, status="ACTIVE")[
        "certificateArn"
    ]
    principal = [("x-amzn-principal", arn)]
    registry.iot("POST", "/policies/one", policyDocument='{"Statement": [{"Sid": "one"}]}')
    for thing in ("press-07", "press-08"):
        registry.backend.call("PUT", f"/things/{thing}/principals", principal)
        device = things.authenticate(der)
        assert device == ports.Device(thing, arn.rpartition("/")[2])
        assert things.policies_of(device) == ()
        registry.iot("PUT", "/target-policies/one", target=arn)
        assert len(things.policies_of(device)) == 1
        registry.iot("POST", "/target-policies/one", target=arn)
        assert things.policies_of(device) == ()
        registry.backend.call("DELETE", f"/things/{thing}/principals", principal)
        assert things.authenticate(der) is None


def test_who_holds_the_database_may_ask_for_things(registry: Registry) -> None:
    """A change that waits for the database does not keep its holder from reading the registry."""
    things = aws.Things(backend=registry.backend)
    writer = threading.Thread(target=registry.iot, args=("POST", "/things/press-09"), daemon=True)
    answers: list[bool] = []
    reader = threading.Thread(target=lambda: answers.append(things.exists("press-07")), daemon=True)
    with registry.rows.transaction():
        writer.start()
        writer.join(0.3)  # long enough to get as far as it can
        assert writer.is_alive()
        reader.start()
        reader.join(20)
        assert answers == [True]
    writer.join(20)
    assert not writer.is_alive()
    assert things.exists("press-09")


def test_role_aliases_name_their_roles(registry: Registry) -> None:
    """An alias that is not there has no role."""
    things = aws.Things(backend=registry.backend)
    role = "arn:aws:iam::123456789012:role/r"
    registry.iot("POST", "/role-aliases/tokens", roleArn=role)
    assert things.role_alias("tokens") == ports.RoleAlias(role, 3600)
    registry.iot("PUT", "/role-aliases/tokens", credentialDurationSeconds=900)
    assert things.role_alias("tokens") == ports.RoleAlias(role, 900)
    assert things.role_alias("none") is None


def test_sessions_end(tmp_path: Path) -> None:
    """Credentials are found until they expire, and forgotten after that."""
    now = 1_000_000.0
    clock: Callable[[], float] = lambda: now  # noqa: E731
    rows = database.Database(tmp_path / "db", [aws.SCHEMA])
    sessions = aws.Sessions(database=rows, now=clock)
    first = sessions.issue(role="arn:r", thing="press-07", seconds=900)
    assert sessions.find(first.access_key_id) == first
    assert first.expires == now + 900
    now += 901
    assert sessions.find(first.access_key_id) is None
    sessions.issue(role="arn:r", thing="press-07", seconds=900)
    assert len(rows.all("SELECT * FROM aws_session")) == 1
    rows.close()
