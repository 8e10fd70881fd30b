"""The commands: `python -m span_label_errors audit`, or `span-label-errors audit` where the package is installed."""

import argparse
import importlib
import sys
from collections.abc import Sequence

# Each is a module of `commands` with a function `main(arguments)`, imported only when it is called.
_COMMANDS = {
    "audit": "check the outputs of a run and the folds that they come from",
    "fold": "make one fold, with one process or several",
    "reader": "train a model that reads, to start from or to judge with",
    "notebooks": "copy the two notebooks into your own folder",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names with the arguments behind it, and return its exit code."""
    described = "\n".join(f"  {name:12}{text}" for name, text in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="span-label-errors",
        description="Find the wrong answers in a question-answering or span-labelling data set.",
        epilog=f"commands:\n{described}\n\nspan-label-errors COMMAND --help says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=_COMMANDS, metavar="COMMAND")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command = parser.parse_args(arguments[:1]).command
    return importlib.import_module(f"span_label_errors.commands.{command}").main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
