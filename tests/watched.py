"""An exchange in this process, with its control socket, that `top` looks at."""

from contextlib import suppress
from pathlib import Path

from oms import Config, Instrument, OrderManagement
from oms.clock import ManualClock
from oms.enums import Phase
from oms.gateways.control import ControlGateway
from oms.requests import OperatorAction, OperatorRequest, Request
from oms.responses import OrderResponse
from oms.top.sources import ControlSource
from oms.top.watcher import Watcher
from oms.turn.threads import Worker
from tests.fakes import SOON_S, buy, config_of, sell

LOOK_NS = 200_000_000
SYMBOLS = ("BTC_USD", "ETH_USD", "TATA_INR")
INSTRUMENTS = tuple(
    Instrument(symbol=name, price_scale=2, quantity_scale=4, tick_size=5, lot_size=10)
    for name in SYMBOLS
)


class Exchange:
    """An order manager in `directory` with its control gateway, on threads. `stop` and `start` make
    another process of it, for all that a client can tell."""

    def __init__(self, directory: Path, config: Config | None = None) -> None:
        self.directory = directory
        self.config = config or config_of(instruments=INSTRUMENTS)
        self.died: list[tuple[str, BaseException]] = []
        self._count = 0
        self.start()

    def start(self) -> None:
        self.oms = OrderManagement(self.config, directory=self.directory)
        self.oms.start()
        self._gateway = ControlGateway(self.oms, self.directory)
        self._gateway.open()
        self._worker = Worker("oms-control", self._gateway, lambda *died: self.died.append(died))
        self._worker.start()

    def stop(self) -> None:
        """Safe to repeat."""
        with suppress(Exception):
            self.oms.stop()
        self._worker.stop(SOON_S)
        self._gateway.close()

    def done(self, request: Request) -> OrderResponse:
        """The answer to a request that must not be refused."""
        response = self.oms.submit(request).result(SOON_S)
        assert not response.refused, response.text
        return response

    def quote(self, symbol: str, *levels: tuple[str, str, str]) -> None:
        """Orders at rest, or that trade: side, quantity, price of each."""
        for side, quantity, price in levels:
            self._count += 1
            make = buy if side == "buy" else sell
            self.done(make(f"Q{self._count}", quantity, price, symbol=symbol))

    def force(self, symbol: str, phase: Phase) -> None:
        self._count += 1
        self.done(
            OperatorRequest(
                client_order_id=f"P{self._count}", action=OperatorAction.SET_PHASE,
                scope="SYMBOL", target=symbol, value=phase.value, why="drill",
            )
        )  # fmt: skip


class Looks:
    """A watcher whose thread is the test itself, and whose time stands still between its looks."""

    def __init__(self, directory: Path, symbol: str = "") -> None:
        self.clock = ManualClock()
        self.watcher = Watcher(lambda: ControlSource(directory), self.clock, LOOK_NS, symbol)
        self.watcher.begin()

    def look(self, seconds: float = 1.0) -> None:
        """Let time pass, and look."""
        self.clock.advance(seconds)
        self.watcher.step()

    def stop(self) -> None:
        self.watcher.finish()
