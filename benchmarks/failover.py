"""A group's engine is killed: from kill -9 to the first order that the next one answers.

Claimed: within 5 s, with 1,000,000 journal entries behind it.

The roles are processes of their own: `engine`, which has its journal in Postgres, `engine
--standby` beside it, an `api`, and Redis between them. The journal is made before by the real
dispatcher, stepped by hand, --batch requests a turn (Flow in client.py, with 20,000 orders open),
with a snapshot as old as it can be by default. The one that stands by has followed the journal to
its end when the other one is killed (it takes next to no processor time any more). Inside the timed
part: the kill, the server letting go of the lock, the wait for it (seconds_to_lock), reading on to
the end, counting what is beside the journal, journaling that a process began, becoming the group's
engine in Redis and telling what is missing there; one order, which a client sent to the api by REST
right after the kill, its way there, commit and way back. Outside: making the journal, starting the
processes. --cold: the next one is started after the kill.

A machine that vanishes, instead of a process that is killed, is noticed by the server's keep-alives
within 10 s more: that is a setting, and not measured here.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from client import Flow, config, stepped
from common import TREE, Claim, Figures, parser, report, skip, without_postgres
from recovery import NEVER, take_snapshot
from streams import own_redis, program, wait_for
from top_cost import cpu_per_s, cpu_s
from web_orders import signed_in

from oms import OrderManagement
from oms.config import StoreConfig

CLAIMS = [Claim("seconds_to_first_answer", "<=", 5)]
SERVER = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB"}
SETTINGS = {
    "OMS__SESSION__ALWAYS_OPEN": "yes", "OMS__THROTTLE__POLICY": "off",
    "OMS__EXCHANGE__SELF_TRADE": "none", "OMS__WEB__SIGN_UP": "yes",
    "OMS_MASTER_SECRET": "a secret that is long enough for benchmarks",
}  # fmt: skip
START_S, ANSWER_S = 300.0, 60.0
LOOK_S, QUIET = 0.5, 0.2  # of a core: less is a look at the lock ten times a second, and no reading


class Role:
    """A process with a directory of its own. told: what it says."""

    def __init__(self, stack: ExitStack, place: Path, given: dict[str, str], *words: str) -> None:
        place.mkdir()
        self._output = place / "told.txt"
        command = [str(TREE / "order_management.py"), *words, "--data-dir", str(place)]
        with self._output.open("wb") as told:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, **SETTINGS, **given}, stdout=told, stderr=told,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        stack.callback(self.kill)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait_for(self, word: str) -> str:
        """Until it says that; the rest of the line."""
        wait_for(lambda: word in self.told() or self.process.poll() is not None, START_S)
        if word not in self.told():
            raise SystemExit(f"it ended: {self.told()}")
        return self.told().partition(word)[2].partition("\n")[0].strip()

    def told(self) -> str:
        return self._output.read_text(errors="replace")


def measure(args: argparse.Namespace) -> Figures:
    from tests.scale.postgres.servers import PostgresServer

    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(None, **SERVER))
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=args.directory)))
        redis = stack.enter_context(own_redis(place))
        dsn = server.new_database()
        figures = build(dsn, args)
        given = {
            "OMS__SCALE__REDIS_URL": redis.url, "OMS__STORE__KIND": "postgres",
            "OMS__STORE__DSN": dsn, "OMS__STORE__DURABILITY": "full",
        }  # fmt: skip
        active = Role(stack, place / "active", given, "engine")
        active.wait_for("engine: group")
        api = Role(stack, place / "api", given, "api", "--port", "0")
        url = api.wait_for("api: ")
        wait_for(lambda: answered(url, "GET", "/ready"))
        token = signed_in(url, "ann")
        if not args.cold:
            standby = Role(stack, place / "standby", given, "engine", "--standby")
            begun = time.perf_counter()
            standby.wait_for("standing by")
            while cpu_per_s(standby.process.pid, LOOK_S) > QUIET:
                pass
            figures["seconds_to_follow"] = time.perf_counter() - begun
        cpu = 0.0 if args.cold else cpu_s(standby.process.pid)
        start = time.perf_counter()
        active.kill()
        client = Client(url, token)
        client.start()
        if args.cold:
            standby = Role(stack, place / "standby", given, "engine", "--standby")
        standby.wait_for("taking over")
        figures["seconds_to_lock"] = time.perf_counter() - start
        client.join(ANSWER_S)
        figures["seconds_to_first_answer"] = client.answered_s - start
        figures["cpu_seconds"] = cpu_s(standby.process.pid) - cpu
        return figures


class Client(threading.Thread):
    """Sends one order until it is answered. answered_s: when."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(daemon=True)
        self._url, self._token = url, token
        self.answered_s = float("inf")

    def run(self) -> None:
        said = {"clientOrderId": "after", "symbol": "TATA_INR", "side": "BUY", "quantity": "1",
                "price": "0.05"}  # fmt: skip
        while not answered(self._url, "POST", "/order", said, self._token):
            time.sleep(0.01)
        self.answered_s = time.perf_counter()


def answered(url: str, method: str, path: str, said: object = None, token: str = "") -> bool:
    """By yes: no is an answer that it is not known, or cannot be taken now."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_S)
    try:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, json.dumps(said) if said else None, headers)
        answer = connection.getresponse()
        text = answer.read()
    except OSError:
        return False
    finally:
        connection.close()
    if 400 <= answer.status < 500 and answer.status != 429:
        raise SystemExit(f"refused: {text!r}")
    return answer.status < 400


def build(dsn: str, args: argparse.Namespace) -> Figures:
    """A journal with one snapshot, `tail` entries before its end."""
    kept_in = StoreConfig(kind="postgres", dsn=dsn, durability="none", snapshot_every=NEVER)
    settings = replace(config("none"), store=kept_in)
    manager = OrderManagement(settings)
    flow, rows, kept = Flow(live=args.open), 0, False
    with stepped(manager):
        fold = manager.dispatcher.fold
        while fold.last_seq < args.entries:
            for _ in range(args.batch):
                manager.on_data(flow.next())
            manager.dispatcher.step()
            rows += 1
            if not kept and fold.last_seq >= args.entries - args.tail:
                take_snapshot(manager)
                kept = True
    return {"entries": fold.last_seq, "rows": rows}


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--entries", type=int, default=1_000_000)
    arguments.add_argument("--open", type=int, default=20_000)
    arguments.add_argument("--batch", type=int, default=100, help="requests a turn: a row has them")
    arguments.add_argument("--tail", type=int, default=250_000)
    arguments.add_argument("--cold", action="store_true", help="start it after the kill")
    args = arguments.parse_args()
    if args.quick:
        args.entries, args.open, args.tail = 3_000, 200, 1_000
    why = without_postgres() or without_roles()
    return skip("failover", why) if why else report("failover", args, measure, CLAIMS)


def without_roles() -> str:
    """Why no engine can be had behind Redis here; "" if it can."""
    if program() is None:
        return "there is no redis-server and no valkey-server"
    if not Path("/proc/self/stat").exists():
        return "no /proc: what a process uses is not known"
    missing = [name for name in ("redis", "msgspec", "uvicorn") if find_spec(name) is None]
    return f"{missing[0]} is missing: pip install '.[scale]'" if missing else ""


if __name__ == "__main__":
    sys.exit(main())
