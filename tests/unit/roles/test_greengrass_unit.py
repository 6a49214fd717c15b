"""The unit of the nucleus, read by systemd itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest

TEMPLATES = Path(__file__).resolve().parents[3] / "roles/greengrass/templates"
VALUES = {
    "a share": "http://press:p%40ss@proxy.example.com:3128",
    "quotes": 'say "on" twice',
    "a backslash": "C:\\x",
    "a number": 5,
}


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, of Debian's systemd"
)
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_systemd_takes_every_value_of_the_environment(tmp_path: Path, value: object) -> None:
    """A variable of `greengrass_environment` reaches the nucleus whatever characters it has."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    template = jinja2.Environment(loader=loader, trim_blocks=True, autoescape=False).get_template(  # noqa: S701 - it is no HTML
        "etc/systemd/system/greengrass.service.j2"
    )
    unit = tmp_path / "greengrass.service"
    text = template.render(
        greengrass_environment={"SETTING": value}, _greengrass_link="/opt/x", greengrass_root="/g"
    )
    # Only what is there can be verified.
    unit.write_text(text.replace("/opt/x/bin/verge-nucleus", "/bin/true"), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert "SETTING" in text
    assert "ignoring" not in done.stderr
    assert done.returncode == 0, done.stderr
