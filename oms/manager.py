"""OrderManagement: the one object a caller holds.

Flow:  caller -> [manager] -> inbox -> dispatcher -> store -> publisher -> caller
It builds the parts, starts and stops their threads in order, and answers questions from what
is published. It holds no order itself.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from datetime import tzinfo
from decimal import Decimal
from fractions import Fraction
from itertools import groupby, islice
from pathlib import Path
from threading import get_ident
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from oms.clock import NANOS, Clock, ManualClock, SystemClock, pause, utc_text
from oms.config import Config, StoreConfig
from oms.desk.calendar import TradingSession
from oms.desk.desk import Desk
from oms.desk.hours import zone_of
from oms.enums import Phase, Scope, Side, Trading
from oms.errors import DeadlockError, StoppedError, StoreError, ValidationError
from oms.instruments import Instrument
from oms.market_data import (
    Candle,
    DecimalLevel,
    DepthSnapshot,
    Level,
    Prices,
    TradeEvent,
    TradePrint,
    in_units,
    levels_of,
)
from oms.money import plain, to_decimal
from oms.positions import LATEST, Pnl, Position, Trade, pnl_of, position_of, report_id_of, trade_of
from oms.reject_reasons import RejectReason
from oms.reports import (
    COMMAND_ANSWERS,
    NUMBER_BITS,
    OF_CHANGES,
    TRADE,
    AccountSnapshot,
    OrderPage,
    OrderResponse,
    refused,
    standing_of,
)
from oms.requests import OrderRequest, Request, line_of
from oms.requests.codec import origin_of
from oms.requests.internal import VenueReport, check_venue_report
from oms.requests.operators import OPERATOR
from oms.requests.orders import SEQUENCE_MAX, Origin
from oms.stores import Store
from oms.stores.lock import DataLock
from oms.stores.sql_store import SqlStore
from oms.stores.sqlite import PersistentStorage
from oms.turn.actions import ActionPage, actions_of
from oms.turn.answer import Answer, Asker, answer_of
from oms.turn.details import OrderDetails, details_of
from oms.turn.dispatcher import Dispatcher
from oms.turn.fair import FairInbox
from oms.turn.history import Grid, Instant, candles_of, instant_ns, statistics_of
from oms.turn.inbox import Inbox
from oms.turn.intake import Intake
from oms.turn.latency import HOPS
from oms.turn.movements import MovementPage, movements_of
from oms.turn.one_shot import DryRun, dry_run, place_pair
from oms.turn.publisher import Listener, MarketListener, Publisher, TurnListener, fail, settle
from oms.turn.schedule import phase_starts
from oms.turn.session_keeper import SessionKeeper
from oms.turn.story import Explained, Story, Words, reports_named
from oms.turn.tape import told_of
from oms.turn.threads import Job, Worker
from oms.users import Arm
from oms.venues import EmbeddedVenue, Venue

log = logging.getLogger(__name__)

T = TypeVar("T")

FOLLOW_S_MAX = 5.0  # a turn takes milliseconds, unless the disk is stuck
BATCH_MAX = 100
MOVEMENTS_MAX = ORDERS_MAX = 1_000  # in one answer
TRADES_MAX = 1_000  # in one answer
ACTIONS_MAX = 200  # in one answer
DAYS_MAX, WINDOWS_MAX, DAY_NS = 366, 400, 86_400 * NANOS
DISPATCHER = "oms-dispatch"
REFUSALS_FREE = 8  # of one thread, so many at once cost it no pause
AGAIN_NS = 100_000_000  # a refusal within this time of the one before is one again
YIELD_S = 0.001
STOP_S_MAX = 15.0  # of one thread; a stop takes less than 5 s unless the disk is stuck
URGENT = ("C", "X", "O")  # kinds that pass a full inbox: what takes risk off, what operators ask


class Refusals(threading.local):
    """How often this thread was refused of late, and when last."""

    count = last_ns = 0


class OpenCount(NamedTuple):
    """How many orders are open, and of how many accounts and symbols."""

    orders: int
    accounts: int
    symbols: int


class StateDigest(NamedTuple):
    """Two exchanges of the same digest are in the same state. seq: of the journal, up to there."""

    seq: int
    digest: str


class Halts(NamedTuple):
    """Who may trade. everybody: of all. why: of a halt of all, as the operator said; "" for none.
    accounts, symbols: those of which an operator said something else than ACTIVE; a market that is
    halted has the phase HALTED, too."""

    everybody: Trading
    why: str
    accounts: dict[str, Trading]
    symbols: dict[str, Trading]


class AccountLimits(NamedTuple):
    """What an account may do at most. groups: those it is in. limits: limit -> text, as configured
    and as operators set it since; only what is limited."""

    groups: list[str]
    tier: str
    limits: dict[str, str]


class CalendarWindow(NamedTuple):
    """One stretch of trading. phases: when each begins, nanoseconds since 1970, in order."""

    trading_date: str
    open_ns: int
    close_ns: int
    note: str
    phases: list[tuple[Phase, int]]


def store_of(config: StoreConfig, directory: Path, *, accept_loss: int | None = None) -> Store:
    """The store that the settings name. Raises StoreError where a package is missing for it."""
    if config.kind == "sqlite":
        return PersistentStorage(
            directory / config.database,
            durability=config.durability,
            busy_timeout_ns=config.busy_timeout_ns,
            accept_loss=accept_loss,
            group=config.group,
        )
    if accept_loss is not None:
        raise ValidationError("accept_loss", accept_loss, "none, as [store] kind is postgres")
    store: Store = postgres()(config.dsn, durability=config.durability)
    return store


def reader_of(config: StoreConfig, directory: Path) -> SqlStore:
    """The same, to look at only."""
    if config.kind == "sqlite":
        return PersistentStorage(directory / config.database, read_only=True)
    reader: SqlStore = postgres()(config.dsn, read_only=True)
    return reader


def postgres() -> Any:
    """The class PostgresStorage: its module needs a package that not everybody has."""
    try:
        from oms.stores.postgres import PostgresStorage
    except ImportError as error:
        raise StoreError(
            f"[store] kind = postgres needs a package that is missing: {error.name or error}; "
            "pip install '.[postgres]' in the checkout has it"
        ) from error
    return PostgresStorage


class OrderManagement:
    """Takes orders from any thread; every answer it gives is already on disk.

    config: see config.ini. clock, venue, store: what to use instead of the machine's clock,
    the embedded exchange and the SQLite file named in the configuration (relative to
    `directory`, by default the current one).

        with OrderManagement(load_config()) as oms:
            future = oms.submit(OrderRequest.new("me", "1", "BTC_USD", Side.BUY, "1", "100"))
            print(future.result(1))

    accept_loss: start though journal entries after this sequence are missing; the error of a start
    without it names the sequence. Not for a store of one's own.

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
        accept_loss: int | None = None,
        on_failure: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        self.config = config or Config()
        self.clock: Clock = clock or SystemClock()
        self.venue: Venue | EmbeddedVenue = venue or EmbeddedVenue()
        self.store: Store = store or store_of(
            self.config.store, Path(directory), accept_loss=accept_loss
        )
        self.session = TradingSession(
            self.config.session.schedule,
            self.config.session.logon_lead_ns / NANOS,
            self.config.session.logout_grace_ns / NANOS,
        )
        self.inbox = (FairInbox if is_fair(self.config) else Inbox)(self.config.queue.inbox_max)
        self.publisher = Publisher(self.config.market_data.trades_kept)
        configured = {each.symbol: each for each in self.config.instruments}
        self.publisher.list_instruments(configured, configured)
        self.dispatcher = Dispatcher(
            self.config, self.clock, self.venue, self.store, self.inbox, self.session,
            self.publisher,
        )  # fmt: skip
        self.access = self.dispatcher.access  # users, as of the latest commit
        self.keeper = SessionKeeper(
            self.config.session, self.clock, self.venue, self.session, self.inbox
        )
        self.lock: DataLock | None = None  # of whoever holds it for us already
        self._own_lock: DataLock | None = None
        self.failure: tuple[str, BaseException] | None = None
        self._on_failure = on_failure
        self._refusals = Refusals()
        self._arms_told = False
        # Of several front doors: whether none has taken a name yet. Here there is one.
        self.once: Callable[[str, int], bool] | None = None
        # Groups of markets, by name, each with journal sequences of its own. Here there is one.
        self.groups: Mapping[str, OrderManagement] = {"": self}
        self._running = self._stopped = False
        self._stopping = threading.Lock()
        self._threads = ExitStack()
        self._all_stopped = True

    # --- life ---

    @property
    def should_stop(self) -> Callable[[], bool]:
        """Asked while the journal is folded: whether to give the start up."""
        return self.dispatcher.should_stop

    @should_stop.setter
    def should_stop(self, asked: Callable[[], bool]) -> None:
        self.dispatcher.should_stop = asked

    def start(self) -> None:
        """Recover, then start the threads. Raises StoreError; DataInUseError, naming the process,
        if the store's file is open for writing elsewhere, by whatever name.

        The dispatcher starts last and so stops first: what it drains still has a link.
        """
        with self._stopping:
            self._begin()
            self._start("oms-session", self.keeper, 1.0)
            venue_job = getattr(self.venue, "job", None)
            if venue_job is not None:
                self.venue.connect(self.on_data_response)  # type: ignore[union-attr]
                self._start("oms-venue", venue_job, 1.0)
            drain_s = self.config.stop.drain_max_ns / NANOS
            self._start(DISPATCHER, self.dispatcher, max(STOP_S_MAX, drain_s + 1.0))

    def start_by_hand(self) -> None:
        """The same without threads: the caller's own takes each turn, `dispatcher.turn(items)`.

        For who does again what was recorded, turn by turn; no future may be waited for.
        """
        with self._stopping:
            self._begin()
            self._threads.callback(self.keeper.finish)
            self._threads.callback(self.dispatcher.finish)
            self.keeper.step()
            self.dispatcher.step()  # the market opens, the link is up

    def _begin(self) -> None:
        if self._running or self._stopped:
            raise StoppedError("an OrderManagement is started once")
        self._start_locked()
        self._running = True

    def _start_locked(self) -> None:
        """One writer for each database: whoever has it open already is named."""
        path = getattr(self.store, "path", None)
        lock = self.lock or (DataLock(path) if path is not None else None)
        try:
            self.dispatcher.start()
            if lock is not None:
                lock.cover()  # there was no file perhaps
        except BaseException:
            if lock is not None and lock is not self.lock:
                lock.release()
            raise
        self._own_lock = lock if lock is not self.lock else None

    def _unlock(self) -> None:
        if self._own_lock is not None:
            self._own_lock.release()

    def _start(self, name: str, job: Job, stop_s: float) -> None:
        worker = Worker(name, job, self._thread_died)
        worker.start()
        self._threads.callback(self._stop, name, worker, stop_s)
        if isinstance(self.clock, ManualClock):
            wake = self.inbox.wake if job is self.dispatcher else job.wake
            self._threads.callback(self.clock.on_move(wake))

    def _stop(self, name: str, worker: Worker, stop_s: float) -> None:
        if not worker.stop(stop_s):
            self._all_stopped = False
            log.error("thread %s did not stop within %g s", name, stop_s)

    def stop(self) -> None:
        """Refuse new requests, finish what was handed over, commit, close. Safe to repeat.

        Raises StoppedError if a thread had died; DeadlockError in a listener.
        """
        self._check_may_wait("stop()")
        self.inbox.close()
        with self._stopping:
            self._threads.close()
            if self._all_stopped:  # else it may write still
                self._unlock()
            self._running, self._stopped = False, True
        self._drop_questions()
        self.publisher.end()
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
            if answer is not None:
                dead = StoppedError(f"thread {name} died; the outcome is unknown")
                fail(answer, dead)
        self._drop_questions()
        if name == DISPATCHER:
            self.publisher.fail_owed(StoppedError(f"thread {name} died; the outcome is unknown"))
            self.publisher.end()
            self.dispatcher.abandon()
            self._unlock()
        if self._on_failure is not None:
            self._on_failure(name, error)

    def _drop_questions(self) -> None:
        with suppress(IndexError):  # two threads may be at it
            while True:
                self.dispatcher.questions.popleft()(None)

    # --- requests ---

    def on_data(self, request: Request) -> None:
        """Take a request; its reports go to the listeners. Never raises a refusal, and never
        waits; a thread that is refused again and again yields for a millisecond each time.

        Raises ValidationError if it is no request at all, StoppedError before the start and
        after the stop. While the order manager stops, requests are refused (SHUTTING_DOWN).
        """
        try:
            line = request.line if type(request) is OrderRequest else line_of(request)
        except AttributeError:
            line = line_of(request)  # says what is wrong with it
        if not self.inbox.put((line, self.clock.monotonic_ns(), None), line[0] in URGENT):
            self._refuse(line, None)
            self._yield()

    def submit(self, request: Request) -> "Future[OrderResponse]":
        """Take a request; the future tells how the order stands once the venue has answered.

        Filled at once: FILLED, with its `trades`; all that the request did at once is in
        `reports`. A refusal is a response, too (`refused`, `reason`). An order that has to wait
        for the throttle or the open is answered PENDING_NEW, and `text` says what it waits for;
        one that was sent to a remote venue is answered when the venue answers, or UNKNOWN when
        it does not in time. All of it is durable. The future holds an exception
        (StoreError, StoppedError) only when the outcome is unknown: submit the same request
        again, its id makes sure that nothing happens twice. Raises as `on_data`. In a listener
        the future must not be waited for: result() raises DeadlockError there.
        """
        try:
            line = request.line if type(request) is OrderRequest else line_of(request)
        except AttributeError:
            line = line_of(request)  # says what is wrong with it
        answer: Answer[OrderResponse] = Answer()
        answer.turns = self.dispatcher
        if not self.inbox.put((line, self.clock.monotonic_ns(), answer), line[0] in URGENT):
            self._refuse(line, answer)
            self._yield()
        return answer

    def try_submit(self, request: Request) -> "Future[OrderResponse]":
        """As `submit`, for a gateway: it never yields, however often requests are refused. What
        slows its clients down is the gateway's own answer (429, 503)."""
        answer: Answer[OrderResponse] = Answer()
        answer.turns = self.dispatcher
        self.hand_over(request, answer)
        return answer

    def hand_over(self, request: Request, asker: Asker[OrderResponse]) -> None:
        """As `try_submit`, for a gateway that is told by something of its own, not by a future.

        Raises as `on_data`; ValidationError, too, if `asker` is none.
        """
        try:
            line = request.line if type(request) is OrderRequest else line_of(request)
        except AttributeError:
            line = line_of(request)  # says what is wrong with it
        if not isinstance(asker, Asker):
            raise ValidationError("asker", asker, "an Asker")
        if not self.inbox.put((line, self.clock.monotonic_ns(), asker), line[0] in URGENT):
            self._refuse(line, asker)

    def submit_all(self, requests: Sequence[Request]) -> "list[Future[OrderResponse]]":
        """Submit up to BATCH_MAX requests in this order; each is accepted or refused alone."""
        try:
            given = list(islice(requests, BATCH_MAX + 1))
        except Exception as error:
            raise ValidationError("requests", requests, f"a list of requests: {error!r}") from None
        if len(given) > BATCH_MAX:
            raise ValidationError("requests", requests, f"at most {BATCH_MAX} of them")
        try:
            for request in given:
                line_of(request)
        except ValidationError as error:
            raise ValidationError("requests", requests, f"requests alone: {error}") from None
        return [self.submit(request) for request in given]

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
        return place_pair(self, stop, limit, undo_id, answer_of(self.dispatcher))

    def dry_run(self, request: Request) -> "Future[DryRun]":
        """What would become of a request now: why it would be refused, what it would reserve.

        Nothing is recorded, and nothing promised: the next request may change it. Raises as
        `on_data`; the future holds StoppedError if the order manager stops before it answers.
        """
        line = line_of(request)
        if not self._running or self.inbox.closed:
            stopped: Future[DryRun] = answer_of(self.dispatcher)
            stopped.set_exception(StoppedError("the order manager is not running"))
            return stopped
        return self.between_turns(lambda desk, intake: dry_run(intake, desk, line))

    def between_turns(
        self, question: Callable[[Desk, Intake], T], *, behind: str | None = None
    ) -> "Future[T]":
        """Have a question answered on the dispatcher's thread, between two turns: what it sees
        is on disk. It must only look. The future holds what it raised, or StoppedError. Once
        the order manager has stopped it is answered at once, on the caller's thread.

        behind: only once all requests of this account are answered that were handed over before.
        """
        _check_callable("question", question)
        answer: Future[T] = answer_of(self.dispatcher)
        is_done = self.inbox.behind(behind) if behind is not None else None

        def ask(intake: Intake | None) -> None:
            if intake is not None and self._running and is_done is not None and not is_done():
                self.dispatcher.questions.append(ask)
                self.inbox.wake()
                return
            if intake is None:
                settle(answer, None, StoppedError("stopped before it answered"))
                return
            try:
                found = question(self.dispatcher.desk, intake)
            except BaseException as error:  # whatever it is, the dispatcher goes on
                settle(answer, None, error)
            else:
                settle(answer, found)

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

        Raises ValidationError, naming the field, if it is no VenueReport; StoppedError before
        the start and after the stop.
        """
        check_venue_report(response)
        self._check_running()
        self.inbox.notice((response, self.clock.monotonic_ns(), None))

    def add_listener(self, callback: Listener) -> None:
        """Have every published response told to `callback`, on the dispatcher's thread.

        It must not wait: everybody else does until it returns. What it raises is logged.
        """
        _check_callable("callback", callback)
        self.publisher.add_listener(callback)

    def add_market_listener(self, callback: MarketListener) -> None:
        """Have the market's events told to `callback`, from the next turn on; see market_data.

        On the dispatcher's thread, after the private reports of the same turn; as above it must
        not wait, and what it raises is logged and counted.
        """
        _check_callable("callback", callback)
        self.publisher.add_market_listener(callback)
        self.dispatcher.feed.want_depth()

    def add_turn_listener(self, callback: TurnListener) -> None:
        """Have each turn told to `callback` as a whole, from the next one on, also one without a
        report: behind all that the other listeners were told of it, on the dispatcher's thread. As
        above it must not wait, and what it raises is logged and counted."""
        _check_callable("callback", callback)
        self.publisher.add_turn_listener(callback)
        self.dispatcher.feed.want_depth()

    def remove_listener(self, callback: Listener | MarketListener | TurnListener) -> None:
        """Tell this callback nothing more; it may still hear what is being told now."""
        _check_callable("callback", callback)
        self.publisher.remove_listener(callback)

    def _refuse(self, line: tuple[Any, ...], answer: Asker[OrderResponse] | None) -> None:
        self._check_running()
        closed = self.inbox.closed
        reason = RejectReason.SHUTTING_DOWN if closed else RejectReason.QUEUE_FULL
        self.publisher.refuse(answer, refused(line, reason, self.clock.wall_ns()))

    def _yield(self) -> None:
        """Slow down a thread that is refused again and again: else it and its like keep the
        dispatcher from the interpreter, and nothing gets better. Never the dispatcher's own."""
        refusals, now_ns = self._refusals, self.clock.monotonic_ns()
        if now_ns - refusals.last_ns > AGAIN_NS:
            refusals.count = 0
        refusals.count += 1
        refusals.last_ns = now_ns
        if refusals.count > REFUSALS_FREE and self.dispatcher.thread_id != get_ident():
            pause(YIELD_S)

    def _check_running(self) -> None:
        """While it stops it still is: what comes then is refused, not raised."""
        if self._stopped or not self.dispatcher.started:
            raise StoppedError(
                "the order manager has stopped" if self._stopped else "start() comes before"
            )

    def _check_may_wait(self, what: str) -> None:
        if self.dispatcher.thread_id == get_ident():
            raise DeadlockError(f"{what} in a listener waits for the listener's own thread")

    # --- questions; all answers come from what is published, none waits for a write ---

    def get_order(self, account: str, named: str | int) -> OrderResponse | None:
        """How an order stands, by any client order id it has had, or by its order id; None if
        there is no such order. A response to no request: its client_order_id is the latest."""
        _check_text("account", account)
        if type(named) is not int:
            named = plain(named)  # type: ignore[assignment]
        if type(named) is not int:
            _check_text("named", named)
        if not f"{account}{named}".isascii():  # no id is like that, and no store may look for it
            return None
        report = standing_of(self.store.find_reports(account, named))
        if report is None or report.type in COMMAND_ANSWERS:  # an id of a deposit, say
            return None
        return self.publisher.response(report)

    def order_details(self, order_ids: Sequence[int]) -> dict[int, OrderDetails]:
        """What orders are for, by order id: type, price, quantity and terms as asked and changed
        since; left out where there is no such order. From the store, some 50 us each. Raises
        ValidationError."""
        order_ids = _checked_ids(order_ids)
        known = self.publisher.instruments
        found = self.store.find_asked([each for each in order_ids if 0 < each <= SEQUENCE_MAX])
        return {each.claim[0]: details_of(each, known) for each in found}

    def details_for(self, responses: Sequence[OrderResponse]) -> list[OrderDetails | None]:
        """The same for the order of each of these, in their order; None where it has no details.
        One look into the store for all of them. Raises ValidationError."""
        if type(responses) not in (list, tuple) or any(
            type(each) is not OrderResponse for each in responses
        ):
            raise ValidationError("responses", responses, "a list of responses")
        found = self.order_details(list({each.order_id: None for each in responses}))
        return [found.get(each.order_id) for each in responses]

    def details_heard(self, response: OrderResponse) -> OrderDetails | None:
        """The same for one order that a listener was told of, as it is by then. Raises
        ValidationError."""
        if type(response) is not OrderResponse:
            raise ValidationError("response", response, "a response")
        return self.order_details([response.order_id]).get(response.order_id)

    def orders(
        self, account: str, *, symbol: str = "", side: Side | None = None, before: int = 0,
        limit: int = ORDERS_MAX,
    ) -> OrderPage:  # fmt: skip
        """How an account's orders stand, the newest first: open ones, ended ones, refused ones.

        before: the `before` of the page before; 0: from the newest on. A page has `limit` orders
        at most; fewer do not mean that there are no more, `before` = 0 does. From the store.
        Raises ValidationError, naming the field.
        """
        _check_text("account", account)
        _check_text("symbol", symbol)
        limit = plain(limit)  # type: ignore[assignment]
        if type(limit) is not int or not 1 <= limit <= ORDERS_MAX:
            raise ValidationError("limit", limit, f"1 to {ORDERS_MAX}")
        if type(before) is not int or not 0 <= before <= SEQUENCE_MAX:
            raise ValidationError("before", before, f"0 to {SEQUENCE_MAX}")
        if not f"{account}{symbol}".isascii():
            return OrderPage([], 0)
        ids, following = self.store.find_orders(
            account, symbol, side.value if side is not None else "", before or SEQUENCE_MAX, limit
        )
        standing = [standing_of(self.store.find_reports(account, order_id)) for order_id in ids]
        return OrderPage(
            [self.publisher.response(each) for each in standing if each is not None], following
        )

    def fills(self, account: str, order_id: int, *, limit: int = ORDERS_MAX) -> list[OrderResponse]:
        """The latest fills of an order, oldest first, as they were told; at most `limit`. Raises
        ValidationError."""
        _check_text("account", account)
        _checked_ids([order_id])
        found = [each for each in self.store.find_reports(account, order_id) if each.type == TRADE]
        return [self.publisher.response(each) for each in found[-limit:]]

    def symbol_limits(self) -> "Future[dict[str, dict[str, str]]]":
        """What an order of each symbol may be: limit -> text, as configured and as operators set
        it since; only what is limited."""
        return self.between_turns(
            lambda desk, _intake: {
                symbol: desk.risk.texts(Scope.SYMBOL, symbol) for symbol in desk.instruments
            }
        )

    def account_limits(self, account: str) -> "Future[AccountLimits]":
        """Raises ValidationError."""
        _check_text("account", account)
        return self.between_turns(
            lambda desk, _intake: AccountLimits(
                desk.risk.groups_of(account), desk.ledger.tiers.get(account, ""),
                desk.risk.texts(Scope.ACCOUNT, account),
            )
        )  # fmt: skip

    def halts(self) -> "Future[Halts]":
        """Who may trade, as operators said it."""
        return self.between_turns(
            lambda desk, _intake: Halts(
                desk.risk.everybody, desk.risk.killed, dict(desk.risk.accounts),
                dict(desk.risk.symbols),
            )
        )  # fmt: skip

    def digest(self) -> "Future[StateDigest]":
        """The fingerprint of the state, as the command `digest` prints it. No request is answered
        while it is made: that is some 20 us an open order."""
        return self.between_turns(
            lambda *_: StateDigest(self.dispatcher.fold.last_seq, self.dispatcher.fold.digest())
        )

    def calendar(self, from_ns: int, days: int = 7) -> list[CalendarWindow]:
        """Windows of trading that end after an instant and begin within so many days of it, with
        what each market does in them but for halts. Raises ValidationError."""
        for name, value, most in (("from_ns", from_ns, SEQUENCE_MAX), ("days", days, DAYS_MAX)):
            if type(value) is not int or not 0 <= value <= most:
                raise ValidationError(name, value, f"0 to {most}")
        until_ns, found = from_ns + days * DAY_NS, list[CalendarWindow]()
        for window in self.session.schedule.windows(from_ns):
            if window.open_ns >= until_ns or len(found) == WINDOWS_MAX:
                break
            found.append(CalendarWindow(
                window.trading_date.isoformat(), window.open_ns, window.close_ns, window.note,
                phase_starts(self.dispatcher.desk.settings, window),
            ))  # fmt: skip
        return found

    def count_open(self, account: str = "", symbol: str = "") -> OpenCount:
        """Of an account and a symbol; "": of all. Raises ValidationError."""
        _check_text("account", account)
        _check_text("symbol", symbol)
        found = [
            report for report in self.publisher.open.copy().values()
            if account in ("", report.account) and symbol in ("", report.symbol)
        ]  # fmt: skip
        accounts, symbols = {r.account for r in found}, {r.symbol for r in found}
        return OpenCount(len(found), len(accounts), len(symbols))

    def actions(self, *, before: int = 0, limit: int = ACTIONS_MAX) -> ActionPage:
        """What was asked in the name of the account "operator", the newest first: commands, mass
        cancels of all accounts, busts, changes of markets and users; refused ones, too.

        before: the `before` of the page before; 0: from the newest on. From the store, on the
        caller's thread, some 0.2 ms each. Raises ValidationError.
        """
        if type(limit) is not int or not 1 <= limit <= ACTIONS_MAX:
            raise ValidationError("limit", limit, f"1 to {ACTIONS_MAX}")
        if type(before) is not int or not 0 <= before <= SEQUENCE_MAX:
            raise ValidationError("before", before, f"0 to {SEQUENCE_MAX}")
        seqs = self.store.find_commands(OPERATOR, before or SEQUENCE_MAX, limit)
        with self.store.at_one_instant() as store:
            found = list(actions_of(store, seqs))
        return ActionPage(found, seqs[-1] if len(seqs) == limit else 0)

    def explain(self, named: str, account: str = "") -> Explained | None:
        """The story of one order or command, from what is on disk; None if there is none.

        named: a client order id that the account has used; or "order 8", by order id; or the
        execution id of a report or trade, "9-2". Raises ValidationError.
        """
        _check_text("named", named)
        _check_text("account", account)
        if not f"{account}{named}".isascii():
            return None
        with self.store.at_one_instant() as store:
            reports = reports_named(store, named, account or None)
            words = Words(self.publisher.instruments, self.dispatcher.feed.scales())
            return Story(store, reports, words).told() if reports else None

    def find_order(self, account: str, named: str | int) -> "Future[OrderResponse | None]":
        """The same, asked behind every request of the account that was handed over before: what is
        answered None was not among them. Raises as `get_order`."""
        self.get_order(account, named)  # what cannot be a name is said at once
        return self.between_turns(
            lambda _desk, _intake: self.get_order(account, named), behind=account
        )

    def journal_seq(self, symbol: str = "") -> "Future[int]":  # noqa: ARG002 - one journal has all
        """The sequence of the latest turn that is on disk, as the dispatcher says: it is alive.
        symbol: in the journal that has this market; here one has all of them."""
        return self.between_turns(lambda desk, _intake: desk.reports.turn_seq)

    def account_snapshot(self, account: str) -> "Future[AccountSnapshot]":
        """Open orders and balances of one instant, and its sequence: what is told from then on
        comes behind it. Raises ValidationError."""
        _check_text("account", account)
        return self.between_turns(
            lambda desk, _intake: AccountSnapshot(
                desk.reports.turn_seq, self.open_orders(account), self.balances(account)
            )
        )

    def origins(self, order_ids: Sequence[int]) -> dict[int, Origin]:
        """How each of these orders came; from the journal, on the caller's thread, some 0.1 ms
        each. Raises JournalError if one was never placed, ValidationError."""
        lines = self.store.find_lines(_checked_ids(order_ids))
        return {each: origin_of(line) for each, line in zip(order_ids, lines, strict=True)}

    def placed_ns(self, order_ids: Sequence[int]) -> dict[int, int]:
        """When the turn that took each of these orders was committed; from the journal, on the
        caller's thread. One that was never placed is left out. Raises ValidationError."""
        found = {each: self.store.record_of(each) for each in _checked_ids(order_ids)}
        return {each: record.wall_ns for each, record in found.items() if record is not None}

    def reports_after(self, account: str, seq: int, upto_seq: int) -> list[OrderResponse] | None:
        """Every report of an account that the turns behind `seq` and up to `upto_seq` made, in
        order; None if that lies too far back: see Store.find_after. From the store, on the
        caller's thread. Raises ValidationError."""
        _check_text("account", account)
        after, before = _behind("seq", seq), _behind("upto_seq", upto_seq)
        found = self.store.find_after(after, before, account=account) if account else []
        return None if found is None else [self.publisher.response(each) for each in found]

    def trades_after(self, symbol: str, seq: int, upto_seq: int) -> list[TradeEvent] | None:
        """What the same turns traded, busted and corrected of a symbol, as it was told then; None
        and errors as above."""
        instrument = self._traded(symbol)
        after, before = _behind("seq", seq), _behind("upto_seq", upto_seq)
        found = self.store.find_after(after, before, symbol=symbol)
        if found is None:
            return None
        turns = groupby(found, lambda report: report.journal_seq)
        return [in_units(each, instrument) for _, turn in turns for each in told_of(turn)]

    def open_orders(self, account: str) -> list[OrderResponse]:
        """How each open order of an account stands, oldest first."""
        _check_text("account", account)
        found = [r for r in self.publisher.open.copy().values() if r.account == account]
        found.sort(key=lambda report: report.order_id)
        for place, report in enumerate(found):
            if report.type in OF_CHANGES:  # it bears the id of the change
                told = standing_of(self.store.find_reports(account, report.order_id))
                found[place] = told or report
        return [self.publisher.response(report) for report in found]

    def get_depth(self, symbol: str, levels: int) -> tuple[list[DecimalLevel], list[DecimalLevel]]:
        """Bids and asks, best first: (price, open quantity); at most depth_levels."""
        bids, asks = self.get_depth_ticks(symbol, levels)
        instrument = self.publisher.instruments[symbol]
        scales = instrument.price_scale, instrument.quantity_scale
        return levels_of(bids, *scales), levels_of(asks, *scales)

    def get_depth_ticks(self, symbol: str, levels: int) -> tuple[list[Level], list[Level]]:
        """The same as whole numbers: (price in ticks, open lots)."""
        self._check_symbol(symbol)
        levels = plain(levels)  # type: ignore[assignment]
        if type(levels) is not int or levels < 0:
            raise ValidationError("levels", levels, "a whole number, 0 or more")
        bids, asks = self.publisher.depth(symbol)
        return bids[:levels], asks[:levels]

    def depth_snapshot(self, symbol: str) -> DepthSnapshot:
        """The whole book, and the id of the last depth update in it; empty at a remote venue.

        Books are followed from when somebody first asks, or listens to the market: that very
        first call waits for the next turn (so no listener may make it), the others for nothing.
        Raises StoppedError if there is no such turn, DeadlockError if a listener is first.
        """
        self._check_symbol(symbol)
        if not self.dispatcher.feed.follows:
            self._check_may_wait("the first depth_snapshot()")
        wait_s = FOLLOW_S_MAX if self._running else 0.0
        return self.dispatcher.feed.depth_snapshot(symbol, wait_s)

    def balances(self, account: str) -> dict[str, tuple[Decimal, Decimal]]:
        """By asset: available and reserved, of one instant.

        Empty for an account that is unknown or never had anything, and without a ledger.
        """
        return {
            asset: (to_decimal(available, scale), to_decimal(reserved, scale))
            for asset, (available, reserved) in self.balances_units(account).items()
            for scale in (self.dispatcher.feed.scale_of(asset),)
        }

    def balances_units(self, account: str) -> dict[str, tuple[int, int]]:
        """The same in whole units of 10**-scale, the asset's own scale."""
        _check_text("account", account)
        return self.dispatcher.feed.balances(account)

    def positions(self, account: str) -> list[Position]:
        """What an account holds of each symbol it ever traded, in the instrument's units: average
        cost, realized and unrealized profit, fees; as of the last commit. See oms/positions.py."""
        _check_text("account", account)
        if not account.isascii():
            return []
        return [position_of(each) for each in self.store.find_holdings(account)]

    def ledger(self, account: str, *, before: int = 0, limit: int = MOVEMENTS_MAX) -> MovementPage:
        """What moved an account's money, newest first: amounts of trades, fees, busts, corrections
        and funds; of `limit` reports at most, each of which may have three.

        before: the `before` of the page before; 0: from the newest on. A page may have nothing, and
        yet a `before`. From stored reports and funds entries, without a fold. Orders that traded
        by rules number 1 are reckoned as if by later ones. Raises ValidationError.
        """
        _check_text("account", account)
        if type(limit) is not int or not 1 <= limit <= MOVEMENTS_MAX:
            raise ValidationError("limit", limit, f"1 to {MOVEMENTS_MAX}")
        if type(before) is not int or not 0 <= before <= SEQUENCE_MAX:
            raise ValidationError("before", before, f"0 to {SEQUENCE_MAX}")
        if not account.isascii():
            return MovementPage([], 0)
        found, following = self.store.find_moved(account, before or SEQUENCE_MAX, limit)
        known, scales = self.publisher.instruments, self.dispatcher.feed.scales()
        return MovementPage(list(movements_of(account, found, known, scales)), following)

    def pnl(self, account: str) -> dict[str, Pnl]:
        """What an account has made, by quote asset: the sums over its positions."""
        return pnl_of(self.positions(account))

    def trades(
        self, account: str = "", symbol: str = "", *, before: str = "", limit: int = TRADES_MAX
    ) -> list[Trade]:
        """The latest trades of an account and of a symbol, if named, oldest first; at most `limit`.

        From the store, and so all that there ever were. As they stand: busted ones are marked, and
        have no quantity, corrected ones have their new price and quantity. before: the execution
        id of a trade; those before it.
        """
        _check_text("account", account)
        _check_text("symbol", symbol)
        limit = plain(limit)  # type: ignore[assignment]
        if type(limit) is not int or not 1 <= limit <= TRADES_MAX:
            raise ValidationError("limit", limit, f"1 to {TRADES_MAX}")
        report_id = report_id_of("before", before) if before else LATEST
        if not f"{account}{symbol}".isascii():
            return []
        found = self.store.find_trades(account, symbol, report_id, limit)
        if symbol and not found and symbol not in self.publisher.instruments:
            self._check_symbol(symbol)  # it was never traded, so it is a mistake
        return [trade_of(row) for row in reversed(found)]

    def instruments(self, *, delisted: bool = False) -> dict[str, Instrument]:
        """What is traded: as configured, and as operators changed it. delisted: also what is traded
        no more."""
        return dict(self.publisher.instruments if delisted else self.publisher.listed)

    def market_states(self) -> dict[str, Phase]:
        """The phase of each instrument's market; empty where the venue is somebody else's."""
        return self.dispatcher.feed.phases()

    def best_bid(self, symbol: str) -> Decimal | None:
        """The best bid; None if nobody bids."""
        bids, _ = self.get_depth(symbol, 1)
        return bids[0][0] if bids else None

    def best_ask(self, symbol: str) -> Decimal | None:
        """The best ask; None if nobody offers."""
        _, asks = self.get_depth(symbol, 1)
        return asks[0][0] if asks else None

    def best_bid_ticks(self, symbol: str) -> int | None:
        bids, _ = self.get_depth_ticks(symbol, 1)
        return bids[0][0] if bids else None

    def best_ask_ticks(self, symbol: str) -> int | None:
        _, asks = self.get_depth_ticks(symbol, 1)
        return asks[0][0] if asks else None

    def recent_trades(self, symbol: str, limit: int | None = None) -> list[TradePrint]:
        """The last trades, oldest first; at most `limit`, 1 or more, if given, and trades_kept. As
        they stand: without busted ones, corrected ones as they were corrected."""
        self._check_symbol(symbol)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ValidationError("limit", limit, "a whole number, 1 or more")
        return self.publisher.trades(symbol, limit)

    def get_prices(self, symbol: str) -> Prices:
        """Last, mid and volume-weighted average price."""
        bid, ask = self.best_bid_ticks(symbol), self.best_ask_ticks(symbol)
        trades = self.recent_trades(symbol)
        lots = sum(trade.quantity_lots for trade in trades)
        value = sum(trade.price_ticks * trade.quantity_lots for trade in trades)
        return Prices(
            symbol,
            trades[-1].price_ticks if trades else None,
            Fraction(bid + ask, 2) if bid is not None and ask is not None else None,
            Fraction(value, lots) if lots else None,
            self.publisher.instruments[symbol].price_scale,
        )

    def candles(
        self, symbol: str, width: str, start: Instant, end: Instant | None = None,
        upto_seq: int | None = None,
    ) -> list[Candle]:  # fmt: skip
        """What was traded in [start, end), as whole candles, oldest first; spans without a trade
        have none.

        width: whole seconds, minutes or hours, or a day: "1s" to "1d". start, end: nanoseconds
        since 1970, or a datetime with a zone; by default until now. upto_seq: without what later
        turns traded, for whoever adds that from events. From the store, on the caller's thread: a
        day of 100,000 trades takes about a third of a second.
        """
        instrument, grid = self._traded(symbol), Grid(width, self._zone)
        start_ns, end_ns = instant_ns("start", start), self._until(end)
        return candles_of(self.store, instrument, grid, start_ns, end_ns, upto_seq)

    def statistics(self, symbol: str, end: Instant | None = None) -> Candle:
        """Open, high, low, last, change, volume, quote volume, VWAP and number of trades of the
        24 hours before `end` (by default now): one candle, also of the past."""
        instrument = self._traded(symbol)
        return statistics_of(self.store, instrument, self._until(end))

    def _until(self, end: Instant | None) -> int:
        """By default now; what is traded at this very instant counts, too."""
        return self.clock.wall_ns() + 1 if end is None else instant_ns("end", end)

    @property
    def _zone(self) -> tzinfo:
        return zone_of(self.config.session.schedule.zone)

    def _traded(self, symbol: str) -> Instrument:
        """What is traded, or was: a delisted symbol has a past."""
        known = self.publisher.instruments
        if type(symbol) is not str or symbol not in known:
            raise ValidationError("symbol", symbol, "one of " + ", ".join(known))
        return known[symbol]

    def _check_symbol(self, symbol: str) -> None:
        known = self.publisher.listed
        if type(symbol) is not str or symbol not in known:
            raise ValidationError("symbol", symbol, "one of " + ", ".join(known))

    def lost_arms(self) -> list[tuple[str, Arm]]:
        """Users' arms whose sockets are lost with their process: told once, as those of an earlier
        process."""
        told, self._arms_told = self._arms_told, True
        if told:
            return []
        return [(user.name, arm) for user in self.access.users() for arm in user.arms]

    def latency_rows(self, hop: str) -> list[tuple[int, int, int]]:
        """How often a hop took how long since the start: from ns, to ns, how many. Raises
        ValidationError."""
        _check_text("hop", hop)
        if hop not in HOPS:
            raise ValidationError("hop", hop, "one of " + ", ".join(HOPS))
        return self.dispatcher.tracker.histogram(hop).rows()

    def get_status(self) -> dict[str, Any]:
        """How it goes: plain data, JSON as it stands. Durations are nanoseconds."""
        dispatcher, inbox = self.dispatcher, self.inbox
        now_ns = self.clock.monotonic_ns()
        desk, limited = dispatcher.desk, self.config.throttle.policy != "off"
        wall_ns = self.clock.wall_ns()
        window, open_ns = self.session.window_at(wall_ns), self.session.next_open_ns(wall_ns)
        close_ns = self.session.next_close_ns(wall_ns)
        return {
            "health": self._health(),
            "session": "open" if window else "closed",
            "trading_date": window.trading_date.isoformat() if window else None,
            "opens": utc_text(open_ns) if open_ns is not None else None,
            "closes": utc_text(close_ns) if close_ns is not None else None,
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
                "jump_ns": dispatcher.times.jump_ns if dispatcher.times.jumps else None,
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
                "in_use": dispatcher.throttler.in_use(now_ns) if limited else None,
                "free": dispatcher.throttler.free(now_ns) if limited else None,
            },
            "store": "ok" if dispatcher.blocked is None else dispatcher.blocked.value,
            "store_lag": inbox.size,
            "store_log_bytes": dispatcher.log_bytes,
            "latency_ns": dispatcher.tracker.latency(),
        }

    def _health(self) -> str:
        if self.failure is not None or not self._running:
            return "stopped" if self.failure is None else "failed"
        degraded = self.dispatcher.blocked is not None or self.keeper.gave_up
        return "degraded" if degraded else "ok"


def is_fair(config: Config) -> bool:
    """Do clients take turns? By default where the front door lets many in."""
    return config.queue.fair == "yes" or (config.queue.fair == "auto" and config.web.enabled)


def _check_callable(name: str, value: object) -> None:
    if not callable(value):
        raise ValidationError(name, value, "a function, or what can be called like one")


def _behind(name: str, seq: int) -> int:
    """Above the ids of a turn's reports, and below those of the next. Raises ValidationError."""
    seq_max = (SEQUENCE_MAX >> NUMBER_BITS) - 1
    if type(seq) is not int or not 0 <= seq <= seq_max:
        raise ValidationError(name, seq, f"0 to {seq_max}")
    return (seq + 1) << NUMBER_BITS


def _checked_ids(order_ids: Sequence[int]) -> Sequence[int]:
    if type(order_ids) not in (list, tuple) or any(type(each) is not int for each in order_ids):
        raise ValidationError("order_ids", order_ids, "a list of whole numbers")
    return order_ids


def _check_text(name: str, value: object) -> None:
    if type(value) is not str:
        raise ValidationError(name, value, "text")
