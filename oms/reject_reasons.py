"""What each reason is called elsewhere: a number of the API, an HTTP status, three codes of FIX.

One row a reason, published in docs/reject-codes.md. A number, once given, is never given to another
reason and never taken back: programs of others compare it. New reasons get new numbers, in the
hundred of what they are about:

    10xx  what was asked cannot be            30xx  limits
    11xx  which order, which id               40xx  money
    20xx  who may trade, and when             50xx  what the market did
    21xx  the market's phase                  51xx  ends that nobody asked for
                                              90xx  the machine
"""

from enum import StrEnum

# What FIX 4.4 calls its numbers, as far as we use them.
BROKER_OPTION, UNKNOWN_SYMBOL, EXCHANGE_CLOSED, EXCEEDS_LIMIT, ENTERED_LATE, UNKNOWN = range(6)
DUPLICATE, UNSUPPORTED, QUANTITY, ACCOUNT, OTHER = 6, 11, 13, 15, 99
CXL_TOO_LATE, CXL_UNKNOWN, CXL_BROKER, CXL_PENDING, CXL_DUPLICATE = 0, 1, 2, 3, 6
RESTATED_BROKER, RESTATED_HALT, RESTATED_MARKET = 4, 6, 8


class RejectReason(StrEnum):
    """The stable first word of every refusal; what follows it is key=value context.

    api: the number of the API. http: 400 malformed; 404 no such order; 409 the id or the order
        is further than the request believes; 422 recorded and rejected; 429 too often; 503 not
        taken now.
    fix_reject: OrdRejReason (103), as FIX 4.4 has it.
    fix_cancel_reject: CxlRejReason (102); None if it never refuses a cancel or a modify.
    fix_restatement: ExecRestatementReason (378) of a cancel or change that nobody asked for;
        None if it never is the reason of one.
    meaning: for people, in one line.
    """

    api: int
    http: int
    fix_reject: int
    fix_cancel_reject: int | None
    fix_restatement: int | None
    meaning: str

    def __new__(cls, value: str, *codes: object) -> "RejectReason":
        reason = str.__new__(cls, value)
        reason._value_ = value
        for name, code in zip(cls.__annotations__, codes, strict=True):
            setattr(reason, name, code)
        return reason

    # fmt: off
    # no request at all; the exchange never sees it
    MALFORMED = "MALFORMED", 1000, 400, OTHER, OTHER, None, "not a request: a field is out of range"
    # what was asked cannot be
    SYMBOL_UNKNOWN = (
        "SYMBOL_UNKNOWN", 1001, 422, UNKNOWN_SYMBOL, None, None,
        "no such symbol is traded",
    )
    PRICE_INVALID = (
        "PRICE_INVALID", 1002, 422, BROKER_OPTION, OTHER, None,
        "a price that is no number above 0, or not on the tick",
    )
    QUANTITY_INVALID = (
        "QUANTITY_INVALID", 1003, 422, QUANTITY, OTHER, None,
        "a quantity that is no number above 0, or not on the lot",
    )
    DISPLAY_INVALID = (
        "DISPLAY_INVALID", 1004, 422, QUANTITY, OTHER, None,
        "an iceberg must show at least a thousandth",
    )
    EXPIRE_TIME_INVALID = (
        "EXPIRE_TIME_INVALID", 1005, 422, OTHER, None, None,
        "the expiry is not in the future",
    )
    TERMS_UNSUPPORTED = (
        "TERMS_UNSUPPORTED", 1006, 422, UNSUPPORTED, OTHER, None,
        "the order, or its market, cannot have such terms",
    )
    OCO_INVALID = (
        "OCO_INVALID", 1007, 422, OTHER, None, None,
        "no open, untriggered, single stop of the same side to pair with",
    )
    COMMAND_INVALID = (
        "COMMAND_INVALID", 1008, 400, OTHER, None, None,
        "an operator's command that means nothing here",
    )
    # which order, which id
    DUPLICATE_ID = (
        "DUPLICATE_ID", 1101, 409, DUPLICATE, CXL_DUPLICATE, None,
        "the id was used before, for something else",
    )
    UNKNOWN_ORDER = (
        "UNKNOWN_ORDER", 1102, 404, UNKNOWN, CXL_UNKNOWN, None,
        "the account has no such order",
    )
    TOO_LATE = (
        "TOO_LATE", 1103, 409, ENTERED_LATE, CXL_TOO_LATE, None,
        "the order, or what was to change of it, is over",
    )
    ALREADY_PENDING = (
        "ALREADY_PENDING", 1104, 409, OTHER, CXL_PENDING, None,
        "a cancel of the order is on its way",
    )
    # who may trade, and when
    KILL_SWITCH = (
        "KILL_SWITCH", 2001, 422, BROKER_OPTION, CXL_BROKER, RESTATED_BROKER,
        "an operator stopped all trading",
    )
    ACCOUNT_HALTED = (
        "ACCOUNT_HALTED", 2002, 422, BROKER_OPTION, CXL_BROKER, RESTATED_BROKER,
        "an operator stopped the account",
    )
    REDUCING_ONLY = (
        "REDUCING_ONLY", 2003, 422, BROKER_OPTION, CXL_BROKER, RESTATED_BROKER,
        "only what makes the position smaller may be traded",
    )
    SESSION_CLOSED = (
        "SESSION_CLOSED", 2004, 422, EXCHANGE_CLOSED, OTHER, None,
        "outside trading hours, and not to be held",
    )
    SESSION_ENDED = (
        "SESSION_ENDED", 2005, 422, EXCHANGE_CLOSED, None, OTHER,
        "the session ended before the order did",
    )
    MARKET_STATE = (
        "MARKET_STATE", 2101, 422, BROKER_OPTION, OTHER, None,
        "the market's phase does not take such an order",
    )
    # limits
    SYMBOL_RESTRICTED = (
        "SYMBOL_RESTRICTED", 3001, 422, OTHER, None, None,
        "the account may not trade this symbol",
    )
    ORDER_REPEATED = (
        "ORDER_REPEATED", 3002, 422, OTHER, None, None,
        "the same order again, too soon to be meant",
    )
    QUANTITY_BELOW_MINIMUM = (
        "QUANTITY_BELOW_MINIMUM", 3003, 422, EXCEEDS_LIMIT, OTHER, None,
        "the quantity is below the least",
    )
    QUANTITY_EXCEEDS_MAXIMUM = (
        "QUANTITY_EXCEEDS_MAXIMUM", 3004, 422, EXCEEDS_LIMIT, OTHER, None,
        "the quantity is above the most",
    )
    NOTIONAL_BELOW_MINIMUM = (
        "NOTIONAL_BELOW_MINIMUM", 3005, 422, EXCEEDS_LIMIT, OTHER, None,
        "price times quantity is below the least",
    )
    NOTIONAL_EXCEEDS_MAXIMUM = (
        "NOTIONAL_EXCEEDS_MAXIMUM", 3006, 422, EXCEEDS_LIMIT, OTHER, None,
        "price times quantity is above the most",
    )
    PRICE_OUTSIDE_BAND = (
        "PRICE_OUTSIDE_BAND", 3007, 422, BROKER_OPTION, OTHER, None,
        "the price is too far from the market's",
    )
    OPEN_ORDERS_EXCEED_MAXIMUM = (
        "OPEN_ORDERS_EXCEED_MAXIMUM", 3008, 422, EXCEEDS_LIMIT, None, None,
        "the account has too many open orders",
    )
    MESSAGES_EXCEED_MAXIMUM = (
        "MESSAGES_EXCEED_MAXIMUM", 3009, 429, BROKER_OPTION, OTHER, None,
        "the account sends too much; later",
    )
    POSITION_EXCEEDS_MAXIMUM = (
        "POSITION_EXCEEDS_MAXIMUM", 3010, 422, EXCEEDS_LIMIT, OTHER, None,
        "the position could become too large",
    )
    CREDIT_EXCEEDS_MAXIMUM = (
        "CREDIT_EXCEEDS_MAXIMUM", 3011, 422, EXCEEDS_LIMIT, OTHER, None,
        "what is open would be worth too much",
    )
    STOP_ORDERS_EXCEED_MAXIMUM = (
        "STOP_ORDERS_EXCEED_MAXIMUM", 3012, 422, EXCEEDS_LIMIT, None, None,
        "too many stops wait for their price",
    )
    AMENDS_EXCEED_MAXIMUM = (
        "AMENDS_EXCEED_MAXIMUM", 3013, 422, EXCEEDS_LIMIT, OTHER, None,
        "the order was changed too often",
    )
    MARKET_QUANTITY_EXCEEDS_MAXIMUM = (
        "MARKET_QUANTITY_EXCEEDS_MAXIMUM", 3014, 422, EXCEEDS_LIMIT, OTHER, None,
        "the quantity is above the most without a price",
    )
    MARKET_NOTIONAL_EXCEEDS_MAXIMUM = (
        "MARKET_NOTIONAL_EXCEEDS_MAXIMUM", 3015, 422, EXCEEDS_LIMIT, OTHER, None,
        "the order is worth more than one without a price may be",
    )
    GROSS_EXPOSURE_EXCEEDS_MAXIMUM = (
        "GROSS_EXPOSURE_EXCEEDS_MAXIMUM", 3016, 422, EXCEEDS_LIMIT, OTHER, None,
        "what is held and open, long and short together, would be worth too much",
    )
    NET_EXPOSURE_EXCEEDS_MAXIMUM = (
        "NET_EXPOSURE_EXCEEDS_MAXIMUM", 3017, 422, EXCEEDS_LIMIT, OTHER, None,
        "what is held and open, long less short, would be worth too much",
    )
    SIDE_NOT_ALLOWED = (
        "SIDE_NOT_ALLOWED", 3018, 422, OTHER, None, None,
        "the account may not trade this side",
    )
    ORDER_TYPE_NOT_ALLOWED = (
        "ORDER_TYPE_NOT_ALLOWED", 3019, 422, UNSUPPORTED, None, None,
        "the account may not send such orders",
    )
    TIME_IN_FORCE_NOT_ALLOWED = (
        "TIME_IN_FORCE_NOT_ALLOWED", 3020, 422, UNSUPPORTED, None, None,
        "the account may not send orders that last so",
    )
    # money
    ACCOUNT_UNKNOWN = (
        "ACCOUNT_UNKNOWN", 4001, 422, ACCOUNT, None, None,
        "no such account, or none to trade",
    )
    ACCOUNT_EXISTS = (
        "ACCOUNT_EXISTS", 4002, 409, OTHER, None, None,
        "the account was created before",
    )
    ASSET_UNKNOWN = "ASSET_UNKNOWN", 4003, 422, OTHER, None, None, "no such asset is counted"
    AMOUNT_INVALID = (
        "AMOUNT_INVALID", 4004, 400, OTHER, None, None,
        "an amount that is no number above 0, or too fine",
    )
    FUNDS_INSUFFICIENT = (
        "FUNDS_INSUFFICIENT", 4005, 422, EXCEEDS_LIMIT, OTHER, OTHER,
        "not enough is available",
    )
    LEDGER_OFF = "LEDGER_OFF", 4006, 422, OTHER, None, None, "no money is counted here"
    # what the market did, or the exchange on its own
    INSUFFICIENT_LIQUIDITY = (
        "INSUFFICIENT_LIQUIDITY", 5001, 422, OTHER, None, OTHER,
        "the book could not fill it, or not whole",
    )
    POST_ONLY = (
        "POST_ONLY", 5002, 422, OTHER, OTHER, RESTATED_MARKET,
        "it would have traded at once: refused, or moved a tick away",
    )
    MIN_QUANTITY = (
        "MIN_QUANTITY", 5003, 422, OTHER, None, OTHER,
        "less than the least quantity could be filled at once",
    )
    SELF_TRADE = (
        "SELF_TRADE", 5004, 422, OTHER, None, RESTATED_MARKET,
        "it would have traded with its own account or group",
    )
    VENUE_REJECTED = (
        "VENUE_REJECTED", 5005, 422, OTHER, OTHER, OTHER,
        "the venue refused; its own words",
    )
    OCO = "OCO", 5101, 422, OTHER, None, OTHER, "the other order of the pair came first"
    BREAKER = (
        "BREAKER", 5102, 422, BROKER_OPTION, None, RESTATED_HALT,
        "the price moved too far; the market pauses",
    )
    EXPIRE_TIME = "EXPIRE_TIME", 5103, 422, OTHER, None, OTHER, "its time was over"
    MASS_CANCEL = "MASS_CANCEL", 5104, 422, OTHER, None, OTHER, "canceled with others, as asked"
    TRADE_BUSTED = (
        "TRADE_BUSTED", 5105, 422, OTHER, None, RESTATED_BROKER,
        "an operator took the trade back",
    )
    TRADE_CORRECTED = (
        "TRADE_CORRECTED", 5106, 422, OTHER, None, RESTATED_BROKER,
        "an operator corrected the trade",
    )
    SYMBOL_DELISTED = (
        "SYMBOL_DELISTED", 5107, 422, OTHER, None, OTHER,
        "its symbol is traded no longer",
    )
    HALTED = (
        "HALTED", 5108, 422, BROKER_OPTION, None, RESTATED_HALT,
        "its symbol was halted, or it would have crossed the book after a halt",
    )
    # the machine
    QUEUE_FULL = (
        "QUEUE_FULL", 9001, 503, BROKER_OPTION, CXL_BROKER, None,
        "too much is waiting; later",
    )
    DISK_FULL = (
        "DISK_FULL", 9002, 503, OTHER, OTHER, None,
        "nothing can be recorded: the disk is full",
    )
    STORE_BUSY = (
        "STORE_BUSY", 9003, 503, OTHER, OTHER, None,
        "nothing can be recorded: the database is held",
    )
    SHUTTING_DOWN = (
        "SHUTTING_DOWN", 9004, 503, OTHER, OTHER, RESTATED_BROKER,
        "it stops, or has stopped",
    )
    # fmt: on


CODES = tuple(RejectReason.__annotations__)
REASONS = {reason.value: reason for reason in RejectReason}


def published_table() -> str:
    """All rows as docs/reject-codes.md has them."""
    head = (
        "| reason | API | HTTP | FIX 103 | FIX 102 | FIX 378 | meaning |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    rows = [(reason, [getattr(reason, name) for name in CODES]) for reason in RejectReason]
    return head + "".join(
        f"| `{name}` | " + " | ".join("" if code is None else str(code) for code in codes) + " |\n"
        for name, codes in rows
    )
