"""Filler's word: what db-filler last said of itself, for whoever watches the journal's daemon.

Flow:  db-filler -> [file in the data directory] -> status of the daemon -> /ready, /metrics
How far behind it is, is reckoned by who reads: from where the filler stands and where the journal
is now. So the lag is seen, and grows, also where the filler has died or hangs.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from oms.clock import NANOS
from oms.stores.private import private_file

NAME = "db-filler.json"


class Word(NamedTuple):
    """seq: the last entry in Postgres. waits_ns: stamp of the turn behind it, 0 if there was none.
    told_ns: wall clock, when it was said; after good_ns more the filler is silent. postgres,
    journal: of both circuits, see Circuit.state; why: one of them is not ok. rows: how long turns
    took from their stamp until they were in Postgres, as OrderManagement.latency_rows.
    """

    seq: int
    waits_ns: int
    told_ns: int
    good_ns: int
    postgres: str
    journal: str
    why: str
    rows: list[tuple[int, int, int]]


def write(directory: Path, word: Word, group: str) -> None:
    """Written aside, then renamed, so it is always whole; as private as the database is. group: see
    private_file. Raises OSError."""
    path = directory / NAME
    beside = path.with_suffix(".tmp")
    private_file(beside, group)
    beside.write_text(json.dumps(word._asdict()), encoding="utf-8")
    beside.replace(path)


def read(directory: Path, journal_seq: int, wall_ns: int) -> dict[str, Any] | None:
    """How the projection is, where the journal ends with `journal_seq`; None if no db-filler was
    ever started here.

    state: ok; failing or open, of its way to Postgres; journal, if it cannot read that; silent, if
    it has died, hangs or was stopped. lag_s: how long the first entry that is not in Postgres has
    waited.
    """
    path = directory / NAME
    try:
        word = Word(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        return {"state": "silent", "why": f"{path}: not readable: {error}", "seq": 0,
                "lag_entries": journal_seq, "lag_s": 0.0, "rows": []}  # fmt: skip
    silent = wall_ns - word.told_ns > word.good_ns
    state = "silent" if silent else word.postgres
    if state == "ok" and word.journal != "ok":
        state = "journal"
    behind = max(0, journal_seq - word.seq)
    # What came since its word was not there then.
    lag_ns = max(0, wall_ns - (word.waits_ns or word.told_ns)) if behind else 0
    return {
        "state": state, "why": "nothing was heard of it" if silent else word.why, "seq": word.seq,
        "lag_entries": behind, "lag_s": round(lag_ns / NANOS, 3), "rows": word.rows,
    }  # fmt: skip
