"""Snapshots: a start reads one, and then only the entries after it. Made in slices, between turns.

Owner: the dispatcher thread. A snapshot is a cache: if it cannot be written, the journal alone
does.
"""

import logging
from collections.abc import Callable, Iterable

from oms.desk.snapshot import Slices
from oms.errors import StoreBusyError, StoreFullError
from oms.stores import Snapshot, Store
from oms.turn.journal import Fold

log = logging.getLogger(__name__)

NONE = -1  # no snapshot is under way


class Snapshots:
    """Starts a snapshot when enough entries were written since the last, and finishes it.

    every: journal entries between two snapshots. One starts when nobody waits for an answer, and
    at twice as many entries in any case, and takes no more than as many again: so a start never
    folds more than three times as many.
    """

    def __init__(self, fold: Fold, store: Store, every: int) -> None:
        self._fold = fold
        self._store = store
        self._every = every
        self._slices: Slices | None = None
        self._parts_id = NONE
        self._number = self._at = 0
        self._litter = True  # parts of a snapshot that is not kept any more
        self.last_seq = 0  # of the latest snapshot

    @property
    def under_way(self) -> bool:
        """Is there more to do, as soon as there is time?"""
        return self._slices is not None

    def restart(self) -> None:
        """The desk was folded anew: what was under way is of another desk."""
        self._slices = None
        self.last_seq = self._fold.snapshot_seq

    def note(self, order_ids: Iterable[int]) -> None:
        """A turn was about these orders."""
        if self._slices is not None:
            self._slices.note(order_ids)

    def go_on(self, *, idle: bool) -> None:
        """After a turn: one slice, if one is due. idle: nobody waits for an answer."""
        slices = self._slices
        behind = self._fold.last_seq - self.last_seq
        if slices is None:
            if behind >= 2 * self._every or (idle and behind >= self._every):
                self._start()
            elif idle and self._litter:
                self._litter = self._try(self._drop)
            return
        # So many parts that a round ends within a quarter of `every`, whatever the turns do.
        entries, self._at = self._fold.last_seq - self._at, self._fold.last_seq
        for _ in range(max(1, -(-4 * slices.parts * entries // self._every))):
            if self._slices is None:
                return
            if not self._try(lambda: self._slice(slices)):
                self._slices, self._litter = None, True
                self.last_seq = self._fold.last_seq  # try again after as many entries

    def take(self) -> None:
        """All of it at once: the order manager stops."""
        self._start()
        while self._slices is not None:
            self.go_on(idle=True)

    def _start(self) -> None:
        if not self._fold.venue.remote and self._fold.desk.engine is None:
            self.last_seq = self._fold.last_seq
            return  # somebody's own exchange: only a replay can fill its books again
        self._slices = Slices(self._fold.desk)
        self._parts_id, self._number = self._fold.last_seq, 0
        self._at = self._fold.last_seq

    def _slice(self, slices: Slices) -> bool:
        part, fold = slices.next_part(), self._fold
        if part:
            self._number += 1
            self._store.save_part(self._parts_id, self._number, part)
            return True
        last = slices.last(fold.last_seq)
        self._store.save_snapshot(Snapshot(fold.last_seq, fold.checksum, last, self._parts_id))
        self._slices, self._litter, self.last_seq = None, True, fold.last_seq
        return True

    def _drop(self) -> bool:
        return self._store.drop_parts(self._parts_id if self._slices is not None else NONE)

    @staticmethod
    def _try(step: Callable[[], bool]) -> bool:
        try:
            return step()
        except (StoreFullError, StoreBusyError) as error:
            log.warning("no snapshot: %s", error)
            return False
