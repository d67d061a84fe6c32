"""`serve`: the daemon with its front door open; without a place of its own a sandbox that trades.

Owner: MainThread, as `run`.
"""

import argparse
import secrets
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from oms.app import App
from oms.commands import AddCommand, Place, say, starting, whole_number
from oms.commands.live import tell_failure
from oms.config import CONFIG_PATH, Config, load_config
from oms.errors import GatewayError
from oms.reports import OrderResponse
from oms.requests import FundsAction, FundsRequest, Request
from oms.simulation.living import LivingMarket
from oms.users import Role

SANDBOX = "sandbox"
DEMO_USER = "demo"
AGENTS_RATE, AGENTS_RATE_MAX = 20, 1_000
ANSWER_S = 10.0
SERVE = """\
Runs the order manager with its front door open: REST and WebSocket at [web] listen, and until the
console comes a page that says what is here. Needs the extra `server`.

Without --data-dir and --config it is a sandbox in ./sandbox, which has a config.ini of its own from
then on: play money for whoever signs up, markets that are always open, agents that trade. It prints
a user who is signed in, and a line of curl that works as it stands. With --data-dir or --config it
is `run` with the front door: no agents, no play money but by setting."""

# What the sandbox's config.ini says other than the one the program came with.
SANDBOX_SETTINGS = {
    ("session", "always_open"): "yes",
    ("exchange", "ledger"): "yes",
    ("throttle", "policy"): "off",
    ("web", "enabled"): "yes",
    ("web", "sign_up"): "yes",
    ("web", "play_money"): "100000",
    ("web", "access_token_s"): "86400",
}


def add_to(add: AddCommand) -> None:
    option = add("serve", serve, "REST and WebSocket; without --data-dir a sandbox", SERVE)
    starting(option)
    option(
        "--agents", metavar="RATE", type=whole_number(0, AGENTS_RATE_MAX), default=AGENTS_RATE,
        help="requests a second of the sandbox's agents; 0: none (default: %(default)s)",
    )  # fmt: skip
    option(
        "--listen", metavar="ADDRESS:PORT", default="",
        help="where, instead of [web] listen",
    )  # fmt: skip


def serve(args: argparse.Namespace, place: Place) -> int:
    """Until a signal; the exit code."""
    is_sandbox = not hasattr(args, "data_dir") and not hasattr(args, "config")
    if is_sandbox:
        place = sandbox_in(place.directory)
    web = replace(place.config.web, enabled=True)
    if args.listen:
        web = replace(web, listen=args.listen)
    place = place._replace(config=replace(place.config, web=web))

    def opened(app: App, stack: ExitStack) -> None:
        # In one piece: the log's thread writes there, too.
        print(f"front door: {', '.join(app.web.urls)}\n", end="", flush=True)
        if is_sandbox:
            open_sandbox(app, stack, args.agents, place.config)

    app = App(
        place.config, place.directory, console=None if is_sandbox else sys.stdout,
        accept_loss=place.accept_loss, told=place.told, on_open=opened,
    )  # fmt: skip
    code = app.run()
    tell_failure(app)
    return code


def sandbox_in(directory: Path) -> Place:
    """The sandbox below `directory`, made if it is not there."""
    place = directory / SANDBOX
    place.mkdir(parents=True, exist_ok=True)
    path = place / CONFIG_PATH.name
    if not path.exists():
        path.write_text(sandbox_text(), encoding="utf-8")
    told = f"data in {place.absolute()}; settings of {path.absolute()}"
    say(f"a sandbox: {told}")
    return Place(load_config(path), place, told)


def sandbox_text() -> str:
    """The shipped config.ini with the sandbox's settings: every comment stays."""
    section, lines, left = "", list[str](), dict(SANDBOX_SETTINGS)
    for line in CONFIG_PATH.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[] ")
        key = line.partition("=")[0].strip()
        if (section, key) in left and not line.startswith("#"):
            line = f"{key} = {left.pop((section, key))}"
        lines.append(line)
    if left:
        raise GatewayError(f"{CONFIG_PATH}: no line for {sorted(left)}")
    return "\n".join(lines) + "\n"


def open_sandbox(app: App, stack: ExitStack, rate: int, config: Config) -> None:
    """Agents, and a user who is signed in, told to whoever started it."""
    if rate:
        agents = LivingMarket(app.manager, config.simulate.seed, rate)
        agents.begin()
        app.start_job(stack, "oms-agents", agents)
    url, token = app.web.urls[0], demo_token(app)
    symbol = min(app.manager.instruments())
    order = f'{{"symbol":"{symbol}","side":"BUY","type":"MARKET","quantity":"1"}}'
    print(
        f"the book of {symbol}:\n  curl '{url}/depth?symbol={symbol}'\n"
        f"an order of the user {DEMO_USER}, who is signed in for a day:\n"
        f"  curl {url}/order -H 'Authorization: Bearer {token}' -d '{order}'\n"
        f"all that can be asked: {url}/docs",
        flush=True,
    )


def demo_token(app: App) -> str:
    """An access token of the demo user, who is made if there is none. Only the sandbox's owner
    comes by here, so no password is asked for."""
    manager, gate = app.manager, app.web.gate
    if manager.access.user(DEMO_USER) is None:
        password = secrets.token_urlsafe(12)
        done(app, gate.sign_up(
            DEMO_USER, "demo@example.com", password, (DEMO_USER,), Role.TRADER.value
        ))  # fmt: skip
        done(app, FundsRequest(
            account=DEMO_USER, client_order_id="create", action=FundsAction.CREATE
        ))  # fmt: skip
        for asset in sorted({a for i in manager.instruments().values() for a in (i.base, i.quote)}):
            done(app, FundsRequest(
                account=DEMO_USER, client_order_id=f"play-{asset}", action=FundsAction.DEPOSIT,
                asset=asset, amount=manager.config.web.play_money,
            ))  # fmt: skip
        print(f"a user: {DEMO_USER}, password {password}")
    opened = done(app, gate.login(manager.access.user(DEMO_USER), "127.0.0.1"))
    return str(gate.opened(opened).access)


def done(app: App, request: Request) -> OrderResponse:
    """The answer to a request that must not be refused."""
    response = app.manager.submit(request).result(ANSWER_S)
    if response.refused:
        raise GatewayError(f"the sandbox: {response.text}")
    return response
