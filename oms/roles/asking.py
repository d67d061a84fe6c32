"""Asking: what a front door asks of the engines of some groups, by an order manager's names.

Flow:  front door -> [asking] -> links of the groups -> engines, and back
What everybody may see comes from the mirror of each group, all else from the engine. An answer of
several groups is joined where that says something; what goes by a journal sequence is asked of one
group, see `OneGroup`, because each has sequences of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from decimal import Decimal
from typing import Any

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
from oms.clock import Clock, Moment, instant_ns
from oms.enums import Phase, Side, Trading
from oms.errors import TransportError, ValidationError
from oms.futures import gathered
from oms.instruments import Instrument
from oms.market_data import (
    Candle,
    DecimalLevel,
    DepthSnapshot,
    IndicativePrice,
    TradeEvent,
    TradePrint,
    levels_of,
)
from oms.money import summed
from oms.positions import Pnl, Position, Trade, pnl_of
from oms.questions import ACTIONS_MAX, MOVEMENTS_MAX, ORDERS_MAX, TRADES_MAX, Questions
from oms.requests import Request, line_of
from oms.requests.codec import to_object
from oms.requests.orders import Origin
from oms.responses import AccountSnapshot, OrderPage, OrderResponse
from oms.roles.heard import Listener
from oms.roles.link import Link
from oms.roles.receiving import TIMED
from oms.roles.routes import Routes, the_only
from oms.turn.details import OrderDetails
from oms.turn.latency import HOPS, Histogram

ANSWER_S_MAX = 5.0  # of a question; those that read a day's trades take a second


class Asking(Questions):
    """links: by group."""

    def __init__(self, links: Mapping[str, Link], routes: Routes, clock: Clock) -> None:
        self.links, self.routes, self.clock = links, routes, clock

    def dry_run(self, request: Request) -> "Future[DryRun]":
        line_of(request)
        link = self.links[self.routes.group_of(request)]
        return link.ask("dry_run", to_object(request))

    # --- listeners ---

    def add_listener(self, callback: Listener) -> None:
        """It is told on the group's receiving thread."""
        for link in self.links.values():
            link.heard.add(callback)

    def add_market_listener(self, callback: Listener) -> None:
        for link in self.links.values():
            link.heard.add_of_market(callback)

    def remove_listener(self, callback: Listener) -> None:
        for link in self.links.values():
            link.heard.remove(callback)

    def details_heard(self, response: OrderResponse) -> OrderDetails | None:
        """The engine was asked before listeners were told."""
        return self._of_symbol(response.symbol).heard.details_of(response.order_id)

    # --- asked of the engines ---

    def _asked(self, link: Link, method: str, *given: Any, **named: Any) -> Any:
        """The answer, on the caller's thread, which does not wait for an engine that is away, or
        answers nothing: who asks of other groups would wait behind it."""
        [found] = self._asked_all([link], method, *given, **named)
        return found

    def _asked_all(
        self, links: Iterable[Link], method: str, *given: Any, **named: Any
    ) -> list[Any]:
        """The same of several, which are asked before any is waited for."""
        links = list(links)
        for link in links:
            _check_heard(link)
        asked = [link.ask(method, *given, **named) for link in links]
        done = wait(asked, ANSWER_S_MAX, FIRST_EXCEPTION).done
        for each in done:
            each.result()  # raises what an engine did
        for link, future in zip(links, asked, strict=True):
            if future not in done:
                raise TransportError(f"group {link.group}: no answer in {ANSWER_S_MAX:g} s")
        return [each.result() for each in asked]

    def _ask(self, link: Link, method: str, *given: Any) -> "Future[Any]":
        return link.ask(method, *given)

    def _of_symbol(self, symbol: str) -> Link:
        return self.links[self.routes.group_of_symbol(symbol)]

    @property
    def _only(self) -> Link:
        """The first, of several the first whose engine is there: what every group has alike."""
        links = list(self.links.values())
        return next((each for each in links if not each.silent), links[0])

    def _one(self, what: str) -> Link:
        """The only group's. Raises ValidationError where there are several: each counts alone."""
        if len(self.links) > 1:
            expected = f"one of {', '.join(self.links)}: {what} goes by the sequence of a group"
            raise ValidationError("group", "", expected)
        return self._only

    def get_order(self, account: str, named: str | int) -> OrderResponse | None:
        links, silent = self.routes.likely(account, named)
        found = self._asked_all(links, "get_order", account, named)
        return the_only(found, named, silent)

    def find_order(self, account: str, named: str | int) -> "Future[OrderResponse | None]":
        links, silent = self.routes.likely(account, named)
        if len(self.links) == 1:
            return links[0].ask("find_order", account, named)
        return gathered(
            [link.ask("find_order", account, named) for link in links],
            lambda found: the_only(found, named, silent),
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
        """Raises ValidationError where there are several groups."""
        link = self._one("an order's fills")
        found: list[OrderResponse] = self._asked(link, "fills", account, order_id, limit=limit)
        return found

    def open_orders(self, account: str) -> list[OrderResponse]:
        found = self._asked_all(self.links.values(), "open_orders", account)
        return [each for some in found for each in some]

    def balances(self, account: str) -> dict[str, tuple[Decimal, Decimal]]:
        """Summed up over the groups, whose ledgers are apart. Raises TransportError where one is
        out of reach: what is known then, each of `groups` says."""
        return summed(self._asked_all(self.links.values(), "balances", account))

    def positions(self, account: str) -> list[Position]:
        found = self._asked_all(self.links.values(), "positions", account)
        return [each for some in found for each in some]

    def pnl(self, account: str) -> dict[str, Pnl]:
        return pnl_of(self.positions(account))

    def money(self) -> "Future[Mapping[str, GroupMoney | None]]":
        """Each group as of an instant of its own; None of one whose engine is out of reach."""
        silent = {name: None for name, link in self.links.items() if link.silent}
        asked = [link.ask("money") for name, link in self.links.items() if name not in silent]
        return gathered(asked, lambda found: {k: v for e in [silent, *found] for k, v in e.items()})

    def transfers(self) -> "Future[list[Transfer]]":
        """Of the groups whose engines are in reach."""
        asked = [link.ask("transfers") for link in self.links.values() if not link.silent]
        return gathered(asked, lambda found: [each for some in found for each in some])

    def transfer(self, account: str, client_order_id: str) -> Transfer | None:
        """Raises TransportError where that may be in a group that is out of reach."""
        silent = [name for name, link in self.links.items() if link.silent]
        names = [name for name in self.links if name not in silent]
        links = [self.links[name] for name in names]
        asked = zip(
            names, self._asked_all(links, "transfer", account, client_order_id), strict=True
        )
        found: list[Transfer] = [
            each
            for name, each in asked
            if each is not None and (each.from_group == name or len(self.links) == 1)
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
        self, symbol: str, width: str, start: Moment, end: Moment | None = None,
        upto_seq: int | None = None,
    ) -> list[Candle]:  # fmt: skip
        until_ns = None if end is None else instant_ns("end", end)
        found: list[Candle] = self._asked(
            self._of_symbol(symbol), "candles", symbol, width, instant_ns("start", start), until_ns,
            upto_seq,
        )  # fmt: skip
        return found

    def statistics(self, symbol: str, end: Moment | None = None) -> Candle:
        given = (symbol,) if end is None else (symbol, instant_ns("end", end))
        found: Candle = self._asked(self._of_symbol(symbol), "statistics", *given)
        return found

    def queue_ahead(self, symbol: str, order_ids: Sequence[int]) -> "Future[dict[int, Decimal]]":
        self._check_symbol(symbol)
        return self._of_symbol(symbol).ask("queue_ahead", symbol, list(order_ids))

    def placed_ns(self, order_ids: Sequence[int]) -> dict[int, int]:
        if not order_ids:
            return {}
        found: dict[int, int] = self._asked(
            self._one("when an order was placed"), "placed_ns", list(order_ids)
        )
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
        """Of any group: what is said of an account is said to every one."""
        return self._only.ask("account_limits", account)

    def halts(self) -> "Future[Halts]":
        """Of several groups everybody's is the first that is told."""
        return gathered([link.ask("halts") for link in self.links.values()], halts_of)

    def digest(self) -> "Future[StateDigest]":
        return self._one("a digest").ask("digest")

    def calendar(self, from_ns: int, days: int = 7) -> list[CalendarWindow]:
        """Every group has the same."""
        found: list[CalendarWindow] = self._asked(self._only, "calendar", from_ns, days)
        return found

    def count_open(self, account: str = "", symbol: str = "") -> OpenCount:
        """An account that has orders in two groups is one."""
        links = [self._of_symbol(symbol)] if symbol else list(self.links.values())
        found = self._asked_all(links, "count_open", account, symbol)
        if len(found) == 1:
            count: OpenCount = found[0]
            return count
        accounts = {each for some in self._asked_all(links, "accounts_open") for each in some}
        if account:
            accounts &= {account}
        orders, symbols = sum(e.orders for e in found), sum(e.symbols for e in found)
        return OpenCount(orders, len(accounts), symbols)

    def actions(self, *, before: int = 0, limit: int = ACTIONS_MAX) -> ActionPage:
        link = self._one("a page of actions")
        page: ActionPage = self._asked(link, "actions", before=before, limit=limit)
        return page

    def explain(self, named: str, account: str = "") -> Explained | None:
        """Raises ValidationError where several groups have one."""
        found = self._asked_all(self.links.values(), "explain", named, account)
        return the_only(found, named)

    def symbol_limits(self) -> "Future[dict[str, dict[str, str]]]":
        asked = [self._ask(link, "symbol_limits") for link in self.links.values()]
        return gathered(asked, lambda found: {k: v for each in found for k, v in each.items()})

    def indicative(self, symbol: str) -> "Future[IndicativePrice | None]":
        self._check_symbol(symbol)
        return self._of_symbol(symbol).ask("indicative", symbol)

    def journal_seq(self, symbol: str = "") -> "Future[int]":
        """Behind all that was told of the turns before. Without a symbol the lowest of all groups:
        what is told later has a higher one, whichever group tells it."""
        if symbol or len(self.links) == 1:
            return self._ask(self._of_symbol(symbol) if symbol else self._only, "journal_seq")
        return gathered([link.ask("journal_seq") for link in self.links.values()], min)

    def account_snapshot(self, account: str) -> "Future[AccountSnapshot]":
        return self._ask(self._one("a private channel"), "account_snapshot", account)

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

    def published_ns(self) -> int:
        """Of a listener that is being told, of one group: when its engine published that turn; 0
        where it was made again from the journal."""
        return self._one("a turn").heard.published_ns

    def latency_rows(self, hop: str) -> list[tuple[int, int, int]]:
        """Of what is seen from here: `send` to the engine's reading,
        `venue` from there to its answer, `publish` from there to here, `total`."""
        if hop not in HOPS:
            raise ValidationError("hop", hop, "one of " + ", ".join(HOPS))
        together = Histogram()
        for link in self.links.values() if hop in TIMED else ():
            together.merge(link.receiving.times[hop])
        return together.rows()


class OneGroup(Asking):
    """One of several groups: what goes by its own journal sequences is asked here.

    A question fails at once while the engine is silent: who asks every group, or listens to every
    group, must not wait for one.
    """

    def __init__(self, link: Link, clock: Clock) -> None:
        super().__init__({link.group: link}, Routes({link.group: link}, link.group), clock)
        self._link = link

    def try_submit(self, request: Request) -> "Future[OrderResponse]":
        """To this group's engine, whichever market the request is about."""
        return self._link.submit(request)

    def get_status(self) -> dict[str, Any]:
        """What its engine last said of itself."""
        return dict(self._link.status)

    def _ask(self, link: Link, method: str, *given: Any) -> "Future[Any]":
        try:
            _check_heard(link)
        except TransportError as error:
            silent: Future[Any] = Future()
            silent.set_exception(error)
            return silent
        return super()._ask(link, method, *given)


def _check_heard(link: Link) -> None:
    """Raises TransportError where a question would have no answer soon."""
    if link.silent:
        raise TransportError(f"group {link.group} is out of reach: {link.silent}")


def halts_of(found: Sequence[Halts]) -> Halts:
    """Of several groups: an account or everybody may be stopped in one of them alone, where
    another one could not be reached when it was said."""
    told = next((each for each in found if each.everybody is not Trading.ACTIVE), found[0])
    accounts = {name: said for each in found for name, said in each.accounts.items()}
    symbols = {name: said for each in found for name, said in each.symbols.items()}
    return Halts(told.everybody, told.why, accounts, symbols)
