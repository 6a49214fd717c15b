"""`verge-nucleus get-debug-password`: opens the debug console for eight hours (contract 3.9)."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import Any

from verge.nucleus import settings
from verge.nucleus.commands import connection

TIMEOUT = 30.0
"""Seconds to wait for the answer."""


def create(arguments: argparse.Namespace) -> int:
    """Print a new user name and password, and until when they open the console."""
    with connection.connect(arguments.root) as nucleus:
        made = nucleus.call("CreateDebugPassword", {}, TIMEOUT)
        own = nucleus.call("GetComponentDetails", {"componentName": settings.NUCLEUS}, TIMEOUT)
    port = int(_lookup(own["componentDetails"]["configuration"], "verge", "debugConsolePort") or 0)
    expires = datetime.fromtimestamp(made["passwordExpiration"]).astimezone().isoformat()
    if arguments.json:
        document = {"username": made["username"], "password": made["password"], "expires": expires}
        print(json.dumps({**document, "url": f"http://localhost:{port}/" if port else None}))
        return 0
    print(f"Username: {made['username']}")
    print(f"Password: {made['password']}")
    print(f"Password will expire at: {expires}")
    if port:
        print(f"Open http://localhost:{port}/ on this device, or through an SSH tunnel to it.")
    else:
        print(
            "The debug console is off; to have it, set verge/debugConsolePort in the "
            "configuration of aws.greengrass.Nucleus."
        )
    return 0


def _lookup(value: Any, *path: str) -> Any:
    """Return what lies at a path, in any case (contract 1.1), or None."""
    for key in path:
        entries = value.items() if isinstance(value, dict) else ()
        value = next((child for name, child in entries if name.lower() == key.lower()), None)
    return value
