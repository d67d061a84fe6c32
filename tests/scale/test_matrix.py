"""The kill matrix: roles, Redis and Postgres killed, stopped and cut off under load, alone and in
pairs.

There are two groups of markets, and clients move money within each and between both. OMS_ROUNDS
says how many rounds there are; the seed is printed. After all of them every request was answered,
once, money is what was paid in and moved, no transfer is half, money was conserved behind every
turn of the two journals, subscribers had every fill once, and what is in Postgres is what the
journals have.
"""

import os
import random
import time

import pytest

from tests.scale.matrix import HOW, VICTIMS, Cluster, dealt, deck
from tests.scale.processes import ready

ROUNDS = int(os.environ.get("OMS_ROUNDS", "18"))


def test_so_many_rounds_as_there_are_cases_have_each_of_them():
    cards = deck(VICTIMS)
    assert len(cards) == len(set(cards)) == 21 + 21 * 9
    dealing = dealt(cards, random.Random(1))
    for _ in range(2):
        assert {next(dealing) for _ in cards} == set(cards)
    assert {how for card in cards for _, how in card} == set(HOW)
    assert all(1 <= len({victim for victim, _ in card}) == len(card) <= 2 for card in cards)


@pytest.mark.slow
@pytest.mark.parametrize("journal", ["sqlite", "postgres"])
def test_nothing_answered_is_lost_and_nothing_is_doubled_whatever_dies(
    journal, tmp_path, start_postgres
):
    pytest.importorskip("psycopg")
    from tests.scale.audit import audit

    seed = int(os.environ.get("OMS_SEED") or time.time_ns() % 2**32)
    cards = deck(VICTIMS)
    print(f"journal={journal} seed={seed} rounds={ROUNDS} of {len(cards)} cases")
    postgres = start_postgres(fsync="on", full_page_writes="on")
    cluster = Cluster(tmp_path, postgres, journal, seed)
    try:
        cluster.start()
        dealing = dealt(cards, cluster.chance)
        for number in range(ROUNDS):
            cluster.play(number, next(dealing))
        for each in cluster.clients:
            each.stop()
        ready(cluster.apis)
        audit(cluster)
    finally:
        cluster.end()
