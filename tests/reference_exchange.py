"""The exchange again, as plainly as can be: lists, searched from end to end.

It shares no code with the product. The orders of one book stand in one list: of those of equal
price, the first is served first. Every order goes straight to the book.
"""

from bisect import bisect_right
from copy import copy
from math import floor

from tests.reference_money import STOPS, PlainBooks, PlainOrder

CALLS = ("PRE_OPEN", "OPENING_AUCTION", "CLOSING_AUCTION", "REOPENING_AUCTION")


def take(queue, maker, lots):
    """Fill the shown lots of a maker; an iceberg's next go to the back."""
    maker.left -= lots
    maker.shown -= lots
    if maker.shown == 0:
        queue.remove(maker)
        if maker.left:
            maker.show()
            queue.append(maker)


def lots_of(fills):
    return sum(lots for _, lots in fills)


class PlainExchange(PlainBooks):
    """Give it commands; read `reports` and the readers at its end."""

    def __init__(
        self, instruments, *, ledger, stp="cancel_newest", fees=None, tiers=None, groups=None
    ):
        super().__init__(instruments, ledger, fees or {}, tiers or {})
        self.stp, self.groups = stp, groups or {}
        self.reports = []
        self.count = 0  # of entries in queues
        # What one turn leaves to do: trade prices, OCO losers, stops to trigger.
        self.trades, self.losers, self.due = [], [], []

    # Commands.

    def new(self, order_id, account, name, symbol, side, kind, tif, price, lots, terms):
        order = PlainOrder(order_id, account, [name], symbol, side, kind, tif, price, lots, **terms)
        order.state = "SUSPENDED" if kind in STOPS else "NEW"
        order.rates = self.rates(account, symbol)
        if self.waits_for_price(order):
            order.protect = order.protect or self.collar(order)
        partner = self.stop_named(order)
        code = self.refusal(order, partner)
        self.orders.append(order)
        if code:
            self.end(order, "REJECTED", code, "REJECTED")
            return
        if partner:
            self.hold(partner, 0)
            order.partner, partner.partner = partner, order
        self.hold(order, self.reservation(order))
        self.report("NEW", order)
        if kind in STOPS:
            self.suspend(order)
        else:
            self.meet(order)
        self.settle(symbol)

    def modify(self, change_id, name_new, order_id, price, lots, terms):  # noqa: ARG002
        order = self.find(order_id)
        after = copy(order)
        after.price = (price or order.price) if order.price else 0
        after.stop = (order.waits and terms.get("stop")) or order.stop
        after.display = terms.get("display") or order.display
        after.left = max((lots or order.cumulative + order.left) - order.cumulative, 0)
        code = self.refusal_of_change(order, after)
        if code:
            self.report("CANCEL_REJECTED", order, code)
            return
        order.names.append(name_new)
        if after.left == 0:
            self.end(order, "FILLED", type="REPLACED")
            return
        back = after.price != order.price or after.left > order.left
        restop = after.stop != order.stop
        order.price, order.stop, order.display = after.price, after.stop, after.display
        order.left, order.shown = after.left, min(order.shown, after.left)
        if not order.display:
            order.show()
        holder = order.partner if order.partner and order.kind in STOPS else order
        self.hold(holder, self.reservation(holder))
        self.report("REPLACED", order)
        if order.aside:
            if back:
                self.asides[order.symbol].remove(order)
                self.rest(order)
                self.asides[order.symbol].append(self.books[order.symbol].pop())
        elif order.state == "SUSPENDED":
            if back or restop:
                self.suspend(order)
        elif back:
            if order in self.called[order.symbol]:  # in a call, or a halt that came in one
                self.called[order.symbol].remove(order)
                self.call(order)
            else:
                self.books[order.symbol].remove(order)
                self.meet(order)
        self.settle(order.symbol)

    def cancel(self, change_id, name_new, order_id):  # noqa: ARG002
        order = self.find(order_id)
        if not order.open:
            self.report("CANCEL_REJECTED", order, "TOO_LATE")
            return
        self.end(order, "CANCELED")
        self.settle(order.symbol)

    def mass_cancel(self, account="", symbol="", side="", type="CANCELED", reason=""):
        def meant(order):
            pairs = ((account, order.account), (symbol, order.symbol), (side, order.side))
            return all(wanted in ("", actual) for wanted, actual in pairs)

        self.remove(meant, type, reason)

    def expire_day(self):
        self.remove(lambda order: order.tif == "DAY", "EXPIRED", "")

    def expire_gtd(self, now_ns):
        self.remove(lambda order: order.tif == "GTD" and order.expire <= now_ns, "EXPIRED", "")

    def set_phase(self, symbol, phase):
        before, self.phases[symbol] = self.phases[symbol], phase
        if phase == "HALTED":
            self.set_aside(symbol)
        elif phase != "CLOSED":  # a halt outlasts the night
            self.bring_back(symbol)
        if phase == "CONTINUOUS" or (before in CALLS and phase == "CLOSED"):
            self.uncross(symbol)
        if phase in ("CONTINUOUS", "CLOSED"):  # a market order never rests
            for order in list(self.called[symbol]):
                self.end(order, "CANCELED", "INSUFFICIENT_LIQUIDITY")
        if phase == "CONTINUOUS":
            self.trades.append(self.lasts[symbol])
        self.settle(symbol)

    def set_aside(self, symbol):
        """Halted: all that rests leaves the book, as it stands there."""
        book, aside = self.books[symbol], self.asides[symbol]
        aside += book
        for order in sorted(book, key=lambda order: order.entered):
            order.state, order.aside = "SUSPENDED", True
            self.report("RESTATED", order, "HALTED")
        book.clear()

    def bring_back(self, symbol):
        """What is left of it stands there again."""
        book, aside = self.books[symbol], self.asides[symbol]
        book += aside
        for order in sorted(aside, key=lambda order: order.entered):
            order.state, order.aside = "PARTIALLY_FILLED" if order.cumulative else "NEW", False
            self.report("RESTATED", order)
        aside.clear()

    # May it come in?

    def refusal(self, order, partner):
        """Why a new order is REJECTED, or ""."""
        if self.barred(order):
            return "MARKET_STATE"
        if self.ledger and order.account not in self.accounts[2:]:  # after those of the house
            return "ACCOUNT_UNKNOWN"
        if order.display and order.display * 1000 < order.left:
            return "DISPLAY_INVALID"
        if order.min > order.left and not order.budget:
            return "QUANTITY_INVALID"
        may_pair = partner and order.kind == "LIMIT" and order.tif not in ("IOC", "FOK")
        if order.oco and not may_pair:
            return "OCO_INVALID"
        needed = self.need(order)
        if partner:
            needed = max(needed, self.need(partner)) - partner.reserved
        if self.short(order, needed):
            return "FUNDS_INSUFFICIENT"
        return self.refusal_by_book(order)

    def waits_for_price(self, order):
        """A market order that is entered before an uncross, and need not trade at once."""
        return (
            self.phases[order.symbol] in CALLS
            and order.kind == "MARKET"
            and order.tif not in ("IOC", "FOK")
            and not order.min
            and not order.budget
            and self.instruments[order.symbol]["market_order"] != "all_or_none"
        )

    def collar(self, order):
        """In a call nobody can count from the best price: it counts from the reference."""
        terms, reference = self.instruments[order.symbol], self.reference(order.symbol)
        bps, tick = terms["market_slippage_bps"], terms["tick_size"]
        if not bps or not reference:
            return 0
        far = [p for p in range(tick, 3 * reference + tick, tick)
               if abs(p - reference) * 10_000 <= bps * reference]  # fmt: skip
        return (max if order.buys else min)(far, default=tick)

    def barred(self, order):
        phase = self.phases[order.symbol]
        if phase == "CONTINUOUS":
            return False
        if self.waits_for_price(order):  # unless nobody knows what it may cost
            return self.ledger and not order.bounded
        if order.kind == "MARKET" or order.tif in ("IOC", "FOK") or order.min:
            return True
        return phase == "CLOSED" or (phase == "HALTED" and order.kind == "LIMIT")

    def stop_named(self, order):
        """The stop it may pair with."""
        place = (order.account, order.symbol, order.side)
        for other in self.orders:
            same = (other.account, other.symbol, other.side) == place
            free = other.waits and other.partner is None
            if order.oco and order.oco in other.names and same and free:
                return other
        return None

    def refusal_by_book(self, order):
        """What an order hears that meets the book now. Finds the lots of a budget."""
        if order.state == "SUSPENDED" or self.phases[order.symbol] != "CONTINUOUS":
            return ""
        steps = self.walk(order)
        fills = self.fills(steps)
        if order.budget:
            order.left = self.wish(order)
        if not order.bounded and not order.budget and self.short(order, self.cost(order, fills)):
            return "FUNDS_INSUFFICIENT"
        all_or_none = self.instruments[order.symbol]["market_order"] == "all_or_none"
        if order.market and all_or_none and not self.whole(order, fills):
            return self.why_not_whole(order, steps)
        return "" if self.price_posted(order) > 0 or order.market else "POST_ONLY"

    def refusal_of_change(self, order, after):
        """Why a modify is CANCEL_REJECTED, or ""."""
        if not order.open:
            return "TOO_LATE"
        if after.left == 0:
            return ""
        if after.display and after.display * 1000 < after.cumulative + after.left:
            return "DISPLAY_INVALID"
        needed, held = self.need(after), order.reserved
        if order.partner:
            needed = max(needed, self.need(order.partner))
            held += order.partner.reserved
        if self.short(order, needed - held):
            return "FUNDS_INSUFFICIENT"
        back = after.price != order.price or after.left > order.left
        return self.refusal_by_book(after) if back else ""

    # Matching.

    def meet(self, order):
        """Trade what can be traded; then rest or go. It has been accepted."""
        if self.waits_for_price(order):
            self.call(order)
            return
        if self.phases[order.symbol] != "CONTINUOUS":
            self.rest(order)
            return
        posted = self.price_posted(order)
        if posted != order.price:
            order.price = posted
            self.hold_again(order)
            self.report("RESTATED", order, f"POST_ONLY: price={posted}")
        steps = self.walk(order)
        fills = self.fills(steps)
        too_few = order.tif == "FOK" and not self.whole(order, fills)
        if (order.left or order.budget) and lots_of(fills) < order.min:
            itself = self.met_itself(order, steps)
            self.end(order, "CANCELED", "SELF_TRADE" if itself else "MIN_QUANTITY")
        elif too_few:
            self.end(order, "CANCELED", self.why_not_whole(order, steps))
        else:
            if not order.bounded:
                self.hold(order, self.cost(order, fills))
            self.sweep(order, steps)
        if order.open and (order.market or order.tif in ("IOC", "FOK")):
            self.end(order, "CANCELED", self.why_left(order))
        elif order.open:
            self.rest(order)

    def walk(self, taker):
        """What would happen, step by step, if it took now; the book is left alone."""
        trial, steps = copy(taker), []
        trial.price = self.bound(taker)
        taker.taken, taker.looked = [], 0
        queue = [copy(maker) for maker in self.books[taker.symbol] if maker.side != taker.side]
        mode = taker.stp or self.stp
        while True:
            makers = [m for m in queue if trial.price is None or trial.accepts(m.price)]
            if not makers:
                break
            maker = min(makers, key=lambda m: m.price if taker.buys else -m.price)
            taker.looked = maker.price
            left = self.wish(taker) - lots_of(taker.taken)
            if left == 0:
                break
            if mode == "none" or self.key(maker) != self.key(taker):
                lots = min(left, maker.shown)
                steps.append(("FILL", maker.id, maker.price, lots))
                take(queue, maker, lots)
                taker.taken.append((maker.price, lots))
                continue
            more = self.collide(taker, left, maker, mode)
            steps += more
            if any(step == "CANCEL" and order_id == taker.id for step, order_id, _, _ in more):
                break
            queue.remove(maker)
            taker.taken += [(maker.price, lots) for step, _, _, lots in more if step == "RESTATE"]
        return steps

    def wish(self, taker):
        """For how many lots it is: its own; or what it took, and what the rest of its budget buys
        at the price it looked at last."""
        if not taker.budget:
            return taker.left
        taken = lots_of(taker.taken)
        if not taker.looked:
            return taken
        lot = self.instruments[taker.symbol]["lot_size"]
        most = floor(taker.budget / self.exact(taker.symbol, taker.looked, 1))
        tries = range(taken - taken % lot + lot, taken + most + 1, lot)

        def cost(lots):
            return self.cost(taker, [*taker.taken, (taker.looked, lots - taken)])

        return max(taken, tries.start - lot + lot * bisect_right(tries, taker.budget, key=cost))

    def whole(self, order, fills):
        """Does it get all that it is for?"""
        return lots_of(fills) == order.left and bool(order.left or not order.budget)

    def why_not_whole(self, order, steps):
        """Of an order that wants all or nothing, and what stops that."""
        return "SELF_TRADE" if self.met_itself(order, steps) else self.why_left(order)

    def met_itself(self, order, steps):
        return any(step != "FILL" and order_id == order.id for step, order_id, _, _ in steps)

    def why_left(self, order):
        """Of a budget the rest may not be enough for a lot."""
        if order.budget and order.looked and self.wish(order) == lots_of(order.taken):
            return "SELF_TRADE" if order.taken else "NOTIONAL_BELOW_MINIMUM"
        return "INSUFFICIENT_LIQUIDITY"

    def collide(self, taker, left, maker, mode):
        """Self-trade prevention: its steps."""
        oldest, newest = ("CANCEL", maker.id, 0, 0), ("CANCEL", taker.id, 0, 0)
        if mode == "cancel_newest":
            return [newest]
        if mode == "cancel_oldest":
            return [oldest]
        if mode == "cancel_both" or maker.left == left:
            return [oldest, newest]
        if maker.left < left:
            return [oldest, ("RESTATE", taker.id, 0, maker.left)]
        return [newest, ("RESTATE", maker.id, 0, left)]

    def fills(self, steps):
        return [(price, lots) for step, _, price, lots in steps if step == "FILL"]

    def sweep(self, taker, steps):
        for step, order_id, price, lots in steps:
            order = self.find(order_id)
            if step == "FILL":
                taker.left -= lots
                take(self.books[taker.symbol], order, lots)
                self.fill(taker, order, price, lots, ("TAKER", "MAKER"))
            elif step == "CANCEL":
                self.end(order, "CANCELED", "SELF_TRADE")
            else:
                order.left -= lots
                order.shown = min(order.shown, order.left)
                self.hold_again(order)
                self.report("RESTATED", order, "SELF_TRADE")

    def fill(self, first, second, price, lots, liquidity):
        """Both have taken the lots off already; the first is reported first."""
        for order in (first, second):
            order.cumulative += lots
            order.state = "PARTIALLY_FILLED" if order.left else "FILLED"
            self.part(order)
        bps = {}
        for order, liquid in zip((first, second), liquidity, strict=True):
            maker, taker = order.rates
            bps[order] = {"MAKER": maker, "TAKER": taker, "AUCTION": max(maker, 0)}[liquid]
        buyer, seller = (first, second) if first.buys else (second, first)
        fees = self.pay(buyer, seller, price, lots, bps[buyer], bps[seller])
        fee_of = dict(zip((buyer, seller), fees, strict=True))
        for order, liquid in zip((first, second), liquidity, strict=True):
            self.report("TRADE", order, "", price, lots, liquid, fee_of[order])
        self.lasts[first.symbol] = price
        self.trades.append(price)

    def bound(self, order):
        """The worst price it takes; None: any."""
        best, bps = self.best(order), self.instruments[order.symbol]["market_slippage_bps"]
        if order.price or order.protect:
            return order.price or order.protect
        if not bps or best is None:
            return None
        if order.buys:
            return best * (10_000 + bps) // 10_000
        return -(-best * (10_000 - bps) // 10_000)

    def price_posted(self, order):
        """The price a post-only order rests at; 0: it may not. Others keep their price."""
        best = self.best(order)
        if not order.post or best is None or not order.accepts(best):
            return order.price
        step = self.instruments[order.symbol]["tick_size"]
        slid = best - step if order.buys else best + step
        return max(slid, 0) if order.post == "SLIDE" else 0

    def key(self, order):
        return self.groups.get(order.account, order.account)

    # The uncross.

    def uncross(self, symbol):
        # Prices are named by all who are in the call, also by those who are taken out of it.
        found = self.indicative(symbol)
        lines = [[o for _, o in self.in_line(symbol, side)] for side in ("BUY", "SELL")]
        self.keep_apart(symbol)
        if found is None:
            return
        price, volume = found
        book, called = self.books[symbol], self.called[symbol]
        bids, asks = ([order for order in line if order.left] for line in lines)
        shown = {order: order.shown for order in book + called}
        while volume:
            buyer, seller = bids[0], asks[0]
            lots = min(buyer.left, seller.left, volume)
            volume -= lots
            for queue, order in ((bids, buyer), (asks, seller)):
                order.left -= lots
                shown[order] -= lots
                if order.left == 0:
                    queue.remove(order)
                    (called if order in called else book).remove(order)
            self.fill(buyer, seller, price, lots, ("AUCTION", "AUCTION"))
        for order in list(book):
            order.shown = shown[order]
            if order.shown <= 0:  # new lots are shown, at the back
                book.remove(order)
                order.show()
                book.append(order)

    def keep_apart(self, symbol):
        """Take those out that would trade with themselves, before the price is found."""
        for order, lots in self.apart(symbol).items():
            if lots == order.left:
                self.end(order, "CANCELED", "SELF_TRADE")
                continue
            order.left -= lots
            order.shown = min(order.shown, order.left)
            self.hold_again(order)
            self.report("RESTATED", order, "SELF_TRADE")

    # What follows from a trade, and ends.

    def settle(self, symbol):
        """The cascade, until nothing is due."""
        continuous = self.phases[symbol] == "CONTINUOUS"
        while True:
            self.cancel_losers()
            for price in self.trades if continuous else []:
                stops = [o for o in self.suspended(symbol) if o not in self.due]
                stops = [stop for stop in stops if stop.reached(price)]
                buys = sorted((s for s in stops if s.buys), key=lambda s: s.stop)
                sells = sorted((s for s in stops if not s.buys), key=lambda s: -s.stop)
                self.due += buys + sells
            self.trades = []
            if not self.due:
                return
            stop = self.due.pop(0)
            if stop.state == "SUSPENDED":
                self.trigger(stop)

    def suspend(self, stop):
        """To the back; if it is reached already, it is the next to trigger."""
        self.count += 1
        stop.entered = self.count
        if self.phases[stop.symbol] == "CONTINUOUS" and stop.reached(self.lasts[stop.symbol]):
            self.due.append(stop)

    def trigger(self, stop):
        stop.state = "NEW"
        self.report("TRIGGERED", stop)
        self.part(stop)
        self.cancel_losers()
        self.hold(stop, self.reservation(stop))
        code = self.refusal_by_book(stop)
        if code:
            self.end(stop, "CANCELED", code)
        else:
            self.meet(stop)

    def call(self, order):
        """To the back of the market orders that wait for an uncross."""
        self.count += 1
        order.entered = self.count
        self.called[order.symbol].append(order)

    def rest(self, order):
        """At the back. `min` is for arrivals, so it is done with."""
        self.count += 1
        order.entered, order.min = self.count, 0
        order.show()
        self.books[order.symbol].append(order)

    def part(self, order):
        """It won: its OCO partner is to go."""
        if order.partner:
            self.losers.append(order.partner)
            order.partner.partner = order.partner = None

    def cancel_losers(self):
        while self.losers:
            self.end(self.losers.pop(0), "CANCELED", "OCO")

    def end(self, order, state, code="", type=""):
        if order in self.books[order.symbol]:
            self.books[order.symbol].remove(order)
        if order in self.called[order.symbol]:
            self.called[order.symbol].remove(order)
        if order.aside:
            self.asides[order.symbol].remove(order)
            order.aside = False
        order.state, order.left = state, 0
        self.hold(order, 0)
        self.report(type or state, order, code)
        self.part(order)

    def remove(self, meant, state, code):
        """All that are meant: per symbol the resting, then the stops."""
        gone = []
        for symbol, book in self.books.items():
            stops = sorted(self.suspended(symbol), key=lambda stop: stop.id)
            resting = book + self.called[symbol] + self.asides[symbol]
            resting.sort(key=lambda order: order.entered)
            gone += [order for order in resting + stops if meant(order)]
        for order in gone:
            self.end(order, state, code)
        self.losers = [loser for loser in self.losers if loser not in gone]
        self.cancel_losers()

    def report(self, type, order, code="", price=0, lots=0, liquidity="", fee=0):
        facts = (order.id, order.state, price, lots, order.cumulative, order.left)
        self.reports.append((type, *facts, liquidity, fee, code))
