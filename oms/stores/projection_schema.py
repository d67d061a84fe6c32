"""Tables of the projection in Postgres: those of the readable views of the embedded database.

Whole numbers are copied in; Postgres makes decimals and times of them (generated columns), so a
decimal cannot differ from its number. Partitions are by trading date: `order_states_20240304`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from oms.positions import AVERAGE_PLACES
from oms.reports import NUMBER_BITS, NUMBER_MASK

VERSION = 1
SCALES = 25  # of prices and quantities multiplied, at most: 12 and 12

POWERS = ",".join(f"{10**-places:.{places}f}" if places else "1" for places in range(SCALES))
UNIT = 10**AVERAGE_PLACES
FUNCTIONS = (
    # A number of 10**-scale; by multiplication, which is exact.
    f"""CREATE OR REPLACE FUNCTION scaled(units numeric, scale integer) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN trim_scale(units * ('{{{POWERS}}}'::numeric[])[scale + 1])""",
    # The quotient as a whole number; a half goes to the even one: as positions.half_even.
    """CREATE OR REPLACE FUNCTION half_even(dividend numeric, divisor numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN sign(dividend) * sign(divisor) * (div(abs(dividend), abs(divisor))
        + CASE WHEN 2 * mod(abs(dividend), abs(divisor)) > abs(divisor)
            OR (2 * mod(abs(dividend), abs(divisor)) = abs(divisor)
                AND mod(div(abs(dividend), abs(divisor)), 2) = 1) THEN 1 ELSE 0 END)""",
    """CREATE OR REPLACE FUNCTION utc(ns bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (timestamp '1970-01-01' + (ns / 1000) * interval '1 microsecond') AT TIME ZONE 'UTC'""",
)


class Column(NamedTuple):
    """made: the expression of a generated column; "" of one that is copied in."""

    name: str
    kind: str
    made: str = ""


class Table(NamedTuple):
    name: str
    columns: tuple[Column, ...]
    key: str
    indexes: tuple[str, ...] = ()
    partitioned: bool = False

    @property
    def copied(self) -> list[Column]:
        """Those whose values are copied in, in their order."""
        return [column for column in self.columns if not column.made]

    def ddl(self) -> str:
        columns = [
            f"{c.name} {c.kind}" + (f" GENERATED ALWAYS AS ({c.made}) STORED" if c.made else "")
            for c in self.columns
        ]
        by = " PARTITION BY LIST (trading_date)" if self.partitioned else ""
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name} ({', '.join(columns)}, "
            f"PRIMARY KEY ({self.key})){by}"
        )


def columns(text: str) -> tuple[Column, ...]:
    """One column a line: name, kind, and what it is made of."""
    found = []
    for line in text.strip().splitlines():
        name, kind, *made = line.split(None, 2)
        found.append(Column(name, kind, made[0] if made else ""))
    return tuple(found)


RESPONSES = Table("order_responses", columns("""
    trading_date date
    journal_seq bigint
    number integer
    order_id bigint
    request_seq bigint
    account text
    client_order_id text
    symbol text
    side text
    type text
    state text
    last_price_ticks bigint
    last_quantity_lots bigint
    cumulative_lots bigint
    leaves_lots bigint
    notional text
    liquidity text
    reason text
    wall_ns bigint
    fee text
    match_number bigint
    waited_ns bigint
    venue_ns bigint
"""), "journal_seq, number, trading_date", ("order_id",), partitioned=True)  # fmt: skip

AVERAGE = (
    f"scaled(half_even(notional_raw * {UNIT}, nullif(cumulative_lots, 0)), "
    f"price_scale + {AVERAGE_PLACES})"
)
STATES = Table("order_states", columns(f"""
    trading_date date
    order_id bigint
    account text
    client_order_id text
    symbol text
    side text
    type text
    time_in_force text
    limit_ticks bigint
    quantity_lots bigint
    reason text
    entered_ns bigint
    state text
    cumulative_lots bigint
    leaves_lots bigint
    notional_raw numeric
    updated_ns bigint
    updated_seq bigint
    price_scale integer
    quantity_scale integer
    price numeric scaled(limit_ticks, price_scale)
    quantity numeric scaled(quantity_lots, quantity_scale)
    filled numeric scaled(cumulative_lots, quantity_scale)
    leaves numeric scaled(leaves_lots, quantity_scale)
    average_price numeric {AVERAGE}
    notional numeric scaled(notional_raw, price_scale + quantity_scale)
    entered timestamptz utc(entered_ns)
    updated timestamptz utc(updated_ns)
"""), "order_id, trading_date", ("account, order_id",), partitioned=True)  # fmt: skip

TRADES = Table("trades", columns(f"""
    trading_date date
    report_id bigint
    match_number bigint
    symbol text
    aggressor text
    status text
    buy_order_id bigint
    buy_account text
    sell_order_id bigint
    sell_account text
    wall_ns bigint
    price_ticks bigint
    quantity_lots bigint
    traded_price_ticks bigint
    traded_quantity_lots bigint
    buy_fee_units bigint
    sell_fee_units bigint
    price_scale integer
    quantity_scale integer
    quote_scale integer
    execution_id text (report_id >> {NUMBER_BITS})::text || '-' || (report_id & {NUMBER_MASK})::text
    time timestamptz utc(wall_ns)
    price numeric scaled(price_ticks, price_scale)
    quantity numeric scaled(quantity_lots, quantity_scale)
    traded_price numeric scaled(traded_price_ticks, price_scale)
    traded_quantity numeric scaled(traded_quantity_lots, quantity_scale)
    buy_fee numeric scaled(buy_fee_units, quote_scale)
    sell_fee numeric scaled(sell_fee_units, quote_scale)
"""), "report_id, trading_date", ("symbol, report_id",), partitioned=True)  # fmt: skip

SESSIONS = Table("sessions", columns("""
    seq bigint
    event text
    trading_date date
    phase text
    opens_next_ns bigint
    wall_ns bigint
    time timestamptz utc(wall_ns)
    opens_next timestamptz utc(opens_next_ns)
"""), "seq")  # fmt: skip

ACTIONS = Table("operator_actions", columns("""
    seq bigint
    account text
    client_order_id text
    action text
    scope text
    target text
    name text
    value text
    why text
    outcome text
    text text
    entry text
    wall_ns bigint
    time timestamptz utc(wall_ns)
"""), "seq", ("account",))  # fmt: skip

HOLDINGS = Table("holdings", columns("""
    account text
    symbol text
    seq bigint
    lots bigint
    cost numeric
    realized numeric
    fees numeric
"""), "account, symbol")  # fmt: skip

PRICES = Table("last_prices", columns("""
    symbol text
    seq bigint
    price_ticks bigint
"""), "symbol")  # fmt: skip

AMOUNTS = Table("account_balances", columns("""
    account text
    asset text
    seq bigint
    scale integer
    available_units bigint
    reserved_units bigint
"""), "account, asset")  # fmt: skip

INSTRUMENTS = Table("instruments", columns("""
    symbol text
    since_seq bigint
    until_seq bigint
    base text
    quote text
    price_scale integer
    quantity_scale integer
    base_scale integer
    quote_scale integer
    tick_size numeric
    lot_size numeric
    tick_size_ticks bigint
    lot_size_lots bigint
    maker_fee_bps integer
    taker_fee_bps integer
"""), "symbol, since_seq")  # fmt: skip

# Which trading date each turn counts for, from this one on.
DATES = Table("trading_dates", columns("""
    first_seq bigint
    trading_date date
"""), "first_seq")  # fmt: skip

# How far it is filled; see Projection.
UPTO = """CREATE TABLE IF NOT EXISTS upto (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    version integer NOT NULL,
    seq bigint NOT NULL,
    checksum bigint NOT NULL,
    wall_ns bigint NOT NULL,
    kept_seq bigint NOT NULL,
    missed bigint NOT NULL)"""

TABLES: Sequence[Table] = (
    RESPONSES, STATES, TRADES, SESSIONS, ACTIONS, HOLDINGS, PRICES, AMOUNTS, INSTRUMENTS, DATES,
)  # fmt: skip
PARTITIONED = tuple(table for table in TABLES if table.partitioned)

# An amount of price times quantity in units of the quote asset, half even.
_UNITS = "half_even({} * scale_up, scale_down)"
POSITIONS = f"""CREATE OR REPLACE VIEW positions AS
SELECT account, symbol, scaled(lots, quantity_scale) AS quantity,
    scaled(half_even(cost * {UNIT}, nullif(lots, 0)), price_scale + {AVERAGE_PLACES})
        AS average_cost,
    scaled(cost_units, quote_scale) AS cost, scaled(realized_units, quote_scale) AS realized,
    scaled(worth_units - cost_units, quote_scale) AS unrealized,
    scaled(fees, quote_scale) AS fees, quote, scaled(last_ticks, price_scale) AS last_price,
    seq AS updated_seq, lots AS quantity_lots, cost AS cost_raw, realized AS realized_raw,
    realized_units, worth_units - cost_units AS unrealized_units, fees AS fee_units, last_ticks
FROM (SELECT *, {_UNITS.format("cost")} AS cost_units,
        {_UNITS.format("realized")} AS realized_units,
        {_UNITS.format("lots * coalesce(last_ticks, 0)")} AS worth_units
    FROM (SELECT h.*, nullif(l.price_ticks, 0) AS last_ticks, i.quote, i.price_scale,
            i.quantity_scale, i.quote_scale,
            10::numeric ^ greatest(0, i.price_scale + i.quantity_scale - i.quote_scale)
                AS scale_down,
            10::numeric ^ greatest(0, i.quote_scale - i.price_scale - i.quantity_scale)
                AS scale_up
        FROM holdings AS h LEFT JOIN last_prices AS l USING (symbol)
        LEFT JOIN instruments AS i ON i.symbol = h.symbol AND i.since_seq = (
            SELECT max(since_seq) FROM instruments WHERE symbol = h.symbol)) AS held) AS counted"""
BALANCES = """CREATE OR REPLACE VIEW balances AS
SELECT account, asset, scaled(available_units, scale) AS available,
    scaled(reserved_units, scale) AS reserved,
    scaled(available_units::numeric + reserved_units, scale) AS total,
    seq AS updated_seq, scale, available_units, reserved_units FROM account_balances"""
# What can be traded now, and who has been given an account: by `seed-market`, `fund`, a sign-up.
MARKETS = """CREATE OR REPLACE VIEW markets AS
SELECT symbol, base, quote, tick_size, lot_size, maker_fee_bps, taker_fee_bps, price_scale,
    quantity_scale, base_scale, quote_scale, since_seq FROM instruments WHERE until_seq IS NULL"""
ACCOUNTS = """CREATE OR REPLACE VIEW accounts AS
SELECT account, min(seq) AS since_seq, min(time) AS since FROM operator_actions
WHERE action = 'CREATE' AND outcome = 'COMMAND_DONE' GROUP BY account"""
VIEWS = {"positions": POSITIONS, "balances": BALANCES, "markets": MARKETS, "accounts": ACCOUNTS}
