"""Who can read the database: its owner, and a group only if it is named."""

import os
import stat
from contextlib import closing

import pytest

from oms import PersistentStorage, StoreError, ValidationError
from oms.cli import main
from oms.commands import keeping
from oms.sections import StoreConfig
from oms.stores import private
from tests.fakes import Stepped, config_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")


def modes(directory):
    """Of the database and what is beside it, while it is open."""
    return {
        path.name.removeprefix("d.db"): stat.S_IMODE(path.stat().st_mode)
        for path in directory.glob("d.db*")
        if path.name in ("d.db", "d.db-wal", "d.db-shm")
    }


def open_one(directory, **more):
    """A started order manager, with something in its write-ahead log."""
    store = PersistentStorage(directory / "d.db", durability="none", **more)
    Stepped(config_of(), store=store).start()
    return closing(store)


def test_a_new_database_is_its_owners(tmp_path):
    """Whatever the umask is, with what SQLite puts beside it."""
    before = os.umask(0)
    try:
        with open_one(tmp_path):
            assert modes(tmp_path) == {"": 0o600, "-wal": 0o600, "-shm": 0o600}
    finally:
        os.umask(before)


def test_one_of_an_older_program_becomes_its_owners(tmp_path):
    """Given a database that everybody can read, with a log from a crash, when it is opened."""
    with open_one(tmp_path):
        for path in tmp_path.iterdir():
            (tmp_path / f"crashed-{path.name}").write_bytes(path.read_bytes())
    for path in tmp_path.glob("d.db*"):
        path.unlink()
    for path in tmp_path.glob("crashed-*"):
        path.rename(path.with_name(path.name.removeprefix("crashed-"))).chmod(0o644)
    with open_one(tmp_path):
        assert modes(tmp_path) == {"": 0o600, "-wal": 0o600, "-shm": 0o600}


def test_a_group_may_read_if_it_is_named(tmp_path):
    """And no longer once the setting is gone."""
    import grp

    group = grp.getgrgid(os.getgid()).gr_name
    with open_one(tmp_path, group=group):
        assert modes(tmp_path) == {"": 0o640, "-wal": 0o640, "-shm": 0o640}
        assert (tmp_path / "d.db").stat().st_gid == os.getgid()
    with open_one(tmp_path):
        assert set(modes(tmp_path).values()) == {0o600}


def test_what_a_backup_copies_beside_the_database_is_its_owners_too(tmp_path):
    """An archive holds the same hashes."""
    before = os.umask(0)
    try:
        (tmp_path / "archive.db").write_bytes(b"x")
        keeping._copy_file(tmp_path / "archive.db", tmp_path / "copied.db")
        assert stat.S_IMODE((tmp_path / "copied.db").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_reader_changes_no_mode(tmp_path):
    with open_one(tmp_path):
        pass
    (tmp_path / "d.db").chmod(0o644)
    with PersistentStorage(tmp_path / "d.db", read_only=True):
        assert modes(tmp_path)[""] == 0o644


def test_what_is_written_out_of_it_is_as_private(tmp_path, capsys):
    """Statements, exports and the report's page; also where a file for all was there before."""
    # given a database, and a file that everybody may read
    place = ["--data-dir", str(tmp_path)]
    page, orders = tmp_path / "page.html", tmp_path / "orders.csv"
    orders.touch(mode=0o644)

    # when all of it is written
    words = ["simulate", "--seconds", "1", "--quiet", "--html", str(page)]
    assert main([*words, *place]) == 0
    assert main(["export", "orders", "--format", "csv", "--output", str(orders), *place]) == 0
    assert main(["end-of-day", *place]) == 0

    # then its owner alone may read it
    written = [page, orders, *tmp_path.glob("end-of-day-*")]
    assert len(written) == 2 + 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    capsys.readouterr()


def test_what_cannot_be_made_private_is_refused(tmp_path, monkeypatch):
    """It is another user's; or there is no such group."""
    with open_one(tmp_path):
        pass
    (tmp_path / "d.db").chmod(0o644)
    with pytest.raises(StoreError, match="expected a group of this system, was 'nobody-here'"):
        PersistentStorage(tmp_path / "d.db", group="nobody-here").open()

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(private.Path, "chmod", refuse)
    with pytest.raises(StoreError, match=r"owner's alone \(mode 600\), was 644"):
        PersistentStorage(tmp_path / "d.db").open()
    with pytest.raises(ValidationError, match="group"):
        PersistentStorage("d.db", group=5)
    with pytest.raises(ValidationError, match="group"):
        StoreConfig(group="a b")
