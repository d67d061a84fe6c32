"""config.ini, as an operator writes it: well, badly, and not at all."""

import re
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.clock import NANOS
from oms.config import CONFIG_PATH, SECTIONS, Config, load_config
from oms.desk.calendar import Schedule
from oms.errors import ConfigError, ValidationError
from oms.instruments import Instrument
from oms.setting_rules import key_of, rules_of
from tests.examples import many

ONE_INSTRUMENT = "[instrument BTC_USD]\n"


@pytest.fixture
def written(tmp_path):
    """Writes a config.ini and returns its path."""

    def write(text):
        path = tmp_path / "config.ini"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def mistakes_of(written):
    """The mistakes that loading this text reports, without directory and line."""

    def load(text):
        path = written(text)
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        place = re.compile(rf"^{re.escape(str(path))}( line \d+)?")
        return [place.sub("config.ini", mistake) for mistake in caught.value.mistakes]

    return load


# --- the file that comes with the project ---


def test_the_shipped_file_says_what_the_defaults_are():
    """Config() and config.ini are one thing, and config.ini leaves out no setting."""
    assert load_config() == load_config(CONFIG_PATH) == Config()
    text = CONFIG_PATH.read_text(encoding="utf-8")
    for name, section in SECTIONS.items():
        body = text.partition(f"\n[{name}]\n")[2].partition("\n[")[0]
        keys = set(re.findall(r"^(\w+) =", body, re.M))
        assert keys == {key_of(attribute) for attribute in rules_of(section)}


def test_every_bound_is_told_in_the_shipped_file():
    """Whoever reads a setting there reads its bounds too."""
    text = CONFIG_PATH.read_text(encoding="utf-8")
    for section in SECTIONS.values():
        for rule in rules_of(section).values():
            low_to_high = re.search(r"[\d.]+ to [\d.]+", rule.expected)
            assert low_to_high is None or low_to_high[0] in text


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"/config\.ini: No such file"):
        load_config(tmp_path / "config.ini")
    with pytest.raises(ConfigError):
        load_config(tmp_path)


def test_the_defaults_are_the_documented_ones():
    """A few that other parts rely on."""
    config = Config()
    assert config.throttle.policy == "sliding_window"
    assert (config.throttle.sends_max, config.throttle.window_ns) == (100, NANOS)
    assert config.session.schedule == Schedule.parse(hours="Mon-Fri 09:00-17:00")
    assert (config.stop.on_stop, config.stop.drain_max_ns) == ("park", 3 * NANOS)
    assert config.store.database == Path("order_management.db")
    assert config.instruments == tuple(
        Instrument(symbol=symbol, tick_size=tick, lot_size=lot, market_slippage_bps=1_000)
        for symbol, tick, lot in (
            ("TATA_INR", 50_000, 10**8),
            ("JIO_INR", 50_000, 10**8),
            ("BTC_USD", 10_000, 1_000),
        )
    )


# --- files of one's own ---


def test_what_is_left_out_has_its_default(written):
    """One section, one key, one instrument; the rest is as shipped."""
    config = load_config(str(written("[throttle]\nsends_max = 7\n" + ONE_INSTRUMENT)))
    assert config == replace(
        Config(),
        throttle=replace(Config().throttle, sends_max=7),
        instruments=(Instrument(symbol="BTC_USD"),),
    )


def test_durations_are_seconds_in_the_file_and_exact_nanoseconds_here(written):
    """With decimals, where a float would not be exact."""
    text = "[throttle]\nwindow_s = 0.300000001\n[session]\nlogon_backoff_s_min = 0.5\n"
    config = load_config(written(text + ONE_INSTRUMENT))
    assert config.throttle.window_ns == 300_000_001
    assert config.session.logon_backoff_min_ns == NANOS // 2


def test_a_value_may_go_on_in_the_next_line(written):
    """With a comment in between; as one writes many hours and holidays."""
    config = load_config(
        written(
            "[session]\ntime_zone = Asia/Kolkata\n"
            "hours =\n  Mon-Fri 09:15-12:00\n  # lunch\n  Mon-Fri 13:00-15:30\n"
            "holidays = 2026-01-26,\n  2026-10-02\n" + ONE_INSTRUMENT
        )
    )
    assert config.session.schedule == Schedule.parse(
        time_zone="Asia/Kolkata",
        hours="Mon-Fri 09:15-12:00, Mon-Fri 13:00-15:30",
        holidays="2026-01-26, 2026-10-02",
    )


# --- mistakes ---


def test_all_mistakes_are_reported_at_once(mistakes_of):
    """One line each, saying where, what was expected and what was there."""
    assert mistakes_of(
        "[throttle]\nsends_max = abc\nwindow_s = 0\npolicy = fast\nsendsmax = 5\n"
        "[session]\nalways_open = maybe\nhours = Mon-Fri 9-5\nearly_close = 2026-12-24\n"
        "[instrument X]\nlot_size = 0\nprice_scale = 13\n"
    ) == [
        "config.ini [throttle] sends_max: expected a whole number from 1 to 1000000, was 'abc'",
        "config.ini [throttle] window_s: expected 0.001 to 86400 seconds, was '0'",
        "config.ini [throttle] policy: expected one of sliding_window, token_bucket, "
        "fixed_window, off, was 'fast'",
        "config.ini [throttle] sendsmax: expected one of policy, sends_max, window_s, burst",
        "config.ini [session] always_open: expected yes or no, was 'maybe'",
        "config.ini [session] hours: expected intervals such as 'Mon-Fri 09:00-17:00' or "
        "'Sun 17:05 - Mon 16:55', was 'Mon-Fri 9-5'",
        "config.ini [session] early_close: expected items such as '2026-12-24 13:00', "
        "years 2000 to 2099, was '2026-12-24'",
        "config.ini [instrument X] lot_size: expected a number above 0, such as 0.05, was '0'",
        "config.ini [instrument X] price_scale: expected a whole number from 0 to 12, was '13'",
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[session]\nhours =", "[session] hours: expected at least one interval"),
        ("[session]\ntime_zone = Mars/X", "[session] time_zone: expected an IANA zone"),
        ("[session]\nearly_close = 2026-12-26 13:00", "[session] early_close: expected a moment"),
        ("[session]\nlogon_backoff_s_min = 61", "[session] logon_backoff_s_min: expected at most"),
        ("[store]\ndatabase =", "[store] database: expected a file name"),
        ("[log]\nlevel = loud", "[log] level: expected one of DEBUG"),
        ("[instrument X]\ntick_size = 0.0000001", "[instrument X] tick_size: expected at most 6"),
        ("[instrument x]", "[instrument x] is none of session, throttle"),
        ("[throtle]", "[throtle] is none of session, throttle"),
        ("[DEFAULT]\nsends_max = 1", "[DEFAULT] is none of session, throttle"),
    ],
)
def test_a_mistake_says_where_it_is(mistakes_of, text, mistake):
    """Those that a look at one value does not show, and names nobody knows."""
    (line,) = mistakes_of(f"{text}\n{ONE_INSTRUMENT}")
    assert line.startswith(f"config.ini {mistake}")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[log]\njson = no\njson = yes\n", "option 'json' in section 'log' already exists"),
        ("[log]\n[log]\n", "section 'log' already exists"),
        ("json = no\n", "no section headers"),
        ("[log]\njson\n", "parsing errors"),
        (b"[log]\nlevel = \xff\n", "expected UTF-8, was byte 0xff"),
        ("[log]\n", "at least one, was none"),
        ("", "at least one, was none"),
    ],
)
def test_a_file_that_makes_no_sense_gives_one_clear_line(mistakes_of, text, mistake):
    """What the parser says, on one line, after the name of the file."""
    (line,) = mistakes_of(text)
    assert line.startswith("config.ini")
    assert mistake in line
    assert "\n" not in line


NUMBERS = [
    (name, attribute, rule, re.findall(r"[\d.]+", rule.expected))
    for name, section in SECTIONS.items()
    for attribute, rule in rules_of(section).items()
    if " to " in rule.expected
]


LONG = ["hours = Sun 18:00 - Fri 17:00"]
NEEDED = {  # without which these would have no room, or no effect
    "pre_open_s": LONG, "opening_auction_s": LONG, "closing_auction_s": LONG,
    "burst": ["policy = token_bucket"], "drain_s_max": ["on_stop = drain"],
    "messages_window_s": ["messages_max = 1"], "hsts_days": ["trusted_proxies = 127.0.0.1"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "attribute", "rule", "bounds"), NUMBERS, ids=lambda value: str(value)[:30]
)
def test_both_bounds_are_good_and_what_lies_beyond_is_not(
    mistakes_of, written, name, attribute, rule, bounds
):
    """Of every number in the file."""
    key = key_of(attribute)
    both = ("logon_backoff_s_min", "logon_backoff_s_max")  # the first must not exceed the other
    for bound in bounds:
        lines = [f"{each} = {bound}" for each in (both if key in both else (key,))]
        lines += NEEDED.get(key, [])
        band = "auction_band_bps = 500\n" * (key == "auction_extension_s" and bound != "0")
        band += "breaker_band_bps = 500\n" * key.startswith("breaker_")
        load_config(written("\n".join([f"[{name}]", *lines, ONE_INSTRUMENT, band])))
    for beyond in ("-1", f"{bounds[1]}1", "", "1e2", "nan", "0x10"):
        (line,) = mistakes_of(f"[{name}]\n{key} = {beyond}\n{ONE_INSTRUMENT}")
        assert line == f"config.ini [{name}] {key}: expected {rule.expected}, was {beyond!r}"


LINES = """[session]
[throttle]
[instrument A]
[account a]
tier = t
[asset A]
scale = 3
[fees A t]
[exchange]
ledger = yes
maker_fee_bps = -1
[
hours = Mon 09:00-17:00
  more
# a
sends_max = 5
tick_size = .
=
a = %(b)s""".splitlines()


@given(st.lists(st.one_of(st.sampled_from(LINES), st.text(max_size=20)), max_size=12))
@settings(max_examples=many(300))
def test_whatever_is_in_the_file_it_is_a_config_or_a_config_error(tmp_path_factory, lines):
    """Nothing else is raised, and every mistake is one line."""
    path = tmp_path_factory.getbasetemp() / "any.ini"
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    try:
        assert isinstance(load_config(path), Config)
    except ConfigError as error:
        assert error.mistakes
        assert not any("\n" in line for line in error.mistakes)


# --- in code ---


def test_a_config_is_frozen_and_replaced():
    """A test, or an embedder, changes a setting; the schedule follows its text."""
    config = Config()
    with pytest.raises(FrozenInstanceError):
        config.throttle = None
    session = replace(config.session, hours="Sat 10:00-12:00")
    assert session.schedule == Schedule.parse(hours="Sat 10:00-12:00")


@pytest.mark.parametrize(
    ("name", "attribute", "value"),
    [
        ("throttle", "sends_max", 0),
        ("throttle", "sends_max", True),
        ("throttle", "window_ns", 1.5),
        ("throttle", "policy", "fast"),
        ("session", "hours", "Mon 9-5"),
        ("session", "always_open", "yes"),
        ("store", "database", "a.db"),
    ],
)
def test_a_value_out_of_range_is_refused_in_code_too(name, attribute, value):
    """By the same rules, at once."""
    with pytest.raises(ValidationError, match=f"^{attribute}: "):
        replace(getattr(Config(), name), **{attribute: value})


def test_there_is_at_least_one_instrument_and_each_once():
    """Two grids for one symbol make no sense."""
    one = Instrument(symbol="A")
    for instruments in ((), (one, one)):
        with pytest.raises(ValidationError, match="each symbol once"):
            Config(instruments=instruments)
