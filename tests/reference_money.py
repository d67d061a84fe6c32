"""What the plain exchange has and knows: its orders, its money, its books.

It shares no code with the product: two dicts of money, one list of orders per book, exact
fractions. What happens to them is told in tests/reference_exchange.py.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

STOPS = ("STOP", "STOP_LIMIT")
OPEN = ("NEW", "PARTIALLY_FILLED", "SUSPENDED")


@dataclass(eq=False)
class PlainOrder:
    """left: open lots; shown: those of them others see; entered: when it came to its queue.

    worth, owes: notional and fees of its fills, exactly; paid, fees: what has moved of them.
    """

    id: int
    account: str
    names: list[str]
    symbol: str
    side: str
    kind: str
    tif: str
    price: int
    left: int
    stop: int = 0
    display: int = 0
    post: str = ""
    expire: int = 0
    min: int = 0
    budget: int = 0
    protect: int = 0
    oco: str = ""
    stp: str = ""
    state: str = "NEW"
    cumulative: int = 0
    shown: int = 0
    reserved: int = 0
    entered: int = 0
    rates: tuple[int, int] = (0, 0)
    worth: Fraction = Fraction(0)
    owes: Fraction = Fraction(0)
    paid: int = 0
    fees: int = 0
    taken: list = field(default_factory=list)  # (price, lots) of its walk, and the last price
    looked: int = 0
    partner: "PlainOrder | None" = field(default=None, repr=False)
    aside: bool = False

    @property
    def open(self):
        return self.state in OPEN

    @property
    def waits(self):
        """Is it a stop that was not triggered? Others are suspended by a halt."""
        return self.state == "SUSPENDED" and not self.aside

    @property
    def buys(self):
        return self.side == "BUY"

    @property
    def market(self):
        return self.kind in ("MARKET", "STOP")

    @property
    def bounded(self):
        """What it may spend at most is known from its own terms."""
        return not self.buys or (not self.budget and bool(self.price or self.protect))

    def show(self):
        self.shown = min(self.display or self.left, self.left)

    def accepts(self, price):
        """Would it, with its limit, trade at this price?"""
        return price <= self.price if self.buys else price >= self.price

    def reached(self, last):
        return bool(last) and (last >= self.stop if self.buys else last <= self.stop)


class PlainMoney:
    """What each account has, free and set aside; nothing at all when the ledger is off."""

    def __init__(self, instruments, ledger, fees, tiers):
        self.instruments, self.ledger, self.fees, self.tiers = instruments, ledger, fees, tiers
        self.accounts = ["fees", "rounding"]
        self.available, self.reserved = defaultdict(int), defaultdict(int)

    # Commands: "" or why not.

    def create(self, account):
        if account in self.accounts:
            return "ACCOUNT_EXISTS"
        self.accounts.append(account)
        return ""

    def deposit(self, account, asset, amount):
        if account not in self.accounts:
            return "ACCOUNT_UNKNOWN"
        self.available[account, asset] += amount
        return ""

    def withdraw(self, account, asset, amount):
        if account not in self.accounts:
            return "ACCOUNT_UNKNOWN"
        if amount > self.available[account, asset]:
            return "FUNDS_INSUFFICIENT"
        self.available[account, asset] -= amount
        return ""

    def transfer(self, account, other, asset, amount):
        if other not in self.accounts:
            return "ACCOUNT_UNKNOWN"
        return self.withdraw(account, asset, amount) or self.deposit(other, asset, amount)

    def balances(self):
        """(available, reserved) by (account, asset)."""
        pairs = {*self.available, *self.reserved}
        both = {pair: (self.available[pair], self.reserved[pair]) for pair in pairs}
        return {pair: amounts for pair, amounts in both.items() if any(amounts)}

    # Amounts.

    def exact(self, symbol, price, lots):
        terms = self.instruments[symbol]
        scale = terms["price_scale"] + terms["quantity_scale"]
        return Fraction(price * lots * 10 ** terms["quote_scale"], 10**scale)

    def base_amount(self, symbol, lots):
        terms = self.instruments[symbol]
        return lots * 10 ** (terms["base_scale"] - terms["quantity_scale"])

    def rates(self, account, symbol):
        """(maker, taker) basis points."""
        if not self.ledger:
            return 0, 0
        terms = self.instruments[symbol]
        usual = (terms["maker_fee_bps"], terms["taker_fee_bps"])
        return self.fees.get((symbol, self.tiers.get(account)), usual)

    def cost(self, taker, fills):
        """What a buyer must have to pay for (price, lots) fills; a rebate comes on top."""
        worth = sum(self.exact(taker.symbol, price, lots) for price, lots in fills)
        return ceil(worth) + ceil(worth * max(taker.rates[1], 0) / 10_000)

    # Reservations.

    def need(self, order):
        """R of this order alone."""
        if order.side == "SELL":
            return self.base_amount(order.symbol, order.left)
        if order.budget:
            return order.budget
        open_worth = self.exact(order.symbol, order.price or order.protect, order.left)
        whole = ceil(order.worth + open_worth)  # the order's whole cost, and its highest fee
        fees = order.owes + Fraction((whole - order.worth) * max(*order.rates, 0), 10_000)
        fees_left = max(0, ceil(fees) - order.fees) if max(order.rates) > 0 else 0
        return whole - order.paid + fees_left

    def reservation(self, order):
        """R of this order, its OCO partner considered."""
        if order.partner is None:
            return self.need(order)
        if order.kind in STOPS:
            return 0
        return max(self.need(order), self.need(order.partner))

    def purse(self, order):
        """Which balance it draws on."""
        asset = "base" if order.side == "SELL" else "quote"
        return order.account, self.instruments[order.symbol][asset]

    def short(self, order, amount):
        return self.ledger and amount > self.available[self.purse(order)]

    def hold(self, order, amount):
        """Have exactly `amount` set aside for it."""
        if self.ledger:
            self.available[self.purse(order)] -= amount - order.reserved
            self.reserved[self.purse(order)] += amount - order.reserved
            order.reserved = amount

    def hold_again(self, order):
        """After its open lots changed. An unbounded buy keeps what its walk was to cost."""
        if order.left == 0:
            self.hold(order, 0)
        elif order.bounded:
            self.hold(order, self.reservation(order))

    def pay(self, buyer, seller, price, lots, buyer_bps, seller_bps):
        """Settle a fill whose lots the orders have taken off already; both fees.

        The order as a whole: a buyer has paid its worth rounded up, a seller has got it rounded
        down, both owe their fees rounded up; a seller's fee comes out of what the fill brings.
        """
        if not self.ledger:
            return 0, 0
        worth = self.exact(buyer.symbol, price, lots)
        base = self.base_amount(buyer.symbol, lots)
        for order, bps in ((buyer, buyer_bps), (seller, seller_bps)):
            order.worth += worth
            order.owes += worth * bps / 10_000
        cost, gain = ceil(buyer.worth) - buyer.paid, floor(seller.worth) - seller.paid
        fees = ceil(buyer.owes) - buyer.fees, min(gain, ceil(seller.owes) - seller.fees)
        for order, moved, fee in ((buyer, cost, fees[0]), (seller, gain, fees[1])):
            order.paid += moved
            order.fees += fee
        for order, spent in ((buyer, cost + fees[0]), (seller, base)):
            order.reserved -= spent
            self.reserved[self.purse(order)] -= spent
            assert order.reserved >= 0, "a fill takes more than was set aside"
            self.hold_again(order)
        quote = self.purse(buyer)[1]
        self.available[buyer.account, self.purse(seller)[1]] += base
        self.available[seller.account, quote] += gain - fees[1]
        self.available["fees", quote] += sum(fees)
        self.available["rounding", quote] += cost - gain
        return fees


class PlainBooks(PlainMoney):
    """Every order ever, the resting ones by symbol, and what can be read from them."""

    def __init__(self, instruments, ledger, fees, tiers):
        super().__init__(instruments, ledger, fees, tiers)
        self.orders = []
        self.books = {symbol: [] for symbol in instruments}
        self.called = {symbol: [] for symbol in instruments}  # market orders of a call, in turn
        self.lasts = dict.fromkeys(instruments, 0)
        self.phases = dict.fromkeys(instruments, "CONTINUOUS")
        self.asides = {symbol: [] for symbol in instruments}  # books as they were when halted

    def find(self, order_id):
        return next(order for order in self.orders if order.id == order_id)

    def suspended(self, symbol):
        """Its stops, oldest first."""
        stops = [o for o in self.orders if o.symbol == symbol and o.waits]
        return sorted(stops, key=lambda stop: stop.entered)

    def stops(self, symbol):
        return [stop.id for stop in self.suspended(symbol)]

    def priority(self, symbol):
        bids = sorted((o for o in self.books[symbol] if o.buys), key=lambda o: -o.price)
        asks = sorted((o for o in self.books[symbol] if not o.buys), key=lambda o: o.price)
        return [order.id for order in bids + asks]

    def depth(self, symbol):
        """(bids, asks), each of (price, shown lots), best first."""
        sides = []
        for side in ("BUY", "SELL"):
            orders = [order for order in self.books[symbol] if order.side == side]
            prices = sorted({order.price for order in orders}, reverse=side == "BUY")
            sides.append([(p, sum(o.shown for o in orders if o.price == p)) for p in prices])
        return tuple(sides)

    def open_orders(self):
        return {
            o.id: (o.price, o.cumulative + o.left, o.cumulative, o.left, o.state)
            for o in self.orders
            if o.open
        }

    def last(self, symbol):
        return self.lasts[symbol]

    def best(self, order):
        """The best price opposite."""
        prices = [o.price for o in self.books[order.symbol] if o.side != order.side]
        return (min if order.buys else max)(prices, default=None)

    # The uncross. Who takes part: what rests, and market orders that were entered in the call.

    def limits(self, symbol):
        """Every order of a call and the worst price it accepts.

        Prices are named by limit orders and the reference. A market order goes to the end of
        them, but not beyond its own bound; if none is named, nobody trades.
        """
        named = [order.price for order in self.books[symbol]]
        reference, tick = self.reference(symbol), self.instruments[symbol]["tick_size"]
        if reference:
            named.append(max(tick, reference // tick * tick))
        if not named:
            return {}
        limits = {order: order.price for order in self.books[symbol]}
        for order in self.called[symbol]:
            if order.buys:
                limits[order] = min(max(named), order.protect or max(named))
            else:
                limits[order] = max(min(named), order.protect)
        return limits

    def reference(self, symbol):
        return self.lasts[symbol] or self.instruments[symbol]["reference_price"]

    def in_line(self, symbol, side):
        """(limit, order) of one side: best price, then market orders, then who came first."""
        limits = self.limits(symbol)
        sign = 1 if side == "SELL" else -1
        line = [(limit, order) for order, limit in limits.items() if order.side == side]
        return sorted(line, key=lambda each: (sign * each[0], not each[1].market))

    def indicative(self, symbol):
        """(price, volume) an uncross would give now, or None."""
        return self.best_offer(symbol, self.apart(symbol))

    def best_offer(self, symbol, gone):
        """The rules, tick by tick; `gone`: order -> lots that do not take part."""
        limits = self.limits(symbol)
        left = {order: order.left - gone.get(order, 0) for order in limits}
        tick, offers = self.instruments[symbol]["tick_size"], []
        top = max(limits.values(), default=0)
        for price in range(min(limits.values(), default=1), top + 1):
            if price % tick and price not in limits.values():
                continue
            demand = sum(left[o] for o, limit in limits.items() if o.buys and limit >= price)
            supply = sum(left[o] for o, limit in limits.items() if not o.buys and limit <= price)
            offers.append((min(demand, supply), price, demand - supply))
        volume = max((offer[0] for offer in offers), default=0)
        if volume == 0:
            return None
        offers = [offer for offer in offers if offer[0] == volume]
        least = min(abs(surplus) for _, _, surplus in offers)
        offers = [offer for offer in offers if abs(offer[2]) == least]
        prices = [price for _, price, _ in offers]
        reference = self.reference(symbol)
        if all(surplus < 0 for _, _, surplus in offers):
            return prices[0], volume
        if all(surplus > 0 for _, _, surplus in offers) or not reference:
            return prices[-1], volume
        return max(prices, key=lambda price: (-abs(price - reference), price)), volume

    def apart(self, symbol):
        """What self-trade prevention takes out of a call: order -> lots.

        One meeting at a time: find the price, see who trades with whom, take the first two that
        must not meet apart, and begin anew.
        """
        gone = {}
        while (found := self.best_offer(symbol, gone)) is not None:
            pair = self.first_own(symbol, gone, found[1])
            if pair is None:
                break
            (buyer, buys), (seller, sells) = pair
            old, new = sorted([(buyer, buys), (seller, sells)], key=lambda o: o[0].entered)
            mode = new[0].stp or self.stp
            if mode == "decrement":
                old, new = ((order, min(buys, sells)) for order, _ in (old, new))
            for order, lots in {"cancel_newest": [new], "cancel_oldest": [old]}.get(
                mode, [old, new]
            ):
                gone[order] = gone.get(order, 0) + lots
        return gone

    def first_own(self, symbol, gone, volume):
        """The first two of one account or group that would trade, and what each has left then."""
        buys, sells = (
            [o for _, order in self.in_line(symbol, side) for o in [order] * order.left]
            for side in ("BUY", "SELL")
        )
        buys, sells = self.but(buys, gone), self.but(sells, gone)
        for at, (buyer, seller) in enumerate(zip(buys[:volume], sells[:volume], strict=True)):
            newer = max(buyer, seller, key=lambda order: order.entered)
            if self.key(buyer) == self.key(seller) and (newer.stp or self.stp) != "none":
                return (buyer, buys[at:].count(buyer)), (seller, sells[at:].count(seller))
        return None

    def but(self, line, gone):
        """A line of lots without the last so many of each order."""
        kept = {order: order.left - gone.get(order, 0) for order in line}
        shown = []
        for order in line:
            kept[order] -= 1
            if kept[order] >= 0:
                shown.append(order)
        return shown

    def check(self, deposits):
        """Nothing is lost, nobody owes, what is set aside is R of the open orders."""
        due, totals = defaultdict(int), defaultdict(int)
        for order in self.orders:
            if order.open and self.ledger:
                due[self.purse(order)] += self.reservation(order)
        for (account, asset), amounts in self.balances().items():
            totals[asset] += sum(amounts)
            assert min(amounts) >= 0, "somebody owes"
            assert amounts[1] == due.pop((account, asset), 0), "a reservation is not R"
        assert not any(due.values()), "an open order has nothing set aside"
        assert totals == deposits, "money came or went"
        for symbol, phase in self.phases.items():
            bids, asks = self.depth(symbol)
            crossed = bids and asks and bids[0][0] >= asks[0][0]
            assert phase != "CONTINUOUS" or not crossed
