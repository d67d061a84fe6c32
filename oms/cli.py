"""The command line: which command, with which settings, in which directory.

Flow:  order_management.py -> [cli] -> commands
What goes wrong at the start is one line on stderr and exit code 2, never a traceback.
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
    control,
    explain,
    feeding,
    flows,
    funds,
    live,
    offline,
    say,
)  # fmt: skip
from oms.config import CONFIG_PATH, load_config
from oms.errors import ConfigError, OMSError

EXIT_INTERRUPTED, EXIT_PIPE_CLOSED = 130, 141
DEFAULT_COMMAND = "simulate"

DESCRIPTION = """\
An order management system: it takes orders, lets them wait for the session and the
throttle, matches them by price and time, and answers only what is on disk.
Without a command it simulates a market on this machine and reports how it went."""

EPILOG = """\
examples:
  order_management.py                          simulate a market for about 20 seconds
  order_management.py simulate --speed max     as fast as this machine can
  order_management.py run                      the daemon, in the hours of config.ini
  order_management.py watch                    what the daemon publishes, as JSON lines
  order_management.py fund ann USD 1000 --create --data-dir DIR   money for an account
  order_management.py explain ID               what happened to one order, and why

exit codes: 0 done, 1 something is wrong with what was found, 2 wrong usage or settings, or
the place cannot be used, 3 (status) no daemon is running, 130 interrupted"""


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
        code: int = args.command(args, place_of(args))
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
    directory = getattr(args, "data_dir", None) or default_directory()
    if directory.exists() and not directory.is_dir():
        raise ConfigError([f"--data-dir: expected a directory, was {directory}"])
    config = load_config(getattr(args, "config", None) or own_config(directory))
    if getattr(args, "log_json", False):
        config = replace(config, log=replace(config.log, json=True))
    return Place(config, directory, getattr(args, "accept_loss", None))


def own_config(directory: Path) -> Path | None:
    """The settings that lie with the data, so that no command goes by others; None: none do."""
    path = directory / CONFIG_PATH.name
    return path if path.exists() else None


def default_directory() -> Path:
    """Beside order_management.py in a checkout, else the current directory."""
    checkout = CONFIG_PATH.parent
    return checkout if (checkout / "pyproject.toml").exists() else Path.cwd()


def build_parser() -> Parser:
    common = _common_options()
    parser = Parser(
        prog=Path(sys.argv[0]).name or "order_management.py",
        description=DESCRIPTION,
        epilog=EPILOG,
        parents=[common],
    )
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, command: Command, brief: str, text: str) -> AddOption:
        """What adds its options; `parser_error` is for a mistake found later."""
        parser = parsers.add_parser(name, help=brief, description=text, parents=[common])
        parser.set_defaults(command=command, parser_error=parser.error)
        return parser.add_argument

    for module in (flows, live, feeding, control, funds, offline, explain):
        module.add_to(add)
    return parser


def _common_options() -> Parser:
    """What every command takes, before or after its name."""
    common = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("where and how")
    group.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        help="where database, logs, lock and status are (default: beside order_management.py)",
    )
    group.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="the settings (default: config.ini in DIR, else beside order_management.py)",
    )
    group.add_argument("--log-json", action="store_true", help="write the log as JSON lines")
    return common


def with_command(argv: list[str]) -> list[str]:
    """The same arguments, with the default command where none is named."""
    at = 0
    while at < len(argv) and argv[at].startswith(("--data-dir", "--config", "--log-json")):
        takes_next = argv[at] in ("--data-dir", "--config")
        at += 2 if takes_next else 1
    if at < len(argv) and (not argv[at].startswith("-") or argv[at] in ("-h", "--help")):
        return argv
    return [*argv[:at], DEFAULT_COMMAND, *argv[at:]]
