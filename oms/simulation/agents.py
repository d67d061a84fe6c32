"""A made-up market: agents that trade with each other, the same for the same seed.

Flow:  seed, instruments -> [agents] -> requests -> runner
Pure:  the only randomness is the seed's; nobody here sees an answer or a clock. So an agent
       does not know which of its orders have traded, and at times asks for what is too late:
       as it is in real markets.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Protocol

from oms.instruments import Instrument
from oms.messages import Side, TimeInForce
from oms.money import to_text
from oms.requests import OrderRequest

START_PRICES = {"TATA_INR": 950, "JIO_INR": 300, "BTC_USD": 60_000}
START_PRICE = 100
UNIT_VALUE = 1_000  # currency: about what the smallest order is worth
STEPS_OF_PRICE = 4_000  # price levels lie this fraction of the price apart
STEPS_MIN = 200  # the fair value stays this many steps above 0
QUOTES_A_SIDE = 5
PATIENCE = 40  # an investor's orders; the next one makes the oldest give way
UNKNOWN_SYMBOL = "NO_SUCH"
SIDES = (Side.BUY, Side.SELL)
DRIFT = (-1, *[0] * 10, 1)  # steps of the fair value, one of these a visit
GTC, DAY, IOC, FOK = TimeInForce.GTC, TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK


class Listing:
    """One instrument, and what everybody believes it is worth; whole numbers throughout."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        tick, lot = instrument.tick_size, instrument.lot_size
        start = START_PRICES.get(instrument.symbol, START_PRICE) * 10**instrument.price_scale
        start = max(start, tick * STEPS_MIN * 2)
        self.step_ticks = max(1, start // STEPS_OF_PRICE // tick) * tick
        self.fair_steps = start // self.step_ticks
        lots = UNIT_VALUE * 10 ** (instrument.price_scale + instrument.quantity_scale) // start
        round_lots = 10 ** (len(str(lots)) - 1)  # 1,666,666 lots become 1,000,000
        self.unit_lots = max(1, round_lots // lot) * lot

    def drift(self, rng: Random) -> None:
        """The fair value takes a small step, up or down, most of the time none."""
        self.fair_steps += rng.choice(DRIFT)
        self.fair_steps = max(self.fair_steps, STEPS_MIN)

    def price(self, side: Side, steps: int) -> str:
        """A price so many steps worse than fair for who takes it: a passive quote."""
        away = -steps if side is Side.BUY else steps
        ticks = max(1, self.fair_steps + away) * self.step_ticks
        return to_text(ticks, self.instrument.price_scale)

    def off_tick_price(self) -> str:
        """A price between two ticks, or with one decimal more than there is."""
        ticks, scale = self.fair_steps * self.step_ticks, self.instrument.price_scale
        if self.instrument.tick_size > 1:
            return to_text(ticks + 1, scale)
        return to_text(ticks * 10 + 1, scale + 1)

    def quantity(self, units: int) -> str:
        return to_text(units * self.unit_lots, self.instrument.quantity_scale)


class Desk:
    """What the agents share: the random numbers, the ids, the listings."""

    def __init__(self, seed: int, instruments: Sequence[Instrument], prefix: str) -> None:
        self.rng = Random(seed)
        self.listings = [Listing(instrument) for instrument in instruments]
        self._prefix = prefix
        self._count = 0

    def next_id(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"

    def listing(self) -> Listing:
        listing = self.rng.choice(self.listings)
        listing.drift(self.rng)
        return listing

    def side(self) -> Side:
        return self.rng.choice(SIDES)


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
    """Quotes both sides around the fair value; follows it with modifies, then cancels."""

    desk: Desk
    account: str
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
        return OrderRequest.new(
            self.account, new_id, listing.instrument.symbol, side, listing.quantity(units),
            listing.price(side, steps),
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
    """Wants to trade now: market orders, IOC and FOK across the spread."""

    desk: Desk
    account: str

    def act(self) -> Iterator[OrderRequest]:
        listing, rng, side = self.desk.listing(), self.desk.rng, self.desk.side()
        tif = rng.choice((None, IOC, IOC, FOK))
        units = rng.randint(1, 12)
        price = None if tif is None else listing.price(side, -rng.randint(1, 4))
        yield OrderRequest.new(
            self.account, self.desk.next_id(), listing.instrument.symbol, side,
            listing.quantity(units), price, time_in_force=tif or IOC,
        )  # fmt: skip


@dataclass(slots=True)
class Investor:
    """Has time: rests large orders far from the market, and gives up on the oldest."""

    desk: Desk
    account: str
    patience: deque[str] = field(default_factory=deque)

    def act(self) -> Iterator[OrderRequest]:
        listing, rng, side = self.desk.listing(), self.desk.rng, self.desk.side()
        new_id = self.desk.next_id()
        self.patience.append(new_id)
        yield OrderRequest.new(
            self.account, new_id, listing.instrument.symbol, side,
            listing.quantity(rng.randint(10, 60)), listing.price(side, rng.randint(2, 25)),
            time_in_force=rng.choice((GTC, DAY)),
        )  # fmt: skip
        if len(self.patience) > PATIENCE:
            yield OrderRequest.cancel(self.account, self.desk.next_id(), self.patience.popleft())


@dataclass(slots=True)
class Careless:
    """Makes every mistake that there is an answer for."""

    desk: Desk
    account: str
    good: OrderRequest | None = None

    def act(self) -> Iterator[OrderRequest]:
        mistakes = [self._off_tick, self._unknown_symbol, self._stray]
        mistakes += [self._repeat, self._reuse] if self.good else [self._order]
        yield self.desk.rng.choice(mistakes)()

    def _order(self) -> OrderRequest:
        """For once nothing is wrong with it, so its id can be used again."""
        listing = self.desk.listing()
        self.good = OrderRequest.new(
            self.account, self.desk.next_id(), listing.instrument.symbol, Side.BUY,
            listing.quantity(1), listing.price(Side.BUY, 30),
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
        return replace(repeat, side=Side.SELL)

    def _off_tick(self) -> OrderRequest:
        listing = self.desk.listing()
        return OrderRequest.new(
            self.account, self.desk.next_id(), listing.instrument.symbol, Side.BUY,
            listing.quantity(1), listing.off_tick_price(),
        )  # fmt: skip

    def _unknown_symbol(self) -> OrderRequest:
        return OrderRequest.new(
            self.account, self.desk.next_id(), UNKNOWN_SYMBOL, Side.BUY, "1", "100"
        )

    def _stray(self) -> OrderRequest:
        """A cancel of an order that never was."""
        new_id = self.desk.next_id()
        return OrderRequest.cancel(self.account, new_id, f"{new_id}-never-was")


def market(
    seed: int, instruments: Sequence[Instrument], prefix: str = ""
) -> Iterator[OrderRequest]:
    """Requests without end; `prefix` stands before every client order id."""
    desk = Desk(seed, instruments, prefix)
    agents: list[tuple[Agent, int]] = [
        *((Maker(desk, f"maker-{n}"), 15) for n in (1, 2, 3)),
        *((Taker(desk, f"taker-{n}"), 15) for n in (1, 2)),
        *((Investor(desk, f"investor-{n}"), 5) for n in (1, 2)),
        (Careless(desk, "careless-1"), 4),
    ]
    everybody, weights = [agent for agent, _ in agents], [weight for _, weight in agents]
    while True:
        for agent in desk.rng.choices(everybody, weights, k=1_000):
            yield from agent.act()
