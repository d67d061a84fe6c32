"""The pages: nothing from elsewhere, no inline code, every route; files that browsers keep."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from oms.gateways.web import pages
from tests.web.doors import front_config

PAGES = ("/", "/docs")


class Read(HTMLParser):
    """The tags of a page, each with its attributes; and that every one is closed."""

    VOID = ("meta", "link", "input", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self._open = [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_nobody_else_and_has_no_code_in_it(door, path):
    answer = door.http.get(path)
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    named = []
    for _tag, attributes in Read(answer.text).tags:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        named += [attributes[name] for name in ("src", "href", "action") if name in attributes]
    assert named
    assert all(re.match("[/#](?!/)", each) for each in named)
    assert "<script>" not in answer.text
    assert "<style" not in answer.text


def test_what_a_page_names_is_there_and_is_kept(door):
    """By the hash of its content: a new version has a new name."""
    files = {
        attributes.get("src") or attributes["href"]
        for path in PAGES
        for tag, attributes in Read(door.http.get(path).text).tags
        if tag in ("script", "link") and attributes.get("as") != "fetch"
    }
    single = {file.partition("?")[0] for file in files if "/console/" not in file}
    assert single == {"/static/plain.css", "/static/docs.js", "/static/mark.svg"}
    for file in files:
        answer = door.http.get(file)
        assert answer.status_code == 200
        assert answer.headers.get_list("cache-control") == ["public, max-age=31536000, immutable"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert door.http.get("/docs").headers.get_list("cache-control") == ["no-store"]
    for absent in (
        "/static/none.css", "/static/../pages.py", "/static/%2e%2e%2fpages.py",
        "/static/console/0/main.js", "/static/none/0/main.js",
    ):  # fmt: skip
        assert door.http.get(absent).status_code == 404


def test_the_forms_are_those_of_the_description(door):
    """Each route has one; each field of its body, path and query is in it."""
    described = door.http.get("/openapi.json").json()["paths"]
    forms, form = {}, None
    for tag, attributes in Read(door.http.get("/docs").text).tags:
        if tag == "form" and "data-path" in attributes:
            form = forms[attributes["data-method"], attributes["data-path"]] = set()
        elif form is not None and "data-in" in attributes:
            form.add((attributes["data-in"], attributes["name"]))
    routes = {(m.upper(), path) for path, methods in described.items() for m in methods}
    assert forms.keys() == routes
    assert {("body", "symbol"), ("body", "quantity"), ("query", "wait")} <= forms["POST", "/order"]
    assert ("path", "id") in forms["GET", "/orders/{id}"]


def test_each_field_says_what_it_takes(door):
    """Names are texts, though they have a pattern as numbers do."""
    kinds = {}
    for _, attributes in Read(door.http.get("/docs").text).tags:
        if "data-kind" in attributes:
            kinds.setdefault(attributes["name"], set()).add(attributes["data-kind"])
    names = (
        "clientOrderId",
        "origClientOrderId",
        "ocoWith",
        "toAccount",
        "executionId",
        "interval",
    )
    for name in (*names, "account", "symbol"):
        assert kinds[name] == {"text"}, name
    for name in ("price", "quantity", "stopPrice", "amount", "protectionPrice"):
        assert "number as text" in kinds[name], name
        assert "whole number as text" not in kinds[name], name
    for name in ("orderId", "expireTime", "start"):
        assert kinds[name] == {"whole number as text"}, name
    assert kinds["limit"] == {"whole number"}


# --- the console ---

CONSOLE = Path(pages.__file__).with_name("static") / "console"
BYTES_MAX = 400_000  # of the console without the chart file
LATER_OPENED = ("operate.js", "keys.js")  # of views that are loaded when they are opened
NEVER = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function")


def base_of(text):
    """The path of the console's files, with their version."""
    return re.search(r"/static/console/[0-9a-f]{12}/", text)[0]


def test_every_module_of_the_console_is_there_under_one_version(door):
    """What a module imports has the version of the module; one of before is not told anew."""
    text = door.http.get("/").text
    base = base_of(text)
    wanted, known = ["main.js"], set()
    at_once = re.findall(rf'modulepreload" href="{base}([a-z_]+\.js)"', text)
    while wanted:
        name = wanted.pop()
        if name in known or name in LATER_OPENED:
            continue
        known.add(name)
        answer = door.http.get(base + name)
        assert answer.status_code == 200, name
        assert answer.headers["content-type"].startswith("text/javascript")
        imported = re.findall(r"from \"\./([a-z_]+\.js)\"", answer.text)
        if name in at_once:
            assert set(imported) <= set(at_once)
        wanted += imported + re.findall(r"import\(\"\./([a-z_]+\.js)\"\)", answer.text)
    assert "ladder.js" in at_once
    assert "chart.js" in known - set(at_once)


def test_the_chart_file_is_there_with_its_licence_and_notice(door):
    chart = re.search(r'data-chart="([^"]+)"', door.http.get("/").text)[1]
    assert "Licensed under Apache License 2.0" in door.http.get(chart).text
    folder = chart.rpartition("/")[0]
    assert "www.tradingview.com" in door.http.get(f"{folder}/NOTICE.txt").text
    assert "Apache License" in door.http.get(f"{folder}/lightweight-charts-LICENSE.txt").text


def test_the_console_is_small_and_asks_nobody_else():
    files = sorted(CONSOLE.iterdir())
    assert sum(file.stat().st_size for file in files) <= BYTES_MAX
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"(fetch|import|url)\([\"']?(https?:)?//", text), file.name
        assert not [word for word in NEVER if word in text], file.name


@pytest.mark.parametrize(("sign_up", "play_money", "told"), [
    (True, 1_000, 'data-sign-up="yes" data-play-money="yes"'),
    (False, 0, 'data-sign-up="no" data-play-money="no"'),
])  # fmt: skip
def test_the_page_says_who_may_sign_up_and_whether_the_money_is_real(
    start_door, sign_up, play_money, told
):
    door = start_door(front_config(sign_up=sign_up, play_money=play_money))
    assert told in door.http.get("/").text
