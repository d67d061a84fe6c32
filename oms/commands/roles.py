"""`engine`, `api`, `broadcast`: the daemon split by role, with Redis between the parts.

Owner: MainThread, as `run`.
"""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from oms.app import App, front_door
from oms.commands import AddCommand, AddOption, Place, starting, whole_number
from oms.commands.live import standing_by, tell_failure
from oms.config import Config
from oms.errors import GatewayError
from oms.gateways.master import FILE_NAME, VARIABLE
from oms.manager import OrderManagement

PORT_MAX = 65_535
ENGINE = """\
Runs the order manager of one group of markets: it takes requests out of Redis, journals them in
the data directory, matches them, and tells what happened in Redis. [scale] of config.ini says which
groups there are, and where Redis is. A second engine of a group is refused, and one that another
has taken the place of ends itself; with --standby and a journal in Postgres it waits, reads along,
and takes over. Needs the extra `scale`; docs/scale.md tells more.

SIGTERM stops it in order; requests that it has not answered are answered by the next one."""
API = """\
Runs a front door without an order manager: REST and WebSocket, as `serve`, with the engines of all
groups behind Redis. It keeps nothing, so there may be any number of them. All need one master
secret: the environment's OMS_MASTER_SECRET, or the same file master.secret in each data directory.
Needs the extra `scale`; docs/scale.md tells more."""
BROADCAST = """\
Runs a front door that only tells: subscriptions over WebSocket, public and private, and the routes
that look. It takes no orders: those go to an `api`. Journal sequences count in each group alone:
with several groups, each message names its group beside its sequence; docs/scale.md tells more.
Needs the extra `scale`."""


def add_to(add: AddCommand) -> None:
    option = add("engine", engine, "the order manager of one group of markets", ENGINE)
    starting(option)
    standing_by(option)
    option("--group", metavar="NAME", default="", help="which group (default: the first one)")
    _opening(add("api", api, "a front door to engines behind Redis", API))
    option = add("broadcast", broadcast, "a front door that only tells", BROADCAST)
    _opening(option)
    option("--group", metavar="NAME", default="", help="tell of this group alone (default: of all)")


def _opening(option: AddOption) -> None:
    option(
        "--port", metavar="P", type=whole_number(0, PORT_MAX),
        help="listen at 127.0.0.1:P (default: where [web] listen says); 0: any that is free",
    )  # fmt: skip
    option(
        "--listen", metavar="ADDRESS:PORT", default="",
        help="where, instead of [web] listen; several are separated by commas",
    )  # fmt: skip


def needs_scale() -> None:
    """Raises GatewayError where the extra is missing."""
    for name in ("redis", "msgspec"):
        if find_spec(name) is None:
            raise GatewayError(
                f"the split form needs a package that is missing: {name}; "
                "pip install '.[scale]' in the checkout has them all"
            )


def engine(args: argparse.Namespace, place: Place) -> int:
    """Until a signal; the exit code."""
    needs_scale()
    from oms.roles.engine import Engine, check_reach

    group = args.group or place.config.scale.names[0]
    check_reach(place.config.scale, group)

    def opened(app: App, stack: ExitStack) -> None:
        made = Engine(app.manager, group, place.config.scale)
        made.open()
        made.start(app.on_failure)
        stack.callback(made.stop)
        print(f"engine: group {group}\n", end="", flush=True)

    app = App(
        place.config.of_group(group), place.directory, console=sys.stdout,
        accept_loss=place.accept_loss, standby=args.standby, told=place.told, on_open=opened,
    )  # fmt: skip
    code = app.run()
    tell_failure(app)
    return code


def api(args: argparse.Namespace, place: Place) -> int:
    """Until a signal; the exit code."""
    needs_scale()
    from oms.roles.remote import RemoteOrders

    return _serve(args, place, partial(RemoteOrders, role="api"), "api")


def broadcast(args: argparse.Namespace, place: Place) -> int:
    """Until a signal; the exit code."""
    needs_scale()
    from oms.roles.remote import Broadcast

    if args.group:
        place.config.of_group(args.group)  # raises ConfigError if there is none
    return _serve(args, place, partial(Broadcast, group=args.group), "broadcast")


def _serve(args: argparse.Namespace, place: Place, made: Callable[..., Any], role: str) -> int:
    front_door()
    _check_secret(place.directory)

    def opened(app: App, _stack: ExitStack) -> None:
        print(f"{role}: {', '.join(app.web.urls)}\n", end="", flush=True)

    manager_of: Callable[..., OrderManagement] = made  # as far as a front door asks, it is one
    app = App(
        _opened_config(place.config, args), place.directory, console=sys.stdout, told=place.told,
        manager_of=manager_of, on_open=opened,
    )  # fmt: skip
    code = app.run()
    tell_failure(app)
    return code


def _opened_config(config: Config, args: argparse.Namespace) -> Config:
    """With a front door, and without a control socket: that is an engine's."""
    listen = args.listen or (f"127.0.0.1:{args.port}" if args.port is not None else "")
    web = replace(config.web, enabled=True, listen=listen or config.web.listen)
    return replace(config, web=web, control=replace(config.control, enabled=False))


def _check_secret(directory: Path) -> None:
    """A secret of its own would make tokens that no other api takes."""
    if VARIABLE not in os.environ and not (directory / FILE_NAME).exists():
        raise GatewayError(
            f"no master secret: all apis and broadcasts need the same one, from {VARIABLE} or from "
            f"{directory / FILE_NAME}"
        )
