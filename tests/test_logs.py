"""The log of a running daemon is its own: what the program logged like before, it does after."""

import io
import json
import logging
import os
from unittest.mock import Mock

import pytest

from oms.logs import LogWriter
from oms.sections import LogConfig


def test_a_log_that_ended_leaves_the_logging_of_the_program_as_it_was(tmp_path):
    # given
    logger = logging.getLogger("oms")
    before = logger.level, logger.propagate, list(logger.handlers)

    # when
    writer = LogWriter(LogConfig(level="DEBUG"), tmp_path)
    logger.debug("order %s", "a-1")
    during = logger.level, logger.propagate
    writer.finish()
    logger.debug("order %s", "a-2")

    # then
    assert during == (logging.DEBUG, False)
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
    assert "order a-1" in writer.path.read_text()
    assert "order a-2" not in writer.path.read_text()


def test_a_console_whose_reader_has_gone_is_one_line(tmp_path, capsys):
    """In the log file, which goes on; nothing on stderr."""
    # given a log with a console that is a pipe
    logger = logging.getLogger("oms")
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w", encoding="utf-8") as console:
        writer = LogWriter(LogConfig(level="INFO"), tmp_path, console)

        # when the reader goes away, and records keep coming
        os.close(read_end)
        for n in range(3):
            logger.info("record %d", n)
        writer.finish()

    # then the file has all of them, and one line about the console
    lines = writer.path.read_text().splitlines()
    assert [line for line in lines if "record" in line and "console" not in line][2:]
    assert len([line for line in lines if "console: " in line]) == 1
    assert capsys.readouterr().err == ""


def test_a_log_that_cannot_be_written_is_one_line_on_stderr(tmp_path, capsys, monkeypatch):
    """Until it can, and then cannot again: the disk was full twice."""
    # given a log file that fails when it is told to
    logger, fails = logging.getLogger("oms"), [True]
    writer = LogWriter(LogConfig(level="INFO"), tmp_path)
    file = writer._file
    write = file.stream.write

    def write_unless_full(text):
        if fails[0]:
            raise OSError(28, "No space left on device")
        return write(text)

    monkeypatch.setattr(file, "stream", Mock(wraps=file.stream, write=write_unless_full))

    # when it fails, works, and fails again
    for failing in (True, True, True, False, True, True):
        fails[0] = failing
        logger.info("record")
        writer.step()
    writer.finish()

    # then each time is one line
    told = capsys.readouterr().err.splitlines()
    assert told == ["order_management: log not written: [Errno 28] No space left on device"] * 2


def test_a_log_begins_a_new_file_once_one_is_full_and_loses_no_line(tmp_path):
    """`rotate_bytes` of 10,000: the line that passes it is the last of its file."""
    # given
    logger, numbers = logging.getLogger("oms"), range(500)
    writer = LogWriter(LogConfig(level="INFO", rotate_bytes=10_000, rotate_files=9), tmp_path)

    # when
    for n in numbers:
        logger.info("record %d", n)
    writer.finish()

    # then
    older = sorted(tmp_path.glob("order_management.log.*"), reverse=True)
    texts = [each.read_text() for each in [*older, writer.path]]
    assert len(texts) > 3
    assert "".join(texts).count("record") == len(numbers)
    assert [int(line.split()[-1]) for line in "".join(texts).splitlines()] == list(numbers)
    for full in texts[:-1]:
        last = full.splitlines(keepends=True)[-1]
        assert len(full) - len(last) < 10_000 <= len(full)


def shown(tmp_path, encoding, *texts):
    """The lines of a log, and of its console in that encoding, once these were logged."""
    logger = logging.getLogger("oms")
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    writer = LogWriter(LogConfig(level="INFO"), tmp_path, console)
    for text in texts:
        logger.info(text)
    writer.step()
    writer.finish()
    console.seek(0)
    return writer.path.read_text(encoding="utf-8").splitlines(), console.read().splitlines()


def messages(lines):
    return [line.partition("oms: ")[2] for line in lines]


def test_text_that_has_no_utf_8_is_shown_in_the_log_and_ends_nothing(tmp_path):
    """Half of a pair of UTF-16, as the name of a file may have it; the lines beside it are there,
    and the console goes on."""
    # given, when
    log, console = shown(tmp_path, "utf-8", "before", "half \ud83d of a pair", "behind, in Köln")

    # then
    assert messages(log) == ["before", r"half \ud83d of a pair", "behind, in Köln"]
    assert console == log


def test_a_console_in_another_encoding_shows_what_it_has_no_character_for(tmp_path):
    """And goes on with the lines beside it."""
    # given, when
    log, console = shown(tmp_path, "latin-1", "in Köln", "5 €", "behind")

    # then
    assert messages(console) == ["in Köln", r"5 \u20ac", "behind"]
    assert messages(log) == ["in Köln", "5 €", "behind"]


def test_a_turn_of_the_writer_ends_though_records_come_as_fast_as_they_are_written(tmp_path):
    """Else it would neither stop nor tell how many were dropped."""
    # given a console whose every line makes another record
    logger, written = logging.getLogger("oms"), []

    class Console(io.StringIO):
        def write(self, text):
            written.append(text)
            if len(written) < 5:
                logger.info("record %d", len(written))
            return len(text)

    writer = LogWriter(LogConfig(level="INFO"), tmp_path, Console())

    # when
    logger.info("record 0")
    writer.step()
    after_one = len(written)
    writer.step()
    writer.finish()

    # then each turn wrote what was there, and the end what was left
    assert (after_one, len(written)) == (1, 3)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_record_that_cannot_be_put_into_words_is_a_line_as_others_are(tmp_path, as_json):
    # given
    logger = logging.getLogger("oms.desk")
    writer = LogWriter(LogConfig(level="INFO", json=as_json), tmp_path)

    # when
    logger.info("order %d", "a-1")
    logger.info("order %s", "a-2")
    writer.finish()

    # then
    failed, line = writer.path.read_text().splitlines()
    assert "a record of oms.desk cannot be put into words: TypeError(" in failed
    assert "WARNING" in failed
    assert "order a-2" in line
    if as_json:
        assert json.loads(failed)["level"] == "WARNING"


def test_a_log_that_cannot_begin_a_new_file_goes_on_in_the_old_one(tmp_path, capsys):
    """No line is lost; that is said once."""
    # given a directory where the old file is to be moved
    logger, numbers = logging.getLogger("oms"), range(500)
    writer = LogWriter(LogConfig(level="INFO", rotate_bytes=10_000, rotate_files=1), tmp_path)
    (tmp_path / "order_management.log.1").mkdir()

    # when there is more than may be in a file
    for n in numbers:
        logger.info("record %d", n)
        if n % 100 == 0:
            writer.step()
    writer.finish()

    # then
    lines = writer.path.read_text().splitlines()
    assert [int(line.split()[-1]) for line in lines] == list(numbers)
    assert len(capsys.readouterr().err.splitlines()) == 1
