"""Repeated ids: the same request again gets the same outcome; another request gets a no.

P4: whatever is repeated, when and how often, there is one execution and one end.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from oms import (
    FundsAction,
    FundsRequest,
    Instrument,
    ManualClock,
    MassCancelRequest,
    MemoryStore,
    OperatorAction,
    OperatorRequest,
    OrderRequest,
    OrderTerms,
    Origin,
    PersistentStorage,
    PostOnly,
    RejectReason,
    ResponseType,
    Scope,
    Side,
    TimeInForce,
)
from oms.config import ExchangeConfig
from oms.enums import OrderState
from oms.requests import Request
from tests.fakes import Stepped, buy, cancel, config_of, modify, sell


@pytest.fixture(params=["memory", "sqlite"])
def reopen(request, tmp_path):
    """A function that starts an order manager on the same data, ended before by its stop()."""
    kept = MemoryStore()
    clock = ManualClock()
    running = []

    def start(config=None):
        for before in running:
            before.stop()
        path = tmp_path / "orders.db"
        store = kept if request.param == "memory" else PersistentStorage(path, durability="none")
        running[:] = [Stepped(config, store=store, clock=clock).start()]
        return running[0]

    yield start
    for last in running:
        last.stop()


# --- the same again ---


@pytest.mark.parametrize("restart", [False, True])
def test_the_same_order_again_is_answered_with_how_the_first_one_stands(reopen, restart):
    """Also after a restart, and with another request id: that names the attempt."""
    # given an order that is half filled
    desk = reopen()
    desk.send(buy("A", 4, 100), sell("S", 2, 100))
    first = desk.oms.get_order("me", "A")
    if restart:
        desk = reopen()

    # when it comes again
    again = desk.ask(buy("A", "4.0", 100, origin=Origin(request_id="second try")))

    # then nothing is bought twice
    assert again.type is ResponseType.ORDER_STATUS
    assert again.order_id == first.order_id
    assert (again.cumulative_lots, again.leaves_lots) == (2, 2)
    assert again.state is OrderState.PARTIALLY_FILLED
    assert desk.oms.get_depth("X", 5) == ([(100, 2)], [])


def test_a_client_may_call_an_order_like_a_refusal(reopen):
    """COMMAND_REJECTED is a word of ours, and as an id one like any other."""
    desk = reopen()
    desk.send(buy("COMMAND_REJECTED", 1, 100), cancel("C", "COMMAND_REJECTED"))
    assert desk.ask(cancel("C", "COMMAND_REJECTED")).type is ResponseType.ORDER_STATUS


@pytest.mark.parametrize("restart", [False, True])
def test_the_same_order_again_after_its_end_is_told_the_end(reopen, restart):
    """Filled long ago: found on disk."""
    desk = reopen()
    desk.send(buy("A", 1, 100), sell("S", 1, 100))
    if restart:
        desk = reopen()
    again = desk.ask(buy("A", 1, 100))
    assert (again.type, again.state) == (ResponseType.ORDER_STATUS, OrderState.FILLED)
    assert (again.cumulative_lots, again.average_price) == (1, 100)
    assert len(desk.oms.recent_trades("X")) == 1


def test_repeats_within_one_batch_are_one_order(reopen):
    """A client that sends three times before it hears anything."""
    desk = reopen()
    told = desk.send(buy("A", 1, 100), buy("A", 1, 100), buy("A", 1, 100))
    assert told == [
        "A NEW/NEW", "A ORDER_STATUS/NEW", "A ORDER_STATUS/NEW"
    ]  # fmt: skip
    assert desk.oms.get_depth("X", 5) == ([(100, 1)], [])


def test_each_future_of_a_repeat_resolves(reopen):
    """Nobody waits for an answer that went to somebody else."""
    desk = reopen()
    answers = [desk.oms.submit(buy("A", 1, 100)) for _ in range(3)]
    desk.step()
    assert len({answer.result(0).order_id for answer in answers}) == 1


@pytest.mark.parametrize("restart", [False, True])
def test_a_refused_order_sent_again_is_told_the_refusal_again(reopen, restart):
    """With its text; whether it was refused for its numbers, its symbol, or by the desk."""
    # given two refusals
    desk = reopen()
    requests = [buy("A", "0.5", 100), buy("B", 1, 100, symbol="NONE")]
    first = [desk.ask(request) for request in requests]
    if restart:
        desk = reopen()

    # when they come again
    again = [desk.ask(request) for request in requests]

    # then they are refused again, and nothing was tried
    for before, after in zip(first, again, strict=True):
        assert after.type is ResponseType.ORDER_STATUS
        assert (after.state, after.text) == (OrderState.REJECTED, before.text)
        assert after.order_id == before.order_id


# --- the same id for something else ---


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    "other",
    [
        buy("A", 2, 100), buy("A", 1, 101), sell("A", 1, 100), buy("A", 1), buy("A", 1, "100.5"),
        buy("A", 1, 100, symbol="ALL"), buy("A", 1, 100, symbol="NONE"),
        buy("A", 1, 100, hold=True),
    ],
)  # fmt: skip
def test_the_same_id_for_another_order_is_refused(reopen, other, restart):
    """And reports the order that has the id; a mistaken one too, however it is mistaken."""
    desk = reopen()
    first = desk.ask(buy("A", 1, 100))
    if restart:
        desk = reopen()
    refused = desk.ask(other)
    assert (refused.type, refused.reason) == (ResponseType.REJECTED, RejectReason.DUPLICATE_ID)
    assert refused.text == f"DUPLICATE_ID: first_seq={first.order_id}"
    assert (refused.order_id, refused.state) == (first.order_id, OrderState.NEW)
    assert desk.oms.get_order("me", "A").type is not ResponseType.REJECTED  # it is alive
    assert desk.oms.get_depth("X", 5) == ([(100, 1)], [])


def test_an_id_is_used_up_by_any_kind_of_request(reopen):
    """A cancel with the id of an order, an order with the id of a cancel."""
    desk = reopen()
    desk.send(buy("A", 1, 100), buy("B", 1, 99), cancel("C", "B"))
    assert desk.ask(cancel("A", "A")).reason is RejectReason.DUPLICATE_ID
    assert desk.ask(buy("C", 1, 100)).reason is RejectReason.DUPLICATE_ID
    assert desk.oms.get_depth("X", 5) == ([(100, 1)], [])


def test_accounts_do_not_share_their_ids(reopen):
    """Each has its own A; and nobody reaches another's order by guessing its id."""
    desk = reopen()
    assert desk.ask(buy("A", 1, 100)).type is ResponseType.NEW
    assert desk.ask(buy("A", 2, 99, account="you")).type is ResponseType.NEW
    assert desk.ask(cancel("C", "A", account="they")).reason is RejectReason.UNKNOWN_ORDER
    assert desk.oms.get_depth("X", 5) == ([(100, 1), (99, 2)], [])


# --- changes, repeated ---


@pytest.mark.parametrize("restart", [False, True])
def test_a_cancel_repeated_is_told_that_the_order_is_canceled(reopen, restart):
    """Not that it came too late: it was this cancel that did it."""
    desk = reopen()
    desk.send(buy("A", 1, 100), cancel("C", "A"))
    if restart:
        desk = reopen()
    again = desk.ask(cancel("C", "A"))
    assert (again.type, again.state) == (ResponseType.ORDER_STATUS, OrderState.CANCELED)
    assert again.reason is None


@pytest.mark.parametrize("restart", [False, True])
def test_a_modify_repeated_changes_nothing_more(reopen, restart):
    """Open or over, the order is told as it stands."""
    # given an order that was modified, and then once more
    desk = reopen()
    desk.send(buy("A", 5, 100))
    desk.send(modify("M", "A", quantity=4))
    desk.send(modify("N", "M", quantity=3))
    if restart:
        desk = reopen()

    # when the first modify comes again, while it is open and after its end
    while_open = desk.ask(modify("M", "A", quantity=4))
    desk.send(cancel("C", "N"))
    after_end = desk.ask(modify("M", "A", quantity="4.0"))

    # then the quantity stays 3
    assert (while_open.type, while_open.leaves_lots) == (ResponseType.ORDER_STATUS, 3)
    assert (after_end.type, after_end.state) == (ResponseType.ORDER_STATUS, OrderState.CANCELED)


@pytest.mark.parametrize("over", [False, True])
def test_the_id_of_a_change_for_another_change_is_refused(reopen, over):
    """Another order, another kind, other terms; also when the order is over by then."""
    desk = reopen()
    desk.send(buy("A", 5, 100), buy("B", 5, 99))
    desk.send(modify("M", "A", quantity=4))
    if over:
        desk.send(cancel("C", "A"))
    for other in (
        modify("M", "B", quantity=4), cancel("M", "A"), modify("M", "A", quantity=3),
        modify("M", "A", price=100), modify("M", "A", quantity="0.5"), modify("M", "M", quantity=4),
    ):  # fmt: skip
        refused = desk.ask(other)
        assert refused.type is ResponseType.CANCEL_REJECTED
        assert refused.reason is RejectReason.DUPLICATE_ID, other
    assert desk.oms.get_order("me", "B").leaves_lots == 5


@pytest.mark.parametrize("restart", [False, True])
def test_a_refused_change_repeated_is_told_the_refusal_again(reopen, restart):
    """Too late stays too late, and tells how the order ended."""
    desk = reopen()
    desk.send(buy("A", 1, 100), sell("S", 1, 100))
    first = desk.ask(cancel("C", "A"))
    if restart:
        desk = reopen()
    again = desk.ask(cancel("C", "A"))
    assert first.text == "TOO_LATE: state=FILLED"
    assert (again.type, again.text) == (ResponseType.ORDER_STATUS, first.text)
    assert (again.order_id, again.state) == (first.order_id, OrderState.FILLED)


def test_a_repeat_in_the_turn_that_ended_the_order_is_told_the_end(reopen):
    """Not how the order stood on disk when the turn began."""
    desk = reopen()
    desk.send(buy("A", 1, 100))
    told = desk.send(cancel("C", "A"), cancel("C", "A"), cancel("C", "B"), cancel("D", "C"))
    assert told == [
        "C CANCELED/CANCELED", "C ORDER_STATUS/CANCELED", "C CANCEL_REJECTED/CANCELED",
        "D CANCEL_REJECTED/CANCELED",
    ]  # fmt: skip
    assert desk.oms.open_orders("me") == []


# --- the content beside the id: for every kind of request, whatever became of the first ---

GRID, OTHER = (
    Instrument(
        symbol=symbol, price_scale=2, quantity_scale=1, base=base, quote="CASH", base_scale=1,
        quote_scale=3,
    )
    for symbol, base in (("X", "COIN"), ("Y", "GEM"))
)  # fmt: skip
WITH_MONEY = config_of(
    instruments=(GRID, OTHER),
    exchange=ExchangeConfig(ledger=True, self_trade="none"),
)


def funds(name: str, action: str, asset: str = "", amount: Any = None, **more: Any) -> Request:
    return FundsRequest(
        account=more.pop("account", "me"), client_order_id=name, action=FundsAction(action),
        asset=asset, amount=amount, **more,
    )  # fmt: skip


def mass_cancel(name: str, **more: Any) -> Request:
    return MassCancelRequest(**{"account": "me", "client_order_id": name, **more})


def operator(id_: str, action: str, /, *where: str, **more: Any) -> Request:
    if where:
        more |= {"scope": Scope(where[0]), "target": where[1]}
    return OperatorRequest(account="me", client_order_id=id_, action=OperatorAction(action), **more)


def by_id(make: Callable[..., Request], name: str, seq: int, **more: Any) -> Request:
    return make("me", name, order_id=seq, **more)


class Case(NamedTuple):
    """A first request and what becomes of it; how else it may be written; what is another."""

    first: Request
    reason: RejectReason | None
    same: list[Request]
    other: list[Request]


GTC, IOC = TimeInForce.GTC, TimeInForce.IOC
STOP = {"terms": OrderTerms(stop_price="120.00")}
CASES = {
    # orders
    "accepted": Case(
        buy("?", "1.0", "100.50"), None,
        [buy("?", 1, "100.5"), buy("?", "1", Decimal("100.500")), buy("?", 1.0, 100.5)],
        [
            buy("?", "1.0", "100.51"), buy("?", "1.1", "100.50"), sell("?", "1.0", "100.50"),
            buy("?", "1.0"), buy("?", "1.0", "100.50", symbol="Y"),
            buy("?", "1.0", "100.50", time_in_force=IOC), buy("?", "1.0", "100.50", hold=True),
            buy("?", "1.0", "100.50", terms=OrderTerms(post_only=PostOnly.REJECT)),
            buy("?", "1.0", "100.505"), buy("?", "1.0", "100.50", symbol="NONE"),
            buy("?", "1.0", "100.50", **STOP),
        ],
    ),
    "ended at once": Case(
        buy("?", 2, 10, time_in_force=IOC), None,
        [buy("?", "2.0", "10.00", time_in_force=IOC)],
        [buy("?", 2, 10), buy("?", 2, 11, time_in_force=IOC)],
    ),
    "a stop": Case(
        buy("?", 1, "120.5", **STOP), None,
        [buy("?", 1, "120.50", terms=OrderTerms(stop_price=Decimal("120.0")))],
        [
            buy("?", 1, "120.5", terms=OrderTerms(stop_price=119)), buy("?", 1, "120.5"),
            buy("?", 1, **STOP),
        ],
    ),
    "an iceberg": Case(
        buy("?", 3, 20, terms=OrderTerms(display_quantity="0.5")), None,
        [buy("?", 3, 20, terms=OrderTerms(display_quantity=Decimal("0.50")))],
        [buy("?", 3, 20, terms=OrderTerms(display_quantity="0.6")), buy("?", 3, 20)],
    ),
    "refused by risk": Case(
        buy("?", 100, "100.50"), RejectReason.FUNDS_INSUFFICIENT,
        [buy("?", "100.0", "100.5")], [buy("?", 1, "100.50"), buy("?", 100, "100.51")],
    ),
    "off the grid": Case(
        buy("?", 1, "100.505"), RejectReason.PRICE_INVALID,
        [buy("?", "1.0", Decimal("100.5050")), buy("?", 1.0, 100.505)],
        [buy("?", 1, "100.50"), buy("?", 1, "100.506"), buy("?", "0.01", "100.505")],
    ),
    "no number": Case(
        buy("?", "many", 100), RejectReason.QUANTITY_INVALID,
        [buy("?", "many", "100.0")], [buy("?", 1, 100), buy("?", "Many", 100)],
    ),
    "terms off the grid": Case(
        buy("?", 1, 130, terms=OrderTerms(stop_price="120.005")), RejectReason.PRICE_INVALID,
        [buy("?", 1, 130, terms=OrderTerms(stop_price=Decimal("120.0050")))],
        [buy("?", 1, 130, terms=OrderTerms(stop_price="120"))],
    ),
    "of a symbol unknown": Case(
        buy("?", 1, "100.50", symbol="NONE"), RejectReason.SYMBOL_UNKNOWN,
        [buy("?", "1.00", "100.5", symbol="NONE")],
        [buy("?", 1, "100.50"), buy("?", 1, "100.50", symbol="NONE2")],
    ),
    "of a symbol like a number": Case(
        buy("?", 1, 100, symbol="1"), RejectReason.SYMBOL_UNKNOWN,
        [buy("?", 1, 100, symbol="1")], [buy("?", 1, 100, symbol="1.0")],
    ),
    # modifies
    "modify": Case(
        modify("?", "O", price="50.10", quantity="0.9"), None,
        [modify("?", "O", price=50.1, quantity=Decimal("0.90"))],
        [
            modify("?", "O", price="50.10"), modify("?", "O", quantity="0.9"),
            modify("?", "O", price="50.10", quantity="0.8"), cancel("?", "O"),
            modify("?", "O2", price="50.10", quantity="0.9"), buy("?", "0.9", "50.10"),
            modify("?", "O", price="50.101", quantity="0.9"),
        ],
    ),
    "modify off the grid": Case(
        modify("?", "O", price="50.005"), RejectReason.PRICE_INVALID,
        [modify("?", "O", price=Decimal("50.0050"))],
        [modify("?", "O", price="50.01"), modify("?", "O2", price="50.005")],
    ),
    "modify by order id": Case(
        by_id(OrderRequest.modify, "?", 999, quantity=1), RejectReason.UNKNOWN_ORDER,
        [by_id(OrderRequest.modify, "?", 999, quantity="1.0")],
        [by_id(OrderRequest.modify, "?", 998, quantity=1), modify("?", "999", quantity=1)],
    ),
    "modify of no order": Case(
        modify("?", "nobody", quantity=1), RejectReason.UNKNOWN_ORDER,
        [modify("?", "nobody", quantity="1.0")],
        [modify("?", "O", quantity=1), modify("?", "nobody", quantity=2)],
    ),
    "modify too late": Case(
        modify("?", "F", quantity=2), RejectReason.TOO_LATE,
        [modify("?", "F", quantity="2.0")],
        [modify("?", "O", quantity=2), modify("?", "F", quantity=3), cancel("?", "F")],
    ),
    "modify beyond its means": Case(
        modify("?", "O", quantity=1_000), RejectReason.FUNDS_INSUFFICIENT,
        [modify("?", "O", quantity="1000.0")],
        [modify("?", "O", quantity=2)],
    ),
    # cancels
    "cancel": Case(
        cancel("?", "O"), None, [cancel("?", "O", origin=Origin(user="other"))],
        [cancel("?", "O2"), modify("?", "O", quantity=1), buy("?", 1, 100), cancel("?", "o")],
    ),
    "cancel of no order": Case(
        cancel("?", "nobody"), RejectReason.UNKNOWN_ORDER, [cancel("?", "nobody")],
        [cancel("?", "O"), by_id(OrderRequest.cancel, "?", 5)],
    ),
    "cancel of an id like a number": Case(
        cancel("?", "12"), RejectReason.UNKNOWN_ORDER, [cancel("?", "12")],
        [cancel("?", "12.0"), cancel("?", "012"), by_id(OrderRequest.cancel, "?", 12)],
    ),
    "cancel too late": Case(
        cancel("?", "F"), RejectReason.TOO_LATE, [cancel("?", "F")], [cancel("?", "O")],
    ),
    # funds
    "deposit": Case(
        funds("?", "DEPOSIT", "CASH", "100.50"), None,
        [
            funds("?", "DEPOSIT", "CASH", "100.5"), funds("?", "DEPOSIT", "CASH", 100.5),
            funds("?", "DEPOSIT", "CASH", Decimal("100.500")),
        ],
        [
            funds("?", "DEPOSIT", "CASH", "100.51"), funds("?", "DEPOSIT", "COIN", "100.50"),
            funds("?", "WITHDRAW", "CASH", "100.50"), funds("?", "CREATE"),
            funds("?", "TRANSFER", "CASH", "100.50", to_account="you"),
        ],
    ),
    "create": Case(
        funds("?", "CREATE", account="new"), None, [funds("?", "CREATE", account="new")],
        [funds("?", "DEPOSIT", "CASH", 1, account="new")],
    ),
    "create again": Case(
        funds("?", "CREATE"), RejectReason.ACCOUNT_EXISTS, [funds("?", "CREATE")],
        [funds("?", "DEPOSIT", "CASH", 1)],
    ),
    "withdraw too much": Case(
        funds("?", "WITHDRAW", "CASH", 5_000), RejectReason.FUNDS_INSUFFICIENT,
        [funds("?", "WITHDRAW", "CASH", "5000.00")], [funds("?", "WITHDRAW", "CASH", 5)],
    ),
    "amount off the grid": Case(
        funds("?", "DEPOSIT", "CASH", "0.0001"), RejectReason.AMOUNT_INVALID,
        [funds("?", "DEPOSIT", "CASH", Decimal("0.00010"))],
        [funds("?", "DEPOSIT", "CASH", "0.001")],
    ),
    "amount below nothing": Case(
        funds("?", "DEPOSIT", "CASH", -1), RejectReason.AMOUNT_INVALID,
        [funds("?", "DEPOSIT", "CASH", "-1.0")], [funds("?", "DEPOSIT", "CASH", 1)],
    ),
    "of an asset unknown": Case(
        funds("?", "DEPOSIT", "GOLD", 1), RejectReason.ASSET_UNKNOWN,
        [funds("?", "DEPOSIT", "GOLD", "1.0")], [funds("?", "DEPOSIT", "CASH", 1)],
    ),
    "transfer": Case(
        funds("?", "TRANSFER", "CASH", 1, to_account="you"), None,
        [funds("?", "TRANSFER", "CASH", "1.00", to_account="you")],
        [
            funds("?", "TRANSFER", "CASH", 1, to_account="me"),
            funds("?", "TRANSFER", "CASH", 2, to_account="you"),
        ],
    ),
    "transfer to nobody": Case(
        funds("?", "TRANSFER", "CASH", 1, to_account="1"), RejectReason.ACCOUNT_UNKNOWN,
        [funds("?", "TRANSFER", "CASH", 1.0, to_account="1")],
        [
            funds("?", "TRANSFER", "CASH", 1, to_account="you"),
            funds("?", "TRANSFER", "CASH", 1, to_account="1.0"),
        ],
    ),
    # mass cancels
    "mass cancel": Case(
        mass_cancel("?", symbol="X"), None,
        [mass_cancel("?", symbol="X", origin=Origin(gateway="fix", sequence=5))],
        [
            mass_cancel("?"), mass_cancel("?", symbol="X", side=Side.BUY),
            mass_cancel("?", symbol="Y"), mass_cancel("?", symbol="X", why="a"), cancel("?", "O"),
        ],
    ),
    "mass cancel with a reason": Case(
        mass_cancel("?", symbol="X", why="a"), None,
        [mass_cancel("?", symbol="X", why="a", origin=Origin(gateway="fix", sequence=5))],
        [mass_cancel("?", symbol="X", why="b"), mass_cancel("?", symbol="X")],
    ),
    "mass cancel of nothing": Case(
        mass_cancel("?", symbol="Y", side=Side.SELL), None,
        [mass_cancel("?", symbol="Y", side=Side.SELL)], [mass_cancel("?", symbol="Y")],
    ),
    # operators
    "phase": Case(
        operator("?", "SET_PHASE", "SYMBOL", "X", value="HALTED", why="a"), None,
        [operator("?", "SET_PHASE", "SYMBOL", "X", value="HALTED", why="a")],
        [
            operator("?", "SET_PHASE", "SYMBOL", "X", value="CONTINUOUS", why="a"),
            operator("?", "SET_PHASE", value="HALTED", why="a"),
            operator("?", "SET_PHASE", "SYMBOL", "X", value="HALTED", why="b"),
            operator("?", "SET_PHASE", "SYMBOL", "Y", value="HALTED", why="a"),
        ],
    ),
    "kill": Case(
        operator("?", "KILL", "ACCOUNT", "you"), None, [operator("?", "KILL", "ACCOUNT", "you")],
        [operator("?", "KILL"), operator("?", "SET_TRADING", "ACCOUNT", "you", value="HALTED")],
    ),
    "limit": Case(
        operator("?", "SET_LIMIT", "ACCOUNT", "me", name="open_orders_max", value="50"), None,
        [operator("?", "SET_LIMIT", "ACCOUNT", "me", name="open_orders_max", value="50")],
        [operator("?", "SET_LIMIT", "ACCOUNT", "me", name="open_orders_max", value="51")],
    ),
    "limit of no name": Case(
        operator("?", "SET_LIMIT", "ACCOUNT", "me", name="colour", value="5"),
        RejectReason.COMMAND_INVALID,
        [operator("?", "SET_LIMIT", "ACCOUNT", "me", name="colour", value="5")],
        [operator("?", "SET_LIMIT", "ACCOUNT", "me", name="open_orders_max", value="5")],
    ),
    "bust of no trade": Case(
        operator("?", "BUST", name="1-1"), RejectReason.COMMAND_INVALID,
        [operator("?", "BUST", name="1-1")], [operator("?", "BUST", name="1-2")],
    ),
}  # fmt: skip
COMMANDS = (FundsRequest, MassCancelRequest, OperatorRequest)


def called(request: Request, name: str) -> Request:
    """The same request under another id."""
    fields = {field: getattr(request, field) for field in request.__dataclass_fields__}
    fields.pop("line", None)
    return type(request)(**{**fields, "client_order_id": name})


def effects(desk: Stepped) -> Any:
    """All that a second effect would change."""
    open_orders = [
        (order.order_id, order.client_order_id, order.leaves_lots, order.state)
        for order in desk.oms.open_orders("me")
    ]
    fold = desk.dispatcher.desk
    return (
        open_orders, desk.oms.balances("me"), desk.oms.balances("you"), desk.oms.market_states(),
        desk.oms.get_depth("X", 99), desk.oms.get_depth("Y", 99), dict(fold.ledger.paid_in),
    )  # fmt: skip


@pytest.mark.parametrize("restart", [False, True], ids=["", "restart"])
@pytest.mark.parametrize("name", CASES)
def test_same_content_is_the_same_request_and_other_content_is_refused(reopen, name, restart):
    """However the numbers are written, and whatever became of the first."""
    # given an account with money, open orders and one that is filled, and a request
    case, desk = CASES[name], reopen(WITH_MONEY)
    desk.send(
        funds("1", "CREATE"), funds("2", "DEPOSIT", "CASH", 1_000),
        funds("4", "DEPOSIT", "COIN", 9), funds("1", "CREATE", account="you"),
        buy("O", 1, 50), buy("O2", 1, 49), buy("F", 1, 60), sell("FS", 1, 60), sell("OS", 1, 200),
    )  # fmt: skip
    first = desk.ask(called(case.first, "?"))
    assert first.reports[0].reason is case.reason  # what could not be filled ended with another
    assert first.refused == (case.reason is not None)
    before = effects(desk)
    if restart:
        desk = reopen(WITH_MONEY)

    # when it comes again, however it is written, and then another under its id
    again = [desk.ask(request) for request in [case.first, *case.same]]
    others = [desk.ask(request) for request in case.other]

    # then it is answered as it was, the other one is refused, and nothing happened
    for answer in again:
        assert answer.order_id == first.order_id
        if isinstance(case.first, COMMANDS):
            assert (answer.type, answer.text) == (first.type, first.text)
        else:
            assert (answer.type, answer.text) == (ResponseType.ORDER_STATUS, first.reports[0].text)
            assert answer.repeated
        assert answer.refused == first.refused
    for request, answer in zip(case.other, others, strict=True):
        assert answer.reason is RejectReason.DUPLICATE_ID, request
        assert answer.facts["first_seq"].isdecimal()
        assert answer.refused and not answer.repeated
    assert effects(desk) == before
    assert desk.refolded() == desk.digest()


def test_what_looks_like_another_field_is_other_content(reopen):
    """A text may have any sign in it that we could have put between two."""
    desk = reopen(WITH_MONEY)
    limit = {"name": "open_orders_max", "value": "5"}
    assert not desk.ask(operator("?", "SET_LIMIT", "ACCOUNT", "me|x", **limit, why="a")).refused
    for said in (
        {"name": "x|open_orders_max", "value": "5", "why": "a"}, {**limit, "why": "a|"},
        {"name": "open_orders_max|5", "value": "a", "why": ""},
    ):  # fmt: skip
        answer = desk.ask(operator("?", "SET_LIMIT", "ACCOUNT", "me", **said))
        assert answer.reason is RejectReason.DUPLICATE_ID


def test_contents_are_compared_within_a_turn_too(reopen):
    """A client that sends five before it hears anything."""
    desk = reopen(WITH_MONEY)
    told = desk.send(
        funds("1", "CREATE"), funds("1", "CREATE"), funds("2", "DEPOSIT", "CASH", 500),
        funds("2", "DEPOSIT", "CASH", "500.0"), funds("2", "DEPOSIT", "CASH", 501),
        buy("A", 1, "100.50"), buy("A", 1, Decimal("100.500")), buy("A", 1, "100.51"),
        cancel("C", "A"), cancel("C", "A"), cancel("C", "B"),
    )  # fmt: skip
    assert told == [
        "1 COMMAND_DONE/None", "1 COMMAND_DONE/None", "2 COMMAND_DONE/None",
        "2 COMMAND_DONE/None", "2 COMMAND_REJECTED/None",
        "A NEW/NEW", "A ORDER_STATUS/NEW", "A REJECTED/NEW",
        "C CANCELED/CANCELED", "C ORDER_STATUS/CANCELED", "C CANCEL_REJECTED/CANCELED",
    ]  # fmt: skip
    assert desk.oms.balances_units("me") == {"CASH": (500_000, 0)}


@pytest.mark.parametrize("restart", [False, True])
def test_a_repeated_change_tells_how_the_order_stands_now(reopen, restart):
    """Not how it stood then; with the reason that this very request was told."""
    # given a refused modify, and one that was done, of an order that is filled later
    desk = reopen()
    desk.send(buy("A", 4, 100))
    first = desk.ask(modify("M", "A", quantity="0.5"))
    desk.send(modify("N", "A", quantity=3), sell("S", 2, 100))
    if restart:
        desk = reopen()

    # when both come again, before and after the order's end
    for state, leaves in ((OrderState.PARTIALLY_FILLED, 1), (OrderState.FILLED, 0)):
        refused = desk.ask(modify("M", "A", quantity="0.50"))
        done = desk.ask(modify("N", "A", quantity=3))

        # then they tell of the order, and of themselves
        for answer in (refused, done):
            assert answer.type is ResponseType.ORDER_STATUS
            assert (answer.state, answer.leaves_lots) == (state, leaves)
            assert answer.order_id == first.order_id
        assert (refused.text, refused.refused) == (first.text, True)
        assert (done.text, done.refused) == ("", False)
        desk.send(sell("T", 1, 100))


def test_the_content_of_an_old_id_may_be_anything_for_another_account(reopen):
    """Ids are an account's own; so are their contents."""
    desk = reopen()
    assert desk.ask(buy("A", 1, 100)).type is ResponseType.NEW
    assert desk.ask(buy("A", 7, 50, account="you")).type is ResponseType.NEW
    assert desk.ask(buy("A", 7, 50, account="you")).type is ResponseType.ORDER_STATUS
