"""What surrounds the agents of a simulation: their money, the opening call, the end.

Flow:  load -> [market_day] -> OrderManagement, before, between and after the agents' requests
Owner: MainThread.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from oms.commands import ask
from oms.controls import MassCancelRequest, OperatorAction, OperatorRequest
from oms.manager import OrderManagement
from oms.messages import Phase, ResponseType
from oms.simulation.listing import FUNDED, funding
from oms.simulation.runner import Runner, Timed


@dataclass(slots=True)
class MarketDay:
    """Pays in, holds an opening auction of the first requests, and cancels all at the end.

    opening: how many requests come while the call is on.
    """

    opening: int
    taken_back: int = field(default=0, init=False)
    _opened: bool = field(default=False, init=False)

    def begin(self, manager: OrderManagement, prefix: str) -> None:
        """Accounts and money, then the call: from here on orders are collected."""
        for _ in ask(manager, funding(manager.config.instruments, prefix)):
            pass  # an account is there already after the first run on this directory
        self._set_phase(manager, prefix, Phase.OPENING_AUCTION)

    def through(
        self, flow: Iterable[Timed], runner: Runner, manager: OrderManagement, prefix: str
    ) -> Iterator[Timed]:
        """The same requests; once the opening's are with the desk, all trade at one price."""
        for count, timed in enumerate(flow):
            if count == self.opening:
                runner.wait_for_answers()
                self._open(manager, prefix)
            yield timed

    def end(self, manager: OrderManagement, prefix: str) -> None:
        """Cancel whatever the agents have open; what others have stays as it is."""
        self._open(manager, prefix)
        cancels = [
            MassCancelRequest(account=name, client_order_id=f"{prefix}end") for name in FUNDED
        ]
        for answer in ask(manager, cancels):
            if answer.type is ResponseType.COMMAND_DONE:
                self.taken_back += int(answer.text.removeprefix("canceled="))

    def _open(self, manager: OrderManagement, prefix: str) -> None:
        if not self._opened:
            self._opened = True
            self._set_phase(manager, prefix, Phase.CONTINUOUS)

    def _set_phase(self, manager: OrderManagement, prefix: str, phase: Phase) -> None:
        request = OperatorRequest(
            client_order_id=f"{prefix}{phase.value}",
            action=OperatorAction.SET_PHASE,
            value=phase.value,
            why="simulation",
        )
        for _ in ask(manager, [request]):
            pass
