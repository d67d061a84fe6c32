"""The order desk with its exchange again, as plainly as can be: lists, searched from end to end.

It shares no code with the product. Where the product reports, this one only says how each order
stands; and it knows one account and one symbol.
"""

from dataclasses import dataclass, field

from tests.reference_book import ReferenceBook


@dataclass(eq=False)
class PlainOrder:
    """state: waiting, open, or how it ended."""

    seq: int
    names: list[str]
    buys: bool
    market: bool
    tif: str
    price: int
    lots: int
    state: str = "waiting"
    filled: int = 0
    changes: list["PlainChange"] = field(default_factory=list)

    def all_names(self):
        """Those it has had, and those of the changes on their way."""
        return self.names + [change.name for change in self.changes]

    @property
    def over(self):
        return self.state not in ("waiting", "open")

    @property
    def left(self):
        return 0 if self.over else self.lots - self.filled


@dataclass(eq=False)
class PlainChange:
    seq: int
    name: str
    order: PlainOrder
    cancels: bool
    price: int = 0
    lots: int = 0


class ReferenceDesk:
    """Enter journal entries, send what waits."""

    def __init__(self, hold, waiting_max):
        self.hold, self.waiting_max = hold, waiting_max
        self.open = self.linked = False
        self.orders, self.waiting, self.urgent = [], [], []
        self.book = ReferenceBook()

    def find(self, name):
        return next((o for o in self.orders if name in o.all_names() and not o.over), None)

    def enter(self, seq, entry):
        kind = entry[0]
        if kind == "N":
            self._new(seq, entry)
        elif kind == "M":
            self._modify(PlainChange(seq, entry[2], self.find(entry[3]), False, *entry[4:6]))
        elif kind == "C":
            self._cancel(PlainChange(seq, entry[2], self.find(entry[3]), True))
        elif kind == "S" and entry[1] == "DATE":
            self._end_day_orders()
        elif kind == "S":
            self.open = entry[1] == "OPEN"
            if entry[1] == "CLOSE":
                self._expire()
        elif kind == "L":
            self.linked = entry[1] == "UP"
        elif kind == "B":
            self.linked = False
        elif kind == "K":
            for order in [r for r in self.waiting if isinstance(r, PlainOrder)]:
                self._end(order, "CANCELED")

    def send(self, count):
        """What the link, the hours and `count` permits let go, cancels first; how many went.

        The exchange is our own: a cancel needs no link, nor hours.
        """
        for sent in range(count):
            if not (self.urgent or (self.linked and self.open and self.waiting)):
                return sent
            request = (self.urgent or self.waiting).pop(0)
            if isinstance(request, PlainOrder):
                self._place(request)
            elif request.cancels:
                request.order.changes.remove(request)
                self.book.cancel(request.order.seq)
                self._end(request.order, "CANCELED")
            else:
                self._replace(request)
        return count

    def _new(self, seq, entry):
        _, _, name, _, side, kind, tif, price, lots, hold, _ = entry
        order = PlainOrder(seq, [name], side == "BUY", kind == "MARKET", tif, price, lots)
        may_hold = not order.market and tif in ("GTC", "DAY") and (hold or self.hold)
        refused = not (self.open or may_hold) or len(self.waiting) >= self.waiting_max
        self.orders.append(order)
        if refused:
            order.state = "REJECTED"
        else:
            self.waiting.append(order)

    def _modify(self, change):
        order = change.order
        if order in self.waiting:
            price, lots = change.price or order.price, change.lots or order.lots
            if price != order.price or lots > order.lots:
                self.waiting.remove(order)
                self.waiting.append(order)
            order.price, order.lots = price, lots
            order.names.append(change.name)
        elif not any(c.cancels for c in order.changes) and len(self.waiting) < self.waiting_max:
            order.changes.append(change)
            self.waiting.append(change)

    def _cancel(self, change):
        if change.order in self.waiting:
            self._end(change.order, "CANCELED")
        elif not any(c.cancels for c in change.order.changes):
            change.order.changes.append(change)
            self.urgent.append(change)

    def _end_day_orders(self):
        for order in [o for o in self.orders if o.tif == "DAY" and not o.over]:
            if order.state == "open":
                self.book.cancel(order.seq)
            self._end(order, "EXPIRED")

    def _expire(self):
        for order in list(self.orders):
            if order.state == "open" and order.tif == "DAY":
                self.book.cancel(order.seq)
                self._end(order, "EXPIRED")
        for order in [r for r in self.waiting if isinstance(r, PlainOrder)]:
            if order.market or order.tif != "GTC":
                self._end(order, "EXPIRED")

    def _place(self, order):
        order.state, limit = "open", None if order.market else order.price
        at_once = order.market or order.tif in ("IOC", "FOK")
        if order.tif == "FOK" and not self.book.fillable(order.buys, limit, order.lots):
            self._end(order, "CANCELED")
        elif at_once:
            self._fill(order, self.book.match(order.buys, limit, order.lots)[0])
            if not order.over:
                self._end(order, "CANCELED")
        else:
            self._fill(order, self.book.add(order.seq, order.buys, limit, order.lots))

    def _replace(self, change):
        order = change.order
        order.changes.remove(change)
        price, lots = change.price or order.price, change.lots or order.lots
        keeps = price == order.price and lots <= order.lots
        order.price, order.lots = price, max(lots, order.filled)
        order.names.append(change.name)
        if order.left == 0:
            self.book.cancel(order.seq)
            self._end(order, "FILLED")
        elif keeps:
            self.book.find(order.seq).lots = order.left
        else:
            self.book.cancel(order.seq)
            self._fill(order, self.book.add(order.seq, order.buys, price, order.left))

    def _fill(self, taker, fills):
        for maker_seq, _, lots in fills:
            for order in (taker, next(o for o in self.orders if o.seq == maker_seq)):
                order.filled += lots
                if order.filled == order.lots:
                    self._end(order, "FILLED")

    def _end(self, order, state):
        """Over: it waits no more, nor do the changes asked of it."""
        order.state = state
        gone = [order, *order.changes]
        self.waiting = [request for request in self.waiting if request not in gone]
        self.urgent = [request for request in self.urgent if request not in gone]
        order.changes = []
