"""RemoteOrders: what an api or a broadcast holds instead of an order manager.

Flow:  front door -> [remote] -> link of a group -> Redis -> engine, and back
It takes requests as an OrderManagement does, and answers the same questions (questions.py): what
everybody may see from the mirror of each group, all else from the engine. It keeps nothing that
another process would miss.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from oms.clock import Clock, SystemClock, utc_text
from oms.config import Config
from oms.desk.calendar import TradingSession
from oms.enums import Phase, Side, Trading
from oms.errors import StoppedError, TransportError, ValidationError
from oms.gateways.gate import STALE_NS
from oms.instruments import Instrument
from oms.market_data import Candle, DecimalLevel, DepthSnapshot, TradeEvent, TradePrint, levels_of
from oms.positions import Pnl, Position, Trade
from oms.questions import (
    ACTIONS_MAX,
    MOVEMENTS_MAX,
    ORDERS_MAX,
    TRADES_MAX,
    AccountLimits,
    CalendarWindow,
    Halts,
    OpenCount,
    Questions,
    StateDigest,
)
from oms.reports import AccountSnapshot, OrderPage, OrderResponse
from oms.requests import (
    AccessAction,
    AccessRequest,
    FundsAction,
    FundsRequest,
    Request,
    line_of,
)
from oms.requests.codec import to_object
from oms.requests.orders import Origin
from oms.roles.heard import Listener
from oms.roles.link import TIMED, Link
from oms.roles.mirror import Mirror
from oms.roles.once import Once
from oms.roles.routes import Routes
from oms.roles.transfers import Transfers
from oms.stores.lock import DataLock
from oms.turn.actions import ActionPage
from oms.turn.answer import Asker
from oms.turn.details import OrderDetails
from oms.turn.history import Instant, instant_ns
from oms.turn.latency import HOPS, Histogram
from oms.turn.movements import MovementPage
from oms.turn.one_shot import DryRun
from oms.turn.publisher import settle
from oms.turn.story import Explained
from oms.turn.threads import Job, Worker
from oms.turn.transfers import GroupMoney, Transfer
from oms.users import Arm, LossScope

log = logging.getLogger(__name__)

T = TypeVar("T")

STOP_S = 3.0
ANSWER_S_MAX = 5.0  # of a question; those that read a day's trades take a second


class RemoteOrders(Questions):
    """The engines of all groups, or of one, behind one face; and the users of the home group.

    role: for the name that this process has in Redis. on_failure: as of an OrderManagement."""

    takes_requests = True

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        directory: Path | str = ".",
        accept_loss: int | None = None,
        on_failure: Callable[[str, BaseException], None] | None = None,
        role: str = "api",
        group: str = "",
    ) -> None:
        assert accept_loss is None, "it has no journal that could have lost something"
        self.config = config
        self.clock: Clock = clock or SystemClock()
        self.directory = Path(directory)
        self.lock: DataLock | None = None
        self.should_stop: Callable[[], bool] = lambda: False
        self.failure: tuple[str, BaseException] | None = None
        self.client = f"{role}-{secrets.token_hex(6)}"
        self.session = TradingSession(config.session.schedule, 0, 0)
        scale = config.scale
        self.links = {each: self._link(each) for each in ((group,) if group else scale.names)}
        self.home = self.links.get(scale.home) or self._link(scale.home)
        self.access = self.home.mirror.access
        self.routes = Routes(self.links, scale.home if scale.home in self.links else group)
        self.once = Once(self.home.keys, self.home.server, self.home.circuit)
        self.transferring = Transfers(self.links, SystemClock())
        self._unheld: set[str] = set()  # arms that no front door had when last looked
        self._on_failure = on_failure
        self._workers: list[Worker] = []
        self._running = self._stopped = False
        self._adding = threading.Lock()

    def _link(self, group: str) -> Link:
        scale, config = self.config.scale, self.config
        symbols = scale.symbols_by_group.get(group)
        instruments = [
            each for each in config.instruments if symbols is None or each.symbol in symbols
        ]
        mirror = Mirror(config.market_data.trades_kept, instruments)
        home = group == scale.home
        return Link(group, self.client, scale, self.clock, mirror, home=home)

    # --- life ---

    def start(self) -> None:
        """Begin to follow; whether Redis and the engines are there shows in `get_status`."""
        if self._running or self._stopped:
            raise StoppedError("it is started once")
        self._running = True
        for group, link in {**self.links, self.home.group: self.home}.items():
            self._start(f"oms-send-{group}", link.sending)
            self._start(f"oms-receive-{group}", link.receiving)
        if self.takes_requests and len(self.links) > 1:
            self._start("oms-transfers", self.transferring)

    def _start(self, name: str, job: Job) -> None:
        worker = Worker(name, job, self._thread_died)
        worker.start()
        self._workers.append(worker)

    def stop(self) -> None:
        """Safe to repeat. Raises StoppedError if a thread had died."""
        self._running, self._stopped = False, True
        for wait_s in (0.0, STOP_S):  # all are asked before any is waited for
            for worker in self._workers:
                worker.stop(wait_s)
        self._workers.clear()
        self.once.close()
        if self.failure is not None:
            name, error = self.failure
            raise StoppedError(f"thread {name} died: {error!r}") from error

    def _thread_died(self, name: str, error: BaseException) -> None:
        self.failure = self.failure or (name, error)
        log.critical("thread %s died: %r", name, error, exc_info=error)
        if self._on_failure is not None:
            self._on_failure(name, error)

    # --- requests ---

    def submit(self, request: Request) -> "Future[OrderResponse]":
        return self.try_submit(request)

    def try_submit(self, request: Request) -> "Future[OrderResponse]":
        """As OrderManagement.try_submit. The future holds TransportError where the request was not
        sent, OutcomeUnknownError where it was and no answer came."""
        line_of(request)  # what is no request is said at once
        if isinstance(request, AccessRequest) and len(self.links) > 1:
            facts = request.facts or {}
            if request.action is AccessAction.ARM and facts["scope"] == LossScope.SESSION:
                expected = f"{LossScope.ACCOUNT.value}, as orders go to several groups"
                raise ValidationError("scope", facts["scope"], expected)
        if not self._running:
            raise StoppedError("it has stopped" if self._stopped else "start() comes before")
        if (
            isinstance(request, FundsRequest)
            and request.from_group
            and request.action is FundsAction.TRANSFER
            and len(self.links) > 1
        ):
            return self.transferring.submit(request)
        answer = self.routes.submit(request)
        if isinstance(request, AccessRequest) and request.action in (
            AccessAction.ARM, AccessAction.DISARM,
        ):  # fmt: skip
            answer.add_done_callback(lambda done: self.home.sending.note_arm(request, done))
        return answer

    def hand_over(self, request: Request, asker: Asker[OrderResponse]) -> None:
        """As OrderManagement.hand_over; the asker is told on a receiving thread."""

        def done(answer: "Future[OrderResponse]") -> None:
            error = answer.exception()
            if error is None:
                asker.told(answer.result())
            else:
                asker.failed(error)

        self.try_submit(request).add_done_callback(done)

    def dry_run(self, request: Request) -> "Future[DryRun]":
        line_of(request)
        link = self.links[self.routes.group_of(request)]
        return link.ask("dry_run", to_object(request))

    def lost_arms(self) -> list[tuple[str, Arm]]:
        """Users' arms that no front door has a socket of any more: those of one that died."""
        held, before = self.home.sending.held_arms, self._unheld
        self._unheld = set()
        if held is None:
            return []  # not known yet
        arms = [(user.name, arm) for user in self.access.users() for arm in user.arms]
        unheld = [(name, arm) for name, arm in arms if arm.arm_id not in held]
        self._unheld = {arm.arm_id for _, arm in unheld}
        # Twice: one that was armed right now is told within two seconds.
        return [(name, arm) for name, arm in unheld if arm.arm_id in before]

    # --- listeners ---

    def add_listener(self, callback: Listener) -> None:
        """As of an OrderManagement, on the group's receiving thread."""
        with self._adding:
            for link in self.links.values():
                link.heard.listeners = (*link.heard.listeners, callback)

    def add_market_listener(self, callback: Listener) -> None:
        with self._adding:
            for link in self.links.values():
                link.heard.market_listeners = (*link.heard.market_listeners, callback)

    def remove_listener(self, callback: Listener) -> None:
        with self._adding:
            for heard in [link.heard for link in self.links.values()]:
                heard.listeners = tuple(each for each in heard.listeners if each != callback)
                heard.market_listeners = tuple(
                    each for each in heard.market_listeners if each != callback
                )

    def details_heard(self, response: OrderResponse) -> OrderDetails | None:
        """The engine was asked before listeners were told."""
        return self._of_symbol(response.symbol).heard.details_of(response.order_id)

    # --- asked of the engines ---

    def _asked(self, link: Link, method: str, *given: Any, **named: Any) -> Any:
        """The answer, on the caller's thread."""
        try:
            return link.ask(method, *given, **named).result(ANSWER_S_MAX)
        except TimeoutError:
            raise TransportError(f"group {link.group}: no answer in {ANSWER_S_MAX:g} s") from None

    def _of_symbol(self, symbol: str) -> Link:
        return self.links[self.routes.group_of_symbol(symbol)]

    @property
    def _only(self) -> Link:
        return next(iter(self.links.values()))

    def _one(self, what: str) -> Link:
        """The only group's. Raises ValidationError where there are several: each counts alone."""
        if len(self.links) > 1:
            expected = f"one group: {what} goes by the sequence of a group; see a broadcast of it"
            raise ValidationError("market_groups", ", ".join(self.links), expected)
        return self._only

    def get_order(self, account: str, named: str | int) -> OrderResponse | None:
        found = [
            self._asked(link, "get_order", account, named)
            for link in self.routes.likely(account, named)
        ]
        return the_only(found, named)

    def find_order(self, account: str, named: str | int) -> "Future[OrderResponse | None]":
        links = self.routes.likely(account, named)
        if len(links) == 1:
            return links[0].ask("find_order", account, named)
        return gathered(
            [link.ask("find_order", account, named) for link in links],
            lambda found: the_only(found, named),
        )

    def order_details(self, order_ids: Sequence[int]) -> dict[int, OrderDetails]:
        """Raises ValidationError where there are several groups; see `details_for`."""
        link = self._one("an order's details")
        found: dict[int, OrderDetails] = self._asked(link, "order_details", list(order_ids))
        return found

    def details_for(self, responses: Sequence[OrderResponse]) -> list[OrderDetails | None]:
        """An order id is a number of its group's own."""
        of = [self.routes.group_of_symbol(each.symbol) for each in responses]
        found: dict[str, dict[int, OrderDetails]] = {}
        for group in dict.fromkeys(of):
            ids = {
                each.order_id: None for each, its in zip(responses, of, strict=True) if its == group
            }
            found[group] = self._asked(self.links[group], "order_details", list(ids))
        return [found[its].get(each.order_id) for each, its in zip(responses, of, strict=True)]

    def orders(
        self, account: str, *, symbol: str = "", side: Side | None = None, before: int = 0,
        limit: int = ORDERS_MAX,
    ) -> OrderPage:  # fmt: skip
        link = self._of_symbol(symbol) if symbol else self._one("a page of orders")
        page: OrderPage = self._asked(
            link, "orders", account, symbol=symbol, side=side and side.value, before=before,
            limit=limit,
        )  # fmt: skip
        return page

    def fills(self, account: str, order_id: int, *, limit: int = ORDERS_MAX) -> list[OrderResponse]:
        return [
            each
            for link in self.links.values()
            for each in self._asked(link, "fills", account, order_id, limit=limit)
        ]

    def open_orders(self, account: str) -> list[OrderResponse]:
        return [
            each
            for link in self.links.values()
            for each in self._asked(link, "open_orders", account)
        ]

    def balances(self, account: str) -> dict[str, tuple[Decimal, Decimal]]:
        """Summed up over the groups, whose ledgers are apart."""
        sums: dict[str, tuple[Decimal, Decimal]] = {}
        for link in self.links.values():
            for asset, (available, reserved) in self._asked(link, "balances", account).items():
                before = sums.get(asset, (Decimal(), Decimal()))
                sums[asset] = (before[0] + available, before[1] + reserved)
        return sums

    def positions(self, account: str) -> list[Position]:
        return [
            each for link in self.links.values() for each in self._asked(link, "positions", account)
        ]

    def pnl(self, account: str) -> dict[str, Pnl]:
        found: dict[str, Pnl] = {}
        for link in self.links.values():
            found |= self._asked(link, "pnl", account)
        return found

    def money(self) -> "Future[Mapping[str, GroupMoney | None]]":
        """Each group as of an instant of its own; None of one whose engine is out of reach."""
        silent = {name: None for name, link in self.links.items() if not link.alive}
        asked = [link.ask("money") for name, link in self.links.items() if name not in silent]
        return gathered(asked, lambda found: {k: v for e in [silent, *found] for k, v in e.items()})

    def transfers(self) -> "Future[list[Transfer]]":
        """Of the groups whose engines are in reach."""
        asked = [link.ask("transfers") for link in self.links.values() if link.alive]
        return gathered(asked, lambda found: [each for some in found for each in some])

    def transfer(self, account: str, client_order_id: str) -> Transfer | None:
        """Raises TransportError where that may be in a group that is out of reach."""
        silent = [name for name, link in self.links.items() if not link.alive]
        asked = {
            name: self._asked(link, "transfer", account, client_order_id)
            for name, link in self.links.items() if name not in silent
        }  # fmt: skip
        found: list[Transfer] = [
            each for name, each in asked.items() if each is not None and each.from_group == name
        ]
        if not found and silent:
            raise TransportError(f"group {', '.join(silent)} is out of reach")
        return the_only(found, client_order_id)

    def ledger(self, account: str, *, before: int = 0, limit: int = MOVEMENTS_MAX) -> MovementPage:
        link = self._one("a page of movements")
        page: MovementPage = self._asked(link, "ledger", account, before=before, limit=limit)
        return page

    def trades(
        self, account: str = "", symbol: str = "", *, before: str = "", limit: int = TRADES_MAX
    ) -> list[Trade]:
        link = self._of_symbol(symbol) if symbol else self._one("a page of trades")
        found: list[Trade] = self._asked(
            link, "trades", account, symbol, before=before, limit=limit
        )
        return found

    def candles(
        self, symbol: str, width: str, start: Instant, end: Instant | None = None,
        upto_seq: int | None = None,
    ) -> list[Candle]:  # fmt: skip
        until_ns = None if end is None else instant_ns("end", end)
        found: list[Candle] = self._asked(
            self._of_symbol(symbol), "candles", symbol, width, instant_ns("start", start), until_ns,
            upto_seq,
        )  # fmt: skip
        return found

    def statistics(self, symbol: str, end: Instant | None = None) -> Candle:
        given = (symbol,) if end is None else (symbol, instant_ns("end", end))
        found: Candle = self._asked(self._of_symbol(symbol), "statistics", *given)
        return found

    def origins(self, order_ids: Sequence[int]) -> dict[int, Origin]:
        if not order_ids:
            return {}
        found: dict[int, Origin] = self._asked(
            self._one("an order's origin"), "origins", list(order_ids)
        )
        return found

    def reports_after(self, account: str, seq: int, upto_seq: int) -> list[OrderResponse] | None:
        found: list[OrderResponse] | None = self._asked(
            self._one("to resume"), "reports_after", account, seq, upto_seq
        )
        return found

    def trades_after(self, symbol: str, seq: int, upto_seq: int) -> list[TradeEvent] | None:
        found: list[TradeEvent] | None = self._asked(
            self._of_symbol(symbol), "trades_after", symbol, seq, upto_seq
        )
        return found

    def account_limits(self, account: str) -> "Future[AccountLimits]":
        """Of the first group: what is said of an account is said to every group."""
        return self._only.ask("account_limits", account)

    def halts(self) -> "Future[Halts]":
        """Of several groups everybody's is the first that is told."""
        return gathered([link.ask("halts") for link in self.links.values()], halts_of)

    def digest(self) -> "Future[StateDigest]":
        """Raises ValidationError where there are several groups."""
        return self._one("a digest").ask("digest")

    def calendar(self, from_ns: int, days: int = 7) -> list[CalendarWindow]:
        """Every group has the same."""
        found: list[CalendarWindow] = self._asked(self._only, "calendar", from_ns, days)
        return found

    def count_open(self, account: str = "", symbol: str = "") -> OpenCount:
        """Raises ValidationError where accounts of several groups would have to be counted: those
        that are in two are not known."""
        links = [self._of_symbol(symbol)] if symbol else list(self.links.values())
        if not account and len(links) > 1:
            links = [self._one("a count of accounts")]
        found = [self._asked(link, "count_open", account, symbol) for link in links]
        return OpenCount(
            sum(each.orders for each in found), max(each.accounts for each in found),
            sum(each.symbols for each in found),
        )  # fmt: skip

    def actions(self, *, before: int = 0, limit: int = ACTIONS_MAX) -> ActionPage:
        link = self._one("a page of actions")
        page: ActionPage = self._asked(link, "actions", before=before, limit=limit)
        return page

    def explain(self, named: str, account: str = "") -> Explained | None:
        """Raises ValidationError where several groups have one."""
        links = self.routes.likely(account, named)
        return the_only([self._asked(link, "explain", named, account) for link in links], named)

    def symbol_limits(self) -> "Future[dict[str, dict[str, str]]]":
        asked = [link.ask("symbol_limits") for link in self.links.values()]
        return gathered(asked, lambda found: {k: v for each in found for k, v in each.items()})

    def journal_seq(self, symbol: str = "") -> "Future[int]":
        """Behind all that was told of the turns before. Without a symbol the lowest of all groups:
        what is told later has a higher one, whichever group tells it."""
        if symbol or len(self.links) == 1:
            return (self._of_symbol(symbol) if symbol else self._only).ask("journal_seq")
        return gathered([link.ask("journal_seq") for link in self.links.values()], min)

    def account_snapshot(self, account: str) -> "Future[AccountSnapshot]":
        return self._one("a private channel").ask("account_snapshot", account)

    # --- from the mirrors ---

    def instruments(self, *, delisted: bool = False) -> dict[str, Instrument]:
        mirrors = [link.mirror for link in self.links.values()]
        known = [each.known if delisted else each.listed for each in mirrors]
        return {name: each for some in known for name, each in some.items()}

    def market_states(self) -> dict[str, Phase]:
        return {k: v for link in self.links.values() for k, v in link.mirror.phases().items()}

    def depth_snapshot(self, symbol: str) -> DepthSnapshot:
        self._check_symbol(symbol)
        return self._of_symbol(symbol).mirror.depth(symbol)

    def recent_trades(self, symbol: str, limit: int | None = None) -> list[TradePrint]:
        self._check_symbol(symbol)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ValidationError("limit", limit, "a whole number, 1 or more")
        trades = self._of_symbol(symbol).mirror.trades(symbol)
        return trades[-limit:] if limit else trades

    def best_bid(self, symbol: str) -> Decimal | None:
        levels = self._levels(symbol, 0)
        return levels[0][0] if levels else None

    def best_ask(self, symbol: str) -> Decimal | None:
        levels = self._levels(symbol, 1)
        return levels[0][0] if levels else None

    def _levels(self, symbol: str, side: int) -> list[DecimalLevel]:
        book = self.depth_snapshot(symbol)
        levels = (book.bids_ticks, book.asks_ticks)[side][:1]
        return levels_of(levels, book.price_scale, book.quantity_scale)

    def _check_symbol(self, symbol: str) -> None:
        known = self.instruments()
        if type(symbol) is not str or symbol not in known:
            raise ValidationError("symbol", symbol, "one of " + ", ".join(known))

    # --- how it goes ---

    def latency_rows(self, hop: str) -> list[tuple[int, int, int]]:
        """Of what is seen from here: `send` to the engine's reading,
        `venue` from there to its answer, `publish` from there to here, `total`."""
        if hop not in HOPS:
            raise ValidationError("hop", hop, "one of " + ", ".join(HOPS))
        together = Histogram()
        for link in self.links.values() if hop in TIMED else ():
            together.merge(link.times[hop])
        return together.rows()

    def get_status(self) -> dict[str, Any]:
        """What the home group's engine last said of itself; then how each group is reached."""
        wall_ns = self.clock.wall_ns()
        window, open_ns = self.session.window_at(wall_ns), self.session.next_open_ns(wall_ns)
        close_ns = self.session.next_close_ns(wall_ns)
        groups = {name: self._link_told(link) for name, link in self.links.items()}
        alive = all(each["ready"] for each in groups.values()) and self._knows_users()
        said = {**UNKNOWN, **self.home.status}
        health = said["health"] if alive else "degraded"
        return {
            **said,
            "health": health if self._running else "stopped",
            "session": "open" if window else "closed",
            "trading_date": window.trading_date.isoformat() if window else None,
            "opens": utc_text(open_ns) if open_ns is not None else None,
            "closes": utc_text(close_ns) if close_ns is not None else None,
            "groups": groups,
        }

    def _knows_users(self) -> bool:
        """Are revocations known? Else the gate lets nobody through."""
        return self.clock.monotonic_ns() - self.access.seen_ns <= STALE_NS

    def _link_told(self, link: Link) -> dict[str, Any]:
        circuit = link.circuit
        return {
            "ready": link.alive and link.mirror.seq > 0,
            "redis": "open" if circuit.open else "failing" if circuit.failures else "ok",
            "why": circuit.why,
            "engine": "alive" if link.alive else "silent",
            "seq": link.mirror.seq,
            "lag": max(0, link.told_seq - link.mirror.seq),
            "unanswered": len(link.waiting),
        }


# What is told of an engine that was not heard of yet.
UNKNOWN: dict[str, Any] = {
    "health": "degraded", "link": "down", "logon_attempts": 0, "inbox": 0, "inbox_peak": 0,
    "waiting": 0, "waiting_peak": 0, "in_flight": 0, "unknown": 0, "open_orders": 0,
    "clock": {"jumps": 0, "jump_ns": None, "behind_ns": 0}, "journal_seq": 0, "turns": 0,
    "published": 0, "rejects": {}, "listener_failures": 0, "venue_anomalies": 0,
    "throttle": {"policy": "off", "sends_max": 0, "in_use": None, "free": None},
    "store": "unknown", "store_lag": 0, "store_log_bytes": 0,
    "latency_ns": {"total": {"all": {"count": 0}}},
}  # fmt: skip


def halts_of(found: Sequence[Halts]) -> Halts:
    """Of several groups: an account or everybody may be stopped in one of them alone, where
    another one could not be reached when it was said."""
    told = next((each for each in found if each.everybody is not Trading.ACTIVE), found[0])
    accounts = {name: said for each in found for name, said in each.accounts.items()}
    symbols = {name: said for each in found for name, said in each.symbols.items()}
    return Halts(told.everybody, told.why, accounts, symbols)


def the_only(found: Sequence[T | None], named: str | int) -> T | None:
    """The one order, or its story, of this name. Raises ValidationError where several groups have
    one: order ids count in each group alone."""
    those = [each for each in found if each is not None]
    if len(those) > 1:
        expected = "a clientOrderId, as several groups have an order of this name"
        raise ValidationError("order_id", named, expected)
    return those[0] if those else None


def gathered(futures: Sequence["Future[Any]"], made: Callable[[list[Any]], Any]) -> "Future[Any]":
    """One outcome of several; the first error is its own."""
    outcome: Future[Any] = Future()
    left = len(futures)
    if not left:
        settle(outcome, made([]))
    lock = threading.Lock()

    def done(_: "Future[Any]") -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        errors = [each.exception() for each in futures if each.exception() is not None]
        try:
            if errors:
                raise errors[0] or AssertionError
            settle(outcome, made([each.result() for each in futures]))
        except Exception as error:
            settle(outcome, None, error)

    for each in futures:
        each.add_done_callback(done)
    return outcome


class Broadcast(RemoteOrders):
    """The same without a way for requests."""

    takes_requests = False

    def __init__(self, config: Config, **more: Any) -> None:
        super().__init__(config, **more, role="broadcast")

    def lost_arms(self) -> list[tuple[str, Arm]]:
        """Apis see to them."""
        return []

    def try_submit(self, request: Request) -> "Future[OrderResponse]":
        """Raises ValidationError: a client is at the wrong place."""
        line_of(request)
        raise ValidationError("request", "a request", "none: a broadcast tells; an api takes them")
