"""The dispatcher: one turn = take a batch, enter, throttle, send, match, commit, publish.

Flow:  inbox -> [dispatcher: intake -> desk -> throttle -> venue -> store] -> publisher
Owner: the thread oms-dispatch. It alone touches desk, throttle, venue and store, so none of
       them needs a lock. What it publishes is on disk.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

from oms.clock import Clock
from oms.config import Config
from oms.controls import REQUESTS
from oms.desk import entries
from oms.desk.entries import Entry
from oms.desk.order_desk import OrderDesk
from oms.desk.session import TradingSession
from oms.desk.settings import (
    check_assets,
    check_ledger,
    check_scales,
    check_venue,
    exchange_settings,
    settings_of,
)
from oms.desk.throttle import OrderThrottler
from oms.desk.tracker import OrderTracker
from oms.errors import (
    JournalError,
    OutcomeUnknownError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from oms.flow.agenda import Agenda
from oms.flow.collector import collector_paused
from oms.flow.inbox import Answer, Inbox, Item
from oms.flow.intake import Intake
from oms.flow.journal import Fold
from oms.flow.market_feed import MarketFeed
from oms.flow.publisher import Publisher
from oms.flow.sender import Sender
from oms.messages import RejectReason, ResponseType
from oms.orders import VenueReport
from oms.reports import Row, refusal
from oms.stores import Store
from oms.venues import Venue

log = logging.getLogger(__name__)

IDLE_WAIT_S = 1.0
BLOCKED_WAIT_S = 0.1
STOP_WAIT_S = 0.05


class Dispatcher:
    """Drains the inbox into the desk and the desk into the venue, a turn at a time."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        venue: Venue,
        store: Store,
        inbox: Inbox,
        session: TradingSession,
        publisher: Publisher,
    ) -> None:
        self._config = config
        self._clock = clock
        self._venue = venue
        self._store = store
        self._inbox = inbox
        self._publisher = publisher
        self.feed = MarketFeed(inbox.wake)
        self.fold = Fold(venue)
        self.throttler = OrderThrottler(
            config.throttle.policy,
            config.throttle.sends_max,
            config.throttle.window_ns,
            config.throttle.burst,
        )
        self.tracker = OrderTracker(config.venue.answer_timeout_ns)
        self._agenda = Agenda(clock, session, self.tracker)
        self._sender = Sender(clock, self.throttler, self.tracker, remote=venue.remote)
        self.blocked: RejectReason | None = None  # why nothing can be stored now
        self.anomalies = 0  # venue reports that fit no open order
        self.turns = 0
        self.should_stop: Callable[[], bool] = lambda: False  # asked while the journal is folded
        self._carried: list[Item] = []  # venue reports and notices of a turn that was undone
        self._snapshot_seq = 0
        self._intake = Intake(self.fold.desk, store)

    @property
    def desk(self) -> OrderDesk:
        return self.fold.desk

    # --- start: open, recover, journal that a process began ---

    def start(self) -> None:
        """Open the store, fold the journal, and say so in it. Raises StoreError."""
        self._store.open()
        try:
            self._start()
        except BaseException:
            with suppress(StoreError):  # the first error is the one to tell
                self._store.close()
            raise

    def _start(self) -> None:
        self._recover(self.should_stop)
        blotter = self.desk.blotter
        self._publisher.restore(map(blotter.status_row, blotter.orders.values()))
        now_ns = self._clock.monotonic_ns()
        if self.fold.last_seq:
            self.throttler.hold_back(now_ns)
        settings = settings_of(
            self._config.instruments,
            hold_when_closed=self._config.session.outside_hours == "hold",
            waiting_max=self._config.queue.waiting_max,
            remote=self._venue.remote,
            exchange=exchange_settings(self._config),
        )
        check_venue(self.desk.settings, settings)
        check_ledger(self.desk.settings, settings, len(self.desk.blotter.orders))
        check_assets(self.desk.ledger.scales, self.desk.ledger.paid_in, settings)
        check_scales([order.instrument for order in self.desk.blotter.orders.values()], settings)
        self._run([], [(entries.START, settings)], self._clock.wall_ns())
        self._publisher.instruments = self.desk.instruments
        for symbol in self.desk.instruments:
            self._show(symbol)
        self.feed.attach(self.desk, self.fold.last_seq)
        if self._venue.remote:
            self._sender.await_answers(self.desk)

    def _recover(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        with collector_paused():
            for _ in self.fold.recover(self._store, should_stop=should_stop):
                pass
        last_seq, told_seq = self.fold.last_seq, self._store.last_told_seq()
        if told_seq > last_seq:
            raise JournalError(
                f"journal sequence {last_seq + 1}: missing, and all after it; the latest report "
                f"is of {told_seq}"
            )
        self._intake = Intake(self.fold.desk, self._store)
        self._snapshot_seq = self.fold.snapshot_seq
        blotter = self.desk.blotter
        blotter.begin(self.fold.last_seq, self.fold.wall_ns)

    # --- the job ---

    def step(self) -> None:
        """One turn: at most batch_max requests taken and as many sent."""
        taken = self._inbox.take(self._config.queue.batch_max, self._wait_s(IDLE_WAIT_S))
        self.turn(taken)

    def wake(self) -> None:
        self._inbox.wake()
        self._store.hurry()

    def finish(self) -> None:
        """Stop in order: answer what was handed over, settle what waits, leave nothing open."""
        deadline_ns = self._clock.monotonic_ns() + self._config.stop.drain_max_ns
        policy = self._config.stop.on_stop
        while self._inbox.size or (policy == "drain" and self._sender.waits_for_permit(self.desk)):
            if self._clock.monotonic_ns() >= deadline_ns:
                break
            self.turn(self._inbox.take(self._config.queue.batch_max, self._wait_s(STOP_WAIT_S)))
        self._refuse_all(self._inbox.take(self._inbox.size, 0), RejectReason.SHUTTING_DOWN)
        if policy == "cancel" and self.desk.queue.size and self.blocked is None:
            try:
                self._run([], [(entries.STOP,)], self._clock.wall_ns())
            except (StoreFullError, StoreBusyError) as error:
                self._undo([], error)  # what waits stays parked
        if self.blocked is None:
            self._take_snapshot()
        try:
            self._store.close()
        except (StoreFullError, StoreBusyError) as error:
            log.warning("the write-ahead log stays until the next start: %s", error)

    def _wait_s(self, wait_s_max: float) -> float:
        """How long to sleep if nobody calls."""
        if self.blocked is not None:
            return BLOCKED_WAIT_S
        if self._carried:
            return 0.0
        next_s = self._agenda.next_s(
            self.desk, self.throttler if self._sender.waits_for_permit(self.desk) else None
        )
        return min(wait_s_max, next_s)

    def turn(self, items: list[Item]) -> None:
        """Handle these items and whatever else is due now; commit; publish."""
        try:
            with collector_paused():
                self._turn(items)
        except BaseException as error:
            _fail(items, error)
            raise

    def _turn(self, items: list[Item]) -> None:
        if self.feed.wanted:
            self.feed.follow(self.fold.last_seq)
        if self._carried:
            items, self._carried = self._carried + items, []
        if self.blocked is not None and not self._unblocked():
            self._put_off(items, self.blocked)
            return
        # One reading for session and stamp, so that no order is stamped past its session.
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        notices = self._agenda.due(self.desk, now_ns, wall_ns)
        if not items and not notices and not self._sender.may_send(self.desk):
            return
        try:
            self._run(items, notices, wall_ns)
        except (StoreFullError, StoreBusyError) as error:
            late: list[Item] = [(e, 0, None) for e in notices if e[0] == entries.OVERDUE]
            self._undo(items + late, error)
        if self.fold.last_seq - self._snapshot_seq >= self._config.store.snapshot_every:
            self._take_snapshot()

    def _run(self, items: list[Item], notices: list[Entry], wall_ns: int) -> None:
        """The turn itself. Everything before the commit can be undone by folding again."""
        desk, fold = self.desk, self.fold
        wall_ns = max(fold.wall_ns, wall_ns)
        first_seq = fold.last_seq + 1
        first_item_seq = first_seq + len(notices)
        self._store.begin()
        self._intake.begin(items, first_item_seq)
        desk.begin(first_item_seq + len(items), wall_ns)
        entered, answers = self._enter(first_seq, notices, items)
        desk.end()
        record = fold.record(first_seq, wall_ns, self._sender.released, entered)
        rows = desk.blotter.rows
        self._store.append(record, rows)
        self._store.commit()
        fold.advance(record)
        self.turns += 1
        self._publish(rows, answers)
        if fold.outbox is not None:
            self._sender.settle(desk, rows)
            for event in self._sender.flush(fold.outbox):
                self._inbox.notice((VenueReport._make(event), self._clock.monotonic_ns(), None))

    def _enter(
        self, first_seq: int, notices: list[Entry], items: list[Item]
    ) -> tuple[list[Entry], dict[int, Answer]]:
        """Enter what came, in order, and send what may go after each."""
        desk, sender, queued_ns = self.desk, self._sender, self._clock.monotonic_ns()
        enter, send, request_entry = desk.enter, sender.send, self._intake.entry
        # Twice a batch, so that a backlog shrinks while requests keep coming.
        sender.begin(desk, 2 * self._config.queue.batch_max)
        entered = list(notices)
        for seq, notice in enumerate(notices, first_seq):
            enter(seq, notice)
            send(desk)
        answers: dict[int, Answer] = {}
        for seq, (message, received_ns, answer) in enumerate(items, first_seq + len(notices)):
            if isinstance(message, REQUESTS):
                entry = request_entry(seq, message)
            elif isinstance(message, VenueReport):
                entry = self._told(message)
            else:
                entry = message
            enter(seq, entry, received_ns, queued_ns)
            entered.append(entry)
            send(desk)
            if answer is not None:
                answers[seq] = answer
        if not entered:
            send(desk)
        return entered, answers

    def _told(self, report: VenueReport) -> Entry:
        """The entry of a venue's report; one that cannot be true is written down, not taken.

        Looked at when its turn comes: the report before it may have ended the order.
        """
        kind = entries.VENUE
        if self.desk.executions.contradicts(report):
            kind = entries.IGNORED
            if report.type is not ResponseType.CANCEL_REJECTED or self._is_open(report.order_id):
                # Otherwise it only says that a change came too late, as the desk said before.
                self.anomalies += 1
                log.error("venue report fits no open order, ignored: %s", report)
        return (kind, report.type.value, *report[1:])

    def _is_open(self, order_id: int) -> bool:
        return order_id in self.desk.blotter.orders

    def _publish(self, rows: list[Row], answers: dict[int, Answer]) -> None:
        durable_ns = self._clock.monotonic_ns()
        hops = self.desk.blotter.hops
        publisher, symbols = self._publisher, {row[6] for row in rows}
        for symbol in symbols:
            if symbol in self.desk.instruments:  # a refused request may name any
                self._show(symbol)
        listening = bool(publisher.market_listeners)
        told = self.feed.turn(self.fold.last_seq, symbols, rows, listening=listening)
        publisher.publish(rows, answers, hops, durable_ns, self._clock.monotonic_ns())
        if told:
            publisher.tell_market(told)
        if hops:
            published_ns = self._clock.monotonic_ns()
            self.tracker.record_turn(list(hops.values()), durable_ns, published_ns)

    def _show(self, symbol: str) -> None:
        levels = self._config.market_data.depth_levels
        self._publisher.show_depth(symbol, self._venue.get_depth(symbol, levels))

    # --- when the store says no ---

    def _undo(self, items: Iterable[Item], error: StoreError) -> None:
        """Nothing of the turn is on disk: go back to what is, and say no to who asked."""
        full = isinstance(error, StoreFullError)
        reason = RejectReason.DISK_FULL if full else RejectReason.STORE_BUSY
        log.error("turn undone, %s: %s", reason, error)
        try:
            self._store.rollback()
        except StoreError as failure:
            raise OutcomeUnknownError(f"rollback failed: {failure}") from failure
        if self.desk.blotter.turn_seq > self.fold.last_seq:
            self._recover()
            self.feed.attach(self.desk, self.fold.last_seq)
        self.blocked = reason
        self._put_off(items, reason)

    def _put_off(self, items: Iterable[Item], reason: RejectReason) -> None:
        """Refuse requests; keep what venue and session said for the next turn."""
        requests = [item for item in items if isinstance(item[0], REQUESTS)]
        self._carried += [item for item in items if not isinstance(item[0], REQUESTS)]
        self._refuse_all(requests, reason)

    def _unblocked(self) -> bool:
        """Has the disk space, or the database, come back?"""
        try:
            self._store.probe()
        except (StoreFullError, StoreBusyError):
            return False
        log.warning("the store takes writes again; it was %s", self.blocked)
        self.blocked = None
        return True

    def _refuse_all(self, items: Iterable[Item], reason: RejectReason) -> None:
        for message, _received_ns, answer in items:
            if isinstance(message, REQUESTS):
                self._publisher.refuse(answer, refusal(message, reason, self._clock.wall_ns()))

    def _take_snapshot(self) -> None:
        """A cache: if it cannot be written, the journal alone does."""
        self._snapshot_seq = self.fold.last_seq
        if not self._venue.remote and self.fold.engine is None:
            return  # somebody's own exchange: only a replay can fill its books again
        try:
            with collector_paused():
                snapshot = self.fold.snapshot()
            self._store.save_snapshot(snapshot)
        except (StoreFullError, StoreBusyError) as error:
            log.warning("no snapshot: %s", error)


def _fail(items: Iterable[Item], error: BaseException) -> None:
    """The turn broke: whether it is on disk only a restart can tell."""
    for _message, _received_ns, answer in items:
        if answer is not None and not answer.done() and answer.set_running_or_notify_cancel():
            answer.set_exception(OutcomeUnknownError(f"the outcome is unknown: {error!r}"))
