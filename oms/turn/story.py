"""Story: what happened to one order or command and why, in lines of English, from what is on disk.

Flow:  store -> [story] -> OrderManagement.explain, the command `explain`
A request is a line of the journal; what became of it are reports, each of them made in one
turn of the dispatcher, and told after that turn's commit. Owner: whoever asks, on its own thread.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from oms.answers import Explained, StoryLine
from oms.clock import NANOS, datetime_of
from oms.enums import TERMINAL_STATES, Liquidity, OrderState, ResponseType
from oms.instruments import Instrument
from oms.money import to_text
from oms.reject_reasons import RejectReason
from oms.reports import TRADE, Report
from oms.requests import codec
from oms.requests.codec import Line
from oms.responses import OrderResponse
from oms.stores import Store

COMMANDS = (
    codec.FUNDS,
    codec.MASS_CANCEL,
    codec.OPERATOR,
    codec.BUST,
    codec.TRADE_CHANGE,
    codec.MARKET,
    codec.ACCESS,
)
WAITS = {
    "QUEUED_THROTTLE": "waits in the queue: the throttle lets no more through at this moment",
    "HELD_HALT": "waits in the queue: its market is halted",
    "HELD_SESSION": "waits in the queue: the session is closed, or the link to the venue is down",
    "SENT_UNACKED": "sent to the venue, which has not answered yet",
}
ROLES = {
    Liquidity.MAKER: ", which found it in the book",
    Liquidity.TAKER: ", which rested in the book",
    Liquidity.AUCTION: ", in an auction, at the price of all",
}
# Why an order ended, or was changed, that nobody asked to: what the codes of reasons mean.
REASONS_WHY = {
    RejectReason.OCO: "its pair was filled, triggered or ended",
    RejectReason.SELF_TRADE: "it would have traded with an order of the same account or group",
    RejectReason.EXPIRE_TIME: "its expire time was reached",
    RejectReason.SESSION_ENDED: "the session ended",
    RejectReason.POST_ONLY: "it is post-only and would have taken liquidity",
    RejectReason.MIN_QUANTITY: "less than its minimum could be filled at once",
    RejectReason.INSUFFICIENT_LIQUIDITY: "the liquidity of the book was insufficient",
    RejectReason.FUNDS_INSUFFICIENT: "the available funds were insufficient",
    RejectReason.MARKET_STATE: "this market phase does not accept such an order",
    RejectReason.BREAKER: "the circuit breaker: the price is outside the band",
    RejectReason.MASS_CANCEL: "a mass cancel",
    RejectReason.KILL_SWITCH: "the kill switch",
    RejectReason.SYMBOL_DELISTED: "its symbol was delisted",
    RejectReason.ACCOUNT_HALTED: "an operator stopped the account",
    RejectReason.REDUCING_ONLY: "it would not have made the position smaller",
    RejectReason.HALTED: "its symbol was halted, or it would have crossed on its return",
}


def reports_named(store: Store, name: str, account: str | None) -> list[Report]:
    """Every report of the order or command of this name, oldest first: a client order id that the
    account has used; or "order 8", by order id; or the execution id of a report or trade, "9-2"."""
    found = _reports(store, account, name) if account else []
    return found or _numbered(store, name, account)


def _reports(store: Store, account: str, name: str) -> list[Report]:
    """Of the order that the request of this id was about, even if it was a change, and refused."""
    seq, _ = store.owner(account, name)
    told = store.told(seq) if seq else None
    return store.reports_of(told.order_id) if told else []


def _numbered(store: Store, name: str, account: str | None) -> list[Report]:
    """Of the order with a number, or of the report with an execution id; of this account, if given.

    What somebody chose as a client order id comes first.
    """
    order_id = 0
    if match := re.fullmatch(r"order (\d{1,18})", name, re.ASCII):
        order_id = int(match[1])
    elif match := re.fullmatch(r"(\d{1,18})-(\d{1,8})", name, re.ASCII):
        of_turn = store.reports_of_turn(int(match[1]))
        order_id = next((each.order_id for each in of_turn if each.execution_id == name), 0)
    reports = store.reports_of(order_id) if order_id else []
    return reports if reports and account in (None, reports[0].account) else []


class Story:
    """All that is on disk about one order or command; `reports` are all of its reports."""

    def __init__(self, store: Store, reports: list[Report], words: "Words") -> None:
        self._store = store
        self._reports = reports
        self._order_id = reports[0].order_id
        self._words = words
        self._is_command = reports[0].type in (
            ResponseType.COMMAND_DONE, ResponseType.COMMAND_REJECTED,
        )  # fmt: skip

    def told(self) -> Explained:
        first = self._reports[0]
        what = "command" if self._is_command else "order"
        heading = f"{what} {self._order_id} of account {first.account}"
        if not self._is_command:
            heading += f", {first.symbol or 'no symbol'}"
        lines = list(self._steps())
        return Explained(self._order_id, first.account, heading, lines, self._ending())

    def _steps(self) -> Iterator[StoryLine]:
        """Requests where they came, reports where they were made."""
        asked: set[int] = set()
        before: Report | None = None
        for report in self._reports:
            if before is not None and report.journal_seq != before.journal_seq:
                yield _commit(before)
            before = report
            if report.request_seq and report.request_seq not in asked:
                asked.add(report.request_seq)
                yield from self._request(report.request_seq)
            yield StoryLine(report.wall_ns, report.journal_seq, self._outcome(report))
        if before is not None:
            yield _commit(before)

    # --- what was asked ---

    def _request(self, seq: int) -> Iterator[StoryLine]:
        line, record = self._store.line_of(seq), self._store.record_of(seq)
        wall_ns = record.wall_ns if record is not None else 0
        yield StoryLine(wall_ns, seq, self._wish(line))
        if line[0] == codec.NEW:
            passed = "passed the checks: known symbol, price and quantity on the grid, new id"
            yield StoryLine(wall_ns, seq, passed)

    def _wish(self, line: Line) -> str:
        kind, asked, words = line[0], f'request "{line[2]}"', self._words
        if kind == codec.NEW:
            return f"{asked}: {words.order(line)}"
        if kind == codec.CANCEL:
            return f"{asked}: cancel {_named(line[3])}"
        if kind == codec.MODIFY:
            symbol = self._reports[0].symbol
            price = f" price {words.price(symbol, line[4])}" if line[4] else ""
            lots = f" quantity {words.quantity(symbol, line[5])}" if line[5] else ""
            terms = words.terms(symbol, line[7]) if len(line) > 7 else ""
            return f"{asked}: modify {_named(line[3])} to{price}{lots}{terms}"
        if kind in COMMANDS:
            return f"{asked}: {words.command(line)}"
        if self._is_command:
            return f"{asked}: a command, answered from what is known"
        if line[4] != self._order_id or len(self._reports) > 1:
            return f"{asked} about this order, answered from what is known"
        if line[3] == ResponseType.REJECTED:
            return f"{asked}: {line[6]} {line[5]}, refused by the checks"
        return f"{asked}: change an order that is not there"

    # --- what came of it ---

    def _outcome(self, report: Report) -> str:
        text = self._what(OrderResponse(report))
        if report.waited_ns:
            text += f" (waited {_duration(report.waited_ns)}, matched in "
            text += f"{_duration(report.venue_ns)})"
        return text

    def _what(self, report: OrderResponse) -> str:
        why = _why(report)
        match report.type:
            case ResponseType.PENDING_NEW:
                return WAITS.get(report.text, f"pending{why}")
            case ResponseType.PENDING_CANCEL | ResponseType.PENDING_REPLACE:
                what = "cancel" if report.type is ResponseType.PENDING_CANCEL else "modify"
                return f"the {what} {WAITS.get(report.text, 'is pending')}"
            case ResponseType.NEW if report.state is OrderState.SUSPENDED:
                return f"accepted, and suspended until a trade triggers it: {self._left(report)}"
            case ResponseType.NEW:
                return f"sent to the venue, accepted: {self._left(report)}"
            case ResponseType.TRADE:
                return self._trade(report)
            case ResponseType.TRIGGERED:
                return f"a trade reached its stop price: it goes on as if just arrived{why}"
            case ResponseType.RESTATED if report.state is OrderState.SUSPENDED:
                return f"taken out of the book until it may trade again: {self._left(report)}{why}"
            case ResponseType.RESTATED if not why:
                return f"open again, where it was: {self._left(report)}"
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
            case ResponseType.TRADE_CORRECTED:
                quantity = self._words.quantity(report.symbol, report.last_quantity_lots)
                price = self._words.price(report.symbol, report.last_price_ticks)
                return f"a trade is corrected to {quantity} at {price}: {self._left(report)}{why}"
            case ResponseType.COMMAND_DONE:
                return f"done: {report.text}"
            case ResponseType.COMMAND_REJECTED:
                return f"refused{why}; nothing was changed"
            case _:
                return f"told how it stands: {report.state}, {self._left(report)}{why}"

    def _trade(self, report: OrderResponse) -> str:
        words = self._words
        quantity = words.quantity(report.symbol, report.last_quantity_lots)
        price = words.price(report.symbol, report.last_price_ticks)
        other = self._other_side(report.report)
        whom = ""
        if other is not None:
            whom = f' with order {other.order_id}, "{other.client_order_id}" of {other.account}'
        role = ROLES.get(report.liquidity, "")
        fee = ""
        if report.fee_units:
            kind = "fee" if report.fee_units > 0 else "rebate"
            fee = f", {kind} {words.money(report.symbol, abs(report.fee_units))}"
        return f"traded {quantity} at {price}{whom}{role}{fee}: {self._left(report)}"

    def _other_side(self, fill: Report) -> Report | None:
        """The other report of a trade; None if the trade was with nobody of ours."""
        if not fill.match_number:
            return None
        for report in self._store.reports_of_turn(fill.journal_seq):
            same = (report.symbol, report.match_number) == (fill.symbol, fill.match_number)
            if same and report.type == TRADE and report.report_id != fill.report_id:
                return report
        return None

    def _ending(self) -> str:
        last = OrderResponse(self._reports[-1])
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


def _commit(report: Report) -> StoryLine:
    turn = report.journal_seq
    return StoryLine(
        report.wall_ns, turn, f"committed to disk with turn {turn}; then this was told"
    )


def _named(order: str | int) -> str:
    """An order by one of its client order ids, or by its order id."""
    return f'"{order}"' if isinstance(order, str) else f"order {order}"


def _why(report: OrderResponse) -> str:
    """The report's reason: its code and figures, and what the code means."""
    if not report.text:
        return ""
    meaning = REASONS_WHY.get(report.reason) if report.reason is not None else None
    return f": {report.text}" + (f" ({meaning})" if meaning else "")


def _duration(ns: int) -> str:
    return f"{ns / NANOS:.3f} s" if ns >= NANOS else f"{ns / 1e6:.3f} ms"


class Words:
    """Figures with their decimals, terms and commands in words."""

    def __init__(self, instruments: Mapping[str, Instrument], scales: Mapping[str, int]) -> None:
        self._instruments = instruments
        self._scales = scales

    def money(self, symbol: str, units: int) -> str:
        instrument = self._instruments.get(symbol)
        if instrument is None:
            return f"{units} units of the quote asset"
        return f"{to_text(units, instrument.quote_scale)} {instrument.quote}".rstrip()

    def price(self, symbol: str, ticks: int) -> str:
        instrument = self._instruments.get(symbol)
        return to_text(ticks, instrument.price_scale) if instrument else f"{ticks} ticks"

    def quantity(self, symbol: str, lots: int) -> str:
        instrument = self._instruments.get(symbol)
        return to_text(lots, instrument.quantity_scale) if instrument else f"{lots} lots"

    def order(self, line: Line) -> str:
        """What a new order asks for."""
        _, _, _, symbol, side, type_, tif, price, lots, hold, _, *more = line
        at = f"at {self.price(symbol, price)}" if price else "at the market"
        held = ", may wait for the open" if hold else ""
        terms = self.terms(symbol, more[0]) if more else ""
        quantity = f"{self.quantity(symbol, lots)} {symbol}" if lots else symbol
        return f"{side} {quantity} {at}, {type_} {tif}{terms}{held}"

    def terms(self, symbol: str, fields: dict[str, Any]) -> str:
        """What an order is besides plain."""
        words: dict[str, Callable[[Any], str]] = {
            "stop": lambda ticks: f"when the market trades at {self.price(symbol, ticks)}",
            "display": lambda lots: f"showing {self.quantity(symbol, lots)}",
            "post": lambda how: f"post-only ({how.lower()})",
            "expire": lambda at_ns: f"good till {datetime_of(at_ns):%Y-%m-%d %H:%M:%S.%f}",
            "min": lambda lots: f"at least {self.quantity(symbol, lots)} at once",
            "budget": lambda units: f"for {self.money(symbol, units)}",
            "protect": lambda ticks: f"no worse than {self.price(symbol, ticks)}",
            "oco": lambda other: f'one of a pair with "{other}"',
            "stp": lambda mode: f"self-trade prevention {mode}",
        }
        return "".join(f", {words[name](value)}" for name, value in fields.items())

    def command(self, line: Line) -> str:
        """What funds, mass cancels and operators' commands ask."""
        kind = line[0]
        if kind == codec.FUNDS:
            _, account, _, action, asset, units, other = line[:7]
            scale = self._scales.get(asset)
            amount = f"{units} units" if scale is None else to_text(units, scale)
            moved = f" {amount} {asset}" if asset else ""
            return f"{action.lower()}{moved}, account {account}" + (f" to {other}" if other else "")
        if kind == codec.MASS_CANCEL:
            account, symbol, side = line[3:6]
            whose = f"of account {account}" if account else "of everybody"
            which = "".join(f", {what}" for what in (symbol, side) if what)
            why = codec.why_of(line)
            return f"cancel every open order {whose}{which}" + (f": {why}" if why else "")
        if kind == codec.OPERATOR:
            action, scope, target, name, value, why = line[3:9]
            said = f"{name} = {value}" if name else value
            of = f"{scope.lower()} {target}".strip()
            return f"operator: {action} {said}".rstrip() + f", {of}" + (f": {why}" if why else "")
        if kind == codec.ACCESS:
            return f"{line[3]}, user {line[4]}"
        if kind == codec.MARKET:
            action, symbol, name, _, why = line[3:8]
            of = f"{symbol}, tier {name}" if name else symbol
            return f"operator: {action} {of}" + (f": {why}" if why else "")
        if kind == codec.TRADE_CHANGE and line[5][1]:
            return f"operator: correct a trade: {line[3]}"
        return f"operator: take a trade back: {line[3]}"
