"""Routes and the envelope of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import urllib3
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from tests.unit.cloud.greengrass import conftest
from verge.cloud.greengrass import model
from verge.cloud.http import routing

Cloud = conftest.Cloud
COMPONENT = "arn%3Aaws%3Agreengrass%3Aeu-west-1%3A123456789012%3Acomponents%3Ac"


def _never(request: Request, _: Mapping[str, str]) -> Response:
    raise AssertionError(request.path)


def test_every_operation_has_a_route(cloud: Cloud) -> None:
    """Each operation of the model has its method and path among the routes."""
    routes = {(route.method, route.pattern.pattern) for route in cloud.service.routes()}
    assert len(list(model.operations())) == 29
    for operation in model.operations():
        method, path = operation.http["method"], operation.http["requestUri"]
        tagged = path.startswith("/tags/")
        expected = routing.Route.of(method, path, _never).pattern
        assert tagged or (method, expected.pattern) in routes, operation.name


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        (f"/tags/{COMPONENT}", True),
        (f"/tags/{COMPONENT.replace('%3A', ':')}", True),
        ("/tags/nonsense", True),
        ("/tags/arn:aws:apigateway:eu-west-1::/restapis/x", False),
        ("/tags/arn%3Aaws%3Amq%3Aeu-west-1%3A1%3Abroker", False),
        ("/greengrass/groups", False),
        ("/greengrass/v2/nonsense", True),
        ("/greengrass/servicerole", True),
    ],
)
def test_paths_of_other_services(cloud: Cloud, path: str, ours: bool) -> None:
    """Tags of other services and the first Greengrass are left to them."""
    environ: dict[str, Any] = EnvironBuilder(path=path).get_environ()
    environ["RAW_URI"] = path
    found = routing.Table(cloud.service.routes()).find(Request(environ))
    assert (found is not None) == ours


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/greengrass/v2/nonsense"), ("POST", "/greengrass/v2/coreDevices/x/thingGroups")],
)
def test_unknown_operations(cloud: Cloud, method: str, path: str) -> None:
    """What is no operation is refused by its path."""
    with urllib3.PoolManager() as pool:
        answer = pool.request(method, f"{cloud.client.meta.endpoint_url}{path}")
    assert answer.status == 400
    assert answer.headers["x-amzn-errortype"] == "ValidationException"
    assert answer.json()["reason"] == "UNKNOWN_OPERATION"
    assert path in answer.json()["message"]


def test_internal_errors(cloud: Cloud) -> None:
    """What fails inside is an InternalServerException that says so, not a broken connection."""
    cloud.database.execute("DROP TABLE greengrass_tags")
    with conftest.refused("InternalServerException") as caught:
        cloud.client.create_component_version(inlineRecipe=conftest.recipe("c"), tags={"a": "b"})
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert "internal error: CreateComponentVersion" in str(caught.value)
