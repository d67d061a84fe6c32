"""The urgent lane: who goes first when more waits in the inbox than a few turns take.

Flow:  inbox -> [lane] -> dispatcher
Owner: the dispatcher thread.

Cancels, mass cancels and the kill switch overtake, in order among themselves. A cancel takes its
own order along, if that is in the inbox still: it is recorded, never sent, and CANCELED. A mass
cancel or a kill does the same with what was here before it, as it comes up.
"""

from collections.abc import Iterator

from oms.enums import Scope
from oms.reject_reasons import RejectReason, mass_cancel_reason
from oms.requests import OperatorAction
from oms.requests.codec import CANCEL, MASS_CANCEL, OPERATOR, Line
from oms.requests.operators import OF_MARKETS
from oms.stores import Store
from oms.turn.inbox import Inbox, Item, withdrawn
from oms.turn.intake import Intake

# How much must wait for the urgent to overtake it. A turn of 1,000 takes some 25 ms, so what waits
# for six of them is answered in 150. To take orders back out of the inbox costs a tenth of the
# throughput, so a client who is ahead by a few turns is left alone.
OVERTAKEN_TURNS = 6


class UrgentLane:
    """Chooses what each turn takes out of the inbox."""

    def __init__(self, inbox: Inbox, store: Store, batch_max: int) -> None:
        self._inbox = inbox
        self._store = store
        self._batch_max = batch_max
        self._numbers: list[int] = []  # of what overtakes in this turn, if it may sweep others

    def turns(self, intake: Intake, wait_s: float) -> Iterator[list[Item]]:
        """What is to be taken now, a turn at a time; waits for the first, at most `wait_s`."""
        inbox, batch_max = self._inbox, self._batch_max
        urgent = inbox.take_urgent(batch_max, OVERTAKEN_TURNS * batch_max)
        if not urgent:
            yield from _cut(inbox.take(batch_max, wait_s))
            return
        items, numbers = self._overtaking(urgent, intake)
        if any(item[0][0] in (MASS_CANCEL, OPERATOR) for item in items):
            # A turn of their own: what they sweep is known once they are on disk.
            self._numbers = numbers
            yield items
            self._numbers, items = [], []
        yield from _cut(items + inbox.take(max(batch_max - len(items), batch_max // 2, 1), 0))

    def _overtaking(
        self, urgent: list[tuple[int, Item]], intake: Intake
    ) -> tuple[list[Item], list[int]]:
        """Urgent items, each cancel behind its own order if that is in the inbox still.

        A cancel under an id that was used before is refused: it must not move its order.
        """
        lines = [item[0] for _, item in urgent]
        here = self._inbox.known([
            (line[1], line[3]) for line in lines
            if line[0] == CANCEL and not intake.is_open(line[1], line[3])
        ])  # fmt: skip
        wanted: dict[int, tuple[str, str, int]] = {}  # place -> what to withdraw for it
        used = self._store.used([line[1:3] for line in lines if (line[1], line[3]) in here])
        for place, (number, item) in enumerate(urgent):
            kind, account, client_id, named = item[0][:4]
            fresh = (account, client_id) not in used
            used.add((account, client_id))
            if kind == CANCEL and fresh and (account, named) in here:
                wanted[place] = account, named, number
        found = dict(zip(wanted, self._inbox.withdraw(wanted.values()), strict=True))
        items: list[Item] = []
        numbers: list[int] = []
        earlier_ids = intake.earlier_ids = {}
        for place, (number, item) in enumerate(urgent):
            if place in found:
                account, named, _ = wanted[place]
                first_id, order = found[place]
                if first_id != named:
                    earlier_ids[account, named] = first_id
                if order is not None:
                    items.append(withdrawn(order, ""))
                    numbers.append(number)
            items.append(item)
            numbers.append(number)
        return items, numbers

    def sweep(self, lines: list[Line]) -> None:
        """The lines of this turn are on disk: what arrived before a mass cancel or a kill among
        those that overtook must not be sent."""
        numbers = self._numbers
        if not numbers:
            return
        for line, number in zip(lines[-len(numbers) :], numbers, strict=True):
            if line[0] == MASS_CANCEL:
                why = mass_cancel_reason(line[1], line[2])
                self._inbox.sweep((line[3], line[4], line[5]), number, why)
            elif line[0] == OPERATOR and line[3] == OperatorAction.KILL and line[4] != Scope.GROUP:
                account = line[5] if line[4] == Scope.ACCOUNT else ""
                symbol = line[5] if line[4] == Scope.SYMBOL else ""
                why = f"{RejectReason.KILL_SWITCH.value}: {line[8]}".rstrip(": ")
                self._inbox.sweep((account, symbol, ""), number, why)


def _cut(items: list[Item]) -> Iterator[list[Item]]:
    """One turn, mostly. What is traded, and on which grid, may change at a turn's end alone: the
    orders of a turn are read by the grid that holds at its begin."""
    first = 0
    if OPERATOR in [item[0][0] for item in items]:
        for place, (request, _, _) in enumerate(items, 1):
            if request[0] == OPERATOR and request[3] in OF_MARKETS:
                yield items[first:place]
                first = place
    if not first or first < len(items):
        yield items[first:]
