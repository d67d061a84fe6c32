"""AsyncAPI: what crosses a WebSocket, from the tables and types that the sockets use themselves.

/asyncapi.json is the document (AsyncAPI 3.0, whose schemas are JSON Schema). What the server
receives is an operation for each op of sockets.OPS, with what it is answered by; what it sends
besides an operation for each channel, and the welcome. The schemas are those of /ws-schema.json
and, for orders, of REST.
"""

import inspect
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from oms.gateways.web.door import Right
from oms.gateways.web.front import Entry
from oms.gateways.web.messages import SAID, TOLD, closed
from oms.gateways.web.openapi import KEY_HEADERS, take_numbers
from oms.gateways.web.sockets import OPS, ORDER_OPS
from oms.gateways.web.streams import OF_ACCOUNT
from oms.gateways.web.told import Told
from oms.version import VERSION

ABOUT = """\
Messages are JSON objects in text frames. Each message of a client has an `op`, and an `id` if it is
to be found in its answer. Without a token, a ticket or a signed request a socket has the public
channels. A message that is not done is answered by Refused."""
REF = "#/components/schemas/{name}"
SOCKET = "#/channels/socket"
WELCOME = "welcome"


def document(entries: Iterable[Entry]) -> Told:
    """The whole description. entries: those of REST, which order ops are done by."""
    routes = {(each.method, each.path): each for each in entries}
    orders = {op: routes[route] for op, route in ORDER_OPS.items()}
    shapes = [each.body or each.query for each in orders.values()]
    answers = [each.answer.shape for each in orders.values()]
    shown, components = msgspec.json.schema_components(
        [*SAID, *TOLD, *shapes, *answers], ref_template=REF
    )
    take_numbers(components)
    closed(components)
    bodies, results = shown[-2 * len(orders) : -len(orders)], shown[-len(orders) :]
    messages = {kind.__name__: _message(kind) for kind in (*SAID, *TOLD)}
    for op, params, result in zip(orders, bodies, results, strict=True):
        messages[op] = _order(OPS[op], op, params)
        messages[f"{op}.answer"] = _done(op, result)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Order management", "version": VERSION, "description": ABOUT},
        "defaultContentType": "application/json",
        "servers": {
            scheme: {
                "host": "{host}", "protocol": scheme, "description": about,
                "variables": {"host": {"default": "127.0.0.1:3000"}},
            }
            for scheme, about in (("ws", "plain"), ("wss", "over TLS"))
        },
        "channels": {
            "socket": {
                "address": "/ws", "title": "one WebSocket",
                "messages": {_key(name): _ref("messages", name) for name in messages},
                "bindings": {"ws": {"method": "GET", "query": QUERY}},
            }
        },
        "operations": {
            **{_key(op): _received(op, orders.get(op)) for op in OPS},
            **{_key(name): _sent(name, kinds) for name, kinds in sent_by_channel().items()},
        },
        "components": {
            "schemas": components,
            "messages": {_key(name): each for name, each in messages.items()},
            "correlationIds": {"id": {"location": "$message.payload#/id"}},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                **{
                    name: {"type": "httpApiKey", "in": "header", "name": name}
                    for name in KEY_HEADERS
                },
            },
        },
    }  # fmt: skip


QUERY = {
    "type": "object",
    "properties": {
        "ticket": {"type": "string", "description": "of POST /ticket, good for one socket"},
        "user_id": {"type": "string", "description": "told back in the welcome; gives no right"},
    },
}  # fmt: skip


# --- operations ---


def _received(op: str, entry: Entry | None) -> Told:
    """What a client may ask, and what it is answered by."""
    kind = OPS[op]
    said, answered = (kind.__name__, answers_to(op)) if entry is None else (op, _of_order(op))
    told: Told = {
        "action": "receive", "channel": {"$ref": SOCKET}, "title": op,
        "summary": entry.brief if entry is not None else _about(kind),
        "messages": [_in_socket(said)],
        "reply": {"channel": {"$ref": SOCKET}, "messages": [_in_socket(each) for each in answered]},
    }  # fmt: skip
    if entry is not None and entry.right is not Right.PUBLIC:
        told["security"] = SECURITY
    return told


def _of_order(op: str) -> list[str]:
    """An answer with the result of this op, or a refusal."""
    return [f"{op}.answer", *(name for name in answers_to(op) if name != "Answer")]


def answers_to(op: str) -> list[str]:
    """The kinds that may answer an op, by the type of their own `op`: those that name it, else
    those that may have any; and refusals, which may have none."""
    hints = {kind.__name__: get_type_hints(kind).get("op") for kind in TOLD}
    named = [name for name, hint in hints.items() if op in _words(hint)]
    return (named or [n for n, hint in hints.items() if hint is str]) + [
        name for name, hint in hints.items() if hint == str | None
    ]


def sent_by_channel() -> dict[str, list[type]]:
    """What the server sends unasked: the kinds of each channel, by the type of their `channel`; the
    welcome; and the end of a subscription, which may be of any."""
    found: dict[str, list[type]] = {}
    for kind in TOLD:
        hints = get_type_hints(kind)
        for channel in _words(hints.get("channel")):
            found.setdefault(channel, []).append(kind)
        if WELCOME in _words(hints.get("op")):
            found.setdefault(WELCOME, []).append(kind)
        if "op" not in hints and hints.get("channel") is str:
            found.setdefault("ended", []).append(kind)
    return found


def _sent(name: str, kinds: list[type]) -> Told:
    told: Told = {
        "action": "send", "channel": {"$ref": SOCKET}, "title": name,
        "summary": _about(kinds[0]), "messages": [_in_socket(each.__name__) for each in kinds],
    }  # fmt: skip
    if name in OF_ACCOUNT:
        told["security"] = SECURITY
    return told


SECURITY = [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("bearer", KEY_HEADERS[0])]


# --- messages ---


def _message(kind: type) -> Told:
    told: Told = {
        "name": kind.__name__, "title": kind.__name__, "summary": _about(kind),
        "payload": {"$ref": REF.format(name=kind.__name__)},
    }  # fmt: skip
    if "id" in get_type_hints(kind):
        told["correlationId"] = {"$ref": "#/components/correlationIds/id"}
    return told


def _order(kind: type, op: str, params: Told) -> Told:
    """One op of orders: `params` are what the body or query of its route is."""
    of_op = {"properties": {"op": {"const": op}, "params": params}}
    payload = {"allOf": [{"$ref": REF.format(name=kind.__name__)}, of_op]}
    return {**_message(kind), "name": op, "title": op, "payload": payload}


def _done(op: str, result: Told) -> Told:
    """The answer to it: `result` is what its route answers."""
    answer = next(kind for kind in TOLD if kind.__name__ == "Answer")
    of_op = {
        "required": ["status", "result"],
        "properties": {"op": {"const": op}, "result": result},
    }
    payload = {"allOf": [{"$ref": REF.format(name="Answer")}, of_op]}
    return {**_message(answer), "name": f"{op}.answer", "title": f"{op}.answer", "payload": payload}


# --- names ---


def _words(hint: Any) -> tuple[str, ...]:
    """Those of a Literal."""
    return get_args(hint) if get_origin(hint) is Literal else ()


def _about(kind: type) -> str:
    return (inspect.getdoc(kind) or kind.__name__).partition("\n\n")[0].replace("\n", " ")


def _key(name: str) -> str:
    """As AsyncAPI lets a key be."""
    return name.replace(".", "_")


def _ref(part: str, name: str) -> Told:
    return {"$ref": f"#/components/{part}/{_key(name)}"}


def _in_socket(name: str) -> Told:
    return {"$ref": f"{SOCKET}/messages/{_key(name)}"}
