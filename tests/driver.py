"""A daemon under load, for tests that kill it: `python tests/driver.py DATA_DIR [options]`.

It runs the real App and hands it requests from several threads. What happens goes to stdout,
one JSON list a line and one write each, so that a killed process loses nothing it told:

    ["STATE", word]  recovering: signals are caught; started: takes requests; retried: --retry
        is done; loaded: --waiting is done
    ["S", account, id, kind, orig, symbol, side, quantity, price, tif]  about to submit this
    ["R", sent_ns, *row]  a listener was told this report; sent_ns 0: not sent in this turn
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
from collections import deque
from concurrent.futures import Future
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from oms import Config, EmbeddedVenue, OrderManagement, OrderRequest, Side, TimeInForce
from oms.app import App
from oms.errors import OMSError
from oms.reports import OrderResponse

Fields = list[Any]
BURST, READ_S, ANSWER_S_MAX = 16, 0.05, 30.0
SYMBOLS = ("TATA_INR", "JIO_INR")


def tell(*fields: object) -> None:
    os.write(1, (json.dumps(fields) + "\n").encode())


def config_of(changes: dict[str, dict[str, Any]]) -> Config:
    """The shipped configuration, but always open and not throttled; a section of `changes` is all
    that is changed in it."""
    config = Config()
    plain = {"session": {"always_open": True}, "throttle": {"policy": "off"}}
    for name, values in {**plain, **changes}.items():
        config = replace(config, **{name: replace(getattr(config, name), **values)})
    return config


def request_of(fields: Fields) -> OrderRequest:
    account, client_id, kind, orig, symbol, side, quantity, price, tif = fields
    if kind == "CANCEL":
        return OrderRequest.cancel(account, client_id, orig)
    if kind == "MODIFY":
        return OrderRequest.modify(account, client_id, orig, price=price, quantity=quantity)
    return OrderRequest.new(
        account, client_id, symbol, Side(side), quantity, price, time_in_force=TimeInForce(tif)
    )


def random_fields(chance: random.Random, account: str, client_id: str, mine: deque[str]) -> Fields:
    """A new order near 100.00, so that many trade; or a change of an own recent order."""
    quantity, price = chance.randint(1, 20), f"{100 + chance.randint(-8, 8) * 0.05:.2f}"
    dice = chance.random()
    if dice < 0.5 and mine:
        kind = "CANCEL" if dice < 0.35 else "MODIFY"
        return [account, client_id, kind, chance.choice(mine), "", "", quantity, price, ""]
    mine.append(client_id)
    symbol, side = chance.choice(SYMBOLS), chance.choice(("BUY", "SELL"))
    if dice > 0.95:
        return [account, client_id, "NEW", "", symbol, side, quantity, None, "GTC"]
    tif = chance.choice(("GTC", "GTC", "GTC", "DAY", "IOC", "FOK"))
    return [account, client_id, "NEW", "", symbol, side, quantity, price, tif]


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
            self._start(self._client, number)
        if options.reads:
            self._start(self._read)
        if options.waiting:
            self._start(self._fill_queue, options.waiting)
        while not self._app.stopping.wait(1.0):
            pass

    def _start(self, function: Any, *arguments: object) -> None:
        threading.Thread(target=function, args=arguments, daemon=True).start()

    def _retry(self, path: Path) -> None:
        """Submit again, with the same ids, what an earlier process left unanswered."""
        answers = [self._submit(json.loads(line)) for line in path.read_text().splitlines()]
        for answer in answers:
            answer.result(ANSWER_S_MAX)
        tell("STATE", "retried")

    def _client(self, number: int) -> None:
        options, account = self._options, f"client{number}"
        chance, mine = random.Random(f"{options.seed}-{number}"), deque[str](maxlen=40)
        for n in count(1):
            fields = random_fields(chance, account, f"{options.prefix}-{n}", mine)
            if n % 4 == 0:
                tell("S", *fields)
                self._manager.on_data(request_of(fields))
                continue
            answer = self._submit(fields)
            if n % BURST == 1:
                if answer.exception(ANSWER_S_MAX) or answer.result().text == "SHUTTING_DOWN":
                    return
                self._app.stopping.wait(BURST / options.rate)

    def _submit(self, fields: Fields) -> "Future[OrderResponse]":
        tell("S", *fields)
        answer = self._manager.submit(request_of(fields))
        answer.add_done_callback(lambda done: _resolved(done, fields))
        return answer

    def _fill_queue(self, orders: int) -> None:
        for n in range(orders):
            fields = ["queue", f"{self._options.prefix}-q{n}", "NEW", "", "TATA_INR", "BUY", 1]
            answer = self._submit([*fields, "1", "GTC"])
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
        tell("R", hops.sent_ns if hops else 0, *response.row)


def _resolved(answer: "Future[OrderResponse]", fields: Fields) -> None:
    error = answer.exception()
    if error is None:
        tell("F", *answer.result().row)
    else:
        tell("U", fields[0], fields[1], repr(error))


class BrokenVenue(EmbeddedVenue):
    """An exchange with a bug: it breaks on an order, or when asked about the link."""

    def __init__(self, part: str | None) -> None:
        super().__init__()
        self._left = {"venue": 200, "link": 2}
        self._part = part

    def reset(self) -> None:
        super().reset()
        place = self.place

        def placed(order: Any) -> Any:
            self._use("venue")
            return place(order)

        self.place = placed

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
    parser.add_argument("--reads", action="store_true")
    parser.add_argument("--broken", choices=("venue", "link", "listener"))
    return parser.parse_args()


def main() -> int:
    options = arguments()

    def manager_of(config: Config, **parts: Any) -> OrderManagement:
        tell("STATE", "recovering")
        return OrderManagement(config, venue=BrokenVenue(options.broken), **parts)

    app = App(config_of(options.config), options.directory, manager_of=manager_of)
    try:
        return app.run(Load(options, app))
    except (OMSError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
