"""The sandbox of `serve`: an exchange of one's own to try out, with a user, money and a market.

Flow:  serve -> [sandbox] -> agents, the demo user, what is printed
Owner: MainThread. Only who may read the directory comes by here, so no password is asked for.
"""

import sys
from contextlib import ExitStack
from pathlib import Path

from oms.app import App
from oms.clock import NANOS
from oms.commands import data_option, program_name
from oms.config import CONFIG_PATH
from oms.enums import Side
from oms.errors import GatewayError
from oms.gateways.master import master_secret
from oms.requests import FundsAction, FundsRequest, Request
from oms.responses import OrderResponse
from oms.simulation.agents import Listing
from oms.simulation.living import LivingMarket
from oms.users import Role, User

SANDBOX = "sandbox"
DEMO_USER = "demo"
ANSWER_S = 10.0

# What the sandbox's config.ini says other than the one the program came with.
SETTINGS = {
    ("session", "always_open"): "yes",
    ("exchange", "ledger"): "yes",
    ("throttle", "policy"): "off",
    ("web", "enabled"): "yes",
    ("web", "sign_up"): "yes",
    ("web", "play_money"): "100000",
    ("web", "access_token_s"): "86400",
}


def sandbox_in(directory: Path) -> Path:
    """The sandbox below `directory`, made with a config.ini if it is not there."""
    place = directory / SANDBOX
    place.mkdir(exist_ok=True)
    path = place / CONFIG_PATH.name
    if not path.exists():
        path.write_text(settings_text(), encoding="utf-8")
    return place


def settings_text() -> str:
    """The shipped config.ini with the sandbox's settings: every comment stays."""
    section, lines, left = "", list[str](), dict(SETTINGS)
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


def open_sandbox(app: App, stack: ExitStack, rate: int) -> None:
    """Let the agents trade, and tell whoever started it how to begin.

    rate: requests a second of the agents; 0: there are none.
    """
    if rate:
        agents = LivingMarket(app.manager, app.manager.config.simulate.seed, rate)
        agents.begin()
        app.start_job(stack, "oms-agents", agents)
    print("\n".join([*beginning(app, rate), *more(app)]), flush=True)


def beginning(app: App, rate: int) -> list[str]:
    """A page, a book, an order: line by line."""
    from oms.gateways.passwords import verify

    instruments, url, user = app.manager.instruments(), app.web.own_url, demo_user(app)
    symbol = min(instruments)
    listing = Listing(instruments[symbol])
    kind = '"type":"MARKET"' if rate else f'"price":"{listing.price(Side.BUY, 2)}"'
    order = f'{{"symbol":"{symbol}","side":"BUY",{kind},"quantity":"{listing.quantity(1)}"}}'
    traders = f"agents trade, {rate} requests a second" if rate else "no agents"
    password = demo_password(app)
    by_password = f" Sign in as {DEMO_USER}, password {password}"
    told = [
        f"A sandbox: play money, markets that never close, {traders}.",
        "",
        f"In a browser: {url} to trade; {url}/docs to try every route.",
        *([by_password.strip() + "."] if verify(user.password_hash, password) else []),
    ]
    token = demo_token(app, user)
    told += [
        "",
        "Or in another shell, the book and an order:",
        f"curl '{url}/depth?symbol={symbol}'",
    ]
    if token:
        hours = app.manager.config.web.access_token_ns / (3_600 * NANOS)
        told += [
            f"curl {url}/order -H 'Authorization: Bearer {token}' -d '{order}'",
            f"The token is {DEMO_USER}'s, for {hours:g} h.",
        ]
    return told


def more(app: App) -> list[str]:
    """Who may halt the market, and how it ends."""
    program = program_name(sys.argv[0])
    return [
        "",
        f"To make {DEMO_USER} an operator, who may halt the market and pay money in:",
        f"{program} user role {DEMO_USER} operator{data_option(app.directory)}",
        "",
        f"Ctrl-C stops it; the next start goes on from there. All of it is in {app.directory}.",
    ]


def demo_user(app: App) -> User:
    """The demo user, made at the first start, with an account full of play money."""
    manager, gate = app.manager, app.web.gate
    if manager.access.user(DEMO_USER) is None:
        done(app, gate.sign_up(
            DEMO_USER, "demo@example.com", demo_password(app), (DEMO_USER,), Role.TRADER.value
        ))  # fmt: skip
    user: User | None = manager.access.user(DEMO_USER)
    assert user is not None, "signed up"
    if manager.config.exchange.ledger:
        create = FundsRequest(
            account=DEMO_USER, client_order_id="create", action=FundsAction.CREATE
        )
        if not done(app, create).repeated:
            give_money(app)
    return user


def give_money(app: App) -> None:
    """What whoever signs up gets, of each asset."""
    manager = app.manager
    assets = {asset for each in manager.instruments().values() for asset in (each.base, each.quote)}
    for asset in sorted(assets) if manager.config.web.play_money else ():
        done(app, FundsRequest(
            account=DEMO_USER, client_order_id=f"play-{asset}", action=FundsAction.DEPOSIT,
            asset=asset, amount=manager.config.web.play_money,
        ))  # fmt: skip


def demo_password(app: App) -> str:
    """Follows from the sandbox's master secret, so each start can tell it and no file has it."""
    return master_secret(app.directory).derived("sandbox", DEMO_USER).hex()[:12]


def demo_token(app: App, user: User) -> str:
    """An access token of the demo user; "" where an operator or a second factor is in the way."""
    from oms.gateways.gate import Denied

    gate = app.web.gate
    asked = gate.login(user, "127.0.0.1")
    if isinstance(asked, Denied):
        return ""
    opened = app.manager.submit(asked).result(ANSWER_S)
    return "" if opened.refused else str(gate.opened(opened).access)


def done(app: App, request: Request) -> OrderResponse:
    """The answer to a request that must not be refused."""
    response = app.manager.submit(request).result(ANSWER_S)
    if response.refused:
        raise GatewayError(f"the sandbox: {response.text}")
    return response
