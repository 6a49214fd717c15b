"""Where a fleet's cloud is: on this machine, or an AWS account.

An environment is a folder of `inventory/`; its `group_vars/all/cloud.yml` holds plain values that
Ansible and the tooling both read:

    site_cloud: local        # or aws
    site_region: eu-west-1
    site_aws_profile: ""     # on AWS: the profile of the user's AWS configuration; empty: default
    site_https_port: 443     # local: a second port for devices, which AWS's own nuclei expect
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass

from verge.fleet import aws, cloud_endpoints, cloud_process, controller, output, project
from verge.fleet.errors import FleetError, describe

LOCAL = "local"
AWS = "aws"
SETTINGS = "group_vars/all/cloud.yml"

# Accepted by the local cloud and by nothing else. Long, because Ansible hides every occurrence of a
# secret in its output, and a short one occurs everywhere.
LOCAL_KEY = "AKIAVERGELOCALCLOUD0"
LOCAL_SECRET = "verge-local-cloud-secret-that-is-none-0123456789"  # noqa: S105 - it opens nothing


@dataclass(frozen=True)
class Environment:
    """A cloud and the inventory whose devices belong to it."""

    name: str
    cloud: str
    """`local` or `aws`."""
    region: str
    profile: str | None = None
    https_port: int | None = None

    @property
    def local(self) -> bool:
        """Whether the cloud runs on this machine."""
        return self.cloud == LOCAL


def read_environment(where: project.Project, name: str) -> Environment:
    """Return the environment of that name. Raises FleetError if its settings cannot be used."""
    from verge.recipe import documents, errors

    path = where.inventory(name) / SETTINGS
    place = where.relative(path)
    try:
        document = documents.load_yaml(path.read_bytes(), source=place) or {}
    except FileNotFoundError:
        raise FleetError(
            f"cannot tell which cloud inventory/{name} belongs to: {place} does not exist",
            "copy it from inventory/local and set site_cloud to local or aws",
        ) from None
    except OSError as error:
        raise FleetError(f"cannot read {place}: {describe(error)}") from error
    except errors.RecipeError as error:
        raise FleetError(str(error)) from error
    return _environment(name, place, document)


def _environment(name: str, place: str, document: object) -> Environment:
    values = document if isinstance(document, dict) else {}
    cloud = values.get("site_cloud")
    if cloud not in (LOCAL, AWS):
        raise FleetError(f"{place}: site_cloud: should be {LOCAL} or {AWS}")
    region = values.get("site_region")
    if not isinstance(region, str) or not region or "{" in region:
        raise FleetError(f"{place}: site_region: should be the plain name of a region")
    profile = values.get("site_aws_profile") or None
    port = values.get("site_https_port")
    if port is not None and (not str(port).isdigit() or not 0 < int(str(port)) < 65536):
        raise FleetError(f"{place}: site_https_port: should be a port")
    return Environment(
        name,
        cloud,
        region,
        profile=str(profile) if profile else None,
        https_port=int(str(port)) if port is not None else None,
    )


def connect(where: project.Project, environment: Environment) -> aws.Account:
    """Return the account of an environment. Raises FleetError if the local cloud does not run."""
    if not environment.local:
        return aws.Account(aws.Access(environment.region, profile=environment.profile))
    found = cloud_endpoints.read_endpoints(where)
    return aws.Account(
        aws.Access(found.region, endpoint=found.api, key=LOCAL_KEY, secret=LOCAL_SECRET)
    )


def reach(
    where: project.Project, environment: Environment, reporter: output.Reporter
) -> tuple[aws.Account, list[str]]:
    """Return the account of an environment, and what changed; the local cloud is started first."""
    changes: list[str] = []
    # For what is run from here on, Ansible above all.
    for name in foreign_variables(environment):
        del os.environ[name]
    if environment.local:
        inventory_path = where.inventory(environment.name)
        changes += controller.ensure_controller(where, inventory_path, reporter)
        changes += cloud_process.ensure_cloud(
            where, environment.region, reporter, https_port=environment.https_port
        )
    return connect(where, environment), changes


def variables(where: project.Project, environment: Environment) -> dict[str, str]:
    """Return the AWS_* variables that lead the AWS CLI, boto3, GDK and Ansible to the cloud."""
    if not environment.local:
        chosen = {"AWS_REGION": environment.region, "AWS_DEFAULT_REGION": environment.region}
        return chosen | ({"AWS_PROFILE": environment.profile} if environment.profile else {})
    found = cloud_endpoints.read_endpoints(where)
    return {
        "AWS_ENDPOINT_URL": found.api,
        "AWS_ACCESS_KEY_ID": LOCAL_KEY,
        "AWS_SECRET_ACCESS_KEY": LOCAL_SECRET,
        "AWS_REGION": found.region,
        "AWS_DEFAULT_REGION": found.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        **_without_proxy(),
    }


def _without_proxy() -> dict[str, str]:
    """Return what keeps requests to this machine from a proxy, where there is one."""
    if not any(os.environ.get(name) for name in ("http_proxy", "HTTP_PROXY", "all_proxy")):
        return {}
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host for host in known.split(",") if host]
    value = ",".join(dict.fromkeys([*hosts, "127.0.0.1"]))
    return {"NO_PROXY": value, "no_proxy": value}


def require_local(environment: Environment) -> None:
    """Refuse an environment whose cloud does not run here."""
    if not environment.local:
        raise FleetError(
            f"cannot look after the cloud of {environment.name}: it is an AWS account",
            "`--env-vars` leads your AWS tools to it; without --env the local cloud is meant",
        )


def foreign_variables(environment: Environment) -> list[str]:
    """Return the variables, set here and now, that would lead to another cloud."""
    if environment.local:
        names = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"]
    else:
        names = [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]
        if os.environ.get("AWS_ACCESS_KEY_ID") == LOCAL_KEY:
            names += ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    return sorted(name for name in names if name in os.environ)


def shell_lines(where: project.Project, environment: Environment) -> list[str]:
    """Return lines for `eval` in a shell, which lead its AWS tools to the environment's cloud."""
    foreign = foreign_variables(environment)
    return [f"unset {' '.join(foreign)}"] * bool(foreign) + [
        f"export {name}={shlex.quote(value)}"
        for name, value in variables(where, environment).items()
    ]
