"""Positions: what each account holds of each symbol, what it cost, and what it has earned by it.

Flow:  reports of trades, busts and corrections -> [positions] -> stores (the table holdings)
       -> manager (Position, Trade, Pnl), and the views that anybody reads
In:    reports. Out: whole numbers in price x quantity, 10**-(price_scale + quantity_scale);
       Decimals for people.

Average cost. A fill that opens a position or adds to it adds its price times its quantity to the
cost. One that lessens it takes off the same part of the cost as of the position, rounded half
even to the unit above; what it brought beyond that is realized. One that goes through zero closes
the position first, and opens another at its own price. Realized is therefore cash and cost
together, where cash is what sales brought less what purchases took. Unrealized is what the
position is worth at the last price, less its cost. Fees are counted apart. After a bust or a
correction all is as if the trade had been so from the start: the fills that stand are folded anew.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Context, Decimal
from typing import Any, NamedTuple

from oms.enums import Liquidity, ResponseType, Side
from oms.errors import ValidationError
from oms.money import to_decimal
from oms.reports import NUMBER_BITS, NUMBER_MASK, TRADE, Report, trade_named

BUSTED, CORRECTED = ResponseType.TRADE_BUSTED.value, ResponseType.TRADE_CORRECTED.value
CHANGES = (BUSTED, CORRECTED)
STATUS = {BUSTED: "BUSTED", CORRECTED: "CORRECTED"}
BUYER, SELLER, TAKER = Side.BUY.value, Side.SELL.value, Liquidity.TAKER.value
LATEST = (1 << 63) - 1  # after every report
EXACT = Context(prec=100)  # for sums of money: wider than any
AVERAGE_PLACES = 4  # of an average, beyond the price's own

Key = tuple[str, str]
"""Account and symbol."""
Terms = tuple[int, int, int]
"""Price in ticks, lots and fee of a fill as it stands; 0 lots: its trade was busted."""
Changes = dict[str, list[Report]]
"""Busts and corrections, oldest first, by the execution id of the fill they are about."""
Scales = Callable[[str, int], tuple[int, int, int]]
"""Of a symbol's price, quantity and quote asset, as they were at a journal sequence."""


class Holding(NamedTuple):
    """A row of `holdings`: an account's position in a symbol.

    seq: the turn that changed it last. lots: below zero if it sold more than it bought. cost,
    realized: see above, as text, because they may leave 64 bits; fees: in units of the quote asset.
    """

    account: str
    symbol: str
    seq: int
    lots: int
    cost: str
    realized: str
    fees: str


class Standing(NamedTuple):
    """A holding, with the last price of its market in ticks (0: none), and the scales of price,
    quantity and quote asset as they are."""

    holding: Holding
    last_ticks: int
    price_scale: int
    quantity_scale: int
    quote_scale: int
    quote: str


class Held:
    """The same while it is counted. One a key, changed by every fill, so no tuple."""

    __slots__ = ("cash", "cost", "fees", "lots")

    def __init__(self, lots: int = 0, cost: int = 0, cash: int = 0, fees: int = 0) -> None:
        self.lots, self.cost, self.cash, self.fees = lots, cost, cash, fees

    def fill(self, lots: int, price_ticks: int, fee: int) -> None:
        """One fill; lots: below zero of a sale."""
        before, worth = self.lots, lots * price_ticks
        now = self.lots = before + lots
        self.cash -= worth
        self.fees += fee
        if not now:
            self.cost = 0
        elif (before < 0) is (lots < 0) or not before:
            self.cost += worth
        elif (before < 0) is (now < 0):
            self.cost += half_even(self.cost * lots, before)
        else:
            self.cost = now * price_ticks

    def row(self, key: Key, seq: int) -> Holding:
        cost = self.cost
        return Holding(*key, seq, self.lots, str(cost), str(self.cash + cost), str(self.fees))


def half_even(dividend: int, divisor: int) -> int:
    """The quotient as a whole number; a half goes to the even one."""
    whole, rest = divmod(dividend, divisor)
    twice = 2 * abs(rest) - abs(divisor)
    return whole + (twice > 0 or (twice == 0 and whole % 2))


def changes_in(executions: Iterable[Report]) -> Changes:
    """Those among these reports, which are oldest first."""
    found: Changes = {}
    for report in executions:
        if report.type in CHANGES:
            found.setdefault(trade_named(report), []).append(report)
    return found


def fill_of(change: Report) -> int:
    """The report of the fill that a bust or a correction is about."""
    return report_id_of("trade", trade_named(change))


def as_told(fill: Report) -> Terms:
    return fill.last_price_ticks, fill.last_quantity_lots, int(fill.fee or 0)


def standing(told: Terms, changes: Iterable[Report]) -> Terms:
    """A fill as its busts and corrections, oldest first, have left it."""
    ticks, lots, fee = told
    for change in changes:
        said = int(change.fee or 0)
        if change.type == CORRECTED:  # it tells the whole fee, a bust what of it went back
            ticks, lots, fee = change.last_price_ticks, change.last_quantity_lots, said
        else:
            lots, fee = 0, fee + said
    return ticks, lots, fee


def folded(executions: Callable[[], Iterable[Report]]) -> dict[Key, Holding]:
    """The holdings that come of all these trades, busts and corrections, oldest first; they are
    read twice."""
    changes = changes_in(executions())
    held: dict[Key, Held] = {}
    seqs: dict[Key, int] = {}
    for report in executions():
        key = report.account, report.symbol
        seqs[key] = report.journal_seq
        one = held.setdefault(key, Held())
        if report.type == TRADE:
            told = as_told(report)
            ticks, lots, fee = standing(told, changes.get(report.execution_id, ()))
            one.fill(lots if report.side == BUYER else -lots, ticks, fee)
    return {key: one.row(key, seqs[key]) for key, one in held.items()}


def last_price(newest_first: Iterable[Report]) -> int:
    """What one market traded at last, as it stands; 0 for never."""
    changed: dict[str, tuple[int, int]] = {}
    for report in newest_first:
        if report.type in CHANGES:  # what was said last of a fill holds
            lots = report.last_quantity_lots if report.type == CORRECTED else 0
            changed.setdefault(trade_named(report), (report.last_price_ticks, lots))
        elif report.type == TRADE:
            as_told = report.last_price_ticks, report.last_quantity_lots
            ticks, lots = changed.get(report.execution_id, as_told)
            if lots:
                return ticks
    return 0


class Holdings:
    """Folds one turn's reports after another. load: what is stored of a key; None for nothing.

    Of a key with a bust or a correction nothing is counted here: `anew` names it, and it is to be
    folded from all its fills.
    """

    def __init__(self, load: Callable[[Key], Holding | None]) -> None:
        self._load = load
        self._held: dict[Key, Held] = {}

    def forget(self, keys: Iterable[Key] | None = None) -> None:
        """These are stored otherwise than was counted; None: all."""
        if keys is None:
            self._held.clear()
        for key in keys or ():
            self._held.pop(key, None)

    def take(self, fills: Iterable[Report], seq: int, anew: set[Key]) -> list[Holding]:
        """The rows that a turn's fills have changed."""
        held, buyer, touched = self._held, BUYER, dict[Key, Held]()
        for report in fills:
            key = report.account, report.symbol
            one = held.get(key) or self._loaded(key)
            lots, fee = report.last_quantity_lots, report.fee
            one.fill(
                lots if report.side == buyer else -lots,
                report.last_price_ticks,
                int(fee) if fee else 0,
            )
            touched[key] = one
        return [one.row(key, seq) for key, one in touched.items() if key not in anew]

    def _loaded(self, key: Key) -> Held:
        row = self._load(key)
        one = Held()
        if row is not None:
            cost = int(row.cost)
            one = Held(row.lots, cost, int(row.realized) - cost, int(row.fees))
        self._held[key] = one
        return one


# --- for people ---


class Position(NamedTuple):
    """What an account holds of a symbol, in the instrument's units.

    quantity: below zero if it sold more than it bought. average_cost: None without a position;
    rounded half even to the price's decimals and four more. cost, realized, unrealized, fees: of
    the quote asset, rounded half even to its scale. last_price: None if no trade stands.
    """

    account: str
    symbol: str
    quantity: Decimal
    average_cost: Decimal | None
    cost: Decimal
    realized: Decimal
    unrealized: Decimal
    fees: Decimal
    last_price: Decimal | None
    quote: str


class Pnl(NamedTuple):
    """What an account has made in one quote asset: the sums over its positions; net: less fees."""

    asset: str
    realized: Decimal
    unrealized: Decimal
    fees: Decimal
    net: Decimal


class TradeRow(NamedTuple):
    """A trade as it stands, from the reports of both sides; whole numbers.

    report_id: of the first of them, which gives the execution id: the taker's, in an auction the
    buyer's. told_ticks, told_lots: as it was traded; status: "", BUSTED or CORRECTED. Of a side
    that a remote venue does not tell: "" and 0. The scales are those of its time.
    """

    report_id: int
    symbol: str
    match_number: int
    wall_ns: int
    aggressor: str
    price_ticks: int
    lots: int
    told_ticks: int
    told_lots: int
    status: str
    buy_order_id: int
    buy_account: str
    buy_client_order_id: str
    buy_fee: int
    sell_order_id: int
    sell_account: str
    sell_client_order_id: str
    sell_fee: int
    price_scale: int
    quantity_scale: int
    quote_scale: int


class Trade(NamedTuple):
    """One trade as it stands, in the instrument's units.

    aggressor: BUY or SELL, "" in an auction. status: "" as traded; BUSTED: quantity is 0;
    CORRECTED: price and quantity are the corrected ones. traded_price, traded_quantity: as it was
    traded. A fee is in the quote asset, below zero a rebate. Of a side that a remote venue does
    not tell the account is "", the order id 0.
    """

    execution_id: str
    match_number: int
    symbol: str
    wall_ns: int
    aggressor: str
    price: Decimal
    quantity: Decimal
    traded_price: Decimal
    traded_quantity: Decimal
    status: str
    buy_order_id: int
    buy_account: str
    buy_fee: Decimal
    sell_order_id: int
    sell_account: str
    sell_fee: Decimal


def position_of(stands: Standing) -> Position:
    """In the units of the instrument, and rounded as is said there."""
    held, last_ticks, price, quantity, scale, quote = stands
    cost, realized, places = int(held.cost), int(held.realized), price + quantity - scale
    average = half_even(cost * 10**AVERAGE_PLACES, held.lots) if held.lots else None
    cost_units = _units(cost, places)
    worth_units = _units(held.lots * last_ticks, places)
    return Position(
        held.account, held.symbol, to_decimal(held.lots, quantity),
        None if average is None else to_decimal(average, price + AVERAGE_PLACES),
        to_decimal(cost_units, scale), to_decimal(_units(realized, places), scale),
        to_decimal(worth_units - cost_units, scale), to_decimal(int(held.fees), scale),
        to_decimal(last_ticks, price) if last_ticks else None, quote,
    )  # fmt: skip


def _units(amount: int, places: int) -> int:
    """Price times quantity in units of the quote asset, which has so many places less."""
    return half_even(amount, 10**places) if places > 0 else int(amount * 10**-places)


def pnl_of(positions: Iterable[Position]) -> dict[str, Pnl]:
    """By quote asset."""
    found: dict[str, Pnl] = {}
    for each in positions:
        before = found.get(each.quote) or Pnl(each.quote, *[Decimal(0)] * 4)
        realized = EXACT.add(before.realized, each.realized)
        unrealized = EXACT.add(before.unrealized, each.unrealized)
        fees = EXACT.add(before.fees, each.fees)
        net = EXACT.subtract(EXACT.add(realized, unrealized), fees)
        found[each.quote] = Pnl(each.quote, realized, unrealized, fees, net)
    return found


def report_id_of(field: str, execution_id: str) -> int:
    """The report that bears an execution id; ValidationError, naming the field, if it is none."""
    seq, _, number = execution_id.partition("-") if type(execution_id) is str else ("", "", "")
    if not (seq + number).isdecimal() or not (seq + number).isascii() or len(seq + number) > 24:
        raise ValidationError(field, execution_id, "an execution id such as '24-2'")
    if not (seq and number and int(number) <= NUMBER_MASK and int(seq) <= LATEST >> NUMBER_BITS):
        raise ValidationError(field, execution_id, "an execution id such as '24-2'")
    return int(seq) << NUMBER_BITS | int(number)


def trade_of(row: TradeRow) -> Trade:
    price, quantity, quote = row.price_scale, row.quantity_scale, row.quote_scale
    at = row.report_id
    return Trade(
        f"{at >> NUMBER_BITS}-{at & NUMBER_MASK}", row.match_number, row.symbol, row.wall_ns,
        row.aggressor, to_decimal(row.price_ticks, price), to_decimal(row.lots, quantity),
        to_decimal(row.told_ticks, price), to_decimal(row.told_lots, quantity), row.status,
        row.buy_order_id, row.buy_account, to_decimal(row.buy_fee, quote),
        row.sell_order_id, row.sell_account, to_decimal(row.sell_fee, quote),
    )  # fmt: skip


def trade_rows(
    executions: Iterable[Report], changes: Mapping[str, list[Report]], scales: Scales
) -> Iterator[TradeRow]:
    """Every trade of these reports, oldest first, as busts and corrections have left it.

    The two fills of a trade stand one behind the other: the taker's first, in an auction the
    buyer's. A remote venue tells one.
    """
    halves = dict[tuple[str, int], Report]()
    for report in executions:
        if report.type != TRADE:
            continue
        first = report
        if report.match_number:
            key = report.symbol, report.match_number
            if key not in halves:
                halves[key] = report
                continue
            first = halves.pop(key)
        sides = {first.side: first, report.side: report}
        yield _trade_row(first, sides, changes, scales(first.symbol, first.journal_seq))


def _trade_row(
    first: Report,
    sides: Mapping[str, Report],
    changes: Mapping[str, list[Report]],
    scales: tuple[int, int, int],
) -> TradeRow:
    """The trade whose first report this is."""
    of_first = changes.get(first.execution_id, []) if changes else []
    ticks, lots, _ = standing(as_told(first), of_first)
    told: list[Any] = []
    for side in (BUYER, SELLER):
        report = sides.get(side)
        if report is None:
            told += [0, "", "", 0]
        else:
            of_it = changes.get(report.execution_id, ()) if changes else ()
            fee = standing(as_told(report), of_it)[2]
            told += [report.order_id, report.account, report.client_order_id, fee]
    status = STATUS[of_first[-1].type] if of_first else ""
    return TradeRow._make([
        first.report_id, first.symbol, first.match_number, first.wall_ns,
        first.side if first.liquidity == TAKER else "", ticks, lots,
        first.last_price_ticks, first.last_quantity_lots, status, *told, *scales,
    ])  # fmt: skip
