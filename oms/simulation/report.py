"""The report of a run: figures in, text out.

Pure:  no clock, no files. Whoever ran something fills in Facts; a person reads the rest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from oms.clock import NANOS
from oms.exchange.accounts import HOUSE, Ledger
from oms.instruments import Instrument
from oms.market_data import Depth
from oms.money import to_decimal
from oms.simulation.runner import Outcome, Tally, Traded
from oms.turn.latency import Summary

Bars = Sequence[tuple[int, int, int]]
"""Rows of a histogram: from ns, to ns, how many."""

WIDTH = 92
BAR_WIDTH = 44
DEPTH_SHOWN = 5
FIGURES = ("p50", "p90", "p99", "p99.9", "max")
HOPS = {
    "intake": "taken from the caller, seen by the dispatcher",
    "wait": "in the queue, for the throttle",
    "venue": "sent, matched, answered",
    "disk": "until the commit has returned",
    "publish": "until listeners are told",
    "total": "from the call to the answer, waiting included",
}
EDGES_NS = [m * 10**e for e in range(3, 12) for m in (1, 2, 5)]  # 1 us to 500 s


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


def render(facts: Facts) -> str:
    """The whole report."""
    sections = (
        _headline(facts), _requests(facts), _answers(facts), _rejects(facts), _trades(facts),
        _books(facts), _latency(facts),
        _histogram("Latency of an answer, from the call", facts.total),
        _histogram("Of which: wait for the throttle", facts.wait), _data(facts), _money(facts),
    )  # fmt: skip
    return "\n\n".join("\n".join(lines) for section in sections if (lines := list(section)))


def _headline(facts: Facts) -> Iterator[str]:
    yield "=" * WIDTH
    yield facts.title
    if facts.outcome.interrupted:
        yield "interrupted: this is how far it came"
    yield "=" * WIDTH
    yield from facts.notes


def _requests(facts: Facts) -> Iterator[str]:
    outcome, status = facts.outcome, facts.status
    seconds = outcome.offer_ns / NANOS
    rate = outcome.count / seconds if seconds else 0.0
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(outcome.offered.items()))
    yield f"Requests   {outcome.count:,} offered in {seconds:.1f} s: {rate:,.0f} a second"
    yield f"           {kinds or 'none'}"
    sent = facts.latency_ns["venue"]["count"] or 0
    yield f"           {sent:,} sent to the venue in {outcome.total_ns / NANOS:.1f} s"
    yield f"Throttle   {facts.throttle}"
    left = status["waiting"]
    yield f"Queue      at most {status['waiting_peak']:,} waiting" + (
        f"; {left:,} still wait and go out at the next start" if left else "; none left"
    )
    if outcome.unanswered:
        yield f"Unanswered {outcome.unanswered:,}"


def _answers(facts: Facts) -> Iterator[str]:
    reports = facts.tally.reports
    yield f"Reports    {reports.total():,}, each told after it was on disk"
    for kind, count in reports.most_common():
        yield f"           {kind.lower().replace('_', ' '):<18} {count:>12,}"


def _rejects(facts: Facts) -> Iterator[str]:
    rejects = facts.status["rejects"]
    assert isinstance(rejects, Mapping)
    yield f"Rejected   {sum(rejects.values()):,}" + ("" if rejects else ": nothing")
    for reason, count in sorted(rejects.items(), key=lambda item: -item[1]):
        yield f"           {reason or '(no reason)':<18} {count:>12,}"


def _trades(facts: Facts) -> Iterator[str]:
    yield f"Trades     {'symbol':<14} {'trades':>10} {'volume':>18} {'last price':>16}"
    for instrument in facts.instruments:
        traded = facts.tally.traded.get(instrument.symbol, Traded())
        volume = _quantity(instrument, traded.lots)
        last = _price(instrument, traded.last_ticks) if traded.count else "-"
        yield f"           {instrument.symbol:<14} {traded.count:>10,} {volume:>18} {last:>16}"
    in_auctions = sum(traded.in_auctions for traded in facts.tally.traded.values())
    if in_auctions:
        yield f"           {in_auctions:,} of these trades in auctions, each at one price"


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
    price, quantity = _price(instrument, level[0]), _quantity(instrument, level[1])
    return f"{quantity:>14} at {price:>14}" if bid else f"{price:<14} for {quantity}"


def _latency(facts: Facts) -> Iterator[str]:
    yield f"{'Latency, ms':<11}" + "".join(f"{name:>11}" for name in FIGURES)
    for hop, meaning in HOPS.items():
        figures = facts.latency_ns[hop]
        values = "".join(f"{ms_text(figures[name]):>11}" for name in FIGURES)
        yield f"  {hop:<9}{values}  {meaning}"


def ms_text(ns: int | None) -> str:
    """Milliseconds; "-" for what was never measured."""
    return "-" if ns is None else f"{ns / 1e6:.3f}"


def _histogram(title: str, bars: Bars) -> Iterator[str]:
    """Bars in steps of 1, 2, 5, from the first that is not empty to the last."""
    counts = [0] * (len(EDGES_NS) + 1)
    for low_ns, _, count in bars:
        counts[sum(edge <= low_ns for edge in EDGES_NS)] += count
    used = [n for n, count in enumerate(counts) if count]
    if not used:
        return
    yield f"{title} ({sum(counts):,} requests)"
    highest = max(counts)
    for n in range(used[0], used[-1] + 1):
        bar = "#" * -(-counts[n] * BAR_WIDTH // highest)
        if n == len(EDGES_NS):
            edge = f"from {_duration(EDGES_NS[-1])}"
        else:
            edge = f"below {_duration(EDGES_NS[n])}"
        yield f"  {edge:>14} {counts[n]:>10,}  {bar}".rstrip()


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
    yield f"conserved: {'yes' if all(each.conserved for each in facts.money) else 'NO'}"


def _price(instrument: Instrument, ticks: int) -> str:
    """With as many decimals as the tick has, so that prices stand in a column."""
    decimals = len(instrument.tick_size_text.partition(".")[2])
    return f"{to_decimal(ticks, instrument.price_scale):,.{decimals}f}"


def _quantity(instrument: Instrument, lots: int) -> str:
    decimals = len(instrument.lot_size_text.partition(".")[2])
    return f"{to_decimal(lots, instrument.quantity_scale):,.{decimals}f}"


def _duration(ns: int) -> str:
    for unit, scale in (("s", NANOS), ("ms", 10**6), ("us", 10**3)):
        if ns >= scale:
            return f"{ns // scale} {unit}"
    return f"{ns} ns"
