"""Errors: what cannot be done, as HTTP says it; every error is the same one object.

In:  an exception. Out: a Reply with `{"error": {code, number, message, field, requestId}}`, and
     beside it the `order`, where one was recorded, and the `reports`, where they were asked for.
"""

import logging
from collections.abc import Mapping
from contextlib import ContextDecorator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from oms.errors import (
    OMSError,
    OverrunError,
    StoppedError,
    StoreError,
    TransportError,
    ValidationError,
)
from oms.gateways.gate import Caller, Denied
from oms.gateways.web.fields import FIELDS, field_of, our_name, reason_told
from oms.gateways.web.told import Told, reports_told
from oms.reject_reasons import RejectReason
from oms.responses import OrderResponse

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1
REPLAYED = {"idempotency-replayed": "true"}
LATER = {"retry-after": str(RETRY_AFTER_S)}
NOT_NOW = (429, 503)  # nothing was done, and may be later
AWAY = (StoppedError, OverrunError, StoreError, TransportError)  # told as 503


@dataclass(slots=True)
class Reply:
    """The answer to one request."""

    told: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class HttpError(OMSError):
    """A request that is answered by an error of HTTP's own: no refusal of the exchange.

    who: the user that was refused, where only its raiser knows. access: it is a refusal to see or
    do what is not the caller's, though the status does not say so. logged: the log has its line.
    """

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
        reports: list[Told] | None = None,
        who: str = "",
        access: bool = False,
        logged: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.number, self.field = status, code, number, field
        self.who, self.logged = who, logged
        self.access = access or status in ACCESS or code == "TOO_MANY_REQUESTS"
        self.headers = dict(headers or {})
        self.order, self.reports = order, reports


ACCESS = (401, 403, 421)
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


def refusal(
    response: OrderResponse, order: Told | None = None, *, reports: bool = False, others: str = ""
) -> HttpError:
    """A refusal of the exchange as HTTP has it. reports: the client asked for them. others: see
    field_of."""
    reason = response.reason
    status = reason.http if reason is not None else 422
    headers = dict(LATER) if status in NOT_NOW else {}
    if response.repeated:
        headers |= REPLAYED
    return HttpError(
        status,
        reason.value if reason is not None else "REJECTED",
        reason_told(response.text),
        number=reason.api if reason is not None else 0,
        field=field_of(reason, response.text, others),
        headers=headers,
        order=order,
        reports=reports_told(response) if reports else None,
    )


def denied(found: Denied, *, logged: bool = True) -> HttpError:
    """A refusal of the gate: who is not let in, and is told no more than that. logged: the gate
    has done so."""
    headers = {"retry-after": str(found.retry_s)} if found.retry_s else {}
    reason = found.reason
    return HttpError(
        reason.http, reason.value, found.text, number=reason.api, headers=headers, logged=logged
    )


def refused(reason: RejectReason, text: str, field: str = "") -> HttpError:
    """What is another's, refused by the gateway itself in the exchange's words."""
    return HttpError(reason.http, reason.value, text, number=reason.api, field=field, access=True)


def log_refused(
    error: BaseException, what: str, address: str, caller: Caller | None, request_id: str
) -> None:
    """One line of the log for each refused access: what, from where, who, why; nothing for any
    other error, nor for what the log has."""
    if not isinstance(error, HttpError) or not error.access or error.logged:
        return
    error.logged = True
    who = error.who or (caller.user if caller is not None else "-")
    log.info(
        "refused %s for %s, user %s: %s: %s, request %s",
        what, address or "-", who, error.code, error, request_id,
    )  # fmt: skip


class OurFields(ContextDecorator):
    """Around a request of the library: what it refuses is told by the name that the field has
    here. names: of this route, where they are others."""

    def __init__(self, names: Mapping[str, str] = FIELDS) -> None:
        self._names = names

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ValidationError):
            value = error.value.value if isinstance(error.value, StrEnum) else error.value
            name = our_name(error.field, self._names)
            raise ValidationError(name, value, error.expected) from None
        if isinstance(error, HttpError):
            error.field = self._names.get(error.field, error.field)


OUR_FIELDS = OurFields()


def error_reply(error: BaseException, request_id: str) -> Reply:
    """Any error as the one object that errors are."""
    order, reports, headers, where = None, None, {}, ""
    if isinstance(error, HttpError):
        status, code, number, where = error.status, error.code, error.number, error.field
        message, headers = str(error), error.headers
        order, reports = error.order, error.reports
    elif isinstance(error, ValidationError):
        reason = RejectReason.MALFORMED
        status, code, number = reason.http, reason.value, reason.api
        where, message = error.field, str(error)
    elif isinstance(error, AWAY):
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
    if reports is not None:
        told["reports"] = reports
    return Reply(told, status, headers)
