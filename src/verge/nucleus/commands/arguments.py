"""Arguments that several commands share, and those of the groups of commands."""

from __future__ import annotations

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What a command is added to."""


def add(
    commands: Commands,
    name: str,
    module: str,
    function: str,
    text: str,
    epilog: str = "",
) -> argparse.ArgumentParser:
    """Add a command that a function of a module of `verge.nucleus.commands` carries out."""
    command = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(module=module, function=function)
    add_root(command)
    return command


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add the option for the nucleus root, which may stand before a command or behind it."""
    parser.add_argument(
        "--root",
        "--ggcRootPath",
        metavar="DIR",
        default=argparse.SUPPRESS,  # so that a command does not hide what stands before it
        help="nucleus root (default: $GGC_ROOT_PATH, else /greengrass/v2)",
    )


def add_json(command: argparse.ArgumentParser) -> None:
    """Add the option for machine-readable output."""
    command.add_argument(
        "--json", action="store_true", help="print one JSON document instead of text"
    )


def add_deployment_options(command: argparse.ArgumentParser, policy: str) -> None:
    """Add what `deploy` and `deployment create` have in common."""
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


def add_component(commands: Commands) -> None:
    """Add the commands of `component`."""
    group = commands.add_parser("component", help="List, show, restart or stop components.")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    add_json(add(actions, "list", "components", "show_all", "List the components in full."))
    command = add(actions, "details", "components", "details", "Show one component.")
    command.add_argument("--name", "-n", required=True, help="the component")
    add_json(command)
    for name, text in (
        ("restart", "Restart components; a broken one is installed again."),
        ("stop", "Stop components until they are restarted or deployed."),
    ):
        command = add(actions, name, "components", name, text)
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
        add_json(command)


def add_deployment(commands: Commands) -> None:
    """Add the commands of `deployment`."""
    group = commands.add_parser("deployment", help="Create, show, list or cancel deployments.")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    command = add(
        actions, "create", "deployments", "create", "Submit a deployment without waiting for it."
    )
    add_deployment_options(command, policy="DO_NOTHING")
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
    add_json(command)
    command = add(actions, "list", "deployments", "list_all", "List the deployments, newest first.")
    add_json(command)
    for name, function, text in (
        ("status", "show", "Show a deployment."),
        ("cancel", "cancel", "Give a deployment up."),
    ):
        command = add(actions, name, "deployments", function, text)
        command.add_argument("id", nargs="?", help="deployment id")
        command.add_argument("--deploymentId", "-i", dest="deployment_id", metavar="ID")
        add_json(command)


def add_secret(commands: Commands) -> None:
    """Add the commands of `secret`."""
    group = commands.add_parser("secret", help="Keep, list or remove secrets of this device.")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    command = add(
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
    command = add(actions, "list", "secrets", "list_all", "List secrets, without their values.")
    add_json(command)
    command = add(actions, "remove", "secrets", "remove", "Forget a secret, all versions.")
    command.add_argument("name", help="name or ARN of the secret")


def add_messages(commands: Commands) -> None:
    """Add the commands of `pubsub` and `iotcore`."""
    for name, what, suffix in (
        ("pubsub", "local messages", ""),
        ("iotcore", "messages of AWS IoT Core", "_to_cloud"),
    ):
        group = commands.add_parser(name, help=f"Publish {what}, or print those that come.")
        actions = group.add_subparsers(metavar="ACTION", required=True)
        publish = add(actions, "pub", "messages", f"publish{suffix}", "Publish a message.")
        publish.add_argument("--topic", "-t", required=True, help="topic to publish to")
        publish.add_argument(
            "--message", "-m", required=True, help="message, or the name of a file that holds it"
        )
        subscribe = add(
            actions, "sub", "messages", f"subscribe{suffix}", "Print messages until Ctrl-C."
        )
        subscribe.add_argument(
            "--topic", "-t", required=True, metavar="FILTER", help="topic filter, with + and #"
        )
        subscribe.add_argument(
            "--count", "-c", metavar="N", type=int, help="end after so many messages"
        )
        if name == "pubsub":
            publish.add_argument(
                "--as-json", action="store_true", help="send a JSON message instead of bytes"
            )
        for command in (publish, subscribe):
            if name == "iotcore":
                command.add_argument(
                    "--qos", "-q", choices=("0", "1"), default="0", help="QoS (default: 0)"
                )
            add_json(command)


def add_debug_password(commands: Commands) -> None:
    """Add the command `get-debug-password`."""
    command = add(
        commands,
        "get-debug-password",
        "debug_password",
        "create",
        "Make a password for the debug console, valid for 8 hours.",
    )
    add_json(command)
