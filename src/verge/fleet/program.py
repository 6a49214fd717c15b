"""The command line `./inv`: Invoke, with our errors and exit codes.

Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 could not start (the wrapper `inv`).
"""

from __future__ import annotations

import sys
from collections.abc import Collection

import invoke

import verge
from verge.fleet import errors, output

# Verbs that take any number of names without an option: Invoke itself has no such arguments.
_TAKES_NAMES = frozenset({"bench", "build", "publish", "validate"})


def name_arguments(argv: list[str], verbs: Collection[str]) -> list[str]:
    """Return `build a b` as `build --name=a --name=b`; verbs that follow stay verbs."""
    rewritten, verb = [], ""
    for argument in argv:
        if argument in verbs:
            verb = argument
        elif verb in _TAKES_NAMES and not argument.startswith("-"):
            argument = f"--name={argument}"
        rewritten.append(argument)
    return rewritten


class Program(invoke.Program):
    """Invoke's program, which shows a FleetError as one sentence and a next step."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the options that stand before the verb."""
        try:
            super().parse_core(argv)
        except invoke.ParseError as error:
            raise invoke.Exit(f"{output.ERROR} {error}", code=2) from error

    def parse_tasks(self) -> None:
        """Parse the verbs and their options."""
        self.core.unparsed = name_arguments(self.core.unparsed, self.collection.task_names)
        try:
            super().parse_tasks()
        except invoke.ParseError as error:
            hint = "./inv --list shows the verbs, ./inv --help VERB the options of one"
            raise invoke.Exit(f"{output.ERROR} {error}\n{output.TIP} {hint}", code=2) from error

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
