"""A recorded simulation, done again trade for trade.

Flow:  simulate --record -> Recording -> file -> [again] -> an order manager -> comparison
The first line of the file says how the run was made, the last what came of it: its turns, each with
when it was, how many requests it took and how many it sent, and its trades. The order in which
clients are served depends on these alone, so whoever takes the same turns by the same clock gets
the same trades, however long the throttle held an order back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from oms.clock import NANOS, ManualClock
from oms.config import Config
from oms.desk.settings import fields_of, instrument_of
from oms.desk.throttle import OrderThrottler
from oms.manager import OrderManagement
from oms.reports import COMMAND_ANSWERS
from oms.requests import Request, codec, line_of
from oms.responses import OrderResponse
from oms.sections import ExchangeConfig, RiskConfig
from oms.stores import JournalRecord
from oms.version import VERSION

RECORDED, TURNS, TRADES, REPORTS = "recorded", "turns", "trades", "reports"
INTERNAL = "SPLGTUVIBEKD"  # kinds of lines that nobody asked for

Turn = tuple[int, int, int]
"""Wall clock in ns after the start, how many requests were sent, how many came in."""
Trade = list[str]
"""One side of a trade: client order id, symbol, price, quantity."""


class Happened:
    """What a run came to: a listener of its order manager. prefix: put before ids, not compared."""

    def __init__(self, prefix: str = "") -> None:
        self.trades: list[Trade] = []
        self.reports = 0
        self._prefix = prefix

    def __call__(self, told: OrderResponse) -> None:
        if told.report.type in COMMAND_ANSWERS:
            return
        self.reports += 1
        if told.last_quantity_lots:
            name = told.client_order_id.removeprefix(self._prefix)
            price, quantity = f"{told.last_price:f}", f"{told.last_quantity:f}"
            self.trades.append([name, told.symbol, price, quantity])

    def told(self) -> dict[str, Any]:
        return {TRADES: self.trades, REPORTS: self.reports}


def made_by(config: Config, **facts: object) -> dict[str, Any]:
    """The first line: how the run was made. facts: seed and the like, for a person; new: whether
    nothing had run in its data directory before."""
    return {
        RECORDED: {
            "version": VERSION,
            **facts,
            "throttle": asdict(config.throttle),
            "exchange": asdict(config.exchange),
            "risk": asdict(config.risk),
            "limits": config.limits,
            "instruments": [fields_of(each) for each in config.instruments],
        }
    }


def turns_of(records: Iterable[JournalRecord], after_seq: int, start_ns: int) -> Iterator[Turn]:
    """The turns of a run that did something; start_ns: the wall clock that they count from."""
    for record in records:
        if record.first_seq > after_seq:
            lines = codec.decode_all(record.body, record.first_seq)
            asked = sum(line[0] not in INTERNAL for line in lines)
            if asked or record.released:
                yield record.instant.clock_ns - start_ns, record.released, asked


class Recording(NamedTuple):
    """First and last line of a file."""

    made: Mapping[str, Any]
    turns: list[Turn]
    trades: list[Trade]
    reports: int

    def config(self, config: Config) -> Config:
        """The settings it was made with; those that change no trade stay as they are."""
        return replace(
            config,
            exchange=ExchangeConfig(**self.made["exchange"]),
            risk=RiskConfig(**self.made["risk"]),
            limits=self.made["limits"],
            instruments=tuple(instrument_of(each) for each in self.made["instruments"]),
            fees={},
        )

    def facts(self) -> dict[str, Any]:
        """What a person wants to know of how it was made."""
        throttle, exchange = self.made["throttle"], self.made["exchange"]
        numbers = {k: v for k, v in self.made.items() if type(v) in (int, str)}
        ledger = "yes" if exchange["ledger"] else "no"
        return {**numbers, "ledger": ledger, "throttle": throttle["policy"]}

    @classmethod
    def of(cls, first: Mapping[str, Any], last: Mapping[str, Any]) -> "Recording":
        """Raises LookupError, TypeError or ValueError if they are no such lines."""
        turns = [(int(at_ns), int(sent), int(asked)) for at_ns, sent, asked in last[TURNS]]
        found = cls(first[RECORDED], turns, last[TRADES], last[REPORTS])
        found.config(Config())
        return found


class RecordedPermits(OrderThrottler):
    """Lets as many go in a turn as went then."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        super().__init__(policy="off")
        self.policy, self.left = "recorded", 0
        self.allows = lambda now_ns: self.left > 0  # noqa: ARG005

    def free(self, _now_ns: int) -> int:
        return self.left

    def sent_many(self, count: int, _now_ns: int) -> None:
        self.left -= count


@dataclass(slots=True)
class Again:
    """Takes the recorded turns, one after the other, on this thread.

    start_ns: the wall clock that the turns count from, so long ago that the last is not ahead.
    """

    recording: Recording
    config: Config
    directory: Path
    start_ns: int
    outcome: Happened = field(default_factory=Happened, init=False)

    def run(self, requests_of: Callable[[str], Iterable[Request]], accept_loss: int | None) -> None:
        """requests_of: all recorded requests, with this before each client order id."""
        clock, permits = ManualClock(self.start_ns), RecordedPermits()
        manager = OrderManagement(
            self.config, clock=clock, directory=self.directory, accept_loss=accept_loss
        )
        manager.dispatcher.throttler = permits
        manager.start_by_hand()
        prefix = f"F{manager.dispatcher.fold.last_seq}-"
        self.outcome = Happened(prefix)
        manager.add_listener(self.outcome)
        try:
            left = iter(requests_of(prefix))
            for at_ns, sent, asked in self.recording.turns:
                clock.advance(max(0, self.start_ns + at_ns - clock.wall_ns()) / NANOS)
                permits.left = sent
                now_ns = clock.monotonic_ns()
                items = [(line_of(each), now_ns, None) for each in islice(left, asked)]
                manager.dispatcher.turn(items)  # type: ignore[arg-type]
        finally:
            manager.stop()

    @property
    def same(self) -> bool:
        """Trade for trade, and not one report more or less."""
        then = self.recording
        return (then.trades, then.reports) == (self.outcome.trades, self.outcome.reports)

    def lines(self) -> Iterator[str]:
        """Both runs, side by side."""
        then, now = self.recording, self.outcome
        yield f"{'':<10} {'recorded':>12} {'again':>12}"
        for name, one, other in (
            ("Reports", then.reports, now.reports),
            ("Trades", len(then.trades) // 2, len(now.trades) // 2),
        ):
            yield f"{name:<10} {one:>12,} {other:>12,}"
        if self.same:
            yield "Compared   the same, trade for trade"
            return
        for number, (was, now_is) in enumerate(zip_longest(then.trades, now.trades)):
            if was != now_is:
                yield f"Compared   trade {number // 2 + 1} was {_told(was)}, is {_told(now_is)}"
                break
        else:
            yield "Compared   the same trades, with other reports"
        if not then.made.get("new", True):
            yield "           It was recorded where something had run before: there was more money."


def _told(trade: Trade | None) -> str:
    if trade is None:
        return "none"
    name, symbol, price, quantity = trade
    return f"{quantity} {symbol} at {price} of {name}"
