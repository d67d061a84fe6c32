"""A made-up market: agents that trade with each other, the same for the same seed.

Flow:  seed, instruments -> listing -> [agents] -> requests -> runner
Pure:  the only randomness is the seed's; nobody here sees an answer or a clock. So an agent
       does not know which of its orders have traded, and at times asks for what is too late:
       as it is in real markets.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from oms.instruments import Instrument
from oms.messages import PostOnly, Side, TimeInForce
from oms.requests import OrderRequest, OrderTerms
from oms.simulation.listing import SIDES, Desk, Listing

QUOTES_A_SIDE = 5
PATIENCE = 40  # an investor's orders; the next one makes the oldest give way
STOPS = 25  # a hedger's, likewise
UNKNOWN_SYMBOL = "NO_SUCH"
GTC, DAY, GTD = TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD
IOC, FOK = TimeInForce.IOC, TimeInForce.FOK
BUY, SELL = Side.BUY, Side.SELL
SLIDE, REJECT = PostOnly.SLIDE, PostOnly.REJECT


class Agent(Protocol):
    """Whoever trades; one call is one visit to the market."""

    def act(self) -> Iterator[OrderRequest]: ...


@dataclass(slots=True)
class Quote:
    """An order that a maker believes to be in the book, under its first id."""

    client_order_id: str
    units: int
    changes_left: int


@dataclass(slots=True)
class Maker:
    """Quotes both sides around the fair value; follows it with modifies, then cancels.

    post_only: what becomes of a quote that would take instead of make; None: it may.
    """

    desk: Desk
    account: str
    post_only: PostOnly | None = None
    quotes: dict[tuple[str, Side], list[Quote]] = field(default_factory=dict)

    def act(self) -> Iterator[OrderRequest]:
        listing, rng = self.desk.listing(), self.desk.rng
        for side in SIDES:
            quotes = self.quotes.setdefault((listing.instrument.symbol, side), [])
            if len(quotes) < QUOTES_A_SIDE:
                yield self._quote(listing, side, quotes)
            elif quotes[0].changes_left and rng.random() < 0.6:
                yield self._follow(listing, side, quotes)
            else:
                yield self._withdraw(quotes)

    def _quote(self, listing: Listing, side: Side, quotes: list[Quote]) -> OrderRequest:
        rng, new_id = self.desk.rng, self.desk.next_id()
        units, steps = rng.randint(4, 20), rng.randint(2, 7)
        quotes.append(Quote(new_id, units, rng.randint(0, 2)))
        terms = OrderTerms(post_only=self.post_only) if self.post_only else None
        return OrderRequest.new(
            self.account, new_id, listing.instrument.symbol, side, listing.quantity(units),
            listing.price(side, steps), terms=terms,
        )  # fmt: skip

    def _follow(self, listing: Listing, side: Side, quotes: list[Quote]) -> OrderRequest:
        """Move the oldest quote to where the market is, or make it smaller where it is."""
        rng, new_id = self.desk.rng, self.desk.next_id()
        quote = quotes.pop(0)
        quote.changes_left -= 1
        quotes.append(quote)
        if quote.units > 2 and rng.random() < 0.3:
            quote.units -= quote.units // 3
            return OrderRequest.modify(
                self.account, new_id, quote.client_order_id, quantity=listing.quantity(quote.units)
            )
        price = listing.price(side, rng.randint(2, 7))
        return OrderRequest.modify(self.account, new_id, quote.client_order_id, price=price)

    def _withdraw(self, quotes: list[Quote]) -> OrderRequest:
        return OrderRequest.cancel(self.account, self.desk.next_id(), quotes.pop(0).client_order_id)


@dataclass(slots=True)
class Taker:
    """Wants to trade now: across the spread, or at any price; in the call, well over fair."""

    desk: Desk
    account: str

    def act(self) -> Iterator[OrderRequest]:
        listing, rng, side = self.desk.listing(), self.desk.rng, self.desk.side()
        units = rng.randint(1, 12)
        price = listing.price(side, -rng.randint(1, 4))
        if self.desk.calling:
            yield self._order(listing, side, units, price, DAY)
            return
        kind = rng.choice(("market", "protected", "budget", "minimum", IOC, IOC, IOC, FOK, FOK))
        terms = None
        if kind == "protected":
            terms = OrderTerms(protection_price=listing.price(side, -6))
        elif kind == "budget":
            side = BUY
            terms = OrderTerms(quote_quantity=listing.budget(units))
        elif kind == "minimum":
            terms = OrderTerms(min_quantity=listing.quantity(max(1, units // 2)))
        tif = kind if isinstance(kind, TimeInForce) else IOC
        limit = price if isinstance(kind, TimeInForce) or kind == "minimum" else None
        quantity = 0 if kind == "budget" else units
        yield self._order(listing, side, quantity, limit, tif, terms)

    def _order(
        self,
        listing: Listing,
        side: Side,
        units: int,
        price: str | None,
        tif: TimeInForce,
        terms: OrderTerms | None = None,
    ) -> OrderRequest:
        return OrderRequest.new(
            self.account, self.desk.next_id(), listing.instrument.symbol, side,
            listing.quantity(units) if units else None, price, time_in_force=tif, terms=terms,
        )  # fmt: skip


@dataclass(slots=True)
class Investor:
    """Has time: rests large orders, some as icebergs, and gives up on the oldest."""

    desk: Desk
    account: str
    patience: deque[str] = field(default_factory=deque)

    def act(self) -> Iterator[OrderRequest]:
        listing, rng, side = self.desk.listing(), self.desk.rng, self.desk.side()
        new_id = self.desk.next_id()
        self.patience.append(new_id)
        units, tif = rng.randint(10, 60), rng.choice((GTC, DAY, GTD))
        steps = rng.randint(-6, 12) if self.desk.calling else rng.randint(2, 25)
        shown = listing.quantity(units // 5) if rng.random() < 0.4 else None
        expire_ns = self.desk.expire_ns(rng.randint(3, 12)) if tif is GTD else 0
        terms = None
        if shown or expire_ns:
            terms = OrderTerms(display_quantity=shown, expire_ns=expire_ns)
        yield OrderRequest.new(
            self.account, new_id, listing.instrument.symbol, side, listing.quantity(units),
            listing.price(side, steps), time_in_force=tif, terms=terms,
        )  # fmt: skip
        if len(self.patience) > PATIENCE:
            yield OrderRequest.cancel(self.account, self.desk.next_id(), self.patience.popleft())


@dataclass(slots=True)
class Hedger:
    """Is afraid: stops where the market must not go, some with a limit order as a pair."""

    desk: Desk
    account: str
    stops: deque[str] = field(default_factory=deque)

    def act(self) -> Iterator[OrderRequest]:
        listing, rng, side = self.desk.listing(), self.desk.rng, self.desk.side()
        symbol, quantity = listing.instrument.symbol, listing.quantity(rng.randint(2, 15))
        stop_id, steps = self.desk.next_id(), rng.randint(2, 8)
        self.stops.append(stop_id)
        kind = rng.choice(("stop", "stop", "limit", "pair"))
        terms = OrderTerms(stop_price=listing.price(side, -steps))
        limit = listing.price(side, -steps - 4) if kind == "limit" else None
        yield OrderRequest.new(self.account, stop_id, symbol, side, quantity, limit, terms=terms)
        if kind == "pair":
            yield OrderRequest.new(
                self.account, self.desk.next_id(), symbol, side, quantity,
                listing.price(side, rng.randint(2, 6)), terms=OrderTerms(oco_with=stop_id),
            )  # fmt: skip
        if len(self.stops) > STOPS:
            yield OrderRequest.cancel(self.account, self.desk.next_id(), self.stops.popleft())


@dataclass(slots=True)
class Careless:
    """Makes every mistake that there is an answer for."""

    desk: Desk
    account: str
    good: OrderRequest | None = None

    def act(self) -> Iterator[OrderRequest]:
        mistakes = [self._off_tick, self._unknown_symbol, self._stray, self._beyond_means]
        mistakes += [self._repeat, self._reuse] if self.good else [self._order]
        yield self.desk.rng.choice(mistakes)()

    def _order(self) -> OrderRequest:
        """For once nothing is wrong with it, so its id can be used again."""
        listing = self.desk.listing()
        self.good = OrderRequest.new(
            self.account, self.desk.next_id(), listing.instrument.symbol, BUY,
            listing.quantity(1), listing.price(BUY, 30),
        )  # fmt: skip
        return self.good

    def _repeat(self) -> OrderRequest:
        """The same request again, as after a lost connection."""
        assert self.good is not None
        return self.good

    def _reuse(self) -> OrderRequest:
        """The id of an earlier order, on another one."""
        assert self.good is not None
        repeat, self.good = self.good, None
        return replace(repeat, side=SELL)

    def _off_tick(self) -> OrderRequest:
        listing = self.desk.listing()
        return OrderRequest.new(
            self.account, self.desk.next_id(), listing.instrument.symbol, BUY,
            listing.quantity(1), listing.off_tick_price(),
        )  # fmt: skip

    def _unknown_symbol(self) -> OrderRequest:
        return OrderRequest.new(self.account, self.desk.next_id(), UNKNOWN_SYMBOL, BUY, "1", "100")

    def _beyond_means(self) -> OrderRequest:
        """Far more than the account has; where nobody keeps accounts, far from the market."""
        listing = self.desk.listing()
        return OrderRequest.new(
            self.account, self.desk.next_id(), listing.instrument.symbol, BUY,
            listing.quantity(1_000), listing.price(BUY, 150),
        )  # fmt: skip

    def _stray(self) -> OrderRequest:
        """A cancel of an order that never was."""
        new_id = self.desk.next_id()
        return OrderRequest.cancel(self.account, new_id, f"{new_id}-never-was")


def market(
    seed: int,
    instruments: Sequence[Instrument],
    prefix: str = "",
    *,
    opening: int = 0,
    start_ns: int = 0,
    rate: int = 100,
) -> Iterator[OrderRequest]:
    """Requests without end; `prefix` stands before every client order id.

    opening: so many requests come while the opening call is on. start_ns, rate: see Desk.
    """
    desk = Desk(seed, instruments, prefix, start_ns, rate)
    desk.calling = opening > 0
    agents: list[tuple[Agent, int]] = [
        (Maker(desk, "maker-1"), 15),
        (Maker(desk, "maker-2", SLIDE), 15),
        (Maker(desk, "maker-3", REJECT), 15),
        *((Taker(desk, f"taker-{n}"), 15) for n in (1, 2)),
        *((Investor(desk, f"investor-{n}"), 5) for n in (1, 2)),
        (Hedger(desk, "hedger-1"), 6),
        (Careless(desk, "careless-1"), 4),
    ]
    for count, request in enumerate(_acts(desk, agents), 1):
        yield request
        desk.calling = count < opening


def _acts(desk: Desk, agents: list[tuple[Agent, int]]) -> Iterator[OrderRequest]:
    everybody, weights = [agent for agent, _ in agents], [weight for _, weight in agents]
    while True:
        for agent in desk.rng.choices(everybody, weights, k=1_000):
            yield from agent.act()
