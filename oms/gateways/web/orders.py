"""Orders: how they stand together with what they are for, as clients are told of them.

Flow:  responses, OrderManagement.details_for -> [orders] -> told
A report says how an order stands; type, price, quantity and terms are read from the store. Where
many reports of one order follow each other, on a socket, they are remembered until they change.
"""

from collections import OrderedDict
from collections.abc import Sequence

from oms.enums import ResponseType
from oms.gateways.web.told import Told, fill_told, order_told, report_told
from oms.manager import OrderManagement
from oms.responses import OrderResponse
from oms.turn.details import OrderDetails

REMEMBERED_MAX = 10_000
FILLS_MAX = 1_000  # told of one order
CHANGES = (ResponseType.REPLACED.value, ResponseType.RESTATED.value)


def orders_told(
    oms: OrderManagement, responses: Sequence[OrderResponse], *, reports: bool = False
) -> list[Told]:
    """All of them, with one look into the store. Not for an event loop. reports: each with the
    execution report that it is told from."""
    details = oms.details_for(responses)
    told = [order_told(each, of) for each, of in zip(responses, details, strict=True)]
    if reports:
        for order, response in zip(told, responses, strict=True):
            order["reports"] = [report_told(response)]
    return told


def each_fill_told(oms: OrderManagement, fills: Sequence[OrderResponse]) -> list[Told]:
    """The same of fills."""
    return [
        fill_told(each, details.client_order_id if details else "")
        for each, details in zip(fills, oms.details_for(fills), strict=True)
    ]


def fills_told(oms: OrderManagement, account: str, order: OrderResponse) -> list[Told]:
    """The latest fills of an order. Not for an event loop."""
    if not order.cumulative_lots:
        return []
    found = oms.fills(account, order.order_id, limit=FILLS_MAX)
    return each_fill_told(oms, [each for each in found if each.symbol == order.symbol])


class Remembered:
    """What the orders are for that were told of lately. Owner: one event loop, which hears of every
    change of an order as long as it is used."""

    def __init__(self, oms: OrderManagement) -> None:
        self._oms = oms
        self._details: OrderedDict[tuple[str, int], OrderDetails] = OrderedDict()

    def heard(self, response: OrderResponse) -> None:
        """Of any order, whether anybody is told or not: it may be another than before."""
        if response.report.type in CHANGES:
            self._details.pop((response.report.symbol, response.report.order_id), None)

    def told(self, response: OrderResponse) -> Told:
        return order_told(response, self._details_of(response))

    def fill_told(self, response: OrderResponse) -> Told:
        details = self._details_of(response)
        return fill_told(response, details.client_order_id if details else "")

    def _details_of(self, response: OrderResponse) -> OrderDetails | None:
        """Reads the store for an order that is not remembered: some 50 us."""
        key = response.report.symbol, response.report.order_id
        details = self._details.get(key)
        if details is None:
            details = self._oms.details_heard(response)
            if details is not None:
                self._details[key] = details
                if len(self._details) > REMEMBERED_MAX:
                    self._details.popitem(last=False)
        return details

    def forget(self) -> None:
        """Changes are no longer heard of."""
        self._details.clear()
