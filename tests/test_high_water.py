"""A lost tail or database is no clean start: the high-water file says how far it had come."""

import json
import shutil

import pytest

from oms import PersistentStorage
from oms.clock import NEVER
from oms.errors import JournalError, OutcomeUnknownError, StoreError
from oms.requests import codec
from oms.stores.high_water import SYNC_TURNS, HighWater, boot_id
from oms.stores.write_ahead_log import read_end
from oms.turn.journal import Fold
from oms.venues import EmbeddedVenue
from tests.databases import alter, beside, flip, killed, reboot, storage, traded
from tests.fakes import Stepped, buy
from tests.processes import audit
from tests.test_store_contract import keep, new, record


@pytest.fixture
def path(tmp_path):
    return tmp_path / "order_management.db"


def desk_on(path, **settings):
    return Stepped(store=PersistentStorage(path, **{"durability": "normal", **settings}))


def contents(path):
    """Of all files, but the index that SQLite makes from the log in order to look at it."""
    files = [each for each in path.parent.glob(f"{path.name}*") if not each.name.endswith("-shm")]
    return {each.name: each.read_bytes() for each in files}


def refusal(path, **settings):
    """Why a start is refused; it changes nothing."""
    before = contents(path)
    with pytest.raises(JournalError) as caught:
        desk_on(path, **settings).start()
    assert contents(path) == before
    return str(caught.value)


def lose_all(path):
    beside(path, "-wal").unlink()
    beside(path, "-shm").unlink()


def lose_the_middle(path):
    """One bit of a page, and SQLite reads no further."""
    log = beside(path, "-wal")
    flip(log, log.stat().st_size // 2)


def lose_the_end(path):
    log = beside(path, "-wal")
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])


def lose_the_header(path):
    flip(beside(path, "-wal"), 17)


# --- what is missing is named ---


def test_after_a_kill_the_mark_is_what_was_committed(path):
    """Given a desk that was killed, then mark and journal agree, and it starts as it was."""
    image, last_seq = killed(path, buy("last", 1, 50))
    mark = HighWater(image).read()
    assert (mark.seq, mark.boot) == (last_seq, boot_id())
    desk = desk_on(image).start()
    assert desk.store.loss is None
    assert HighWater(image).read().seq == desk.dispatcher.fold.last_seq > last_seq
    assert desk.refolded() == desk.digest()
    desk.stop()


@pytest.mark.parametrize("durability", ["full", "normal"])
@pytest.mark.parametrize("lose", [lose_all, lose_the_middle, lose_the_end, lose_the_header])
def test_a_lost_log_stops_the_start_and_both_numbers_are_named(path, lose, durability):
    """Whatever of it is lost, and before SQLite drops the rest."""
    image, last_seq = killed(path)
    lose(image)
    told = refusal(image, durability=durability)
    assert f"but {last_seq} was committed" in told
    assert "the journal ends at sequence " in told
    assert "--accept-loss " in told


def test_rows_that_made_no_report_are_missed_too(path):
    """The end of a journal may be a start, a session, a link: nothing else shows that they went."""
    traded(path)
    mark = HighWater(path).read()
    alter(path, f"DELETE FROM journal WHERE last_seq = {mark.seq}", "DELETE FROM snapshots",
          f"DELETE FROM reports WHERE report_id >> 24 = {mark.seq}")  # fmt: skip
    told = refusal(path)
    assert f"but {mark.seq} was committed" in told


def test_an_older_copy_put_in_place_is_refused(path):
    """It is sound in itself; and so is one that went its own way since."""
    # given a copy, after which both the database and the copy went on
    traded(path)
    copy = path.parent / "copy" / path.name
    copy.parent.mkdir()
    shutil.copy(path, copy)
    desk = desk_on(path).start()
    desk.send(buy("ours", 1, 50))
    desk.stop()
    ended = HighWater(path).read().seq

    # when the copy is put in place, then it is refused
    older = copy.read_bytes()
    path.write_bytes(older)
    assert f"but {ended} was committed" in refusal(path)

    # also when it has come as far, in its own way
    other = desk_on(copy).start()
    for n in range(5):
        other.send(buy(f"other{n}", 1, 50))
    other.stop()
    shutil.copy(copy, path)
    assert "another one" in refusal(path) or "no turn of the journal ends" in refusal(path)


@pytest.mark.parametrize("gone", ["missing", "empty"])
@pytest.mark.parametrize("left", ["-wal", "-shm", "-high", "all"])
def test_remains_of_a_database_that_is_gone_refuse_the_start(path, gone, left):
    """They say that there was one; how to begin anew is said too."""
    image, last_seq = killed(path)
    image.unlink() if gone == "missing" else image.write_bytes(b"")
    for name in ("-wal", "-shm", "-high"):
        if left not in (name, "all"):
            beside(image, name).unlink()
    told = refusal(image)
    assert f"{image}: empty or missing, but" in told
    assert "begin anew with --accept-loss 0" in told
    assert (f"sequence {last_seq}" in told) == (left in ("-high", "all"))


def test_a_high_water_file_that_cannot_be_read_refuses_the_start(path):
    """One torn slot is what a power loss may leave; two are damage."""
    traded(path)
    high = beside(path, "-high")
    flip(high, 10)
    desk_on(path).start().stop()  # the other slot has it
    flip(high, 10)
    flip(high, 4096 + 10)
    assert "damaged" in refusal(path)
    desk = desk_on(path, accept_loss=ended_at(path)).start()
    desk.stop()
    assert HighWater(path).read().seq == desk.dispatcher.fold.last_seq


def ended_at(path):
    """The last sequence that the journal has."""
    store = PersistentStorage(path, read_only=True)
    store.open()
    try:
        return list(store.records())[-1].last_seq
    finally:
        store.close()


# --- what is no loss ---


def test_a_database_without_a_high_water_file_begins_one(path):
    """One of an older program, or a backup in a place of its own."""
    traded(path)
    beside(path, "-high").unlink()
    desk = desk_on(path).start()
    assert HighWater(path).read().seq == desk.dispatcher.fold.last_seq
    desk.stop()


def test_a_transaction_cut_short_at_the_end_is_no_loss(path, caplog):
    """Nobody was answered: the mark is before it."""
    # given a log with one more transaction than the high-water file knows, and a bit of that wrong
    image, _ = killed(path)
    kept = beside(image, "-high").read_bytes()
    desk = desk_on(image).start()
    other = image.parent / "again" / image.name
    other.parent.mkdir()
    for name in ("", "-wal"):
        shutil.copy(beside(image, name), beside(other, name))
    beside(other, "-high").write_bytes(kept)
    desk.stop()
    whole = read_end(other)
    log = beside(other, "-wal")
    frame = 4096 + 24
    flip(log, log.stat().st_size // frame * frame - 100)
    cut = read_end(other)
    assert (whole.damaged, cut.damaged, cut.transactions) == (False, True, 1)

    # when it starts, then that transaction is left out, and the log says so
    desk = desk_on(other).start()
    assert desk.store.loss is None
    assert "transaction cut short" in caplog.text
    desk.stop()


def test_a_shortfall_after_a_reboot_is_a_warning_where_commits_are_not_synced(path, caplog):
    """That is what `normal` means; `full` promises more, and the same boot lost no power."""
    image, last_seq = killed(path)
    lose_the_middle(image)
    reboot(image)
    assert "was committed" in refusal(image, durability="full")
    desk = desk_on(image, durability="normal").start()
    assert desk.store.loss.promised_seq == last_seq
    assert f"but {last_seq} was committed; going on without" in caplog.text
    assert desk.refolded() == desk.digest()
    desk.stop()


# --- the explicit way on ---


@pytest.mark.parametrize("lose", [lose_all, lose_the_middle, lose_the_header])
def test_an_accepted_loss_is_journaled_and_no_number_is_given_out_twice(path, lose):
    """The operator names where the journal ends; the entry says what is missing."""
    # given a journal that lost its end
    image, last_seq = killed(path)
    lose(image)
    ended = int(refusal(image).rsplit(" ", 1)[1])
    assert f"--accept-loss {ended}" in refusal(image, accept_loss=ended + 1)

    # when the operator accepts it
    desk = desk_on(image, accept_loss=ended).start()
    again = desk.ask(buy("B19", 2, 50))

    # then the first entry is numbered after all that was lost, and says so
    assert again.order_id > last_seq
    [line] = [r.body.split("\n")[0] for r in desk.store.records() if r.first_seq == last_seq + 1]
    assert json.loads(line) == [codec.LOSS, ended, last_seq]
    assert desk.refolded() == desk.digest()
    desk.stop()

    # and it starts again without saying so, and everything adds up
    desk_on(image).start().stop()
    found = audit(image.parent)
    assert (found.differences, found.mistakes) == ([], [])


def test_to_begin_anew_beside_remains_is_accepted_with_0(path):
    """Numbers go on where the lost database had come to."""
    image, last_seq = killed(path)
    image.unlink()
    desk = desk_on(image, accept_loss=0).start()
    [first, *_] = desk.store.records()
    assert first.first_seq == last_seq + 1
    assert desk.refolded() == desk.digest()
    desk.stop()
    desk_on(image).start().stop()


def test_what_is_left_of_lost_entries_goes_with_them(path):
    """Rows of the journal were deleted: their reports and ids would lead nowhere."""
    traded(path)
    mark = HighWater(path).read()
    alter(path, f"DELETE FROM journal WHERE last_seq > {mark.seq // 2}")
    desk = desk_on(path, accept_loss=ended_at(path)).start()
    assert desk.ask(buy("B5", 1, 50)).repeated is False
    desk.stop()
    found = audit(path.parent)
    assert (found.differences, found.mistakes) == ([], [])


def test_an_acceptance_without_a_loss_changes_nothing(path, caplog):
    """It may stay in a service's settings; what is lost later has another number."""
    traded(path)
    desk = desk_on(path, accept_loss=5).start()
    assert desk.store.loss is None
    assert "nothing is missing" in caplog.text
    desk.stop()


# --- how it is written ---


def test_the_file_keeps_its_size_and_the_two_latest_turns(path):
    """Written in place, so that a full disk cannot stop it; each write leaves the one before."""
    store = storage(path)
    high = HighWater(path)
    first = beside(path, "-high").stat()
    before, seqs = None, []
    for n in range(SYNC_TURNS + 5):
        entry = record(1 + 2 * n, new(f"A{n}"), before=before.checksum if before else 0)
        keep(store, entry)
        before = entry
        assert high.read()[:2] == (entry.last_seq, entry.checksum)
        seqs.append(entry.last_seq)
    assert beside(path, "-high").stat().st_size == first.st_size
    assert beside(path, "-high").stat().st_ino == first.st_ino
    assert sorted(mark.seq for mark in high._marks()) == seqs[-2:]
    store.close()


def test_a_write_that_fails_stops_all_acks(path):
    """What was committed cannot be promised any more: the outcome is unknown."""
    desk = desk_on(path).start()
    desk.store._high._file.close()
    desk.store._high._file = beside(path, "-high").open("rb", buffering=0)
    with pytest.raises(OutcomeUnknownError, match="-high"):
        desk.ask(buy("A", 1, 50))
    desk.store.close()


def test_a_venue_is_told_nothing_of_lost_entries():
    """The line has no effect but that it is there."""
    fold = Fold(EmbeddedVenue())
    state = fold.state()
    fold.apply(fold.record(6, NEVER, 0, [(codec.LOSS, 0, 5)]))
    assert {**fold.state(), "last_seq": 0} == {**state, "last_seq": 0}


def test_a_directory_that_is_no_place_is_named(path):
    """An error of the file, not a traceback."""
    path.mkdir()
    with pytest.raises(StoreError, match=str(path)):
        desk_on(path).start()
