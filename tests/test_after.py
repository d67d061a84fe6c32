"""What was reported behind some point: the same from every store, and as it was told."""

import random

import pytest

from oms import MemoryStore, OrderManagement, OrderRequest, Side
from oms.enums import Scope
from oms.errors import ValidationError
from oms.market_data import TradeBust, TradeCorrection, TradePrint
from oms.reports import NUMBER_BITS
from oms.requests import OperatorAction, OperatorRequest, Origin
from oms.requests.orders import SEQUENCE_MAX
from tests.fakes import config_of

SYMBOL = "X"
ACCOUNTS = ("ann", "bob", "cid")


@pytest.fixture(params=["memory", "sqlite"])
def oms(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else None
    with OrderManagement(config_of(), directory=tmp_path, store=store) as started:
        yield started


def trade(oms, count, seed=3):
    """Orders that meet, cancels, refusals; a bust and a correction. What listeners were told."""
    chance, reports, traded, last = random.Random(seed), [], [], None
    oms.add_listener(lambda response: reports.append(response.report))
    oms.add_market_listener(
        lambda event: traded.append(event)
        if isinstance(event, TradePrint | TradeBust | TradeCorrection) else None
    )  # fmt: skip
    oms.depth_snapshot(SYMBOL)
    for number in range(count):
        account = chance.choice(ACCOUNTS)
        if chance.random() < 0.2:
            named = f"o-{chance.randint(0, count)}"
            request = OrderRequest.cancel(account, f"c-{number}", named)
        else:
            request = OrderRequest.new(
                account, f"o-{number}", chance.choice((SYMBOL, "NO")), chance.choice(list(Side)),
                "1", str(chance.randint(99, 101)), origin=Origin(account, "rest", f"r-{number}"),
            )  # fmt: skip
        last = oms.submit(request).result(30)
    prints = [each for each in traded if isinstance(each, TradePrint)]
    for action, settings, made in (
        (OperatorAction.BUST, None, prints[0]),
        (OperatorAction.CORRECT, {"price": "99"}, prints[1]),
    ):
        last = oms.submit(
            OperatorRequest(
                client_order_id=action.value, action=action, scope=Scope.SYMBOL,
                target=made.symbol, name=made.execution_id, why="a test", settings=settings,
            )
        ).result(30)  # fmt: skip
        assert not last.refused, last.text
    return reports, traded, last.report.journal_seq


def test_reports_of_an_account_and_trades_of_a_symbol_come_as_they_were_told(oms):
    reports, traded, seq = trade(oms, 150)
    symbol = traded[0].symbol
    for after in (0, 1, seq // 3, seq - 1, seq, seq + 5):
        for upto in (seq // 2, seq, seq + 10):
            for account in ACCOUNTS:
                found = oms.reports_after(account, after, upto)
                assert [each.report for each in found] == [
                    report for report in reports
                    if report.account == account and after < report.journal_seq <= upto
                ]  # fmt: skip
            events = oms.trades_after(symbol, after, upto)
            told = [each for each in traded if after < each.seq <= upto and each.symbol == symbol]
            assert events == [each._replace(number=0) for each in told]
    assert {type(each) for each in oms.trades_after(symbol, 0, seq)} == {
        TradePrint, TradeBust, TradeCorrection,
    }  # fmt: skip


def test_what_lies_too_far_back_is_not_looked_for(oms, monkeypatch):
    """The bound counts everybody's reports, not the account's alone."""
    reports, _, seq = trade(oms, 40)
    for module in ("oms.stores.memory", "oms.stores.sql_reader"):
        monkeypatch.setattr(f"{module}.LOOKED_AT_MAX", len(reports) - 1)
    stored = len(list(oms.store.all_reports()))
    assert stored == len(reports)
    assert oms.reports_after("nobody", 0, seq) is None
    assert oms.trades_after(SYMBOL, 0, seq) is None
    assert oms.reports_after("nobody", reports[0].journal_seq, seq) == []


def test_an_order_is_found_again_by_the_way_it_came(oms):
    reports, _, _ = trade(oms, 20)
    placed = [r for r in reports if r.type == "NEW" and r.order_id == r.request_seq]
    origins = oms.origins([report.order_id for report in placed])
    for report in placed:
        origin = origins[report.order_id]
        assert (origin.user, origin.gateway) == (report.account, "rest")
        assert origin.request_id == report.client_order_id.replace("o-", "r-")


@pytest.mark.parametrize("seq", [-1, "1", SEQUENCE_MAX >> NUMBER_BITS, 1 << 63])
def test_a_sequence_that_cannot_be_is_named(oms, seq):
    with pytest.raises(ValidationError, match="seq: expected"):
        oms.reports_after("ann", seq, 1)
    with pytest.raises(ValidationError, match="seq: expected"):
        oms.trades_after(SYMBOL, seq, 1)
