"""Pages: what people read: how the market stands, and every route with a form to try it.

Flow:  openapi's document -> [pages] -> HTML; static/docs.js sends what the forms say
No code and no style stands in a page, nothing comes from elsewhere, nothing is kept in the browser:
a token lives as long as its page. Without a script a page is a description.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import NamedTuple

from oms.gateways.web.errors import Reply, http_error
from oms.gateways.web.front import Ask, Entry, Right
from oms.gateways.web.messages import schema
from oms.gateways.web.openapi import document
from oms.gateways.web.shapes import HTML, Answer
from oms.gateways.web.told import Told
from oms.gateways.web.words import NUMBER, WHOLE, Body

PAGE = Answer(str, content=HTML)
FILE = Answer(str, content="text/*")
STATIC = Path(__file__).with_name("static")
KINDS = {
    ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}  # fmt: skip
FOR_EVER = "public, max-age=31536000, immutable"  # a page names a file with its hash
GROUPS = {  # of the routes, by the first part of their path
    "Market": ("depth", "trades", "trade", "ticker", "candles", "markets", "session", "time"),
    "Orders": ("order", "orders"),
    "Money": ("balance", "funds", "positions", "ledger"),
    "Users and keys": ("signup", "login", "signin", "refresh", "logout", "me", "password",
                       "ticket", "factor", "keys"),
    "Operators": ("admin",),
    "The door itself": (),  # all others
}  # fmt: skip


NUMBERS = {NUMBER: "number as text", WHOLE: "whole number as text"}  # by their patterns


class OfFile(Body):
    """v: the hash of the file's content, with which pages name it."""

    v: str = ""


class Static:
    """The files beside this one, read once. names: with what each page names them by."""

    def __init__(self) -> None:
        self.files = {
            path.name: (path.read_bytes(), KINDS[path.suffix])
            for path in STATIC.iterdir()
            if path.suffix in KINDS
        }

    def url(self, name: str) -> str:
        """Another one with each change of the file, so that it may be kept for ever."""
        return f"/static/{name}?v={sha256(self.files[name][0]).hexdigest()[:12]}"


class Pages:
    """What is read by people, and by programs that make clients. entries: all other routes."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = [*entries, *self.entries()]
        self._static = Static()
        self._document: Told = {}
        self._messages: Told = {}

    def entries(self) -> list[Entry]:
        public = Right.PUBLIC
        return [
            Entry("GET", "/", self.home, public, "how the market stands, and how to begin",
                  answer=PAGE),
            Entry("GET", "/static/{name}", self.static, public, "how the pages look and act",
                  query=OfFile, answer=FILE),
            Entry("GET", "/openapi.json", self.openapi, public, "this description"),
            Entry("GET", "/ws-schema.json", self.messages, public, "messages of a WebSocket"),
            Entry("GET", "/docs", self.docs, public, "the same, as a page to try things on",
                  answer=PAGE),
        ]  # fmt: skip

    async def openapi(self, _ask: Ask, _: None) -> Reply:
        self._document = self._document or document(self._entries)
        return Reply(self._document)

    async def messages(self, _ask: Ask, _: None) -> Reply:
        self._messages = self._messages or schema()
        return Reply(self._messages)

    async def docs(self, ask: Ask, _: None) -> Reply:
        described = self._document = self._document or document(self._entries)
        inner = "".join(docs_parts(described, sorted(ask.oms.instruments())))
        return self._page("API", inner, script="docs.js")

    async def home(self, ask: Ask, _: None) -> Reply:
        return self._page("Order management", "".join(home_parts(ask)))

    async def static(self, ask: Ask, _: OfFile) -> Reply:
        found = self._static.files.get(ask.path["name"])
        if found is None:
            raise http_error(404, "NOT_FOUND", "there is no such file")
        return Reply(found[0], content_type=found[1], headers={"cache-control": FOR_EVER})

    def _page(self, title: str, inner: str, script: str = "") -> Reply:
        code = f"<script src='{self._static.url(script)}' defer></script>" if script else ""
        text = (
            "<!doctype html><html lang=en><head><meta charset=utf-8>"
            "<meta name=viewport content='width=device-width, initial-scale=1'>"
            f"<title>{escape(title)}</title><link rel=icon href='{self._static.url('mark.svg')}'>"
            f"<link rel=stylesheet href='{self._static.url('plain.css')}'>{code}</head>"
            f"<body><main>{inner}</main></body></html>"
        )
        return Reply(text.encode(), content_type=HTML)


# --- the description ---


class Input(NamedTuple):
    """One field of a request. place: path, query or body."""

    place: str
    name: str
    about: Told
    needed: bool


def docs_parts(described: Told, symbols: list[str]) -> Iterator[str]:
    """Every route with its fields, in groups. symbols: what is traded, for the forms."""
    yield (
        "<h1>Order management: the API</h1><p>Open a line to see its fields and to try it. "
        "The same is in <a href=/openapi.json>openapi.json</a>, for programs. Errors are one "
        "object, <code>error</code>, with <code>code</code>, <code>number</code>, "
        "<code>message</code> and <code>field</code>. <a href=/>How the market stands.</a></p>"
        "<form id=sign-in class=needs-script hidden><label>user <input name=username "
        "autocomplete=username required></label><label>password <input name=password "
        "type=password autocomplete=current-password required></label><label>code <input "
        "name=code inputmode=numeric autocomplete=one-time-code placeholder='second factor'>"
        "</label><button>Sign in</button><output>not signed in</output></form>"
    )
    groups: dict[str, list[str]] = {name: [] for name in GROUPS}
    for path, methods in described["paths"].items():
        first = path.split("/")[1]
        group = next((name for name, firsts in GROUPS.items() if first in firsts), "")
        for method, about in methods.items():
            text = route_text(method.upper(), path, about, described, symbols)
            groups[group or list(GROUPS)[-1]].append(text)
    for name, texts in groups.items():
        yield f"<h2>{escape(name)}</h2>{''.join(texts)}"


def route_text(
    method: str, path: str, about: Told, described: Told, symbols: list[str]
) -> str:  # fmt: skip
    schemas = described["components"]["schemas"]
    security = about.get("security", [])
    lock = "<small>signed in</small>" if security and {} not in security else ""
    fields = list(inputs_of(about, schemas))
    rows = "".join(row_text(each, schemas, symbols) for each in fields)
    body = about.get("requestBody", {}).get("content", {}).get("application/json", {})
    said = named_schema(body.get("schema", {}), schemas).get("description", "")
    free = "" if fields or method != "POST" else free_text(body)
    return (
        f"<details><summary><code><b>{method}</b> {escape(path)}</code> "
        f"<span>{escape(about['summary'])}</span>{lock}</summary>"
        f"<p>{escape(said)}</p><form class=try data-method={method} data-path='{escape(path)}'>"
        f"<table><tbody>{rows}</tbody></table>{free}"
        "<p class=needs-script hidden><button>Send</button></p><pre hidden></pre></form></details>"
    )


def free_text(body: Told) -> str:
    """A body that has no fields of its own, such as a list."""
    if not body:
        return ""
    return "<label>body, as JSON<textarea name=body data-in=whole rows=4></textarea></label>"


def inputs_of(about: Told, schemas: Told) -> Iterator[Input]:
    """The fields of a request, the query's last; where both would do, those of the body."""
    content = about.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = named_schema(content.get("schema", {}), schemas)
    body = schema.get("properties", {})
    for name, field in body.items():
        yield Input("body", name, field, name in schema.get("required", ()))
    for each in about["parameters"]:
        if each["name"] not in body:
            yield Input(each["in"], each["name"], each["schema"], each["required"])


def row_text(field: Input, schemas: Told, symbols: Iterable[str]) -> str:
    about, name = named_schema(field.about, schemas), escape(field.name)
    needed = " required" if field.needed else ""
    kind = kind_of(about, schemas)
    given = f"name='{name}' aria-label='{name}' data-in={field.place} data-kind='{escape(kind)}'"
    choices = [str(each) for each in choices_of(about, schemas)]
    if field.name == "symbol":
        choices = list(symbols)
    if kind == "boolean":
        choices = ["true", "false"]
    if choices:
        options = [""] if not field.needed else []
        listed = "".join(f"<option>{escape(each)}</option>" for each in [*options, *choices])
        control = f"<select {given}{needed}>{listed}</select>"
    else:
        sort = "password" if "password" in field.name.lower() else "text"
        control = f"<input {given}{needed} type={sort} autocomplete=off>"
    note = "" if choices else escape(kind)
    return (
        f"<tr><td><code>{name}</code>{'<b> *</b>' if field.needed else ''}</td>"
        f"<td class=needs-script hidden>{control}</td><td>{note}</td></tr>"
    )


def named_schema(about: Told, schemas: Told) -> Told:
    """The schema itself, where only its name is said; of what may be null, the rest."""
    if "$ref" in about:
        return named_schema(schemas[about["$ref"].rsplit("/", 1)[1]], schemas)
    some = [each for each in about.get("anyOf", ()) if each.get("type") != "null"]
    return named_schema(some[0], schemas) if some else about


def choices_of(about: Told, schemas: Told) -> list[object]:
    return list(named_schema(about, schemas).get("enum", ()))


def kind_of(about: Told, schemas: Told) -> str:
    """What sort of value a field has, in a few words."""
    about = named_schema(about, schemas)
    if "enum" in about:
        return ", ".join(map(str, about["enum"]))
    if about.get("pattern") in NUMBERS:
        return NUMBERS[about["pattern"]]
    given = about.get("type", "anything")
    kind = given if isinstance(given, str) else " or ".join(given)
    return {"string": "text", "integer": "whole number"}.get(kind, kind)


# --- how the market stands ---


def home_parts(ask: Ask) -> Iterator[str]:
    """Markets, and how to begin."""
    oms, session = ask.oms, ask.door.session_told()
    phases, instruments = oms.market_states(), sorted(oms.instruments())
    state = "open" if session["state"] == "open" else f"closed, and opens {session['opens']}"
    yield f"<h1>Order management</h1><p>The exchange is {escape(state)}.</p>"
    yield (
        "<table><thead><tr><th>market</th><th>phase</th><th class=number>bid</th>"
        "<th class=number>ask</th><th class=number>last</th></tr></thead><tbody>"
    )
    for symbol in instruments:
        latest = oms.recent_trades(symbol)[-1:]
        prices = (
            oms.best_bid(symbol), oms.best_ask(symbol), latest[0].price if latest else None
        )  # fmt: skip
        cells = "".join(
            f"<td class=number>{'-' if price is None else format(price, 'f')}</td>"
            for price in prices
        )
        phase = phases[symbol].value if symbol in phases else ""
        yield f"<tr><td>{escape(symbol)}</td><td>{escape(phase)}</td>{cells}</tr>"
    yield "</tbody></table>"
    yield from begin_parts(ask, instruments[0] if instruments else "SYMBOL")


def begin_parts(ask: Ask, symbol: str) -> Iterator[str]:
    web, host = ask.door.web, ask.headers.get("host", "localhost")
    secure = web.tls_certificate or web.trusted_proxies
    url = f"http{'s' if secure else ''}://{host}"
    yield (
        "<h2>Begin</h2><p><a href=/docs>Everything that can be asked</a>, with forms to try it; "
        "for programs <a href=/openapi.json>openapi.json</a>. Or in a shell:</p>"
    )
    user = '"username":"ann"'
    lines = []
    if web.sign_up:
        said = f'{{{user},"email":"ann@example.com","password":"a long password"}}'
        lines.append(f"curl {url}/signup -d '{said}'")
    else:
        yield "<p>An operator adds users here.</p>"
    asks = ask.oms.best_ask(symbol) if symbol in ask.oms.instruments() else None
    price = "100" if asks is None else format(asks, "f")
    order = f'{{"symbol":"{symbol}","side":"BUY","price":"{price}","quantity":"0.01"}}'
    lines += [
        f'curl {url}/login -d \'{{{user},"password":"a long password"}}\'',
        f"curl {url}/order -H 'Authorization: Bearer TOKEN' -d '{order}'",
    ]
    yield f"<pre>{escape(chr(10).join(lines))}</pre>"
    yield (
        "<h2>More</h2><p>Events come over a WebSocket at <code>/ws</code>. "
        "<a href=/ready>Is it ready?</a> <a href=/markets>The markets</a> and "
        "<a href=/session>the hours</a>, as JSON.</p>"
    )
