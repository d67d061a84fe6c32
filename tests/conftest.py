"""Fixtures that many tests share."""

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from oms import Config, MemoryStore, OrderManagement
from oms.errors import StoppedError
from tests.examples import many
from tests.fakes import Stepped, config_of
from tests.teller import Teller

# No test depends on an idle machine.
settings.register_profile(
    "ours", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=many(100)
)
settings.load_profile("ours")

# Tests start the program hundreds of times: what one process compiled, all others read.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


# Files with tests that take long, the proofs with the marker `slow` among them.
LONGEST = (
    "test_sockets_stateful", "test_transfers_stateful", "test_process_power", "test_messages",
    "test_matrix", "test_process_kill", "test_kills", "test_first_hour", "test_door",
    "test_tests_py", "test_process_signals", "test_plain_path", "test_openapi", "test_safety",
    "test_cli", "test_operating", "test_trading", "test_session", "test_transfers",
    "test_exchange_stateful", "test_living", "test_views_stateful", "test_benchmarks",
    "test_process_control", "test_groups", "test_market_feed_properties", "test_archive_twin",
)  # fmt: skip


def pytest_xdist_auto_num_workers() -> int:
    """Two a core: half of the time a test waits, for a disk or for another process."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that none is left to run alone at the end."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def pytest_collection_finish() -> None:
    """What was imported and collected is no garbage: it is not walked again and again."""
    gc.freeze()


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


@pytest.fixture
def start_manager() -> Iterator[Callable[..., OrderManagement]]:
    """Start order managers with threads; none outlives the test. tests.fakes.hear() listens."""
    started = []

    def start(config: Config | None = None, **parts: Any) -> OrderManagement:
        parts.setdefault("store", MemoryStore())
        manager = OrderManagement(config or config_of(), **parts)
        manager.reports = SimpleQueue()  # type: ignore[attr-defined]
        manager.add_listener(manager.reports.put)  # type: ignore[attr-defined]
        manager.start()
        started.append(manager)
        return manager

    yield start
    for manager in started:
        with suppress(StoppedError):
            manager.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("mount is not installed")
    mounting = ["mount", "-t", "tmpfs", "-o", "size=16m", "oms-test", str(path)]
    mounted = subprocess.run(mounting, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.fixture
def teller():
    """Ann, Bob, Cid and Dan have 10,000 of everything."""
    return Teller().fund("ann", "bob", "cid", "dan")
