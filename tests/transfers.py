"""Two groups of markets without Redis: their order managers, and a way to each that a test cuts,
repeats and delays."""

from collections import deque
from concurrent.futures import Future

from oms import Instrument, ManualClock, MemoryStore
from oms.config import ExchangeConfig
from oms.errors import OutcomeUnknownError
from oms.reject_reasons import RejectReason
from oms.requests import FundsAction, FundsRequest
from oms.responses import refused
from oms.roles.transfers import Transfers
from oms.sections import ScaleConfig
from tests.fakes import Stepped, config_of

SCALES = {"price_scale": 2, "quantity_scale": 0, "base_scale": 0, "quote_scale": 2}
CONFIG = config_of(
    exchange=ExchangeConfig(ledger=True),
    instruments=tuple(Instrument(symbol=each, **SCALES) for each in ("A_USD", "B_EUR", "A_EUR")),
    scale=ScaleConfig(market_groups="usd: A_USD, eur: B_EUR A_EUR"),
)
SHARED = "A"  # the asset that both groups know
LOOK_S = 1.1


class Way:
    """To one group. What was submitted waits in `pending` until `deliver`; `sent` has all of it."""

    def __init__(self, name: str, store) -> None:
        self.name, self.make_store = name, store
        self.stepped = Stepped(CONFIG.of_group(name), store=store(name)).start()
        self.alive = True
        self.pending: deque[tuple[FundsRequest, Future]] = deque()
        self.sent: list[FundsRequest] = []

    def submit(self, request: FundsRequest) -> Future:
        future: Future = Future()
        self.pending.append((request, future))
        self.sent.append(request)
        return future

    def ask(self, method: str) -> Future:
        self.stepped.oms._running = True  # without threads: answer as a running one does
        found = getattr(self.stepped.oms, method)()
        self.stepped.turn()
        return found

    def deliver(self, at: int = 0, *, told: bool = True) -> None:
        """One of what waits; not told: its answer is lost."""
        self.pending.rotate(-at)
        request, future = self.pending.popleft()
        self.pending.rotate(at)
        response = self.stepped.ask(request)
        if told:
            future.set_result(response)
        else:
            future.set_exception(OutcomeUnknownError("the answer is lost"))

    def refuse(self) -> None:
        """One of what waits, before anything of it is recorded."""
        request, future = self.pending.popleft()
        future.set_result(refused(request.line, RejectReason.QUEUE_FULL, 1))

    def restart(self) -> None:
        """As after SIGKILL: what is in the journal is all there is."""
        self.stepped = Stepped(CONFIG.of_group(self.name), store=self.again()).start()

    def again(self):
        """What was in the store, for another one."""
        store = self.stepped.store
        if isinstance(store, MemoryStore):
            return store
        store.close()
        return self.make_store(self.name)

    @property
    def ledger(self):
        return self.stepped.dispatcher.desk.ledger


class Groups:
    """Both, and an api that drives transfers between them."""

    def __init__(self, store=lambda _: MemoryStore()) -> None:
        """store: makes that of a group, by its name."""
        self.ways = {name: Way(name, store) for name in ("usd", "eur")}
        self.clock = ManualClock()
        self.new_api()

    def new_api(self) -> None:
        """The one before is gone, and hears of nothing that it asked."""
        for way in self.ways.values():
            way.pending = deque((request, Future()) for request, _ in way.pending)
        self.api = Transfers(self.ways, self.clock)

    def look(self) -> None:
        self.clock.advance(LOOK_S)
        self.api.look()

    def come_to_rest(self, looks: int = 20) -> None:
        for _ in range(looks):
            while any(way.pending for way in self.ways.values()):
                for way in self.ways.values():
                    while way.pending:
                        way.deliver()
            if not any(way.ledger.transfers for way in self.ways.values()):
                return
            self.look()
        raise AssertionError(f"in flight: {[way.ledger.transfers for way in self.ways.values()]}")

    def ask(self, group: str, request: FundsRequest):
        return self.ways[group].stepped.ask(request)

    def open(self, *accounts: str, groups=("usd", "eur")) -> None:
        for name in groups:
            for account in accounts:
                self.ask(name, funds(FundsAction.CREATE, account, "create"))


def funds(action, account, name, amount=None, asset=SHARED, to="", groups=()) -> FundsRequest:
    from_group, to_group = groups or ("", "")
    return FundsRequest(
        account=account, client_order_id=name, action=action,
        **({} if amount is None else {"asset": asset, "amount": amount}), to_account=to,
        from_group=from_group, to_group=to_group,
    )  # fmt: skip


def transfer(name, amount, *, account="ann", to="ann", groups=("usd", "eur"), **more):
    return funds(FundsAction.TRANSFER, account, name, amount, to=to, groups=groups, **more)
