"""RemoteOrders: what an api or a broadcast holds instead of an order manager.

Flow:  front door -> [remote] -> link of a group -> Redis -> engine, and back
It answers what the front door asks of an OrderManagement, by the same names and with the same
types, see asking.py. It keeps nothing that another process would miss.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from oms.clock import NANOS, Clock, SystemClock, utc_text
from oms.config import Config
from oms.desk.calendar import TradingSession
from oms.errors import StoppedError, ValidationError
from oms.futures import when_done
from oms.gateways.gate import STALE_NS
from oms.requests import (
    AccessAction,
    AccessRequest,
    FundsAction,
    FundsRequest,
    Request,
    line_of,
)
from oms.responses import OrderResponse
from oms.roles.asking import Asking, OneGroup
from oms.roles.counts import Counts
from oms.roles.link import Link
from oms.roles.mirror import Mirror
from oms.roles.once import Once
from oms.roles.routes import Routes
from oms.roles.transfers import Transfers
from oms.stores.lock import DataLock
from oms.turn.answer import Asker
from oms.turn.threads import Job, Worker
from oms.users import Arm

log = logging.getLogger(__name__)

STOP_S = 3.0
DRAIN_NS, DRAIN_LOOK_S = NANOS, 0.01


class RemoteOrders(Asking):
    """The engines of all groups, or of one, behind one face; and the users of the home group.

    role: for the name that this process has in Redis. on_failure: as of an OrderManagement. groups:
    each group alone, by name; the one that there is has none.
    """

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
        clock = clock or SystemClock()
        self.clock = clock
        self.directory = Path(directory)
        self.lock: DataLock | None = None
        self.should_stop: Callable[[], bool] = lambda: False
        self.failure: tuple[str, BaseException] | None = None
        self.client = f"{role}-{secrets.token_hex(6)}"
        self.session = TradingSession(config.session.schedule, 0, 0)
        scale = config.scale
        links = {each: self._link(each) for each in ((group,) if group else scale.names)}
        home = scale.home if scale.home in links else group
        super().__init__(links, Routes(links, home), clock)
        self.groups: Mapping[str, Asking] = {"": self}
        if len(links) > 1:
            self.groups = {name: OneGroup(link, clock) for name, link in links.items()}
        self.home = links.get(scale.home) or self._link(scale.home)
        self.access = self.home.mirror.access
        keys, server, circuit = self.home.keys, self.home.server, self.home.circuit
        self.once = Once(keys, clock, server, circuit)
        self.counts = Counts(keys, self.client, clock, server, circuit)
        self.transferring = Transfers(links, SystemClock())
        self._unheld: set[str] = set()  # arms that no front door had when last looked
        self._on_failure = on_failure
        self._workers: list[Worker] = []
        self._running = self._stopped = False

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
        self.once.memory()  # from now on, so that what is signed in a moment can be taken
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
        """Take nothing more; wait a second at most for answers that are on their way. Safe to
        repeat. Raises StoppedError if a thread had died."""
        self._running, self._stopped = False, True
        self._drain()
        for wait_s in (0.0, STOP_S):  # all are asked before any is waited for
            for worker in self._workers:
                worker.stop(wait_s)
        self._workers.clear()
        self.once.close()
        self.counts.close()
        if self.failure is not None:
            name, error = self.failure
            raise StoppedError(f"thread {name} died: {error!r}") from error

    def _drain(self) -> None:
        """Of an engine that is silent nothing is awaited."""
        pace, look = self.home.pace, threading.Event()
        end_ns = pace.monotonic_ns() + (DRAIN_NS if self._workers and not self.failure else 0)
        while any(each.waiting for each in self.links.values() if each.alive):
            if pace.monotonic_ns() >= end_ns:
                return
            look.wait(DRAIN_LOOK_S)

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
            answer.add_done_callback(lambda done: self.home.arms.note(request, done))
        return answer

    def hand_over(self, request: Request, asker: Asker[OrderResponse]) -> None:
        """As OrderManagement.hand_over; the asker is told on a receiving thread."""
        when_done(self.try_submit(request), asker.told, asker.failed)

    def lost_arms(self) -> list[tuple[str, Arm]]:
        """Users' arms that no front door has a socket of any more: those of one that died."""
        held, before = self.home.arms.held, self._unheld
        self._unheld = set()
        if held is None:
            return []  # not known yet
        arms = [(user.name, arm) for user in self.access.users() for arm in user.arms]
        unheld = [(name, arm) for name, arm in arms if arm.arm_id not in held]
        self._unheld = {arm.arm_id for _, arm in unheld}
        # Twice: one that was armed right now is told within two seconds.
        return [(name, arm) for name, arm in unheld if arm.arm_id in before]

    # --- how it goes ---

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
        circuit, said = link.circuit, link.status if link.alive else {}
        postgres = said.get("postgres")
        return {
            "ready": link.alive and link.mirror.seq > 0 and postgres in (None, "ok"),
            "redis": circuit.state,
            "why": link.silent,
            "engine": "alive" if link.alive else "silent",
            "seq": link.mirror.seq,
            "lag": max(0, link.told_seq - link.heard.seq),
            "unanswered": len(link.waiting),
            "store_silent_s": said.get("store_silent_s", 0.0),
            "postgres": postgres,
            "projection": said.get("projection"),
        }


# What is told of an engine that was not heard of yet.
UNKNOWN: dict[str, Any] = {
    "health": "degraded", "link": "down", "logon_attempts": 0, "inbox": 0, "inbox_peak": 0,
    "waiting": 0, "waiting_peak": 0, "in_flight": 0, "unknown": 0, "open_orders": 0,
    "clock": {"jumps": 0, "jump_ns": None, "behind_ns": 0}, "journal_seq": 0, "turns": 0,
    "published": 0, "rejects": {}, "listener_failures": 0, "venue_anomalies": 0,
    "throttle": {"policy": "off", "sends_max": 0, "in_use": None, "free": None},
    "store": "unknown", "store_lag": 0, "store_log_bytes": 0,
    "store_silent_s": 0.0, "postgres": None, "projection": None,
    "latency_ns": {"total": {"all": {"count": 0}}},
}  # fmt: skip


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
