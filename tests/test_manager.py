"""OrderManagement as a library: futures, listeners, questions, bounds; with its own threads."""

import json
import threading
from collections import deque
from dataclasses import FrozenInstanceError
from decimal import Decimal
from queue import SimpleQueue

import pytest

from oms import (
    EmbeddedVenue,
    FundsAction,
    FundsRequest,
    Instrument,
    MemoryStore,
    OperatorAction,
    OperatorRequest,
    OrderManagement,
    OrderRequest,
    OrderTerms,
    PersistentStorage,
    RejectReason,
    RequestType,
    ResponseType,
    Side,
)
from oms.config import ExchangeConfig, MarketDataConfig, QueueConfig
from oms.enums import OrderState
from oms.errors import StoppedError, StoreBusyError, StoreFullError, ValidationError
from oms.market_data import TradePrint
from oms.requests.internal import VenueReport
from oms.turn.journal import Fold
from tests.databases import storage
from tests.fakes import (
    SOON_S,
    FaultyStore,
    Stepped,
    buy,
    cancel,
    config_of,
    hear,
    modify,
    sell,
)

# --- requests and answers ---


def test_a_future_resolves_with_the_first_durable_answer(start_manager):
    """By then it is on disk, and the questions know of it."""
    oms = start_manager()
    answer = oms.submit(buy("A", 3, 100)).result(SOON_S)
    assert answer.type in (ResponseType.NEW, ResponseType.PENDING_NEW)
    assert oms.store.find_reports("me", "A")[0] == answer.report
    assert oms.get_order("me", "A").order_id == answer.order_id


def test_listeners_are_told_everything_in_order_and_isolated(start_manager):
    """One raises at each report; the others hear all the same, and the failures are counted."""
    oms = start_manager()
    oms.add_listener(lambda _report: 1 // 0)
    late = SimpleQueue()
    oms.add_listener(late.put)
    for n in range(5):
        oms.on_data(buy(f"#{n}", 1, 100))
    oms.on_data(sell("S", 5, 100))
    filled = [hear(oms, ResponseType.TRADE) for _ in range(10)]
    assert [r.client_order_id for r in filled] == [
        name for n in range(5) for name in ("S", f"#{n}")
    ]  # fmt: skip
    oms.stop()
    assert oms.get_status()["listener_failures"] == oms.get_status()["published"]
    assert late.qsize() == oms.get_status()["published"]


def test_many_threads_at_once_lose_and_double_nothing(start_manager):
    """800 orders from eight threads: each answered once, by its own id; the journal agrees."""
    oms = start_manager()
    futures = {}
    ready = threading.Barrier(8)

    def client(number):
        ready.wait()
        for n in range(100):
            name = f"{number}-{n}"
            side = buy if (number + n) % 2 else sell
            futures[name] = oms.submit(side(name, 1 + n % 3, 100 + n % 3, account=f"c{number}"))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = {name: future.result(SOON_S) for name, future in futures.items()}
    oms.stop()
    assert all(answer.client_order_id == name for name, answer in answers.items())
    assert len({answer.order_id for answer in answers.values()}) == 800
    fold = Fold(EmbeddedVenue())
    for _ in fold.recover(oms.store, use_snapshot=False):
        pass
    assert fold.digest() == oms.dispatcher.fold.digest()


# --- a request is what it was when it was made ---


def spoil(request):
    """Everything in it is something else now."""
    request.type = RequestType.CANCEL
    request.account = request.client_order_id = request.orig_client_order_id = "other"
    request.symbol, request.side, request.order_id = "ALL", Side.SELL, 77
    request.price, request.quantity, request.hold = 1, 99, True
    request.terms, request.origin = OrderTerms(stop_price=5), None


@pytest.mark.parametrize("when", ["before", "after"])
def test_who_changes_a_request_that_was_made_changes_nothing(stepped, when):
    """Before it is handed over, or while it waits its turn: what was checked is what counts."""
    stepped.send(buy("O", 3, 100), buy("P", 3, 100))
    order_id = stepped.oms.get_order("me", "O").order_id
    requests = [
        buy("A", 2, 101), sell("S", 1, 110, terms=OrderTerms(display_quantity=1)),
        modify("M", "O", quantity=1), cancel("C", "P"),
        OrderRequest.modify("me", "N", order_id=order_id, price=99),
    ]  # fmt: skip
    told = [request.line for request in requests]
    if when == "before":
        for request in requests:
            spoil(request)
    answers = [stepped.oms.submit(request) for request in requests]
    if when == "after":
        for request in requests:
            spoil(request)
    stepped.step()
    assert [request.line for request in requests] == told
    assert [answer.result(0).client_order_id for answer in answers] == [*"ASMCN"]
    assert not any(answer.result(0).refused for answer in answers)
    assert stepped.oms.get_depth("X", 9) == ([(101, 2), (99, 1)], [(110, 1)])
    assert stepped.oms.get_order("me", "P").state is OrderState.CANCELED
    assert stepped.oms.get_order("other", "other") is None
    assert stepped.oms.get_depth("ALL", 9) == ([], [])


def test_a_list_of_requests_may_be_used_again(stepped):
    """What the caller does with it afterwards is not seen."""
    batch = [buy("A", 1, 100), buy("B", 1, 99)]
    answers = stepped.oms.submit_all(batch)
    batch[:] = [sell("Z", 1, 90)]
    stepped.step()
    assert [answer.result(0).client_order_id for answer in answers] == ["A", "B"]
    assert stepped.oms.get_order("me", "Z") is None


def test_requests_that_are_not_orders_cannot_be_changed():
    """They are frozen; so are the terms of an order."""
    request = FundsRequest(account="me", client_order_id="1", action=FundsAction.CREATE)
    for frozen, field in ((request, "account"), (OrderTerms(stop_price=1), "stop_price")):
        with pytest.raises(FrozenInstanceError):
            setattr(frozen, field, "other")


# --- questions ---


def test_an_order_is_found_open_and_done_by_any_of_its_ids(start_manager, tmp_path):
    """On disk too, from this thread, while the dispatcher writes."""
    oms = start_manager(store=PersistentStorage(tmp_path / "orders.db", durability="none"))
    for request in (buy("A", 5, 100), modify("M", "A", quantity=4), sell("S", 1, 100)):
        oms.submit(request).result(SOON_S)
    hear(oms, ResponseType.TRADE)
    for name in "AM":
        assert oms.get_order("me", name).leaves_lots == 3
    oms.submit(cancel("C", "M")).result(SOON_S)
    hear(oms, ResponseType.CANCELED)
    for name in "AMC":
        assert oms.get_order("me", name).state is OrderState.CANCELED
    assert oms.get_order("me", "nobody") is oms.get_order("you", "A") is None


def test_the_digest_is_that_of_the_journal_read_from_the_start(start_manager):
    oms = start_manager()
    for request in (buy("a", 1, 100), buy("b", 1, 99)):
        oms.submit(request).result(SOON_S)
    found = oms.digest().result(SOON_S)
    fold = Fold(EmbeddedVenue())
    for _ in fold.recover(oms.store, use_snapshot=False):
        pass
    assert (fold.last_seq, fold.digest()) == found


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_an_order_is_found_by_its_order_id_and_by_every_id_it_has_had(tmp_path, kind):
    """Open, over, and by the next process; always called by the latest of them."""
    # given an order that was changed twice by one name and another, and once by its order id
    path, kept = tmp_path / "orders.db", MemoryStore()

    def start():
        return Stepped(store=storage(path) if kind == "sqlite" else kept).start()

    def seen(desk, named):
        found = desk.oms.get_order("me", named)
        return (found.order_id, found.client_order_id, found.state, found.leaves_lots, found.text)

    desk = start()
    order_id = desk.ask(buy("A", 9, 100)).order_id
    desk.send(modify("M", "A", quantity=8))
    desk.send(modify("N", "A", quantity=7), modify("O", "N", price=99))
    desk.ask(OrderRequest.modify("me", "P", order_id=order_id, quantity=6))
    names = [*"AMNOP", order_id]

    # then each of them finds it, whatever was refused meanwhile
    assert desk.ask(modify("R", "A", quantity="0.5")).refused
    assert desk.ask(cancel("A", "P")).reason is RejectReason.DUPLICATE_ID
    for _ in range(2):
        told = {seen(desk, named) for named in names}
        assert told == {(order_id, "P", OrderState.NEW, 6, "")}
        assert [each.client_order_id for each in desk.oms.open_orders("me")] == ["P"]
        desk.stop()
        desk = start()

    # and after its end, too, by the id of what ended it as well
    desk.ask(OrderRequest.cancel("me", "C", order_id=order_id))
    assert desk.ask(cancel("D", "M")).reason is RejectReason.TOO_LATE
    for _ in range(2):
        told = {seen(desk, named) for named in (*names, "C")}
        assert told == {(order_id, "C", OrderState.CANCELED, 0, "")}
        assert desk.oms.open_orders("me") == []
        desk.stop()
        desk = start()

    # but nobody else finds it, nor anybody what is not there
    for account, named in (
        ("you", order_id), ("you", "A"), ("me", order_id + 1), ("me", 0), ("me", -1), ("me", 10**9),
        ("me", str(order_id)), ("me", ""),
    ):  # fmt: skip
        assert desk.oms.get_order(account, named) is None
    desk.stop()


def test_an_order_is_found_by_its_number_by_its_own_account_alone():
    desk = Stepped().start()
    order_id = desk.ask(buy("A", 1, 100)).order_id

    # when another account names it
    canceled = desk.ask(OrderRequest.cancel("you", "C", order_id=order_id))
    modified = desk.ask(OrderRequest.modify("you", "M", order_id=order_id, quantity=2))

    # then it is none of theirs
    assert [canceled.reason, modified.reason] == [RejectReason.UNKNOWN_ORDER] * 2
    assert [each.client_order_id for each in desk.oms.open_orders("me")] == ["A"]
    assert desk.ask(OrderRequest.cancel("me", "C", order_id=order_id)).type is ResponseType.CANCELED


def test_the_latest_trades_name_both_orders_and_the_number_of_the_match(start_stepped):
    """The same in both reports, for whoever listens to the market, and for whoever asks later."""
    # given a taker that meets two makers, another symbol, and an auction
    desk = start_stepped()
    prints, reports = [], []
    desk.oms.add_market_listener(prints.append)
    desk.oms.add_listener(reports.append)
    for symbol in ("X", "ALL", "X"):
        name = f"{symbol}{len(reports)}"
        desk.send(
            buy(f"A{name}", 2, 100, symbol=symbol), buy(f"B{name}", 2, 99, symbol=symbol),
            sell(f"S{name}", 3, 99, symbol=symbol, account="you"),
        )  # fmt: skip
    phase = OperatorAction.SET_PHASE
    desk.send(OperatorRequest(client_order_id="1", action=phase, value="OPENING_AUCTION"))
    desk.send(buy("AA", 4, 105, account="you"), sell("AS", 4, 98))
    desk.send(OperatorRequest(client_order_id="2", action=phase, value="CONTINUOUS"))
    desk.send(cancel("C", "BX0"))

    # then each trade has one number, in the order of its market, and both of its orders
    trades = [report for report in reports if report.type is ResponseType.TRADE]
    told = [event for event in prints if isinstance(event, TradePrint)]
    for symbol, count in (("X", 5), ("ALL", 2)):
        kept = desk.oms.recent_trades(symbol)
        assert [trade.match_number for trade in kept] == list(range(1, count + 1))
        assert [t._replace(number=0) for t in told if t.symbol == symbol] == [
            trade._replace(number=0) for trade in kept
        ]
        for trade in kept:
            both = {
                report.side: report for report in trades
                if (report.symbol, report.match_number) == (symbol, trade.match_number)
            }  # fmt: skip
            assert both[Side.BUY].order_id == trade.buy_order_id
            assert both[Side.SELL].order_id == trade.sell_order_id
            for report in both.values():
                assert report.last_price_ticks == trade.price_ticks
                assert report.last_quantity_lots == trade.quantity_lots
            assert trade.execution_id in {report.execution_id for report in both.values()}
    assert len(trades) == 2 * len(told) == 14
    assert all(r.match_number == 0 for r in reports if r.type is not ResponseType.TRADE)
    assert {trade.taker_side for trade in desk.oms.recent_trades("X")[:4]} == {"SELL"}
    assert desk.oms.recent_trades("X")[4].taker_side == ""  # nobody took: an auction

    # and the numbers go on after a restart
    desk.stop()
    desk = start_stepped(store=desk.store, clock=desk.clock)
    desk.send(buy("Z", 1, 99), sell("ZS", 1, 99))
    assert [trade.match_number for trade in desk.oms.recent_trades("X")] == [1, 2, 3, 4, 5, 6]
    assert desk.refolded() == desk.digest()

    # and a limit takes the latest of them
    assert [trade.match_number for trade in desk.oms.recent_trades("X", 2)] == [5, 6]
    assert len(desk.oms.recent_trades("X", 100)) == 6
    for limit in (0, -1, True, "2"):
        with pytest.raises(ValidationError, match="limit: expected a whole number, 1 or more"):
            desk.oms.recent_trades("X", limit)


def test_open_orders_are_those_of_the_account_oldest_first(start_manager):
    """Nobody sees another's; what ended is gone."""
    oms = start_manager()
    oms.submit(buy("A", 1, 100)).result(SOON_S)
    oms.submit(buy("B", 1, 99, account="you")).result(SOON_S)
    for request in (buy("C", 1, 98), buy("D", 1, 97), cancel("E", "C")):
        oms.submit(request).result(SOON_S)
    hear(oms, ResponseType.CANCELED)
    assert [report.client_order_id for report in oms.open_orders("me")] == ["A", "D"]
    assert [report.client_order_id for report in oms.open_orders("you")] == ["B"]
    assert oms.open_orders("nobody") == []


def test_depth_best_prices_and_trades_are_public(start_manager):
    """As many levels and trades as configured; unknown symbols are named."""
    market_data = MarketDataConfig(depth_levels=2, trades_kept=2)
    oms = start_manager(config_of(market_data=market_data))
    for n in range(3):
        oms.on_data(buy(f"B{n}", n + 1, 100 - n))
        oms.on_data(sell(f"S{n}", n + 1, 110 + n))
    for n in range(3):
        oms.submit(sell(f"T{n}", 1, 99)).result(SOON_S)
    trades = [hear(oms, ResponseType.TRADE) for _ in range(6)]
    assert oms.get_depth("X", 9) == ([(98, 3)], [(110, 1), (111, 2)])
    assert (oms.best_bid("X"), oms.best_ask("X")) == (98, 110)
    assert oms.get_depth("X", 1) == ([(98, 3)], [(110, 1)])
    assert [trade.price_ticks for trade in oms.recent_trades("X")] == [99, 99]
    assert {trade.taker_side for trade in oms.recent_trades("X")} == {"SELL"}
    prices = oms.get_prices("X")
    assert (prices.last, prices.vwap) == (99, 99)
    assert oms.recent_trades("X")[-1].execution_id == trades[-2].execution_id
    assert (oms.best_bid("ALL"), oms.get_depth("ALL", 5)) == (None, ([], []))
    for ask in (oms.best_bid, oms.best_ask, oms.recent_trades):
        with pytest.raises(ValidationError, match="symbol: expected one of X, ALL, was 'Y'"):
            ask("Y")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_questions_may_be_asked_at_any_time(start_manager, tmp_path, kind):
    """Four threads ask while thousands of orders come and go: no error, no half-made answer."""
    # given threads that ask whatever can be asked, again and again
    sqlite = PersistentStorage(tmp_path / "orders.db", durability="none")
    oms = start_manager(store=sqlite if kind == "sqlite" else MemoryStore())
    done, answers = threading.Event(), SimpleQueue()

    def ask(n):
        while not done.is_set():
            order = oms.get_order("me", f"#{n % 200}")
            assert order is None or order.client_order_id.strip("#C").isdigit()
            assert all(report.leaves_lots > 0 for report in oms.open_orders("me"))
            bids, asks = oms.get_depth("X", 5)
            assert not bids or not asks or bids[0][0] < asks[0][0]
            oms.recent_trades("X")
            json.dumps(oms.get_status())
            n += 7
        answers.put(n)

    askers = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for asker in askers:
        asker.start()

    # when orders come, trade and are canceled
    for n in range(0, 1_000, 4):
        oms.on_data(buy(f"#{n}", 2, 100 + n % 5))
        oms.on_data(sell(f"#{n + 1}", 1, 101 + n % 3))
        oms.on_data(cancel(f"C{n + 2}", f"#{n}"))
        if n % 40 == 0:
            oms.submit(buy(f"#{n + 3}", 1, 90)).result(SOON_S)
    done.set()
    for asker in askers:
        asker.join(SOON_S)

    # then every thread came to its end
    assert answers.qsize() == 4


# --- bounds ---


class Gates:
    """Commits wait until the test lets them."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.open_gate = threading.Event()
        self.at_gate = threading.Event()
        self.open_gate.set()

    def commit(self):
        if not self.open_gate.is_set():
            self.at_gate.set()
            assert self.open_gate.wait(SOON_S)
        super().commit()


class Gate(Gates, MemoryStore):
    """In memory."""


class GateOnDisk(Gates, PersistentStorage):
    """In a file."""


WITH_LEDGER = config_of(
    instruments=(
        Instrument(
            symbol="X", price_scale=0, quantity_scale=0, base="COIN", quote="CASH", base_scale=0,
            quote_scale=0,
        ),
    ),
    exchange=ExchangeConfig(self_trade="none", ledger=True),
)  # fmt: skip
FUNDS = (
    FundsRequest(account="me", client_order_id="1", action=FundsAction.CREATE),
    FundsRequest(
        account="me", client_order_id="2", action=FundsAction.DEPOSIT, asset="CASH", amount=1_000
    ),
)


def view(oms, order_id):
    """All that one may read of the orders and the money of "me"."""
    orders = [oms.get_order("me", named) for named in (*"AMNC", order_id, order_id + 3)]
    return (
        [(r.client_order_id, r.type, r.state, r.leaves_lots) if r else None for r in orders],
        [(r.client_order_id, r.leaves_lots) for r in oms.open_orders("me")],
        oms.balances("me"), oms.get_depth("X", 9), oms.recent_trades("X"), oms.depth_snapshot("X"),
        oms.market_states(), oms.best_bid("X"), oms.get_status()["open_orders"],
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_nothing_is_seen_before_it_is_committed(start_manager, tmp_path, kind):
    """Neither by the id of an order nor by that of a change; and then all of it at once."""
    # given an order, and a turn that is held up in its commit
    path = tmp_path / "orders.db"
    store = Gate() if kind == "memory" else GateOnDisk(path, durability="none")
    oms = start_manager(WITH_LEDGER, store=store)
    for request in FUNDS:
        oms.submit(request).result(SOON_S)
    order_id = oms.submit(buy("A", 2, 100)).result(SOON_S).order_id
    oms.depth_snapshot("X")
    before = view(oms, order_id)
    store.open_gate.clear()
    answers = [oms.submit(modify("M", "A", quantity=1))]
    assert store.at_gate.wait(SOON_S)
    answers += [oms.submit(buy("N", 1, 99)), oms.submit(cancel("C", "A"))]

    # when one looks, then nothing of it is there, nobody has an answer
    for _ in range(20):
        assert view(oms, order_id) == before
    assert oms.get_order("me", "M") is oms.get_order("me", "N") is None
    assert not any(answer.done() for answer in answers)

    # and after the commit it is there before the answer is
    store.open_gate.set()
    for answer in answers:
        assert not answer.result(SOON_S).refused
    assert oms.get_order("me", "M").state is OrderState.CANCELED
    assert oms.get_order("me", "N").leaves_lots == 1
    assert oms.get_depth("X", 9) == ([(99, 1)], [])
    assert oms.balances_units("me") == {"CASH": (901, 99)}


@pytest.mark.parametrize("error", [StoreFullError("full"), StoreBusyError("busy")])
@pytest.mark.parametrize("place", ["begin", "claim", "append", "commit"])
def test_nothing_is_ever_seen_of_what_could_not_be_committed(start_stepped, place, error):
    """Wherever in its turn it failed: no order by the new ids, no money moved."""
    store = FaultyStore(place)
    desk = start_stepped(WITH_LEDGER, store=store)
    desk.send(*FUNDS)
    order_id = desk.ask(buy("A", 2, 100)).order_id
    desk.oms.dispatcher.feed.want_depth()
    desk.step()
    before = view(desk.oms, order_id)
    store.faults = [error]
    for request in (modify("M", "A", quantity=1), buy("N", 1, 99), cancel("C", "A")):
        desk.oms.on_data(request)
    desk.step()
    assert view(desk.oms, order_id) == before
    assert desk.oms.get_order("me", "N") is desk.oms.get_order("me", "M") is None
    desk.send(buy("N", 1, 99))
    assert desk.oms.get_order("me", "N").leaves_lots == 1


def test_who_is_answered_can_read_what_he_is_told(start_stepped):
    """By order id and client id; money and depth too: a listener is told after all is in place."""
    desk, seen = start_stepped(WITH_LEDGER), []
    desk.send(*FUNDS)
    desk.oms.dispatcher.feed.want_depth()
    desk.step()

    def look(report):
        by_id = desk.oms.get_order("me", report.order_id)
        seen.append((
            by_id == desk.oms.get_order("me", report.client_order_id), by_id.leaves_lots,
            desk.oms.balances("me"), desk.oms.get_depth("X", 1), desk.oms.depth_snapshot("X").bids,
        ))  # fmt: skip

    desk.oms.add_listener(look)
    desk.send(buy("A", 2, 100))
    assert seen == [(True, 2, {"CASH": (800, 200)}, ([(100, 2)], []), ((100, 2),))]


def test_a_full_inbox_refuses_orders_at_once_while_cancels_pass(start_manager):
    """QUEUE_FULL, on the caller's thread; twice as many cancels have room; then it goes on."""
    # given a dispatcher that is held up in a commit
    store = Gate()
    oms = start_manager(config_of(queue=QueueConfig(inbox_max=2)), store=store)
    oms.submit(buy("A", 1, 100)).result(SOON_S)
    store.open_gate.clear()
    oms.submit(buy("B", 1, 100))
    assert store.at_gate.wait(SOON_S)

    # when more comes than the inbox holds
    orders = [oms.submit(buy(f"#{n}", 1, 100)) for n in range(3)]
    cancels = [oms.submit(cancel(f"C{n}", name)) for n, name in enumerate(("A", "B", "#0"))]

    # then order and cancel beyond the bound are refused before the rest is answered
    assert orders[2].result(0).reason is RejectReason.QUEUE_FULL
    assert cancels[2].result(0).type is ResponseType.CANCEL_REJECTED
    assert oms.get_status()["inbox"] == 4
    store.open_gate.set()
    assert [f.result(SOON_S).type for f in cancels[:2]] == [ResponseType.CANCELED] * 2
    assert [f.result(SOON_S).journal_seq > 0 for f in orders[:2]] == [True] * 2
    assert oms.submit(buy("#2", 1, 100)).result(SOON_S).journal_seq > 0


# --- what others found ---


def test_a_number_off_the_grid_is_off_it_whatever_came_before():
    """A float stands for its shortest text; a Decimal for what it is, to the last digit."""
    hundredths = Instrument(symbol="X", price_scale=2)
    desk = Stepped(config_of(instruments=(hundredths,))).start()
    exactly = Decimal.from_float(100.1)  # 46 decimals, and equal to the float
    desk.oms.on_data(buy("a", 1, 100.1))
    assert [told.type for told in desk.turn()] == [ResponseType.NEW]

    desk.oms.on_data(buy("b", 1, exactly))

    (told,) = desk.turn()
    assert told.type is ResponseType.REJECTED


def test_terms_that_say_nothing_are_none():
    desk = Stepped().start()
    assert buy("a", 1, 100, terms=OrderTerms()).line == buy("a", 1, 100).line
    desk.oms.on_data(buy("a", 1, 100, terms=OrderTerms()))
    assert [told.type for told in desk.turn()] == [ResponseType.NEW]


def test_the_id_of_a_deposit_is_of_no_order():
    money = Instrument(symbol="X", base="ACME", quote="USD")
    exchange = ExchangeConfig(ledger=True)
    desk = Stepped(config_of(instruments=(money,), exchange=exchange)).start()
    desk.oms.on_data(FundsRequest(account="me", client_order_id="1", action=FundsAction.CREATE))
    assert [told.type for told in desk.turn()] == [ResponseType.COMMAND_DONE]
    assert desk.oms.get_order("me", "1") is None


@pytest.mark.parametrize(
    ("report", "field"),
    [
        (None, "response"),
        (("TRADE", 1), "response"),
        (VenueReport("TRADE", 1), "type"),
        (VenueReport(ResponseType.NEW, "1"), "order_id"),
        (VenueReport(ResponseType.TRADE, 1, 0, 1.5), "price_ticks"),
        (VenueReport(ResponseType.REJECTED, 1, reason=None), "reason"),
    ],
)
def test_what_is_no_report_of_a_venue_is_turned_away_at_the_door(report, field):
    """On the thread that brings it: nobody else is disturbed."""
    desk = Stepped().start()
    with pytest.raises(ValidationError, match=f"^{field}: "):
        desk.oms.on_data_response(report)
    desk.oms.on_data(buy("a", 1, 100))
    assert [told.type for told in desk.turn()] == [ResponseType.NEW]


def test_a_question_asked_while_the_order_manager_stops_is_answered(monkeypatch):
    """It looked alive, and was gone when the question came: nobody waits for ever."""
    oms = OrderManagement(config_of(), store=MemoryStore())
    oms.start()

    class Stops(deque):
        """It stops between the look whether it runs and the question."""

        def append(self, ask):
            oms.stop()
            super().append(ask)

    monkeypatch.setattr(oms.dispatcher, "questions", Stops())
    with pytest.raises(StoppedError):
        oms.between_turns(lambda *_: 1).result(SOON_S)


def test_an_order_is_asked_for_behind_the_requests_before_it(start_manager):
    """So that "no such order" never becomes an order later."""
    oms = start_manager()
    for n in range(3_000):
        oms.on_data(buy(f"A-{n}", 1, 100))
    found = oms.find_order("me", "A-2999").result(SOON_S)
    assert found is not None and found.client_order_id == "A-2999"
    assert oms.find_order("me", "B").result(SOON_S) is None
    oms.stop()
    assert oms.find_order("me", "A-0").result(0).client_order_id == "A-0"
