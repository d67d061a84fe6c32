"""What each reason is called elsewhere: a number of the API, an HTTP status, three codes of FIX.

One row a reason, published in docs/reject-codes.md. A number, once given, is never given to another
reason and never taken back: programs of others compare it. New reasons get new numbers, in the
hundred of what they are about:

    10xx  what was asked cannot be            30xx  limits
    11xx  which order, which id               40xx  money
    20xx  who may trade, and when             50xx  what the market did
    21xx  the market's phase                  51xx  ends that nobody asked for
    22xx  users, sessions, keys               90xx  the machine
"""

from enum import StrEnum

# What FIX 4.4 calls its numbers, as far as we use them.
BROKER_OPTION, UNKNOWN_SYMBOL, EXCHANGE_CLOSED, EXCEEDS_LIMIT, ENTERED_LATE, UNKNOWN = range(6)
DUPLICATE, UNSUPPORTED, QUANTITY, ACCOUNT, OTHER = 6, 11, 13, 15, 99
CXL_TOO_LATE, CXL_UNKNOWN, CXL_BROKER, CXL_PENDING, CXL_DUPLICATE = 0, 1, 2, 3, 6
RESTATED_BROKER, RESTATED_HALT, RESTATED_MARKET = 4, 6, 8


class RejectReason(StrEnum):
    """The stable first word of every refusal; what follows it is key=value context.

    api: the number of the API. http: 400 malformed; 401 it is not sure whose request it is; 403 it
        is, and the user may not; 404 no such order, or other thing; 409 the id or the order is
        further than the request believes; 422 recorded and rejected; 429 too often; 503 not
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
    MALFORMED = "MALFORMED", 1000, 400, OTHER, OTHER, None, "malformed: a field is out of range"
    # what is requested cannot be done
    SYMBOL_UNKNOWN = (
        "SYMBOL_UNKNOWN", 1001, 422, UNKNOWN_SYMBOL, None, None,
        "unknown symbol",
    )
    PRICE_INVALID = (
        "PRICE_INVALID", 1002, 422, BROKER_OPTION, OTHER, None,
        "price not above 0, or not a multiple of the tick size",
    )
    QUANTITY_INVALID = (
        "QUANTITY_INVALID", 1003, 422, QUANTITY, OTHER, None,
        "quantity not above 0, or not a multiple of the lot size",
    )
    DISPLAY_INVALID = (
        "DISPLAY_INVALID", 1004, 422, QUANTITY, OTHER, None,
        "displayed quantity below a thousandth of the order",
    )
    EXPIRE_TIME_INVALID = (
        "EXPIRE_TIME_INVALID", 1005, 422, OTHER, None, None,
        "expire time not in the future",
    )
    TERMS_UNSUPPORTED = (
        "TERMS_UNSUPPORTED", 1006, 422, UNSUPPORTED, OTHER, None,
        "terms not supported by this order type or market",
    )
    OCO_INVALID = (
        "OCO_INVALID", 1007, 422, OTHER, None, None,
        "no open, untriggered stop order of the same side to pair with",
    )
    COMMAND_INVALID = (
        "COMMAND_INVALID", 1008, 400, OTHER, None, None,
        "operator command not valid here",
    )
    # which order, which id
    DUPLICATE_ID = (
        "DUPLICATE_ID", 1101, 409, DUPLICATE, CXL_DUPLICATE, None,
        "client order id already used for another request",
    )
    UNKNOWN_ORDER = (
        "UNKNOWN_ORDER", 1102, 404, UNKNOWN, CXL_UNKNOWN, None,
        "unknown order",
    )
    TOO_LATE = (
        "TOO_LATE", 1103, 409, ENTERED_LATE, CXL_TOO_LATE, None,
        "too late: order ended, or quantity filled already",
    )
    ALREADY_PENDING = (
        "ALREADY_PENDING", 1104, 409, OTHER, CXL_PENDING, None,
        "a cancel of the order is already pending",
    )
    # who may trade, and when
    KILL_SWITCH = (
        "KILL_SWITCH", 2001, 422, BROKER_OPTION, CXL_BROKER, RESTATED_BROKER,
        "kill switch: an operator halted all trading",
    )
    ACCOUNT_HALTED = (
        "ACCOUNT_HALTED", 2002, 422, BROKER_OPTION, CXL_BROKER, RESTATED_BROKER,
        "an operator halted the account",
    )
    REDUCING_ONLY = (
        "REDUCING_ONLY", 2003, 422, BROKER_OPTION, CXL_BROKER, RESTATED_BROKER,
        "only orders that reduce the position are accepted",
    )
    SESSION_CLOSED = (
        "SESSION_CLOSED", 2004, 422, EXCHANGE_CLOSED, OTHER, None,
        "outside trading hours, and the order is not to be held",
    )
    SESSION_ENDED = (
        "SESSION_ENDED", 2005, 422, EXCHANGE_CLOSED, None, OTHER,
        "the session ended while the order was open",
    )
    MARKET_STATE = (
        "MARKET_STATE", 2101, 422, BROKER_OPTION, OTHER, None,
        "order not accepted in this market phase",
    )
    # users, sessions, keys
    CREDENTIALS_INVALID = (
        "CREDENTIALS_INVALID", 2201, 401, OTHER, OTHER, None,
        "user name or password wrong",
    )
    USER_EXISTS = (
        "USER_EXISTS", 2202, 409, OTHER, None, None,
        "user name or email already used",
    )
    USER_UNKNOWN = "USER_UNKNOWN", 2203, 404, OTHER, None, None, "unknown user"
    USER_LOCKED = "USER_LOCKED", 2204, 403, OTHER, OTHER, None, "user locked by an operator"
    SESSION_REVOKED = (
        "SESSION_REVOKED", 2205, 401, OTHER, OTHER, None,
        "login session ended: log in again",
    )
    CODE_INVALID = (
        "CODE_INVALID", 2206, 401, OTHER, None, None,
        "one-time code or second-factor code wrong, used already, or expired",
    )
    SECOND_FACTOR_REQUIRED = (
        "SECOND_FACTOR_REQUIRED", 2207, 401, OTHER, None, None,
        "code of the second factor required",
    )
    KEY_UNKNOWN = "KEY_UNKNOWN", 2208, 404, OTHER, OTHER, None, "unknown key of the user"
    NOT_ALLOWED = (
        "NOT_ALLOWED", 2209, 403, OTHER, OTHER, None,
        "not allowed by the role, the scope or the address",
    )
    ACCOUNT_TAKEN = (
        "ACCOUNT_TAKEN", 2210, 409, OTHER, None, None,
        "account belongs to another user, or to the exchange",
    )
    ACCESS_EXCEEDS_MAXIMUM = (
        "ACCESS_EXCEEDS_MAXIMUM", 2211, 422, OTHER, None, None,
        "number of users, or of keys of a user, above maximum",
    )
    TOKEN_INVALID = (
        "TOKEN_INVALID", 2212, 401, OTHER, OTHER, None,
        "token missing, expired, or made for another purpose",
    )
    SIGNATURE_INVALID = (
        "SIGNATURE_INVALID", 2213, 401, OTHER, OTHER, None,
        "key, signature, time or nonce of a signed request invalid",
    )
    LOGINS_EXCEED_MAXIMUM = (
        "LOGINS_EXCEED_MAXIMUM", 2214, 429, OTHER, None, None,
        "too many failed logins: try again later",
    )
    # limits
    SYMBOL_RESTRICTED = (
        "SYMBOL_RESTRICTED", 3001, 422, OTHER, None, None,
        "symbol restricted for the account",
    )
    ORDER_REPEATED = (
        "ORDER_REPEATED", 3002, 422, OTHER, None, None,
        "same order repeated within the duplicate window",
    )
    QUANTITY_BELOW_MINIMUM = (
        "QUANTITY_BELOW_MINIMUM", 3003, 422, EXCEEDS_LIMIT, OTHER, None,
        "quantity below minimum",
    )
    QUANTITY_EXCEEDS_MAXIMUM = (
        "QUANTITY_EXCEEDS_MAXIMUM", 3004, 422, EXCEEDS_LIMIT, OTHER, None,
        "quantity above maximum",
    )
    NOTIONAL_BELOW_MINIMUM = (
        "NOTIONAL_BELOW_MINIMUM", 3005, 422, EXCEEDS_LIMIT, OTHER, None,
        "notional below minimum",
    )
    NOTIONAL_EXCEEDS_MAXIMUM = (
        "NOTIONAL_EXCEEDS_MAXIMUM", 3006, 422, EXCEEDS_LIMIT, OTHER, None,
        "notional above maximum",
    )
    PRICE_OUTSIDE_BAND = (
        "PRICE_OUTSIDE_BAND", 3007, 422, BROKER_OPTION, OTHER, None,
        "price outside the price band",
    )
    OPEN_ORDERS_EXCEED_MAXIMUM = (
        "OPEN_ORDERS_EXCEED_MAXIMUM", 3008, 422, EXCEEDS_LIMIT, None, None,
        "open orders above maximum",
    )
    MESSAGES_EXCEED_MAXIMUM = (
        "MESSAGES_EXCEED_MAXIMUM", 3009, 429, BROKER_OPTION, OTHER, None,
        "message rate above maximum: send again later",
    )
    POSITION_EXCEEDS_MAXIMUM = (
        "POSITION_EXCEEDS_MAXIMUM", 3010, 422, EXCEEDS_LIMIT, OTHER, None,
        "position could exceed its maximum",
    )
    CREDIT_EXCEEDS_MAXIMUM = (
        "CREDIT_EXCEEDS_MAXIMUM", 3011, 422, EXCEEDS_LIMIT, OTHER, None,
        "notional of open orders above maximum",
    )
    STOP_ORDERS_EXCEED_MAXIMUM = (
        "STOP_ORDERS_EXCEED_MAXIMUM", 3012, 422, EXCEEDS_LIMIT, None, None,
        "untriggered stop orders above maximum",
    )
    AMENDS_EXCEED_MAXIMUM = (
        "AMENDS_EXCEED_MAXIMUM", 3013, 422, EXCEEDS_LIMIT, OTHER, None,
        "modifies of the order above maximum",
    )
    MARKET_QUANTITY_EXCEEDS_MAXIMUM = (
        "MARKET_QUANTITY_EXCEEDS_MAXIMUM", 3014, 422, EXCEEDS_LIMIT, OTHER, None,
        "quantity of an order without a price above maximum",
    )
    MARKET_NOTIONAL_EXCEEDS_MAXIMUM = (
        "MARKET_NOTIONAL_EXCEEDS_MAXIMUM", 3015, 422, EXCEEDS_LIMIT, OTHER, None,
        "notional of an order without a price above maximum",
    )
    GROSS_EXPOSURE_EXCEEDS_MAXIMUM = (
        "GROSS_EXPOSURE_EXCEEDS_MAXIMUM", 3016, 422, EXCEEDS_LIMIT, OTHER, None,
        "gross exposure above maximum",
    )
    NET_EXPOSURE_EXCEEDS_MAXIMUM = (
        "NET_EXPOSURE_EXCEEDS_MAXIMUM", 3017, 422, EXCEEDS_LIMIT, OTHER, None,
        "net exposure above maximum",
    )
    SIDE_NOT_ALLOWED = (
        "SIDE_NOT_ALLOWED", 3018, 422, OTHER, None, None,
        "side not allowed for the account",
    )
    ORDER_TYPE_NOT_ALLOWED = (
        "ORDER_TYPE_NOT_ALLOWED", 3019, 422, UNSUPPORTED, None, None,
        "order type not allowed for the account",
    )
    TIME_IN_FORCE_NOT_ALLOWED = (
        "TIME_IN_FORCE_NOT_ALLOWED", 3020, 422, UNSUPPORTED, None, None,
        "time in force not allowed for the account",
    )
    # money
    ACCOUNT_UNKNOWN = (
        "ACCOUNT_UNKNOWN", 4001, 422, ACCOUNT, None, None,
        "unknown account, or an account that does not trade",
    )
    ACCOUNT_EXISTS = (
        "ACCOUNT_EXISTS", 4002, 409, OTHER, None, None,
        "account already exists",
    )
    ASSET_UNKNOWN = "ASSET_UNKNOWN", 4003, 422, OTHER, None, None, "unknown asset"
    AMOUNT_INVALID = (
        "AMOUNT_INVALID", 4004, 400, OTHER, None, None,
        "amount not above 0, or with too many decimals",
    )
    FUNDS_INSUFFICIENT = (
        "FUNDS_INSUFFICIENT", 4005, 422, EXCEEDS_LIMIT, OTHER, OTHER,
        "available funds insufficient",
    )
    LEDGER_OFF = "LEDGER_OFF", 4006, 422, OTHER, None, None, "ledger off: no accounts are kept"
    # what the market did, or the exchange on its own
    INSUFFICIENT_LIQUIDITY = (
        "INSUFFICIENT_LIQUIDITY", 5001, 422, OTHER, None, OTHER,
        "liquidity of the book insufficient",
    )
    POST_ONLY = (
        "POST_ONLY", 5002, 422, OTHER, OTHER, RESTATED_MARKET,
        "post-only order would take liquidity: refused, or its price moved",
    )
    MIN_QUANTITY = (
        "MIN_QUANTITY", 5003, 422, OTHER, None, OTHER,
        "minimum quantity could not be filled at once",
    )
    SELF_TRADE = (
        "SELF_TRADE", 5004, 422, OTHER, None, RESTATED_MARKET,
        "self-trade prevention: same account or group",
    )
    VENUE_REJECTED = (
        "VENUE_REJECTED", 5005, 422, OTHER, OTHER, OTHER,
        "rejected by the venue, in its own words",
    )
    OCO = "OCO", 5101, 422, OTHER, None, OTHER, "the other order of the OCO pair came first"
    BREAKER = (
        "BREAKER", 5102, 422, BROKER_OPTION, None, RESTATED_HALT,
        "circuit breaker: price outside the breaker band",
    )
    EXPIRE_TIME = "EXPIRE_TIME", 5103, 422, OTHER, None, OTHER, "expire time reached"
    MASS_CANCEL = "MASS_CANCEL", 5104, 422, OTHER, None, OTHER, "canceled by a mass cancel"
    TRADE_BUSTED = (
        "TRADE_BUSTED", 5105, 422, OTHER, None, RESTATED_BROKER,
        "trade busted by an operator",
    )
    TRADE_CORRECTED = (
        "TRADE_CORRECTED", 5106, 422, OTHER, None, RESTATED_BROKER,
        "trade corrected by an operator",
    )
    SYMBOL_DELISTED = (
        "SYMBOL_DELISTED", 5107, 422, OTHER, None, OTHER,
        "symbol delisted",
    )
    HALTED = (
        "HALTED", 5108, 422, BROKER_OPTION, None, RESTATED_HALT,
        "symbol halted, or the order would cross the book on its return",
    )
    # the machine
    QUEUE_FULL = (
        "QUEUE_FULL", 9001, 503, BROKER_OPTION, CXL_BROKER, None,
        "queue full: send again later",
    )
    DISK_FULL = (
        "DISK_FULL", 9002, 503, OTHER, OTHER, None,
        "disk full: nothing can be recorded",
    )
    STORE_BUSY = (
        "STORE_BUSY", 9003, 503, OTHER, OTHER, None,
        "database locked by another process: nothing can be recorded",
    )
    SHUTTING_DOWN = (
        "SHUTTING_DOWN", 9004, 503, OTHER, OTHER, RESTATED_BROKER,
        "order manager is stopping or stopped",
    )
    ACCESS_STALE = (
        "ACCESS_STALE", 9005, 503, OTHER, OTHER, None,
        "revocations, or nonces of signed requests, not known at the moment",
    )
    # fmt: on


CODES = tuple(RejectReason.__annotations__)
REASONS = {reason.value: reason for reason in RejectReason}


def mass_cancel_reason(account: str, client_order_id: str) -> str:
    """Why an order ended that a mass cancel met: whose it was, and which."""
    return f"{RejectReason.MASS_CANCEL.value}: by={account}, id={client_order_id}"


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
