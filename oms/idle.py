"""Settings of config.ini without effect, as another one stands: a slip of whoever wrote them.

Flow:  config -> [idle] -> mistakes
In:    the sections of the file as made. Out: the section and the mistake.

This is asked of the file and the environment alone: what is not at its default there was written.
In code a part is switched off by `replace`, and what belongs to it stays as it was.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TypeVar

from oms.errors import ValidationError
from oms.money import to_text
from oms.sections import (
    AccountConfig,
    ExchangeConfig,
    FeesConfig,
    GroupConfig,
    InstrumentConfig,
    RiskConfig,
    SessionConfig,
    StopConfig,
    StoreConfig,
    ThrottleConfig,
    WebConfig,
)
from oms.setting_rules import Section, key_of

Kind = TypeVar("Kind", bound=Section)
Mistakes = Iterator[tuple[str, ValidationError]]
FEES = ("maker_fee_bps", "taker_fee_bps")
BREAKER = ("breaker_window_ns", "breaker_limit_ns", "breaker_pause_ns")
CALLS = ("opening_auction_ns", "closing_auction_ns")


def idle_settings(made: Mapping[str, Section]) -> Mistakes:
    """What is not at its default and changes nothing. made: sections by name, as in the file."""
    exchange = _the(ExchangeConfig, made)
    yield from _in_session(_the(SessionConfig, made), exchange)
    yield from _in_throttle(_the(ThrottleConfig, made))
    instruments = _all(InstrumentConfig, made)
    if not any(each.breaker_band_bps for each in instruments.values()):
        yield from _unused("exchange", exchange, BREAKER, "no instrument has a breaker_band_bps")
    for name, instrument in instruments.items():
        yield from _in_instrument(name, instrument)
    if not exchange.ledger:
        for name, section in made.items():
            if isinstance(section, InstrumentConfig | FeesConfig):
                yield from _unused(name, section, FEES, "[exchange] ledger is no")
            elif isinstance(section, AccountConfig):
                yield from _unused(name, section, ("tier",), "[exchange] ledger is no")
    yield from _in_limits(made)
    store = _the(StoreConfig, made)
    if store.kind == "sqlite":
        yield from _unused("store", store, ("dsn", "schema"), "kind is sqlite")
    else:
        yield from _unused("store", store, ("busy_timeout_ns", "group"), "kind is postgres")
    web = _the(WebConfig, made)
    if not (web.tls_certificate or web.trusted_proxies):
        why = "there is neither tls_certificate nor trusted_proxies"
        yield from _unused("web", web, ("hsts_days",), why)
    stop = _the(StopConfig, made)
    if stop.on_stop != "drain":
        yield from _unused("stop", stop, ("drain_max_ns",), f"on_stop is {stop.on_stop}")


def _in_session(session: SessionConfig, exchange: ExchangeConfig) -> Mistakes:
    if session.always_open:
        why = "the market is always open"
        yield from _unused("session", session, ("hours", "done_for_day"), why)
    schedule = session.schedule
    own = [dict(span.phases) for span in (*schedule.hours, *schedule.extra_open)]
    lengths = [getattr(session, name) for name in CALLS]
    lengths += [phases.get(name, 0) for phases in own for name in CALLS]
    if not any(lengths) and not exchange.reopening_auction_ns:
        why = "there is no opening_auction_s, closing_auction_s or [exchange] reopening_auction_s"
        yield from _unused("session", session, ("auction_random_end_ns",), why)


def _in_throttle(throttle: ThrottleConfig) -> Mistakes:
    off = ("sends_max", "window_ns") if throttle.policy == "off" else ()
    bucket = ("burst",) if throttle.policy != "token_bucket" else ()
    yield from _unused("throttle", throttle, (*off, *bucket), f"policy is {throttle.policy}")


def _in_instrument(name: str, instrument: InstrumentConfig) -> Mistakes:
    around = ("price_band_around",)
    if not instrument.price_band_bps:
        yield from _unused(name, instrument, around, "there is no price_band_bps")
    elif not instrument.reference_price.strip("0."):
        yield from _unused(name, instrument, around, "there is no reference_price")
    for key in ("quantity_max", "notional_max"):
        most, market = getattr(instrument, key), getattr(instrument, f"market_{key}")
        if 0 < Decimal(most or 0) < Decimal(market or 0):
            expected = f"at most {most}, the {key} of every order"
            yield name, ValidationError(f"market_{key}", market, expected)


def _in_limits(made: Mapping[str, Section]) -> Mistakes:
    """How long messages are counted, where nothing limits them."""
    risk, accounts = _the(RiskConfig, made), _all(AccountConfig, made)
    window, why = ("messages_window_ns",), "there is no messages_max"
    takes_over = any(each.messages_max and each.messages_window_ns is None
                     for each in accounts.values())  # fmt: skip
    if not risk.messages_max and not takes_over:
        yield from _unused("risk", risk, window, why)
    for name, account in accounts.items():
        own = risk.messages_max if account.messages_max is None else account.messages_max
        if not own:
            yield from _unused(name, account, window, why)
    for name, group in _all(GroupConfig, made).items():
        if not group.messages_max:
            yield from _unused(name, group, window, why)


def _the(kind: type[Kind], made: Mapping[str, Section]) -> Kind:
    """The only section of its kind, as it is by default if it was left out."""
    return next(iter(_all(kind, made).values()), None) or kind()


def _all(kind: type[Kind], made: Mapping[str, Section]) -> dict[str, Kind]:
    return {name: each for name, each in made.items() if isinstance(each, kind)}


def _unused(name: str, section: Section, attributes: tuple[str, ...], why: str) -> Mistakes:
    """Those of the attributes that say something, though nobody asks them."""
    default = type(section)()
    for attribute in attributes:
        usual, value = getattr(default, attribute), getattr(section, attribute)
        if value != usual:
            expected = f"{_shown(attribute, usual)}, as {why}"
            yield name, ValidationError(key_of(attribute), _shown(attribute, value), expected)


def _shown(attribute: str, value: object) -> str:
    """As one would write it in the file."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and attribute.endswith("_ns"):
        return to_text(value, 9)
    return "nothing" if value in (None, "") else str(value)
