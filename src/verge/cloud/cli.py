"""The command line `verge-cloud`.

Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 could not start.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from verge.cloud import errors, lock, pauses, settings

FAILED = 1
NOT_STARTED = 3

_EPILOG = """\
exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 could not start
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parsed = build_parser().parse_args(words)
    try:
        code: int = parsed.function(parsed)
    except errors.CloudError as error:
        print(f"ERROR {error}", file=sys.stderr)
        return NOT_STARTED if parsed.function is _serve else FAILED
    except KeyboardInterrupt:
        return 130
    return code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="verge-cloud",
        description="The part of AWS that a Greengrass fleet needs, on this machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_serve(commands)
    text = "Delete all that the local cloud keeps; it must not run."
    reset = commands.add_parser("reset", help=text, description=text)
    _add_state(reset)
    reset.set_defaults(function=_reset)
    return parser


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "Run the local cloud in the foreground until SIGTERM or Ctrl-C."
    command = commands.add_parser(
        "serve",
        help=text,
        description=text,
        epilog="When everything listens, it prints its API's URL and writes DIR/endpoints.json.",
    )
    command.set_defaults(function=_serve)
    _add_state(command)
    default = settings.Settings(state=Path())
    command.add_argument("--region", default=default.region, help="default: %(default)s")
    command.add_argument("--account", default=default.account, help="default: %(default)s")
    command.add_argument(
        "--address",
        default=default.api_address,
        help="where tools reach the API, plain HTTP (default: %(default)s)",
    )
    command.add_argument(
        "--port",
        type=_port,
        default=default.api_port,
        help="the API's port; 0 means any free one, here and below (default: %(default)s)",
    )
    command.add_argument(
        "--device-address",
        metavar="ADDRESS",
        action="append",
        help="where devices reach the cloud; may be given several times and may be an address "
        "that does not exist yet (default: 127.0.0.1)",
    )
    command.add_argument(
        "--device-port",
        type=_port,
        default=default.device_port,
        help="data plane, credentials and S3 for devices, TLS (default: %(default)s)",
    )
    command.add_argument(
        "--https-port",
        type=_port,
        help="serve the same on a second port: 443 for AWS's own nuclei (default: none)",
    )
    command.add_argument(
        "--mqtt-port", type=_port, default=default.mqtt_port, help="default: %(default)s"
    )
    command.add_argument("--verbose", action="store_true", help="log every request")


def _add_state(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        default=Path(".verge/cloud"),
        help="the directory that holds everything (default: %(default)s)",
    )


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"cannot use {text} as a port: 0 to 65535")
    return int(text)


def _serve(parsed: argparse.Namespace) -> int:
    logging.basicConfig(
        level=logging.DEBUG if parsed.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    for name in ("botocore", "urllib3", "werkzeug"):
        logging.getLogger(name).setLevel(logging.WARNING)
    stopped = _stop_signals()
    options = settings.Settings(
        state=parsed.state.absolute(),
        region=parsed.region,
        account=parsed.account,
        api_address=parsed.address,
        api_port=parsed.port,
        device_addresses=tuple(parsed.device_address or ("127.0.0.1",)),
        device_port=parsed.device_port,
        https_port=parsed.https_port,
        mqtt_port=parsed.mqtt_port,
    )
    with lock.hold(options.state):
        # Loading moto takes a second: who is refused by the lock need not wait for it.
        from verge.cloud import app

        cloud = app.Cloud(options)
        endpoints = cloud.start()
        pauses.keep_short()
        try:
            print(f"Ready at {endpoints.api} (process {endpoints.pid})", flush=True)
            os.read(stopped, 1)
        finally:
            cloud.stop()
    return 0


def _stop_signals() -> int:
    """Return a file that can be read once the process is to stop.

    Not an Event: a handler that sets one waits for ever if it interrupts the wait for it.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return reading


def _reset(parsed: argparse.Namespace) -> int:
    state: Path = parsed.state.absolute()
    if not state.exists():
        return 0
    if not (state / "lock").exists():
        raise errors.StateError(
            f"cannot reset {state}: it is not the state directory of a local cloud; name the one "
            "that is with --state"
        )
    with lock.hold(state):
        for path in state.iterdir():
            if path.name == "lock":
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    return 0
