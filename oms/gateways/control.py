"""Control gateway: a local socket through which other processes speak to this order manager.

Flow:  client -> socket -> [control] -> answers -> OrderManagement -> answers -> [control] -> client
Owner: the thread oms-control owns the socket and every connection, so they have no locks. The
       dispatcher's thread adds to `EventQueue`, which has one, and wakes the gateway's thread.

A client cannot make anybody wait: nothing here blocks, what is read, kept and written for one
connection is bounded, and so are connections and watchers. A client that goes past a bound is
told so in one line, and loses its connection alone.
"""

import logging
import os
import select
import selectors
import socket
import stat
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from oms.clock import NANOS
from oms.errors import GatewayError, OMSError, ValidationError
from oms.gateways.answers import ASK, WATCH, Answers, Promise, Watch, error_object, report_object
from oms.gateways.aside import Aside
from oms.gateways.connection import WATCH_BYTES_MAX, Connection, outcome
from oms.gateways.wire import SOCKET_NAME, Told, address_in, encode
from oms.manager import OrderManagement
from oms.market_data import MarketEvent
from oms.requests.codec import parse
from oms.responses import OrderResponse

log = logging.getLogger(__name__)

GATEWAY = "control"
CONNECTIONS_MAX, WATCHERS_MAX = 64, 8
LINES_A_STEP = 8  # of one connection, so that the others have their turn
ACCEPTED_A_STEP = 16
EVENTS_MAX, EVENTS_A_STEP = 100_000, 500  # a mass cancel makes an event an order at once
STEP_S_MAX = 1.0
FLUSH_NS_MAX = NANOS  # at the stop
FLUSH_ROUNDS, FLUSH_S, EVENTS_A_ROUND = 200, 0.05, 2_000

Event = OrderResponse | MarketEvent


class EventQueue:
    """What watchers are to be told: filled by the threads that publish, emptied by the gateway.

    Holds its own lock. Putting never waits; if it is full, the event is lost, and `take` says so.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wanted = False
        self._wake = wake
        self._lock = threading.Lock()
        self._events: deque[Event] = deque()
        self._lost = False

    def put(self, event: Event) -> None:
        if not self.wanted:
            return
        with self._lock:
            if len(self._events) >= EVENTS_MAX:
                self._lost = True
            else:
                self._events.append(event)
        self._wake()

    def take(self, count_max: int) -> tuple[list[Event], bool]:
        """The oldest events, and whether any was lost since the last call."""
        with self._lock:
            count, lost, self._lost = min(count_max, len(self._events)), self._lost, False
            return [self._events.popleft() for _ in range(count)], lost

    def clear(self) -> None:
        with self._lock:
            self._events.clear()
            self._lost = False

    @property
    def size(self) -> int:
        return len(self._events)


class ControlGateway:
    """The job of oms-control. `open` it first, with the lock of the directory held."""

    def __init__(self, oms: OrderManagement, directory: Path) -> None:
        self._oms = oms
        self._clock = oms.clock
        self._directory = directory
        self.aside = Aside()
        self._answers = Answers(oms, GATEWAY, self.aside)
        self._connections: dict[int, Connection] = {}
        self._count = 0
        self._listener: socket.socket | None = None
        self._listens_ns = 0  # no connection is accepted until then; 0: it is
        self._selector = selectors.DefaultSelector()
        self._wakes, self._waker = socket.socketpair()
        for each in (self._wakes, self._waker):
            each.setblocking(False)
        self._selector.register(self._wakes, selectors.EVENT_READ)
        self._woken = self._subscribed = False
        self.events = EventQueue(self.wake)

    # --- life ---

    def open(self) -> None:
        """Make the socket, in place of one that a killed process left. Raises GatewayError."""
        path = self._directory / SOCKET_NAME
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _remove_socket(path)
            with address_in(self._directory) as address:
                listener.bind(address)
            path.chmod(0o600)  # in time: nobody can connect before it listens
            listener.listen(CONNECTIONS_MAX)
        except OSError as error:
            listener.close()
            raise GatewayError(f"{path}: cannot be opened: {error.strerror}") from None
        except GatewayError:
            listener.close()
            raise
        listener.setblocking(False)
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ)

    def step(self) -> None:
        """Read, take lines, write answers and events: some of each for every connection."""
        ready = self._selector.select(self._wait_s())
        now_ns = self._clock.monotonic_ns()
        for key, mask in ready:
            if key.fileobj is self._wakes:
                self._wakes.recv(4_096)
                self._woken = False  # after the read, or it would take the byte of the next wake
            elif key.fileobj is self._listener:
                self._accept(now_ns)
            elif mask & selectors.EVENT_READ:
                key.data.read(now_ns)
        if now_ns >= self._listens_ns > 0 and self._listener is not None:
            self._listens_ns = 0
            self._selector.register(self._listener, selectors.EVENT_READ)
        self._tell_watchers(now_ns)
        for connection in list(self._connections.values()):
            self._serve(connection, now_ns)

    def _wait_s(self) -> float:
        """Until there is work that no descriptor tells of; at most STEP_S_MAX."""
        if self.events.size:
            return 0.0
        now_ns, wait_s = self._clock.monotonic_ns(), STEP_S_MAX
        for connection in self._connections.values():
            ready_ns = connection.ready_ns(now_ns)
            if ready_ns:
                wait_s = min(wait_s, max(0, ready_ns - now_ns) / NANOS)
        return wait_s

    def finish(self) -> None:
        """Write the answers that are there: all of them, for the order manager stopped before.
        Watchers are told what is left as far as the time goes."""
        end_ns = self._clock.monotonic_ns() + FLUSH_NS_MAX
        for _ in range(FLUSH_ROUNDS):
            now_ns = self._clock.monotonic_ns()
            self._tell_watchers(now_ns, EVENTS_A_ROUND)
            for connection in list(self._connections.values()):
                self._collect(connection, now_ns)
                connection.write(now_ns)
                if connection.gone:
                    self._drop(connection)
            unwritten = [each.sock for each in self._connections.values() if each.unwritten]
            if now_ns >= end_ns or not (unwritten or self.events.size):
                break
            if unwritten:
                select.select([], unwritten, [], FLUSH_S)
        self.close()

    def close(self) -> None:
        """Let go of everything, and remove the socket; safe to repeat."""
        for connection in list(self._connections.values()):
            self._drop(connection)
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            with suppress(FileNotFoundError):
                (self._directory / SOCKET_NAME).unlink()
        self._selector.close()
        self._wakes.close()
        self._waker.close()

    def wake(self) -> None:
        if not self._woken:
            self._woken = True
            with suppress(OSError):  # full: it wakes all the same; closed: it has ended
                self._waker.send(b"\0")

    # --- connections ---

    def _accept(self, now_ns: int) -> None:
        assert self._listener is not None
        for _ in range(ACCEPTED_A_STEP):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # no descriptor is left: try again in a second
                log.warning("control socket: no connection accepted: %s", error.strerror)
                self._selector.unregister(self._listener)
                self._listens_ns = now_ns + NANOS
                return
            self._count += 1
            connection = Connection(sock, self._count, now_ns)
            if self._has_room(connection, now_ns):
                self._connections[connection.number] = connection
                connection.read(now_ns)

    def _has_room(self, new: Connection, now_ns: int) -> bool:
        """An idle connection goes for a new one: one that has never said a line, else the one
        that was idle longest. If none is idle, the new one goes."""
        if len(self._connections) < CONNECTIONS_MAX:
            return True
        idle = [each for each in self._connections.values() if each.idle]
        gone = min(idle, key=lambda each: (each.lines > 0, each.active_ns), default=new)
        expected = f"at most {CONNECTIONS_MAX}; the one that was idle longest is closed"
        gone.fail(ValidationError("connections", CONNECTIONS_MAX + 1, expected), now_ns)
        self._collect(gone, now_ns)
        gone.write(now_ns)
        self._drop(gone)
        return gone is not new

    def _serve(self, connection: Connection, now_ns: int) -> None:
        """All that is to be done for one connection, but for reading."""
        for _ in range(LINES_A_STEP):
            line = connection.next_line(now_ns)
            if line is None:
                break
            told = self._answer(connection, line)
            if isinstance(told, Promise):
                told.future.add_done_callback(lambda _: self.wake())
            connection.owe(told, now_ns)
        closes = connection.closing
        connection.look_at_bounds(now_ns)
        self._collect(connection, now_ns)
        connection.write(now_ns)
        if connection.closing and not closes:
            log.info("control connection %d of %s is closed", connection.number, connection.user)
        if connection.is_over(now_ns):
            self._drop(connection)
        else:
            self._wait_for(connection, connection.wanted_mask(now_ns))

    def _wait_for(self, connection: Connection, mask: int) -> None:
        if mask == connection.mask:
            return
        if not mask:
            self._selector.unregister(connection.sock)
        elif not connection.mask:
            self._selector.register(connection.sock, mask, connection)
        else:
            self._selector.modify(connection.sock, mask, connection)
        connection.mask = mask

    def _drop(self, connection: Connection) -> None:
        if connection.mask:
            self._selector.unregister(connection.sock)
            connection.mask = 0
        connection.sock.close()
        self._connections.pop(connection.number, None)
        if self.events.wanted and not self._watchers():
            self.events.wanted = False
            self.events.clear()

    # --- lines and their answers ---

    def _answer(self, connection: Connection, line: bytes) -> "Told | Promise":
        """One bad line must not end the daemon, nor its connection: it is answered."""
        try:
            given = parse(line.decode("utf-8"))
            if isinstance(given, dict) and given.get(ASK) == WATCH:
                return self._begin_watch(connection, given)
            request_id = f"{os.getpid()}.{connection.number}.{connection.lines}"
            return self._answers.begin(given, connection.user, request_id)
        except UnicodeDecodeError:
            return error_object(ValidationError("line", line[:40], "UTF-8 text"))
        except RecursionError:
            return error_object(ValidationError("line", line[:40], "objects nested less deeply"))
        except OMSError as error:
            return error_object(error)
        except Exception:  # a mistake of ours, but only this client's line brings it about
            log.exception("control connection %d: line %r", connection.number, line[:200])
            return error_object(OMSError("the line cannot be answered; the daemon's log says why"))

    def _collect(self, connection: Connection, now_ns: int) -> None:
        """Say the answers that are there, in the order of their lines."""
        while (promise := connection.owed(now_ns)) is not None:
            connection.settle(outcome(promise), now_ns)

    # --- watchers ---

    def _begin_watch(self, connection: Connection, given: Told) -> Told:
        if not connection.idle:
            raise ValidationError(ASK, WATCH, "no line before it that is not answered")
        if len(self._watchers()) >= WATCHERS_MAX:
            raise ValidationError(ASK, WATCH, f"at most {WATCHERS_MAX} watchers")
        watch = Watch.of(given)
        if watch.symbol:
            self._oms.get_depth_ticks(watch.symbol, 0)  # refuses what depth refuses
        connection.watch = watch
        if not self._subscribed:
            self._subscribed = True  # for good: the order manager forgets no listener
            self._oms.add_listener(self.events.put)
            self._oms.add_market_listener(self.events.put)
        self.events.wanted = True
        return {"watch": connection.watch._asdict()}

    def _watchers(self) -> list[Connection]:
        return [each for each in self._connections.values() if each.watch is not None]

    def _tell_watchers(self, now_ns: int, count_max: int = EVENTS_A_STEP) -> None:
        """Write each event once, and give it to each watcher that wants it."""
        if not self.events.wanted:
            return
        events, lost = self.events.take(count_max)
        watchers = [each for each in self._watchers() if not each.closing]
        for event in events:
            line = b""
            for watcher in watchers:
                if watcher.watch is not None and watcher.watch.wants(event):
                    line = line or encode(self._told(event))
                    watcher.say(line, now_ns)
        for watcher in watchers:
            watcher.write(now_ns)
            if lost:
                expected = f"at most {EVENTS_MAX} events that nobody was told yet"
                watcher.fail_slow(ValidationError(WATCH, "more", expected), now_ns)
            elif watcher.unwritten > WATCH_BYTES_MAX:
                expected = f"a client that reads: at most {WATCH_BYTES_MAX} bytes are kept for it"
                mistake = ValidationError(WATCH, watcher.unwritten, expected)
                watcher.fail_slow(mistake, now_ns)

    def _told(self, event: Event) -> Told:
        if isinstance(event, OrderResponse):
            return {"report": report_object(event)}
        return {"market": self._answers.market_event(event)}


def _remove_socket(path: Path) -> None:
    """Nobody listens there: the caller has the lock of the directory."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise GatewayError(f"{path}: expected a socket or nothing, was another kind of file")
        path.unlink()
