"""The command line `verge-nucleus`: the arguments of every command, nothing else.

Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 could not start.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from verge.nucleus import errors, paths, settings
from verge.nucleus.commands import arguments

FAILED = 1
NOT_STARTED = 3

_LOG_COMMANDS = {("logs", "get"), ("logs", "list-log-files"), ("logs", "list-keywords")}

_EPILOG = """\
exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 could not start
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parsed = build_parser().parse_args(_join(sys.argv[1:] if words is None else words))
    given = getattr(parsed, "root", None)
    parsed.root = Path(given or paths.root_from_environment()).absolute()
    # Only the module of the command at hand is loaded, which keeps every command quick.
    module = importlib.import_module(f"verge.nucleus.commands.{parsed.module}")
    try:
        code: int = getattr(module, parsed.function)(parsed)
    except errors.NucleusError as error:
        print(f"ERROR {error}", file=sys.stderr)
        return NOT_STARTED if parsed.function == "serve" else FAILED
    except PermissionError as error:
        print(
            f"ERROR cannot use {error.filename}: {error.strerror}; run this as the nucleus's user",
            file=sys.stderr,
        )
        return FAILED
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    except KeyboardInterrupt:
        return 130
    return code


def _join(words: Sequence[str]) -> list[str]:
    """Make one word of `logs get`, so that `logs NAME` can stay what it is.

    A time window may begin with a minus sign, which would make an option of it.
    """
    at = 2 if words and words[0] in {"--root", "--ggcRootPath"} else 0
    if tuple(words[at : at + 2]) not in _LOG_COMMANDS:
        return list(words)
    joined = [*words[:at], " ".join(words[at : at + 2])]
    for argument in words[at + 2 :]:
        if joined[-1] in {"-t", "--time-window"}:
            joined[-1] = f"--time-window={argument}"
        else:
            joined.append(argument)
    return joined


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog=_program(),
        description="The embedded Greengrass-compatible nucleus and its administration.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", "-V", action="version", version=f"Greengrass nucleus {settings.VERSION}"
    )
    arguments.add_root(parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_run(commands)
    _add_deploy(commands)
    _add_list(commands)
    _add_status(commands)
    _add_logs(commands)
    _add_log_search(commands)
    arguments.add_component(commands)
    arguments.add_deployment(commands)
    arguments.add_messages(commands)
    arguments.add_debug_password(commands)
    arguments.add_secret(commands)
    return parser


def _program() -> str:
    """Return the name this was called by, for it is installed under two."""
    called = Path(sys.argv[0]).name
    return called if called in {"verge-nucleus", "greengrass-cli"} else "verge-nucleus"


def _add_serve(commands: arguments.Commands) -> None:
    arguments.add(
        commands,
        "serve",
        "serve",
        "serve",
        "Run the nucleus in the foreground until SIGTERM.",
        "The settings are read from ROOT/config/config.yaml.",
    )


def _add_run(commands: arguments.Commands) -> None:
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


def _add_deploy(commands: arguments.Commands) -> None:
    command = arguments.add(
        commands,
        "deploy",
        "deploy",
        "deploy",
        "Deploy components from local directories, and wait for the outcome.",
        "example:\n  verge-nucleus deploy --recipe-dir recipes --artifact-dir artifacts \\\n"
        "    --merge 'com.example.Edge=>=1.2.0 <2.0.0' --update-config \\\n"
        '    \'{"com.example.Edge": {"MERGE": {"rate": 5}, "RESET": ["/topic"]}}\'\n',
    )
    arguments.add_deployment_options(command, policy="ROLLBACK")
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
    arguments.add_json(command)


def _add_list(commands: arguments.Commands) -> None:
    command = arguments.add(commands, "list", "components", "list_all", "List the components.")
    arguments.add_json(command)


def _add_status(commands: arguments.Commands) -> None:
    command = arguments.add(commands, "status", "deployments", "status", "Show a deployment.")
    command.add_argument("id", nargs="?", help="deployment id (default: the newest deployment)")
    arguments.add_json(command)


def _add_logs(commands: arguments.Commands) -> None:
    command = arguments.add(commands, "logs", "logs", "show", "Show a log.")
    command.add_argument("name", help="a component, or greengrass for the nucleus itself")
    command.add_argument(
        "--lines", metavar="N", type=int, default=50, help="how many lines (default: 50)"
    )
    command.add_argument("--follow", action="store_true", help="go on with what is added")
    arguments.add_json(command)


def _add_log_search(commands: arguments.Commands) -> None:
    command = arguments.add(
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
    files = arguments.add(
        commands, "logs list-log-files", "log_files", "list_files", "List the log files."
    )
    for each in (command, files):
        each.add_argument("--log-dir", "-ld", metavar="DIR", action="append", default=[])
        arguments.add_json(each)
    keywords = arguments.add(
        commands, "logs list-keywords", "log_files", "list_keywords", "List fields for filters."
    )
    arguments.add_json(keywords)
