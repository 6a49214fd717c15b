"""Routes of the local cloud served on a free port, and unmodified clients for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

from tests.support import cloud_doubles
from verge.cloud.http import application, routing, server


@contextmanager
def serving(routes: Sequence[routing.Route]) -> Iterator[str]:
    """Yield the URL under which the routes answer."""
    handle = application.by_route(routes, application.unknown)
    listener = server.Server("127.0.0.1", 0, application.Application(handle))
    listener.start()
    try:
        yield f"http://127.0.0.1:{listener.port}"
    finally:
        listener.stop()


def client(service: str, url: str) -> Any:
    """Return a boto3 client that asks once."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=cloud_doubles.REGION,
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="secret-of-nobody",
        config=Config(retries={"total_max_attempts": 1}),
    )
