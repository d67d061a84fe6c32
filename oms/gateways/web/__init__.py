"""The front door: REST and WebSocket on one listener; needs the extra `server`.

words reads what clients say, told writes what they are told; front, app and server carry a request
there and back; keeper says whose it is. The routes are trading, market, money, history, login,
operating, overseeing and watching; hub and sockets tell what happens. `open_web` puts all of it
together.
"""

from pathlib import Path

from oms.clock import NANOS
from oms.gateways.gate import Gate
from oms.gateways.master import master_secret
from oms.gateways.tokens import TokenKind
from oms.gateways.web import history, market, money, operating, overseeing, trading, watching
from oms.gateways.web.app import Front
from oms.gateways.web.door import Door
from oms.gateways.web.keeper import DoorKeeper
from oms.gateways.web.login import LoginRoutes
from oms.gateways.web.pages import Pages
from oms.gateways.web.server import Address, WebServer
from oms.manager import OrderManagement


def open_web(oms: OrderManagement, directory: Path) -> WebServer:
    """Listen as [web] says; the server is a Job. Raises GatewayError."""
    web = oms.config.web
    users = oms.access.users()
    master = master_secret(directory, needed=any(u.keys or u.factor.on for u in users))
    lives_s = {TokenKind.ACCESS: web.access_token_ns // NANOS}
    gate = Gate(oms, master, lives_s=lives_s, once=oms.once, counts=oms.counts)
    addresses = [Address.of(each) for each in web.listen.split(",")]
    keeper = DoorKeeper(oms, gate, web, [each.url_host for each in addresses])
    door = Door(oms, keeper, directory)
    entries = [
        *trading.entries(), *market.entries(), *money.entries(), *history.entries(),
        *operating.entries(), *overseeing.entries(), *watching.entries(),
        *LoginRoutes(door, keeper).entries(),
    ]  # fmt: skip
    front = Front(door, [*entries, *Pages(entries).entries()])
    server = WebServer(door, front, addresses, web)
    server.gate = gate
    server.open()
    return server
