"""OpenAPI: what every route reads and answers, from the entries and the types that read it.

/openapi.json is the document (3.1, whose schemas are JSON Schema); pages.py shows it to people.
"""

import re
from collections.abc import Iterable

import msgspec

from oms.gateways.web.errors import NUMBERS
from oms.gateways.web.front import Entry, Right
from oms.gateways.web.told import Told
from oms.reject_reasons import RejectReason
from oms.version import VERSION

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
    401: "not signed in", 403: "not allowed", 404: "no such order, symbol or path",
    405: "the path has other methods", 408: "too slow", 409: "the id, or the order, is further",
    413: "too large", 415: "not this kind of body", 422: "recorded and rejected",
    429: "too often", 503: "not taken now", 504: "the outcome is unknown: ask by clientOrderId",
}  # fmt: skip


def document(entries: Iterable[Entry]) -> Told:
    """The whole description."""
    listed = list(entries)
    kinds = {kind for each in listed for kind in (each.body, each.query) if kind is not None}
    _, schemas = msgspec.json.schema_components(
        sorted(kinds, key=lambda kind: kind.__name__), ref_template=REF
    )
    paths: Told = {}
    for each in listed:
        paths.setdefault(each.path, {})[each.method.lower()] = operation(each, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Order management", "version": VERSION,
                 "description": "Prices, quantities, ids and nanoseconds are text."},
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Error": ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }  # fmt: skip


def operation(entry: Entry, schemas: Told) -> Told:
    told: Told = {
        "summary": entry.brief,
        "operationId": re.sub(r"\W+", "_", f"{entry.method.lower()}{entry.path}").strip("_"),
        "tags": [entry.path.split("/")[1] or "root"],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", entry.path)
        ],
        "responses": {
            str(status): {
                "description": text,
                "content": {"application/json": {"schema": {} if status < 300 else
                                                 {"$ref": REF.format(name="Error")}}},
            }
            for status, text in STATUSES.items()
        },
    }  # fmt: skip
    if entry.right is not Right.PUBLIC:
        told["security"] = [{"bearer": []}]
    if entry.query is not None:
        schema = schemas[entry.query.__name__]
        told["parameters"] += [
            {"name": name, "in": "query", "required": name in schema.get("required", ()),
             "schema": about}
            for name, about in schema["properties"].items()
        ]  # fmt: skip
    if entry.body is not None:
        told["requestBody"] = {
            "required": entry.query is not entry.body,
            "content": {"application/json": {"schema": {"$ref": REF.format(
                name=entry.body.__name__)}}},
        }  # fmt: skip
    return told
