"""The dispatcher: one turn = take a batch, enter, throttle, send, match, commit, publish.

Flow:  inbox -> [dispatcher: intake -> desk -> exchange or venue -> store] -> publisher
Owner: the thread oms-dispatch. It alone touches desk, throttle, venue and store, so none of
       them needs a lock. What it publishes is on disk.
"""

import gc
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from threading import get_ident
from typing import Any

from oms.clock import Clock, Instant, utc_text
from oms.config import Config
from oms.desk.calendar import TradingSession
from oms.desk.desk import Desk
from oms.desk.listings import check_tiers, in_force, mistakes_in
from oms.desk.settings import (
    check_assets,
    check_grid,
    check_group,
    check_ledger,
    check_scales,
    check_venue,
    exchange_settings,
    settings_of,
)
from oms.desk.throttle import OrderThrottler, PastSends
from oms.enums import OrderState, ResponseType
from oms.errors import (
    JournalError,
    OutcomeUnknownError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from oms.market_data import TradePrint
from oms.reject_reasons import RejectReason
from oms.reports import Report, symbol_of
from oms.requests import codec
from oms.requests.codec import Line
from oms.requests.internal import VenueReport
from oms.responses import OrderResponse, refused
from oms.stores import Store
from oms.stores.high_water import Loss
from oms.stores.tally import Tally, tally_text
from oms.turn.access_view import AccessView
from oms.turn.answer import Asker
from oms.turn.inbox import Inbox, Item
from oms.turn.intake import REQUEST_KINDS, Intake, as_new
from oms.turn.journal import Fold, upgraded
from oms.turn.latency import OrderTracker
from oms.turn.log_lines import log_turn
from oms.turn.market_feed import MarketFeed
from oms.turn.memory import give_back
from oms.turn.notes import Notes
from oms.turn.publisher import PublishedTurn, Publisher, fail
from oms.turn.schedule import DueLines
from oms.turn.snapshots import Snapshots
from oms.turn.tape import Wanted, tape
from oms.turn.turn_clock import TurnClock
from oms.turn.urgent import UrgentLane
from oms.venues import EmbeddedVenue, Outbox, Venue

log = logging.getLogger(__name__)

IDLE_WAIT_S = 1.0
BLOCKED_WAIT_S = 0.1
STOP_WAIT_S = 0.05
FOLLOWED_MAX = 1_000  # turns that are folded before who stands by looks at the lock again
TEND_NS = 1_000_000_000
LOG_BYTES_MAX = 64 << 20  # of a write-ahead log; beyond it is told
# What a remote venue still owes an answer for, though something was told of it.
UNSETTLED = (
    ResponseType.PENDING_NEW.value, ResponseType.PENDING_CANCEL.value,
    ResponseType.PENDING_REPLACE.value, ResponseType.UNKNOWN.value,
)  # fmt: skip


class Dispatcher:
    """Drains the inbox into the desk and the desk into the venue, a turn at a time."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        venue: Venue | EmbeddedVenue,
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
        self._lane = UrgentLane(inbox, store, config.queue.batch_max)
        self._publisher = publisher
        self.feed = MarketFeed(inbox.wake)
        self.access = AccessView()
        self.fold = Fold(venue)
        self._notes = Notes()
        self.throttler = OrderThrottler(
            config.throttle.sends_max,
            config.throttle.window_ns,
            policy=config.throttle.policy,
            burst=config.throttle.burst,
        )
        self.tracker = OrderTracker(config.venue.answer_timeout_ns)
        self.times = TurnClock(clock)
        self._session = session
        self._due_lines = DueLines(clock, self.times, session, self.tracker)
        self.questions: deque[Callable[[Intake | None], None]] = deque()  # asked by any thread
        self.blocked: RejectReason | None = None  # why nothing can be stored now
        self.anomalies = 0  # venue reports that fit no open order
        self.turns = 0
        self.thread_id = 0  # of the thread that is taking a turn; 0 between turns
        self.started = False
        inbox.close()  # until the start: nobody would take requests out
        self.should_stop: Callable[[], bool] = lambda: False  # asked while the journal is folded
        self.log_bytes = 0  # of the store's write-ahead log, as of up to a second ago
        self.store_seen_ns = clock.monotonic_ns()  # when the store last answered
        self._tend_ns = 0
        self._carried: list[Item] = []  # venue reports and notices of a turn that was undone
        self.intake = Intake(self.fold.desk, store)
        self._snapshots = Snapshots(self.fold, store, config.store.snapshot_every)
        self._past = PastSends(self.throttler)

    @property
    def desk(self) -> Desk:
        return self.fold.desk

    # --- start: open, recover, journal that a process began ---

    def start(self) -> None:
        """Open the store, fold the journal, and say so in it. Raises StoreError."""
        self._store.open()
        try:
            if self._store.outdated or self._loss is not None:
                # Of lost entries nothing may stay, and what a damaged log left is not sure.
                log.warning("all tables are made anew from the journal")
                self._store.upgrade(upgraded(self._store, self._venue))
                self.fold.reset()  # the same venue was folded into
            self._start()
        except BaseException:
            with suppress(StoreError):  # the first error is the one to tell
                self._store.close()
            raise

    def follow(self) -> bool:
        """Fold a bounded part of what the journal has more than was read of it: of an engine that
        stands by what another one commits, and at the start all the rest. False: that is all.

        Raises StoreError; after one that is no JournalError it may be called again.
        """
        fold, store = self.fold, self._store
        if fold.read is not None and not fold.was_read(store):
            log.warning("the journal lacks sequence %d, which was read: read anew", fold.read[0])
            fold.reset()
        read = fold.recover if fold.read is None else fold.follow
        with without_collector():
            turns = read(
                store,
                should_stop=self.should_stop,
                note=lambda r: self._past.note(r.released, r.instant.elapsed_ns),
            )
            return sum(1 for _ in islice(turns, FOLLOWED_MAX)) == FOLLOWED_MAX

    def _start(self) -> None:
        while self.follow():
            pass
        self._recovered()
        self._notes = Notes(self.desk.ledger)
        orders = self.desk.executions.orders
        self._publisher.restore(orders.values(), self.fold.last_seq, self.fold.instant.wall_ns)
        self.access.show(self.desk.access.taken())
        self.times.start(self.fold.instant, self.desk.settings.get("boot", ()))
        self._past.end(self.times.elapsed_offset_ns)
        if self._loss is not None or (self._venue.remote and self.fold.last_seq):
            # When a remote venue was sent something, and what lost entries sent, nobody knows.
            self.throttler.hold_back(self._clock.monotonic_ns())
        settings = settings_of(
            self._config.instruments,
            hold_when_closed=self._config.session.outside_hours == "hold",
            waiting_max=self._config.queue.waiting_max,
            remote=self._venue.remote,
            exchange=exchange_settings(self._config),
        )
        settings |= self._told_at_start()
        check_venue(self.desk.settings, settings)
        check_group(self.desk.settings, settings)
        check_ledger(self.desk.settings, settings, len(orders))
        traded, ledger = in_force(settings, self.desk.listings.changed), self.desk.ledger
        wrong = mistakes_in(traded)
        if wrong:
            raise StoreError(f"with what operators set: {wrong}")
        check_tiers(self.desk, settings)
        check_assets(ledger.scales, ledger.paid_in | ledger.carried, traded)
        check_scales([order.instrument for order in orders.values()], traded)
        check_grid(orders.values(), traded)
        self._check_counts()
        self._run([], [*self._accepted_loss(), (codec.START, settings)], self.times.read())
        self.access.started_ns = self.fold.instant.wall_ns
        self.feed.attach(self.desk, self.fold.last_seq)
        if self._venue.remote:
            self._await_answers()
        self.started = True
        self._inbox.open()

    def _relist(self) -> None:
        """Others are traded than before: readers see what there is of them."""
        desk, publisher = self.desk, self._publisher
        markets = desk.engine.markets if desk.engine is not None else {}
        known = {symbol: market.instrument for symbol, market in markets.items()}
        publisher.list_instruments(desk.instruments, known)
        publisher.set_trades(self._tapes(desk.instruments))
        for symbol in desk.instruments:
            self._show(symbol)

    def _told_at_start(self) -> dict[str, Any]:
        """Log what a user asks first; the START entry has when a closed market opens next, and
        what the clock of this process can be compared by."""
        told: dict[str, Any] = {"boot": list(self.times.told)} if self.times.told else {}
        durability = self._config.store.durability
        if durability != "full":
            lost = "a power loss" if durability == "normal" else "the end of the process"
            log.warning("durability = %s: what was answered may be lost by %s", durability, lost)
        open_ns = self._session.next_open_ns(self._clock.wall_ns())
        if open_ns is None:
            return told
        log.info("the session is closed; it opens next %s", utc_text(open_ns))
        return told | {"opens_ns": open_ns}

    def _check_counts(self) -> None:
        """The tables beside the journal have as many rows as its last record says."""
        inspect = getattr(self._store, "inspect", None)  # a store of the user's own may not say
        tally, last_seq = self.fold.tally, self.fold.last_seq
        ids, reports = inspect() if inspect is not None else (0, 0)
        if tally is None:  # an older program wrote the last record
            self.fold.tally = Tally(ids, 0, reports, 0)
        elif inspect is not None and (ids, reports) != (tally.ids, tally.reports):
            raise JournalError(
                f"journal sequence {last_seq}: by then there were {tally.ids} client order ids and "
                f"{tally.reports} reports, stored are {ids} and {reports}; `rebuild` makes them "
                "anew from the journal"
            )

    def _accepted_loss(self) -> list[Line]:
        """The line that says that entries are missing, if the store goes on without some.

        It is numbered after them: clients have seen their numbers.
        """
        if self._loss is None:
            return []
        self.fold.last_seq = self._loss.promised_seq
        return [(codec.LOSS, *self._loss)]

    @property
    def _loss(self) -> Loss | None:
        return getattr(self._store, "loss", None)  # a store of the user's own may have none

    def _await_answers(self) -> None:
        """After a restart a remote venue may still answer what it was sent, or never."""
        now_ns, desk = self._clock.monotonic_ns(), self.desk
        for order in desk.executions.orders.values():
            if order.state is OrderState.PENDING_NEW and order.order_id not in desk.queue:
                self.tracker.sent(order.order_id, now_ns)
            for change in order.changes or ():
                if not change.waiting:
                    self.tracker.sent(change.request_seq, now_ns)

    def _recover(self) -> None:
        """Of a turn that is undone nothing stays."""
        with without_collector():
            for _ in self.fold.recover(self._store):
                pass
        self._recovered()

    def _recovered(self) -> None:
        last_seq, told_seq = self.fold.last_seq, self._store.last_told_seq()
        if told_seq > last_seq:
            raise JournalError(
                f"journal sequence {last_seq + 1}: missing, and all after it; the latest report "
                f"is of {told_seq}"
            )
        self.intake = Intake(self.fold.desk, self._store)
        self._snapshots.restart()
        self.desk.begin(self.fold.last_seq, self.fold.instant, 0)

    def abandon(self) -> None:
        """It failed: undo the turn under way and let go of the store, for whoever starts next."""
        for letting_go in (self._store.rollback, self._store.close):
            try:
                letting_go()
            except Exception as error:
                log.warning("letting go of the store: %r", error)

    # --- the job ---

    def step(self) -> None:
        """One turn: at most batch_max requests taken and as many sent."""
        inbox = self._inbox
        self._take_turn(0.0 if inbox.size else self._wait_s(IDLE_WAIT_S))
        if inbox.flooded and not inbox.size:
            inbox.flooded = False
            give_back()

    def _take_turn(self, wait_s: float) -> None:
        for items in self._lane.turns(self.intake, wait_s):
            self.turn(items)
        self._inbox.done()

    def wake(self) -> None:
        self._inbox.wake()
        self._store.hurry()

    def finish(self) -> None:
        """Stop in order: answer what was handed over, settle what waits, leave nothing open."""
        deadline_ns = self._clock.monotonic_ns() + self._config.stop.drain_max_ns
        policy = self._config.stop.on_stop
        while self._inbox.size or (policy == "drain" and self._waits_for_permit()):
            if self._clock.monotonic_ns() >= deadline_ns:
                break
            self._take_turn(self._wait_s(STOP_WAIT_S))
        self._refuse_all(self._inbox.take(self._inbox.size, 0), RejectReason.SHUTTING_DOWN)
        self._publisher.tell_owed()
        if policy == "cancel" and self.desk.queue.size and self.blocked is None:
            try:
                self._run([], [(codec.STOP,)], self.times.read())
            except (StoreFullError, StoreBusyError) as error:
                self._undo([], error)  # what waits stays parked
        if self.blocked is None:
            with without_collector():
                self._snapshots.take()
        try:
            self._store.close()
        except (StoreFullError, StoreBusyError) as error:
            log.warning("the write-ahead log stays until the next start: %s", error)

    def _wait_s(self, wait_s_max: float) -> float:
        """How long to sleep if nobody calls."""
        if self.blocked is not None:
            return BLOCKED_WAIT_S
        if self._carried or self._snapshots.under_way:
            return 0.0
        next_s = self._due_lines.next_s(
            self.desk, self.throttler if self._waits_for_permit() else None
        )
        return min(wait_s_max, next_s)

    def _waits_for_permit(self) -> bool:
        """Something could be sent, if only the throttle let it."""
        return self.desk.can_send() and self._may_owe() > 0

    def _may_send(self, now_ns: int) -> bool:
        """Something waits, and the throttle lets it go."""
        return self._waits_for_permit() and self.throttler.allows(now_ns)

    def _may_owe(self) -> int:
        """How many more answers a venue may be owed: as many as orders may wait here.

        A silent venue is sent no more than that; then the queue fills, and says so.
        """
        return self.desk.queue.size_max - self.tracker.in_flight - self.tracker.unknown

    def turn(self, items: list[Item]) -> None:
        """Handle these items and whatever else is due now; commit; publish."""
        collects = gc.isenabled()
        gc.disable()  # a turn makes thousands of rows, and no cycles
        self.thread_id = get_ident()
        try:
            self._turn(items)
            if self.blocked is None:
                self._snapshots.go_on(idle=not self._inbox.size)
        except BaseException as error:
            _fail(items, error)
            raise
        finally:
            self.thread_id = 0
            if collects:
                gc.enable()

    def _turn(self, items: list[Item]) -> None:
        now_ns = self.access.seen_ns = self._clock.monotonic_ns()
        if self.feed.wanted:
            self.feed.follow(self.fold.last_seq)
        if self.questions:
            self.desk.instant = self.times.read()
        for _ in range(len(self.questions)):  # one may have itself asked again, behind this turn
            self.questions.popleft()(self.intake)
        if self._carried:
            items, self._carried = self._carried + items, []
        if self.blocked is not None and not self._unblocked():
            self._put_off(items, self.blocked)
            return
        # One reading for session and stamp, so that no order is stamped past its session.
        instant = self.times.read()
        if now_ns >= self._tend_ns:
            self.tend_store(now_ns)
        notices = self._due_lines.due(self.desk, instant)
        if not items and not notices and not self._may_send(now_ns):
            return
        try:
            self._run(items, notices, instant)
        except (StoreFullError, StoreBusyError) as error:
            late: list[Item] = [(e, 0, None) for e in notices if e[0] == codec.OVERDUE]
            self._undo(items + late, error)
            return

    def tend_store(self, now_ns: int) -> None:
        """Look at the store once a second, between two turns: its lock, and its write-ahead log if
        it has one. Raises OutcomeUnknownError if the lock is lost."""
        self._tend_ns, before = now_ns + TEND_NS, self.log_bytes
        tend = getattr(self._store, "tend", None)
        if tend is None:
            self.store_seen_ns = now_ns
            return
        with suppress(StoreBusyError, StoreFullError):
            self.log_bytes = tend()
        self.store_seen_ns = self._clock.monotonic_ns()
        if self.log_bytes > LOG_BYTES_MAX >= before:
            log.warning(
                "the write-ahead log has %d MB: a reader that stays in one transaction keeps it "
                "from starting anew", self.log_bytes >> 20,
            )  # fmt: skip
        elif self.log_bytes <= LOG_BYTES_MAX < before:
            log.info("the write-ahead log started anew; it had %d MB", before >> 20)

    def _run(self, items: list[Item], notices: list[Line], instant: Instant) -> None:
        """The turn itself. Everything before the commit can be undone by folding again."""
        fold, clock = self.fold, self._clock
        desk = fold.desk
        first_seq = fold.last_seq + 1
        first_item_seq = first_seq + len(notices)
        self._store.begin()
        self.intake.begin(items, first_item_seq)
        queued_ns, read_ns = clock.monotonic_ns(), clock.monotonic_ns
        # Twice a batch, so that a backlog shrinks while requests keep coming.
        permits, limited = 2 * self._config.queue.batch_max, self.throttler.policy != "off"
        if limited:
            permits = min(permits, self.throttler.free(queued_ns))
        if fold.outbox is not None:
            permits = min(permits, self._may_owe())
        turn_seq = first_item_seq + len(items)
        desk.begin(turn_seq, instant, max(0, permits), queued_ns, read_ns)
        lines, answers = self._enter(first_seq, notices, items, queued_ns)
        if desk.unanswered:
            desk.end()
        released = desk.released
        if released and fold.outbox is None and limited:
            # Stamped after the sends: the gap between two sends is then never shorter than
            # what the throttle believes.
            self.throttler.sent_many(released, read_ns())
        reports = desk.reports.rows
        record = fold.record(first_seq, instant, released, lines, self._tally(first_seq, lines))
        self._store.append(record, reports)
        self._store.note(self._notes.of_turn(desk, record.last_seq))
        self._store.commit()
        self._notes.committed()
        fold.advance(record)
        self.turns += 1
        self._lane.sweep(lines)
        self._publish(first_seq, lines, reports, answers)
        if fold.outbox is not None:
            self._settle(reports)
            self._send_out(fold.outbox)
        if self._snapshots.under_way:
            self._snapshots.note(report.order_id for report in reports)
        desk.forget_turn()
        self.intake.lines, self.intake.earlier_ids = {}, {}

    def _tally(self, first_seq: int, lines: list[Line]) -> str:
        """What the tables beside the journal hold with this turn."""
        intake, tally = self.intake, self.fold.tally
        assert tally is not None, "a start counts what an older program left"
        tally = tally.plus(intake.claims, self.desk.reports.rows)
        return tally_text(tally, intake.rests(first_seq, lines))

    def _enter(
        self, first_seq: int, notices: list[Line], items: list[Item], queued_ns: int
    ) -> tuple[list[Line], dict[int, Asker[OrderResponse]]]:
        """Enter what came, in order; the desk sends what may go after each."""
        desk, intake = self.fold.desk, self.intake
        enter, lines, line_of = desk.enter, list(notices), intake.line
        new_lines = {} if intake.repeats else intake.lines
        for seq, notice in enumerate(notices, first_seq):
            enter(seq, notice)
        answers: dict[int, Asker[OrderResponse]] = {}
        for seq, (request, received_ns, answer) in enumerate(items, first_seq + len(notices)):
            line = new_lines.get(seq)
            if type(line) is tuple:
                pass  # a new order that is ready as it is
            elif request[0] in REQUEST_KINDS:
                line = line_of(seq, request)
            elif type(request) is VenueReport:
                line = self._told(request)
            else:
                line = request
            enter(seq, line, received_ns, queued_ns)
            lines.append(line)
            if answer is not None:
                answers[seq] = answer
        if not lines:
            desk.send_waiting()
        return lines, answers

    def _told(self, report: VenueReport) -> Line:
        """The line of a venue's report; one that cannot be true is written down, not taken.

        Looked at when its turn comes: the report before it may have ended the order.
        """
        kind = codec.VENUE
        if self.desk.venue_reports.contradicts(report):
            kind = codec.IGNORED
            is_open = report.order_id in self.desk.executions.orders
            if report.type is not ResponseType.CANCEL_REJECTED or is_open:
                # Otherwise it only says that a change came too late, as the desk said before.
                self.anomalies += 1
                log.error("venue report fits no open order, ignored: %s", report)
        return (kind, report.type.value, *report[1:])

    def _publish(
        self, first_seq: int, lines: list[Line], reports: list[Report],
        answers: dict[int, Asker[OrderResponse]],
    ) -> None:  # fmt: skip
        clock, publisher, desk = self._clock, self._publisher, self.fold.desk
        durable_ns = clock.monotonic_ns()
        symbols = set(map(symbol_of, reports))
        for symbol in symbols:
            if symbol in desk.instruments:  # a refused request may name any
                self._show(symbol)
        for warning in desk.warnings:
            log.warning("%s", warning)
        hops = desk.hops
        published_ns = clock.monotonic_ns()
        trades = publisher.take_over(reports)
        changed = {each.symbol for each in trades if type(each) is not TradePrint}
        if publisher.listed is not desk.instruments:
            self._relist()
        elif changed:
            publisher.set_trades(self._tapes(changed))
        users = desk.access.taken()
        self.access.show(users)
        seq, wall_ns = self.fold.last_seq, self.fold.instant.wall_ns
        told = self.feed.turn(seq, symbols, trades, listening=publisher.wants_events)
        publisher.shown(seq)
        publisher.tell(reports, answers, hops, durable_ns, published_ns)
        if told:
            publisher.tell_market(told)
        if publisher.turn_listeners:
            publisher.tell_turn(PublishedTurn(seq, wall_ns, reports, told, users))
        if hops:
            self.tracker.record_turn(list(hops.values()), durable_ns, published_ns)
        # Last: the thread that writes the log wakes up, and takes the interpreter lock.
        log_turn(first_seq, lines, reports, publisher.instruments)

    def _tapes(self, symbols: Iterable[str]) -> dict[str, list[TradePrint]]:
        """The latest trades of these markets: they are in the store, as all that is published."""
        kept = self._config.market_data.trades_kept
        markets = self.desk.engine.markets if self.desk.engine is not None else {}
        wanted = {
            symbol: Wanted(kept, markets[symbol].matches if symbol in markets else None)
            for symbol in symbols
        }
        return tape(self._store.executions, wanted)

    def _show(self, symbol: str) -> None:
        levels = self._config.market_data.depth_levels
        self._publisher.show_depth(symbol, self._venue.get_depth(symbol, levels))

    # --- a remote venue, after the commit ---

    def _send_out(self, outbox: Outbox) -> None:
        """What is journaled as sent goes now; answers given at once come in like all others."""
        sent, now_ns = self.desk.sent, self._clock.monotonic_ns()
        for request in sent:
            self.tracker.sent(request.request_seq, now_ns)
        told = outbox.flush()
        now_ns = self._clock.monotonic_ns()
        self.throttler.sent_many(self.desk.released, now_ns)
        for report in told:
            self._inbox.notice((report, now_ns, None))

    def _settle(self, reports: list[Report]) -> None:
        """What the venue has answered; an order that ended is owed nothing more."""
        now_ns = self._clock.monotonic_ns()
        for report in reports:
            if report.request_seq and report.type not in UNSETTLED:
                self.tracker.answered(report.request_seq, now_ns)
        for order in self.desk.executions.ended:
            self.tracker.answered(order.order_id, now_ns)

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
        if self.desk.reports.turn_seq > self.fold.last_seq:
            self._recover()
            self.feed.attach(self.desk, self.fold.last_seq)
        self.blocked = reason
        self._put_off(items, reason)

    def _put_off(self, items: Iterable[Item], reason: RejectReason) -> None:
        """Refuse requests; keep what venue and session said for the next turn."""
        requests = [item for item in items if item[0][0] in REQUEST_KINDS]
        self._carried += [item for item in items if item[0][0] not in REQUEST_KINDS]
        self._refuse_all(requests, reason)

    def _unblocked(self) -> bool:
        """Has the disk space, or the database, come back?"""
        try:
            self._store.probe()
        except (StoreFullError, StoreBusyError):
            return False
        finally:
            self.store_seen_ns = self._clock.monotonic_ns()
        log.warning("the store takes writes again; it was %s", self.blocked)
        self.blocked = None
        return True

    def _refuse_all(self, items: Iterable[Item], reason: RejectReason) -> None:
        for request, _received_ns, answer in items:
            if request[0] in REQUEST_KINDS:
                asked, wall_ns = as_new(request), self._clock.wall_ns()
                self._publisher.refuse(answer, refused(asked, reason, wall_ns))


@contextmanager
def without_collector() -> Iterator[None]:
    """No garbage collection until the end: it would walk all that is open, for nothing."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def _fail(items: Iterable[Item], error: BaseException) -> None:
    """The turn broke: whether it is on disk only a restart can tell."""
    for _message, _received_ns, answer in items:
        if answer is not None:
            fail(answer, OutcomeUnknownError(f"the outcome is unknown: {error!r}"))
