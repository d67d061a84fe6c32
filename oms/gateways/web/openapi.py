"""OpenAPI: what every route reads and answers, from the entries and the types that read it.

/openapi.json is the document (3.1, whose schemas are JSON Schema); pages.py shows it to people.
"""

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from oms.gateways.web.door import Right
from oms.gateways.web.errors import NUMBERS
from oms.gateways.web.front import Entry
from oms.gateways.web.shapes import JSON
from oms.gateways.web.told import Told
from oms.gateways.web.words import NUMBER, WHOLE
from oms.reject_reasons import RejectReason
from oms.version import VERSION

ABOUT = """\
Prices, quantities and money are decimals as text; a JSON number is taken as it stands. Ids,
sequences and nanoseconds are text. Fields are in camelCase; snake_case is read, too. A field that
nobody knows, or that stands twice, is refused. Errors are one object, `error`."""
NUMERALS = {NUMBER: "number", WHOLE: "integer"}
REF = "#/components/schemas/{name}"
ERROR: Told = {
    "type": "object", "required": ["error"],
    "properties": {
        "error": {
            "type": "object", "required": ["code", "number", "message", "field", "requestId"],
            "properties": {
                "code": {"enum": [*(reason.value for reason in RejectReason), *NUMBERS]},
                "number": {"type": "integer"}, "message": {"type": "string"},
                "field": {"type": ["string", "null"]}, "requestId": {"type": "string"},
            },
        },
        "order": {"type": "object", "description": "the order that was recorded, of a 422"},
    },
}  # fmt: skip
STATUSES = {
    200: "done", 201: "accepted", 202: "it waits, or is on its way", 400: "malformed",
    401: "not signed in", 403: "not allowed, or asked by another site's page",
    404: "no such order, symbol, user or key", 408: "too slow",
    409: "the id was used for something else, or the order is further",
    413: "too large", 414: "path and query too long", 421: "not a name of this host",
    422: "recorded and rejected",
    429: "too often; see Retry-After", 503: "not now; see Retry-After",
    504: "the outcome is unknown: ask by clientOrderId, or send the same again",
}  # fmt: skip
# 401 also where nobody need be known: of a token that is bad.
EVERYWHERE = (400, 401, 403, 414, 421, 429)
OF_CALLERS = (404, 422, 503)  # whose account, order or key is it?
OF_WRITES = (404, 408, 409, 413, 422, 503, 504)
KEY_HEADERS = ("X-Api-Key", "X-Api-Time", "X-Api-Nonce", "X-Api-Signature")
HEADERS = {
    "RateLimit-Limit": "how many of these may be asked at once",
    "RateLimit-Remaining": "how many are left",
    "RateLimit-Reset": "seconds until there is one again",
}  # fmt: skip
RETRY_AFTER = {"Retry-After": "seconds after which the same may be asked again"}
REPLAYED = {"Idempotency-Replayed": "true: the request was known, nothing was done again"}


def document(entries: Iterable[Entry]) -> Told:
    """The whole description."""
    listed = list(entries)
    kinds = {kind for each in listed for kind in (each.body, each.query) if kind is not None}
    others = [shape for each in listed for shape in (*each.answer.shapes, each.sent) if shape]
    shapes = [*sorted(kinds, key=lambda kind: kind.__name__), *others]
    schemas, components = msgspec.json.schema_components(shapes, ref_template=REF)
    take_numbers(components)
    shown = dict(zip(map(id, others), schemas[len(kinds) :], strict=True))
    paths: Told = {}
    for each in listed:
        paths.setdefault(each.path, {})[each.method.lower()] = operation(each, components, shown)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Order management", "version": VERSION, "description": ABOUT},
        "servers": [{"url": "/", "description": "every path is also under /v1"}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                **{
                    name: {"type": "apiKey", "in": "header", "name": name} for name in KEY_HEADERS
                },
            },
        },
    }  # fmt: skip


def operation(entry: Entry, components: Told, shown: Mapping[int, Told]) -> Told:
    """One route: who may call it, what it reads, what it answers."""
    told: Told = {
        "summary": entry.brief,
        "description": inspect.getdoc(entry.handler) or entry.brief,
        "operationId": re.sub(r"\W+", "_", f"{entry.method.lower()}{entry.path}").strip("_"),
        "tags": [entry.path.split("/")[1] or "root"],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", entry.path)
        ],
        "responses": responses(entry, [shown[id(each)] for each in entry.answer.shapes]),
    }  # fmt: skip
    told["security"] = security(entry.right)
    if entry.query is not None:
        schema = components[entry.query.__name__]
        told["parameters"] += [
            {"name": name, "in": "query", "required": name in schema.get("required", ()),
             "schema": _of_query(about)}
            for name, about in schema["properties"].items()
        ]  # fmt: skip
    if entry.body is not None or entry.sent is not None:
        body = shown[id(entry.sent)] if entry.body is None else {"$ref": ref_of(entry.body)}
        told["requestBody"] = {
            "required": entry.query is not entry.body,
            "content": {JSON: {"schema": body}},
        }
    return told


def security(right: Right) -> list[dict[str, list[str]]]:
    """Nobody need be known; or a token, or a signed request; figures also go to this machine."""
    if right is Right.PUBLIC:
        return []
    known: list[dict[str, list[str]]] = [{"bearer": []}, {name: [] for name in KEY_HEADERS}]
    return [{}, *known] if right is Right.METRICS else known


def responses(entry: Entry, shapes: list[Told]) -> Told:
    """What each status means here."""
    answer, writes = entry.answer, entry.method != "GET"
    found = {*EVERYWHERE, *(OF_WRITES if writes else ())}
    if entry.right is not Right.PUBLIC or entry.query is not None:
        found |= set(OF_CALLERS)
    if "{" in entry.path:
        found.add(404)
    told: Told = {}
    for status in sorted({*found, *answer.statuses}):
        done = status in answer.statuses
        content = answer.content if done else JSON
        headers = dict(HEADERS) if status not in (400, 408, 413, 414, 421) else {}
        if done and writes:
            headers |= REPLAYED
        if status in (429, 503, 504):
            headers |= RETRY_AFTER
        told[str(status)] = {
            "description": STATUSES[status],
            "headers": {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in headers.items()
            },
            "content": {content: {"schema": _shape(shapes if done else [], status)}},
        }
    return told


def _shape(shapes: list[Told], status: int) -> Told:
    """An answer, an error, or either, where a status can be both."""
    either = shapes if shapes and status < 300 else [*shapes, {"$ref": REF.format(name="Error")}]
    return either[0] if len(either) == 1 else {"anyOf": either}


def take_numbers(schema: Any) -> None:
    """What is read as a number may also be sent as one: see words.Numeral."""
    if isinstance(schema, list):
        for each in schema:
            take_numbers(each)
    elif isinstance(schema, dict):
        if schema.get("pattern") in NUMERALS:
            schema["type"] = ["string", NUMERALS[schema["pattern"]]]
        for each in schema.values():
            take_numbers(each)


def _of_query(about: Told) -> Told:
    """A query has no null: what is not said is left out."""
    some = [each for each in about.get("anyOf", ()) if each.get("type") != "null"]
    return some[0] if len(some) == 1 else about


def ref_of(kind: type) -> str:
    return REF.format(name=kind.__name__)
