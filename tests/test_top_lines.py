"""What `top` paints, as lines: numbers, phases, what is live and what is not, at every size."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.enums import Phase, Side
from oms.top import lines
from oms.top.lines import View
from oms.top.seen import Auction, Market, MarketRow, Overview, Print, Seen

SECOND = 1_000_000_000
NOW_NS = 1_700_000_000 * SECOND  # 2023-11-14 22:13:20 UTC
HOP = {"all": {"count": 3, "p50": 400_000, "p90": 1_000_000, "p99": 2_500_000, "max": 12_000_000}}
NEVER = {"all": {"count": 0, "p50": None, "p90": None, "p99": None, "max": None}}
STATUS = {
    "health": "ok", "store": "ok", "session": "open", "trading_date": "2023-11-14",
    "opens": "2023-11-15T09:00:00Z", "closes": "2023-11-14T23:00:00Z", "link": "up",
    "inbox": 1, "waiting": 12, "waiting_peak": 40, "in_flight": 2, "unknown": 0,
    "open_orders": 1_203, "published": 7, "journal_seq": 123_456,
    "throttle": {"policy": "sliding", "sends_max": 50, "in_use": 12, "free": 38},
    "latency_ns": {"wait": NEVER, "total": HOP},
}  # fmt: skip
BOOK = Market(
    "BTC_USD", (("99.5", "2"), ("99.25", "0.125")), (("100", "1.5"), ("1234.75", "3")),
    (Print(NOW_NS, "100", "0.5", "BUY"), Print(NOW_NS - SECOND, "99.5", "1", "SELL")),
)  # fmt: skip


def row(symbol="BTC_USD", phase="CONTINUOUS", last="99.5"):
    return MarketRow(symbol, phase, last, 2, 3)


def seen(*rows, market=BOOK, status=STATUS, **more):
    return Seen(Overview(rows or (row(),), status), market, SECOND, **more)


def view(symbol="BTC_USD", after_s=0.0, paused_ns=None):
    return View(symbol, paused_ns, SECOND + int(after_s * SECOND), NOW_NS)


def texts(painted):
    return [lines.text(line).rstrip() for line in painted]


def looks(painted):
    return {look for line in painted for part, look in line if part.strip()}


# --- numbers ---


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        ("0", 0, "0"), ("0", 2, "0.00"), ("1234567.5", 2, "1,234,567.50"), ("-1234", 0, "-1,234"),
        ("-0.25", 1, "-0.25"), ("98.5", 4, "98.5000"), ("100", 0, "100"),
        ("0.00000001", 2, "0.00000001"),
    ],
)  # fmt: skip
def test_a_number_has_the_decimals_of_its_grid_and_thousands(value, decimals, shown):
    assert lines.text(lines.number(value, decimals)) == shown


def test_zeros_at_the_end_are_dimmed_and_there():
    assert lines.number("60000", 2) == [("60,000", "plain"), (".00", "zeros")]
    assert lines.number("60000.5", 2, side=Side.SELL) == [("60,000.5", "sells"), ("0", "zeros")]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8), st.integers(0, 12))
def test_no_number_is_rounded_or_changed(value, decimals):
    """Read back without its commas it is the same, with at least so many decimals."""
    shown = lines.text(lines.number(f"{value:f}", decimals))
    assert Decimal(shown.replace(",", "")) == value
    assert len(shown.partition(".")[2]) >= decimals


def test_what_does_not_fit_is_marked_so_that_no_number_looks_whole():
    assert lines.cut([("1234", "plain"), ("567", "zeros")], 6) == [
        ("1234", "plain"), ("5", "zeros"), ("…", "warn")
    ]  # fmt: skip
    assert lines.cut([("1234567", "plain")], 7) == [("1234567", "plain")]


# --- panels ---


def test_the_book_has_bids_left_and_asks_right_with_sums_where_they_fit():
    narrow = texts(lines.book_lines(seen(), view(), (53, 10)))
    assert len(narrow) == 10
    assert narrow[1].split() == ["quantity", "price", "|", "price", "quantity"]
    assert narrow[2].split() == ["2.000", "99.50", "|", "100.00", "1.500"]
    wide = texts(lines.book_lines(seen(), view(), (70, 10)))
    assert wide[1].split() == ["sum", "quantity", "price", "|", "price", "quantity", "sum"]
    assert wide[3].split() == ["2.125", "0.125", "99.25", "|", "1,234.75", "3.000", "4.500"]


def test_bids_and_asks_have_their_colours_and_their_places():
    painted = lines.book_lines(seen(), view(), (53, 10))
    assert ("99.5", "buys") in painted[2]
    assert ("100", "sells") in painted[2]


def test_the_tape_says_who_took_by_sign_and_colour():
    painted = lines.tape_lines(seen(), view(), (40, 5))
    assert texts(painted)[1:3] == ["22:13:20 ▲ 100.00  0.500", "22:13:19 ▼  99.50  1.000"]
    assert texts(lines.tape_lines(seen(), view(), (50, 5)))[1].startswith("22:13:20.000 ▲")
    assert (" ▲ ", "buys") in painted[1]
    auction = BOOK._replace(trades=(Print(NOW_NS, "100", "1", ""),))
    assert "◆" in texts(lines.tape_lines(seen(market=auction), view(), (40, 5)))[1]


def test_the_head_tells_phase_last_price_direction_and_spread():
    [head] = texts(lines.head_lines(seen(), view(), (80, 1)))
    assert head.split() == [
        "BTC_USD", "●", "continuous", "last", "100.00", "▲", "spread", "0.50", "22:13:20", "UTC"
    ]  # fmt: skip


def test_session_queue_and_latency_are_told_below_each_other_or_side_by_side():
    narrow = texts(lines.daemon_lines(seen(reports_per_s=812.4), view(), (43, 12)))
    assert narrow == [
        "Session, queue, latency", "session   open, 2023-11-14",
        "closes    2023-11-14 23:00 UTC, in 0:46:40", "link      up, health ok, store ok",
        "waiting   12 orders, peak 40; inbox 1", "in flight 2; open orders 1,203",
        "throttle  12 of 50 in use", "reports   812 a second; journal 123,456",
        "ms               p50       p99       max", "total          0.400     2.500    12.000",
        "wait               -         -         -", "",
    ]  # fmt: skip
    wide = texts(lines.daemon_lines(seen(), view(), (126, 9)))
    assert wide[1].split()[:2] == ["session", "open,"]
    assert "12 orders" in wide[1]
    assert wide[1].endswith("max")


def test_a_closed_session_says_when_it_opens():
    closed = {**STATUS, "session": "closed", "trading_date": None, "closes": None, "link": "down"}
    painted = lines.daemon_lines(seen(status=closed), view(), (43, 12))
    assert texts(painted)[1:4] == [
        "session   closed", "opens     2023-11-15 09:00 UTC, in 10:46:40",
        "link      down, health ok, store ok",
    ]  # fmt: skip
    assert ("down", "warn") in painted[3]
    painted = lines.daemon_lines(seen(status={**closed, "opens": None}), view(), (43, 12))
    assert texts(painted)[2] == "opens     never"


def test_what_is_withheld_says_what_to_do():
    status = {name: STATUS[name] for name in ("session", "trading_date", "opens", "closes", "link")}
    told = seen(status=status)
    told = told._replace(overview=told.overview._replace(withheld="for operators: set OMS_KEY"))
    assert "queue     for operators: set OMS_KEY" in texts(
        lines.daemon_lines(told, view(), (43, 11))
    )


def test_pages_of_markets_do_not_slide_under_the_digits():
    rows = [row(f"M{n:02}") for n in range(25)]
    painted = texts(lines.market_lines(seen(*rows), view("M13"), (26, 10)))
    assert painted[0] == "Markets, 25"
    assert painted[1].split()[:2] == ["1", "●"]
    assert [line.split()[-2] for line in painted[1:]] == [f"M{n:02}" for n in range(9, 18)]
    assert painted[5].startswith("5>● M13")


# --- what is live ---


def test_halted_auction_closed_and_remote_differ_in_shape_and_words():
    shapes = {}
    for phase in (*Phase, None):
        told = seen(row(phase=phase))
        [head] = texts(lines.head_lines(told, view(), (80, 1)))
        shapes[phase] = head.split()[1]
        assert lines.words(phase) in head
    assert shapes[Phase.HALTED] == "■"
    assert len({shapes[phase] for phase in (
        Phase.CONTINUOUS, Phase.OPENING_AUCTION, Phase.HALTED, Phase.CLOSED, Phase.PRE_OPEN, None
    )}) == 6  # fmt: skip
    halted = lines.book_lines(seen(row(phase=Phase.HALTED)), view(), (53, 10))
    assert texts(halted)[0] == "Book, halted: nothing trades"
    assert not looks(halted) & {"buys", "sells"}


def test_an_auction_says_whether_its_book_crosses():
    called = seen(row(phase=Phase.CLOSING_AUCTION))
    assert "nothing crosses" in texts(lines.book_lines(called, view(), (53, 10)))[0]
    crossed = BOOK._replace(bids=(("100", "1"),))
    called = seen(row(phase=Phase.CLOSING_AUCTION), market=crossed)
    assert "crossed until the uncross" in texts(lines.book_lines(called, view(), (53, 10)))[0]


def test_a_call_tells_what_would_trade_in_80_columns():
    """Price and volume with the decimals of the grid, and which side is left over."""
    called = row(phase=Phase.OPENING_AUCTION)

    def told(*auction):
        market = BOOK._replace(auction=Auction(*auction) if auction else None)
        return texts(lines.book_lines(seen(called, market=market), view(), (53, 10)))

    assert told("1234.5", "12.5", "3")[1] == "indicative 1,234.50  volume 12.500  ▲ 3.000"
    assert told("1234.5", "12.5", "-3")[1].endswith("  ▼ 3.000")
    assert told("1234.5", "12.5", "0")[1] == "indicative 1,234.50  volume 12.500"
    assert told(None, "0", "0")[1] == "indicative -  nothing would trade yet"
    longest = told("99999.95", "12345.678", "-12345.678")
    assert longest[1].endswith("  ▼ 12,345.678")
    assert (len(longest), longest[2].split()[0]) == (10, "quantity")
    assert told()[1].split()[0] == "quantity"
    over = seen(market=BOOK._replace(auction=Auction("99", "1", "0")))  # it ended since
    assert "indicative" not in "".join(texts(lines.book_lines(over, view(), (53, 10))))


@pytest.mark.parametrize("panel", ["head", "market", "book", "tape", "daemon"])
@pytest.mark.parametrize(
    ("told", "at"),
    [
        ("stale", (seen(lost="gone"), view())),
        ("stale", (seen(), view(after_s=2))),
        ("paused", (seen(), view(paused_ns=SECOND))),
    ],
)
def test_what_is_not_live_loses_its_colour_and_says_so_everywhere(panel, told, at):
    """Lost, silent for two seconds, or paused: nothing is cleared, and nothing looks live."""
    make = getattr(lines, f"{panel}_lines")
    live = make(seen(), view(after_s=1.9), (60, 12))
    painted = make(*at, (60, 12))
    assert f"▲ {told}" in texts(painted)[0]
    assert told not in texts(live)[0]
    assert not looks(painted[1:] if panel != "head" else painted) & {"buys", "sells", "plain"}
    assert texts(painted)[1:] == texts(live)[1:]


def test_the_foot_says_how_old_it_is_why_and_when_it_tries_again():
    def foot(*at):
        return texts(lines.foot_lines(at[0], "control.sock", at[1], (90, 1)))[0]

    assert foot(seen(), view()) == "● live  control.sock"
    assert foot(seen(), view(after_s=3.2)) == "▲ stale 3.2 s  no answer from control.sock"
    lost = seen(lost="the daemon has gone", tries=2, retry_ns=7 * SECOND)
    assert foot(lost, view(after_s=5)) == "▲ stale 5.0 s, try 3 in 1 s  the daemon has gone"
    assert foot(lost, view(after_s=3_725)).startswith("▲ stale 1:02:05, try 3 in 0 s")
    paused = view(after_s=9, paused_ns=4 * SECOND)
    assert foot(seen(), paused) == "▲ paused 6.0 s  space goes on"
    assert foot(lost, paused) == "▲ paused 6.0 s  and lost: the daemon has gone"


# --- whatever comes ---


NUMBERS = st.decimals("0.0001", 10**12, places=4).map("{:f}".format)
LEVELS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30).map(tuple)
PRINTS = st.lists(
    st.builds(
        Print, st.integers(0, 10**18), NUMBERS, NUMBERS, st.sampled_from(["", "BUY", "SELL"])
    ),
    max_size=30,
).map(tuple)  # fmt: skip
TEXTS = st.text(min_size=1, max_size=30)
ROWS = st.lists(
    st.builds(
        MarketRow, TEXTS, st.none() | st.sampled_from([*Phase, "NEW_PHASE\x1b[31m"]),
        st.none() | NUMBERS, st.integers(0, 12), st.integers(0, 12),
    ),
    min_size=1, max_size=40,
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(
    auction=st.none() | st.builds(Auction, st.none() | NUMBERS, NUMBERS, NUMBERS),
    rows=ROWS, bids=LEVELS, asks=LEVELS, trades=PRINTS, lost=st.just("") | TEXTS,
    width=st.integers(1, 200), height=st.integers(1, 60),
)  # fmt: skip
def test_every_panel_has_its_size_and_no_text_moves_the_terminal(
    auction, rows, bids, asks, trades, lost, width, height
):
    """Whatever an exchange tells: no line is too long, and no control character comes through."""
    symbol = rows[0].symbol
    told = seen(*rows, market=Market(symbol, bids, asks, trades, auction), lost=lost)
    at = view(symbol)
    for make in (
        lines.market_lines, lines.book_lines, lines.tape_lines, lines.daemon_lines,
    ):  # fmt: skip
        painted = make(told, at, (width, height))
        assert len(painted) == height
        assert {lines.width_of(line) for line in painted} == {width}
        assert all(c.isprintable() for line in painted for c in lines.text(line))
        assert looks(painted) <= set(lines.LOOKS)
    for single in (
        lines.head_lines(told, at, (width, 1)), lines.foot_lines(told, "x\x1b[0m", at, (width, 1))
    ):  # fmt: skip
        assert lines.width_of(single[0]) <= width
        assert lines.text(single[0]).isprintable()
