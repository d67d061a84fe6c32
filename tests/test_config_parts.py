"""Config made in code, whose parts contradict each other; and the examples of config.ini."""

import re
from dataclasses import replace

import pytest

from oms.config import CONFIG_PATH, Config, load_config
from oms.errors import ValidationError
from oms.instruments import Instrument
from oms.sections import AccountConfig, ExchangeConfig, InstrumentConfig, RiskConfig, SessionConfig
from oms.setting_rules import rules_of

X = Instrument(symbol="X_Y")
LEDGER = ExchangeConfig(ledger=True)
SHIPPED = CONFIG_PATH.read_text(encoding="utf-8")


# --- the ledger ---


def test_what_is_shipped_is_ready_for_a_ledger():
    """All it takes is to say yes."""
    assert replace(Config(), exchange=LEDGER).exchange.ledger
    assert Config(exchange=LEDGER, instruments=(replace(X, base_scale=8, quantity_scale=8),))


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"symbol": "GOLD"}, "base: expected an asset"),
        ({"symbol": "GOLD", "base": "XAU", "quote": ""}, "quote: expected an asset"),
        ({"base": "A" * 17}, "base: expected an asset"),
        ({"base": "Y"}, "quote: expected another asset"),
        ({"base_scale": 7}, "quantity_scale: expected at most 7, the scale of X, was 8"),
    ],
)
def test_a_ledger_needs_two_assets_counted_finely_enough(changes, mistake):
    """Without a ledger, all of it is fine."""
    made = Instrument(**{"symbol": "X_Y", **changes})
    assert Config(instruments=(made,)).instruments == (made,)
    with pytest.raises(ValidationError, match=f"^{mistake}"):
        Config(instruments=(made,), exchange=LEDGER)


def test_an_asset_is_counted_in_one_way():
    """In a file nothing else can be said; in code it can."""
    other = Instrument(symbol="Z_Y", quote_scale=2)
    with pytest.raises(ValidationError, match=r"^quote_scale: expected 8, as elsewhere for Y"):
        Config(instruments=(X, other), exchange=LEDGER)
    with pytest.raises(ValidationError, match=r"^base_scale: expected 9, as elsewhere for X"):
        Config(instruments=(X,), assets={"X": 9}, exchange=LEDGER)
    assert Config(instruments=(X, other)).instruments == (X, other)


# --- what does not go together, in code ---


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"fees": {("NONE", "t"): (0, 0)}}, "symbol"),
        ({"fees": {("X_Y", "t"): (-1, 0)}}, "maker_fee_bps"),
        ({"limits": {"NONE": {}}}, "limits"),
        ({"limits": {"X_Y": {"quantity_min": "3", "quantity_max": "2"}}}, "quantity_min"),
        ({"limits": {"X_Y": {"notional_min": "3", "notional_max": "2"}}}, "notional_min"),
        ({"limits": {"X_Y": {"quantity_max": "0.123456789"}}}, "quantity_max"),
        ({"limits": {"X_Y": {"notional_max": "0.123456789"}}}, "notional_max"),
        ({"risk": RiskConfig(restricted_symbols="NONE")}, "restricted_symbols"),
        ({"risk": RiskConfig(credit_max="0.123456789")}, "credit_max"),
        ({"accounts": {"a": AccountConfig(position_max="0.123456789")}}, "position_max"),
    ],
)
def test_parts_that_contradict_each_other_are_refused(parts, field):
    """At once, naming the setting; not when the first order comes."""
    with pytest.raises(ValidationError) as caught:
        Config(instruments=(X,), **parts)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("section", "name", "good", "bad"),
    [
        (RiskConfig, "position_max", ("", "0", "2.5", "9" * 18, "1." + "1" * 12),
         ("-1", "1e3", ".5", "1.", "9" * 19, "1." + "1" * 13, " ", "1,5", 5, None)),
        (AccountConfig, "credit_max", (None, "", "100"), ("-1", "x", 1)),
        (AccountConfig, "tier", ("", "A" * 16, "a_-9"), ("A" * 17, "a b", "a.b", None)),
        (AccountConfig, "stp_group", ("", "A" * 32, "a_-9"), ("A" * 33, "a b", None)),
        (AccountConfig, "open_orders_max", (None, 0, 10_000_000), (-1, 10_000_001, True, "1")),
        (RiskConfig, "restricted_symbols", ("", "A,B", "A.B-1_C,\nD"), ("a", "A;B", None)),
        (ExchangeConfig, "self_trade", ("none", "decrement"), ("", "cancel", None)),
        (SessionConfig, "done_for_day", (True, False), ("yes", 1, None)),
        (InstrumentConfig, "base", ("", "A" * 16, "A.B-1_C"), ("A" * 17, "a", "A B", None)),
        (InstrumentConfig, "reference_price", ("", "0", "0.5"), ("-1", "x", None)),
        (InstrumentConfig, "price_band_around", ("last", "reference"), ("", "first", None)),
    ],
)  # fmt: skip
def test_each_setting_takes_what_it_should_and_nothing_else(section, name, good, bad):
    """Texts, flags and words; the bounds of numbers are tested with the file."""
    for value in good:
        assert getattr(section(**{name: value}), name) == value
    for value in bad:
        with pytest.raises(ValidationError, match=f"^{name}: "):
            section(**{name: value})


# --- the file that comes with the project ---


def test_the_first_shipped_instrument_shows_every_setting():
    """Each is explained above it."""
    head, _, body = SHIPPED.partition("\n[instrument TATA_INR]\n")
    keys = re.findall(r"^(\w+) =", body.partition("\n[")[0], re.M)
    assert keys == list(rules_of(InstrumentConfig))
    assert [
        key for key in keys if key not in head.partition("# One section an instrument")[2]
    ] == []


def test_the_examples_of_the_shipped_file_are_good(tmp_path):
    """Without their comment signs they load, and say what one reads."""
    path = tmp_path / "config.ini"
    path.write_text(re.sub(r"^#(\[|\w+ =)", r"\1", SHIPPED, flags=re.M), encoding="utf-8")
    config = load_config(path, {"OMS__EXCHANGE__LEDGER": "yes"})  # fees are nothing without
    assert (config.assets, config.fees) == ({"INR": 6}, {("BTC_USD", "pro"): (0, 5)})
    assert config.tiers() == {"desk-7": "pro"}
    assert config.groups() == {"desk-7": "fund-1"}
    assert config.account_limits()["desk-7"]["position_max"] == "2.5"
    assert [each.quote_scale for each in config.instruments] == [6, 6, 8]
