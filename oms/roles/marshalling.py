"""Marshalling: how an api's question crosses to an engine, and its answer back.

Flow:  RemoteOrders -> Question -> [marshalling] -> OrderManagement -> Reply -> RemoteOrders
What may be asked, and in which type it is answered, says oms/questions.py; an answer crosses as
JSON and is the same type at the other end.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from oms.enums import Phase, Side
from oms.errors import (
    GatewayError,
    JournalError,
    OMSError,
    StoppedError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    ValidationError,
)
from oms.instruments import Instrument
from oms.manager import OrderManagement
from oms.market_data import DepthSnapshot, TradeBust, TradeCorrection, TradePrint
from oms.questions import Questions
from oms.requests.codec import of_object
from oms.responses import OrderResponse
from oms.transport.wire import Answered, ErrorTold, Question
from oms.users import User

USERS_PAGE = 1_000
# What front doors ask of their own accord, to follow what the engine tells; it has a thread there.
OF_DOORS = ("order_details", "turns_after", "users", "view")
DRY_RUN = "dry_run"


class TradeTold(msgspec.Struct, array_like=True):
    """A print, bust or correction, of which all but the class is alike."""

    kind: str
    fields: list[Any]


class View(NamedTuple):
    """What an api needs to know of a group to follow its turns: as of the turn `seq`."""

    seq: int
    started_ns: int
    instruments: list[Instrument]
    known: list[Instrument]
    phases: dict[str, Phase]
    books: list[DepthSnapshot]
    trades: dict[str, list[TradePrint]]


TRADES = {each.__name__: each for each in (TradePrint, TradeBust, TradeCorrection)}
OF_ENGINES: Mapping[str, Any] = {  # what only an api asks, and what crosses in a form of its own
    "accounts_open": list[str],
    "view": View,
    "users": list[User],
    "turns_after": list[msgspec.Raw],
    "trades_after": list[TradeTold] | None,
}


def is_of_client(method: str) -> bool:
    """No request, and nothing that a front door asks to follow."""
    return method != "" and method not in OF_DOORS


def answers_in(name: str) -> Any:
    """The type of a question's answer, also where that is in a Future."""
    told = get_type_hints(getattr(Questions, name))["return"]
    return get_args(told)[0] if get_origin(told) is Future else told


METHODS: Mapping[str, Any] = {
    **{name: answers_in(name) for name in sorted(Questions.__abstractmethods__)},
    **OF_ENGINES,
}
ERRORS: dict[str, type[OMSError]] = {
    each.__name__: each
    for each in (
        StoppedError, StoreError, StoreBusyError, StoreFullError, JournalError, GatewayError,
    )
}  # fmt: skip
WORDS: dict[str, Callable[[Any], Any]] = {"side": lambda text: text and Side(text)}


# --- the engine's end ---


def asked(oms: OrderManagement, question: Question, own: Mapping[str, Callable[..., Any]]) -> Any:
    """What the order manager answers: a value, or a Future of one. own: methods of the table that
    are the engine's. Raises ValidationError for what may not be asked, and what the method raises.
    """
    if question.method not in METHODS:
        raise ValidationError("method", question.method, "one of " + ", ".join(METHODS))
    named = {
        name: WORDS[name](value) if name in WORDS else value
        for name, value in question.named.items()
    }
    given = question.given
    if question.method == DRY_RUN:
        given = [of_object(each) for each in given]
    method = own.get(question.method) or getattr(oms, question.method)
    try:
        return method(*given, **named)
    except TypeError as error:
        raise ValidationError("given", question.given, f"arguments of {question.method}") from error


def told(value: Any) -> bytes:
    """An answer as it crosses."""
    return msgspec.json.encode(value, enc_hook=_enc_hook)


def error_told(error: BaseException) -> ErrorTold:
    """An error as it crosses."""
    if isinstance(error, ValidationError):
        value = error.value
        if not isinstance(value, str | int | float | bool | None):
            value = repr(value)
        return ErrorTold("ValidationError", error.expected, error.field, value)
    name = type(error).__name__
    return ErrorTold(name if name in ERRORS else "StoreError", str(error) or repr(error))


def answered_told(response: OrderResponse) -> Answered:
    """A response of ours, with all that its OrderResponse was made of."""
    report, hops, told, at_once = response.made_of
    if not at_once:
        return Answered([report], True, hops, told)
    return Answered(at_once, False, hops, told)


def _enc_hook(value: Any) -> Any:
    if isinstance(value, OrderResponse):
        return answered_told(value)
    raise NotImplementedError(f"{type(value)} does not cross")


def trade_told(trade: TradePrint | TradeBust | TradeCorrection) -> TradeTold:
    return TradeTold(type(trade).__name__, list(trade))


# --- the other end ---


def answer_of(
    method: str, content: bytes, instrument_of: Callable[[str], Instrument | None]
) -> Any:
    """The value that an engine told. instrument_of: of a symbol."""

    def hook(kind: type, given: Any) -> Any:
        if kind is OrderResponse:
            return response_of(msgspec.convert(given, Answered), instrument_of)
        raise NotImplementedError(f"{kind} does not cross")

    value = msgspec.json.decode(content, type=METHODS[method], dec_hook=hook)
    if method == "trades_after" and value is not None:
        return [TRADES[each.kind](*each.fields) for each in value if each.kind in TRADES]
    return value


def response_of(
    found: Answered, instrument_of: Callable[[str], Instrument | None]
) -> OrderResponse:
    """The response as the engine had it."""
    last = found.reports[-1]
    at_once = () if found.alone else found.reports
    return OrderResponse(last, instrument_of(last.symbol), found.hops, found.told, at_once)


def error_of(error: ErrorTold) -> OMSError:
    """The error as the engine raised it."""
    if error.kind == "ValidationError":
        return ValidationError(error.field, error.value, error.text)
    return ERRORS.get(error.kind, StoreError)(error.text)


__all__ = [
    "METHODS", "TRADES", "View", "answer_of", "answered_told", "asked", "error_of", "error_told",
    "response_of", "told", "trade_told",
]  # fmt: skip
