"""Replies: the answer to one request as status, headers and bytes; the same headers on every one.

Flow:  a route's function, an error -> Reply -> [replies] -> lines, frames -> client
"""

import msgspec
from starlette.types import Send

from oms.gateways.web.errors import Reply

Headers = list[tuple[bytes, bytes]]
ID_HEADER = b"x-request-id"
# Nothing of these pages comes from elsewhere, none runs code that stands in the page itself, and
# no page of another site may show them in a frame.
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
    b"frame-ancestors 'none'"
)
SECURITY_HEADERS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", POLICY),
]
encode = msgspec.json.Encoder().encode


def told_bytes(reply: Reply) -> bytes:
    told = reply.told
    return told if isinstance(told, bytes) else b"" if told is None else encode(told)


def reply_headers(reply: Reply, request_id: str, size: int) -> Headers:
    """size: of the body. A header of the reply's own goes before the one that all have."""
    own = reply.headers
    general = SECURITY_HEADERS
    if not GENERAL.isdisjoint(own):
        general = [each for each in general if each[0].decode() not in own]
    headers = [
        (b"content-type", reply.content_type.encode()),
        (b"content-length", b"%d" % size),
        (ID_HEADER, request_id.encode()),
        *general,
    ]
    for name, value in own.items():
        headers.append((name.encode(), value.encode("latin-1")))
    return headers


GENERAL = frozenset(name.decode() for name, _ in SECURITY_HEADERS)


async def send_reply(send: Send, reply: Reply, request_id: str) -> None:
    body = told_bytes(reply)
    headers = reply_headers(reply, request_id, len(body))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse_socket(send: Send, reply: Reply, request_id: str) -> None:
    """The same, to a WebSocket that is not opened."""
    body = told_bytes(reply)
    headers = reply_headers(reply, request_id, len(body))
    await send({
        "type": "websocket.http.response.start", "status": reply.status, "headers": headers,
    })  # fmt: skip
    await send({"type": "websocket.http.response.body", "body": body})
