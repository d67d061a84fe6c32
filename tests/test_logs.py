"""The log of a running daemon is its own: what the program logged like before, it does after."""

import logging

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
