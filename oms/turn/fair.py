"""The fair inbox: FIFO for each client, and clients take turns; one's flood is that client's own.

Flow:  manager, keeper, venue -> [fair inbox] -> dispatcher
Owner: holds its own lock, as the plain one.

A client is the user whom a gateway names, else the account. As long as one turn takes all that is
here, turns have it in the order of arrival, which is what time priority goes by. Beyond that each
client's oldest request is taken in a round. A client may have as many requests here as there is
room left: whoever fills the inbox leaves half of it to the others, the next a quarter, and so on.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from oms.requests.codec import MODIFY, NEW
from oms.turn.inbox import FLOOD, STALE_MAX, Inbox, Item

Lanes = OrderedDict[str, deque[int]]
"""Client -> numbers of its requests; the client whose turn is next stands first."""


class FairInbox(Inbox):
    """The same inbox, with a lane for each client. Items keep the numbers of their arrival."""

    def __init__(self, size_max: int) -> None:
        super().__init__(size_max)
        self._kept: dict[int, Item] = {}  # by number
        self._next = 0
        self._ours: deque[int] = deque()  # venue reports and notices: they go before all lanes
        self._lanes: Lanes = OrderedDict()
        self._urgent_lanes: Lanes = OrderedDict()  # the urgent among them
        self._latest: dict[str, dict[str, int]] = {}  # account -> client -> number
        self._under_way: set[int] = set()  # taken, and not done yet

    def put(self, item: Item, urgent: bool = False) -> bool:
        kept = self._kept
        if len(kept) >= (self._length_max + self.size_max if urgent else self._length_max):
            return False
        line = item[0]
        account, user = line[1], _client_of(line)
        with self._lock:
            room = (self._length_max + self.size_max if urgent else self._length_max) - len(kept)
            lanes = self._urgent_lanes if urgent else self._lanes
            if room <= 0 or len(lanes.get(user, ())) >= room:
                return False
            number, self._next = self._next, self._next + 1
            kept[number] = item
            self._lanes.setdefault(user, deque()).append(number)
            self._latest.setdefault(account, {})[user] = number
            if urgent:
                self._urgent_lanes.setdefault(user, deque()).append(number)
            if self._sleeps:
                self._filled.notify()
        return True

    def notice(self, item: Item) -> None:
        with self._lock:
            self._kept[self._next] = item
            self._ours.append(self._next)
            self._next += 1
            self._filled.notify()

    def take_urgent(self, count_max: int, backlog_max: int) -> list[tuple[int, Item]]:
        if self.size <= backlog_max:
            return []
        with self._lock:
            self._peak = self.peak
            found = list[tuple[int, Item]]()
            while self._urgent_lanes and len(found) < count_max:
                number = self._next_of(self._urgent_lanes)
                if number is not None:
                    found.append((number, self._kept[number]))
                    self._leave(number)
            return found

    def behind(self, account: str) -> Callable[[], bool]:
        """Only this account's requests count: the others are no part of its story."""
        with self._lock:
            until = list(self._latest.get(account, {}).values())
        kept, under_way = self._kept, self._under_way
        return lambda: not any(number in kept or number in under_way for number in until)

    def done(self) -> None:
        self._under_way.clear()

    # --- under the lock ---

    def _pop_all(self) -> list[Item]:
        taken = list(self._kept.values())
        self._under_way.update(self._kept)
        self._kept.clear()
        self._lanes.clear()
        self._ours.clear()
        self._urgent_lanes.clear()
        self._latest.clear()
        return taken

    def _pop(self, count_max: int) -> list[Item]:
        """A round of all clients, and another, until there are so many."""
        kept, lanes, taken = self._kept, self._lanes, list[Item]()
        self.flooded = self.flooded or len(kept) >= FLOOD
        if len(kept) <= count_max:
            swept = [self._unless_swept(*each) for each in kept.items()]
            self._pop_all()
            self._tidy()
            return swept
        while self._ours and len(taken) < count_max:
            taken.append(self._go(self._ours.popleft()))
        while lanes and len(taken) < count_max:
            number = self._next_of(lanes)
            if number is not None:
                item = self._go(number)
                taken.append(self._unless_swept(number, item) if number < self._swept else item)
        self._tidy()
        return taken

    def _next_of(self, lanes: Lanes) -> int | None:
        """The oldest of the client whose turn it is, if there is one; then it is another's."""
        user, lane = lanes.popitem(last=False)
        while lane and lane[0] not in self._kept:  # they left out of turn
            lane.popleft()
        number = lane.popleft() if lane else None
        if lane:
            lanes[user] = lane
        return number

    def _go(self, number: int) -> Item:
        self._under_way.add(number)
        return self._kept.pop(number)

    def _tidy(self) -> None:
        """Forget what was about items that have left."""
        kept = self._kept
        if self._sweeps and next(iter(kept), self._next) >= self._swept:
            self._sweeps.clear()
        if len(self._latest) > 2 * len(kept) + STALE_MAX:
            self._latest = {
                account: those for account, those in self._latest.items()
                if any(number in kept for number in those.values())
            }  # fmt: skip
        if not kept:
            self._numbers, self._latest = {}, {}
            self._lanes.clear()
            self._urgent_lanes.clear()
            self._unusual = False

    def _at(self, number: int) -> Item | None:
        return self._kept.get(number)

    def _leave(self, number: int) -> None:
        self._go(number)
        self._unusual = True

    def _number(self) -> None:
        numbers, kept = self._numbers, self._kept
        if len(numbers) > 2 * len(kept) + STALE_MAX:
            numbers.clear()
        first = self._numbered if numbers else next(iter(kept), self._next)
        for number in range(first, self._next):
            item = kept.get(number)
            if item is not None and item[0][0] in (NEW, MODIFY):
                key = item[0][1:3]
                if numbers.get(key, -1) not in kept:  # the first of a name is the one it belongs to
                    numbers[key] = number
        self._numbered = self._next
        self._unusual = True

    @property
    def arrived(self) -> int:
        return self._next

    @property
    def size(self) -> int:
        return len(self._kept)


def _client_of(line: tuple[Any, ...]) -> str:
    """Whose request it is: of a user, or of a caller of the library by the account."""
    user: str = line[-1].user
    return f"user:{user}" if user else str(line[1])
