"""The default event bus, with moto's rules and queues behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from verge.cloud import aws, database, ports, settings

EVENT = ports.Event(
    source="aws.greengrass", kind="Something", resources=("arn:x",), detail={"number": 1}
)
JSON_1_1 = ("Content-Type", "application/x-amz-json-1.1")
JSON_1_0 = ("Content-Type", "application/x-amz-json-1.0")
QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/heard"


class Account:
    """A backend on a database."""

    def __init__(self, path: Path) -> None:
        self._options = settings.Settings(state=path)
        self.rows = database.Database(self._options.database, [aws.SCHEMA])
        self.backend = aws.Backend(database=self.rows, settings=self._options)

    def restart(self) -> None:
        """Begin anew with the same database."""
        self.backend = aws.Backend(database=self.rows, settings=self._options)
        self.backend.replay()

    def send(self, *events: ports.Event) -> None:
        """Send events and wait until they are sent."""
        sender = aws.Events(backend=self.backend)
        sender.start()
        for event in events:
            sender.put(event)
        sender.stop()

    def listen(self) -> None:
        """Put a queue behind a rule."""
        self._ask("sqs", "AmazonSQS.CreateQueue", JSON_1_0, QueueName="heard")
        pattern = json.dumps({"source": ["aws.greengrass"]})
        self._ask("events", "AWSEvents.PutRule", JSON_1_1, Name="all", EventPattern=pattern)
        target = {"Id": "queue", "Arn": "arn:aws:sqs:eu-west-1:123456789012:heard"}
        self._ask("events", "AWSEvents.PutTargets", JSON_1_1, Rule="all", Targets=[target])

    def heard(self) -> list[Any]:
        """Return the details of the events in the queue."""
        answer = self._ask(
            "sqs",
            "AmazonSQS.ReceiveMessage",
            JSON_1_0,
            QueueUrl=QUEUE,
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
        )
        return [json.loads(each["Body"])["detail"] for each in answer.get("Messages", ())]

    def journaled(self) -> int:
        """Return how many requests a start would repeat."""
        row = self.rows.one("SELECT count(*) AS number FROM aws_journal")
        return 0 if row is None else int(row["number"])

    def _ask(self, service: str, target: str, kind: tuple[str, str], **members: Any) -> Any:
        answer = self.backend.call(
            "POST",
            "/",
            [kind, ("X-Amz-Target", target)],
            json.dumps(members).encode(),
            service=service,
        )
        assert answer.status_code == 200, answer.get_data()
        return json.loads(answer.get_data() or b"{}")


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    made = Account(tmp_path)
    yield made
    made.rows.close()


def test_nobody_listens(account: Account) -> None:
    """Without a rule that has a target, events cost no entry of the journal."""
    account.send(*[EVENT] * 25)
    assert account.journaled() == 0


def test_events_are_heard(account: Account) -> None:
    """A queue behind a rule has every event, whoever it was sent with, also after a restart."""
    account.listen()
    numbers = list(range(8))
    account.send(*(msgspec.structs.replace(EVENT, detail={"number": n}) for n in numbers))
    assert sorted(each["number"] for each in account.heard()) == numbers
    account.restart()
    assert sorted(each["number"] for each in account.heard()) == numbers
