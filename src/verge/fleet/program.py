"""The command line `./inv`: Invoke, with our errors and exit codes.

Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 could not start (the wrapper `inv`).
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import invoke
from invoke.parser import Argument, Parser, ParserContext

import verge
from verge.fleet import errors, output

# Verbs that take any number of names without an option: Invoke itself has no such arguments.
_TAKES_NAMES = frozenset({"bench", "build", "publish", "validate"})


class Word(NamedTuple):
    """A word of the command line."""

    text: str
    verb: str
    """The verb it belongs to."""
    option: Argument | None = None
    """The option whose value it is or holds (`--lines=5`)."""


def read_words(argv: list[str], verbs: Mapping[str, ParserContext]) -> Iterator[Word]:
    """Return the words of a command line, which knows the options of its verbs."""
    verb, option = "", None
    for text in argv:
        if option is None and text in verbs:
            verb = text
        if option is None and verb:
            flag, has_value, _ = text.partition("=")
            known = verbs[verb].flags
            # A lexicon finds short names only so, not by `get`.
            following = known[flag] if flag in known and known[flag].takes_value else None
            yield Word(text, verb, following if has_value else None)
            option = None if has_value else following
        else:
            yield Word(text, verb, option)
            option = None


def name_arguments(words: Iterable[Word]) -> list[str]:
    """Return `build a b` as `build --name=a --name=b`; values of options and verbs stay."""
    return [
        f"--name={word.text}"
        if word.verb in _TAKES_NAMES
        and word.option is None
        and word.text != word.verb
        and not word.text.startswith("-")
        else word.text
        for word in words
    ]


def check_numbers(words: Iterable[Word]) -> None:
    """Raise ParseError for an option whose value should be a number and is none."""
    for word in words:
        if word.option is not None and word.option.kind is int:
            value = word.text.rpartition("=")[2]
            if not re.fullmatch(r"[+-]?[0-9]+", value):
                raise invoke.ParseError(
                    f"cannot use --{word.option.name} {value!r} of {word.verb}: it is no number"
                )


@contextlib.contextmanager
def _wrong_usage() -> Iterator[None]:
    """Show what is wrong with a command line as one sentence and a next step."""
    try:
        yield
    except invoke.ParseError as error:
        hint = "./inv --list shows the verbs, ./inv --help VERB the options of one"
        raise invoke.Exit(f"{output.ERROR} {error}\n{output.TIP} {hint}", code=2) from error


class Program(invoke.Program):
    """Invoke's program, which shows a FleetError as one sentence and a next step."""

    _made: Parser | None = None

    def _make_parser(self) -> Parser:
        # Invoke takes the help of options out of the verbs, so that a second parser has none.
        if self._made is None:
            self._made = super()._make_parser()
        return self._made

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the options that stand before the verb."""
        with _wrong_usage():
            super().parse_core(argv)

    def parse_tasks(self) -> None:
        """Parse the verbs and their options."""
        with _wrong_usage():
            words = list(read_words(self.core.unparsed, self._make_parser().contexts))
            check_numbers(words)
            self.core.unparsed = name_arguments(words)
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        """Show help or the list of verbs, if that is what was asked for."""
        with _wrong_usage():
            super().parse_cleanup()

    def execute(self) -> None:
        """Run the verbs."""
        try:
            super().execute()
        except errors.FleetError as error:
            raise invoke.Exit(output.render_error(error), code=1) from error
        except KeyboardInterrupt:
            raise invoke.Exit(f"{output.ERROR} interrupted", code=1) from None


def main() -> None:
    """Run `./inv`."""
    # A reader that went away (`./inv status | head`) is no error worth a traceback.
    try:
        Program(name="Verge", binary="./inv", version=verge.__version__).run()
        sys.stdout.flush()
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
