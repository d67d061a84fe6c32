"""`explain`: the causal story of one order, from what is on disk.

Flow:  journal, order_responses -> [explain] -> lines of English
A request is an entry of the journal; what became of it are reports, each of them made in
one turn of the dispatcher, and told after that turn's commit.
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

from oms.clock import NANOS, datetime_of
from oms.commands import EXIT_FAILED, EXIT_OK, Parsers, fold_of, looking, say
from oms.commands.wording import ROLES, WAITS, Words, why_of
from oms.desk import entries
from oms.desk.entries import Entry, decode_all
from oms.messages import TERMINAL_STATES, Liquidity, OrderState, ResponseType, Side
from oms.reports import OrderResponse, Row
from oms.stores import Store
from oms.stores.sqlite import PersistentStorage

CHAIN_MAX = 10_000
TRADE = ResponseType.TRADE.value

DESCRIPTION = """\
Tells what happened to one order and why: what was asked and when, what was checked, how long
it waited and for what, with whom it traded at which fee, how it was changed, what woke it,
how it ended, and in which turn each of this was committed. Any id that the order has had will
do: its own, or that of a modify or cancel; or the id of a command: of a deposit, a mass
cancel, an operator's. All times are UTC."""
COMMANDS = (entries.FUNDS, entries.MASS_CANCEL, entries.OPERATOR, entries.BUST)


def add_to(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    parser = parsers.add_parser(
        "explain",
        help="what happened to one order, and why",
        description=DESCRIPTION,
        parents=[common],
    )
    parser.add_argument("client_order_id", metavar="CLIENT_ORDER_ID", help="an id the order had")
    parser.add_argument(
        "--account", metavar="A", help="whose id it is; needed when several accounts used it"
    )
    parser.set_defaults(command=looking(explain))


def explain(args: argparse.Namespace, store: PersistentStorage) -> int:
    """Print the story; 1 if there is none."""
    client_order_id: str = args.client_order_id
    accounts = [args.account] if args.account else _accounts(store, client_order_id)
    if len(accounts) > 1:
        say(f"{client_order_id}: used by {', '.join(accounts)}; say which with --account")
        return EXIT_FAILED
    seq = store.owner(accounts[0], client_order_id) if accounts else 0
    if not seq:
        whose = f" of account {args.account}" if args.account else ""
        say(f"{client_order_id}: no order{whose} has had this id")
        return EXIT_FAILED
    for line in Story(store, seq).lines():
        print(line)
    return EXIT_OK


def _accounts(store: Store, client_order_id: str) -> list[str]:
    """Every account that used an id, in the order they did."""
    return list(dict.fromkeys(row[4] for row in store.all_rows() if row[5] == client_order_id))


class Step(NamedTuple):
    """One line of the story; `seq` is a journal entry's or a turn's."""

    wall_ns: int
    seq: int
    text: str


class Story:
    """All that is on disk about the order that one request placed, changed or asked for."""

    def __init__(self, store: Store, seq: int) -> None:
        self._store = store
        self._order_id = _order_of(store, seq)
        fold = fold_of(store)
        for _ in fold.recover(store):
            pass
        self._words = Words(fold.desk.instruments, fold.desk.ledger.scales)
        self._rows = store.rows_of(self._order_id)
        self._is_command = OrderResponse(self._rows[0]).type in (
            ResponseType.COMMAND_DONE, ResponseType.COMMAND_REJECTED,
        )  # fmt: skip
        self._partners = self._find_partners()

    def lines(self) -> Iterator[str]:
        first = OrderResponse(self._rows[0])
        if self._is_command:
            yield f"command {self._order_id} of account {first.account}"
        else:
            symbol = first.symbol or "no symbol"
            yield f"order {self._order_id} of account {first.account}, {symbol}"
        yield f"{'UTC':<26}  {'journal':>9}  what happened"
        last_wall_ns = last_seq = 0
        for step in self._steps():
            same = step.wall_ns == last_wall_ns and step.seq == last_seq
            when = "" if same else f"{datetime_of(step.wall_ns):%Y-%m-%d %H:%M:%S.%f}"
            where = "" if same else str(step.seq)
            yield f"{when:<26}  {where:>9}  {step.text}"
            last_wall_ns, last_seq = step.wall_ns, step.seq
        yield self._ending()

    def _steps(self) -> Iterator[Step]:
        """Requests where they came, reports where they were made."""
        asked: set[int] = set()
        turn = 0
        for row in self._rows:
            if turn and row[0] != turn:
                yield self._commit(turn)
            turn = row[0]
            if row[3] and row[3] not in asked:
                asked.add(row[3])
                yield from self._request(row[3])
            yield Step(row[17], row[0], self._report(row))
        yield self._commit(turn)

    def _commit(self, turn: int) -> Step:
        wall_ns = next(row[17] for row in self._rows if row[0] == turn)
        return Step(wall_ns, turn, f"committed to disk with turn {turn}; then this was told")

    # --- what was asked ---

    def _request(self, seq: int) -> Iterator[Step]:
        record = self._store.record_of(seq)
        assert record is not None, "a report names a journal sequence that is not there"
        entry = _entry(self._store, seq)
        yield Step(record.wall_ns, seq, self._wish(entry))
        if entry[0] == entries.NEW:
            passed = "passed the checks: known symbol, price and quantity on the grid, new id"
            yield Step(record.wall_ns, seq, passed)

    def _wish(self, entry: Entry) -> str:
        kind, asked = entry[0], f'request "{entry[2]}"'
        if kind == entries.NEW:
            _, _, _, symbol, side, type_, tif, price, lots, hold, _ = entry[:11]
            at = f"at {self._words.price(symbol, price)}" if price else "at the market"
            held = ", may wait for the open" if hold else ""
            terms = self._words.terms(symbol, entry[11]) if len(entry) > 11 else ""
            quantity = f"{self._words.quantity(symbol, lots)} {symbol}" if lots else symbol
            return f"{asked}: {side} {quantity} {at}, {type_} {tif}{terms}{held}"
        if kind == entries.CANCEL:
            return f'{asked}: cancel "{entry[3]}"'
        if kind == entries.MODIFY:
            symbol = self._rows[0][6]
            price = f" price {self._words.price(symbol, entry[4])}" if entry[4] else ""
            lots = f" quantity {self._words.quantity(symbol, entry[5])}" if entry[5] else ""
            terms = self._words.terms(symbol, entry[7]) if len(entry) > 7 else ""
            return f'{asked}: modify "{entry[3]}" to{price}{lots}{terms}'
        if kind in COMMANDS:
            return f"{asked}: {self._words.command(entry)}"
        if self._is_command:
            return f"{asked}: a command, answered from what is known"
        if entry[4] != self._order_id or len(self._rows) > 1:
            return f"{asked} about this order, answered from what is known"
        if entry[3] == ResponseType.REJECTED.value:
            return f"{asked}: {entry[6]} {entry[5]}, refused by the checks"
        return f"{asked}: change an order that is not there"

    # --- what came of it ---

    def _report(self, row: Row) -> str:
        report = OrderResponse(row)
        text = self._what(report)
        if report.waited_ns:
            text += f" (waited {_duration(report.waited_ns)}, matched in "
            text += f"{_duration(report.venue_ns)})"
        return text

    def _what(self, report: OrderResponse) -> str:
        why = why_of(report)
        match report.type:
            case ResponseType.PENDING_NEW:
                return WAITS.get(report.text, f"pending{why}")
            case ResponseType.PENDING_CANCEL | ResponseType.PENDING_REPLACE:
                what = "cancel" if report.type is ResponseType.PENDING_CANCEL else "modify"
                return f"the {what} {WAITS.get(report.text, 'is pending')}"
            case ResponseType.NEW if report.state is OrderState.SUSPENDED:
                return f"accepted, and suspended until a trade wakes it: {self._left(report)}"
            case ResponseType.NEW:
                return f"sent to the venue, accepted: {self._left(report)}"
            case ResponseType.TRADE:
                return self._trade(report)
            case ResponseType.TRIGGERED:
                return f"a trade reached its stop price: it goes on as if just arrived{why}"
            case ResponseType.RESTATED:
                return f"changed by the exchange itself: {self._left(report)}{why}"
            case ResponseType.DONE_FOR_DAY:
                return f"the session is over, it stays for the next: {self._left(report)}"
            case ResponseType.REPLACED:
                return f'modified, now called "{report.client_order_id}": {self._left(report)}'
            case ResponseType.CANCELED if report.request_seq:
                return f'canceled, as "{report.client_order_id}" asked: {self._filled(report)}{why}'
            case ResponseType.CANCELED | ResponseType.EXPIRED:
                return f"{report.type.lower()}, {self._filled(report)}{why}"
            case ResponseType.REJECTED:
                return f"rejected{why}"
            case ResponseType.CANCEL_REJECTED:
                stays = "" if report.state in TERMINAL_STATES else "; the order stays as it is"
                return f'"{report.client_order_id}" refused{why}{stays}'
            case ResponseType.UNKNOWN:
                return "the venue owes an answer: the outcome is unknown"
            case ResponseType.TRADE_BUSTED:
                return f"a trade was taken back: {self._left(report)}{why}"
            case ResponseType.COMMAND_DONE:
                return f"done: {report.text}"
            case ResponseType.COMMAND_REJECTED:
                return f"refused{why}; nothing was changed"
            case _:
                return f"told how it stands: {report.state}, {self._left(report)}{why}"

    def _trade(self, report: OrderResponse) -> str:
        quantity = self._words.quantity(report.symbol, report.last_quantity_lots)
        price = self._words.price(report.symbol, report.last_price_ticks)
        partner = self._partners.get((report.journal_seq, report.number))
        whom = f' with order {partner[2]}, "{partner[5]}" of {partner[4]}' if partner else ""
        role = ROLES.get(report.liquidity, "")
        fee = ""
        if report.fee:
            kind = "fee" if report.fee > 0 else "rebate"
            fee = f", {kind} {self._words.money(report.symbol, abs(report.fee))}"
        return f"traded {quantity} at {price}{whom}{role}{fee}: {self._left(report)}"

    def _ending(self) -> str:
        last = OrderResponse(self._rows[-1])
        if self._is_command:
            return "the command is over"
        if last.state in TERMINAL_STATES:
            return f"the order is over: {last.state}, {self._filled(last)}"
        return f"the order is open: {last.state}, {self._left(last)}"

    def _left(self, report: OrderResponse) -> str:
        left = self._words.quantity(report.symbol, report.leaves_lots)
        return f"{left} open, {self._filled(report)}"

    def _filled(self, report: OrderResponse) -> str:
        return f"{self._words.quantity(report.symbol, report.cumulative_lots)} filled"

    def _find_partners(self) -> dict[tuple[int, int], Row]:
        """The other side of each of our trades.

        A taker's report comes just before its maker's; in an auction, the buyer's before the
        seller's.
        """
        turns = {row[0] for row in self._rows if row[8] == TRADE}
        partners: dict[tuple[int, int], Row] = {}
        taker: Row | None = None
        for row in self._store.all_rows() if turns else ():
            if row[0] not in turns or row[8] != TRADE:
                continue
            if row[15] == Liquidity.TAKER.value or (
                row[15] == Liquidity.AUCTION.value and row[7] == Side.BUY.value
            ):
                taker = row
            elif taker is not None:
                if row[2] == self._order_id:
                    partners[row[0], row[1]] = taker
                if taker[2] == self._order_id:
                    partners[taker[0], taker[1]] = row
                taker = None
        return partners


def _entry(store: Store, seq: int) -> Entry:
    record = store.record_of(seq)
    assert record is not None, "an id names a journal sequence that is not there"
    return tuple(decode_all(record.body, record.first_seq)[seq - record.first_seq])


def _order_of(store: Store, seq: int) -> int:
    """The order that a request placed, changed, or was answered about."""
    for _ in range(CHAIN_MAX):
        entry = _entry(store, seq)
        if entry[0] == entries.ANSWER:
            return int(entry[4])
        if entry[0] == entries.NEW or entry[0] in COMMANDS:
            return seq
        seq = store.owner(entry[1], entry[3])
    return seq


def _duration(ns: int) -> str:
    return f"{ns / NANOS:.3f} s" if ns >= NANOS else f"{ns / 1e6:.3f} ms"
