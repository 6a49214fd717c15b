"""`verge-nucleus secret`: the secrets that components get with GetSecretValue.

The commands work on the files of the nucleus root, whether the nucleus runs or not. A value comes
from a file or from standard input, never from the command line, where everybody could read it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from verge.nucleus import paths, settings
from verge.nucleus.commands import connection
from verge.nucleus.store import secret_files


def put(arguments: argparse.Namespace) -> int:
    """Keep a secret, or a new version of it."""
    value = _read(arguments.file)
    content = value if arguments.binary else _text(value)
    kept = _store(arguments.root).put(
        arguments.name, content, stages=arguments.stage, arn=arguments.arn or ""
    )
    print(f"Kept {arguments.name} version {kept.id}")
    return 0


def list_all(arguments: argparse.Namespace) -> int:
    """Print names and versions, never values."""
    listed = [
        {
            "name": secret.name,
            "arn": secret.arn,
            "versions": [{"id": each.id, "stages": each.stages} for each in secret.versions],
        }
        for secret in _store(arguments.root).list()
    ]
    if arguments.json:
        print(json.dumps({"secrets": listed}))
    else:
        for secret in listed:
            print(f"{secret['name']}  {secret['arn']}")
            for version in secret["versions"]:
                print(f"  {version['id']}  {' '.join(version['stages'])}")  # type: ignore[index]
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Forget a secret with all its versions."""
    _store(arguments.root).remove(arguments.name)
    print(f"Removed {arguments.name}")
    return 0


def _store(root: Path) -> secret_files.SecretFiles:
    return secret_files.SecretFiles(paths.Paths(root).secrets, settings.load(root).region)


def _read(file: str | None) -> bytes:
    try:
        return Path(file).read_bytes() if file else sys.stdin.buffer.read()
    except OSError as error:
        raise connection.CommandError(f"cannot read {file or 'standard input'}: {error}") from None


def _text(value: bytes) -> str:
    try:
        return value.decode().removesuffix("\n")  # the end of the line is the editor's
    except UnicodeDecodeError:
        raise connection.CommandError(
            "cannot keep the value as text: it is not UTF-8; add --binary"
        ) from None
