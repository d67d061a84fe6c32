"""Fixtures that many tests share."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes import Stepped


@pytest.fixture
def stepped() -> Stepped:
    """A started order manager in memory; nothing happens but by its step()."""
    return Stepped().start()


@pytest.fixture
def start_stepped() -> Callable[..., Stepped]:
    """The same, with a configuration or parts of one's own."""

    def start(*args: Any, **parts: Any) -> Stepped:
        return Stepped(*args, **parts).start()

    return start
