"""What the agents of a made-up market share: the instruments' worth, chance, ids, money.

Flow:  seed, instruments -> [listing] -> agents
Pure:  the only randomness is the seed's; nobody here sees an answer or a clock.
"""

from collections.abc import Sequence
from random import Random

from oms.clock import NANOS
from oms.controls import FundsAction, FundsRequest
from oms.instruments import Instrument
from oms.messages import Side
from oms.money import UNITS_MAX, to_text

START_PRICES = {"TATA_INR": 950, "JIO_INR": 300, "BTC_USD": 60_000}
START_PRICE = 100
UNIT_VALUE = 1_000  # currency: about what the smallest order is worth
STEPS_OF_PRICE = 4_000  # price levels lie this fraction of the price apart
STEPS_MIN = 200  # the fair value stays this many steps above 0
SIDES = (Side.BUY, Side.SELL)
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

    def worth(self, units: int) -> int:
        """What so many units cost at the fair price, in units of the quote asset."""
        ticks = self.fair_steps * self.step_ticks
        return max(1, self.instrument.notional(ticks, units * self.unit_lots))

    def budget(self, units: int) -> str:
        return to_text(self.worth(units), self.instrument.quote_scale)


class Desk:
    """What the agents share: the random numbers, the ids, the listings, the pace.

    calling: the opening call is on: nothing trades yet, and who wants to trade bids over fair.
    start_ns, rate: when the market begins and how many requests a second it makes: nobody here
    sees a clock, but orders good till a time have to name one.
    """

    def __init__(
        self,
        seed: int,
        instruments: Sequence[Instrument],
        prefix: str,
        start_ns: int = 0,
        rate: int = 100,
    ) -> None:
        self.rng = Random(seed)
        self.listings = [Listing(instrument) for instrument in instruments]
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


def funding(instruments: Sequence[Instrument], prefix: str) -> list[FundsRequest]:
    """An account for each agent, the same in every run, and money under ids of this one."""
    requests = []
    for account, units in FUNDED.items():
        requests.append(
            FundsRequest(account=account, client_order_id="create", action=FundsAction.CREATE)
        )
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
        requests += [
            FundsRequest(
                account=account, client_order_id=f"{prefix}{asset}", action=FundsAction.DEPOSIT,
                asset=asset, amount=to_text(amount, scale),
            )
            for asset, (amount, scale) in amounts.items()
        ]  # fmt: skip
    return requests
