"""OpenAPI: what every route reads and answers, from the entries and the types that read it.

/openapi.json is the document (3.1, whose schemas are JSON Schema), /docs a page that shows it
without asking anybody else.
"""

import inspect
import re
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from oms.gateways.web.errors import NUMBERS, Reply
from oms.gateways.web.front import Ask, Entry, Right
from oms.gateways.web.shapes import HTML, JSON, Answer
from oms.gateways.web.told import Told
from oms.gateways.web.words import NUMBER, WHOLE
from oms.reject_reasons import RejectReason
from oms.version import VERSION

ABOUT = """\
Prices, quantities and money are decimals as text; a JSON number is taken as it stands. Ids,
sequences and nanoseconds are text. Fields are in camelCase; snake_case is read, too. A field that
nobody knows, or that stands twice, is refused. Errors are one object, `error`."""
NUMERALS = {NUMBER: "number", WHOLE: "integer"}
CSS = "text/css; charset=utf-8"
PAGE = Answer(str, content=HTML)
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
    413: "too large", 421: "not a name of this host", 422: "recorded and rejected",
    429: "too often; see Retry-After", 503: "not now; see Retry-After",
    504: "the outcome is unknown: ask by clientOrderId, or send the same again",
}  # fmt: skip
EVERYWHERE = (400, 401, 403, 421, 429)  # 401 also where nobody need be known: a token that is bad
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
    _take_numbers(components)
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
    told: Told = {}
    for status in sorted({*found, *answer.statuses}):
        done = status in answer.statuses
        content = answer.content if done else JSON
        headers = dict(HEADERS) if status not in (400, 408, 413, 421) else {}
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


def _take_numbers(schema: Any) -> None:
    """What is read as a number may also be sent as one: see words.Numeral."""
    if isinstance(schema, list):
        for each in schema:
            _take_numbers(each)
    elif isinstance(schema, dict):
        if schema.get("pattern") in NUMERALS:
            schema["type"] = ["string", NUMERALS[schema["pattern"]]]
        for each in schema.values():
            _take_numbers(each)


def _of_query(about: Told) -> Told:
    """A query has no null: what is not said is left out."""
    some = [each for each in about.get("anyOf", ()) if each.get("type") != "null"]
    return some[0] if len(some) == 1 else about


def ref_of(kind: type) -> str:
    return REF.format(name=kind.__name__)


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
                shape = content["application/json"]["schema"]
                name = shape.get("$ref", "/NewOrder").rsplit("/", 1)[1]
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
        self._page = b""
        self._style = STYLE.read_bytes()

    async def openapi(self, _ask: Ask, _: None) -> Reply:
        self._document = self._document or document(self._entries)
        return Reply(self._document)

    async def docs(self, _ask: Ask, _: None) -> Reply:
        self._page = self._page or docs_page(document(self._entries))
        return Reply(self._page, content_type=HTML)

    async def home(self, ask: Ask, _: None) -> Reply:
        """What is here, how it stands, and how to begin."""
        host = ask.headers.get("host", "localhost")
        return Reply(home_page(ask, host), content_type=HTML)

    async def style(self, _ask: Ask, _: None) -> Reply:
        return Reply(self._style, content_type=CSS)

    def entries(self) -> list[Entry]:
        public = Right.PUBLIC
        return [
            Entry("GET", "/", self.home, public, "what is here", answer=PAGE),
            Entry("GET", "/static/plain.css", self.style, public, "how the pages look",
                  answer=Answer(str, content=CSS)),
            Entry("GET", "/openapi.json", self.openapi, public, "this description"),
            Entry("GET", "/docs", self.docs, public, "the same, as a page", answer=PAGE),
        ]  # fmt: skip


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
