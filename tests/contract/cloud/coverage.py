"""What of `greengrassv2` the local cloud covers: read, compared with the model, written as a page.

`python -m tests.contract.cloud.coverage` writes docs/reference/cloud-coverage.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from botocore import model as boto

from verge.cloud.greengrass import model

FILE = Path(__file__).with_name("coverage.yaml")
PAGE = Path(__file__).parents[3] / "docs/reference/cloud-coverage.md"

FULL = "full"
WORDS = {
    FULL: "does what AWS documents",
    "checked": "held to the model, without effect here",
    "fixed": "always the same value",
    "refused": "a request with it is refused",
    "never": "not in any answer",
}
SIDES = ("request", "response")

HEAD = """\
# What the local cloud covers of `greengrassv2`

Every operation with every member of its requests and answers, by their names in boto3. `{}` stands
for the keys of a map, `[]` for the entries of a list. The contract suite (`tests/contract/cloud`)
sends or receives every member that is marked full, and fails if one was not; it also fails when
botocore's model has an operation or a member that is not here.

"""

Entry = Mapping[str, Any]


def read() -> dict[str, Entry]:
    """Return the file: operations, each with `request` and `response` by path."""
    document: dict[str, Entry] = yaml.safe_load(FILE.read_text())
    return document


def expected() -> dict[str, dict[str, list[str]]]:
    """Return all paths of the model, by operation and side."""
    return {
        operation.name: {
            side: list(paths(shape)) if shape is not None else []
            for side, shape in zip(
                SIDES, (operation.input_shape, operation.output_shape), strict=True
            )
        }
        for operation in model.operations()
    }


def paths(shape: boto.Shape, prefix: str = "") -> Iterator[str]:
    """Yield the path of every member below a shape."""
    if isinstance(shape, boto.ListShape):
        yield from paths(shape.member, f"{prefix}[]")
    elif isinstance(shape, boto.MapShape):
        yield from paths(shape.value, f"{prefix}{{}}")
    elif isinstance(shape, boto.StructureShape):
        for name, member in shape.members.items():
            path = f"{prefix}.{name}" if prefix else name
            yield path
            yield from paths(member, path)


def present(shape: boto.Shape, value: Any, prefix: str = "") -> Iterator[str]:
    """Yield the path of every member that a value has."""
    if isinstance(shape, boto.ListShape):
        for item in value:
            yield from present(shape.member, item, f"{prefix}[]")
    elif isinstance(shape, boto.MapShape):
        for item in value.values():
            yield from present(shape.value, item, f"{prefix}{{}}")
    elif isinstance(shape, boto.StructureShape):
        for name in shape.members.keys() & value.keys():
            path = f"{prefix}.{name}" if prefix else name
            yield path
            yield from present(shape.members[name], value[name], path)


def render() -> str:
    """Return the page."""
    legend = "".join(f"- **{word}**: {meaning}\n" for word, meaning in WORDS.items())
    return HEAD + legend + "".join(_section(name, entry) for name, entry in read().items())


def _section(name: str, entry: Entry) -> str:
    rows = [
        f"| {side} | `{path}` | {word} | {reason} |\n"
        for side in SIDES
        for path, text in (entry[side] or {}).items()
        for word, _, reason in (text.partition(": "),)
    ]
    table = "| in | member | covered | note |\n|---|---|---|---|\n" + "".join(rows) if rows else ""
    return f"\n## {name}\n{table or 'It takes and answers nothing.'}"


if __name__ == "__main__":
    PAGE.write_text(render())
