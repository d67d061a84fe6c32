"""Threads of engines and apis in the test's own process look again and stop sooner than they do by
default: hundreds of tests start and stop them. What a wait is for, its end tells as before.
"""

from oms.clock import NANOS
from oms.roles import asks, receiving, sending, taking, telling, transfers
from oms.transport import server

PAUSE_S = 0.05

server.BLOCK_S = PAUSE_S
for part in (asks, receiving, sending, taking, telling):
    part.IDLE_S = PAUSE_S
transfers.TICK_S = PAUSE_S
telling.BEAT_NS = sending.TICK_NS = int(PAUSE_S * NANOS)
