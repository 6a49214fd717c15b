"""What `./inv destroy` takes away, with the real Ansible and playbooks that do nothing."""

from __future__ import annotations

import pytest

from tests.unit.fleet import samples
from verge.fleet import environments, output, project, up

NOTHING = "- name: Take nothing off\n  hosts: all\n  gather_facts: false\n"
HOSTS = "all: {hosts: {localhost: {ansible_connection: local}}}\n"


@pytest.mark.parametrize("cloud", [environments.LOCAL, environments.AWS])
def test_simulated_devices_keep_their_key_when_another_fleet_goes(
    where: project.Project, cloud: str
) -> None:
    """The key of the simulated devices goes with them, not with the devices of an account."""
    files = {
        "playbooks/reset.yml": NOTHING,
        "inventory/plant/hosts.yml": HOSTS,
        "ansible.cfg": "[defaults]\n",
        ".verge/ssh/id_ed25519": "key",
    }
    samples.write_files(where.root, files)
    plant = environments.Environment("plant", cloud, "eu-west-1")
    up.take_down(where, plant, output.Reporter())
    assert where.ssh_dir.exists() == (cloud == environments.AWS)
