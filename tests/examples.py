"""How many examples a property is tried with: all of them in CI, a share of them elsewhere."""

import os

PERCENT = int(os.environ.get("TEST_EXAMPLES_PERCENT", "40"))


def many(examples: int) -> int:
    """The examples of a run: PERCENT of those that the proof takes, at least one."""
    return max(1, examples * PERCENT // 100)
