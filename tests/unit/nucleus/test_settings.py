"""The nucleus's configuration file."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from verge.nucleus import errors, settings


def write(root: Path, text: str) -> Path:
    file = root / "config" / "config.yaml"
    file.parent.mkdir()
    file.write_text(text)
    return root


def test_missing_file_means_defaults(tmp_path: Path) -> None:
    """A nucleus without a file starts with Greengrass's defaults."""
    loaded = settings.load(tmp_path)
    assert (loaded.posix_shell, loaded.posix_user, loaded.keep_versions) == ("sh", None, 2)
    assert loaded.logging == settings.LogSettings(logging.INFO, "TEXT", 1 << 20, 10 << 20)


def test_file_in_the_shape_of_greengrass(tmp_path: Path) -> None:
    """Every setting is found in Greengrass's own places; keys in any case, numbers as text too."""
    text = """
system: {thingName: press-01, rootpath: /elsewhere}
services:
  aws.greengrass.Nucleus:
    configuration:
      awsregion: eu-west-1
      runWithDefault: {posixUser: "ggc_user:ggc_group", posixShell: bash}
      logging: {level: DEBUG, format: json, fileSizeKB: "64", totalLogsSizeKB: 128}
      platformOverride: {site: 7}
      mqtt: {spooler: {maxSizeInBytes: "4096"}}
      unknownSetting: left alone
      verge: {settleSeconds: 0.5, keepVersions: 3, debugConsolePort: "1441"}
  aws.greengrass.Cli:
    configuration: {AuthorizedPosixGroups: "operators, 1500,"}
"""
    loaded = settings.load(write(tmp_path, text))
    assert loaded.thing_name == "press-01"
    assert loaded.region == "eu-west-1"
    assert loaded.posix_user == "ggc_user:ggc_group"
    assert loaded.posix_shell == "bash"
    assert loaded.logging == settings.LogSettings(logging.DEBUG, "JSON", 64 << 10, 128 << 10)
    assert loaded.platform_override == {"site": "7"}
    assert (loaded.settle, loaded.keep_versions) == (0.5, 3)
    assert loaded.spool_limit == 4096
    assert loaded.console_port == 1441
    assert loaded.authorized_groups == ("operators", "1500")
    assert loaded.paths.root == tmp_path


@pytest.mark.parametrize(
    ("nucleus", "sentence"),
    [
        pytest.param("logging: {level: LOUD}", "logging/level: should be one of", id="level"),
        pytest.param(
            "logging: {format: XML}", "logging/format: should be TEXT or JSON", id="style"
        ),
        pytest.param("logging: {fileSizeKB: 0}", "fileSizeKB: should be at least 1", id="zero"),
        pytest.param("logging: {fileSizeKB: big}", "logging/fileSizeKB: ", id="no-number"),
        pytest.param("verge: {settleSeconds: -1}", "should be a number of seconds", id="negative"),
        pytest.param("verge: {settleSeconds: .nan}", "should be a number of seconds", id="nan"),
        pytest.param("mqtt: {port: .inf}", "mqtt/port: ", id="infinite"),
        pytest.param("verge: {since: 2024-02-30}", "day is out of range", id="no-date"),
        pytest.param("runWithDefault: ggc_user", "runWithDefault: should be a map", id="no-map"),
    ],
)
def test_wrong_value_is_named_by_its_place(tmp_path: Path, nucleus: str, sentence: str) -> None:
    """A value that cannot be used is refused with file and key."""
    whole = f"services: {{aws.greengrass.Nucleus: {{configuration: {{{nucleus}}}}}}}"
    with pytest.raises(errors.SettingsError) as raised:
        settings.load(write(tmp_path, whole))
    assert str(raised.value).startswith(str(tmp_path / "config" / "config.yaml"))
    assert sentence in str(raised.value)


def test_cloud_is_read_in_the_shape_of_greengrass(tmp_path: Path) -> None:
    """Identity stands in `system`, endpoints in the nucleus's configuration; a port may be text."""
    whole = """
        system: {thingName: press-01, certificateFilePath: /c, privateKeyPath: /k, rootCaPath: /r}
        services:
          aws.greengrass.Nucleus:
            configuration:
              iotDataEndpoint: data.example
              iotCredEndpoint: credentials.example
              iotRoleAlias: Alias
              greengrassDataPlanePort: "443"
              mqtt: {port: 443, keepAliveTimeoutMs: 30000}
              fleetStatus: {periodicStatusPublishIntervalSeconds: 172800}
    """
    found = settings.load(write(tmp_path, whole))
    assert found.cloud == settings.CloudSettings(
        data_endpoint="data.example",
        credentials_endpoint="credentials.example",
        role_alias="Alias",
        data_plane_port=443,
        mqtt_port=443,
        keep_alive=30.0,
        status_interval=172800,
        certificate="/c",
        private_key="/k",
    )
    assert found.cloud.missing == []
    assert found.root_ca_path == "/r"


def test_no_cloud_unless_it_is_named(tmp_path: Path) -> None:
    """Without an endpoint there is none, and what a link would need is known."""
    found = settings.load(write(tmp_path, "system: {thingName: press-01}"))
    assert found.cloud.data_endpoint == ""
    assert found.cloud.missing == ["system.certificateFilePath", "system.privateKeyPath"]


def test_deployment_keeps_the_identity(tmp_path: Path) -> None:
    """A deployment may move the endpoint, which takes a restart, but not the certificate."""
    system = "system: {certificateFilePath: /c, privateKeyPath: /k}"
    present = settings.load(write(tmp_path, system))
    wanted = present.configured({settings.NUCLEUS: {"iotDataEndpoint": "elsewhere.example"}})
    assert wanted.cloud.certificate == "/c"
    assert present.restart_needed(wanted) == ["cloud"]


def test_status_reports_come_once_a_day_at_most(tmp_path: Path) -> None:
    """Greengrass's own minimum holds (contract 5.9)."""
    present = settings.load(write(tmp_path, ""))
    often = {"fleetStatus": {"periodicStatusPublishIntervalSeconds": 10}}
    assert present.configured({settings.NUCLEUS: often}).cloud.status_interval == 86400
