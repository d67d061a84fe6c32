"""OpenAPI: what every route reads and answers, from the entries and the types that read it.

/openapi.json is the document (3.1, whose schemas are JSON Schema), /docs a page that shows it
without asking anybody else.
"""

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from oms.gateways.web.errors import NUMBERS, Reply
from oms.gateways.web.front import Ask, Entry, Right
from oms.gateways.web.messages import schema
from oms.gateways.web.told import Told
from oms.reject_reasons import RejectReason
from oms.version import VERSION

HTML = "text/html; charset=utf-8"
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


def page(title: str, inner: str) -> bytes:
    """A page of ours: no script, no style of its own, nothing from elsewhere."""
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<link rel=stylesheet href=/static/plain.css><title>{escape(title)}</title></head>"
        f"<body><main>{inner}</main></body></html>"
    ).encode()


def docs_page(described: Told) -> bytes:
    """Every route with its fields, for people."""
    parts = ["<h1>Order management: the API</h1>",
             "<p>Also as <a href=/openapi.json>openapi.json</a>. Errors are one object, "
             "<code>error</code>, with <code>code</code>, <code>number</code>, "
             "<code>message</code>, <code>field</code>.</p>"]  # fmt: skip
    schemas = described["components"]["schemas"]
    for path, methods in described["paths"].items():
        for method, about in methods.items():
            lock = "" if "security" not in about else " <small>signed in</small>"
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code>{lock}</h2>")
            parts.append(f"<p>{escape(about['summary'])}</p>")
            fields: list[tuple[str, Any, bool]] = [
                (each["name"], each["schema"], each["required"]) for each in about["parameters"]
            ]
            content = about.get("requestBody", {}).get("content", {})
            if content:
                name = content["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
                schema = schemas[name]
                parts.append(f"<p>{escape(schema.get('description', ''))}</p>")
                required = schema.get("required", ())
                fields = [(n, a, n in required) for n, a in schema["properties"].items()]
            if fields:
                rows = "".join(
                    f"<tr><td><code>{escape(name)}</code></td><td>{escape(_kind(about, schemas))}"
                    f"</td><td>{'required' if needed else ''}</td></tr>"
                    for name, about, needed in fields
                )
                parts.append(f"<table><tbody>{rows}</tbody></table>")
    return page("API", "".join(parts))


def _kind(about: Told, schemas: Told) -> str:
    """A field's schema in a few words."""
    if "$ref" in about:
        return _kind(schemas[about["$ref"].rsplit("/", 1)[1]], schemas)
    if "anyOf" in about:
        return " or ".join(_kind(each, schemas) for each in about["anyOf"] if
                           each.get("type") != "null")  # fmt: skip
    if "enum" in about:
        return ", ".join(map(str, about["enum"]))
    if "pattern" in about:
        return "a number, as text" if "." in about["pattern"] else "a whole number, as text"
    return str(about.get("type", "anything"))


STYLE = Path(__file__).with_name("static") / "plain.css"


class Pages:
    """What is read by people, and by programs that make clients: no script, nothing from elsewhere.

    entries: all routes but these.
    """

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = [*entries, *self.entries()]
        self._document: Told = {}
        self._messages: Told = {}
        self._page = b""
        self._style = STYLE.read_bytes()

    async def openapi(self, _ask: Ask, _: None) -> Reply:
        self._document = self._document or document(self._entries)
        return Reply(self._document)

    async def messages(self, _ask: Ask, _: None) -> Reply:
        self._messages = self._messages or schema()
        return Reply(self._messages)

    async def docs(self, _ask: Ask, _: None) -> Reply:
        self._page = self._page or docs_page(document(self._entries))
        return Reply(self._page, content_type=HTML)

    async def home(self, ask: Ask, _: None) -> Reply:
        """What is here, how it stands, and how to begin."""
        host = ask.headers.get("host", "localhost")
        return Reply(home_page(ask, host), content_type=HTML)

    async def style(self, _ask: Ask, _: None) -> Reply:
        return Reply(self._style, content_type="text/css; charset=utf-8")

    def entries(self) -> list[Entry]:
        public = Right.PUBLIC
        return [
            Entry("GET", "/", self.home, public, "what is here"),
            Entry("GET", "/static/plain.css", self.style, public, "how the pages look"),
            Entry("GET", "/openapi.json", self.openapi, public, "this description"),
            Entry("GET", "/ws-schema.json", self.messages, public, "messages of a WebSocket"),
            Entry("GET", "/docs", self.docs, public, "the same, as a page"),
        ]


def home_page(ask: Ask, host: str) -> bytes:
    oms, session = ask.oms, ask.door.session_told()
    phases = oms.market_states()
    rows = ""
    for symbol in sorted(oms.instruments()):
        latest = oms.recent_trades(symbol)[-1:]
        last = format(latest[0].price, "f") if latest else "none yet"
        phase = phases[symbol].value if symbol in phases else ""
        rows += (
            f"<tr><td>{escape(symbol)}</td><td>{escape(phase)}</td>"
            f"<td class=number>{escape(last)}</td></tr>"
        )
    state = "open" if session["state"] == "open" else f"closed; opens {session['opens']}"
    sign_up = (
        "<h2>Begin</h2><pre>"
        + escape(
            f"curl http://{host}/signup -d "
            '\'{"username":"ann","email":"ann@example.com","password":"a long password"}\'\n'
            f"curl http://{host}/login -d "
            '\'{"username":"ann","password":"a long password"}\'\n'
            f'curl http://{host}/order -H "Authorization: Bearer TOKEN" \\\n'
            '  -d \'{"symbol":"SYMBOL","side":"BUY","price":"100","quantity":"1"}\''
        )
        + "</pre>"
    )
    return page(
        "Order management",
        f"<h1>Order management</h1><p>The exchange is {escape(state)}.</p>"
        "<table><thead><tr><th>market</th><th>phase</th><th class=number>last price</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>{sign_up}"
        "<h2>More</h2><p><a href=/docs>All that can be asked</a>, also as "
        "<a href=/openapi.json>openapi.json</a>. Events come over a WebSocket at "
        "<code>/ws</code>. <a href=/ready>Is it ready?</a></p>",
    )
