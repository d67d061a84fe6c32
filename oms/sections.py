"""The sections of config.ini: each is a class, each setting an attribute with its rule.

Flow:  config.ini -> config -> [sections]
In:    values, from a file or from code. Out: values within their bounds, or a ValidationError.

Durations: seconds in the file (window_s), nanoseconds here (window_ns).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from inspect import signature
from pathlib import Path
from typing import (
    Annotated,
    Literal,
)

from oms.clock import NANOS
from oms.desk.calendar import Schedule
from oms.enums import MarketOrderPolicy
from oms.errors import ValidationError
from oms.instruments import ASSET_SCALE, BPS, SCALE_MAX, Instrument
from oms.money import to_text, to_units
from oms.setting_rules import (
    ALLOWED,
    AMOUNT,
    ASSET,
    BY_QUOTE,
    DSN,
    FEE_BPS,
    FILE,
    FLAG,
    GROUP,
    GROUPS,
    HOME_GROUP,
    HOSTS,
    LISTEN,
    MARKET_GROUPS,
    NETWORKS,
    ORIGINS,
    PATH,
    REDIS,
    REDIS_OF_GROUPS,
    SCHEMA,
    STEP,
    SYMBOLS,
    TICK_TABLE,
    TIER,
    Rule,
    Section,
    key_of,
    optional,
    rules_of,
    seconds,
    text,
    whole,
)

LIMITS = (
    "quantity_min", "quantity_max", "notional_min", "notional_max", "market_quantity_max",
    "market_notional_max",
)  # of one order  # fmt: skip
ONE_GROUP = "main"  # where [scale] names none


def _read_calendar(key: str, text: str) -> str:
    Schedule.check_text(key, text)
    return text


CALENDAR = Rule("text", _read_calendar, lambda value: type(value) is str)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig(Section):
    """When orders trade and the link is up. schedule: built from the calendar's settings.

    pre_open_ns, opening_auction_ns, closing_auction_ns: phases of every window that says nothing
    of its own; 0: none.
    auction_random_end_ns, auction_extension_ns: how much longer a call may last, by chance and
    for its price; both lie before the close.
    """

    always_open: Annotated[bool, FLAG] = False
    time_zone: Annotated[str, CALENDAR] = "UTC"
    hours: Annotated[str, CALENDAR] = "Mon-Fri 09:00-17:00"
    holidays: Annotated[str, CALENDAR] = ""
    early_close: Annotated[str, CALENDAR] = ""
    extra_open: Annotated[str, CALENDAR] = ""
    trading_date: Literal["close", "open"] = "close"
    pre_open_ns: Annotated[int, seconds(0, 86_400)] = 0
    opening_auction_ns: Annotated[int, seconds(0, 86_400)] = 0
    closing_auction_ns: Annotated[int, seconds(0, 86_400)] = 0
    auction_random_end_ns: Annotated[int, seconds(0, 3600)] = 0
    auction_extension_ns: Annotated[int, seconds(0, 3600)] = 0
    outside_hours: Literal["reject", "hold"] = "reject"
    done_for_day: Annotated[bool, FLAG] = False
    logon_lead_ns: Annotated[int, seconds(0, 86_400)] = 60 * NANOS
    logout_grace_ns: Annotated[int, seconds(0, 86_400)] = 900 * NANOS
    logon_timeout_ns: Annotated[int, seconds(0.1, 3600)] = 10 * NANOS
    logon_backoff_min_ns: Annotated[int, seconds(0.01, 3600)] = NANOS
    logon_backoff_max_ns: Annotated[int, seconds(0.01, 3600)] = 60 * NANOS
    logon_attempts_max: Annotated[int, whole(1, 1_000_000)] = 10
    schedule: Schedule = field(init=False, repr=False)

    def __post_init__(self) -> None:
        Section.__post_init__(self)  # super() does not work in a class with slots
        low, high = self.logon_backoff_min_ns / NANOS, self.logon_backoff_max_ns / NANOS
        if low > high:
            raise ValidationError("logon_backoff_s_min", low, "at most logon_backoff_s_max")
        calendar = {name: getattr(self, name) for name in signature(Schedule.parse).parameters}
        object.__setattr__(self, "schedule", Schedule.parse(**calendar))
        self._check_phases()

    def _check_phases(self) -> None:
        """A window needs room for all its phases, or what it gathers is never uncrossed."""
        phases: dict[str, int] = {name: getattr(self, name) for name in PHASES}
        if self.always_open:
            for name, length_ns in phases.items():
                if length_ns:
                    expected = "0, as the market is always open"
                    raise ValidationError(key_of(name), f"{length_ns / NANOS:g}", expected)
            return
        longer_ns = {name: getattr(self, name) for name in CALLS_LONGER}
        _check_closing("closing_auction_s", phases["closing_auction_ns"], longer_ns)
        for key, shown, length_ns, own in self.schedule.lengths():
            of_window = {**phases, **dict(own)}
            _check_closing(key, of_window["closing_auction_ns"], longer_ns)
            _check_room(key, shown, length_ns, of_window, longer_ns)


PHASES = ("pre_open_ns", "opening_auction_ns", "closing_auction_ns")
CALLS_LONGER = ("auction_random_end_ns", "auction_extension_ns")


def _check_closing(key: str, closing_ns: int, longer_ns: Mapping[str, int]) -> None:
    """The regular end of a closing call comes so much before the close."""
    if 0 < closing_ns <= sum(longer_ns.values()):
        of_window = "" if key == "closing_auction_s" else "a closing_auction_s of "
        expected = (
            f"{of_window}more than auction_random_end_s and auction_extension_s together, or 0"
        )
        raise ValidationError(key, to_text(closing_ns, 9), expected)


def _check_room(
    key: str, shown: str, length_ns: int, phases: Mapping[str, int], longer_ns: Mapping[str, int]
) -> None:
    """Of one window. Only continuous trading uncrosses an opening call, and a pre-open that no
    closing call follows: some of it must be left."""
    needed = {name: each_ns for name, each_ns in phases.items() if each_ns}
    trades = "opening_auction_ns" in needed or (needed and "closing_auction_ns" not in needed)
    if "opening_auction_ns" in needed:
        needed.update((name, each_ns) for name, each_ns in longer_ns.items() if each_ns)
    total_ns = sum(needed.values())
    if length_ns < total_ns or (trades and length_ns == total_ns):
        names = ", ".join(map(key_of, needed))
        how = "more than" if trades else "at least"
        expected = f"a window of {how} {to_text(total_ns, 9)} s, for {names}"
        raise ValidationError(key, f"{shown}, {to_text(length_ns, 9)} s", expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleConfig(Section):
    """How many messages may go to the venue. burst: token_bucket alone."""

    policy: Literal["sliding_window", "token_bucket", "fixed_window", "off"] = "sliding_window"
    sends_max: Annotated[int, whole(1, 1_000_000)] = 100
    window_ns: Annotated[int, seconds(0.001, 86_400)] = NANOS
    burst: Annotated[int, whole(1, 1_000_000)] = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConfig(Section):
    """Bounds, in requests, orders and requests a turn.

    fair: whether clients take turns; auto: where the front door is open.
    """

    inbox_max: Annotated[int, whole(1, 10_000_000)] = 100_000
    waiting_max: Annotated[int, whole(1, 10_000_000)] = 100_000
    batch_max: Annotated[int, whole(1, 100_000)] = 1_000
    fair: Literal["auto", "yes", "no"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig(Section):
    """Where the journal is, and what it survives: in the file `database`, or in a schema of the
    database of Postgres that `dsn` names. snapshot_every: journal entries. group: of the
    operating system, whose members may read the database; else its owner alone may."""

    kind: Literal["sqlite", "postgres"] = "sqlite"
    database: Annotated[Path, FILE] = Path("order_management.db")
    dsn: Annotated[str, DSN] = ""
    schema: Annotated[str, SCHEMA] = "oms"
    durability: Literal["full", "normal", "none"] = "full"
    busy_timeout_ns: Annotated[int, seconds(0, 60)] = 2 * NANOS
    snapshot_every: Annotated[int, whole(1, 1_000_000_000)] = 250_000
    group: Annotated[str, text("a group of this system, or nothing", "[A-Za-z0-9._-]{0,32}")] = ""

    def __post_init__(self) -> None:
        Section.__post_init__(self)  # super() does not work in a class with slots
        if self.kind == "postgres" and not self.dsn:
            raise ValidationError("dsn", self.dsn, "where the journal is, as kind is postgres")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionConfig(Section):
    """Where `db-filler` fills Postgres, and how. dsn: "" for nowhere. entries_max: journal entries
    a transaction; poll_ns: how long it waits where there was nothing new."""

    dsn: Annotated[str, DSN] = ""
    schema: Annotated[str, SCHEMA] = "public"
    entries_max: Annotated[int, whole(100, 1_000_000)] = 20_000
    poll_ns: Annotated[int, seconds(0.01, 60)] = NANOS // 10


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueConfig(Section):
    """answer_timeout_ns: when a remote venue has not answered, the outcome is UNKNOWN."""

    answer_timeout_ns: Annotated[int, seconds(0.001, 3600)] = 5 * NANOS


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeConfig(Section):
    """How the embedded exchange keeps accounts, and when it interrupts trading."""

    ledger: Annotated[bool, FLAG] = False
    self_trade: Literal["none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement"] = (
        "cancel_newest"
    )
    on_halt: Literal["suspend", "cancel"] = "suspend"
    breaker_window_ns: Annotated[int, seconds(1, 86_400)] = 300 * NANOS
    breaker_limit_ns: Annotated[int, seconds(0, 3600)] = 15 * NANOS
    breaker_pause_ns: Annotated[int, seconds(0, 86_400)] = 300 * NANOS
    reopening_auction_ns: Annotated[int, seconds(0, 86_400)] = 60 * NANOS


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskConfig(Section):
    """What every account may do; 0 or nothing: no such limit."""

    open_orders_max: Annotated[int, whole(0, 10_000_000)] = 0
    stop_orders_max: Annotated[int, whole(0, 10_000_000)] = 0
    amends_max: Annotated[int, whole(0, 1_000_000)] = 0
    messages_max: Annotated[int, whole(0, 1_000_000)] = 0
    messages_window_ns: Annotated[int, seconds(0.001, 86_400)] = NANOS
    position_max: Annotated[str, AMOUNT] = ""
    credit_max: Annotated[str, AMOUNT] = ""
    gross_max: Annotated[str, AMOUNT] = ""
    net_max: Annotated[str, AMOUNT] = ""
    duplicate_window_ns: Annotated[int, seconds(0, 3600)] = 0
    restricted_symbols: Annotated[str, SYMBOLS] = ""
    allowed_sides: Annotated[str, ALLOWED["allowed_sides"]] = ""
    allowed_order_types: Annotated[str, ALLOWED["allowed_order_types"]] = ""
    allowed_times_in_force: Annotated[str, ALLOWED["allowed_times_in_force"]] = ""


RISK = rules_of(RiskConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountConfig(Section):
    """What one account may do; None: what RiskConfig says. Which fees it pays, whose it is.

    groups: those of [group NAME] that it is in, whose limits it must keep, too.
    """

    open_orders_max: Annotated[int | None, optional(RISK["open_orders_max"])] = None
    stop_orders_max: Annotated[int | None, optional(RISK["stop_orders_max"])] = None
    amends_max: Annotated[int | None, optional(RISK["amends_max"])] = None
    messages_max: Annotated[int | None, optional(RISK["messages_max"])] = None
    messages_window_ns: Annotated[int | None, optional(RISK["messages_window_ns"])] = None
    position_max: Annotated[str | None, optional(RISK["position_max"])] = None
    credit_max: Annotated[str | None, optional(RISK["credit_max"])] = None
    gross_max: Annotated[str | None, optional(RISK["gross_max"])] = None
    net_max: Annotated[str | None, optional(RISK["net_max"])] = None
    duplicate_window_ns: Annotated[int | None, optional(RISK["duplicate_window_ns"])] = None
    restricted_symbols: Annotated[str | None, optional(RISK["restricted_symbols"])] = None
    allowed_sides: Annotated[str | None, optional(RISK["allowed_sides"])] = None
    allowed_order_types: Annotated[str | None, optional(RISK["allowed_order_types"])] = None
    allowed_times_in_force: Annotated[str | None, optional(RISK["allowed_times_in_force"])] = None
    groups: Annotated[str, GROUPS] = ""
    tier: Annotated[str, TIER] = ""
    stp_group: Annotated[str, GROUP] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupConfig(Section):
    """What the accounts of a group may do together, as if they were one; 0 or nothing: all."""

    open_orders_max: Annotated[int, RISK["open_orders_max"]] = 0
    stop_orders_max: Annotated[int, RISK["stop_orders_max"]] = 0
    amends_max: Annotated[int, RISK["amends_max"]] = 0
    messages_max: Annotated[int, RISK["messages_max"]] = 0
    messages_window_ns: Annotated[int, RISK["messages_window_ns"]] = NANOS
    position_max: Annotated[str, RISK["position_max"]] = ""
    credit_max: Annotated[str, RISK["credit_max"]] = ""
    gross_max: Annotated[str, RISK["gross_max"]] = ""
    net_max: Annotated[str, RISK["net_max"]] = ""
    restricted_symbols: Annotated[str, RISK["restricted_symbols"]] = ""
    allowed_sides: Annotated[str, RISK["allowed_sides"]] = ""
    allowed_order_types: Annotated[str, RISK["allowed_order_types"]] = ""
    allowed_times_in_force: Annotated[str, RISK["allowed_times_in_force"]] = ""


def limits_of(section: RiskConfig | AccountConfig | GroupConfig) -> dict[str, str]:
    """Its limits as text, by the keys of the file; "0" or no words lift one. None is no text."""
    limits = dict[str, str]()
    for name in RISK:
        value = getattr(section, name, None)
        if (name == "restricted_symbols" or name in ALLOWED) and value is not None:
            limits[name] = ",".join(symbols_of(value))
        elif value is not None:
            given = to_text(value, 9) if name.endswith("_ns") else str(value)
            limits[key_of(name)] = given if given.strip("0.") else "0"
    return limits


def known_tiers(tiers: Collection[str]) -> str:
    """What a tier may be, in words."""
    if not tiers:
        return "nothing, as no [fees SYMBOL TIER] names one"
    return f"one of {', '.join(sorted(tiers))}, or nothing"


def symbols_of(text: str) -> list[str]:
    """The symbols, or other words, of a list of them, each once."""
    return list(dict.fromkeys(re.findall(r"[^,\s]+", text)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetConfig(Section):
    """How finely an asset is counted: amounts are whole numbers of 10**-scale."""

    scale: Annotated[int, whole(0, SCALE_MAX)] = ASSET_SCALE


@dataclass(frozen=True, slots=True, kw_only=True)
class FeesConfig(Section):
    """What the accounts of a tier pay for an instrument; None: what everybody pays."""

    maker_fee_bps: Annotated[int | None, optional(FEE_BPS)] = None
    taker_fee_bps: Annotated[int | None, optional(FEE_BPS)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopConfig(Section):
    """What becomes of waiting orders at a stop. drain_max_ns: how long that may take."""

    on_stop: Literal["park", "cancel", "drain"] = "park"
    drain_max_ns: Annotated[int, seconds(0, 3600)] = 3 * NANOS


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketDataConfig(Section):
    """What is shown of a book: levels a side, and the latest trades."""

    depth_levels: Annotated[int, whole(1, 1_000)] = 20
    trades_kept: Annotated[int, whole(1, 1_000_000)] = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig(Section):
    """The daemon's control socket. enabled: whether there is one."""

    enabled: Annotated[bool, FLAG] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig(Section):
    """The front door: REST and WebSocket. enabled: whether there is one.

    listen: addresses and ports. tls_certificate, tls_key: files; without, it speaks plain HTTP.
    hsts_days: so long browsers that were answered come by TLS alone (Strict-Transport-Security, RFC
    6797); 0: nothing is said of it.
    allowed_hosts: Host headers that are taken; none named: those of `listen`, and localhost.
    trusted_proxies: addresses whose X-Forwarded-For is believed.
    allowed_origins: pages of which sites may call it, beside its own.
    sign_up: whether anybody may become a user. play_money: how many whole units of each asset a
    new user finds in their account; 0: none, and only operators pay money in.
    access_token_ns: how long an access token is good.
    requests_max, orders_max, cancels_max: of one user or key, a second; address_max: of one
    address, before it is known whose requests they are. Twice as many may come at once.
    address_connections_max: connections of one address, WebSockets too.
    user_sockets_max, address_sockets_max: WebSockets that a user and an address may have open.
    """

    enabled: Annotated[bool, FLAG] = False
    listen: Annotated[str, LISTEN] = "127.0.0.1:3000"
    tls_certificate: Annotated[str, PATH] = ""
    tls_key: Annotated[str, PATH] = ""
    hsts_days: Annotated[int, whole(0, 730)] = 0
    allowed_hosts: Annotated[str, HOSTS] = ""
    trusted_proxies: Annotated[str, NETWORKS] = ""
    allowed_origins: Annotated[str, ORIGINS] = ""
    sign_up: Annotated[bool, FLAG] = False
    play_money: Annotated[int, whole(0, 1_000_000_000)] = 0
    access_token_ns: Annotated[int, seconds(60, 86_400)] = 900 * NANOS
    requests_max: Annotated[int, whole(1, 1_000_000)] = 100
    orders_max: Annotated[int, whole(1, 1_000_000)] = 100
    cancels_max: Annotated[int, whole(1, 1_000_000)] = 400
    address_max: Annotated[int, whole(1, 1_000_000)] = 1_000
    address_connections_max: Annotated[int, whole(1, 1_000_000)] = 1_000
    user_sockets_max: Annotated[int, whole(1, 100_000)] = 20
    address_sockets_max: Annotated[int, whole(1, 100_000)] = 100

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValidationError("tls_key", self.tls_key, "both tls_certificate and tls_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleConfig(Section):
    """The same program split by role over Redis Streams: `engine`, `api`, `broadcast`, `cluster`.

    redis_url: where the server is. redis_urls: the same of groups that have servers of their own.
    market_groups: which symbols each engine has; quote: one group for each quote asset, named as it
    is in lower case; none named: one group, `main`, has all. home_group: whose journal has users,
    keys, sessions; "": the first.
    lag_max: requests of a group that no engine has answered yet; with so many, an api answers 503.
    turns_kept: turns that subscribers may be behind before they need a snapshot. replies_kept: of
    one api. deliveries_max: how often an engine may die of one request before it is set aside.
    call_timeout_ns: of one call of Redis.
    """

    redis_url: Annotated[str, REDIS] = "redis://127.0.0.1:6379/0"
    redis_urls: Annotated[str, REDIS_OF_GROUPS] = ""
    market_groups: Annotated[str, MARKET_GROUPS] = ""
    home_group: Annotated[str, HOME_GROUP] = ""
    lag_max: Annotated[int, whole(1, 10_000_000)] = 20_000
    turns_kept: Annotated[int, whole(100, 100_000_000)] = 100_000
    replies_kept: Annotated[int, whole(100, 10_000_000)] = 100_000
    deliveries_max: Annotated[int, whole(1, 100)] = 3
    call_timeout_ns: Annotated[int, seconds(0, 60)] = NANOS

    def __post_init__(self) -> None:
        Section.__post_init__(self)
        symbols = [symbol for those in self.symbols_by_group.values() for symbol in those]
        if len(set(symbols)) < len(symbols):
            raise ValidationError(
                "market_groups", self.market_groups, "each symbol in one group alone"
            )
        if self.by_quote:
            return  # with_groups names them
        if self.home_group and self.home_group not in self.names:
            raise ValidationError("home_group", self.home_group, "one of " + ", ".join(self.names))
        named = [each.partition("=")[0] for each in self.redis_urls.split()]
        if not set(named) <= set(self.names) or len(set(named)) < len(named):
            expected = "each of them once at most: " + ", ".join(self.names)
            raise ValidationError("redis_urls", ", ".join(named), expected)

    def redis_url_of(self, group: str) -> str:
        """Where the server of a group is."""
        own = dict(each.split("=", 1) for each in self.redis_urls.split())
        return own.get(group, self.redis_url)

    def at_server_of(self, group: str) -> tuple[str, ...]:
        """The groups at the same Redis server as this one, itself too, in their order."""
        url = self.redis_url_of(group)
        return tuple(name for name in self.names if self.redis_url_of(name) == url)

    @property
    def by_quote(self) -> bool:
        return self.market_groups.strip() == BY_QUOTE

    def with_groups(self, instruments: Iterable[Instrument]) -> "ScaleConfig":
        """With groups by name where they go by quote asset. Raises ValidationError for a home_group
        that there is not."""
        if not self.by_quote:
            return self
        return replace(self, market_groups=groups_text(groups_by_quote(instruments)))

    @property
    def symbols_by_group(self) -> dict[str, tuple[str, ...]]:
        """As `market_groups` says; empty: there is one group, with all symbols, or a Config has not
        named them yet."""
        if self.by_quote:
            return {}
        pairs = (each.split(":") for each in self.market_groups.split(",") if each.strip())
        return {name.strip(): tuple(symbols.split()) for name, symbols in pairs}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the groups, in their order."""
        return tuple(self.symbols_by_group) or (ONE_GROUP,)

    @property
    def home(self) -> str:
        return self.home_group or self.names[0]


def groups_by_quote(instruments: Iterable[Instrument]) -> dict[str, tuple[str, ...]]:
    """Names and symbols of groups: one for each quote asset, in the instruments' order."""
    found: dict[str, list[str]] = {}
    for each in instruments:
        name = re.sub("[^a-z0-9_-]", "-", each.quote.lower()) or ONE_GROUP
        found.setdefault(name, []).append(each.symbol)
    return {name: tuple(symbols) for name, symbols in found.items()}


def groups_text(groups: Mapping[str, Iterable[str]]) -> str:
    """As market_groups says it."""
    return ", ".join(f"{name}: {' '.join(symbols)}" for name, symbols in groups.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig(Section):
    """What is logged, how, and how much of it is kept: rotate_files files and the open one."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    json: Annotated[bool, FLAG] = False
    rotate_bytes: Annotated[int, whole(10_000, 10_000_000_000)] = 10_000_000
    rotate_files: Annotated[int, whole(1, 1_000)] = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateConfig(Section):
    """The load that `simulate` offers. seconds: duration. rate: orders per second."""

    seconds: Annotated[int, whole(1, 86_400)] = 20
    rate: Annotated[int, whole(1, 1_000_000)] = 90
    seed: Annotated[int, whole(0, 2**63 - 1)] = 7


def tick_table_of(text: str, price_scale: int) -> tuple[tuple[int, int], ...]:
    """The steps of a tick table, in ticks; ValidationError if a number is finer than the scale."""
    pairs = (step.split(":") for step in text.split(",") if step.strip())
    return tuple(
        (
            to_units("tick_table", price.strip(), price_scale),
            to_units("tick_table", tick.strip(), price_scale),
        )
        for price, tick in pairs
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentConfig(Section):
    """The text of one instrument; a step left out is the smallest its scale can say."""

    price_scale: Annotated[int, whole(0, SCALE_MAX)] = 6
    quantity_scale: Annotated[int, whole(0, SCALE_MAX)] = 8
    tick_size: Annotated[str, STEP] = ""
    tick_table: Annotated[str, TICK_TABLE] = ""
    lot_size: Annotated[str, STEP] = ""
    market_order: Literal["partial", "all_or_none"] = "partial"
    base: Annotated[str, ASSET] = ""
    quote: Annotated[str, ASSET] = ""
    maker_fee_bps: Annotated[int, FEE_BPS] = 0
    taker_fee_bps: Annotated[int, FEE_BPS] = 0
    reference_price: Annotated[str, AMOUNT] = ""
    market_slippage_bps: Annotated[int, whole(0, BPS)] = 0
    breaker_band_bps: Annotated[int, whole(0, BPS)] = 0
    auction_band_bps: Annotated[int, whole(0, BPS)] = 0
    price_band_bps: Annotated[int, whole(0, 100_000)] = 0
    price_band_around: Literal["last", "reference"] = "last"
    quantity_min: Annotated[str, AMOUNT] = ""
    quantity_max: Annotated[str, AMOUNT] = ""
    notional_min: Annotated[str, AMOUNT] = ""
    notional_max: Annotated[str, AMOUNT] = ""
    market_quantity_max: Annotated[str, AMOUNT] = ""
    market_notional_max: Annotated[str, AMOUNT] = ""

    def instrument(self, symbol: str, assets: Mapping[str, int] | None = None) -> Instrument:
        """The instrument, its money counted as finely as `assets` says.

        ValidationError if a step or price is finer than its scale, or rebates exceed fees.
        """
        step, lot = self.tick_size, self.lot_size
        made = Instrument(
            symbol=symbol,
            price_scale=self.price_scale,
            quantity_scale=self.quantity_scale,
            tick_size=to_units("tick_size", step, self.price_scale) if step else 1,
            lot_size=to_units("lot_size", lot, self.quantity_scale) if lot else 1,
            tick_table=tick_table_of(self.tick_table, self.price_scale),
            market_order=MarketOrderPolicy(self.market_order),
            base=self.base,
            quote=self.quote,
            maker_fee_bps=self.maker_fee_bps,
            taker_fee_bps=self.taker_fee_bps,
            reference_price_ticks=to_units(
                "reference_price", self.reference_price or 0, self.price_scale
            ),
            market_slippage_bps=self.market_slippage_bps,
            breaker_band_bps=self.breaker_band_bps,
            auction_band_bps=self.auction_band_bps,
        )
        tick = made.tick_at(made.reference_price_ticks)
        if made.reference_price_ticks % tick:
            expected = f"a multiple of {to_text(tick, made.price_scale)}"
            raise ValidationError("reference_price", self.reference_price, expected)
        scales = assets or {}
        return replace(
            made,
            base_scale=scales.get(made.base, ASSET_SCALE),
            quote_scale=scales.get(made.quote, ASSET_SCALE),
        )

    def limits(self) -> dict[str, str]:
        """Limits of its orders, those that are set, as text; a band tells around what."""
        texts = {key: str(getattr(self, key)) for key in (*LIMITS, "price_band_bps")}
        limits = {key: text for key, text in texts.items() if text.strip("0.")}
        if "price_band_bps" in limits:
            limits["price_band_around"] = self.price_band_around
        return limits
