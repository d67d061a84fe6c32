"""The page lives on: over a restart of the daemon, and until its login ends."""

import random

import pytest
from playwright.sync_api import expect

from tests.console.people import Person, S
from tests.processes import wait_until

SEED = 20_261_129


def test_a_restart_loses_nothing_and_needs_no_reload(exchange):
    """The daemon is killed under two open pages; a third person trades while it is back already."""
    ann, bob = (exchange.person(name).opens().signs_in() for name in ("ann", "bob"))
    ann.chooses("Sell", "Limit").fills_in(Price="101", Quantity="3").places()
    bob.chooses("Buy", "Limit").fills_in(Price="101", Quantity="1").places()
    expect(bob.tab("Fills").get_by_role("row").filter(has_text="Bought")).to_have_count(1)
    for each in (ann, bob):
        expect(each.rung("101.00").locator("td.a")).to_have_text("2.0000")
        each.page.evaluate("window.isSamePage = true")

    # when the daemon dies, then the pages say so at once, and keep what they have
    exchange.daemon.kill()
    expect(ann.page.locator("body")).to_have_attribute("data-link", "down")
    expect(ann.page.locator("#link-text")).to_contain_text("Reconnecting")
    expect(ann.panel("Ladder").get_by_text("stale")).to_be_visible()
    expect(ann.rung("101.00").locator("td.a")).to_have_text("2.0000")

    # when it is there again, and Bob's order of another client fills before the pages are back
    exchange.restart()
    bob.sends("BUY", "0.5", "101")

    # then both are live, in the same page, signed in, and know what happened meanwhile
    for each in (ann, bob):
        each.is_live()
        expect(each.page.locator("#who-name")).to_have_text(each.name)
        expect(each.rung("101.00").locator("td.a")).to_have_text("1.5000")
        assert each.page.evaluate("window.isSamePage") is True
    expect(bob.tab("Fills").get_by_role("row").filter(has_text="Bought")).to_have_count(2)
    expect(ann.tab("Fills").get_by_role("row").filter(has_text="Sold")).to_have_count(2)
    bob.chooses("Buy", "Limit").fills_in(Price="101", Quantity="1.5").places()
    expect(bob.refusal).to_contain_text("Filled 1.5")
    expect(ann.tab("Open")).to_contain_text("No open orders")


def test_a_revoked_login_is_signed_out_within_5_s(exchange):
    """Ann ends it from another browser; an order of hers is seen no more."""
    ann = exchange.person("ann").opens().signs_in()
    ann.chooses("Buy", "Limit").fills_in(Price="99", Quantity="1").places()
    expect(ann.tab("Open").locator("tbody[data-order]")).to_have_count(1)
    other = exchange.at_browser("ann", ann.rest).opens().signs_in().goes_to("Keys")
    logins = other.panel("Signed in")
    expect(logins.get_by_role("row").filter(has_text="this browser")).to_have_count(1)
    other.page.get_by_role("button", name="Sign out the others…").click()
    logins.get_by_role("button", name="End", exact=True).click()
    expect(ann.page.get_by_role("tabpanel", name="Sign in")).to_be_visible(timeout=5_000)
    expect(ann.tab("Open")).to_contain_text("Sign in in the order panel")
    expect(logins.get_by_role("row").filter(has_text="this browser")).to_have_count(1)
    ann.is_live()  # the market is public


def random_orders(makers: list[Person], count: int) -> None:
    """So many orders near 100 by REST, of which many trade; and cancels of earlier ones."""
    chance, placed = random.Random(SEED), list[tuple[Person, str]]()
    for start in range(0, count, 20):
        for maker in makers:
            batch = []
            for _ in range(min(20, count - start) // len(makers)):
                price = f"{100 + chance.randint(-8, 8) * 0.01:.2f}"
                side = "BUY" if chance.random() < 0.5 else "SELL"
                batch.append({
                    "symbol": S, "side": side, "price": price,
                    "quantity": str(chance.randint(1, 9)),
                })  # fmt: skip
            for each in maker.rest.good("POST", "/orders", batch):
                if "order" in each and each["order"]["status"] == "NEW":
                    placed.append((maker, each["order"]["orderId"]))
        for _ in range(min(5, len(placed))):
            maker, order_id = placed.pop(chance.randrange(len(placed)))
            maker.rest.ask("DELETE", "/order", {"orderId": order_id})  # it may have traded: refused


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_the_ladder_equals_depth_after_random_orders(exchange, count):
    """Rung by rung, at the finest step; the page heard all of it as updates."""
    ann = exchange.person("ann", viewport={"width": 1440, "height": 1_300})
    makers = [exchange.person(name) for name in ("mia", "max")]
    makers[0].sends("SELL", "5", "100.05")
    ann.opens()
    expect(ann.rung("100.05").locator("td.a")).to_have_text("5.0000")
    random_orders(makers, count)
    ann.page.get_by_label("Price step of the ladder").select_option("1")
    depth = ann.rest.good("GET", f"/depth?symbol={S}&limit=1000")
    wanted = {
        (f"{float(price):.2f}", side): f"{float(quantity):.4f}"
        for side, levels in (("bid", depth["bids"]), ("ask", depth["asks"]))
        for price, quantity in levels
    }
    assert len(wanted) > 5
    wait_until(lambda: ladder_of(ann) == wanted, 10)


def ladder_of(person: Person) -> dict[tuple[str, str], str]:
    """What the ladder shows: price and side -> quantity."""
    rows = person.page.locator("#ladder tbody tr").evaluate_all(
        "rows => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    return {
        (price.replace(",", ""), side): text.replace(",", "")
        for _, bid, price, ask, _ in rows
        for side, text in (("bid", bid), ("ask", ask))
        if text
    }
