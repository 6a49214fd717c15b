"""What belongs to the account or to one thing: service role and connectivity."""

from __future__ import annotations

import pytest

from tests.contract.cloud import account as accounts

Account = accounts.Account
refused = accounts.refused


@accounts.local_only("an account has one service role, which others may be using")
def test_service_role(account: Account) -> None:
    """The service role is set, shown and taken away."""
    greengrass, role = account.greengrass, "arn:aws:iam::123456789012:role/service-role/gg"
    with refused("ResourceNotFoundException"):
        greengrass.get_service_role_for_account()
    assert greengrass.associate_service_role_to_account(roleArn=role)["associatedAt"]
    shown = greengrass.get_service_role_for_account()
    assert shown["roleArn"] == role
    assert shown["associatedAt"]
    assert greengrass.disassociate_service_role_from_account()["disassociatedAt"]
    with refused("ResourceNotFoundException"):
        greengrass.get_service_role_for_account()
    with refused("ValidationException"):
        greengrass.associate_service_role_to_account(roleArn="role")


def test_connectivity(account: Account) -> None:
    """Where a core device is reached is stored as given, with a new version each time."""
    thing, _ = account.thing()
    greengrass = account.greengrass
    info = [{"id": "a", "hostAddress": "10.0.0.7", "portNumber": 8883, "metadata": "lan"}]
    first = greengrass.update_connectivity_info(thingName=thing, connectivityInfo=info)
    shown = greengrass.get_connectivity_info(thingName=thing)
    assert shown["connectivityInfo"] == info
    second = greengrass.update_connectivity_info(thingName=thing, connectivityInfo=[])
    assert first["version"] != second["version"]
    assert greengrass.get_connectivity_info(thingName=thing)["connectivityInfo"] == []


@pytest.mark.parametrize("call", ["get_connectivity_info", "update_connectivity_info"])
def test_connectivity_of_nothing(account: Account, call: str) -> None:
    """A thing that does not exist is reached nowhere."""
    given: dict[str, list[str]] = {} if call.startswith("get") else {"connectivityInfo": []}
    with refused("ValidationException"):
        getattr(account.greengrass, call)(thingName=account.name("none"), **given)
