"""An order and the changes asked of it: one object in the id map, the queue and its price level.

Plain slotted classes: made once per request on the dispatcher thread, which alone writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oms.enums import OrderState, OrderType, Side, TimeInForce
from oms.instruments import Instrument

if TYPE_CHECKING:
    from oms.exchange.book import PriceLevel

# The fill that ends an order is reported as pending while a change is; no other end is.
ENDED_UNFILLED = (OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED)
PENDING_NEW = OrderState.PENDING_NEW

FeeRates = tuple[int, int]
"""Maker and taker fee, in signed basis points."""

NO_FEES: FeeRates = (0, 0)


class Exposure:
    """What an account has open, for limits: orders, and of each symbol lots to buy and to sell,
    and the sum of price times lots (unscaled).

    more: some limit looks further: at stops that wait, at values (of each symbol what its priced
    orders to buy and to sell are worth, price times lots, and the lots of those without a
    price), or at the groups, which have all of it, too.
    """

    __slots__ = ("count", "groups", "more", "recent", "stamps", "stops", "symbols", "values")

    def __init__(self) -> None:
        self.count = self.stops = 0
        self.more = False
        self.groups: tuple[Exposure, ...] = ()
        self.values: dict[str, list[int]] = {}
        self.symbols: dict[str, list[int]] = {}
        self.stamps: list[int] = []  # of the latest messages, oldest first
        self.recent: dict[tuple[object, ...], int] = {}  # what an order was, when it came

    def move(self, order: Order, lots: int, count: int = 0) -> None:
        """So many lots more (or less) of an order, and so many orders, are open."""
        self.count += count
        symbol = self.symbols.get(order.instrument.symbol)
        if symbol is None:
            symbol = self.symbols[order.instrument.symbol] = [0, 0, 0]
        symbol[0 if order.side is Side.BUY else 1] += lots
        symbol[2] += order.price_ticks * lots
        if self.more:
            self.follow(order, lots, count)

    def follow(self, order: Order, lots: int, count: int = 0) -> None:
        """The same for what only some limits look at; only if there is more."""
        if order.suspended:
            self.stops += count
        values = self.values.setdefault(order.instrument.symbol, [0, 0, 0, 0])
        side = 0 if order.side is Side.BUY else 1
        if order.price_ticks:
            values[side] += order.price_ticks * lots
        else:
            values[2 + side] += lots
        for group in self.groups:
            group.move(order, lots, count)

    def triggered(self) -> None:
        """A stop waits no more."""
        self.stops -= 1
        for group in self.groups:
            group.triggered()


class Terms:
    """What makes an order other than a plain one; numbers in ticks, lots and quote units.

    0 or "" where it does not apply. stop_ticks: 0 once it is triggered. display_lots: how much an
    iceberg shows after each refresh; shown_lots: the most it shows until the next one, while it
    rests. budget: of a market buy by quote quantity. self_trade: a SelfTrade, "" for the
    exchange's default. partner_id: the other order of an OCO pair, while both are open.
    """

    __slots__ = (
        "budget", "display_lots", "expire_ns", "min_lots", "partner_id", "post_only",
        "protection_ticks", "self_trade", "shown_lots", "stop_ticks",
    )  # fmt: skip

    def __init__(
        self,
        stop_ticks: int = 0,
        display_lots: int = 0,
        post_only: str = "",
        expire_ns: int = 0,
        min_lots: int = 0,
        budget: int = 0,
        protection_ticks: int = 0,
        self_trade: str = "",
        partner_id: int = 0,
    ) -> None:
        self.stop_ticks = stop_ticks
        self.display_lots = display_lots
        self.post_only = post_only
        self.expire_ns = expire_ns
        self.min_lots = min_lots
        self.budget = budget
        self.protection_ticks = protection_ticks
        self.self_trade = self_trade
        self.partner_id = partner_id
        self.shown_lots = 0


class Order:
    """One order from acceptance to its end.

    named_seq: the request whose client order id it bears: its own, or the last modify accepted.
    state: the core state; what is reported also counts pending changes (reported_state).
    price_ticks: 0 for a market order. leaves_lots: what is open (FIX LeavesQty).
    level: the price level it rests in, None while it does not. ahead, behind: its neighbours
    there. entered: its place in the order of entering the book. placed: the same within its
    level (an iceberg gets a new one with each refresh). reserved: what the ledger reserves for
    it, in base (a sell) or quote. fees: the rates it was accepted under. carry: how much more
    than its fills are worth a buy has paid, or less a sell has received, in parts of a quote unit
    (1 / Instrument.price_quantity_unit); fee_carry: how much more than its fills owe it has paid
    of fees (the same in basis points). exposure: its account's, where that has limits.
    told: its owner has had an answer. hold: a halted market may keep it waiting. received_ns,
    queued_ns: monotonic nanoseconds, 0 where unknown (restored from the journal).
    """

    __slots__ = (
        "account", "ahead", "behind", "carry", "changes", "client_order_id", "cumulative_lots",
        "earlier_ids", "entered", "exposure", "fee_carry", "fees", "hold", "instrument",
        "leaves_lots", "level", "named_seq", "notional", "order_id", "order_type", "placed",
        "price_ticks", "quantity_lots", "queued_ns", "received_ns", "reserved", "side", "state",
        "terms", "time_in_force", "told", "unknown",
    )  # fmt: skip

    def __init__(
        self,
        order_id: int,
        account: str,
        client_order_id: str,
        instrument: Instrument,
        side: Side,
        order_type: OrderType,
        time_in_force: TimeInForce,
        price_ticks: int,
        quantity_lots: int,
        received_ns: int = 0,
        queued_ns: int = 0,
        terms: Terms | None = None,
    ) -> None:
        self.order_id = self.named_seq = order_id
        self.account = account
        self.client_order_id = client_order_id
        self.instrument = instrument
        self.side = side
        self.order_type = order_type
        self.time_in_force = time_in_force
        self.price_ticks = price_ticks
        self.quantity_lots = self.leaves_lots = quantity_lots
        self.cumulative_lots = self.notional = self.reserved = self.entered = self.placed = 0
        self.carry = self.fee_carry = 0
        self.state = PENDING_NEW
        self.terms = terms
        self.fees = NO_FEES
        self.level: PriceLevel | None = None
        self.ahead: Order | None = None
        self.behind: Order | None = None
        self.exposure: Exposure | None = None
        self.changes: list[Change] | None = None
        self.earlier_ids: list[str] | None = None  # once it was modified
        self.unknown = self.told = self.hold = False
        self.received_ns = received_ns
        self.queued_ns = queued_ns

    @property
    def request_seq(self) -> int:
        """The journal sequence of its request is the order's id."""
        return self.order_id

    @property
    def suspended(self) -> bool:
        """A stop that no trade has triggered yet."""
        return self.terms is not None and self.terms.stop_ticks > 0

    @property
    def by_price(self) -> bool:
        """Does it trade down to a limit price? A triggered stop is what it became."""
        return self.price_ticks > 0

    @property
    def shown_lots(self) -> int:
        """What is shown of it while it rests: all that is open, but for an iceberg.

        An iceberg that hides nothing any more trades as a plain order does, which takes from what
        is open alone: so it never shows more than that.
        """
        if not self.iceberg:
            return self.leaves_lots
        return min(self.leaves_lots, self.terms.shown_lots)  # type: ignore[union-attr]

    @property
    def iceberg(self) -> bool:
        return self.terms is not None and self.terms.display_lots > 0

    @property
    def cancel_pending(self) -> bool:
        """Is a cancel of it on its way?"""
        return bool(self.changes) and any(change.is_cancel for change in self.changes or ())

    @property
    def reported_state(self) -> OrderState:
        """The state to tell, by FIX precedence: pending cancel, pending replace, the rest."""
        if self.unknown:
            return OrderState.UNKNOWN
        if self.changes and self.state not in ENDED_UNFILLED:
            if self.cancel_pending:
                return OrderState.PENDING_CANCEL
            if self.state is not PENDING_NEW:
                return OrderState.PENDING_REPLACE
        return self.state


class Change:
    """A cancel or a modify of an order that the venue has.

    price_ticks and quantity_lots are the new price and the new total, stop_ticks and
    display_lots those of the terms, 0 for as it is; unused in a cancel. waiting: not sent yet.
    """

    __slots__ = (
        "client_order_id", "display_lots", "is_cancel", "order", "price_ticks", "quantity_lots",
        "queued_ns", "received_ns", "request_seq", "stop_ticks", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        request_seq: int,
        client_order_id: str,
        order: Order,
        is_cancel: bool,
        price_ticks: int = 0,
        quantity_lots: int = 0,
        received_ns: int = 0,
        queued_ns: int = 0,
        stop_ticks: int = 0,
        display_lots: int = 0,
    ) -> None:
        self.request_seq = request_seq
        self.client_order_id = client_order_id
        self.order = order
        self.is_cancel = is_cancel
        self.price_ticks = price_ticks
        self.quantity_lots = quantity_lots
        self.stop_ticks = stop_ticks
        self.display_lots = display_lots
        self.waiting = True
        self.received_ns = received_ns
        self.queued_ns = queued_ns


def keeps_priority(price_now: int, price_new: int, quantity_now: int, quantity_new: int) -> bool:
    """The one rule for queue and book: less quantity at the same price keeps the place."""
    return price_new == price_now and quantity_new <= quantity_now


def told_scales(instrument: Instrument, rules: int) -> tuple[int, int]:
    """With how many decimals reasons tell prices and quantities of an instrument.

    rules: number of the rules; under numbers 1 and 2 reasons told ticks and lots.
    """
    return (instrument.price_scale, instrument.quantity_scale) if rules > 2 else (0, 0)
