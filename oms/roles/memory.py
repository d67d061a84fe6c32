"""Memory: how much of Redis' memory a group takes, and which turns make room for later ones.

Owner: the thread that writes turns.
"""

from collections import deque

from oms.roles.turns import PAGE_BYTES
from oms.roles.waiting import WAITING_MAX
from oms.sections import ScaleConfig
from oms.transport.keys import Keys
from oms.transport.server import Server

TURNS_BYTES_MAX = 64 * 2**20  # of the turns in Redis; what is older is had from the engine
BLOCKS = 16  # turns go away by so many parts of that
DEAD_KEPT = 10_000  # requests that were set aside, see PUBLISH
APIS = 4  # and broadcasts, that a group is reckoned to have
ENTRY_BYTES = 1_000  # a request or an answer, with what Redis takes for it
PAGES = 2  # answers of a page that an api waits for, which are larger: of turns it has one at once


class Block:
    """Turns that follow one another: how many bytes, and the last one's sequence."""

    __slots__ = ("last_seq", "size")

    def __init__(self, size: int, last_seq: int) -> None:
        self.size, self.last_seq = size, last_seq


class Kept:
    """The turns that Redis has, by bytes. first: the sequence from which on they are kept, so that
    they are TURNS_BYTES_MAX at most, and what was told last in one script."""

    def __init__(self) -> None:
        self.first = 1
        self._size = 0
        self._blocks: deque[Block] = deque()

    def begin(self, server: Server, keys: Keys, last_seq: int) -> None:
        """What is there up to `last_seq`, by Redis' own measure, is one block."""
        size = int(server.call("MEMORY", "USAGE", keys.turns, "SAMPLES", 0) or 0)
        self._blocks = deque([Block(size, last_seq)])
        self._size = size

    def add(self, seq: int, size: int) -> None:
        if not self._blocks or self._blocks[-1].size >= TURNS_BYTES_MAX // BLOCKS:
            self._blocks.append(Block(0, seq))
        latest = self._blocks[-1]
        latest.size += size
        latest.last_seq = seq
        self._size += size
        while self._size > TURNS_BYTES_MAX and len(self._blocks) > 1:
            oldest = self._blocks.popleft()
            self._size -= oldest.size
            self.first = oldest.last_seq + 1


def memory_max(config: ScaleConfig, group: str, doors: int = 0) -> dict[str, int]:
    """Bytes that may be taken in the Redis server of a group, by all groups that it has, by what
    they are for. What Redis adds to an entry is reckoned as a quarter of a turn. doors: how many
    apis and broadcasts there are, if that is more than is reckoned with."""
    each = {
        "turns": TURNS_BYTES_MAX * 5 // 4,
        "requests": 2 * config.lag_max * ENTRY_BYTES,
        "answers": max(APIS, doors)
        * (min(config.replies_kept, WAITING_MAX) * ENTRY_BYTES + PAGES * PAGE_BYTES),
        "set aside": DEAD_KEPT * ENTRY_BYTES,
    }
    groups = config.at_server_of(group)
    return {name: size * len(groups) for name, size in each.items()}
