"""Intake: requests become journal lines; each client order id is claimed once, for ever.

Flow:  inbox -> [intake] -> desk
What the desk cannot see is decided here and written into the line: whether the numbers lie on
the instrument's grid, whether the id was used before, how an order that is over ended. So a
replay asks nobody.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any
from zlib import crc32

from oms.desk.desk import Desk
from oms.enums import OrderState, OrderType, ResponseType, Scope, Side, TimeInForce
from oms.errors import ConfigError, ValidationError
from oms.exchange.order import Order, Terms
from oms.instruments import Instrument
from oms.money import Number, to_text, to_units
from oms.positions import BUSTED, CHANGES
from oms.reject_reasons import RejectReason
from oms.reports import (
    COMMAND_ANSWERS,
    OF_CHANGES,
    REFUSALS,
    Report,
    status_of,
    trade_named,
)
from oms.requests import FundsAction, OperatorAction, OrderTerms
from oms.requests.accounts import ENDS
from oms.requests.codec import (
    ACCESS,
    ANSWER,
    CANCEL,
    FUNDS,
    MARKET,
    MASS_CANCEL,
    MODIFY,
    NEW,
    OPERATOR,
    TRADE_CHANGE,
    Line,
    with_origin,
)
from oms.requests.operators import OF_MARKETS
from oms.requests.orders import NO_ORIGIN
from oms.stores import CONTENT_UNKNOWN, Claim, Store
from oms.stores.tally import Rest
from oms.turn.claims import DIGITS_MAX, SAYS_ALL, about_of, claim_of, says_all
from oms.turn.listing import terms_of
from oms.turn.tape import Wanted, tape

STATUS, TRADE = ResponseType.ORDER_STATUS.value, ResponseType.TRADE.value
REJECTED, CANCEL_REJECTED = ResponseType.REJECTED.value, ResponseType.CANCEL_REJECTED.value
COMMAND_REJECTED = ResponseType.COMMAND_REJECTED.value
STATE_REJECTED = OrderState.REJECTED.value
# An order that was rejected is none; one that is open has other names than a refused change's.
ENDED = (OrderState.FILLED.value, OrderState.CANCELED.value, OrderState.EXPIRED.value)
NO_EVENTS = (*CHANGES, *OF_CHANGES, *REFUSALS)  # reports that are no event of the order itself
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
            for claim in claims:
                first, content_hash = self._store.owner(claim[1], claim[2])
                if first != claim[0]:
                    same = content_hash in (claim[-1], CONTENT_UNKNOWN)
                    self.repeats[claim[0]] = first, same
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
        return {claim[0]: list(claim[3:]) for claim in self.claims if claim[0] in unsaid}

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
        line = self._command(seq, request)
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
            line = self._funds(self._seq, request)
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
            return _repeated(_command_refused(request, self._seq, reason), first)
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

    # --- requests that are not about one order: funds, mass cancels, operators ---

    def _command(self, seq: int, request: Line) -> Line:
        kind = request[0]
        if kind == FUNDS:
            return self._funds(seq, request)
        if kind == OPERATOR and request[3] in (OperatorAction.BUST, OperatorAction.CORRECT):
            return self._trade_change(seq, request)
        if kind == OPERATOR and request[3] in OF_MARKETS:
            return self._market(seq, request)
        return request[:-1]

    def _funds(self, seq: int, request: Line) -> Line:
        _, account, client_id, action, asset, given, other, *groups, _origin = request
        amount, scales = 0, self._desk.ledger.scales
        new = action == FundsAction.CREATE and account not in self._desk.ledger.accounts
        if new and "," in account:  # what has lists of accounts could not name it
            reason = (
                f"{RejectReason.COMMAND_INVALID}: account: expected no comma in it, was {account!r}"
            )
            return _command_refused(request, seq, reason)
        if action in ENDS and (account, client_id) not in self._desk.ledger.transfers:
            reason = f"{RejectReason.COMMAND_INVALID}: transfer={client_id}, not in flight"
            return _command_refused(request, seq, reason)
        if given is not None:
            invalid = RejectReason.AMOUNT_INVALID
            if asset not in scales:
                reason = f"{RejectReason.ASSET_UNKNOWN}: asset={asset}, known={'|'.join(scales)}"
                return _command_refused(request, seq, reason)
            try:
                amount = to_units("amount", given, scales[asset])
            except ValidationError as error:
                return _command_refused(request, seq, f"{invalid}: {error}")
            if amount <= 0:
                reason = f"{invalid}: amount={given}, expected above 0"
                return _command_refused(request, seq, reason)
        return (FUNDS, account, client_id, action, asset, amount, other, *groups)

    def _trade_change(self, seq: int, request: Line) -> Line:
        """A bust or a correction: the fills as they stand, how their orders stood last, what the
        trade is from now on, and what its market traded at last then."""
        _, account, client_id, _action, scope, target, name, _value, why = request[:9]
        invalid, fills = f"{RejectReason.COMMAND_INVALID}: trade={name}", list[list[object]]()
        trade = self._trade_of(name)
        if not trade:
            return _command_refused(request, seq, f"{invalid}, no such trade")
        if scope == Scope.SYMBOL and target != trade[0].symbol:
            other = f"symbol={target}, trade={name}, traded={trade[0].symbol}"
            return _command_refused(request, seq, f"{RejectReason.COMMAND_INVALID}: {other}")
        now: list[Report] = []
        for fill in trade:
            told = self._reports_of(fill.order_id)
            changes = [r for r in told if r.type in CHANGES and trade_named(r) == fill.execution_id]
            stands, last = changes[-1] if changes else fill, told[-1]
            own = next(report for report in reversed(told) if report.type not in NO_EVENTS)
            if stands.type == BUSTED:
                return _command_refused(request, seq, f"{invalid}, taken back")
            now.append(stands)
            fills.append([
                fill.journal_seq, fill.number, last.order_id, last.request_seq, last.account,
                last.client_order_id, last.symbol, last.side, last.type, last.state,
                stands.last_price_ticks, stands.last_quantity_lots, last.cumulative_lots,
                last.leaves_lots, last.notional, stands.fee, fill.match_number, last.named_seq,
                own.state, own.cumulative_lots - last.cumulative_lots,
            ])  # fmt: skip
            if 0 < self._desk.ledger.since <= fill.journal_seq:
                fills[-1].append(_whole_of(told, fill, self._desk.ledger.since))
        price_ticks = lots = 0
        if request[3] == OperatorAction.CORRECT:
            try:
                price_ticks, lots = self._corrected(now[0], trade[0], request[9:-1])
            except ValidationError as error:
                return _command_refused(request, seq, f"{invalid}: {error}")
        anew = [price_ticks, lots, *self._last_trade(trade, price_ticks, lots)]
        return (TRADE_CHANGE, account, client_id, why, fills, anew)

    def _corrected(self, now: Report, first: Report, settings: Sequence[Any]) -> tuple[int, int]:
        """Price and lots that a trade is to have; what is not said stays. ValidationError if it
        is not on the grid, changes nothing, or is for more than was traded: nobody asked for
        that."""
        texts = settings[0] if settings else {}
        instrument = self._desk.listings.known(first.symbol)
        if instrument is None:
            raise ValidationError("symbol", first.symbol, "a symbol that is or was traded")
        price_ticks, lots = now.last_price_ticks, now.last_quantity_lots
        if "price" in texts:
            price_ticks = instrument.price_ticks(texts["price"])
        if "quantity" in texts:
            lots = instrument.quantity_lots(texts["quantity"])
        most = first.last_quantity_lots
        if lots > most:
            expected = f"at most {to_text(most, instrument.quantity_scale)}, which was traded"
            raise ValidationError("quantity", texts["quantity"], expected)
        if (price_ticks, lots) == (now.last_price_ticks, now.last_quantity_lots):
            raise ValidationError("settings", texts, "another price or quantity than it has")
        return price_ticks, lots

    def _last_trade(self, trade: list[Report], price_ticks: int, lots: int) -> tuple[int, int]:
        """What the market traded at last once this trade is so, and the match number of that
        trade; 0 if there is no trade then."""
        if self._desk.engine is None:
            return 0, 0
        symbol = trade[0].symbol
        rows, executions = self._desk.reports.rows, self._store.executions

        def read(symbols: Collection[str], before: int) -> Iterator[Report]:
            """This turn's, then what is stored; of one symbol, so it is read once."""
            return chain(reversed(rows), executions(symbols, before))

        wanted = {symbol: Wanted(1, self._desk.engine.markets[symbol].matches)}
        changed = {fill.execution_id: (price_ticks, lots) for fill in trade}
        found = tape(read, wanted, changed)[symbol]
        return (found[0].price_ticks, found[0].match_number) if found else (0, 0)

    def _market(self, seq: int, request: Line) -> Line:
        """What is to be traded, with its numbers on the grid."""
        _, account, client_id, action, _scope, symbol, name, value, why, *settings, _origin = (
            request
        )
        try:
            texts = settings[0] if settings else {}
            terms = terms_of(self._desk, action, symbol, name, texts)
        except ConfigError as error:
            mistakes = "; ".join(error.mistakes)
            return _command_refused(request, seq, f"{RejectReason.COMMAND_INVALID}: {mistakes}")
        except ValidationError as error:
            code = RejectReason.COMMAND_INVALID
            if error.field == "symbol" and action != OperatorAction.LIST:
                code = RejectReason.SYMBOL_UNKNOWN
            return _command_refused(request, seq, f"{code}: {error}")
        return (MARKET, account, client_id, action, symbol, name, value, why, terms)

    def _trade_of(self, execution_id: str) -> list[Report]:
        """Both reports of one trade, from the store; none if there is no such trade.

        Of a remote venue's trade only one side is ours.
        """
        seq, _, number = execution_id.partition("-")
        if not (seq.isdecimal() and number.isdecimal() and len(seq) < DIGITS_MAX):
            return []
        told = [each for each in self._store.reports_of_turn(int(seq)) if each.type == TRADE]
        fill = next((each for each in told if str(each.number) == number), None)
        if fill is None or self._desk.engine is None:
            return [] if fill is None else [fill]
        return [
            each
            for each in told
            if each.symbol == fill.symbol and each.match_number == fill.match_number
        ]


def _whole_of(told: Sequence[Report], fill: Report, since: int) -> list[object]:
    """All that was settled together with a fill: the fields of `desk.bust.Whole`."""
    fees, worths, liquidity = dict[str, int](), dict[str, int](), dict[str, str]()
    for each in told:
        name, fee = each.execution_id, int(each.fee or 0)
        if each.type == TRADE and each.journal_seq >= since:
            liquidity[name] = each.liquidity
        elif each.type in CHANGES and trade_named(each) in fees:
            name = trade_named(each)
            fee += fees[name] if each.type == BUSTED else 0  # of a bust: what was given back
        else:
            continue
        taken_back = each.type == BUSTED
        fees[name] = fee
        worths[name] = 0 if taken_back else each.last_price_ticks * each.last_quantity_lots
    sums = {"MAKER": 0, "TAKER": 0, "AUCTION": 0}
    for name, worth in worths.items():
        sums[liquidity[name]] += worth
    return [fill.liquidity, *sums.values(), sum(fees.values())]


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


def _command_refused(request: Line, seq: int, reason: str) -> Line:
    """A request that is not about one order, and cannot be obeyed as it stands."""
    return (
        ANSWER, request[1], request[2], COMMAND_REJECTED, seq, "", "", "", 0, 0, "", reason, "",
    )  # fmt: skip


def _repeated(line: Line, first: int) -> Line:
    """Its id was used before: by the request with this sequence."""
    return (*line, first)
