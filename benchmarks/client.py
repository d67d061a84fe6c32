"""The manager under test, and a client of it: settings, funded accounts, requests, answers.

Two ways to set it up: `config`, orders and nothing else; `exchange_config`, the exchange with
all that it does for an order. Two kinds of requests: Flow, where most of what comes goes again;
`resting`, where nothing trades.
"""

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import replace
from itertools import repeat, starmap
from pathlib import Path
from random import Random
from typing import Literal

from common import Figures, rss_bytes

from oms import Config, OrderManagement, OrderRequest, OrderResponse, Side, TimeInForce
from oms.config import QueueConfig, SessionConfig, StoreConfig, ThrottleConfig
from oms.sections import ExchangeConfig, RiskConfig

try:
    from oms.enums import ResponseType
    from oms.requests import FundsAction, FundsRequest, Request
except ImportError:  # --tree names a checkout of before: commit 091c228, or near it
    from oms.controls import FundsAction, FundsRequest, Request  # type: ignore
    from oms.messages import ResponseType  # type: ignore

ACCOUNT = "bench"
ACCOUNTS = tuple(f"{ACCOUNT}-{number:02d}" for number in range(20))
AMOUNT = "1000000000"  # of each asset; and no account's limits are lower
INBOX_MAX = 5_000  # the bound of a producer that nobody measures
ANSWER_S_MAX = 60.0

Durability = Literal["full", "normal", "none"]


def config(
    durability: Durability = "full",
    *,
    throttle: ThrottleConfig | None = None,
    snapshot_every: int | None = None,
    waiting_max: int = 100_000,
) -> Config:
    """The shipped configuration, but always open and, if nothing else is said, unthrottled.

    Self-trade prevention is off: one account is all there is, and it trades with itself.
    """
    store = StoreConfig(durability=durability)
    if snapshot_every is not None:
        store = StoreConfig(durability=durability, snapshot_every=snapshot_every)
    return Config(
        session=SessionConfig(always_open=True),
        throttle=throttle or ThrottleConfig(policy="off"),
        queue=QueueConfig(waiting_max=waiting_max),
        store=store,
        exchange=ExchangeConfig(self_trade="none"),
    )


def exchange_config(durability: Durability = "full") -> Config:
    """The same with ledger, fees, limits and self-trade prevention on.

    Each limit is looked at for each order, and so high that it refuses none.
    """
    plain = without_ledger(durability)
    return replace(
        plain,
        exchange=replace(plain.exchange, ledger=True),
        risk=RiskConfig(open_orders_max=1_000_000, position_max=AMOUNT, credit_max=AMOUNT),
        instruments=tuple(
            replace(instrument, maker_fee_bps=-1, taker_fee_bps=5)
            for instrument in plain.instruments
        ),
        limits={
            instrument.symbol: {
                "quantity_min": "0.00001", "quantity_max": AMOUNT, "notional_min": "0.00001",
                "notional_max": AMOUNT, "price_band_bps": "5000",
            }
            for instrument in plain.instruments
        },
    )  # fmt: skip


def without_ledger(durability: Durability = "full") -> Config:
    """What is left of `exchange_config` with `ledger = off` and no limits: the same trades."""
    return replace(config(durability), exchange=ExchangeConfig(self_trade="cancel_newest"))


# --- the manager ---


def wait_for_link(manager: OrderManagement) -> None:
    """Until the journal says that the venue's link is up: before, orders would wait."""
    while not manager.dispatcher.desk.link_up:
        time.sleep(0.001)


@contextlib.contextmanager
def stepped(manager: OrderManagement) -> Iterator[None]:
    """The manager without its threads: recovered, linked; each dispatcher turn is a step().

    At the end nothing is settled, as when a process is killed; the store is closed.
    """
    manager.dispatcher.start()
    manager.keeper.wake()  # so that its step does not wait
    manager.keeper.step()
    manager.dispatcher.step()
    assert manager.dispatcher.desk.link_up
    try:
        yield
    finally:
        manager.store.close()


def fund(manager: OrderManagement, accounts: Sequence[str]) -> None:
    """Give each account plenty of each asset, where there is a ledger; wait until it has it."""
    ask(manager, *funding(manager.config, accounts))


def funding(config: Config, accounts: Sequence[str]) -> Iterator[FundsRequest]:
    """What `fund` asks for; nothing where there is no ledger."""
    if not config.exchange.ledger:
        return
    assets = {a for i in config.instruments for a in (i.base, i.quote)}
    for account in accounts:
        yield FundsRequest(account=account, client_order_id="create", action=FundsAction.CREATE)
        for asset in sorted(assets):
            yield FundsRequest(
                account=account, client_order_id=f"deposit-{asset}", action=FundsAction.DEPOSIT,
                asset=asset, amount=AMOUNT,
            )  # fmt: skip


def ask(manager: OrderManagement, *requests: Request) -> list[OrderResponse]:
    """The durable answers to these requests, none of which may be a refusal."""
    asked = [manager.submit(request) for request in requests]
    wait(asked, ANSWER_S_MAX)
    answers = [answer.result(0) for answer in asked]
    for answer in answers:
        if answer.type in (ResponseType.REJECTED, ResponseType.COMMAND_REJECTED):
            raise SystemExit(f"refused: {answer}")
    return answers


def enter(manager: OrderManagement, requests: Sequence[OrderRequest]) -> None:
    """Have these orders in the book, and on disk."""
    produce(manager, requests[:-1], INBOX_MAX)
    ask(manager, requests[-1])  # the dispatcher keeps to their order
    rejects = manager.get_status()["rejects"]
    if rejects:
        raise SystemExit(f"refused: {rejects}")


def produce(manager: OrderManagement, requests: Iterable[OrderRequest], inbox_max: int) -> None:
    """Hand over the requests; pause while the inbox is above the bound."""
    on_data, inbox = manager.on_data, manager.inbox
    for number, request in enumerate(requests):
        on_data(request)
        if not number % 100:
            while inbox.size > inbox_max:
                time.sleep(0.001)


def ledger_mistakes(manager: OrderManagement) -> int:
    """What does not add up; only while no turn is under way. Without a ledger nothing can."""
    desk = manager.dispatcher.desk
    orders = getattr(desk, "blotter", desk.executions).orders
    return len(desk.ledger.mistakes(orders.values()))


def answers_first(response: OrderResponse) -> bool:
    """Is it the first answer to its request? A request's trades follow that."""
    report = response.report
    return report.request_seq > 0 and report.type != "TRADE"


def _answers_first_row(response: OrderResponse) -> bool:
    """The same, where a response has a row of columns."""
    row = response.row  # type: ignore[attr-defined]
    return bool(row[3] and row[8] != "TRADE")


if hasattr(OrderResponse, "row"):
    answers_first = _answers_first_row


# --- requests ---

PRICES = (("TATA_INR", 1, 0.05), ("JIO_INR", 1, 0.05), ("BTC_USD", 0.001, 0.01))


class Flow:
    """The requests of some clients: 55 % new that rest, 40 % cancels, 5 % marketable.

    Of the new ones, 40 rest far from the touch and are canceled in random order once `live`
    of them are open; 15 rest at the touch, where the marketable ones (IOC, four times the
    size) take them, three each. So the book stands still, and every order that is canceled
    is open. Three instruments, two sides. What is random is drawn before. The accounts take
    turns.
    """

    MIX = ("rest",) * 40 + ("touch",) * 15 + ("cancel",) * 40 + ("take",) * 5

    def __init__(
        self, live: int = 5_000, seed: int = 7, accounts: Sequence[str] = (ACCOUNT,)
    ) -> None:
        random = Random(seed)
        self.count = 0
        self.kinds = dict.fromkeys(self.MIX, 0)
        self.accounts = accounts
        self._live_min = live
        self._live: list[tuple[str, str]] = []  # whose, and its id
        # The exact mix for each instrument and side, then shuffled: a mix that is right only
        # on average lets a book grow for as long as the run lasts.
        self._drawn = [
            (kind, symbol, side, *_terms(random, kind, side, lot, tick), random.getrandbits(30))
            for symbol, lot, tick in PRICES
            for side in Side
            for kind in self.MIX * 27
        ]
        random.shuffle(self._drawn)

    def take(self, count: int) -> Iterator[OrderRequest]:
        """The next requests, each made when it is asked for."""
        return starmap(self.next, repeat((), count))

    def next(self) -> OrderRequest:
        """The next request; its client order id is its number, from 1."""
        self.count = number = self.count + 1
        kind, symbol, side, quantity, price, pick = self._drawn[number % len(self._drawn)]
        live = self._live
        if kind == "cancel":
            if len(live) > self._live_min:
                self.kinds["cancel"] += 1
                place = pick % len(live)
                (account, victim), live[place] = live[place], live[-1]
                live.pop()
                return OrderRequest.cancel(account, str(number), victim)
            kind = "rest"
        self.kinds[kind] += 1
        account = self.accounts[number % len(self.accounts)]
        client_order_id = str(number)
        if kind == "take":
            return OrderRequest.new(
                account, client_order_id, symbol, side, quantity, price,
                time_in_force=TimeInForce.IOC,
            )  # fmt: skip
        if kind == "rest":
            live.append((account, client_order_id))
        return OrderRequest.new(account, client_order_id, symbol, side, quantity, price)


def _terms(random: Random, kind: str, side: Side, lot: float, tick: float) -> tuple[str, str]:
    """Quantity and price: the touch is one tick from 200, on either side."""
    away = {"touch": 1, "take": -1}.get(kind) or random.randint(2, 60)
    price = 200 + tick * (-away if side is Side.BUY else away)
    return f"{(40 if kind == 'take' else 10) * lot:g}", f"{price:.2f}"


def resting(
    count: int, accounts: Sequence[str], symbols: int = len(PRICES), levels: int = 1_000
) -> list[OrderRequest]:
    """Orders that trade with nobody: both sides, so many symbols, so many prices a side."""
    made = []
    for number in range(count):
        symbol, lot, tick = PRICES[number % symbols]
        side = (Side.BUY, Side.SELL)[number // symbols % 2]
        away = (1 + number // symbols // 2 % levels) * (-tick if side is Side.BUY else tick)
        account, id = accounts[number % len(accounts)], str(number)
        made.append(
            OrderRequest.new(account, id, symbol, side, f"{10 * lot:g}", f"{200 + away:.2f}")
        )
    return made


# --- the whole path ---


class Answers:
    """Counts first answers; the dispatcher's thread calls it."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.count = 0
        self.last_ns = 0
        self.all_here = threading.Event()

    def __call__(self, response: OrderResponse) -> None:
        if answers_first(response):
            self.count += 1
            if self.count == self.expected:
                self.last_ns = time.monotonic_ns()
                self.all_here.set()


def whole_path(
    directory: Path, settings: Config, flow: Flow, orders: int, inbox_max: int
) -> Figures:
    """So many requests of a flow, as fast as they are taken: see throughput.py.

    Accounts are funded before the timed part begins, and looked through after it.
    """
    manager = OrderManagement(settings, directory=directory)
    answers = Answers(orders)
    with manager:
        wait_for_link(manager)
        fund(manager, flow.accounts)
        manager.add_listener(answers)
        before_rss = rss_bytes()
        start_ns, cpu_s = time.monotonic_ns(), time.process_time()
        produce(manager, flow.take(orders // 5), inbox_max)
        early_rss = rss_bytes()
        produce(manager, flow.take(orders - orders // 5), inbox_max)
        if not answers.all_here.wait(ANSWER_S_MAX):
            raise SystemExit(f"{answers.count:,} first answers to {orders:,} requests")
        cpu_s = time.process_time() - cpu_s
        late_rss = rss_bytes()
        status = manager.get_status()
    seconds = (answers.last_ns - start_ns) / 1e9
    size = (directory / settings.store.database).stat().st_size
    return {
        "orders_per_s": orders / seconds,
        "seconds": seconds,
        "cpu_us_per_order": cpu_s / orders * 1e6,
        "reports_per_order": status["published"] / orders,
        "turns": status["turns"],
        "orders_per_turn": orders / status["turns"],
        "disk_bytes_per_order": size / orders,
        "rss_mb_start": before_rss / 1e6,
        "rss_mb_at_20_percent": early_rss / 1e6,
        "rss_mb_at_end": late_rss / 1e6,
        "rss_growth": late_rss / early_rss if early_rss else 0.0,
        "open_orders": status["open_orders"],
        "ledger_mistakes": ledger_mistakes(manager),
        "rejects": str(status["rejects"]),
        "mix": str(flow.kinds),
    }
