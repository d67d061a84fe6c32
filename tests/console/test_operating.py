"""Operators at the console: markets, accounts, limits, users, the record, and the kill switch."""

import re

import pytest
from playwright.sync_api import expect

from tests.console.people import Person, S
from tests.processes import wait_until
from tests.web.served import PASSWORD


@pytest.fixture(scope="module")
def people(start_shared) -> tuple[Person, Person]:
    """Ann, and an operator who is signed in."""
    exchange = start_shared()
    return exchange.person("ann"), exchange.person("boss", role="operator").opens().signs_in()


@pytest.fixture
def boss(people) -> Person:
    """At Operate; Ann has one order open."""
    return at_operate(*people)


def at_operate(ann: Person, boss: Person) -> Person:
    boss.ann = ann
    ann.rest.good("POST", "/order/cancel_all", {})
    ann.sends("BUY", "1", "99")
    boss.goes_to("Operate")
    boss.page.reload()
    expect(boss.panel("Markets").get_by_role("row").filter(has_text=S)).to_be_visible()
    return boss


def refused_code(person: Person) -> str:
    said = {"symbol": S, "side": "BUY", "price": "98", "quantity": "1"}
    told = person.rest.ask("POST", "/order", said).told
    return str(told["error"]["code"]) if "error" in told else ""


def test_how_the_exchange_is_and_has_been(boss):
    """Session, queue, throttle, commits, latencies over time, refusals, and what operators did."""
    page = boss.page
    expect(boss.panel("Session")).to_contain_text("always open")
    vitals = boss.panel("Vitals")
    for word in ("Queue", "Throttle", "Entries", "Commit", "Sockets", "Refused"):
        expect(vitals.get_by_role("heading", name=word)).to_be_visible()
    expect(vitals).to_contain_text("1 open order")
    boss.ann.rest.ask("POST", "/order", {"symbol": S, "side": "BUY", "price": "9.001",
                                         "quantity": "1"})  # fmt: skip
    refused = boss.panel("Refused since the start")
    expect(refused.get_by_role("row").filter(has_text="PRICE_INVALID")).to_contain_text("1")
    picture = page.get_by_role("img", name=re.compile("^Latency total.*p50 [0-9.]+ ms"))
    expect(picture).to_be_visible(timeout=15_000)
    total = boss.panel("By hop, last minute").get_by_role("row", name=re.compile("^total"))
    expect(total).to_have_text(re.compile(r"^total([0-9.,]+){5}$"))


def test_a_market_is_halted_and_resumed(boss):
    """One line asks, with why; the focus is on the button that changes nothing."""
    markets = boss.panel("Markets")
    markets.get_by_role("button", name=f"Halt or resume {S}").click()
    expect(markets.get_by_role("button", name="Leave it")).to_be_focused()
    markets.get_by_label("Why").fill("a look at it")
    markets.get_by_role("button", name=f"Halt {S}", exact=True).click()
    expect(markets.get_by_role("row").filter(has_text=S)).to_contain_text("Halted")
    assert refused_code(boss.ann) == "MARKET_STATE"
    record = boss.page.locator("#record-panel").get_by_role("row")
    done = record.filter(has_text="set trading").filter(has_text="a look at it")
    expect(done).to_contain_text("boss")
    markets.get_by_role("button", name=f"Halt or resume {S}").click()
    markets.get_by_role("button", name=f"Resume {S}", exact=True).click()
    expect(markets.get_by_role("row").filter(has_text=S)).to_contain_text("Continuous")
    markets.get_by_label(f"Phase of {S} by hand").select_option("PRE_OPEN")
    markets.get_by_role("button", name=f"Set {S}").click()
    expect(markets.get_by_role("row").filter(has_text=S)).to_contain_text("Pre-open")
    boss.rest.good("POST", "/admin/phase", {"symbol": S, "phase": "CONTINUOUS"})


def test_a_call_shows_what_it_would_trade_also_to_a_page_that_comes_later(boss):
    """The feed tells what changes; a page that is opened in a quiet call asks."""
    boss.rest.good("POST", "/admin/phase", {"symbol": S, "phase": "OPENING_AUCTION"})
    boss.ann.sends("BUY", "3", "101")
    boss.sends("SELL", "2", "100")
    boss.goes_to("Trade")
    boss.page.reload()
    told = boss.page.locator("p.call")
    expect(told).to_contain_text("Indicative 101.00: 2 BTC would trade, 1 more to buy")
    boss.rest.good("POST", "/admin/phase", {"symbol": S, "phase": "CONTINUOUS"})
    expect(told).not_to_be_visible()


def test_the_kill_switch_needs_numbers_a_reason_and_the_words(exchange):
    """Nothing happens before the words are right; then all is stopped, told in red to operators,
    and stays so over a restart until it is released with a reason."""
    ann = exchange.person("ann")
    boss = at_operate(ann, exchange.person("boss", role="operator").opens().signs_in())
    kill = boss.panel("Kill switch")
    kill.get_by_role("button", name="What would happen…").click()
    expect(kill).to_contain_text("1 open order of 1 account is canceled")
    expect(kill).to_contain_text("all 1 markets")
    stop = kill.get_by_role("button", name="Stop all trading")
    stop.click(force=True)
    kill.get_by_label("Why").fill("runaway maker")
    kill.get_by_label("Type KILL EVERYBODY").fill("KILL EVERY")
    expect(stop).to_have_attribute("aria-disabled", "true")
    stop.click(force=True)
    boss.page.keyboard.press("Enter")
    assert boss.ann.orders()[0]["status"] == "NEW"
    kill.get_by_label("Type KILL EVERYBODY").fill("KILL EVERYBODY")
    boss.page.keyboard.press("Enter")  # is no press on the button
    assert boss.ann.orders()[0]["status"] == "NEW"
    stop.click()

    wait_until(lambda: boss.ann.orders()[0]["status"] == "CANCELED")
    banner = boss.page.locator("#banner")
    expect(banner).to_contain_text("Trading is stopped for everybody")
    expect(banner).to_contain_text("by boss: runaway maker")
    assert refused_code(boss.ann) == "KILL_SWITCH"
    exchange.daemon.kill()
    expect(boss.panel("Markets").get_by_text("stale")).to_be_visible()
    exchange.restart()
    boss.is_live()
    expect(boss.panel("Markets").get_by_text("stale")).to_be_hidden()
    assert refused_code(boss.ann) == "KILL_SWITCH"
    kill.get_by_role("button", name="Let everybody trade").click()
    expect(kill.locator(".refusal")).to_contain_text("say why", ignore_case=True)
    kill.get_by_label("Why it goes on").fill("maker is off")
    kill.get_by_role("button", name="Let everybody trade").click()
    expect(banner).to_be_hidden()
    assert refused_code(boss.ann) == ""


def test_the_kill_switch_of_one_account(boss):
    kill = boss.panel("Kill switch")
    kill.get_by_role("radio", name="Account").click()
    kill.get_by_label("Account", exact=True).last.fill("ann")
    kill.get_by_role("button", name="What would happen…").click()
    kill.get_by_label("Why").fill("lost its mind")
    kill.get_by_label("Type KILL ann").fill("KILL ann")
    kill.get_by_role("button", name="Stop all trading").click()
    wait_until(lambda: boss.ann.orders()[0]["status"] == "CANCELED")
    assert refused_code(boss.ann) == "ACCOUNT_HALTED"
    boss.page.get_by_role("tab", name="Accounts").click()
    accounts = boss.panel("Users and accounts")
    row = accounts.get_by_role("row").filter(has_text="ann")
    expect(row).to_contain_text("halted")
    row.get_by_role("button", name="Resume ann").click()
    boss.page.locator("#record-panel").get_by_role("button", name="Resume ann").first.click()
    wait_until(lambda: refused_code(boss.ann) == "")


def test_limits_and_users(boss):
    """A limit is set and told; a refused one is read under its form; a user is locked."""
    pane = boss.page.locator("#record-panel")
    boss.page.get_by_role("tab", name="Accounts").click()
    pane.get_by_role("button", name="Limits of ann").click()
    expect(pane).to_contain_text("nothing is limited")
    pane.get_by_label("Limit", exact=True).select_option("open_orders_max")
    pane.get_by_label("Value").fill("1")
    pane.get_by_role("button", name="Set", exact=True).click()
    expect(pane.locator(".limits")).to_contain_text("open_orders_max1")
    assert refused_code(boss.ann) == "OPEN_ORDERS_EXCEED_MAXIMUM"
    pane.get_by_label("Value").fill("")
    pane.get_by_role("button", name="Set", exact=True).click()
    expect(pane.locator(".limits")).to_contain_text("nothing is limited")
    pane.get_by_label("Value").fill("many")
    pane.get_by_role("button", name="Set", exact=True).click()
    expect(pane.locator(".detail .refusal code")).to_contain_text("COMMAND_INVALID")
    said = {"username": "zoe", "email": "zoe@example.com", "password": PASSWORD}
    boss.rest.good("POST", "/admin/users", said)
    boss.page.reload()
    boss.page.get_by_role("tab", name="Accounts").click()
    question = pane.locator(".question")
    pane.get_by_role("button", name="Lock zoe").click()
    question.get_by_label("Why").fill("left us")
    question.get_by_role("button", name="Lock zoe").click()
    expect(pane.get_by_role("row").filter(has_text="zoe")).to_contain_text("locked")
    signing_in = {"username": "zoe", "password": PASSWORD}
    assert boss.rest.ask("POST", "/login", signing_in).status == 403


def test_any_order_is_explained(boss):
    pane = boss.page.locator("#record-panel")
    boss.ann.sends("BUY", "2", "98", clientOrderId="a-1")
    boss.page.get_by_role("tab", name="Explain").click()
    pane.get_by_role("textbox", name=re.compile("^Order")).fill("a-1")
    pane.get_by_role("button", name="Explain").click()
    expect(pane.locator(".refusal")).to_contain_text("Account: expected whose clientOrderId it is")
    pane.get_by_role("textbox", name=re.compile("^Account")).fill("ann")
    pane.get_by_role("button", name="Explain").click()
    story = boss.panel("The story of one order")
    expect(story).to_contain_text('request "a-1": BUY 2 BTC_USD at 98')
    expect(story).to_contain_text("the order is open: NEW")
    boss.page.get_by_role("tab", name="Operators").click()
    role = pane.get_by_role("row").filter(has_text="set role")
    role.get_by_role("button", name=re.compile("^Explain journal entry")).click()
    expect(story).to_contain_text("SET_ROLE, user boss")


def test_who_is_no_operator_sees_none_of_it(exchange):
    ann = exchange.person("ann").opens().signs_in()
    expect(ann.page.get_by_role("link", name="Operate")).to_be_hidden()
    ann.page.goto("/#view=operate")
    expect(ann.page.get_by_text("For operators")).to_be_visible()
    expect(ann.page.get_by_role("heading", name="Kill switch")).to_be_hidden()
