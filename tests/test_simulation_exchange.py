"""A made-up market with money: accounts, the opening call, fees, and everything taken back."""

from collections import Counter
from itertools import islice

import pytest

from oms import Config, OrderType, RequestType, TimeInForce
from oms.cli import main
from oms.commands.flows import _opening, _with_money
from oms.config import ExchangeConfig
from oms.enums import Phase
from oms.errors import ConfigError
from oms.instruments import Instrument
from oms.requests.operators import MassCancelRequest, OperatorAction, OperatorRequest
from oms.simulation.agents import FUNDED, funding, market
from oms.simulation.report import holdings
from oms.simulation.runner import Tally, Traded
from oms.turn.journal import state_mistakes
from tests.fakes import Stepped, buy, config_of, sell
from tests.places import after_place
from tests.test_cli import program

SHIPPED = Config().instruments
NEVER_RESTS = (TimeInForce.IOC, TimeInForce.FOK)


def with_money(**sections) -> Config:
    return _with_money(config_of(instruments=SHIPPED, **sections))


def set_phase(phase: Phase) -> OperatorRequest:
    return OperatorRequest(
        client_order_id=f"to-{phase}", action=OperatorAction.SET_PHASE, value=phase.value
    )


def run_market(seed: int, count: int, opening: int) -> tuple[Stepped, Tally]:
    """All that a simulation does, turn by turn, without its threads."""
    desk = Stepped(with_money()).start()
    for request in funding(SHIPPED, "S-"):
        desk.send(request)
    tally = Tally()
    desk.oms.add_listener(tally)
    desk.send(set_phase(Phase.OPENING_AUCTION))
    flow = market(seed, SHIPPED, "S-", opening=opening, start_ns=desk.clock.wall_ns(), rate=100)
    requests = list(islice(flow, count))
    desk.send(*requests[:opening])
    desk.send(set_phase(Phase.CONTINUOUS))
    for at in range(opening, count, 50):
        desk.clock.advance(0.5)
        desk.send(*requests[at : at + 50])
    return desk, tally


@pytest.mark.parametrize("seed", [1, 7])
def test_a_market_with_money_ends_with_every_unit_accounted_for(seed):
    """Auction, fees, stops, pairs, icebergs, expiries; then all is canceled, nothing reserved."""
    desk, tally = run_market(seed, 12_000, 400)
    for kind in ("TRADE", "TRIGGERED", "RESTATED", "EXPIRED", "CANCELED", "REPLACED"):
        assert tally.reports[kind] > 0, kind
    assert sum(traded.in_auctions for traded in tally.traded.values()) > 20
    assert tally.answered == 12_000
    rejects = desk.oms.publisher.rejects
    assert rejects["FUNDS_INSUFFICIENT"] > 0 and rejects["POST_ONLY"] > 0
    assert "MARKET_STATE" not in rejects
    fold = desk.dispatcher.fold
    assert state_mistakes(fold) == []
    assert any(each.reserved for each in holdings(fold.desk.ledger))

    # when everything open is canceled, account by account
    for account in FUNDED:
        desk.send(MassCancelRequest(account=account, client_order_id="end"))

    # then all is free, the exchange has earned, and nothing is lost
    found = holdings(fold.desk.ledger)
    assert [each.asset for each in found] == ["BTC", "INR", "JIO", "TATA", "USD"]
    assert all(each.conserved and not each.reserved for each in found)
    assert {each.asset for each in found if each.fees > 0} == {"INR", "USD"}
    assert fold.desk.executions.orders == {} and state_mistakes(fold) == []


def test_in_the_opening_call_nobody_asks_to_trade_at_once():
    """So nothing is refused; and some bid over what others ask, so that something trades."""
    opening = list(islice(market(3, SHIPPED, opening=500), 1_000))
    early, late = opening[:500], opening[500:]
    new = [request for request in early if request.type is RequestType.NEW]
    assert not [r for r in new if r.order_type is OrderType.MARKET]
    assert not [r for r in new if r.time_in_force in NEVER_RESTS]
    assert [r for r in late if r.time_in_force in NEVER_RESTS]


def test_a_trade_in_an_auction_counts_once():
    """It is told of the buyer, then of the seller; commands are nobody's requests."""
    desk = Stepped(config_of()).start()
    tally = Tally()
    desk.oms.add_listener(tally)
    desk.send(set_phase(Phase.OPENING_AUCTION))
    desk.send(buy("1", 5, 101), sell("2", 3, 99))
    desk.send(set_phase(Phase.CONTINUOUS))
    assert tally.traded == {"X": Traded(count=1, lots=3, last_ticks=101, in_auctions=1)}
    assert tally.answered == 2
    assert tally.reports["COMMAND_DONE"] == 2


def test_money_is_the_same_in_every_run_and_its_ids_are_not():
    """An account is created once; what is paid in is paid in anew."""
    first, second = funding(SHIPPED, "S1-"), funding(SHIPPED, "S2-")
    assert len(first) == len(FUNDED) * (1 + 5)
    ids = Counter(r.client_order_id for r in [*first, *second])
    assert ids.pop("create") == 2 * len(FUNDED)
    assert set(ids) == {f"S{n}-{a}" for n in (1, 2) for a in ("TATA", "JIO", "BTC", "INR", "USD")}
    poor = [r for r in first if r.account == "careless-1" and r.asset == "BTC"]
    rich = [r for r in first if r.account == "maker-1" and r.asset == "BTC"]
    assert (poor[0].amount, rich[0].amount) == ("0.2", "50")


def test_the_simulation_brings_its_own_fees():
    """Whatever config.ini says, of tiers too; a market that cannot have a ledger is refused."""
    config = with_money(fees={("BTC_USD", "pro"): (0, 1)}, exchange=ExchangeConfig(ledger=False))
    assert config.exchange.ledger and config.fees == {}
    assert {(i.maker_fee_bps, i.taker_fee_bps) for i in config.instruments} == {(-2, 10)}
    plain = (Instrument(symbol="PLAIN"),)
    with pytest.raises(ConfigError, match="simulate keeps accounts"):
        _with_money(config_of(instruments=plain))


@pytest.mark.parametrize(
    ("rate", "seconds", "orders", "hurried", "expected"),
    [
        (90, 20, None, False, 300),  # a burst of 270 in the first second, then 30 in the next
        (90, 4, None, False, 270),  # a quarter of a short run
        (90, 20, 100, False, 25),
        (1, 20, None, False, 4),
        (1_000_000, 20, None, False, 5_000),
        (90, 20, None, True, 5_000),
        (90, 20, 3, True, 0),
    ],
)
def test_how_many_requests_the_opening_is_made_of(rate, seconds, orders, hurried, expected):
    assert _opening(rate, seconds, orders, hurried=hurried) == expected


def test_orders_left_open_without_a_ledger_stop_a_simulation_at_the_start(tmp_path, capsys):
    """Nothing was set aside for them: one line says so, and nothing is touched."""
    flow = tmp_path / "flow.jsonl"
    flow.write_text(
        '{"type": "NEW", "account": "a", "client_order_id": "1", "symbol": "BTC_USD", '
        '"side": "BUY", "price": "1", "quantity": "1"}\n', encoding="utf-8",
    )  # fmt: skip
    data = tmp_path / "data"
    assert main(["feed", str(flow), "--data-dir", str(data), "--quiet"]) == 0
    capsys.readouterr()
    assert main(["simulate", "--orders", "10", "--data-dir", str(data)]) == 2
    assert after_place(capsys.readouterr().err) == (
        "order_management: [exchange] ledger: expected no as long as orders are open, was yes; "
        "1 are: cancel them first, or use another directory\n"
    )


def test_a_feed_has_no_ledger_and_lets_everybody_trade_with_himself(tmp_path, capsys):
    """Whatever config.ini says: recorded accounts have no money here, and did trade."""
    flow = tmp_path / "flow.jsonl"
    line = (
        '{{"type": "NEW", "account": "a", "client_order_id": "{}", "symbol": "BTC_USD", '
        '"side": "{}", "price": "1", "quantity": "1"}}\n'
    )
    flow.write_text(line.format(1, "BUY") + line.format(2, "SELL"), encoding="utf-8")
    config = tmp_path / "config.ini"
    config.write_text("[exchange]\nledger = yes\n[instrument BTC_USD]\n", encoding="utf-8")
    assert main(["feed", str(flow), "--data-dir", str(tmp_path), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "           BTC_USD                 1" in out
    assert "Balances" not in out


def test_two_simulations_in_one_directory_add_up(tmp_path):
    """Real processes: accounts are there, money comes again, all of it is accounted for."""
    for run in (1, 2):
        done = program("--data-dir", tmp_path, "--speed", "max", "--orders", 2000, "--quiet")
        assert (done.returncode, done.stderr) == (0, "")
        lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
        tata = next(line.split() for line in lines if line.startswith(("TATA 4", "TATA 8")))
        assert tata == ["TATA", f"{40_020 * run:,}", f"{40_020 * run:,}", "0", "0", "0"]
        at = lines.index("Reserved nothing")
        assert lines[at - 1].startswith("Canceled ") and lines[at - 1].endswith("by mass cancel")
        assert lines[at + 1].startswith("Conserved yes: ")
        assert any(
            line.endswith("of these trades in auctions, each at one price") for line in lines
        )
    assert "open orders  0" in program("replay", "--upto", 10**9, "--data-dir", tmp_path).stdout
    assert program("ledger", "--data-dir", tmp_path).stdout.endswith(
        "adds up: every movement was entered twice, and gives the balances\n"
    )
