"""The command line `verge-nucleus`: the arguments of every command, nothing else.

Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 could not start.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from verge.nucleus import errors, paths

FAILED = 1
NOT_STARTED = 3

_EPILOG = """\
exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 could not start
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parsed = build_parser().parse_args(arguments)
    parsed.root = Path(parsed.root or paths.root_from_environment()).absolute()
    # Only the module of the command at hand is loaded, which keeps every command quick.
    module = importlib.import_module(f"verge.nucleus.commands.{parsed.module}")
    try:
        code: int = getattr(module, parsed.function)(parsed)
    except errors.NucleusError as error:
        print(f"ERROR {error}", file=sys.stderr)
        return NOT_STARTED if parsed.function == "serve" else FAILED
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    except KeyboardInterrupt:
        return 130
    return code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="verge-nucleus",
        description="The embedded Greengrass-compatible nucleus and its administration.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_deploy(commands)
    _add_list(commands)
    _add_status(commands)
    _add_logs(commands)
    _add_component(commands)
    _add_deployment(commands)
    _add_secret(commands)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    module: str,
    function: str,
    text: str,
    epilog: str = "",
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(module=module, function=function)
    command.add_argument(
        "--root",
        metavar="DIR",
        help="nucleus root (default: $GGC_ROOT_PATH, else /greengrass/v2)",
    )
    return command


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--json", action="store_true", help="print one JSON document instead of text"
    )


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    _add(
        commands,
        "serve",
        "serve",
        "serve",
        "Run the nucleus in the foreground until SIGTERM.",
        "The settings are read from ROOT/config/config.yaml.",
    )


def _add_deploy(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _add(
        commands,
        "deploy",
        "deploy",
        "deploy",
        "Deploy components from local directories, and wait for the outcome.",
        "example:\n  verge-nucleus deploy --recipe-dir recipes --artifact-dir artifacts \\\n"
        "    --merge 'com.example.Edge=>=1.2.0 <2.0.0' --update-config \\\n"
        '    \'{"com.example.Edge": {"MERGE": {"rate": 5}, "RESET": ["/topic"]}}\'\n',
    )
    command.add_argument(
        "--recipe-dir", metavar="DIR", help="directory with recipes, searched to all depths"
    )
    command.add_argument(
        "--artifact-dir", metavar="DIR", help="directory with COMPONENT/VERSION/FILE"
    )
    command.add_argument(
        "--merge",
        metavar="NAME[=REQUIREMENT]",
        action="append",
        default=[],
        help="component to have: an exact version, a range or, without one, the newest; "
        "the highest version in the recipe directory that satisfies it is taken",
    )
    command.add_argument(
        "--remove", metavar="NAME", action="append", default=[], help="component to do without"
    )
    command.add_argument(
        "--update-config",
        metavar="JSON|FILE",
        help='configuration: {"NAME": {"MERGE": {...}, "RESET": ["/pointer"]}}',
    )
    command.add_argument("--group", metavar="NAME", help="thing group whose components these are")
    command.add_argument(
        "--failure-handling-policy",
        choices=("ROLLBACK", "DO_NOTHING"),
        default="ROLLBACK",
        help="what to do when a component fails (default: ROLLBACK)",
    )
    command.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=900.0,
        help="give the deployment up after this time (default: 900)",
    )
    command.add_argument(
        "--dry-run", action="store_true", help="say what would change and change nothing"
    )
    _add_json(command)


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _add(commands, "list", "components", "list_all", "List the components.")
    _add_json(command)


def _add_status(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _add(commands, "status", "deployments", "status", "Show a deployment.")
    command.add_argument("id", nargs="?", help="deployment id (default: the newest deployment)")
    _add_json(command)


def _add_logs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _add(commands, "logs", "logs", "show", "Show a log.")
    command.add_argument("name", help="a component, or greengrass for the nucleus itself")
    command.add_argument(
        "--lines", metavar="N", type=int, default=50, help="how many lines (default: 50)"
    )
    command.add_argument("--follow", action="store_true", help="go on with what is added")


def _add_component(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    group = commands.add_parser("component", help="Restart or stop a component.")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    for name, text in (
        ("restart", "Restart a component; a broken one is installed again."),
        ("stop", "Stop a component until it is restarted or deployed."),
    ):
        command = _add(actions, name, "components", name, text)
        command.add_argument("name", help="the component")


def _add_deployment(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    group = commands.add_parser("deployment", help="List or cancel deployments.")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    command = _add(
        actions, "list", "deployments", "list_all", "List the deployments, newest first."
    )
    _add_json(command)
    command = _add(actions, "cancel", "deployments", "cancel", "Give a deployment up.")
    command.add_argument("id", help="deployment id")


def _add_secret(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    group = commands.add_parser("secret", help="Keep, list or remove secrets of this device.")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    command = _add(
        actions,
        "put",
        "secrets",
        "put",
        "Keep a secret; its value comes from standard input or a file.",
        "The value is kept in ROOT/config/secrets, readable by the nucleus's user alone and not\n"
        "encrypted. Components get it with GetSecretValue if their policy names its ARN.",
    )
    command.add_argument("name", help="name of the secret")
    command.add_argument("--file", metavar="FILE", help="file with the value")
    command.add_argument("--binary", action="store_true", help="keep bytes instead of text")
    command.add_argument(
        "--stage",
        metavar="LABEL",
        action="append",
        default=[],
        help="further label of this version, beside AWSCURRENT",
    )
    command.add_argument("--arn", help="ARN in policies (default: a local one)")
    command = _add(actions, "list", "secrets", "list_all", "List secrets, without their values.")
    _add_json(command)
    command = _add(actions, "remove", "secrets", "remove", "Forget a secret, all versions.")
    command.add_argument("name", help="name or ARN of the secret")
