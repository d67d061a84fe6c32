"""Operations: what is not about one order: session, phases, funds, operators, start and stop.

Flow:  desk -> [operations] -> exchange, ledger, risk -> executions
In:    journal lines, in journal order. What an operator sets lasts until it is set again,
       restarts or not.
Owner: the dispatcher thread. No clock: when something is due, the schedule makes a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from oms.desk import transfers
from oms.desk.bust import Anew, change_trade, why_not_change
from oms.desk.listings import CANCEL, STEPS, Listing, tiers_in
from oms.desk.settings import first_phase
from oms.enums import (
    OrderState,
    OrderType,
    Phase,
    ResponseType,
    Scope,
    TimeInForce,
    Trading,
)
from oms.errors import ValidationError
from oms.exchange.accounts import ROUNDING
from oms.exchange.limits import check_limit
from oms.exchange.order import Order
from oms.money import to_text
from oms.reject_reasons import RejectReason, mass_cancel_reason
from oms.requests import codec
from oms.requests.accounts import ENDS, FundsAction
from oms.requests.codec import Line
from oms.requests.operators import OperatorAction
from oms.sections import known_tiers, symbols_of

if TYPE_CHECKING:
    from oms.desk.desk import Desk

DONE, REFUSED = ResponseType.COMMAND_DONE.value, ResponseType.COMMAND_REJECTED.value
CANCELED, EXPIRED = OrderState.CANCELED, OrderState.EXPIRED
INVALID, SYMBOL_UNKNOWN = RejectReason.COMMAND_INVALID.value, RejectReason.SYMBOL_UNKNOWN.value
KEPT_OVERNIGHT = (TimeInForce.GTC, TimeInForce.GTD)
ACCOUNT_SETTINGS = ("tier", "stp_group")
LEAST = ("quantity_min", "notional_min")  # limits that say how little an order may be for


class OperatorLine(NamedTuple):
    """What an OPERATOR line says, but for who asks."""

    scope: Scope
    target: str
    name: str
    value: str
    why: str

    @property
    def account(self) -> str:
        return self.target if self.scope is Scope.ACCOUNT else ""

    @property
    def symbol(self) -> str:
        return self.target if self.scope is Scope.SYMBOL else ""


class Operations:
    """What each kind of line does, but those of orders and venue reports."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._executions = desk.executions
        self._configured = desk.configured
        self._actions = {
            OperatorAction.SET_TRADING.value: self._set_trading,
            OperatorAction.KILL.value: self._kill,
            OperatorAction.SET_PHASE.value: self._force_phase,
            OperatorAction.SET_LIMIT.value: self._set_limit,
            OperatorAction.SET_ACCOUNT.value: self._set_account,
        }

    def handlers(self) -> dict[str, Callable[[int, Line, int, int], None]]:
        """Kind of a journal line -> what it does."""

        def plain(handle: Callable[[int, Line], None]) -> Callable[[int, Line, int, int], None]:
            def handled(seq: int, line: Line, _received_ns: int, _queued_ns: int) -> None:
                handle(seq, line)
                self._desk.release_held()
                self._desk.refresh()

            return handled

        return {
            codec.SESSION: plain(self._session),
            codec.LINK: plain(self._link),
            codec.START: plain(self._start),
            codec.LOSS: plain(lambda _seq, _line: None),  # what is missing has no effect
            codec.STOP: plain(self._stop),
            codec.PHASE: plain(lambda _seq, line: self._set_phase(Phase(line[1]))),
            codec.TIMER: plain(self._timer),
            codec.DRAWN: plain(self._drawn),
            codec.GOOD_TILL: plain(self._good_till),
            codec.FUNDS: plain(self._funds),
            codec.MASS_CANCEL: plain(self._mass_cancel),
            codec.BUST: plain(self._bust),
            codec.TRADE_CHANGE: plain(self._bust),
            codec.OPERATOR: plain(self._operate),
            codec.MARKET: plain(self._market),
        }

    def _answer(self, seq: int, line: Line, symbol: str, reason: str, told: str) -> None:
        """What came of a request; line[1:3] is who asked, by which id."""
        kind = REFUSED if reason else DONE
        self._desk.reports.answer(seq, line[1], line[2], kind, seq, symbol, reason=reason or told)

    # --- session, phases, expiry ---

    def _session(self, _seq: int, line: Line) -> None:
        desk, what, date = self._desk, line[1], line[2]
        if what == "DATE":
            self._end_date(f"{RejectReason.SESSION_ENDED.value}: trading_date={desk.trading_date}")
            desk.trading_date = date
            return
        desk.opens_ns = line[3] if line[3:] and what != "OPEN" else 0
        if what == "OPEN":
            desk.is_open, desk.trading_date = True, date
            self._check_held()
            self._restore_done_for_day()
            # Older lines do not say how the session begins: then it is as for all of them.
            first = line[3] if len(line) > 3 else first_phase(desk.settings.get("phases", {}))
            self._set_phase(Phase(first))
            return
        self._set_phase(Phase.CLOSED, at_once=True)
        desk.is_open = False
        desk.trading_date = "" if what == "CLOSE" else date
        if what == "CLOSE":
            self._end_day(f"{RejectReason.SESSION_ENDED.value}: trading_date={date}")
        if desk.rules >= 2:
            self._tell_held()

    def _timer(self, _seq: int, line: Line) -> None:
        engine = self._desk.engine
        assert engine is not None
        engine.phases.timer(engine.markets[line[1]])
        self._desk.cascade()

    def _drawn(self, _seq: int, line: Line) -> None:
        engine = self._desk.engine
        assert engine is not None
        engine.phases.drawn(engine.markets[line[1]], line[2])

    def _set_phase(self, phase: Phase, *, at_once: bool = False) -> None:
        engine = self._desk.engine
        if engine is not None:
            engine.phases.session = phase
            for market in engine.markets.values():  # each is settled before the next follows
                engine.phases.follow_session(market, at_once=at_once)
                self._desk.cascade()

    def _end_day(self, reason: str) -> None:
        """DAY orders in the book go, then what waits and cannot be held."""
        day = [
            order
            for order in self._executions.orders.values()
            if order.time_in_force is TimeInForce.DAY and order.order_id not in self._desk.queue
        ]
        waiting = [
            order
            for order in self._waiting()
            if order.order_type is OrderType.MARKET or order.time_in_force not in KEPT_OVERNIGHT
        ]
        self._take_back([*day, *waiting], EXPIRED, reason)
        if self._desk.day_is_done():
            for order in self._executions.orders.values():
                if order.state in (OrderState.NEW, OrderState.PARTIALLY_FILLED):
                    order.state = OrderState.DONE_FOR_DAY
                    self._desk.reports.add(order, ResponseType.DONE_FOR_DAY.value)

    def _end_date(self, reason: str) -> None:
        """A market that never closes: DAY orders end with their date, all others go on."""
        waiting = self._waiting()
        orders = [o for o in self._executions.orders.values() if o.order_id not in self._desk.queue]
        day = [o for o in (*orders, *waiting) if o.time_in_force is TimeInForce.DAY]
        self._take_back(day, EXPIRED, reason)

    def _tell_held(self) -> None:
        """Whoever was told that the throttle keeps an order waits for the open now."""
        for order in self._waiting():
            if order.told:
                self._desk.reports.add(
                    order, ResponseType.PENDING_NEW.value,
                    reason=self._desk.why_waiting(order.order_id),
                )  # fmt: skip

    def _restore_done_for_day(self) -> None:
        for order in self._executions.orders.values():
            if order.state is OrderState.DONE_FOR_DAY:
                filled = order.cumulative_lots > 0
                order.state = OrderState.PARTIALLY_FILLED if filled else OrderState.NEW
                self._desk.reports.add(order, ResponseType.RESTATED.value)

    def _check_held(self) -> None:
        """What waited for the open is looked at anew: limits may be others now."""
        risk = self._desk.risk
        for order in reversed(self._waiting()):  # who came last goes first
            reason = risk.gate(order.account, order.instrument.symbol)
            reason = reason or risk.check(order, self._desk.instant.elapsed_ns, again=True)
            if reason:
                self._end_waiting(order, OrderState.REJECTED, reason)
        self._desk.cascade()

    def _good_till(self, _seq: int, line: Line) -> None:
        """GTD orders whose time has come."""
        orders = self._executions.orders
        due = sorted(id for at_ns, id in self._desk.expiries if at_ns <= line[1] and id in orders)
        self._take_back([orders[id] for id in due], EXPIRED, RejectReason.EXPIRE_TIME.value)

    # --- taking orders back unasked ---

    def _waiting(self) -> list[Order]:
        """New orders that wait to be sent, in that order."""
        return [request for request in self._desk.queue.waiting() if isinstance(request, Order)]

    def _take_back(self, orders: Iterable[Order], state: OrderState, reason: str) -> None:
        """End these: those at the venue in the order of the book, then those that wait."""
        desk, queue = self._desk, self._desk.queue
        waiting, sent = list[Order](), list[Order]()
        for order in orders:
            rests = order.level is not None  # the quick answer for the many
            (sent if rests or order.order_id not in queue else waiting).append(order)
        if sent and desk.engine is not None:
            desk.engine.withdraw(sent, state, reason)
        elif sent:
            ids = {order.order_id for order in sent}
            told = desk.venue.withdraw(ids, ResponseType(state.value), reason)
            desk.venue_reports.apply(told)
        for order in waiting:
            if order.order_id in self._executions.orders:  # it may have lost its partner meanwhile
                self._end_waiting(order, state, reason)
        desk.cascade()

    def _end_waiting(self, order: Order, state: OrderState, reason: str) -> None:
        self._desk.queue.cancel_order(order.order_id)
        self._executions.finish(order, state, reason)

    def _cancel_all(self, account: str, symbol: str, side: str, reason: str) -> str:
        """Cancel what is open of an account, symbol and side ("": any); says how many that were.

        Our own exchange has canceled them; a remote venue was asked to.
        """
        found = [
            order
            for order in self._executions.orders.values()
            if account in ("", order.account)
            and symbol in ("", order.instrument.symbol)
            and side in ("", order.side._value_)
        ]
        self._take_back(found, CANCELED, reason)
        done = "canceled" if self._desk.engine is not None else "cancel_requested"
        return f"{done}={len(found)}"

    def _mass_cancel(self, seq: int, line: Line) -> None:
        _, asker, client_id, account, symbol, side = line[:6]
        reason = mass_cancel_reason(asker, client_id)
        self._answer(seq, line, symbol, "", self._cancel_all(account, symbol, side, reason))

    # --- funds ---

    def _funds(self, seq: int, line: Line) -> None:
        _, account, _client_id, action, asset, amount, other = line[:7]
        ledger = self._desk.ledger
        if self._executions.ledger is None:
            reason = self._ledger_off()
        elif codec.groups_of(line):
            self._transfer(seq, line)
            return
        else:
            kept = self._kept(account, asset)
            reason = ledger.move(FundsAction(action), account, asset, amount, other, kept)
        told = f"account={account}"
        if asset and not reason:
            scale = ledger.scales[asset]
            available, reserved = (
                to_text(units, scale) for units in ledger.accounts[account][asset]
            )
            told = (
                f"asset={asset}, amount={to_text(amount, scale)}, available={available}, "
                f"reserved={reserved}"
            )
        self._answer(seq, line, asset, reason, told)

    def _transfer(self, seq: int, line: Line) -> None:
        """One step of a transfer between groups. The report of its end is one of its own: it has
        the entry that began it as its order id."""
        desk, reports = self._desk, self._desk.reports
        sent = desk.ledger.transfers.get((line[1], line[2])) if line[3] in ENDS else None
        reason = transfers.why_not(desk, line, self._kept(line[1], line[4]))
        told = reason or transfers.move(desk, seq, line)
        kind, named = REFUSED if reason else DONE, sent.seq if sent is not None else seq
        reports.answer(seq, line[1], line[2], kind, named, line[4], reason=told, named_seq=named)

    def _ledger_off(self) -> str:
        cure = ": expected [exchange] ledger = yes, was no" if self._desk.rules >= 2 else ""
        return f"{RejectReason.LEDGER_OFF.value}{cure}"

    def would_fund(self, line: Line) -> str:
        """Why a request about money would be refused."""
        _, account, _client_id, action, asset, amount, other = line[:7]
        if self._executions.ledger is None:
            return self._ledger_off()
        kept = self._kept(account, asset)
        if codec.groups_of(line):
            return transfers.why_not(self._desk, line, kept)
        return self._desk.ledger.would_move(
            FundsAction(action), account, asset, amount, other, kept
        )

    def _kept(self, account: str, asset: str) -> int:
        """What must stay in an account, though no order reserves it."""
        ledger = self._desk.ledger
        if account != ROUNDING or not ledger.since:
            return 0
        return ledger.owed(asset, self._executions.orders.values(), {})

    def _bust(self, seq: int, line: Line) -> None:
        """A trade is taken back, or corrected; a BUST line of an older program has no terms."""
        _, _account, _id, why, fills = line[:5]
        anew = Anew(*line[5]) if line[0] == codec.TRADE_CHANGE else Anew()
        reason = why_not_change(self._desk, fills, anew)
        if not reason:
            change_trade(self._desk, fills, why, anew)
            self._review()  # a position is another: what may reduce it, too
            self._wake_stops(fills[0][6])
        self._answer(seq, line, fills[0][6], reason, f"trade={fills[0][0]}-{fills[0][1]}")

    def _wake_stops(self, symbol: str) -> None:
        """The last price may be another: stops go by it at once, not when somebody else asks."""
        engine = self._desk.engine
        if engine is not None and self._desk.rules > 2:  # before, they waited for the next trade
            market = engine.markets[symbol]
            engine.rules.trigger(market, market.last_ticks)
            self._desk.cascade()

    # --- operators: who may trade, which phase, which limits; the kill switch ---

    def _operate(self, seq: int, line: Line) -> None:
        """Do what the line says; whoever asked is told what came of it."""
        asked, reason = OperatorLine(Scope(line[4]), *line[5:9]), self.why_not(line)
        told = "" if reason else self._actions[line[3]](asked)
        self._answer(seq, line, asked.symbol, reason, told)

    def why_not(self, line: Line) -> str:
        """Why an operator's request cannot be obeyed; nothing is done."""
        desk, asked, action = self._desk, OperatorLine(Scope(line[4]), *line[5:9]), line[3]
        if asked.symbol and asked.symbol not in desk.instruments:
            return f"{SYMBOL_UNKNOWN}: symbol={asked.symbol}"
        if asked.scope is Scope.GROUP and action != OperatorAction.SET_LIMIT:
            return f"{INVALID}: scope=GROUP, expected with SET_LIMIT alone"
        if action == OperatorAction.SET_PHASE:
            closed = asked.value == Phase.CLOSED or not desk.is_open
            if desk.engine is None or asked.scope is Scope.ACCOUNT or closed:
                session = "open" if desk.is_open else "closed"
                return f"{INVALID}: scope={asked.scope}, value={asked.value}, session={session}"
        elif action == OperatorAction.SET_LIMIT:
            groups, rules = desk.risk.known_groups, desk.rules
            if asked.scope is Scope.GROUP and asked.target not in groups:
                return f"{INVALID}: group={asked.target}, known={'|'.join(groups) or 'none'}"
            try:
                check_limit(asked.scope, asked.name, asked.value, rules)
            except ValidationError as error:
                return f"{INVALID}: {error}"
        elif action == OperatorAction.SET_ACCOUNT and (
            asked.scope is not Scope.ACCOUNT or asked.name not in ACCOUNT_SETTINGS
        ):
            return f"{INVALID}: name={asked.name}, expected tier or stp_group of an ACCOUNT"
        return self._unknown(action, asked) if desk.rules > 1 else ""

    def _unknown(self, action: str, asked: OperatorLine) -> str:
        """Why the value names nothing that there is; what there is is told."""
        desk, name, value = self._desk, asked.name, asked.value
        if not value:
            return ""
        if action == OperatorAction.SET_ACCOUNT and name == "tier":
            tiers = {tier for _, tier in desk.ledger.rates}
            if desk.rules > 2:
                tiers = tiers_in(desk.settings, desk.listings.changed)
            if value not in tiers:
                return f"{INVALID}: tier={value}, expected {known_tiers(tiers)}"
        elif action == OperatorAction.SET_LIMIT and name == "restricted_symbols":
            none = value == "0" and desk.rules > 2  # as for all limits
            for symbol in symbols_of(value) if not none else ():
                if symbol not in desk.instruments:
                    known = ", ".join(desk.instruments)
                    return f"{INVALID}: restricted_symbols={symbol}, expected some of {known}"
        return ""

    def _set_trading(self, asked: OperatorLine) -> str:
        """Of a symbol, HALTED halts its market, and the others let it go on."""
        state, engine = Trading(asked.value), self._desk.engine
        if not asked.symbol or state is not Trading.HALTED or engine is None:
            self._set_risk(asked, state)
        if asked.symbol and engine is not None:
            market = engine.markets[asked.symbol]
            if state is Trading.HALTED:
                engine.phases.halt(market)
            elif state is Trading.ACTIVE or (market.halted and self._desk.rules > 2):
                engine.phases.resume(market)  # before, REDUCING left it halted
            self._desk.cascade()
        self._review(whole=asked.scope is not Scope.ACCOUNT)
        return f"trading={state}"

    def _review(self, *, whole: bool = False) -> None:
        """Who may trade has changed: look at all that rests. whole: for everybody in a market."""
        engine = self._desk.engine
        for market in engine.markets.values() if engine is not None else ():
            assert engine is not None
            engine.halts.review(market, whole=whole)
            if whole and engine.rules.number > 1:
                engine.phases.reopen_crossed(market)
            self._desk.cascade()

    def _set_risk(self, asked: OperatorLine, state: Trading) -> None:
        """Nobody new comes in where trading is HALTED, not even to wait."""
        self._desk.risk.set_trading(asked.scope, asked.target, state, asked.why)
        self._desk.risk.watch(self._executions.orders.values())

    def _kill(self, asked: OperatorLine) -> str:
        """Halt, and cancel what is open; it lasts until trading is set to ACTIVE."""
        self._set_risk(asked, Trading.HALTED)
        code = RejectReason.KILL_SWITCH.value
        reason = f"{code}: {asked.why}" if asked.why else code
        told = self._cancel_all(asked.account, asked.symbol, "", reason)
        engine = self._desk.engine
        if asked.symbol and engine is not None:  # an empty market by now
            engine.phases.halt(engine.markets[asked.symbol])
        return f"trading=HALTED, {told}"

    def _force_phase(self, asked: OperatorLine) -> str:
        phase, engine = Phase(asked.value), self._desk.engine
        assert engine is not None
        for symbol in [asked.symbol] if asked.symbol else list(engine.markets):
            if phase is Phase.HALTED:
                engine.phases.halt(engine.markets[symbol])
            else:
                engine.phases.force(engine.markets[symbol], phase)
            self._desk.cascade()
        self._review()
        return f"phase={phase}"

    def _set_limit(self, asked: OperatorLine) -> str:
        scope = Scope.ACCOUNT if asked.scope is Scope.ALL else asked.scope
        self._desk.risk.set_limit(scope, asked.target, asked.name, asked.value)
        self._desk.risk.watch(self._executions.orders.values())
        told = f"{asked.name}={asked.value or 'as configured'}"
        return told + self._configured.worth_nothing(asked.symbol) if asked.name in LEAST else told

    def _set_account(self, asked: OperatorLine) -> str:
        settings = self._desk.account_settings.setdefault(asked.target, {})
        settings.pop(asked.name, None)
        if asked.value:
            settings[asked.name] = asked.value
        self._configured.use_account_settings()
        return f"{asked.name}={asked.value or 'as configured'}"

    def _market(self, seq: int, line: Line) -> None:
        """What is traded, at which fees and steps; orders of a delisted symbol go before it."""
        desk, asked = self._desk, Listing(*line[3:9])
        reason, told = desk.listings.why_not(asked), ""
        if not reason:
            if asked.action == OperatorAction.DELIST and asked.value == CANCEL:
                code = RejectReason.SYMBOL_DELISTED.value
                why = f"{code}: {asked.why}" if asked.why else code
                told = ", " + self._cancel_all("", asked.symbol, "", why)
                assert not desk.listings.open_orders(asked.symbol)
            told = desk.listings.obey(asked) + told
            self._configured.use_instruments()
            self._configured.note_money_terms(seq)
            if asked.action == OperatorAction.LIST or not asked.terms.keys().isdisjoint(STEPS):
                told += self._configured.worth_nothing(asked.symbol)
        self._answer(seq, line, asked.symbol, reason, told)

    # --- link, start, stop ---

    def _link(self, _seq: int, line: Line) -> None:
        self._desk.link_up = line[1] == "UP"

    def _start(self, seq: int, line: Line) -> None:
        """A new process: its settings hold from here on, and the link is down."""
        self._desk.link_up = False
        self._configured.configure(line[1])
        self._desk.opens_ns = line[1].get("opens_ns", 0)
        self._review()  # what an older program left in the book of who is halted
        if self._desk.rules > 1 and self._executions.ledger is not None:
            self._desk.ledger.settle_whole(seq, self._executions.orders.values())
        self._configured.note_money_terms(seq)
        for symbol in self._desk.instruments:
            self._configured.worth_nothing(symbol)

    def _stop(self, _seq: int, _line: Line) -> None:
        self._take_back(self._waiting(), CANCELED, RejectReason.SHUTTING_DOWN.value)
