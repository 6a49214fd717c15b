"""The nucleus's settings, read from `config/config.yaml` in Greengrass's own shape.

    system:
      thingName: press-01
      certificateFilePath: /greengrass/v2/thingCert.crt
      privateKeyPath: /greengrass/v2/privKey.key
      rootCaPath: /greengrass/v2/rootCA.pem
    services:
      aws.greengrass.Nucleus:
        configuration:
          awsRegion: eu-west-1
          iotDataEndpoint: a1b2c3-ats.iot.eu-west-1.amazonaws.com
          iotCredEndpoint: a1b2c3.credentials.iot.eu-west-1.amazonaws.com
          iotRoleAlias: FleetRoleAlias
          greengrassDataPlanePort: 8443
          runWithDefault:
            posixUser: "ggc_user:ggc_group"
            posixShell: sh
            systemResourceLimits: {memory: 102400, cpus: 1.5}
          logging: {level: INFO, format: TEXT, fileSizeKB: 1024, totalLogsSizeKB: 10240}
          componentStoreMaxSizeBytes: 10000000000
          mqtt: {port: 8883, keepAliveTimeoutMs: 60000, spooler: {maxSizeInBytes: 2621440}}
          fleetStatus: {periodicStatusPublishIntervalSeconds: 86400}
          platformOverride: {}
          interpolateComponentConfiguration: false
          deploymentConfigurationTimeSource: deploymentCreationTime
          verge:
            settleSeconds: 2
            healthLimitSeconds: 1800
            keepVersions: 2
            minimumFreeDiskBytes: 20000000
            debugConsolePort: 0
      aws.greengrass.Cli:
        configuration:
          AuthorizedPosixGroups: "operators,1500"

A missing file means defaults; an unknown key is left alone, because other Greengrass tools write
into the same file. Changes of the file take effect when the nucleus starts. A deployment may
configure the two components too: its values win over those of the file, `LIVE` ones at once and all
others through a restart of the nucleus that belongs to the deployment.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verge.nucleus import errors, paths, sections

VERSION = "2.18.0"
"""The Greengrass nucleus version whose behaviour this one offers (`GGC_VERSION`)."""

NUCLEUS = "aws.greengrass.Nucleus"
"""The component name under which the nucleus is configured and depended on."""

CLI = "aws.greengrass.Cli"
"""The component name under which access to the nucleus is configured."""

OWN = (NUCLEUS, CLI)
"""The components that are the nucleus itself and have a configuration."""

SETTLE = 2.0
"""Seconds a component must stay alive to pass: long enough to import, open files and fail."""

HEALTH_LIMIT = 1800.0
"""Seconds after which a deployment gives up; every single step has its own, shorter limit."""

SPOOL_LIMIT = 2_621_440
"""Greengrass's own default."""

SHORTEST_STATUS_INTERVAL = 86400
"""Seconds; Greengrass's own minimum (contract 5.9)."""

KIBIBYTE = 1024


@dataclass(frozen=True)
class LogSettings:
    """How logs are written (contract 2.11)."""

    level: int = logging.INFO
    format: str = "TEXT"
    file_size: int = 1024 * KIBIBYTE
    total_size: int = 10240 * KIBIBYTE


@dataclass(frozen=True)
class ResourceLimits:
    """The limits of components that have none of their own; None: no limit."""

    memory_kilobytes: int | None = None
    cpus: float | None = None


@dataclass(frozen=True)
class CloudSettings:
    """How the device reaches its cloud (contract 5.7 to 5.9); no endpoint, no attempt."""

    data_endpoint: str = ""
    credentials_endpoint: str = ""
    """Host, with a port where it is not 443."""
    role_alias: str = ""
    data_plane_port: int = 8443
    mqtt_port: int = 8883
    keep_alive: float = 60.0
    """Seconds without traffic after which the link is tried."""
    status_interval: float = 86400.0
    """Seconds between complete status reports; Greengrass takes a day at least."""
    certificate: str = ""
    private_key: str = ""

    @property
    def missing(self) -> list[str]:
        """Return the settings without which a configured endpoint cannot be used."""
        needed = {
            "system.certificateFilePath": self.certificate,
            "system.privateKeyPath": self.private_key,
        }
        return [name for name, value in needed.items() if not value]


LIVE = frozenset(
    {
        "configuration",
        "health_limit",
        "interpolate_configuration",
        "keep_versions",
        "limits",
        "minimum_free_disk",
        "processing_time",
        "settle",
        "store_limit",
    }
)
"""The settings that take effect while the nucleus runs, besides the level of the log."""


@dataclass
class Settings:
    """Everything the nucleus is told from outside. One object, which live changes are made to."""

    paths: paths.Paths
    thing_name: str = ""
    region: str = ""
    root_ca_path: str = ""
    cloud: CloudSettings = field(default_factory=CloudSettings)
    socket: Path | None = None
    posix_user: str | None = None
    posix_shell: str = "sh"
    logging: LogSettings = field(default_factory=LogSettings)
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    platform_override: Mapping[str, str] = field(default_factory=dict)
    interpolate_configuration: bool = False
    """Whether configuration values may hold system variables (contract 1.8)."""
    processing_time: bool = False
    """Whether a deployment writes configuration with the time it is carried out at, rather than
    the time it was made (contract 3.6)."""
    store_limit: int = 10_000_000_000
    minimum_free_disk: int = 20_000_000
    spool_limit: int = SPOOL_LIMIT
    """Bytes of messages to AWS IoT Core that may wait for a link."""
    keep_versions: int = 2
    console_port: int = 0
    """Port of loopback that the debug console is served on; 0: on none."""
    authorized_groups: tuple[str, ...] = ()
    """Groups whose members may administer the nucleus, by name or number (contract 3.9)."""
    settle: float = SETTLE
    health_limit: float = HEALTH_LIMIT
    configuration: Mapping[str, Any] = field(default_factory=dict)
    """The nucleus's own component configuration, as components may read it."""
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the file states for each of `OWN`; what a deployment resets goes back to this."""

    def configured(self, contents: Mapping[str, Mapping[str, Any]]) -> Settings:
        """Return the settings with another configuration of each of `OWN`.

        Raises SettingsError.
        """
        nucleus, cli = (sections.Section(name, contents.get(name)) for name in OWN)
        cloud = _parse_cloud(nucleus, self.cloud)
        return dataclasses.replace(self, cloud=cloud, **_parse_own(nucleus, cli))

    def restart_needed(self, wanted: Settings) -> list[str]:
        """Return the settings that differ and need a restart of the nucleus."""
        names = [f.name for f in dataclasses.fields(self) if f.name not in LIVE]
        level = dataclasses.replace(self.logging, level=wanted.logging.level)
        present = dataclasses.replace(self, logging=level)
        return [name for name in names if getattr(present, name) != getattr(wanted, name)]

    def adopt(self, wanted: Settings) -> None:
        """Take the live settings over."""
        for name in LIVE:
            setattr(self, name, getattr(wanted, name))
        if wanted.logging.level != self.logging.level:
            self.logging = dataclasses.replace(self.logging, level=wanted.logging.level)
            logging.getLogger().setLevel(self.logging.level)


def load(root: Path) -> Settings:
    """Return the settings of a nucleus root. Raises SettingsError, naming file and key."""
    where = paths.Paths(root.absolute())
    try:
        text = where.config_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings(where)
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(f"cannot read {where.config_file}: {error}") from error
    return _parse(where, sections.parse_yaml(where.config_file, text))


def _parse(where: paths.Paths, content: Any) -> Settings:
    whole = sections.Section(str(where.config_file), content)
    system = whole.section("system")
    services = whole.section("services")
    nucleus, cli = (services.section(name).section("configuration") for name in OWN)
    return Settings(
        paths=where,
        thing_name=system.get("thingName", str, ""),
        root_ca_path=system.get("rootCaPath", str, ""),
        cloud=_parse_cloud(
            nucleus,
            CloudSettings(
                certificate=system.get("certificateFilePath", str, ""),
                private_key=system.get("privateKeyPath", str, ""),
            ),
        ),
        socket=system.get("ipcSocketPath", Path, None),
        defaults={NUCLEUS: nucleus.content, CLI: cli.content},
        **_parse_own(nucleus, cli),
    )


def _parse_own(nucleus: sections.Section, cli: sections.Section) -> dict[str, Any]:
    run_with = nucleus.section("runWithDefault")
    limits = run_with.section("systemResourceLimits")
    ours = nucleus.section("verge")
    return {
        "region": nucleus.get("awsRegion", str, ""),
        "posix_user": run_with.get("posixUser", str, None),
        "posix_shell": run_with.get("posixShell", str, "sh"),
        "limits": ResourceLimits(
            limits.get("memory", sections.positive_int, None),
            limits.get("cpus", sections.positive, None),
        ),
        "logging": _parse_logging(nucleus.section("logging")),
        "platform_override": {
            str(key): str(value)
            for key, value in nucleus.section("platformOverride").content.items()
        },
        "interpolate_configuration": nucleus.get(
            "interpolateComponentConfiguration", sections.flag, False
        ),
        "processing_time": nucleus.get(
            "deploymentConfigurationTimeSource", sections.time_source, False
        ),
        "store_limit": nucleus.get(
            "componentStoreMaxSizeBytes", sections.positive_int, 10_000_000_000
        ),
        "spool_limit": nucleus.section("mqtt")
        .section("spooler")
        .get("maxSizeInBytes", sections.positive_int, SPOOL_LIMIT),
        "minimum_free_disk": ours.get("minimumFreeDiskBytes", sections.positive_int, 20_000_000),
        "keep_versions": ours.get("keepVersions", sections.positive_int, 2),
        "console_port": ours.get("debugConsolePort", sections.port_or_none, 0),
        "settle": ours.get("settleSeconds", sections.seconds, SETTLE),
        "health_limit": ours.get("healthLimitSeconds", sections.seconds, HEALTH_LIMIT),
        "authorized_groups": cli.get("AuthorizedPosixGroups", sections.names, sections.names("")),
        "configuration": nucleus.content,
    }


def _parse_cloud(nucleus: sections.Section, identity: CloudSettings) -> CloudSettings:
    mqtt = nucleus.section("mqtt")
    reports = nucleus.section("fleetStatus")
    return CloudSettings(
        data_endpoint=nucleus.get("iotDataEndpoint", str, ""),
        credentials_endpoint=nucleus.get("iotCredEndpoint", str, ""),
        role_alias=nucleus.get("iotRoleAlias", str, ""),
        data_plane_port=nucleus.get("greengrassDataPlanePort", sections.port, 8443),
        mqtt_port=mqtt.get("port", sections.port, 8883),
        keep_alive=mqtt.get("keepAliveTimeoutMs", sections.positive_int, 60_000) / 1000,
        status_interval=max(
            SHORTEST_STATUS_INTERVAL,
            reports.get("periodicStatusPublishIntervalSeconds", sections.positive_int, 86400),
        ),
        certificate=identity.certificate,
        private_key=identity.private_key,
    )


def _parse_logging(section: sections.Section) -> LogSettings:
    default = LogSettings()
    return LogSettings(
        level=section.get("level", sections.level, default.level),
        format=section.get("format", sections.log_format, default.format),
        file_size=section.get("fileSizeKB", sections.positive_int, 1024) * KIBIBYTE,
        total_size=section.get("totalLogsSizeKB", sections.positive_int, 10240) * KIBIBYTE,
    )
