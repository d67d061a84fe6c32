"""Memory that a flood of requests took, given back to the system.

What is freed stays with the C library's allocator, in case it is wanted again: of a full inbox
80 MB, mostly the locks of its futures. Where the C library is glibc it can be told to let go.
"""

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Takes some milliseconds. Does nothing where the C library has no such call."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
