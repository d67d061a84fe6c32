"""Door: what all routes and sockets of the front door share, and how they wait for answers.

Flow:  a route's function -> [door] -> OrderManagement -> [door] -> the route's function
Owner: the thread oms-web, one event loop. Nothing here blocks; what may take long (a hash of a
       password, a look into the database) goes to `Door.hashed` and `Door.in_thread`: threads of
       their own, with a bound on what waits for them.
"""

import asyncio
import itertools
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextvars import Context
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from starlette.types import Scope

from oms.clock import NANOS
from oms.errors import OMSError, StoppedError, StoreError, TransportError, ValidationError
from oms.gateways.addresses import client_of
from oms.gateways.gate import Caller
from oms.gateways.web.bridge import Bridge, Waiting
from oms.gateways.web.counts import Counts
from oms.gateways.web.ends import Ends
from oms.gateways.web.errors import HttpError, http_error, unavailable, unknown
from oms.gateways.web.limits import (
    ADDRESS,
    CANCEL,
    EXTRA,
    LOGIN,
    ORDER,
    REQUEST,
    SHARE_S,
    SHARED,
    Allowance,
    Limits,
    Taken,
)
from oms.gateways.web.orders import fills_told, orders_told
from oms.gateways.web.pools import ASKING, HASHING, LOOKING, READING, SHARING, Pool
from oms.gateways.web.told import Told
from oms.gateways.web.vitals import Vitals
from oms.manager import OrderManagement
from oms.market_data import Candle, DepthSnapshot, IndicativePrice
from oms.requests import Request
from oms.responses import OrderResponse
from oms.shared import SharedCounts

log = logging.getLogger(__name__)

ANSWER_S_MAX = 10.0  # then 504: the outcome is unknown; up to a second later
ANSWER_NS_MAX = int(ANSWER_S_MAX * NANOS)
LOGINS_MAX = 5  # a second and address: each costs a hash
EXTRA_MAX = 50  # a second and socket: see EXTRA
QUIET_MAX = 5  # periods of SHARE_S in which others are told nothing
STATISTICS_NS = 5 * NANOS
INDICATIVE_NS = NANOS // 10
STATUS_NS = NANOS // 10

T = TypeVar("T")
Shared = dict[str, tuple[int, asyncio.Task[T]]]
"""Answers that are good for some time, for all who ask: until when, and where each comes from."""


class Right(StrEnum):
    """Who may call a route. PUBLIC: everybody. METRICS: this machine, and operators. The others:
    whose role and key allow it."""

    PUBLIC = "public"
    METRICS = "metrics"
    READ = "read"
    TRADE = "trade"
    ADMIN = "admin"


class Keeper(Protocol):
    """Who knows the callers."""

    async def caller(
        self, right: Right, scope: Scope, headers: Mapping[str, str], address: str, body: bytes
    ) -> Caller | None:
        """Who sends this; None if nobody says so and nobody need. Raises HttpError 401, 403."""
        ...

    async def socket_caller(self, scope: Scope, headers: Mapping[str, str]) -> Caller | None:
        """Who opens this socket; None: nobody says. Raises HttpError 401, 403."""
        ...

    async def token_caller(self, token: str, address: str) -> Caller:
        """Whose token this is. Raises HttpError 401."""
        ...

    def check(self, right: Right, caller: Caller | None) -> None:
        """Raises HttpError 401 or 403 if they have no such right."""
        ...

    def address(self, scope: Scope) -> str:
        """Which address counts as the client's."""
        ...

    def stands(self, caller: Caller) -> HttpError | None:
        """Why a socket of this caller has to be closed; None if it may stay."""
        ...

    def cors(self, scope: Scope) -> Mapping[str, str]:
        """The headers that let a page of another site read the answer; none, mostly."""
        ...

    def is_stale(self) -> bool:
        """Are revocations not known at the moment?"""
        ...


class Door:
    """What all requests share: the order manager, its settings, who is let in, what they may ask,
    and the way to wait."""

    ends: Ends

    def __init__(self, oms: OrderManagement, keeper: Keeper, directory: Path) -> None:
        self.oms = oms
        self.directory = directory
        self.counts = Counts()
        self.sockets = 0  # that are open
        self.at_open: list[Callable[[asyncio.AbstractEventLoop], None]] = []
        self.keeper = keeper
        self.web = web = oms.config.web
        rates = {
            REQUEST: web.requests_max, ORDER: web.orders_max, CANCEL: web.cancels_max,
            ADDRESS: web.address_max, LOGIN: LOGINS_MAX, EXTRA: EXTRA_MAX,
        }  # fmt: skip
        allowances = {cost: Allowance(rate, 2 * rate) for cost, rate in rates.items()}
        self.limits = Limits(allowances, SHARED if oms.counts is not None else ())
        self._telling: asyncio.Task[None] | None = None
        self._bridge: Bridge | None = None  # of the loop, once it runs
        self._asking = Pool(ASKING, self._died)
        self._looking = Pool(LOOKING, self._died)
        self.reading = Pool(READING, self._died)
        self._hashing = Pool(HASHING, self._died)
        self._sharing = Pool(SHARING, self._died)
        self._pools = [self._asking, self._looking, self.reading, self._hashing]
        self._failure: BaseException | None = None
        self._days: Shared[Candle] = {}
        self._calls: Shared[IndicativePrice | None] = {}
        self._numbers, self._process = itertools.count(1), os.getpid()
        self._follows = False
        self._status: tuple[int, Told] | None = None
        self._limits: dict[str, dict[str, str]] = {}
        self.vitals = Vitals(oms, self.status, lambda: self.sockets)

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop runs, whose coroutines these are."""
        self._bridge = Bridge(loop)
        self.ends = Ends(self.oms, loop, self.looked, self.oms_of)
        if self.oms.counts is not None:
            self._pools.append(self._sharing)
            self._telling = loop.create_task(self._count_together(self.oms.counts))
            self._telling.add_done_callback(self._told)
        for pool in self._pools:
            pool.start()
        for call in self.at_open:
            call(loop)

    def close(self) -> None:
        """The loop has ended; or it never ran, as where the port is another's."""
        if self._bridge is not None:
            for pool in self._pools:
                pool.stop()

    def sweep(self, now_ns: int) -> None:
        """Once a second: end what waits too long. Raises what a thread of ours has died of."""
        if self._failure is not None:
            raise self._failure
        if self._bridge is not None:
            self._bridge.expire(now_ns)
            self.vitals.sweep(now_ns)

    def _died(self, _name: str, error: BaseException) -> None:
        self._failure = error

    def next_id(self) -> str:
        """The id of one request, found again in its answer, in the log and in the journal."""
        return f"{self._process}.{next(self._numbers)}"

    def allow(self, cost: str, client: str, count: int = 1) -> Taken:
        """Count one request, or the orders of one; what is left of the allowance. Raises HttpError
        429, and then nothing was counted."""
        taken = self.limits.take(cost, client, self.oms.clock.monotonic_ns(), count)
        if taken.wait_s:
            text = f"at most {taken.limit} at once of these; again in {taken.wait_s:.1f} s"
            raise http_error(429, "TOO_MANY_REQUESTS", text, headers=taken.headers)
        return taken

    # --- what several front doors count together ---

    async def allow_login(self, address: str) -> None:
        """The same of what costs a hash. All front doors together allow so many, and here that is
        worth waiting for: their count is asked before anything is done."""
        client, counts = client_of(address), self.oms.counts
        self.allow(LOGIN, client)
        if counts is None:
            return
        used = self.limits.of(LOGIN, client, 1)
        try:
            left = await self.awaitable(self._sharing.ask(counts.take, used))
        except TransportError:
            return  # each counts alone
        if left is None or left >= 0:
            return
        there = left + used.tokens
        self.limits.learn([used], [there], self.oms.clock.monotonic_ns())
        self.allow(LOGIN, client)  # raises: it has learned that there is none

    async def _count_together(self, counts: SharedCounts) -> None:
        """Tell what was used, and also now and then that nothing was: so a loss is found."""
        limits, clock, quiet = self.limits, self.oms.clock, 0
        while True:
            await asyncio.sleep(SHARE_S)
            used = limits.used(clock.monotonic_ns())
            quiet = 0 if used else quiet + 1
            if quiet % QUIET_MAX:
                continue
            try:
                left = await self.awaitable(self._sharing.ask(counts.settle, used))
                if left is None:
                    limits.all_untold(clock.monotonic_ns())
                    used = limits.used(clock.monotonic_ns())
                    left = await self.awaitable(self._sharing.ask(counts.settle, used))
            except (TransportError, HttpError):  # each counts alone; or the line is full
                left = None
            if left is None:
                limits.untold(used)
            else:
                limits.learn(used, left, clock.monotonic_ns())

    def _told(self, telling: "asyncio.Task[None]") -> None:
        """At the end of the loop, or of what it has died of."""
        if not telling.cancelled():
            self._failure = telling.exception()

    # --- waiting ---

    async def settled(self, future: "Future[T]") -> T:
        """The outcome of what the order manager was asked.

        Raises HttpError 504 when it does not come in time, or cannot be known.
        """
        assert self._bridge is not None, "the loop runs"
        due_ns = self.oms.clock.monotonic_ns() + ANSWER_NS_MAX
        return await self._outcome(self._bridge.within(future, due_ns))

    async def submit(self, request: Request) -> OrderResponse:
        """The same of a request that is handed over here."""
        assert self._bridge is not None, "the loop runs"
        due_ns = self.oms.clock.monotonic_ns() + ANSWER_NS_MAX
        asker: Waiting[OrderResponse] = self._bridge.asker(due_ns)
        try:
            self.oms.hand_over(request, asker)
        except BaseException:
            asker.outcome.cancel()  # nobody waits for it
            raise
        return await self._outcome(asker.outcome)

    async def _outcome(self, waiting: "asyncio.Future[T]") -> T:
        try:
            return await waiting
        except TimeoutError:
            raise unknown(f"no answer within {ANSWER_S_MAX:g} s") from None
        except (StoreError, StoppedError) as error:
            raise unknown(str(error)) from error

    async def answered(self, future: "Future[T]") -> T:
        """The same of a question: nothing was to happen. Raises HttpError 503."""
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                return await self.awaitable(future)
        except TimeoutError:
            raise unavailable(f"no answer within {ANSWER_S_MAX:g} s") from None
        except (StoreError, StoppedError) as error:
            raise unavailable(str(error)) from error

    def awaitable(self, future: "Future[T]") -> "asyncio.Future[T]":
        assert self._bridge is not None, "the loop runs"
        return self._bridge.awaitable(future)

    async def in_thread(self, call: Callable[..., T], *given: object) -> T:
        """Have something done that waits for the disk. Raises HttpError 429 if too much of the
        client waits, 503 if too much of all."""
        return await self.awaitable(self._asking.ask(call, *given))

    async def looked(self, call: Callable[..., T], *given: object) -> T:
        """The same of how an order stands: it waits for no other question."""
        return await self.awaitable(self._looking.ask(call, *given))

    async def hashed(self, call: Callable[..., T], *given: object) -> T:
        """The same of what hashes a password."""
        return await self.awaitable(self._hashing.ask(call, *given))

    async def slowly(self, call: Callable[..., T], *given: object) -> T:
        """The same of what may read a day's trades: one at a time, clients in turns."""
        return await self.awaitable(self.reading.ask(call, *given))

    # --- what routes ask ---

    async def order(self, account: str, named: str | int, *, reports: bool = False) -> Told | None:
        """How an order stands, asked behind every request that came before."""
        found = await self.looked(self.oms.get_order, account, named)
        if found is None:
            found = await self.answered(self.oms.find_order(account, named))
        if found is None:
            return None
        return {
            **await self.order_told(found, reports=reports),
            "fills": await self.looked(fills_told, self.oms_of(found.symbol), account, found),
        }

    async def order_told(self, response: OrderResponse, *, reports: bool = False) -> Told:
        """How its order stands, with what it is for."""
        told = partial(orders_told, self.oms, [response], reports=reports)
        return (await self.looked(told))[0]

    async def orders_told(
        self, responses: Sequence[OrderResponse], *, reports: bool = False, group: str = ""
    ) -> list[Told]:
        """group: of all of them, where it is known."""
        oms = self.oms.groups[group] if group else self.oms
        told = partial(orders_told, oms, responses, reports=reports)
        return await self.in_thread(told)

    # --- groups of markets ---

    @property
    def group_names(self) -> list[str]:
        """Empty where there is one group: then none is named in any message."""
        return [name for name in self.oms.groups if name]

    def group_of(self, symbol: str) -> str:
        """Which group trades it; "" where there is one group, or no such symbol."""
        groups = self.oms.groups.items() if self.group_names else ()
        found = (name for name, oms in groups if symbol in oms.instruments(delisted=True))
        return next(found, "")

    async def symbol_limits(self) -> dict[str, dict[str, str]]:
        """What an order of each market may be; of a group whose engine is away as it last said.
        Raises HttpError, OMSError: where there is no other group."""
        if not self.group_names:
            return await self.answered(self.oms.symbol_limits())
        for name, oms in self.oms.groups.items():
            try:
                found: dict[str, dict[str, str]] = await self.answered(oms.symbol_limits())
                self._limits.update(found)
            except (HttpError, OMSError) as error:
                log.info("limits of group %s are as they were: %s", name, error)
        return self._limits

    def oms_of(self, symbol: str) -> OrderManagement:
        """That of the group that trades it."""
        return self.oms.groups.get(self.group_of(symbol), self.oms)

    def one_group(self, named: str, what: str) -> str:
        """The group that is meant, where `what` goes by the sequences of one. Raises
        ValidationError."""
        if named in self.oms.groups:
            return named
        if not self.group_names:
            raise ValidationError("group", named, "none, as there is one group of markets")
        expected = f"one of {', '.join(self.group_names)}: {what} goes by a group's own sequences"
        raise ValidationError("group", named or None, expected)

    async def book(self, symbol: str) -> DepthSnapshot:
        if not self._follows:  # the very first waits for a turn
            self._follows = True
            return await self.in_thread(self.oms.depth_snapshot, symbol)
        return self.oms.depth_snapshot(symbol)

    async def statistics(self, symbol: str) -> Candle:
        """The last 24 hours of a market: at most STATISTICS_NS old."""
        return await shared(
            self._days, symbol, self.oms.clock.monotonic_ns(), STATISTICS_NS,
            lambda: self.slowly(self.oms.statistics, symbol),
        )  # fmt: skip

    async def indicative(self, symbol: str) -> IndicativePrice | None:
        """What an auction would trade: at most INDICATIVE_NS old."""
        return await shared(
            self._calls, symbol, self.oms.clock.monotonic_ns(), INDICATIVE_NS,
            lambda: self.answered(self.oms.indicative(symbol)),
        )  # fmt: skip

    def status(self) -> Told:
        """The order manager's status, STATUS_NS old at most: to make it takes a millisecond of the
        loop, and anybody may ask for what is in it, again and again."""
        now_ns = self.oms.clock.monotonic_ns()
        if self._status is None or now_ns - self._status[0] > STATUS_NS:
            self._status = now_ns, self.oms.get_status()
        return self._status[1]

    def session_told(self) -> Told:
        """Whether orders trade now, of which date, and when the market opens and closes next; null
        where it never does."""
        status = self.status()
        return {
            "state": status["session"], "tradingDate": status["trading_date"],
            "opens": status["opens"], "closes": status["closes"], "link": status["link"],
        }  # fmt: skip


async def shared(
    kept: Shared[T], key: str, now_ns: int, age_ns: int,
    ask: Callable[[], Coroutine[Any, Any, T]],
) -> T:  # fmt: skip
    """An answer of at most this age, asked for once for all who want it."""
    ends_ns, task = kept.get(key, (0, None))
    if task is None or (task.done() and (now_ns >= ends_ns or task.exception())):
        task = asyncio.create_task(ask(), context=Context())
        kept[key] = now_ns + age_ns, task
    return await asyncio.shield(task)
