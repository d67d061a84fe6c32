"""Made-up markets, recorded flow, the runner that drives them, and the report of a run."""

import gzip
import json
import threading
from collections import Counter
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms import (
    Config,
    Instrument,
    ManualClock,
    MemoryStore,
    OrderManagement,
    OrderRequest,
    OrderType,
    RejectReason,
    RequestType,
    Side,
    SystemClock,
    TimeInForce,
)
from oms.config import QueueConfig, ThrottleConfig
from oms.enums import PostOnly
from oms.errors import ValidationError
from oms.requests.orders import OrderTerms
from oms.simulation.agents import UNKNOWN_SYMBOL, Listing, market
from oms.simulation.recorded import (
    FlowFileError,
    FlowWriter,
    LobsterFlow,
    instrument_of,
    read_jsonl,
)
from oms.simulation.report import HOPS, Facts, Holding, depth_lines, pnl_text, positions, render
from oms.simulation.runner import Dealt, Outcome, Runner, Tally, Traded, at_speed, bursts
from tests.examples import many
from tests.fakes import Stepped, buy, config_of, sell

SHIPPED = Config().instruments
ODD = (
    Instrument(symbol="WHOLE", price_scale=0, quantity_scale=0),
    Instrument(symbol="SEVENS", price_scale=2, quantity_scale=3, tick_size=7, lot_size=11),
    Instrument(symbol="FINE", price_scale=12, quantity_scale=12, tick_size=5),
    Instrument(symbol="COARSE", price_scale=0, quantity_scale=0, tick_size=500, lot_size=100),
)
SECOND = 1_000_000_000


TERMS = [each.name for each in fields(OrderTerms)]
START_NS = ManualClock().wall_ns()


def taken(seed: int, count: int, instruments=SHIPPED, **more) -> list[OrderRequest]:
    return list(islice(market(seed, instruments, "T-", start_ns=START_NS, **more), count))


# --- agents ---


@given(seed=st.integers(0, 2**63 - 1))
@settings(max_examples=many(20))
def test_the_same_seed_is_the_same_market(seed):
    """A run that went wrong can be had again."""
    assert taken(seed, 300) == taken(seed, 300)


def test_another_seed_is_another_market():
    assert taken(1, 100) != taken(2, 100)


@given(seed=st.integers(0, 2**63 - 1), instruments=st.sampled_from([SHIPPED, ODD]))
@settings(max_examples=many(20))
def test_only_the_careless_make_mistakes(seed, instruments):
    """Prices and quantities of all others lie on the grid, whatever the grid; ids are new."""
    by_symbol = {instrument.symbol: instrument for instrument in instruments}
    careful = [r for r in taken(seed, 500, instruments) if r.account != "careless-1"]
    ids = [request.client_order_id for request in careful]
    assert len(set(ids)) == len(ids)
    assert all(client_order_id.startswith("T-") for client_order_id in ids)
    placed: dict[str, Instrument] = {}
    for request in careful:
        if request.type is RequestType.NEW:
            placed[request.client_order_id] = by_symbol[request.symbol]
        else:
            assert request.orig_client_order_id in placed
        instrument = placed.get(request.orig_client_order_id or request.client_order_id)
        if request.price is not None:
            instrument.price_ticks(request.price)
        if request.quantity is not None:
            instrument.quantity_lots(request.quantity)


def test_a_market_has_every_kind_of_request_and_of_mistake():
    """Ten thousand requests show all that the order path can answer."""
    requests = taken(7, 10_000)
    kinds = Counter((r.type, r.order_type, r.time_in_force) for r in requests)
    assert {kind[0] for kind in kinds} == set(RequestType)
    assert {kind[1] for kind in kinds} == set(OrderType)
    assert {kind[2] for kind in kinds} == set(TimeInForce)
    terms = {name for r in requests if r.terms for name in TERMS if getattr(r.terms, name)}
    assert terms == set(TERMS) - {"self_trade"}
    assert {r.symbol for r in requests if r.symbol} == {i.symbol for i in SHIPPED} | {
        UNKNOWN_SYMBOL
    }

    # when a real order manager takes them, a few at a time
    desk = Stepped(config_of(instruments=SHIPPED)).start()
    for at in range(0, len(requests), 50):
        desk.send(*requests[at : at + 50])

    # then every mistake has had its answer, and most requests were none
    rejects = desk.oms.publisher.rejects
    for reason in ("PRICE_INVALID", "SYMBOL_UNKNOWN", "UNKNOWN_ORDER", "DUPLICATE_ID", "TOO_LATE"):
        assert rejects[RejectReason[reason]] > 0, reason
    assert sum(rejects.values()) < 0.15 * len(requests)
    assert all(len(desk.oms.recent_trades(i.symbol)) > 50 for i in SHIPPED)


def test_an_off_tick_price_is_off_whatever_the_tick():
    for instrument in (*SHIPPED, *ODD):
        with pytest.raises(ValidationError):
            instrument.price_ticks(Listing(instrument).off_tick_price())


# --- pace ---


@given(rate=st.integers(1, 5_000), seconds=st.integers(1, 30))
@settings(max_examples=many(50))
def test_bursts_keep_the_average_and_never_go_back(rate, seconds):
    """Three quarters of the requests come in the first quarter of each period."""
    period_s = min(4, seconds)
    due = list(islice(bursts(rate, seconds), 3 * rate * period_s))
    assert due == sorted(due)
    for period in range(3):
        start = period * period_s * SECOND
        inside = [at for at in due if start <= at < start + period_s * SECOND]
        assert len(inside) == rate * period_s
        burst = [at for at in inside if at < start + period_s * SECOND // 4]
        assert abs(len(burst) - 0.75 * len(inside)) <= 1


def test_a_flow_twice_as_fast():
    request = buy("1", 1, 1)
    assert list(at_speed([(0, request), (3_000, request)], 2.0)) == [(0, request), (1_500, request)]


# --- the runner ---


def drive(requests, *, stop=None, seconds=None, paced=False, **sections):
    """A runner on a real order manager in memory, to the end."""
    config = config_of(**sections)
    lines: list[str] = []
    with OrderManagement(config, store=MemoryStore()) as oms:
        runner = Runner(
            oms,
            SystemClock(),
            stop or threading.Event(),
            tally=Tally(),
            paced=paced,
            seconds=seconds,
            answer_s_max=20.0,
            on_tick=lines.append,
        )
        runner.drive(requests)
    return runner, oms, lines


def test_a_small_inbox_makes_the_runner_pause_and_refuses_nothing():
    """Room for 200 requests, and 5,000 come as fast as they can."""
    requests = [(0, buy(f"B{n}", 1, 100)) for n in range(5_000)]
    runner, oms, _ = drive(requests, queue=QueueConfig(inbox_max=200, batch_max=50))
    assert oms.publisher.rejects == {}
    assert (runner.outcome.count, runner.outcome.unanswered) == (5_000, 0)
    assert runner.tally.answered == 5_000


def test_the_runner_waits_for_what_the_throttle_holds_back():
    """200 orders at 400 a second: the last leaves after a moment, before the run ends."""
    requests = [(0, buy(f"B{n}", 1, 100)) for n in range(200)]
    throttle = ThrottleConfig(sends_max=100, window_ns=SECOND // 4)
    runner, oms, lines = drive(requests, throttle=throttle)
    assert oms.get_status()["waiting"] == 0
    assert runner.tally.reports["PENDING_NEW"] == 100
    assert runner.outcome.total_ns >= SECOND // 4
    assert lines and "offered" in lines[-1]


def test_refused_and_traded_requests_count_as_answered_once():
    """Two trades in three reports each, one refusal, one repeated id: six requests."""
    orders = [buy("1", 5, 100), sell("2", 2, 100), sell("3", 3, 100), buy("4", 1, "1.5")]
    requests = [(0, request) for request in [*orders, orders[0], buy("6", 1, symbol="NOPE")]]
    runner, _, _ = drive(requests)
    assert runner.tally.answered == 6
    assert runner.tally.traded == {"X": Traded(count=2, lots=5, last_ticks=100)}


def test_a_stop_event_ends_a_run_at_once():
    """Ctrl-C while an hour of flow is still to come."""
    stop = threading.Event()

    def flow():
        yield 0, buy("1", 1, 100)
        stop.set()
        yield 3_600 * SECOND, buy("2", 1, 100)

    runner, _, _ = drive(flow(), stop=stop, paced=True)
    assert runner.outcome.interrupted
    assert runner.outcome.count == 1


def test_a_run_ends_after_its_seconds():
    """What is due later is not waited for."""
    requests = [(0, buy("1", 1, 100)), (3_600 * SECOND, buy("2", 1, 100))]
    runner, _, _ = drive(requests, paced=True, seconds=1.0)
    assert (runner.outcome.count, runner.outcome.interrupted) == (1, False)
    assert runner.outcome.offer_ns < SECOND


# --- JSON lines ---


@given(seed=st.integers(0, 1_000))
@settings(max_examples=many(10))
def test_what_is_recorded_is_what_is_read(seed, tmp_path_factory):
    """Every request of a market survives the file, terms and all; ids get the prefix."""
    path = tmp_path_factory.mktemp("flow") / "flow.jsonl"
    flow = [(n * 7, request) for n, request in enumerate(taken(seed, 200))]
    with path.open("w", encoding="utf-8") as file:
        writer = FlowWriter(file, START_NS)
        for offset_ns, request in flow:
            writer.write(offset_ns, request)
    assert list(read_jsonl(path, start_ns=START_NS)) == flow
    assert next(read_jsonl(path, "P-"))[1].client_order_id == "P-T-1"


def test_terms_read_later_are_as_good_as_when_they_were_recorded(tmp_path):
    """An order good for five seconds, one of a pair: of the second run, five seconds into it."""
    terms = OrderTerms(expire_ns=START_NS + 5 * SECOND, oco_with="stop", post_only=PostOnly.SLIDE)
    request = buy("1", 1, 100, time_in_force=TimeInForce.GTD, terms=terms)
    path = tmp_path / "flow.jsonl"
    with path.open("w", encoding="utf-8") as file:
        FlowWriter(file, START_NS).write(0, request)
    later_ns = START_NS + 3_600 * SECOND
    [(_, again)] = read_jsonl(path, "P-", later_ns)
    assert again.terms == replace(terms, expire_ns=later_ns + 5 * SECOND, oco_with="P-stop")


LINE = {
    "type": "NEW", "account": "a", "client_order_id": "1", "symbol": "X", "side": "BUY",
    "price": 1.5, "quantity": "2",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"side": "buy"}, "line 3: side: expected one of BUY, SELL, was 'buy'"),
        ({"quantity": None}, "line 3: quantity: expected a number above 0, was None"),
        ({"offset_ns": -1}, "line 3: offset_ns: expected a whole number from 0"),
        ({"colour": "red"}, "line 3: colour: expected one of account, client_order_id"),
        ({"client_order_id": "x" * 65}, "line 3: client_order_id: expected 1 to 64 printable"),
        ({"price": True}, "line 3: price: expected text, int, Decimal or float, was True"),
        ({"terms": [1]}, "line 3: terms: expected an object, was [1]"),
        ({"terms": {"post": 1}}, "line 3: post: expected one of stop_price, display_quantity"),
        ({"terms": {"post_only": "no"}}, "line 3: post_only: expected one of REJECT, SLIDE"),
        ({"terms": {"expire_ns": 5}}, "line 3: expire_ns: expected an instant for GTD, 0 for"),
    ],
)
def test_a_bad_line_is_named(tmp_path, change, complaint):
    """File, line and field; blank lines count, as they do in an editor."""
    path = tmp_path / "flow.jsonl"
    path.write_text("\n".join([json.dumps(LINE), "", json.dumps(LINE | change)]), encoding="utf-8")
    with pytest.raises(FlowFileError) as caught:
        list(read_jsonl(path))
    assert str(caught.value).startswith(f"flow.jsonl {complaint}")


@pytest.mark.parametrize("text", ["{", "[]", "7", '"x"'])
def test_a_line_that_is_no_object_is_named(tmp_path, text):
    path = tmp_path / "flow.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FlowFileError, match=r"flow\.jsonl line 1: expected"):
        list(read_jsonl(path))


def test_a_field_without_default_must_be_there(tmp_path):
    path = tmp_path / "flow.jsonl"
    path.write_text(json.dumps({"type": "CANCEL", "account": "a"}), encoding="utf-8")
    with pytest.raises(FlowFileError, match="line 1: client_order_id: expected a value"):
        list(read_jsonl(path))


# --- LOBSTER ---

MESSAGES = """\
34200.1,3,1,100,5000000,1
34200.2,1,2,100,5000000,1
34200.300000001,1,3,50,5001000,-1
34200.4,2,2,40,5000000,1
34200.5,5,0,1,5000500,1
34200.6,4,2,10,5000000,1
34200.7,4,3,50,5001000,-1
34200.8,7,0,0,-1,-1
34200.9,4,1,30,4999900,1
34201.0,3,2,50,5000000,1
"""


@pytest.fixture
def message_file(tmp_path) -> Path:
    path = tmp_path / "GOOG_message.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(MESSAGES)
    return path


def test_a_message_file_becomes_requests(message_file):
    """New orders rest, a partial cancel lowers the total, an execution comes from outside."""
    flow = LobsterFlow(message_file, "GOOG", "F-")
    requests = list(flow.requests())
    new, rest, take = OrderRequest.new, "LOBSTER", "LOBSTER-TAKERS"
    ioc = TimeInForce.IOC
    assert requests == [
        (100_000_000, new(rest, "F-2", "GOOG", Side.BUY, 100, "500")),
        (200_000_001, new(rest, "F-3", "GOOG", Side.SELL, 50, "500.1")),
        (300_000_000, OrderRequest.modify(rest, "F-2.m4", "F-2", quantity=60)),
        (500_000_000, new(take, "F-x6", "GOOG", Side.SELL, 10, "500", time_in_force=ioc)),
        (600_000_000, new(take, "F-x7", "GOOG", Side.BUY, 50, "500.1", time_in_force=ioc)),
        (800_000_000, new(take, "F-x9", "GOOG", Side.SELL, 30, "499.99", time_in_force=ioc)),
        (900_000_000, OrderRequest.cancel(rest, "F-2.c10", "F-2")),
    ]
    assert flow.skipped == {
        "delete: the order was placed before the file starts": 1,
        "hidden execution: not in the visible book": 1,
        "trading halt: not in the visible book": 1,
    }


def test_the_score_tells_a_true_replay_from_a_drifting_one(message_file):
    """Two executions meet their order; the third names one from before the file."""
    flow = LobsterFlow(message_file, "GOOG")
    desk = Stepped(config_of(instruments=(instrument_of("GOOG"),))).start()
    desk.oms.add_listener(Tally(on_match=flow.on_match))
    for _, request in flow.requests():
        desk.send(request)
    notes = [" ".join(line.split()) for line in flow.notes()]
    assert "traded in full, with the order the file names 2" in notes
    assert "traded in full, with another order 1" in notes
    assert "found nobody 0" in notes


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("34200.1,1,2,100,5000000", "columns: expected 6 columns: time, type, order id, size"),
        ("x,1,2,100,5000000,1", "time: expected a plain decimal number"),
        ("34200.1,8,2,100,5000000,1", "type: expected 1 to 7, was '8'"),
        ("34200.1,1,2,0,5000000,1", "size: expected a whole number above 0, was '0'"),
        ("34200.1,1,2,10,-5,1", "price: expected a whole number above 0, was '-5'"),
        ("34200.1,1,2,10,5,0", "direction: expected 1 or -1, was '0'"),
    ],
)
def test_a_bad_message_is_named(tmp_path, line, complaint):
    path = tmp_path / "messages.csv"
    path.write_text(f"34200.0,1,1,1,1,1\n{line}\n", encoding="utf-8")
    with pytest.raises(FlowFileError) as caught:
        list(LobsterFlow(path, "GOOG").requests())
    assert str(caught.value).startswith(f"messages.csv line 2: {complaint}")


def test_a_file_that_is_not_what_its_name_says(tmp_path):
    path = tmp_path / "messages.csv.gz"
    path.write_text(MESSAGES, encoding="utf-8")
    with pytest.raises(FlowFileError, match=r"gzip where the name ends in \.gz"):
        list(LobsterFlow(path, "GOOG").requests())


# --- the report ---

REPORT = """\
============================================================================================
Recorded   flow.jsonl

Requests   300 offered in 2.0 s: 150 a second
           CANCEL 50, NEW 250
           240 sent to the venue in 2.5 s
Unanswered 1

Reports    400 execution reports, each published after its commit
           new                         300
           cancel rejected             100

Rejected   100 requests
           TOO_LATE                     90  too late: order ended, or quantity filled already
           DUPLICATE_ID                 10  client order id already used for another request

           careless-1 errs on purpose.

Trades     symbol             trades             volume       last price
           X                      12               3.50           101.05

Positions  account      symbol     trades      bought        sold    position          P&L
           ann          X               2        3.00        1.00        2.00        +1.05 USD
           bob          X               2        1.00        3.00       -2.00        -1.15 USD

           P&L: sales less purchases, plus the position at the last price, less fees.
           All P&L in USD: -0.10; fees less rebates: 0.10.

Book X                                  bid | ask
                     1.50 at         101.00 | 101.05         for 2.00
                                            | 101.10         for 0.50

Latency, ms        p50        p90        p99      p99.9        max
  venue          1.000      2.000      3.000      4.000      5.000  sent to the venue until \
answered by it: matching
  disk           1.000      2.000      3.000      4.000      5.000  answered until the commit has \
returned: one fsync a turn
  publish        1.000      2.000      3.000      4.000      5.000  committed until the listeners \
are told
  intake         1.000      2.000      3.000      4.000      5.000  handed over until the \
dispatcher takes the request

Throttle   sliding_window, at most 100 sends in 1 s
Queue      at most 80 waiting; 5 still wait and go out at the next start
Waiting, ms        p50        p90        p99      p99.9        max
  wait           1.000      2.000      3.000      4.000      5.000  in the queue, until the \
throttle lets the request go
  total          1.000      2.000      3.000      4.000      5.000  handed over until told, all \
waits included

Wait for the throttle (30 requests)
      below 1 ms         10  ######################
      below 2 ms          0
      below 5 ms         20  ############################################

Journal    1,234 entries and turns, 99 turns here
Database   /data/order_management.db (1.5 MB)
Log        /data/logs/order_management.log
Verify     verified: 1,000 journal entries, 400 reports

Next
  the story of the order that waited longest for the throttle:
      oms explain B-7 --data-dir d
  the comparison of journal and reports, again:
      oms verify --data-dir d"""


WAITS = [(100, 110, 4), (150_000, 160_000, 6), (2_000_000, 2_100_000, 20)]


def facts_of(**more) -> Facts:
    """A run on one instrument."""
    x = Instrument(symbol="X", price_scale=2, quantity_scale=2, tick_size=5, quote="USD")
    figures = {"count": 240, "p50": 10**6, "p90": 2 * 10**6, "p99": 3 * 10**6}
    figures |= {"p99.9": 4 * 10**6, "max": 5 * 10**6}
    facts = Facts(
        title="Simulation of X",
        outcome=Outcome(
            offered=Counter(NEW=250, CANCEL=50),
            offer_ns=2 * SECOND,
            total_ns=5 * SECOND // 2,
            unanswered=1,
        ),
        tally=Tally(
            reports=Counter({"NEW": 300, "CANCEL_REJECTED": 100}),
            traded={"X": Traded(count=12, lots=350, last_ticks=10105)},
            dealt={
                ("bob", "X"): Dealt(2, 100, 300, 200 * 10105 - 11_000, 5_000_000),
                ("ann", "X"): Dealt(2, 300, 100, 11_000 - 200 * 10105, 5_000_000),
            },
            examples={"waited": "B-7"},
        ),
        status={
            "waiting": 5, "waiting_peak": 80, "rejects": {"DUPLICATE_ID": 10, "TOO_LATE": 90},
            "journal_seq": 1234, "turns": 99,
        },
        throttle="sliding_window, at most 100 sends in 1 s",
        instruments=[x],
        depths={"X": ([(10100, 150)], [(10105, 200), (10110, 50)])},
        latency_ns=dict.fromkeys(HOPS, figures),
        total=[(100_000, 110_000, 4), (150_000, 160_000, 6), (900_000, 950_000, 20)],
        wait=WAITS,
        database="/data/order_management.db",
        database_bytes=1_500_000,
        log_file="/data/logs/order_management.log",
        verdict="verified: 1,000 journal entries, 400 reports",
        notes=["Recorded   flow.jsonl"],
        on_purpose="careless-1 errs on purpose.",
        command="oms {} --data-dir d",
    )  # fmt: skip
    return replace(facts, **more)


def test_the_report_reads_like_this():
    """The whole of it, letter by letter; an empty histogram is left out."""
    assert render(facts_of()) == REPORT


def test_the_report_of_money_reads_like_this():
    """What was paid in is with accounts or in fees; and what a ledger that leaks looks like."""
    money = [
        Holding("BTC", 8, 10 * 10**8, 10 * 10**8, 0, 0, 0),
        Holding("USD", 2, 100_000_000, 99_998_764, 1_234, 2, 500),
    ]
    facts = facts_of(money=money, taken_back=1_200)
    facts.tally.traded["X"].in_auctions = 7
    text = render(facts)
    assert (
        "\nBalances   asset                paid in    held by accounts         fees earned"
        "            rounding            reserved\n"
        "           BTC                       10                  10                   0"
        "                   0                   0\n"
        "           USD                1,000,000          999,987.64               12.34"
        "                0.02                   5\n"
        "Canceled   1,200 open orders at the end, by mass cancel\n"
        "Reserved   see above\n"
        "Conserved  yes: all that was paid in is accounted for\n\nNext\n"
    ) in text
    assert "\n           7 of these trades in auctions, each at one price\n" in text
    leaking = facts_of(money=[money[0]._replace(held=10 * 10**8 - 1)])
    assert "Reserved   nothing\nConserved  NO\n" in render(leaking)


def test_without_a_wait_the_report_shows_the_whole_time():
    """At full speed the throttle is off: the time to the answer is the program's own."""
    text = render(facts_of(throttle="off"))
    assert "Wait for the throttle" not in text
    assert "Wait for the throttle" not in render(facts_of(wait=[(100, 110, 30)]))
    assert (
        "Time to the answer (30 requests)\n    below 200 us         10  ######################\n"
    ) in text


def test_profit_and_loss_add_up_to_the_fees():
    """Without fees what one account gains the others lose, held or sold."""
    tally = Tally()
    desk = Stepped(config_of()).start()
    desk.oms.add_listener(tally)
    desk.send(sell("s1", 5, 100, account="ann"), buy("b1", 3, 101, account="bob"))
    desk.send(buy("b2", 2, 102, account="cid"))
    facts = replace(facts_of(), tally=tally, instruments=desk.oms.config.instruments)
    found = {row.account: (row.dealt.trades, row.lots, row.pnl) for row in positions(facts)}
    # All five lots went at 100; the last price is 100, so nothing was gained yet.
    assert found == {"ann": (2, -5, 0), "bob": (1, 3, 0), "cid": (1, 2, 0)}

    # when a price later moves up by 5, for whoever holds them
    desk.send(sell("s3", 1, 105, account="bob"), buy("b3", 1, 105, account="dan"))
    found = {row.account: pnl_text(row) for row in positions(facts)}
    assert found == {"ann": "-25.00", "bob": "+15.00", "cid": "+10.00", "dan": "+0.00"}


def test_an_empty_book_says_so():
    assert depth_lines(SHIPPED[0], ([], [])) == ["Book TATA_INR: empty"]
