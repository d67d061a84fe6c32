"""Keys of one group of markets. The group's name in braces is the hash tag of Redis Cluster: all
keys of a group lie on one node, so that a script may use them together.
"""

from typing import NamedTuple


class Keys(NamedTuple):
    """group: of the engine. Streams, but for `fence` (a hash), `waiting` (a number) and `alive` (a
    text that expires).

    commands: requests on their way to the engine, some in an entry, which is deleted once all are
    answered. waiting: how many requests are in it. turns: what each turn of the engine told, under
    the turn's journal sequence. asks: questions. dead: requests that were set aside. fence: which
    engine may read and tell. alive: how far the engine is, and how it goes; gone once it is.
    """

    group: str

    @property
    def commands(self) -> str:
        return f"cmd:{{{self.group}}}"

    @property
    def waiting(self) -> str:
        return f"wait:{{{self.group}}}"

    @property
    def turns(self) -> str:
        return f"evt:{{{self.group}}}"

    @property
    def asks(self) -> str:
        return f"ask:{{{self.group}}}"

    @property
    def dead(self) -> str:
        return f"dead:{{{self.group}}}"

    @property
    def fence(self) -> str:
        return f"fence:{{{self.group}}}"

    @property
    def alive(self) -> str:
        return f"alive:{{{self.group}}}"

    def once(self, name: str) -> str:
        """A name that is taken once, by whichever front door; it expires."""
        return f"once:{{{self.group}}}:{name}"

    @property
    def taken(self) -> str:
        """The name of what is remembered of names that are taken once, since when, and the run of
        the server that remembers it."""
        return f"taken:{{{self.group}}}"

    @property
    def counts(self) -> str:
        """A text that names the counts of front doors: another one, once they were lost."""
        return f"counts:{{{self.group}}}"

    @property
    def tried(self) -> str:
        """A hash: how often attempts failed, by a hash of whose."""
        return f"tried:{{{self.group}}}"

    @property
    def tried_last(self) -> str:
        """A sorted set of the same names, by the time of the last attempt."""
        return f"tried-last:{{{self.group}}}"

    def limit(self, cost: str, client: str) -> str:
        """What all front doors together have left of a client's allowance; it expires."""
        return f"limit:{{{self.group}}}:{cost}:{client}"

    @property
    def arms(self) -> str:
        """A hash: which front door has the socket that guards orders, by the arm's id."""
        return f"arms:{{{self.group}}}"

    def replies(self, client: str) -> str:
        """The stream of answers to one api or broadcast."""
        return f"reply:{{{self.group}}}:{client}"


def turn_id(seq: int) -> str:
    """The id of a turn's entry."""
    return f"{seq}-0"


def seq_of(entry_id: bytes) -> int:
    """The journal sequence in the id of a turn's entry."""
    return int(entry_id.partition(b"-")[0])


def place_of(entry_id: str) -> tuple[int, int]:
    """Where an entry stands in its stream."""
    millis, _, number = entry_id.partition("-")
    return int(millis), int(number)
