"""Plain orders cross in one pass; what crosses is what the codec of requests would have made."""

import json
from decimal import Decimal

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from oms import OrderRequest, OrderType, RequestType, Side, TimeInForce
from oms.errors import ValidationError
from oms.requests.codec import FIELDS, of_object, to_object
from oms.requests.orders import NO_ORIGIN, OrderTerms, Origin
from oms.transport import wire
from oms.transport.orders import PlainOrder

IDS = st.text("ab1-", min_size=1, max_size=6)
NUMBERS = st.sampled_from(
    ["1", "0.10", 7, 2.5, Decimal("1.50"), Decimal("1E+2"), "no number", -1, 10**15]
)
ORIGINS = st.sampled_from([
    NO_ORIGIN, Origin("ann", "rest"), Origin("ann", "fix", "r-1", 7), Origin(request_id="x"),
])  # fmt: skip
NEW = st.builds(
    OrderRequest.new, IDS, IDS, IDS, st.sampled_from(Side), NUMBERS, NUMBERS,
    time_in_force=st.sampled_from([TimeInForce.GTC, TimeInForce.IOC, TimeInForce.DAY]),
    hold=st.booleans(), origin=ORIGINS,
    terms=st.sampled_from([None, None, OrderTerms(min_quantity="1")]),
)  # fmt: skip
MODIFY = st.builds(OrderRequest.modify, IDS, IDS, IDS, price=NUMBERS, origin=ORIGINS)
BY_ORDER_ID = st.builds(OrderRequest.cancel, IDS, IDS, order_id=st.integers(1, 2**63 - 1))
CANCEL = st.builds(OrderRequest.cancel, IDS, IDS, IDS, origin=ORIGINS)
ORDERS = st.one_of(NEW, MODIFY, CANCEL, BY_ORDER_ID)

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**30), st.text(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.just({}), st.just({"user": "ann", "sequence": 1.0}), st.just({"user": None}),
    st.sampled_from([*Side, *OrderType, *TimeInForce]),
)  # fmt: skip
OBJECTS = st.fixed_dictionaries(
    {"request": st.sampled_from([*RequestType, "DEPOSIT", "", None])},
    optional={name: st.one_of(IDS, ODD) for name in (*FIELDS[OrderRequest], "unknown")},
)


@given(ORDERS)
def test_what_is_written_is_what_the_codec_writes(request):
    content = wire.commands("api-1", [wire.asked(5, 6, request)])
    told = ["api-1", [[5, 6, to_object(request)]]]
    assert json.loads(content) == json.loads(json.dumps(told))


@given(st.lists(ORDERS, min_size=1, max_size=4))
def test_what_was_written_is_read_again(requests):
    """Whatever stands together in an entry, in its order."""
    contents = [wire.asked(n, 6, request) for n, request in enumerate(requests)]
    found = wire.read_commands(b"2", wire.commands("api-1", contents))
    assert found.client == "api-1"
    assert [each.number for each in found.requests] == list(range(len(requests)))
    plain = all(each.terms is None for each in requests)
    assert {type(each.request) for each in found.requests} == {PlainOrder if plain else msgspec.Raw}
    read = [wire.request_of(each.request).line for each in found.requests]
    assert read == [of_object(to_object(each)).line for each in requests]


@given(OBJECTS)
@example({"request": "CANCEL", "account": "a", "client_order_id": "b", "origin": None})
@example({"request": "NEW", "account": "a", "client_order_id": "b", "symbol": "s", "side": "BUY",
          "price": 10**30, "quantity": "1"})  # fmt: skip
def test_any_object_is_read_or_refused_as_by_the_codec(given):
    """With the same words."""
    for version, told in ((b"1", ["api-1", 5, 6, given]), (b"2", ["api-1", [[5, 6, given]]])):
        [asked] = wire.read_commands(version, json.dumps(told).encode()).requests
        assert (asked.number, asked.sent_ns) == (5, 6)
        assert outcome(lambda asked=asked: wire.request_of(asked.request)) == outcome(
            lambda: of_object(msgspec.json.decode(json.dumps(given)))
        )


def outcome(made):
    try:
        return made().line
    except ValidationError as error:
        return str(error)
