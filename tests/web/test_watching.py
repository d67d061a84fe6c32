"""/health, /ready and /metrics; and that alerts and dashboard ask for what there is."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from oms.errors import StoreFullError
from oms.stores import filler_word
from tests.processes import wait_until
from tests.web.conftest import SPLIT

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SERVING = DEPLOY.parent / "docs" / "serving.md"
NAME = re.compile(r"\b(?:oms|process)_[a-z_]+")


def samples(door, **labels):
    """Name -> value of every sample that has these labels."""
    text = door.http.get("/metrics").text
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.items() >= labels.items()
    }


def names_of(door):
    """Every name that a query may ask for."""
    families = text_string_to_metric_families(door.http.get("/metrics").text)
    return {sample.name for family in families for sample in family.samples}


def tell_of_filler(door, **said):
    """As if a db-filler were beside the journal, which has filled up to its first entry."""
    now_ns = door.oms.clock.wall_ns()
    told = {"postgres": "ok", "journal": "ok", "why": "", **said}
    rows = [(10**6, 2 * 10**6, 3)]  # three turns took a millisecond or two
    word = filler_word.Word(seq=1, waits_ns=now_ns - 9 * 10**9, told_ns=now_ns, good_ns=10**11,
                            rows=rows, **told)  # fmt: skip
    filler_word.write(door.oms.directory, word, "")


def test_it_tells_what_was_done(door):
    """A rejected order, an accepted one, two logins, one of which with a wrong password."""
    ann = door.user("ann")
    ann.buy("1", "100")
    ann.buy("1", "100.001")
    body = {"username": "ann", "password": "not the password"}
    assert door.http.post("/login", json=body).status_code == 401

    placed = samples(door, method="POST", route="/order", status="201")
    assert placed == {"oms_web_requests_total": 1}
    assert samples(door, reason="PRICE_INVALID") == {"oms_rejects_total": 1}
    assert samples(door, outcome="done") == {"oms_web_logins_total": 1}
    assert samples(door, outcome="refused") == {"oms_web_logins_total": 1}
    times = samples(door, method="POST", route="/order", le="+Inf")
    assert times == {"oms_web_request_seconds_bucket": 2}
    assert samples(door, hop="total", le="+Inf")["oms_latency_seconds_bucket"] >= 1
    told = samples(door)
    assert (told["oms_up"], told["oms_open_orders"], told["oms_store_ok"]) == (1, 1, 1)
    assert told["oms_disk_free_bytes"] > 0


def test_a_client_makes_no_series(door):
    """Whatever paths and methods are asked: one row for all that there is not."""
    before = names_and_labels(door)
    for path in ("/a", "/b/c", "/orders/17/x", "/%ff"):
        assert door.http.get(path).status_code == 404
    door.http.request("BREW", "/order")
    new = names_and_labels(door) - before
    assert {row for row in new if "oms_web_requests" in row and '"none"' in row}
    assert not [row for row in new if "/a" in row or "/b" in row or "BREW" in row]


def names_and_labels(door):
    lines = door.http.get("/metrics").text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def test_sockets_and_what_they_are_told_are_counted(door):
    with connect(door.ws_url) as socket:
        socket.recv()
        socket.send('{"op": "subscribe", "channel": "trades", "symbol": "BTC_USD"}')
        socket.recv()
        told = samples(door)
        assert (told["oms_web_sockets"], told["oms_web_sockets_opened_total"]) == (1, 1)
        assert told["oms_web_frames_total"] >= 2
    wait_until(lambda: samples(door)["oms_web_sockets"] == 0)


def test_every_query_asks_for_what_there_is(door):
    """Of alerts and dashboard: a name that is not there would never fire, and nobody would know."""
    ann = door.user("ann")
    ann.buy("1", "100.001")
    tell_of_filler(door)
    known = names_of(door)
    alerts = (DEPLOY / "alerts.yml").read_text(encoding="utf-8")
    dashboard = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))
    asked = re.findall(r"expr: (.*)", alerts)
    assert len(asked) == alerts.count("- alert: ") > 10
    asked += [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    names = {name for expression in asked for name in NAME.findall(expression)}
    assert names - known == set()


def test_every_figure_is_documented_and_shown(door):
    door.user("ann").buy("1", "100.001")
    tell_of_filler(door)
    families = {re.sub("(_bucket|_sum|_count)$", "", name) for name in names_of(door)}
    page = SERVING.read_text(encoding="utf-8")
    assert {
        name for name in families if name.startswith("oms_") and f"`{name}" not in page
    } == set()
    documented = {name for name in NAME.findall(page) if name.startswith("oms_")}
    assert documented - families == set()


def test_the_alert_rules_are_whole():
    """Each with what it asks, how long, how urgent, and a line for whoever is woken."""
    yaml = pytest.importorskip("yaml")
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))
    for rule in rules["groups"][0]["rules"]:
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["expr"].count("(") == rule["expr"].count(")")
    assert len({rule["alert"] for rule in rules["groups"][0]["rules"]}) > 10
    scraped = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
    assert scraped["rule_files"] == ["alerts.yml"]


def test_it_says_whether_orders_are_taken(door):
    answer = door.http.get("/ready")
    assert answer.status_code == 200
    parts = {each for each in answer.json()["parts"] if not each.startswith("group ")}
    assert parts == {"engine", "journal", "disk", "venue"}
    assert all(part["ready"] for part in answer.json()["parts"].values())
    assert door.http.get("/health").json() == {"status": "ok"}


def projection_part(door):
    answer = door.http.get("/ready")
    parts = answer.json()["parts"]
    home = next((part for name, part in parts.items() if name.startswith("group ")), parts)
    return answer.status_code, home["projection"]


def test_a_projection_that_is_behind_is_told_and_keeps_nobody_from_trading(door):
    """Postgres is down, or db-filler hangs: /ready and /metrics say how far it is behind."""
    door.user("ann").buy("1", "100")
    tell_of_filler(door, postgres="open", why="connection refused by a machine's name")
    behind = door.oms.get_status()["journal_seq"] - 1
    code, part = projection_part(door)
    assert (code, part["ready"], part["state"], part["seq"]) == (200, False, "open", "1")
    assert part["lagEntries"] >= behind > 1
    assert part["lagSeconds"] >= 9
    assert "machine" not in door.http.get("/ready").text  # anybody may ask
    told = samples(door)
    assert (told["oms_projection_up"], told["oms_projection_lag_entries"]) == (0, behind)
    assert told["oms_projection_lag_seconds"] >= 9
    assert samples(door, hop="projection", le="0.001") == {"oms_latency_seconds_bucket": 0}
    assert samples(door, hop="projection", le="0.002") == {"oms_latency_seconds_bucket": 3}


def test_messages_are_timed_until_they_are_written_to_sockets(door):
    """From the publication of their turn; what nobody listens to counts for nothing."""
    ann = door.user("ann")
    ann.buy("1", "100")
    assert samples(door, hop="socket", le="+Inf")["oms_latency_seconds_bucket"] == 0
    with connect(door.ws_url) as socket:
        socket.recv()
        socket.send('{"op": "subscribe", "channel": "depth", "symbol": "BTC_USD", "interval": 0}')
        socket.recv()
        ann.buy("1", "99")
        while json.loads(socket.recv(timeout=10)).get("channel") != "depth":
            pass
    told = samples(door, hop="socket", le="+Inf")["oms_latency_seconds_bucket"]
    assert told >= 1
    seconds = samples(door, hop="socket")["oms_latency_seconds_sum"]
    assert 0 < seconds < 60 * told


@pytest.mark.skipif(SPLIT, reason="by the engine's next word its store is well again")
def test_it_names_the_part_that_is_not_ready(door, monkeypatch):
    """The disk is full: orders are refused, the door lives on, and says which part it is."""
    from oms.gateways.web import watching

    ann = door.user("ann")
    store = door.oms.store
    real = store.commit

    def full(*_given):
        raise StoreFullError("no space left")

    store.commit = full
    try:
        assert ann.buy("1", "100").status_code in (503, 504)
        wait_until(lambda: door.http.get("/ready").status_code == 503)
        assert door.http.get("/ready").json()["parts"]["journal"]["ready"] is False
        assert door.http.get("/health").status_code == 200
    finally:
        store.commit = real
    monkeypatch.setattr(watching, "DISK_BYTES_MIN", 10**18)
    parts = door.http.get("/ready").json()["parts"]
    assert parts["disk"]["ready"] is False


def test_it_is_not_ready_while_it_stops(door):
    """The door outlives the order manager for a moment: a balancer sends nobody any more."""
    door.oms.stop()
    answer = door.http.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["parts"]["engine"]["ready"] is False
    assert door.http.get("/health").status_code == 200


def test_what_anybody_may_ask_is_made_ten_times_a_second_at_most(door, monkeypatch):
    """To make the status takes a millisecond of the loop that all requests share."""
    held = door.remote if SPLIT else door.oms
    made, make = [], held.get_status
    monkeypatch.setattr(held, "get_status", lambda: made.append(0) or make())
    began_ns = door.oms.clock.monotonic_ns()
    for _ in range(50):
        for path in ("/session", "/markets", "/", "/ready"):
            assert door.http.get(path).status_code == 200
    tenths = (door.oms.clock.monotonic_ns() - began_ns) // 10**8 + 1
    assert 1 <= len(made) <= tenths + 1


def test_what_a_proxy_passes_on_is_not_of_this_machine(door):
    """Though nobody has said that there is one: its clients would all read the figures."""
    for header in ("x-forwarded-for", "forwarded", "x-real-ip"):
        assert door.http.get("/metrics", headers={header: "127.0.0.1"}).status_code == 401


def test_figures_are_for_this_machine_and_for_operators(start_door):
    """Through a trusted proxy a client from elsewhere needs an operator's token."""
    from tests.web.doors import front_config

    door = start_door(front_config(trusted_proxies="127.0.0.1"))
    away = {"x-forwarded-for": "192.0.2.7"}
    for name, said in (
        ("x-forwarded-for", "8.8.8.8:443"), ("x-forwarded-for", "[2001:db8::1]:443"),
        ("x-forwarded-for", "unknown"), ("x-forwarded-for", ""), ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-for", "192.0.2.7, _hidden"), ("forwarded", "for=192.0.2.7"),
        ("x-real-ip", "192.0.2.7"), ("x-forwarded-host", "trade.example.com"), ("via", "1.1 proxy"),
    ):  # fmt: skip
        assert door.http.get("/metrics", headers={name: said}).status_code == 401, (name, said)
    assert door.http.get("/metrics").status_code == 200
    assert door.http.get("/metrics", headers=away).status_code == 401
    trader, operator = door.user("ann"), door.user("olga", "operator")
    assert trader.ask("GET", "/metrics", headers=away).status_code == 403
    assert operator.ask("GET", "/metrics", headers=away).status_code == 200
