"""Ends: who waits for the end of an order, and is told.

Flow:  publisher -> [ends] -> event loop
Owner: the event loop; the dispatcher's thread only asks whether anybody waits for an order.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from oms.gateways.web.told import ended
from oms.manager import OrderManagement
from oms.responses import OrderResponse


class Ends:
    """Listens only while somebody waits: a listener costs every report a call."""

    def __init__(
        self,
        oms: OrderManagement,
        loop: asyncio.AbstractEventLoop,
        in_thread: Callable[..., Awaitable[OrderResponse | None]],
        oms_of: Callable[[str], OrderManagement],
    ) -> None:
        self._oms, self._oms_of = oms, oms_of
        self._loop = loop
        self._in_thread = in_thread
        # By symbol, too: order ids count in each group of markets alone.
        self._waiting: dict[tuple[str, int], list[asyncio.Future[OrderResponse]]] = {}

    async def wait(self, response: OrderResponse, seconds: float) -> OrderResponse:
        """How the order stands once it is over, or as it stands after so long."""
        name = response.symbol, response.order_id
        ask = partial(self._oms_of(response.symbol).get_order, response.account, response.order_id)
        waiting: asyncio.Future[OrderResponse] = self._loop.create_future()
        if not self._waiting:
            self._oms.add_listener(self._heard)
        self._waiting.setdefault(name, []).append(waiting)
        try:
            # It may have ended before anybody listened.
            now = await self._in_thread(ask)
            if now is not None and ended(now):
                return now
            async with asyncio.timeout(seconds):
                await waiting
        except TimeoutError:
            pass
        finally:
            self._waiting[name].remove(waiting)
            if not self._waiting[name]:
                del self._waiting[name]
            if not self._waiting:
                self._oms.remove_listener(self._heard)
        return await self._in_thread(ask) or response

    def _heard(self, response: OrderResponse) -> None:
        """On the dispatcher's thread."""
        if (response.symbol, response.order_id) in self._waiting and ended(response):
            self._loop.call_soon_threadsafe(self._tell, response)

    def _tell(self, response: OrderResponse) -> None:
        for waiting in self._waiting.get((response.symbol, response.order_id), ()):
            if not waiting.done():
                waiting.set_result(response)
