"""Attempts: how often logins and codes failed of late, and who has to wait.

Counted by the name that was given, whether there is such a user or not, and by address. Each
attempt counts as failed until it is told to have gone well: a hundred at once are a hundred.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

from oms.clock import NANOS

FREE_OF_USER, FREE_OF_ADDRESS = 5, 50  # failures that cost no pause
PAUSE_S_MAX = 900
FORGOTTEN_NS = 3_600 * NANOS  # so long after the latest attempt
ENTRIES_MAX = 100_000  # then those that were quiet the longest are forgotten
NAME_LENGTH_MAX = 254
PASSWORD, CODE, RESET, ADDRESS = "password", "code", "reset", "address"

Tried = tuple[str, str]
"""What was tried, and by which name; or from which address."""


def tried(what: str, name: str, address: str) -> tuple[Tried, Tried]:
    """What an attempt counts for: the name, whatever its letters' case, and the address."""
    return (what, name[:NAME_LENGTH_MAX].lower()), (ADDRESS, address)


@dataclass(slots=True)
class Failures:
    count: int = 0
    until_ns: int = 0
    last_ns: int = 0


class Attempts:
    """Any thread. Times are monotonic nanoseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[Tried, Failures] = OrderedDict()

    def begin(self, what: str, name: str, address: str, now_ns: int) -> int:
        """Seconds to wait, for this name or from this address; 0: go on, and it counts as failed
        until `succeeded`. what: a password, a code: a good one forgives no failures of others."""
        keys = tried(what, name, address)
        with self._lock:
            found = [self._entry(key, now_ns) for key in keys]
            wait_ns = max(each.until_ns - now_ns for each in found)
            if wait_ns > 0:
                return -(-wait_ns // NANOS)
            for each, free in zip(found, (FREE_OF_USER, FREE_OF_ADDRESS), strict=True):
                each.count += 1
                over = each.count - free
                if over >= 0:
                    pause_s = PAUSE_S_MAX if over > 16 else min(PAUSE_S_MAX, 1 << over)
                    each.until_ns = now_ns + pause_s * NANOS
        return 0

    def succeeded(self, what: str, name: str, address: str) -> None:
        """The name has a clean record; of its address this one attempt does not count."""
        by_name, by_address = tried(what, name, address)
        with self._lock:
            self._entries.pop(by_name, None)
            found = self._entries.get(by_address)
            if found is not None:
                found.count -= 1
                if found.count < FREE_OF_ADDRESS:
                    found.until_ns = 0

    def _entry(self, key: Tried, now_ns: int) -> Failures:
        found = self._entries.get(key)
        if found is None or now_ns - found.last_ns > FORGOTTEN_NS:
            found = Failures()
        found.last_ns = now_ns
        self._put(key, found)
        return found

    def _put(self, key: Tried, found: Failures) -> None:
        self._entries[key] = found
        self._entries.move_to_end(key)
        while len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)

    # --- where others count, too ---

    def note(self, key: Tried, found: Failures) -> None:
        """What all together count."""
        with self._lock:
            self._put(key, found)

    def known(self) -> list[tuple[Tried, Failures]]:
        """All that failed of late, longest ago first."""
        with self._lock:
            return [(key, replace(each)) for key, each in self._entries.items() if each.count > 0]
