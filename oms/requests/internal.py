"""What no client asks for: reports of a venue of somebody else."""

import re
from typing import NamedTuple

from oms.enums import Liquidity, ResponseType
from oms.errors import ValidationError

TEXT_LENGTH_MAX = 1_000
MAGNITUDE_MAX = 10**40  # Python does not write out a number of thousands of digits
SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: no store can write it


class VenueReport(NamedTuple):
    """What a venue answers, or tells unasked; given to OrderManagement.on_data_response.

    type: NEW, REJECTED, TRADE, CANCELED, REPLACED, EXPIRED or CANCEL_REJECTED.
    request_seq: the cancel or modify that this answers; 0 for all else.
    price_ticks, quantity_lots, liquidity: of a TRADE.
    reason: of a refusal or an end nobody asked for.
    execution_id: the venue's own; a second TRADE with the same one is dropped.
    """

    type: ResponseType
    order_id: int
    request_seq: int = 0
    price_ticks: int = 0
    quantity_lots: int = 0
    liquidity: str = Liquidity.NONE.value
    reason: str = ""
    execution_id: str = ""


def check_venue_report(report: VenueReport) -> None:
    """Raise ValidationError, naming the field, unless each has its type and can be stored.

    Whether it can be true of the order is looked at in its turn.
    """
    if type(report) is not VenueReport:
        raise ValidationError("response", report, "a VenueReport")
    for name, expected in VenueReport.__annotations__.items():
        value = getattr(report, name)
        if type(value) is not expected:
            raise ValidationError(name, value, f"of type {expected.__name__}")
        if expected is int and abs(value) > MAGNITUDE_MAX:
            raise ValidationError(name, value, f"a magnitude up to {MAGNITUDE_MAX}")
        if expected is str and (len(value) > TEXT_LENGTH_MAX or SURROGATE.search(value)):
            raise ValidationError(name, value, f"up to {TEXT_LENGTH_MAX} Unicode characters")
