"""Access view: users as readers see them, as of the latest commit.

Flow:  dispatcher, after the commit -> [access view] -> gateways
Owner: the dispatcher changes it; any thread may read. Records are immutable, and each index is one
       dictionary, so a reader sees a user as of one commit.
"""

import logging
import threading
from collections.abc import Callable, Iterable

from oms.users import Key, User

log = logging.getLogger(__name__)

AccessListener = Callable[[User], object]


class AccessView:
    """Every durable user, by name, email and key.

    seen_ns: monotonic time of the dispatcher's latest turn, or of its look whether there is one
    to take, at least once a second: no revocation is older and not seen here. started_ns: the
    stamp of this process's START entry, no earlier than any of a process before.
    """

    def __init__(self) -> None:
        self._users: dict[str, User] = {}  # by name in lower case
        self._emails: dict[str, str] = {}  # in lower case -> that name
        self._keys: dict[str, str] = {}  # key id -> that name
        self._adding = threading.Lock()
        self._listeners: tuple[AccessListener, ...] = ()
        self.seen_ns = self.started_ns = 0

    # --- readers ---

    def user(self, name: str) -> User | None:
        """The user of that name, in whatever case."""
        return self._users.get(name.lower())

    def by_email(self, email: str) -> User | None:
        name = self._emails.get(email.lower())
        return self._users[name] if name is not None else None

    def key(self, key_id: str) -> tuple[User, Key] | None:
        """The key that was not revoked, and whose it is."""
        name = self._keys.get(key_id)
        user = self._users[name] if name is not None else None
        key = user.key(key_id) if user is not None else None
        return (user, key) if user is not None and key is not None else None

    def users(self) -> list[User]:
        """All of them, oldest first."""
        return list(self._users.values())

    def add_listener(self, callback: AccessListener) -> None:
        """Have every changed user told to `callback`, on the dispatcher's thread, after the commit
        and before the answer to the request that changed it. It must not wait."""
        with self._adding:
            self._listeners = (*self._listeners, callback)

    def remove_listener(self, callback: AccessListener) -> None:
        with self._adding:
            self._listeners = tuple(each for each in self._listeners if each != callback)

    # --- the dispatcher ---

    def show(self, changed: Iterable[User]) -> None:
        """These users are like this since the latest commit. Whoever listens is told."""
        for user in changed:
            if self._users.get(user.name.lower()) == user:
                continue  # an undone turn was folded again
            self._show(user)
            for listener in self._listeners:
                try:
                    listener(user)
                except BaseException:  # whatever it is, the dispatcher goes on
                    log.exception("listener %r of users failed", listener)

    def _show(self, user: User) -> None:
        name = user.name.lower()
        before = self._users.get(name)
        for key in before.keys if before is not None else ():
            if user.key(key.key_id) is None:
                self._keys.pop(key.key_id, None)
        self._users[name] = user
        self._emails[user.email.lower()] = name
        for key in user.keys:
            self._keys[key.key_id] = name
