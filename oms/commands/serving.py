"""`serve`: the daemon with its front door open; without a place of its own a sandbox that trades.

Owner: MainThread, as `run`.
"""

import argparse
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from oms.app import App, front_door
from oms.commands import AddCommand, Place, starting, whole_number
from oms.commands.live import tell_failure
from oms.commands.sandbox import open_sandbox, sandbox_in

AGENTS_RATE, AGENTS_RATE_MAX = 10, 1_000
SERVE = """\
Runs the order manager with its front door open: REST and WebSocket at [web] listen, with a page
at / that says how the market stands, and one at /docs where everything can be tried. Needs the
extra `server`.

Without --data-dir and --config it is a sandbox in ./sandbox, which has a config.ini of its own from
then on: play money for whoever signs up, markets that never close, agents that trade. It prints
a user, and a line of curl that works as it stands. With --data-dir or --config it is `run` with
the front door: no agents, no play money but by setting."""


def add_to(add: AddCommand) -> None:
    option = add("serve", serve, "REST and WebSocket; without --data-dir a sandbox", SERVE)
    starting(option)
    option(
        "--agents", metavar="RATE", type=whole_number(0, AGENTS_RATE_MAX),
        help=f"requests a second of the sandbox's agents; 0: none (default: {AGENTS_RATE})",
    )  # fmt: skip
    option(
        "--listen", metavar="ADDRESS:PORT", default="",
        help="where, instead of [web] listen; several are separated by commas",
    )  # fmt: skip


def settle(args: argparse.Namespace) -> None:
    """Before the settings are read: without a place of its own, `serve` has the sandbox, which is
    made if it is not there. Raises GatewayError where the extra is missing."""
    args.sandbox = not hasattr(args, "data_dir") and not hasattr(args, "config")
    if args.agents is not None and not args.sandbox:
        args.parser_error("expected --agents in a sandbox alone: without --data-dir and --config")
    front_door()
    if args.sandbox:
        args.data_dir = sandbox_in(Path.cwd())


def serve(args: argparse.Namespace, place: Place) -> int:
    """Until a signal; the exit code."""
    web = replace(place.config.web, enabled=True)
    if args.listen:
        web = replace(web, listen=args.listen)

    def opened(app: App, stack: ExitStack) -> None:
        if args.sandbox:
            rate = AGENTS_RATE if args.agents is None else args.agents
            open_sandbox(app, stack, rate)
        else:
            # In one piece: the log's thread writes there, too.
            print(f"front door: {', '.join(app.web.urls)}\n", end="", flush=True)

    app = App(
        replace(place.config, web=web), place.directory,
        console=None if args.sandbox else sys.stdout,
        accept_loss=place.accept_loss, told=place.told, on_open=opened,
    )  # fmt: skip
    code = app.run()
    tell_failure(app)
    return code
