"""An order manager whose threads are the test itself, and requests in few words.

Symbol X has prices and quantities in whole numbers, so that a test reads as it counts; symbol
ALL is the same, but its market orders trade whole or not at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_type_hints

from oms import (
    Config,
    EmbeddedVenue,
    Instrument,
    ManualClock,
    MemoryStore,
    OrderManagement,
    OrderRequest,
    Side,
)
from oms.config import ExchangeConfig, SessionConfig, ThrottleConfig, VenueConfig
from oms.enums import MarketOrderPolicy, ResponseType
from oms.errors import StoreError
from oms.reports import EXEC_TYPES, NUMBER_BITS, ORD_STATUSES, Report
from oms.requests import Request
from oms.requests.internal import VenueReport
from oms.responses import OrderResponse
from oms.stores import Claim, JournalRecord
from oms.turn.journal import Fold
from oms.venues.scripted import ScriptedVenue, Step

INSTRUMENTS = (
    Instrument(symbol="X", price_scale=0, quantity_scale=0),
    Instrument(
        symbol="ALL", price_scale=0, quantity_scale=0, market_order=MarketOrderPolicy.ALL_OR_NONE
    ),
)
SECOND = 1_000_000_000
SOON_S = 30.0  # nobody waits so long, unless something is broken


def config_of(**sections: Any) -> Config:
    """Always open, no throttle, the instruments above; and then `sections`."""
    plain = Config(
        session=SessionConfig(always_open=True),
        throttle=ThrottleConfig(policy="off"),
        exchange=ExchangeConfig(self_trade="none"),  # "me" trades with itself all the time
        instruments=INSTRUMENTS,
    )
    return replace(plain, **sections)


def throttled(sends_max: int = 1, **sections: Any) -> Config:
    """So many sends a second."""
    return config_of(throttle=ThrottleConfig(sends_max=sends_max), **sections)


# --- requests of the account "me" ---


def buy(client_id: str, quantity: Any, price: Any = None, **more: Any) -> OrderRequest:
    return _new(Side.BUY, client_id, quantity, price, **more)


def sell(client_id: str, quantity: Any, price: Any = None, **more: Any) -> OrderRequest:
    return _new(Side.SELL, client_id, quantity, price, **more)


def _new(
    side: Side, client_id: str, quantity: Any, price: Any, *,
    account: str = "me", symbol: str = "X", **more: Any,
) -> OrderRequest:  # fmt: skip
    return OrderRequest.new(account, client_id, symbol, side, quantity, price, **more)


def modify(client_id: str, orig: str, *, account: str = "me", **terms: Any) -> OrderRequest:
    return OrderRequest.modify(account, client_id, orig, **terms)


def cancel(client_id: str, orig: str, *, account: str = "me", **more: Any) -> OrderRequest:
    return OrderRequest.cancel(account, client_id, orig, **more)


# --- reports in few words ---


def brief(reports: list[OrderResponse]) -> list[str]:
    """ "A NEW/NEW" for each report: who, what happened, how the order stands since."""
    return [f"{r.client_order_id} {r.type}/{r.state}" for r in reports]


def brief_reports(reports: list[Report]) -> list[str]:
    return brief([OrderResponse(report) for report in reports])


class Stepped:
    """An OrderManagement without threads: each turn happens when the test says so."""

    def __init__(self, config: Config | None = None, **parts: Any) -> None:
        parts.setdefault("clock", ManualClock())
        parts.setdefault("store", MemoryStore())
        self.oms = OrderManagement(config or config_of(), **parts)
        self.clock, self.store, self.venue = parts["clock"], parts["store"], self.oms.venue
        self.dispatcher = self.oms.dispatcher
        self._told: list[OrderResponse] = []
        self.oms.add_listener(self._told.append)

    def start(self) -> "Stepped":
        """Recover; log on; take the turn that opens the market."""
        self.dispatcher.start()
        if hasattr(self.venue, "connect"):
            self.venue.connect(self.oms.on_data_response)
        self.keep()
        self.step()
        return self

    def keep(self) -> None:
        """One step of the session keeper, without its pause."""
        self.oms.keeper.wake()
        self.oms.keeper.step()

    def step(self) -> list[str]:
        """One turn of the dispatcher; what it told, in few words."""
        return brief(self.turn())

    def turn(self) -> list[OrderResponse]:
        """One turn of the dispatcher; what it told, and what was refused before it."""
        self.oms.inbox.wake()
        self.dispatcher.step()
        told, self._told[:] = list(self._told), []
        return told

    def hear(self) -> list[str]:
        """A scripted venue's answers arrive, and one turn takes them."""
        self.venue.deliver()
        return self.step()

    def send(self, *requests: Request) -> list[str]:
        """These requests in one turn; what it told."""
        for request in requests:
            self.oms.on_data(request)
        return self.step()

    def ask(self, request: Request) -> OrderResponse:
        """The answer to one request, given in one turn."""
        answer = self.oms.submit(request)
        self.step()
        return answer.result(0)

    def stop(self) -> None:
        self.oms.inbox.close()
        self.dispatcher.finish()

    @property
    def waiting(self) -> list[str]:
        """Client ids of what waits to be sent, in order."""
        return [request.client_order_id for request in self.dispatcher.desk.queue.waiting()]

    def digest(self) -> str:
        return self.dispatcher.fold.digest()

    def refolded(self) -> str:
        """The digest of what the store's journal gives, from its first entry on."""
        fold = Fold(type(self.venue)())
        for _ in fold.recover(self.store, use_snapshot=False):
            pass
        return fold.digest()


def remote(*script: Step, config: Config | None = None, **parts: Any) -> Stepped:
    """A started one with a scripted venue, which owes an answer within 5 s."""
    clock = parts.setdefault("clock", ManualClock())
    patient = config_of(venue=VenueConfig(answer_timeout_ns=5 * SECOND))
    venue = ScriptedVenue(clock=clock, script=script)
    return Stepped(config or patient, venue=venue, **parts).start()


class BreakingVenue(EmbeddedVenue):
    """A bug in our own exchange: `breaks` is asked before it takes an order, and before it logs
    on; the order's client id, or "logged_on". True: it raises."""

    def __init__(self, breaks: Callable[[str], bool]) -> None:
        self._breaks = breaks
        super().__init__()

    @property
    def engine(self) -> Any:
        return self._engine

    @engine.setter
    def engine(self, engine: Any) -> None:
        self._engine = engine
        if engine is not None:
            place = engine.place
            engine.place = lambda order, *more: (
                self._check(order.client_order_id) or place(order, *more)
            )

    def logged_on(self) -> Any:
        self._check("logged_on")
        return super().logged_on()

    def _check(self, what: str) -> None:
        if self._breaks(what):
            raise RuntimeError("a bug")


class FaultyStore(MemoryStore):
    """Raises what is put into `faults`, one a turn, at its `place`; refuses probes while `down`."""

    def __init__(self, place: str = "commit") -> None:
        super().__init__()
        self.place = place
        self.faults: list[StoreError] = []
        self.down: StoreError | None = None
        self.closed = False

    def _fail(self, place: str) -> None:
        if place == self.place and self.faults:
            raise self.faults.pop(0)

    def begin(self) -> None:
        super().begin()
        self._fail("begin")

    def claim(self, claims: Sequence[Claim]) -> bool:
        self._fail("claim")
        return super().claim(claims)

    def append(self, record: JournalRecord, reports: Sequence[Report]) -> None:
        self._fail("append")
        super().append(record, reports)

    def commit(self) -> None:
        self._fail("commit")
        super().commit()

    def probe(self) -> None:
        if self.down is not None:
            raise self.down

    def close(self) -> None:
        self.closed = True


def report_of(journal_seq: int, number: int, **fields: Any) -> Report:
    """A report made by hand; what is not said is 0 or ""."""
    plain: dict[str, Any] = {
        name: 0 if kind is int else "" for name, kind in get_type_hints(Report).items()
    }
    report_id = journal_seq << NUMBER_BITS | number
    code = EXEC_TYPES[fields["type"]] + ORD_STATUSES[fields["state"]]
    return Report(**{**plain, "report_id": report_id, "code": code, **fields})


def trade(order_id: int, quantity: int, price: int, execution_id: str = "") -> VenueReport:
    """A venue's report of one fill."""
    return VenueReport(
        ResponseType.TRADE, order_id, 0, price, quantity, "TAKER", execution_id=execution_id
    )


def hear(manager: Any, type_: ResponseType) -> OrderResponse:
    """The next report of a type; of a manager that the fixture start_manager started."""
    while True:
        report = manager.reports.get(timeout=SOON_S)
        if report.type is type_:
            return report
