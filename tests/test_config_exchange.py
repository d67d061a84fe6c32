"""config.ini, the market's part: instruments, assets, fees, accounts and their limits."""

import re

import pytest

from oms.clock import NANOS
from oms.config import Config, load_config
from oms.enums import MarketOrderPolicy
from oms.errors import ConfigError
from oms.instruments import Instrument
from oms.sections import (
    AccountConfig,
    AssetConfig,
    ExchangeConfig,
    FeesConfig,
    InstrumentConfig,
    RiskConfig,
)
from oms.setting_rules import key_of, rules_of

BTC_USD = "[instrument BTC_USD]\n"
LEDGER = "[exchange]\nledger = yes\n"


@pytest.fixture
def loaded(tmp_path):
    """Loads a text as config.ini."""

    def load(text):
        path = tmp_path / "config.ini"
        path.write_text(text, encoding="utf-8")
        return load_config(path)

    return load


@pytest.fixture
def mistakes_of(loaded):
    """The mistakes that loading this text reports, without file and line."""

    def load(text):
        with pytest.raises(ConfigError) as caught:
            loaded(text)
        place = re.compile(r"^/.*?config\.ini (line \d+ )?")
        return [place.sub("", mistake) for mistake in caught.value.mistakes]

    return load


# --- instruments ---


def test_an_instrument_has_its_own_grid(loaded):
    """Steps are decimal text, kept in units of the scale; Windows editors add a mark."""
    text = (
        "\ufeff[instrument A.B-1_C]\nprice_scale = 2\nquantity_scale = 0\n"
        "tick_size = 0.25\nlot_size = 100\nmarket_order = all_or_none\n"
    )
    assert loaded(text).instruments == (
        Instrument(
            symbol="A.B-1_C",
            price_scale=2,
            quantity_scale=0,
            tick_size=25,
            lot_size=100,
            market_order=MarketOrderPolicy.ALL_OR_NONE,
        ),
    )


def test_an_instrument_has_assets_fees_and_protection(loaded):
    """An asset's scale goes to every instrument that uses it, wherever in the file it stands."""
    text = (
        "[instrument GOLD]\nbase = XAU\nquote = USD\ntick_size = 0.5\nreference_price = 60000.50\n"
        "maker_fee_bps = -5\ntaker_fee_bps = 10\nmarket_slippage_bps = 300\n"
        "breaker_band_bps = 500\n[asset USD]\nscale = 2\n[asset ETH]\n" + LEDGER + BTC_USD
    )
    config = loaded(text)
    gold = Instrument(
        symbol="GOLD",
        tick_size=500_000,
        base="XAU",
        quote="USD",
        quote_scale=2,
        maker_fee_bps=-5,
        taker_fee_bps=10,
        reference_price_ticks=60_000_500_000,
        market_slippage_bps=300,
        breaker_band_bps=500,
    )
    assert config.instruments == (gold, Instrument(symbol="BTC_USD", quote_scale=2))
    assert config.assets == {"USD": 2, "ETH": 8}


def test_a_band_of_auctions_goes_with_an_extension(loaded, mistakes_of):
    """One without the other would have no effect."""
    extension, band = "[session]\nauction_extension_s = 60\n", "auction_band_bps = 500\n"
    assert loaded(extension + BTC_USD + band).instruments[0].auction_band_bps == 500
    assert mistakes_of(extension + BTC_USD) == [
        "[session] auction_extension_s: expected 0, as no instrument has an "
        "auction_band_bps, was 60.0"
    ]
    assert mistakes_of(BTC_USD + band) == [
        "[instrument BTC_USD] auction_band_bps: expected 0, as [session] "
        "auction_extension_s is 0, was 500"
    ]


def test_limits_of_an_order_are_those_that_are_set(loaded):
    """0 or nothing is no limit; a band says around what."""
    lines = "quantity_min = 0.0\nquantity_max = 10\nnotional_min =\nnotional_max = 2.50\n"
    assert loaded(BTC_USD + lines).limits == {
        "BTC_USD": {"quantity_max": "10", "notional_max": "2.50"}
    }
    band = {"price_band_bps": "500", "price_band_around": "last"}
    assert loaded(BTC_USD + "price_band_bps = 500").limits == {"BTC_USD": band}
    band["price_band_around"] = "reference"
    text = BTC_USD + "price_band_around = reference\nreference_price = 1\n"
    assert loaded(text + "price_band_bps = 500").limits == {"BTC_USD": band}


# --- accounts ---


def test_an_account_says_what_is_not_as_for_all(loaded):
    """What it leaves out is as in [risk]; 0 and nothing free it of what stands there."""
    config = loaded(
        "[risk]\nopen_orders_max = 100\nduplicate_window_s = 0.25\nrestricted_symbols = BTC_USD\n"
        "[account a.7!]\nopen_orders_max = 0\nposition_max = 2.5\nrestricted_symbols =\n"
        "credit_max = 0\ntier = Pro-1\n[account b]\nmessages_max = 5\nstp_group = g\n"
        "[account c]\n[fees BTC_USD Pro-1]\n" + LEDGER + BTC_USD
    )
    assert config.account_limits() == {
        "": {
            "open_orders_max": "100",
            "duplicate_window_s": "0.25",
            "restricted_symbols": "BTC_USD",
            "messages_window_s": "1",  # as somebody has messages_max
        },
        "a.7!": {"open_orders_max": "0", "position_max": "2.5", "restricted_symbols": ""},
        "b": {"messages_max": "5"},
    }
    assert (config.tiers(), config.groups()) == ({"a.7!": "Pro-1"}, {"b": "g"})
    assert config.accounts["c"] == AccountConfig()
    assert config.risk.duplicate_window_ns == NANOS // 4


def test_as_shipped_nobody_is_limited():
    """And there is no ledger; the sections of accounts are for those who want them."""
    config = Config()
    assert config.account_limits() == {"": {}}
    assert (config.limits, config.accounts, config.assets, config.fees) == ({}, {}, {}, {})
    assert (config.tiers(), config.groups()) == ({}, {})
    assert (config.exchange, config.risk) == (ExchangeConfig(), RiskConfig())
    assert (config.exchange.ledger, config.exchange.self_trade) == (False, "cancel_newest")
    phases = ("pre_open_ns", "opening_auction_ns", "closing_auction_ns")
    assert [getattr(config.session, name) for name in phases] == [0, 0, 0]
    assert config.session.done_for_day is False


def test_restricted_symbols_are_separated_by_commas_or_lines(loaded):
    """As the file has it."""
    two = BTC_USD + "[instrument X]\n[risk]\nrestricted_symbols =\n  X,\n  BTC_USD\n"
    assert loaded(two).account_limits() == {"": {"restricted_symbols": "X,BTC_USD"}}


# --- fees ---


def test_a_tier_has_fees_of_its_own(loaded):
    """What it leaves out is as in the instrument."""
    text = LEDGER + BTC_USD + "maker_fee_bps = 1\ntaker_fee_bps = 9\n"
    config = loaded(
        text + "[fees BTC_USD pro]\ntaker_fee_bps = 5\n[fees BTC_USD mm]\nmaker_fee_bps = -5\n"
    )
    assert config.fees == {("BTC_USD", "pro"): (1, 5), ("BTC_USD", "mm"): (-5, 9)}


@pytest.mark.parametrize(
    ("own", "tiers", "mistake"),
    [
        ((-5, 5), {}, None),
        ((0, 5), {"a": (-5, 5)}, None),
        ((0, 5), {"a": (-6, 9)}, "fees X a] maker_fee_bps: expected at least -5, "),
        ((-2, 5), {"a": (0, 1)}, "instrument X] maker_fee_bps: expected at least -1, "),
        ((3, 3), {"a": (-1, 5), "b": (0, 0)}, "fees X a] maker_fee_bps: expected at least 0, "),
    ],
)
def test_whoever_meets_whom_the_rebate_is_paid(loaded, mistakes_of, own, tiers, mistake):
    """The lowest maker fee of all tiers, and the lowest taker fee."""
    text = f"{LEDGER}[instrument X]\nbase = X\nquote = Y\n"
    text += "maker_fee_bps = {}\ntaker_fee_bps = {}\n".format(*own)
    for tier, pair in tiers.items():
        text += f"[fees X {tier}]\nmaker_fee_bps = {pair[0]}\ntaker_fee_bps = {pair[1]}\n"
    if mistake is None:
        loaded(text)
    else:
        (line,) = mistakes_of(text)
        assert line.startswith(f"[{mistake}")


# --- mistakes ---


def test_a_tier_that_no_fees_are_told_for_is_a_mistake(mistakes_of):
    """A slip of the pen would have the account pay what everybody pays."""
    account = "[account a]\ntier = pro\n" + BTC_USD
    assert mistakes_of(account) == [
        "[account a] tier: expected nothing, as no [fees SYMBOL TIER] names one, was 'pro'"
    ]
    assert mistakes_of(account + "[fees BTC_USD gold]\n[fees BTC_USD Pro]\n") == [
        "[account a] tier: expected one of Pro, gold, or nothing, was 'pro'"
    ]


def test_all_mistakes_of_all_parts_are_reported_at_once(mistakes_of):
    """Those of one value, and those that only two parts together make."""
    assert mistakes_of(
        "[exchange]\nledger = yes\n[risk]\nrestricted_symbols = BAD\nposition_max = 0.123456789\n"
        "[account x]\ntier = a b\n[asset btc]\n[fees NONE pro]\n[asset BTC]\nscale = 7\n"
        "[instrument LATE]\nprice_scale = 13\n[fees LATE pro]\n[instrument OFF]\n"
        "reference_price = 0.3\ntick_size = 0.2\n[instrument GOLD]\n[instrument A_A]\n"
        f"quantity_min = 2\nquantity_max = 1\n{BTC_USD}"
    ) == [
        "[account x] tier: expected 1 to 16 of A-Z a-z 0-9 _ -, or nothing, was 'a b'",
        "[asset btc] is none of session, throttle, queue, store, projection, "
        "venue, exchange, risk, stop, "
        "market_data, control, web, scale, log, simulate, instrument SYMBOL (A-Z0-9._-), "
        "account NAME (no space, \" ' \\ [ ]), group NAME (A-Za-z0-9_-), "
        "asset NAME (A-Z0-9._-), fees SYMBOL TIER",
        "[instrument LATE] price_scale: expected a whole number from 0 to 12, was '13'",
        "[instrument OFF] reference_price: expected a multiple of 0.2, was '0.3'",
        "[instrument A_A] quantity_min: expected at most quantity_max, was '2'",
        "[fees NONE pro] symbol: expected an instrument, was 'NONE'",
        "[risk] restricted_symbols: expected configured instruments, was 'BAD'",
        "[risk] position_max: expected at most 8 decimals, was '0.123456789'",
        "[instrument GOLD] base: expected an asset, 1 to 16 of A-Z 0-9 . _ -, as there is a "
        "ledger, was ''",
        "[instrument GOLD] quote: expected an asset, 1 to 16 of A-Z 0-9 . _ -, as there is a "
        "ledger, was ''",
        "[instrument A_A] quote: expected another asset than base, was 'A'",
        "[instrument BTC_USD] quantity_scale: expected at most 7, the scale of BTC, was 8",
    ]


@pytest.mark.parametrize(
    "header",
    [
        "account ", "account a b", 'account a"', "account a'", "account a\\", "account a[b",
        "account a]b", "account é", "account " + "a" * 65, "asset " + "A" * 17, "asset a",
        "fees X", "fees X a b", "fees x a", "fees X " + "a" * 17, "fees X a.b", "instrument ",
        "accounts a", "risk a",
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_is_a_mistake(mistakes_of, header):
    """One line, with the headers that could have been meant."""
    lines = mistakes_of(f"[{header}]\n[instrument X]\n")
    assert [f"[{header}] is none of session" in line for line in lines] == [True]


def test_names_may_be_as_long_as_they_may(loaded):
    """64 of what can be printed for an account, 16 for an asset or a tier."""
    printable = "".join(map(chr, range(33, 127)))
    name = re.sub(r"[\"'\\\[\]]", "", printable)
    for part in (name[:64], name[-64:]):
        assert list(loaded(f"[account {part}]\n{BTC_USD}").accounts) == [part]
    tier = "Aa0_-" * 3 + "z"
    config = loaded(f"[asset {'A' * 16}]\n{BTC_USD}[fees BTC_USD {tier}]\n")
    assert (config.assets, config.fees) == ({"A" * 16: 8}, {("BTC_USD", tier): (0, 0)})


NUMBERS = [
    (header, key_of(attribute), rule, re.findall(r"-?[\d.]+", rule.expected))
    for header, section in (
        ("[instrument X]", InstrumentConfig),
        ("[asset A]", AssetConfig),
        ("[account a]", AccountConfig),
        ("[instrument X]\n[fees X t]", FeesConfig),
    )
    for attribute, rule in rules_of(section).items()
    if re.search(r"\d to -?\d+( seconds)?$", rule.expected)
]


@pytest.mark.parametrize(
    ("header", "key", "rule", "bounds"), NUMBERS, ids=[f"{n[0]}{n[1]}" for n in NUMBERS]
)
def test_both_bounds_are_good_and_what_lies_beyond_is_not(
    loaded, mistakes_of, header, key, rule, bounds
):
    """Of every number in a section of which there may be many; the other fee pays a rebate."""
    rest = "" if "instrument" in header else f"\n{BTC_USD}"
    # a rebate of one needs a fee of the other
    other = {"maker_fee_bps": "taker_fee_bps = 1000\n", "taker_fee_bps": "maker_fee_bps = 1000\n"}
    if "fees" in header:
        header = "[instrument X]\n{}{}[fees X t]".format(*other.values())
    if "fee" in key:  # there are none without a ledger
        header = header.replace("[instrument X]", f"{LEDGER}[instrument X]\nbase = X\nquote = Y")
    window = "messages_max = 1\n" * (key == "messages_window_s")
    lines = f"{header}\n{other.get(key, '')}{window}{key} = "
    for bound in bounds:  # a band of auctions needs an extension
        extends = "\n[session]\nauction_extension_s = 1" * (
            key == "auction_band_bps" and bound != "0"
        )
        loaded(f"{lines}{bound}{rest}{extends}")
    for beyond in (f"{bounds[0]}1" if "-" in bounds[0] else "-1", f"{bounds[1]}1", "", "1e2"):
        (line,) = mistakes_of(f"{lines}{beyond}{rest}")
        assert line.endswith(f" {key}: expected {rule.expected}, was {beyond!r}")
