"""The main job on simulated devices, from a fresh copy of the repository, through `./inv` alone."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.checkout import ROOT, Checkout, require_podman

DEVICES = ("press-01", "press-02")

pytestmark = pytest.mark.device


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Return a fresh copy of the repository; its devices are gone afterwards."""
    require_podman()
    copy = Checkout(tmp_path_factory.mktemp("fresh") / "verge")
    yield copy
    if not copy.destroyed:
        copy.inv("destroy")
    shutil.rmtree(copy.root)


@pytest.fixture(scope="module")
def fleet(checkout: Checkout) -> Checkout:
    """Return the copy with its devices up."""
    checkout.up_output = checkout.inv("up")
    return checkout


def _labels(checkout: Checkout, *arguments: str) -> dict[str, set[str]]:
    return {
        item["device"]: {found["label"] for found in item["result"]["detections"]}
        for item in json.loads(checkout.answer("drop", *arguments, "--json"))
    }


def _results(checkout: Checkout, device: str, prefix: str) -> list[dict[str, Any]]:
    script = (
        "import glob, json; print(json.dumps([json.load(open(name)) for name in"
        " glob.glob('/var/lib/verge/results/*.json')]))"
    )
    listed = json.loads(checkout.on_device(device, f"python3 -c {shlex.quote(script)}"))
    return [item for item in listed if Path(item["picture"]["path"]).name.startswith(prefix)]


def test_up_detects_objects_on_both_devices(fleet: Checkout) -> None:
    """`./inv up` in a fresh copy finds what the model's card promises, on both devices."""
    output = fleet.up_output
    for device in DEVICES:
        assert re.search(rf"^ *{device} +astronaut.png +person", output, re.MULTILINE)
        assert re.search(rf"^ *{device} +chelsea.png +cat", output, re.MULTILINE)
    named = re.search(r"Annotated pictures: (\S+\.jpg)", output)
    assert named is not None
    with Image.open(named[1]) as picture:
        assert picture.size == (512, 512)
    assert "What to try next" in output


def test_second_up_changes_nothing(fleet: Checkout) -> None:
    """A second `./inv up` changes nothing and says so."""
    began = time.monotonic()
    output = fleet.inv("up")
    print(f"second ./inv up: {time.monotonic() - began:.1f} s")
    assert "Nothing to change" in output


def test_devices_joined_the_local_cloud(fleet: Checkout) -> None:
    """Both are HEALTHY core devices of the account, each with its own key that never left it."""
    account = fleet.account()
    listed = account.client("greengrassv2").list_core_devices()["coreDevices"]
    found = {item["coreDeviceThingName"]: item["status"] for item in listed}
    assert found == dict.fromkeys(DEVICES, "HEALTHY")
    for device in DEVICES:
        assert (
            fleet.on_device(device, "sudo stat -c %a /greengrass/v2/privKey.key").strip() == "600"
        )
        (principal,) = account.client("iot").list_thing_principals(thingName=device)["principals"]
        certificate = fleet.on_device(device, "sudo cat /greengrass/v2/thingCert.crt")
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
        assert principal.endswith(f"cert/{digest}")


def test_devices_have_no_way_out(fleet: Checkout) -> None:
    """A device has no default route, so nothing on it was installed from a network."""
    for device in DEVICES:
        assert "default" not in fleet.on_device(device, "ip route")


def test_system_pip_is_refused_on_devices(fleet: Checkout) -> None:
    """The device's Python refuses system-wide pip, and the components run all the same."""
    marked = fleet.on_device("press-01", "ls /usr/lib/python3*/EXTERNALLY-MANAGED")
    assert "EXTERNALLY-MANAGED" in marked


def test_no_component_runs_as_root(fleet: Checkout) -> None:
    """Only the nucleus itself runs as root; the programs of the components do not."""
    processes = fleet.on_device("press-01", "ps -eo user:20,args")
    components = [
        line for line in processes.splitlines() if "/greengrass/v2/" in line and "serve" not in line
    ]
    assert len(components) >= 2
    assert {line.split()[0] for line in components} == {"ggc_user"}


def test_dropped_picture_is_detected(fleet: Checkout, tmp_path: Path) -> None:
    """A JPEG copied into the watched directory shows its detections within two seconds."""
    picture = tmp_path / "my cat.jpg"
    with Image.open(ROOT / "pictures" / "chelsea.png") as original:
        original.convert("RGB").save(picture)
    output = fleet.inv("drop", str(picture), "--device", "press-01", "--json")
    answer = json.loads(output[output.index("[") : output.rindex("]") + 1])
    assert {found["label"] for found in answer[0]["result"]["detections"]} == {"cat"}
    assert answer[0]["seconds"] < 2


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [(b"no picture at all", "text.png", "rejected"), (None, "cut.png", "rejected")],
    ids=["no picture", "truncated"],
)
def test_bad_picture_is_rejected(
    fleet: Checkout, tmp_path: Path, content: bytes | None, name: str, reason: str
) -> None:
    """A file that is no picture, or half of one, is rejected with a reason."""
    if content is None:
        whole = (ROOT / "pictures" / "chelsea.png").read_bytes()
        content = whole[: len(whole) // 2]
    (tmp_path / name).write_bytes(content)
    assert reason in fleet.inv("drop", str(tmp_path / name), "--device", "press-01")


@pytest.mark.parametrize("victim", ["nucleus", "monitor", "detector"])
def test_sigkill_loses_no_picture(fleet: Checkout, victim: str) -> None:
    """After SIGKILL in the middle of a batch each picture has exactly one result."""
    pattern = {
        "nucleus": "[v]erge-nucleus serve",
        "monitor": "[f]ile_system_monitor",
        "detector": "[o]bject_detection",
    }[victim]
    count = 30
    script = f"""
        cd /tmp && rm -rf batch && mkdir batch && watched=/var/lib/verge/pictures
        for n in $(seq {count}); do cp $watched/chelsea.png batch/{victim}-$n.png; done
        for n in $(seq {count}); do
            mv batch/{victim}-$n.png $watched/
            [ $n = 10 ] && sudo pkill -KILL -f '{pattern}'
        done; true"""
    fleet.on_device("press-02", script)
    deadline = time.monotonic() + 90
    results: list[dict[str, Any]] = []
    while len(results) < count and time.monotonic() < deadline:
        results = _results(fleet, "press-02", f"{victim}-")
    paths = [item["picture"]["path"] for item in results]
    assert len(paths) == count
    assert len(set(paths)) == count
    assert all(item["detections"][0]["label"] == "cat" for item in results)


def test_check_tells_what_would_happen(fleet: Checkout) -> None:
    """`--check` shows new versions and configuration as a difference, and changes nothing."""
    wanted = fleet.root / "inventory/local/group_vars/inspection_line/deployment.yml"
    main = next((fleet.root / "components/verge.FileSystemMonitor/src").rglob("main.py"))
    former = {path: path.read_text(encoding="utf-8") for path in (wanted, main)}
    before = fleet.inv("status", "--json")
    wanted.write_text(
        former[wanted].replace(
            'annotate: "true"', 'annotate: "true"\n        scoreThreshold: "0.5"'
        ),
        encoding="utf-8",
    )
    main.write_text(former[main] + "\n# touched\n", encoding="utf-8")
    try:
        output = fleet.inv("deploy", "--group", "inspection_line", "--check")
    finally:
        for path, text in former.items():
            path.write_text(text, encoding="utf-8")
    assert re.search(r'verge\.OnnxObjectDetection +configure +/scoreThreshold +"" → "0\.5"', output)
    assert re.search(r"verge\.FileSystemMonitor +upgrade +1\.0\.\d+ → 1\.0\.\d+", output)
    assert fleet.inv("status", "--json") == before


def test_value_takes_effect_live_and_goes_back(fleet: Checkout) -> None:
    """A threshold that is declared takes effect; when it is not declared any more, it goes back."""
    wanted = fleet.root / "inventory/local/group_vars/inspection_line/deployment.yml"
    former = wanted.read_text(encoding="utf-8")
    declared = former.replace('annotate: "true"', 'annotate: "true"\n        scoreThreshold: "0.9"')
    wanted.write_text(declared, encoding="utf-8")
    try:
        fleet.inv("deploy", "--device", "press-01")
    finally:
        wanted.write_text(former, encoding="utf-8")
    cat = ("pictures/chelsea.png", "--device", "press-01")
    assert _labels(fleet, *cat) == {"press-01": set()}
    fleet.inv("deploy", "--device", "press-01")
    assert _labels(fleet, *cat) == {"press-01": {"cat"}}


def test_crashing_version_is_rolled_back(fleet: Checkout) -> None:
    """A version that crashes at start is rolled back, and the former one detects again."""
    main = next((fleet.root / "components/verge.OnnxObjectDetection/src").rglob("main.py"))
    good = main.read_text(encoding="utf-8")
    main.write_text("raise SystemExit('the lens cap is on')\n", encoding="utf-8")
    try:
        output = fleet.inv("deploy", "--device", "press-01", code=1)
    finally:
        main.write_text(good, encoding="utf-8")
    assert "verge.OnnxObjectDetection" in output
    assert "the lens cap is on" in output
    assert _labels(fleet, "pictures/astronaut.png", "--device", "press-01")["press-01"] >= {
        "person"
    }
    fleet.inv("deploy", "--device", "press-01")


def test_up_takes_back_what_was_deployed_by_hand(fleet: Checkout) -> None:
    """A component that `inv deploy` changed is what the group says again after `./inv up`.

    The content that comes with it is new, so that a new version reaches both devices by the cloud.
    """
    main = next((fleet.root / "components/verge.FileSystemMonitor/src").rglob("main.py"))
    main.write_text(main.read_text(encoding="utf-8") + "\n# touched\n", encoding="utf-8")
    fleet.inv("deploy", "--device", "press-02")
    output = fleet.inv("up")
    assert re.search(r"verge\.FileSystemMonitor/1\.0\.\d+/verge\.FileSystemMonitor\.zip", output)
    versions = {
        item["version"]
        for device in json.loads(fleet.answer("status", "--json")).values()
        for item in device["components"]
        if item["name"] == "verge.FileSystemMonitor"
    }
    assert len(versions) == 1
    assert "Nothing to change" in fleet.inv("up")


def test_a_version_that_crashes_fails_by_name(fleet: Checkout) -> None:
    """A deployment by the cloud that crashes is rolled back, and the devices' words are shown."""
    main = next((fleet.root / "components/verge.OnnxObjectDetection/src").rglob("main.py"))
    good = main.read_text(encoding="utf-8")
    main.write_text("raise SystemExit('the lens cap is on')\n", encoding="utf-8")
    try:
        output = fleet.inv("up", code=1)
    finally:
        main.write_text(good, encoding="utf-8")
    assert "press-01: FAILED: verge.OnnxObjectDetection" in output
    assert "the lens cap is on" in output
    found = _labels(fleet, "pictures/astronaut.png", "--device", "press-01")
    assert found["press-01"] >= {"person"}


def test_a_lost_cloud_is_rebuilt(fleet: Checkout) -> None:
    """With `.verge/cloud` deleted, `./inv up` publishes again and the devices join anew."""
    before = fleet.on_device("press-01", "sudo cat /greengrass/v2/thingCert.crt")
    shutil.rmtree(fleet.root / ".verge/cloud")
    output = fleet.inv("up")
    assert "the local cloud" in output
    assert fleet.on_device("press-01", "sudo cat /greengrass/v2/thingCert.crt") != before
    listed = fleet.account().client("greengrassv2").list_core_devices()["coreDevices"]
    assert {item["coreDeviceThingName"] for item in listed} == set(DEVICES)


def test_unreachable_device_is_named(fleet: Checkout) -> None:
    """A device that does not answer is named in one sentence with a next step; `up` mends it."""
    container = f"{fleet.prefix}-press-02"
    subprocess.run(["podman", "stop", "--time", "5", container], check=True, capture_output=True)
    output = fleet.inv("drop", "pictures/chelsea.png", "--device", "press-02", code=1)
    assert "press-02: cannot be reached" in output
    assert "TIP" in output
    assert "press-02" in fleet.inv("status", code=1)
    fleet.inv("up")
    assert _labels(fleet, "pictures/chelsea.png", "--device", "press-02")["press-02"] >= {"cat"}


def test_devices_do_without_a_cloud(fleet: Checkout) -> None:
    """`./inv up --offline` takes the devices off the cloud, and they go on detecting."""
    fleet.inv("cloud", "--stop")
    assert re.search(r"^ *press-01 +chelsea.png +cat", fleet.inv("up", "--offline"), re.MULTILINE)
    settings = fleet.on_device("press-01", "sudo cat /greengrass/v2/config/config.yaml")
    assert "iotDataEndpoint" not in settings
    assert "Nothing to change" in fleet.inv("up", "--offline")
    assert "does not run" in fleet.inv("cloud", "--status", code=1)


def test_destroy_leaves_nothing_behind(fleet: Checkout) -> None:
    """`./inv destroy` leaves no container, image, network, nor file outside .venv and .verge.

    That includes a device that was taken out of the inventory before.
    """
    hosts = fleet.root / "inventory/local/hosts.yml"
    hosts.write_text(hosts.read_text(encoding="utf-8").replace("    press-02:\n", ""))
    fleet.inv("cloud")
    fleet.inv("destroy")
    assert not (fleet.root / ".verge/cloud").exists()
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(fleet.root / ".verge/cloud") not in running.stdout
    for kind in (["ps", "--all"], ["images"], ["network", "ls"]):
        listed = subprocess.run(["podman", *kind], capture_output=True, text=True, check=True)
        assert fleet.prefix not in listed.stdout
    assert fleet.files() == fleet.shipped
