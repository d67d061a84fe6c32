"""The programs that docs/client.md prints: typed as they stand there, against the sandbox."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from oms import OrderRequest
from oms.gateways.client import ControlClient
from tests.processes import wait_until
from tests.web.sandboxed import Served

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/client.md").read_text("utf-8")
BOT, ENDS, OPERATOR, BEGIN, MANY = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def sandbox(directory):
    """With agents that trade. The words that its user types behind a program."""
    with Served(directory, "--agents", 50) as served:
        told = served.wait_for("The token is")
        found = re.search(r"Sign in as (\w+), password (\w+)", told)
        words = served.urls[0], *found.groups(), "BTC_USD"
        from oms.client import Client

        with Client(words[0]) as oms:
            wait_until(lambda: len(oms.recent_trades("BTC_USD")) > 3)
            wait_until(lambda: all(oms.get_depth("BTC_USD", 1)))
        yield words


def typed(program, directory, words):
    """What it printed."""
    path = directory / "bot.py"
    path.write_text(program)
    done = subprocess.run(
        [sys.executable, str(path), *words], capture_output=True, text=True, timeout=120,
        check=False, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_bot_trades_as_printed(sandbox, tmp_path):
    assert len([line for line in BOT.splitlines() if line]) <= 15
    *trades, position = typed(BOT, tmp_path, sandbox)
    assert len(trades) == 5
    for line in trades:
        assert re.fullmatch(r"(BUY|SELL) (FILLED \d+(\.\d+)?|CANCELED .*)", line), line
    assert "BTC_USD" in position


def test_the_order_with_its_ends_works_as_printed(sandbox, tmp_path):
    reserves, bought, pair, *moved = typed(ENDS, tmp_path, sandbox)
    assert re.fullmatch(r"reserves [1-9]\d*(\.\d+)?", reserves)
    assert (bought, pair) == ("FILLED", "SUSPENDED NEW")
    assert [line.split()[0] for line in moved][:1] == ["TRADE"]


def test_the_operator_s_script_works_as_printed(sandbox, directory, tmp_path):
    """The user that the sandbox made is made an operator, as the sandbox says how to."""
    with ControlClient.connect(directory / "sandbox") as control:
        told = control.ask({
            "request": "SET_ROLE", "account": "operator", "client_order_id": "role",
            "user": sandbox[1], "facts": {"role": "operator"},
        })  # fmt: skip
    assert not told["response"]["refused"]
    figures, halted, resumed, *actions = typed(OPERATOR, tmp_path, sandbox)
    assert re.fullmatch(r"[\d.]+ traded, \d+ open", figures)
    assert halted == "trading=HALTED HALTED"
    assert re.fullmatch("trading=ACTIVE (REOPENING_AUCTION|CONTINUOUS)", resumed)
    assert actions == [
        "SET_TRADING BTC_USD ACTIVE prices checked", "SET_TRADING BTC_USD HALTED wrong prices"
    ]  # fmt: skip


def test_the_program_of_asyncio_works_as_printed(sandbox, tmp_path):
    lines = typed(MANY, tmp_path, sandbox)
    assert len(lines) == 50
    assert all(re.fullmatch(r"[\w-]+ [A-Z_]+", line) for line in lines)
    assert "many-0 NEW" in lines


def test_the_beginning_works_as_printed(sandbox, capsys):
    from oms.client import Client

    url, user, password, symbol = sandbox
    scope = {}
    exec(compile(BEGIN, "client.md", "exec"), scope)
    with Client(url, user=user, password=password) as oms:
        seq = scope["begin"](oms, user, 0)
        oms.submit(OrderRequest.new(user, "mine", symbol, "BUY", "0.01", "0.01")).result()
        assert scope["begin"](oms, user, seq) > seq
        oms.submit(OrderRequest.cancel(user, "mine-2", "mine")).result()
    told = capsys.readouterr().out
    assert "missed NEW mine NEW" in told and "open mine 0.01" in told
