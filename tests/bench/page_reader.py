"""Reads pages of the fleet in a process of its own, as an operator's tool does.

    page_reader.py URL REGION PAUSE

Reads the list of core devices from the front to the end, page by page with a pause between two,
until standard input ends. Then prints one line for each page: when it was asked for (seconds of
the monotonic clock, which all processes share), how long it took (ms) and how many devices it had.
"""

from __future__ import annotations

import gc
import select
import sys
import time
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
    client.list_core_devices(maxResults=1)
    # A full collection in this process looks at what botocore keeps, sixty thousand objects, which
    # takes some 60 ms and would count as the cloud's.
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    token: dict[str, Any] = {}
    lines: list[str] = []
    while not select.select([sys.stdin], [], [], pause)[0]:
        began = time.monotonic()
        page = client.list_core_devices(maxResults=PAGE, **token)
        took = (time.monotonic() - began) * 1000
        lines.append(f"{began} {took} {len(page['coreDevices'])}")
        token = {"nextToken": page["nextToken"]} if page.get("nextToken") else {}
    print("\n".join(lines))


if __name__ == "__main__":
    main()
