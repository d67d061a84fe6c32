"""Intake: a client's request becomes a journal entry.

Flow:  inbox -> [intake] -> desk
What the desk cannot see is decided here and written into the entry: whether the numbers lie
on the instrument's grid, whether the id was used before, how an order that is over ended. So
a replay asks nobody.
"""

from collections.abc import Callable
from typing import Any

from oms.controls import REQUESTS, Request
from oms.desk import entries
from oms.desk.entries import Entry
from oms.desk.order_desk import OrderDesk
from oms.errors import ValidationError
from oms.flow.command_intake import (
    COMMAND_REJECTED,
    Command,
    command_entry,
    command_refused,
    same_bust,
)
from oms.flow.inbox import Item
from oms.instruments import Instrument
from oms.messages import OrderState, RejectReason, RequestType, ResponseType
from oms.money import Number, to_units
from oms.orders import Order, Terms
from oms.reports import Row
from oms.requests import OrderRequest, OrderTerms
from oms.stores import Store, rows_by_id

NEW_REQUEST, CANCEL_REQUEST = RequestType.NEW, RequestType.CANCEL
STATUS = ResponseType.ORDER_STATUS.value
# An order that was rejected is none; one that is open has other names than a refused change's.
ENDED = (OrderState.FILLED.value, OrderState.CANCELED.value, OrderState.EXPIRED.value)
TRADE = ResponseType.TRADE.value
KNOWN_MAX = 4_096
DIGITS_MAX = 19  # of a sequence
COMMANDS = (entries.FUNDS, entries.MASS_CANCEL, entries.OPERATOR, entries.BUST)
REJECTED, CANCEL_REJECTED = ResponseType.REJECTED.value, ResponseType.CANCEL_REJECTED.value


class Intake:
    """Requests in, entries out; one turn at a time."""

    def __init__(self, desk: OrderDesk, store: Store) -> None:
        self._desk = desk
        self._store = store
        self._seq = 0  # the request in hand
        self._first_seq = 0  # of this turn's requests
        self._entries: dict[int, Entry] = {}  # of this turn, those that others may refer to
        self._known_ticks: dict[tuple[str, Number], int] = {}  # (symbol, price) -> ticks
        self._known_lots: dict[tuple[str, Number], int] = {}
        self._repeats: dict[int, int] = {}  # sequence of a repeat -> sequence of the first

    def begin(self, items: list[Item], first_seq: int) -> None:
        """Claim the ids of a turn's requests; item n has journal sequence first_seq + n."""
        self._first_seq = first_seq
        self._repeats = {}
        self._entries = {}
        ids = [
            (message.account, message.client_order_id, seq)
            for seq, (message, _, _) in enumerate(items, first_seq)
            if isinstance(message, REQUESTS)
        ]
        if not ids or self._store.claim(ids):
            return
        for account, client_order_id, seq in ids:
            first = self._store.owner(account, client_order_id)
            if first != seq:
                self._repeats[seq] = first

    def entry(self, seq: int, request: Request) -> Entry:
        """The entry of one request, as things stand after the requests before it."""
        self._seq = seq
        if not isinstance(request, OrderRequest):
            return self._command(seq, request)
        entry = (
            self._new(seq, request) if request.type is NEW_REQUEST else self._change(seq, request)
        )
        first = self._repeats.get(seq) if self._repeats else None
        if first is not None:
            return self._repeat(first, request, entry)
        if self._repeats or request.type is not NEW_REQUEST:
            self._entries[seq] = entry
        return entry

    def _new(self, seq: int, request: OrderRequest) -> Entry:
        instrument = self._desk.instruments.get(request.symbol)
        assert request.side is not None
        if instrument is None:
            known = "|".join(self._desk.instruments)
            reason = f"{RejectReason.SYMBOL_UNKNOWN}: symbol={request.symbol}, known={known}"
            gate = self._desk.risk.gate(request.account, request.symbol)
            return _refusal(request, seq, gate or reason)
        try:
            price = lots = 0
            if request.price is not None:
                price = self._units(
                    self._known_ticks, request.symbol, request.price, instrument.price_ticks
                )
            if request.quantity is not None:
                lots = self._units(
                    self._known_lots, request.symbol, request.quantity, instrument.quantity_lots
                )
            terms = () if request.terms is None else (_terms_fields(instrument, request.terms),)
        except ValidationError as error:
            closed = self._desk.why_not_now(_outline(seq, request, instrument), request.hold)
            return _refusal(request, seq, closed or _grid_reason(error))
        return (
            entries.NEW,
            request.account,
            request.client_order_id,
            request.symbol,
            request.side._value_,
            request.order_type._value_,
            request.time_in_force._value_,
            price,
            lots,
            int(request.hold),
            request.request_id,
            *terms,
        )

    @staticmethod
    def _units(
        known: dict[tuple[str, Number], int],
        symbol: str,
        value: Number,
        read: Callable[[Number], int],
    ) -> int:
        """The same few hundred numbers come again and again: to look one up costs a tenth."""
        units = known.get((symbol, value))
        if units is None:
            if len(known) >= KNOWN_MAX:
                known.clear()
            units = known[symbol, value] = read(value)
        return units

    def _change(self, seq: int, request: OrderRequest) -> Entry:
        order = self._desk.blotter.find(request.account, request.orig_client_order_id)
        if order is None:
            return self._no_open_order(seq, request)
        if request.type is CANCEL_REQUEST:
            return (
                entries.CANCEL, request.account, request.client_order_id,
                request.orig_client_order_id, request.request_id,
            )  # fmt: skip
        try:
            price, lots = _new_terms(order, request.price, request.quantity)
            terms = (
                () if request.terms is None else (_terms_fields(order.instrument, request.terms),)
            )
        except ValidationError as error:
            return _about(request, order, _grid_reason(error))
        return (
            entries.MODIFY, request.account, request.client_order_id,
            request.orig_client_order_id, price, lots, request.request_id, *terms,
        )  # fmt: skip

    def _no_open_order(self, seq: int, request: OrderRequest) -> Entry:
        row = self._last_row(request.account, request.orig_client_order_id)
        if row is None or row[9] not in ENDED:
            reason = f"{RejectReason.UNKNOWN_ORDER}: orig={request.orig_client_order_id}"
            return _answer(request, CANCEL_REJECTED, None, seq, reason)
        return _answer(
            request, CANCEL_REJECTED, row, seq, f"{RejectReason.TOO_LATE}: state={row[9]}"
        )

    def _repeat(self, first: int, request: OrderRequest, entry: Entry) -> Entry:
        """The same id again: the same content gets the same outcome, other content a no."""
        original = self._entry_of(first)
        answered = original[0] == entries.ANSWER
        command = original[0] in COMMANDS or (answered and original[3] == COMMAND_REJECTED)
        if answered and not command:  # it changed nothing; say again what was said
            status = (entries.ANSWER, request.account, request.client_order_id, STATUS)
            return (*status, *original[4:12], request.request_id)
        # An id that named a command names no order.
        row = None if command else self._last_row(request.account, request.client_order_id)
        if not command and self._same(original, request, entry, row):
            told = [r for r in self._rows_of(row[2]) if r[3] == first] if row else []
            reason = told[-1][16] if told else ""
            return _answer(request, STATUS, row, first, reason)
        kind = REJECTED if request.type is NEW_REQUEST else CANCEL_REJECTED
        return _answer(request, kind, row, first, f"{RejectReason.DUPLICATE_ID}: first_seq={first}")

    def _same(self, original: Entry, request: OrderRequest, entry: Entry, row: Row | None) -> bool:
        """Does a request say what the entry of its id said? The request id may differ.

        A change of an order that has ended since became a refusal; so its terms are
        compared, not its entry.
        """
        if entry[0] != entries.ANSWER or request.type is NEW_REQUEST:
            return _without_request_id(original) == _without_request_id(entry)
        if original[0] not in (entries.MODIFY, entries.CANCEL):
            return False
        terms: tuple[object, ...] = (request.orig_client_order_id,)
        if request.type is not CANCEL_REQUEST:
            instrument = self._desk.instruments.get(row[6]) if row else None
            if instrument is None:
                return False
            try:
                terms += _terms(instrument, request.price, request.quantity)
                if request.terms is not None:
                    terms += (_terms_fields(instrument, request.terms),)
            except ValidationError:
                return False
        return tuple(_without_request_id(original)[3:]) == terms

    # --- commands: funds, mass cancels, operators ---

    def _command(self, seq: int, request: Command) -> Entry:
        """The entry of a command; one that was given before is answered, not obeyed again."""
        entry = command_entry(self._desk, seq, request, self._trade_of, self._rows_of)
        first = self._repeats.get(seq) if self._repeats else None
        if first is None:
            self._entries[seq] = entry
            return entry
        original = self._entry_of(first)
        told = next((row for row in self._rows_of(first) if row[3] == first), None)
        same = _without_seq(original) == _without_seq(entry) or same_bust(original, request)
        if same and told is not None:
            return _told_again(request, told)
        return command_refused(request, seq, f"{RejectReason.DUPLICATE_ID}: first_seq={first}")

    def _trade_of(self, execution_id: str) -> list[Row]:
        """The reports of one trade, from the store; none if there is no such trade.

        Our own exchange tells the trades of a turn in pairs, whatever it tells between the two;
        of a remote venue's only one side is ours.
        """
        seq, _, number = execution_id.partition("-")
        if not (seq.isdecimal() and number.isdecimal() and len(seq) < DIGITS_MAX):
            return []
        told = [row for row in self._store.rows_of_turn(int(seq)) if row[8] == TRADE]
        at = next((n for n, row in enumerate(told) if str(row[1]) == number), None)
        if at is None or self._desk.engine is None:
            return [] if at is None else told[at : at + 1]
        pair = told[at - at % 2 : at - at % 2 + 2]
        (one, other) = pair if len(pair) == 2 else (pair[0], pair[0])
        fits = one[6] == other[6] and one[7] != other[7] and one[10:12] == other[10:12]
        return pair if fits else []

    def _entry_of(self, seq: int) -> Entry:
        return self._entries.get(seq) or self._store.entry_of(seq)

    def _last_row(self, account: str, client_order_id: str) -> Row | None:
        """How the order stands that this id placed or changed; None if there is none."""
        blotter = self._desk.blotter
        order = blotter.find(account, client_order_id)
        order = order or blotter.find_done(account, client_order_id)
        if order is not None:
            return blotter.status_row(order)
        rows = rows_by_id(account, client_order_id, self._owner, self._told_of, self._entry_of)
        return rows[-1] if rows else None

    def _owner(self, account: str, client_order_id: str) -> int:
        """Who claimed an id before the request in hand: a turn claims all its ids at once."""
        seq = self._store.owner(account, client_order_id)
        return seq if seq < self._seq else 0

    def _told_of(self, order_id: int) -> list[Row]:
        """How an order of this turn stands; else the reports of one that was over before."""
        blotter = self._desk.blotter
        order = blotter.orders.get(order_id) or blotter.done.get(order_id)
        if order is not None:
            return [blotter.status_row(order)]
        refused_now = order_id >= self._first_seq
        return self._rows_of(order_id) if refused_now else self._store.rows_of(order_id)

    def _rows_of(self, order_id: int) -> list[Row]:
        """Durable reports of an order, then those of this turn."""
        this_turn = [row for row in self._desk.blotter.rows if row[2] == order_id]
        return [*self._store.rows_of(order_id), *this_turn]


def _new_terms(order: Order, price: Number | None, quantity: Number | None) -> tuple[int, int]:
    """A modify's price and total quantity on the grid; 0 for what stays as it is."""
    if price is not None and not order.by_price:
        raise ValidationError("price", price, f"none for {order.order_type}")
    return _terms(order.instrument, price, quantity)


def _terms(
    instrument: Instrument, price: Number | None, quantity: Number | None
) -> tuple[int, int]:
    ticks = 0 if price is None else instrument.price_ticks(price)
    lots = 0 if quantity is None else instrument.quantity_lots(quantity)
    return ticks, lots


def _terms_fields(instrument: Instrument, terms: OrderTerms) -> dict[str, Any]:
    """Terms as an entry has them: on the grid, and only what is there."""
    budget = None
    if terms.quote_quantity is not None:
        budget = to_units("quote_quantity", terms.quote_quantity, instrument.quote_scale)
        if budget <= 0:
            raise ValidationError("quote_quantity", terms.quote_quantity, "a number above 0")
    fields: dict[str, Any] = {
        "stop": _on_grid("stop_price", terms.stop_price, instrument.price_ticks),
        "display": _on_grid("display_quantity", terms.display_quantity, instrument.quantity_lots),
        "post": terms.post_only and terms.post_only.value,
        "expire": terms.expire_ns,
        "min": _on_grid("min_quantity", terms.min_quantity, instrument.quantity_lots),
        "budget": budget,
        "protect": _on_grid("protection_price", terms.protection_price, instrument.price_ticks),
        "oco": terms.oco_with,
        "stp": terms.self_trade and terms.self_trade.value,
    }
    return {name: value for name, value in fields.items() if value}


def _on_grid(field: str, value: Number | None, read: Callable[[Number], int]) -> int:
    """A number on its grid, 0 for none; ValidationError naming this field if it is not."""
    try:
        return 0 if value is None else read(value)
    except ValidationError as error:
        raise ValidationError(field, value, error.expected) from None


def _without_request_id(entry: Entry) -> list[Any]:
    """What two entries of the same content have in common."""
    at = 10 if entry[0] == entries.NEW else 6 if entry[0] == entries.MODIFY else len(entry) - 1
    return [*entry[:at], *entry[at + 1 :]]


def _without_seq(entry: Entry) -> list[Any]:
    """The same of a command's; a refusal names its own sequence as the order's."""
    return [item for at, item in enumerate(entry) if entry[0] != entries.ANSWER or at != 4]


def _told_again(request: Command, row: Row) -> Entry:
    """What was answered the first time."""
    return (
        entries.ANSWER, request.account, request.client_order_id, row[8], row[2], row[6], "", "",
        0, 0, "", row[16], "",
    )  # fmt: skip


def _grid_reason(error: ValidationError) -> str:
    invalid = (
        RejectReason.PRICE_INVALID if "price" in error.field else RejectReason.QUANTITY_INVALID
    )
    return f"{invalid}: {error}"


def _outline(seq: int, request: OrderRequest, instrument: Instrument) -> Order:
    """As much of a new order as says when it may come in; its numbers are not known."""
    assert request.side is not None
    stop = request.terms is not None and request.terms.stop_price is not None
    return Order(
        seq, request.account, request.client_order_id, instrument, request.side,
        request.order_type, request.time_in_force, 0, 0,
        terms=Terms(stop_ticks=1) if stop else None,
    )  # fmt: skip


def _refusal(request: OrderRequest, seq: int, reason: str) -> Entry:
    """A new order that is refused as it stands."""
    assert request.side is not None
    return (
        entries.ANSWER, request.account, request.client_order_id, REJECTED, seq, request.symbol,
        request.side.value, OrderState.REJECTED.value, 0, 0, "", reason, request.request_id,
    )  # fmt: skip


def _about(request: OrderRequest, order: Order, reason: str) -> Entry:
    """A modify that is refused; the order stays as it is."""
    return (
        entries.ANSWER, request.account, request.client_order_id, CANCEL_REJECTED,
        order.order_id, order.instrument.symbol, order.side.value, order.reported_state.value,
        order.cumulative_lots, order.left_lots, str(order.notional or ""), reason,
        request.request_id,
    )  # fmt: skip


def _answer(request: OrderRequest, kind: str, row: Row | None, seq: int, reason: str) -> Entry:
    """An answer that repeats what the latest report of an order says; none: no such order."""
    if row is None:
        order: tuple[object, ...] = (seq, "", "", OrderState.REJECTED.value, 0, 0, "")
    else:
        order = (row[2], row[6], row[7], row[9], row[12], row[13], row[14])
    return (
        entries.ANSWER, request.account, request.client_order_id, kind, *order, reason,
        request.request_id,
    )  # fmt: skip
