"""Holdings: what accounts and groups hold and have open, and the most they may.

Flow:  risk -> [holdings] -> risk: "" or why not, with the limit and the value
Owner: the dispatcher thread. Position, credit, gross and net exposure: each is asked as if all
       that is open, and the order in question, were filled.
"""

from collections.abc import Callable, Mapping

from oms.enums import Side
from oms.exchange.limits import Caps, Holder
from oms.exchange.order import Exposure, Order
from oms.instruments import Instrument
from oms.money import to_text
from oms.reject_reasons import RejectReason

BUY = Side.BUY
NOTHING_OPEN = (0, 0, 0)
NOTHING_WORTH = (0, 0, 0, 0)


class Holdings:
    """positions: (account, symbol) -> net lots. instruments: by symbol, also those that are traded
    no more, since some may still be held. reference_of: what something is worth by: symbol, and
    "last" or "reference" -> ticks, or 0.
    """

    def __init__(self, positions: Mapping[tuple[str, str], int]) -> None:
        self._positions = positions
        self.instruments: Mapping[str, Instrument] = {}
        self.reference_of: Callable[[str, str], int] = lambda _symbol, _around: 0

    def of(self, account: str, symbol: str) -> int:
        """An account's position, in lots."""
        return self._positions.get((account, symbol), 0)

    def check(
        self,
        holder: Holder,
        order: Order,
        more: int,
        value: int,
        budget: int = 0,
        counted: int = 0,
    ) -> str:
        """Position, credit, exposures, were all that is open filled; `more` lots, `value` more.

        value: price times lots, unscaled; budget: an amount of the quote asset. counted: lots of
        the order that are counted as open already.
        """
        reason = self.position(holder, order, more, counted)
        if reason:
            return reason
        instrument, exposure = order.instrument, holder.exposure
        caps = holder.limits.caps(instrument)
        if caps.credit is not None and value + budget > 0:
            before = order.price_ticks * counted
            would = self.credit(exposure, instrument, value - before) + budget
            if would > caps.credit:
                scale = instrument.quote_scale
                return (
                    f"{RejectReason.CREDIT_EXCEEDS_MAXIMUM}: credit={to_text(would, scale)}, "
                    f"max={to_text(caps.credit, scale)}{holder.whose}"
                )
        if caps.gross is None and caps.net is None:
            return ""
        return self._exposed(holder, caps, order, more, value, budget, counted)

    def position(self, holder: Holder, order: Order, more: int, counted: int = 0) -> str:
        """Position alone, were all that is open of it and `more` lots filled."""
        instrument = order.instrument
        symbol, most = instrument.symbol, holder.limits.caps(instrument).position_lots
        if most is None or more <= 0:
            return ""
        position = self._held(holder, symbol)
        buys, sells, _ = holder.exposure.symbols.get(symbol, NOTHING_OPEN)
        would = (position + buys if order.side is BUY else sells - position) + more - counted
        if would <= most:
            return ""
        texts = [to_text(lots, instrument.quantity_scale) for lots in (would, most)]
        code = RejectReason.POSITION_EXCEEDS_MAXIMUM
        return f"{code}: position={texts[0]}, max={texts[1]}{holder.whose}"

    def room(
        self, holder: Holder, instrument: Instrument, side: Side
    ) -> tuple[int | None, int | None]:
        """Lots of a side, and units of the quote asset, that may be open or filled besides."""
        caps, exposure, lots = holder.limits.caps(instrument), holder.exposure, None
        if caps.position_lots is not None:
            position = self._held(holder, instrument.symbol)
            buys, sells, _ = exposure.symbols.get(instrument.symbol, NOTHING_OPEN)
            would = position + buys if side is BUY else sells - position
            lots = max(0, caps.position_lots - would)
        left = []
        if caps.credit is not None:
            left.append(caps.credit - self.credit(exposure, instrument, 0))
        if caps.gross is not None or caps.net is not None:
            now = self._exposure_of(holder, instrument, side, 0)
            both = zip((caps.gross, caps.net), now, strict=True)
            left += [cap - value for cap, value in both if cap is not None]
        return lots, max(0, min(left)) if left else None

    def _held(self, holder: Holder, symbol: str) -> int:
        return sum(self.of(account, symbol) for account in holder.members)

    def _exposed(
        self,
        holder: Holder,
        caps: Caps,
        order: Order,
        more: int,
        value: int,
        budget: int,
        counted: int,
    ) -> str:
        """Gross and net exposure: refused is what makes one larger that is then too large."""
        instrument, mark = order.instrument, self.reference_of(order.instrument.symbol, "last")
        if counted:  # it is in already
            worth = (order.price_ticks or mark) * counted
            before, after = -instrument.notional_up(worth, 1), 0
        else:
            by_value = order.price_ticks or budget or not mark
            worth = value if by_value else more * mark
            before, after = 0, budget + instrument.notional_up(worth, 1)
        was, would = (
            self._exposure_of(holder, instrument, order.side, worth_more)
            for worth_more in (before, after)
        )
        for name, cap, now, then in (
            ("gross", caps.gross, was[0], would[0]), ("net", caps.net, was[1], would[1]),
        ):  # fmt: skip
            if cap is not None and then > cap and then > now:
                code = RejectReason[f"{name.upper()}_EXPOSURE_EXCEEDS_MAXIMUM"]
                texts = [to_text(units, instrument.quote_scale) for units in (then, cap)]
                return f"{code}: {name}={texts[0]}, max={texts[1]}{holder.whose}"
        return ""

    def _exposure_of(
        self, holder: Holder, instrument: Instrument, side: Side, worth_more: int
    ) -> tuple[int, int]:
        """Gross and net, in units of the quote asset, were this side of it worth so much more.

        Of each symbol: what the position would be worth if all that is open to buy filled, and if
        all that is open to sell did. Gross is the sum of the larger ones, net the larger sum. A
        position and an order without a price count at the last trade (else the reference price),
        an order with one at that.
        """
        gross = longs = shorts = 0
        for symbol, other in self.instruments.items():
            if other.quote != instrument.quote:
                continue
            held, mark = self._held(holder, symbol), self.reference_of(symbol, "last")
            values = holder.exposure.values.get(symbol, NOTHING_WORTH)
            up = other.notional_up(values[0] + (values[2] + held) * mark, 1)
            down = other.notional_up(values[1] + (values[3] - held) * mark, 1)
            if other is instrument:
                up += worth_more if side is BUY else 0
                down += 0 if side is BUY else worth_more
            gross, longs, shorts = gross + max(up, down), longs + up, shorts + down
        return gross, max(longs, shorts)

    def credit(self, exposure: Exposure, instrument: Instrument, value: int) -> int:
        """The notional of all that is open against one quote asset, and of `value` more."""
        total = 0
        for symbol, (_, _, open_value) in exposure.symbols.items():
            other = self.instruments.get(symbol)
            if other is instrument:
                value += open_value
            elif other is not None and other.quote == instrument.quote:
                total += other.notional_up(open_value, 1)  # the price is in it
        return total + instrument.notional_up(value, 1)
