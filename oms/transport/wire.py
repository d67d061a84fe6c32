"""Wire: what stands in an entry of a stream, as JSON.

Requests are those of the public family by their one codec, reports and events those of the journal
and the publisher: nothing has a second shape here. An entry has the fields `v`, the version of its
content, and `e`, the content. Programs of one version read entries of that and the one before.
Version 1 of an entry of requests had one alone, without the list; all other entries are the same.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from oms.errors import ValidationError
from oms.instruments import Instrument
from oms.market_data import (
    BalanceChange,
    DepthUpdate,
    IndicativePrice,
    MarketEvent,
    MarketState,
    TopOfBook,
    TradeBust,
    TradeCorrection,
    TradePrint,
)
from oms.reports import Report
from oms.requests import OrderRequest, Request
from oms.requests.codec import of_object, to_object
from oms.transport import orders
from oms.transport.orders import PlainOrder
from oms.users import User

T = TypeVar("T")

VERSIONS = (b"1", b"2")  # of entries, which this program reads
COMMANDS_VERSION = "2"  # of an entry of requests, as this program writes it; of all others 1
ENTRY_MAX = 20  # requests in one entry
EVENTS: dict[str, type] = {
    each.__name__: each
    for each in (
        MarketState, TradePrint, TradeBust, TradeCorrection, DepthUpdate, TopOfBook,
        IndicativePrice, BalanceChange,
    )
}  # fmt: skip


class SentRequest(msgspec.Struct, Generic[T], array_like=True, gc=False):
    """A request on its way. sent_ns: wall clock. request: as the codec has it; a plain order, or
    any other one as JSON."""

    number: int
    sent_ns: int
    request: T


class CommandEntry(msgspec.Struct, Generic[T], array_like=True, gc=False):
    """Requests of one api, in their order. client: whose stream of replies gets the answers, under
    the requests' numbers."""

    client: str
    requests: Annotated[list[SentRequest[T]], msgspec.Meta(min_length=1)]


AnyEntry = CommandEntry[PlainOrder] | CommandEntry[msgspec.Raw]
AnySentRequest = SentRequest[PlainOrder] | SentRequest[msgspec.Raw]


class ErrorTold(msgspec.Struct, array_like=True):
    """An error: the name of its class, its text; of a ValidationError what was expected, the field
    and its value."""

    kind: str
    text: str
    field: str = ""
    value: str | int | float | bool | None = None


class Reply(msgspec.Struct, Generic[T], array_like=True, gc=False):
    """The answer to a command or a question; an entry is a list of them.

    seq: the turn that made it durable, 0: none.
    content: of an answer, nothing where there is an error instead; who reads it knows by the number
    what it is. read_ns, answered_ns: wall clock, when the engine had read the request, and when it
    had its answer."""

    number: int
    seq: int
    content: T
    error: ErrorTold | None = None
    read_ns: int = 0
    answered_ns: int = 0


class Question(msgspec.Struct, array_like=True):
    """A call of the order manager that only looks. given: its arguments; named: those by name."""

    client: str
    number: int
    method: str
    given: list[Any]
    named: dict[str, Any]


class Answered(msgspec.Struct, array_like=True, gc=False):
    """An OrderResponse: its reports, the last of which it is; alone: it is no answer to a request,
    and `reports` would be empty. hops, told: see OrderResponse."""

    reports: Sequence[Report]
    alone: bool
    hops: tuple[str, int, int, int, int, int] | None = None
    told: tuple[int, int] = (0, 0)


class TurnEntry(msgspec.Struct, array_like=True):
    """What one turn told. after: the sequence of the turn before. whole: False where it was made
    from the journal after a restart: then depth and balances are not in it. engine: its journal
    and number, as in the fence, and when it started; None: made from the journal, or told by an
    older program.

    reports: list[Report]; events: pairs of class and event; users: those that changed; instruments:
    what is traded from now on, if that changed; published_ns: wall clock, 0 where it is not whole.
    What stands behind `users` an older program leaves out."""

    seq: int
    after: int
    wall_ns: int
    whole: bool
    reports: msgspec.Raw
    events: list[tuple[str, msgspec.Raw]]
    users: list[User]
    instruments: list[Instrument] | None = None
    published_ns: int = 0
    engine: tuple[str, int, int] | None = None


NOTHING = msgspec.Raw(b"null")
encode = msgspec.json.Encoder().encode
decode_turn = msgspec.json.Decoder(TurnEntry).decode
decode_reports = msgspec.json.Decoder(list[Report]).decode
decode_replies = msgspec.json.Decoder(list[Reply[msgspec.Raw]]).decode
decode_answered = msgspec.json.Decoder(Answered).decode
_decode_plain = msgspec.json.Decoder(CommandEntry[PlainOrder]).decode
_decode_plain_order = msgspec.json.Decoder(PlainOrder).decode
_decode_commands = msgspec.json.Decoder(CommandEntry[msgspec.Raw]).decode
_decode_one = msgspec.json.Decoder(tuple[str, int, int, msgspec.Raw]).decode  # of version 1
_decode_any = msgspec.json.Decoder().decode
_decode_question = msgspec.json.Decoder(Question).decode
_event_decoders: dict[str, Callable[[bytes | msgspec.Raw], MarketEvent]] = {
    name: msgspec.json.Decoder(kind).decode for name, kind in EVENTS.items()
}


def asked(number: int, sent_ns: int, request: Request) -> bytes:
    """A request, to be put into an entry with others."""
    if type(request) is OrderRequest and request.terms is None:
        return encode(SentRequest(number, sent_ns, orders.plain_of(request)))
    return encode(SentRequest(number, sent_ns, to_object(request)))


def commands(client: str, requests: Sequence[bytes]) -> bytes:
    """The content of an entry: up to ENTRY_MAX requests, each as `asked` has it."""
    return b"[%s,[%s]]" % (encode(client), b",".join(requests))


def read_commands(version: bytes, content: bytes) -> AnyEntry:
    """Raises ValidationError where it is of another version, or not readable."""
    _check_version(version)
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        return _decode_plain(content)  # by far the most are
    try:
        if version == b"1":
            client, number, sent_ns, request = _decode_one(content)
            return CommandEntry(client, [SentRequest(number, sent_ns, request)])
        return _decode_commands(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValidationError("entry", content[:40], f"requests: {error}") from None


def request_of(given: PlainOrder | msgspec.Raw) -> Request:
    """The request itself. Raises ValidationError, naming the field."""
    if type(given) is PlainOrder:
        return orders.request_of(given)
    assert isinstance(given, msgspec.Raw)
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        return orders.request_of(_decode_plain_order(given))
    try:
        request: Request = of_object(_decode_any(given))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValidationError("request", bytes(given)[:40], f"JSON: {error}") from None
    return request


def read_turn(version: bytes, content: bytes) -> TurnEntry:
    """Raises as `read_replies`; so do those who look at its reports and events."""
    _check_version(version)
    return decode_turn(content)


def read_replies(version: bytes, content: bytes) -> list[Reply[msgspec.Raw]]:
    """Raises ValidationError where it is of another version, MsgspecError where not readable."""
    _check_version(version)
    return decode_replies(content)


def read_question(version: bytes, content: bytes) -> Question:
    """Raises ValidationError as `read_command`."""
    _check_version(version)
    try:
        return _decode_question(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValidationError("entry", content[:40], f"a question: {error}") from None


def _check_version(version: bytes) -> None:
    if version not in VERSIONS:
        known = ", ".join(each.decode() for each in VERSIONS)
        raise ValidationError("v", version.decode("ascii", "replace")[:20], f"one of {known}")


def events_told(events: list[MarketEvent]) -> list[tuple[str, msgspec.Raw]]:
    return [(type(each).__name__, msgspec.Raw(encode(each))) for each in events]


def events_of(entry: TurnEntry) -> list[MarketEvent]:
    """Of classes that this program knows: a later one may tell more."""
    known = _event_decoders
    return [known[name](content) for name, content in entry.events if name in known]
