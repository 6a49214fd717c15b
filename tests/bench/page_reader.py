"""Reads pages of the fleet in a process of its own, as an operator's tool does.

    page_reader.py URL REGION PAUSE

From a line on standard input to the next it reads the list of core devices from the front to the
end, page by page with a pause between two. Then it prints one JSON list with three numbers for each
page: how long the call took (ms), how long it waited for the answer, from the request sent to the
answer read (ms), and how long this process wanted a processor and got none (ms). It ends with its
input.
"""

from __future__ import annotations

import gc
import json
import select
import sys
import time
from pathlib import Path
from typing import Any

import boto3

PAGE = 100


class Reader:
    """An operator's client."""

    def __init__(self, url: str, region: str, pause: float) -> None:
        self._pause = pause
        self._client = boto3.client(
            "greengrassv2",
            endpoint_url=url,
            region_name=region,
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key="an-example-secret-of-forty-characters-000",
        )
        self._sent = self._answered = 0.0
        self._client.meta.events.register("before-send", self._note_sent)
        self._client.meta.events.register("response-received", self._note_answered)
        self._client.list_core_devices(maxResults=1)

    def read(self) -> list[tuple[float, float, float]]:
        """Read pages until standard input has something; return call, answer and wait in ms."""
        token: dict[str, Any] = {}
        pages = []
        while not select.select([sys.stdin], [], [], self._pause)[0]:
            began, starved = time.monotonic(), _starved()
            page = self._client.list_core_devices(maxResults=PAGE, **token)
            took = time.monotonic() - began
            spans = (took, self._answered - self._sent, _starved() - starved)
            pages.append((spans[0] * 1000, spans[1] * 1000, spans[2] * 1000))
            token = {"nextToken": page["nextToken"]} if page.get("nextToken") else {}
        return pages

    def _note_sent(self, **_: Any) -> None:
        self._sent = time.monotonic()

    def _note_answered(self, **_: Any) -> None:
        self._answered = time.monotonic()


def _starved() -> float:
    """Return how long this thread has waited for a processor, in seconds (proc(5), schedstat)."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def main() -> None:
    """Read when told to."""
    reader = Reader(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    # A full collection in this process looks at what botocore keeps, sixty thousand objects, which
    # takes some 60 ms and would count as the cloud's.
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    while sys.stdin.readline():
        print(json.dumps(reader.read()), flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main()
