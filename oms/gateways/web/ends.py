"""Ends: who waits for the end of an order, and is told.

Flow:  publisher -> [ends] -> event loop
Owner: the event loop; the dispatcher's thread only asks whether anybody waits for an order.
"""

import asyncio
from collections.abc import Awaitable, Callable

from oms.gateways.web.told import ended
from oms.manager import OrderManagement
from oms.reports import OrderResponse


class Ends:
    """Listens only while somebody waits: a listener costs every report a call."""

    def __init__(
        self,
        oms: OrderManagement,
        loop: asyncio.AbstractEventLoop,
        in_thread: Callable[..., Awaitable[OrderResponse | None]],
    ) -> None:
        self._oms = oms
        self._loop = loop
        self._in_thread = in_thread
        self._waiting: dict[int, list[asyncio.Future[OrderResponse]]] = {}

    async def wait(self, response: OrderResponse, seconds: float) -> OrderResponse:
        """How the order stands once it is over, or as it stands after so long."""
        order_id, account = response.order_id, response.account
        waiting: asyncio.Future[OrderResponse] = self._loop.create_future()
        if not self._waiting:
            self._oms.add_listener(self._heard)
        self._waiting.setdefault(order_id, []).append(waiting)
        try:
            # It may have ended before anybody listened.
            now = await self._in_thread(self._oms.get_order, account, order_id)
            if now is not None and ended(now):
                return now
            async with asyncio.timeout(seconds):
                await waiting
        except TimeoutError:
            pass
        finally:
            self._waiting[order_id].remove(waiting)
            if not self._waiting[order_id]:
                del self._waiting[order_id]
            if not self._waiting:
                self._oms.remove_listener(self._heard)
        return await self._in_thread(self._oms.get_order, account, order_id) or response

    def _heard(self, response: OrderResponse) -> None:
        """On the dispatcher's thread."""
        if response.order_id in self._waiting and ended(response):
            self._loop.call_soon_threadsafe(self._tell, response)

    def _tell(self, response: OrderResponse) -> None:
        for waiting in self._waiting.get(response.order_id, ()):
            if not waiting.done():
                waiting.set_result(response)
