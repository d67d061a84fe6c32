"""An order management system and exchange gateway; the standard library is all it needs."""

from oms import answers, language
from oms.clock import ManualClock, SystemClock
from oms.config import Config, load_config
from oms.desk.order_queue import OrderQueue
from oms.desk.session import Schedule, TradingSession
from oms.desk.throttle import OrderThrottler
from oms.desk.tracker import OrderTracker
from oms.errors import OMSError
from oms.exchange.book import OrderBook
from oms.instruments import Instrument
from oms.manager import OrderManagement
from oms.messages import (
    Liquidity,
    OrderState,
    OrderType,
    RejectReason,
    RequestType,
    ResponseType,
    Side,
    TimeInForce,
)
from oms.orders import VenueReport
from oms.rejects import RejectCode, code_of
from oms.reports import OrderResponse
from oms.requests import OrderRequest
from oms.stores.memory import MemoryStore
from oms.stores.sqlite import PersistentStorage
from oms.venues.embedded import EmbeddedVenue

__version__ = "0.1.0"

__all__ = [
    "Config", "EmbeddedVenue", "Instrument", "Liquidity", "ManualClock", "MemoryStore", "OMSError",
    "OrderBook", "OrderManagement", "OrderQueue", "OrderRequest", "OrderResponse", "OrderState",
    "OrderThrottler", "OrderTracker", "OrderType", "PersistentStorage", "RejectCode",
    "RejectReason", "RequestType", "ResponseType", "Schedule", "Side", "SystemClock",
    "TimeInForce", "TradingSession", "VenueReport", "answers", "code_of", "language",
    "load_config",
]  # fmt: skip
