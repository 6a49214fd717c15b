"""The service model that botocore ships: what each operation takes, answers and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from botocore import loaders
from botocore import model as boto

SERVICE = "greengrassv2"


@cache
def service() -> boto.ServiceModel:
    """Return the model of the newest API version; read once."""
    description = loaders.Loader().load_service_model(SERVICE, "service-2")
    return boto.ServiceModel(description, SERVICE)


def operations() -> Iterator[boto.OperationModel]:
    """Return the operations by name."""
    return (service().operation_model(name) for name in service().operation_names)
