"""The one codec: requests as JSON objects, and as lines of the journal; nothing lost, rounded
or guessed on the way."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import (
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    OrderRequest,
    OrderTerms,
    OrderType,
    Origin,
    Phase,
    PostOnly,
    RequestType,
    Scope,
    SelfTrade,
    Side,
    TimeInForce,
    Trading,
)
from oms.errors import ValidationError
from oms.requests import REQUESTS, AccessAction, AccessRequest, codec
from oms.requests.access import FACTS, OF_OPERATORS
from oms.requests.accounts import PLAIN, TRANSFERS
from oms.requests.codec import (
    CLASSES,
    FIELDS,
    LENGTHS,
    decode_all,
    dumps,
    encode,
    loads,
    of_object,
    to_object,
    why_of,
    with_origin,
)
from oms.requests.operators import NEED_SETTINGS, OF_MARKETS, SETTINGS, TEXT_LENGTH_MAX
from oms.requests.orders import ID_LENGTH_MAX, SEQUENCE_MAX
from tests.fakes import Stepped, buy, cancel, config_of, modify

ORIGIN = Origin("ann", "fix-1", "r-1", 77)

KNOWN_FACTS = {
    "email": "ann@example.com", "hash": "$scrypt$x", "role": "trader", "accounts": "ann,ann-2",
    "credential": "1-a", "code": "0" * 64, "ends_ns": "5", "why": 'so said "the boss"',
    "step": "7", "family": "1-a", "generation": "1", "name": "für den Bot", "scopes": "read,trade",
    "addresses": "192.0.2.0/24,2001:db8::/32", "key": "1-a",
    "locked": "yes", "account": "ann-2", "scope": "session", "grace_s": "30", "arm": "1-b",
}  # fmt: skip

# One request of each kind; together they have every field there is, and none at its default.
EXAMPLES = [
    OrderRequest.new(
        "me", "A", "X", Side.BUY, "5", "100.50", order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTD, hold=True, origin=ORIGIN,
        terms=OrderTerms(
            display_quantity="2", post_only=PostOnly.SLIDE, expire_ns=2**62, oco_with="S",
            self_trade=SelfTrade.DECREMENT,
        ),
    ),
    OrderRequest.new("me", "B", "X", Side.SELL, 5, 3, terms=OrderTerms(min_quantity="1")),
    OrderRequest.new("me", "S", "X", Side.SELL, "5", "99", terms=OrderTerms(stop_price="99.5")),
    OrderRequest.new(
        "me", "Q", "X", Side.BUY, None, time_in_force=TimeInForce.IOC,
        terms=OrderTerms(quote_quantity="1000", protection_price="101"),
    ),
    OrderRequest.modify(
        "me", "M", "A", price="7", quantity="8", origin=ORIGIN,
        terms=OrderTerms(stop_price="1", display_quantity="2"),
    ),
    OrderRequest.modify("me", "N", order_id=12, quantity=3),
    OrderRequest.cancel("me", "C", "A", origin=ORIGIN),
    OrderRequest.cancel("me", "D", order_id=SEQUENCE_MAX),
    OrderRequest(
        type=RequestType.CANCEL, account="me", client_order_id="E", orig_client_order_id="A",
        symbol="X", side=Side.BUY,
    ),
    FundsRequest(account="me", client_order_id="1", action=FundsAction.CREATE),
    FundsRequest(
        account="me", client_order_id="2", action=FundsAction.DEPOSIT, asset="USD", amount="10",
    ),
    FundsRequest(
        account="me", client_order_id="3", action=FundsAction.WITHDRAW, asset="USD", amount=10,
    ),
    FundsRequest(
        account="me", client_order_id="4", action=FundsAction.TRANSFER, asset="USD",
        amount="0.5", to_account="you", origin=ORIGIN,
    ),
    *(
        FundsRequest(
            account="me", client_order_id=f"4-{action}", action=action, asset="USD", amount="0.5",
            to_account="you", from_group="usd", to_group="inr",
            why="so said the other" if action is FundsAction.TRANSFER_BACK else "",
        )
        for action in TRANSFERS
    ),
    MassCancelRequest(account="me", client_order_id="5"),
    MassCancelRequest(
        account="operator", client_order_id="6", symbol="X", side=Side.SELL, everybody=True,
        why='so said "the boss"', origin=ORIGIN,
    ),
    OperatorRequest(
        client_order_id="7", action=OperatorAction.SET_LIMIT, scope=Scope.ACCOUNT, target="me",
        name="order_quantity_max", value="5", why='so said "the boss", in Zürich', account="boss",
        origin=ORIGIN,
    ),
    OperatorRequest(client_order_id="8", action=OperatorAction.KILL),
    OperatorRequest(
        client_order_id="9", action=OperatorAction.SET_TRADING, value=Trading.REDUCING.value
    ),
    OperatorRequest(
        client_order_id="10", action=OperatorAction.SET_PHASE, scope=Scope.SYMBOL, target="X",
        value=Phase.HALTED.value,
    ),
    OperatorRequest(
        client_order_id="11", action=OperatorAction.SET_ACCOUNT, scope=Scope.ACCOUNT, target="me",
        name="tier", value="gold",
    ),
    OperatorRequest(client_order_id="12", action=OperatorAction.BUST, name="12-3"),
    OperatorRequest(
        client_order_id="13", action=OperatorAction.CORRECT, name="12-3",
        settings={"price": "1.5", "quantity": "3"},
    ),
    OperatorRequest(
        client_order_id="14", action=OperatorAction.LIST, scope=Scope.SYMBOL, target="NEW_USD",
        settings={"tick_size": "0.5"},
    ),
    OperatorRequest(
        client_order_id="15", action=OperatorAction.DELIST, scope=Scope.SYMBOL, target="X",
        value="cancel",
    ),
    OperatorRequest(
        client_order_id="16", action=OperatorAction.SET_MARKET, scope=Scope.SYMBOL, target="X",
        name="pro", settings={"maker_fee_bps": "1"},
    ),
    *(
        AccessRequest(
            account="operator", client_order_id=f"h{n}", action=action, user="ann", origin=ORIGIN,
            facts={name: KNOWN_FACTS[name] for names in FACTS[action] for name in names} or None,
        )
        for n, action in enumerate(AccessAction)
    ),
]  # fmt: skip


# --- whatever may be asked ---

ids = st.text(
    "".join(chr(n) for n in range(32, 127) if chr(n) not in '"\\'),
    min_size=1, max_size=ID_LENGTH_MAX,
)  # fmt: skip
maybe_ids = st.just("") | ids
numbers = st.one_of(
    st.decimals(-(10**9), 10**9, places=4).map(str),
    st.text(max_size=9),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False),
)
sequences = st.integers(1, SEQUENCE_MAX)
origins = st.builds(Origin, maybe_ids, maybe_ids, maybe_ids, st.just(0) | sequences)
printable = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=50)


@st.composite
def new_orders(draw):
    """Every order type with every term it may have."""
    kind, side = draw(st.sampled_from(OrderType)), draw(st.sampled_from(Side))
    stop = kind in (OrderType.STOP, OrderType.STOP_LIMIT)
    resting = [TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD]
    tif = draw(st.sampled_from(resting if stop else list(TimeInForce)))
    quantity = draw(numbers)
    said = {"self_trade": draw(st.none() | st.sampled_from(SelfTrade))}
    if stop:
        said["stop_price"] = draw(numbers)
    if tif is TimeInForce.GTD:
        said["expire_ns"] = draw(sequences)
    if kind is OrderType.LIMIT and tif in resting:
        said["display_quantity"] = draw(st.none() | numbers)
        said["post_only"] = draw(st.none() | st.sampled_from(PostOnly))
        said["oco_with"] = draw(maybe_ids)
    if not stop and said.get("post_only") is None:
        said["min_quantity"] = draw(st.none() | numbers)
    if kind in (OrderType.MARKET, OrderType.STOP):
        said["protection_price"] = draw(st.none() | numbers)
    if kind is OrderType.MARKET and side is Side.BUY and draw(st.booleans()):
        said["quote_quantity"], quantity = quantity, None
    terms = OrderTerms(**said)
    needed = stop or quantity is None or tif is TimeInForce.GTD
    return OrderRequest.new(
        draw(ids), draw(ids), draw(ids), side, quantity,
        draw(numbers) if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None,
        order_type=kind, time_in_force=tif, hold=draw(st.booleans()), origin=draw(origins),
        terms=terms if needed or terms != OrderTerms() or draw(st.booleans()) else None,
    )  # fmt: skip


@st.composite
def changes(draw):
    """Of an order named by a client order id or by its order id."""
    named = draw(st.one_of(ids, sequences))
    fields = {"orig_client_order_id" if isinstance(named, str) else "order_id": named}
    fields |= {"account": draw(ids), "client_order_id": draw(ids), "origin": draw(origins)}
    fields |= {"symbol": draw(maybe_ids), "side": draw(st.none() | st.sampled_from(Side))}
    if draw(st.booleans()):
        return OrderRequest(type=RequestType.CANCEL, **fields)
    stop, display = draw(st.none() | numbers), draw(st.none() | numbers)
    price, quantity = draw(st.none() | numbers), draw(st.none() | numbers)
    if (price, quantity, stop, display) == (None,) * 4:
        price = "1"
    terms = OrderTerms(stop_price=stop, display_quantity=display)
    return OrderRequest(
        type=RequestType.MODIFY, price=price, quantity=quantity,
        terms=terms if stop is not None or display is not None else None, **fields,
    )  # fmt: skip


@st.composite
def funds(draw):
    action = draw(st.sampled_from(FundsAction))
    said = {}
    if action is not FundsAction.CREATE:
        said = {"asset": draw(ids), "amount": draw(numbers)}
    if action in TRANSFERS:
        said["to_account"] = draw(ids)
    if action not in PLAIN or (action is FundsAction.TRANSFER and draw(st.booleans())):
        said |= {"from_group": "one", "to_group": draw(ids.filter(lambda id: len(id) <= 32))}
    if action is FundsAction.TRANSFER_BACK:
        said["why"] = draw(printable)[:TEXT_LENGTH_MAX]
    return FundsRequest(
        account=draw(ids), client_order_id=draw(ids), action=action, origin=draw(origins), **said
    )


@st.composite
def mass_cancels(draw):
    everybody = draw(st.booleans())
    return MassCancelRequest(
        account="operator" if everybody else draw(ids), client_order_id=draw(ids),
        symbol=draw(maybe_ids), side=draw(st.none() | st.sampled_from(Side)),
        everybody=everybody, origin=draw(origins),
    )  # fmt: skip


@st.composite
def commands(draw):
    action, scope = draw(st.sampled_from(OperatorAction)), draw(st.sampled_from(Scope))
    value = draw(maybe_ids)
    if action is OperatorAction.SET_TRADING:
        value = draw(st.sampled_from(Trading)).value
    elif action is OperatorAction.SET_PHASE:
        value = draw(st.sampled_from(Phase)).value
    elif action is OperatorAction.DELIST:
        value = draw(st.sampled_from(["", "cancel"]))
    scope = Scope.SYMBOL if action in OF_MARKETS else scope
    settings, known = None, SETTINGS.get(action, ())
    if known != () and (action in NEED_SETTINGS or draw(st.booleans())):
        names = ids if known is None else st.sampled_from(known)
        settings = draw(st.dictionaries(names, maybe_ids, min_size=1, max_size=4))
    return OperatorRequest(
        client_order_id=draw(ids), action=action, scope=scope,
        target="" if scope is Scope.ALL else draw(ids), name=draw(maybe_ids), value=value,
        why=draw(printable)[:TEXT_LENGTH_MAX], account=draw(ids), origin=draw(origins),
        settings=settings,
    )  # fmt: skip


@st.composite
def accesses(draw):
    action = draw(st.sampled_from(AccessAction))
    needed, optional = FACTS[action]
    names = [*needed, *(name for name in optional if draw(st.booleans()))]
    facts = {name: KNOWN_FACTS[name] for name in names}
    if "name" in facts:
        facts["name"] = draw(printable.filter(bool))
    return AccessRequest(
        account="operator" if action in OF_OPERATORS else draw(ids), client_order_id=draw(ids),
        action=action, user=draw(st.from_regex("[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", fullmatch=True)),
        facts=facts or None, origin=draw(origins),
    )  # fmt: skip


requests = st.one_of(new_orders(), changes(), funds(), mass_cancels(), commands(), accesses())


def written(request, read):
    """The same request, its numbers as `read` would have them."""
    names = [name for name in FIELDS[type(request)] if name in ("price", "quantity", "amount")]
    told = {name: read(getattr(request, name)) for name in names}
    terms = getattr(request, "terms", None)
    if terms is not None:
        told["terms"] = replace(terms, **{
            name: read(getattr(terms, name))
            for name in FIELDS[OrderTerms] if name.endswith(("_price", "_quantity"))
        })  # fmt: skip
    return replace(request, **told)


def as_text(number):
    """A Decimal is written as its text, which says the same."""
    return str(number) if type(number) is Decimal else number


def as_json(number):
    """And a float is read as the Decimal that its shortest text says."""
    return Decimal(repr(number)) if type(number) is float else as_text(number)


# --- there and back ---


@given(requests)
def test_a_request_reads_back_from_its_object_as_it_was(request_):
    """Every class, every field; and once more: an object of text and numbers stays as it is."""
    again = of_object(to_object(request_))
    assert again == written(request_, as_text)
    assert type(again) is type(request_)
    assert to_object(again) == to_object(request_)


@given(requests)
def test_a_request_reads_back_from_one_line_of_json(request_):
    """Exactly: no number goes through a float."""
    line = dumps(request_)
    assert "\n" not in line
    assert loads(line) == written(request_, as_json)


@given(requests)
def test_an_object_is_plain_data_without_defaults(request_):
    """What JSON takes as it stands; who reads it need not know what we leave out."""
    given_ = to_object(request_)
    assert json.loads(json.dumps(given_)) == given_
    for name, about in FIELDS[type(request_)].items():
        assert name not in given_ or given_[name] != about.default


@pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda r: f"{r.client_order_id}-{type(r).__name__}"
)
def test_each_kind_of_request_reads_back(example):
    """The line that is handed over is the same, too."""
    again = loads(dumps(example))
    assert again == example
    assert again.line == example.line


def test_the_examples_have_every_field_of_every_kind():
    """So that a field that is added is one that is tested."""
    told = {kind: set() for kind in (*REQUESTS, OrderTerms)}
    for example in EXAMPLES:
        told[type(example)] |= set(to_object(example)) - {"request"}
        told[OrderTerms] |= set(to_object(example).get("terms", ()))
    told[OrderRequest].add("order_type")  # LIMIT, by default
    assert told == {kind: set(names) for kind, names in FIELDS.items()}
    assert {to_object(example)["request"] for example in EXAMPLES} == set(CLASSES)


def test_an_order_type_that_is_not_the_default_is_written():
    """As the word it is."""
    given_ = to_object(OrderRequest.new("me", "A", "X", Side.BUY, 1))
    assert given_ == {
        "request": "NEW", "account": "me", "client_order_id": "A", "symbol": "X", "side": "BUY",
        "order_type": "MARKET", "quantity": 1,
    }  # fmt: skip


# --- what is no request ---


def mistake(given_):
    """The field that is named by what is raised."""
    with pytest.raises(ValidationError) as caught:
        loads(given_) if isinstance(given_, str) else of_object(given_)
    return caught.value.field


each_example = pytest.mark.parametrize(
    "given_",
    [to_object(example) for example in EXAMPLES],
    ids=lambda o: f"{o['request']}-{o['client_order_id']}",
)


@each_example
@pytest.mark.parametrize("name", ["price_", "Account", "line", "type", "action", ""])
def test_a_field_that_nobody_knows_is_refused(given_, name):
    """A misspelled one would be one that nobody saw; so would one of another request."""
    assert mistake({**given_, name: "1"}) == name
    assert mistake(json.dumps({**given_, name: "1"})) == name


def test_an_unknown_field_of_terms_or_origin_is_refused():
    """By its own name."""
    for part in ("terms", "origin"):
        given_ = to_object(EXAMPLES[0])
        assert mistake({**given_, part: {**given_[part], "colour": "red"}}) == "colour"


@each_example
def test_a_field_that_must_be_there_is_missed(given_):
    """All of them have who asks and under which id, but an operator is who he is."""
    always = ["client_order_id"] + ["account"] * (CLASSES[given_["request"]] is not OperatorRequest)
    for name in always:
        assert mistake({key: value for key, value in given_.items() if key != name}) == name


@pytest.mark.parametrize(
    ("client_id", "name"),
    [
        ("A", "symbol"), ("A", "side"), ("A", "quantity"), ("A", "price"),
        ("C", "orig_client_order_id"), ("9", "value"), ("10", "value"), ("10", "target"),
        ("2", "amount"), ("4", "to_account"),
    ],
)  # fmt: skip
def test_a_field_that_this_kind_needs_is_missed(client_id, name):
    """An order without its side, a transfer to nobody."""
    [example] = [e for e in EXAMPLES if e.client_order_id == client_id]
    assert mistake({k: v for k, v in to_object(example).items() if k != name}) == name


@each_example
def test_a_field_that_stands_twice_is_refused(given_):
    """Whoever reads only one of them reads something else than we do."""
    for name, value in given_.items():
        text = json.dumps(given_)[:-1] + f", {json.dumps(name)}: {json.dumps(value)}}}"
        assert mistake(text) == name
        if isinstance(value, dict):
            inner, first = json.dumps(value), next(iter(value))
            doubled = f"{inner[:-1]}, {json.dumps(first)}: {json.dumps(value[first])}}}"
            assert mistake(json.dumps(given_).replace(inner, doubled)) == first


def applies(kind, name):
    """Does a field mean anything in requests of this kind?"""
    return not (kind == "CREATE" and name in ("asset", "amount"))


NUMBERS = ("price", "quantity", "amount")
FLAGS, WHOLE = ("hold", "everybody"), ("order_id",)


@each_example
def test_a_value_of_the_wrong_type_is_refused(given_):
    """By the name of its field, whether Python would take it for true or for false."""
    kind = given_["request"]
    missed = []
    for name, about in FIELDS[CLASSES[kind]].items():
        wrong = [[], ["x"], {"x": 1}, True, False, 1.5, Decimal("1.5"), 0, 5, None, {}]
        if name in NUMBERS:
            wrong = [w for w in wrong if type(w) in (list, dict, bool)]
        if name in FLAGS:
            wrong = [w for w in wrong if type(w) is not bool]
        if name in WHOLE:
            wrong = [w for w in wrong if type(w) is not int] + ["7"]
        if name in ("terms", "origin"):
            wrong = [w for w in wrong if type(w) is not dict] + ["x"]
        if name == "facts":  # some actions need none
            wrong = [w for w in wrong if w != {}]
        if about.default is None:
            wrong = [w for w in wrong if w is not None]
        for value in wrong if applies(kind, name) else ():
            try:
                of_object({**given_, name: value})
                missed.append((name, value, "taken"))
            except ValidationError as error:
                if error.field != name:
                    missed.append((name, value, error.field))
    assert missed == []


@pytest.mark.parametrize("value", ["buy", "", 1, None, [], {}, "BUY "])
@pytest.mark.parametrize("name", ["side", "order_type", "time_in_force"])
def test_a_word_that_is_none_of_ours_is_refused(name, value):
    """Case counts."""
    assert mistake({**to_object(EXAMPLES[0]), name: value}) == name


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("terms", "post_only", "slide"), ("terms", "self_trade", 1), ("terms", "expire_ns", "1"),
        ("terms", "expire_ns", -1), ("terms", "expire_ns", 2**63), ("terms", "stop_price", []),
        ("terms", "display_quantity", True), ("terms", "oco_with", 5), ("terms", "oco_with", []),
        ("terms", "expire_ns", False), ("terms", "oco_with", None),
        ("origin", "user", 5), ("origin", "user", None), ("origin", "gateway", 'a"b'),
        ("origin", "request_id", "x" * 65), ("origin", "sequence", -1),
        ("origin", "sequence", "1"), ("origin", "sequence", True), ("origin", "sequence", 2**63),
    ],
)  # fmt: skip
def test_a_wrong_value_within_terms_or_origin_is_named(part, name, value):
    """By its own name, not by that of the whole."""
    given_ = to_object(EXAMPLES[0])
    assert mistake({**given_, part: {**given_[part], name: value}}) == name


@pytest.mark.parametrize(
    "text",
    ["", "[", "null", "5", '"NEW"', "[]", '["NEW"]', "{", '{"request": "NEW"', "{}", "[" * 10**5,
     '{"request": 5}', '{"request": null}', '{"request": ["NEW"]}', '{"request": "new"}',
     '{"request": "MASS CANCEL"}', '{"account": "me"}', '{"request": "N"}'],
)  # fmt: skip
def test_what_is_no_request_is_called_so(text):
    """No JSON, no object, no kind of request that we know."""
    assert mistake(text) == "request"


# --- numbers ---


def of_price(text):
    return (
        '{"request":"NEW","account":"me","client_order_id":"A","symbol":"X","side":"BUY",'
        f'"quantity":1,"price":{text}}}'
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1", Decimal("0.1")), ("100.50", Decimal("100.50")), ("1e2", Decimal("1e2")),
        ("0.30000000000000004", Decimal("0.30000000000000004")), ("100", 100),
        ("-0.0", Decimal("-0.0")),
        ("123456789.123456789123456789", Decimal("123456789.123456789123456789")),
        ('"0.1"', "0.1"), ("1e400", Decimal("1e400")),
    ],
)  # fmt: skip
def test_a_number_is_read_exactly(text, expected):
    """0.1 is a tenth; whether it fits the grid is answered, not guessed here."""
    price = loads(of_price(text)).price
    assert type(price) is type(expected)
    assert (price, str(price)) == (expected, str(expected))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e99999999999999999999"])
def test_what_is_no_number_is_refused_by_the_name_of_its_field(text):
    """Not JSON, though Python's reader takes it; and an exponent that no Decimal has."""
    assert mistake(of_price(text)) == "price"
    assert mistake(of_price("1")[:-1] + f', "terms": {{"stop_price": {text}}}}}') == "stop_price"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("nan"), Decimal("-inf")])
def test_an_object_with_a_number_that_is_none_is_refused(value):
    """Whoever made it, a gateway or a test."""
    given_ = to_object(EXAMPLES[0])
    assert mistake({**given_, "price": value}) == "price"


def test_a_number_of_thousands_of_digits_is_refused_in_few_words():
    """Python will not even read it."""
    with pytest.raises(ValidationError) as caught:
        loads(of_price("9" * 5_000))
    assert len(str(caught.value)) < 300


# --- lines of the journal ---

numbers_on_grid = st.integers(0, 10**18)
texts = st.text(max_size=20)
named = ids | sequences
line_terms = st.one_of(
    st.dictionaries(
        st.sampled_from(["stop", "display", "expire", "min", "budget", "protect"]),
        numbers_on_grid, max_size=3,
    ),
    st.fixed_dictionaries({"oco": ids, "stp": st.sampled_from(SelfTrade).map(str)}),
)  # fmt: skip


def lines_of(kind, *fields):
    return st.tuples(st.just(kind), *fields)


of_requests = st.one_of(
    lines_of(
        codec.NEW, ids, ids, ids, st.sampled_from(["BUY", "SELL"]),
        st.sampled_from(OrderType).map(str), st.sampled_from(TimeInForce).map(str),
        numbers_on_grid, numbers_on_grid, st.integers(0, 1), maybe_ids,
    ),
    lines_of(codec.MODIFY, ids, ids, named, numbers_on_grid, numbers_on_grid, maybe_ids),
    lines_of(codec.CANCEL, ids, ids, named, maybe_ids),
    lines_of(
        codec.FUNDS, ids, ids, st.sampled_from(FundsAction).map(str), maybe_ids, numbers_on_grid,
        maybe_ids,
    ),
    lines_of(codec.MASS_CANCEL, ids, ids, maybe_ids, maybe_ids, st.sampled_from(["", "BUY"])),
    lines_of(
        codec.MASS_CANCEL, ids, ids, maybe_ids, maybe_ids, st.sampled_from(["", "BUY"]), printable
    ),
    lines_of(
        codec.OPERATOR, ids, ids, st.sampled_from(OperatorAction).map(str),
        st.sampled_from(Scope).map(str), maybe_ids, maybe_ids, maybe_ids, printable,
    ),
)  # fmt: skip
of_the_house = st.one_of(
    lines_of(
        codec.ANSWER, ids, ids, texts, sequences, maybe_ids, texts, texts, numbers_on_grid,
        numbers_on_grid, texts, texts, maybe_ids,
    ),
    lines_of(codec.SESSION, st.sampled_from(["OPEN", "PAUSE", "CLOSE"]), texts),
    lines_of(codec.LINK, st.sampled_from(["UP", "DOWN"]), texts),
    lines_of(codec.VENUE, *[texts] * 8), lines_of(codec.IGNORED, *[texts] * 8),
    lines_of(codec.OVERDUE, sequences), lines_of(codec.STOP), lines_of(codec.PHASE, texts),
    lines_of(codec.TIMER, ids), lines_of(codec.GOOD_TILL, sequences),
    lines_of(codec.START, st.dictionaries(texts, numbers_on_grid, max_size=3)),
    lines_of(codec.BUST, ids, ids, texts, st.lists(st.lists(texts | sequences, max_size=3))),
    lines_of(
        codec.TRADE_CHANGE, ids, ids, texts, st.lists(st.lists(texts | sequences, max_size=3)),
        st.lists(numbers_on_grid, min_size=3, max_size=3),
    ),
    lines_of(
        codec.MARKET, ids, ids, texts, ids, maybe_ids, texts, texts,
        st.dictionaries(texts, st.none() | numbers_on_grid, max_size=3),
    ),
    lines_of(codec.ACCESS, ids, ids, texts, ids, st.dictionaries(texts, texts, max_size=3)),
)  # fmt: skip


@st.composite
def lines(draw):
    """With terms, an origin, and the sequence of a first request, where there may be some."""
    line = draw(of_requests | of_the_house)
    if line[0] in (codec.NEW, codec.MODIFY) and draw(st.booleans()):
        line = (*line, draw(line_terms))
    if line[0] == codec.ANSWER and draw(st.booleans()):
        line = (*line, draw(sequences))
    if line[0] == codec.FUNDS and draw(st.booleans()):
        line = (*line, draw(ids), draw(ids), draw(printable))
    if line[0] in (*"NMCFXORQYH",) and draw(st.booleans()):
        line = with_origin(line, draw(origins))
    return line


@given(st.lists(lines(), max_size=6), st.integers(1, 10**12))
def test_lines_read_back_as_they_were_written(turn, first_seq):
    """One JSON array a line, whether a format wrote it or the json module."""
    body = "\n".join(map(encode, turn))
    assert [tuple(line) for line in decode_all(body, first_seq)] == turn
    if turn:
        assert [tuple(json.loads(line)) for line in body.split("\n")] == turn


@given(of_requests, origins)
def test_an_origin_is_the_last_item_of_a_line_or_not_there(line, origin):
    """Terms come before it, if none then empty ones; so that a place means one thing."""
    told = with_origin(line, origin)
    if (origin.user, origin.gateway, origin.sequence) == ("", "", 0):
        assert told == line
    else:
        assert told[-1] == [origin.user, origin.gateway, origin.sequence]
        longest = LENGTHS[line[0]][-1]
        assert len(told) == (len(line) + 1 if line[0] == codec.FUNDS else longest)
        assert with_origin(told[:-1], origin) == told


@given(st.sampled_from(["", "a slip"]), origins)
def test_the_reason_of_a_mass_cancel_has_its_place_with_an_origin_and_without(why, origin):
    line = MassCancelRequest(account="me", client_order_id="X", why=why).line[:-1]
    assert why_of(with_origin(line, origin)) == why
    older = ("X", "me", "X", "me", "", "", ["ann", "rest", 0])  # of programs that knew none
    assert why_of(older) == ""


def test_every_kind_of_line_is_among_those_that_are_tested():
    """So that a kind that is added is one that is tested."""
    known = {word for name, word in vars(codec).items() if name.isupper() and type(word) is str}
    assert known - {codec.REQUEST} == set(LENGTHS) == set("NMCASLVIUBKFXOPTGREQYDH")


def test_the_journal_has_origins_and_order_ids_as_they_were_given():
    """A gateway's requests, named by order ids: read back from the record, and folded again."""
    desk = Stepped(config_of()).start()
    [order_id] = {desk.ask(buy("A", 5, 100, origin=ORIGIN)).order_id}
    desk.send(
        OrderRequest.modify("me", "M", order_id=order_id, quantity=4, origin=ORIGIN),
        modify("N", "A", price=99, terms=OrderTerms(display_quantity=2)),
        MassCancelRequest(account="you", client_order_id="X", origin=ORIGIN),
        OrderRequest.cancel("me", "C", order_id=order_id, origin=ORIGIN),
        cancel("D", "A"),
    )
    [*_, record] = desk.store.records()
    origin = ["ann", "fix-1", 77]
    told = [tuple(line) for line in decode_all(record.body, record.first_seq)]
    assert told[0] == ("M", "me", "M", order_id, 0, 4, "r-1", {}, origin)
    assert told[1] == ("M", "me", "N", "A", 99, 0, "", {"display": 2})
    assert told[2] == ("X", "you", "X", "you", "", "", "", origin)
    assert told[3] == ("C", "me", "C", order_id, "r-1", origin)
    assert told[4][0] == "A"
    assert desk.store.line_of(order_id) == (
        "N", "me", "A", "X", "BUY", "LIMIT", "GTC", 100, 5, 0, "r-1", {}, origin,
    )  # fmt: skip
    assert desk.refolded() == desk.digest()


ids = st.text(st.sampled_from("aZ09 %-_{}[],:'"), min_size=1, max_size=9)
whole = st.integers(0, 10**18)
new_lines = st.tuples(st.just("N"), *[ids] * 6, whole, whole, st.integers(0, 1), ids)
modify_lines = st.tuples(st.just("M"), *[ids] * 2, ids | whole, whole, whole, ids)
cancel_lines = st.tuples(st.just("C"), *[ids] * 2, ids | whole, ids)
some_terms = st.sampled_from([{}, {"stop_price": 7}, {"oco_with": "s", "display_quantity": 2}])
origins = st.builds(Origin, ids | st.just(""), ids | st.just(""), ids, st.integers(0, 9))


@given(new_lines | modify_lines | cancel_lines, some_terms, origins)
def test_a_line_is_the_same_json_whether_by_format_or_not(plain, terms, origin):
    for line in (plain, codec.with_origin(plain, origin)):
        assert encode(line) == json.dumps(line, separators=(",", ":"), sort_keys=True)
    if plain[0] != "C":
        line = codec.with_origin((*plain, terms), origin)
        assert encode(line) == json.dumps(line, separators=(",", ":"), sort_keys=True)
