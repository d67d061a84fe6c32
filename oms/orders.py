"""An order and the changes asked of it, as the desk and a venue see them.

Plain slotted classes: they are made once per request on the dispatcher thread, which alone
writes them.
"""

from __future__ import annotations

from typing import NamedTuple

from oms.instruments import Instrument
from oms.messages import Liquidity, OrderState, OrderType, ResponseType, Side, TimeInForce

# The fill that ends an order is reported as pending while a change is; no other end is.
ENDED_UNFILLED = (OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED)


class Order:
    """One order from acceptance to its end.

    state is the core state; what is reported also counts pending changes (reported_state).
    price_ticks is 0 for a market order. left_lots is what is open. Hop stamps are monotonic
    nanoseconds, 0 where unknown (an order restored from the journal).
    """

    __slots__ = (
        "account", "changes", "client_order_id", "client_order_ids", "cumulative_lots",
        "instrument", "left_lots", "notional", "order_id", "order_type", "price_ticks",
        "quantity_lots", "queued_ns", "received_ns", "side", "state", "time_in_force", "told",
        "unknown",
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
    ) -> None:
        self.order_id = order_id
        self.account = account
        self.client_order_id = client_order_id
        self.client_order_ids: list[str] | None = None  # earlier ids, once it was replaced
        self.instrument = instrument
        self.side = side
        self.order_type = order_type
        self.time_in_force = time_in_force
        self.price_ticks = price_ticks
        self.quantity_lots = quantity_lots
        self.state = OrderState.PENDING_NEW
        self.cumulative_lots = 0
        self.left_lots = quantity_lots
        self.notional = 0
        self.changes: list[Change] | None = None
        self.unknown = False
        self.told = False  # its owner has had an answer
        self.received_ns = received_ns
        self.queued_ns = queued_ns

    @property
    def request_seq(self) -> int:
        """The journal sequence of its request is the order's id."""
        return self.order_id

    @property
    def reported_state(self) -> OrderState:
        """The state to tell, by FIX precedence: pending cancel, pending replace, the rest."""
        if self.unknown:
            return OrderState.UNKNOWN
        if self.changes and self.state not in ENDED_UNFILLED:
            if any(change.is_cancel for change in self.changes):
                return OrderState.PENDING_CANCEL
            if self.state is not OrderState.PENDING_NEW:
                return OrderState.PENDING_REPLACE
        return self.state


class Change:
    """A cancel or a modify of an order that the venue has.

    price_ticks and quantity_lots are the new price and the new total; unused in a cancel.
    """

    __slots__ = (
        "client_order_id", "is_cancel", "order", "price_ticks", "quantity_lots", "queued_ns",
        "received_ns", "request_seq", "waiting",
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
    ) -> None:
        self.request_seq = request_seq
        self.client_order_id = client_order_id
        self.order = order
        self.is_cancel = is_cancel
        self.price_ticks = price_ticks
        self.quantity_lots = quantity_lots
        self.waiting = True
        self.received_ns = received_ns
        self.queued_ns = queued_ns


def keeps_priority(price_now: int, price_new: int, quantity_now: int, quantity_new: int) -> bool:
    """The one rule for queue and book: less quantity at the same price keeps the place."""
    return price_new == price_now and quantity_new <= quantity_now


# What a venue tells about one order; the fields are those of VenueReport.
Event = tuple[ResponseType, int, int, int, int, str, str, str]


class VenueReport(NamedTuple):
    """What a venue answers, or tells unasked; given to OrderManagement.on_data_response.

    type: NEW, REJECTED, TRADE, CANCELED, REPLACED, EXPIRED or CANCEL_REJECTED.
    request_seq: the cancel or modify that this answers; 0 for all else.
    price_ticks, quantity_lots, liquidity: of a TRADE.
    reason: of a refusal or an end nobody asked for.
    execution_id: the venue's own; a second TRADE with the same one is dropped.
    """

    type: ResponseType
    order_id: int
    request_seq: int = 0
    price_ticks: int = 0
    quantity_lots: int = 0
    liquidity: str = Liquidity.NONE.value
    reason: str = ""
    execution_id: str = ""
