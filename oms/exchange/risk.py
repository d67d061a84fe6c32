"""Pre-trade risk: who may trade, and how much; checked before an order goes anywhere.

Flow:  desk -> [risk] -> conduct, holdings: "" or why not, with the limit and the value
Owner: the dispatcher thread, alone: two orders can never pass a limit that has room for one.
Time is what has elapsed, as the turn journaled it: a replay refuses what was refused, and a
step of the wall clock locks nobody out. A limit that is not set costs nothing; a cancel is
never checked.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from oms.answers import Room
from oms.enums import OrderState, Scope, Side, Trading
from oms.exchange.accounts import bound_of
from oms.exchange.conduct import (
    amends,
    comes_nearer,
    counts,
    messages,
    not_allowed,
    repeated,
    stamp,
)
from oms.exchange.holdings import NOTHING_OPEN, Holdings
from oms.exchange.limits import AccountLimits, Holder, Limits, SymbolLimits, likeness
from oms.exchange.order import Change, Exposure, Order, told_scales
from oms.instruments import Instrument
from oms.money import to_text
from oms.reject_reasons import RejectReason

BUY = Side.BUY
RECENT_MAX = 1_000  # orders remembered per account for the duplicate window
CACHED_MAX = 100_000
NOT_LOOKED_UP: Any = object()
Band = tuple[int, int]


class Risk:
    """Trading states, limits, and what is known of accounts that have limits.

    idle: nobody is limited, nobody halted: nothing to check. free: nobody is halted or may only
    reduce. acting_lots: what else of an order's account, symbol and side can trade or waits to;
    None: all that is open of it, at a remote venue. band_of: symbol, basis points and "last" or
    "reference" -> the lowest and highest price that an order may have; None: any.
    """

    def __init__(self, positions: Mapping[tuple[str, str], int]) -> None:
        self.holdings = Holdings(positions)
        self.band_of: Callable[[str, int, str], Band | None] = lambda _symbol, _bps, _around: None
        self.acting_lots: Callable[[Order], int] | None = None
        self.idle = self.free = True
        self._reducing_somewhere = False
        self.rules = 1  # their number
        self.everybody = Trading.ACTIVE
        self.accounts: dict[str, Trading] = {}
        self.symbols: dict[str, Trading] = {}
        self.killed = ""  # why; "" while the kill switch is off
        self.exposures: dict[str, Exposure] = {}
        self.set_by_operator: dict[str, dict[str, Limits]] = {}  # scope -> target -> limits
        self._configured: dict[str, dict[str, Limits]] = {}
        self._groups: dict[str, list[str]] = {}  # account -> groups
        self._limited_groups = False  # has any of them a limit?
        self.group_exposures: dict[str, Exposure] = {}
        self._of_groups: dict[str, tuple[Holder, ...]] = {}  # by account, when first asked for
        # Made when first asked for; None where there is no limit.
        self._of_account: dict[str, AccountLimits | None] = {}
        self._of_symbol: dict[str, SymbolLimits | None] = {}

    # --- settings ---

    def configure(
        self, limits: dict[str, dict[str, Limits]], groups: dict[str, list[str]] | None = None
    ) -> None:
        """The limits of the configuration: scope -> target ("" for all accounts) -> limits.

        groups: of each account that is in some.
        """
        self._configured, self._groups = limits, groups or {}
        self._refresh()

    @property
    def known_groups(self) -> list[str]:
        """Those of the configuration."""
        members = (name for names in self._groups.values() for name in names)
        return sorted({*self._configured.get(Scope.GROUP.value, {}), *members})

    def groups_of(self, account: str) -> list[str]:
        """Those that an account is in, by the configuration."""
        return list(self._groups.get(account, ()))

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
        self._of_account, self._of_symbol, self._of_groups = {}, {}, {}
        sources = (self._configured, self.set_by_operator)
        limited = any(
            limits for s in sources for targets in s.values() for limits in targets.values()
        )
        self.free = self.everybody is Trading.ACTIVE and not self.accounts and not self.symbols
        self.idle = self.free and not limited
        self._limited_groups = any(self.texts(Scope.GROUP, name) for name in self.known_groups)
        states = (self.everybody, *self.accounts.values(), *self.symbols.values())
        self._reducing_somewhere = Trading.REDUCING in states

    def texts(self, scope: Scope, target: str) -> Limits:
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
            texts = self.texts(Scope.ACCOUNT, account)
            self._of_account[account] = AccountLimits(texts) if texts else None
        return self._of_account[account]

    def least(self, instrument: Instrument) -> tuple[int, int]:
        """The least an order may be for: lots, and notional in units; 0 where nothing says so."""
        limits = self._symbol(instrument)
        return (limits.quantity.low or 0, limits.notional.low or 0) if limits else (0, 0)

    def _groups_of(self, account: str) -> tuple[Holder, ...]:
        """The groups of an account that have limits."""
        if not self._limited_groups or account not in self._groups:
            return ()
        if account not in self._of_groups:
            texts = {name: self.texts(Scope.GROUP, name) for name in self._groups[account]}
            self._of_groups[account] = tuple(
                self._group(name, limits) for name, limits in texts.items() if limits
            )
        return self._of_groups[account]

    def _group(self, name: str, texts: Limits) -> Holder:
        members = tuple(account for account, names in self._groups.items() if name in names)
        exposure = self.group_exposures.setdefault(name, Exposure())
        exposure.more = True
        return Holder(AccountLimits(texts), exposure, members, f", group={name}")

    def _holders(self, account: str) -> list[Holder]:
        """Whose limits the orders of an account must keep."""
        limits, groups = self._account(account), self._groups_of(account)
        if limits is None:
            return list(groups)
        return [Holder(limits, self._exposure(account), (account,), ""), *groups]

    def room(self, account: str, instrument: Instrument, side: Side) -> Room | None:
        """What its limits still allow; None: it has none."""
        found = [self._room(each, instrument, side) for each in self._holders(account)]
        orders, lots, units = (
            min((each for each in column if each is not None), default=None)
            for column in zip(*found, strict=True)
        ) if found else (None, None, None)  # fmt: skip
        if orders is lots is units is None:
            return None
        return Room(orders, lots, units, instrument.quantity_scale, instrument.quote_scale)

    def _room(
        self, holder: Holder, instrument: Instrument, side: Side
    ) -> tuple[int | None, int | None, int | None]:
        """Orders, lots and units of the quote asset; 0 where a limit is reached, or was lowered."""
        limits = holder.limits
        most = limits.open_orders_max
        orders = max(0, most - holder.exposure.count) if most else None
        return orders, *self.holdings.room(holder, instrument, side)

    def _symbol(self, instrument: Instrument) -> SymbolLimits | None:
        symbol = instrument.symbol
        if symbol not in self._of_symbol:
            texts = self.texts(Scope.SYMBOL, symbol)
            self._of_symbol[symbol] = SymbolLimits(texts, instrument) if texts else None
        return self._of_symbol[symbol]

    def watch(self, orders: Iterable[Order]) -> None:
        """Count anew what is open in accounts that have limits; after any of them changed."""
        before, self.exposures = self.exposures, {}
        groups_before, self.group_exposures, self._of_groups = self.group_exposures, {}, {}
        for name, group in groups_before.items():
            if self.texts(Scope.GROUP, name):
                self.group_exposures[name] = Exposure()
                self.group_exposures[name].stamps = group.stamps
        for order in orders:
            account = order.account
            watched = self._account(account) or self._groups_of(account) or self.reduces_only(order)
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
            limits = self._account(account)
            exposure.groups = tuple(group.exposure for group in self._groups_of(account))
            exposure.more = bool(exposure.groups) or (limits is not None and limits.more)
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
        symbol, holders = self._symbol(order.instrument), self._holders(order.account)
        # One that is looked at again is counted already: look at the others.
        counted = order.leaves_lots if again and order.exposure is not None else 0
        reason = self._reducing(order, counted)
        price, lots = self._estimate(order)
        for holder in holders:
            reason = reason or not_allowed(holder, order)
            reason = reason or ("" if again else repeated(holder, order, elapsed_ns))
        if symbol is not None and not reason:
            reason = self._size(symbol, order, lots, bound_of(order, order.price_ticks))
        for holder in () if again else holders:
            reason = reason or counts(holder, order, elapsed_ns)
        budget = order.terms.budget if order.terms is not None else 0
        value = 0 if budget else price * lots
        for holder in holders:
            reason = reason or self.holdings.check(holder, order, lots, value, budget, counted)
        return reason

    def _surely_inside(self, order: Order) -> bool:
        """Is a plain limit order inside every limit? Quick; if not, `check` says what is wrong."""
        price, lots, instrument = order.price_ticks, order.leaves_lots, order.instrument
        if order.terms is not None or not price or self._reducing_somewhere:
            return False
        if self._limited_groups and order.account in self._groups:
            return False
        limits = self._of_symbol.get(instrument.symbol, NOT_LOOKED_UP)
        if limits is NOT_LOOKED_UP:
            return False
        value = price * lots
        if limits is not None:
            if not limits.surely_inside(lots, value, instrument):
                return False
            if limits.band_bps:
                band = self.band_of(instrument.symbol, limits.band_bps, limits.band_around)
                if band is not None and not band[0] <= price <= band[1]:
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
            position = self.holdings.of(order.account, instrument.symbol)
            buys, sells, _ = exposure.symbols.get(instrument.symbol, NOTHING_OPEN)
            would = position + buys if order.side is BUY else sells - position
            if would + lots > caps.position_lots:
                return False
        credit = self.holdings.credit
        return caps.credit is None or credit(exposure, instrument, value) <= caps.credit

    def _estimate(self, order: Order) -> tuple[int, int]:
        """Price and lots to measure an order by, where it does not say them itself.

        A stop by its stop price, a market order by the last one; of a budget, what it buys there.
        """
        terms, instrument = order.terms, order.instrument
        price = bound_of(order, order.price_ticks) or (terms.stop_ticks if terms is not None else 0)
        price = price or self.holdings.reference_of(instrument.symbol, "last")
        if terms is None or not terms.budget or order.leaves_lots or not price:
            return price, order.leaves_lots
        return price, terms.budget * instrument.price_quantity_unit // (
            price * instrument.quote_unit
        )

    def accepted(self, order: Order, elapsed_ns: int) -> None:
        """The order is in: count it."""
        limits, groups = self._account(order.account), self._groups_of(order.account)
        if limits is None and not groups and not self.reduces_only(order):
            return
        order.exposure = exposure = self._exposure(order.account)
        exposure.move(order, order.leaves_lots, 1)
        for group in groups:
            stamp(group.limits, group.exposure, elapsed_ns)
        if limits is None:
            return
        stamp(limits, exposure, elapsed_ns)
        if limits.duplicate_ns:
            if len(exposure.recent) >= RECENT_MAX:
                exposure.recent.pop(next(iter(exposure.recent)))
            like = likeness(order)
            exposure.recent.pop(like, None)  # so that the oldest stays first
            exposure.recent[like] = elapsed_ns

    def check_lots(self, order: Order, lots: int) -> str:
        """Why an order with a budget may not go on, once it has met the book: what it is for was
        a guess until then."""
        if self.idle or not lots:
            return ""
        symbol = self._symbol(order.instrument)
        reason = self._size(symbol, order, lots, 0) if symbol is not None else ""
        for holder in self._holders(order.account):
            reason = reason or self.holdings.position(holder, order, lots)
        return reason

    def check_change(
        self, change: Change, elapsed_ns: int, *, ahead: int = 0, rules: int = 3
    ) -> str:
        """Why an order may not have this price and total quantity: the delta is what counts.

        ahead: modifies that are on their way before this one.
        """
        if self.idle:
            return ""
        order, price_ticks, lots = change.order, change.price_ticks, change.quantity_lots
        # One that is suspended is asked again before it can trade (rules number 1: it was not).
        acts = rules == 1 or order.state is not OrderState.SUSPENDED
        more = max(lots - order.cumulative_lots, 0) - order.leaves_lots
        # Orders stay open when trading is halted: they may get smaller, but not trade this way.
        smaller = not acts or (more <= 0 and price_ticks == order.price_ticks)
        reason = "" if smaller else self.gate(order.account, order.instrument.symbol)
        if not reason and acts and self.reduces_only(order):
            reason = self._not_reducing(order, price_ticks, more)
        symbol, holders = self._symbol(order.instrument), self._holders(order.account)
        if rules > 2 and (more > 0 or comes_nearer(change)):  # before, new orders alone were asked
            for holder in holders:
                reason = reason or not_allowed(holder, order)
        if symbol is not None and not reason:
            reason = self._size(symbol, order, lots, price_ticks, changes=True)
        for holder in holders:
            reason = reason or amends(holder, order, ahead) or messages(holder, elapsed_ns)
        value = price_ticks * (order.leaves_lots + more) - order.price_ticks * order.leaves_lots
        for holder in holders:
            reason = reason or self.holdings.check(holder, order, more, value)
        return reason

    def changed(self, order: Order, elapsed_ns: int) -> None:
        """A modify was allowed: it is one more message of the account."""
        for holder in () if self.idle else self._holders(order.account):
            stamp(holder.limits, holder.exposure, elapsed_ns)

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
        position = self.holdings.of(order.account, order.instrument.symbol)
        reduces = position < 0 if order.side is BUY else position > 0
        if more <= 0 and (reduces or price_ticks == order.price_ticks):
            return ""
        return self._only_reducing(order, "more", more)

    def _reducing(self, order: Order, counted: int) -> str:
        """Only as much as brings the position, with what is open of it, to zero."""
        if not self.reduces_only(order):
            return ""
        if self.acting_lots is not None:
            return self.why_not_reducing(order, self.acting_lots(order))
        symbol = order.instrument.symbol
        position = self.holdings.of(order.account, symbol)
        buys, sells, _ = self._exposure(order.account).symbols.get(symbol, NOTHING_OPEN)
        room = (-position - buys if order.side is BUY else position - sells) + counted
        if 0 < order.quantity_lots <= room:  # 0: a budget buys nobody knows how many
            return ""
        return self._only_reducing(order, "quantity", order.quantity_lots)

    def why_not_reducing(self, order: Order, acting_lots: int) -> str:
        """Why it may not trade all that is open of it, beside others that may so much."""
        position = self.holdings.of(order.account, order.instrument.symbol)
        room = (-position if order.side is BUY else position) - acting_lots
        if 0 < order.leaves_lots <= room:  # 0: a budget buys nobody knows how many
            return ""
        return self._only_reducing(order, "quantity", order.leaves_lots)

    def _only_reducing(self, order: Order, what: str, lots: int) -> str:
        position = self.holdings.of(order.account, order.instrument.symbol)
        _, scale = told_scales(order.instrument, self.rules)
        told = f"{what}={to_text(lots, scale)}, position={to_text(position, scale)}"
        return f"{RejectReason.REDUCING_ONLY}: {told}"

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
        at_market = not order.price_ticks  # also a stop that will be one
        if not reason and at_market and lots:
            reason = limits.market_quantity.check(lots, before)
        reference = self.holdings.reference_of(instrument.symbol, limits.band_around)
        price = price_ticks or reference
        budget = order.terms.budget if order.terms is not None else 0
        if not reason and (price or budget):
            notional = budget or instrument.notional(price, lots)
            if changes:
                before = instrument.notional(order.price_ticks or price, order.quantity_lots)
            reason = limits.notional.check(notional, before)
            if not reason and at_market:
                reason = limits.market_notional.check(notional, before)
        moves = price_ticks != order.price_ticks or not changes
        if not reason and limits.band_bps and price_ticks and moves:
            band = self.band_of(instrument.symbol, limits.band_bps, limits.band_around)
            if band is not None and not band[0] <= price_ticks <= band[1]:
                text = [to_text(p, instrument.price_scale) for p in (price_ticks, *band)]
                code = RejectReason.PRICE_OUTSIDE_BAND
                reason = f"{code}: price={text[0]}, min={text[1]}, max={text[2]}"
        return reason

    # --- plain data ---

    def dump(self) -> dict[str, Any]:
        groups = {name: each.stamps for name, each in self.group_exposures.items() if each.stamps}
        return {
            **({"group_stamps": groups} if groups else {}),
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
        for name, stamps in state.get("group_stamps", {}).items():
            self.group_exposures.setdefault(name, Exposure()).stamps = stamps
