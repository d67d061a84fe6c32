"""OrderManagement: the one object a caller holds.

Flow:  caller -> [manager] -> inbox -> dispatcher -> store -> publisher -> caller
It builds the parts, starts and stops their threads in order, and answers questions from what
is published. It holds no order itself.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from oms.clock import NANOS, Clock, SystemClock
from oms.config import Config
from oms.desk.calendar import TradingSession
from oms.desk.desk import Desk
from oms.enums import Phase
from oms.errors import StoppedError, ValidationError
from oms.market_data import DepthSnapshot, Prices, TradePrint
from oms.reject_reasons import RejectReason
from oms.reports import COMMAND_ANSWERS, OF_CHANGES, OrderResponse, refused, standing_of
from oms.requests import REQUESTS, OrderRequest, Request
from oms.requests.internal import VenueReport, check_venue_report
from oms.stores import Store
from oms.stores.sqlite import PersistentStorage
from oms.turn.dispatcher import Dispatcher
from oms.turn.inbox import Inbox
from oms.turn.intake import Intake
from oms.turn.one_shot import DryRun, dry_run, place_pair
from oms.turn.publisher import Listener, MarketListener, Publisher
from oms.turn.session_keeper import SessionKeeper
from oms.turn.threads import Job, Worker
from oms.venues import EmbeddedVenue, Venue

log = logging.getLogger(__name__)

T = TypeVar("T")

FOLLOW_S_MAX = 5.0  # a turn takes milliseconds, unless the disk is stuck
BATCH_MAX = 100
STOP_S_MAX = 15.0  # of one thread; a stop takes less than 5 s unless the disk is stuck
URGENT = ("C", "X", "O")  # kinds that pass a full inbox: what takes risk off, what operators ask


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
        venue: Venue | EmbeddedVenue | None = None,
        store: Store | None = None,
        directory: Path | str = ".",
        on_failure: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        self.config = config or Config()
        self.clock: Clock = clock or SystemClock()
        self.venue: Venue | EmbeddedVenue = venue or EmbeddedVenue()
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
            self.venue.connect(self.on_data_response)  # type: ignore[union-attr]
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
        self._drop_questions()
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
        self._drop_questions()
        if self._on_failure is not None:
            self._on_failure(name, error)

    def _drop_questions(self) -> None:
        with suppress(IndexError):  # two threads may be at it
            while True:
                self.dispatcher.questions.popleft()(None)

    # --- requests ---

    def on_data(self, request: Request) -> None:
        """Take a request; its reports go to the listeners. Never waits, never raises a refusal.

        Raises ValidationError if it is no request at all.
        """
        if not isinstance(request, REQUESTS):
            raise ValidationError("request", request, "an OrderRequest or another request")
        line = request.line
        if not self.inbox.put((line, self.clock.monotonic_ns(), None), line[0] in URGENT):
            self._refuse(line, None)

    def submit(self, request: Request) -> "Future[OrderResponse]":
        """Take a request; the future resolves with the first durable response to it.

        The response tells what the request did at once (`trades`, `reports`, `standing`); a
        refusal is a response, too (`refused`, `reason`). The future holds an exception
        (StoreError, StoppedError) only when the outcome is unknown: submit the same request
        again, its id makes sure that nothing happens twice. Raises as `on_data`.
        """
        if not isinstance(request, REQUESTS):
            raise ValidationError("request", request, "an OrderRequest or another request")
        line, answer = request.line, Future[OrderResponse]()
        if not self.inbox.put((line, self.clock.monotonic_ns(), answer), line[0] in URGENT):
            self._refuse(line, answer)
        return answer

    def submit_all(self, requests: Sequence[Request]) -> "list[Future[OrderResponse]]":
        """Submit up to BATCH_MAX requests in this order; each is accepted or refused alone."""
        if len(requests) > BATCH_MAX:
            raise ValidationError("requests", len(requests), f"at most {BATCH_MAX} of them")
        for request in requests:
            if not isinstance(request, REQUESTS):
                raise ValidationError("requests", request, "requests alone")
        return [self.submit(request) for request in requests]

    def submit_pair(
        self, stop: OrderRequest, limit: OrderRequest, undo_id: str
    ) -> "Future[tuple[OrderResponse, OrderResponse | None]]":
        """Place an OCO pair: a stop and a limit order of which one cancels the other.

        limit: its terms name the stop (`oco_with`). undo_id: a client order id of the same
        account: should the limit order be refused while the stop stands, the stop is canceled
        under it. The future resolves with the responses to both; None for a limit order that
        was not placed because the stop was refused. It holds a ValidationError if undo_id had
        been used, so that the stop stands. Raises ValidationError, naming the field.
        """
        return place_pair(self, stop, limit, undo_id)

    def dry_run(self, request: Request) -> "Future[DryRun]":
        """What would become of a request now: why it would be refused, what it would reserve.

        Nothing is recorded, and nothing promised: the next request may change it. Raises as
        `on_data`; the future holds StoppedError if the order manager stops before it answers.
        """
        if not isinstance(request, REQUESTS):
            raise ValidationError("request", request, "an OrderRequest or another request")
        if not self._running or self.inbox.closed:
            stopped: Future[DryRun] = Future()
            stopped.set_exception(StoppedError("the order manager is not running"))
            return stopped
        line = request.line
        return self.between_turns(lambda desk, intake: dry_run(intake, desk, line))

    def between_turns(self, question: Callable[[Desk, Intake], T]) -> "Future[T]":
        """Have a question answered on the dispatcher's thread, between two turns: what it sees
        is on disk. It must only look. The future holds what it raised, or StoppedError. Once
        the order manager has stopped it is answered at once, on the caller's thread."""
        answer: Future[T] = Future()
        answer.set_running_or_notify_cancel()

        def ask(intake: Intake | None) -> None:
            if intake is None:
                answer.set_exception(StoppedError("stopped before it answered"))
                return
            try:
                answer.set_result(question(self.dispatcher.desk, intake))
            except Exception as error:
                answer.set_exception(error)

        if self._running:
            self.dispatcher.questions.append(ask)
            self.inbox.wake()
            if not self._running or self.failure is not None:  # it stopped meanwhile
                self._drop_questions()
        else:  # no turn is under way, nor will one be
            ask(self.dispatcher.intake)
        return answer

    def on_data_response(self, response: VenueReport) -> None:
        """What a remote venue calls, from any thread, with each report.

        Raises ValidationError, naming the field, if it is no VenueReport.
        """
        check_venue_report(response)
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

    def _refuse(self, line: tuple[Any, ...], answer: Future[OrderResponse] | None) -> None:
        full = self._running and not self.inbox.closed
        reason = RejectReason.QUEUE_FULL if full else RejectReason.SHUTTING_DOWN
        self.publisher.refuse(answer, refused(line, reason, self.clock.wall_ns()))

    # --- questions; all answers come from what is published, none waits for a write ---

    def get_order(self, account: str, named: str | int) -> OrderResponse | None:
        """How an order stands, by any client order id it has had, or by its order id; None if
        there is no such order. A response to no request: its client_order_id is the latest."""
        report = standing_of(self.store.find_reports(account, named))
        if report is None or report.type in COMMAND_ANSWERS:  # an id of a deposit, say
            return None
        return self.publisher.response(report)

    def open_orders(self, account: str) -> list[OrderResponse]:
        """How each open order of an account stands, oldest first."""
        found = [r for r in self.publisher.open.copy().values() if r.account == account]
        found.sort(key=lambda report: report.order_id)
        for place, report in enumerate(found):
            if report.type in OF_CHANGES:  # it bears the id of the change
                told = standing_of(self.store.find_reports(account, report.order_id))
                found[place] = told or report
        return [self.publisher.response(report) for report in found]

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

    def recent_trades(self, symbol: str) -> list[TradePrint]:
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
            "clock": {
                "jumps": dispatcher.times.jumps,
                "jump_ns": dispatcher.times.jump_ns,
                "behind_ns": dispatcher.times.behind_ns,
            },
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
