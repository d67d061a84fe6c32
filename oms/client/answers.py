"""Answers: what the server says of a request, as the response that the library gives."""

from oms.answers import DryRun
from oms.client.credentials import LoginError, Reply, refusal_of
from oms.client.retry import error_of
from oms.client.said import Call
from oms.client.server import Server
from oms.client.told import GarbledError, Instruments, answer_of, reading, tried_of
from oms.errors import ServerError, UnansweredError
from oms.reject_reasons import REASONS, RejectReason
from oms.requests.codec import NEW
from oms.responses import OrderResponse, refused

# What the library answers by a refusal, and the server refuses before it is a request.
NOT_NUMBERS = {
    "price": RejectReason.PRICE_INVALID, "quantity": RejectReason.QUANTITY_INVALID,
}  # fmt: skip


def response_of(call: Call, reply: Reply, instruments: Instruments) -> OrderResponse:
    """Raises GarbledError; ServerError if it is none of the exchange's."""
    with reading(call.name):
        if reply.told.get("reports"):
            return answer_of(reply.told, instruments)
        if error_of(reply.told) is None:
            raise GarbledError(f"{call.name}: an answer without its reports")
    raise refusal_of(reply)


def tried(call: Call, reply: Reply, server: Server) -> DryRun:
    """What would become of the request of `call`. Raises GarbledError, ServerError."""
    with reading(call.name):
        error = error_of(reply.told)
        if error is None:
            symbol = call.line[3] if call.line[0] == NEW else ""
            return tried_of(reply.told, server.all_known(), server.known(symbol))
    refused_ = refused_by(call, refusal_of(reply), server.clock.wall_ns())
    if refused_ is None:
        raise refusal_of(reply)
    return DryRun(refused_.text)


def refused_by(call: Call, error: ServerError, wall_ns: int) -> OrderResponse | None:
    """The response that the library gives where the server refuses what is no request yet; None if
    the error is none of the exchange's."""
    reason, said = REASONS.get(error.code), str(error).partition(": ")[2]
    if reason is RejectReason.MALFORMED:
        reason, said = NOT_NUMBERS.get(error.field), str(error).partition(": ")[2]
    if reason is None or error.status in (401, 403):
        return None
    if isinstance(error, UnansweredError | LoginError):
        return None
    response = refused(call.line, reason, wall_ns)
    text_ = said if said.startswith(reason.value) else f"{reason.value}: {said}"
    report = response.report._replace(reason=text_)
    return OrderResponse(report, at_once=(report,))
