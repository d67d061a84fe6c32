"""`python -m oms`: the same program as order_management.py, and as `oms` after pip install."""

import sys

from oms.cli import main

if __name__ == "__main__":
    sys.exit(main())
