"""The tables of variables in the roles' READMEs, made from their argument specifications.

Run as a program it brings the READMEs up to date.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"
TABLE = re.compile(r"(## Variables\n\n)((?:\|.*\n)*)")


def role_directories() -> list[Path]:
    """Return the directories of all roles, in name order."""
    return sorted(path for path in ROLES.iterdir() if path.is_dir())


def read_options(role: Path) -> dict[str, Any]:
    """Return the options of the role's entry point, as its specification has them."""
    specification = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text("utf-8"))
    options: dict[str, Any] = specification["argument_specs"]["main"]["options"]
    return options


def make_table(role: Path) -> str:
    """Return the table of the role's variables in Markdown."""
    rows = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, option in read_options(role).items():
        default = option["default"]
        shown = default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
        kind = " or ".join(f"`{choice}`" for choice in option.get("choices", [])) or option["type"]
        cells = (f"`{name}`", kind, f"`{shown}`" if shown else "empty", option["description"])
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def read_table(role: Path) -> str:
    """Return the table that the role's README has now."""
    found = TABLE.search((role / "README.md").read_text("utf-8"))
    return found[2] if found else ""


def write_table(role: Path) -> None:
    """Bring the table of the role's README up to date."""
    readme = role / "README.md"
    text = TABLE.sub(lambda found: found[1] + make_table(role), readme.read_text("utf-8"))
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for directory in role_directories():
        write_table(directory)
