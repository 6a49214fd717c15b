from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.unit.fleet import samples
from verge.fleet import ansible_inventory, bundle, devices, errors, inventory, project

REPOSITORY = Path(__file__).resolve().parents[3]
HOSTS = """
controller:
  hosts:
    localhost:
      ansible_connection: local
plant:
  children:
    line:
      hosts:
        press-01:
        press-02:
    gate:
      hosts:
        cam-01:
          device_architecture: aarch64
"""
DEPLOYMENT = """
deployment_components:
  com.example.Hello:
    version: ">=1.0.0 <2.0.0"
    configuration:
      merge: {topic: a}
      reset: [/old]
"""
FILES = {
    "hosts.yml": HOSTS,
    "group_vars/all.yml": 'device_python: "3.11"\ndevice_architecture: x86_64\n',
    "group_vars/line/deployment.yml": DEPLOYMENT,
    "host_vars/press-02.yml": "deployment_components: {com.example.Other: }\n",
}


@pytest.fixture
def fleet(where: project.Project) -> project.Project:
    """Return a checkout with a fleet of three devices in two groups."""
    samples.write_files(where.root / "inventory/local", FILES)
    return where


def load(where: project.Project) -> inventory.Inventory:
    """Return the inventory."""
    return inventory.load_inventory(where, where.root / "inventory/local")


@pytest.fixture
def no_ansible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if Ansible is asked."""

    def ask(_project: project.Project, path: Path) -> dict[str, object]:
        raise AssertionError(f"asked about {path}")

    monkeypatch.setattr(ansible_inventory, "ask", ask)


def write(where: project.Project, name: str, text: str) -> None:
    """Write a file of the inventory."""
    samples.write_files(where.root / "inventory/local", {name: text})


def test_devices_have_groups_platform_and_desired_state(fleet: project.Project) -> None:
    """Precedence is Ansible's; this machine is no device; nested groups count."""
    found = load(fleet)
    assert found.groups == {
        "gate": ("cam-01",),
        "line": ("press-01", "press-02"),
        "plant": ("cam-01", "press-01", "press-02"),
    }
    assert {name: device.platform for name, device in found.devices.items()} == {
        "cam-01": "cp311-aarch64",
        "press-01": "cp311-x86_64",
        "press-02": "cp311-x86_64",
    }
    first, second = found.devices["press-01"], found.devices["press-02"]
    assert first.groups == ("line", "plant")
    assert first.deployment == {
        "com.example.Hello": inventory.Desired(">=1.0.0 <2.0.0", {"topic": "a"}, ("/old",))
    }
    assert second.deployment == {"com.example.Other": inventory.Desired("*", {}, ())}
    assert found.devices["cam-01"].deployment == {}


def test_templates_are_worked_out(fleet: project.Project) -> None:
    """Variables that decide what is released may be templates."""
    write(
        fleet, "group_vars/all.yml", 'device_python: "3.{{ 5 + 6 }}"\ndevice_architecture: x86_64\n'
    )
    write(fleet, "host_vars/press-01.yml", 'line_topic: t\nvia: "{{ line_topic }}/x"\n')
    text = DEPLOYMENT.replace("{topic: a}", '{topic: "{{ via }}"}')
    write(fleet, "group_vars/line/deployment.yml", text)
    device = load(fleet).devices["press-01"]
    assert device.platform == "cp311-x86_64"
    assert device.deployment["com.example.Hello"].merge == {"topic": "t/x"}


def test_variables_of_the_environment_are_read_anew(
    fleet: project.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a template takes from the environment is not remembered beyond it."""
    text = DEPLOYMENT.replace("{topic: a}", """{topic: "{{ lookup('env', 'LINE_TOPIC') }}"}""")
    write(fleet, "group_vars/line/deployment.yml", text)
    for topic in ("a", "b"):
        monkeypatch.setenv("LINE_TOPIC", topic)
        device = load(fleet).devices["press-01"]
        assert device.deployment["com.example.Hello"].merge == {"topic": topic}


@pytest.mark.parametrize("template", ["{{ nowhere }}", "{{ 1 + }}"], ids=["undefined", "broken"])
def test_bad_template_is_refused(fleet: project.Project, template: str) -> None:
    """A template that Ansible cannot work out is refused with a device and Ansible's reason."""
    text = DEPLOYMENT.replace("{topic: a}", f'{{topic: "{template}"}}')
    write(fleet, "group_vars/line/deployment.yml", text)
    with pytest.raises(errors.FleetError, match="cannot read the variables of press-01: ") as told:
        load(fleet)
    assert "\n" not in told.value.message


def test_answer_is_kept(fleet: project.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible is asked once for the same files, settings and environment, and then no more."""
    asked: list[Path] = []
    ask = ansible_inventory.ask

    def counted(where: project.Project, path: Path) -> dict[str, object]:
        asked.append(path)
        return ask(where, path)

    monkeypatch.setattr(ansible_inventory, "ask", counted)
    first = load(fleet)
    started = time.perf_counter()
    assert load(fleet) == first
    assert time.perf_counter() - started < 0.5
    assert len(asked) == 1
    write(fleet, "host_vars/press-01.yml", "device_architecture: aarch64\n")
    assert load(fleet).devices["press-01"].platform == "cp311-aarch64"
    monkeypatch.setenv("ANSIBLE_HASH_BEHAVIOUR", "merge")
    assert set(load(fleet).devices["press-02"].deployment) == {
        "com.example.Hello",
        "com.example.Other",
    }
    assert len(asked) == 3


BROKEN = {
    "hosts.yml": ("hosts.yml", "a: [", "inventory/local/hosts.yml:2: cannot be read as YAML: "),
    "group_vars": (
        "group_vars/line/deployment.yml",
        "a: b\n c: d\n",
        "inventory/local/group_vars/line/deployment.yml:2: cannot be read as YAML: ",
    ),
}


@pytest.mark.usefixtures("no_ansible")
@pytest.mark.parametrize(("name", "text", "start"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_yaml_is_refused(fleet: project.Project, name: str, text: str, start: str) -> None:
    """Broken YAML is refused by file and line, before Ansible is asked."""
    write(fleet, name, text)
    with pytest.raises(errors.FleetError) as told:
        load(fleet)
    assert told.value.message.startswith(start)
    assert "\n" not in told.value.message


NONSENSE = {
    "a group that is a list": ("line: [press-01]\n", "Skipping 'line' as this is not a valid"),
    "hosts that are a list": ("line: {hosts: [a]}\n", 'Invalid "hosts" entry for "line" group'),
    "a key misspelt": ("line: {host: {a: }}\n", "Skipping unexpected key (host) in group (line)"),
}


@pytest.mark.parametrize(("text", "reason"), NONSENSE.values(), ids=NONSENSE.keys())
def test_what_ansible_refuses_is_told(fleet: project.Project, text: str, reason: str) -> None:
    """An inventory that is YAML and makes no sense is refused in one line, with the reason."""
    write(fleet, "hosts.yml", text)
    with pytest.raises(errors.FleetError) as told:
        load(fleet)
    assert told.value.message.startswith(f"cannot read the inventory inventory/local: {reason}")
    assert "\n" not in told.value.message


def test_missing_inventory_is_refused(where: project.Project) -> None:
    """An inventory that is not there is named."""
    with pytest.raises(
        errors.FleetError, match="cannot read the inventory inventory/local: no such"
    ):
        load(where)


def test_missing_platform_is_refused(fleet: project.Project) -> None:
    """A device whose architecture nobody says is named, with the variable and where to set it."""
    write(fleet, "group_vars/all.yml", 'device_python: "3.11"\n')
    with pytest.raises(errors.FleetError) as told:
        _ = load(fleet).devices["press-01"].platform
    assert told.value.message == (
        "cannot tell the platform of press-01: it has no device_architecture"
    )
    assert told.value.hint is not None
    assert told.value.hint.endswith("host_vars/press-01.yml or for its group")


LINE = "inventory/local/group_vars/line/deployment.yml: deployment_components"
HELLO = f"{LINE}/com.example.Hello"
BAD_STATES = {
    "a list": ("[com.example.Hello]", f"{LINE}: should map components to what is wanted of each"),
    "a text": ("{com.example.Hello: '1.0.0'}", f"{HELLO}: should have the keys version and "),
    "a key misspelt": (
        "{com.example.Hello: {verison: 1.0.0}}",
        f"{HELLO}: should have the keys version and configuration only",
    ),
    "a configuration key misspelt": (
        "{com.example.Hello: {configuration: {megre: {}}}}",
        f"{HELLO}: configuration should have the keys merge and reset only",
    ),
    "merge is a list": (
        "{com.example.Hello: {configuration: {merge: [a]}}}",
        f"{HELLO}: configuration/merge should be an object",
    ),
    "reset is a text": (
        "{com.example.Hello: {configuration: {reset: /a}}}",
        f"{HELLO}: configuration/reset should be a list of paths",
    ),
    "wrong version range": (
        "{com.example.Hello: {version: '>=one'}}",
        f"{HELLO}: version: cannot read version range '>=one'",
    ),
}


@pytest.mark.parametrize(("text", "start"), BAD_STATES.values(), ids=BAD_STATES.keys())
def test_bad_desired_state_is_refused(fleet: project.Project, text: str, start: str) -> None:
    """Desired state that is not understood is refused by file and place in it."""
    write(fleet, "group_vars/line/deployment.yml", f"deployment_components: {text}\n")
    device = load(fleet).devices["press-01"]
    with pytest.raises(errors.FleetError) as told:
        _ = device.deployment
    assert told.value.message.startswith(start)


def test_deployment_is_resolved_with_dependencies(fleet: project.Project) -> None:
    """A device gets what its desired state names, and what that depends on."""
    samples.add_component(fleet, needs={"com.example.Base": "*", "aws.greengrass.Nucleus": "*"})
    samples.add_component(fleet, "com.example.Base", version="2.3.4")
    samples.add_component(fleet, "com.example.Other")
    release = bundle.build_bundle(fleet)
    found = load(fleet)
    assert {
        name: inventory.resolve_deployment(release, d) for name, d in found.devices.items()
    } == {
        "cam-01": {},
        "press-01": {"com.example.Base": "2.3.4", "com.example.Hello": "1.0.0"},
        "press-02": {"com.example.Other": "1.0.0"},
    }


def test_range_that_the_bundle_does_not_satisfy_is_refused(fleet: project.Project) -> None:
    """The file and the place that ask for another version are named."""
    samples.add_component(fleet, version="2.0.0")
    release = bundle.build_bundle(fleet)
    with pytest.raises(errors.FleetError) as told:
        inventory.resolve_deployment(release, load(fleet).devices["press-01"])
    assert told.value.message == (
        f"{HELLO}/version: cannot satisfy '>=1.0.0 <2.0.0' for press-01: "
        "the bundle has com.example.Hello 2.0.0"
    )


def test_component_that_is_not_there_is_refused(fleet: project.Project) -> None:
    """A component that is not in the bundle is named with the file that asks for it."""
    samples.add_component(fleet, "com.example.Base")
    release = bundle.build_bundle(fleet)
    with pytest.raises(errors.FleetError) as told:
        inventory.resolve_deployment(release, load(fleet).devices["press-02"])
    assert told.value.message == (
        "inventory/local/host_vars/press-02.yml: deployment_components/com.example.Other: "
        "cannot deploy com.example.Other to press-02: components/ has no component of that name"
    )


def test_inventory_of_this_repository(tmp_path: Path) -> None:
    """The fleet shipped here has two devices of one group, for this machine's architecture."""
    where = samples.make_project(tmp_path / "checkout")
    found = inventory.load_inventory(where, REPOSITORY / "inventory/local")
    assert found.groups["inspection_line"] == ("press-01", "press-02")
    assert {device.platform[:6] for device in found.devices.values()} == {"cp311-"}
    assert "verge.OnnxObjectDetection" in found.devices["press-01"].deployment


def test_device_of_an_account_is_reached_as_ansible_reaches_it(where: project.Project) -> None:
    """User, arguments and directories may be templates; a simulated namesake is left alone."""
    shipped = REPOSITORY / "inventory/aws"
    for path in ("group_vars/all/roles.yml", "group_vars/all/site.yml"):
        write(where, path, (shipped / path).read_text("utf-8"))
    write(
        where,
        "group_vars/line/connection.yml",
        'ansible_user: "{{ site_login_user }}"\n'
        'site_picture_directory: "/data/{{ inventory_hostname }}"\n',
    )
    write(
        where,
        "hosts.yml",
        """
line:
  vars:
    bastion: jump.example.com
    site_cloud: none
    site_region: eu-west-1
    site_aws_profile: ""
    device_architecture: x86_64
  hosts:
    press-01:
      ansible_host: 10.1.2.3
      ansible_port: 2222
      ansible_ssh_private_key_file: ~/.ssh/line key
      ansible_ssh_common_args: -J {{ bastion }} -o 'SetEnv A=1 B=2'
    press-02.example.com:
""",
    )
    samples.write_files(where.root, {".verge/ssh/config": "Host press-01\n  HostName 10.9.9.9\n"})
    found = load(where).devices
    options = ["-J", "jump.example.com", "-o", "SetEnv A=1 B=2"]
    options += ["-p", "2222", "-i", "~/.ssh/line key"]
    assert devices.ssh_command(where, found["press-01"])[5:] == [*options, "admin@10.1.2.3"]
    assert devices.ssh_command(where, found["press-02.example.com"])[5:] == [
        "admin@press-02.example.com"
    ]
    assert found["press-01"].variables["site_picture_directory"] == "/data/press-01"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("line.yml", "deployment_components: {a: }"),
        ("line.json", '{"deployment_components": {"a": null}}'),
        ("line", "deployment_components: {a: }"),
        ("line/more/run.yaml", "deployment_components: {a: }"),
        ("line/run.yml", "deployment_components: {a: }\ntoken: !vault |\n  $ANSIBLE_VAULT;1.1\n"),
        ("line/run.yml", "common: &c {a: }\ndeployment_components: {<<: *c, b: }"),
    ],
    ids=["file", "JSON", "no suffix", "folder in a folder", "a text in the vault", "merge key"],
)
def test_a_group_states_its_deployment_wherever_ansible_reads_it(
    where: project.Project, name: str, text: str
) -> None:
    """A group is the target of its deployment in each form that Ansible takes variables in."""
    write(where, f"group_vars/{name}", text)
    write(where, "group_vars/gate/.old.yml", "deployment_components: {a: }")
    fleet = inventory.Inventory(where.root / "inventory/local", {}, {})
    assert inventory.states_deployment(fleet, "line")
    assert not inventory.states_deployment(fleet, "gate")
    device = inventory.Device("a", ("line",), {}, {}, fleet.path)
    assert device.origin("a") == f"inventory/local/group_vars/{name}"
