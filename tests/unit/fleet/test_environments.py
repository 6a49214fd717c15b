"""Which cloud an environment belongs to, and how tools are led there."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.fleet import samples
from verge.fleet import cloud_endpoints, environments, errors, output, project

ENDPOINTS = {
    "pid": 1,
    "api": "http://127.0.0.1:14566",
    "region": "eu-west-1",
    "account": "123456789012",
    "deviceAddresses": ["10.89.0.1", "127.0.0.1"],
    "devicePort": 8443,
    "mqttPort": 8883,
    "caCertificate": "/somewhere/ca.pem",
}
LOCAL = "site_cloud: local\nsite_region: eu-west-1\n"


def make_environment(where: project.Project, text: str, name: str = "local") -> None:
    """Write the settings of an environment."""
    samples.write_files(where.root / "inventory" / name, {environments.SETTINGS: text})


def test_the_shipped_environments_can_be_read() -> None:
    """`local` and `aws` name their clouds."""
    here = project.Project(Path(__file__).parents[3])
    assert environments.read_environment(here, "local").local
    assert not environments.read_environment(here, "aws").local


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("site_region: eu-west-1\n", "site_cloud: should be local or aws"),
        ("site_cloud: moon\n", "site_cloud: should be local or aws"),
        ("site_cloud: aws\n", "site_region: should be the plain name of a region"),
        ("site_cloud: aws\nsite_region: '{{ x }}'\n", "site_region: should be the plain name"),
        (f"{LOCAL}site_https_port: many\n", "site_https_port: should be a port"),
        ("- 1\n", "site_cloud"),
        ("a: b: c\n", "cloud.yml"),
    ],
    ids=["no cloud", "unknown cloud", "no region", "template", "port", "a list", "no YAML"],
)
def test_bad_settings_are_refused_by_place(where: project.Project, text: str, message: str) -> None:
    """The file and the key are named."""
    make_environment(where, text)
    with pytest.raises(errors.FleetError, match=message):
        environments.read_environment(where, "local")


def test_settings_that_are_missing_are_named(where: project.Project) -> None:
    """An inventory without cloud.yml is told what to do."""
    (where.root / "inventory/other").mkdir(parents=True)
    with pytest.raises(errors.FleetError, match="cannot tell which cloud inventory/other"):
        environments.read_environment(where, "other")


def test_a_cloud_that_does_not_run_is_told(where: project.Project) -> None:
    """Without endpoints there is no account, and the next step is named."""
    make_environment(where, LOCAL)
    with pytest.raises(errors.FleetError, match="does not run") as caught:
        environments.connect(where, environments.read_environment(where, "local"))
    assert "./inv cloud" in str(caught.value.hint)


def test_shells_are_led_to_the_local_cloud(
    where: project.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed lines set endpoint and keys and remove what would lead elsewhere."""
    make_environment(where, LOCAL)
    path = cloud_endpoints.state_dir(where) / "endpoints.json"
    samples.write_files(path.parent, {path.name: json.dumps(ENDPOINTS)})
    monkeypatch.setenv("AWS_PROFILE", "production")
    lines = environments.shell_lines(where, environments.read_environment(where, "local"))
    done = subprocess.run(
        ["sh", "-c", "\n".join([*lines, "env"])],
        env={"AWS_PROFILE": "production", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert found["AWS_ENDPOINT_URL"] == ENDPOINTS["api"]
    assert found["AWS_ACCESS_KEY_ID"] == environments.LOCAL_KEY
    assert "AWS_PROFILE" not in found


def test_shells_are_led_back_to_aws(
    where: project.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an account the endpoint and the keys of the local cloud are taken away again."""
    make_environment(where, "site_cloud: aws\nsite_region: us-east-2\n", "aws")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", environments.LOCAL_KEY)
    lines = environments.shell_lines(where, environments.read_environment(where, "aws"))
    assert lines[0].startswith("unset AWS_ACCESS_KEY_ID AWS_ENDPOINT_URL")
    assert "export AWS_REGION=us-east-2" in lines


def test_a_proxy_is_kept_out_of_the_way(
    where: project.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where requests go through a proxy, those to this machine do not; other exceptions stay."""
    make_environment(where, LOCAL)
    path = cloud_endpoints.state_dir(where) / "endpoints.json"
    samples.write_files(path.parent, {path.name: json.dumps(ENDPOINTS)})
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "intranet.example")
    found = environments.variables(where, environments.read_environment(where, "local"))
    assert found["NO_PROXY"] == "intranet.example,127.0.0.1"


def test_an_account_is_not_looked_after_here(where: project.Project) -> None:
    """`inv cloud --env aws` has nothing to start or stop, and says what there is instead."""
    make_environment(where, "site_cloud: aws\nsite_region: us-east-2\n", "aws")
    with pytest.raises(errors.FleetError, match="it is an AWS account"):
        environments.require_local(environments.read_environment(where, "aws"))


def test_a_shell_led_to_the_local_cloud_reaches_the_account(
    where: project.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--env aws` goes to AWS also where `inv cloud --env-vars` was evaluated before."""
    make_environment(where, "site_cloud: aws\nsite_region: us-east-2\n", "aws")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", environments.LOCAL_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", environments.LOCAL_SECRET)
    environment = environments.read_environment(where, "aws")
    account, changes = environments.reach(where, environment, output.Reporter())
    assert changes == []
    assert account.client("s3").meta.endpoint_url.endswith(".amazonaws.com")
    assert "AWS_ACCESS_KEY_ID" not in os.environ


def test_a_profile_of_the_user_does_not_reach_the_local_cloud(
    where: project.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_PROFILE with a name that does not exist here stops nothing."""
    make_environment(where, LOCAL)
    path = cloud_endpoints.state_dir(where) / "endpoints.json"
    samples.write_files(path.parent, {path.name: json.dumps(ENDPOINTS)})
    monkeypatch.setenv("AWS_PROFILE", "production")
    account = environments.connect(where, environments.read_environment(where, "local"))
    client = account.client("s3")
    assert client.meta.endpoint_url == ENDPOINTS["api"]


def test_ansible_uses_the_same_keys() -> None:
    """The inventory names the credentials that the tooling has."""
    text = (Path(__file__).parents[3] / "inventory/local/group_vars/all/site.yml").read_text()
    assert environments.LOCAL_KEY in text
    assert environments.LOCAL_SECRET in text
