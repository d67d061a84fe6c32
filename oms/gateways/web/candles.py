"""Candles: those that grow now, one of each symbol and width that somebody listens to.

Flow:  store, once -> [candles] <- trades, as they happen
                         |-> hub: told again while they grow
Owner: the event loop. What was traded before is read from the store, up to a sequence; later
trades are added behind it. After a bust or a correction the candle is read anew.
"""

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from dataclasses import replace

from oms.clock import NANOS
from oms.errors import GatewayError, OMSError
from oms.gateways.web.door import Door
from oms.market_data import Candle, TradePrint

log = logging.getLogger(__name__)

SHORTEST_DAY_NS = 23 * 3_600 * NANOS
WAITING_MAX = 10_000  # trades that wait until a candle is read; then it is read anew


class Growing:
    """The latest candle of one symbol and width. candle: None before the first trade; at: all
    trades up to this turn are in it. on_change: told when it has grown, and with `ended` before
    another takes its place."""

    def __init__(
        self, door: Door, symbol: str, width: str, on_change: Callable[["Growing"], None]
    ) -> None:
        self.symbol, self.width = symbol, width
        self.candle: Candle | None = None
        self.at = -1
        self.ended = False
        self._door = door
        self._on_change = on_change
        self._waiting: list[TradePrint] = []
        self._reading: asyncio.Task[None] | None = None
        self._again = False
        self._failure: OMSError = GatewayError("not read yet")

    async def ready(self) -> None:
        """It is read. Raises what kept it from being read."""
        if self.at < 0 and self._reading is None:
            self._read()
        if self._reading is not None:
            await asyncio.shield(self._reading)
        if self.at < 0:
            raise self._failure

    def traded(self, trade: TradePrint) -> None:
        if self._reading is not None:
            if len(self._waiting) < WAITING_MAX:
                self._waiting.append(trade)
            else:
                self._again = True
        elif self.at < 0:
            self._read()
        else:
            self._add(trade)

    def changed(self) -> None:
        """A trade was taken back, or is another: what of it is in here, only the store knows."""
        if self._reading is None:
            self._read()
        else:
            self._again = True

    def _read(self) -> None:
        self._reading = asyncio.create_task(self._take(), context=Context())

    async def _take(self) -> None:
        try:
            candle, at = await self._found()
        except OMSError as error:
            log.warning("candles of %s: %s", self.symbol, error)
            self._failure, self.at, self._waiting = error, -1, []
        else:
            self.candle, self.at = candle, at
        waiting, self._waiting, self._reading = self._waiting, [], None
        if self.at < 0:
            return
        self._on_change(self)
        for trade in waiting:
            self.traded(trade)

    async def _found(self) -> tuple[Candle | None, int]:
        """The candle of this moment, and the turn up to which it is that."""
        oms = self._door.oms
        while True:
            self._again = False
            seq = await self._door.settled(oms.journal_seq(self.symbol))
            now_ns = oms.clock.wall_ns()
            found = await self._door.slowly(
                oms.candles, self.symbol, self.width, now_ns, now_ns + 1, seq
            )
            if not self._again:
                return (found[-1] if found else None), seq
            self._waiting.clear()

    def _add(self, trade: TradePrint) -> None:
        if trade.seq <= self.at:
            return
        candle = self.candle
        if candle is None or trade.wall_ns >= candle.end_ns:
            if candle is not None:
                self.ended = True
                self._on_change(self)
                self.ended = False
            following = _following(candle, trade) if candle is not None else None
            if following is None:  # where it begins, the exchange's calendar says
                self._waiting = [trade]
                self._read()
                return
            candle = following
        self.candle, self.at = _grown(candle, trade), trade.seq
        self._on_change(self)


def _following(before: Candle, trade: TradePrint) -> Candle | None:
    """The empty candle that the trade falls into; None of days, which are of 23 to 25 hours."""
    width_ns = before.end_ns - before.start_ns
    if width_ns >= SHORTEST_DAY_NS:
        return None
    start_ns = trade.wall_ns - (trade.wall_ns - before.start_ns) % width_ns
    return Candle(
        symbol=before.symbol, start_ns=start_ns, end_ns=start_ns + width_ns,
        price_scale=before.price_scale, quantity_scale=before.quantity_scale,
    )  # fmt: skip


def _grown(candle: Candle, trade: TradePrint) -> Candle:
    ticks, lots = trade.price_ticks, trade.quantity_lots
    return replace(
        candle,
        open_ticks=ticks if candle.open_ticks is None else candle.open_ticks,
        high_ticks=max(ticks, candle.high_ticks or ticks),
        low_ticks=ticks if candle.low_ticks is None else min(ticks, candle.low_ticks),
        close_ticks=ticks, volume_lots=candle.volume_lots + lots,
        notional=candle.notional + ticks * lots, count=candle.count + 1,
    )  # fmt: skip
