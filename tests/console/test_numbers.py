"""The console's numbers are exact, as fractions are, and its form knows the exchange's rules."""

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from tests.console.people import Person

SEED = 20_261_129
COUNT = 300
MINUS = "\N{MINUS SIGN}"
LOADED = """async ([file, code, cases]) => {
  const base = document.querySelector("script[type=module]").src.replace("main.js", "");
  const module = await import(base + file);
  return cases.map((each) => module[code](...each));
}"""
TYPES, FORCES = ("LIMIT", "MARKET", "STOP", "STOP_LIMIT"), ("GTC", "DAY", "GTD", "IOC", "FOK")
TERMS = {
    "spend": {"quoteQuantity": "50"}, "postOnly": {"postOnly": "REJECT"},
    "iceberg": {"displayQuantity": "0.5"}, "minimum": {"minQuantity": "0.5"},
    "worst": {"protectionPrice": "101"},
}  # fmt: skip
RULES = """async ([drafts]) => {
  const base = document.querySelector("script[type=module]").src.replace("main.js", "");
  const order = await import(base + "order.js");
  return drafts.map((given) => {
    const draft = { ...order.newDraft(), ...given, terms: new Set(given.terms) };
    return [order.whyNotForce(draft.force, draft, "open"),
      ...given.terms.map((term) => order.whyNotTerm(term, draft, "open"))].filter(Boolean);
  });
}"""


@pytest.fixture(scope="module")
def ann(start_shared) -> Person:
    return start_shared().person("ann").opens().signs_in()


def asked(person: Person, name: str, cases: list[tuple[Any, ...]]) -> list[Any]:
    """What the function of units.js answers to each case."""
    return person.page.evaluate(LOADED, ["units.js", name, cases])


def decimals(chance: random.Random) -> str:
    """Any decimal that the API takes: of either sign, with up to 12 places, 0 among them."""
    whole = chance.choice(("0", str(chance.randrange(10)), str(chance.randrange(10**18))))
    places = chance.randrange(13)
    fraction = "".join(chance.choice("0019") for _ in range(places))
    sign = chance.choice(("", "", "-"))
    return f"{sign}{whole}.{fraction}" if places else f"{sign}{whole}"


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("add", lambda a, b: a + b),
        ("subtract", lambda a, b: a - b),
        ("multiply", lambda a, b: a * b),
        ("compare", lambda a, b: (a > b) - (a < b)),
    ],
)
def test_sums_are_exact(ann: Person, name: str, twin: Callable[[Fraction, Fraction], Any]):
    chance = random.Random(SEED)
    cases = [(decimals(chance), decimals(chance)) for _ in range(COUNT)]
    found = asked(ann, name, cases)
    for case, told in zip(cases, found, strict=True):
        assert Fraction(told) == twin(*map(Fraction, case)), case


def test_what_is_shown_is_the_number_itself(ann: Person):
    """With commas and a true minus; at least so many places, and never fewer than it has."""
    chance = random.Random(SEED)
    cases = [(decimals(chance), chance.randrange(6)) for _ in range(COUNT)]
    for (text, least), told in zip(cases, asked(ann, "shown", cases), strict=True):
        plain = told.replace(",", "").replace(MINUS, "-")
        assert Fraction(plain) == Fraction(text)
        assert len(plain.partition(".")[2]) >= least
        assert told.lstrip(MINUS).partition(".")[0] == f"{abs(int(Fraction(text))):,}"


@pytest.mark.parametrize("text", ["", "-", ".", "1e5", "0x10", "1.2.3", "NaN", "Infinity", "one"])
def test_what_is_no_number_is_none(ann: Person, text: str):
    assert asked(ann, "parse", [(text,)]) == [None]
    assert asked(ann, "shown", [(text,)]) == [None]


def test_units_are_whole_or_none(ann: Person):
    """A number that is finer than the scale has no units; nothing is rounded."""
    chance = random.Random(SEED)
    cases = [(decimals(chance), chance.randrange(9)) for _ in range(COUNT)]
    for (text, scale), told in zip(cases, asked(ann, "toUnits", cases), strict=True):
        scaled = Fraction(text) * 10**scale
        assert told == (int(scaled) if scaled == int(scaled) else None), (text, scale)


def test_what_can_be_afforded_is_rounded_down_to_lots(ann: Person):
    chance = random.Random(SEED)
    steps = ("1", "0.01", "0.0001", "0.5")
    cases = [
        (str(chance.randrange(10**9)), f"{chance.randrange(1, 10**7) / 100:.2f}",
         chance.choice(steps))
        for _ in range(COUNT)
    ]  # fmt: skip
    for (money, price, step), told in zip(cases, asked(ann, "quotientDown", cases), strict=True):
        lots = Fraction(money) / Fraction(price) // Fraction(step)
        assert Fraction(told) == lots * Fraction(step), (money, price, step)


def body_of(draft: dict[str, Any]) -> dict[str, Any]:
    """What such an order is as the API takes it."""
    kind, terms = draft["type"], draft["terms"]
    body = {"symbol": "BTC_USD", "side": draft["side"], "type": kind, "timeInForce": draft["force"]}
    if "spend" not in terms:
        body["quantity"] = "1"
    if kind in ("LIMIT", "STOP_LIMIT"):
        body["price"] = "90"
    if kind in ("STOP", "STOP_LIMIT"):
        body["stopPrice"] = "110"
    if draft["force"] == "GTD":
        body["expireTime"] = str(4_000_000_000 * 10**9)
    for term in terms:
        body |= TERMS[term]
    return body


def test_the_form_refuses_what_the_exchange_calls_malformed_and_nothing_else(ann: Person):
    """Every type, side and time in force, with no term, each term, and each two of them."""
    pairs = [[a, b] for a in TERMS for b in TERMS if a < b]
    drafts = [
        {"type": kind, "side": side, "force": force, "terms": terms}
        for kind in TYPES
        for side in ("BUY", "SELL")
        for force in FORCES
        for terms in ([], *([each] for each in TERMS), *pairs)
    ]
    refused = ann.page.evaluate(RULES, [drafts])
    for draft, why in zip(drafts, refused, strict=True):
        answer = ann.rest.ask("POST", "/order/test", body_of(draft))
        is_malformed = answer.status == 400
        assert is_malformed == bool(why), (draft, why, answer.told)
