"""An order management system and exchange gateway; the standard library is all it needs."""

from oms import answers, language, market_data
from oms.clock import ManualClock, SystemClock
from oms.config import Config, load_config
from oms.controls import (
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
)
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
    Phase,
    PostOnly,
    RejectReason,
    RequestType,
    ResponseType,
    Scope,
    SelfTrade,
    Side,
    TimeInForce,
    Trading,
)
from oms.orders import VenueReport
from oms.rejects import RejectCode, code_of
from oms.reports import OrderResponse
from oms.requests import OrderRequest, OrderTerms
from oms.stores.memory import MemoryStore
from oms.stores.sqlite import PersistentStorage
from oms.venues.embedded import EmbeddedVenue

__version__ = "0.1.0"

__all__ = [
    "Config", "EmbeddedVenue", "FundsAction", "FundsRequest", "Instrument", "Liquidity",
    "ManualClock", "MassCancelRequest", "MemoryStore", "OMSError", "OperatorAction",
    "OperatorRequest", "OrderBook", "OrderManagement", "OrderQueue", "OrderRequest",
    "OrderResponse", "OrderState", "OrderTerms", "OrderThrottler", "OrderTracker", "OrderType",
    "PersistentStorage", "Phase", "PostOnly", "RejectCode", "RejectReason", "RequestType",
    "ResponseType", "Schedule", "Scope", "SelfTrade", "Side", "SystemClock", "TimeInForce",
    "Trading", "TradingSession", "VenueReport", "answers", "code_of", "language", "load_config",
    "market_data",
]  # fmt: skip
