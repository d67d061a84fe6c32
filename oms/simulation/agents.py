"""A made-up market: agents that trade with each other, the same for the same seed.

Flow:  seed, instruments -> [agents] -> requests -> runner
Pure:  the only randomness is the seed's; no agent sees an answer or a clock. So an agent does
       not know which of its orders have traded, and some of its cancels and modifies are too
       late, as in real markets.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from oms.clock import NANOS
from oms.enums import PostOnly, Side, TimeInForce
from oms.instruments import Instrument
from oms.money import UNITS_MAX, to_text
from oms.requests import FundsAction, FundsRequest
from oms.requests.orders import OrderRequest, OrderTerms

QUOTES_A_SIDE = 5
PATIENCE = 40  # open orders of an investor; with one more the oldest is canceled
STOPS = 25  # stop orders of a hedger, likewise
UNKNOWN_SYMBOL = "NO_SUCH"
GTC, DAY, GTD = TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD
IOC, FOK = TimeInForce.IOC, TimeInForce.FOK
BUY, SELL = Side.BUY, Side.SELL
SLIDE, REJECT = PostOnly.SLIDE, PostOnly.REJECT
START_PRICES = {"TATA_INR": 950, "JIO_INR": 300, "BTC_USD": 60_000}
START_PRICE = 100
UNIT_VALUE = 1_000  # currency: about what the smallest order is worth
STEPS_OF_PRICE = 4_000  # price levels lie this fraction of the price apart
STEPS_MIN = 200  # the fair value stays this many steps above 0
SIDES = (BUY, SELL)
DRIFT = (-1, *[0] * 10, 1)  # steps of the fair value, one of these a visit
PLENTY, LITTLE = 5_000, 20  # units an account may buy or sell of each instrument
FUNDED = {
    **dict.fromkeys(
        ("maker-1", "maker-2", "maker-3", "taker-1", "taker-2", "investor-1", "investor-2",
         "hedger-1"),
        PLENTY,
    ),
    "careless-1": LITTLE,
}  # fmt: skip


class Listing:
    """One instrument and its fair value, in whole numbers.

    last_ticks: where the market was left, if it has traded; else it begins at START_PRICES.
    """

    def __init__(self, instrument: Instrument, last_ticks: int = 0) -> None:
        self.instrument = instrument
        tick, lot = instrument.tick_size, instrument.lot_size
        start = START_PRICES.get(instrument.symbol, START_PRICE) * 10**instrument.price_scale
        start = max(start, tick * STEPS_MIN * 2)
        self.step_ticks = max(1, start // STEPS_OF_PRICE // tick) * tick
        self.fair_steps = max(STEPS_MIN, (last_ticks or start) // self.step_ticks)
        lots = UNIT_VALUE * 10 ** (instrument.price_scale + instrument.quantity_scale) // start
        round_lots = 10 ** (len(str(lots)) - 1)  # 1,666,666 lots become 1,000,000
        self.unit_lots = max(1, round_lots // lot) * lot

    def drift(self, rng: Random) -> None:
        """The fair value takes a small step, up or down, most of the time none."""
        self.fair_steps += rng.choice(DRIFT)
        self.fair_steps = max(self.fair_steps, STEPS_MIN)

    def price(self, side: Side, steps: int) -> str:
        """A price so many steps away from fair on this side; negative: through it."""
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

    def worth(self, units: int) -> int:
        """What so many units cost at the fair price, in units of the quote asset."""
        ticks = self.fair_steps * self.step_ticks
        return max(1, self.instrument.notional(ticks, units * self.unit_lots))

    def budget(self, units: int) -> str:
        return to_text(self.worth(units), self.instrument.quote_scale)


class Floor:
    """What the agents share: the random numbers, the ids, the listings, the pace.

    calling: the market is in its opening auction call: nothing trades until it ends.
    last_ticks: by symbol, see Listing.
    start_ns, rate: when the market begins and how many requests a second it makes; the expiry
    of GTD orders is computed from both, as no agent sees a clock.
    """

    def __init__(
        self,
        seed: int,
        instruments: Sequence[Instrument],
        prefix: str,
        start_ns: int = 0,
        rate: int = 100,
        last_ticks: Mapping[str, int] | None = None,
    ) -> None:
        self.rng = Random(seed)
        last = last_ticks or {}
        self.listings = [Listing(each, last.get(each.symbol, 0)) for each in instruments]
        self.calling = False
        self._prefix = prefix
        self._start_ns = start_ns
        self._rate = rate
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

    def expire_ns(self, seconds: int) -> int:
        """An instant so long after now, as far as the pace tells when that is."""
        return self._start_ns + self._count * NANOS // self._rate + seconds * NANOS


def means(instruments: Sequence[Instrument], units: int) -> dict[str, tuple[int, int]]:
    """What an account has that may buy or sell so many units of each: asset -> amount, scale."""
    amounts: dict[str, tuple[int, int]] = {}  # an asset may be of several instruments
    for listing in map(Listing, instruments):
        each = listing.instrument
        base = units * listing.unit_lots * each.lot_amount
        for asset, scale, amount in (
            (each.base, each.base_scale, base),
            (each.quote, each.quote_scale, listing.worth(units)),
        ):
            before = amounts.get(asset, (0, scale))[0]
            amounts[asset] = min(UNITS_MAX, before + amount), scale
    return amounts


def funding(instruments: Sequence[Instrument], prefix: str) -> list[FundsRequest]:
    """An account for each agent, the same in every run, and money under ids of this one."""
    requests = []
    for account, units in FUNDED.items():
        requests.append(
            FundsRequest(account=account, client_order_id="create", action=FundsAction.CREATE)
        )
        requests += [
            FundsRequest(
                account=account, client_order_id=f"{prefix}{asset}", action=FundsAction.DEPOSIT,
                asset=asset, amount=to_text(amount, scale),
            )
            for asset, (amount, scale) in means(instruments, units).items()
        ]  # fmt: skip
    return requests


@dataclass(slots=True)
class Agent(ABC):
    """A simulated trader; one act() is one visit to the market."""

    floor: Floor
    account: str

    @abstractmethod
    def act(self) -> Iterator[OrderRequest]:
        """The requests of one visit."""

    def new(
        self,
        listing: Listing,
        side: Side,
        units: int,
        price: str | None = None,
        tif: TimeInForce = GTC,
        *,
        new_id: str = "",
        **terms: Any,
    ) -> OrderRequest:
        """A new order. units: 0 where the terms have a budget. new_id: if it is taken already."""
        given = {name: term for name, term in terms.items() if term}
        return OrderRequest.new(
            self.account, new_id or self.floor.next_id(), listing.instrument.symbol, side,
            listing.quantity(units) if units else None, price, time_in_force=tif,
            terms=OrderTerms(**given) if given else None,
        )  # fmt: skip

    def cancel(self, client_order_id: str) -> OrderRequest:
        return OrderRequest.cancel(self.account, self.floor.next_id(), client_order_id)


@dataclass(slots=True)
class Quote:
    """An order that a maker believes to be in the book, under its first id."""

    client_order_id: str
    units: int
    changes_left: int


@dataclass(slots=True)
class Maker(Agent):
    """Market maker: quotes both sides around the fair value, modifies quotes, cancels them.

    post_only: what becomes of a quote that would take liquidity; None: it may.
    """

    post_only: PostOnly | None = None
    quotes: dict[tuple[str, Side], list[Quote]] = field(default_factory=dict)

    def act(self) -> Iterator[OrderRequest]:
        listing, rng = self.floor.listing(), self.floor.rng
        for side in SIDES:
            quotes = self.quotes.setdefault((listing.instrument.symbol, side), [])
            if len(quotes) < QUOTES_A_SIDE:
                yield self._quote(listing, side, quotes)
            elif quotes[0].changes_left and rng.random() < 0.6:
                yield self._follow(listing, side, quotes)
            else:
                yield self.cancel(quotes.pop(0).client_order_id)

    def _quote(self, listing: Listing, side: Side, quotes: list[Quote]) -> OrderRequest:
        rng, new_id = self.floor.rng, self.floor.next_id()
        units, price = rng.randint(4, 20), listing.price(side, rng.randint(2, 7))
        quotes.append(Quote(new_id, units, rng.randint(0, 2)))
        return self.new(listing, side, units, price, new_id=new_id, post_only=self.post_only)

    def _follow(self, listing: Listing, side: Side, quotes: list[Quote]) -> OrderRequest:
        """Move the oldest quote to where the market is, or make it smaller where it is."""
        rng, new_id = self.floor.rng, self.floor.next_id()
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


class Taker(Agent):
    """Liquidity taker: market, IOC and FOK orders; in an auction call, limit orders over fair."""

    __slots__ = ()

    def act(self) -> Iterator[OrderRequest]:
        listing, rng, side = self.floor.listing(), self.floor.rng, self.floor.side()
        units = rng.randint(1, 12)
        price = listing.price(side, -rng.randint(1, 4))
        if self.floor.calling:
            yield self.new(listing, side, units, price, DAY)
            return
        kind = rng.choice(("market", "protected", "budget", "minimum", IOC, IOC, IOC, FOK, FOK))
        if isinstance(kind, TimeInForce):
            yield self.new(listing, side, units, price, kind)
        elif kind == "budget":
            yield self.new(listing, BUY, 0, None, IOC, quote_quantity=listing.budget(units))
        elif kind == "minimum":
            least = listing.quantity(max(1, units // 2))
            yield self.new(listing, side, units, price, IOC, min_quantity=least)
        else:
            worst = listing.price(side, -6) if kind == "protected" else None
            yield self.new(listing, side, units, None, IOC, protection_price=worst)


@dataclass(slots=True)
class Investor(Agent):
    """Enters large resting orders, some of them icebergs, and cancels the oldest."""

    patience: deque[str] = field(default_factory=deque)

    def act(self) -> Iterator[OrderRequest]:
        listing, rng, side = self.floor.listing(), self.floor.rng, self.floor.side()
        new_id = self.floor.next_id()
        self.patience.append(new_id)
        units, tif = rng.randint(10, 60), rng.choice((GTC, DAY, GTD))
        steps = rng.randint(-6, 12) if self.floor.calling else rng.randint(2, 25)
        shown = listing.quantity(units // 5) if rng.random() < 0.4 else None
        expire_ns = self.floor.expire_ns(rng.randint(3, 12)) if tif is GTD else 0
        yield self.new(
            listing, side, units, listing.price(side, steps), tif, new_id=new_id,
            display_quantity=shown, expire_ns=expire_ns,
        )  # fmt: skip
        if len(self.patience) > PATIENCE:
            yield self.cancel(self.patience.popleft())


@dataclass(slots=True)
class Hedger(Agent):
    """Enters stop orders, some with a limit order as an OCO pair, and cancels the oldest."""

    stops: deque[str] = field(default_factory=deque)

    def act(self) -> Iterator[OrderRequest]:
        listing, rng, side = self.floor.listing(), self.floor.rng, self.floor.side()
        units, stop_id, steps = rng.randint(2, 15), self.floor.next_id(), rng.randint(2, 8)
        self.stops.append(stop_id)
        kind = rng.choice(("stop", "stop", "limit", "pair"))
        limit = listing.price(side, -steps - 4) if kind == "limit" else None
        stop_price = listing.price(side, -steps)
        yield self.new(listing, side, units, limit, new_id=stop_id, stop_price=stop_price)
        if kind == "pair":
            price = listing.price(side, rng.randint(2, 6))
            yield self.new(listing, side, units, price, oco_with=stop_id)
        if len(self.stops) > STOPS:
            yield self.cancel(self.stops.popleft())


@dataclass(slots=True)
class Careless(Agent):
    """Sends requests that must be refused: one for each kind of mistake."""

    good: OrderRequest | None = None

    def act(self) -> Iterator[OrderRequest]:
        mistakes = [self._off_tick, self._unknown_symbol, self._stray, self._beyond_means]
        mistakes += [self._repeat, self._reuse] if self.good else [self._order]
        yield self.floor.rng.choice(mistakes)()

    def _order(self) -> OrderRequest:
        """A valid order: its id is repeated and reused later."""
        listing = self.floor.listing()
        self.good = self.new(listing, BUY, 1, listing.price(BUY, 30))
        return self.good

    def _repeat(self) -> OrderRequest:
        """The same request again, as after a lost connection."""
        assert self.good is not None
        return self.good

    def _reuse(self) -> OrderRequest:
        """The client order id of an earlier order on a different order."""
        assert self.good is not None
        repeat, self.good = self.good, None
        return replace(repeat, side=SELL)

    def _off_tick(self) -> OrderRequest:
        listing = self.floor.listing()
        return self.new(listing, BUY, 1, listing.off_tick_price())

    def _unknown_symbol(self) -> OrderRequest:
        return OrderRequest.new(self.account, self.floor.next_id(), UNKNOWN_SYMBOL, BUY, "1", "100")

    def _beyond_means(self) -> OrderRequest:
        """An order for far more than the account has; without a ledger it rests."""
        listing = self.floor.listing()
        return self.new(listing, BUY, 1_000, listing.price(BUY, 150))

    def _stray(self) -> OrderRequest:
        """A cancel of an unknown order."""
        new_id = self.floor.next_id()
        return OrderRequest.cancel(self.account, new_id, f"{new_id}-never-was")


def market(
    seed: int,
    instruments: Sequence[Instrument],
    prefix: str = "",
    *,
    opening: int = 0,
    start_ns: int = 0,
    rate: int = 100,
    last_ticks: Mapping[str, int] | None = None,
) -> Iterator[OrderRequest]:
    """Requests without end; `prefix` stands before every client order id.

    opening: so many requests come while the opening call is on. start_ns, rate, last_ticks: see
    Floor.
    """
    floor = Floor(seed, instruments, prefix, start_ns, rate, last_ticks)
    floor.calling = opening > 0
    agents: list[tuple[Agent, int]] = [
        (Maker(floor, "maker-1"), 15),
        (Maker(floor, "maker-2", SLIDE), 15),
        (Maker(floor, "maker-3", REJECT), 15),
        *((Taker(floor, f"taker-{n}"), 15) for n in (1, 2)),
        *((Investor(floor, f"investor-{n}"), 5) for n in (1, 2)),
        (Hedger(floor, "hedger-1"), 6),
        (Careless(floor, "careless-1"), 4),
    ]
    for count, request in enumerate(_acts(floor, agents), 1):
        yield request
        floor.calling = count < opening


def _acts(floor: Floor, agents: list[tuple[Agent, int]]) -> Iterator[OrderRequest]:
    everybody, weights = [agent for agent, _ in agents], [weight for _, weight in agents]
    while True:
        for agent in floor.rng.choices(everybody, weights, k=1_000):
            yield from agent.act()
