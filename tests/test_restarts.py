"""Processes come and go, the orders stay: restarts at any moment change nothing that matters.

P3. The twin is an order manager that never stops.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from oms import MemoryStore
from oms.config import StoreConfig
from tests.examples import many
from tests.fakes import Stepped, buy, cancel, config_of, modify, sell

CONFIG = config_of(store=StoreConfig(snapshot_every=9))

numbers = st.integers(0, 12)
requests = st.one_of(
    st.builds(
        lambda n, q, p: buy(f"B{n}", q, p), numbers, st.integers(1, 5), st.integers(97, 101)
    ),
    st.builds(
        lambda n, q, p: sell(f"S{n}", q, p), numbers, st.integers(1, 5), st.integers(99, 103)
    ),
    st.builds(lambda n, q: sell(f"K{n}", q), numbers, st.integers(1, 5)),
    st.builds(lambda n, m: cancel(f"C{n}", f"B{m}"), numbers, numbers),
    st.builds(
        lambda n, m, q, p: modify(f"M{n}", f"S{m}", quantity=q, price=p),
        numbers, numbers, st.none() | st.integers(1, 5), st.integers(99, 103),
    ),
)  # fmt: skip
ends = st.sampled_from(["none", "none", "stop", "crash"])


def standing(desk):
    """What a client can see, without the numbers that count processes."""
    ids = [f"{kind}{n}" for kind in "BSKCM" for n in range(13)]
    found = [desk.oms.get_order("me", client_id) for client_id in ids]
    return (
        desk.oms.get_depth("X", 50),
        [(r.state, r.cumulative_lots, r.leaves_lots, r.notional) if r else None for r in found],
        [(r.side, r.state, r.leaves_lots) for r in desk.oms.open_orders("me")],
    )


@given(st.lists(st.tuples(st.lists(requests, max_size=4), ends), max_size=12))
@settings(max_examples=many(120))
def test_restarts_at_any_moment_change_nothing_that_matters(turns):
    """Orderly or not, from a snapshot or not: same books, same orders, same fills."""
    # given two order managers with the same requests, one of which keeps restarting
    steady, store = Stepped(CONFIG).start(), MemoryStore()
    restless = Stepped(CONFIG, store=store).start()
    seen = set()
    for batch, end in turns:
        steady.send(*batch)
        told = [restless.oms.submit(request) for request in batch]
        new = {r.execution_id for r in restless.turn()}
        assert not new & seen  # no number is used twice, whichever process gave it
        seen |= new
        assert all(answer.done() for answer in told)
        if end == "stop":
            restless.stop()
        if end != "none":
            restless = Stepped(CONFIG, store=store).start()

        # then nobody can tell them apart
        assert standing(restless) == standing(steady)
        assert restless.refolded() == restless.digest()
