"""Control desk: what is not about one order: session, phases, funds, operators, settings.

Flow:  desk -> [control_desk] -> exchange, ledger, risk -> executions
In:    journal entries, in journal order.
Owner: the dispatcher thread. No clock: when something is due, the agenda makes an entry.
"""

from collections.abc import Callable
from typing import Any

from oms.controls import FundsAction
from oms.desk import entries
from oms.desk.bust import bust
from oms.desk.desk_state import DeskState
from oms.desk.entries import Entry
from oms.desk.operator_desk import OperatorDesk
from oms.desk.settings import instrument_of, money_terms_of
from oms.messages import (
    OrderState,
    OrderType,
    Phase,
    RejectReason,
    ResponseType,
    SelfTrade,
    TimeInForce,
)
from oms.money import to_text
from oms.orders import Event, Order

DONE, REFUSED = ResponseType.COMMAND_DONE.value, ResponseType.COMMAND_REJECTED.value
CANCELED, EXPIRED = ResponseType.CANCELED, ResponseType.EXPIRED
KEPT_OVERNIGHT = (TimeInForce.GTC, TimeInForce.GTD)


class ControlDesk:
    """The handlers of all entries but those of orders and venue reports."""

    def __init__(self, desk: DeskState) -> None:
        self._desk = desk
        self._blotter = desk.blotter

    def handlers(self) -> dict[str, Callable[[int, Entry, int, int], None]]:
        """Entry kind -> what it does."""

        def plain(handle: Callable[[int, Entry], None]) -> Callable[[int, Entry, int, int], None]:
            return lambda seq, entry, _received_ns, _queued_ns: handle(seq, entry)

        return {
            entries.SESSION: plain(self._session),
            entries.LINK: plain(self._link),
            entries.START: plain(self._start),
            entries.STOP: plain(self._stop),
            entries.PHASE: plain(self._phase),
            entries.TIMER: plain(self._timer),
            entries.GOOD_TILL: plain(self._good_till),
            entries.FUNDS: plain(self._funds),
            entries.MASS_CANCEL: plain(self._mass_cancel),
            entries.BUST: plain(self._bust),
            entries.OPERATOR: plain(OperatorDesk(self._desk, self).act),
        }

    # --- session, phases, expiry ---

    def _session(self, _seq: int, entry: Entry) -> None:
        what, date = entry[1], entry[2]
        if what == "OPEN":
            self._desk.is_open, self._desk.trading_date = True, date
            self._check_held()
            self._restore_done_for_day()
            self._set_phase(first_phase(self._desk.settings))
            return
        self._set_phase(Phase.CLOSED)
        self._desk.is_open = False
        self._desk.trading_date = "" if what == "CLOSE" else date
        if what == "CLOSE":
            self._end_day(f"{RejectReason.SESSION_ENDED.value}: trading_date={date}")

    def _phase(self, _seq: int, entry: Entry) -> None:
        self._set_phase(Phase(entry[1]))

    def _timer(self, _seq: int, entry: Entry) -> None:
        assert self._desk.engine is not None
        self.apply(self._desk.engine.phases.timer(self._desk.engine.markets[entry[1]]))

    def _set_phase(self, phase: Phase) -> None:
        engine = self._desk.engine
        if engine is not None:
            engine.phases.session = phase
            for market in engine.markets.values():  # each is settled before the next follows
                self.apply(engine.phases.follow_session(market))

    def apply(self, events: list[Event]) -> None:
        assert self._desk.cascade is not None
        self._desk.cascade.apply(events)

    def _end_day(self, reason: str) -> None:
        """DAY orders in the book go, then what waits and cannot be held."""
        queue = self._desk.queue
        day = [
            order
            for order in self._blotter.orders.values()
            if order.time_in_force is TimeInForce.DAY and order.order_id not in queue
        ]
        waiting = [
            order
            for order in self._waiting()
            if order.order_type is OrderType.MARKET or order.time_in_force not in KEPT_OVERNIGHT
        ]
        self._take_back(day + waiting, EXPIRED, reason)
        if self._desk.settings.get("done_for_day"):
            for order in self._blotter.orders.values():
                if order.state in (OrderState.NEW, OrderState.PARTIALLY_FILLED):
                    order.state = OrderState.DONE_FOR_DAY
                    self._blotter.report(order, ResponseType.DONE_FOR_DAY.value)

    def _restore_done_for_day(self) -> None:
        for order in self._blotter.orders.values():
            if order.state is OrderState.DONE_FOR_DAY:
                filled = order.cumulative_lots > 0
                order.state = OrderState.PARTIALLY_FILLED if filled else OrderState.NEW
                self._blotter.report(order, ResponseType.RESTATED.value)

    def _check_held(self) -> None:
        """What waited for the open is looked at anew: limits may be others now."""
        risk = self._desk.risk
        for order in reversed(self._waiting()):  # who came last goes first
            reason = risk.gate(order.account, order.instrument.symbol)
            reason = reason or risk.check(order, self._blotter.wall_ns, again=True)
            if reason:
                self._end_waiting(order, OrderState.REJECTED, reason)
        self._settle()

    def _good_till(self, _seq: int, entry: Entry) -> None:
        """GTD orders whose time has come."""
        orders = self._blotter.orders
        due = sorted(id for at_ns, id in self._desk.expiries if at_ns <= entry[1] and id in orders)
        self._take_back([orders[id] for id in due], EXPIRED, RejectReason.EXPIRE_TIME.value)

    # --- taking orders back unasked ---

    def _waiting(self) -> list[Order]:
        """New orders that wait to be sent, in that order."""
        return [request for request in self._desk.queue.waiting() if isinstance(request, Order)]

    def _take_back(self, orders: list[Order], type_: ResponseType, reason: str) -> None:
        """End these: those at the venue in the order of the book, then those that wait."""
        waiting = [order for order in orders if order.order_id in self._desk.queue]
        queued = {order.order_id for order in waiting}
        sent = {order.order_id for order in orders} - queued
        if sent:
            self._desk.executions.apply(self._desk.venue.withdraw(sent, type_, reason))
        for order in waiting:
            if order.order_id in self._blotter.orders:  # it may have lost its partner meanwhile
                self._end_waiting(order, OrderState(type_.value), reason)
        self._settle()

    def _end_waiting(self, order: Order, state: OrderState, reason: str) -> None:
        self._desk.queue.cancel_order(order.order_id)
        self._desk.executions.ended(order, state, reason)

    def _settle(self) -> None:
        if self._desk.cascade is not None:
            self._desk.cascade.run()

    def cancel_all(self, account: str, symbol: str, side: str, reason: str) -> int:
        """Cancel what is open of an account, symbol and side ("": any); how many that were."""
        found = [
            order
            for order in self._blotter.orders.values()
            if account in ("", order.account)
            and symbol in ("", order.instrument.symbol)
            and side in ("", order.side.value)
        ]
        self._take_back(found, CANCELED, reason)
        return len(found)

    @property
    def said_of_cancels(self) -> str:
        """Our own exchange has canceled them; a remote venue was asked to."""
        return "canceled" if self._desk.engine is not None else "cancel_requested"

    def _mass_cancel(self, seq: int, entry: Entry) -> None:
        _, asker, client_id, account, symbol, side = entry
        reason = f"{RejectReason.MASS_CANCEL.value}: by={asker}, id={client_id}"
        count = self.cancel_all(account, symbol, side, reason)
        self.answer(seq, entry, symbol, "", f"{self.said_of_cancels}={count}")

    # --- funds ---

    def _funds(self, seq: int, entry: Entry) -> None:
        _, account, _client_id, action, asset, amount, other = entry
        ledger = self._desk.ledger
        if self._blotter.ledger is None:
            reason = RejectReason.LEDGER_OFF.value
        elif action == FundsAction.CREATE:
            reason = ledger.create(account)
        elif action == FundsAction.DEPOSIT:
            reason = ledger.deposit(account, asset, amount)
        elif action == FundsAction.WITHDRAW:
            reason = ledger.withdraw(account, asset, amount)
        else:
            reason = ledger.transfer(account, other, asset, amount)
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
        self.answer(seq, entry, asset, reason, told)

    def answer(self, seq: int, entry: Entry, symbol: str, reason: str, told: str) -> None:
        """What came of a command; entry[1:3] is who asked, by which id."""
        self._blotter.answer(
            seq, entry[1], entry[2], REFUSED if reason else DONE, seq, symbol, "", "", 0, 0, "",
            reason or told,
        )  # fmt: skip

    def _bust(self, seq: int, entry: Entry) -> None:
        _, _account, _id, why, fills = entry
        reason = bust(self._desk, fills, why)
        self.answer(seq, entry, fills[0][6], reason, f"trade={fills[0][0]}-{fills[0][1]}")

    # --- settings ---

    def _link(self, _seq: int, entry: Entry) -> None:
        self._desk.link_up = entry[1] == "UP"

    def _start(self, seq: int, entry: Entry) -> None:
        """A new process: its settings hold from here on, and the link is down."""
        self._desk.link_up = False
        self.configure(entry[1])
        known, ledger = self._desk.money_terms, bool(entry[1].get("ledger"))
        for symbol, instrument in self._desk.instruments.items():
            terms = [ledger, *money_terms_of(instrument)]
            if symbol not in known or known[symbol][0] != terms:
                known[symbol] = (terms, seq)

    def _stop(self, _seq: int, _entry: Entry) -> None:
        self._take_back(self._waiting(), CANCELED, RejectReason.SHUTTING_DOWN.value)

    def configure(self, settings: dict[str, Any]) -> None:
        """Take over the part of the configuration that a replay depends on."""
        desk = self._desk
        desk.settings = settings
        desk.hold_when_closed = settings["hold_when_closed"]
        desk.queue.size_max = settings["waiting_max"]
        instruments = [instrument_of(fields) for fields in settings["instruments"]]
        desk.instruments = {instrument.symbol: instrument for instrument in instruments}
        desk.venue.list_instruments(instruments)
        for order in self._blotter.orders.values():
            order.instrument = desk.instruments[order.instrument.symbol]
            order.received_ns = order.queued_ns = 0  # the old process's clock means nothing now
        rates = {(s, tier): (maker, taker) for s, tier, maker, taker in settings.get("fees", ())}
        desk.ledger.configure(instruments, rates)
        self._blotter.ledger = desk.ledger if settings.get("ledger") else None
        desk.risk.configure(settings.get("limits", {}))
        desk.risk.listed = desk.instruments
        desk.risk.watch(self._blotter.orders.values())
        if desk.engine is not None:
            self._set_rules(settings)
        else:  # what a remote venue trades at is not known here
            desk.risk.reference_of = lambda symbol, _: (
                desk.instruments[symbol].reference_price_ticks
            )
        self.use_account_settings()

    def _set_rules(self, settings: dict[str, Any]) -> None:
        assert self._desk.engine is not None
        rules, markets = self._desk.engine.rules, self._desk.engine.markets
        rules.ledger = self._blotter.ledger
        rules.self_trade = SelfTrade(settings.get("self_trade", "none"))
        for name, value in settings.get("breaker", {}).items():
            setattr(rules, name, value)
        self._desk.risk.reference_of = lambda symbol, around: (
            markets[symbol].reference_ticks
            if around == "last"
            else markets[symbol].instrument.reference_price_ticks
        )

    def use_account_settings(self) -> None:
        """The configuration's tiers and groups, and before them what an operator set."""
        groups, tiers = (
            {
                **self._desk.settings.get(f"{name}s", {}),
                **{
                    account: settings[name]
                    for account, settings in self._desk.account_settings.items()
                    if name in settings
                },
            }
            for name in ("stp_group", "tier")
        )
        self._desk.ledger.tiers = {account: tier for account, tier in tiers.items() if tier}
        if self._desk.engine is not None:
            self._desk.engine.rules.groups = {a: group for a, group in groups.items() if group}


def first_phase(settings: dict[str, Any]) -> Phase:
    """How a session begins."""
    phases = settings.get("phases", {})
    if phases.get("pre_open_ns"):
        return Phase.PRE_OPEN
    return Phase.OPENING_AUCTION if phases.get("opening_auction_ns") else Phase.CONTINUOUS
