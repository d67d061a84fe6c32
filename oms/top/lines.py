"""Lines: what was seen, as lines of text for each panel. No terminal is needed to make them.

Flow:  Seen, View -> [lines] -> screen
A line is a list of spans: a text, and a word for how it looks (LOOKS has them). Colour says
direction and nothing else, and never alone: buyers are left and ▲, sellers right and ▼. Once what
is shown is no longer live, every value loses its colour, and the panel's title says so.
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from oms.clock import NANOS, datetime_of
from oms.enums import Phase, Side
from oms.simulation.report import ms_text
from oms.top.seen import Level, Market, MarketRow, Print, Seen
from oms.top.sources import FIGURES

STALE_NS = 2 * NANOS  # without a whole look for so long, nothing is live any more
GLYPHS: dict[str, str] = {
    Phase.CONTINUOUS: "●", Phase.OPENING_AUCTION: "◆", Phase.CLOSING_AUCTION: "◆",
    Phase.REOPENING_AUCTION: "◆", Phase.HALTED: "■", Phase.CLOSED: "○", Phase.PRE_OPEN: "◐",
}  # fmt: skip
REMOTE, REMOTE_GLYPH = "at a remote venue", "·"
HOPS = ("total", "wait", "venue", "disk", "publish", "intake", "send")  # what matters most first
UP, DOWN = "▲", "▼"
NUMBER_MAX = 9  # of a market that a digit chooses
LABEL = 10
EXACT = Context(prec=200)  # more digits than any sum here may have

PLAIN, STRONG, DIM, ZEROS, GREY = "plain", "strong", "dim", "zeros", "grey"
BUYS, SELLS, WARN = "buys", "sells", "warn"
LOOKS = (PLAIN, STRONG, DIM, ZEROS, GREY, BUYS, SELLS, WARN)
ARROWS: dict[str, str] = {Side.BUY: UP, Side.SELL: DOWN}
SIDES: dict[str, str] = {Side.BUY: BUYS, Side.SELL: SELLS}

Span = tuple[str, str]
Line = list[Span]
Size = tuple[int, int]
"""Width and height in cells."""


class View(NamedTuple):
    """What the screen knows besides: which market is chosen, since when painting is paused (None:
    it is not), and the time."""

    symbol: str
    paused_ns: int | None
    monotonic_ns: int
    wall_ns: int


class Standing(NamedTuple):
    """Is what is shown live? word: "" if so, else what stands by each title."""

    word: str
    age_s: float

    @property
    def live(self) -> bool:
        return not self.word


def standing_of(seen: Seen, view: View) -> Standing:
    age_ns = view.monotonic_ns - seen.at_ns
    if view.paused_ns is not None:
        return Standing("paused", (view.monotonic_ns - view.paused_ns) / NANOS)
    is_live = not seen.lost and age_ns < STALE_NS
    return Standing("" if is_live else "stale", age_ns / NANOS)


# --- panels ---


def head_lines(seen: Seen, view: View, size: Size) -> list[Line]:
    """The chosen market in one line: phase, last price, spread; and the clock."""
    standing, row, market = standing_of(seen, view), seen.overview.row(view.symbol), seen.market
    clock = f"{datetime_of(view.wall_ns):%H:%M:%S} UTC"
    if row is None:
        return [spread_out([("no market is listed", WARN)], [(clock, DIM)], size[0])]
    left: Line = [(printable(row.symbol), STRONG), ("  ", PLAIN), *phase_spans(row.phase)]
    if not standing.live:
        left.append((f"   {UP} {standing.word}", WARN))
    last = last_of(row, market)
    if last is not None:
        direction = moved(market.trades) if market is not None else ""
        left += [("   last ", DIM), *number(last, row.price_decimals, side=direction)]
        left += [(f" {_arrow(direction)}", _look_of(direction))] if direction else []
    if market is not None and market.bids and market.asks:
        gap = EXACT.subtract(Decimal(market.asks[0][0]), Decimal(market.bids[0][0]))
        left += [("   spread ", DIM), *number(f"{gap:f}", row.price_decimals)]
    return greyed([spread_out(left, [(clock, DIM)], size[0])], standing)


def market_lines(seen: Seen, view: View, size: Size) -> list[Line]:
    """All markets, a page at a time; the first nine of the page have a digit."""
    standing, rows = standing_of(seen, view), seen.overview.markets
    width, page = size[0], size[1] - 1
    start = page_start(rows, view.symbol, page)
    title = "Markets" if len(rows) <= page else f"Markets, {len(rows)}"
    lines = []
    for place, row in enumerate(rows[start : start + page], 1):
        chosen = row.symbol == view.symbol
        key = str(place) if place <= NUMBER_MAX else " "
        glyph, look = glyph_of(row.phase)
        price = last_of(row, seen.market)
        last = number(price, row.price_decimals) if price is not None else [("-", DIM)]
        name: Line = [
            (key, DIM), (">" if chosen else " ", STRONG), (glyph, look),
            (f" {printable(row.symbol)}", STRONG if chosen else PLAIN),
        ]  # fmt: skip
        lines.append(spread_out(name, last, width))
    return panel(title, lines, standing, size)


def book_lines(seen: Seen, view: View, size: Size) -> list[Line]:
    """Bids left and asks right, best on top; with sums from the best level on where they fit."""
    standing, row, market = standing_of(seen, view), seen.overview.row(view.symbol), seen.market
    if row is None or market is None or market.symbol != row.symbol:
        return panel("Book", [[("waiting for the market", DIM)]], standing, size)
    side_width = (size[0] - 3) // 2
    bids, asks = (_side_rows(levels, row) for levels in (market.bids, market.asks))
    column = max((len(text(spans)) for rows in (bids, asks) for each in rows for spans in each),
                 default=0)  # fmt: skip
    column = max(column, len("quantity"))
    columns = 3 if side_width >= 3 * column + 2 else 2
    heads = [("price", DIM), ("quantity", DIM), ("sum", DIM)][:columns]
    lines = _call_lines(row, market)
    lines += [
        _book_line([[head] for head in heads], [[head] for head in heads], column, side_width)
    ]
    height = size[1] - 1 - len(lines)
    for n in range(min(height, max(len(bids), len(asks)))):
        bid = bids[n][:columns] if n < len(bids) else []
        ask = asks[n][:columns] if n < len(asks) else []
        lines.append(_book_line(bid, ask, column, side_width))
    if not bids and not asks:
        lines.append([("nobody bids, nobody offers", DIM)])
    if row.phase == Phase.HALTED:
        lines = [[(part, GREY) for part, _ in line] for line in lines]
    return panel(_book_title(row, market), lines, standing, size)


def _book_title(row: MarketRow, market: Market) -> str:
    """What the book means in this phase."""
    if row.phase == Phase.HALTED:
        return "Book, halted: nothing trades"
    if row.in_call:
        crosses = any(
            Decimal(bid[0]) >= Decimal(ask[0])
            for bid, ask in zip(market.bids[:1], market.asks[:1], strict=False)
        )
        return "Book, auction: " + ("crossed until the uncross" if crosses else "nothing crosses")
    if row.phase in (Phase.CLOSED, Phase.PRE_OPEN):
        return f"Book, {words(row.phase)}: nothing trades"
    return "Book"


def _call_lines(row: MarketRow, market: Market) -> list[Line]:
    """What the auction would trade now, in one line, and of which side how much would be left; no
    line while the market is in no call."""
    auction = market.auction
    if not row.in_call or auction is None:
        return []
    if auction.price is None:
        return [[("indicative ", DIM), ("-", PLAIN), ("  nothing would trade yet", DIM)]]
    line: Line = [
        ("indicative ", DIM), *number(auction.price, row.price_decimals),
        ("  volume ", DIM), *number(auction.volume, row.quantity_decimals),
    ]  # fmt: skip
    left = Decimal(auction.surplus)
    if left:
        side = Side.BUY if left > 0 else Side.SELL
        over = number(f"{abs(left):f}", row.quantity_decimals)
        line += [(f"  {_arrow(side)} ", _look_of(side)), *over]
    return [line]


def _side_rows(levels: Sequence[Level], row: MarketRow) -> list[list[Line]]:
    """Price, quantity and the sum of quantities from the best level on."""
    total, rows = Decimal(0), []
    for price, quantity in levels:
        total = EXACT.add(total, Decimal(quantity))
        rows.append([
            number(price, row.price_decimals), number(quantity, row.quantity_decimals),
            number(f"{total:f}", row.quantity_decimals),
        ])  # fmt: skip
    return rows


def _book_line(bid: list[Line], ask: list[Line], column: int, side_width: int) -> Line:
    """sum, quantity, price | price, quantity, sum: prices meet in the middle."""
    left = [padded(spans, column) for spans in reversed(bid)]
    right = [padded(spans, column) for spans in ask]
    bids, asks = joined(left, BUYS), joined(right, SELLS)
    gap = max(0, side_width - width_of(bids))
    return [(" " * gap, PLAIN), *bids, (" | ", DIM), *asks]


def tape_lines(seen: Seen, view: View, size: Size) -> list[Line]:
    """The latest trades, newest on top: time, who took, price, quantity."""
    standing, row, market = standing_of(seen, view), seen.overview.row(view.symbol), seen.market
    if row is None or market is None or market.symbol != row.symbol:
        return panel("Tape", [], standing, size)
    precise = size[0] >= 48
    rows = [
        (trade, number(trade.price, row.price_decimals, side=trade.taker_side),
         number(trade.quantity, row.quantity_decimals))
        for trade in market.trades[: size[1] - 1]
    ]  # fmt: skip
    price_width = max((width_of(price) for _, price, _ in rows), default=0)
    quantity_width = max((width_of(quantity) for _, _, quantity in rows), default=0)
    lines: list[Line] = [
        [
            (time_text(trade.wall_ns, precise), DIM),
            (f" {_arrow(trade.taker_side)} ", _look_of(trade.taker_side)),
            *padded(price, price_width), ("  ", PLAIN), *padded(quantity, quantity_width),
        ]
        for trade, price, quantity in rows
    ]  # fmt: skip
    return panel("Tape", lines or [[("no trades yet", DIM)]], standing, size)


def daemon_lines(seen: Seen, view: View, size: Size) -> list[Line]:
    """Session, queue and latencies: below each other, or beside each other where there is room."""
    standing, status, width = standing_of(seen, view), seen.overview.status, size[0]
    session = list(session_lines(status, view.wall_ns))
    if seen.overview.withheld:
        told = textwrap.wrap(printable(seen.overview.withheld), max(1, min(width, 60) - LABEL))
        queue = [_labeled("" if n else "queue", part, DIM) for n, part in enumerate(told)]
        latency: list[Line] = []
    else:
        queue, latency = list(queue_lines(seen)), list(latency_lines(status["latency_ns"]))
    if width < 3 * 38:
        return panel("Session, queue, latency", [*session, *queue, *latency], standing, size)
    third, blocks = width // 3, (session, queue, latency)
    lines = [
        [span for block in blocks for span in filled(block[n] if n < len(block) else [], third)]
        for n in range(max(map(len, blocks)))
    ]
    return panel("Session, queue, latency", lines, standing, size)


def session_lines(status: dict[str, Any], wall_ns: int) -> Iterator[Line]:
    """Whether orders trade, until when or from when on, and how the daemon is."""
    is_open = status["session"] == "open"
    date = f", {status['trading_date']}" if is_open and status["trading_date"] else ""
    yield _labeled("session", f"{status['session']}{date}", PLAIN if is_open else WARN)
    name = "closes" if is_open else "opens"
    at = status[name]
    if at is not None:
        yield _labeled(name, f"{at[:16].replace('T', ' ')} UTC, in {_until(at, wall_ns)}")
    elif not is_open:
        yield _labeled("opens", "never")
    parts: Line = [("link".ljust(LABEL), DIM), *_state(status["link"], "up")]
    for key in ("health", "store"):
        if key in status:
            parts += [(f", {key} ", DIM), *_state(status[key], "ok")]
    yield parts


def queue_lines(seen: Seen) -> Iterator[Line]:
    """What waits, where, and how much goes through."""
    status = seen.overview.status
    throttle, per_s = status["throttle"], seen.reports_per_s
    peak = f"{status['waiting']:,} orders, peak {status['waiting_peak']:,}"
    yield _labeled("waiting", f"{peak}; inbox {status['inbox']:,}")
    flight = f"{status['in_flight']:,}; open orders {status['open_orders']:,}"
    unknown = f"; unknown {status['unknown']:,}" if status["unknown"] else ""
    yield _labeled("in flight", flight + unknown, WARN if unknown else PLAIN)
    in_use, most = throttle["in_use"], throttle["sends_max"]
    used = "off" if in_use is None else f"{in_use:,} of {most:,} in use"
    yield _labeled("throttle", used, WARN if in_use is not None and in_use >= most else PLAIN)
    rate = "-" if per_s is None else f"{per_s:,.0f}"
    yield _labeled("reports", f"{rate} a second; journal {status['journal_seq']:,}")


def latency_lines(latency_ns: dict[str, Any]) -> Iterator[Line]:
    yield [("ms".ljust(LABEL) + "".join(f"{name:>10}" for name in FIGURES), DIM)]
    for hop in HOPS:
        if hop in latency_ns:
            figures = latency_ns[hop]["all"]
            yield [
                (hop.ljust(LABEL), DIM),
                ("".join(f"{_three_figures(figures[name]):>10}" for name in FIGURES), PLAIN),
            ]


def foot_lines(seen: Seen, told: str, view: View, size: Size) -> list[Line]:
    """Where this comes from, and whether it still does."""
    standing = standing_of(seen, view)
    if standing.live:
        return [cut([("● live", STRONG), (f"  {printable(told)}", DIM)], size[0])]
    word = f"{UP} {standing.word} {age_text(standing.age_s)}"
    if standing.word == "paused":
        why = "space goes on" if not seen.lost else f"and lost: {seen.lost}"
    elif seen.lost:
        wait_s = max(0, seen.retry_ns - view.monotonic_ns) / NANOS
        word += f", try {seen.tries + 1} in {wait_s:.0f} s"
        why = seen.lost
    else:
        why = f"no answer from {told}"
    return [cut([(word, WARN), (f"  {printable(why)}", PLAIN)], size[0])]


# --- what stands in them ---


def phase_spans(phase: str | None) -> Line:
    glyph, look = glyph_of(phase)
    return [(f"{glyph} ", look), (words(phase), look)]


def glyph_of(phase: str | None) -> Span:
    """Each phase has a shape of its own; what asks for attention is yellow."""
    if phase is None:
        return REMOTE_GLYPH, DIM
    glyph = GLYPHS.get(phase, "?")
    return glyph, WARN if glyph in "◆■?" else PLAIN


def words(phase: str | None) -> str:
    return REMOTE if phase is None else printable(phase.lower().replace("_", " "))


def page_start(rows: Sequence[MarketRow], symbol: str, page: int) -> int:
    """Of the page that has the chosen market: pages do not slide, so digits keep their meaning."""
    at = next((n for n, row in enumerate(rows) if row.symbol == symbol), 0)
    return at - at % max(1, page)


def last_of(row: MarketRow, market: Market | None) -> str | None:
    """The last price; of the market that is seen from near, that of its newest trade."""
    near = market is not None and market.symbol == row.symbol and market.trades
    return market.trades[0].price if market is not None and near else row.last


def moved(trades: Sequence[Print]) -> str:
    """The direction of the last price: that of its last change among the latest trades."""
    for trade, before in pairwise(trades):
        if trade.price != before.price:
            return Side.BUY if Decimal(trade.price) > Decimal(before.price) else Side.SELL
    return ""


def _arrow(side: str) -> str:
    return ARROWS.get(side, "◆")


def _look_of(side: str) -> str:
    return SIDES.get(side, PLAIN)


def number(value: str, decimals_min: int, side: str = "") -> Line:
    """With at least so many decimals, as its grid has; thousands apart, zeros at the end dimmed but
    there. value: a decimal as text."""
    whole, _, decimals = value.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    digits = f"{int(digits):,}"
    kept = decimals.rstrip("0")
    zeros = "0" * (max(decimals_min, len(decimals)) - len(kept))
    point = "." if kept or zeros else ""
    look = _look_of(side)
    if kept or not zeros:
        spans = [(f"{sign}{digits}{point}{kept}", look), (zeros, ZEROS)]
    else:
        spans = [(f"{sign}{digits}", look), (point + zeros, ZEROS)]
    return [span for span in spans if span[0]]


def time_text(wall_ns: int, precise: bool) -> str:
    text = f"{datetime_of(wall_ns):%H:%M:%S.%f}"
    return text[:12] if precise else text[:8]


def age_text(seconds: float) -> str:
    """At first with a tenth, then as a clock has it."""
    return f"{seconds:.1f} s" if seconds < 60 else span_text(int(seconds))


def span_text(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3_600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock


def _until(at: str, wall_ns: int) -> str:
    then = datetime.fromisoformat(at).astimezone(UTC)
    return span_text(max(0, int((then - datetime_of(wall_ns)).total_seconds())))


def _three_figures(ns: int | None) -> str:
    """Milliseconds with three figures or three decimals; never 0 for what was never measured."""
    text = ms_text(ns)
    return text if len(text) < 7 else f"{float(text):,.0f}"


def _state(word: str, good: str) -> Line:
    return [(printable(word), PLAIN if word == good else WARN)]


def _labeled(label: str, value: str, look: str = PLAIN) -> Line:
    return [(label.ljust(LABEL), DIM), (printable(value), look)]


# --- lines ---


def panel(title: str, lines: Iterable[Line], standing: Standing, size: Size) -> list[Line]:
    """Exactly so wide and so high; greyed, and with the word in the title, once it is not live."""
    width, height = size
    head: Line = [(printable(title), STRONG)]
    if not standing.live:
        head.append((f"  {UP} {standing.word}", WARN))
    body = list(lines)[: max(0, height - 1)]
    shown = [head, *greyed(body, standing)]
    return [filled(line, width) for line in shown] + [[(" " * width, PLAIN)]] * (
        height - len(shown)
    )


def greyed(lines: list[Line], standing: Standing) -> list[Line]:
    """Values lose their colour, not their contrast; what warns keeps it."""
    if standing.live:
        return lines
    return [
        [(part, look if look in (WARN, DIM, ZEROS) else GREY) for part, look in line]
        for line in lines
    ]


def joined(columns: list[Line], look: str) -> Line:
    """Columns beside each other; numbers have the side's look."""
    line: Line = []
    for n, spans in enumerate(columns):
        line += [(" ", PLAIN)] if n else []
        line += [(part, look if was == PLAIN else was) for part, was in spans]
    return line


def spread_out(left: Line, right: Line, width: int) -> Line:
    """One at the left edge, one at the right; where both do not fit, the left is cut."""
    room = width - width_of(right)
    return [*filled(left, room), *right] if room > 0 else cut(right, width)


def padded(spans: Line, width: int) -> Line:
    """At the right edge of a column."""
    return [(" " * max(0, width - width_of(spans)), PLAIN), *spans]


def filled(spans: Line, width: int) -> Line:
    """Exactly so wide."""
    line = cut(spans, width)
    return [*line, (" " * (width - width_of(line)), PLAIN)]


def cut(spans: Line, width: int) -> Line:
    """At most so wide; what is cut off ends with a mark, so that no number looks whole."""
    if width_of(spans) <= width:
        return spans
    line, room = Line(), max(0, width - 1)
    for part, look in spans:
        line.append((part[:room], look))
        room -= len(part[:room])
    return [*line, ("…", WARN)] if width > 0 else []


def width_of(spans: Line) -> int:
    return sum(len(part) for part, _ in spans)


def text(spans: Line) -> str:
    return "".join(part for part, _ in spans)


def printable(value: str) -> str:
    """No character that a terminal could take for a command, or that has another width than 1."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in value)
