"""Reads pages of the fleet in a process of its own, as an operator's tool does.

    page_reader.py URL REGION PAUSE

Reads the list of core devices from the front to the end, page by page with a pause between two,
until standard input ends. Then prints one line for each page: how long the call took (ms), how long
it waited for the answer, from the request sent to the answer read (ms), and how long this process
wanted a processor and got none (ms), because it shares them with the devices and the cloud.
"""

from __future__ import annotations

import gc
import select
import sys
import time
from pathlib import Path
from typing import Any

import boto3

PAGE = 100


def main() -> None:
    """Read until nobody listens any more."""
    url, region, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
    client = boto3.client(
        "greengrassv2",
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="an-example-secret-of-forty-characters-000",
    )
    sent = [0.0]
    answered = [0.0]
    client.meta.events.register("before-send", lambda **_: _note(sent))
    client.meta.events.register("response-received", lambda **_: _note(answered))
    client.list_core_devices(maxResults=1)
    # A full collection in this process looks at what botocore keeps, sixty thousand objects, which
    # takes some 60 ms and would count as the cloud's.
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    token: dict[str, Any] = {}
    lines: list[str] = []
    while not select.select([sys.stdin], [], [], pause)[0]:
        began, starved = time.monotonic(), _starved()
        page = client.list_core_devices(maxResults=PAGE, **token)
        took = time.monotonic() - began
        spans = (took, answered[0] - sent[0], _starved() - starved)
        lines.append(" ".join(f"{span * 1000:.3f}" for span in spans))
        token = {"nextToken": page["nextToken"]} if page.get("nextToken") else {}
    print("\n".join(lines))


def _note(moment: list[float]) -> None:
    moment[0] = time.monotonic()


def _starved() -> float:
    """Return how long this thread has waited for a processor, in seconds (proc(5), schedstat)."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


if __name__ == "__main__":
    main()
