"""Arms: the sockets whose loss cancels orders; which front door has them.

Flow:  arms:GROUP <-> [arms], on the sending thread of the home group's link
A front door that dies takes its sockets with it: another one sees that and cancels, see
RemoteOrders.lost_arms.
"""

from concurrent.futures import Future

from oms.clock import NANOS
from oms.requests import AccessAction, AccessRequest
from oms.requests.access import told_facts
from oms.responses import OrderResponse
from oms.transport.keys import Keys
from oms.transport.server import Server

TELL_NS = 2 * NANOS  # how often it is told whose sockets guard orders
WORDS_MAX = 20_000  # in one command, an even number: Redis serves nobody else meanwhile


class Arms:
    """client: the name that this process has in Redis.

    own: whose sockets this process has; any thread. held: whose sockets any front door has; None:
    not known yet, or not any more.
    """

    def __init__(self, keys: Keys, client: str) -> None:
        self._keys, self._client = keys, client
        self.own: set[str] = set()
        self.held: set[str] | None = None
        self._told_ns = self._known_from_ns = 0

    def note(self, request: AccessRequest, done: "Future[OrderResponse]") -> None:
        """A socket of this process guards orders from now on, or no more."""
        if done.exception() is not None or done.result().refused:
            return
        arm_id = told_facts(done.result().text).get("arm", "")
        if request.action is AccessAction.ARM:
            self.own.add(arm_id)
        else:
            self.own.discard((request.facts or {}).get("arm", ""))

    # --- the sending thread ---

    def lost(self) -> None:
        """Redis is out of reach: what is held is not known."""
        self.held, self._known_from_ns = None, 0

    def begin_again(self) -> None:
        """Redis lost its data: each front door has a moment to tell what it has."""
        self._known_from_ns = 0

    def keep(self, server: Server, now_ns: int) -> None:
        """Tell every two seconds whose sockets are here, and see whose another front door has that
        lives."""
        if now_ns - self._told_ns < TELL_NS:
            return
        own, told = self.own.copy(), self._told(server)
        others = sorted({its for its in told.values() if its != self._client})
        found = server.all([("EXISTS", self._keys.replies(each)) for each in others])
        living = {each for each, there in zip(others, found, strict=True) if there}
        new = [word for arm_id in own - told.keys() for word in (arm_id, self._client)]
        gone = [
            arm_id
            for arm_id, its in told.items()
            if (arm_id not in own if its == self._client else its not in living)
        ]
        for command, words in (("HSET", new), ("HDEL", gone)):
            for at in range(0, len(words), WORDS_MAX):
                server.call(command, self._keys.arms, *words[at : at + WORDS_MAX])
        self._known_from_ns = self._known_from_ns or now_ns
        if now_ns - self._known_from_ns >= 2 * TELL_NS:
            self.held = own | {arm_id for arm_id, its in told.items() if its in living}
        else:
            self.held = None
        self._told_ns = now_ns

    def _told(self, server: Server) -> dict[str, str]:
        """Which front door has each, as Redis says."""
        found: list[bytes] = server.call("HGETALL", self._keys.arms)
        return {found[at].decode(): found[at + 1].decode() for at in range(0, len(found), 2)}
