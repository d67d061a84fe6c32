"""What an error of SQLite means for the order that was being stored."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from oms.errors import (
    JournalError,
    OutcomeUnknownError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)

READ_ERRORS = (sqlite3.Error, UnicodeDecodeError)  # the second: an error's own text is damaged


def guarded(cursor: sqlite3.Cursor) -> Iterator[Any]:
    try:
        # `yield from` would also close the cursor, perhaps after the database.
        for found in cursor:  # noqa: UP028
            yield found
    except READ_ERRORS as error:
        raise translated(error, "reading") from error


def translated(error: Exception, doing: str) -> StoreError:
    """What an error of SQLite means for the order that was being stored."""
    code = getattr(error, "sqlite_errorcode", None)
    text = f"{doing}: {error}"
    if code is None:  # the module's own: a text that is none
        return JournalError(text) if "decode" in text else OutcomeUnknownError(text)
    primary = code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusyError(text)
    if primary == sqlite3.SQLITE_FULL:
        return StoreFullError(text)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return JournalError(text)
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreError(text)
    return OutcomeUnknownError(text)
