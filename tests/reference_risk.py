"""Naive limits: why a request must be refused, from a list of all orders, scanned each time.

It hears reports and forgets nothing it could count again: no sums are kept. It is written from
what the limits are for (config.ini), whole numbers and one quote asset alone.
"""

from dataclasses import dataclass

from oms import ResponseType


@dataclass(eq=False)  # two orders may be alike
class Open:
    """An order as its owner knows it. price, stop, budget: 0 if it has none."""

    account: str
    symbol: str
    side: str
    kind: str
    tif: str
    lots: int
    price: int
    stop: int = 0
    amends: int = 0
    budget: int = 0

    @property
    def sign(self):
        return 1 if self.side == "BUY" else -1


class ReferenceRisk:
    """limits: "account" or "group" -> name -> limit -> value; market_max: of any market order."""

    def __init__(self, limits, groups, market_max):
        self.limits = limits  # ("account", "a") -> {limit: value}
        self.groups = groups  # account -> names of groups
        self.market_max = market_max
        self.orders = {}  # order id -> Open
        self.positions = {}
        self.last = {}

    # --- hearing what happened ---

    def hear(self, report, asked):
        """asked: the Open that a new order, or what it is to become, was."""
        kind, order = report.type, self.orders.get(report.order_id)
        if kind in (ResponseType.NEW, ResponseType.PENDING_NEW) and order is None:
            order = self.orders[report.order_id] = asked
        if kind is ResponseType.TRADE:
            key = order.account, order.symbol
            lots = order.sign * report.last_quantity_lots
            self.positions[key] = self.positions.get(key, 0) + lots
            self.last[order.symbol] = report.last_price_ticks
        if kind is ResponseType.TRIGGERED:
            order.stop = 0
        if kind is ResponseType.REPLACED:
            order.price, order.amends = asked.price, order.amends + 1
        if order is not None:
            order.lots = report.leaves_lots
            if report.state is not None and report.state.terminal:
                del self.orders[report.order_id]

    # --- looking ---

    def _holders(self, account):
        """Each with its accounts and its limits."""
        yield {account}, self.limits.get(("account", account), {})
        for group in self.groups.get(account, ()):
            members = {name for name, groups in self.groups.items() if group in groups}
            yield members, self.limits.get(("group", group), {})

    def _exposures(self, members, orders):
        """Gross and net of these orders, and of what the accounts hold."""
        longs = shorts = gross = 0
        for symbol in {order.symbol for order in orders} | {s for _, s in self.positions}:
            mark = self.last.get(symbol, 0)
            held = sum(n for (a, s), n in self.positions.items() if s == symbol and a in members)
            up = held * mark + self._worth(orders, symbol, "BUY")
            down = -held * mark + self._worth(orders, symbol, "SELL")
            longs, shorts, gross = longs + up, shorts + down, gross + max(up, down)
        return gross, max(longs, shorts)

    def _worth(self, orders, symbol, side):
        mark = self.last.get(symbol, 0)
        return sum(
            order.budget or order.lots * (order.price or mark)
            for order in orders
            if (order.symbol, order.side) == (symbol, side)
        )

    def refuses_new(self, new):
        """The code of the first reason, in the documented order; "" if there is none."""
        holders = list(self._holders(new.account))
        code = self._not_allowed(holders, new)
        if code:
            return code
        if not new.price and new.lots > self.market_max:
            return "MARKET_QUANTITY_EXCEEDS_MAXIMUM"
        for members, limits in holders:
            mine = [order for order in self.orders.values() if order.account in members]
            if len(mine) + 1 > limits.get("open_orders_max", 10**9):
                return "OPEN_ORDERS_EXCEED_MAXIMUM"
            stops = sum(order.stop > 0 for order in mine)
            if new.stop and stops + 1 > limits.get("stop_orders_max", 10**9):
                return "STOP_ORDERS_EXCEED_MAXIMUM"
        without_mark = not self.last.get(new.symbol)
        price = new.price or (new.stop if without_mark else 0)
        return self._refuses_sizes(holders, new, [], Open(**{**vars(new), "price": price}))

    def refuses_budget(self, new):
        """The same of a market buy by budget: by what it buys at the last price, and then in the
        book."""
        mark, holders = self.last.get(new.symbol, 0), list(self._holders(new.account))
        new.lots = new.budget // mark if mark else 0
        code = self.refuses_new(new)
        if code:
            return code
        new.lots = self._buys(new)
        if new.lots > self.market_max:
            return "MARKET_QUANTITY_EXCEEDS_MAXIMUM"
        return self._refuses_position(holders, new, [], new)

    def _buys(self, new):
        """What the budget buys, best price first, and what its rest buys at the price met last."""
        left, lots, met = new.budget, 0, 0
        asks = [o for o in self.orders.values()
                if (o.symbol, o.side) == (new.symbol, "SELL") and o.price]  # fmt: skip
        for ask in sorted(asks, key=lambda order: order.price):
            if left >= met > 0 or not met:
                met = ask.price
                taken = min(left // met, ask.lots)
                left, lots = left - taken * met, lots + taken
        return lots + (left // met if met else 0)

    def _not_allowed(self, holders, order):
        """What the account may not send."""
        for _, limits in holders:
            if order.symbol in limits.get("restricted_symbols", ()):
                return "SYMBOL_RESTRICTED"
            for name, word, code in (
                ("allowed_sides", order.side, "SIDE_NOT_ALLOWED"),
                ("allowed_order_types", order.kind, "ORDER_TYPE_NOT_ALLOWED"),
                ("allowed_times_in_force", order.tif, "TIME_IN_FORCE_NOT_ALLOWED"),
            ):
                if word not in limits.get(name, word):
                    return code
        return ""

    def refuses_change(self, order, lots, price):
        """The same of a modify: these lots are to be open, at this price."""
        holders = list(self._holders(order.account))
        if lots > order.lots or order.sign * (price - order.price) > 0:
            code = self._not_allowed(holders, order)
            if code:
                return code
        if not order.price and lots > max(self.market_max, order.lots):
            return "MARKET_QUANTITY_EXCEEDS_MAXIMUM"
        for _, limits in holders:
            if order.amends + 1 > limits.get("amends_max", 10**9):
                return "AMENDS_EXCEED_MAXIMUM"
        changed = Open(**{**vars(order), "lots": lots, "price": price})
        return self._refuses_sizes(holders, order, [order], changed)

    def _refuses_sizes(self, holders, order, without, new):
        """Position, then exposures; refused is what makes one larger."""
        for members, limits in holders:
            code = self._refuses_position([(members, limits)], order, without, new)
            if code:
                return code
            before = [each for each in self.orders.values() if each.account in members]
            after = [each for each in before if each not in without] + [new]
            now, then = self._exposures(members, before), self._exposures(members, after)
            for n, code in enumerate(("GROSS", "NET")):
                most = limits.get(f"{code.lower()}_max", 10**9)
                if then[n] > most and then[n] > now[n]:
                    return f"{code}_EXPOSURE_EXCEEDS_MAXIMUM"
        return ""

    def _refuses_position(self, holders, order, without, new):
        for members, limits in holders:
            before = [each for each in self.orders.values() if each.account in members]
            after = [each for each in before if each not in without] + [new]
            side = [each for each in after if (each.symbol, each.side) == (new.symbol, new.side)]
            held = sum(
                n for (a, s), n in self.positions.items() if s == new.symbol and a in members
            )
            would = order.sign * held + sum(each.lots for each in side)
            grows = new.lots > sum(each.lots for each in without)
            if grows and would > limits.get("position_max", 10**9):
                return "POSITION_EXCEEDS_MAXIMUM"
        return ""
