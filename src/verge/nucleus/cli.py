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

_LOG_COMMANDS = {("logs", "get"), ("logs", "list-log-files"), ("logs", "list-keywords")}

_EPILOG = """\
exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 could not start
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parsed = build_parser().parse_args(_join(sys.argv[1:] if arguments is None else arguments))
    if "root" not in parsed:
        parsed.root = None
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


def _join(arguments: Sequence[str]) -> list[str]:
    """Make one word of `logs get`, so that `logs NAME` can stay what it is.

    A time window may begin with a minus sign, which would make an option of it.
    """
    if tuple(arguments[:2]) not in _LOG_COMMANDS:
        return list(arguments)
    joined = [" ".join(arguments[:2])]
    for argument in arguments[2:]:
        if joined[-1] in {"-t", "--time-window"}:
            joined[-1] = f"--time-window={argument}"
        else:
            joined.append(argument)
    return joined


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
    _add_run(commands)
    _add_deploy(commands)
    _add_list(commands)
    _add_status(commands)
    _add_logs(commands)
    _add_log_search(commands)
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
        "--ggcRootPath",
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


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "Try the component in a directory on this machine, and again whenever a file is saved."
    command = commands.add_parser(
        "run",
        help=text,
        description=text,
        epilog="It needs no privileges and uses up no version; Ctrl-C takes everything away.",
    )
    command.set_defaults(module="run", function="run")
    command.add_argument("directory", help="a component's directory, with its recipe")
    command.add_argument("--config", metavar="JSON", help="configuration to merge")
    command.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=300.0,
        help="how long to wait until the component runs (default: 300)",
    )
    command.add_argument("--json", action="store_true", help="print one JSON document a line")


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
    _add_deployment_options(command, policy="ROLLBACK")
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


def _add_deployment_options(command: argparse.ArgumentParser, policy: str) -> None:
    command.add_argument(
        "--recipe-dir",
        "--recipeDir",
        "-r",
        metavar="DIR",
        help="directory with recipes, searched to all depths",
    )
    command.add_argument(
        "--artifact-dir",
        "--artifactDir",
        "-a",
        metavar="DIR",
        help="directory with COMPONENT/VERSION/FILE",
    )
    command.add_argument(
        "--merge",
        "-m",
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
        "-c",
        metavar="JSON|FILE",
        help='configuration: {"NAME": {"MERGE": {...}, "RESET": ["/pointer"]}}',
    )
    command.add_argument(
        "--group",
        "--groupId",
        "-g",
        metavar="NAME",
        help="thing group whose components these are",
    )
    command.add_argument(
        "--failure-handling-policy",
        "-fp",
        choices=("ROLLBACK", "DO_NOTHING"),
        default=policy,
        help=f"what to do when a component fails (default: {policy})",
    )


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


def _add_log_search(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _add(
        commands,
        "logs get",
        "log_files",
        "get",
        "Search JSON logs by time and content.",
        "time window: BEGIN,END; each 2026-01-31, 20260131, 12:00:00, 2026-01-31T12:00:00 or\n"
        "-1h30m10s. filter: KEY=VALUE or a regular expression; a comma means or, several -f and.\n",
    )
    command.add_argument("--log-file", "-lf", metavar="FILE", action="append", default=[])
    command.add_argument("--time-window", "-t", metavar="WINDOW", action="append", default=[])
    command.add_argument("--filter", "-f", metavar="FILTER", action="append", default=[])
    command.add_argument("--follow", "-fol", action="store_true", help="go on with what is added")
    for name, short in (("--before", "-b"), ("--after", "-a")):
        command.add_argument(
            name, short, metavar="N", type=int, default=0, help="neighbouring lines to show too"
        )
    command.add_argument(
        "--max-log-queue-size",
        "-m",
        metavar="N",
        type=int,
        default=100,
        help="taken for compatibility; lines are read as they are needed",
    )
    command.add_argument("--no-color", "-nc", action="store_true")
    command.add_argument("--verbose", "-v", action="store_true", help="print whole documents")
    command.add_argument("--syslog", "-s", action="store_true", help="not supported")
    files = _add(commands, "logs list-log-files", "log_files", "list_files", "List the log files.")
    for each in (command, files):
        each.add_argument("--log-dir", "-ld", metavar="DIR", action="append", default=[])
        _add_json(each)
    keywords = _add(
        commands, "logs list-keywords", "log_files", "list_keywords", "List fields for filters."
    )
    _add_json(keywords)


def _add_component(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    group = commands.add_parser("component", help="List, show, restart or stop components.")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    _add_json(_add(actions, "list", "components", "show_all", "List the components in full."))
    command = _add(actions, "details", "components", "details", "Show one component.")
    command.add_argument("--name", "-n", required=True, help="the component")
    _add_json(command)
    for name, text in (
        ("restart", "Restart components; a broken one is installed again."),
        ("stop", "Stop components until they are restarted or deployed."),
    ):
        command = _add(actions, name, "components", name, text)
        command.add_argument("names", nargs="*", metavar="NAME", help="a component")
        command.add_argument(
            "--names",
            "-n",
            dest="listed",
            action="append",
            default=[],
            metavar="NAMES",
            help="components, separated by a comma",
        )
        _add_json(command)


def _add_deployment(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    group = commands.add_parser("deployment", help="Create, show, list or cancel deployments.")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    command = _add(
        actions, "create", "deployments", "create", "Submit a deployment without waiting for it."
    )
    _add_deployment_options(command, policy="DO_NOTHING")
    command.add_argument(
        "--runWith",
        dest="run_with",
        metavar="NAME:posixUser=USER[:GROUP]",
        action="append",
        default=[],
        help="user to run a component as",
    )
    command.add_argument(
        "--systemLimits",
        dest="system_limits",
        metavar="JSON|FILE",
        help='limits: {"NAME": {"memory": KILOBYTES, "cpus": NUMBER}}',
    )
    _add_json(command)
    command = _add(
        actions, "list", "deployments", "list_all", "List the deployments, newest first."
    )
    _add_json(command)
    for name, function, text in (
        ("status", "show", "Show a deployment."),
        ("cancel", "cancel", "Give a deployment up."),
    ):
        command = _add(actions, name, "deployments", function, text)
        command.add_argument("id", nargs="?", help="deployment id")
        command.add_argument("--deploymentId", "-i", dest="deployment_id", metavar="ID")
        _add_json(command)


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
