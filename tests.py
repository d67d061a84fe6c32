"""`python tests.py` runs the test suite, as `python -m pytest` does."""

import sys

if __name__ == "__main__":
    import pytest

    sys.exit(pytest.main())
