"""Two people trade, each in a browser; orders of every type are placed by mouse and by keyboard."""

import re

import pytest
from playwright.sync_api import expect

from tests.console.people import Exchange, Person
from tests.processes import wait_until


def two_at(exchange: Exchange) -> tuple[Person, Person]:
    """Ann and Bob, signed in."""
    ann, bob = (exchange.person(name).opens().signs_in() for name in ("ann", "bob"))
    return ann, bob


def test_what_limits_leave_and_what_is_ahead_in_the_queue(exchange):
    """The form says what Ann's limits still allow; her order says how much stands ahead of it."""
    # given limits of Ann's, and an offer of Bob's at 100.50
    boss = exchange.person("boss", role="operator")
    ann, bob = exchange.person("ann").opens().signs_in(), exchange.person("bob")
    room = ann.ticket.locator("dt:text-is('Room in your limits') + dd")
    ann.chooses("Sell", "Limit").fills_in(Price="100.50", Quantity="2")
    expect(room).to_have_text("no limit")
    for name, value in (("position_max", "5"), ("credit_max", "1000"), ("open_orders_max", "3")):
        said = {"scope": "ACCOUNT", "target": "ann", "name": name, "value": value}
        boss.rest.good("POST", "/admin/limits", said)
    bob.sends("SELL", "1.5", "100.50")

    # when she types another quantity, and places it
    ann.fills_in(Quantity="2.5")
    expect(room).to_have_text("5 BTC, 1,000 USD, 3 orders")
    ann.places()

    # then her order has 1.5 ahead, and the next one has less room: 2.5 at 100.50 are open
    mine = ann.tab("Open").get_by_role("row").filter(has_text="working")
    expect(mine).to_contain_text("1.5 ahead")
    ann.fills_in(Quantity="1")
    expect(room).to_have_text("2.5 BTC, 748.75 USD, 2 orders")

    # when what was ahead is canceled, hers is the first; and it says nothing of it once it is old
    bob.rest.good("POST", "/order/cancel_all", {})
    expect(mine).to_contain_text("first in queue")
    exchange.daemon.process.kill()
    expect(mine).not_to_contain_text("first in queue")


def test_two_people_trade_and_see_it(exchange):
    """Ann offers, Bob sees it in his ladder and takes it: fills, balances and ladder change."""
    ann, bob = two_at(exchange)

    # when Ann offers 2 at 100.50
    ann.chooses("Sell", "Limit").fills_in(Price="100.50", Quantity="2").places()

    # then both see it in the ladder, hers marked, and what she reserves
    for each in (ann, bob):
        expect(each.rung("100.50").locator("td.a")).to_have_text("2.0000")
    expect(ann.rung("100.50").locator(".own:visible")).to_have_text("2")
    expect(ann.tab("Open").get_by_role("row").filter(has_text="working")).to_have_count(1)
    expect(ann.available("BTC")).to_have_text("999,998.00")

    # when Bob clicks that rung, chooses how much, and places
    bob.chooses("Buy")
    bob.rung("100.50").locator("td.p").click()
    expect(bob.field("Price")).to_have_value("100.50")
    bob.fills_in(Quantity="0.5").places()

    # then both have a fill, the money moved, and less is left in the ladder
    expect(bob.refusal).to_contain_text("Filled 0.5 at 100.5")
    for each, verb in ((ann, "Sold"), (bob, "Bought")):
        fill = each.tab("Fills").get_by_role("row").filter(has_text=verb)
        expect(fill).to_contain_text("100.50")
        expect(fill).to_contain_text("0.5000")
        expect(each.rung("100.50").locator("td.a")).to_have_text("1.5000")
        expect(each.page.locator("#tape tbody tr").first).to_contain_text("100.50")
    expect(ann.page.locator("#event")).to_contain_text("Sold 0.5 BTC at 100.50")
    expect(ann.available("USD")).to_have_text("1,000,050.25")
    expect(bob.available("USD")).to_have_text("999,949.75")
    expect(bob.available("BTC")).to_have_text("1,000,000.50")

    # when Ann modifies what is left, and then cancels it, in its row
    ann.tab("Open").get_by_role("button", name="Modify sell BTC_USD").click()
    ann.page.get_by_label("Total quantity, fills included").fill("3")
    ann.page.keyboard.press("Enter")
    expect(bob.rung("100.50").locator("td.a")).to_have_text("2.5000")
    ann.tab("Open").get_by_role("button", name="Cancel sell BTC_USD").click()
    expect(bob.rung("100.50").locator("td.a")).to_have_text("")
    expect(ann.tab("Open")).to_contain_text("No open orders")
    expect(ann.available("BTC")).to_have_text("999,999.50")


# What each order is asked as: words of the form, and what REST then has of it.
TYPES = {
    "Limit": {"type": "LIMIT", "price": "99", "status": "NEW"},
    "Market": {"type": "MARKET", "price": None, "status": "FILLED"},
    "Stop": {"type": "STOP", "stopPrice": "110", "status": "SUSPENDED"},
    "Stop limit": {"type": "STOP_LIMIT", "price": "99", "stopPrice": "110", "status": "SUSPENDED"},
}


def seeded(exchange: Exchange) -> Person:
    """A market with a bid at 99, an ask at 101, and a last price; Ann, signed in."""
    ann, maker = exchange.person("ann"), exchange.person("maker")
    maker.sends("SELL", "50", "101")
    maker.sends("BUY", "50", "98")
    ann.sends("BUY", "1", "101")
    ann.opens().signs_in()
    expect(ann.rung("101.00").locator("td.a")).to_have_text("49.0000")
    return ann


def latest(person: Person, count: int) -> dict:
    """Their latest order, once there are so many."""
    wait_until(lambda: len(person.orders()) == count)
    return person.orders()[0]


def is_as(found: dict, wanted: dict) -> None:
    assert {name: found.get(name) for name in wanted} == wanted


def test_every_order_type_is_placed_by_mouse(exchange):
    """Prices from a rung or the steps beside the field, quantities from the share of what there is:
    the keyboard is not touched."""
    ann = seeded(exchange)
    for count, (label, wanted) in enumerate(TYPES.items(), 2):
        ann.chooses("Buy", label)
        if label != "Market":
            ann.rung("101.00").locator("td.p").click()
        ann.ticket.get_by_role("button", name="Quantity up").click()
        places = {name: each for name, each in wanted.items() if name in ("price", "stopPrice")}
        for name, each in places.items():
            if each is not None:
                step_to(ann, "Price" if name == "price" else "Stop at", each)
        ann.places()
        found = latest(ann, count)
        is_as(found, {"type": wanted["type"], "status": wanted["status"], "side": "BUY"})
        assert float(found["quantity"]) > 0


def step_to(person: Person, field: str, price: str) -> None:
    """Press the steps beside a field: a tick below what a rung has filled in, or above it."""
    up = float(price) > 100
    word = "up" if up else "down"
    if not person.field(field).input_value():
        person.ticket.get_by_role("button", name=f"{field} {word}").click()
    person.ticket.get_by_role("button", name=f"{field} {word}").click()
    expect(person.field(field)).not_to_have_value("")


def test_every_order_type_is_placed_by_keyboard_alone(exchange):
    """A letter for the side, a digit for the type, numbers in the fields, Enter."""
    ann = seeded(exchange)
    keys = ann.page.keyboard
    for count, (label, wanted) in enumerate(TYPES.items(), 2):
        keys.press("Escape")
        ann.page.locator("#ticket").focus()
        keys.press(str(list(TYPES).index(label) + 1))
        keys.press("b")
        for value in (wanted.get("stopPrice"), wanted.get("price"), "2"):
            if value is not None:
                focused = ann.page.evaluate("document.activeElement.id")
                assert focused.startswith("field-"), f"{label}: {focused}"
                keys.press("Control+a")
                keys.type(value)
                if value != "2":
                    tab_to_field(ann)
        keys.press("Enter")
        is_as(latest(ann, count), {**wanted, "side": "BUY", "quantity": "2"})


def tab_to_field(person: Person) -> None:
    """The next number of the form."""
    for _ in range(6):
        person.page.keyboard.press("Tab")
        if person.page.evaluate("document.activeElement.id").startswith("field-"):
            return
    raise AssertionError("no field follows")


@pytest.mark.parametrize("by", ["mouse", pytest.param("keyboard", marks=pytest.mark.slow)])
def test_terms_and_a_pair_are_placed(exchange, by):
    """Post-only, iceberg, good till a time, a minimum, and one that cancels the other."""
    ann = seeded(exchange)

    def press(name: str, role: str = "button") -> None:
        control = ann.ticket.get_by_role(role, name=re.compile(f"{name}$"))
        if by == "mouse":
            control.click()
            return
        control.focus()
        ann.page.keyboard.press("Space")

    ann.chooses("Buy", "Limit").fills_in(Price="99", Quantity="4")
    press("Post-only")
    press("Iceberg")
    ann.fills_in(Shows="1")
    press("GTD", "radio")
    ann.fills_in(Until="2099-01-01 10:00")
    ann.places()
    is_as(latest(ann, 2), {
        "postOnly": "REJECT", "displayQuantity": "1", "timeInForce": "GTD",
        "expireTime": "4070944800000000000", "status": "NEW",
    })  # fmt: skip
    for name in ("Post-only", "Iceberg"):
        press(name)
    press("GTC", "radio")
    press("OCO stop", "radio")
    ann.field("Stop at").fill("120")
    ann.places()
    wait_until(lambda: len(ann.orders()) == 4)
    limit, stop = ann.orders()[:2]
    assert (stop["type"], stop["status"], limit["ocoWith"]) == (
        "STOP", "SUSPENDED", stop["clientOrderId"],
    )  # fmt: skip
    rows = ann.tab("Open").locator("tbody[data-order]")
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="OCO")).to_have_count(1)
