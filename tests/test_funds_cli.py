"""Money and control from the command line: fund, seed-market, ledger, operator, verify."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from oms import (
    Instrument,
    ManualClock,
    OrderType,
    PersistentStorage,
    Side,
    SystemClock,
    TimeInForce,
)
from oms.cli import main
from oms.clock import NANOS
from oms.commands.funds import ACTIONS
from oms.config import CONFIG_PATH, ExchangeConfig, load_config
from oms.enums import Phase, ResponseType, Trading
from oms.exchange.order import Order
from oms.requests import FundsAction, FundsRequest, OperatorAction, OrderTerms
from oms.turn.journal import state_mistakes
from tests.fakes import Stepped, buy, config_of, sell
from tests.places import after_place
from tests.processes import STOP_S_MAX, wait_until
from tests.test_cli import DATABASE, program, started

CONFIG = """\
[session]
always_open = yes
[exchange]
ledger = yes
[instrument BTC_USD]
tick_size = 0.01
lot_size = 0.0001
maker_fee_bps = -2
taker_fee_bps = 10
"""


@pytest.fixture
def settings(tmp_path) -> Path:
    """A config.ini in the data directory."""
    path = tmp_path / "config.ini"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture
def run(settings, capsys):
    """One command in a data directory with a config.ini of its own; code, stdout, and stderr
    without the line that says where."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*map(str, arguments), "--data-dir", str(settings.parent)])
        captured = capsys.readouterr()
        return code, captured.out, after_place(captured.err)

    return run


# --- fund ---


def test_money_goes_in_over_and_out(run):
    """Every answer says what the account has since."""
    assert run("fund", "ann", "USD", "100.5", "--create", "--id", "a1") == (
        0,
        "create ann, id a1-create: account=ann\n"
        "deposit 100.5 USD, account ann, id a1: "
        "asset=USD, amount=100.5, available=100.5, reserved=0\n",
        "",
    )
    assert run("fund", "bob", "--create", "--id", "b1")[:2] == (
        0, "create bob, id b1-create: account=bob\n",
    )  # fmt: skip
    assert run("fund", "ann", "USD", "40", "--to", "bob", "--id", "a2")[1] == (
        "transfer 40 USD, account ann, id a2: asset=USD, amount=40, available=60.5, reserved=0\n"
    )
    assert run("fund", "bob", "USD", "15", "--withdraw", "--id", "b2")[1] == (
        "withdraw 15 USD, account bob, id b2: "
        "asset=USD, amount=15, available=25, reserved=0\n"
    )  # fmt: skip


def test_the_same_id_moves_money_once(run):
    """Sent again after a lost answer: the same answer. With other content: no."""
    first = run("fund", "ann", "USD", 5, "--create", "--id", "x")
    code, out, err = run("fund", "ann", "USD", 5, "--create", "--id", "x")
    told = [line for line in out.splitlines(keepends=True) if not line.startswith("done before")]
    assert (code, "".join(told), err) == first
    assert out.count("nothing was done again\n") == 2
    code, out, err = run("fund", "ann", "USD", 6, "--id", "x")
    assert (code, out) == (1, "")
    assert err.startswith("order_management: deposit 6 USD, account ann, id x: refused: DUPLICATE_")
    assert '"total": "5"' in run("ledger", "ann", "--json")[1]


def test_without_an_id_each_time_is_a_new_one(run):
    """It is printed, so that it can be asked for again."""
    lines = [run("fund", "ann", "USD", 5, "--create")[1].splitlines() for _ in range(2)]
    assert lines[0][0].startswith("create ann, id fund-")
    assert lines[1][0] == "create ann: it is there already"
    assert lines[1][1].endswith("amount=5, available=10, reserved=0")
    assert lines[0][1] != lines[1][1]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nobody", "USD", "1"], "ACCOUNT_UNKNOWN: account=nobody"),
        (["ann", "EUR", "1"], "ASSET_UNKNOWN: asset=EUR, known=BTC|USD"),
        (["ann", "USD", "0"], "AMOUNT_INVALID: amount=0, expected above 0"),
        (["ann", "USD", "1.123456789"], "AMOUNT_INVALID: amount: expected at most 8 decimals"),
        (["ann", "USD", "11", "--withdraw"], "FUNDS_INSUFFICIENT: asset=USD, needed=11, avail"),
        (["ann", "USD", "1", "--to", "nobody"], "ACCOUNT_UNKNOWN: account=nobody"),
    ],
)
def test_what_is_refused_names_the_reason(run, arguments, reason):
    run("fund", "ann", "USD", 10, "--create")
    code, out, err = run("fund", *arguments)
    assert (code, out) == (1, "")
    assert f": refused: {reason}" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["fund", "ann"], "expected ASSET and AMOUNT, or --create"),
        (["fund", "ann", "USD"], "expected an amount after the asset"),
        (["fund", "ann", "USD", "1", "--to", "b", "--withdraw"], "--withdraw or --to, not both"),
        (["fund", 'a"nn', "USD", "1"], "account: expected 1 to 64 printable ASCII characters"),
        (["operator", "stop"], "argument ACTION: invalid choice: 'stop'"),
        (["operator", "halt", "--scope", "user", "ann"], "--scope: expected account NAME or"),
        (["operator", "limits"], "expected --name and --value with limits"),
        (["operator", "halt", "--name", "x"], "expected --name and --value with limits"),
        (["operator", "reduce", "--value", "x"], "expected --name and --value with limits"),
        (["operator", "phase"], "value: expected one of CLOSED, PRE_OPEN, OPENING_AUCTION, "),
        (["operator", "phase", "--value", "OPEN"], "REOPENING_AUCTION, was 'OPEN'"),
        (
            ["operator", "phase", "--value", "HALTED", "--scope", "account", "ann"],
            "expected --scope symbol NAME, or none, with phase",
        ),
        (
            ["operator", "kill", "--scope", "group", "firm"],
            "expected --scope group NAME with limits alone",
        ),
        (["operator", "account", "--name", "tier"], "expected --scope account NAME, and --name"),
        (
            ["operator", "account", "--scope", "account", "ann", "--name", "maker_fee_bps"],
            "and --name tier or stp_group, with account",
        ),
        (["operator", "bust"], "expected EXECUTION_ID with bust and correct, and with"),
        (["operator", "kill", "7-1"], "expected EXECUTION_ID with bust and correct, and with"),
        (["operator", "bust", "7-1", "--scope", "account", "ann"], "expected no --scope with bust"),
        (["operator", "correct", "7-1"], "expected --set KEY=VALUE with correct"),
        (["operator", "halt", "--set", "a=b"], "expected --set KEY=VALUE with correct"),
        (["operator", "list", "--set", "ab"], "expected KEY=VALUE, was 'ab'"),
        (["operator", "list"], "expected --scope symbol NAME with list"),
        (["operator", "suspend"], "expected --scope symbol NAME with suspend"),
        (["seed-market", "--markets", "2000"], "--markets: expected at most 1000, was 2000"),
        (["seed-market", "--markets", "abc"], "--markets: expected a number, or symbols such as"),
        (["seed-market", "--fund", "0"], "--fund: expected such as 1000 or 2.5:BTC, was '0'"),
        (["seed-market", "--users", "-1"], "--users"),
    ],
)
def test_wrong_usage_is_told_before_anything_starts(run, tmp_path, arguments, complaint):
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err
    assert not (tmp_path / DATABASE).exists()


def test_a_market_is_not_seeded_under_a_daemon(settings, tmp_path):
    """config.ini does not change under it. Real processes."""
    process = started("run", "--data-dir", tmp_path)
    try:
        wait_until(lambda: (tmp_path / "status.json").exists())
        done = program("seed-market", "--markets", "2", "--data-dir", tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"order_management: {tmp_path}: in use by process {process.pid}\n"
        assert settings.read_text(encoding="utf-8") == CONFIG
    finally:
        process.terminate()
        process.communicate(timeout=STOP_S_MAX)


def test_without_a_ledger_there_is_no_money(run, tmp_path):
    (tmp_path / "config.ini").write_text("[instrument BTC_USD]\n", encoding="utf-8")
    code, _, err = run("fund", "ann", "USD", "1", "--create")
    cure = "LEDGER_OFF: expected [exchange] ledger = yes, was no"
    assert code == 1 and err.endswith(f"refused: {cure}\n")


# --- seed-market ---


def test_a_seeded_market_is_seeded_once(tmp_path):
    """Real processes, an empty directory; the second run says that it changed nothing."""
    seed = (
        "seed-market", "--markets", 2, "--users", 3, "--fund", 5, "1000.5:USD", "--data-dir",
        tmp_path,
    )  # fmt: skip
    first = program(*seed)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == (
        f"{tmp_path / 'config.ini'}: ledger = yes, 2 instruments added: M1_USD, M2_USD\n"
        "markets    2, of which 2 new\n"
        "users      3, of which 3 new\n"
        "deposits   21 made now\n"
    )
    settings = (tmp_path / "config.ini").read_text(encoding="utf-8")
    digest = json.loads(program("ledger", "--json", "--data-dir", tmp_path).stdout)

    second = program(*seed)
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout == (
        "markets    2, of which 0 new\n"
        "users      3, of which 0 new\n"
        "deposits   0 made now\n"
        "nothing changed: all of it was there already\n"
    )
    assert (tmp_path / "config.ini").read_text(encoding="utf-8") == settings
    assert json.loads(program("ledger", "--json", "--data-dir", tmp_path).stdout) == digest
    assert digest["paid_in"]["USD"] == "3001.5" and digest["paid_in"]["M2"] == "15"

    # and what was there before is as it was: the settings in use, with their comments
    expected = CONFIG_PATH.read_text(encoding="utf-8").replace("ledger = no", "ledger = yes")
    assert settings.startswith(expected)
    config = load_config(tmp_path / "config.ini")
    assert [i.symbol for i in config.instruments][-2:] == ["M1_USD", "M2_USD"]


def test_another_amount_the_second_time_is_refused(run):
    """Seeding is not topping up: it says where to look, and pays nobody."""
    run("seed-market", "--users", 2, "--fund", "10:USD")
    code, out, err = run("seed-market", "--users", 3, "--fund", "20:USD")
    assert code == 1
    assert err.startswith("order_management: account user-1, id seed-USD: DUPLICATE_ID: first_seq")
    assert "users      3, of which 1 new\ndeposits   1 made now\n" in out
    paid_in = json.loads(run("ledger", "--json")[1])["paid_in"]
    assert paid_in == {"USD": "40"}


def test_settings_are_appended_where_config_says(run, tmp_path):
    """A file named with --config is the one to write; what is in it stays."""
    path = tmp_path / "other.ini"
    path.write_text("[exchange]\n# mine\nself_trade = none\n[instrument X_Y]\n", encoding="utf-8")
    code, out, _ = run("seed-market", "--markets", "A_USD,X_Y", "--config", path)
    assert (code, out.splitlines()[0]) == (
        0, f"{path}: ledger = yes, 1 instruments added: A_USD",
    )  # fmt: skip
    assert path.read_text(encoding="utf-8") == (
        "[exchange]\nledger = yes\n# mine\nself_trade = none\n[instrument X_Y]\n"
        "\n[instrument A_USD]\ntick_size = 0.01\nlot_size = 0.0001\n"
    )
    assert (tmp_path / "config.ini").read_text(encoding="utf-8") == CONFIG


def test_settings_that_would_not_start_a_daemon_are_not_written(run, tmp_path):
    """A market without two assets cannot have a ledger; the file stays as it was."""
    path = tmp_path / "other.ini"
    path.write_text("[instrument PLAIN]\n", encoding="utf-8")
    code, _, err = run("seed-market", "--markets", "A_USD", "--config", path)
    assert code == 2
    assert all("other.ini line 1 [instrument PLAIN]" in line for line in err.splitlines())
    assert path.read_text(encoding="utf-8") == "[instrument PLAIN]\n"
    assert not list(tmp_path.glob("*.new"))


def test_the_programs_own_settings_are_not_written(monkeypatch, tmp_path, capsys):
    """A checkout's data directory is the checkout: it must be told where else."""
    own = tmp_path / "config.ini"
    own.write_text("[instrument X_Y]\n", encoding="utf-8")
    monkeypatch.setattr("oms.commands.funds.CONFIG_PATH", own)
    assert main(["seed-market", "--markets", "1", "--data-dir", str(tmp_path)]) == 2
    assert "say where with --data-dir DIR or --config FILE" in capsys.readouterr().err
    assert own.read_text(encoding="utf-8") == "[instrument X_Y]\n"


def test_the_settings_beside_the_data_are_those_of_every_command(run, tmp_path):
    """So nobody has to remember which file a directory was seeded with; --config goes before."""
    other = tmp_path / "other.ini"
    other.write_text("[instrument EUR_USD]\n", encoding="utf-8")
    assert run("sessions")[1].splitlines()[1].startswith("always open")
    assert "Mon" in run("sessions", "--config", other)[1]


# --- operator ---


def test_what_an_operator_did_holds_from_the_next_start_on(run):
    """Halted, limited, killed, released: each answer in one line."""
    assert run("operator", "halt", "--scope", "account", "ann", "--id", "o1")[:2] == (
        0, "halt, id o1: trading=HALTED\n",
    )  # fmt: skip
    assert run("operator", "halt", "--scope", "symbol", "BTC_USD", "--id", "o2")[0] == 0
    limits = ("operator", "limits", "--name", "open_orders_max", "--value")
    assert run(*limits, 5, "--id", "o3")[1] == "limits, id o3: open_orders_max=5\n"
    assert run(*limits, "", "--id", "o4")[1] == "limits, id o4: open_orders_max=as configured\n"
    assert run("operator", "kill", "--why", "drill", "--id", "o5")[1] == (
        "kill, id o5: trading=HALTED, canceled=0\n"
    )
    assert run("operator", "release", "--id", "o6")[1] == "release, id o6: trading=ACTIVE\n"
    code, out, err = run("operator", "halt", "--scope", "symbol", "NOPE", "--id", "o7")
    assert (code, out) == (1, "")
    assert err.startswith("order_management: halt, id o7: refused: SYMBOL_UNKNOWN: symbol=NOPE")


def test_every_action_of_an_operator_has_a_word():
    """What controls.py offers, a stopped directory can be told."""
    assert {action for action, _ in ACTIONS.values()} == set(OperatorAction)
    assert {value for _, value in ACTIONS.values() if value} == set(Trading)


def test_a_phase_is_set_of_one_market_or_of_all(run, settings):
    """A halt is still there at the next start; CLOSED is for the calendar."""
    assert run("operator", "phase", "--value", "halted", "--id", "p1") == (
        0, "phase, id p1: phase=HALTED\n", "",
    )  # fmt: skip
    assert phase_at_the_next_start(settings) is Phase.HALTED
    auction = ("operator", "phase", "--value", "REOPENING_AUCTION", "--scope", "symbol", "BTC_USD")
    assert run(*auction, "--id", "p2")[1] == "phase, id p2: phase=REOPENING_AUCTION\n"
    assert phase_at_the_next_start(settings) is Phase.REOPENING_AUCTION
    code, out, err = run("operator", "phase", "--value", "CLOSED", "--id", "p3")
    assert (code, out) == (1, "")
    assert "phase, id p3: refused: COMMAND_INVALID: scope=ALL, value=CLOSED" in err


def phase_at_the_next_start(settings: Path) -> Phase:
    with opened(settings) as desk:
        return desk.oms.market_states()["BTC_USD"]


@contextmanager
def opened(settings: Path) -> Iterator[Stepped]:
    """The data directory's own desk, one turn at a time; stopped again at the end."""
    store = PersistentStorage(settings.parent / DATABASE)
    config, clock = load_config(settings), ManualClock(SystemClock().wall_ns())
    desk = Stepped(config, store=store, clock=clock).start()
    clock.advance(config.throttle.window_ns / NANOS)  # a start takes the throttle for used up
    try:
        yield desk
    finally:
        desk.stop()


def test_whoever_may_only_reduce_may_not_buy_more(run, settings):
    """And after resume may again."""
    run("fund", "ann", "USD", "1000", "--create")
    run("fund", "bob", "USD", "1000", "--create")
    reduce = ("operator", "reduce", "--scope", "account", "ann")
    assert run(*reduce, "--id", "r1")[:2] == (0, "reduce, id r1: trading=REDUCING\n")
    with opened(settings) as desk:
        assert refusal_of(desk, "ann", "b1").startswith("REDUCING_ONLY: ")
        assert refusal_of(desk, "bob", "b1") == ""
    assert run("operator", "resume", "--scope", "account", "ann")[0] == 0
    with opened(settings) as desk:
        assert refusal_of(desk, "ann", "b2") == ""


def refusal_of(desk: Stepped, account: str, name: str) -> str:
    answer = desk.ask(buy(name, 1, 100, account=account, symbol="BTC_USD"))
    return answer.text if answer.type is ResponseType.REJECTED else ""


def test_an_account_gets_another_tier_or_group(run, settings):
    """An empty value takes it away again; a tier without fees is none."""
    with settings.open("a", encoding="utf-8") as file:
        file.write("[fees BTC_USD gold]\n")
    account = ("operator", "account", "--scope", "account", "ann")
    assert run(*account, "--name", "tier", "--value", "gold", "--id", "a1")[:2] == (
        0, "account, id a1: tier=gold\n",
    )  # fmt: skip
    group = run(*account, "--name", "stp_group", "--value", "desk 7", "--id", "a2")
    assert group[:2] == (0, "account, id a2: stp_group=desk 7\n")
    with opened(settings) as desk:
        assert desk.dispatcher.desk.ledger.tiers == {"ann": "gold"}
    told = run(*account, "--name", "tier", "--id", "a3")[1]
    assert told == "account, id a3: tier=as configured\n"
    with opened(settings) as desk:
        assert desk.dispatcher.desk.ledger.tiers == {}


def test_a_trade_is_taken_back_once_named_by_either_side(run, settings):
    """Money and fees are where they were; the journal and the accounts add up."""
    # given a trade of two accounts
    run("fund", "ann", "BTC", "2", "--create")
    run("fund", "bob", "USD", "500", "--create")
    before = json.loads(run("ledger", "--json")[1])["balances"]
    with opened(settings) as desk:
        terms = {"symbol": "BTC_USD"}
        desk.oms.on_data(sell("s1", 1, 100, account="ann", **terms))
        desk.oms.on_data(buy("b1", 1, 100, account="bob", **terms))
        trades = [told for told in desk.turn() if told.type is ResponseType.TRADE]
    one, other = [told.execution_id for told in trades]
    assert json.loads(run("ledger", "--json")[1])["balances"] != before

    # when it is taken back by the second of its ids
    code, out, _ = run("operator", "bust", other, "--why", "wrong price", "--id", "b1")

    # then it is as if it had not been, and neither id takes it back again
    assert (code, out) == (0, f"bust, id b1: trade={one}\n")
    after = json.loads(run("ledger", "--json")[1])
    assert nonzero(after["balances"]) == nonzero(before)
    assert after["adds_up"] is True
    for number, trade in enumerate((one, other, "1-99")):
        code, out, err = run("operator", "bust", trade, "--id", f"again-{number}")
        assert (code, out) == (1, "")
        assert f"refused: COMMAND_INVALID: trade={trade}, " in err
    assert run("verify")[0] == 0


def test_a_trade_is_corrected_and_a_market_listed_changed_and_delisted(run, settings):
    """Each is answered in one line, and there for every command after it."""
    run("fund", "ann", "BTC", "2", "--create")
    run("fund", "bob", "USD", "500", "--create")
    with opened(settings) as desk:
        terms = {"symbol": "BTC_USD"}
        desk.oms.on_data(sell("s1", 1, 100, account="ann", **terms))
        desk.oms.on_data(buy("b1", 1, 100, account="bob", **terms))
        trade = next(told.execution_id for told in desk.turn() if told.type is ResponseType.TRADE)
    code, out, _ = run("operator", "correct", trade, "--set", "price=90", "--id", "c1")
    assert (code, out) == (0, f"correct, id c1: trade={trade}\n")
    new = ("--scope", "symbol", "ETH_USD")
    steps = ("--set", "tick_size=0.5", "--set", "lot_size=0.01")
    assert run("operator", "list", *new, *steps, "--id", "l1")[:2] == (
        0, "list, id l1: symbol=ETH_USD, listed\n",
    )  # fmt: skip
    told = run("operator", "market", *new, "--set", "maker_fee_bps=3", "--id", "m1")
    assert told[:2] == (0, "market, id m1: symbol=ETH_USD, maker_fee_bps=3\n")
    with opened(settings) as desk:
        instrument = desk.oms.instruments()["ETH_USD"]
        assert (instrument.tick_size_text, instrument.maker_fee_bps) == ("0.5", 3)
        assert desk.oms.get_prices("BTC_USD").last == 90
    assert run("operator", "suspend", *new, "--id", "s1")[1] == "suspend, id s1: trading=HALTED\n"
    assert run("operator", "delist", *new, "--id", "d1")[0] == 0
    code, _, err = run("operator", "delist", *new, "--id", "d2")
    assert (code, "SYMBOL_UNKNOWN" in err) == (1, True)
    assert run("verify")[0] == 0
    told = run("explain", "c1", "--account", "operator")[1]
    assert "operator: correct a trade" in told


def nonzero(balances: list[dict[str, str]]) -> list[dict[str, str]]:
    return [balance for balance in balances if balance["total"] != "0"]


# --- ledger ---


def test_an_account_with_its_movements(run):
    """Each with the sequence that caused it and the account on the other side."""
    run("fund", "ann", "USD", "100", "--create")
    run("fund", "bob", "--create")
    run("fund", "ann", "USD", "30.25", "--to", "bob")
    code, out, _ = run("ledger", "ann")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert lines[0] == "sequence asset amount with why"
    assert lines[1].endswith("USD +100 outside deposit")
    assert lines[2].endswith("USD -30.25 bob transfer")
    assert lines[4:6] == ["account asset available reserved total", "ann USD 69.75 0 69.75"]
    assert lines[-2:] == [
        "USD, all accounts: debits 130.25, credits 130.25",
        "adds up: every movement was entered twice, and gives the balances",
    ]
    found = json.loads(run("ledger", "bob", "--json")[1])
    assert found["balances"] == [
        {"account": "bob", "asset": "USD", "available": "30.25", "reserved": "0", "total": "30.25"}
    ]
    [posting] = found["postings"]
    assert (posting["amount"], posting["contra"], posting["why"]) == ("30.25", "ann", "transfer")
    assert found["adds_up"] is True and found["mistakes"] == []
    assert run("ledger", "nobody") == (1, "", "order_management: nobody: no such account\n")


def test_all_accounts_stand_in_the_order_people_count(run):
    """user-10 after user-9, and what was paid in at the end."""
    run("seed-market", "--users", 11, "--fund", "1:USD")
    lines = run("ledger")[1].splitlines()
    names = [line.split()[0] for line in lines[1:12]]
    assert names == [f"user-{n}" for n in range(1, 12)]
    assert lines[12].split() == ["(paid", "in)", "USD", "11"]


# --- verify ---


def traded_desk() -> Stepped:
    """Two accounts with money; one sells what the other does not buy yet, a pair waits."""
    instrument = Instrument(symbol="X_Y", price_scale=0, quantity_scale=0, taker_fee_bps=10)
    desk = Stepped(config_of(instruments=(instrument,), exchange=ExchangeConfig(ledger=True)))
    desk.start()
    for account, asset in (("ann", "Y"), ("bob", "X")):
        funds = {"account": account, "client_order_id": "1"}
        desk.send(FundsRequest(**funds, action=FundsAction.CREATE))
        funds |= {"client_order_id": "2", "asset": asset, "amount": "100000"}
        desk.send(FundsRequest(**funds, action=FundsAction.DEPOSIT))
    stop, pair = OrderTerms(stop_price=120), OrderTerms(oco_with="b2")
    desk.send(
        buy("b1", 5, 100, account="ann", symbol="X_Y"),
        buy("b2", 5, 125, account="ann", symbol="X_Y", terms=stop),
        buy("b3", 5, 90, account="ann", symbol="X_Y", terms=pair),
        sell("s1", 7, 100, account="bob", symbol="X_Y"),
    )
    return desk


def test_a_sound_state_has_no_mistakes():
    """Filled in part, stops, a pair of which one order holds the money for both."""
    fold = traded_desk().dispatcher.fold
    assert len(fold.desk.executions.orders) == 3
    assert state_mistakes(fold) == []


def test_every_kind_of_broken_state_is_named():
    """A unit from nowhere; a reservation that is short; a pair that is one; a crossed book."""
    fold = traded_desk().dispatcher.fold
    ledger, orders = fold.desk.ledger, fold.desk.executions.orders
    suspended, limit, ask = orders.values()

    ledger.accounts["ann"]["Y"][0] += 1
    [mistake] = state_mistakes(fold)
    assert mistake.startswith("ledger: Y: accounts hold ")
    ledger.accounts["ann"]["Y"][0] -= 1

    limit.reserved -= 1
    assert state_mistakes(fold)[-1].startswith(f"order {limit.order_id}: reserved=")
    limit.reserved += 1

    book = fold.desk.engine.markets["X_Y"].book
    stray = Order(
        99, "ann", "stray", limit.instrument, Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 101, 1
    )
    book.add(stray, crosses=False)
    assert state_mistakes(fold) == ["book X_Y: bid 101 meets ask 100"]
    book.cancel(stray)

    suspended.terms.partner_id = 77
    assert f"order {suspended.order_id}: its pair 77 is gone" in state_mistakes(fold)
    assert ask.side is Side.SELL


def change(directory: Path, statement: str) -> None:
    with closing(sqlite3.connect(directory / DATABASE)) as database, database:
        database.execute(statement)


def test_verify_looks_at_snapshots_and_at_the_state(run, tmp_path):
    """What was compared is said; a snapshot with one figure changed is found."""
    run("fund", "ann", "USD", "100", "--create")
    code, out, _ = run("verify")
    assert code == 0
    assert out.endswith(" reports, 1 snapshots and the final state\n")
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        [(seq,)] = database.execute("SELECT journal_seq FROM snapshots").fetchall()
    change(tmp_path, "UPDATE snapshots SET last = replace(last, '10000000000', '10000000001')")
    code, out, _ = run("verify")
    assert code == 1
    assert out.startswith(f"snapshot {seq}: not what the journal gives\nNOT verified: 1 diff")
    change(tmp_path, "UPDATE snapshots SET journal_seq = journal_seq - 1")
    assert f"snapshot {seq - 1}: the journal has no turn that ends there" in run("verify")[1]
