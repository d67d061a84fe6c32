"""The desk: what each journal line does to orders, what waits, and what goes to the venue.

Flow:  dispatcher -> [desk] -> exchange, or venue -> executions -> reports -> journal
In:    journal lines, in journal order; see requests/codec.py.
Owner: the dispatcher thread. No I/O, no clock, no threads: the same lines give the same
       orders and the same reports, live and in a replay.

The checks of a new order stand in one order: who may trade, when, what, how much, with what
money. A refused order changes nothing. Modifies and cancels are in changes.py; what is not
about one order (session, phases, funds, operators) is in operations.py.
"""

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

from oms.clock import NEVER, Instant, utc_text
from oms.desk.access import Access
from oms.desk.changes import Changes, display_reason
from oms.desk.configured import Configured
from oms.desk.listings import Listings
from oms.desk.operations import Operations
from oms.desk.venue_reports import VenueReports
from oms.desk.waiting import OrderQueue
from oms.enums import OrderState, OrderType, Phase, ResponseType, Side, TimeInForce
from oms.exchange.accounts import Ledger
from oms.exchange.executions import Executions
from oms.exchange.matching import MatchingEngine
from oms.exchange.order import Change, Order, Terms, told_scales
from oms.exchange.phases import Admission, admission
from oms.exchange.risk import Risk
from oms.instruments import Instrument
from oms.money import to_text
from oms.reject_reasons import RejectReason
from oms.requests import codec
from oms.requests.codec import Line
from oms.requests.internal import VenueReport

SIDES: dict[str, Side] = {side.value: side for side in Side}
ORDER_TYPES: dict[str, OrderType] = {kind.value: kind for kind in OrderType}
TIMES_IN_FORCE: dict[str, TimeInForce] = {tif.value: tif for tif in TimeInForce}
NEW = codec.NEW
PLAIN_LENGTH = codec.LENGTHS[codec.NEW][0]
ANSWER_LENGTH = codec.LENGTHS[codec.ANSWER][0]
HOLDABLE = (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD)
CONTINUOUS, PENDING_NEW, REJECTED = Phase.CONTINUOUS, OrderState.PENDING_NEW, OrderState.REJECTED
EXPIRIES_MIN = 64
HELD, THROTTLED, SENT = "HELD_SESSION", "QUEUED_THROTTLE", "SENT_UNACKED"
HELD_HALT = "HELD_HALT"
OCO = RejectReason.OCO.value

Hops = tuple[str, int, int, int, int, int]
"""A request's outcome, then when it was received, queued, released, sent, answered."""

OUTCOMES = {
    OrderState.NEW: "accepted", OrderState.SUSPENDED: "accepted", OrderState.REJECTED: "rejected",
    OrderState.CANCELED: "canceled", OrderState.EXPIRED: "expired",
}  # fmt: skip


class OrderTaker(Protocol):
    """What the desk needs of a venue: reports come back at once, or later."""

    def place(self, order: Order) -> Sequence[VenueReport]: ...
    def cancel(self, change: Change) -> Sequence[VenueReport]: ...
    def replace(self, change: Change) -> Sequence[VenueReport]: ...
    def withdraw(
        self, order_ids: set[int], type_: ResponseType, reason: str
    ) -> Sequence[VenueReport]: ...
    def list_instruments(self, instruments: Sequence[Instrument]) -> None: ...


def no_clock() -> int:
    """In a replay nobody measures."""
    return 0


class Desk:
    """Open orders, the waiting queue, and whether the market and the link are up.

    engine: our own exchange; None where the venue is somebody else's. ledger: in use while the
    executions have it. instruments: what is traded; known: what ever was, too, since positions in
    it stay; before rules number 3 the same. account_settings: tiers and groups an operator set.
    money_terms: what each symbol's trades were settled by, and since which journal sequence.
    trading_date: none between close and open. opens_ns: when the market opens next, where it is
    known; 0 while it is open.
    rules: the number of the rules that journal lines are obeyed by.

    left: how many requests may still be sent in this turn; released: how many were. sent: those,
    in order, where a venue answers later. unanswered: requests of this turn that nothing was
    told of yet. hops: request sequence -> its way through this turn. warnings: what is to be
    logged of this turn.
    """

    def __init__(self, venue: OrderTaker | None) -> None:
        """venue: whose answers are events of their own; None: our own exchange."""
        self._venue = venue
        self.queue: OrderQueue[Order | Change] = OrderQueue()
        self.executions = Executions(self.queue.cancel_order)
        self.reports = self.executions.reports
        self.ledger = Ledger()
        self.risk = Risk(self.executions.positions)
        self.engine = MatchingEngine(self.executions, self.risk) if venue is None else None
        self.instruments: dict[str, Instrument] = {}
        self.known: dict[str, Instrument] = {}
        self.settings: dict[str, Any] = {}
        self.rules = 1
        self.hold_when_closed = self.is_open = self.link_up = False
        self.trading_date = ""
        self.account_settings: dict[str, dict[str, str]] = {}
        self.money_terms: dict[str, tuple[list[Any], int]] = {}
        self.expiries: list[tuple[int, int]] = []  # a heap of (wall clock, GTD order)
        self.left = self._permits = self.now_ns = self.opens_ns = 0
        self.instant = NEVER
        self.plain = False  # nobody limits orders, nobody counts money, the market is open
        self.sent: list[Order | Change] = []
        self.hops: dict[int, Hops] = {}
        self.unanswered: list[Order | Change] = []  # nothing was told of them in this turn
        self.warnings: list[str] = []
        self.read_ns: Callable[[], int] = no_clock
        # What an execution may set off, bound here: looked at after each one.
        self.losers = self.executions.losers
        self.room_freed = self.executions.room_freed
        self._markets = self.engine.markets if self.engine is not None else {}
        self._triggered = self.engine.rules.triggered if self.engine is not None else {}
        self.changes = Changes(self)
        self.listings = Listings(self)
        self.access = Access(self)
        self.configured = Configured(self)
        self.operations = Operations(self)
        self.venue_reports = VenueReports(self)
        self._handlers: dict[str, Callable[[int, Line, int, int], None]] = {
            codec.NEW: self.new,
            codec.MODIFY: self.changes.modify,
            codec.CANCEL: self.changes.cancel,
            codec.ANSWER: self._answer,
            **self.venue_reports.handlers(),
            **self.operations.handlers(),
            codec.ACCESS: self.access.enter,
        }

    @property
    def released(self) -> int:
        """How many requests were sent in this turn."""
        return self._permits - self.left

    @property
    def venue(self) -> OrderTaker:
        """Where requests go if not to our own exchange."""
        assert self._venue is not None
        return self._venue

    # --- a turn: begin, (enter, send_waiting)*, end ---

    def begin(
        self,
        turn_seq: int,
        instant: Instant,
        permits: int,
        now_ns: int = 0,
        read_ns: Callable[[], int] = no_clock,
    ) -> None:
        """permits: how many requests may be sent in this turn. read_ns: the monotonic clock,
        which says now_ns."""
        self.instant = instant
        self.executions.begin(turn_seq, instant.wall_ns)
        self.unanswered, self.hops, self.sent, self.warnings = [], {}, [], []
        self.left = self._permits = permits
        self.read_ns, self.now_ns = read_ns, now_ns
        self.refresh()
        if self.engine is not None:
            self.engine.rules.elapsed_ns = instant.elapsed_ns

    def enter(self, seq: int, line: Line, received_ns: int = 0, queued_ns: int = 0) -> None:
        """One journal line takes effect, and what may go then is sent.

        With permits left an order meets the book before the next request is looked at: what
        happens depends on the order of arrival, not on what happened to share a turn.
        """
        queue = self.queue
        if (
            self.plain
            and line[0] == NEW
            and len(line) == PLAIN_LENGTH
            and self.left
            and self._markets[line[3]].phase is CONTINUOUS
            and not queue.main
            and not queue.urgent
        ):
            # A plain order, nothing to ask, nobody ahead: straight to the book. `new` does the
            # same in more steps, and tests run every flow both ways.
            _, account, client_id, symbol, side, kind, tif, price, lots, _, _ = line
            order = Order(
                seq, account, client_id, self.instruments[symbol], SIDES[side], ORDER_TYPES[kind],
                TIMES_IN_FORCE[tif], price, lots, received_ns, queued_ns,
            )  # fmt: skip
            executions, engine = self.executions, self.engine
            assert engine is not None
            executions.orders[seq] = executions.by_client_id[account][client_id] = order
            self.left -= 1
            now_ns = self.now_ns
            waited_ns = now_ns - received_ns if received_ns else 0
            self.now_ns = after_ns = engine.place(order, waited_ns, now_ns, self.read_ns)
            if self.losers or self._triggered:
                self.cascade()
            outcome = "traded" if order.cumulative_lots else OUTCOMES[order.state]
            self.hops[seq] = (outcome, received_ns, queued_ns, now_ns, now_ns, after_ns)
            return
        self.ledger.seq = seq
        self._handlers[line[0]](seq, line, received_ns, queued_ns)
        if queue.main or queue.urgent:
            self.send_waiting()

    def can_send(self) -> bool:
        """Is there something to send, and somebody to send it to?"""
        queue = self.queue
        return self.takes_cancels and bool(queue.urgent or (queue.main and self._takes_orders))

    @property
    def _takes_orders(self) -> bool:
        return self.is_open and self.link_up

    @property
    def takes_cancels(self) -> bool:
        """Is the venue there? Our own exchange is, by night too: a link is a remote venue's."""
        return self.link_up or (self.engine is not None and self.rules > 1)

    def send_waiting(self) -> None:
        """Send what waits, as far as the turn's permits go."""
        while self.left and self.takes_cancels:
            request = self.queue.get_next_order(urgent_only=not self._takes_orders)
            if request is None:
                return
            if isinstance(request, Order):
                self._place(request, check=True)
            else:
                self.changes.send(request)

    def end(self) -> None:
        """Whoever asked in this turn and has no answer yet is told that it is pending."""
        for request in self.unanswered:
            if isinstance(request, Order):
                if request.state is PENDING_NEW:
                    self.tell_pending(request)
            elif request.order.changes and request in request.order.changes:
                self.changes.tell_pending(request)

    def forget_turn(self) -> None:
        """What only this turn needed goes at once, before the garbage collector looks at it."""
        self.unanswered, self.hops, self.sent, self.warnings = [], {}, [], []
        self.executions.forget_turn()

    # --- new orders ---

    def new(self, seq: int, line: Line, received_ns: int, queued_ns: int) -> None:
        order, fields = self._order_of(seq, line, received_ns, queued_ns)
        executions, risk = self.executions, self.risk
        reason = self._why_not(order, line[9], fields)
        if not reason and executions.ledger is not None:
            reason = self._reserve(order)
            if not reason and self.ledger.since:
                self.ledger.remember_rates(order)
        if reason:
            executions.reject(order, reason)
            return
        executions.add(order)
        if not risk.idle:
            risk.accepted(order, self.instant.elapsed_ns)
        if order.terms is not None:
            self._take_up(order, order.terms)
        order.hold = self.rules > 1 and bool(line[9])
        if self._halt_holds(order):
            self.queue.hold(seq, order)
        elif self.goes_at_once():
            self._place(order)
            if order.state is not PENDING_NEW:
                return
        else:
            self.queue.add_order(seq, order)
        self.unanswered.append(order)

    def _halt_holds(self, order: Order | Change) -> bool:
        """Does it wait until its market is no longer halted? It asked for that, or was refused."""
        assert isinstance(order, Order)  # a change is never held
        if self.rules < 2 or self.engine is None or not self.is_open or order.suspended:
            return False
        return self.engine.markets[order.instrument.symbol].phase is Phase.HALTED

    def release_held(self) -> None:
        """What a halt held may be sent where there is none any more; or waits for the open."""
        held = self.queue.held
        free = [seq for seq, each in held.items() if not self._halt_holds(each)] if held else []
        if free:
            self.queue.release(free)

    def refresh(self) -> None:
        """Something was set, opened or closed: is there anything to be asked before an order?"""
        self.plain = (
            self.engine is not None
            and self.is_open
            and self.link_up
            and self.risk.idle
            and self.executions.ledger is None
        )

    def day_is_done(self) -> bool:
        """Is the trading date over, and does what rests say so, until the next one begins?"""
        over = not self.is_open and not self.trading_date
        return over and bool(self.settings.get("done_for_day"))

    def _order_of(
        self, seq: int, line: Line, received_ns: int = 0, queued_ns: int = 0
    ) -> tuple[Order, dict[str, Any] | None]:
        """The order that a line asks for, and its terms as the line has them."""
        terms = fields = None
        if len(line) == PLAIN_LENGTH:
            _, account, client_id, symbol, side, kind, tif, price, lots, _, _ = line
        else:
            _, account, client_id, symbol, side, kind, tif, price, lots, _, _, fields = line[:12]
            terms = _terms_of(fields) if fields or len(line) == PLAIN_LENGTH + 1 else None
        order = Order(
            seq, account, client_id, self.instruments[symbol], SIDES[side], ORDER_TYPES[kind],
            TIMES_IN_FORCE[tif], price, lots, received_ns, queued_ns, terms,
        )  # fmt: skip
        return order, fields

    def _why_not(self, order: Order, hold: int, fields: dict[str, Any] | None) -> str:
        """Why a new order may not come in; the money for it is looked at after this."""
        reason = self.why_not_now(order, hold)
        if not reason and order.terms is not None and fields is not None:
            reason = self._why_not_terms(order, order.terms, fields)
        if not reason and not self.risk.idle:
            reason = self.risk.check(order, self.instant.elapsed_ns)
        if not reason and len(self.queue.main) + len(self.queue.held) >= self.queue.size_max:
            reason = self.queue_full()
        if not reason and self.engine is not None and order.order_type is OrderType.MARKET:
            self.engine.set_collar(order)  # what is reserved goes by it
        return reason

    def would(self, line: Line) -> tuple[str, int, str]:
        """What `new` would answer: why not, or what the order would have reserved, and of what."""
        order, fields = self._order_of(0, line)
        reason = self._why_not(order, line[9], fields)
        if reason or self.executions.ledger is None:
            return reason or self._would_refuse(order), 0, ""
        need, partner = self._needs(order)
        freed = partner.reserved if partner is not None else 0
        reason = self.ledger.would_reserve(order, need, freed)
        return reason or self._would_refuse(order), need, self.ledger.asset_of(order)

    def _would_refuse(self, order: Order) -> str:
        """Why our exchange would refuse it, if it went there at once."""
        at_once = self.engine is not None and self.is_open and self.link_up
        return self.engine.would_refuse(order) if at_once and self.engine is not None else ""

    def goes_at_once(self) -> bool:
        """May a request be sent now? A permit is left, nobody waits, and the market is open."""
        return (
            self.left > 0
            and self.is_open
            and self.link_up
            and not (self.queue.main or self.queue.urgent)
        )

    def await_answer(self, request: Order | Change) -> None:
        """Its owner is told that it is pending, should nothing else be told in this turn."""
        self.unanswered.append(request)

    def why_not_now(self, order: Order, hold: int) -> str:
        """The kill switch, the session, the market's phase, the account."""
        symbol = order.instrument.symbol
        if not self.risk.idle:
            reason = self.risk.gate(order.account, symbol)
            if reason:
                return reason
        if not self.is_open:
            if not self._may_hold(order, hold):
                told = f"symbol={symbol}, tif={order.time_in_force.value}"
                opens = f", opens={utc_text(self.opens_ns)}" if self.opens_ns else ""
                return f"{RejectReason.SESSION_CLOSED.value}: {told}{opens}"
        elif self.engine is not None:
            phase = self.engine.markets[symbol].phase
            if phase is not CONTINUOUS:
                may = admission(phase, order, self.rules)
                if may is Admission.REFUSE or (may is Admission.HOLD and not hold):
                    return (
                        f"{RejectReason.MARKET_STATE.value}: phase={phase.value}, "
                        f"type={order.order_type.value}, tif={order.time_in_force.value}"
                    )
                if may is Admission.GATHER and (reason := self.engine.why_not_gather(order)):
                    return reason
        return self.ledger.may_trade(order.account) if self.executions.ledger is not None else ""

    def _may_hold(self, order: Order, hold: int) -> bool:
        if order.order_type is OrderType.MARKET or order.time_in_force not in HOLDABLE:
            return False
        if order.terms is not None and order.terms.min_lots:
            return False
        return bool(hold) or self.hold_when_closed

    def _why_not_terms(self, order: Order, terms: Terms, fields: dict[str, Any]) -> str:
        """Terms that contradict the order, the clock, or another order."""
        clock_ns = self.instant.clock_ns
        if self.engine is None:
            return f"{RejectReason.TERMS_UNSUPPORTED.value}: terms={'|'.join(fields)}"
        _, scale = told_scales(order.instrument, self.rules)
        reason = display_reason(terms.display_lots, order.quantity_lots, scale)
        if not reason and terms.min_lots > order.quantity_lots and not terms.budget:
            sizes = (
                f"min_quantity={to_text(terms.min_lots, scale)}, "
                f"quantity={to_text(order.quantity_lots, scale)}"
            )
            unit = "" if self.rules > 2 else " lots"
            reason = f"{RejectReason.QUANTITY_INVALID.value}: {sizes}{unit}"
        if not reason and terms.expire_ns and terms.expire_ns <= clock_ns:
            late = f"expire_ns={terms.expire_ns}, now={clock_ns}"
            reason = f"{RejectReason.EXPIRE_TIME_INVALID.value}: {late}"
        if not reason and "oco" in fields:
            reason = self._pair(order, terms, fields["oco"])
        return reason

    def _pair(self, order: Order, terms: Terms, client_order_id: str) -> str:
        """Find the stop that this order is to be one of two with."""
        partner = self.executions.find(order.account, client_order_id)
        if (
            partner is None
            or partner.terms is None
            or not partner.suspended
            or partner.terms.partner_id
            or partner.instrument is not order.instrument
            or partner.side is not order.side
            or partner.cancel_pending
        ):
            return f"{RejectReason.OCO_INVALID.value}: oco_with={client_order_id}"
        terms.partner_id = partner.order_id
        return ""

    def queue_full(self) -> str:
        bound, queue = self.queue.size_max, self.queue
        if len(queue.main) + len(queue.held) < bound:
            return ""
        return f"{RejectReason.QUEUE_FULL.value}: waiting={bound}, max={bound}"

    def _reserve(self, order: Order) -> str:
        """Reserve what the order may cost; of an OCO pair, once for both."""
        ledger = self.ledger
        need, partner = self._needs(order)
        if partner is not None:
            reason = ledger.would_reserve(order, need, partner.reserved)
            if reason:
                return reason
            ledger.reserve(partner, 0)
        return ledger.reserve(order, need)

    def _needs(self, order: Order) -> tuple[int, Order | None]:
        """What a new order must reserve, by the fees of now; and the stop that it does so for."""
        order.fees = self.ledger.fees_of(order)
        partner_id = order.terms.partner_id if order.terms is not None else 0
        partner = self.executions.orders[partner_id] if partner_id else None
        return self.executions.need(order, order.price_ticks, order.leaves_lots), partner

    def _take_up(self, order: Order, terms: Terms) -> None:
        """What is to remember of an accepted order's terms."""
        if terms.expire_ns:
            self._add_expiry(terms.expire_ns, order.order_id)
        if terms.partner_id:
            partner = self.executions.orders[terms.partner_id]
            assert partner.terms is not None
            partner.terms.partner_id = order.order_id

    def _add_expiry(self, at_ns: int, order_id: int) -> None:
        """Remember when a GTD order ends; those that ended before are forgotten now and then."""
        orders = self.executions.orders
        if len(self.expiries) > 2 * len(orders) + EXPIRIES_MIN:
            self.expiries = [each for each in self.expiries if each[1] in orders]
            heapify(self.expiries)
        heappush(self.expiries, (at_ns, order_id))

    def next_expiry_ns(self) -> int | None:
        """When the next GTD order ends, by the wall clock; None if there is none."""
        while self.expiries and self.expiries[0][1] not in self.executions.orders:
            heappop(self.expiries)
        return self.expiries[0][0] if self.expiries else None

    # --- sending ---

    def _place(self, order: Order, *, check: bool = False) -> None:
        """Send a new order. check: it waited, and trading may have been halted meanwhile."""
        self.left -= 1  # also if it may not go: so a replay knows how far the queue was looked at
        seq, now_ns, received_ns = order.order_id, self.now_ns, order.received_ns
        self.ledger.seq = seq
        waited_ns = now_ns - received_ns if received_ns else 0
        reason = ""
        if check:
            reason = self._why_not_any_more(order)
            if not reason and self._halt_holds(order):
                self.queue.hold(seq, order)
                return
        if reason:
            self.executions.reject(order, reason)
            after_ns = self.read_ns()
        elif self.engine is not None:
            after_ns = self.engine.place(order, waited_ns, now_ns, self.read_ns)
        else:
            told = self.venue.place(order)
            after_ns = self.read_ns()
            self.venue_reports.apply(told, seq, waited_ns, after_ns - now_ns)
            self.sent.append(order)
            if not told:
                return
        self.settle()
        self.now_ns = after_ns
        outcome = "traded" if order.cumulative_lots else OUTCOMES[order.state]
        self.hops[seq] = (outcome, received_ns, order.queued_ns, now_ns, now_ns, after_ns)

    def _why_not_any_more(self, order: Order) -> str:
        """Why an order that waited may not go: as if it came now, and could trade at once."""
        if self.rules < 2 or self.engine is None:  # rules number 1: the halts of operators alone
            idle, symbol = self.risk.idle, order.instrument.symbol
            return "" if idle else self.risk.gate(order.account, symbol)
        reason = self.why_not_now(order, order.hold)
        if reason or order.suspended or self._halt_holds(order):
            return reason
        return self.engine.halts.why_not(order)

    def settle(self) -> None:
        """The same as cascade, for the many executions that set off nothing."""
        if self.losers or self._triggered or self.room_freed:
            self.cascade()

    def cascade(self) -> None:
        """Settle all that the executions so far have set off, until nothing is due any more.

        First the losers of OCO pairs go, in the order their partners were executed; then the
        first triggered stop trades to its end; and again. At last, what may only reduce takes
        the room that was freed.
        """
        if self.engine is None:
            return
        while True:
            self._cancel_losers()
            order = self.engine.next_triggered()
            if order is None:
                if self.losers:  # of a stop that was canceled, as its account is halted
                    continue
                if not self.room_freed:
                    return
                self.engine.halts.use_room()
                continue
            self.executions.trigger(order)
            self._cancel_losers()  # the money of both is with the partner
            ledger, reason = self.executions.ledger, ""
            if ledger is not None:
                need = self.executions.need(order, order.price_ticks, order.leaves_lots)
                reason = ledger.reserve(order, need)
            if reason:  # it was accepted long ago, so it is not rejected
                self.executions.finish(order, OrderState.CANCELED, reason)
            else:
                self.engine.place_triggered(order)

    def _cancel_losers(self) -> None:
        losers = self.losers
        while losers:
            order = losers.popleft()
            if order.order_id not in self.executions.orders:
                continue  # it ended in the same step
            if self.queue.cancel_order(order.order_id) is not None:
                self.executions.finish(order, OrderState.CANCELED, OCO)
            elif self.engine is not None:
                self.engine.withdraw_one(order, OCO)

    # --- what is told of what waits ---

    def tell_pending(self, order: Order) -> None:
        """The first answer to a new order that has to wait."""
        if not order.told:
            order.told = True
            self.reports.add(
                order, ResponseType.PENDING_NEW.value, order.order_id,
                reason=self.why_waiting(order.order_id),
            )  # fmt: skip

    def why_waiting(self, request_seq: int) -> str:
        if request_seq not in self.queue:
            return SENT
        if request_seq in self.queue.held:
            return HELD_HALT
        return THROTTLED if self.is_open and self.link_up else HELD

    def _answer(self, seq: int, line: Line, _received_ns: int, _queued_ns: int) -> None:
        """A request that was answered from what is known: it changed nothing."""
        named_seq = line[13] if len(line) > ANSWER_LENGTH else seq
        self.reports.answer(seq, *line[1:12], named_seq)  # type: ignore[call-arg]


def _terms_of(fields: dict[str, Any]) -> Terms:
    """An order's terms, from its journal line."""
    return Terms(
        stop_ticks=fields.get("stop", 0),
        display_lots=fields.get("display", 0),
        post_only=fields.get("post", ""),
        expire_ns=fields.get("expire", 0),
        min_lots=fields.get("min", 0),
        budget=fields.get("budget", 0),
        protection_ticks=fields.get("protect", 0),
        self_trade=fields.get("stp", ""),
    )
