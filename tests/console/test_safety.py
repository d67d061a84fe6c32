"""What others have named is shown as text; and nobody is shut out: axe-core finds no violation."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.console.people import Person, S
from tests.web.served import PASSWORD

SCRIPT = "<script>window.hit=1</script>"
IMAGE = "<img src=x onerror=window.hit=1>"
SVG = "<svg/onload=window.hit=1>"
PHONE = {"width": 390, "height": 844}


def test_hostile_names_symbols_and_texts_are_shown_as_text(exchange):
    """An account, a client order id, a key, an operator's reasons, and a market that only a hostile
    server could tell of: each is markup that would act; each stands where it belongs, letter by
    letter, and nothing has acted."""
    boss = exchange.person("boss", role="operator")
    boss.rest.good("POST", "/admin/accounts", {"account": SVG})
    user = {
        "username": "zoe", "email": "<b>zoe</b>@example.com", "password": PASSWORD,
        "accounts": ["zoe", SVG + "2"],
    }  # fmt: skip
    boss.rest.good("POST", "/admin/users", user)
    boss.sends("BUY", "1", "99", clientOrderId=SVG)
    boss.rest.good("POST", "/keys", {"name": SCRIPT, "scopes": ["read"]})
    boss.rest.good("POST", "/admin/halt", {"scope": "ALL", "why": SCRIPT})
    boss.rest.good("PATCH", "/admin/users/zoe", {"locked": True, "why": IMAGE})
    page = boss.page
    page.route("**/markets", with_hostile_market)

    boss.opens().signs_in()
    market = boss.panel("Markets").get_by_role("button").filter(has_text=IMAGE)
    market.click()
    expect(page.locator("#head-symbol")).to_have_text(IMAGE)
    boss.goes_to("Operate")
    record = page.locator("#record-panel")
    for text in (SCRIPT, IMAGE):
        expect(record).to_contain_text(text)
    expect(boss.panel("Markets")).to_contain_text(IMAGE)
    expect(page.locator("#banner")).to_contain_text(SCRIPT)
    page.get_by_role("tab", name="Explain").click()
    record.get_by_role("textbox", name=re.compile("^Order")).fill(SVG)
    record.get_by_role("textbox", name=re.compile("^Account")).fill("boss")
    record.get_by_role("button", name="Explain").click()
    expect(boss.panel("The story of one order")).to_contain_text(SVG)
    page.get_by_role("tab", name="Accounts").click()
    expect(record).to_contain_text(SVG + "2")
    boss.goes_to("Keys")
    expect(boss.panel("API keys")).to_contain_text(SCRIPT)
    assert page.evaluate("window.hit") is None
    assert page.locator("img, main script, [onerror], [onload]").count() == 0


def with_hostile_market(route) -> None:
    """What the exchange says, and one market more; it takes no such symbol itself."""
    answer = route.fetch()
    told = answer.json()
    told["markets"].append({**told["markets"][0], "symbol": IMAGE, "base": SVG, "quote": SCRIPT})
    route.fulfill(response=answer, json=told)


def violations(person: Person) -> list[str]:
    found = Axe().run(person.page)
    return [
        f"{each['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
        for each in found.response["violations"]
        for node in each["nodes"]
    ]


@pytest.fixture(scope="module")
def boss(start_shared) -> Person:
    """An operator with an order, a fill and a key, so that tables have rows."""
    exchange = start_shared()
    found, maker = exchange.person("boss", role="operator"), exchange.person("maker")
    maker.sends("SELL", "5", "101")
    maker.sends("BUY", "5", "99")
    found.sends("BUY", "1", "101")
    found.sends("BUY", "1", "98")
    found.rest.good("POST", "/keys", {"name": "bot", "scopes": ["read"]})
    found.rest.good("POST", "/admin/limits", {"scope": "ALL", "name": "amends_max", "value": "9"})
    return found.opens().signs_in()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", [
    {"width": 1440, "height": 900}, pytest.param(PHONE, marks=pytest.mark.slow),
    pytest.param({"width": 820, "height": 1_100}, marks=pytest.mark.slow),
])  # fmt: skip
def test_axe_finds_no_violation(boss, theme, size):
    """Every view, with its rows, a question and a refusal open."""
    page, wrong = boss.page, {}
    page.set_viewport_size(size)
    page.emulate_media(color_scheme=theme)

    def check(name: str) -> None:
        found = violations(boss)
        if found:
            wrong[name] = found

    page.goto("/#view=trade")
    page.reload()
    boss.is_live()
    expect(page.locator("#blotter tbody[data-order]").first).to_be_attached()
    check("trade")
    page.goto("/#view=trade&tab=order")
    boss.fills_in(Price="98.001", Quantity="1")
    expect(boss.refusal.locator("code")).to_be_visible()
    check("trade, refused")
    page.goto("/#view=operate")
    expect(page.locator("#record-panel tbody tr").first).to_be_visible()
    page.get_by_role("button", name=f"Halt or resume {S}").click()
    page.get_by_role("button", name="What would happen…").click()
    expect(page.get_by_label("Type KILL EVERYBODY")).to_be_visible()
    check("operate")
    for tab in ("Accounts", "Explain"):
        page.get_by_role("tab", name=tab).click()
        check(f"operate, {tab}")
    page.goto("/#view=keys")
    expect(boss.panel("API keys").get_by_role("row").filter(has_text="bot")).to_be_visible()
    page.get_by_role("button", name="Set it up…").click()
    expect(page.get_by_label("Key for the authenticator")).to_be_visible()
    check("keys")
    text = "\n".join(f"== {name}\n" + "\n".join(found) for name, found in wrong.items())
    assert not wrong, text


def test_axe_finds_no_violation_signed_out(exchange):
    found = exchange.person("ann").opens()
    expect(found.page.get_by_role("tabpanel", name="Sign in")).to_be_visible()
    for theme in ("dark", "light"):
        found.page.emulate_media(color_scheme=theme)
        assert violations(found) == []
