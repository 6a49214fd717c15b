"""The command line's arguments."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from verge.nucleus import cli
from verge.nucleus.commands import components, connection, deploy, log_files


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


CONTRACT = {
    "deployment create": "-m --merge --remove -g --groupId -r --recipeDir -a --artifactDir "
    "--runWith --systemLimits -c --update-config -fp --failure-handling-policy",
    "deployment status": "-i --deploymentId",
    "deployment cancel": "-i --deploymentId",
    "deployment list": "",
    "component list": "",
    "component details": "-n --name",
    "component restart": "-n --names",
    "component stop": "-n --names",
    "logs get": "-lf --log-file -ld --log-dir -t --time-window -f --filter -fol --follow "
    "-b --before -a --after -m --max-log-queue-size -nc --no-color -v --verbose -s --syslog",
    "logs list-log-files": "-ld --log-dir",
    "logs list-keywords": "",
    "pubsub pub": "-t --topic -m --message",
    "pubsub sub": "-t --topic",
    "iotcore pub": "-t --topic -m --message -q --qos",
    "iotcore sub": "-t --topic -q --qos",
    "get-debug-password": "",
}


@pytest.mark.parametrize("name", CONTRACT)
def test_commands_and_options_of_greengrass_cli(name: str) -> None:
    """Every command of contract 3.9 exists with all its options."""
    actions = COMMANDS[name]._actions
    options = {option for action in actions for option in action.option_strings}
    assert options >= {"--ggcRootPath", *CONTRACT[name].split()}


@pytest.mark.parametrize(
    "words",
    [
        ["--ggcRootPath", "/one", "component", "list"],
        ["component", "list", "--ggcRootPath", "/one"],
        ["--ggcRootPath", "/two", "component", "list", "--root", "/one"],
        ["--ggcRootPath", "/one", "logs", "get", "-t", "-1h,"],
        ["--root=/one", "list"],
        ["list"],
    ],
)
def test_root_may_stand_before_the_command(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root comes from before the command, from behind it, or else from the environment."""
    monkeypatch.setenv("GGC_ROOT_PATH", "/one")
    roots: list[Path] = []

    def note(parsed: argparse.Namespace) -> int:
        roots.append(parsed.root)
        return 0

    for module, function in (
        (components, "list_all"),
        (components, "show_all"),
        (log_files, "get"),
    ):
        monkeypatch.setattr(module, function, note)
    assert cli.main(words) == 0
    assert roots == [Path("/one")]


@pytest.mark.parametrize("called", ["verge-nucleus", "greengrass-cli"])
def test_two_names(
    called: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It speaks of itself by the name that it was called by."""
    monkeypatch.setattr("sys.argv", [f"/usr/local/bin/{called}"])
    with pytest.raises(SystemExit):
        cli.main(["component", "list", "--help"])
    assert f"usage: {called} component list" in capsys.readouterr().out


def test_every_command_prints_json() -> None:
    """Whatever answers a question answers it for programs, too, and every option is explained."""
    silent = {"serve", "secret put", "secret remove"}
    for name, command in COMMANDS.items():
        options = {option for action in command._actions for option in action.option_strings}
        assert ("--json" in options) is (name not in silent), name


@pytest.fixture
def somebody() -> Iterator[None]:
    """Be an ordinary user within the test."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else: run as root")
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.parametrize(
    "arguments", [["logs", "greengrass"], ["logs", "get"], ["logs", "list-log-files"]]
)
def test_logs_that_may_not_be_read_are_refused_in_words(
    tmp_path: Path,
    somebody: None,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    """Whoever may not read the logs is told so, rather than shown none of them or a traceback."""
    assert cli.main(["--root", str(tmp_path), *arguments]) == 1
    assert "Permission denied; run this as the nucleus's user" in capsys.readouterr().err
