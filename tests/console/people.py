"""People at the console: each with a browser of their own, at one daemon.

What they see and press is found as a screen reader finds it: by role and name.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from oms.gateways.client import ControlClient
from tests.console.browsing import Watched
from tests.web.served import PASSWORD, Answer, Daemon, Session

S = "BTC_USD"
WIDE = {"width": 1440, "height": 900}


class Rest(Session):
    """A user over REST, by a connection for each request: a page may keep a test busy for longer
    than the daemon leaves one open."""

    def ask(
        self, method: str, path: str, said: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        try:
            return super().ask(method, path, said, headers)
        finally:
            self.close()


class Exchange:
    """A daemon, and the people who look at it. changes: settings by section."""

    def __init__(
        self, browser: Browser, watch: Watched, directory: Path,
        changes: Mapping[str, Mapping[str, str]],
    ) -> None:  # fmt: skip
        self._browser, self._watch = browser, watch
        self._directory, self._changes = directory, dict(changes)
        self._people: list[Person] = []
        self.daemon = Daemon(directory, self._changes)
        self.url = self.daemon.url

    def close(self) -> None:
        for each in self._people:
            each.page.context.close()
        self.daemon.__exit__(None, None, None)

    def restart(self) -> None:
        """kill -9, and the same again at the same address."""
        self.daemon.__exit__(None, None, None)
        listen = self.url.partition("//")[2]
        web = {**self._changes.get("web", {}), "listen": listen}
        self.daemon = Daemon(self._directory, {**self._changes, "web": web})
        assert self.daemon.url == self.url
        for each in self._people:
            each.rest = self._rest(each.name)

    def person(self, name: str, *, role: str = "", **options: Any) -> "Person":
        """Signed up over REST; their page is not open yet. role: as the daemon's owner gives it.
        options: of the browser, such as color_scheme and viewport."""
        self.daemon.sign_up(name)
        if role:
            self._make(name, role)
        return self.at_browser(name, self._rest(name), **options)

    def _rest(self, name: str) -> Rest:
        return Rest(self.url, self.daemon.login(name)["token"])

    def _make(self, name: str, role: str) -> None:
        """By the control socket, as the command `user role` does."""
        control = ControlClient.connect(self._directory)
        assert control is not None
        told = control.ask({
            "request": "SET_ROLE", "account": "operator", "client_order_id": f"role-{name}",
            "user": name, "facts": {"role": role},
        })  # fmt: skip
        control.close()
        assert not told["response"]["refused"], told

    def at_browser(self, name: str, rest: Rest, **options: Any) -> "Person":
        """One who signed up before, at a browser that knows nothing of them."""
        options.setdefault("viewport", WIDE)
        context = self._watch.context(self._browser, self.url, **options)
        self._people.append(Person(name, self._watch.page(context), rest))
        return self._people[-1]


class Person:
    """One who sits at the console. rest: the same user over REST."""

    def __init__(self, name: str, page: Page, rest: Rest) -> None:
        self.name, self.page, self.rest = name, page, rest

    # --- coming in ---

    def opens(self, view: str = "trade") -> "Person":
        """The page is there, and live."""
        self.page.goto(f"/#view={view}")
        self.is_live()
        return self

    def is_live(self) -> None:
        expect(self.page.locator("body")).to_have_attribute("data-link", "live")

    def signs_in(self) -> "Person":
        """In the place of the order form, as everybody does."""
        form = self.page.get_by_role("tabpanel", name="Sign in")
        form.get_by_label("User name or e-mail").fill(self.name)
        form.get_by_label("Password").fill(PASSWORD)
        form.get_by_role("button", name="Sign in").click()
        expect(self.page.locator("#who-name")).to_have_text(self.name)
        return self

    def goes_to(self, view: str) -> "Person":
        self.page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()
        return self

    # --- what is seen ---

    def panel(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name, exact=True)

    @property
    def ticket(self) -> Locator:
        return self.page.locator("#ticket")

    @property
    def refusal(self) -> Locator:
        """What the order form says of the order."""
        return self.page.locator("#ticket-refusal")

    def tab(self, name: str) -> Locator:
        """The panel of own orders, with this of its tabs open."""
        tabs = self.page.get_by_role("tablist", name="Your account")
        tabs.get_by_role("tab", name=re.compile(f"^{name}")).click()
        return self.page.locator("#blotter-panel")

    def rung(self, price: str) -> Locator:
        """The row of the ladder at a price."""
        cell = self.page.get_by_role("cell", name=price, exact=True)
        return self.page.locator("#ladder tbody tr").filter(has=cell)

    def available(self, asset: str) -> Locator:
        row = self.page.locator("#balances tbody tr").filter(has_text=asset)
        return row.locator("td").nth(1)

    # --- orders ---

    def chooses(self, *radios: str) -> "Person":
        for name in radios:
            self.ticket.get_by_role("radio", name=name, exact=True).click()
        return self

    def fills_in(self, **fields: str) -> "Person":
        for name, text in fields.items():
            self.field(name.replace("_", " ")).fill(text)
        return self

    def field(self, name: str) -> Locator:
        """A number of the order form."""
        return self.ticket.get_by_role("textbox", name=name, exact=True)

    def places(self) -> "Person":
        self.ticket.locator("button[type=submit]:visible").click()
        return self

    def orders(self, status: str = "") -> list[dict[str, Any]]:
        """All of them over REST, newest first."""
        query = f"?status={status}" if status else ""
        found: list[dict[str, Any]] = self.rest.good("GET", f"/orders{query}")["orders"]
        return found

    def sends(self, side: str, quantity: str, price: str | None = None, **more: Any) -> Any:
        """An order over REST, past the page."""
        said = {"symbol": S, "side": side, "quantity": quantity, **more}
        said |= {"price": price} if price is not None else {"type": "MARKET"}
        return self.rest.good("POST", "/order", said)
