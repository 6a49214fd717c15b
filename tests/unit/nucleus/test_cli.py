"""The command line's arguments."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator

import pytest

from verge.nucleus import cli
from verge.nucleus.commands import connection, deploy


def every_command(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of all commands that do something."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        yield parser
    for group in groups:
        for below in group.choices.values():
            yield from every_command(below)


COMMANDS = {
    command.prog.removeprefix("verge-nucleus "): command
    for command in every_command(cli.build_parser())
}


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_exists_and_explains_itself(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command has a function behind it, and its help says what it does."""
    module, function = (COMMANDS[path].get_default(key) for key in ("module", "function"))
    assert callable(getattr(importlib.import_module(f"verge.nucleus.commands.{module}"), function))
    with pytest.raises(SystemExit) as ended:
        cli.main([*path.split(), "--help"])
    assert ended.value.code == 0
    # Only `run` makes a root of its own.
    assert ("--root DIR" in capsys.readouterr().out) is (path != "run")


@pytest.mark.parametrize("arguments", [[], ["fly"], ["deploy", "--timeout", "soon"], ["component"]])
def test_wrong_usage_is_code_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is told apart from failure."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: verge-nucleus" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "name", "requirement"),
    [
        ("a=1.0.0", "a", "1.0.0"),
        ("a", "a", "*"),
        ("a=>=1.0.0 <2.0.0", "a", ">=1.0.0 <2.0.0"),
        ("a = ^1.2", "a", "^1.2"),
    ],
)
def test_merge_names_component_and_requirement(written: str, name: str, requirement: str) -> None:
    """A root is a name with an exact version, a range or nothing."""
    arguments = cli.build_parser().parse_args(["deploy", "--merge", written])
    request = deploy.build_request(arguments)
    assert request["rootComponentVersionsToAdd"] == {name: requirement}


@pytest.mark.parametrize("text", ["[1]", '{"a": 1}', '{"a"', "/no/such/file"])
def test_unusable_configuration_is_refused(text: str) -> None:
    """A configuration that is no map of maps is refused."""
    arguments = cli.build_parser().parse_args(["deploy", "--update-config", text])
    with pytest.raises(connection.CommandError, match="cannot"):
        deploy.build_request(arguments)


def test_every_command_prints_json() -> None:
    """Whatever answers a question answers it for programs, too, and every option is explained."""
    silent = {"serve", "secret put", "secret remove"}
    for name, command in COMMANDS.items():
        options = {option for action in command._actions for option in action.option_strings}
        assert ("--json" in options) is (name not in silent), name
