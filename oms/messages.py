"""The words that requests and reports are made of."""

from enum import StrEnum


class RequestType(StrEnum):
    NEW = "NEW"
    MODIFY = "MODIFY"
    CANCEL = "CANCEL"


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """A STOP becomes MARKET, a STOP_LIMIT becomes LIMIT, when a trade reaches its stop price."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"


class TimeInForce(StrEnum):
    """GTC rests until canceled, DAY until the session ends, GTD until an instant.

    IOC and FOK never rest.
    """

    GTC = "GTC"
    DAY = "DAY"
    GTD = "GTD"
    IOC = "IOC"
    FOK = "FOK"


class OrderState(StrEnum):
    """Where an order stands (FIX OrdStatus).

    SUSPENDED: a stop that no trade has triggered yet. DONE_FOR_DAY: open, and back at the
    next open. UNKNOWN: the venue owes an answer.
    """

    PENDING_NEW = "PENDING_NEW"
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    SUSPENDED = "SUSPENDED"
    DONE_FOR_DAY = "DONE_FOR_DAY"
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_REPLACE = "PENDING_REPLACE"
    UNKNOWN = "UNKNOWN"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL_STATES


TERMINAL_STATES = frozenset(
    {OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED}
)


class ResponseType(StrEnum):
    """What a report tells (FIX ExecType). CANCEL_REJECTED also answers a modify.

    RESTATED: the exchange itself changed price, quantity or state. The last two answer what
    is not about one order: funds, mass cancels, an operator's commands.
    """

    PENDING_NEW = "PENDING_NEW"
    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    REPLACED = "REPLACED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_REPLACE = "PENDING_REPLACE"
    CANCEL_REJECTED = "CANCEL_REJECTED"
    ORDER_STATUS = "ORDER_STATUS"
    UNKNOWN = "UNKNOWN"
    TRIGGERED = "TRIGGERED"
    RESTATED = "RESTATED"
    DONE_FOR_DAY = "DONE_FOR_DAY"
    TRADE_BUSTED = "TRADE_BUSTED"
    COMMAND_DONE = "COMMAND_DONE"
    COMMAND_REJECTED = "COMMAND_REJECTED"


class RejectReason(StrEnum):
    """The stable first word of every refusal; what follows it is key=value context."""

    # what was asked cannot be
    SYMBOL_UNKNOWN = "SYMBOL_UNKNOWN"
    PRICE_INVALID = "PRICE_INVALID"
    QUANTITY_INVALID = "QUANTITY_INVALID"
    DISPLAY_INVALID = "DISPLAY_INVALID"
    EXPIRE_TIME_INVALID = "EXPIRE_TIME_INVALID"
    TERMS_UNSUPPORTED = "TERMS_UNSUPPORTED"
    OCO_INVALID = "OCO_INVALID"
    DUPLICATE_ID = "DUPLICATE_ID"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    TOO_LATE = "TOO_LATE"
    ALREADY_PENDING = "ALREADY_PENDING"
    # when it was asked
    KILL_SWITCH = "KILL_SWITCH"
    ACCOUNT_HALTED = "ACCOUNT_HALTED"
    REDUCING_ONLY = "REDUCING_ONLY"
    SESSION_CLOSED = "SESSION_CLOSED"
    SESSION_ENDED = "SESSION_ENDED"
    MARKET_STATE = "MARKET_STATE"
    # limits
    SYMBOL_RESTRICTED = "SYMBOL_RESTRICTED"
    ORDER_REPEATED = "ORDER_REPEATED"
    QUANTITY_BELOW_MINIMUM = "QUANTITY_BELOW_MINIMUM"
    QUANTITY_EXCEEDS_MAXIMUM = "QUANTITY_EXCEEDS_MAXIMUM"
    NOTIONAL_BELOW_MINIMUM = "NOTIONAL_BELOW_MINIMUM"
    NOTIONAL_EXCEEDS_MAXIMUM = "NOTIONAL_EXCEEDS_MAXIMUM"
    PRICE_OUTSIDE_BAND = "PRICE_OUTSIDE_BAND"
    OPEN_ORDERS_EXCEED_MAXIMUM = "OPEN_ORDERS_EXCEED_MAXIMUM"
    MESSAGES_EXCEED_MAXIMUM = "MESSAGES_EXCEED_MAXIMUM"
    POSITION_EXCEEDS_MAXIMUM = "POSITION_EXCEEDS_MAXIMUM"
    CREDIT_EXCEEDS_MAXIMUM = "CREDIT_EXCEEDS_MAXIMUM"
    # money
    ACCOUNT_UNKNOWN = "ACCOUNT_UNKNOWN"
    ACCOUNT_EXISTS = "ACCOUNT_EXISTS"
    ASSET_UNKNOWN = "ASSET_UNKNOWN"
    AMOUNT_INVALID = "AMOUNT_INVALID"
    FUNDS_INSUFFICIENT = "FUNDS_INSUFFICIENT"
    LEDGER_OFF = "LEDGER_OFF"
    # what the market did, or the exchange on its own
    INSUFFICIENT_LIQUIDITY = "INSUFFICIENT_LIQUIDITY"
    POST_ONLY = "POST_ONLY"
    MIN_QUANTITY = "MIN_QUANTITY"
    SELF_TRADE = "SELF_TRADE"
    OCO = "OCO"
    BREAKER = "BREAKER"
    EXPIRE_TIME = "EXPIRE_TIME"
    MASS_CANCEL = "MASS_CANCEL"
    VENUE_REJECTED = "VENUE_REJECTED"
    # an operator's command
    COMMAND_INVALID = "COMMAND_INVALID"
    TRADE_BUSTED = "TRADE_BUSTED"
    # the machine
    QUEUE_FULL = "QUEUE_FULL"
    DISK_FULL = "DISK_FULL"
    STORE_BUSY = "STORE_BUSY"
    SHUTTING_DOWN = "SHUTTING_DOWN"


REASONS = {reason.value: reason for reason in RejectReason}


class Liquidity(StrEnum):
    """Which side of a trade an order was: MAKER rested, TAKER arrived, in an AUCTION neither."""

    NONE = ""
    MAKER = "MAKER"
    TAKER = "TAKER"
    AUCTION = "AUCTION"


class SelfTrade(StrEnum):
    """What happens when an order would trade with one of its own account or group."""

    NONE = "none"
    CANCEL_NEWEST = "cancel_newest"
    CANCEL_OLDEST = "cancel_oldest"
    CANCEL_BOTH = "cancel_both"
    DECREMENT = "decrement"


class PostOnly(StrEnum):
    """A maker or nothing: an order that would trade at once is refused, or moved a tick away."""

    REJECT = "REJECT"
    SLIDE = "SLIDE"


class Phase(StrEnum):
    """What one instrument's market does with an order that arrives.

    Only CONTINUOUS matches; in the others what may rest rests, and an auction ends them.
    """

    CLOSED = "CLOSED"
    PRE_OPEN = "PRE_OPEN"
    OPENING_AUCTION = "OPENING_AUCTION"
    CONTINUOUS = "CONTINUOUS"
    CLOSING_AUCTION = "CLOSING_AUCTION"
    HALTED = "HALTED"
    REOPENING_AUCTION = "REOPENING_AUCTION"


class Scope(StrEnum):
    """What a command or a limit is about."""

    ALL = "ALL"
    ACCOUNT = "ACCOUNT"
    SYMBOL = "SYMBOL"


class Trading(StrEnum):
    """What an account, or everybody, may do. REDUCING: only what makes a position smaller."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


# Members by name of their own: looking one up in its class is a function call.
NEW, MODIFY, CANCEL = RequestType.NEW, RequestType.MODIFY, RequestType.CANCEL
LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET
STOP, STOP_LIMIT = OrderType.STOP, OrderType.STOP_LIMIT
