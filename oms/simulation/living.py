"""Living: agents that trade by themselves in a sandbox, gently and without end.

Flow:  agents -> [living] -> OrderManagement.on_data
Owner: the thread oms-agents. Nothing waits for it; what it asks is refused like anybody's.
"""

import logging
import threading
from collections.abc import Iterator

from oms.clock import NANOS
from oms.manager import OrderManagement
from oms.requests import MassCancelRequest
from oms.requests.orders import OrderRequest
from oms.simulation.agents import FUNDED, funding, market

log = logging.getLogger(__name__)

STEP_S_MAX = 1.0
ANSWER_S = 10.0


class LivingMarket:
    """A Job: so many requests a second, evenly; the same for the same seed.

    What the agents of a run before left in the book is canceled first: they do not know of it.
    """

    def __init__(self, oms: OrderManagement, seed: int, rate: int) -> None:
        self._oms = oms
        self._gap_ns = NANOS // rate
        self._prefix = f"{oms.clock.wall_ns() // NANOS}-"
        self._flow: Iterator[OrderRequest] = market(
            seed, list(oms.instruments().values()), self._prefix, rate=rate,
            start_ns=oms.clock.wall_ns(),
        )  # fmt: skip
        self._stopping = threading.Event()
        self._due_ns = 0

    def begin(self) -> None:
        """Give the agents their accounts and money, and clear what they left."""
        instruments = list(self._oms.instruments().values())
        asked = [self._oms.try_submit(each) for each in funding(instruments, self._prefix)]
        asked += [
            self._oms.try_submit(
                MassCancelRequest(account=account, client_order_id=f"{self._prefix}clear")
            )
            for account in FUNDED
        ]
        for future in asked:
            future.result(ANSWER_S)
        self._due_ns = self._oms.clock.monotonic_ns()

    def step(self) -> None:
        now_ns = self._oms.clock.monotonic_ns()
        if now_ns < self._due_ns:
            self._stopping.wait(min(STEP_S_MAX, (self._due_ns - now_ns) / NANOS))
            return
        self._due_ns = now_ns + self._gap_ns  # after a pause of the machine no burst makes up
        self._oms.on_data(next(self._flow))

    def finish(self) -> None:
        """Nothing is open here."""

    def wake(self) -> None:
        self._stopping.set()
