"""The command line: which command, with which settings, in which directory.

Flow:  order_management.py, python -m oms -> [cli] -> commands
Data is in the current directory, or where --data-dir says. Each command says on stderr which
directory that is, and which settings it goes by: stdout is for what was asked. What goes wrong
at the start is one line on stderr and exit code 2, never a traceback.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from oms.commands import (
    EXIT_USAGE,
    AddOption,
    Command,
    Place,
    begin,
    cluster,
    control,
    end_of_day,
    explain,
    exporting,
    feeding,
    filling,
    flows,
    funds,
    keeping,
    live,
    offline,
    program_name,
    roles,
    say,
    serving,
    top,
    users,
)  # fmt: skip
from oms.config import CONFIG_PATH, load_config, overrides
from oms.errors import ConfigError, OMSError
from oms.setting_rules import masked
from oms.stores.schema import SCHEMA_VERSION
from oms.version import VERSION

EXIT_INTERRUPTED, EXIT_PIPE_CLOSED = 130, 141
DEFAULT_COMMAND = "simulate"
MODULES = (
    flows, live, top, serving, roles, cluster, feeding, control, funds, users, offline, exporting,
    end_of_day, keeping, filling, explain, begin,
)  # fmt: skip
ALONE = ("-h", "--help", "--version")  # options that need no command

DESCRIPTION = """\
An order management system: accepts orders, holds them for the session and the throttle,
matches them by price and time, and answers only what is on disk. Without a command it
simulates a market on this machine and prints a report."""

EPILOG = """\
examples:
  %(prog)s
      simulate a market for 20 seconds
  %(prog)s init DIR
      write DIR/config.ini, with every setting
  %(prog)s run --data-dir DIR
      run the daemon in the hours of that file
  %(prog)s order ann BTC_USD buy 1 98.50 --data-dir DIR
      place an order, from a second shell
  %(prog)s explain ID --data-dir DIR
      tell the story of one order

environment: OMS__SECTION__KEY and OMS__INSTRUMENT__SYMBOL__KEY override config.ini, such as
OMS__THROTTLE__SENDS_MAX=50; each command prints those that do.

exit codes: 0 done, 1 request refused or check failed, 2 wrong usage or settings, or a data
directory that cannot be used, 3 (status) no daemon is running, 130 interrupted"""


class Parser(argparse.ArgumentParser):
    """One line for a mistake, instead of the usage and then the line."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"order_management: {message} (try {self.prog} --help)\n")


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    try:
        args = build_parser().parse_args(with_command(sys.argv[1:] if argv is None else argv))
        if args.command is serving.serve:
            serving.settle(args)
        place = place_of(args)
        say(place.told)
        code: int = args.command(args, place)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse: --help, or a mistake it has told already
        return int(stop.code or 0)
    except BrokenPipeError:  # whoever read our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except ConfigError as error:
        for mistake in error.mistakes:
            say(mistake)
    except OMSError as error:
        say(" ".join(str(error).split()))
    except OSError as error:
        say(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    return EXIT_USAGE


def place_of(args: argparse.Namespace) -> Place:
    """The settings and the directory that the common options name."""
    directory = Path(getattr(args, "data_dir", None) or Path.cwd())
    if directory.exists() and not directory.is_dir():
        raise ConfigError([f"--data-dir: expected a directory, was {directory}"])
    path = getattr(args, "config", None) or own_config(directory) or CONFIG_PATH
    config = load_config(path)
    if getattr(args, "log_json", False):
        config = replace(config, log=replace(config.log, json=True))
    told = f"data in {directory.absolute()}; settings of {path.absolute()}"
    given = ", ".join(f"{name}={masked(text)}" for name, text in overrides(os.environ).items())
    if given:
        told += f" and of the environment: {' '.join(given.split())}"
    return Place(config, directory, told, getattr(args, "accept_loss", None))


def own_config(directory: Path) -> Path | None:
    """The settings that lie with the data, so that no command goes by others; None: none do."""
    path = directory / CONFIG_PATH.name
    return path if path.exists() else None


def build_parser() -> Parser:
    common = _common_options()
    parser = Parser(
        prog=program_name(sys.argv[0]),
        description=DESCRIPTION,
        epilog=EPILOG,
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=version_text())
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, command: Command, brief: str, text: str) -> AddOption:
        """What adds its options; `parser_error` is for a mistake found later."""
        parser = parsers.add_parser(name, help=brief, description=text, parents=[common])
        parser.set_defaults(command=command, parser_error=parser.error)
        return parser.add_argument

    for module in MODULES:
        module.add_to(add)
    return parser


def version_text() -> str:
    """What a bug report should say first."""
    python = ".".join(map(str, sys.version_info[:3]))
    place = Path(__file__).resolve().parent
    return f"oms {VERSION}, schema version {SCHEMA_VERSION}, Python {python}, {place}"


def _common_options() -> Parser:
    """What every command takes, before or after its name."""
    common = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("where and how")
    group.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        help="where database, logs, lock and status are (default: the current directory)",
    )
    group.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="the settings (default: config.ini in DIR, else the one the program came with)",
    )
    group.add_argument("--log-json", action="store_true", help="write the log as JSON lines")
    return common


def with_command(argv: list[str]) -> list[str]:
    """The same arguments, with the default command where none is named."""
    at = 0
    while at < len(argv) and argv[at].startswith(("--data-dir", "--config", "--log-json")):
        takes_next = argv[at] in ("--data-dir", "--config")
        at += 2 if takes_next else 1
    if at < len(argv) and (not argv[at].startswith("-") or argv[at] in ALONE):
        return argv
    return [*argv[:at], DEFAULT_COMMAND, *argv[at:]]
