"""The account view: API keys and what signs with them, logins, the second factor, the password."""

import re
import shutil
import subprocess
from base64 import b32decode

import pytest
from playwright.sync_api import expect

from oms.gateways.signatures import totp
from tests.console.people import Person, Rest, S
from tests.web.served import PASSWORD

STEP_NS = 30 * 10**9


@pytest.fixture
def ann(exchange) -> Person:
    found = exchange.person("ann").opens().signs_in().goes_to("Keys")
    expect(
        found.panel("Signed in").get_by_role("row").filter(has_text="this browser")
    ).to_be_visible()
    return found


def test_a_key_is_made_shown_once_used_and_revoked(ann):
    """The lines for a shell, with the key in them, place an order; after that its secret is nowhere
    in the page, also after a reload; once it is revoked the same lines are refused."""
    new = ann.panel("New key")
    new.get_by_label("Name").fill("bot")
    new.get_by_role("button", name="Make key").click()
    key = new.get_by_label("Key", exact=True).input_value()
    secret = new.get_by_label("Secret", exact=True).input_value()
    lines = ann.page.get_by_role("region", name="Lines for a shell").inner_text()
    shell = lines.replace("OMS_KEY=...; OMS_SECRET=...", f"OMS_KEY={key}; OMS_SECRET={secret}")
    if shutil.which("curl") and shutil.which("openssl"):
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60)
        assert '"clientOrderId":"first-1"' in done.stdout, done.stdout + done.stderr
    new.get_by_role("button", name="I have kept it").click()
    for _ in range(2):
        keys = ann.panel("API keys").get_by_role("row").filter(has_text="bot")
        expect(keys).to_contain_text("read, trade")
        assert secret not in ann.page.content()
        ann.page.reload()
    ann.panel("API keys").get_by_role("button", name="Revoke bot").click()
    question = ann.panel("API keys").locator(".question")
    question.get_by_role("button", name="Revoke bot").click()
    expect(ann.page.get_by_text("No keys yet")).to_be_visible()
    if shutil.which("curl") and shutil.which("openssl"):
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60)
        assert "SIGNATURE_INVALID" in done.stdout
    assert [each["symbol"] for each in ann.orders()] in ([S], [])


def test_a_refused_key_is_read_under_its_form(ann):
    new = ann.panel("New key")
    new.get_by_label("Name").fill("bot")
    new.get_by_label(re.compile("^From these addresses")).fill("10.20.0.0/99")
    new.get_by_role("button", name="Make key").click()
    expect(new.locator(".refusal code")).to_be_visible()
    expect(new.locator(".refusal")).to_contain_text("Addresses: expected")


def test_the_second_factor_is_turned_on_and_asked_for(ann):
    """By the key that is shown; the next sign-in wants a code of it."""
    panel = ann.panel("Second factor")
    panel.get_by_role("button", name="Set it up…").click()
    secret = panel.get_by_label("Key for the authenticator").input_value()
    panel.get_by_label("Code").fill("000000")
    panel.get_by_role("button", name="Turn it on").click()
    expect(panel.locator(".refusal code")).to_contain_text("CODE_INVALID")
    now_ns = int(ann.rest.good("GET", "/time")["serverTimeNs"])
    panel.get_by_label("Code").fill(totp(secret_bytes(secret), now_ns // STEP_NS))
    panel.get_by_role("button", name="Turn it on").click()
    expect(panel).to_contain_text("Turn it off")
    assert ann.rest.ask("POST", "/login", {"username": "ann", "password": PASSWORD}).status == 202


def secret_bytes(text: str) -> bytes:
    return b32decode(text + "=" * (-len(text) % 8))


def test_another_password_ends_every_login(ann, exchange):
    panel = ann.panel("Password")
    panel.get_by_label("Password now").fill("not it")
    panel.get_by_label(re.compile("^New password")).fill("another horse battery")
    panel.get_by_role("button", name="Change it").click()
    expect(panel.locator(".refusal code")).to_be_visible()
    panel.get_by_label("Password now").fill(PASSWORD)
    panel.get_by_label(re.compile("^New password")).fill("another horse battery")
    panel.get_by_role("button", name="Change it").click()
    expect(ann.page.get_by_text("Signed out", exact=True)).to_be_visible()
    assert ann.rest.ask("GET", "/me").status == 401
    said = {"username": "ann", "password": "another horse battery"}
    assert Rest(exchange.url).ask("POST", "/login", said).status == 200
