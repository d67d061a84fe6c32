"""Pages: what people use: the console, and every route with a form to try it.

Flow:  static/console/ -> [pages] -> browser; the console's modules ask REST and the WebSocket
       openapi's document -> [pages] -> HTML; static/docs.js sends what the forms say
No code and no style stands in a page, and nothing comes from elsewhere.
"""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import NamedTuple

from oms.gateways.web import asyncapi
from oms.gateways.web.door import Right
from oms.gateways.web.errors import Reply, http_error
from oms.gateways.web.front import Ask, Entry
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
    ".mjs": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}  # fmt: skip
CHART = "lightweight-charts-5.2.1.mjs"
IMPORTED = re.compile(rb'^import .* from "\./(\w+\.js)";$', re.MULTILINE)
FOR_EVER = "public, max-age=31536000, immutable"  # a page names a file with its hash
GROUPS = {  # of the routes, by the first part of their path
    "Market": ("depth", "trades", "trade", "ticker", "statistics", "candles", "auction", "markets",
               "session", "calendar", "time"),
    "Orders": ("order", "orders"),
    "Money": ("balance", "funds", "positions", "ledger"),
    "Users and keys": ("signup", "login", "signin", "refresh", "logout", "logins", "me", "password",
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
        self.files = read_files(STATIC)

    def url(self, name: str) -> str:
        """Another one with each change of the file, so that it may be kept for ever."""
        return f"/static/{name}?v={sha256(self.files[name][0]).hexdigest()[:12]}"


class Folder:
    """A folder of files that name each other. The version, a hash of them all, is a part of their
    path, so that what one names has the version of the one that names it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.files = read_files(STATIC / name)
        content = b"".join(each.encode() + self.files[each][0] for each in sorted(self.files))
        self.version = sha256(content).hexdigest()[:12]

    def modules(self, file: str) -> list[str]:
        """The module and all that it imports at once, so that a browser asks for them together."""
        found = [file]
        for each in found:
            named = (name.decode() for name in IMPORTED.findall(self.files[each][0]))
            found += [name for name in dict.fromkeys(named) if name not in found]
        return found

    def url(self, file: str = "") -> str:
        return f"/static/{self.name}/{self.version}/{file}"


def read_files(directory: Path) -> dict[str, tuple[bytes, str]]:
    """Content and content type of each file, by its name."""
    return {
        path.name: (path.read_bytes(), KINDS[path.suffix])
        for path in sorted(directory.iterdir())
        if path.suffix in KINDS
    }


class Pages:
    """What is read by people, and by programs that make clients. entries: all other routes."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = [*entries, *self.entries()]
        self._static = Static()
        self._folders = {name: Folder(name) for name in ("console", "vendor")}
        self._index = (STATIC / "console" / "index.html").read_text(encoding="utf-8")
        self._document: Told = {}
        self._messages: Told = {}
        self._sockets: Told = {}

    def entries(self) -> list[Entry]:
        public = Right.PUBLIC
        return [
            Entry("GET", "/", self.home, public, "the console", answer=PAGE),
            Entry("GET", "/static/{name}", self.static, public, "how the pages look and act",
                  query=OfFile, answer=FILE),
            Entry("GET", "/static/{folder}/{version}/{name}", self.of_folder, public,
                  "what the console is made of", answer=FILE),
            Entry("GET", "/openapi.json", self.openapi, public, "this description"),
            Entry("GET", "/ws-schema.json", self.messages, public, "messages of a WebSocket"),
            Entry("GET", "/asyncapi.json", self.asyncapi, public,
                  "the description of the WebSocket"),
            Entry("GET", "/docs", self.docs, public, "the same, as a page to try things on",
                  answer=PAGE),
        ]  # fmt: skip

    async def openapi(self, _ask: Ask, _: None) -> Reply:
        self._document = self._document or document(self._entries)
        return Reply(self._document)

    async def asyncapi(self, _ask: Ask, _: None) -> Reply:
        self._sockets = self._sockets or asyncapi.document(self._entries)
        return Reply(self._sockets)

    async def messages(self, _ask: Ask, _: None) -> Reply:
        self._messages = self._messages or schema()
        return Reply(self._messages)

    async def docs(self, ask: Ask, _: None) -> Reply:
        described = self._document = self._document or document(self._entries)
        inner = "".join(docs_parts(described, sorted(ask.oms.instruments())))
        return self._page("API", inner, script="docs.js")

    async def home(self, ask: Ask, _: None) -> Reply:
        """The console's page. What it has to know before it can ask stands in its attributes."""
        console, web = self._folders["console"], ask.door.web
        modules = (
            f'<link rel="modulepreload" href="{console.url(name)}">'
            for name in console.modules("main.js")
        )
        given = {
            "{console}": console.url(),
            "{chart}": self._folders["vendor"].url(CHART),
            "{mark}": self._static.url("mark.svg"),
            "{sign-up}": "yes" if web.sign_up else "no",
            "{play-money}": "yes" if web.play_money else "no",
            "<!-- modules -->": "\n".join(modules),
        }
        text = self._index
        for name, value in given.items():
            text = text.replace(name, value)
        return Reply(text.encode(), content_type=HTML)

    async def static(self, ask: Ask, _: OfFile) -> Reply:
        found = self._static.files.get(ask.path["name"])
        if found is None:
            raise http_error(404, "NOT_FOUND", "there is no such file")
        return Reply(found[0], content_type=found[1], headers={"cache-control": FOR_EVER})

    async def of_folder(self, ask: Ask, _: None) -> Reply:
        """Of this version alone: what another one had must not be kept under its name."""
        folder = self._folders.get(ask.path["folder"])
        found = folder.files.get(ask.path["name"]) if folder is not None else None
        if folder is None or found is None or folder.version != ask.path["version"]:
            raise http_error(404, "NOT_FOUND", "there is no such file of this version")
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
        "<code>message</code> and <code>field</code>. <a href=/>The console.</a></p>"
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
