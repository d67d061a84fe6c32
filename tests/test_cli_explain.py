"""`explain` on an exchange: fees, stops, pairs, auctions, expiry, and commands, in words."""

import pytest

from oms import OrderManagement, OrderRequest, Side, TimeInForce
from oms.cli import main
from oms.clock import ManualClock
from oms.config import ExchangeConfig
from oms.enums import Phase, PostOnly
from oms.instruments import Instrument
from oms.requests import (
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
)
from oms.requests.orders import OrderTerms
from tests.fakes import SECOND, config_of
from tests.processes import wait_until
from tests.test_cli import in_order

X_Y = Instrument(
    symbol="X_Y", price_scale=0, quantity_scale=0, maker_fee_bps=-2, taker_fee_bps=10
)  # fmt: skip
CONFIG = config_of(
    instruments=(X_Y,), exchange=ExchangeConfig(ledger=True, self_trade="cancel_newest")
)


def order(account: str, name: str, side: str, quantity: int, price=None, **more) -> OrderRequest:
    terms = {k: more.pop(k) for k in tuple(more) if k != "time_in_force"}
    return OrderRequest.new(
        account, name, "X_Y", Side(side), quantity, price,
        terms=OrderTerms(**terms) if terms else None, **more,
    )  # fmt: skip


def set_phase(phase: Phase) -> OperatorRequest:
    return OperatorRequest(
        client_order_id=phase.value, action=OperatorAction.SET_PHASE, value=phase.value, why="test"
    )


def funded(account: str) -> list[FundsRequest]:
    who = {"account": account, "action": FundsAction.DEPOSIT, "amount": "1000000"}
    return [
        FundsRequest(account=account, client_order_id="open", action=FundsAction.CREATE),
        FundsRequest(client_order_id="in-x", asset="X", **who),
        FundsRequest(client_order_id="in-y", asset="Y", **who),
    ]


@pytest.fixture
def explain(tmp_path, capsys):
    """Ask an order manager all of these, one by one; a second later "gone" has no open order; then
    the story of one id.
    """

    def explain(name: str, *requests, account: str = "") -> str:
        clock = ManualClock()
        with OrderManagement(CONFIG, clock=clock, directory=tmp_path) as manager:
            for request in [*funded("ann"), *funded("bob"), *requests]:
                manager.submit(request).result(30)
            clock.advance(1)
            wait_until(lambda: not manager.open_orders("gone"))
        whose = ["--account", account] if account else []
        assert main(["explain", name, *whose, "--data-dir", str(tmp_path)]) == 0
        return capsys.readouterr().out

    return explain


def test_a_fill_tells_its_fee_and_a_rebate_is_one(explain):
    """Ten at 200: the taker pays 10 bps of 2,000, the maker gets 2 back."""
    resting = order("ann", "s1", "SELL", 10, 200, post_only=PostOnly.REJECT)
    taker = order("bob", "b1", "BUY", 10, 201, time_in_force=TimeInForce.IOC)
    maker_story = explain("s1", resting, taker)
    assert in_order(
        maker_story,
        'request "s1": SELL 10 X_Y at 200, LIMIT GTC, post-only (reject)',
        "traded 10 at 200 with order ",
        '"b1" of bob, which found it in the book, rebate 0.4 Y: 0 open, 10 filled',
    )
    assert in_order(explain("b1"), '"s1" of ann, which rested in the book, fee 2 Y: 0 open')


def test_a_stop_is_suspended_triggered_and_its_pair_goes(explain):
    """A trade at 210 triggers it; the limit order of the pair is canceled in the same turn."""
    requests = (
        order("ann", "stop", "BUY", 3, 220, stop_price=210),
        order("ann", "limit", "BUY", 3, 150, oco_with="stop"),
        order("bob", "s1", "SELL", 5, 210),
        order("bob", "b1", "BUY", 1, 210, self_trade=None, time_in_force=TimeInForce.IOC),
        *funded("cat"),
        order("cat", "b2", "BUY", 1, 210),
    )
    assert in_order(
        explain("stop", *requests),
        'request "stop": BUY 3 X_Y at 220, STOP_LIMIT GTC, when the market trades at 210',
        "accepted, and suspended until a trade triggers it: 3 open, 0 filled",
        "a trade reached its stop price: it goes on as if just arrived",
        "traded 3 at 210 with order ", '"s1" of bob, which rested in the book, fee 0.63 Y',
        "the order is over: FILLED",
    )  # fmt: skip
    assert in_order(
        explain("limit"), ', one of a pair with "stop"',
        "canceled, 0 filled: OCO (its pair was filled, triggered or ended)",
    )  # fmt: skip
    assert in_order(
        explain("b1"), "canceled, 0 filled: SELF_TRADE (it would have traded with an order of"
    )


def test_an_auction_trade_has_no_taker(explain):
    """Both are told with whom, and that all traded at one price."""
    requests = (
        set_phase(Phase.OPENING_AUCTION),
        order("ann", "s1", "SELL", 10, 190, display_quantity=2),
        order("bob", "b1", "BUY", 4, 200),
        set_phase(Phase.CONTINUOUS),
    )
    assert in_order(
        explain("s1", *requests),
        'request "s1": SELL 10 X_Y at 190, LIMIT GTC, showing 2',
        "traded 4 at ", '"b1" of bob, in an auction, at the price of all: 6 open, 4 filled',
    )  # fmt: skip
    assert in_order(explain("b1"), '"s1" of ann, in an auction, at the price of all: 0 open')
    assert in_order(
        explain("OPENING_AUCTION"),
        "command ", "of account operator",
        'request "OPENING_AUCTION": operator: SET_PHASE OPENING_AUCTION, all: test',
        "done: phase=OPENING_AUCTION", "the command is over",
    )  # fmt: skip


def test_an_order_that_was_good_until_then(explain):
    """It expires by itself, half a second later; nobody asks."""
    expire_ns = ManualClock().wall_ns() + SECOND // 2
    order_of_gone = order(
        "gone", "gtd", "BUY", 1, 100, time_in_force=TimeInForce.GTD, expire_ns=expire_ns
    )
    assert in_order(
        explain("gtd", *funded("gone"), order_of_gone),
        "LIMIT GTD, good till 20", "accepted: 1 open",
        "expired, 0 filled: EXPIRE_TIME (its expire time was reached)",
        "the order is over: EXPIRED",
    )  # fmt: skip


def test_commands_have_stories_too(explain):
    """A deposit, one that is refused, a mass cancel; and what it took back."""
    too_much = FundsRequest(
        account="ann", client_order_id="out", action=FundsAction.WITHDRAW, asset="Y",
        amount="2000000",
    )  # fmt: skip
    requests = (
        order("ann", "s1", "SELL", 10, 200),
        MassCancelRequest(account="ann", client_order_id="all-x", symbol="X_Y"),
        too_much,
    )
    assert in_order(
        explain("all-x", *requests),
        'request "all-x": cancel every open order of account ann, X_Y', "done: canceled=1",
    )  # fmt: skip
    assert in_order(
        explain("out"),
        'request "out": withdraw 2000000 Y, account ann',
        "refused: FUNDS_INSUFFICIENT: asset=Y, needed=2000000, available=1000000 (the available",
        "; nothing was changed", "the command is over",
    )  # fmt: skip
    assert in_order(explain("s1"), "canceled, 0 filled: MASS_CANCEL: by=ann, id=all-x (a mass")
    assert in_order(
        explain("in-x", account="bob"), "deposit 1000000 X, account bob",
        "done: asset=X, amount=1000000, available=1000000, reserved=0",
        'request "in-x": a command, answered from what is known',
    )  # fmt: skip
