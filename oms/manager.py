"""OrderManagement: the one object a caller holds.

Flow:  caller -> [manager] -> inbox -> dispatcher -> store -> publisher -> caller
It builds the parts, starts and stops their threads in order, and answers questions from what
is published. It holds no order itself.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from oms import answers
from oms.clock import NANOS, Clock, SystemClock
from oms.config import Config
from oms.controls import FundsRequest, Request
from oms.desk.session import TradingSession
from oms.errors import StoppedError, ValidationError
from oms.flow import one_shot
from oms.flow.dispatcher import Dispatcher
from oms.flow.inbox import Answer, Inbox
from oms.flow.publisher import Listener, MarketListener, Publisher, Trade
from oms.flow.session_keeper import SessionKeeper
from oms.flow.threads import Job, Worker
from oms.language import Command
from oms.market_data import DepthSnapshot, Prices
from oms.messages import Phase, RejectReason, RequestType
from oms.orders import VenueReport
from oms.reports import OrderResponse, refusal
from oms.requests import OrderRequest
from oms.stores import Store
from oms.stores.sqlite import PersistentStorage
from oms.venues import Venue
from oms.venues.embedded import EmbeddedVenue

log = logging.getLogger(__name__)

FOLLOW_S_MAX = 5.0  # a turn takes milliseconds, unless the disk is stuck
STOP_S_MAX = 15.0  # of one thread; a stop takes less than 5 s unless the disk is stuck
CANCEL = RequestType.CANCEL


class OrderManagement:
    """Takes orders from any thread; every answer it gives is already on disk.

    config: see config.ini. clock, venue, store: what to use instead of the machine's clock,
    the embedded exchange and the SQLite file named in the configuration (relative to
    `directory`, by default the current one).

        with OrderManagement(load_config()) as oms:
            future = oms.submit(OrderRequest.new("me", "1", "BTC_USD", Side.BUY, "1", "100"))
            print(future.result(1))

    on_failure: called with a thread's name and its error when that thread died; by then
    requests are refused. The daemon then exits.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        clock: Clock | None = None,
        venue: Venue | None = None,
        store: Store | None = None,
        directory: Path | str = ".",
        on_failure: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        self.config = config or Config()
        self.clock: Clock = clock or SystemClock()
        self.venue: Venue = venue or EmbeddedVenue()
        self.store: Store = store or PersistentStorage(
            Path(directory) / self.config.store.database,
            durability=self.config.store.durability,
            busy_timeout_ns=self.config.store.busy_timeout_ns,
        )
        self.session = TradingSession(
            self.config.session.schedule,
            self.config.session.logon_lead_ns / NANOS,
            self.config.session.logout_grace_ns / NANOS,
        )
        self.inbox = Inbox(self.config.queue.inbox_max)
        self.publisher = Publisher(self.config.market_data.trades_kept)
        self.dispatcher = Dispatcher(
            self.config, self.clock, self.venue, self.store, self.inbox, self.session,
            self.publisher,
        )  # fmt: skip
        self.keeper = SessionKeeper(
            self.config.session, self.clock, self.venue, self.session, self.inbox
        )
        self.failure: tuple[str, BaseException] | None = None
        self._on_failure = on_failure
        self._running = False
        self._stopping = threading.Lock()
        self._threads = ExitStack()
        self._all_stopped = True

    # --- life ---

    def start(self) -> None:
        """Recover, then start the threads. Raises StoreError.

        The dispatcher starts last and so stops first: what it drains still has a link.
        """
        if self._running or self.inbox.closed:
            raise StoppedError("an OrderManagement is started once")
        self.dispatcher.start()
        self._running = True
        self._start("oms-session", self.keeper, 1.0)
        venue_job = getattr(self.venue, "job", None)
        if venue_job is not None:
            self.venue.connect(self.on_data_response)  # type: ignore[attr-defined]
            self._start("oms-venue", venue_job, 1.0)
        drain_s = self.config.stop.drain_max_ns / NANOS
        self._start("oms-dispatch", self.dispatcher, max(STOP_S_MAX, drain_s + 1.0))

    def _start(self, name: str, job: Job, stop_s: float) -> None:
        worker = Worker(name, job, self._thread_died)
        worker.start()
        self._threads.callback(self._stop, name, worker, stop_s)

    def _stop(self, name: str, worker: Worker, stop_s: float) -> None:
        if not worker.stop(stop_s):
            self._all_stopped = False
            log.error("thread %s did not stop within %g s", name, stop_s)

    def stop(self) -> None:
        """Refuse new requests, finish what was handed over, commit, close. Safe to repeat."""
        self.inbox.close()
        with self._stopping:
            self._threads.close()
            self._running = False
        if self.failure is not None:
            name, error = self.failure
            raise StoppedError(f"thread {name} died: {error!r}") from error
        if not self._all_stopped:
            raise StoppedError("a thread did not stop in time")

    def __enter__(self) -> "OrderManagement":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _thread_died(self, name: str, error: BaseException) -> None:
        """Never alive but not answering: take nothing more, and say so."""
        self.failure = self.failure or (name, error)
        self.inbox.close()
        log.critical("thread %s died: %r", name, error, exc_info=error)
        for _message, _received_ns, answer in self.inbox.take(self.inbox.size, 0):
            if answer is not None and answer.set_running_or_notify_cancel():
                answer.set_exception(StoppedError(f"thread {name} died; the outcome is unknown"))
        if self._on_failure is not None:
            self._on_failure(name, error)

    # --- requests ---

    def on_data(self, request: Request) -> None:
        """Take a request; its reports go to the listeners. Never waits, never raises a refusal."""
        received_ns = self.clock.monotonic_ns()
        if not self.inbox.put((request, received_ns, None), urgent=_is_urgent(request)):
            self._refuse(request, None)

    def submit(self, request: Request) -> "Future[OrderResponse]":
        """Take a request; the future resolves with the first durable response to it.

        It holds an exception (StoreError, StoppedError) only when the outcome is unknown.
        """
        answer: Answer = Future()
        received_ns = self.clock.monotonic_ns()
        if not self.inbox.put((request, received_ns, answer), urgent=_is_urgent(request)):
            self._refuse(request, answer)
        return answer

    def execute(self, command: Command, timeout_s: float | None = None) -> "Future[answers.Answer]":
        """Take a command of the language; the future resolves with its one answer.

        A refusal is an answer, too: an Error. Questions are answered before this returns, and
        wait for no write. An exception: the outcome is unknown, ask with GetOrder, or give the
        same command again. timeout_s: wait so long for the answer before returning (so no
        listener may ask for that).
        """
        answer = one_shot.execute(self, command)
        if timeout_s is not None:
            wait([answer], timeout_s)
        return answer

    def on_data_response(self, response: VenueReport) -> None:
        """What a remote venue calls, from any thread, with each report."""
        self.inbox.notice((response, self.clock.monotonic_ns(), None))

    def add_listener(self, callback: Listener) -> None:
        """Have every published response told to `callback`, on the dispatcher's thread.

        It must not wait: everybody else does until it returns. What it raises is logged.
        """
        self.publisher.add_listener(callback)

    def add_market_listener(self, callback: MarketListener) -> None:
        """Have the market's events told to `callback`, from the next turn on; see market_data.

        On the dispatcher's thread, after the private reports of the same turn; as above it must
        not wait, and what it raises is logged and counted.
        """
        self.publisher.add_market_listener(callback)
        self.dispatcher.feed.want_depth()

    def _refuse(self, request: Request, answer: Answer | None) -> None:
        full = self._running and not self.inbox.closed
        reason = RejectReason.QUEUE_FULL if full else RejectReason.SHUTTING_DOWN
        self.publisher.refuse(answer, refusal(request, reason, self.clock.wall_ns()))

    # --- questions; all answers come from what is published, none waits for a write ---

    def get_order(self, account: str, client_order_id: str) -> OrderResponse | None:
        """The latest durable report of an order, by any id it has had; None if there is none."""
        order = self.dispatcher.desk.blotter.find(account, client_order_id)
        row = self.publisher.open.get(order.order_id) if order is not None else None
        if row is None:
            rows = self.store.find_rows(account, client_order_id)
            row = rows[-1] if rows else None
        return None if row is None else self.publisher.response(row)

    def open_orders(self, account: str) -> list[OrderResponse]:
        """The latest durable report of each open order of an account, oldest first."""
        rows = sorted(self.publisher.open.copy().values(), key=lambda row: row[2])
        return [self.publisher.response(row) for row in rows if row[4] == account]

    def get_depth(
        self, symbol: str, levels: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Bids and asks, best first: (price in ticks, open lots); at most depth_levels."""
        self._check_symbol(symbol)
        bids, asks = self.publisher.depth(symbol)
        return bids[:levels], asks[:levels]

    def depth_snapshot(self, symbol: str) -> DepthSnapshot:
        """The whole book, and the id of the last depth update in it; empty at a remote venue.

        Books are followed from when somebody first asks, or listens to the market: that very
        first call waits for the next turn (so no listener may make it), the others for nothing.
        Raises StoppedError if there is no such turn.
        """
        self._check_symbol(symbol)
        wait_s = FOLLOW_S_MAX if self._running else 0.0
        return self.dispatcher.feed.depth_snapshot(symbol, wait_s)

    def balances(self, account: str) -> dict[str, tuple[int, int]]:
        """By asset: available and reserved, in units of the asset's own scale, of one instant.

        Empty for an account that is unknown or never had anything, and without a ledger.
        """
        return self.dispatcher.feed.balances(account)

    def market_states(self) -> dict[str, Phase]:
        """The phase of each instrument's market; empty where the venue is somebody else's."""
        return self.dispatcher.feed.phases()

    def best_bid(self, symbol: str) -> int | None:
        """The best bid in ticks; None if nobody bids."""
        bids, _ = self.get_depth(symbol, 1)
        return bids[0][0] if bids else None

    def best_ask(self, symbol: str) -> int | None:
        """The best ask in ticks; None if nobody offers."""
        _, asks = self.get_depth(symbol, 1)
        return asks[0][0] if asks else None

    def recent_trades(self, symbol: str) -> list[Trade]:
        """The last trades since the start, oldest first; at most trades_kept."""
        self._check_symbol(symbol)
        return self.publisher.trades(symbol)

    def get_prices(self, symbol: str) -> Prices:
        """Last, mid and volume-weighted average price."""
        bid, ask, trades = self.best_bid(symbol), self.best_ask(symbol), self.recent_trades(symbol)
        lots = sum(trade.quantity_lots for trade in trades)
        value = sum(trade.price_ticks * trade.quantity_lots for trade in trades)
        return Prices(
            symbol,
            trades[-1].price_ticks if trades else None,
            Fraction(bid + ask, 2) if bid is not None and ask is not None else None,
            Fraction(value, lots) if lots else None,
        )

    def _check_symbol(self, symbol: str) -> None:
        known = [instrument.symbol for instrument in self.config.instruments]
        if symbol not in known:
            raise ValidationError("symbol", symbol, "one of " + ", ".join(known))

    def get_status(self) -> dict[str, Any]:
        """How it goes: plain data, JSON as it stands. Durations are nanoseconds."""
        dispatcher, inbox = self.dispatcher, self.inbox
        now_ns = self.clock.monotonic_ns()
        desk = dispatcher.desk
        window = self.session.window_at(self.clock.wall_ns())
        return {
            "health": self._health(),
            "session": "open" if window else "closed",
            "trading_date": window.trading_date.isoformat() if window else None,
            "link": "up" if self.session.logged_on else "down",
            "logon_attempts": self.keeper.attempts,
            "inbox": inbox.size,
            "inbox_peak": inbox.peak,
            "waiting": desk.queue.size,
            "waiting_peak": desk.queue.peak,
            "in_flight": dispatcher.tracker.in_flight,
            "unknown": dispatcher.tracker.unknown,
            "open_orders": len(self.publisher.open),
            "journal_seq": dispatcher.fold.last_seq,
            "turns": dispatcher.turns,
            "published": self.publisher.published,
            "rejects": dict(self.publisher.rejects),
            "listener_failures": self.publisher.failures,
            "venue_anomalies": dispatcher.anomalies,
            "throttle": {
                "policy": self.config.throttle.policy,
                "sends_max": self.config.throttle.sends_max,
                "in_use": dispatcher.throttler.in_use(now_ns),
                "free": dispatcher.throttler.free(now_ns),
            },
            "store": "ok" if dispatcher.blocked is None else dispatcher.blocked.value,
            "store_lag": inbox.size,
            "latency_ns": dispatcher.tracker.latency(),
        }

    def _health(self) -> str:
        if self.failure is not None or not self._running:
            return "stopped" if self.failure is None else "failed"
        degraded = self.dispatcher.blocked is not None or self.keeper.gave_up
        return "degraded" if degraded else "ok"


def _is_urgent(request: Request) -> bool:
    """What takes risk off, and what operators ask, passes a full inbox."""
    if isinstance(request, OrderRequest):
        return request.type is CANCEL
    return not isinstance(request, FundsRequest)
