"""A daemon under load, for tests that kill it: `python tests/driver.py DATA_DIR [options]`.

It runs the real App and hands it requests from several threads, and those that come in on
stdin. What happens goes to stdout, one JSON list a line and one write each, so that a killed
process loses nothing it told:

    ["STATE", word]  recovering: signals are caught; started: takes requests; retried: --retry
        is done; loaded: --waiting is done
    ["S", *wish]  about to submit this; exchange_flow.py says what a wish is
    ["R", sent_ns, *row]  a listener was told this report, its row() in order of ROW_COLUMNS;
        sent_ns 0: not sent in this turn
    ["F", *row]  a future resolved with this report
    ["U", account, id, error]  a future holds an exception: the outcome is unknown
    ["Q", health, store, depth levels, state of an order]  reads were answered
    ["L", execution id]  a listener behind a broken one was told this report
"""

import argparse
import json
import os
import random
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from oms import Config, EmbeddedVenue, OrderManagement
from oms.app import App
from oms.errors import OMSError, StoppedError
from oms.exchange.matching import MatchingEngine
from oms.responses import OrderResponse
from tests.exchange_flow import (
    Trader,
    Wish,
    operator_wishes,
    plain_wishes,
    request_of,
    with_exchange,
)

BURST, READ_S, ANSWER_S_MAX = 16, 0.05, 30.0
CALL_S_MAX = 0.08  # an operator's patience with a phase


def tell(*fields: object) -> None:
    os.write(1, (json.dumps(fields) + "\n").encode())


def config_of(changes: dict[str, dict[str, Any]], *, exchange: bool) -> Config:
    """The shipped configuration, but always open and not throttled; a section of `changes` is all
    that is changed in it."""
    config = with_exchange(Config()) if exchange else Config()
    plain = {"session": {"always_open": True}, "throttle": {"policy": "off"}}
    for name, values in {**plain, **changes}.items():
        config = replace(config, **{name: replace(getattr(config, name), **values)})
    return config


class Load:
    """What the clients do, once the daemon has started."""

    def __init__(self, options: argparse.Namespace, app: App) -> None:
        self._options = options
        self._app = app
        self._manager: OrderManagement
        self._loaded = threading.Event()

    def __call__(self, manager: OrderManagement) -> None:
        """The App's work: start the clients, wait for the signal."""
        options, self._manager = self._options, manager
        manager.add_listener(self._listen)
        if options.broken == "listener":
            manager.add_listener(lambda _: 1 // 0)  # told after ours, and before the next
            manager.add_listener(lambda response: tell("L", response.execution_id))
        tell("STATE", "started")
        if options.retry:
            self._start(self._retry, options.retry)
        for number in range(options.clients):
            self._start(self._client, self._wishes(number))
        if options.exchange and options.clients:
            self._start(self._operate)
        self._start(self._obey)
        if options.reads:
            self._start(self._read)
        if options.waiting:
            self._start(self._fill_queue, options.waiting)
        while not self._app.stopping.wait(1.0):
            pass

    def _start(self, function: Any, *arguments: object) -> None:
        def work() -> None:
            with suppress(StoppedError):  # it came after the end
                function(*arguments)

        threading.Thread(target=work, daemon=True).start()

    def _retry(self, path: Path) -> None:
        """Submit again, with the same ids, what an earlier process left unanswered."""
        answers = [self._submit(json.loads(line)) for line in path.read_text().splitlines()]
        for answer in answers:
            answer.result(ANSWER_S_MAX)
        tell("STATE", "retried")

    def _wishes(self, number: int) -> Iterator[Wish]:
        options, account = self._options, f"client{number}"
        chance = random.Random(f"{options.seed}-{number}")
        if options.exchange:
            return Trader(chance, account, options.prefix, options.clients).wishes()
        return plain_wishes(chance, account, options.prefix)

    def _client(self, wishes: Iterator[Wish]) -> None:
        for n, wish in enumerate(wishes, 1):
            if n % 4 == 0:
                tell("S", *wish)
                self._manager.on_data(request_of(wish))
                continue
            answer = self._submit(wish)
            if n % BURST == 1:
                if answer.exception(ANSWER_S_MAX) or answer.result().text == "SHUTTING_DOWN":
                    return
                self._app.stopping.wait(BURST / self._options.rate)

    def _operate(self) -> None:
        """An operator, who cannot leave the phases alone."""
        chance = random.Random(f"{self._options.seed}-operator")
        for wish in operator_wishes(chance, self._options.prefix):
            if self._app.stopping.wait(chance.random() * CALL_S_MAX):
                return
            self._submit(wish)

    def _obey(self) -> None:
        """Submit each wish that comes in on stdin, a line each."""
        # Not by sys.stdin: its lock, held while this waits, would stop the interpreter's end.
        lines = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
        for line in iter(lines.readline, b""):
            self._submit(json.loads(line))

    def _submit(self, wish: Wish) -> "Future[OrderResponse]":
        tell("S", *wish)
        answer = self._manager.submit(request_of(wish))
        answer.add_done_callback(lambda done: _resolved(done, wish))
        return answer

    def _fill_queue(self, orders: int) -> None:
        for n in range(orders):
            wish = ["queue", f"{self._options.prefix}-q{n}", "NEW", "", "TATA_INR", "BUY", 1]
            answer = self._submit([*wish, "1", "GTC"])
            if n % 1000 == 999:
                answer.result(ANSWER_S_MAX)
        tell("STATE", "loaded")

    def _read(self) -> None:
        prefix, wait = self._options.prefix, threading.Event().wait
        while not wait(READ_S):
            status = self._manager.get_status()
            bids, asks = self._manager.get_depth("TATA_INR", 5)
            order = self._manager.get_order("client0", f"{prefix}-1")
            state = order.state if order else None
            tell("Q", status["health"], status["store"], len(bids) + len(asks), state)

    @staticmethod
    def _listen(response: OrderResponse) -> None:
        hops = response.hops
        tell("R", hops.sent_ns if hops else 0, *response.report.row())


def _resolved(answer: "Future[OrderResponse]", wish: Wish) -> None:
    error = answer.exception()
    if error is None:
        for each in answer.result().reports:
            tell("F", *each.report.row())
    else:
        tell("U", wish[0], wish[1], repr(error))


class BrokenVenue(EmbeddedVenue):
    """An exchange with a bug: it breaks on an order, or when asked about the link."""

    def __init__(self, part: str | None) -> None:
        self._left = {"venue": 200, "link": 2}
        self._part = part
        self._engine: MatchingEngine | None = None
        super().__init__()

    @property
    def engine(self) -> MatchingEngine | None:  # type: ignore[override]
        return self._engine

    @engine.setter
    def engine(self, engine: MatchingEngine | None) -> None:
        """Each desk brings a new one."""
        self._engine = engine
        if engine is None or self._part != "venue":
            return
        place = engine.place

        def placed(*arguments: Any) -> int:
            self._use("venue")
            return place(*arguments)

        engine.place = placed  # type: ignore[method-assign]

    def logged_on(self) -> bool:
        self._use("link")
        return super().logged_on()

    def _use(self, part: str) -> None:
        if part == self._part:
            self._left[part] -= 1
            if self._left[part] < 0:
                raise RuntimeError(f"a bug in the {part}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--config", type=json.loads, default={}, help="{section: {key: value}}")
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1000.0, help="requests per second, each")
    parser.add_argument("--prefix", default="p", help="of the client order ids of this process")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--retry", type=Path, help="file of requests to submit first")
    parser.add_argument("--waiting", type=int, default=0, help="orders to put into the queue")
    parser.add_argument("--exchange", action="store_true", help="with ledger, fees and phases")
    parser.add_argument("--reads", action="store_true")
    parser.add_argument("--standby", action="store_true", help="wait until the journal is free")
    parser.add_argument("--broken", choices=("venue", "link", "listener"))
    return parser.parse_args()


def main() -> int:
    options = arguments()

    def manager_of(config: Config, **parts: Any) -> OrderManagement:
        tell("STATE", "recovering")
        return OrderManagement(config, venue=BrokenVenue(options.broken), **parts)

    app = App(
        config_of(options.config, exchange=options.exchange),
        options.directory,
        manager_of=manager_of,
        standby=options.standby,
    )
    try:
        return app.run(Load(options, app))
    except (OMSError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
