"""The report of a run: figures in, text out.

Pure:  no clock, no files. `simulate` and `feed` fill in Facts; page.py makes HTML of the same.
"""

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from oms.clock import NANOS
from oms.exchange.accounts import HOUSE, Ledger
from oms.instruments import Instrument
from oms.market_data import Depth
from oms.money import to_decimal
from oms.reject_reasons import REASONS
from oms.simulation.runner import EXAMPLES, Dealt, Outcome, Tally, Traded
from oms.simulation.samples import Sample
from oms.turn.latency import Summary

Bars = Sequence[tuple[int, int, int]]
"""Rows of a histogram: from ns, to ns, how many."""

WIDTH = 92
BAR_WIDTH = 44
DEPTH_SHOWN = 5
FIGURES = ("p50", "p90", "p99", "p99.9", "max")
HOPS = {
    "venue": "sent to the venue until answered by it: matching",
    "disk": "answered until the commit has returned: one fsync a turn",
    "publish": "committed until the listeners are told",
    "intake": "handed over until the dispatcher takes the request",
    "wait": "in the queue, until the throttle lets the request go",
    "total": "handed over until told, all waits included",
}
OWN_HOPS = ("venue", "disk", "publish", "intake")  # what the program itself needs
THROTTLED_HOPS = ("wait", "total")
EDGES_NS = [m * 10**e for e in range(3, 12) for m in (1, 2, 5)]  # 1 us to 500 s
WAIT_NS_MIN = 10**6  # below it, a wait for the throttle is none
PNL_DECIMALS = 2


class Holding(NamedTuple):
    """One asset at the end: deposits less withdrawals, and where they are now.

    held: by all accounts but those of the exchange, which take fees and what is rounded; reserved
    is part of it.
    """

    asset: str
    scale: int
    paid_in: int
    held: int
    fees: int
    rounding: int
    reserved: int

    @property
    def conserved(self) -> bool:
        return self.held + self.fees + self.rounding == self.paid_in


def holdings(ledger: Ledger) -> list[Holding]:
    """What all accounts of a ledger own, by asset."""
    assets = {asset for balances in ledger.accounts.values() for asset in balances}
    found = []
    for asset in sorted(assets | ledger.paid_in.keys()):
        fees, rounding = (sum(ledger.accounts.get(a, {}).get(asset, (0, 0))) for a in HOUSE)
        reserved = sum(balances.get(asset, (0, 0))[1] for balances in ledger.accounts.values())
        held, paid_in = ledger.total(asset) - fees - rounding, ledger.paid_in.get(asset, 0)
        scale = ledger.scales.get(asset, 0)
        found.append(Holding(asset, scale, paid_in, held, fees, rounding, reserved))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a report is made of.

    status: as OrderManagement.get_status() gives it. total, wait: histogram rows.
    notes: what else there is to say of this kind of run, line by line.
    money: where there is a ledger. taken_back: orders canceled at the end.
    on_purpose: why some requests of this flow are rejected, in a sentence or two.
    command: how to run another command on the same data, with {} in place of that command.
    samples: for the charts of page.py.
    """

    title: str
    outcome: Outcome
    tally: Tally
    status: Mapping[str, object]
    throttle: str
    instruments: Sequence[Instrument]
    depths: Mapping[str, Depth]
    latency_ns: Mapping[str, Summary]
    total: Bars
    wait: Bars
    database: str
    database_bytes: int
    log_file: str
    verdict: str
    notes: list[str] = field(default_factory=list)
    money: Sequence[Holding] = ()
    taken_back: int = 0
    on_purpose: str = ""
    command: str = ""
    samples: Sequence[Sample] = ()


class Position(NamedTuple):
    """What an account has gained or lost of one symbol in this run, and what it holds of it.

    pnl: sales less purchases, plus the position at the last price, less fees; in
    10^-pnl_scale of the quote asset, exact.
    """

    account: str
    instrument: Instrument
    dealt: Dealt
    pnl: int
    pnl_scale: int

    @property
    def lots(self) -> int:
        """Above 0 long, below 0 short of where the run began."""
        return self.dealt.bought_lots - self.dealt.sold_lots


def positions(facts: Facts) -> list[Position]:
    """Of each account and symbol that traded, by account; symbols as they are configured."""
    found = []
    for account in sorted({account for account, _ in facts.tally.dealt}):
        for instrument in facts.instruments:
            dealt = facts.tally.dealt.get((account, instrument.symbol))
            traded = facts.tally.traded.get(instrument.symbol)
            if dealt is None or traded is None:
                continue
            value_scale = instrument.price_scale + instrument.quantity_scale
            scale = max(value_scale, instrument.quote_scale)
            value = dealt.proceeds + (dealt.bought_lots - dealt.sold_lots) * traded.last_ticks
            pnl = value * 10 ** (scale - value_scale)
            pnl -= dealt.fees * 10 ** (scale - instrument.quote_scale)
            found.append(Position(account, instrument, dealt, pnl, scale))
    return found


def render(facts: Facts) -> str:
    """The whole report; its title was printed when the run began."""
    sections = (
        _headline(facts), _requests(facts), _answers(facts), _rejects(facts), _trades(facts),
        _positions(facts), _books(facts), _latency(facts), _throttle(facts), _data(facts),
        _money(facts), _next(facts),
    )  # fmt: skip
    return "\n\n".join("\n".join(lines) for section in sections if (lines := list(section)))


def _headline(facts: Facts) -> Iterator[str]:
    yield "=" * WIDTH
    if facts.outcome.interrupted:
        yield "interrupted: this is how far it came"
    yield from facts.notes


def _requests(facts: Facts) -> Iterator[str]:
    outcome = facts.outcome
    seconds = outcome.offer_ns / NANOS
    rate = outcome.count / seconds if seconds else 0.0
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(outcome.offered.items()))
    yield f"Requests   {outcome.count:,} offered in {seconds:.1f} s: {rate:,.0f} a second"
    yield f"           {kinds or 'none'}"
    sent = facts.latency_ns["venue"]["count"] or 0
    yield f"           {sent:,} sent to the venue in {outcome.total_ns / NANOS:.1f} s"
    if outcome.unanswered:
        yield f"Unanswered {outcome.unanswered:,}"


def _answers(facts: Facts) -> Iterator[str]:
    reports = facts.tally.reports
    yield f"Reports    {reports.total():,} execution reports, each published after its commit"
    for kind, count in reports.most_common():
        yield f"           {kind.lower().replace('_', ' '):<18} {count:>12,}"


def _rejects(facts: Facts) -> Iterator[str]:
    rejects = facts.status["rejects"]
    assert isinstance(rejects, Mapping)
    yield f"Rejected   {sum(rejects.values()):,} requests" if rejects else "Rejected   none"
    for reason, count in sorted(rejects.items(), key=lambda item: -item[1]):
        meaning = REASONS[reason].meaning if reason in REASONS else ""
        yield f"           {reason or '(no reason)':<24} {count:>6,}  {meaning}".rstrip()
    if rejects and facts.on_purpose:
        yield ""
        yield from textwrap.wrap(
            facts.on_purpose, WIDTH, initial_indent=" " * 11, subsequent_indent=" " * 11
        )


def _trades(facts: Facts) -> Iterator[str]:
    yield f"Trades     {'symbol':<14} {'trades':>10} {'volume':>18} {'last price':>16}"
    for instrument in facts.instruments:
        traded = facts.tally.traded.get(instrument.symbol, Traded())
        volume = quantity_text(instrument, traded.lots)
        last = price_text(instrument, traded.last_ticks) if traded.count else "-"
        yield f"           {instrument.symbol:<14} {traded.count:>10,} {volume:>18} {last:>16}"
    in_auctions = sum(traded.in_auctions for traded in facts.tally.traded.values())
    if in_auctions:
        yield f"           {in_auctions:,} of these trades in auctions, each at one price"


def _positions(facts: Facts) -> Iterator[str]:
    """Of each account: what it traded, where that left it, and what it gained or lost."""
    rows = positions(facts)
    if not rows:
        return
    heads = f"{'trades':>6} {'bought':>11} {'sold':>11} {'position':>11} {'P&L':>12}"
    yield f"Positions  {'account':<12} {'symbol':<10} {heads}"
    before = ""
    for row in rows:
        each, account = row.instrument, "" if row.account == before else row.account
        amounts = (row.dealt.bought_lots, row.dealt.sold_lots, row.lots)
        cells = " ".join(f"{quantity_text(each, lots):>11}" for lots in amounts)
        yield (
            f"           {account:<12} {each.symbol:<10} {row.dealt.trades:>6,} {cells} "
            f"{pnl_text(row):>12} {each.quote}"
        ).rstrip()
        before = row.account
    yield ""
    yield "           P&L: sales less purchases, plus the position at the last price, less fees."
    for quote, (pnl, fees) in pnl_totals(rows).items():
        yield f"           All P&L in {quote}: {pnl}; fees less rebates: {fees}."


def pnl_text(row: Position) -> str:
    """Rounded half-even to PNL_DECIMALS, with its sign."""
    return f"{to_decimal(row.pnl, row.pnl_scale):+,.{PNL_DECIMALS}f}"


def pnl_totals(rows: Sequence[Position]) -> dict[str, tuple[str, str]]:
    """By quote asset: the sum of all P&L and of all fees. Together 0: a trade makes no money."""
    pnl, fees, scales = Counter[str](), Counter[str](), dict[str, int]()
    for row in rows:
        quote = row.instrument.quote
        scales[quote] = max(scales.get(quote, 0), row.pnl_scale)
    for row in rows:
        quote, scale = row.instrument.quote, scales[row.instrument.quote]
        pnl[quote] += row.pnl * 10 ** (scale - row.pnl_scale)
        fees[quote] += row.dealt.fees * 10 ** (scale - row.instrument.quote_scale)
    return {
        quote: (
            f"{to_decimal(pnl[quote], scale):+,.{PNL_DECIMALS}f}",
            f"{to_decimal(fees[quote], scale):,.{PNL_DECIMALS}f}",
        )
        for quote, scale in scales.items()
    }


def _books(facts: Facts) -> Iterator[str]:
    for number, instrument in enumerate(facts.instruments):
        depth = facts.depths.get(instrument.symbol, ([], []))
        lines = depth_lines(instrument, (depth[0][:DEPTH_SHOWN], depth[1][:DEPTH_SHOWN]))
        if number:
            yield ""
        yield from lines


def depth_lines(instrument: Instrument, depth: Depth) -> list[str]:
    """One book: bids on the left, asks on the right, best first."""
    bids, asks = depth
    lines = [f"{'Book ' + instrument.symbol:<20} {'bid':>22} | ask"]
    if not bids and not asks:
        return [f"Book {instrument.symbol}: empty"]
    for n in range(max(len(bids), len(asks))):
        left = _level(instrument, bids[n], bid=True) if n < len(bids) else ""
        right = _level(instrument, asks[n], bid=False) if n < len(asks) else ""
        lines.append(f"{left:>43} | {right}".rstrip())
    return lines


def _level(instrument: Instrument, level: tuple[int, int], *, bid: bool) -> str:
    price, quantity = price_text(instrument, level[0]), quantity_text(instrument, level[1])
    return f"{quantity:>14} at {price:>14}" if bid else f"{price:<14} for {quantity}"


def _latency(facts: Facts) -> Iterator[str]:
    """What the program itself needs; the throttle has a section of its own."""
    yield from _hops("Latency, ms", facts, OWN_HOPS)
    if not throttled(facts):
        yield from _hops("", facts, ("total",))
        yield ""
        yield from _histogram("Time to the answer", facts.total)


def _throttle(facts: Facts) -> Iterator[str]:
    """How long requests waited, and in how long a queue."""
    status = facts.status
    yield f"Throttle   {facts.throttle}"
    left = status["waiting"]
    yield f"Queue      at most {status['waiting_peak']:,} waiting" + (
        f"; {left:,} still wait and go out at the next start" if left else "; none left"
    )
    if throttled(facts):
        yield from _hops("Waiting, ms", facts, THROTTLED_HOPS)
        yield ""
        yield from _histogram("Wait for the throttle", facts.wait, WAIT_NS_MIN)


def throttled(facts: Facts) -> bool:
    """Did any request wait for the throttle?"""
    waited = any(low_ns >= WAIT_NS_MIN for low_ns, _, _ in facts.wait)
    return waited and facts.throttle != "off"  # then it is the turn that was waited for


def _hops(title: str, facts: Facts, hops: Sequence[str]) -> Iterator[str]:
    if title:
        yield f"{title:<11}" + "".join(f"{name:>11}" for name in FIGURES)
    for hop in hops:
        figures = facts.latency_ns[hop]
        values = "".join(f"{ms_text(figures[name]):>11}" for name in FIGURES)
        yield f"  {hop:<9}{values}  {HOPS[hop]}"


def ms_text(ns: int | None) -> str:
    """Milliseconds; "-" for what was never measured."""
    return "-" if ns is None else f"{ns / 1e6:.3f}"


def histogram_counts(bars: Bars, least_ns: int = 0) -> list[int]:
    """How many below each of EDGES_NS, and from the last one on; below least_ns all together."""
    counts = [0] * (len(EDGES_NS) + 1)
    for low_ns, _, count in bars:
        at = max(low_ns, least_ns - 1)
        counts[sum(edge <= at for edge in EDGES_NS)] += count
    return counts


def _histogram(title: str, bars: Bars, least_ns: int = 0) -> Iterator[str]:
    """Bars in steps of 1, 2, 5, from the first that is not empty to the last."""
    counts = histogram_counts(bars, least_ns)
    used = [n for n, count in enumerate(counts) if count]
    if not used:
        return
    yield f"{title} ({sum(counts):,} requests)"
    highest = max(counts)
    for n in range(used[0], used[-1] + 1):
        bar = "#" * -(-counts[n] * BAR_WIDTH // highest)
        yield f"  {edge_text(n):>14} {counts[n]:>10,}  {bar}".rstrip()


def edge_text(n: int) -> str:
    """What bar n of a histogram holds."""
    if n == len(EDGES_NS):
        return f"from {duration_text(EDGES_NS[-1])}"
    return f"below {duration_text(EDGES_NS[n])}"


def _data(facts: Facts) -> Iterator[str]:
    status = facts.status
    yield f"Journal    {status['journal_seq']:,} entries and turns, {status['turns']:,} turns here"
    yield f"Database   {facts.database} ({facts.database_bytes / 1e6:,.1f} MB)"
    yield f"Log        {facts.log_file}"
    yield f"Verify     {facts.verdict}"


def _money(facts: Facts) -> Iterator[str]:
    """Every unit that was paid in is somewhere; nothing is reserved any more."""
    if not facts.money:
        return
    columns = ("paid in", "held by accounts", "fees earned", "rounding", "reserved")
    yield f"Balances   {'asset':<8}" + "".join(f"{column:>20}" for column in columns)
    for each in facts.money:
        amounts = (each.paid_in, each.held, each.fees, each.rounding, each.reserved)
        texts = "".join(f"{to_decimal(units, each.scale):>20,f}" for units in amounts)
        yield f"           {each.asset:<8}{texts}"
    reserved = "nothing" if not any(each.reserved for each in facts.money) else "see above"
    yield f"Canceled   {facts.taken_back:,} open orders at the end, by mass cancel"
    yield f"Reserved   {reserved}"
    conserved = all(each.conserved for each in facts.money)
    yield f"Conserved  {'yes: all that was paid in is accounted for' if conserved else 'NO'}"


def _next(facts: Facts) -> Iterator[str]:
    """Orders worth a look, and what else these data can be asked."""
    if not facts.command:
        return
    yield "Next"
    for meaning, command in suggestions(facts):
        yield f"  {meaning}:"
        yield f"      {command}"


def suggestions(facts: Facts) -> list[tuple[str, str]]:
    """What to do next: what for, and the command as it is typed."""
    examples = facts.tally.examples
    asked = [
        (f"the story of {meaning}", f"explain {examples[kind]}")
        for kind, meaning in EXAMPLES.items()
        if kind in examples
    ]
    if facts.money:
        asked.append(("the balances of every account", "ledger"))
    asked.append(("the comparison of journal and reports, again", "verify"))
    return [(meaning, facts.command.format(command)) for meaning, command in asked]


def price_text(instrument: Instrument, ticks: int) -> str:
    """With as many decimals as the tick has, so that prices stand in a column."""
    decimals = len(instrument.tick_size_text.partition(".")[2])
    return f"{to_decimal(ticks, instrument.price_scale):,.{decimals}f}"


def quantity_text(instrument: Instrument, lots: int) -> str:
    decimals = len(instrument.lot_size_text.partition(".")[2])
    return f"{to_decimal(lots, instrument.quantity_scale):,.{decimals}f}"


def duration_text(ns: int) -> str:
    for unit, scale in (("s", NANOS), ("ms", 10**6), ("us", 10**3)):
        if ns >= scale:
            return f"{ns // scale} {unit}"
    return f"{ns} ns"
