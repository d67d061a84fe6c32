"""Every benchmark runs and says what it promises to say; how fast is not a test's business."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
CARD = {"machine", "load", "python", "sqlite", "file_system", "commit", "command"}
FIGURES = {
    "book_consensus": {"worst_messages_per_s", "static", "normal", "flash-crash"},
    "throughput": {
        "orders_per_s", "raw_rows_per_s", "ratio_to_raw", "disk_bytes_per_order", "turns",
        "rss_mb_at_20_percent", "rss_mb_at_end", "rss_growth", "reports_per_order",
    },
    "latency": {
        f"{durability}_{rate}_{figure}"
        for durability in ("full", "none")
        for rate in (5_000, 10_000, 25_000)
        for figure in ("ack_ms_p50", "ack_ms_p99.9", "disk_us_p99.9", "total_us_p99")
    },
    "db_filler": {
        "engine_orders_per_s", "filled_entries_per_s", "filled_rows_per_s", "ratio_to_engine",
        "lag_s_p50", "lag_s_max",
    },
    "postgres_store": {
        "sqlite_orders_per_s", "postgres_orders_per_s", "ratio_to_sqlite", "postgres_cpu_us",
    },
    "failover": {"entries", "rows", "seconds_to_lock", "seconds_to_first_answer"},
    "exchange_throughput": {
        "orders_per_s", "plain_orders_per_s", "ratio_to_plain", "ledger_mistakes",
        "reports_per_order",
    },
    "kill_switch": {"answer_ms", "canceled", "left_open", "load_per_s"},
    "mass_cancel": {"seconds", "desk_seconds", "left_open"},
    "uncross": {"seconds", "desk_seconds", "engine_seconds", "reports", "filled_orders"},
    "depth_snapshot": {"book_us", "manager_us", "holes_us", "resting"},
    "queue_ops": {
        "add_ratio", "get_ratio", "modify_ratio", "cancel_ratio", "bytes_per_waiting_order",
    },
    "call_counts": {
        "calls_rest", "calls_take", "calls_alone", "cpu_us_plain", "cpu_us_exchange",
    },
    "deep_level": {"trade_ratio", "cancel_ratio"},
    "recovery": {
        "entries", "seconds_without_snapshot", "seconds_with_snapshot", "digests_differ",
    },
    "full_inbox": {"idle_mb", "full_mb", "drained_mb", "refusal_us"},
    "web_orders": {"orders_per_s", "of_empty", "cpu_us", "p50_ms", "p99_ms", "one_p50_ms"},
    "web_hostile": {"alone_p99_ms", "p50_ms", "p99_ms", "max_ms", "grown_mb"},
    "web_scrape": {"scrape_ms", "scrape_ms_worst", "idle_ms", "load_per_s", "kib"},
    "web_latency": {
        "one_ms_p50", "one_ms_p99", "alone_per_s", "listened_per_s", "told_per_s",
        "listened_ratio",
    },
    "web_fanout": {
        "messages_per_s", "daemon_user_us_per_message", "daemon_mb", "subscribers_lost",
        "orders_beside_ratio",
    },
    "top_cost": {"control_cpu_ms_per_s", "door_cpu_ms_per_s", "quiet_cpu_ms_per_s"},
    "console": {
        "first_ladder_ms", "frame_ms_p99", "task_ms_max", "heap_growth_kb_per_minute",
        "orders_ratio", "console_kb",
    },
    "scale_engine": {
        "ratio_to_library", "engine_cpu_us", "redis_cpu_us", "round_trip_ms_p50",
        "round_trip_ms_p99", "orders_per_s", "alone_engine_cpu_us", "alone_redis_cpu_us",
    },
    "scale_two_engines": {
        "ratio_to_one", "ratio_by_cpu", "one_orders_per_s", "two_orders_per_s", "one_engine_cpu_us",
        "two_engine_cpu_us", "two_redis_cpu_us",
    },
    "web_connections": {"daemon_mb", "kib_per_connection", "connections_lost"},
}  # fmt: skip
FIGURES["latency --ledger"] = FIGURES["latency"]
# Those that start servers, daemons or a browser run with the slow proofs.
SERVED = ("web_", "scale_", "console", "db_filler", "postgres_store", "failover", "top_cost")
# compare runs the others, on two commits.
HELPERS = {"client", "common", "compare", "sandboxes", "streams", "web_clients"}


def test_each_benchmark_is_listed_here():
    scripts = {path.stem for path in BENCHMARKS.glob("*.py")}
    assert scripts - HELPERS == {name.partition(" ")[0] for name in FIGURES}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name.startswith(SERVED) else [])
        for name in FIGURES
    ],
)
def test_a_quick_run_ends_with_its_figures_as_json(name, tmp_path):
    # when it runs small
    script, *options = name.split()
    place, output, errors = (tmp_path / name for name in ("place", "output", "errors"))
    place.mkdir()
    command = [
        sys.executable, str(BENCHMARKS / f"{script}.py"), *options, "--quick",
        "--directory", str(place),
    ]  # fmt: skip
    # No pipes: who is left behind would keep them open.
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True)
        try:
            code = process.wait(300)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started, if it failed
    said = output.read_text()
    assert code == 0, said + errors.read_text()
    told = json.loads(said.splitlines()[-1])
    if "skipped" in told:
        pytest.skip(told["skipped"])

    # then the last line says where it ran, what it measured, and what of its claims was reached
    assert told["benchmark"] == name
    assert told["quick"] is True
    assert told.keys() >= CARD
    assert told["medians"].keys() >= FIGURES[name]
    assert len(told["trials"]) == 1
    assert told["claims"]
    for claim in told["claims"]:
        assert set(claim) == {"claim", "measured", "reached"}
        assert type(claim["reached"]) is bool

    # and it left nothing behind; and what no speed excuses is right: a state is the same with
    # and without a snapshot, money adds up, a mass cancel leaves nothing open
    assert list(place.iterdir()) == []
    for figure in ("digests_differ", "ledger_mistakes", "left_open"):
        assert told["medians"].get(figure, 0) == 0
