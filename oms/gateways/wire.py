"""The control socket as both ends see it: where it is, and its bounds.

A line is one JSON object, in ASCII, with a line feed at its end. docs/operations.md describes
the protocol.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oms.errors import GatewayError

SOCKET_NAME = "control.sock"
ADDRESS_BYTES_MAX = 107 if sys.platform == "linux" else 103  # of a Unix socket's path
LINE_BYTES_MAX = 16_384  # of what a client sends, its line feed included
LINES_AHEAD_MAX = 100  # lines of one connection whose answers are not written yet
ANSWER_S_MAX = 30.0
PROC = Path("/proc/self/fd")

Told = dict[str, Any]
"""One line, as an object."""


def encode(told: Told) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode("ascii") + b"\n"


@contextmanager
def address_in(directory: Path) -> Iterator[str]:
    """A path of the socket that is short enough, for as long as the block lasts.

    A directory with a long name is reached through a descriptor of ours, where the system shows
    descriptors as files. Raises GatewayError where it does not.
    """
    path = directory / SOCKET_NAME
    size = len(os.fsencode(path))
    if size <= ADDRESS_BYTES_MAX:
        yield str(path)
        return
    if not PROC.is_dir():
        raise GatewayError(
            f"{path}: expected a path of at most {ADDRESS_BYTES_MAX} bytes for the control "
            f"socket, was {size}: name the directory by a short symbolic link, or set "
            "[control] enabled = no"
        )
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield str(PROC / str(descriptor) / SOCKET_NAME)
    finally:
        os.close(descriptor)
