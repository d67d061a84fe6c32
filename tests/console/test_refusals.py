"""A refusal of each kind is read where it belongs: under the order form with its field marked, in
the row of an order, under the form that asked."""

import pytest
from playwright.sync_api import expect

from tests.console.people import Exchange, Person, S
from tests.web.served import PASSWORD

INSTRUMENT = {"instrument BTC_USD": {"quantity_min": "0.01", "quantity_max": "1000"}}


@pytest.fixture(scope="module")
def people(start_shared) -> tuple[Person, Person, Person]:
    """Ann, a maker and an operator."""
    exchange: Exchange = start_shared(**INSTRUMENT)
    maker, boss = exchange.person("maker"), exchange.person("boss", role="operator")
    return exchange.person("ann").opens().signs_in(), maker, boss


@pytest.fixture
def ann(people) -> Person:
    """At an empty order form, in a market with a bid at 99 and an ask at 101."""
    found, maker, found.boss = people
    maker.rest.good("POST", "/order/cancel_all", {})
    maker.sends("SELL", "5", "101")
    maker.sends("BUY", "5", "99")
    found.page.reload()
    found.is_live()
    expect(found.rung("101.00").locator("td.a")).to_have_text("5.0000")
    return found


def refused(person: Person, code: str, field: str = "") -> None:
    """The code stands under the form, and the field that it is about is marked."""
    expect(person.refusal.locator("code")).to_contain_text(code)
    if field:
        expect(person.field(field)).to_have_attribute("aria-invalid", "true")


def test_what_an_order_is_refused_for_is_read_under_the_form(ann):
    """Before it is sent where a dry run knows; a press on the repair makes it good."""
    order = ann.chooses("Buy", "Limit").fills_in
    order(Price="100.005", Quantity="1")
    refused(ann, "PRICE_INVALID 1002", "Price")
    ann.refusal.get_by_role("button", name="100.01").click()
    expect(ann.field("Price")).to_have_value("100.01")
    expect(ann.refusal.locator("code")).to_have_count(0)

    order(Price="100", Quantity="0.00001")
    refused(ann, "QUANTITY_INVALID", "Quantity")
    order(Quantity="0.001")
    refused(ann, "QUANTITY_BELOW_MINIMUM", "Quantity")
    order(Quantity="1001")
    refused(ann, "QUANTITY_EXCEEDS_MAXIMUM", "Quantity")
    order(Price="1000000", Quantity="900")
    refused(ann, "FUNDS_INSUFFICIENT", "Quantity")
    order(Price="abc", Quantity="1")
    expect(ann.ticket.locator("button.go:visible")).to_have_attribute("aria-disabled", "true")
    ann.page.keyboard.press("Enter")
    expect(ann.field("Price")).to_have_attribute("aria-invalid", "true")
    assert [each for each in ann.orders() if each["status"] != "REJECTED"] == []


def test_what_the_book_refuses_is_read_once_it_was_sent(ann):
    """Post-only that would take, a fill-or-kill that the book cannot fill."""
    ann.chooses("Buy", "Limit").fills_in(Price="101", Quantity="1")
    ann.ticket.get_by_role("button", name="Post-only").click()
    ann.places()
    refused(ann, "POST_ONLY", "Price")
    ann.ticket.get_by_role("button", name="Post-only").click()
    ann.chooses("FOK").fills_in(Quantity="9").places()
    expect(ann.refusal).to_contain_text("INSUFFICIENT_LIQUIDITY")
    expect(ann.tab("History").get_by_role("row").filter(has_text="POST_ONLY")).to_have_count(1)


def test_what_an_operator_forbids_is_read_under_the_form(ann):
    """A halted market, an account that may only reduce, a limit, the kill switch."""
    ann.chooses("Buy", "Limit").fills_in(Price="99", Quantity="1")

    def after(method: str, path: str, said: dict, code: str, quantity: str) -> None:
        ann.boss.rest.good(method, path, said)
        ann.fills_in(Quantity=quantity).places()
        refused(ann, code)

    account = {"scope": "ACCOUNT", "target": "ann"}
    after("POST", "/admin/halt", {**account, "reducing": True}, "REDUCING_ONLY", "1.1")
    after("POST", "/admin/halt", account, "ACCOUNT_HALTED", "1.2")
    ann.boss.rest.good("POST", "/admin/resume", account)
    limit = {**account, "name": "position_max", "value": "0.5"}
    after("POST", "/admin/limits", limit, "POSITION_EXCEEDS_MAXIMUM", "1.3")
    ann.boss.rest.good("POST", "/admin/limits", {**limit, "value": ""})
    after("POST", "/admin/kill", {"why": "a drill"}, "KILL_SWITCH", "1.4")
    ann.boss.rest.good("POST", "/admin/resume", {})
    ann.fills_in(Quantity="1.5").places()
    expect(ann.refusal).to_contain_text("Working")


def test_a_halted_market_says_so_where_it_is_looked_at(ann):
    ann.boss.rest.good("POST", "/admin/halt", {"scope": "SYMBOL", "target": S})
    expect(ann.page.locator("#head-phase")).to_contain_text("Halted")
    expect(ann.panel("Ladder")).to_contain_text("Halted")
    expect(ann.ticket).to_contain_text("halted")
    ann.boss.rest.good("POST", "/admin/resume", {"scope": "SYMBOL", "target": S})


def test_a_refused_change_is_read_in_the_orders_row(ann):
    ann.sends("BUY", "1", "98")
    rows = ann.tab("Open")
    rows.get_by_role("button", name="Modify buy BTC_USD").first.click()
    rows.get_by_role("textbox", name="Price").fill("98.005")
    ann.page.keyboard.press("Enter")
    expect(rows.get_by_role("status").filter(has_text="PRICE_INVALID")).to_have_count(1)
    assert ann.orders()[0]["price"] == "98"


def test_a_wrong_password_a_weak_one_and_a_taken_name(start_exchange):
    """Under the form that asked; nobody is signed in by it."""
    exchange = start_exchange()
    ann = exchange.person("ann").opens()
    form = ann.page.get_by_role("tabpanel")
    form = ann.page.locator("#auth-form")
    form.get_by_label("User name or e-mail").fill("ann")
    form.get_by_label("Password").fill("not the password")
    form.get_by_role("button", name="Sign in").click()
    expect(form.locator(".refusal code")).to_be_visible()
    ann.page.get_by_role("tab", name="Create account").click()
    form.get_by_label("User name").fill("ann")
    form.get_by_label("E-mail").fill("other@example.com")
    form.get_by_label("Password").fill("short")
    form.get_by_role("button", name="Create account").click()
    expect(form.locator(".refusal")).to_contain_text("8")
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_role("button", name="Create account").click()
    expect(form.locator(".refusal code")).to_contain_text("USER_EXISTS")
    expect(ann.page.locator("#who-name")).to_have_text("Sign in")


def test_too_many_requests_are_told(start_exchange):
    """The allowance is one order a second: the third of three at once is refused, and says when."""
    exchange = start_exchange(web={"orders_max": "1"})
    ann = exchange.person("ann").opens().signs_in()
    ann.chooses("Buy", "Limit").fills_in(Price="99", Quantity="1")
    for _ in range(4):
        ann.rest.ask("POST", "/order", {"symbol": S, "side": "BUY", "price": "1", "quantity": "1"})
    ann.places()
    refused(ann, "TOO_MANY_REQUESTS 8007")
