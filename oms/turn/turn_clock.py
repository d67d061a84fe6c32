"""The turn clock: when a turn is, by the wall and by the time that has elapsed.

Elapsed time goes on from what the journal says: by the monotonic clock while the daemon runs,
while it is down by the same clock, or by the wall clock if the machine was started anew; and never
backwards.
"""

import logging
from collections.abc import Sequence

from oms.clock import NANOS, Clock, Instant

log = logging.getLogger(__name__)

JUMP_NS_MIN = NANOS  # a smaller step may be the machine that paused between two readings


class TurnClock:
    """Makes the instant of each turn, and notices when the wall clock was set.

    jumps, jump_ns: how often it was set since the start, and by how much the last time.
    behind_ns: how far the wall clock is behind the journal's stamps, which never decrease.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stamp_ns = 0  # no turn is stamped before this
        self.elapsed_offset_ns = 0  # elapsed time minus the monotonic clock's
        self._wall_offset_ns = clock.wall_ns() - clock.monotonic_ns()
        self.jumps = self.jump_ns = self.behind_ns = 0

    @property
    def told(self) -> tuple[str, int] | None:
        """What the next process goes on by: the start of the machine, and elapsed time minus the
        monotonic clock's; None where the clock names no start of its machine."""
        boot = getattr(self._clock, "boot", str)()  # of a clock of the user's own: ""
        return (boot, self.elapsed_offset_ns) if boot else None

    def start(self, last: Instant, told: Sequence[object] = ()) -> None:
        """Go on after the last turn of the journal; told: what its process told of its clock."""
        wall_ns, now_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        self._stamp_ns = last.wall_ns
        self.elapsed_offset_ns = last.elapsed_ns + max(0, wall_ns - last.clock_ns) - now_ns
        boot, offset_ns = told or ("", 0)
        same_boot = self.told is not None and self.told[0] == boot
        if same_boot and isinstance(offset_ns, int) and now_ns + offset_ns >= last.elapsed_ns:
            self.elapsed_offset_ns = offset_ns
        self._wall_offset_ns = wall_ns - now_ns
        if last.clock_ns - wall_ns >= JUMP_NS_MIN:
            log.warning(
                "the wall clock is %.3f s behind the journal's last turn: stamps stand still "
                "until it is there", (last.clock_ns - wall_ns) / NANOS,
            )  # fmt: skip

    def read(self) -> Instant:
        """The instant of a turn that begins now."""
        clock_ns, now_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        jump_ns = clock_ns - now_ns - self._wall_offset_ns
        self._wall_offset_ns += jump_ns
        if abs(jump_ns) >= JUMP_NS_MIN:
            self.jumps += 1
            self.jump_ns = jump_ns
            log.warning("the wall clock was set by %+.3f s", jump_ns / NANOS)
        self._stamp_ns = max(self._stamp_ns, clock_ns)
        self.behind_ns = self._stamp_ns - clock_ns
        return Instant(self._stamp_ns, clock_ns, now_ns + self.elapsed_offset_ns)
