"""Errors: what cannot be done, as HTTP says it; every error is the same one object.

In:  an exception. Out: a Reply with `{"error": {code, number, message, field, requestId}}`, and
     beside it the `order`, where one was recorded.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from oms.errors import (
    OMSError,
    OverrunError,
    StoppedError,
    StoreError,
    TransportError,
    ValidationError,
)
from oms.gateways.gate import Denied
from oms.gateways.web.told import Told
from oms.reject_reasons import RejectReason
from oms.reports import OrderResponse

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1
REPLAYED = {"idempotency-replayed": "true"}
LATER = {"retry-after": str(RETRY_AFTER_S)}
# Fields of the library's requests that have another name here than in camelCase.
FIELDS = {"order_type": "type", "expire_ns": "expireTime", "order": "orderId"}


@dataclass(slots=True)
class Reply:
    """The answer to one request."""

    told: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class HttpError(OMSError):
    """A request that is answered by an error of HTTP's own: no refusal of the exchange."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        number: int = 0,
        field: str = "",
        headers: Mapping[str, str] | None = None,
        order: Told | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.number, self.field = status, code, number, field
        self.headers = dict(headers or {})
        self.order = order


# What HTTP says and the exchange does not: code -> number; those of refusals are below 8000.
NUMBERS = {
    "UNAUTHORIZED": 8001, "FORBIDDEN": 8002, "NOT_FOUND": 8003, "METHOD_NOT_ALLOWED": 8004,
    "TOO_LARGE": 8005, "TOO_SLOW": 8006, "TOO_MANY_REQUESTS": 8007, "UNSUPPORTED": 8008,
    "OUTCOME_UNKNOWN": 8009, "UNAVAILABLE": 8010, "INTERNAL": 8011,
}  # fmt: skip


def unknown(why: str) -> HttpError:
    """Only where nothing durable says what became of a request that was handed over."""
    text = f"the outcome is unknown ({why}): ask by clientOrderId, or send the same again"
    return http_error(504, "OUTCOME_UNKNOWN", text, headers=LATER)


def unavailable(why: str) -> HttpError:
    """A question that cannot be answered now."""
    return http_error(503, "UNAVAILABLE", why, headers=LATER)


def http_error(status: int, code: str, message: str, **more: Any) -> HttpError:
    return HttpError(status, code, message, number=NUMBERS[code], **more)


def refusal(response: OrderResponse, order: Told | None = None) -> HttpError:
    """A refusal of the exchange as HTTP has it."""
    reason = response.reason
    status = reason.http if reason is not None else 422
    headers = dict(LATER) if status in (429, 503) else {}
    if response.repeated:
        headers |= REPLAYED
    return HttpError(
        status,
        reason.value if reason is not None else "REJECTED",
        response.text,
        number=reason.api if reason is not None else 0,
        headers=headers,
        order=order,
    )


def denied(found: Denied) -> HttpError:
    """A refusal of the gate: who is not let in, and is told no more than that."""
    headers = {"retry-after": str(found.retry_s)} if found.retry_s else {}
    reason = found.reason
    return HttpError(reason.http, reason.value, found.text, number=reason.api, headers=headers)


def refused(reason: RejectReason, text: str, field: str = "") -> HttpError:
    """A refusal that the gateway itself gives, in the exchange's words."""
    return HttpError(reason.http, reason.value, text, number=reason.api, field=field)


@contextmanager
def our_fields() -> Iterator[None]:
    """Around the making of a request of the library: what it refuses is told by the name that the
    field has here."""
    try:
        yield
    except ValidationError as error:
        first, *rest = FIELDS.get(error.field, error.field).split("_")
        name = first + "".join(each.title() for each in rest)
        raise ValidationError(name, error.value, error.expected) from None


def error_reply(error: BaseException, request_id: str) -> Reply:
    """Any error as the one object that errors are."""
    order, headers, where = None, {}, ""
    if isinstance(error, HttpError):
        status, code, number, where = error.status, error.code, error.number, error.field
        message, headers, order = str(error), error.headers, error.order
    elif isinstance(error, ValidationError):
        reason = RejectReason.MALFORMED
        status, code, number = reason.http, reason.value, reason.api
        where, message = error.field, str(error)
    elif isinstance(error, StoppedError | OverrunError | StoreError | TransportError):
        status, code, number, message = 503, "UNAVAILABLE", NUMBERS["UNAVAILABLE"], str(error)
        headers = dict(LATER)
    else:
        log.error("request %s failed", request_id, exc_info=error)
        status, code, number = 500, "INTERNAL", NUMBERS["INTERNAL"]
        message = f"it failed; the daemon's log says why, under {request_id}"
    told: Told = {
        "error": {
            "code": code, "number": number, "message": message, "field": where or None,
            "requestId": request_id,
        }
    }  # fmt: skip
    if order is not None:
        told["order"] = order
    return Reply(told, status, headers)
