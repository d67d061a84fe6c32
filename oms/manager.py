"""OrderManagement: the one object a caller holds.

Flow:  caller -> [manager] -> inbox -> dispatcher -> store -> publisher -> caller
It builds the parts, starts and stops their threads in order, and takes requests; what it can be
asked is in questions.py, and how it answers in lookups.py. It holds no order itself.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from threading import get_ident
from typing import Any

from oms.clock import NANOS, Clock, ManualClock, SystemClock, pause
from oms.config import Config, StoreConfig
from oms.desk.calendar import TradingSession
from oms.errors import StoppedError, StoreError, ValidationError
from oms.lookups import Lookups, check_callable
from oms.pairs import place_pair
from oms.reject_reasons import RejectReason
from oms.requests import OrderRequest, Request, line_of
from oms.requests.internal import VenueReport, check_venue_report
from oms.responses import OrderResponse, refused
from oms.shared import SharedCounts, SharedNames
from oms.stores import Store
from oms.stores.lock import DataLock
from oms.stores.sql_store import SqlStore
from oms.stores.sqlite import PersistentStorage
from oms.turn.answer import Answer, Asker, answer_of
from oms.turn.dispatcher import Dispatcher
from oms.turn.fair import FairInbox
from oms.turn.inbox import Inbox
from oms.turn.publisher import Listener, MarketListener, Publisher, TurnListener, fail
from oms.turn.session_keeper import SessionKeeper
from oms.turn.threads import Job, Worker
from oms.users import Arm
from oms.venues import EmbeddedVenue, Venue

log = logging.getLogger(__name__)

BATCH_MAX = 100
DISPATCHER = "oms-dispatch"
REFUSALS_FREE = 8  # of one thread, so many at once cost it no pause
AGAIN_NS = 100_000_000  # a refusal within this time of the one before is one again
YIELD_S = 0.001
STOP_S_MAX = 15.0  # of the dispatcher; a stop takes less than 5 s unless the disk is stuck
SIDE_STOP_S = 1.0  # of another thread
URGENT = ("C", "X", "O")  # kinds that pass a full inbox: what takes risk off, what operators ask


class Refusals(threading.local):
    """How often this thread was refused of late, and when last."""

    count = last_ns = 0


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
    store: Store = postgres()(config.dsn, schema=config.schema, durability=config.durability)
    return store


def reader_of(config: StoreConfig, directory: Path) -> SqlStore:
    """The same, to look at only."""
    if config.kind == "sqlite":
        return PersistentStorage(directory / config.database, read_only=True)
    reader: SqlStore = postgres()(config.dsn, schema=config.schema, read_only=True)
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


class OrderManagement(Lookups):
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
        self.directory = Path(directory)
        self.store: Store = store or store_of(
            self.config.store, self.directory, accept_loss=accept_loss
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
        # What several front doors take together. Here there is one.
        self.once: SharedNames | None = None
        self.counts: SharedCounts | None = None  # nor has it anybody to count with
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

        The dispatcher starts last and so stops first: what it drains still has a link. A link
        that needs no waiting for, as the embedded exchange's, is up when this returns.
        """
        with self._stopping:
            self._begin()
            self._start("oms-session", self.keeper, SIDE_STOP_S, self.keeper.look)
            venue_job = getattr(self.venue, "job", None)
            if venue_job is not None:
                self.venue.connect(self.on_data_response)  # type: ignore[union-attr]
                self._start("oms-venue", venue_job, SIDE_STOP_S, venue_job.wake)
            self.keeper.look()
            drain_s = self.config.stop.drain_max_ns / NANOS
            stop_s = max(STOP_S_MAX, drain_s + 1.0)
            self._start(DISPATCHER, self.dispatcher, stop_s, self.inbox.wake)

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

    def _start(self, name: str, job: Job, stop_s: float, moved: Callable[[], None]) -> None:
        """moved: called whenever a ManualClock has moved."""
        worker = Worker(name, job, self._thread_died)
        worker.start()
        self._threads.callback(self._stop, name, worker, stop_s)
        if isinstance(self.clock, ManualClock):
            self._threads.callback(self.clock.on_move(moved))

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

    def __exit__(self, *_: object) -> None:
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
        check_callable("callback", callback)
        self.publisher.add_listener(callback)

    def add_market_listener(self, callback: MarketListener) -> None:
        """Have the market's events told to `callback`, from the next turn on; see market_data.

        On the dispatcher's thread, after the private reports of the same turn; as above it must
        not wait, and what it raises is logged and counted.
        """
        check_callable("callback", callback)
        self.publisher.add_market_listener(callback)
        self.dispatcher.feed.want_depth()

    def add_turn_listener(self, callback: TurnListener) -> None:
        """Have each turn told to `callback` as a whole, from the next one on, also one without a
        report: behind all that the other listeners were told of it, on the dispatcher's thread. As
        above it must not wait, and what it raises is logged and counted."""
        check_callable("callback", callback)
        self.publisher.add_turn_listener(callback)
        self.dispatcher.feed.want_depth()

    def remove_listener(self, callback: Listener | MarketListener | TurnListener) -> None:
        """Tell this callback nothing more; it may still hear what is being told now."""
        check_callable("callback", callback)
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

    def lost_arms(self) -> list[tuple[str, Arm]]:
        """Users' arms whose sockets are lost with their process: told once, as those of an earlier
        process."""
        told, self._arms_told = self._arms_told, True
        if told:
            return []
        return [(user.name, arm) for user in self.access.users() for arm in user.arms]


def is_fair(config: Config) -> bool:
    """Do clients take turns? By default where the front door lets many in."""
    return config.queue.fair == "yes" or (config.queue.fair == "auto" and config.web.enabled)
