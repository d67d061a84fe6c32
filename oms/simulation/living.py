"""Living: agents that trade by themselves in a sandbox, gently and without end.

Flow:  agents -> [living] -> OrderManagement.on_data
Owner: the thread oms-agents. Nothing waits for it; what it asks is refused like anybody's.

It may go on for months. The agents of agents.py keep a bounded number of orders open (about 300),
those of an earlier process are canceled, and the market goes on at its latest price. Who trades
wins or loses, so every TIDY_S each agent's money is brought back to what it began with, where it
has become less than half, or more than twice as much.
"""

import logging
import threading
from collections.abc import Iterator
from itertools import islice

from oms.clock import NANOS
from oms.errors import StoppedError
from oms.manager import OrderManagement
from oms.money import to_text
from oms.requests import FundsAction, FundsRequest, MassCancelRequest
from oms.requests.orders import OrderRequest
from oms.simulation.agents import FUNDED, market, means

log = logging.getLogger(__name__)

STEP_S_MAX = 1.0
ANSWER_S = 10.0
TIDY_S = 600
AT_ONCE = 100  # requests at the start: whoever looks right away finds a book


class LivingMarket:
    """A Job: so many requests a second, evenly.

    Call `begin` first. rate: requests a second, 1 or more. seed: of the chances in it.
    """

    def __init__(self, oms: OrderManagement, seed: int, rate: int) -> None:
        self._oms = oms
        self._gap_ns = NANOS // rate
        self._prefix = f"{oms.clock.wall_ns() // NANOS}-"
        self._instruments = list(oms.instruments().values())
        last = {each.symbol: oms.recent_trades(each.symbol)[-1:] for each in self._instruments}
        self._flow: Iterator[OrderRequest] = market(
            seed, self._instruments, self._prefix, rate=rate, start_ns=oms.clock.wall_ns(),
            last_ticks={symbol: trades[0].price_ticks for symbol, trades in last.items() if trades},
        )  # fmt: skip
        self._stopping = threading.Event()
        self._due_ns = self._tidy_ns = 0
        self._tidied = 0

    def begin(self) -> None:
        """Give the agents accounts and money, cancel what they left, and make a first book."""
        asked = []
        for account in FUNDED:
            asked += [
                self._oms.try_submit(
                    FundsRequest(
                        account=account, client_order_id="create", action=FundsAction.CREATE
                    )
                ),
                self._oms.try_submit(
                    MassCancelRequest(account=account, client_order_id=f"{self._prefix}clear")
                ),
            ]  # fmt: skip
        for future in asked:
            future.result(ANSWER_S)
        self._tidy()
        for request in islice(self._flow, AT_ONCE):
            self._oms.on_data(request)
        self._due_ns = self._oms.clock.monotonic_ns()

    def step(self) -> None:
        now_ns = self._oms.clock.monotonic_ns()
        if now_ns < self._due_ns:
            self._stopping.wait(min(STEP_S_MAX, (self._due_ns - now_ns) / NANOS))
            return
        self._due_ns = now_ns + self._gap_ns  # after a pause of the machine no burst makes up
        try:
            if now_ns >= self._tidy_ns:
                self._tidy()
            self._oms.on_data(next(self._flow))
        except StoppedError:  # the order manager stops before its agents do
            self._stopping.wait(STEP_S_MAX)

    def _tidy(self) -> None:
        """Bring each agent's money back to what it began with, where it is far from that."""
        self._tidy_ns = self._oms.clock.monotonic_ns() + TIDY_S * NANOS
        self._tidied += 1
        for account, units in FUNDED.items():
            owned = self._oms.balances_units(account)
            for asset, (wanted, scale) in means(self._instruments, units).items():
                available, reserved = owned.get(asset, (0, 0))
                amount = wanted - available - reserved
                if -wanted <= amount <= wanted // 2:
                    continue
                action = FundsAction.DEPOSIT if amount > 0 else FundsAction.WITHDRAW
                amount = amount if amount > 0 else min(-amount, available)
                if amount:
                    self._oms.on_data(
                        FundsRequest(
                            account=account, action=action, asset=asset,
                            client_order_id=f"{self._prefix}{self._tidied}-{asset}",
                            amount=to_text(amount, scale),
                        )
                    )  # fmt: skip

    def finish(self) -> None:
        """Nothing is open here."""

    def wake(self) -> None:
        self._stopping.set()
