"""Pre-trade risk: who may trade, and how much; checked before an order goes anywhere.

Flow:  desk -> [risk]: "" or why not, with the limit and the value
Owner: the dispatcher thread, alone: two orders can never pass a limit that has room for one.
Time is what has elapsed, as the turn journaled it: a replay refuses what was refused, and a
step of the wall clock locks nobody out. A limit that is not set costs nothing; a cancel is
never checked.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from oms.clock import NANOS
from oms.enums import Scope, Side, Trading
from oms.exchange.accounts import bound_of
from oms.exchange.limits import AccountLimits, Limits, SymbolLimits, likeness
from oms.exchange.order import Exposure, Order
from oms.instruments import BPS, Instrument
from oms.money import to_text
from oms.reject_reasons import RejectReason

BUY = Side.BUY
RECENT_MAX = 1_000  # orders remembered per account for the duplicate window
CACHED_MAX = 100_000
NOTHING_OPEN = (0, 0, 0)
NOT_LOOKED_UP: Any = object()


class Risk:
    """Trading states, limits, and what is known of accounts that have limits.

    reference_of: what a price band goes by: symbol, and "last" or "reference" -> ticks, or 0.
    listed: the instruments, by symbol. idle: nobody is limited, nobody halted: nothing to check.
    free: nobody is halted or may only reduce. acting_lots: what else of an order's account,
    symbol and side can trade or waits to; None: all that is open of it, at a remote venue.
    """

    def __init__(self, positions: Mapping[tuple[str, str], int]) -> None:
        self._positions = positions
        self.reference_of: Callable[[str, str], int] = lambda _symbol, _around: 0
        self.listed: Mapping[str, Instrument] = {}
        self.acting_lots: Callable[[Order], int] | None = None
        self.idle = self.free = True
        self._reducing_somewhere = False
        self.everybody = Trading.ACTIVE
        self.accounts: dict[str, Trading] = {}
        self.symbols: dict[str, Trading] = {}
        self.killed = ""  # why; "" while the kill switch is off
        self.exposures: dict[str, Exposure] = {}
        self.set_by_operator: dict[str, dict[str, Limits]] = {}  # scope -> target -> limits
        self._configured: dict[str, dict[str, Limits]] = {}
        # Made when first asked for; None where there is no limit.
        self._of_account: dict[str, AccountLimits | None] = {}
        self._of_symbol: dict[str, SymbolLimits | None] = {}

    # --- settings ---

    def configure(self, limits: dict[str, dict[str, Limits]]) -> None:
        """The limits of the configuration: scope -> target ("" for all accounts) -> limits."""
        self._configured = limits
        self._refresh()

    def set_limit(self, scope: Scope, target: str, name: str, value: str) -> None:
        """An operator's limit goes before the configured one; "" gives that back."""
        limits = self.set_by_operator.setdefault(scope.value, {}).setdefault(target, {})
        if value:
            limits[name] = value
        else:
            limits.pop(name, None)
        self._refresh()

    def set_trading(self, scope: Scope, target: str, state: Trading, why: str) -> None:
        """Who may trade: everybody, one account, or whoever trades one symbol."""
        some = self.symbols if scope is Scope.SYMBOL else self.accounts
        if scope is Scope.ALL:
            self.everybody = state
            self.killed = why if state is Trading.HALTED else ""
        elif state is Trading.ACTIVE:
            some.pop(target, None)
        else:
            some[target] = state
        self._refresh()

    def _refresh(self) -> None:
        self._of_account, self._of_symbol = {}, {}
        sources = (self._configured, self.set_by_operator)
        limited = any(
            limits for s in sources for targets in s.values() for limits in targets.values()
        )
        self.free = self.everybody is Trading.ACTIVE and not self.accounts and not self.symbols
        self.idle = self.free and not limited
        states = (self.everybody, *self.accounts.values(), *self.symbols.values())
        self._reducing_somewhere = Trading.REDUCING in states

    def _texts(self, scope: Scope, target: str) -> Limits:
        """What holds for one account or symbol: everybody's, its own, the operator's."""
        found: Limits = {}
        for source in (self._configured, self.set_by_operator):
            for name in dict.fromkeys(("", target)):
                found.update(source.get(scope.value, {}).get(name, {}))
        return {name: text for name, text in found.items() if text.strip("0.")}

    def _account(self, account: str) -> AccountLimits | None:
        if account not in self._of_account:
            if len(self._of_account) >= CACHED_MAX:
                self._of_account = {}
            texts = self._texts(Scope.ACCOUNT, account)
            self._of_account[account] = AccountLimits(texts) if texts else None
        return self._of_account[account]

    def _symbol(self, instrument: Instrument) -> SymbolLimits | None:
        symbol = instrument.symbol
        if symbol not in self._of_symbol:
            texts = self._texts(Scope.SYMBOL, symbol)
            self._of_symbol[symbol] = SymbolLimits(texts, instrument) if texts else None
        return self._of_symbol[symbol]

    def watch(self, orders: Iterable[Order]) -> None:
        """Count anew what is open in accounts that have limits; after any of them changed."""
        before, self.exposures = self.exposures, {}
        for order in orders:
            watched = self._account(order.account) or self.reduces_only(order)
            order.exposure = self._exposure(order.account) if watched else None
            if order.exposure is not None:
                order.exposure.move(order, order.leaves_lots, 1)
        for account, exposure in before.items():
            if self._account(account):
                now = self._exposure(account)
                now.stamps, now.recent = exposure.stamps, exposure.recent

    def _exposure(self, account: str) -> Exposure:
        exposure = self.exposures.get(account)
        if exposure is None:
            exposure = self.exposures[account] = Exposure()
        return exposure

    # --- the checks, in their order ---

    def gate(self, account: str, symbol: str) -> str:
        """The kill switch, and a halted account: before anything else is looked at."""
        if self.everybody is Trading.HALTED:
            return f"{RejectReason.KILL_SWITCH}: {self.killed or 'trading is halted'}"
        if self.accounts and self.accounts.get(account) is Trading.HALTED:
            return f"{RejectReason.ACCOUNT_HALTED}: account={account}"
        if self.symbols and self.symbols.get(symbol) is Trading.HALTED:
            return f"{RejectReason.KILL_SWITCH}: symbol={symbol}"
        return ""

    def check(self, order: Order, elapsed_ns: int, *, again: bool = False) -> str:
        """Why a new order may not go on; again: one that was held is looked at anew."""
        if not again and self._surely_inside(order):
            return ""
        symbol, account = self._symbol(order.instrument), self._account(order.account)
        # One that is looked at again is counted already: look at the others.
        counted = order.leaves_lots if again and order.exposure is not None else 0
        reason = self._reducing(order, counted)
        price, lots = self._estimate(order)
        if account is not None and not reason:
            reason = self._conduct(account, order, elapsed_ns, again=again)
        if symbol is not None and not reason:
            reason = self._size(symbol, order, lots, bound_of(order, order.price_ticks))
        if account is not None and not reason:
            exposure = self._exposure(order.account)
            if not again:
                reason = _counts(account, exposure, elapsed_ns)
            budget = order.terms.budget if order.terms is not None else 0
            value = 0 if budget else price * lots
            reason = reason or self._open(account, exposure, order, lots, value, budget, counted)
        return reason

    def _surely_inside(self, order: Order) -> bool:
        """Is a plain limit order inside every limit? Quick; if not, `check` says what is wrong."""
        price, lots, instrument = order.price_ticks, order.leaves_lots, order.instrument
        if order.terms is not None or not price or self._reducing_somewhere:
            return False
        limits = self._of_symbol.get(instrument.symbol, NOT_LOOKED_UP)
        if limits is NOT_LOOKED_UP:
            return False
        value = price * lots
        if limits is not None:
            if not limits.surely_inside(lots, value, instrument):
                return False
            if limits.band_bps:
                reference = self.reference_of(instrument.symbol, limits.band_around)
                away = abs(price - reference) * BPS
                if reference and away > reference * limits.band_bps:
                    return False
        account = self._of_account.get(order.account, NOT_LOOKED_UP)
        if account is None:
            return True
        exposure = self.exposures.get(order.account)
        if account is NOT_LOOKED_UP or exposure is None or account.conduct:
            return False
        if account.open_orders_max and exposure.count >= account.open_orders_max:
            return False
        caps = account.caps(instrument)
        if caps.position_lots is not None:
            position = self._positions.get((order.account, instrument.symbol), 0)
            buys, sells, _ = exposure.symbols.get(instrument.symbol, NOTHING_OPEN)
            would = position + buys if order.side is BUY else sells - position
            if would + lots > caps.position_lots:
                return False
        return caps.credit is None or self._credit(exposure, instrument, value) <= caps.credit

    def _estimate(self, order: Order) -> tuple[int, int]:
        """Price and lots to measure an order by, where it does not say them itself.

        A stop by its stop price, a market order by the last one; of a budget, what it buys there.
        """
        terms, instrument = order.terms, order.instrument
        price = bound_of(order, order.price_ticks) or (terms.stop_ticks if terms is not None else 0)
        price = price or self.reference_of(instrument.symbol, "last")
        if terms is None or not terms.budget or order.leaves_lots or not price:
            return price, order.leaves_lots
        return price, terms.budget * instrument.price_quantity_unit // (
            price * instrument.quote_unit
        )

    def accepted(self, order: Order, elapsed_ns: int) -> None:
        """The order is in: count it."""
        limits = self._account(order.account)
        if limits is None and not self.reduces_only(order):
            return
        order.exposure = exposure = self._exposure(order.account)
        exposure.move(order, order.leaves_lots, 1)
        if limits is None:
            return
        _stamp(limits, exposure, elapsed_ns)
        if limits.duplicate_ns:
            if len(exposure.recent) >= RECENT_MAX:
                exposure.recent.pop(next(iter(exposure.recent)))
            like = likeness(order)
            exposure.recent.pop(like, None)  # so that the oldest stays first
            exposure.recent[like] = elapsed_ns

    def check_change(
        self, order: Order, price_ticks: int, lots: int, elapsed_ns: int, *, acts: bool = True
    ) -> str:
        """Why an order may not have this price and total quantity: the delta is what counts.

        acts: False for one that is asked again before it can trade.
        """
        if self.idle:
            return ""
        more = max(lots - order.cumulative_lots, 0) - order.leaves_lots
        # Orders stay open when trading is halted: they may get smaller, but not trade this way.
        smaller = not acts or (more <= 0 and price_ticks == order.price_ticks)
        reason = "" if smaller else self.gate(order.account, order.instrument.symbol)
        if not reason and acts and self.reduces_only(order):
            reason = self._not_reducing(order, price_ticks, more)
        symbol, account = self._symbol(order.instrument), self._account(order.account)
        if symbol is not None and not reason:
            reason = self._size(symbol, order, lots, price_ticks, changes=True)
        if account is not None and not reason:
            exposure = self._exposure(order.account)
            reason = _messages(account, exposure, elapsed_ns)
            value = price_ticks * (order.leaves_lots + more) - order.price_ticks * order.leaves_lots
            reason = reason or self._open(account, exposure, order, more, value)
        return reason

    def changed(self, order: Order, elapsed_ns: int) -> None:
        """A modify was allowed: it is one more message of the account."""
        limits = None if self.idle else self._account(order.account)
        if limits is not None:
            _stamp(limits, self._exposure(order.account), elapsed_ns)

    def reduces_only(self, order: Order) -> bool:
        """May the order's account, in its symbol, only bring a position toward zero?"""
        return (
            self.everybody is Trading.REDUCING
            or (bool(self.accounts) and self.accounts.get(order.account) is Trading.REDUCING)
            or (
                bool(self.symbols) and self.symbols.get(order.instrument.symbol) is Trading.REDUCING
            )
        )

    def _not_reducing(self, order: Order, price_ticks: int, more: int) -> str:
        """A modify adds nothing, and brings nothing nearer to a trade that would."""
        position = self._positions.get((order.account, order.instrument.symbol), 0)
        reduces = position < 0 if order.side is BUY else position > 0
        if more <= 0 and (reduces or price_ticks == order.price_ticks):
            return ""
        return f"{RejectReason.REDUCING_ONLY}: more={more}, position={position}"

    def _reducing(self, order: Order, counted: int) -> str:
        """Only as much as brings the position, with what is open of it, to zero."""
        if not self.reduces_only(order):
            return ""
        if self.acting_lots is not None:
            return self.why_not_reducing(order, self.acting_lots(order))
        symbol = order.instrument.symbol
        position = self._positions.get((order.account, symbol), 0)
        buys, sells, _ = self._exposure(order.account).symbols.get(symbol, NOTHING_OPEN)
        room = (-position - buys if order.side is BUY else position - sells) + counted
        if 0 < order.quantity_lots <= room:  # 0: a budget buys nobody knows how many
            return ""
        return f"{RejectReason.REDUCING_ONLY}: quantity={order.quantity_lots}, position={position}"

    def why_not_reducing(self, order: Order, acting_lots: int) -> str:
        """Why it may not trade all that is open of it, beside others that may so much."""
        position = self._positions.get((order.account, order.instrument.symbol), 0)
        room = (-position if order.side is BUY else position) - acting_lots
        if 0 < order.leaves_lots <= room:  # 0: a budget buys nobody knows how many
            return ""
        return f"{RejectReason.REDUCING_ONLY}: quantity={order.leaves_lots}, position={position}"

    def _conduct(self, limits: AccountLimits, order: Order, elapsed_ns: int, *, again: bool) -> str:
        """Symbols the account may not trade; the same order again, too soon to be meant."""
        if order.instrument.symbol in limits.restricted:
            return f"{RejectReason.SYMBOL_RESTRICTED}: symbol={order.instrument.symbol}"
        if not limits.duplicate_ns or again:
            return ""
        before_ns = self._exposure(order.account).recent.get(likeness(order))
        if before_ns is None or elapsed_ns - before_ns >= limits.duplicate_ns:
            return ""
        return (
            f"{RejectReason.ORDER_REPEATED}: after_ns={elapsed_ns - before_ns}, "
            f"window_s={limits.duplicate_ns / NANOS:g}"
        )

    def _size(
        self,
        limits: SymbolLimits,
        order: Order,
        lots: int,
        price_ticks: int,
        *,
        changes: bool = False,
    ) -> str:
        """Quantity, notional and price, against the instrument's limits."""
        instrument, before = order.instrument, order.quantity_lots if changes else None
        reason = limits.quantity.check(lots, before) if lots else ""
        reference = self.reference_of(instrument.symbol, limits.band_around)
        price = price_ticks or reference
        budget = order.terms.budget if order.terms is not None else 0
        if not reason and (price or budget):
            notional = budget or instrument.notional(price, lots)
            if changes:
                before = instrument.notional(order.price_ticks or price, order.quantity_lots)
            reason = limits.notional.check(notional, before)
        moves = price_ticks != order.price_ticks or not changes
        if not reason and limits.band_bps and price_ticks and reference and moves:
            low = -(-reference * (BPS - limits.band_bps) // BPS)
            high = reference * (BPS + limits.band_bps) // BPS
            if not low <= price_ticks <= high:
                text = [to_text(p, instrument.price_scale) for p in (price_ticks, low, high)]
                code = RejectReason.PRICE_OUTSIDE_BAND
                reason = f"{code}: price={text[0]}, min={text[1]}, max={text[2]}"
        return reason

    def _open(
        self,
        limits: AccountLimits,
        exposure: Exposure,
        order: Order,
        more: int,
        value: int,
        budget: int = 0,
        counted: int = 0,
    ) -> str:
        """Position and credit, were all that is open filled; `more` lots, `value` more.

        value: price times lots, unscaled; budget: an amount of the quote asset. counted: lots of
        the order that are counted as open already.
        """
        instrument = order.instrument
        symbol, caps = instrument.symbol, limits.caps(instrument)
        if caps.position_lots is not None and more > 0:
            position = self._positions.get((order.account, symbol), 0)
            buys, sells, _ = exposure.symbols.get(symbol, NOTHING_OPEN)
            would = (position + buys if order.side is BUY else sells - position) + more - counted
            if would > caps.position_lots:
                scale = instrument.quantity_scale
                return (
                    f"{RejectReason.POSITION_EXCEEDS_MAXIMUM}: position={to_text(would, scale)}, "
                    f"max={to_text(caps.position_lots, scale)}"
                )
        if caps.credit is not None and value + budget > 0:
            before = order.price_ticks * counted
            would = self._credit(exposure, instrument, value - before) + budget
            if would > caps.credit:
                scale = instrument.quote_scale
                return (
                    f"{RejectReason.CREDIT_EXCEEDS_MAXIMUM}: credit={to_text(would, scale)}, "
                    f"max={to_text(caps.credit, scale)}"
                )
        return ""

    def _credit(self, exposure: Exposure, instrument: Instrument, value: int) -> int:
        """The notional of all that is open against one quote asset, and of `value` more."""
        total = 0
        for symbol, (_, _, open_value) in exposure.symbols.items():
            other = self.listed.get(symbol)
            if other is instrument:
                value += open_value
            elif other is not None and other.quote == instrument.quote:
                total += other.notional_up(open_value, 1)  # the price is in it
        return total + instrument.notional_up(value, 1)

    # --- plain data ---

    def dump(self) -> dict[str, Any]:
        return {
            "everybody": self.everybody.value,
            "accounts": {account: state.value for account, state in self.accounts.items()},
            "symbols": {symbol: state.value for symbol, state in self.symbols.items()},
            "killed": self.killed,
            "limits": self.set_by_operator,
            "recent": {
                account: [exposure.stamps, [[*key, at] for key, at in exposure.recent.items()]]
                for account, exposure in self.exposures.items()
                if exposure.stamps or exposure.recent
            },
        }

    def load(self, state: Mapping[str, Any], orders: Iterable[Order]) -> None:
        self.everybody = Trading(state["everybody"])
        self.accounts = {name: Trading(value) for name, value in state["accounts"].items()}
        self.symbols = {name: Trading(value) for name, value in state["symbols"].items()}
        self.killed = state["killed"]
        self.set_by_operator = state["limits"]
        self._refresh()
        self.watch(orders)
        for account, (stamps, recent) in state["recent"].items():
            exposure = self._exposure(account)
            exposure.stamps = stamps
            exposure.recent = {tuple(each[:-1]): each[-1] for each in recent}


def _counts(limits: AccountLimits, exposure: Exposure, elapsed_ns: int) -> str:
    """Open orders, and messages in the window."""
    most = limits.open_orders_max
    if most and exposure.count >= most:
        code = RejectReason.OPEN_ORDERS_EXCEED_MAXIMUM
        return f"{code}: open={exposure.count + 1}, max={most}"
    return _messages(limits, exposure, elapsed_ns)


def _messages(limits: AccountLimits, exposure: Exposure, elapsed_ns: int) -> str:
    most = limits.messages_max
    if not most or len(exposure.stamps) < most:
        return ""
    if elapsed_ns - exposure.stamps[-most] >= limits.messages_window_ns:
        return ""
    return (
        f"{RejectReason.MESSAGES_EXCEED_MAXIMUM}: messages={most + 1}, max={most}, "
        f"window_s={limits.messages_window_ns / NANOS:g}"
    )


def _stamp(limits: AccountLimits, exposure: Exposure, elapsed_ns: int) -> None:
    if limits.messages_max:
        exposure.stamps.append(elapsed_ns)
        del exposure.stamps[: -limits.messages_max]
