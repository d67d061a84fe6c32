"""How a command reaches the order manager of a directory: the daemon that runs, or one of its own.

Flow:  command -> [reach] -> control socket of the daemon
                          -> App, OrderManagement, for as long as the command lasts
Both take the same objects and give the same answers, so a command is written once.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from oms.app import App
from oms.clock import NANOS, SystemClock
from oms.commands import EXIT_FAILED, EXIT_OK, Place, say
from oms.commands.live import tell_failure
from oms.errors import DataInUseError, GatewayError, OutcomeUnknownError, StoreError
from oms.gateways.answers import Answers, Promise
from oms.gateways.client import ControlClient
from oms.gateways.connection import user_name
from oms.gateways.wire import ANSWER_S_MAX, SOCKET_NAME, Told
from oms.manager import OrderManagement
from oms.simulation.runner import LINK_S_MAX
from oms.stores.high_water import HighWater
from oms.stores.lock import held_by
from oms.stores.schema import SCHEMA_VERSION
from oms.stores.sqlite import schema_version

GATEWAY = "command"  # what the origin of a request says that went through no daemon
LOOK_S = 0.005


class Teller(Protocol):
    """What answers one object with another. Raises OMSError when there is no answer."""

    def ask(self, given: Told) -> Told: ...


class OwnManager:
    """An order manager in this process, asked as the daemon is asked."""

    def __init__(self, manager: OrderManagement) -> None:
        self._answers = Answers(manager, GATEWAY)
        self._user, self._lines = user_name(), 0

    def ask(self, given: Told) -> Told:
        self._lines += 1
        told = self._answers.begin(given, self._user, f"{os.getpid()}.{self._lines}")
        if not isinstance(told, Promise):
            return told
        future: Future[Any] = told.future
        try:
            return told.tell(future.result(ANSWER_S_MAX))
        except TimeoutError:
            raise OutcomeUnknownError(f"no answer within {ANSWER_S_MAX:g} s") from None


def reach(place: Place, work: Callable[[Teller], bool], *, asks: bool = False) -> int:
    """Work with the daemon if one runs, else with an order manager that is started for it.

    asks: it changes nothing, so where nothing has run it is refused, and makes no database.
    The exit code; 1 if `work` says that it failed.
    """
    daemon = ControlClient.connect(place.directory)
    if daemon is None:
        # Where there was one, the start says what became of it.
        if asks and not HighWater(place.database).path.exists():
            place.require_database()
        try:
            return meanwhile(place, lambda manager: work(_ready(manager)))
        except DataInUseError as error:
            no_socket = f"which has no {SOCKET_NAME}: it starts, stops, or is no daemon"
            raise DataInUseError(f"{error}, {no_socket}") from None
    with daemon:
        return EXIT_OK if work(daemon) else EXIT_FAILED


def meanwhile(place: Place, work: Callable[[OrderManagement], bool]) -> int:
    """Start the order manager, work with it, stop it; 1 if `work` says that it failed."""
    # Orders that wait to be sent stay in the queue: this stop does not end the daemon's session.
    config = replace(place.config, stop=replace(place.config.stop, on_stop="park"))
    app = App(config, place.directory, accept_loss=place.accept_loss)
    went_well: list[bool] = []
    version = 0
    with suppress(StoreError):  # the start says what is wrong with it, or sets it right
        version = schema_version(place.database) if place.database.exists() else 0

    def started(manager: OrderManagement) -> None:
        if 0 < version < SCHEMA_VERSION:
            say(f"{place.database}: upgraded from schema version {version} to {SCHEMA_VERSION}")
        went_well.append(work(manager))

    code = app.run(started)
    tell_failure(app)
    return code if code or (went_well and went_well[0]) else EXIT_FAILED


def _ready(manager: OrderManagement) -> OwnManager:
    """Once the link to the venue is up: an order would wait for it, and be parked at the stop."""
    clock, pause = SystemClock(), threading.Event()
    end_ns = clock.monotonic_ns() + round(LINK_S_MAX * NANOS)
    while (
        not manager.dispatcher.desk.link_up
        and manager.session.window_at(clock.wall_ns())
        and clock.monotonic_ns() < end_ns
    ):
        pause.wait(LOOK_S)
    return OwnManager(manager)


def new_id(command: str) -> str:
    """A client order id for a request that was given none."""
    return f"{command}-{SystemClock().wall_ns():x}-{os.getpid():x}"


def ask_request(teller: Teller, what: str, given: Told) -> Told:
    """The answer to a request. If there is none, say under which id to ask again."""
    try:
        return teller.ask(given)
    except (GatewayError, StoreError):
        say(f"{what}: no answer; the same again with --id {given['client_order_id']} does it once")
        raise


def running_daemon(place: Place) -> ControlClient:
    """The daemon of the directory. Raises GatewayError if none answers."""
    daemon = ControlClient.connect(place.directory)
    if daemon is None:
        owner = held_by(place.database)
        is_there = f"process {owner} has no {SOCKET_NAME}" if owner else "no daemon is running"
        raise GatewayError(f"{place.directory}: {is_there}")
    return daemon
