"""Say what a model takes and returns, for whoever writes its card.

`python -m object_detection.describe model.onnx` prints one JSON document.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from object_detection import metadata, session
from object_detection.errors import ModelError


def main(arguments: list[str]) -> int:
    """Describe the one model of the arguments. Exit codes: 0 described, 1 it cannot be loaded."""
    try:
        document = {"has": describe_model(Path(arguments[0]))}
    except (ModelError, OSError) as error:
        document = {"error": str(error)}
    json.dump(document, sys.stdout)
    return int("error" in document)


def describe_model(model: Path) -> str:
    """Return inputs, outputs and what the metadata settles. Raises ModelError and OSError."""
    loaded = session.open_model(model, model.read_bytes())
    about = metadata.read_metadata(loaded.get_modelmeta().custom_metadata_map)
    facts = [
        f"input {session.show_tensors(loaded.get_inputs())}",
        f"output {session.show_tensors(loaded.get_outputs())}",
    ]
    if about.labels:
        facts.append(f"{len(about.labels)} labels in its metadata")
    if about.families:
        facts.append(f"a family among {', '.join(about.families)}")
    return "; ".join(facts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
