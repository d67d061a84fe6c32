"""An order management system and exchange gateway; the standard library is all it needs."""

from oms import market_data
from oms.answers import Movement
from oms.clock import ManualClock, SystemClock
from oms.config import Config, load_config
from oms.desk.calendar import Schedule, TradingSession
from oms.desk.throttle import OrderThrottler
from oms.desk.waiting import OrderQueue
from oms.enums import (
    Liquidity,
    OrderState,
    OrderType,
    Phase,
    PostOnly,
    RequestType,
    ResponseType,
    Scope,
    SelfTrade,
    Side,
    TimeInForce,
    Trading,
)
from oms.errors import (
    ConfigError,
    DataInUseError,
    DeadlockError,
    FencedError,
    GapError,
    GatewayError,
    JournalError,
    OMSError,
    OutcomeUnknownError,
    OverrunError,
    ServerError,
    StoppedError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    TransportError,
    UnansweredError,
    ValidationError,
    VenueError,
)
from oms.exchange.alone import BookTrade, OrderBook
from oms.instruments import Instrument
from oms.manager import OrderManagement
from oms.positions import Pnl, Position, Trade
from oms.reject_reasons import RejectReason
from oms.requests import (
    AccessAction,
    AccessRequest,
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    OrderRequest,
    OrderTerms,
    Origin,
)
from oms.requests.internal import VenueReport
from oms.responses import OrderResponse
from oms.stores.memory import MemoryStore
from oms.stores.sqlite import PersistentStorage
from oms.turn.details import OrderDetails
from oms.turn.latency import OrderTracker
from oms.venues import EmbeddedVenue

__version__ = "0.1.0"

__all__ = [
    "AccessAction", "AccessRequest", "BookTrade", "Config", "ConfigError", "DataInUseError",
    "DeadlockError", "EmbeddedVenue", "FencedError",
    "FundsAction", "FundsRequest", "GapError", "GatewayError", "Instrument", "JournalError",
    "Liquidity",
    "ManualClock", "MassCancelRequest", "MemoryStore", "Movement", "OMSError", "OperatorAction",
    "OperatorRequest", "OrderBook", "OrderDetails", "OrderManagement", "OrderQueue", "OrderRequest",
    "OrderResponse", "OrderState", "OrderTerms", "OrderThrottler", "OrderTracker", "OrderType",
    "Origin", "OutcomeUnknownError", "OverrunError", "PersistentStorage", "Phase", "Pnl",
    "Position", "PostOnly", "RejectReason", "RequestType", "ResponseType", "Schedule", "Scope",
    "SelfTrade", "ServerError", "Side", "StoppedError", "StoreBusyError", "StoreError",
    "StoreFullError",
    "SystemClock", "TimeInForce", "Trade", "Trading", "TradingSession", "TransportError",
    "UnansweredError", "ValidationError",
    "VenueError", "VenueReport", "load_config", "market_data",
]  # fmt: skip
