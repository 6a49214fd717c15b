"""A device as the cloud knows it: thing, certificate, policies, groups."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

# Where it is missing the module framework says so in its own words.
with contextlib.suppress(ImportError):
    import botocore.exceptions

DOCUMENTATION = r"""
module: verge_core_device
short_description: Thing, certificate, policies and groups of a core device
description:
  - Keeps the identity of one device. Its key never leaves it, the cloud signs its request.
  - A thing has one certificate. Others that are attached to it are revoked, because nobody holds
    their keys any more.
  - Of groups that are not among C(known_groups) the device is never taken out.
options:
  state:
    description: Whether the cloud knows the device; absent revokes its certificates.
    type: str
    choices: [present, absent]
    default: present
  thing:
    description: Name of the thing.
    type: str
    required: true
  request:
    description: The certificate signing request of the device, PEM. Empty in a check without a key.
    type: str
    default: ""
  certificate:
    description: The certificate that the device has, PEM; empty if it has none for its key.
    type: str
    default: ""
  policies:
    description: Names of the IoT policies of its certificate.
    type: list
    elements: str
    default: []
  groups:
    description: The thing groups that it is in.
    type: list
    elements: str
    default: []
  known_groups:
    description: All thing groups that are kept here.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
author:
  - Verge
"""

EXAMPLES = r"""
- name: Ensure the cloud knows the device
  verge_core_device:
    thing: press-01
    request: "{{ csr }}"
    policies: [verge-device]
    groups: [inspection_line]
    known_groups: [inspection_line, packing_line]
"""

RETURN = r"""
certificate:
  description: The certificate that the device is to have, PEM; empty in a check of a new one.
  returned: for C(present)
  type: str
data_endpoint:
  description: Host of MQTT and of the data plane.
  returned: for C(present)
  type: str
credentials_endpoint:
  description: Host, with its port where that is not 443, of the credentials provider.
  returned: for C(present)
  type: str
changes:
  description: What was or would be changed, one line each.
  returned: always
  type: list
  elements: str
"""


class CoreDevice:
    """One device in the cloud, brought to what is wanted."""

    def __init__(
        self, client: Callable[[str], Any], params: Mapping[str, Any], *, check: bool
    ) -> None:
        self.client = client
        self.iot = client("iot")
        self.params = params
        self.thing = params["thing"]
        self.check = check
        self.changes: list[str] = []

    def change(self, text: str, action: Callable[[], Any]) -> Any:
        """Note a change and, unless this is a check, do it and return its answer."""
        self.changes.append(text)
        return None if self.check else action()

    def find(self, ask: Callable[[], Any]) -> Any:
        """Return an answer, or None where what is asked for does not exist."""
        try:
            return ask()
        except self.iot.exceptions.ResourceNotFoundException:
            return None

    def present(self) -> dict[str, str]:
        """Make or mend the identity; return what the device needs of it."""
        if self.find(lambda: self.iot.describe_thing(thingName=self.thing)) is None:
            self.change("thing", lambda: self.iot.create_thing(thingName=self.thing))
        arn, certificate = self.keep_certificate()
        if arn:
            self.keep_policies(arn)
        self.keep_groups()
        return {
            "certificate": certificate,
            "data_endpoint": self.endpoint("iot:Data-ATS"),
            "credentials_endpoint": self.endpoint("iot:CredentialProvider"),
        }

    def endpoint(self, kind: str) -> str:
        """Return where devices reach a service."""
        return str(self.iot.describe_endpoint(endpointType=kind)["endpointAddress"])

    def principals(self) -> list[str]:
        """Return the ARNs of the certificates that are attached to the thing."""
        found = self.find(lambda: self.iot.list_thing_principals(thingName=self.thing))
        return list(found["principals"]) if found else []

    def keep_certificate(self) -> tuple[str, str]:
        """Return ARN and PEM of the one certificate of the thing; it is made if need be."""
        attached = self.principals()
        arn = self.present_certificate()
        certificate = self.params["certificate"] if arn else ""
        if not arn:
            made = self.change(
                "certificate",
                lambda: self.iot.create_certificate_from_csr(
                    certificateSigningRequest=self.params["request"], setAsActive=True
                ),
            )
            if made:
                arn, certificate = made["certificateArn"], made["certificatePem"]
        if arn not in attached and (arn or self.check):
            self.change(
                "attachment of the certificate",
                lambda: self.iot.attach_thing_principal(thingName=self.thing, principal=arn),
            )
        for other in attached:
            if other != arn:
                self.change("revocation of a former certificate", lambda o=other: self.revoke(o))
        return arn, certificate

    def present_certificate(self) -> str:
        """Return the ARN of the device's certificate if the cloud honours it, else nothing."""
        pem = self.params["certificate"]
        if not pem:
            return ""
        # The id of a certificate is its fingerprint.
        name = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        found = self.find(lambda: self.iot.describe_certificate(certificateId=name))
        description = (found or {}).get("certificateDescription") or {}
        return description["certificateArn"] if description.get("status") == "ACTIVE" else ""

    def keep_policies(self, arn: str) -> None:
        """Attach the policies that the certificate lacks, and take off the others."""
        attached = {
            item["policyName"]
            for item in self.iot.list_attached_policies(target=arn).get("policies", [])
        }
        for name in sorted(set(self.params["policies"]) - attached):
            self.change(
                f"policy {name}", lambda n=name: self.iot.attach_policy(policyName=n, target=arn)
            )
        for name in sorted(attached - set(self.params["policies"])):
            self.change(
                f"no policy {name}",
                lambda n=name: self.iot.detach_policy(policyName=n, target=arn),
            )

    def keep_groups(self) -> None:
        """Put the thing into its groups, and out of the others that are kept here."""
        listed = self.find(
            lambda: self.iot.list_thing_groups_for_thing(thingName=self.thing, maxResults=100)
        )
        present = {item["groupName"] for item in (listed or {}).get("thingGroups", [])}
        wanted = set(self.params["groups"])
        for name in sorted(wanted - present):
            self.change(
                f"group {name}",
                lambda n=name: self.iot.add_thing_to_thing_group(
                    thingName=self.thing, thingGroupName=n
                ),
            )
        for name in sorted((present & set(self.params["known_groups"])) - wanted):
            self.change(
                f"not in group {name}",
                lambda n=name: self.iot.remove_thing_from_thing_group(
                    thingName=self.thing, thingGroupName=n
                ),
            )

    def revoke(self, arn: str) -> None:
        """Take a certificate off the thing and make it worthless."""
        name = arn.rpartition("/")[2]
        for item in self.iot.list_attached_policies(target=arn).get("policies", []):
            self.iot.detach_policy(policyName=item["policyName"], target=arn)
        self.iot.detach_thing_principal(thingName=self.thing, principal=arn)
        self.iot.update_certificate(certificateId=name, newStatus="REVOKED")
        self.iot.delete_certificate(certificateId=name, forceDelete=True)

    def absent(self) -> dict[str, str]:
        """Revoke the certificates and remove thing and core device."""
        for arn in self.principals():
            self.change("revocation of the certificate", lambda a=arn: self.revoke(a))
        greengrass = self.client("greengrassv2")
        try:
            greengrass.get_core_device(coreDeviceThingName=self.thing)
        except greengrass.exceptions.ResourceNotFoundException:
            pass
        else:
            self.change(
                "core device",
                lambda: greengrass.delete_core_device(coreDeviceThingName=self.thing),
            )
        if self.find(lambda: self.iot.describe_thing(thingName=self.thing)):
            self.change("thing", lambda: self.iot.delete_thing(thingName=self.thing))
        return {}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleAWSModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "thing": {"type": "str", "required": True},
            "request": {"type": "str", "default": ""},
            "certificate": {"type": "str", "default": ""},
            "policies": {"type": "list", "elements": "str", "default": []},
            "groups": {"type": "list", "elements": "str", "default": []},
            "known_groups": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    device = CoreDevice(module.client, module.params, check=module.check_mode)
    try:
        found = getattr(device, module.params["state"])()
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        module.fail_json_aws(error, msg=f"cannot make {device.thing} known to the cloud")
    module.exit_json(changed=bool(device.changes), changes=device.changes, **found)


if __name__ == "__main__":
    main()
