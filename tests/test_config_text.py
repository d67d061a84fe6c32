"""Where settings come from: lines of a file, and the environment, which goes before it."""

import os
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.clock import NANOS
from oms.config import Config, load_config, overrides
from oms.errors import ConfigError

TWO = "[instrument BTC_USD]\n[instrument BRK.B]\n"


@pytest.fixture
def written(tmp_path):
    """Writes a config.ini and returns its path."""

    def write(text):
        path = tmp_path / "config.ini"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def mistakes_of(path, environment=None):
    with pytest.raises(ConfigError) as caught:
        load_config(path, environment or {})
    return caught.value.mistakes


# --- the file ---


def test_a_mistake_names_file_and_line(written):
    """Each kind: a value, a key, what a section contradicts, a section, an instrument's step."""
    path = written(
        "# mine\n[session]\n\nlogon_backoff_s_min = 61\nhours = Mon 09:00-12:00,\n"
        "  # lunch\n  Mon 13:00-17:00\n[throttle]\nSENDS_MAX = 0\nsends = 1\n\n"
        "[nothing]\nx = 1\n[instrument X]\ntick_size = 0.0000001\n[fees Y pro]\n"
    )
    places = [line.partition(": expected")[0] for line in mistakes_of(path)]
    assert places == [
        f"{path} line 4 [session] logon_backoff_s_min",
        f"{path} line 9 [throttle] sends_max",
        f"{path} line 10 [throttle] sends",
        f"{path} line 12 [nothing] is none of session, throttle, queue, store, projection, "
        "venue, exchange, risk, stop, market_data, control, web, scale, log, simulate, "
        "instrument SYMBOL (A-Z0-9._-), account NAME (no space, \" ' \\ [ ]), "
        "group NAME (A-Za-z0-9_-), asset NAME (A-Z0-9._-), fees SYMBOL TIER",
        f"{path} line 15 [instrument X] tick_size",
        f"{path} line 16 [fees Y pro] symbol",
    ]


def test_a_line_that_cannot_be_read_is_named(written, tmp_path):
    (line,) = mistakes_of(written(TWO + "[log]\n[log]\n"))
    assert line.startswith(f"{tmp_path}/config.ini: ")
    assert re.search(r"\[line +4\]: section 'log' already exists", line)
    (tmp_path / "config.ini").write_bytes(b"[log]\n# \xe9\n")
    assert mistakes_of(tmp_path / "config.ini") == [
        f"{tmp_path}/config.ini line 2: expected UTF-8, was byte 0xe9"
    ]


@pytest.mark.parametrize("yes", ["yes", "Yes", "TRUE", "true", "on", "On"])
@pytest.mark.parametrize("no", ["no", "NO", "False", "false", "off", "OFF"])
def test_flags_are_words_in_any_case(written, yes, no):
    text = f"[session]\nalways_open = {yes}\n[control]\nenabled = {no}\n{TWO}"
    config = load_config(written(text))
    assert (config.session.always_open, config.control.enabled) == (True, False)


def test_words_are_known_in_any_case(written):
    """As a person writes them; they are kept as config.ini spells them."""
    config = load_config(written(f"[log]\nlevel = debug\n[store]\ndurability = FULL\n{TWO}"))
    assert (config.log.level, config.store.durability) == ("DEBUG", "full")


# --- the environment ---


def test_the_environment_goes_before_the_file(written):
    """Sections that the file has or lacks; instruments by their symbols, as a variable may spell
    them."""
    path = written("[throttle]\npolicy = token_bucket\nsends_max = 7\nburst = 9\n" + TWO)
    config = load_config(
        path,
        {
            "OMS__THROTTLE__SENDS_MAX": "50",
            "OMS__QUEUE__BATCH_MAX": " 2 ",
            "OMS__STOP__ON_STOP": "drain",
            "OMS__STOP__DRAIN_S_MAX": "0.5",
            "OMS__INSTRUMENT__BTC_USD__TICK_SIZE": "0.5",
            "OMS__INSTRUMENT__BRK_B__LOT_SIZE": "1",
            "OMS_HOME": "not ours",
            "PATH": "/bin",
        },
    )
    assert (config.throttle.sends_max, config.throttle.burst) == (50, 9)
    assert config.queue == replace(Config().queue, batch_max=2)
    assert config.stop.drain_max_ns == NANOS // 2
    assert [each.tick_size for each in config.instruments] == [500_000, 1]
    assert [each.lot_size for each in config.instruments] == [1, 10**8]


def test_accounts_and_fees_of_the_file_can_be_overridden(written):
    """Their names are of any case; a tier's fees are named by symbol and tier."""
    path = written(
        TWO + "base = BRK\nquote = USD\n[exchange]\nledger = yes\n[account desk-7]\n"
        "[fees BTC_USD pro]\ntaker_fee_bps = 5\n"
    )
    config = load_config(
        path, {"OMS__ACCOUNT__DESK_7__TIER": "pro", "OMS__FEES__BTC_USD__PRO__TAKER_FEE_BPS": "3"}
    )
    assert config.tiers() == {"desk-7": "pro"}
    assert config.fees == {("BTC_USD", "pro"): (0, 3)}


@pytest.mark.parametrize(
    ("variable", "mistake"),
    [
        ("OMS__", ": expected OMS__SECTION__KEY, or OMS__INSTRUMENT__SYMBOL__KEY, with a section"),
        ("OMS__THROTTLE", ": expected OMS__SECTION__KEY"),
        ("OMS__THROTLE__SENDS_MAX", ": expected OMS__SECTION__KEY"),
        ("OMS__THROTTLE__X__SENDS_MAX", ": expected OMS__SECTION__KEY"),
        ("OMS__INSTRUMENT__TICK_SIZE", ": expected OMS__SECTION__KEY"),
        ("OMS__THROTTLE__SENDSMAX", " [throttle] sendsmax: expected one of policy, sends_max"),
        ("OMS__THROTTLE__SENDS_MAX", " [throttle] sends_max: expected a whole number from 1 to"),
        (
            "OMS__INSTRUMENT__BTC_USD__TICK_SIZE",
            " [instrument BTC_USD] tick_size: expected",
        ),
        ("OMS__INSTRUMENT__BTC_EUR__TICK_SIZE", ": expected the name of one section of /"),
        ("OMS__ACCOUNT__ANN__TIER", ": expected the name of one section of /"),
    ],
)
def test_an_unknown_variable_is_one_clear_line(written, variable, mistake):
    (line,) = mistakes_of(written(TWO), {variable: "x"})
    assert line.startswith(f"{variable}{mistake}")
    assert "\n" not in line


def test_two_variables_for_one_setting_are_a_mistake(written):
    """Which of them would count nobody could say; nor which of two sections one means."""
    names = ("OMS__LOG__LEVEL", "OMS__log__level")
    (line,) = mistakes_of(written(TWO), dict.fromkeys(names, "INFO"))
    assert line == f"{names[1]}: expected once, was also given as {names[0]}"
    two = "[instrument A.B]\n[instrument A-B]\n"
    (line,) = mistakes_of(written(two), {"OMS__INSTRUMENT__A_B__TICK_SIZE": "1"})
    assert line.endswith(": [instrument A.B], [instrument A-B]")


def test_the_library_reads_the_environment_of_the_process(written, monkeypatch):
    """So a program and the daemon beside it go by the same settings."""
    monkeypatch.setenv("OMS__THROTTLE__SENDS_MAX", "3")
    assert load_config(written(TWO)).throttle.sends_max == 3
    assert overrides(os.environ) == {"OMS__THROTTLE__SENDS_MAX": "3"}


@given(st.dictionaries(st.from_regex(r"OMS__[A-Za-z_]{0,20}", fullmatch=True), st.text(max_size=9)))
def test_whatever_the_environment_says_it_is_a_config_or_a_config_error(environment):
    try:
        assert isinstance(load_config(None, environment), Config)
    except ConfigError as error:
        assert error.mistakes
        assert not any("\n" in line for line in error.mistakes)
