"""Tests; the checks that several of them share explain themselves when they fail."""

import pytest

pytest.register_assert_rewrite("tests.processes")
