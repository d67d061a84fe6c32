"""Intake: requests become journal lines; each client order id is claimed once, for ever.

Flow:  inbox -> [intake] -> desk
What the desk cannot see is decided here and written into the line: whether the numbers lie on
the instrument's grid, whether the id was used before, how an order that is over ended. So a
replay asks nobody.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any
from zlib import crc32

from oms.desk.desk import Desk
from oms.enums import OrderState, OrderType, ResponseType, Side, TimeInForce
from oms.errors import ValidationError
from oms.exchange.order import Order, Terms
from oms.instruments import Instrument
from oms.money import Number, to_units
from oms.reject_reasons import RejectReason
from oms.reports import (
    COMMAND_ANSWERS,
    Report,
    status_of,
)
from oms.requests import OrderTerms
from oms.requests.accounts import ENDS
from oms.requests.codec import (
    ACCESS,
    ANSWER,
    CANCEL,
    FUNDS,
    MASS_CANCEL,
    MODIFY,
    NEW,
    OPERATOR,
    Line,
    with_origin,
)
from oms.requests.orders import NO_ORIGIN
from oms.stores import CONTENT_UNKNOWN, Claim, Store
from oms.stores.tally import Rest
from oms.turn.claims import SAYS_ALL, about_of, claim_of, says_all
from oms.turn.commands import Commands, command_refused

STATUS, TRADE = ResponseType.ORDER_STATUS.value, ResponseType.TRADE.value
REJECTED, CANCEL_REJECTED = ResponseType.REJECTED.value, ResponseType.CANCEL_REJECTED.value
STATE_REJECTED = OrderState.REJECTED.value
# An order that was rejected is none; one that is open has other names than a refused change's.
ENDED = (OrderState.FILLED.value, OrderState.CANCELED.value, OrderState.EXPIRED.value)
WITHDRAWN = "W"  # a new order that is not to be sent, and why; in no journal
REQUEST_KINDS = (NEW, CANCEL, MODIFY, FUNDS, MASS_CANCEL, OPERATOR, ACCESS, WITHDRAWN)
PENDING_NEW, CANCELED = OrderState.PENDING_NEW.value, OrderState.CANCELED.value
GTC, LIMIT = TimeInForce.GTC.value, OrderType.LIMIT.value
KNOWN_MAX = 4_096


class Intake:
    """Requests in, journal lines out; one turn at a time."""

    def __init__(self, desk: Desk, store: Store) -> None:
        self._desk = desk
        self._store = store
        self._commands = Commands(desk, store, self._reports_of)
        self._seq = 0  # the request in hand
        self._listed = desk.instruments  # what the next two are of
        self._ticks: dict[tuple[str, Number], int] = {}  # (symbol, price) -> ticks
        self._lots: dict[tuple[str, Number], int] = {}
        self.repeats: dict[int, tuple[int, bool]] = {}  # sequence -> the first's, same content
        self.lines: dict[int, Line | ValidationError] = {}  # of new orders of this turn
        self._withdrawn: dict[int, Line | ValidationError] = {}  # of those that are not sent
        # (account, client order id) -> sequence, symbol and side of those whose cancel is next.
        self._unsent: dict[tuple[str, str | int], tuple[int, str, str]] = {}
        # (account, client order id) -> an earlier one of the same order, where a cancel has
        # overtaken the modify that gives the order the later one.
        self.earlier_ids: dict[tuple[str, str], str] = {}
        self._renamed: set[int] = set()  # changes whose line has the earlier id
        self.claims: list[Claim] = []  # of this turn: the ids that nobody had used before

    def begin(self, items: Sequence[tuple[Any, int, object]], first_seq: int) -> None:
        """Claim the ids of a turn's requests; item n has journal sequence first_seq + n."""
        if self._listed is not self._desk.instruments:  # other instruments, other grids
            self._listed = self._desk.instruments
            self._ticks.clear()
            self._lots.clear()
        claims: list[Claim] = []
        lines = self.lines = {}
        self.repeats, self._withdrawn, self._unsent = {}, {}, {}
        self._renamed = set()
        ticks_of, lots_of = self._ticks, self._lots
        for seq, (request, _, _) in enumerate(items, first_seq):
            if request[0] == NEW:
                (
                    _, account, client_id, symbol, side, order_type, tif, price, quantity, hold,
                    terms, origin,
                ) = request  # fmt: skip
                try:
                    ticks, lots = ticks_of.get((symbol, price)), lots_of.get((symbol, quantity))
                except TypeError:  # a signaling NaN
                    ticks = lots = None
                if (
                    ticks is None or lots is None or terms is not None or tif != GTC
                    or order_type != LIMIT
                ):  # fmt: skip
                    lines[seq], claim = self._new_line(seq, request)
                else:  # a plain order with numbers that were read before: by far the most
                    line = (
                        NEW, account, client_id, symbol, side, order_type, tif, ticks, lots,
                        1 if hold else 0, origin.request_id,
                    )  # fmt: skip
                    lines[seq] = line if origin is NO_ORIGIN else with_origin(line, origin)
                    held = "True" if hold else "False"  # formatting a bool costs four times that
                    content = crc32(f"{symbol}|{side}|{ticks}|{lots}|{held}|".encode())
                    claim = (seq, account, client_id, symbol, side, "", content)
                claims.append(claim)
            elif request[0] == CANCEL:
                _, account, client_id, named, _ = request
                content = crc32(f"'{CANCEL}'|{named!r}".encode())
                claims.append((seq, account, client_id, "", "", "", content))
            elif request[0] == WITHDRAWN:
                self._withdrawn[seq], claim = self._new_line(seq, as_new(request))
                claims.append(claim)
            elif request[0] in REQUEST_KINDS:
                claims.append(claim_of(seq, request))
        if claims and not self._store.claim(claims):
            for seq, account, client_id, _, _, _, content in claims:
                first, content_hash = self._store.owner(account, client_id)
                if first != seq:
                    same = content_hash in (content, CONTENT_UNKNOWN)
                    self.repeats[seq] = first, same
            claims = [claim for claim in claims if claim[0] not in self.repeats]
        self.claims = claims

    def _new_line(self, seq: int, request: Line) -> tuple[Line | ValidationError, Claim]:
        """The line of a new order, or why its numbers fit no instrument; and its claim."""
        (
            _, account, client_id, symbol, side, order_type, tif, price, quantity, hold, terms,
            origin,
        ) = request  # fmt: skip
        try:
            ticks, lots, fields = self._numbers(symbol, price, quantity, terms)
        except ValidationError as error:
            return error, claim_of(seq, request)
        plain = terms is None and tif == GTC and order_type == LIMIT
        about = "" if plain else about_of(order_type, tif, fields)
        line: Line = (
            NEW, account, client_id, symbol, side, order_type, tif, ticks, lots, 1 if hold else 0,
            origin.request_id,
        )  # fmt: skip
        if terms is not None:
            line = (*line, fields)
        content = crc32(f"{symbol}|{side}|{ticks}|{lots}|{hold}|{about}".encode())
        claim = (seq, account, client_id, symbol, side, about, content)
        return with_origin(line, origin), claim

    def _numbers(
        self, symbol: str, price: Number | None, quantity: Number | None, terms: OrderTerms | None
    ) -> tuple[int, int, dict[str, Any]]:
        """Price, quantity and terms on the instrument's grid; ValidationError if they are not."""
        instrument = self._desk.instruments.get(symbol)
        if instrument is None:
            raise ValidationError("symbol", symbol, "a symbol that is traded")
        ticks = lots = 0
        if price is not None:
            ticks = instrument.price_ticks(price)
            _remember(self._ticks, (symbol, price), ticks)
        if quantity is not None:
            lots = instrument.quantity_lots(quantity)
            _remember(self._lots, (symbol, quantity), lots)
        return ticks, lots, {} if terms is None else _terms_fields(instrument, terms)

    def rests(self, first_seq: int, lines: Sequence[Line]) -> dict[int, Rest]:
        """What the lines of this turn do not say of its claims, by sequence."""
        unsaid = self._renamed
        if not SAYS_ALL.issuperset(map(itemgetter(0), lines)):
            unsaid = unsaid.union(
                seq for seq, line in enumerate(lines, first_seq) if not says_all(line)
            )
        if not unsaid:
            return {}
        return {seq: rest for seq, _, _, *rest in self.claims if seq in unsaid}

    def is_open(self, account: str, client_order_id: str | int) -> bool:
        """Is there an open order of that account by that id?"""
        return self._desk.executions.find(account, client_order_id) is not None

    def line(self, seq: int, request: Line) -> Line:
        """The line of one request, as things stand after the requests before it."""
        self._seq = seq
        if request[0] == WITHDRAWN:
            return self._not_sent(seq, request)
        if self.repeats and seq in self.repeats:
            return self._repeat(*self.repeats[seq], request)
        kind = request[0]
        if kind == NEW:
            line = self.lines[seq]
            return self._refused(seq, request, line) if isinstance(line, ValidationError) else line
        if kind in (CANCEL, MODIFY):
            return self._change(seq, request)
        line = self._commands.line(seq, request)
        return line if line[0] == ANSWER else with_origin(line, request[-1])

    def would_be(self, request: Line) -> Line:
        """The line of a request that is only asked about; nothing is claimed."""
        kind, account, client_id = request[:3]
        self._seq = seq = self._desk.reports.turn_seq + 1
        if kind == NEW:
            self.lines[seq], claim = self._new_line(seq, request)
        else:
            claim = claim_of(seq, request)
        first, content = self._store.owner(account, client_id)
        if first:
            return self._repeat(first, content in (claim[-1], CONTENT_UNKNOWN), request)
        self.repeats = {}
        return self.line(seq, request)

    # --- orders ---

    def _refused(self, seq: int, request: Line, error: ValidationError) -> Line:
        """A new order whose numbers fit no instrument; who may trade, and when, goes before."""
        _, account, client_id, symbol, side, order_type, tif, *_, hold, terms, origin = request
        instrument = self._desk.instruments.get(symbol)
        if instrument is None:
            known = "|".join(self._desk.instruments)
            reason = f"{RejectReason.SYMBOL_UNKNOWN}: symbol={symbol}, known={known}"
            before = self._desk.risk.gate(account, symbol)
        else:
            # As much of the order as says when it may come in; its numbers are not known.
            stop = terms is not None and terms.stop_price is not None
            outline = Order(
                seq, account, client_id, instrument, Side(side), OrderType(order_type),
                TimeInForce(tif), 0, 0, terms=Terms(stop_ticks=1) if stop else None,
            )  # fmt: skip
            reason, before = _grid_reason(error), self._desk.why_not_now(outline, hold)
        return (
            ANSWER, account, client_id, REJECTED, seq, symbol, side, STATE_REJECTED, 0, 0, "",
            before or reason, origin.request_id,
        )  # fmt: skip

    def _not_sent(self, seq: int, request: Line) -> Line:
        """A cancel overtook it: it is answered, and journaled, but enters no book."""
        why, request = request[-1], as_new(request)
        if seq in self.repeats:
            return self._repeat(*self.repeats[seq], request)
        line = self._withdrawn[seq]
        if isinstance(line, ValidationError):
            return self._refused(seq, request, line)
        _, account, client_id, symbol, side, _, _, _, lots, *_ = line
        state, left = (CANCELED, 0) if why else (PENDING_NEW, lots)
        if not why:
            self._unsent[account, client_id] = (seq, symbol, side)
        return (  # both are names of a response type, too
            ANSWER, account, client_id, state, seq, symbol, side, state, 0, left, "", why,
            request[-1].request_id,
        )  # fmt: skip

    def _change(self, seq: int, request: Line) -> Line:
        _, account, client_id, named, *_ = request
        origin = request[-1]
        order = self._desk.executions.find(account, named)
        if order is None and self.earlier_ids:
            earlier = self.earlier_ids.get((account, named))
            if earlier is not None:
                self._renamed.add(seq)
                named = earlier
                order = self._desk.executions.find(account, named)
        if order is None and (account, named) in self._unsent:
            order_id, symbol, side = self._unsent.pop((account, named))
            return (
                ANSWER, account, client_id, CANCELED, order_id, symbol, side, CANCELED, 0, 0, "",
                "", origin.request_id,
            )  # fmt: skip
        if order is None:
            return self._no_open_order(seq, request, named)
        if request[0] == CANCEL:
            cancel = (CANCEL, account, client_id, named, origin.request_id)
            return cancel if origin is NO_ORIGIN else with_origin(cancel, origin)
        price, quantity, terms = request[4:7]
        try:
            if price is not None and not order.by_price:
                raise ValidationError("price", price, f"none for {order.order_type}")
            instrument = order.instrument
            ticks = 0 if price is None else instrument.price_ticks(price)
            lots = 0 if quantity is None else instrument.quantity_lots(quantity)
            fields = None if terms is None else _terms_fields(instrument, terms)
        except ValidationError as error:
            standing = status_of(order, 0, 0)
            return _answer(request, CANCEL_REJECTED, standing, _grid_reason(error))
        line = (MODIFY, account, client_id, named, ticks, lots, origin.request_id)
        return with_origin(line if fields is None else (*line, fields), origin)

    def _no_open_order(self, seq: int, request: Line, named: str | int) -> Line:
        standing = self._standing(request[1], named)
        if standing is None or standing.state not in ENDED:
            reason = f"{RejectReason.UNKNOWN_ORDER}: orig={named}"
            return _no_order(request, CANCEL_REJECTED, seq, reason)
        reason = f"{RejectReason.TOO_LATE}: state={standing.state}"
        return _answer(request, CANCEL_REJECTED, standing, reason)

    def _repeat(self, first: int, same: bool, request: Line) -> Line:
        """The same id again: the same content gets the same outcome, other content a no."""
        kind, account, client_id = request[:3]
        told = self._told(first)
        of_order = kind in (NEW, MODIFY, CANCEL)
        if kind == FUNDS and request[3] in ENDS:  # it ends what was asked under its id
            line = self._commands.line(self._seq, request)
            return _repeated(line, first) if line[0] == ANSWER else with_origin(line, request[-1])
        if not of_order:
            if same and told is not None:  # what was answered the first time
                return _repeated(
                    (
                        ANSWER, account, client_id, told.type, told.order_id, told.symbol, "", "",
                        0, 0, "", told.reason, "",
                    ),
                    first,
                )  # fmt: skip
            reason = f"{RejectReason.DUPLICATE_ID}: first_seq={first}"
            return _repeated(command_refused(request, self._seq, reason), first)
        executions = self._desk.executions
        order = executions.find(account, client_id) or executions.find_ended(account, client_id)
        standing = status_of(order, 0, 0) if order is not None else None
        if standing is None and told is not None and told.type not in COMMAND_ANSWERS:
            standing = self._latest(told.order_id) or told
        if same and standing is not None:
            reason = told.reason if told is not None else ""
            return _repeated(_answer(request, STATUS, standing, reason), first)
        answer = REJECTED if kind == NEW else CANCEL_REJECTED
        reason = f"{RejectReason.DUPLICATE_ID}: first_seq={first}"
        if standing is None:
            return _repeated(_no_order(request, answer, first, reason), first)
        return _repeated(_answer(request, answer, standing, reason), first)

    # --- what is known of an order that is over, or of a request ---

    def _standing(self, account: str, named: str | int) -> Report | None:
        """How the order stands that has this id; None if there is none."""
        executions = self._desk.executions
        order = executions.find(account, named) or executions.find_ended(account, named)
        if order is not None:
            return status_of(order, 0, 0)
        if isinstance(named, int):
            latest = self._latest(named)
            return latest if latest is not None and latest.account == account else None
        seq, _ = self._store.owner(account, named)
        if not seq or seq >= self._seq:  # a turn claims all its ids at once
            return None
        told = self._told(seq)
        if told is None or told.type in COMMAND_ANSWERS:
            return None
        return self._latest(told.order_id) or told

    def _latest(self, order_id: int) -> Report | None:
        """How an order stands, open or not."""
        executions = self._desk.executions
        order = executions.orders.get(order_id)
        if order is None:
            order = next((o for o in executions.ended if o.order_id == order_id), None)
        if order is not None:
            return status_of(order, 0, 0)
        told = self._reports_of(order_id)
        return told[-1] if told else None

    def _told(self, seq: int) -> Report | None:
        """The latest answer to a request, in this turn or before."""
        for report in reversed(self._desk.reports.rows):
            if report.request_seq == seq and report.type != TRADE:
                return report
        return self._store.told(seq)

    def _reports_of(self, order_id: int) -> list[Report]:
        """Durable reports of an order, then those of this turn."""
        now = [report for report in self._desk.reports.rows if report.order_id == order_id]
        return [*self._store.reports_of(order_id), *now]


def _remember(known: dict[tuple[str, Number], int], key: tuple[str, Number], units: int) -> None:
    """The same few hundred numbers come again and again: to look one up costs a tenth.

    Not a float: it equals the Decimal that it is exactly, which may lie off the grid (0.1).
    """
    if type(key[1]) is float:
        return
    if len(known) >= KNOWN_MAX:
        known.clear()
    known[key] = units


def _terms_fields(instrument: Instrument, terms: OrderTerms) -> dict[str, Any]:
    """Terms as a line has them: on the grid, and only what is there."""
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


def _grid_reason(error: ValidationError) -> str:
    invalid = (
        RejectReason.PRICE_INVALID if "price" in error.field else RejectReason.QUANTITY_INVALID
    )
    return f"{invalid}: {error}"


def as_new(request: Line) -> Line:
    """What a client asked for with an order that was withdrawn."""
    return (NEW, *request[1:-1]) if request[0] == WITHDRAWN else request


# --- lines of requests that are answered, not obeyed ---


def _answer(request: Line, kind: str, standing: Report, reason: str) -> Line:
    """It tells how an order stands."""
    return (
        ANSWER, request[1], request[2], kind, standing.order_id, standing.symbol, standing.side,
        standing.state, standing.cumulative_lots, standing.leaves_lots, standing.notional, reason,
        request[-1].request_id,
    )  # fmt: skip


def _no_order(request: Line, kind: str, seq: int, reason: str) -> Line:
    """There is no such order."""
    return (
        ANSWER, request[1], request[2], kind, seq, "", "", STATE_REJECTED, 0, 0, "", reason,
        request[-1].request_id,
    )  # fmt: skip


def _repeated(line: Line, first: int) -> Line:
    """Its id was used before: by the request with this sequence."""
    return (*line, first)
