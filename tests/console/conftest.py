"""Daemons and browsers for tests of the console.

Without the extra `browser`, or without a Chromium, these tests are skipped and say so.
"""

from contextlib import contextmanager

import pytest

pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
pytest.importorskip("httpx")

from playwright.sync_api import expect, sync_playwright

from tests.console.browsing import VARIABLE, WAIT_MS_MAX, chromium, launched, watched
from tests.console.people import Exchange


@pytest.fixture(scope="package")
def browser():
    """One for all tests. Its driver runs an event loop on this thread, so it ends with them."""
    if not chromium():
        pytest.skip(f"no Chromium: install the package chromium, or name one in {VARIABLE}")
    expect.set_options(timeout=WAIT_MS_MAX)
    with sync_playwright() as driver:
        found = launched(driver)
        yield found
        found.close()


@contextmanager
def exchanges(browser, directory):
    """Daemons and their people; none outlives the block, and what a page does wrong fails it."""
    with watched() as watch:
        started = []

        def start(**changes):
            started.append(Exchange(browser, watch, directory / f"data{len(started)}", changes))
            return started[-1]

        try:
            yield start
        finally:
            for each in started:
                each.close()


@pytest.fixture
def start_exchange(browser, tmp_path):
    """Daemons of a test's own, with settings beside those of tests/web/served.py."""
    with exchanges(browser, tmp_path) as start:
        yield start


@pytest.fixture
def exchange(start_exchange):
    return start_exchange()


@pytest.fixture(scope="module")
def start_shared(browser, tmp_path_factory):
    """Daemons that all tests of a module share."""
    with exchanges(browser, tmp_path_factory.mktemp("shared")) as start:
        yield start
