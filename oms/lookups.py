"""Lookups: every question, answered in the process that has the orders.

Flow:  caller -> [lookups] -> what is published, the store, or the dispatcher between two turns
Owner: the caller's thread, but for what `between_turns` asks on the dispatcher's.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import tzinfo
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from threading import get_ident
from typing import Any, TypeVar

from oms.answers import (
    AccountLimits,
    ActionPage,
    CalendarWindow,
    DryRun,
    Explained,
    GroupMoney,
    Halts,
    MovementPage,
    OpenCount,
    StateDigest,
    Transfer,
)
from oms.clock import NANOS, Clock, Moment, instant_ns, utc_text
from oms.config import Config
from oms.desk.calendar import TradingSession
from oms.desk.desk import Desk
from oms.desk.hours import zone_of
from oms.enums import Phase, Scope, Side
from oms.errors import DeadlockError, StoppedError, ValidationError
from oms.exchange.book import OrderBook
from oms.futures import settle
from oms.instruments import Instrument
from oms.market_data import (
    Candle,
    DecimalLevel,
    DepthSnapshot,
    IndicativePrice,
    Level,
    Prices,
    TradeEvent,
    TradePrint,
    in_units,
    levels_of,
)
from oms.money import plain, to_decimal
from oms.positions import LATEST, Pnl, Position, Trade, pnl_of, position_of, report_id_of, trade_of
from oms.questions import (
    ACTIONS_MAX,
    AHEAD_MAX,
    DAY_NS,
    DAYS_MAX,
    MOVEMENTS_MAX,
    ORDERS_MAX,
    TRADES_MAX,
    WINDOWS_MAX,
    Questions,
)
from oms.reports import COMMAND_ANSWERS, NUMBER_BITS, OF_CHANGES, TRADE, Report, standing_of
from oms.requests import Request, line_of
from oms.requests.codec import origin_of
from oms.requests.operators import OPERATOR
from oms.requests.orders import SEQUENCE_MAX, Origin
from oms.responses import AccountSnapshot, OrderPage, OrderResponse
from oms.stores import Store, filler_word
from oms.turn.actions import actions_of
from oms.turn.answer import answer_of
from oms.turn.details import OrderDetails, details_of
from oms.turn.dispatcher import Dispatcher
from oms.turn.dry_run import dry_run
from oms.turn.history import Grid, candles_of, statistics_of
from oms.turn.inbox import Inbox
from oms.turn.intake import Intake
from oms.turn.latency import HOPS
from oms.turn.market_feed import indicative_now
from oms.turn.movements import movements_of
from oms.turn.publisher import Publisher
from oms.turn.schedule import phase_starts
from oms.turn.session_keeper import SessionKeeper
from oms.turn.story import Story, Words, reports_named
from oms.turn.tape import told_of
from oms.turn.transfers import in_flight, money_of, transfer_of

T = TypeVar("T")

SILENT_NS = 3 * NANOS  # the store is asked once a second
FOLLOW_S_MAX = 5.0  # a turn takes milliseconds, unless the disk is stuck


class Lookups(Questions):
    """What OrderManagement answers; it builds the parts, and has them live."""

    config: Config
    clock: Clock
    session: TradingSession
    store: Store
    inbox: Inbox
    publisher: Publisher
    dispatcher: Dispatcher
    directory: Path
    keeper: SessionKeeper
    failure: tuple[str, BaseException] | None
    _running: bool

    # --- between two turns ---

    def between_turns(
        self, question: Callable[[Desk, Intake], T], *, behind: str | None = None
    ) -> "Future[T]":
        """Have a question answered on the dispatcher's thread, between two turns: what it sees
        is on disk. It must only look. The future holds what it raised, or StoppedError. Once
        the order manager has stopped it is answered at once, on the caller's thread.

        behind: only once all requests of this account are answered that were handed over before.
        """
        check_callable("question", question)
        answer: Future[T] = answer_of(self.dispatcher)
        is_done = self.inbox.behind(behind) if behind is not None else None

        def ask(intake: Intake | None) -> None:
            if intake is not None and self._running and is_done is not None and not is_done():
                self.dispatcher.questions.append(ask)
                self.inbox.wake()
                return
            if intake is None:
                settle(answer, None, StoppedError("stopped before it answered"))
                return
            try:
                found = question(self.dispatcher.desk, intake)
            except BaseException as error:  # whatever it is, the dispatcher goes on
                settle(answer, None, error)
            else:
                settle(answer, found)

        if self._running:
            self.dispatcher.questions.append(ask)
            self.inbox.wake()
            if not self._running or self.failure is not None:  # it stopped meanwhile
                self._drop_questions()
        else:  # no turn is under way, nor will one be
            ask(self.dispatcher.intake)
        return answer

    def _drop_questions(self) -> None:
        with suppress(IndexError):  # two threads may be at it
            while True:
                self.dispatcher.questions.popleft()(None)

    def _check_may_wait(self, what: str) -> None:
        if self.dispatcher.thread_id == get_ident():
            raise DeadlockError(f"{what} in a listener waits for the listener's own thread")

    # --- orders ---

    def _shown(self, seq: int) -> None:
        """The store has a turn a moment before readers see what it changed: who is told of it from
        there must not see balances and books from before it. seq: the latest that was found."""
        if seq > self.publisher.shown_seq and self.dispatcher.thread_id not in (0, get_ident()):
            self.publisher.wait_until_shown(seq, FOLLOW_S_MAX)

    def _reports_of(self, account: str, named: str | int) -> list[Report]:
        found = self.store.find_reports(account, named)
        self._shown(found[-1].journal_seq if found else 0)
        return found

    def get_order(self, account: str, named: str | int) -> OrderResponse | None:
        _check_text("account", account)
        if type(named) is not int:
            named = plain(named)  # type: ignore[assignment]
        if type(named) is not int:
            _check_text("named", named)
        if not f"{account}{named}".isascii():  # no id is like that, and no store may look for it
            return None
        report = standing_of(self._reports_of(account, named))
        if report is None or report.type in COMMAND_ANSWERS:  # an id of a deposit, say
            return None
        return self.publisher.response(report)

    def find_order(self, account: str, named: str | int) -> "Future[OrderResponse | None]":
        self.get_order(account, named)  # what cannot be a name is said at once
        return self.between_turns(
            lambda _desk, _intake: self.get_order(account, named), behind=account
        )

    def order_details(self, order_ids: Sequence[int]) -> dict[int, OrderDetails]:
        order_ids = _checked_ids(order_ids)
        known = self.publisher.instruments
        found = self.store.find_asked([each for each in order_ids if 0 < each <= SEQUENCE_MAX])
        details = [details_of(each, known) for each in found]
        return {each.order_id: each for each in details}

    def details_for(self, responses: Sequence[OrderResponse]) -> list[OrderDetails | None]:
        if type(responses) not in (list, tuple) or any(
            type(each) is not OrderResponse for each in responses
        ):
            raise ValidationError("responses", responses, "a list of responses")
        found = self.order_details(list({each.order_id: None for each in responses}))
        return [found.get(each.order_id) for each in responses]

    def details_heard(self, response: OrderResponse) -> OrderDetails | None:
        if type(response) is not OrderResponse:
            raise ValidationError("response", response, "a response")
        return self.order_details([response.order_id]).get(response.order_id)

    def orders(
        self, account: str, *, symbol: str = "", side: Side | None = None, before: int = 0,
        limit: int = ORDERS_MAX,
    ) -> OrderPage:  # fmt: skip
        _check_text("account", account)
        _check_text("symbol", symbol)
        limit = plain(limit)  # type: ignore[assignment]
        _check_whole("limit", limit, 1, ORDERS_MAX)
        _check_whole("before", before, 0, SEQUENCE_MAX)
        if not f"{account}{symbol}".isascii():
            return OrderPage([], 0)
        ids, following = self.store.find_orders(
            account, symbol, side.value if side is not None else "", before or SEQUENCE_MAX, limit
        )
        standing = [standing_of(self._reports_of(account, order_id)) for order_id in ids]
        return OrderPage(
            [self.publisher.response(each) for each in standing if each is not None], following
        )

    def open_orders(self, account: str) -> list[OrderResponse]:
        _check_text("account", account)
        found = [r for r in self.publisher.open.copy().values() if r.account == account]
        found.sort(key=lambda report: report.order_id)
        for place, report in enumerate(found):
            if report.type in OF_CHANGES:  # it bears the id of the change
                told = standing_of(self._reports_of(account, report.order_id))
                found[place] = told or report
        return [self.publisher.response(report) for report in found]

    def fills(self, account: str, order_id: int, *, limit: int = ORDERS_MAX) -> list[OrderResponse]:
        _check_text("account", account)
        _checked_ids([order_id])
        found = [each for each in self._reports_of(account, order_id) if each.type == TRADE]
        return [self.publisher.response(each) for each in found[-limit:]]

    def queue_ahead(self, symbol: str, order_ids: Sequence[int]) -> "Future[dict[int, Decimal]]":
        self._check_symbol(symbol)
        ids = _checked_ids(order_ids)
        return self.between_turns(lambda desk, _intake: queue_ahead(desk, symbol, ids))

    def origins(self, order_ids: Sequence[int]) -> dict[int, Origin]:
        lines = self.store.find_lines(_checked_ids(order_ids))
        return {each: origin_of(line) for each, line in zip(order_ids, lines, strict=True)}

    def placed_ns(self, order_ids: Sequence[int]) -> dict[int, int]:
        found = {each: self.store.record_of(each) for each in _checked_ids(order_ids)}
        return {each: record.wall_ns for each, record in found.items() if record is not None}

    def count_open(self, account: str = "", symbol: str = "") -> OpenCount:
        _check_text("account", account)
        _check_text("symbol", symbol)
        found = [
            report for report in self.publisher.open.copy().values()
            if account in ("", report.account) and symbol in ("", report.symbol)
        ]  # fmt: skip
        accounts, symbols = {r.account for r in found}, {r.symbol for r in found}
        return OpenCount(len(found), len(accounts), len(symbols))

    def explain(self, named: str, account: str = "") -> Explained | None:
        _check_text("named", named)
        _check_text("account", account)
        if not f"{account}{named}".isascii():
            return None
        with self.store.at_one_instant() as store:
            reports = reports_named(store, named, account or None)
            words = Words(self.publisher.instruments, self.dispatcher.feed.scales())
            return Story(store, reports, words).told() if reports else None

    def dry_run(self, request: Request) -> "Future[DryRun]":
        line = line_of(request)
        if not self._running or self.inbox.closed:
            stopped: Future[DryRun] = answer_of(self.dispatcher)
            stopped.set_exception(StoppedError("the order manager is not running"))
            return stopped
        return self.between_turns(lambda desk, intake: dry_run(intake, desk, line))

    # --- accounts ---

    def account_snapshot(self, account: str) -> "Future[AccountSnapshot]":
        _check_text("account", account)
        return self.between_turns(
            lambda desk, _intake: AccountSnapshot(
                desk.reports.turn_seq, self.open_orders(account), self.balances(account)
            )
        )

    def balances(self, account: str) -> dict[str, tuple[Decimal, Decimal]]:
        return {
            asset: (to_decimal(available, scale), to_decimal(reserved, scale))
            for asset, (available, reserved) in self.balances_units(account).items()
            for scale in (self.dispatcher.feed.scale_of(asset),)
        }

    def balances_units(self, account: str) -> dict[str, tuple[int, int]]:
        """`balances` in whole units of 10**-scale, the asset's own scale."""
        _check_text("account", account)
        return self.dispatcher.feed.balances(account)

    def positions(self, account: str) -> list[Position]:
        _check_text("account", account)
        if not account.isascii():
            return []
        found = self.store.find_holdings(account)
        self._shown(max((each.holding.seq for each in found), default=0))
        return [position_of(each) for each in found]

    def pnl(self, account: str) -> dict[str, Pnl]:
        return pnl_of(self.positions(account))

    def ledger(self, account: str, *, before: int = 0, limit: int = MOVEMENTS_MAX) -> MovementPage:
        _check_text("account", account)
        _check_whole("limit", limit, 1, MOVEMENTS_MAX)
        _check_whole("before", before, 0, SEQUENCE_MAX)
        if not account.isascii():
            return MovementPage([], 0)
        found, following = self.store.find_moved(account, before or SEQUENCE_MAX, limit)
        self._shown(found[0].report.journal_seq if found else 0)
        known, scales = self.publisher.instruments, self.dispatcher.feed.scales()
        return MovementPage(list(movements_of(account, found, known, scales)), following)

    def trades(
        self, account: str = "", symbol: str = "", *, before: str = "", limit: int = TRADES_MAX
    ) -> list[Trade]:
        _check_text("account", account)
        _check_text("symbol", symbol)
        limit = plain(limit)  # type: ignore[assignment]
        _check_whole("limit", limit, 1, TRADES_MAX)
        report_id = report_id_of("before", before) if before else LATEST
        if not f"{account}{symbol}".isascii():
            return []
        found = self.store.find_trades(account, symbol, report_id, limit)
        self._shown(found[0].report_id >> NUMBER_BITS if found else 0)
        if symbol and not found and symbol not in self.publisher.instruments:
            self._check_symbol(symbol)  # it was never traded, so it is a mistake
        return [trade_of(row) for row in reversed(found)]

    def account_limits(self, account: str) -> "Future[AccountLimits]":
        _check_text("account", account)
        return self.between_turns(
            lambda desk, _intake: AccountLimits(
                desk.risk.groups_of(account), desk.ledger.tiers.get(account, ""),
                desk.risk.texts(Scope.ACCOUNT, account),
            )
        )  # fmt: skip

    # --- markets ---

    def instruments(self, *, delisted: bool = False) -> dict[str, Instrument]:
        return dict(self.publisher.instruments if delisted else self.publisher.listed)

    def market_states(self) -> dict[str, Phase]:
        return self.dispatcher.feed.phases()

    def depth_snapshot(self, symbol: str) -> DepthSnapshot:
        self._check_symbol(symbol)
        if not self.dispatcher.feed.follows:
            self._check_may_wait("the first depth_snapshot()")
        wait_s = FOLLOW_S_MAX if self._running else 0.0
        return self.dispatcher.feed.depth_snapshot(symbol, wait_s)

    def get_depth(self, symbol: str, levels: int) -> tuple[list[DecimalLevel], list[DecimalLevel]]:
        """Bids and asks, best first: (price, open quantity); at most depth_levels."""
        bids, asks = self.get_depth_ticks(symbol, levels)
        instrument = self.publisher.instruments[symbol]
        scales = instrument.price_scale, instrument.quantity_scale
        return levels_of(bids, *scales), levels_of(asks, *scales)

    def get_depth_ticks(self, symbol: str, levels: int) -> tuple[list[Level], list[Level]]:
        """The same as whole numbers: (price in ticks, open lots)."""
        self._check_symbol(symbol)
        levels = plain(levels)  # type: ignore[assignment]
        if type(levels) is not int or levels < 0:
            raise ValidationError("levels", levels, "a whole number, 0 or more")
        bids, asks = self.publisher.depth(symbol)
        return bids[:levels], asks[:levels]

    def indicative(self, symbol: str) -> "Future[IndicativePrice | None]":
        self._check_symbol(symbol)
        return self.between_turns(lambda desk, _intake: indicative_now(desk, symbol))

    def best_bid(self, symbol: str) -> Decimal | None:
        bids, _ = self.get_depth(symbol, 1)
        return bids[0][0] if bids else None

    def best_ask(self, symbol: str) -> Decimal | None:
        _, asks = self.get_depth(symbol, 1)
        return asks[0][0] if asks else None

    def best_bid_ticks(self, symbol: str) -> int | None:
        bids, _ = self.get_depth_ticks(symbol, 1)
        return bids[0][0] if bids else None

    def best_ask_ticks(self, symbol: str) -> int | None:
        _, asks = self.get_depth_ticks(symbol, 1)
        return asks[0][0] if asks else None

    def recent_trades(self, symbol: str, limit: int | None = None) -> list[TradePrint]:
        self._check_symbol(symbol)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ValidationError("limit", limit, "a whole number, 1 or more")
        return self.publisher.trades(symbol, limit)

    def get_prices(self, symbol: str) -> Prices:
        """Last, mid and volume-weighted average price."""
        bids, asks = self.get_depth_ticks(symbol, 1)
        scale = self.publisher.instruments[symbol].price_scale
        return Prices.of(symbol, bids, asks, self.recent_trades(symbol), scale)

    def candles(
        self, symbol: str, width: str, start: Moment, end: Moment | None = None,
        upto_seq: int | None = None,
    ) -> list[Candle]:  # fmt: skip
        instrument, grid = self._traded(symbol), Grid(width, self._zone)
        start_ns, end_ns = instant_ns("start", start), self._until(end)
        return candles_of(self.store, instrument, grid, start_ns, end_ns, upto_seq)

    def statistics(self, symbol: str, end: Moment | None = None) -> Candle:
        instrument = self._traded(symbol)
        return statistics_of(self.store, instrument, self._until(end))

    def symbol_limits(self) -> "Future[dict[str, dict[str, str]]]":
        return self.between_turns(
            lambda desk, _intake: {
                symbol: desk.risk.texts(Scope.SYMBOL, symbol) for symbol in desk.instruments
            }
        )

    def calendar(self, from_ns: int, days: int = 7) -> list[CalendarWindow]:
        _check_whole("from_ns", from_ns, 0, SEQUENCE_MAX)
        _check_whole("days", days, 0, DAYS_MAX)
        until_ns, found = from_ns + days * DAY_NS, list[CalendarWindow]()
        for window in self.session.schedule.windows(from_ns):
            if window.open_ns >= until_ns or len(found) == WINDOWS_MAX:
                break
            found.append(CalendarWindow(
                window.trading_date.isoformat(), window.open_ns, window.close_ns, window.note,
                phase_starts(self.dispatcher.desk.settings, window),
            ))  # fmt: skip
        return found

    def _check_symbol(self, symbol: str) -> None:
        known = self.publisher.listed
        if type(symbol) is not str or symbol not in known:
            raise ValidationError("symbol", symbol, "one of " + ", ".join(known))

    def _traded(self, symbol: str) -> Instrument:
        """What is traded, or was: a delisted symbol has a past."""
        known = self.publisher.instruments
        if type(symbol) is not str or symbol not in known:
            raise ValidationError("symbol", symbol, "one of " + ", ".join(known))
        return known[symbol]

    def _until(self, end: Moment | None) -> int:
        """By default now; what is traded at this very instant counts, too."""
        return self.clock.wall_ns() + 1 if end is None else instant_ns("end", end)

    @property
    def _zone(self) -> tzinfo:
        return zone_of(self.config.session.schedule.zone)

    # --- operators, and who follows turns ---

    def halts(self) -> "Future[Halts]":
        return self.between_turns(
            lambda desk, _intake: Halts(
                desk.risk.everybody, desk.risk.killed, dict(desk.risk.accounts),
                dict(desk.risk.symbols),
            )
        )  # fmt: skip

    def actions(self, *, before: int = 0, limit: int = ACTIONS_MAX) -> ActionPage:
        _check_whole("limit", limit, 1, ACTIONS_MAX)
        _check_whole("before", before, 0, SEQUENCE_MAX)
        seqs = self.store.find_commands(OPERATOR, before or SEQUENCE_MAX, limit)
        with self.store.at_one_instant() as store:
            found = list(actions_of(store, seqs))
        return ActionPage(found, seqs[-1] if len(seqs) == limit else 0)

    def digest(self) -> "Future[StateDigest]":
        return self.between_turns(
            lambda *_: StateDigest(self.dispatcher.fold.last_seq, self.dispatcher.fold.digest())
        )

    def money(self) -> "Future[Mapping[str, GroupMoney | None]]":
        return self.between_turns(
            lambda desk, _intake: money_of(desk, self.dispatcher.fold.last_seq)
        )

    def transfers(self) -> "Future[list[Transfer]]":
        return self.between_turns(lambda desk, _intake: in_flight(desk))

    def transfer(self, account: str, client_order_id: str) -> Transfer | None:
        _check_text("account", account)
        _check_text("client_order_id", client_order_id)
        if not f"{account}{client_order_id}".isascii():
            return None
        with self.store.at_one_instant() as store:
            seq, _ = store.owner(account, client_order_id)
            scales = self.dispatcher.desk.ledger.scales
            return transfer_of(store.line_of(seq), store.reports_of(seq), scales) if seq else None

    def journal_seq(self, symbol: str = "") -> "Future[int]":  # noqa: ARG002 - one journal has all
        return self.between_turns(lambda desk, _intake: desk.reports.turn_seq)

    def reports_after(self, account: str, seq: int, upto_seq: int) -> list[OrderResponse] | None:
        _check_text("account", account)
        after, before = _behind("seq", seq), _behind("upto_seq", upto_seq)
        found = self.store.find_after(after, before, account=account) if account else []
        self._shown(found[-1].journal_seq if found else 0)
        return None if found is None else [self.publisher.response(each) for each in found]

    def trades_after(self, symbol: str, seq: int, upto_seq: int) -> list[TradeEvent] | None:
        instrument = self._traded(symbol)
        after, before = _behind("seq", seq), _behind("upto_seq", upto_seq)
        found = self.store.find_after(after, before, symbol=symbol)
        if found is None:
            return None
        turns = groupby(found, lambda report: report.journal_seq)
        return [in_units(each, instrument) for _, turn in turns for each in told_of(turn)]

    def published_ns(self) -> int:
        """Of a listener that is being told: when what it is told was published, by the wall
        clock."""
        return self.clock.wall_ns()

    def latency_rows(self, hop: str) -> list[tuple[int, int, int]]:
        _check_text("hop", hop)
        if hop not in HOPS:
            raise ValidationError("hop", hop, "one of " + ", ".join(HOPS))
        return self.dispatcher.tracker.histogram(hop).rows()

    def get_status(self) -> dict[str, Any]:
        dispatcher, inbox = self.dispatcher, self.inbox
        now_ns = self.clock.monotonic_ns()
        desk, limited = dispatcher.desk, self.config.throttle.policy != "off"
        wall_ns = self.clock.wall_ns()
        window, open_ns = self.session.window_at(wall_ns), self.session.next_open_ns(wall_ns)
        close_ns = self.session.next_close_ns(wall_ns)
        silent_ns = max(0, now_ns - dispatcher.store_seen_ns)
        return {
            "health": self._health(),
            "session": "open" if window else "closed",
            "trading_date": window.trading_date.isoformat() if window else None,
            "opens": utc_text(open_ns) if open_ns is not None else None,
            "closes": utc_text(close_ns) if close_ns is not None else None,
            "link": "up" if self.session.logged_on else "down",
            "logon_attempts": self.keeper.attempts,
            "inbox": inbox.size,
            "inbox_peak": inbox.peak,
            "waiting": desk.queue.size,
            "waiting_peak": desk.queue.peak,
            "in_flight": dispatcher.tracker.in_flight,
            "unknown": dispatcher.tracker.unknown,
            "open_orders": len(self.publisher.open),
            "clock": {
                "jumps": dispatcher.times.jumps,
                "jump_ns": dispatcher.times.jump_ns if dispatcher.times.jumps else None,
                "behind_ns": dispatcher.times.behind_ns,
            },
            "journal_seq": dispatcher.fold.last_seq,
            "turns": dispatcher.turns,
            "published": self.publisher.published,
            "rejects": dict(self.publisher.rejects),
            "listener_failures": self.publisher.failures,
            "venue_anomalies": dispatcher.anomalies,
            "throttle": {
                "policy": self.config.throttle.policy,
                "sends_max": self.config.throttle.sends_max,
                "in_use": dispatcher.throttler.in_use(now_ns) if limited else None,
                "free": dispatcher.throttler.free(now_ns) if limited else None,
            },
            "store": "ok" if dispatcher.blocked is None else dispatcher.blocked.value,
            "store_lag": inbox.size,
            "store_log_bytes": dispatcher.log_bytes,
            "store_silent_s": round(silent_ns / NANOS, 3),
            "postgres": self._postgres(silent_ns),
            "projection": filler_word.read(self.directory, dispatcher.fold.last_seq, wall_ns),
            "latency_ns": dispatcher.tracker.latency(),
        }

    def _postgres(self, silent_ns: int) -> str | None:
        """How the server is that has the journal: ok, silent, or why it takes no writes; None where
        the journal is a file."""
        if self.config.store.kind != "postgres":
            return None
        blocked = self.dispatcher.blocked
        if blocked is not None:
            return blocked.value
        return "silent" if silent_ns > SILENT_NS else "ok"

    def _health(self) -> str:
        if self.failure is not None or not self._running:
            return "stopped" if self.failure is None else "failed"
        degraded = self.dispatcher.blocked is not None or self.keeper.gave_up
        return "degraded" if degraded else "ok"


def check_callable(name: str, value: object) -> None:
    if not callable(value):
        raise ValidationError(name, value, "a function, or what can be called like one")


def _behind(name: str, seq: int) -> int:
    """Above the ids of a turn's reports, and below those of the next. Raises ValidationError."""
    _check_whole(name, seq, 0, (SEQUENCE_MAX >> NUMBER_BITS) - 1)
    return (seq + 1) << NUMBER_BITS


def _checked_ids(order_ids: Sequence[int]) -> Sequence[int]:
    if type(order_ids) not in (list, tuple) or any(type(each) is not int for each in order_ids):
        raise ValidationError("order_ids", order_ids, "a list of whole numbers")
    return order_ids


def _check_text(name: str, value: object) -> None:
    if type(value) is not str:
        raise ValidationError(name, value, "text")


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ValidationError(name, value, f"{least} to {most}")


def queue_ahead(desk: Desk, symbol: str, order_ids: Sequence[int]) -> dict[int, Decimal]:
    """On the dispatcher's thread, so it looks at AHEAD_MAX orders at most; the first ones asked for
    come first."""
    looks, found = AHEAD_MAX, dict[int, Decimal]()
    for order_id in order_ids:
        order = desk.executions.orders.get(order_id)
        if order is None or order.instrument.symbol != symbol:
            continue
        ahead = OrderBook.ahead_of(order, looks)
        if ahead is not None:
            orders, lots = ahead
            looks -= orders
            found[order_id] = to_decimal(lots, order.instrument.quantity_scale)
    return found
