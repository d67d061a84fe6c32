"""Commands: requests that are not about one order become journal lines.

Flow:  intake -> [commands] -> desk
Funds, mass cancels, what operators ask. What the desk cannot see is looked up here and written into
the line: amounts in units of their asset, the terms of a market, how the orders of a trade stand
that is busted or corrected. So a replay asks nobody.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain
from typing import Any

from oms.desk.desk import Desk
from oms.enums import ResponseType, Scope
from oms.errors import ConfigError, ValidationError
from oms.money import to_text, to_units
from oms.positions import BUSTED, CHANGES
from oms.reject_reasons import RejectReason
from oms.reports import (
    OF_CHANGES,
    REFUSALS,
    Report,
    trade_named,
)
from oms.requests import FundsAction, OperatorAction
from oms.requests.accounts import ENDS
from oms.requests.codec import (
    ANSWER,
    FUNDS,
    MARKET,
    OPERATOR,
    TRADE_CHANGE,
    Line,
)
from oms.requests.operators import OF_MARKETS
from oms.stores import Store
from oms.turn.claims import DIGITS_MAX
from oms.turn.listing import terms_of
from oms.turn.tape import Wanted, tape

TRADE, COMMAND_REJECTED = ResponseType.TRADE.value, ResponseType.COMMAND_REJECTED.value
NO_EVENTS = (*CHANGES, *OF_CHANGES, *REFUSALS)  # reports that are no event of the order itself


class Commands:
    """reports_of: all reports of an order, also of the turn under way."""

    def __init__(self, desk: Desk, store: Store, reports_of: Callable[[int], list[Report]]) -> None:
        self._desk, self._store, self._reports_of = desk, store, reports_of

    def line(self, seq: int, request: Line) -> Line:
        """As it goes into the journal; an answer if it cannot be obeyed."""
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
            return command_refused(request, seq, reason)
        if action in ENDS and (account, client_id) not in self._desk.ledger.transfers:
            reason = f"{RejectReason.COMMAND_INVALID}: transfer={client_id}, not in flight"
            return command_refused(request, seq, reason)
        if given is not None:
            invalid = RejectReason.AMOUNT_INVALID
            if asset not in scales:
                reason = f"{RejectReason.ASSET_UNKNOWN}: asset={asset}, known={'|'.join(scales)}"
                return command_refused(request, seq, reason)
            try:
                amount = to_units("amount", given, scales[asset])
            except ValidationError as error:
                return command_refused(request, seq, f"{invalid}: {error}")
            if amount <= 0:
                reason = f"{invalid}: amount={given}, expected above 0"
                return command_refused(request, seq, reason)
        return (FUNDS, account, client_id, action, asset, amount, other, *groups)

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
            return command_refused(request, seq, f"{RejectReason.COMMAND_INVALID}: {mistakes}")
        except ValidationError as error:
            code = RejectReason.COMMAND_INVALID
            if error.field == "symbol" and action != OperatorAction.LIST:
                code = RejectReason.SYMBOL_UNKNOWN
            return command_refused(request, seq, f"{code}: {error}")
        return (MARKET, account, client_id, action, symbol, name, value, why, terms)

    def _trade_change(self, seq: int, request: Line) -> Line:
        """A bust or a correction: the fills as they stand, how their orders stood last, what the
        trade is from now on, and what its market traded at last then."""
        _, account, client_id, _action, scope, target, name, _value, why = request[:9]
        invalid, fills = f"{RejectReason.COMMAND_INVALID}: trade={name}", list[list[object]]()
        trade = self._trade_of(name)
        if not trade:
            return command_refused(request, seq, f"{invalid}, no such trade")
        if scope == Scope.SYMBOL and target != trade[0].symbol:
            other = f"symbol={target}, trade={name}, traded={trade[0].symbol}"
            return command_refused(request, seq, f"{RejectReason.COMMAND_INVALID}: {other}")
        now: list[Report] = []
        for fill in trade:
            told = self._reports_of(fill.order_id)
            changes = [r for r in told if r.type in CHANGES and trade_named(r) == fill.execution_id]
            stands, last = changes[-1] if changes else fill, told[-1]
            own = next(report for report in reversed(told) if report.type not in NO_EVENTS)
            if stands.type == BUSTED:
                return command_refused(request, seq, f"{invalid}, taken back")
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
                return command_refused(request, seq, f"{invalid}: {error}")
        anew = [price_ticks, lots, *self._last_trade(trade, price_ticks, lots)]
        return (TRADE_CHANGE, account, client_id, why, fills, anew)

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


def command_refused(request: Line, seq: int, reason: str) -> Line:
    """A request that is not about one order, and cannot be obeyed as it stands."""
    return (
        ANSWER, request[1], request[2], COMMAND_REJECTED, seq, "", "", "", 0, 0, "", reason, "",
    )  # fmt: skip
