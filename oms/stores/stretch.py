"""Stretch: some turns of the journal with what they left beside it, as rows that people read.

Flow:  store -> Stretch -> [rows_of] -> projection
The rows are those of the views of the embedded database (views.py), in whole numbers: whoever
stores them makes the decimals from the scales beside them. Pure: no database, no clock.
"""

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import cache, partial
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from oms.clock import datetime_of
from oms.errors import JournalError
from oms.money import to_text
from oms.positions import CHANGES, Changes, Scales, TradeRow, fill_of, trade_rows
from oms.reports import (
    COMMAND_ANSWERS,
    EXEC_TYPES,
    NUMBER_BITS,
    NUMBER_MASK,
    OF_CHANGES,
    REFUSALS,
    Report,
)
from oms.requests import codec
from oms.requests.codec import Line, decode_all
from oms.stores import Claim, JournalRecord
from oms.stores.listed import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    QUOTE_SCALE,
    SINCE,
    SYMBOL,
    UNTIL,
    scales_in,
)

Row = tuple[Any, ...]

PLAIN = "LIMIT", "GTC"  # type and time in force of an order without terms
# Reports that are no news of the order, and first reports of what is no order.
ASIDE = frozenset(EXEC_TYPES[kind] for kind in (*OF_CHANGES, *REFUSALS))
NO_ORDER = frozenset(
    EXEC_TYPES[kind]
    for kind in ("CANCEL_REJECTED", "COMMAND_DONE", "COMMAND_REJECTED", "ORDER_STATUS")
)
REFUSED = NO_ORDER | {EXEC_TYPES["REJECTED"]}
REPLACED = EXEC_TYPES["REPLACED"]
SESSION_KINDS = frozenset((codec.SESSION, codec.PHASE, codec.START, codec.STOP, codec.LINK))
ACTION_KINDS = frozenset((
    codec.OPERATOR, codec.MARKET, codec.MASS_CANCEL, codec.BUST, codec.TRADE_CHANGE, codec.FUNDS,
    codec.ANSWER,
))  # fmt: skip
TOLD_KINDS = SESSION_KINDS | ACTION_KINDS
_KIND = itemgetter(0)  # of a line
# Of a report what stands in order_responses between its number and the durations, and behind them.
_RESPONSE = itemgetter(*map(Report._fields.index, (
    "order_id", "request_seq", "account", "client_order_id", "symbol", "side", "type", "state",
    "last_price_ticks", "last_quantity_lots", "cumulative_lots", "leaves_lots", "notional",
    "liquidity", "reason", "wall_ns", "fee", "match_number",
)))  # fmt: skip
# Of the latest report of an order how the order stands.
_STANDS = itemgetter(*map(Report._fields.index, (
    "state", "cumulative_lots", "leaves_lots", "notional", "wall_ns", "report_id",
)))  # fmt: skip


class Kept(NamedTuple):
    """Rows of `holdings`, `last_prices` and `account_balances` that changed after some turn."""

    holdings: list[Row]
    last_prices: list[Row]
    account_balances: list[Row]


class Stretch(NamedTuple):
    """Whole turns, those after `after_seq` up to the last record, read as of one instant; none
    but the first begins a trading date.

    before: the turn that ends at after_seq, if there is one. end_seq: where the journal ended
    then. claims, reports: of these turns, in order; claims of new orders alone. instruments: all
    rows. kept: None unless the stretch reaches the end. older: reports of earlier turns, the trades
    of which were busted or corrected in these; changes: of those trades and of these turns'. lines:
    of earlier turns, which these refer to. scales: of assets that were paid in or out.
    """

    after_seq: int
    before: JournalRecord | None
    end_seq: int
    records: list[JournalRecord]
    claims: list[Claim]
    reports: list[Report]
    instruments: list[Row]
    kept: Kept | None
    older: list[list[Report]]
    changes: Changes
    lines: dict[int, Line]
    scales: dict[str, int]

    @property
    def last_seq(self) -> int:
        return self.records[-1].last_seq if self.records else self.after_seq


class Upto(NamedTuple):
    """How far the projection is filled: the last turn, its checksum and stamp.

    kept_seq: as of which turn positions, balances and prices are: the same, unless it catches up.
    missed: changes of rows in partitions that are gone.
    """

    seq: int
    checksum: int
    wall_ns: int
    kept_seq: int
    missed: int


class TradingDates(NamedTuple):
    """Which trading date a journal sequence counts for: from firsts[n] on it is days[n]."""

    firsts: tuple[int, ...] = ()
    days: tuple[date, ...] = ()

    def of(self, seq: int) -> date:
        return self.days[max(0, bisect_right(self.firsts, seq) - 1)]

    def after(self, stretch: Stretch) -> "TradingDates":
        """With the date that its first turn begins. The first turn of all begins one, too: then
        the day of its stamp in UTC has to do. What comes after a close counts for the date that
        closed."""
        if not stretch.records:
            return self
        record = stretch.records[0]
        begun = date_begun(record)
        if begun is None and not self.days:
            begun = datetime_of(record.wall_ns).date()
        if begun is None or begun in self.days[-1:]:
            return self
        return TradingDates((*self.firsts, record.first_seq), (*self.days, begun))


class Rows(NamedTuple):
    """What a stretch adds and changes, table by table; columns as projection_schema.py has them.

    dates: with the one that the stretch begins, if it begins one. orders: of order_states, new;
    changed: of orders that were there before. older_trades: of earlier turns, which take the place
    of what is there. What is many is made while it is taken, once.
    """

    stretch: Stretch
    dates: TradingDates
    responses: Iterable[Row]
    orders: list[Row]
    changed: list[Row]
    trades: list[Row]
    older_trades: list[Row]
    sessions: list[Row]
    actions: list[Row]


def date_begun(record: JournalRecord) -> date | None:
    """The trading date that a turn begins, and counts for, if it begins one."""
    begun = None
    if f'["{codec.SESSION}",' in record.body:
        for line in decode_all(record.body, record.first_seq):
            if line[0] == codec.SESSION and line[1] in ("OPEN", "DATE"):
                begun = date.fromisoformat(line[2])
    return begun


def rows_of(stretch: Stretch, before: TradingDates) -> Rows:
    """Every row that the views of the embedded database have of these turns. before: the trading
    dates of the turns before them."""
    dates = before.after(stretch)
    if not stretch.records:
        return Rows(stretch, dates, [], [], [], [], [], [], [])
    lines = dict(stretch.lines)
    sessions, actions = list[Row](), list[Row]()
    answers: dict[int, Report] | None = None  # made where they are asked for: few turns do
    for record in stretch.records:
        entered = decode_all(record.body, record.first_seq)
        lines.update(enumerate(entered, record.first_seq))
        if TOLD_KINDS.isdisjoint(map(_KIND, entered)):
            continue  # orders alone, as in nearly all turns
        for seq, line in enumerate(entered, record.first_seq):
            if line[0] in SESSION_KINDS:
                sessions.append(_session(seq, line, record.wall_ns))
            elif line[0] in ACTION_KINDS and _is_action(seq, line):
                entry = record.body.split("\n")[seq - record.first_seq]
                what = _action(line, stretch.scales)
                if answers is None:
                    answers = answers_to(stretch.reports)
                actions.append((seq, *what, *_outcome(answers.get(seq)), entry, record.wall_ns))
    scales = _scales_in(stretch)
    orders, changed = _orders(stretch, lines, scales, dates)
    trades = trade_rows(stretch.reports, stretch.changes, scales)
    older = trade_rows(chain.from_iterable(stretch.older), stretch.changes, scales)
    renewed = set[int]()
    if stretch.changes:
        renewed = {fill_of(report) for report in stretch.reports if report.type in CHANGES}
    return Rows(
        stretch, dates, _responses(stretch, dates), orders, changed,
        [_trade(row, dates) for row in trades],
        [_trade(row, dates) for row in older if row.report_id in renewed],
        sessions, actions,
    )  # fmt: skip


def _scales_in(stretch: Stretch) -> Scales:
    """Those of each symbol and turn; of what nobody relists meanwhile without a search."""
    after_seq, scales = stretch.after_seq, scales_in(stretch.instruments)
    standing = {
        row[SYMBOL]: (row[PRICE_SCALE], row[QUANTITY_SCALE], row[QUOTE_SCALE])
        for row in stretch.instruments
        if row[UNTIL] is None and row[SINCE] <= after_seq
    }

    def of(symbol: str, seq: int) -> tuple[int, int, int]:
        found = standing.get(symbol) if seq > after_seq else None
        return found or scales(symbol, seq)

    return of


def answers_to(reports: Iterable[Report]) -> dict[int, Report]:
    """The latest answer to each request that is about itself, or is a command."""
    return {
        r.request_seq: r
        for r in reports
        if r.request_seq == r.order_id or r.type in COMMAND_ANSWERS
    }  # fmt: skip


# --- execution reports ---


def _responses(stretch: Stretch, dates: TradingDates) -> Iterator[Row]:
    """What was not measured is None."""
    day, rest = dates.of(stretch.last_seq), _RESPONSE
    for report in stretch.reports:
        report_id = report.report_id
        yield (
            day, report_id >> NUMBER_BITS, report_id & NUMBER_MASK, *rest(report),
            report.waited_ns or None, report.venue_ns or None,
        )  # fmt: skip


# --- orders ---


class _Told:
    """What a stretch told of one order."""

    __slots__ = ("entered_ns", "last", "limit_ticks", "lots", "reason", "symbol")

    def __init__(self, entered_ns: int) -> None:
        self.last: Report
        self.entered_ns = entered_ns
        self.symbol = ""  # "": only refusals were told, which may name another
        self.limit_ticks = self.lots = 0  # of its latest accepted change; 0: there was none
        self.reason: str | None = None  # of its latest news; None: there was none


def _told(
    stretch: Stretch, claims: Mapping[int, Claim], lines: Mapping[int, Line]
) -> Iterable[tuple[int, "_Told"]]:
    """Each order of which something was told."""
    told, others = dict[int, _Told](), set[int]()  # others: what is no order
    after_seq = stretch.after_seq
    for report in stretch.reports:
        order_id, request_seq, kind = report.order_id, report.request_seq, report.code[0]
        one = told.get(order_id)
        if one is None:
            if order_id > after_seq and (
                order_id in others or order_id not in claims or kind in NO_ORDER
            ):
                others.add(order_id)
                continue
            one = told[order_id] = _Told(report.wall_ns)
        one.last = report
        if kind not in REFUSED:
            one.symbol = report.symbol
        if kind not in ASIDE or request_seq == order_id:
            one.reason = report.reason
        if kind == REPLACED and request_seq:
            line = lines[request_seq]
            one.limit_ticks, one.lots = line[4] or one.limit_ticks, line[5] or one.lots
    return told.items()


def _orders(
    stretch: Stretch, lines: Mapping[int, Line], scales: Scales, dates: TradingDates
) -> tuple[list[Row], list[Row]]:
    """New orders, and those that were there before."""
    claims = {claim[0]: claim for claim in stretch.claims}
    orders, changed = list[Row](), list[Row]()
    day = dates.of(stretch.last_seq)
    scales_of = cache(partial(_scales_of, scales))  # many orders have the same symbol and turn
    for order_id, one in _told(stretch, claims, lines):
        claim = claims.get(order_id)
        state, cumulative_lots, leaves_lots, notional, wall_ns, report_id = _STANDS(one.last)
        seq = report_id >> NUMBER_BITS
        stands = (
            state, cumulative_lots, leaves_lots, int(notional) if notional else 0, wall_ns, seq,
            *scales_of(claim[3] if claim else one.symbol, seq),
        )  # fmt: skip
        if claim is not None:
            asked = _asked(claim, lines[order_id], one)
            orders.append((day, order_id, *asked, one.reason, one.entered_ns, *stands))
        else:
            limit_ticks, lots = one.limit_ticks or None, one.lots or None
            changed.append((dates.of(order_id), order_id, limit_ticks, lots, one.reason, *stands))
    return orders, changed


def _asked(claim: Claim, line: Line, one: _Told) -> Row:
    """Account, names, type, time in force, price and quantity last asked for."""
    _, account, client_order_id, symbol, side, terms, _ = claim
    kind, tif = PLAIN
    if terms:
        said = json.loads(terms)
        kind, tif = said["type"], said["tif"]
    limit_ticks = lots = None
    if line[0] == codec.NEW:
        limit_ticks, lots = line[7] or None, line[8]
    return (
        account, client_order_id, symbol, side, kind, tif, one.limit_ticks or limit_ticks,
        one.lots or lots,
    )  # fmt: skip


def _scales_of(scales: Scales, symbol: str, seq: int) -> tuple[int | None, int | None]:
    """Of price and quantity; None for a symbol that was not listed: of a refused order."""
    try:
        return scales(symbol, seq)[:2]
    except JournalError:
        return None, None


# --- trades ---


def _trade(row: TradeRow, dates: TradingDates) -> Row:
    """A trade as it stands, from `positions.TradeRow`."""
    return (
        dates.of(row.report_id >> NUMBER_BITS), row.report_id, row.match_number, row.symbol,
        row.aggressor, row.status, row.buy_order_id, row.buy_account, row.sell_order_id,
        row.sell_account, row.wall_ns, row.price_ticks, row.lots, row.told_ticks, row.told_lots,
        row.buy_fee, row.sell_fee, row.price_scale, row.quantity_scale, row.quote_scale,
    )  # fmt: skip


# --- sessions, operators' actions ---


def _session(seq: int, line: Line, wall_ns: int) -> Row:
    kind, said = line[0], line[1] if len(line) > 1 else None
    is_session, is_open = kind == codec.SESSION, said == "OPEN"
    event = {
        codec.START: "START", codec.STOP: "STOP", codec.PHASE: "PHASE", codec.LINK: f"LINK {said}",
    }.get(kind, said)  # fmt: skip
    third = line[3] if is_session and len(line) > 3 else None
    phase = said if kind == codec.PHASE else third if is_open else None
    opens_ns = None if is_open else third
    day = date.fromisoformat(line[2]) if is_session else None
    return seq, event, day, phase, opens_ns, wall_ns


def _is_action(seq: int, line: Line) -> bool:
    """Of a request that was refused before it was looked at the entry is the answer alone."""
    return bool(line[0] != codec.ANSWER or (line[3] == "COMMAND_REJECTED" and line[4] == seq))


def _action(line: Line, scales: Mapping[str, int]) -> Row:
    """Whose it is, what was done to what, and why; None where the line does not say."""
    kind, account, client_order_id = line[:3]
    action = scope = target = name = value = why = None
    if kind == codec.OPERATOR:
        action, scope, target, name, value, why = line[3:9]
    elif kind == codec.MARKET:
        action, scope, target, name, value, why = line[3], "SYMBOL", *line[4:8]
    elif kind == codec.MASS_CANCEL:
        action, scope, target, name, value = "MASS_CANCEL", "ACCOUNT", *line[3:6]
    elif kind == codec.FUNDS:
        action, target, name = line[3], account, line[4]
        value = to_text(line[5], scales[name]) if name in scales else None
    elif kind in (codec.BUST, codec.TRADE_CHANGE):
        corrected = kind == codec.TRADE_CHANGE and line[5][1]
        action, why = "CORRECT" if corrected else "BUST", line[3]
        name = f"{line[4][0][0]}-{line[4][0][1]}"
    said = None if value in (None, "") else str(value)
    return account, client_order_id, action, scope, target, name or None, said, why or None


def _outcome(answer: Report | None) -> Row:
    return (answer.type, answer.reason) if answer is not None else (None, None)
