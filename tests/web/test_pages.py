"""The pages: nothing from elsewhere, no inline code, every route; files that browsers keep."""

import re
from html.parser import HTMLParser

import pytest

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
    assert all(re.match("/(?!/)", each) for each in named)
    assert "<script>" not in answer.text


def test_what_a_page_names_is_there_and_is_kept(door):
    """By the hash of its content: a new version has a new name."""
    files = {
        attributes.get("src") or attributes["href"]
        for path in PAGES
        for tag, attributes in Read(door.http.get(path).text).tags
        if tag in ("script", "link")
    }
    assert {file.partition("?")[0] for file in files} == {
        "/static/plain.css", "/static/docs.js", "/static/mark.svg",
    }  # fmt: skip
    for file in files:
        answer = door.http.get(file)
        assert answer.status_code == 200
        assert answer.headers.get_list("cache-control") == ["public, max-age=31536000, immutable"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert door.http.get("/docs").headers.get_list("cache-control") == ["no-store"]
    for absent in ("/static/none.css", "/static/../pages.py", "/static/%2e%2e%2fpages.py"):
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
    for name in ("orderId", "expireTime", "start", "after"):
        assert kinds[name] == {"whole number as text"}, name
    assert kinds["limit"] == {"whole number"}


def test_the_first_page_says_how_the_market_stands(door):
    ann, bob = door.user("ann"), door.user("bob")
    ann.sell("1", "100.50")
    ann.sell("1", "101.25")
    bob.buy("1", "100.50")
    text = door.http.get("/").text
    assert "BTC_USD" in text
    assert re.search(r"<td class=number>101.25</td><td class=number>100.5</td>", text)
    assert "/signup" in text


def test_nobody_is_told_to_sign_up_where_that_is_not_possible(start_door):
    door = start_door(front_config(sign_up=False))
    text = door.http.get("/").text
    assert "/signup" not in text
    assert "An operator adds users" in text
