"""A client answers what an order manager answers, by the same names and in the same types."""

import asyncio
import random
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from oms import FundsAction, FundsRequest, MassCancelRequest, OrderRequest, OrderTerms, aio
from oms.client import Client
from oms.client.credentials import Key, Login
from oms.enums import OrderState
from oms.errors import ServerError, StoppedError, ValidationError
from oms.requests import OperatorAction, OperatorRequest
from tests.web.doors import PASSWORD
from tests.web.programs import Program

SYMBOL = "BTC_USD"


def order(account, name, side, quantity, price=None, **more):
    return OrderRequest.new(account, name, SYMBOL, side, quantity, price, **more)


def ask(oms, request):
    return oms.submit(request).result(10)


def test_an_answer_is_the_one_that_the_library_gives(door, clients):
    """A trade with two orders, a refusal, a repeat: reports and trades, to the last field."""
    # given two sells
    ann, bob = clients("ann"), clients("bob")
    heard = []
    door.oms.add_listener(heard.append)
    for n, price in enumerate(("98.50", "99")):
        ask(bob, order("bob", f"b-{n}", "SELL", "2", price))

    # when Ann buys both, sends it again, and is refused
    placed = ask(ann, order("ann", "a-1", "BUY", "3", "99"))
    again = ask(ann, order("ann", "a-1", "BUY", "3", "99"))
    refused = ask(ann, order("ann", "a-2", "BUY", "3", "99.001"))

    # then each answer is what was published
    told = [each for each in heard if each.account == "ann"]
    assert [*placed.reports, again, refused] == told
    assert (placed.state, placed.average_price) == (OrderState.FILLED, Decimal("98.666667"))
    assert [each.last_price for each in placed.trades] == [Decimal("98.5"), Decimal("99")]
    assert (again.repeated, again.trades, again.cumulative_quantity) == (True, (), 3)
    assert (refused.refused, refused.reason) == (True, "PRICE_INVALID")


def test_every_question_has_the_library_s_answer(door, clients):
    ann, bob, oms = clients("ann"), clients("bob"), door.oms
    ask(bob, order("bob", "b-1", "SELL", "2", "98.50"))
    ask(ann, order("ann", "a-1", "BUY", "3", "99"))
    ask(ann, order("ann", "a-2", "BUY", "1", "90", terms=OrderTerms(display_quantity="0.5")))
    for named in ("a-1", "a-2", oms.get_order("ann", "a-1").order_id):
        assert ann.get_order("ann", named) == oms.get_order("ann", named)
    assert ann.get_order("ann", "a-9") is ann.find_order("ann", "a-9").result() is None
    assert ann.open_orders("ann") == oms.open_orders("ann")
    assert ann.orders("ann") == oms.orders("ann")
    assert ann.orders("ann", limit=1) == oms.orders("ann", limit=1)
    assert ann.balances("ann") == oms.balances("ann")
    assert ann.positions("ann") == oms.positions("ann")
    assert ann.pnl("ann") == oms.pnl("ann")
    assert ann.account_snapshot("ann").result() == oms.account_snapshot("ann").result(10)
    latest = oms.journal_seq().result(10)
    assert ann.reports_after("ann", 0, latest) == oms.reports_after("ann", 0, latest)
    assert ann.instruments() == oms.instruments()
    assert ann.market_states() == oms.market_states()
    assert ann.depth_snapshot(SYMBOL) == oms.depth_snapshot(SYMBOL)
    assert ann.get_depth(SYMBOL, 1) == oms.get_depth(SYMBOL, 1)
    assert (ann.best_bid(SYMBOL), ann.best_ask(SYMBOL)) == (99, None)
    assert ann.get_prices(SYMBOL) == oms.get_prices(SYMBOL)
    unsigned = [t._replace(buy_order_id=0, sell_order_id=0) for t in oms.recent_trades(SYMBOL)]
    assert ann.recent_trades(SYMBOL) == unsigned
    assert ann.indicative(SYMBOL).result() is oms.indicative(SYMBOL).result(10) is None
    day = ann.recent_trades(SYMBOL)[0].wall_ns
    assert ann.candles(SYMBOL, "1d", day) == oms.candles(SYMBOL, "1d", day) != []
    assert ann.statistics(SYMBOL, day + 1) == oms.statistics(SYMBOL, day + 1)
    assert ann.statistics(SYMBOL).count == 1
    assert ann.calendar(day, 2) == oms.calendar(day, 2)
    for page in ({}, {"limit": 2}, {"before": oms.ledger("ann", limit=2).before}):
        assert ann.ledger("ann", **page) == oms.ledger("ann", **page)


def test_trades_are_told_with_the_own_side(door, clients):
    """Of an account what it traded, also with itself; of a market prices and quantities alone."""
    olga = door.user("olga", "operator")
    ann, bob, oms = clients("ann"), clients("bob"), door.oms
    ask(bob, order("bob", "b-1", "SELL", "5", "98.50"))
    sold = ask(ann, order("ann", "a-1", "BUY", "1", "99"))
    ask(ann, order("ann", "a-2", "BUY", "2", "99"))
    ask(bob, order("bob", "b-2", "BUY", "2", "99", terms=OrderTerms(self_trade="none")))
    body = {"symbol": SYMBOL, "executionId": sold.trades[0].execution_id, "why": "a test"}
    assert olga.ask("POST", "/admin/bust", body).status_code == 200

    def own(trade, account):
        sides = [side for side in ("buy", "sell") if trade[trade._fields.index(f"{side}_account")]
                 != account]  # fmt: skip
        nothing = {"order_id": 0, "account": "", "fee": 0}
        return trade._replace(**{
            f"{side}_{name}": value for side in sides for name, value in nothing.items()
        })  # fmt: skip

    found = oms.trades(symbol=SYMBOL)
    assert [each.status for each in found] == ["BUSTED", "", ""]
    for account, client in (("ann", ann), ("bob", bob)):
        theirs = [own(each, account) for each in oms.trades(account)]
        assert client.trades(account) == client.trades(account, SYMBOL) == theirs
    assert len(bob.trades("bob")) == 3
    assert ann.trades(symbol=SYMBOL) == [own(each, "?") for each in found]
    assert ann.trades("ann", before=found[1].execution_id) == ann.trades("ann")[:1]
    assert ann.trades("ann", limit=1) == ann.trades("ann")[1:]
    with pytest.raises(ValidationError, match="a symbol, or an account"):
        ann.trades()


def test_what_would_become_of_an_order_a_change_and_a_cancel(door, clients):
    """What is reserved, and why it would be refused; nothing is recorded."""
    ann, oms = clients("ann"), door.oms
    ask(ann, order("ann", "a-1", "BUY", "2", "90"))
    seq = oms.journal_seq().result(10)
    for request in (
        order("ann", "t-1", "BUY", "1", "90.25"),
        order("ann", "t-2", "SELL", "0.5", "99"),
        order("ann", "t-3", "BUY", "1"),
        order("ann", "t-4", "BUY", "1", "90.001"),
        order("ann", "t-5", "BUY", "10000", "90"),
        order("ann", "t-6", "BUY", "abc", "90"),
        order("ann", "a-1", "BUY", "2", "91"),
        OrderRequest.modify("ann", "t-7", "a-1", quantity="3"),
        OrderRequest.modify("ann", "t-8", "a-1", price="0.001"),
        OrderRequest.cancel("ann", "t-9", "a-1"),
        OrderRequest.cancel("ann", "t-10", "a-9"),
    ):  # fmt: skip
        near, far = oms.dry_run(request).result(10), ann.dry_run(request).result()
        assert (far.reason, bool(far.text)) == (near.reason, bool(near.text))
        assert far.text or far == near  # of what is refused nothing would be reserved
    assert oms.journal_seq().result(10) == seq
    for name, value in (("position_max", "50"), ("credit_max", "900.5")):
        oms.submit(OperatorRequest(
            client_order_id=name, action=OperatorAction.SET_LIMIT, scope="ACCOUNT", target="ann",
            name=name, value=value,
        )).result(10)  # fmt: skip
    request = order("ann", "t-12", "BUY", "1", "90")
    assert ann.dry_run(request).result() == oms.dry_run(request).result(10)
    assert ann.dry_run(request).result().room.value == Decimal("720.5")
    with pytest.raises(ValidationError, match="an order, a modify or a cancel"):
        ann.dry_run(MassCancelRequest(account="ann", client_order_id="m"))
    assert ann.dry_run(order("bob", "t-11", "BUY", "1", "90")).result().reason == "ACCOUNT_UNKNOWN"
    ann.stop()
    with pytest.raises(StoppedError):
        ann.dry_run(order("ann", "t-1", "BUY", "1", "90"))


def pair_of(n, limit_price="110"):
    """A stop below the market and a limit order above it, of which one cancels the other."""
    stop = order("ann", f"stop-{n}", "SELL", "1", terms=OrderTerms(stop_price="80"))
    limit = order("ann", f"limit-{n}", "SELL", "1", limit_price,
                  terms=OrderTerms(oco_with=f"stop-{n}"))  # fmt: skip
    return stop, limit, f"undo-{n}"


def test_an_oco_pair_is_placed_or_undone(door, clients):
    """As in one process: both stand; or the stop goes again, or neither was placed."""
    ann, bob, oms = clients("ann"), clients("bob"), door.oms
    stop, limit = ann.submit_pair(*pair_of(1)).result()
    assert [each.state for each in (stop, limit)] == ["SUSPENDED", "NEW"]
    assert [each.repeated for each in ann.submit_pair(*pair_of(1)).result()] == [True, True]
    ask(bob, order("bob", "b-1", "BUY", "1", "110"))
    assert [oms.get_order("ann", name).state for name in ("stop-1", "limit-1")] == [
        "CANCELED", "FILLED"
    ]  # fmt: skip

    stop, limit = ann.submit_pair(*pair_of(2, "110.001")).result()
    assert (stop.state, limit.reason) == ("SUSPENDED", "PRICE_INVALID")
    assert oms.get_order("ann", "stop-2").state == "CANCELED"

    stop, limit = ann.submit_pair(
        order("ann", "stop-1", "SELL", "2", terms=OrderTerms(stop_price="80")),
        order("ann", "limit-3", "SELL", "2", "110", terms=OrderTerms(oco_with="stop-1")), "undo-3",
    ).result()  # fmt: skip
    assert (stop.reason, limit) == ("DUPLICATE_ID", None)
    with pytest.raises(ValidationError, match="oco_with"):
        ann.submit_pair(pair_of(4)[0], pair_of(5)[1], "undo-4")


def test_pairs_and_tries_under_asyncio(clients):
    """Over the WebSocket, beside orders that are on their way."""
    ann = clients("ann")

    async def story():
        async with aio.running(ann) as oms:
            placed = [aio.submit(oms, order("ann", f"n-{n}", "BUY", "1", "90")) for n in range(5)]
            pair = aio.submit_pair(oms, *pair_of(1))
            tried = aio.dry_run(oms, order("ann", "t", "BUY", "1", "90"))
            return await asyncio.gather(pair, tried, *placed)

    (stop, limit), tried, *placed = asyncio.run(story())
    assert [each.state for each in (stop, limit, *placed)] == ["SUSPENDED", *["NEW"] * 6]
    assert (tried.text, tried.reserved, tried.asset) == ("", Decimal("90"), "USD")


def test_what_an_auction_would_trade_is_told(door, clients):
    ann, oms = clients("ann"), door.oms
    ask(ann, order("ann", "a-1", "BUY", "3", "99"))
    call = OperatorRequest(
        client_order_id="p", action=OperatorAction.SET_PHASE, value="OPENING_AUCTION", why="drill"
    )
    oms.submit(call).result(10)
    found = ann.indicative(SYMBOL).result()
    assert found == replace(oms.indicative(SYMBOL).result(10), seq=0)
    assert (found.price, found.volume) == (None, 0)


def test_pages_are_read_to_their_end(door, clients, monkeypatch):
    monkeypatch.setattr("oms.client.accounts.ROWS_MAX", 2)
    ann = clients("ann")
    for n in range(5):
        ask(ann, order("ann", f"a-{n}", "BUY", "1", "90"))
    latest = door.oms.journal_seq().result(10)
    assert ann.open_orders("ann") == door.oms.open_orders("ann")
    assert ann.reports_after("ann", 0, latest) == door.oms.reports_after("ann", 0, latest)


def test_all_requests_of_an_account_are_taken(clients):
    """Modify, cancel, mass cancel, money; what is an operator's is not allowed to others."""
    ann = clients("ann")
    ask(ann, order("ann", "a-1", "BUY", "3", "90"))
    changed = ask(ann, OrderRequest.modify("ann", "a-2", "a-1", price="91", quantity=4))
    assert (changed.type, changed.leaves_quantity) == ("REPLACED", 4)
    canceled = ask(ann, OrderRequest.cancel("ann", "a-3", "a-2"))
    assert (canceled.type, canceled.order_id) == ("CANCELED", changed.order_id)
    late = ask(ann, OrderRequest.cancel("ann", "a-4", "a-2"))
    assert (late.refused, late.reason) == (True, "TOO_LATE")
    ask(ann, order("ann", "a-5", "BUY", "3", "90"))
    gone = ask(ann, MassCancelRequest(account="ann", client_order_id="a-6", why="leaving"))
    assert (gone.facts["canceled"], ann.open_orders("ann")) == ("1", [])
    clients("bob")
    for n, (action, to) in enumerate((("DEPOSIT", ""), ("WITHDRAW", ""), ("TRANSFER", "bob"))):
        money = FundsRequest(
            account="ann", client_order_id=f"m-{n}", action=action, asset="USD", amount="5",
            to_account=to,
        )  # fmt: skip
        assert ask(ann, money).type == "COMMAND_DONE"
        assert ask(ann, money).repeated
    assert ann.balances("ann")["USD"][0] == Decimal("99995")
    for wrong in (
        FundsRequest(account="x", client_order_id="y", action=FundsAction.CREATE),
        OperatorRequest(client_order_id="k", action=OperatorAction.KILL, why="a test"),
    ):  # fmt: skip
        with pytest.raises(ServerError) as refused:
            ask(ann, wrong)
        assert refused.value.status == 403
    with pytest.raises(ValidationError):
        ann.submit("an order")


def test_a_refusal_of_the_gateway_is_a_response_too(clients):
    """Numbers that are none, an account of somebody else: as in one process."""
    ann = clients("ann")
    for price, reason in (("abc", "PRICE_INVALID"), ("9" * 60, "PRICE_INVALID")):
        response = ask(ann, order("ann", f"x-{len(price)}", "BUY", "1", price))
        assert (response.refused, response.reason, response.journal_seq) == (True, reason, 0)
    assert ask(ann, order("ann", "q", "BUY", "1e999", "1")).reason == "QUANTITY_INVALID"
    assert ask(ann, order("zoe", "z", "BUY", "1", "1")).reason == "ACCOUNT_UNKNOWN"
    with pytest.raises(ValidationError, match="symbol"):
        ann.best_bid("NO_SUCH")


def test_numbers_of_every_kind_arrive_as_they_were_meant(clients):
    ann = clients("ann")
    for n, (price, quantity) in enumerate(
        ((90, 1), (Decimal("90.50"), Decimal("0.0001")), (90.25, 1e-4), ("90.10", "2.5"))
    ):
        assert not ask(ann, order("ann", f"n-{n}", "BUY", quantity, price)).refused
    quantities = [each.leaves_quantity for each in ann.open_orders("ann")]
    assert quantities == [1, Decimal("0.0001"), Decimal("0.0001"), Decimal("2.5")]


def test_many_are_submitted_in_their_order(clients):
    ann = clients("ann")
    given = [order("ann", f"m-{n}", "BUY", "1", "90") for n in range(5)]
    found = [each.result() for each in ann.submit_all(given)]
    assert [each.client_order_id for each in found] == [f"m-{n}" for n in range(5)]
    with pytest.raises(ValidationError):
        ann.submit_all([*given, "an order"])
    with pytest.raises(ValidationError):
        ann.submit_all(given * 30)


def test_after_the_stop_nothing_is_sent(clients):
    ann = clients("ann")
    ann.stop()
    ann.stop()
    for question in (lambda: ann.balances("ann"), lambda: ask(ann, order("ann", "s", "BUY", 1, 1))):
        with pytest.raises(StoppedError):
            question()


# --- at the start ---


def test_a_program_that_comes_back_learns_what_happened_meanwhile(door, clients):
    """Its order was traded and canceled while it was away; what stands is told beside that."""
    ann, bob = clients("ann"), clients("bob")
    ask(ann, order("ann", "a-1", "BUY", "3", "99"))
    seq = ann.account_snapshot("ann").result().seq
    ask(bob, order("bob", "b-1", "SELL", "1", "99"))
    ask(ann, OrderRequest.cancel("ann", "a-2", "a-1"))
    ask(ann, order("ann", "a-3", "BUY", "1", "80"))
    now, missed = clients("ann").catch_up("ann", seq)
    assert [each.type for each in missed] == ["TRADE", "CANCELED", "NEW"]
    assert [each.client_order_id for each in now.orders] == ["a-3"]
    assert now.balances == door.oms.balances("ann")
    assert ann.catch_up("ann", now.seq).missed == []


def test_what_lies_too_far_back_is_said_to(clients, monkeypatch):
    ann = clients("ann")
    for n in range(3):
        ask(ann, order("ann", f"a-{n}", "BUY", "1", "90"))
    assert ann.catch_up("ann", 999_999).missed is None
    monkeypatch.setattr("oms.stores.sql_reader.LOOKED_AT_MAX", 2)
    found = ann.catch_up("ann", 0)
    assert (found.missed, len(found.now.orders)) == (None, 3)


# --- who it is ---


def test_a_client_signs_with_the_key_of_a_user(door):
    key = Program.of(door.user("ann"), ["read", "trade"])
    with Client(door.url, key=key.key, secret=key.secret) as ann:
        assert ask(ann, order("ann", "a-1", "BUY", "1", "90")).state == "NEW"
        assert [each.client_order_id for each in ann.open_orders("ann")] == ["a-1"]


def test_a_clock_that_is_wrong_is_corrected_by_the_server_s(door):
    """Nine hours behind: the first signature is refused, the second one is good."""

    class Behind:
        def wall_ns(self):
            return time.time_ns() - 9 * 3_600 * 10**9

        monotonic_ns = staticmethod(time.monotonic_ns)

    key = Program.of(door.user("ann"), ["read", "trade"])
    with Client(door.url, key=key.key, secret=key.secret, clock=Behind()) as ann:
        assert ask(ann, order("ann", "a-1", "BUY", "1", "90")).state == "NEW"


def test_a_wrong_password_or_secret_is_said_at_the_start_and_costs_no_minute(door):
    door.user("ann")
    key = Program.of(door.login("ann"), ["read"])
    for wrong in (
        {"user": "ann", "password": "wrong horse battery"}, {"key": key.key, "secret": "0" * 64},
    ):  # fmt: skip
        began = time.monotonic()
        with pytest.raises(ServerError) as caught:
            Client(door.url, **wrong).start()
        assert caught.value.status == 401
        assert time.monotonic() - began < 20
    assert "wrong horse" not in str(caught.value)


def test_a_key_without_the_right_is_no_refusal_of_an_order(door):
    key = Program.of(door.user("ann"), ["read"])
    with Client(door.url, key=key.key, secret=key.secret) as ann:
        with pytest.raises(ServerError) as caught:
            ask(ann, order("ann", "a-1", "BUY", "1", "90"))
        assert caught.value.status == 403


def test_a_token_is_renewed_and_a_login_that_ended_begun_anew(door, clients):
    """By the refresh token while that is good; once all logins have ended, by the password."""
    ann = clients("ann")
    login = ann._server.credentials
    assert isinstance(login, Login)
    token = login._token
    login._ends_ns = 0
    assert ann.balances("ann")
    assert login._token != token
    door.login("ann").ask("POST", "/logout", {"everywhere": True})
    assert ask(ann, order("ann", "a-1", "BUY", "1", "90")).state == "NEW"


def test_a_client_that_is_nobody_has_public_questions(door):
    with Client(door.url) as somebody:
        assert somebody.depth_snapshot(SYMBOL).bids == ()
        with pytest.raises(ServerError) as caught:
            somebody.balances("ann")
        assert caught.value.status == 401


@pytest.mark.parametrize(
    "given",
    [
        {"url": "127.0.0.1:3000"}, {"url": "ftp://x"}, {"url": "http://x/y"}, {"url": "http://x:y"},
        {"url": None}, {"user": "ann"}, {"key": "k", "secret": "s", "user": "a", "password": "b"},
        {"secret": "s"}, {"retry_s": -1}, {"retry_s": "1"}, {"answer_s": 0}, {"user": 1},
    ],
)  # fmt: skip
def test_what_an_argument_may_be_is_checked(given):
    with pytest.raises(ValidationError):
        Client(**{"url": "http://127.0.0.1:1", **given})


def test_no_text_of_a_client_has_a_secret(door):
    made = [
        Client(door.url, user="ann", password=PASSWORD), Client(door.url, key="k", secret="sssss")
    ]  # fmt: skip
    for each in made:
        told = f"{each!r} {each._server.credentials!r}"
        assert PASSWORD not in told and "sssss" not in told
    assert isinstance(made[1]._server.credentials, Key)


def test_the_pauses_between_tries_follow_from_the_chance_that_is_given():
    """A server that is not there: so many tries in so much time, and no real second passes."""

    class Standing:
        ns = 0

        def wall_ns(self):
            return self.ns

        monotonic_ns = wall_ns

        def wait(self, seconds):
            pauses.append(seconds)
            self.ns += int(seconds * 10**9)

    runs = []
    for _ in range(2):
        pauses, clock = [], Standing()
        client = Client(
            "http://127.0.0.1:1", clock=clock, wait=clock.wait, chance=random.Random(7),
            retry_s=20,
        )  # fmt: skip
        with pytest.raises(ServerError) as caught:
            client.instruments()
        assert caught.value.status == 0
        runs.append(pauses)
    assert runs[0] == runs[1]
    assert 10 < len(runs[0]) < 30
    assert max(runs[0]) <= 2.0 and 17 < sum(runs[0]) <= 20
