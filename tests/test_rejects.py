"""Every reason has its numbers; and once published they stay."""

import re
from pathlib import Path

import pytest

from oms import RejectReason
from oms.reject_reasons import published_table

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "reject-codes.md").read_text(encoding="utf-8")

# Written by hand, and only ever added to: programs of others compare these numbers.
# reason: API, HTTP, FIX 103, 102, 378
GOLDEN = {
    "MALFORMED": (1000, 400, 99, 99, None),
    "SYMBOL_UNKNOWN": (1001, 422, 1, None, None),
    "PRICE_INVALID": (1002, 422, 0, 99, None),
    "QUANTITY_INVALID": (1003, 422, 13, 99, None),
    "DISPLAY_INVALID": (1004, 422, 13, 99, None),
    "EXPIRE_TIME_INVALID": (1005, 422, 99, None, None),
    "TERMS_UNSUPPORTED": (1006, 422, 11, 99, None),
    "OCO_INVALID": (1007, 422, 99, None, None),
    "COMMAND_INVALID": (1008, 400, 99, None, None),
    "DUPLICATE_ID": (1101, 409, 6, 6, None),
    "UNKNOWN_ORDER": (1102, 404, 5, 1, None),
    "TOO_LATE": (1103, 409, 4, 0, None),
    "ALREADY_PENDING": (1104, 409, 99, 3, None),
    "KILL_SWITCH": (2001, 422, 0, 2, 4),
    "ACCOUNT_HALTED": (2002, 422, 0, 2, 4),
    "REDUCING_ONLY": (2003, 422, 0, 2, 4),
    "SESSION_CLOSED": (2004, 422, 2, 99, None),
    "SESSION_ENDED": (2005, 422, 2, None, 99),
    "MARKET_STATE": (2101, 422, 0, 99, None),
    "CREDENTIALS_INVALID": (2201, 401, 99, 99, None),
    "USER_EXISTS": (2202, 409, 99, None, None),
    "USER_UNKNOWN": (2203, 404, 99, None, None),
    "USER_LOCKED": (2204, 403, 99, 99, None),
    "SESSION_REVOKED": (2205, 401, 99, 99, None),
    "CODE_INVALID": (2206, 401, 99, None, None),
    "SECOND_FACTOR_REQUIRED": (2207, 401, 99, None, None),
    "KEY_UNKNOWN": (2208, 404, 99, 99, None),
    "NOT_ALLOWED": (2209, 403, 99, 99, None),
    "ACCOUNT_TAKEN": (2210, 409, 99, None, None),
    "ACCESS_EXCEEDS_MAXIMUM": (2211, 422, 99, None, None),
    "TOKEN_INVALID": (2212, 401, 99, 99, None),
    "SIGNATURE_INVALID": (2213, 401, 99, 99, None),
    "LOGINS_EXCEED_MAXIMUM": (2214, 429, 99, None, None),
    "SYMBOL_RESTRICTED": (3001, 422, 99, None, None),
    "ORDER_REPEATED": (3002, 422, 99, None, None),
    "QUANTITY_BELOW_MINIMUM": (3003, 422, 3, 99, None),
    "QUANTITY_EXCEEDS_MAXIMUM": (3004, 422, 3, 99, None),
    "NOTIONAL_BELOW_MINIMUM": (3005, 422, 3, 99, None),
    "NOTIONAL_EXCEEDS_MAXIMUM": (3006, 422, 3, 99, None),
    "PRICE_OUTSIDE_BAND": (3007, 422, 0, 99, None),
    "OPEN_ORDERS_EXCEED_MAXIMUM": (3008, 422, 3, None, None),
    "MESSAGES_EXCEED_MAXIMUM": (3009, 429, 0, 99, None),
    "POSITION_EXCEEDS_MAXIMUM": (3010, 422, 3, 99, None),
    "CREDIT_EXCEEDS_MAXIMUM": (3011, 422, 3, 99, None),
    "STOP_ORDERS_EXCEED_MAXIMUM": (3012, 422, 3, None, None),
    "AMENDS_EXCEED_MAXIMUM": (3013, 422, 3, 99, None),
    "MARKET_QUANTITY_EXCEEDS_MAXIMUM": (3014, 422, 3, 99, None),
    "MARKET_NOTIONAL_EXCEEDS_MAXIMUM": (3015, 422, 3, 99, None),
    "GROSS_EXPOSURE_EXCEEDS_MAXIMUM": (3016, 422, 3, 99, None),
    "NET_EXPOSURE_EXCEEDS_MAXIMUM": (3017, 422, 3, 99, None),
    "SIDE_NOT_ALLOWED": (3018, 422, 99, None, None),
    "ORDER_TYPE_NOT_ALLOWED": (3019, 422, 11, None, None),
    "TIME_IN_FORCE_NOT_ALLOWED": (3020, 422, 11, None, None),
    "ACCOUNT_UNKNOWN": (4001, 422, 15, None, None),
    "ACCOUNT_EXISTS": (4002, 409, 99, None, None),
    "ASSET_UNKNOWN": (4003, 422, 99, None, None),
    "AMOUNT_INVALID": (4004, 400, 99, None, None),
    "FUNDS_INSUFFICIENT": (4005, 422, 3, 99, 99),
    "LEDGER_OFF": (4006, 422, 99, None, None),
    "INSUFFICIENT_LIQUIDITY": (5001, 422, 99, None, 99),
    "POST_ONLY": (5002, 422, 99, 99, 8),
    "MIN_QUANTITY": (5003, 422, 99, None, 99),
    "SELF_TRADE": (5004, 422, 99, None, 8),
    "VENUE_REJECTED": (5005, 422, 99, 99, 99),
    "OCO": (5101, 422, 99, None, 99),
    "BREAKER": (5102, 422, 0, None, 6),
    "EXPIRE_TIME": (5103, 422, 99, None, 99),
    "MASS_CANCEL": (5104, 422, 99, None, 99),
    "TRADE_BUSTED": (5105, 422, 99, None, 4),
    "TRADE_CORRECTED": (5106, 422, 99, None, 4),
    "SYMBOL_DELISTED": (5107, 422, 99, None, 99),
    "HALTED": (5108, 422, 0, None, 6),
    "QUEUE_FULL": (9001, 503, 0, 2, None),
    "DISK_FULL": (9002, 503, 99, 99, None),
    "STORE_BUSY": (9003, 503, 99, 99, None),
    "SHUTTING_DOWN": (9004, 503, 99, 99, 4),
    "ACCESS_STALE": (9005, 503, 99, 99, None),
}


def test_every_reason_has_one_row():
    """A new reason without codes would leave a gateway speechless."""
    assert set(GOLDEN) == {reason.value for reason in RejectReason}


@pytest.mark.parametrize("reason", RejectReason, ids=str)
def test_no_number_ever_changes(reason):
    """What was published is a promise; a new reason is added here with a new number."""
    assert GOLDEN[reason.value] == (
        reason.api, reason.http, reason.fix_reject, reason.fix_cancel_reject,
        reason.fix_restatement,
    )  # fmt: skip


def test_no_number_is_given_twice():
    numbers = [reason.api for reason in RejectReason]
    assert len(set(numbers)) == len(numbers)


def test_codes_are_those_of_their_standards():
    """FIX 4.4 knows these values and no others; HTTP those of our mapping."""
    for reason in RejectReason:
        assert reason.http in (400, 401, 403, 404, 409, 422, 429, 503)
        assert reason.fix_reject in (*range(9), 11, 13, 15, 99)
        assert reason.fix_cancel_reject in (None, 0, 1, 2, 3, 6, 99)
        assert reason.fix_restatement in (None, 1, 4, 6, 7, 8, 12, 13, 99)
        assert reason.meaning
        assert "|" not in reason.meaning
        assert "\n" not in reason.meaning


def test_the_page_of_reject_codes_publishes_this_table_row_by_row():
    """No row less, none more, none that says something else."""
    published = re.findall(r"^\| `[A-Z_]+` \| \d{4} \|.*$", PAGE, re.MULTILINE)
    assert published == published_table().splitlines()[2:]
    assert published_table() in PAGE
