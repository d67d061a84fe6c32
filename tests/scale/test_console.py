"""The console at one door for the markets of two groups, in a Chromium."""

import re

import pytest

pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")

from playwright.sync_api import expect, sync_playwright

from tests.console.browsing import VARIABLE, WAIT_MS_MAX, chromium, launched, watched
from tests.console.people import WIDE, Person
from tests.scale.servers import wait_for
from tests.scale.split import EngineThreads
from tests.scale.test_one_door import GROUPS, order


@pytest.fixture
def door(start_split):
    return start_split(market_groups=GROUPS)


@pytest.fixture
def opened(door):
    """Opens the console for a user; what a page does wrong fails the test."""
    if not chromium():
        pytest.skip(f"no Chromium: install the package chromium, or name one in {VARIABLE}")
    expect.set_options(timeout=WAIT_MS_MAX)
    with watched() as watch, sync_playwright() as driver:
        browser = launched(driver)

        def open_for(name):
            context = watch.context(browser, door.url, viewport=WIDE)
            return Person(name, watch.page(context), None).opens().signs_in()

        yield open_for
        browser.close()


def test_orders_fills_and_money_of_both_groups_are_live_at_one_page(door, opened):
    """Orders of the same order id in two groups are two rows, and each is canceled alone."""
    ann, bob = door.user("ann"), door.user("bob")
    page = opened("ann")

    # given orders in both groups, among them two of one order id
    ids = {"BTC_USD": {}, "TATA_INR": {}}
    both, count = set(), 0
    while not both:  # their journals may be some entries apart
        for symbol in ids:
            told = order(ann, symbol, f"a-{count}", price=f"{80 + count}")
            ids[symbol][told["orderId"]] = told["clientOrderId"]
            count += 1
        both = ids["BTC_USD"].keys() & ids["TATA_INR"].keys()
    rows = page.tab("Open").locator("tbody[data-order]")
    expect(rows).to_have_count(count)
    order_id = min(both)

    # when one of the two is canceled and the other is changed
    usd, inr = (page.page.locator(f'tbody[data-order="{s} {order_id}"]') for s in ids)
    usd.get_by_role("button", name=re.compile("Cancel")).click()
    expect(rows).to_have_count(count - 1)
    inr.get_by_role("button", name=re.compile("Modify")).click()
    inr.get_by_role("textbox", name="Price").fill("70")
    page.page.keyboard.press("Enter")

    # then the order of the one group is gone, and that of the other has its new price
    expect(inr.locator(".px")).to_contain_text("70")
    named = {s: ids[s][order_id] for s in ids}
    wait_for(lambda: ann.ask("GET", f"/order?clientOrderId={named['TATA_INR']}").json()["price"] in
             ("70", "70.00"))  # fmt: skip
    gone = ann.ask("GET", f"/order?clientOrderId={named['BTC_USD']}").json()
    assert gone["status"] == "CANCELED"

    # and fills of both are told as they happen, and money of both ledgers
    for symbol in ids:
        order(bob, symbol, f"b-{symbol}", "SELL", "60")
    fills = page.tab("Fills").locator("tbody tr:visible")
    expect(fills).to_have_count(2)
    balances = {e["asset"]: e for e in ann.ask("GET", "/balance").json()["balances"]}
    for asset in ("USD", "INR"):
        whole = balances[asset]["available"].split(".")[0]
        expect(page.available(asset)).to_have_text(re.compile(f"^{int(whole):,}"))
    for tab in ("History", "Money"):
        expect(page.tab(tab).locator("tbody tr:visible").first).to_be_visible()


@pytest.mark.slow
def test_the_kill_switch_says_what_it_would_cancel_in_all_groups(door, opened):
    """And the record has the command of each group."""
    ann = door.user("ann")
    door.user("olga", "operator")
    order(ann, "BTC_USD", "a-1")
    order(ann, "TATA_INR", "a-2")
    olga = opened("olga").goes_to("Operate")
    kill = olga.panel("Kill switch")
    kill.get_by_role("button", name="What would happen…").click()
    expect(kill.locator(".will")).to_contain_text("2 open orders of 1 account is canceled")
    expect(kill.locator(".will")).to_contain_text("all 2 markets")
    kill.get_by_label("Why").fill("a drill")
    kill.get_by_label("Type KILL EVERYBODY").fill("KILL EVERYBODY")
    kill.get_by_role("button", name="Stop all trading").click()
    expect(olga.page.locator("#banner-text")).to_contain_text("stopped for everybody")
    assert ann.ask("GET", "/orders/open").json()["orders"] == []
    for group in ("usd", "inr"):
        entry = olga.page.get_by_role("button", name=re.compile(f"Explain journal entry {group} "))
        expect(entry.first).to_be_visible()
    entry.first.click()
    expect(olga.page.locator("#record-panel h3")).to_be_visible()


@pytest.mark.slow
def test_only_the_group_that_is_silent_is_shown_as_stale(door, opened):
    """Its market is; the other one trades on. It is live again once its engine is back."""
    ann = door.user("ann")
    page = opened("ann")
    page.page.goto("/#view=trade&sym=TATA_INR")
    page.is_live()
    door.engines["inr"].stop()
    expect(page.page.locator("body")).to_have_attribute("data-link", "stale")
    page.page.goto("/#view=trade&sym=BTC_USD")
    page.is_live()
    order(ann, "BTC_USD", "a-1")
    expect(page.tab("Open").locator("tbody[data-order]")).to_have_count(1)
    config = door.config.of_group("inr")
    door.engines["inr"] = EngineThreads(door.directory / "engine-inr", config, "inr", None)
    page.page.goto("/#view=trade&sym=TATA_INR")
    page.is_live()
    wait_for(lambda: door.remote.links["inr"].alive)
    order(ann, "TATA_INR", "a-2")
    expect(page.tab("Open").locator("tbody[data-order]")).to_have_count(2)
