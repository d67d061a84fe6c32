"""The report of a run as one HTML page: the figures of report.py, and charts.

Flow:  Facts -> [page] -> text of one file
Pure:  the page is whole: no script, no font, no picture from elsewhere, and its own policy
       forbids a browser to ask for any. Colours follow the reader's setting, light or dark.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise

from oms.clock import NANOS
from oms.instruments import Instrument
from oms.money import to_decimal
from oms.reject_reasons import REASONS
from oms.simulation.charts import MARKS, Line, Plot, gain_bar, nice_ticks, percentiles
from oms.simulation.report import (
    DEPTH_SHOWN,
    EDGES_NS,
    HOPS,
    OWN_HOPS,
    THROTTLED_HOPS,
    WAIT_NS_MIN,
    Facts,
    Position,
    duration_text,
    histogram_counts,
    ms_text,
    pnl_text,
    pnl_totals,
    positions,
    price_text,
    quantity_text,
    suggestions,
    throttled,
)
from oms.simulation.runner import Traded
from oms.simulation.samples import BookSample, Sample
from oms.turn.latency import Summary

BINS_MAX = 60
QUEUE_WIDTH = 520
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """\
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #1b2430;
  --soft: #5a6675; --grid: #e3e7ec; --axis: #9aa5b1; --line: #1f5f99; --bid: #1f77b4;
  --ask: #c8590a; --bar: #6b7f95; --gain: #1f77b4; --loss: #c8590a; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1a2029;
  --ink: #e6eaf0; --soft: #9aa7b6; --grid: #2a323d; --axis: #566373; --line: #7cb8ee;
  --bid: #62aef0; --ask: #f0a35c; --bar: #8496ab; --gain: #62aef0; --loss: #f0a35c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 22px; line-height: 1.3; margin: 0 0 4px; font-weight: 650; }
h2 { font-size: 17px; margin: 36px 0 10px; font-weight: 650; }
p { margin: 6px 0; } .soft { color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--grid); border-radius: 10px;
  padding: 16px 18px; margin: 12px 0; overflow-x: auto; }
.tiles { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr));
  margin: 18px 0; }
.tiles .card { margin: 0; padding: 12px 16px; }
.tiles dt { color: var(--soft); font-size: 13px; }
.tiles dd { margin: 0; font-size: 21px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles dd small { font-size: 13px; font-weight: 400; color: var(--soft); }
.three { display: grid; gap: 8px 24px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 310px), 1fr)); }
.market { display: flex; flex-wrap: wrap; gap: 0 18px; align-items: baseline; margin-bottom: 8px;
  font-variant-numeric: tabular-nums; }
.market b { font-size: 16px; } .market span { color: var(--soft); }
svg { width: 100%; height: auto; display: block; }
svg text { font: 11px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .title { font-size: 12px; font-weight: 600; fill: var(--ink); }
svg .label { fill: var(--ink); }
svg .grid { stroke: var(--grid); } svg .axis { stroke: var(--axis); }
svg .line { fill: none; stroke-linejoin: round; } svg .area { opacity: .55; }
svg .mark { fill: var(--line); stroke: var(--card); stroke-width: 1; }
svg .span { stroke: var(--axis); stroke-width: 1.5; }
svg.wide { min-width: 640px; }
svg.bar { width: 88px; height: 12px; display: inline-block; vertical-align: middle; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; font-size: 13px; color: var(--soft); }
th, td { padding: 4px 14px 4px 0; border-bottom: 1px solid var(--grid); white-space: nowrap; }
td.wide { white-space: normal; min-width: 240px; } tr:last-child td { border-bottom: 0; }
.n { text-align: right; }
pre { margin: 2px 0 10px; padding: 8px 12px; background: var(--page); border-radius: 6px;
  overflow-x: auto; font: 13px/1.45 ui-monospace, Consolas, "DejaVu Sans Mono", monospace; }
@media print { .card { break-inside: avoid; } }
"""


def html_of(facts: Facts) -> str:
    """The whole page."""
    body = "".join(
        part
        for section in (_head, _tiles, _markets, _latency, _queue, _agents, _rejects, _money, _next)
        for part in section(facts)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(facts.title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _head(facts: Facts) -> Iterator[str]:
    yield f"<h1>{escape(facts.title)}</h1>"
    if facts.outcome.interrupted:
        yield "<p><b>Interrupted:</b> this is how far it came.</p>"
    told = f"Throttle: {facts.throttle}. {sentence(facts.verdict)}"
    yield f'<p class="soft">{escape(told)}</p>'


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _tiles(facts: Facts) -> Iterator[str]:
    """The few figures to look at first."""
    outcome, rejects = facts.outcome, facts.status["rejects"]
    assert isinstance(rejects, Mapping)
    venue, disk = facts.latency_ns["venue"], facts.latency_ns["disk"]
    trades = sum(traded.count for traded in facts.tally.traded.values())
    tiles = (
        ("Requests", f"{outcome.count:,}", f"in {outcome.offer_ns / NANOS:.1f} s"),
        ("Trades", f"{trades:,}", ""),
        ("Rejects", f"{sum(rejects.values()):,}", ""),
        ("Matching, p50", f"{ms_text(venue['p50'])}", "ms"),
        ("Disk commit, p50", f"{ms_text(disk['p50'])}", "ms"),
        ("Longest queue", f"{facts.status['waiting_peak']:,}", "orders"),
    )
    yield '<dl class="tiles">'
    for name, figure, unit in tiles:
        yield f'<div class="card"><dt>{name}</dt><dd>{figure} <small>{unit}</small></dd></div>'
    yield "</dl>"


# --- markets ---


def _markets(facts: Facts) -> Iterator[str]:
    yield "<h2>Markets</h2>"
    for instrument in facts.instruments:
        traded = facts.tally.traded.get(instrument.symbol, Traded())
        last = price_text(instrument, traded.last_ticks) if traded.count else "none"
        yield (
            '<div class="card"><div class="market">'
            f"<b>{escape(instrument.symbol)}</b> <span>last price {last}</span> "
            f"<span>{traded.count:,} trades</span> "
            f"<span>volume {quantity_text(instrument, traded.lots)}</span></div>"
        )
        samples = [s for s in facts.samples if instrument.symbol in s.books]
        if len(samples) > 1:
            yield '<div class="three">'
            yield _price_chart(instrument, samples)
            yield _volume_chart(instrument, samples)
            yield _depth_chart(instrument, samples)
            yield "</div>"
        else:
            yield '<p class="soft">The run was too short for charts.</p>'
        yield "</div>"


def _price_chart(instrument: Instrument, samples: Sequence[Sample]) -> str:
    """The last price, and the best bid and ask where they do not cross, as they do in a call."""

    def points(name: str) -> list[tuple[float, float | None]]:
        found: list[tuple[float, float | None]] = []
        for at_ns, _, books in samples:
            book = books[instrument.symbol]
            crossed = name != "last_ticks" and 0 < book.ask_ticks <= book.bid_ticks
            ticks = getattr(book, name)
            found.append(
                (at_ns / NANOS, None if crossed or not ticks else _price(instrument, ticks))
            )
        return found

    lines = (
        Line("best ask", points("ask_ticks"), "--ask", "4 2", 1.2),
        Line("best bid", points("bid_ticks"), "--bid", "1.5 2", 1.4),
        Line("last", points("last_ticks"), "--line", "", 2.0),
    )
    values = [value for line in lines for _, value in line.points if value is not None]
    plot = Plot(
        f"Price{_of(instrument.quote)}: solid last, dashed ask, dotted bid",
        _seconds(samples),
        nice_ticks(min(values, default=0.0), max(values, default=1.0), 4),
    )
    for line in lines:
        plot.line(line)
    span = f"from {min(values):,.6g} to {max(values):,.6g}" if values else "none"
    return plot.svg(f"Prices {span}")


def _volume_chart(instrument: Instrument, samples: Sequence[Sample]) -> str:
    """What was traded between samples, in at most BINS_MAX bars."""
    step = -(-len(samples) // BINS_MAX)
    at = [*samples[::step], samples[-1]]
    bins = [
        (
            before.at_ns / NANOS,
            after.at_ns / NANOS,
            _amount(instrument, _book(instrument, after).volume_lots)
            - _amount(instrument, _book(instrument, before).volume_lots),
        )
        for before, after in pairwise(at)
    ]
    wide_s = (at[1].at_ns - at[0].at_ns) / NANOS
    most = max((amount for _, _, amount in bins), default=0.0)
    plot = Plot(
        f"Volume{_of(instrument.base)} in each {wide_s:.2g} s",
        _seconds(samples),
        nice_ticks(0, most or 1, 4),
    )
    plot.bars(bins, "--bar")
    plot.rule(0)
    return plot.svg(f"At most {most:,.6g}")


def _depth_chart(instrument: Instrument, samples: Sequence[Sample]) -> str:
    """Bids upwards, asks downwards: what rests on the best levels."""
    bids, asks = (
        [
            (s.at_ns / NANOS, sign * _amount(instrument, getattr(_book(instrument, s), name)))
            for s in samples
        ]
        for name, sign in (("bid_lots", 1), ("ask_lots", -1))
    )
    high = max((value for _, value in bids), default=0.0)
    low = min((value for _, value in asks), default=0.0)
    plot = Plot(
        f"Depth{_of(instrument.base)} on {DEPTH_SHOWN} levels a side",
        _seconds(samples),
        nice_ticks(low, high or 1, 4),
        y_text=lambda value: f"{abs(value):,.10g}",
    )
    plot.area(bids, "--bid")
    plot.area(asks, "--ask")
    plot.rule(0)
    start = plot.x.low + 0.02 * (plot.x.high - plot.x.low)
    plot.label(start, plot.y.high, "bids", anchor="start", above=False)
    plot.label(start, plot.y.low, "asks", anchor="start", above=True)
    return plot.svg(f"Bids at most {high:,.6g}, asks at most {-low:,.6g}")


def _book(instrument: Instrument, sample: Sample) -> BookSample:
    return sample.books[instrument.symbol]


def _price(instrument: Instrument, ticks: int) -> float:
    return float(to_decimal(ticks, instrument.price_scale))


def _amount(instrument: Instrument, lots: int) -> float:
    return float(to_decimal(lots, instrument.quantity_scale))


def _of(asset: str) -> str:
    return f", {asset}" if asset else ""


def _seconds(samples: Sequence[Sample]) -> float:
    """How long the time axis is."""
    return samples[-1].at_ns / NANOS


# --- latency, and the queue ---


def _latency(facts: Facts) -> Iterator[str]:
    waited = throttled(facts)
    hops = (*OWN_HOPS, *(THROTTLED_HOPS if waited else ("total",)))
    shown = OWN_HOPS if waited else hops
    yield "<h2>Latency</h2>"
    yield '<div class="card">'
    rows = [(hop, _figures(facts.latency_ns[hop])) for hop in shown]
    yield percentiles(rows, "Latency percentiles by hop; the table below has the numbers")
    if waited:
        yield (
            '<p class="soft">The hops of the program itself. The wait for the throttle follows '
            "from its settings and is shown under Queue.</p>"
        )
    yield "</div>"
    yield '<div class="card"><table><tr><th>hop</th>'
    yield "".join(f'<th class="n">{mark}, ms</th>' for mark in MARKS)
    yield "<th>from, to</th></tr>"
    for hop in hops:
        figures = facts.latency_ns[hop]
        cells = "".join(f'<td class="n">{ms_text(figures[mark])}</td>' for mark in MARKS)
        yield f'<tr><td>{hop}</td>{cells}<td class="wide">{escape(HOPS[hop])}</td></tr>'
    yield "</table></div>"


def _figures(summary: Summary) -> list[float | None]:
    found = (summary[mark] for mark in MARKS)
    return [None if ns is None else ns / NANOS for ns in found]


def _queue(facts: Facts) -> Iterator[str]:
    """How many orders waited when, and how long requests waited."""
    if len(facts.samples) < 2 or not any(sample.waiting for sample in facts.samples):
        return
    yield "<h2>Queue</h2>"
    yield '<div class="card"><div class="three">'
    points = [(sample.at_ns / NANOS, float(sample.waiting)) for sample in facts.samples]
    most = max(value for _, value in points)
    plot = Plot(
        "Queue length, orders and modifies that wait",
        _seconds(facts.samples),
        nice_ticks(0, most or 1, 4),
        width=QUEUE_WIDTH,
    )
    plot.area(points, "--bid")
    plot.rule(0)
    yield plot.svg(f"At most {most:,.0f} at the sampled moments")
    if throttled(facts):
        yield _wait_table(facts)
    yield "</div></div>"


def _wait_table(facts: Facts) -> str:
    counts = histogram_counts(facts.wait, WAIT_NS_MIN)
    used = [n for n, count in enumerate(counts) if count]
    most = max(counts)
    rows = "".join(
        f'<tr><td class="n">{_edge(n)}</td><td class="n">{counts[n]:,}</td>'
        f'<td><svg class="bar" viewBox="0 0 88 12" aria-hidden="true"><rect x="0" y="2" '
        f'width="{88 * counts[n] / most:.1f}" height="8" fill="var(--bar)"/></svg></td></tr>'
        for n in range(used[0], used[-1] + 1)
    )
    return (
        '<div><table><tr><th class="n">wait for the throttle</th><th class="n">requests</th>'
        f"<th></th></tr>{rows}</table></div>"
    )


def _edge(n: int) -> str:
    if n < len(EDGES_NS):
        return f"below {duration_text(EDGES_NS[n])}"
    return f"from {duration_text(EDGES_NS[-1])}"


# --- agents ---


def _agents(facts: Facts) -> Iterator[str]:
    rows = positions(facts)
    if not rows:
        return
    yield "<h2>Trades and positions</h2>"
    yield '<div class="card"><table><tr><th>account</th><th>symbol</th>'
    yield "".join(
        f'<th class="n">{name}</th>' for name in ("trades", "bought", "sold", "position", "P&amp;L")
    )
    yield "<th></th><th></th></tr>"
    largest = _largest(rows)
    before = ""
    for row in rows:
        each, dealt = row.instrument, row.dealt
        amounts = (dealt.bought_lots, dealt.sold_lots, row.lots)
        cells = "".join(f'<td class="n">{quantity_text(each, lots)}</td>' for lots in amounts)
        account = "" if row.account == before else escape(row.account)
        yield (
            f'<tr><td>{account}</td><td>{escape(each.symbol)}</td><td class="n">{dealt.trades:,}'
            f'</td>{cells}<td class="n">{pnl_text(row)}</td><td>{escape(each.quote)}</td>'
            f"<td>{gain_bar(_gain(row), largest[each.quote])}</td></tr>"
        )
        before = row.account
    yield "</table>"
    yield '<p class="soft">P&amp;L: sales less purchases, plus the position at the last price, '
    yield "less fees. Bars to the right are gains, to the left losses, each scaled to the largest "
    yield "of its quote asset."
    for quote, (pnl, fees) in pnl_totals(rows).items():
        yield f" All P&amp;L in {escape(quote)}: {pnl}; fees less rebates: {fees}."
    yield "</p></div>"


def _gain(row: Position) -> float:
    return float(to_decimal(row.pnl, row.pnl_scale))


def _largest(rows: Sequence[Position]) -> dict[str, float]:
    largest: dict[str, float] = {}
    for row in rows:
        quote = row.instrument.quote
        largest[quote] = max(largest.get(quote, 0.0), abs(_gain(row)))
    return largest


# --- rejects, money, what next ---


def _rejects(facts: Facts) -> Iterator[str]:
    rejects = facts.status["rejects"]
    assert isinstance(rejects, Mapping)
    if not rejects:
        return
    yield '<h2>Rejects</h2><div class="card">'
    yield '<table><tr><th>reason</th><th class="n">requests</th><th>meaning</th></tr>'
    for reason, count in sorted(rejects.items(), key=lambda item: -item[1]):
        meaning = REASONS[reason].meaning if reason in REASONS else ""
        yield (
            f'<tr><td>{escape(reason)}</td><td class="n">{count:,}</td>'
            f'<td class="wide">{escape(meaning)}</td></tr>'
        )
    yield f'</table><p class="soft">{escape(facts.on_purpose)}</p></div>'


def _money(facts: Facts) -> Iterator[str]:
    if not facts.money:
        return
    columns = ("paid in", "held by accounts", "fees earned", "rounding", "reserved")
    yield '<h2>Balances</h2><div class="card"><table><tr><th>asset</th>'
    yield "".join(f'<th class="n">{column}</th>' for column in columns) + "</tr>"
    for each in facts.money:
        amounts = (each.paid_in, each.held, each.fees, each.rounding, each.reserved)
        cells = "".join(f'<td class="n">{to_decimal(n, each.scale):,f}</td>' for n in amounts)
        yield f"<tr><td>{escape(each.asset)}</td>{cells}</tr>"
    conserved = all(each.conserved for each in facts.money)
    told = "All that was paid in is accounted for." if conserved else "NOT conserved."
    yield f"</table><p>{told}</p></div>"


def _next(facts: Facts) -> Iterator[str]:
    if not facts.command:
        return
    yield '<h2>What to do next</h2><div class="card">'
    for meaning, command in suggestions(facts):
        yield f"<p>{escape(sentence(meaning))}</p><pre>{escape(command)}</pre>"
    yield "</div>"
