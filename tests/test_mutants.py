"""The planted faults themselves: each still has its place, and the suite finds a few of them."""

import random

import pytest

from tests.mutants.faults import FAULTS
from tests.mutants.run import ROOT, run, sampled

SAMPLE = 5


def test_each_fault_has_one_place_and_a_test_that_should_see_it():
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names) >= 30
    for fault in FAULTS:
        text = (ROOT / "oms" / fault.file).read_text(encoding="utf-8")
        assert text.count(fault.right) == 1, fault.name
        assert fault.wrong != fault.right
        compile(text.replace(fault.right, fault.wrong), fault.file, "exec")
        assert all((ROOT / path).exists() for path in fault.paths), fault.name


@pytest.mark.slow
def test_the_suite_sees_some_of_them():
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    assert run(sampled(SAMPLE, seed)) == []
