"""Waiting: what was asked of an engine and has no answer yet; what is said where none comes.

Flow:  Link -> [waiting] -> Sending, which sends it again; Receiving, which settles its future
"""

from concurrent.futures import Future
from typing import Any, NamedTuple

from oms.errors import OutcomeUnknownError, TransportError

STOPS = "this process stops"
WAITING_MAX = 20_000  # requests and questions without an answer


class Waiting(NamedTuple):
    """What has no answer yet. method: of a question, "" of a request; line: of a request. soon: its
    outcome is unknown once the engine is silent, and not only after a while."""

    future: "Future[Any]"
    since_ns: int
    method: str
    content: bytes
    line: tuple[Any, ...]
    sent_ns: int  # wall clock
    soon: bool


def unknown(each: Waiting, why: str) -> Exception:
    """What is said of that which was sent and has no answer."""
    if each.method:
        return TransportError(f"the engine did not answer: {why}")
    return OutcomeUnknownError(f"the engine has not answered: {why}")


def not_sent(group: str, why: str) -> Exception:
    """What is said of that which no engine has heard, or will hear, of."""
    return TransportError(f"group {group} is out of reach: {why}")


def other_journal(group: str, ends: int, seq: int) -> str:
    """What is said where a group's engine goes on behind what was followed here."""
    return (
        f"group {group}: its engine goes on behind journal sequence {ends}, and turn {seq} was "
        "followed here: its journal is an older copy or another one; this process has to start anew"
    )


def sent_before() -> Exception:
    """What is said of a request that is refused as if there were nothing of it, though an earlier
    copy of it may be recorded, or may still be."""
    return OutcomeUnknownError("it is refused now, and was perhaps sent before")
