"""Transfers: an api drives money from one group of markets to another, to its end.

Flow:  a client's TRANSFER -> from_group's engine -> [transfers] -> TRANSFER_IN at to_group
       -> [transfers] -> TRANSFER_DONE or TRANSFER_BACK at from_group
       what engines say is in flight -> [transfers] -> the same, from the second step on
The journals of the two engines know all there is to know of a transfer; this keeps nothing. All
steps are idempotent by the transfer's account and client order id, and what to_group's journal has
decided once is answered again: so any number of apis may drive the same one, and each may die.
Owner: the thread oms-transfers looks once a second; steps follow on the threads that are told of
answers.
"""

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import NamedTuple, Protocol

from oms.answers import Transfer
from oms.clock import NANOS, Clock
from oms.errors import ValidationError
from oms.futures import settle, when_done
from oms.requests import FundsAction, FundsRequest
from oms.requests.operators import TEXT_LENGTH_MAX
from oms.requests.orders import NO_ORIGIN
from oms.responses import OrderResponse

log = logging.getLogger(__name__)

TICK_S = 0.25
LOOK_NS = NANOS
ANSWER_NS = 2 * NANOS  # a client is told by then that its transfer is in flight
PAUSE_NS_MAX = 32 * NANOS  # between two tries of one transfer

Key = tuple[str, str, str]  # from_group, account, client order id


class Group(Protocol):
    """What is needed of the way to a group: see oms/roles/link.py."""

    @property
    def alive(self) -> bool: ...
    def submit(self, request: FundsRequest) -> "Future[OrderResponse]": ...
    def ask(self, method: str) -> "Future[list[Transfer]]": ...


class Seen(NamedTuple):
    """A transfer that an engine said is in flight: when it is tried next, and the pause then."""

    due_ns: int
    pause_ns: int


class Told(NamedTuple):
    """A client that waits for the end of its transfer: what it is told if that takes too long."""

    future: "Future[OrderResponse]"
    response: OrderResponse
    due_ns: int


class Transfers:
    """A Job. groups: the way to each."""

    def __init__(self, groups: Mapping[str, Group], pace: Clock) -> None:
        self._groups, self._pace = groups, pace
        self._driven: set[Key] = set()  # of which a step is under way here
        self._seen: dict[Key, Seen] = {}
        self._waiting: dict[Key, list[Told]] = {}
        self._looked_ns = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    # --- any thread ---

    def submit(self, request: FundsRequest) -> "Future[OrderResponse]":
        """The first step, and all that follow. The answer is that of the first, once the last is
        done or after two seconds: what became of it, from_group's engine says. Raises
        ValidationError for a group that there is not."""
        for name in ("from_group", "to_group"):
            if getattr(request, name) not in self._groups:
                expected = "one of " + ", ".join(self._groups)
                raise ValidationError(name, getattr(request, name), expected)
        outcome: Future[OrderResponse] = Future()

        def failed(error: BaseException) -> None:
            settle(outcome, None, error)

        def sent(response: OrderResponse) -> None:
            if response.refused:
                settle(outcome, response)
                return
            due_ns = self._pace.monotonic_ns() + ANSWER_NS
            with self._lock:
                told = Told(outcome, response, due_ns)
                self._waiting.setdefault(_key(request), []).append(told)
            self._drive(request)

        when_done(self._groups[request.from_group].submit(request), sent, failed)
        return outcome

    # --- the steps ---

    def _drive(self, request: FundsRequest) -> None:
        """From the second step on. request: the first. It ends here where a group cannot be
        reached: what is in flight is found again."""
        key, arriving = _key(request), self._groups.get(request.to_group)
        with self._lock:
            if key in self._driven or arriving is None or not arriving.alive:
                return
            self._driven.add(key)
        step = replace(request, action=FundsAction.TRANSFER_IN, origin=NO_ORIGIN)
        decided = arriving.submit(step)
        decided.add_done_callback(lambda _: self._decided(request, decided))

    def _decided(self, request: FundsRequest, decided: "Future[OrderResponse]") -> None:
        """to_group's journal has it, or has refused it for ever; or it is not known."""
        if decided.exception() is not None or not decided.result().journal_seq:
            self._let_go(request)
            return
        action, why = FundsAction.TRANSFER_DONE, ""
        if decided.result().refused:
            action, text = FundsAction.TRANSFER_BACK, decided.result().text[:TEXT_LENGTH_MAX]
            why = "".join(each if each.isprintable() else "?" for each in text)
        step = replace(request, action=action, why=why, origin=NO_ORIGIN)
        ended = self._groups[request.from_group].submit(step)
        ended.add_done_callback(lambda _: self._ended(request, ended))

    def _ended(self, request: FundsRequest, ended: "Future[OrderResponse]") -> None:
        """A refusal that is in the journal says that it had ended before."""
        self._let_go(request)
        if ended.exception() is None and ended.result().journal_seq:
            self._tell(_key(request), ANSWER_NS)

    def _let_go(self, request: FundsRequest) -> None:
        with self._lock:
            self._driven.discard(_key(request))

    def _tell(self, key: Key, ahead_ns: int = 0) -> None:
        """Those who wait for it, as far as they are due."""
        now_ns = self._pace.monotonic_ns() + ahead_ns
        with self._lock:
            waiting = self._waiting.pop(key, [])
            left = [each for each in waiting if each.due_ns > now_ns]
            if left:
                self._waiting[key] = left
        for each in waiting:
            if each not in left:
                settle(each.future, each.response)

    # --- its own thread ---

    def step(self) -> None:
        self._stopping.wait(TICK_S)
        for key in list(self._waiting):
            self._tell(key)
        now_ns = self._pace.monotonic_ns()
        if now_ns - self._looked_ns >= LOOK_NS:
            self._looked_ns = now_ns
            self.look()

    def look(self) -> None:
        """Ask each engine what is in flight."""
        for name, group in self._groups.items():
            if group.alive:
                found = group.ask("transfers")
                found.add_done_callback(lambda done, name=name: self._found(name, done))  # type: ignore[misc]

    def _found(self, name: str, done: "Future[list[Transfer]]") -> None:
        """What was in flight a second ago, too, has perhaps nobody who drives it."""
        if done.exception() is not None:
            log.debug("group %s: what is in flight is not known: %s", name, done.exception())
            return
        now_ns = self._pace.monotonic_ns()
        found = {(name, each.account, each.client_order_id): each for each in done.result()}
        due = []
        with self._lock:
            for key in [key for key in self._seen if key[0] == name and key not in found]:
                del self._seen[key]
            for key, each in found.items():
                seen = self._seen.setdefault(key, Seen(now_ns + LOOK_NS // 2, LOOK_NS))
                arriving = self._groups.get(each.to_group)
                if arriving is None or not arriving.alive or seen.due_ns > now_ns:
                    continue
                pause_ns = min(2 * seen.pause_ns, PAUSE_NS_MAX)
                self._seen[key] = Seen(now_ns + seen.pause_ns, pause_ns)
                due.append(each)
        for each in due:
            self._drive(_request_of(each))

    def wake(self) -> None:
        self._stopping.set()

    def finish(self) -> None:
        """Who still waits is told that it is in flight."""
        for key in list(self._waiting):
            self._tell(key, ANSWER_NS)


def _key(request: FundsRequest) -> Key:
    return request.from_group, request.account, request.client_order_id


def _request_of(transfer: Transfer) -> FundsRequest:
    """The request that began it, as far as its steps go by it."""
    return FundsRequest(
        account=transfer.account, client_order_id=transfer.client_order_id,
        action=FundsAction.TRANSFER, asset=transfer.asset, amount=transfer.amount,
        to_account=transfer.to_account, from_group=transfer.from_group,
        to_group=transfer.to_group,
    )  # fmt: skip


__all__ = ["Transfers"]
