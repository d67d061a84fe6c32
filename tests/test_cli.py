"""The program as a user runs it: real processes where it matters, `main()` where it does not."""

import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

import oms
import order_management
from oms import OrderManagement, OrderRequest, Side, TimeInForce
from oms.app import status_line
from oms.cli import main, with_command
from oms.clock import NANOS, SystemClock, datetime_of
from oms.simulation.recorded import read_jsonl
from tests.fakes import config_of, throttled
from tests.places import after_place
from tests.processes import STOP_S_MAX, wait_until

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = (sys.executable, str(ROOT / "order_management.py"))
DATABASE = "order_management.db"


def program(*arguments: object, timeout: float = 60, **options) -> subprocess.CompletedProcess:
    """Run it to its end; stderr without the line that says where."""
    command = [*PROGRAM, *map(str, arguments)]
    options.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run(
        command, stderr=subprocess.PIPE, text=True, timeout=timeout, check=False, **options
    )
    done.stderr = after_place(done.stderr)
    return done


def started(*arguments: object) -> subprocess.Popen:
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Iterator[tuple[Path, subprocess.CompletedProcess]]:
    """A data directory after a short simulation, recorded; and what that printed."""
    place = tmp_path_factory.mktemp("simulated")
    record = place / "flow.jsonl"
    done = program(
        "simulate", "--orders", 240, "--rate", 120, "--data-dir", place, "--record", record
    )
    yield place, done


@pytest.fixture
def copied(simulated, tmp_path) -> Path:
    """A copy of that database, to be damaged."""
    shutil.copy(simulated[0] / DATABASE, tmp_path / DATABASE)
    return tmp_path


# --- simulate ---


def test_a_simulation_ends_with_its_report(simulated):
    """More come at once than the throttle lets through; all is traded, counted and verified."""
    place, done = simulated
    assert (done.returncode, done.stderr) == (0, "")
    for text in (
        "seed 7", "\nRequests   240 offered in ", "sliding_window, at most 100 sends in 1 s",
        "none left", "Trades     symbol", "Positions  account", "Book BTC_USD",
        "Latency, ms", "below",
        f"Recorded   {place / 'flow.jsonl'}", "Verify     verified: ", "Balances   asset",
        "of these trades in auctions, each at one price", "Reserved   nothing\nConserved  yes: ",
    ):  # fmt: skip
        assert text in done.stdout, text
    assert "\r" not in done.stdout
    assert sum(1 for _ in read_jsonl(place / "flow.jsonl")) == 240
    assert (place / "logs" / "order_management.log").stat().st_size > 0


def test_what_the_report_suggests_works_as_printed(simulated):
    """A filled, a waiting, a triggered, a rejected order; then the ledger, and verify."""
    _, done = simulated
    suggested = [
        line.strip() for line in done.stdout.split("\nNext\n")[1].splitlines() if line[:6].isspace()
    ]
    assert [re.search(r"\.py (\w+)", line)[1] for line in suggested] == [
        *["explain"] * (len(suggested) - 2), "ledger", "verify",
    ]  # fmt: skip
    assert len(suggested) >= 5
    for line in suggested:
        words = shlex.split(line)
        assert words[0] == "python"
        again = subprocess.run([sys.executable, *words[1:]], capture_output=True, check=False)
        assert again.returncode == 0, (line, again.stderr)


def test_a_simulation_at_full_speed_can_be_repeated_on_the_same_data(tmp_path):
    """No pause, no throttle; client ids of the second run are new, so nothing is a repeat."""
    for _ in range(2):
        done = program(
            "--data-dir", tmp_path, "--speed", "max", "--orders", 3000, "--seed", 1, "--quiet"
        )
        assert done.returncode == 0, done.stderr
        assert "3,000 offered" in done.stdout and "Throttle   off" in done.stdout
        assert "Verify     verified: " in done.stdout
        assert "offered" not in done.stdout.split("===")[0], "--quiet shows no progress"


def test_ctrl_c_ends_a_simulation_with_its_report(tmp_path):
    """Told to run for a minute, interrupted after a moment: in order, and verified."""
    process = started("simulate", "--seconds", 60, "--rate", 50, "--data-dir", tmp_path)
    wait_until(lambda: (tmp_path / "status.json").exists())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=STOP_S_MAX)
    assert (process.returncode, after_place(err)) == (0, "")
    assert "interrupted: this is how far it came" in out
    assert "Verify     verified: " in out

    # then, though it was in the opening call, nothing is left of it: what comes next can trade
    assert "\nReserved   nothing\nConserved  yes: " in out
    stories = program(
        "explain", "--data-dir", tmp_path, "--account", "operator", last_phase(tmp_path)
    )
    assert "done: phase=CONTINUOUS" in stories.stdout
    assert "open orders  0" in program("replay", "--upto", 10**9, "--data-dir", tmp_path).stdout


def last_phase(place: Path) -> str:
    """The id of the latest command that set a phase."""
    with closing(sqlite3.connect(place / DATABASE)) as database:
        [(client_order_id,)] = database.execute(
            "SELECT client_order_id FROM order_responses WHERE reason LIKE 'phase=%' "
            "ORDER BY journal_seq DESC, number DESC LIMIT 1"
        )
    return client_order_id


# --- feed ---


def test_a_recorded_simulation_can_be_fed_and_fed_again(simulated, tmp_path):
    """First the same run; then its 240 orders alone, and a prefix keeps their ids apart."""
    record = simulated[0] / "flow.jsonl"
    for first in (True, False, False):
        done = program("feed", record, "--format", "jsonl", "--data-dir", tmp_path, "--quiet")
        assert done.returncode == 0, done.stderr
        assert ("trade for trade" in done.stdout) == first
        assert ("240 offered" in done.stdout) != first
        assert ("the orders alone are sent" in done.stderr) != first
    repeats = (
        done.stdout.partition("order status")[2].split()[0]
        if "order status" in (done.stdout)
        else "0"
    )
    assert int(repeats) < 20

    # when the ids are kept as they are, the third run repeats none, the fourth all
    for expected_new in (True, False):
        done = program("feed", record, "--keep-ids", "--data-dir", tmp_path, "--quiet")
        assert done.returncode == 0, done.stderr
        assert ("           new  " in done.stdout) is expected_new


def test_lobster_flow_runs_through_the_whole_path(tmp_path):
    """One order placed, one partly taken, then deleted; what is from before is skipped."""
    messages = tmp_path / "GOOG_message.csv"
    messages.write_text(
        "34200.0,1,11,100,5000000,1\n34200.1,1,12,50,5001000,-1\n34200.2,4,11,40,5000000,1\n"
        "34200.3,3,12,50,5001000,-1\n34200.4,5,0,1,5000000,1\n34200.5,3,99,1,5000000,1\n",
        encoding="utf-8",
    )
    done = program("feed", messages, "--data-dir", tmp_path, "--speed", 1)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for text in (
        "Lines 6", "delete: the order was placed before the file starts 1",
        "hidden execution: not in the visible book 1",
        "traded in full, with the order the file names 1", "GOOG 1 40 500.0000",
        "60 at 500.0000 |",
    ):  # fmt: skip
        assert text in lines, text

    # then nothing of a symbol that config.ini does not list is left open: a daemon starts
    done = program("replay", "--upto", 10**9, "--data-dir", tmp_path)
    assert "open orders  0" in done.stdout
    assert "Book GOOG: empty" in done.stdout


def test_a_bad_line_stops_a_feed_before_anything_is_sent(tmp_path):
    messages = tmp_path / "m.csv"
    messages.write_text("34200.0,1,11,100,5000000,1\n34200.0,1,12,x,1,1\n", encoding="utf-8")
    done = program("feed", messages, "--data-dir", tmp_path / "data")
    assert done.returncode == 2
    assert done.stderr == (
        "order_management: m.csv line 2: size: expected a whole number above 0, was 'x'\n"
    )
    assert not (tmp_path / "data").exists()


# --- run and status ---


def test_a_daemon_from_start_to_sigterm(tmp_path):
    """It is seen by `status`, read by `digest` and `verify`, refuses a second one, and goes."""
    nobody = program("status", "--data-dir", tmp_path)
    assert (nobody.returncode, nobody.stderr) == (3, "")
    assert "no daemon is running" in nobody.stdout

    # given a daemon
    process = started("run", "--data-dir", tmp_path, "--log-json")
    try:
        wait_until(lambda: (tmp_path / "status.json").exists())

        # then another shell sees it, and may read its data
        seen = program("status", "--json", "--data-dir", tmp_path)
        assert seen.returncode == 0
        status = json.loads(seen.stdout)
        assert (status["alive"], status["pid"]) == (True, process.pid)
        assert status["age_s"] < 30 and status["status"]["health"] == "ok"
        assert f"running, process {process.pid}" in program("status", "--data-dir", tmp_path).stdout
        assert program("digest", "--data-dir", tmp_path).returncode == 0
        assert "verified: " in program("verify", "--data-dir", tmp_path).stdout

        # and a second one does not start
        second = program("run", "--data-dir", tmp_path)
        assert second.returncode == 2
        assert second.stderr.endswith(f"{tmp_path}: in use by process {process.pid}\n")

        # when it is told to stop
        process.terminate()
        out, err = process.communicate(timeout=STOP_S_MAX)
    finally:
        process.kill()
    assert (process.returncode, after_place(err)) == (0, "")
    assert all(json.loads(line)["level"] == "INFO" for line in out.splitlines())
    gone = program("status", "--data-dir", tmp_path)
    assert gone.returncode == 3
    assert f"by process {process.pid}" in gone.stdout and "stopped" in gone.stdout


# --- offline ---


@pytest.fixture
def said(capsys):
    """Runs a command on a directory in this process: what it printed."""

    def run(command: str, place: Path, *arguments: object) -> str:
        assert main([command, *map(str, arguments), "--data-dir", str(place)]) == 0
        return capsys.readouterr().out

    return run


def test_the_journal_can_be_looked_at_from_all_sides(simulated, said):
    """Digest, verify, replay and export agree on one database, and leave no file behind."""
    place, _ = simulated
    before = sorted(path.name for path in place.iterdir())
    assert not [name for name in before if name.endswith(("-wal", "-shm"))]

    digest = said("digest", place).split()
    assert digest[:2] == ["last", "seq"]
    last_seq, fingerprint = int(digest[2]), digest[4]
    assert digest[-1] == fingerprint
    assert said("verify", place).startswith("verified: ")

    latest = said("replay", place, "--upto", last_seq)
    assert fingerprint in latest and "Book TATA_INR" in latest
    first = said("replay", place, "--upto", 1)
    assert "session      closed" in first and "Book TATA_INR: empty" in first

    lines = [json.loads(x) for x in said("export", place).splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, last_seq + 1))
    assert all(("entry" in line) != line.get("turn", False) for line in lines)
    tail = said("export", place, "--from", last_seq - 1).splitlines()
    assert [json.loads(line) for line in tail] == lines[-2:]
    assert sorted(path.name for path in place.iterdir()) == before


def test_replay_inside_a_turn_says_what_it_shows(simulated, said):
    """Entries of one turn are committed together: the state between two of them nobody was told."""
    place, _ = simulated
    text = said("export", place)
    lines = [json.loads(line) for line in text.splitlines()]
    ends = [0] + [line["seq"] for line in lines if line.get("turn")]
    first, last = next((a + 1, b) for a, b in pairwise(ends) if b - a > 3)

    inside = said("replay", place, "--upto", first)
    assert inside.startswith(
        f"this is inside turn {last} (entries {first} to {last - 1}, committed together): the "
        f"state right after entry {first} took effect, without {first + 1} to {last - 1}, which "
        "came after it; no client was told anything of the turn yet\n"
    )
    assert f"last turn    {first - 1}, " in inside and "digest       none inside a turn" in inside
    whole = said("replay", place, "--upto", last - 1)
    assert f"after entry {last - 1} took effect, with all of it;" in whole
    assert said("replay", place, "--upto", last).startswith("sequence ")


def test_a_digest_names_no_snapshot_that_is_not_there(copied, capsys):
    """After a crash of a young daemon, say: one digest, and that it is of the journal alone."""
    with closing(sqlite3.connect(copied / DATABASE)) as database, database:
        database.execute("DELETE FROM snapshots")
    assert main(["digest", "--data-dir", str(copied)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "from snapshot  none: no sound snapshot is stored"


def test_a_status_shows_no_zero_for_what_was_never_measured(tmp_path):
    """A daemon at rest on a closed market, without a throttle."""
    later = datetime_of(SystemClock().wall_ns() + 3 * 86_400 * NANOS)
    (tmp_path / "config.ini").write_text(
        f"[session]\nhours = {later:%a} 09:00-09:01\n[throttle]\npolicy = off\n[instrument X]\n",
        encoding="utf-8",
    )
    process = started("run", "--data-dir", tmp_path)
    try:
        wait_until(lambda: (tmp_path / "status.json").exists())
        lines = program("status", "--data-dir", tmp_path).stdout.splitlines()
        status = json.loads(program("status", "--json", "--data-dir", tmp_path).stdout)["status"]
    finally:
        process.terminate()
        process.communicate(timeout=STOP_S_MAX)
    table = {line.split()[0]: line.split()[1:] for line in lines}
    assert table["throttle"] == ["off"]
    assert table["session"] == ["closed,", "opens", status["opens"]]
    assert table["total"] == ["-", "-", "-"]
    assert status["latency_ns"]["total"]["all"]["p50"] is None
    assert status_line(status).endswith(", no latency measured yet")


def test_a_read_only_copy_will_do(simulated):
    """A backup in a place that takes no writes: it is verified, and left as it is."""
    place = Path(tempfile.mkdtemp())  # where, unlike in tmp_path, any user may look
    shutil.copy(simulated[0] / DATABASE, place / DATABASE)
    (place / "config.ini").write_text((ROOT / "config.ini").read_text())
    (place / DATABASE).chmod(0o444)
    place.chmod(0o555)
    try:
        assert without_rights("verify", "--data-dir", str(place)) == 0
        assert sorted(path.name for path in place.iterdir()) == ["config.ini", DATABASE]
    finally:
        place.chmod(0o755)
        shutil.rmtree(place)


def without_rights(*arguments: str) -> int:
    """Run a command as a user whom permissions bind: root is not."""
    code = main(list(arguments))  # also loads what a user without rights could not
    if os.geteuid() != 0:
        return code
    child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            os._exit(main(list(arguments)))
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_changed_report_is_found(copied, capsys):
    """Somebody edits a price in the table under order_responses."""
    with closing(sqlite3.connect(copied / DATABASE)) as database, database:
        database.execute(
            "UPDATE reports SET last_price_ticks = last_price_ticks + 1 "
            "WHERE report_id = (SELECT max(report_id) FROM reports WHERE match_number > 0)"
        )
    assert main(["verify", "--data-dir", str(copied)]) == 1
    out = capsys.readouterr().out
    assert "the journal gives" in out and "NOT verified: 1 differences" in out


@pytest.mark.parametrize("command", ["verify", "digest", "export"])
def test_a_damaged_journal_names_the_sequence(copied, capsys, command):
    """One byte of one record is not what it was."""
    with closing(sqlite3.connect(copied / DATABASE)) as database, database:
        database.execute("DELETE FROM snapshots")
        [(seq,)] = database.execute("SELECT min(first_seq) FROM journal WHERE released > 0")
        database.execute("UPDATE journal SET wall_ns = wall_ns + 1 WHERE first_seq = ?", (seq,))
    assert main([command, "--data-dir", str(copied)]) == 1
    err = after_place(capsys.readouterr().err)
    assert err.startswith(f"order_management: journal sequence {seq} to ")
    assert err.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(simulated):
    """`export | head -1`"""
    process = started("export", "--data-dir", simulated[0])
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert after_place(process.stderr.read()) == ""
    process.stderr.close()
    assert process.wait(STOP_S_MAX) in (0, 141)


# --- explain ---


@pytest.fixture
def told(tmp_path, capsys):
    """Orders of two accounts through the real path; `explain` on them, line by line."""

    def explain(*arguments: str) -> tuple[int, str]:
        code = main(["explain", *arguments, "--data-dir", str(tmp_path)])
        captured = capsys.readouterr()
        return code, captured.out + after_place(captured.err)

    new, day = OrderRequest.new, TimeInForce.DAY
    with OrderManagement(config_of(), directory=tmp_path) as manager:
        for request in (
            new("ann", "A1", "X", Side.SELL, 10, 100, time_in_force=day),
            new("bob", "B1", "X", Side.BUY, 4, 101, time_in_force=TimeInForce.IOC),
            OrderRequest.modify("ann", "A2", "A1", quantity=8),
            OrderRequest.cancel("ann", "A3", "A2"),
            OrderRequest.cancel("ann", "A4", "A1"),
            new("bob", "B2", "X", Side.BUY, "1.5", 100),
            new("bob", "A1", "X", Side.BUY, 1, 1),
            OrderRequest.cancel("bob", "B3", "nothing"),
        ):
            manager.submit(request).result(30)
    return explain


def in_order(text: str, *parts: str) -> bool:
    at = 0
    for part in parts:
        at = text.find(part, at)
        assert at >= 0, f"{part!r} not in, or out of order in:\n{text}"
        at += len(part)
    return True


def test_the_story_of_an_order(told):
    """Request, checks, match with whom, change, end; by any id it had."""
    for client_order_id in ("A2", "A3", "A4"):
        code, text = told(client_order_id)
        assert code == 0
        assert in_order(
            text,
            "of account ann, X",
            'request "A1": SELL 10 X at 100, LIMIT DAY',
            "passed the checks",
            "sent to the venue, accepted: 10 open, 0 filled (waited ",
            "committed to disk with turn ",
            "traded 4 at 100 with order ", '"B1" of bob, which found it in the book: 6 open',
            'request "A2": modify "A1" to quantity 8',
            'modified, now called "A2": 4 open, 4 filled',
            'request "A3": cancel "A2"',
            'canceled, as "A3" asked: 4 filled',
            'request "A4" about this order, answered from what is known',
            '"A4" refused: TOO_LATE: state=CANCELED',
            "the order is over: CANCELED, 4 filled",
        )  # fmt: skip


def test_the_story_of_a_taker_and_of_refused_requests(told):
    assert in_order(told("B1")[1], "traded 4 at 100 with order", '"A1" of ann, which rested')
    assert in_order(
        told("B2")[1], 'request "B2": BUY X, refused by the checks', "rejected: QUANTITY_INVALID"
    )
    assert in_order(
        told("B3")[1], "change an order that is not there", '"B3" refused: UNKNOWN_ORDER'
    )


def test_an_order_is_named_by_its_number_or_by_an_execution_id(told, tmp_path, capsys):
    """As `trades` prints both."""
    # given the line of a trade
    settings = tmp_path / "config.ini"
    settings.write_text("[session]\nalways_open = yes\n[exchange]\nledger = no\n[instrument X]\n"
        "price_scale = 0\nquantity_scale = 0\n", encoding="utf-8")  # fmt: skip
    assert main(["trades", "X", "--data-dir", str(tmp_path)]) == 0
    line = capsys.readouterr().out
    [buyer, seller] = re.findall(r"\(order (\d+)\)", line)

    # when each id that it has is explained
    by_number, by_execution = told("order", buyer), told(line.split()[-1])

    # then it is the story that the client order id leads to
    assert by_number == by_execution == told("B1")
    assert told(f"order {seller}") == told("A2")
    assert told("order", buyer, "--account", "ann")[0] == 1
    assert told("order", "999")[0] == told("999-1")[0] == 1


def test_an_id_of_two_accounts_or_of_none(told):
    code, text = told("A1")
    assert (code, text.count("\n")) == (1, 1)
    assert "used by ann, bob; say which with --account" in text
    code, text = told("A1", "--account", "bob")
    assert code == 0 and in_order(text, "of account bob, X", 'request "A1": BUY 1 X at 1')
    assert told("nope") == (1, "order_management: nope: no order has had this id\n")


def test_the_story_of_an_order_that_waited(tmp_path, capsys):
    """The throttle lets one through in a tenth of a second; the second order waits."""
    with OrderManagement(throttled(), directory=tmp_path) as manager:
        for name in ("first", "second"):
            manager.on_data(OrderRequest.new("ann", name, "X", Side.BUY, 1, 100))
        wait_until(lambda: len(manager.open_orders("ann")) == 2)
        wait_until(lambda: manager.get_status()["waiting"] == 0)
    assert main(["explain", "second", "--data-dir", str(tmp_path)]) == 0
    assert in_order(
        capsys.readouterr().out,
        "waits in the queue: the throttle lets no more through",
        "committed to disk",
        "sent to the venue, accepted: 1 open, 0 filled (waited ",
        "the order is open: NEW, 1 open",
    )


# --- sessions ---

NEW_YORK = """
[session]
time_zone = America/New_York
hours = Mon-Fri 09:30-16:00
holidays = 2026-10-30
early_close = 2026-11-03 13:00
[instrument X]
"""


def sessions(tmp_path: Path, capsys, config: str, *arguments: str) -> tuple[int, list[str]]:
    path = tmp_path / "config.ini"
    path.write_text(config, encoding="utf-8")
    code = main(["sessions", "--config", str(path), "--data-dir", str(tmp_path), *arguments])
    return code, [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_the_calendar_around_a_clock_change(tmp_path, capsys):
    """A holiday, a change from summer time, an early close."""
    code, lines = sessions(tmp_path, capsys, NEW_YORK, "--next", "3", "--at", "2026-10-29T20:00Z")
    assert code == 0
    assert lines[1].startswith("local time is America/New_York; logon 60 s before the open")
    assert lines[2:] == [
        "trading date open, local time open, UTC link up, UTC note",
        "2026-10-30 - - - holiday: closed",
        "2026-11-02 Mon 2026-11-02 09:30 - 16:00 2026-11-02 14:30 - 21:00 2026-11-02 14:29 - 21:15",
        "2026-11-03 Tue 2026-11-03 09:30 - 13:00 2026-11-03 14:30 - 18:00 "
        "2026-11-03 14:29 - 18:15 early close",
        "2026-11-04 Wed 2026-11-04 09:30 - 16:00 2026-11-04 14:30 - 21:00 2026-11-04 14:29 - 21:15",
        "warning: the clocks change on 2026-11-01, from UTC-04:00 to UTC-05:00: local hours "
        "stay, UTC hours move",
    ]


def test_a_holiday_and_the_zones_of_an_overnight_market(tmp_path, capsys):
    """The row of the holiday is its trading date's; each zone's clock changes are told."""
    config = NEW_YORK.replace("Mon-Fri 09:30-16:00", "Mon-Fri 18:00-17:55").replace(
        "early_close = 2026-11-03 13:00",
        "extra_open = 2026-11-01 18:00 Europe/London - Sun 20:00 Europe/London",
    )
    _, lines = sessions(tmp_path, capsys, config, "--next", "5", "--at", "2026-10-22T00:00Z")
    assert not any("holiday" in line for line in lines)
    assert lines[-1].startswith("warning: the clocks change on 2026-10-25 in Europe/London")
    _, lines = sessions(tmp_path, capsys, config, "--next", "2", "--at", "2026-10-29T00:00Z")
    assert lines[3].startswith("2026-10-29 Wed 2026-10-28 18:00 - 2026-10-29 17:55")
    assert lines[4] == "2026-10-30 - - - holiday: closed"
    assert lines[5].startswith("2026-10-31 Fri 2026-10-30 18:00 - 2026-10-31 17:55")


def test_a_link_that_stays_up_from_session_to_session(tmp_path, capsys):
    """An overnight week with five minutes between two sessions."""
    config = NEW_YORK.replace("Mon-Fri 09:30-16:00", "Mon-Fri 18:00-17:55").replace(
        "early_close = 2026-11-03 13:00", ""
    )
    _, lines = sessions(tmp_path, capsys, config, "--next", "2", "--at", "2026-11-10T00:00Z")
    assert lines[-1].endswith("stays up - 2026-11-11 23:10")


def test_a_market_that_never_closes(tmp_path, capsys):
    code, lines = sessions(
        tmp_path, capsys, "[session]\nalways_open = yes\n[instrument X]\n", "--next", "3"
    )
    assert code == 0
    assert lines[1].startswith("always open: no session ever opens or closes, the link stays up")


# --- wrong usage ---


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["bogus"], "invalid choice: 'bogus'"),
        (["--bogus"], "unrecognized arguments: --bogus"),
        (["replay"], "the following arguments are required: --upto"),
        (["replay", "--upto", "0"], "--upto: expected a whole number from 1 to"),
        (["simulate", "--rate", "1e3"], "--rate: expected a whole number from 1 to 1000000"),
        (["sessions", "--at", "noon"], "--at: expected a time such as 2026-11-20T00:00Z"),
        (["feed", "f", "--speed", "-1"], "--speed: expected a number above 0, or max"),
        (["feed", "f", "--symbol", "a b"], "--symbol: expected capitals, digits"),
        (["feed", "/no/such/file.jsonl"], "/no/such/file.jsonl: No such file or directory"),
        (["run", "--config", "/no/such"], "/no/such: No such file or directory"),
        (["run", "--data-dir", "/dev/null"], "--data-dir: expected a directory, was /dev/null"),
        (["digest", "--data-dir", "/no/such"], "no such database; nothing has run here yet"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(capsys, arguments, complaint):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    err = after_place(captured.err)
    assert captured.out == ""
    assert err.startswith("order_management: ") and err.count("\n") == 1
    assert complaint in err


def test_all_mistakes_of_a_configuration_are_told(tmp_path, capsys):
    path = tmp_path / "config.ini"
    path.write_text("[throttle]\nsends_max = 0\n[session]\nhours = x\n", encoding="utf-8")
    assert main(["run", "--config", str(path), "--data-dir", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("order_management: ") for line in lines)


def test_a_database_that_is_none_is_one_line(tmp_path):
    """The daemon refuses to start; no traceback."""
    (tmp_path / DATABASE).write_text("this is not a database, not at all\n" * 99, encoding="utf-8")
    done = program("run", "--data-dir", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "file is not a database" in done.stderr


@pytest.mark.parametrize(
    "command",
    ["", "simulate", "run", "status", "feed", "sessions", "digest", "verify", "replay", "export",
     "explain", "fund", "seed-market", "ledger", "operator", "init", "migrate"],
)  # fmt: skip
def test_help_is_there_for_every_command(capsys, command):
    assert main([*command.split(), "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "--data-dir DIR" in captured.out and len(captured.out.splitlines()) > 10


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ([], ["simulate"]),
        (["--seed", "1"], ["simulate", "--seed", "1"]),
        (["--data-dir", "x", "--seed", "1"], ["--data-dir", "x", "simulate", "--seed", "1"]),
        (["--data-dir=x", "verify"], ["--data-dir=x", "verify"]),
        (["--data-dir", "x"], ["--data-dir", "x", "simulate"]),
        (["--help"], ["--help"]),
        (["--version"], ["--version"]),
        (["run", "--log-json"], ["run", "--log-json"]),
    ],
)
def test_without_a_command_it_simulates(given, understood):
    assert with_command(given) == understood


def test_the_program_is_a_library_too():
    """Importing it gives the names of the package, and does nothing."""
    assert sorted(order_management.__all__) == sorted(oms.__all__)
    assert order_management.OrderManagement is oms.OrderManagement
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import order_management"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_daemon_whose_reader_goes_away_goes_on_and_ends_with_0(tmp_path):
    """`run | head -1`: nothing on stderr, and an orderly stop."""
    command = [*PROGRAM, "run", "--data-dir", str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline()
        process.stdout.close()
        wait_until(lambda: (tmp_path / "status.json").exists())
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S_MAX) == 0
        assert after_place(process.stderr.read()) == ""
    log = (tmp_path / "logs" / "order_management.log").read_text()
    assert log.count("it gets no more lines") == 1
