"""Daemons and browsers for tests of the console.

Without the extra `browser`, or without a Chromium, these tests are skipped and say so.
"""

import pytest

pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
pytest.importorskip("httpx")

from playwright.sync_api import sync_playwright

from tests.console.browsing import VARIABLE, chromium, launched, watched
from tests.console.people import Exchange


@pytest.fixture(scope="package")
def browser():
    """One for all tests. Its driver runs an event loop on this thread, so it ends with them."""
    if not chromium():
        pytest.skip(f"no Chromium: install the package chromium, or name one in {VARIABLE}")
    with sync_playwright() as driver:
        found = launched(driver)
        yield found
        found.close()


@pytest.fixture
def watch():
    """What the pages of one test do wrong fails it."""
    with watched() as found:
        yield found


@pytest.fixture
def start_exchange(browser, watch, tmp_path):
    """Daemons of a test's own, with settings beside those of tests/web/served.py."""
    started = []

    def start(**changes):
        started.append(Exchange(browser, watch, tmp_path / f"data{len(started)}", changes))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def exchange(start_exchange):
    return start_exchange()
