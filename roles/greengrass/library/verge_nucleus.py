"""Tell what a device has of the nucleus and of an identity of its own."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: verge_nucleus
short_description: What a device has of the nucleus and of an identity of its own
description:
  - Answers in one execution what the role decides by; changes nothing.
options:
  lock:
    description: The lock that the nucleus is installed from.
    type: path
    required: true
  prefix:
    description: Directory with one directory a version.
    type: path
    required: true
  marker:
    description: Name of the file in a version whose installation was not interrupted.
    type: str
    required: true
  key:
    description: The device's key.
    type: path
    required: true
  certificate:
    description: The certificate for that key.
    type: path
    required: true
  thing:
    description: Name of the device towards its cloud.
    type: str
    required: true
  service:
    description: Unit of systemd that runs the nucleus.
    type: str
    required: true
author:
  - Verge
"""

EXAMPLES = r"""
- name: Look at the device
  verge_nucleus:
    lock: /var/lib/verge/wheelhouse/nucleus.txt
    prefix: /opt/verge
    marker: .complete
    key: /greengrass/v2/privKey.key
    certificate: /greengrass/v2/thingCert.crt
    thing: press-01
    service: greengrass.service
"""

RETURN = r"""
lock:
  description: SHA-256 of the lock in hexadecimal digits; empty where there is none.
  returned: always
  type: str
versions:
  description: Names of the directories of complete versions.
  returned: always
  type: list
  elements: str
request:
  description: A certificate signing request for the key, PEM; empty where there is no key.
  returned: always
  type: str
certificate:
  description: The certificate, PEM; empty where there is none for the key.
  returned: always
  type: str
at_work:
  description: Whether the service runs and will after every boot.
  returned: always
  type: bool
"""


class LookError(Exception):
    """A key cannot be read; the message says which and why."""


def find_lock(lock: Path) -> str:
    """Return the SHA-256 of the lock, or "" where there is none."""
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else ""


def find_versions(prefix: Path, marker: str) -> list[str]:
    """Return the names of the complete versions, sorted."""
    return sorted(path.parent.name for path in prefix.glob(f"nucleus-*/{marker}"))


def find_identity(key: Path, certificate: Path, thing: str) -> dict[str, str]:
    """Return the request for the key and the certificate that belongs to it, each empty if none."""
    if not key.is_file():
        return {"request": "", "certificate": ""}
    request = openssl("req", "-new", "-key", str(key), "-subj", f"/CN={thing}")
    own = openssl("pkey", "-in", str(key), "-pubout")
    return {
        "request": request,
        # A certificate for another key is of no use.
        "certificate": certificate.read_text() if public_key(certificate) == own else "",
    }


def public_key(certificate: Path) -> str:
    """Return the public key that a certificate is for, PEM; "" where none can be read."""
    if not certificate.is_file():
        return ""
    try:
        return openssl("x509", "-in", str(certificate), "-noout", "-pubkey")
    except LookError:
        return ""


def openssl(*arguments: str) -> str:
    """Return what openssl prints. Raises LookError with its reason."""
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LookError(f"openssl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def is_at_work(service: str) -> bool:
    """Say whether a service runs and will after every boot; one that tries to run does not."""
    asked = ["systemctl", "show", "--property=ActiveState,UnitFileState", service]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    return sorted(told) == ["ActiveState=active", "UnitFileState=enabled"]


def main() -> None:
    """Run as an Ansible module."""
    path = {"type": "path", "required": True}
    text = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "lock": path,
            "prefix": path,
            "marker": text,
            "key": {**path, "no_log": False},
            "certificate": path,
            "thing": text,
            "service": text,
        },
        supports_check_mode=True,
    )
    asked = module.params
    try:
        identity = find_identity(Path(asked["key"]), Path(asked["certificate"]), asked["thing"])
    except (LookError, OSError) as error:
        module.fail_json(msg=f"cannot tell the identity of {asked['thing']}: {error}")
    module.exit_json(
        changed=False,
        lock=find_lock(Path(asked["lock"])),
        versions=find_versions(Path(asked["prefix"]), asked["marker"]),
        at_work=is_at_work(asked["service"]),
        **identity,
    )


if __name__ == "__main__":
    main()
