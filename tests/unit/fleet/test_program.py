"""The command line: arguments without an option name, and what is wrong with the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import invoke
import pytest
from invoke.parser import ParserContext

import tasks
from verge.fleet import program

REPOSITORY = Path(__file__).resolve().parents[3]
VERBS: dict[str, ParserContext] = {
    str(context.name): context for context in invoke.Collection.from_module(tasks).to_contexts()
}


def run(*arguments: str) -> None:
    """Run `./inv` with these arguments; it ends with SystemExit."""
    program.Program(name="Verge", binary="./inv").run(
        ["./inv", "--search-root", str(REPOSITORY), *arguments]
    )


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["build"], ["build"]),
        (["build", "a", "b"], ["build", "--name=a", "--name=b"]),
        (["build", "a", "--json"], ["build", "--name=a", "--json"]),
        (["build", "a", "validate", "b"], ["build", "--name=a", "validate", "--name=b"]),
        (["drop", "cat.png"], ["drop", "cat.png"]),
        (
            ["publish", "a", "--env", "aws", "b"],
            ["publish", "--name=a", "--env", "aws", "--name=b"],
        ),
        (["publish", "--env=aws", "b"], ["publish", "--env=aws", "--name=b"]),
        (["publish", "-e", "aws", "b"], ["publish", "-e", "aws", "--name=b"]),
        (["publish", "--env", "test", "b"], ["publish", "--env", "test", "--name=b"]),
        (["build", "--name", "a", "b"], ["build", "--name", "a", "--name=b"]),
        (["publish", "--dry-run", "a"], ["publish", "--dry-run", "--name=a"]),
    ],
    ids=[
        "none",
        "two",
        "with a flag",
        "two verbs",
        "a verb with its own positional",
        "an option's value",
        "an option with its value",
        "a short option's value",
        "a value that is a verb",
        "both ways",
        "after a flag",
    ],
)
def test_names_need_no_option(given: list[str], meant: list[str]) -> None:
    """`./inv build a b` means the same as naming the option each time."""
    assert program.name_arguments(program.read_words(given, VERBS)) == meant


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["logs", "x", "--lines", "many"], "cannot use --lines 'many' of logs: it is no number"),
        (["captures", "--limit=1.5"], "cannot use --limit '1.5' of captures: it is no number"),
        (["logs", "x", "-l", ""], "cannot use --lines '' of logs: it is no number"),
        (["nosuch"], "No idea what 'nosuch' is!"),
        (["--help", "nosuch"], "No idea what 'nosuch' is!"),
    ],
    ids=["no number", "no whole number", "nothing", "no verb", "help about no verb"],
)
def test_wrong_usage_is_told(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with a command line is one sentence with a next step, and exit code 2."""
    with pytest.raises(SystemExit) as ended:
        run(*given)
    assert ended.value.code == 2
    told = capsys.readouterr().err.splitlines()
    assert told == [f"ERROR {said}", told[1]]
    assert told[1].startswith("TIP ./inv --list")


def test_help_explains_each_option() -> None:
    """`./inv --help VERB` says what every option of the verb is for."""
    done = subprocess.run(
        [sys.executable, "-m", "verge.fleet.program", "--help", "drop"],
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(REPOSITORY / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    options = done.stdout.partition("Options:\n")[2].splitlines()
    explained = [line.strip().partition("   ") for line in options if line.startswith("  -")]
    assert len(explained) >= 4
    assert all(text.strip() for _, _, text in explained)
