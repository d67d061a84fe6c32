"""What all parts of the exchange go by: who owns an order, what time it is, which settings.

Owner: the dispatcher thread. One object, made by the matching engine and shared by its parts.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping

from oms.exchange.ledger import Ledger
from oms.exchange.market import Market
from oms.messages import Phase, SelfTrade
from oms.orders import Order

CONTINUOUS = Phase.CONTINUOUS


class Rules:
    """orders: every open order by id; the desk's.

    groups: account -> self-trade group, where it is in one. self_trade: for orders that say
    nothing. ledger: what market buys are paid from; None: nothing is. wall_ns: of the turn under
    way. triggered: stops that a trade woke, and their markets, in the order they go on.
    Durations are nanoseconds; see config.ini.
    """

    __slots__ = (
        "breaker_limit_ns", "breaker_pause_ns", "breaker_window_ns", "groups", "ledger", "orders",
        "reopening_auction_ns", "self_trade", "triggered", "wall_ns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.orders: Mapping[int, Order] = {}
        self.groups: Mapping[str, str] = {}
        self.self_trade = SelfTrade.NONE
        self.ledger: Ledger | None = None
        self.wall_ns = 0
        self.triggered: OrderedDict[int, Market] = OrderedDict()
        self.breaker_window_ns = self.breaker_limit_ns = self.breaker_pause_ns = 0
        self.reopening_auction_ns = 0

    def is_own(self, account: str) -> Callable[[int], bool]:
        """Does an order belong to this account, or to one of its self-trade group?"""
        orders, groups = self.orders, self.groups
        key = groups.get(account, account)

        def owned(order_id: int) -> bool:
            maker = orders.get(order_id)
            return maker is not None and groups.get(maker.account, maker.account) == key

        return owned

    def self_trade_of(self, order: Order) -> SelfTrade:
        """The order's own mode, else the exchange's."""
        own = order.terms.self_trade if order.terms is not None else ""
        return SelfTrade(own) if own else self.self_trade

    def trigger(self, market: Market, price_ticks: int) -> None:
        """What a trade at this price wakes goes to the back of the row."""
        if len(market.stops) and market.phase is CONTINUOUS and price_ticks:
            for order_id in market.stops.take_triggered(price_ticks):
                self.triggered[order_id] = market
