"""A browser for tests of the console: Chromium of this machine, one page a person.

Every page is watched: a console error, a violation of the content security policy, an exception
that nobody caught, or a request to another origin fails the test that opened it.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VARIABLE = "OMS_TEST_CHROMIUM"
WAIT_MS_MAX = 30_000
# A server that restarts, and answers that refuse, are told by the browser itself as errors.
EXPECTED = ("Failed to load resource", "WebSocket connection to")


def chromium() -> str:
    """Where the browser is; "" if there is none."""
    named = os.environ.get(VARIABLE, "")
    if named:
        return named if Path(named).is_file() else ""
    return next((found for name in NAMES if (found := shutil.which(name))), "")


def launched(driver: Playwright) -> Browser:
    """A headless browser, to be closed by whoever asked for it."""
    # Chromium's own sandbox needs what root and most containers do not have.
    arguments = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
    return driver.chromium.launch(executable_path=chromium(), args=arguments)


class Watched:
    """What went wrong in the pages of a test."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def context(self, browser: Browser, url: str, **options: object) -> BrowserContext:
        """A browser of one person: no cookie, storage or cache is shared with another."""
        made = browser.new_context(base_url=url, **options)  # type: ignore[arg-type]
        made.set_default_timeout(WAIT_MS_MAX)
        made.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => console.error("
            "`policy violated: ${event.violatedDirective} ${event.blockedURI}`))"
        )
        host = urlsplit(url).hostname
        made.on("request", lambda request: self._check_host(request, host))
        return made

    def page(self, context: BrowserContext) -> Page:
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(EXPECTED):
            self.faults.append(f"console: {message.text} ({message.location})")

    def _check_host(self, request: Request, host: str | None) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != host:
            self.faults.append(f"request to elsewhere: {request.url}")


@contextmanager
def watched() -> Iterator[Watched]:
    """Fails at its end if something went wrong meanwhile."""
    found = Watched()
    yield found
    assert not found.faults, found.faults
