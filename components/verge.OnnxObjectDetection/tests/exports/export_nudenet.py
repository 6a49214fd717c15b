"""Hand out the trained detector that nudenet ships: python export_nudenet.py FOLDER."""

import shutil
import sys
from importlib import resources


def main(folder: str) -> None:
    with resources.as_file(resources.files("nudenet") / "320n.onnx") as model:
        shutil.copy(model, folder)


if __name__ == "__main__":
    main(sys.argv[1])
