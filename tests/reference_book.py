"""The order book again, as plainly as can be: one list, searched from end to end.

It shares no code with the product. Orders stand in the list as they came, so the first of
equal price is the oldest.
"""

from dataclasses import dataclass


@dataclass
class Resting:
    order_id: int
    buys: bool
    price: int
    lots: int


class ReferenceBook:
    """What OrderBook does, for tests to compare with; sides are told by `buys`."""

    def __init__(self):
        self.orders: list[Resting] = []

    def add(self, order_id, buys, price, lots):
        """Trade, then rest what is left; the fills."""
        fills, left = self.match(buys, price, lots)
        if left:
            self.orders.append(Resting(order_id, buys, price, left))
        return fills

    def match(self, buys, price, lots):
        """Trade and rest nothing; price None takes any. The fills, and what is left."""
        fills = []
        while lots:
            makers = [o for o in self.orders if o.buys != buys and _crosses(buys, price, o.price)]
            if not makers:
                break
            best = min(makers, key=lambda o: o.price if buys else -o.price)
            quantity = min(lots, best.lots)
            fills.append((best.order_id, best.price, quantity))
            lots -= quantity
            best.lots -= quantity
            self.orders = [order for order in self.orders if order.lots]
        return fills, lots

    def fillable(self, buys, price, lots):
        makers = [o for o in self.orders if o.buys != buys and _crosses(buys, price, o.price)]
        return sum(order.lots for order in makers) >= lots

    def find(self, order_id):
        return next((order for order in self.orders if order.order_id == order_id), None)

    def cancel(self, order_id):
        order = self.find(order_id)
        if order is not None:
            self.orders.remove(order)
        return order

    def depth(self, buys):
        """(price, lots), best first."""
        prices = sorted({o.price for o in self.orders if o.buys == buys}, reverse=buys)
        return [
            (price, sum(o.lots for o in self.orders if o.buys == buys and o.price == price))
            for price in prices
        ]

    def priority(self):
        """Bids, then asks, best price first, oldest first."""
        bids = sorted((o for o in self.orders if o.buys), key=lambda o: -o.price)
        asks = sorted((o for o in self.orders if not o.buys), key=lambda o: o.price)
        return [order.order_id for order in bids + asks]


def _crosses(buys, limit, price):
    return limit is None or (price <= limit if buys else price >= limit)
