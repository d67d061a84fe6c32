"""The language of commands: every no is an Error with its codes; and the real thing."""

from pathlib import Path

import pytest

from oms import (
    OrderState,
    OrderType,
    PersistentStorage,
    TimeInForce,
)
from oms.answers import (
    AccountBalance,
    Balance,
    Error,
    OpenOrders,
    OrderBookDepth,
    OrderStatus,
)
from oms.config import SHIPPED_INSTRUMENTS, ExchangeConfig, QueueConfig
from oms.errors import OutcomeUnknownError, StoreFullError, ValidationError
from oms.language import (
    AddFunds,
    CancelOrder,
    CreateAccount,
    GetBalance,
    GetDepth,
    GetOpenOrders,
    GetOrder,
    Kill,
    MassCancel,
    ModifyOrder,
    PlaceOrders,
    Transfer,
    Withdraw,
)
from oms.messages import PostOnly, Scope
from tests.fakes import SOON_S, FaultyStore, config_of
from tests.teller import FUNDED, MARKETS, Teller, order, pair, refused

# --- every no is an Error ---


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        ("SYMBOL_UNKNOWN", order("a", symbol="NONE")),
        ("PRICE_INVALID", order("a", price="100.001")),
        ("QUANTITY_INVALID", order("a", quantity="0.5")),
        ("DISPLAY_INVALID", order("a", quantity=5000, display_quantity=1)),
        ("EXPIRE_TIME_INVALID", order("a", time_in_force=TimeInForce.GTD, expire_ns=1)),
        ("OCO_INVALID", order("a", oco_with="nothing")),
        ("FUNDS_INSUFFICIENT", order("a", quantity=10_001)),
        ("ACCOUNT_UNKNOWN", order("a", account="eve")),
        ("UNKNOWN_ORDER",
         CancelOrder(account="ann", client_order_id="a", orig_client_order_id="z")),
        ("ACCOUNT_EXISTS", CreateAccount(account="ann", client_order_id="a")),
        ("ACCOUNT_UNKNOWN", AddFunds(account="e", client_order_id="a", asset="USD", amount=1)),
        ("ASSET_UNKNOWN", AddFunds(account="ann", client_order_id="a", asset="XAU", amount=1)),
        ("AMOUNT_INVALID", AddFunds(account="ann", client_order_id="a", asset="USD", amount=0)),
        ("AMOUNT_INVALID", AddFunds(account="ann", client_order_id="a", asset="USD", amount="x")),
        ("FUNDS_INSUFFICIENT",
         Withdraw(account="ann", client_order_id="a", asset="USD", amount=10_001)),
        ("ACCOUNT_UNKNOWN",
         Transfer(account="ann", client_order_id="a", asset="USD", amount=1, to_account="eve")),
        ("SYMBOL_UNKNOWN", GetDepth(symbol="NONE")),
        ("ACCOUNT_UNKNOWN", GetBalance(account="eve")),
        ("UNKNOWN_ORDER", GetOrder(account="ann", client_order_id="z")),
    ],
)  # fmt: skip
def test_each_no_has_its_code(teller, reason, command):
    """And nothing has changed."""
    assert refused(teller.ask(command), reason)
    assert teller.open_ids("ann") == []
    assert teller.ask(GetBalance(account="ann")).balances["USD"] == Balance(10_000, 0)


def test_post_only_is_refused_where_it_would_trade(teller):
    teller.buy("bob", 100, 1)
    assert refused(teller.sell("ann", 100, 1, post_only=PostOnly.REJECT), "POST_ONLY")
    slid = teller.sell("ann", 100, 1, post_only=PostOnly.SLIDE)
    assert (slid.status, slid.text) == (OrderState.NEW, "POST_ONLY: price=10001")


def test_without_a_ledger_there_is_no_money(start_stepped):
    oms = start_stepped().oms
    assert refused(oms.execute(GetBalance(account="me")).result(0), "LEDGER_OFF")


def test_a_full_inbox_refuses_at_once():
    """On the caller's thread, before any turn; of a batch, what still fits is taken."""
    teller = Teller(config_of(queue=QueueConfig(inbox_max=2), instruments=MARKETS))
    teller.oms._running = True  # without threads: refuse as a running one does
    future = teller.oms.execute(PlaceOrders(orders=[order("a"), order("b"), order("c")]))
    assert not future.done()
    alone = teller.oms.execute(order("d"))
    assert refused(alone.result(0), "QUEUE_FULL")
    teller.stepped.turn()
    first, second, third = future.result(0).answers
    assert (first.status, second.status) == (OrderState.NEW, OrderState.NEW)
    assert refused(third, "QUEUE_FULL")


def test_a_pair_cut_in_two_by_a_shutdown_says_what_stands(teller):
    """The stop is recorded, the limit order comes too late: both are told, and a retry mends it."""
    future = teller.oms.execute(pair())
    teller.oms.inbox.close()
    teller.stepped.turn()
    answer = future.result(0)
    assert answer.stop.status is OrderState.SUSPENDED
    assert refused(answer.limit, "SHUTTING_DOWN")
    assert refused(teller.oms.execute(order("x")).result(0), "SHUTTING_DOWN")


def test_a_full_disk_is_an_error_too():
    store = FaultyStore()
    teller = Teller(config_of(instruments=MARKETS), store=store)
    store.faults.append(StoreFullError("full"))
    assert refused(teller.ask(order("a")), "DISK_FULL")


def test_an_unknown_outcome_is_an_exception():
    """Nobody can say yes or no: the command is to be given again, or asked for."""
    store = FaultyStore()
    teller = Teller(config_of(instruments=MARKETS), store=store)
    store.faults.append(OutcomeUnknownError("power"))
    future = teller.oms.execute(order("a"))
    with pytest.raises(OutcomeUnknownError):
        teller.stepped.turn()
    with pytest.raises(OutcomeUnknownError):
        future.result(0)


def test_what_is_no_command_is_malformed():
    """The gateway's own answer; the exchange has never heard of it."""
    with pytest.raises(ValidationError) as error:
        order("a", quantity=None)
    answer = Error.malformed(error.value)
    assert (answer.code, answer.api_code, answer.http_status) == ("MALFORMED", 1000, 400)
    assert answer.text.startswith("MALFORMED: quantity: expected")


# --- made well, or not at all ---


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("account", lambda: GetBalance(account="")),
        ("account", lambda: GetOpenOrders(account="")),
        ("symbol", lambda: GetOpenOrders(account="a", symbol='"')),
        ("symbol", lambda: GetDepth(symbol="")),
        ("levels", lambda: GetDepth(symbol="X", levels=0)),
        ("levels", lambda: GetDepth(symbol="X", levels=True)),
        ("client_order_id", lambda: GetOrder(account="a", client_order_id="")),
        ("price", lambda: order("a", price=1.5)),
        ("stop_price", lambda: order("a", stop_price=1.5)),
        ("price", lambda: order("a", price=None, order_type=OrderType.LIMIT)),
        ("amount", lambda: AddFunds(account="a", client_order_id="b", asset="USD", amount=0.5)),
        ("quantity", lambda: ModifyOrder(
            account="a", client_order_id="b", orig_client_order_id="c", quantity=0.5)),
        ("quantity", lambda: ModifyOrder(
            account="a", client_order_id="b", orig_client_order_id="c")),
        ("everybody", lambda: MassCancel(account="a", client_order_id="b", everybody=True)),
        ("to_account", lambda: Transfer(
            account="a", client_order_id="b", asset="USD", amount=1, to_account="")),
        ("target", lambda: Kill(client_order_id="k", scope=Scope.SYMBOL)),
    ],
)  # fmt: skip
def test_a_command_is_checked_when_it_is_made(field, make):
    with pytest.raises(ValidationError, match=f"^{field}: "):
        make()


def test_equal_commands_are_equal():
    """They can be kept in sets and compared; what is derived does not count."""
    assert order("a") == order("a")
    assert len({order("a"), order("a"), order("b")}) == 2
    assert "requests" not in repr(order("a"))


# --- the real thing ---


def test_with_threads_and_a_disk(start_manager, tmp_path):
    """Answers are durable; questions need no turn; timeout_s waits, and no longer than needed."""
    store = PersistentStorage(tmp_path / "orders.db")
    oms = start_manager(FUNDED, store=store)
    for n, command in enumerate((CreateAccount, AddFunds)):
        more = {"asset": "ACME", "amount": 5} if command is AddFunds else {}
        done = oms.execute(command(account="ann", client_order_id=f"f{n}", **more), SOON_S)
        assert done.done()
    placed = oms.execute(pair(), timeout_s=SOON_S)
    assert placed.result(0).limit.status is OrderState.NEW
    assert store.find_rows("ann", "stop")[0][8] == "NEW"
    batch = oms.execute(PlaceOrders(orders=[order(f"z{n}", quantity=9) for n in range(3)]))
    assert all(refused(each, "FUNDS_INSUFFICIENT") for each in batch.result(SOON_S).answers)
    questions = (
        (GetDepth(symbol="ACME_USD"), OrderBookDepth),
        (GetBalance(account="ann"), AccountBalance),
        (GetOpenOrders(account="ann"), OpenOrders),
        (GetOrder(account="ann", client_order_id="limit"), OrderStatus),
    )
    for question, kind in questions:
        assert isinstance(oms.execute(question).result(0), kind)


def test_questions_wait_for_no_write(teller):
    """A command is handed over and nobody takes it: the question is answered all the same."""
    unheard = teller.oms.execute(order("a"))
    assert teller.ask(GetOpenOrders(account="ann")).orders == ()
    assert teller.oms.execute(GetBalance(account="ann")).done()
    assert not unheard.done()
    assert not teller.oms.execute(order("b"), timeout_s=0.0).done()


def test_the_example_of_the_readme_runs(start_manager, capsys):
    """As it is printed there, in a market where one offers ten."""
    # given
    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## The language of commands\n")[2]
    example = section.partition("```python\n")[2].partition("```")[0]
    config = config_of(exchange=ExchangeConfig(ledger=True), instruments=SHIPPED_INSTRUMENTS)
    oms = start_manager(config)
    seller = {"account": "ann", "symbol": "BTC_USD", "quantity": 10}
    for command in (
        CreateAccount(account="ann", client_order_id="1"),
        AddFunds(account="ann", client_order_id="2", asset="BTC", amount=10),
        order("3", price="98.5", **seller),
    ):
        assert not isinstance(oms.execute(command).result(SOON_S), Error)

    # when
    exec(example, {"oms": oms})

    # then ten were bought, and the rest was canceled
    assert capsys.readouterr().out.split() == ["CANCELED", "197/2", "10", "98.5", "0", "1015"]
