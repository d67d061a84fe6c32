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

    RESTATED: the exchange itself changed price, quantity or state. TRADE_BUSTED,
    TRADE_CORRECTED: a trade was taken back, or is another than was told. The last two answer
    what is not about one order: funds, mass cancels, an operator's commands.
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
    TRADE_CORRECTED = "TRADE_CORRECTED"
    COMMAND_DONE = "COMMAND_DONE"
    COMMAND_REJECTED = "COMMAND_REJECTED"


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


class MarketOrderPolicy(StrEnum):
    """What a market order does when the book cannot fill it.

    PARTIAL takes what is there and cancels the rest; ALL_OR_NONE is rejected whole.
    """

    PARTIAL = "partial"
    ALL_OR_NONE = "all_or_none"


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


CALLS = (Phase.OPENING_AUCTION, Phase.CLOSING_AUCTION, Phase.REOPENING_AUCTION)
"""Phases in which orders gather, and an uncross ends them."""


class Scope(StrEnum):
    """What a command or a limit is about. GROUP: the accounts of one [group]; limits alone."""

    ALL = "ALL"
    ACCOUNT = "ACCOUNT"
    SYMBOL = "SYMBOL"
    GROUP = "GROUP"


class Trading(StrEnum):
    """What an account, or everybody, may do. REDUCING: only what makes a position smaller."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class TransferState(StrEnum):
    """How a transfer between groups stands in one of them. Where the money leaves it is REFUSED at
    once, or IN_FLIGHT until it is DONE or RETURNED; where it goes it ARRIVED, or is REFUSED."""

    IN_FLIGHT = "IN_FLIGHT"
    DONE = "DONE"
    RETURNED = "RETURNED"
    ARRIVED = "ARRIVED"
    REFUSED = "REFUSED"


# Members by name of their own: looking one up in its class is a function call.
NEW, MODIFY, CANCEL = RequestType.NEW, RequestType.MODIFY, RequestType.CANCEL
LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET
STOP, STOP_LIMIT = OrderType.STOP, OrderType.STOP_LIMIT
