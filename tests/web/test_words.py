"""What clients may say: one grammar for numbers, one rule for text, no field twice or unknown."""

import json
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oms.errors import ValidationError
from oms.gateways.web.trading import Named, NewOrder, OpenOrders
from oms.gateways.web.words import decimal_text, read_body, read_query

ORDER = {"symbol": "BTC_USD", "side": "BUY", "price": "100.50", "quantity": "2"}


def said(**changes):
    return json.dumps({**ORDER, **changes}).encode()


def refusal(body, kind=NewOrder):
    with pytest.raises(ValidationError) as caught:
        read_body(kind, body)
    return caught.value


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"side":"BUY","order_type":"buy"}', None),
        ('{"side":"buy","order_type":"BUY"}', None),
        ('{"side":"BUY","quantity":"2.0","qty":2}', None),
        ('{"side":"BUY","quantity":"2","qty":"2e0"}', None),
        ('{"side":"BUY","order_type":"sell"}', "order_type"),
        ('{"side":"BUY","quantity":"2","qty":"2.01"}', "qty"),
        ('{"side":"BUY","clientOrderId":"a","client_order_id":"A"}', "client_order_id"),
    ],
)
def test_two_names_of_one_field_agree_however_their_values_are_written(body, field):
    body = b'{"symbol":"BTC_USD",' + body[1:].encode()
    if field is None:
        assert read_body(NewOrder, body).side == "BUY"
    else:
        assert refusal(body).field == field


def test_an_order_is_read_with_all_its_defaults():
    order = read_body(NewOrder, said())
    assert (order.symbol, order.side, order.price, order.quantity) == (
        "BTC_USD", "BUY", "100.50", "2",
    )  # fmt: skip
    assert (order.type, order.time_in_force, order.hold) == ("LIMIT", "GTC", False)


def test_the_body_of_the_first_clients_is_read_too():
    """snake_case, other names, words in any case, and numbers that are no text."""
    body = b"""{"order_type": "Buy", "order_kind": "Limit", "price": 100.50, "quantity": 10,
                "market": "TATA_INR"}"""
    order = read_body(NewOrder, body)
    assert (order.symbol, order.side, order.type) == ("TATA_INR", "BUY", "LIMIT")
    assert (order.price, order.quantity) == ("100.50", "10")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"symbol": "A", "symbol": "B", "side": "BUY"}', "symbol"),
        (b'{"symbol": "A", "market": "B", "side": "BUY"}', "market"),
        (said(priec="1"), "priec"),
        (said(price=True), "price"),
        (said(price=None, quantity=[1]), "quantity"),
        (said(side="BOTH"), "side"),
        (said(symbol=5), "symbol"),
        (said(symbol=""), "symbol"),
        (said(symbol="A" * 65), "symbol"),
        (said(clientOrderId="a\u0000b"), "clientOrderId"),
        (said(clientOrderId="a\nb"), "clientOrderId"),
        (b'{"symbol": "A\\ud800", "side": "BUY"}', "symbol"),
        (b'{"symbol": "A", "side": "BUY", "price": NaN}', "body"),
        (b'{"symbol": "A", "side": "BUY", "price": -Infinity}', "body"),
        (b'{"symbol": "A", "side": "BUY", "price": 1e400}', "price"),
        (said(price="1e1000000"), "price"),
        (said(price="1_000"), "price"),
        (said(price="\u0661\u0662"), "price"),
        (said(price=" 1"), "price"),
        (said(price="0x10"), "price"),
        (said(price="9" * 31), "price"),
        (b'{"symbol": "A", "side": "BUY", "price": ' + b"9" * 5_000 + b"}", "price"),
        (said(expireTime="-1"), "expireTime"),
        (said(hold="yes"), "hold"),
        (b"[]", "body"),
        (b"", "body"),
        (b"{", "body"),
        (b'{"symbol": "A"} x', "body"),
        (b"\xff\xfe", "body"),
        (b"[" * 100_000, "body"),
        (b'{"a":' * 100_000, "body"),
        (json.dumps({f"f{n}": 1 for n in range(200)}).encode(), "body"),
        (b'{"side": "BUY"}', "symbol"),
    ],
)
def test_what_is_no_order_is_refused_naming_the_field(body, field):
    error = refusal(body)
    assert error.field == field
    assert len(str(error)) < 700


def test_a_query_has_the_same_rules():
    assert read_query(OpenOrders, "symbol=BTC_USD&limit=5").limit == 5
    assert read_query(OpenOrders, "").limit == 100
    assert read_query(Named, "clientOrderId=7").client_order_id == "7"
    for query in ("limit=x", "limit=0", "limit=1001", "symbol=A&symbol=B", "nope=1", "limit",
                  "symbol=%00", "after=-1", "symbol=%ff"):  # fmt: skip
        with pytest.raises(ValidationError):
            read_query(OpenOrders, query)


numbers = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=0, max_value=10**9)


@given(numbers)
def test_a_number_is_the_same_as_text_and_as_a_number(number):
    """Exactly: no float comes in between."""
    text = format(number, "f")
    as_text = read_body(NewOrder, said(price=text)).price
    as_number = read_body(NewOrder, said().replace(b'"100.50"', text.encode())).price
    assert as_text == as_number == text


@given(st.integers(0, 10**12), st.integers(-30, 30), st.sampled_from("eE"))
def test_an_exponent_is_written_out(digits, exponent, letter):
    """What is asked of the grid is plain digits; the value stays what it was."""
    text = f"{digits}{letter}{exponent}"
    plain = decimal_text(read_body(NewOrder, said(price=text)).price)
    assert "e" not in plain.lower()
    assert Decimal(plain) == Decimal(text)


scalar = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9)
anything = scalar | st.lists(scalar, max_size=2) | st.dictionaries(st.text(max_size=3), scalar)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*ORDER, "hold", "postOnly", "market", "x"]), anything))
def test_whatever_is_said_is_an_order_or_a_refusal(given_):
    body = json.dumps(given_).encode("utf-8", "surrogatepass")
    try:
        order = read_body(NewOrder, body)
    except ValidationError as error:
        assert error.field and error.expected
    else:
        assert order.symbol and order.side in ("BUY", "SELL")


@given(st.binary(max_size=200))
def test_any_bytes_are_an_order_or_a_refusal(body):
    with pytest.raises(ValidationError):
        read_body(NewOrder, body)


names = st.sampled_from([*ORDER, "timeInForce", "time_in_force", "market", "type", "hold", "nope"])
texts = st.sampled_from(
    ["A", "buy", "SELL", "1.5", "", 'x":"', "\u00e9", "\x7f", "a\n", "9" * 1_020]
)


@given(st.lists(st.tuples(names, texts), max_size=6), st.sampled_from(["", " ", "\n", "\ufeff"]))
def test_texts_alone_are_read_as_everything_else_is(pairs, space):
    """Whether it is read at once or part by part, as what has an escape in it, is no matter."""
    fields = [*ORDER.items(), *pairs][1:]
    rest = ",".join(
        f"{space}{json.dumps(name)}:{json.dumps(value, ensure_ascii=False)}"
        for name, value in fields
    )
    plain, escaped = (
        outcome(f'{{"{symbol}":"BTC_USD",{rest}}}'.encode())
        for symbol in ("symbol", "symb\\u006fl")
    )
    assert plain == escaped


def outcome(body):
    try:
        return read_body(NewOrder, body)
    except ValidationError as error:
        return error.field, error.expected.partition(" at character")[0]
