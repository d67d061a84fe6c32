"""Start here: `python order_management.py [COMMAND]`, or `--help` for what there is.

Without a command it simulates a trading day on the real order path and reports how it went.
As a library this file gives the same names as the package `oms`:

    from order_management import OrderManagement, OrderRequest, Side
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (a checkout is run without pip, which checks)
    sys.exit("order_management: expected Python 3.11 or newer, was " + sys.version.split()[0])

import oms
from oms import *  # noqa: F403

__all__ = list(oms.__all__)

if __name__ == "__main__":
    from oms.cli import main

    sys.exit(main())
