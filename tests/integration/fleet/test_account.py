"""What the roles do in an account, on a real local cloud: access, identities, instances."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support import running_cloud
from verge.fleet import ansible_inventory, project

ROOT = running_cloud.REPOSITORY
ACCESS = ROOT / "roles/aws_prerequisites/library/verge_fleet_access.py"
DEVICE = ROOT / "roles/greengrass/library/verge_core_device.py"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "client/press"}],
}
ROLE = "arn:aws:iam::123456789012:role/a-role"


def _trust(service: str) -> dict[str, Any]:
    principal = {"Service": f"{service}.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def _reading(bucket: str) -> dict[str, Any]:
    resource = f"arn:aws:s3:::{bucket}/*"
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    aws_prerequisites_thing_groups: [line, yard]
    aws_prerequisites_capture_bucket: captured
  roles: [aws_prerequisites]
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running_cloud.RunningCloud]:
    """Return a local cloud that the tests here share."""
    with running_cloud.running(tmp_path_factory.mktemp("cloud") / "state") as running:
        yield running


def environment(cloud: running_cloud.RunningCloud) -> dict[str, str]:
    """Return the environment that leads AWS tools to the cloud."""
    return {
        **os.environ,
        "AWS_ENDPOINT_URL": cloud.endpoints.api,
        "AWS_ACCESS_KEY_ID": running_cloud.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": running_cloud.SECRET_KEY,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_LOCALHOST_WARNING": "0",
    }


def run_module(
    cloud: running_cloud.RunningCloud, module: Path, *, check: bool = False, **arguments: Any
) -> dict[str, Any]:
    """Run a module as Ansible does, in a process of its own, and return its result."""
    program = (
        "import runpy, sys, json; from ansible.module_utils.testing import patch_module_args\n"
        "with patch_module_args(json.loads(sys.stdin.read())):\n"
        f"    runpy.run_path({str(module)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps({"region": "eu-west-1", "_ansible_check_mode": check, **arguments}),
        env=environment(cloud),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert bool(done.returncode) == bool(result.get("failed")), done.stderr
    return result


def make_request(name: str) -> str:
    """Return a certificate signing request for a new key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_access_is_kept_and_taken_back(cloud: running_cloud.RunningCloud) -> None:
    """Groups, policy, role and alias: made, unchanged, changed in place, removed."""
    wanted: dict[str, Any] = {
        "thing_groups": ["north"],
        "policy_name": "north-device",
        "policy": POLICY,
        "role_name": "north-role",
        "role_trust": _trust("credentials.iot"),
        "role_policy": _reading("north"),
        "role_alias": "north-alias",
        "role_arn": ROLE,
    }
    planned = run_module(cloud, ACCESS, check=True, **wanted)
    iot, iam = cloud.client("iot"), cloud.client("iam")
    assert planned["changes"] == [
        "thing group north",
        "policy north-device",
        "role north-role",
        "policy of role north-role",
        "role alias north-alias",
    ]
    assert iot.list_thing_groups()["thingGroups"] == []
    assert iam.list_roles()["Roles"] == []
    assert run_module(cloud, ACCESS, **wanted)["changes"] == planned["changes"]
    assert run_module(cloud, ACCESS, **wanted)["changed"] is False
    for number in range(6):  # more versions than a policy may have
        statement = {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"client/{number}"}
        document = {**POLICY, "Statement": [statement]}
        found = run_module(cloud, ACCESS, **{**wanted, "policy": document})
        assert found["changes"] == ["policy north-device"]
        assert json.loads(iot.get_policy(policyName="north-device")["policyDocument"]) == document
    wanted["policy"] = document
    wanted["role_trust"] = _trust("ec2")
    assert run_module(cloud, ACCESS, **wanted)["changes"] == ["trust of role north-role"]
    wanted["role_policy"] = _reading("south")
    assert run_module(cloud, ACCESS, **wanted)["changes"] == ["policy of role north-role"]
    assert run_module(cloud, ACCESS, **wanted)["changed"] is False
    gone = run_module(cloud, ACCESS, state="absent", **wanted)
    assert sorted(gone["changes"]) == sorted(
        set(planned["changes"]) - {"policy of role north-role"}
    )
    assert run_module(cloud, ACCESS, state="absent", **wanted)["changed"] is False


def test_an_identity_is_made_kept_replaced_and_taken_back(
    cloud: running_cloud.RunningCloud,
) -> None:
    """One certificate a thing: a new key revokes the former one, and absent leaves nothing."""
    iot = cloud.client("iot")
    iot.create_policy(policyName="device", policyDocument=json.dumps(POLICY))
    for group in ("line", "yard", "of-others"):
        iot.create_thing_group(thingGroupName=group)
    wanted: dict[str, Any] = {
        "thing": "press-01",
        "request": make_request("press-01"),
        "policies": ["device"],
        "groups": ["line"],
        "known_groups": ["line", "yard"],
    }
    planned = run_module(cloud, DEVICE, check=True, **wanted)
    assert planned["changed"]
    assert planned["certificate"] == ""
    assert iot.list_things()["things"] == []

    made = run_module(cloud, DEVICE, **wanted)
    assert made["changes"] == [
        "thing",
        "certificate",
        "attachment of the certificate",
        "policy device",
        "group line",
    ]
    assert made["data_endpoint"] == "127.0.0.1"
    assert made["credentials_endpoint"] == f"127.0.0.1:{cloud.endpoints.device_port}"
    kept = {**wanted, "certificate": made["certificate"]}
    again = run_module(cloud, DEVICE, **kept)
    assert (again["changed"], again["certificate"]) == (False, made["certificate"])

    iot.add_thing_to_thing_group(thingName="press-01", thingGroupName="of-others")
    moved = run_module(cloud, DEVICE, **{**kept, "groups": ["yard"]})
    assert moved["changes"] == ["group yard", "not in group line"]
    listed = iot.list_thing_groups_for_thing(thingName="press-01")["thingGroups"]
    assert sorted(item["groupName"] for item in listed) == ["of-others", "yard"]

    (former,) = iot.list_thing_principals(thingName="press-01")["principals"]
    renewed = run_module(
        cloud, DEVICE, **{**wanted, "groups": ["yard"], "request": make_request("press-01")}
    )
    assert "revocation of a former certificate" in renewed["changes"]
    (present,) = iot.list_thing_principals(thingName="press-01")["principals"]
    assert present != former

    gone = run_module(cloud, DEVICE, state="absent", thing="press-01")
    assert gone["changes"] == ["revocation of the certificate", "thing"]
    assert iot.list_certificates()["certificates"] == []
    assert run_module(cloud, DEVICE, state="absent", thing="press-01")["changed"] is False


def test_a_refusal_is_said_as_it_is(cloud: running_cloud.RunningCloud) -> None:
    """What the cloud says of a request that is none reaches the user."""
    result = run_module(cloud, DEVICE, thing="press-09", request="no request")
    assert result["failed"]
    assert "cannot make press-09 known to the cloud" in result["msg"]
    run_module(cloud, DEVICE, thing="press-09", state="absent")


def test_the_role_prepares_an_account(cloud: running_cloud.RunningCloud, tmp_path: Path) -> None:
    """A second run changes nothing; the policies name no more than they must."""
    book = tmp_path / "account.yml"
    book.write_text(PLAYBOOK)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                "localhost,",
                str(book),
                *arguments,
            ],
            env={**environment(cloud), "ANSIBLE_ROLES_PATH": str(ROOT / "roles")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "changed=1" in run()
    assert "changed=0" in run()

    def allowed() -> list[tuple[list[str], list[str]]]:
        role = cloud.client("iam").get_role_policy(
            RoleName="verge-token-exchange", PolicyName="verge-components"
        )["PolicyDocument"]
        return [(item["Action"], item["Resource"]) for item in role["Statement"]]

    assert allowed() == [
        (["s3:GetObject"], ["arn:aws:s3:::verge-components-eu-west-1-123456789012/*"]),
        (["s3:PutObject"], ["arn:aws:s3:::captured/captures/${credentials-iot:ThingName}/*"]),
    ]
    policy = json.loads(cloud.client("iot").get_policy(policyName="verge-device")["policyDocument"])
    own = "${iot:Connection.Thing.ThingName}"
    for statement in policy["Statement"]:
        actions, resources = statement["Action"], statement["Resource"]
        for action in [actions] if isinstance(actions, str) else actions:
            assert "*" not in action
        for resource in [resources] if isinstance(resources, str) else resources:
            assert resource.startswith("arn:aws:")
            assert f"{own}*" not in resource
    alias = cloud.client("iot").describe_role_alias(roleAlias="verge-token-exchange")
    assert alias["roleAliasDescription"]["roleArn"].endswith(":role/verge-token-exchange")
    # The uploader takes a prefix with any slashes around it, and none at all.
    for prefix, place in (("/line/a/", "captured/line/a"), ("", "captured")):
        run("-e", json.dumps({"aws_prerequisites_capture_prefix": prefix}))
        assert allowed()[1][1] == [f"arn:aws:s3:::{place}/${{credentials-iot:ThingName}}/*"]


def test_tagged_instances_are_devices(
    cloud: running_cloud.RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`inventory/aws` finds running instances by their tag and puts them into its group."""
    ec2 = cloud.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    for tags in ({"verge:group": "inspection_line", "Name": "press-07"}, {"Name": "else"}):
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        ec2.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": listed}],
        )
    for name, value in environment(cloud).items():
        monkeypatch.setenv(name, value)
    where = project.Project(ROOT)
    found = ansible_inventory.ask(where, where.inventory("aws"))
    assert found["groups"]["inspection_line"] == ["press-07"]
    device = found["devices"]["press-07"]
    assert device["ansible_host"].count(".") == 3
    assert device["device_architecture"] == "x86_64"
    assert "verge.FileSystemMonitor" in device["deployment_components"]
