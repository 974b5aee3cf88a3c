"""`python -m labelsync_provider ...`: the commands of `airflow labelsync`, which Airflow 3.1 does not ask for."""

from argparse import ArgumentParser
from typing import TYPE_CHECKING

from labelsync_provider.cli import get_commands

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand


def main() -> None:
    """Run the command that the arguments name."""
    (labelsync,) = get_commands()
    parser = ArgumentParser(prog="python -m labelsync_provider", description=labelsync.help)
    _describe(parser, labelsync)
    arguments = parser.parse_args()
    arguments.func(arguments)


def _describe(parser: ArgumentParser, command: "CLICommand") -> None:
    """Tell a parser of a command, as Airflow would, and of all that stand below it."""
    from airflow.cli.cli_config import ActionCommand

    if isinstance(command, ActionCommand):
        parser.set_defaults(func=command.func)
        for argument in command.args:
            argument.add_to_parser(parser)
        return
    below = parser.add_subparsers(metavar="COMMAND", required=True)
    for sub in command.subcommands:
        _describe(below.add_parser(sub.name, help=sub.help, description=sub.description or sub.help), sub)


if __name__ == "__main__":
    main()
