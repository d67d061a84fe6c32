"""The order book for use alone: orders by id, and everything that is handed in is checked.

Flow:  caller -> [alone] -> book -> trades
Owner: one thread. The exchange has the book itself, which trusts what was checked before.
"""

from typing import NamedTuple, SupportsIndex

from oms.enums import OrderType, Side, TimeInForce
from oms.errors import ValidationError
from oms.exchange import book
from oms.exchange.order import Order
from oms.instruments import Instrument
from oms.money import UNITS_MAX, plain
from oms.requests.orders import SEQUENCE_MAX, member_of

ALONE = Instrument(symbol="ALONE", price_scale=0, quantity_scale=0)


class BookTrade(NamedTuple):
    """One trade of an arriving order: with which resting order, at its price, and how much."""

    maker_id: int
    price_ticks: int
    quantity_lots: int


class OrderBook(book.OrderBook):
    """Both sides of one instrument, by price, then by arrival; whole numbers alone.

        book = OrderBook()
        book.add_order(1, "SELL", 100, 5)
        trades = book.add_order(2, "BUY", 101, 3)  # [BookTrade(1, 100, 3)]

    What was added under an id is canceled under it; an id is free again once its order is gone.
    """

    __slots__ = ("_resting",)

    def __init__(self) -> None:
        super().__init__()
        self._resting: dict[int, Order] = {}

    def add_order(
        self,
        order_id: SupportsIndex,
        side: Side | str,
        price_ticks: SupportsIndex,
        quantity_lots: SupportsIndex,
    ) -> list[BookTrade]:
        """Trade what crosses, at the resting orders' prices; the rest waits behind all others.

        Raises ValidationError, naming the argument: no side, a number that is not whole or not
        above 0, or the id of an order that rests. Nothing has changed then.
        """
        seq = _whole("order_id", order_id, SEQUENCE_MAX)
        ticks = _whole("price_ticks", price_ticks, UNITS_MAX)
        lots = _whole("quantity_lots", quantity_lots, UNITS_MAX)
        member = member_of("side", side, Side)
        if seq in self._resting and self._resting[seq].level is not None:
            raise ValidationError("order_id", seq, "an id of no order that rests")
        order = Order(
            seq, "", "", ALONE, member, OrderType.LIMIT, TimeInForce.GTC, ticks, lots,
        )  # fmt: skip
        fills = self.add(order)
        for maker, _, _ in fills:
            if not maker.leaves_lots:
                self._resting.pop(maker.order_id, None)
        if order.leaves_lots:
            self._resting[seq] = order
        return [BookTrade(maker.order_id, price, quantity) for maker, price, quantity in fills]

    def cancel_order(self, order_id: SupportsIndex) -> int:
        """Take an order out; its open lots, 0 if no order rests under this id."""
        order = self._resting.pop(_whole("order_id", order_id, SEQUENCE_MAX), None)
        if order is None:
            return 0
        self.cancel(order)
        return order.leaves_lots


def _whole(name: str, value: object, value_max: int) -> int:
    number = plain(value)
    if type(number) is not int or not 1 <= number <= value_max:
        raise ValidationError(name, value, f"a whole number, 1 to {value_max}")
    return number
