"""Guard: how many sockets there may be, what each may send, and which must go.

Flow:  users that changed, and each few seconds -> [guard] -> sockets that may not stay
Owner: the event loop. A socket may stay as long as the login or key that opened it stands; one
       without private channels also while that cannot be known.
"""

import asyncio
from collections import Counter
from typing import Protocol

from oms.clock import NANOS
from oms.gateways.addresses import client_of
from oms.gateways.gate import Caller
from oms.gateways.web.door import Door
from oms.gateways.web.errors import HttpError, http_error, log_refused
from oms.reject_reasons import RejectReason
from oms.users import User

SWEEP_S = 2.0  # all sockets are looked at so often: logins and keys also end by time
IDLE_S = 300.0  # without a subscription and without a message
# Why a socket is closed, beside what RFC 6455 has: 1001 and 1012 the daemon stops, 1007 no UTF-8,
# 1008 no such text, 1009 a message too large, 1011 no answer to a ping, 1013 events were lost.
REVOKED, SLOW, IDLE, STALE, TOO_MUCH = 4003, 4008, 4010, 4013, 4029


class Watched(Protocol):
    """A socket, as far as its guard looks."""

    caller: Caller | None
    address: str
    heard_ns: int

    @property
    def is_private(self) -> bool: ...
    @property
    def listens(self) -> bool: ...
    def cut(self, code: int, reason: str) -> None: ...


class Guard:
    """Of all sockets of the front door."""

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._loop = loop
        self._sockets: set[Watched] = set()
        self._users: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    # --- how many ---

    def admit(self, caller: Caller | None, address: str) -> None:
        """Raises HttpError 429 if there are enough of this user or address."""
        web = self._door.web
        if self._addresses[client_of(address)] >= web.address_sockets_max:
            raise http_error(
                429, "TOO_MANY_REQUESTS", f"at most {web.address_sockets_max} sockets of an address"
            )
        if caller is not None:
            self._admit_user(caller.user)

    def _admit_user(self, user: str) -> None:
        most = self._door.web.user_sockets_max
        if self._users[user] >= most:
            raise http_error(429, "TOO_MANY_REQUESTS", f"at most {most} sockets of a user")

    def join(self, socket: Watched) -> None:
        if not self._sockets:
            self._door.oms.access.add_listener(self._changed)
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)
        self._sockets.add(socket)
        self._addresses[client_of(socket.address)] += 1
        self._count(socket.caller, 1)

    def leave(self, socket: Watched) -> None:
        if socket not in self._sockets:
            return
        self._sockets.discard(socket)
        client = client_of(socket.address)
        self._addresses[client] -= 1
        if not self._addresses[client]:
            del self._addresses[client]
        self._count(socket.caller, -1)
        if not self._sockets and self._timer is not None:
            self._timer.cancel()
            self._door.oms.access.remove_listener(self._changed)

    def speak_for(self, socket: Watched, caller: Caller) -> None:
        """From now on the socket is this caller's. Raises HttpError 429 as `admit`."""
        before = socket.caller
        if before is None or before.user != caller.user:
            self._admit_user(caller.user)
        self._count(before, -1)
        self._count(caller, 1)
        socket.caller = caller

    def _count(self, caller: Caller | None, by: int) -> None:
        if caller is not None:
            self._users[caller.user] += by
            if not self._users[caller.user]:
                del self._users[caller.user]

    # --- which may stay ---

    def _changed(self, user: User) -> None:
        """On the dispatcher's thread, before the answer to the request that changed the user."""
        self._loop.call_soon_threadsafe(self._look_at, user.name)

    def _look_at(self, user: str) -> None:
        for socket in [s for s in self._sockets if s.caller is not None and s.caller.user == user]:
            self.check(socket)

    def check(self, socket: Watched) -> HttpError | None:
        """Why its caller is none any more; then it is closed. While that cannot be known, one with
        private channels is."""
        error = self._door.keeper.stands(socket.caller) if socket.caller is not None else None
        if error is None:
            return None
        if error.code != RejectReason.ACCESS_STALE.value:
            what, request_id = "a socket", self._door.next_id()
            log_refused(error, what, socket.address, socket.caller, request_id)
            socket.cut(REVOKED, str(error))
        elif socket.is_private:
            socket.cut(STALE, str(error))
        return error

    def _sweep(self) -> None:
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)
        now_ns = self._door.oms.clock.monotonic_ns()
        stale = self._door.keeper.is_stale()
        for socket in tuple(self._sockets):
            if not socket.listens and now_ns - socket.heard_ns > IDLE_S * NANOS:
                socket.cut(IDLE, f"no subscription, and no message for {IDLE_S:g} s")
            elif not stale or socket.is_private:
                self.check(socket)
