"""Where a simulated device gets its packages from."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from tests.unit.roles import loading

edge_device = loading.load("edge_device", "filter_plugins", "edge_device")

OWN = "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            {
                "sources.list.d/debian.sources": "Types: deb\n# a remark\n"
                "URIs: http://mirror.example/debian\nSuites: trixie trixie-updates\n"
                f"Components: main contrib\n{OWN}\nTypes: deb deb-src\n"
                "URIs: http://mirror.example/debian-security/\nSuites: trixie-security\n"
                f"Components: main\n{OWN}"
            },
            ("http://mirror.example/debian", "http://mirror.example/debian-security/"),
            id="stanzas",
        ),
        pytest.param(
            {
                "sources.list": "# deb http://old.example/debian bookworm main\n"
                "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
                " http://mirror.example/debian bookworm main # ours\n"
                "deb-src http://source.example/debian bookworm main\n"
            },
            ("http://mirror.example/debian",),
            id="lines",
        ),
        pytest.param(
            {
                "sources.list": "deb http://one.example/debian x main\n"
                "deb http://two.example/debian x main\n"
            },
            ("http://one.example/debian",),
            id="the first of several",
        ),
    ],
)
def test_sources_are_those_of_the_workstation(
    tmp_path: Path, files: dict[str, str], expected: tuple[str, ...]
) -> None:
    """The workstation's own Debian mirrors are used, and nobody else's packages."""
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    text = edge_device.debian_sources(str(tmp_path), "bookworm")
    uris = [line.removeprefix("URIs: ") for line in text.splitlines() if line.startswith("URIs")]
    assert tuple(uris) == expected
    assert "Suites: bookworm bookworm-updates\n" in text
    assert ("Suites: bookworm-security\n" in text) == (len(expected) == 2)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="none"),
        pytest.param(
            {
                "sources.list.d/a.list": "deb http://tools.example/debian bookworm stable\n"
                "deb http://tools.example/apt bookworm main\n"
                "deb [signed-by=/etc/apt/b.gpg] http://b.example/debian bookworm main\n",
                "sources.list.d/b.sources": "Types: deb\nURIs: http://off.example/debian\n"
                "Enabled: no\nSuites: bookworm\nComponents: main\n",
                "sources.list.d/c.sources.disabled": "Types: deb\nURIs: http://c.example/debian\n"
                "Suites: bookworm\nComponents: main\n",
            },
            id="third parties and disabled ones",
        ),
        pytest.param(
            {
                "sources.list": "deb\n\x00\ndeb [x http://y z\n",
                "sources.list.d/x.sources": ":\n\n:::",
            },
            id="garbage",
        ),
    ],
)
def test_machine_without_a_debian_mirror_needs_one_named(
    tmp_path: Path, files: dict[str, str]
) -> None:
    """Where no Debian source is found, the variable that names a mirror is asked for."""
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(AnsibleFilterError, match="set edge_device_podman_mirror"):
        edge_device.debian_sources(str(tmp_path), "bookworm")


def test_a_mirror_replaces_all_others(tmp_path: Path) -> None:
    """Where a mirror is named, nothing else is asked."""
    text = edge_device.debian_sources(str(tmp_path), "trixie", "http://local.example/debian")
    assert text.count("URIs:") == 1
    assert "URIs: http://local.example/debian\nSuites: trixie\n" in text
