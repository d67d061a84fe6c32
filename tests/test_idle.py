"""Settings that change nothing are refused, each with the one that makes it so."""

import pytest

from oms.commands.flows import at_any_hour
from oms.config import NAMED, SECTIONS, Config, load_config
from oms.errors import ConfigError
from oms.setting_rules import key_of, rules_of

X = "[instrument X_Y]\n"

IDLE = """
[session] always_open = yes / hours = Mon-Fri 08:00-16:00
hours: expected Mon-Fri 09:00-17:00, as the market is always open, was 'Mon-Fri 08:00-16:00'
---
[session] always_open = yes / done_for_day = yes
done_for_day: expected no, as the market is always open, was 'yes'
---
[session] auction_random_end_s = 30 [exchange] reopening_auction_s = 0
auction_random_end_s: expected 0, as there is no opening_auction_s, closing_auction_s or [exchange]
---
[throttle] burst = 7
burst: expected 100, as policy is sliding_window, was '7'
---
[throttle] policy = off / sends_max = 7
sends_max: expected 100, as policy is off, was '7'
---
[throttle] policy = off / window_s = 0.5
window_s: expected 1, as policy is off, was '0.5'
---
[exchange] breaker_window_s = 60
breaker_window_s: expected 300, as no instrument has a breaker_band_bps, was '60'
---
[exchange] breaker_limit_s = 0
breaker_limit_s: expected 15, as no instrument has a breaker_band_bps, was '0'
---
[exchange] breaker_pause_s = 60
breaker_pause_s: expected 300, as no instrument has a breaker_band_bps, was '60'
---
[instrument A_B] maker_fee_bps = 3
maker_fee_bps: expected 0, as [exchange] ledger is no, was '3'
---
[instrument A_B] taker_fee_bps = 3
taker_fee_bps: expected 0, as [exchange] ledger is no, was '3'
---
[fees X_Y pro] maker_fee_bps = 3
maker_fee_bps: expected nothing, as [exchange] ledger is no, was '3'
---
[fees X_Y pro] taker_fee_bps = 3
taker_fee_bps: expected nothing, as [exchange] ledger is no, was '3'
---
[fees X_Y pro] [account a] tier = pro
tier: expected nothing, as [exchange] ledger is no, was 'pro'
---
[risk] messages_window_s = 60
messages_window_s: expected 1, as there is no messages_max, was '60'
---
[risk] messages_max = 5 [account a] messages_max = 0 / messages_window_s = 60
messages_window_s: expected nothing, as there is no messages_max, was '60'
---
[account a] groups = g [group g] messages_window_s = 60
messages_window_s: expected 1, as there is no messages_max, was '60'
---
[instrument A_B] price_band_around = reference / reference_price = 100
price_band_around: expected last, as there is no price_band_bps, was 'reference'
---
[instrument A_B] price_band_around = reference / price_band_bps = 100
price_band_around: expected last, as there is no reference_price, was 'reference'
---
[instrument A_B] quantity_max = 5 / market_quantity_max = 5.5
market_quantity_max: expected at most 5, the quantity_max of every order, was '5.5'
---
[instrument A_B] notional_max = 5 / market_notional_max = 6
market_notional_max: expected at most 5, the notional_max of every order, was '6'
---
[store] dsn = dbname=x
dsn: expected nothing, as kind is sqlite, was 'dbname=x'
---
[store] schema = usd
schema: expected oms, as kind is sqlite, was 'usd'
---
[store] kind = postgres / dsn = dbname=x / busy_timeout_s = 3
busy_timeout_s: expected 2, as kind is postgres, was '3'
---
[store] kind = postgres / dsn = dbname=x / group = staff
group: expected nothing, as kind is postgres, was 'staff'
---
[web] hsts_days = 365
hsts_days: expected 0, as there is neither tls_certificate nor trusted_proxies, was '365'
---
[stop] drain_s_max = 4
drain_s_max: expected 3, as on_stop is park, was '4'
---
[session] holidays = 2026-12-25, 2026-12-25
holidays: expected each date once, was '2026-12-25'
---
[risk] restricted_symbols = X_Y, X_Y
restricted_symbols: expected symbols, separated by commas, each once, was 'X_Y, X_Y'
---
[risk] allowed_sides = BUY, BUY
allowed_sides: expected nothing, which is all, or some of BUY, SELL, separated by commas, each once
---
[group g] [account a] groups = g, g
groups: expected names of groups, separated by commas, each once, was 'g, g'
""".strip().split("\n---\n")

CALL = "opening_auction_s=60"
EFFECTIVE = f"""
[session] always_open = yes / time_zone = Asia/Kolkata
[session] auction_random_end_s = 30
[session] auction_random_end_s = 30 / closing_auction_s = 60 [exchange] reopening_auction_s = 0
[session] auction_random_end_s = 9 / hours = 09:00-10:00 {CALL} [exchange] reopening_auction_s = 0
[throttle] policy = token_bucket / burst = 7
[web] hsts_days = 365 / trusted_proxies = 127.0.0.1
[exchange] breaker_window_s = 60 / breaker_limit_s = 0 [instrument A_B] breaker_band_bps = 500
[exchange] ledger = yes [instrument A_B] maker_fee_bps = 3
[exchange] ledger = yes [fees X_Y t] taker_fee_bps = 5 [account a] tier = t
[risk] messages_max = 5 / messages_window_s = 60 [account a] messages_window_s = 30
[risk] messages_window_s = 60 [account a] messages_max = 5
[account a] messages_max = 5 / messages_window_s = 60
[instrument A_B] price_band_around = reference / price_band_bps = 100 / reference_price = 7
[instrument A_B] quantity_max = 5 / market_quantity_max = 5
[stop] on_stop = drain / drain_s_max = 4
[risk] restricted_symbols = X_Y / allowed_sides = BUY, SELL
""".strip().splitlines()  # fmt: skip


@pytest.fixture
def loaded(tmp_path):
    """The configuration of a text on one line, with an instrument X_Y."""

    def load(text):
        path = tmp_path / "config.ini"
        lines = text.replace(" [exchange] ", "\n[exchange] ").replace(" [fees", "\n[fees")
        for kind in ("instrument", "account", "group"):
            lines = lines.replace(f" [{kind}", f"\n[{kind}")
        path.write_text(X + lines.replace("] ", "]\n").replace(" / ", "\n"), encoding="utf-8")
        return load_config(path, {})

    return load


@pytest.mark.parametrize("case", IDLE)
def test_a_setting_without_effect_is_refused(loaded, case):
    """By one line, which names what makes it so and what it would have to be."""
    text, mistake = case.splitlines()
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    [line] = [line for line in str(caught.value).splitlines() if mistake in line]
    section = line.partition("[")[2].partition("]")[0]
    assert f"[{section}]" in text


@pytest.mark.parametrize("text", EFFECTIVE)
def test_with_what_it_needs_it_is_fine(loaded, text):
    """The same settings beside others."""
    assert loaded(text)


# Every other setting, whatever the others are; a new one has to be put here, or among the idle.
ALWAYS = {
    # of the calendar, which refuses itself what changes nothing: see test_session.py
    "session": "always_open time_zone early_close extra_open trading_date pre_open_s "
    "opening_auction_s closing_auction_s "
    # needs an auction_band_bps: see test_config.py
    "auction_extension_s "
    # hold: nothing is refused for hours; a market that never closes grants that
    "outside_hours "
    # of the link to a venue, whose kind no file tells
    "logon_lead_s logout_grace_s logon_timeout_s logon_backoff_s_min logon_backoff_s_max "
    "logon_attempts_max",
    "throttle": "policy",
    "queue": "inbox_max waiting_max batch_max fair",
    "store": "kind database durability snapshot_every",
    "projection": "entries_max poll_s",
    "venue": "answer_timeout_s",
    # an operator's halt, too, ends in a reopening call
    "exchange": "ledger self_trade on_halt reopening_auction_s",
    # limits; an operator may set others beside them
    "risk": "open_orders_max stop_orders_max amends_max messages_max position_max credit_max "
    "gross_max net_max duplicate_window_s allowed_order_types allowed_times_in_force",
    "stop": "on_stop",
    "market_data": "depth_levels trades_kept",
    "control": "enabled",
    # `serve` opens the front door whatever the file says of `enabled`
    "web": "enabled listen allowed_hosts allowed_origins trusted_proxies tls_certificate tls_key "
    "access_token_s sign_up play_money requests_max orders_max cancels_max address_max "
    "address_connections_max user_sockets_max address_sockets_max",
    # `engine`, `api`, `broadcast` and `cluster` read it, `run` and `serve` never do
    "scale": "redis_url redis_urls market_groups home_group lag_max turns_kept replies_kept "
    "deliveries_max call_timeout_s",
    "log": "level json rotate_bytes rotate_files",
    "simulate": "seconds rate seed",
    # scales, steps and assets count without a ledger, too: in limits; a reference price in calls
    "instrument": "price_scale quantity_scale tick_size tick_table lot_size market_order base "
    "quote reference_price market_slippage_bps breaker_band_bps auction_band_bps price_band_bps "
    "quantity_min quantity_max notional_min notional_max",
    # an operator may put other accounts into it; orders have modes of their own
    "account": "stp_group",
    "group": "",
    "asset": "scale",
    "fees": "",
}


def test_of_every_setting_it_was_asked_what_makes_it_idle():
    """It is refused somewhere above, or named among those that always count."""
    refused = {case.splitlines()[1].partition(":")[0] for case in IDLE}
    sections = SECTIONS | {kind: cls for kind, (_, _, cls) in NAMED.items()}
    assert ALWAYS.keys() == sections.keys()
    everywhere = set(ALWAYS["risk"].split()) | refused
    for name, cls in sections.items():
        keys = {key_of(attribute) for attribute in rules_of(cls)}
        known = set(ALWAYS[name].split())
        assert known <= keys, name
        assert not known & refused, name
        assert keys - known <= (everywhere if name in ("account", "group") else refused), name


def test_what_is_shipped_and_a_part_switched_off_in_code_are_fine():
    """Only what was written can be a slip."""
    assert load_config(None, {}) == Config()
    assert load_config(None, {"OMS__SESSION__ALWAYS_OPEN": "yes"}).session.always_open


def test_a_simulation_takes_any_calendar(loaded):
    """It trades at any hour, so holidays and phases of the file have no say in it."""
    config = loaded(
        "[session] holidays = 2026-12-25 / early_close = 2026-12-24 13:00 / pre_open_s = 60 / "
        "extra_open = 2026-12-26 10:00-12:00 / opening_auction_s = 60 / closing_auction_s = 60"
    )
    session = at_any_hour(config, throttled=True).session
    assert session.always_open and session.time_zone == "UTC"
