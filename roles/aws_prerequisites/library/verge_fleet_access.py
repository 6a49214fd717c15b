"""What a fleet needs once in an account: a role, its alias, a device policy, thing groups."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

# Where it is missing the module framework says so in its own words.
with contextlib.suppress(ImportError):
    import botocore.exceptions

DOCUMENTATION = r"""
module: verge_fleet_access
short_description: Thing groups, device policy, role and role alias of a fleet
description:
  - Keeps the thing groups, the IoT policy of all devices, the role that their components act as,
    with one policy in it, and the alias through which they get its credentials.
options:
  state:
    description: Whether they exist; absent removes all of them, from devices too.
    type: str
    choices: [present, absent]
    default: present
  thing_groups:
    description: Names of the thing groups.
    type: list
    elements: str
    default: []
  policy_name:
    description: Name of the IoT policy.
    type: str
    required: true
  policy:
    description: Document of the IoT policy; needed for C(present).
    type: dict
    default: {}
  role_name:
    description: Name of the IAM role.
    type: str
    required: true
  role_trust:
    description: Document that says who may act as it; needed for C(present).
    type: dict
    default: {}
  role_policy:
    description: Document of what it may do; needed for C(present).
    type: dict
    default: {}
  role_alias:
    description: Name of the role alias.
    type: str
    required: true
  role_arn:
    description: ARN of the role; needed for C(present).
    type: str
    default: ""
  credential_seconds:
    description: How long credentials are good for.
    type: int
    default: 3600
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
author:
  - Verge
"""

EXAMPLES = r"""
- name: Ensure the fleet's devices may do their work
  verge_fleet_access:
    thing_groups: [inspection_line]
    policy_name: verge-device
    policy: "{{ device_policy }}"
    role_name: verge-token-exchange
    role_trust: "{{ trust }}"
    role_policy: "{{ role_policy }}"
    role_alias: verge-token-exchange
    role_arn: arn:aws:iam::123456789012:role/verge-token-exchange
"""

RETURN = r"""
changes:
  description: What was or would be changed, one line each.
  returned: always
  type: list
  elements: str
"""

MOST_POLICY_VERSIONS = 5
ROLE_POLICY = "verge-components"
ROLE_DESCRIPTION = "What components of the fleet act as"


class Access:
    """What a fleet needs in an account, brought to what is wanted."""

    def __init__(self, iot: Any, iam: Any, params: Mapping[str, Any], *, check: bool) -> None:
        self.iot, self.iam = iot, iam
        self.params = params
        self.check = check
        self.changes: list[str] = []

    def change(self, text: str, action: Callable[[], Any]) -> None:
        """Note a change and, unless this is a check, do it."""
        self.changes.append(text)
        if not self.check:
            action()

    def present(self) -> None:
        """Make what is missing and correct what differs."""
        for name in self.params["thing_groups"]:
            group = {"thingGroupName": name}
            if self.find(lambda group=group: self.iot.describe_thing_group(**group)) is None:
                self.change(
                    f"thing group {name}",
                    lambda group=group: self.iot.create_thing_group(**group),
                )
        self.keep_policy()
        self.keep_role()
        self.keep_alias()

    def absent(self) -> None:
        """Remove all of it, the policy from those that have it first."""
        alias, policy = self.params["role_alias"], self.params["policy_name"]
        if self.find(lambda: self.iot.describe_role_alias(roleAlias=alias)):
            self.change(f"role alias {alias}", lambda: self.iot.delete_role_alias(roleAlias=alias))
        if self.find(lambda: self.iot.get_policy(policyName=policy)):
            self.change(f"policy {policy}", lambda: self.remove_policy(policy))
        role = self.params["role_name"]
        if self.find(lambda: self.iam.get_role(RoleName=role)):
            self.change(f"role {role}", lambda: self.remove_role(role))
        for name in self.params["thing_groups"]:
            if self.find(lambda name=name: self.iot.describe_thing_group(thingGroupName=name)):
                self.change(
                    f"thing group {name}",
                    lambda name=name: self.iot.delete_thing_group(thingGroupName=name),
                )

    def keep_policy(self) -> None:
        """Make the policy, or a new version of it that is in force."""
        name = self.params["policy_name"]
        text = json.dumps(self.params["policy"], sort_keys=True)
        found = self.find(lambda: self.iot.get_policy(policyName=name))
        if found is None:
            self.change(
                f"policy {name}",
                lambda: self.iot.create_policy(policyName=name, policyDocument=text),
            )
        elif json.loads(found["policyDocument"]) != self.params["policy"]:
            self.change(f"policy {name}", lambda: self.replace_policy(name, text))

    def replace_policy(self, name: str, text: str) -> None:
        """Put a new version in force; the oldest makes room for it."""
        versions = self.iot.list_policy_versions(policyName=name)["policyVersions"]
        spare = [item["versionId"] for item in versions if not item["isDefaultVersion"]]
        if len(versions) >= MOST_POLICY_VERSIONS:
            self.iot.delete_policy_version(policyName=name, policyVersionId=min(spare, key=int))
        self.iot.create_policy_version(policyName=name, policyDocument=text, setAsDefault=True)

    def remove_policy(self, name: str) -> None:
        """Take the policy off everything that has it, and delete it."""
        for target in self.iot.list_targets_for_policy(policyName=name).get("targets", []):
            self.iot.detach_policy(policyName=name, target=target)
        for version in self.iot.list_policy_versions(policyName=name)["policyVersions"]:
            if not version["isDefaultVersion"]:
                self.iot.delete_policy_version(
                    policyName=name, policyVersionId=version["versionId"]
                )
        self.iot.delete_policy(policyName=name)

    def keep_role(self) -> None:
        """Make the role, or correct who may act as it and what it may do."""
        name, wanted = self.params["role_name"], self.params["role_trust"]
        role = {"RoleName": name}
        trust, policy = (json.dumps(self.params[key]) for key in ("role_trust", "role_policy"))
        found = self.find(lambda: self.iam.get_role(**role))
        if found is None:
            self.change(
                f"role {name}",
                lambda: self.iam.create_role(
                    **role, AssumeRolePolicyDocument=trust, Description=ROLE_DESCRIPTION
                ),
            )
        elif found["Role"]["AssumeRolePolicyDocument"] != wanted:
            self.change(
                f"trust of role {name}",
                lambda: self.iam.update_assume_role_policy(**role, PolicyDocument=trust),
            )
        inline = {**role, "PolicyName": ROLE_POLICY}
        found = self.find(lambda: self.iam.get_role_policy(**inline))
        if found is None or found["PolicyDocument"] != self.params["role_policy"]:
            self.change(
                f"policy of role {name}",
                lambda: self.iam.put_role_policy(**inline, PolicyDocument=policy),
            )

    def remove_role(self, name: str) -> None:
        """Take off what the role may do, and delete it."""
        for policy in self.iam.list_role_policies(RoleName=name)["PolicyNames"]:
            self.iam.delete_role_policy(RoleName=name, PolicyName=policy)
        for policy in self.iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            self.iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        self.iam.delete_role(RoleName=name)

    def keep_alias(self) -> None:
        """Make the role alias, or point it at the role."""
        wanted = {
            "roleAlias": self.params["role_alias"],
            "roleArn": self.params["role_arn"],
            "credentialDurationSeconds": self.params["credential_seconds"],
        }
        found = self.find(lambda: self.iot.describe_role_alias(roleAlias=wanted["roleAlias"]))
        text = f"role alias {wanted['roleAlias']}"
        if found is None:
            self.change(text, lambda: self.iot.create_role_alias(**wanted))
        elif any(found["roleAliasDescription"].get(key) != wanted[key] for key in wanted):
            self.change(text, lambda: self.iot.update_role_alias(**wanted))

    def find(self, ask: Callable[[], Any]) -> Any:
        """Return an answer, or None where what is asked for does not exist."""
        try:
            return ask()
        except (
            self.iot.exceptions.ResourceNotFoundException,
            self.iam.exceptions.NoSuchEntityException,
        ):
            return None


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleAWSModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "thing_groups": {"type": "list", "elements": "str", "default": []},
            "policy_name": {"type": "str", "required": True},
            "policy": {"type": "dict", "default": {}},
            "role_name": {"type": "str", "required": True},
            "role_trust": {"type": "dict", "default": {}},
            "role_policy": {"type": "dict", "default": {}},
            "role_alias": {"type": "str", "required": True},
            "role_arn": {"type": "str", "default": ""},
            "credential_seconds": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
        required_if=[("state", "present", ("policy", "role_trust", "role_policy", "role_arn"))],
    )
    access = Access(
        module.client("iot"), module.client("iam"), module.params, check=module.check_mode
    )
    try:
        getattr(access, module.params["state"])()
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        module.fail_json_aws(error, msg="cannot prepare the account for the fleet")
    module.exit_json(changed=bool(access.changes), changes=access.changes)


if __name__ == "__main__":
    main()
