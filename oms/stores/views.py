"""Views: the database in words and decimals, for whoever reads it with nothing but SQLite.

In:    the tables of schema.py. Out: one row for each order, trade, position, balance, change of the
       session and action of an operator, with exact decimals as text beside the raw whole numbers.
Nothing here costs a turn anything: a view is computed when somebody reads it.
"""

from collections.abc import Mapping

from oms.positions import AVERAGE_PLACES
from oms.reports import EXEC_TYPES, NUMBER_BITS, NUMBER_MASK, OF_CHANGES, ORD_STATUSES, REFUSALS
from oms.requests.accounts import ENDS
from oms.requests.codec import (
    ANSWER,
    BUST,
    FUNDS,
    LINK,
    MARKET,
    MASS_CANCEL,
    OPERATOR,
    PHASE,
    SESSION,
    START,
    STOP,
    TRADE_CHANGE,
)

ZEROS = "0" * 40
LIMB = 10**9
FILL = "{0}.code >= 'F' AND {0}.code < 'G'"  # FIX ExecType F
CHANGE = "{0}.code >= 'G' AND {0}.code < 'I'"  # G and H: corrections and busts


def word(code: str, place: int, codes: Mapping[str, str]) -> str:
    """The word that one character of a report's code stands for."""
    cases = " ".join(f"WHEN '{sign}' THEN '{text}'" for text, sign in codes.items())
    return f"CASE substr({code}, {place}, 1) {cases} END"


def time_of(wall_ns: str) -> str:
    """ISO 8601, UTC, with nanoseconds."""
    return (
        f"strftime('%Y-%m-%dT%H:%M:%S', {wall_ns} / 1000000000, 'unixepoch') || "
        f"printf('.%09dZ', {wall_ns} % 1000000000)"
    )


def execution_id(report_id: str) -> str:
    return f"(({report_id}) >> {NUMBER_BITS}) || '-' || (({report_id}) & {NUMBER_MASK})"


def once(result: str, **given: str) -> str:
    """A result over values that are computed once each, though it names them often.

    A subquery without a FROM of its own is not merged into the query around it (SQLite).
    """
    values = ", ".join(f"{value} AS {name}" for name, value in given.items())
    return f"(SELECT {result} FROM (SELECT {values}))"


def decimal(number: str, scale: str) -> str:
    """The shortest exact text of a number of 10**-scale; numbers may be text of any length.

    As money.to_text: 100500000 at scale 6 is 100.5.
    """
    padded = f"substr('{ZEROS}', 1, max(0, y + 1 - length(ltrim(x, '-')))) || ltrim(x, '-')"
    point = f"length({padded}) - y"
    text = (
        "CASE WHEN x IS NOT NULL THEN CASE WHEN substr(x, 1, 1) = '-' THEN '-' ELSE '' END || "
        f"rtrim(rtrim(substr({padded}, 1, {point}) || '.' || "
        f"substr({padded}, {point} + 1), '0'), '.') END"
    )
    return once(text, x=number, y=scale)


def rounded(number: str, places: str) -> str:
    """A number without its last `places` digits, half even; below 0 places: with more zeros."""
    padded = f"substr('{ZEROS}', 1, max(0, y + 1 - length(ltrim(x, '-')))) || ltrim(x, '-')"
    cut = f"length({padded}) - y"
    whole, rest = f"CAST(substr({padded}, 1, {cut}) AS INTEGER)", f"substr({padded}, {cut} + 1)"
    half = f"'5' || substr('{ZEROS}', 1, y - 1)"
    up = f"({rest} > {half} OR ({rest} = {half} AND {whole} % 2))"
    number_of = (
        f"CASE WHEN y <= 0 THEN CAST(x || substr('{ZEROS}', 1, -y) AS INTEGER) "
        f"WHEN substr(x, 1, 1) = '-' THEN -({whole} + {up}) ELSE {whole} + {up} END"
    )
    return once(number_of, x=number, y=places)


def product(one: str, other: str) -> str:
    """Two whole numbers multiplied, as text: it may leave 64 bits. The second is not negative."""
    a_high, a_low = f"(abs({one}) / {LIMB})", f"(abs({one}) % {LIMB})"
    b_high, b_low = f"({other} / {LIMB})", f"({other} % {LIMB})"
    low = f"({a_low} * {b_low})"
    middle = f"({a_low} * {b_high} + {a_high} * {b_low} + {low} / {LIMB})"
    high = f"({a_high} * {b_high} + {middle} / {LIMB})"
    return (
        f"CASE WHEN {one} < 0 THEN '-' ELSE '' END || ifnull(nullif(ltrim("
        f"printf('%d%09d%09d', {high}, {middle} % {LIMB}, {low} % {LIMB}), '0'), ''), '0')"
    )


def average(total: str, count: str, scale: str) -> str:
    """total / count at this scale and AVERAGE_PLACES more, half even, as a decimal.

    By long division, digit by digit, because the total may leave 64 bits. NULL of nothing.
    """
    digits = f"(ltrim({total}, '-') || '{'0' * AVERAGE_PLACES}')"
    step = "(rest * 10 + CAST(substr(digits, at, 1) AS INTEGER))"
    unit = 10**AVERAGE_PLACES
    up = "(2 * rest > divisor OR (2 * rest = divisor AND tail % 2))"
    return f"""CASE WHEN {count} <> 0 THEN (
    WITH RECURSIVE division(digits, divisor, at, quotient, rest) AS (
        SELECT {digits}, abs({count}), 1, '', 0
        UNION ALL
        SELECT digits, divisor, at + 1, quotient || ({step} / divisor), {step} % divisor
        FROM division WHERE at <= length(digits)),
    parts AS (
        SELECT CAST(substr(quotient, 1, length(quotient) - {AVERAGE_PLACES}) AS INTEGER) AS head,
            CAST(substr(quotient, -{AVERAGE_PLACES}) AS INTEGER) AS tail, rest, divisor
        FROM division WHERE at = length(digits) + 1),
    sums AS (
        SELECT (head + (tail + {up}) / {unit})
            || printf('%0{AVERAGE_PLACES}d', (tail + {up}) % {unit}) AS average FROM parts)
    SELECT {decimal("ltrim(average, '0')", f"({scale} + {AVERAGE_PLACES})")} FROM sums) END"""


def line_of(seq: str) -> str:
    """One line of the journal, as a JSON array."""
    return (
        f"(SELECT json_extract('[' || replace(body, char(10), ',') || ']', "
        f"'$[' || (({seq}) - first_seq) || ']') FROM journal "
        f"WHERE last_seq = (SELECT min(last_seq) FROM journal WHERE last_seq >= ({seq})) "
        f"AND first_seq <= ({seq}))"
    )


def lines_of(*kinds: str) -> str:
    """The lines of these kinds: seq, kind, line, wall_ns. Records without one are not parsed."""
    among = ", ".join(f"'{kind}'" for kind in kinds)
    holds = " OR ".join(f"instr(j.body, '[\"{kind}\"')" for kind in kinds)
    return f"""SELECT j.first_seq + e.key AS seq, json_extract(e.value, '$[0]') AS kind,
        e.value AS line, j.wall_ns AS wall_ns, j.last_seq AS turn
    FROM journal AS j, json_each('[' || replace(j.body, char(10), ',') || ']') AS e
    WHERE ({holds}) AND json_extract(e.value, '$[0]') IN ({among})"""


def instrument_at(symbol: str, seq: str) -> str:
    """Joins `instruments` as they were at a journal sequence."""
    return (
        f"LEFT JOIN instruments AS i ON i.symbol = {symbol} AND i.since_seq = "
        f"(SELECT max(since_seq) FROM instruments WHERE symbol = {symbol} AND since_seq <= {seq})"
    )


NOW = "9223372036854775807"

# Reports that are no news of the order: see reports.standing_of.
_ASIDE = ", ".join(f"'{EXEC_TYPES[kind]}'" for kind in (*OF_CHANGES, *REFUSALS))
# One row an order. DISTINCT keeps SQLite from merging the subqueries, which would read each line
# of the journal once for every use; a search by account or order still reaches the index. What
# `o` is: an order's first report is neither of a change nor of a command.
ORDER_STATES = f"""CREATE VIEW order_states AS
SELECT order_id, account, client_order_id, symbol, side, type, time_in_force,
    state, {decimal("limit_ticks", "price_scale")} AS price,
    {decimal("asked_lots", "quantity_scale")} AS quantity,
    {decimal("cumulative_lots", "quantity_scale")} AS filled,
    {decimal("leaves_lots", "quantity_scale")} AS leaves,
    {average("notional", "cumulative_lots", "price_scale")} AS average_price,
    {decimal("notional", "(price_scale + quantity_scale)")} AS notional,
    reason, {time_of("entered_ns")} AS entered, {time_of("updated_ns")} AS updated,
    limit_ticks, asked_lots AS quantity_lots, cumulative_lots, leaves_lots,
    notional AS notional_raw, entered_ns, updated_ns, updated_seq
FROM (SELECT DISTINCT *,
        nullif(ifnull((SELECT json_extract({line_of("c.request_seq")}, '$[4]') AS asked
            FROM reports AS c WHERE c.order_id = named.order_id AND c.code >= '5' AND c.code < '6'
            AND asked > 0 ORDER BY c.report_id DESC LIMIT 1), json_extract(line, '$[7]')), 0)
            AS limit_ticks,
        ifnull((SELECT json_extract({line_of("c.request_seq")}, '$[5]') AS asked
            FROM reports AS c WHERE c.order_id = named.order_id AND c.code >= '5' AND c.code < '6'
            AND asked > 0 ORDER BY c.report_id DESC LIMIT 1), json_extract(line, '$[8]'))
            AS asked_lots
    FROM (SELECT DISTINCT o.seq AS order_id, o.account AS account,
            o.client_order_id AS client_order_id, o.symbol AS symbol, o.side AS side,
            CASE WHEN o.terms = '' THEN 'LIMIT' ELSE json_extract(o.terms, '$.type') END AS type,
            CASE WHEN o.terms = '' THEN 'GTC' ELSE json_extract(o.terms, '$.tif') END
                AS time_in_force,
            {word("r.code", 2, ORD_STATUSES)} AS state,
            r.cumulative_lots AS cumulative_lots, r.leaves_lots AS leaves_lots,
            CASE WHEN r.notional = '' THEN '0' ELSE r.notional END AS notional,
            (SELECT c.reason FROM reports AS c WHERE c.order_id = o.seq
                AND (c.request_seq = c.order_id OR substr(c.code, 1, 1) NOT IN ({_ASIDE}))
                ORDER BY c.report_id DESC LIMIT 1) AS reason,
            e.wall_ns AS entered_ns, u.wall_ns AS updated_ns, u.last_seq AS updated_seq,
            i.price_scale AS price_scale, i.quantity_scale AS quantity_scale,
            {once("CASE WHEN json_extract(x, '$[0]') = 'N' THEN x END", x=line_of("o.seq"))} AS line
        FROM orders AS o
        JOIN reports AS f
            ON f.report_id = (SELECT min(report_id) FROM reports WHERE order_id = o.seq)
        JOIN reports AS r
            ON r.report_id = (SELECT max(report_id) FROM reports WHERE order_id = o.seq)
        JOIN journal AS e ON e.last_seq = f.report_id >> {NUMBER_BITS}
        JOIN journal AS u ON u.last_seq = r.report_id >> {NUMBER_BITS}
        {instrument_at("o.symbol", f"(r.report_id >> {NUMBER_BITS})")}
        WHERE o.client_order_id >= ' '
            AND substr(f.code, 1, 1) NOT IN ('9', '+', '-', 'I')) AS named)"""


def _last_change(name: str, fill: str, among: str) -> str:
    """Joins the last bust or correction, of these codes, of a fill; under a name."""
    return (
        f"LEFT JOIN reports AS {name} ON {name}.report_id = (SELECT max(c.report_id) "
        f"FROM trade_changes AS t JOIN reports AS c ON c.report_id = t.report_id "
        f"WHERE t.fill_id = {fill}.report_id AND {among})"
    )


def _fee(fill: str) -> str:
    """What a fill costs of fees: what its last correction told, less what a bust gave back."""
    return (
        f"(CAST(ifnull({fill}g.fee, {fill}.fee) AS INTEGER) + "
        f"CASE WHEN {fill}c.code >= 'H' THEN CAST({fill}c.fee AS INTEGER) ELSE 0 END)"
    )


# The two fills of a trade stand one behind the other in their turn: the taker's first, in an
# auction the buyer's. Where the second is in another file (see archives.py), its side is empty.
TRADES = f"""CREATE VIEW trades AS
SELECT {execution_id("report_id")} AS execution_id, match_number, symbol,
    {time_of("wall_ns")} AS time, aggressor,
    {decimal("price_ticks", "price_scale")} AS price,
    {decimal("lots", "quantity_scale")} AS quantity, status,
    buy_order_id, buy_account, {decimal("buy_fee_units", "quote_scale")} AS buy_fee,
    sell_order_id, sell_account, {decimal("sell_fee_units", "quote_scale")} AS sell_fee,
    {decimal("told_ticks", "price_scale")} AS traded_price,
    {decimal("told_lots", "quantity_scale")} AS traded_quantity,
    report_id, wall_ns, price_ticks, lots AS quantity_lots, told_ticks AS traded_price_ticks,
    told_lots AS traded_quantity_lots, buy_fee_units, sell_fee_units, price_scale, quantity_scale,
    quote_scale
FROM (SELECT f.report_id AS report_id, f.match_number AS match_number, o.symbol AS symbol,
        j.wall_ns AS wall_ns, CASE WHEN f.liquidity = 'TAKER' THEN o.side ELSE '' END AS aggressor,
        ifnull(fg.last_price_ticks, f.last_price_ticks) AS price_ticks,
        CASE WHEN fc.code >= 'H' THEN 0
            ELSE ifnull(fc.last_quantity_lots, f.last_quantity_lots) END AS lots,
        f.last_price_ticks AS told_ticks, f.last_quantity_lots AS told_lots,
        CASE WHEN fc.code IS NULL THEN '' WHEN fc.code < 'H' THEN 'CORRECTED' ELSE 'BUSTED' END
            AS status,
        ifnull(CASE WHEN o.side = 'BUY' THEN o.seq ELSE p.seq END, 0) AS buy_order_id,
        ifnull(CASE WHEN o.side = 'BUY' THEN o.account ELSE p.account END, '') AS buy_account,
        ifnull(CASE WHEN o.side = 'BUY' THEN {_fee("f")} ELSE {_fee("s")} END, 0) AS buy_fee_units,
        ifnull(CASE WHEN o.side = 'SELL' THEN o.seq ELSE p.seq END, 0) AS sell_order_id,
        ifnull(CASE WHEN o.side = 'SELL' THEN o.account ELSE p.account END, '') AS sell_account,
        ifnull(CASE WHEN o.side = 'SELL' THEN {_fee("f")} ELSE {_fee("s")} END, 0)
            AS sell_fee_units,
        i.price_scale AS price_scale, i.quantity_scale AS quantity_scale,
        i.quote_scale AS quote_scale
    FROM reports AS f JOIN orders AS o ON o.seq = f.order_id
    JOIN journal AS j ON j.last_seq = f.report_id >> {NUMBER_BITS}
    LEFT JOIN reports AS s ON f.match_number AND s.report_id = (SELECT min(x.report_id)
        FROM reports AS x WHERE x.report_id > f.report_id
        AND x.report_id <= (f.report_id | {NUMBER_MASK}) AND x.match_number = f.match_number
        AND {FILL.format("x")} AND (SELECT symbol FROM orders WHERE seq = x.order_id) = o.symbol)
    LEFT JOIN orders AS p ON p.seq = s.order_id
    {_last_change("fc", "f", "1")}
    {_last_change("fg", "f", "c.code < 'H'")}
    {_last_change("sc", "s", "1")}
    {_last_change("sg", "s", "c.code < 'H'")}
    {instrument_at("o.symbol", f"(f.report_id >> {NUMBER_BITS})")}
    WHERE {FILL.format("f")} AND (f.match_number = 0 OR f.liquidity = 'TAKER'
        OR (f.liquidity = 'AUCTION' AND o.side = 'BUY')))"""

POSITIONS = f"""CREATE VIEW positions AS
SELECT account, symbol, {decimal("lots", "quantity_scale")} AS quantity,
    {average("cost", "lots", "price_scale")} AS average_cost,
    {decimal("cost_units", "quote_scale")} AS cost,
    {decimal("realized_units", "quote_scale")} AS realized,
    {decimal("(worth_units - cost_units)", "quote_scale")} AS unrealized,
    {decimal("fees", "quote_scale")} AS fees, quote,
    {decimal("last_ticks", "price_scale")} AS last_price, seq AS updated_seq,
    lots AS quantity_lots, cost AS cost_raw, realized_raw, realized_units,
    worth_units - cost_units AS unrealized_units, fees AS fee_units, last_ticks
FROM (SELECT *, {rounded("cost", "places")} AS cost_units,
        {rounded("realized_raw", "places")} AS realized_units,
        {rounded("worth", "places")} AS worth_units
    FROM (SELECT h.account AS account, h.symbol AS symbol, h.seq AS seq, h.lots AS lots,
            h.cost AS cost, h.fees AS fees,
            {product("h.lots", "ifnull(l.price_ticks, 0)")} AS worth,
            h.realized AS realized_raw, nullif(l.price_ticks, 0) AS last_ticks, i.quote AS quote,
            i.price_scale AS price_scale, i.quantity_scale AS quantity_scale,
            i.quote_scale AS quote_scale,
            i.price_scale + i.quantity_scale - i.quote_scale AS places
        FROM holdings AS h LEFT JOIN last_prices AS l ON l.symbol = h.symbol
        {instrument_at("h.symbol", NOW)}))"""

BALANCES = f"""CREATE VIEW balances AS
SELECT account, asset, {decimal("available_units", "scale")} AS available,
    {decimal("reserved_units", "scale")} AS reserved,
    {decimal("(available_units + reserved_units)", "scale")} AS total,
    seq AS updated_seq, scale, available_units, reserved_units FROM account_balances"""

SESSIONS = f"""CREATE VIEW sessions AS
SELECT seq, {time_of("wall_ns")} AS time,
    CASE kind WHEN '{START}' THEN 'START' WHEN '{STOP}' THEN 'STOP' WHEN '{PHASE}' THEN 'PHASE'
        WHEN '{LINK}' THEN 'LINK ' || json_extract(line, '$[1]')
        ELSE json_extract(line, '$[1]') END AS event,
    CASE WHEN kind = '{SESSION}' THEN json_extract(line, '$[2]') END AS trading_date,
    CASE WHEN kind = '{PHASE}' THEN json_extract(line, '$[1]')
        WHEN kind = '{SESSION}' AND json_extract(line, '$[1]') = 'OPEN'
            THEN json_extract(line, '$[3]') END AS phase,
    CASE WHEN kind = '{SESSION}' AND json_extract(line, '$[1]') <> 'OPEN'
        THEN {time_of("json_extract(line, '$[3]')")} END AS opens_next, wall_ns
FROM ({lines_of(SESSION, PHASE, START, STOP, LINK)})"""

_ACTION = f"""CASE kind WHEN '{MASS_CANCEL}' THEN 'MASS_CANCEL' WHEN '{BUST}' THEN 'BUST'
        WHEN '{TRADE_CHANGE}' THEN CASE WHEN json_extract(line, '$[5][1]') THEN 'CORRECT'
            ELSE 'BUST' END
        WHEN '{ANSWER}' THEN NULL ELSE json_extract(line, '$[3]') END"""
_BUSTED = "json_extract(line, '$[4][0][0]') || '-' || json_extract(line, '$[4][0][1]')"
_FUNDS_SCALE = (
    "(SELECT scale FROM account_balances WHERE asset = json_extract(line, '$[4]') LIMIT 1)"
)
# What an action was about, and how it was set, in words: names and values of settings; of funds the
# asset and the amount, of a mass cancel symbol and side, of a bust the trade.
_NAME = f"""nullif(CASE kind WHEN '{OPERATOR}' THEN json_extract(line, '$[6]')
        WHEN '{MARKET}' THEN json_extract(line, '$[5]')
        WHEN '{FUNDS}' THEN json_extract(line, '$[4]')
        WHEN '{MASS_CANCEL}' THEN json_extract(line, '$[4]')
        WHEN '{BUST}' THEN {_BUSTED} WHEN '{TRADE_CHANGE}' THEN {_BUSTED} END, '')"""
_VALUE = f"""nullif(CASE kind WHEN '{OPERATOR}' THEN json_extract(line, '$[7]')
        WHEN '{MARKET}' THEN json_extract(line, '$[6]')
        WHEN '{FUNDS}' THEN CASE WHEN json_extract(line, '$[4]') <> '' THEN
            {decimal("json_extract(line, '$[5]')", _FUNDS_SCALE)} END
        WHEN '{MASS_CANCEL}' THEN json_extract(line, '$[5]') END, '')"""
_WHY = f"""nullif(CASE kind WHEN '{OPERATOR}' THEN json_extract(line, '$[8]')
        WHEN '{MARKET}' THEN json_extract(line, '$[7]')
        WHEN '{MASS_CANCEL}' THEN
            CASE json_type(line, '$[6]') WHEN 'text' THEN json_extract(line, '$[6]') END
        WHEN '{BUST}' THEN json_extract(line, '$[3]')
        WHEN '{TRADE_CHANGE}' THEN json_extract(line, '$[3]') END, '')"""
# The end of a transfer between groups is answered by a report about the transfer.
_IS_END = f"""kind = '{FUNDS}' AND
        json_extract(line, '$[3]') IN ({", ".join(f"'{each.value}'" for each in ENDS)})"""
# Of a request that was refused before it was looked at the entry is the answer alone.
OPERATOR_ACTIONS = f"""CREATE VIEW operator_actions AS
SELECT l.seq AS seq, {time_of("l.wall_ns")} AS time, json_extract(line, '$[1]') AS account,
    json_extract(line, '$[2]') AS client_order_id, {_ACTION} AS action,
    CASE WHEN kind = '{OPERATOR}' THEN json_extract(line, '$[4]')
        WHEN kind = '{MARKET}' THEN 'SYMBOL'
        WHEN kind = '{MASS_CANCEL}' THEN 'ACCOUNT' END AS scope,
    CASE WHEN kind = '{OPERATOR}' THEN json_extract(line, '$[5]')
        WHEN kind = '{MARKET}' THEN json_extract(line, '$[4]')
        WHEN kind = '{FUNDS}' THEN json_extract(line, '$[1]')
        WHEN kind = '{MASS_CANCEL}' THEN json_extract(line, '$[3]') END AS target,
    {_NAME} AS name, {_VALUE} AS value, {_WHY} AS why,
    {word("r.code", 1, EXEC_TYPES)} AS outcome, r.reason AS text, line AS entry, wall_ns
FROM ({lines_of(OPERATOR, MARKET, MASS_CANCEL, BUST, TRADE_CHANGE, FUNDS, ANSWER)}) AS l
LEFT JOIN reports AS r ON r.report_id = CASE WHEN {_IS_END} THEN (
        SELECT max(c.report_id) FROM reports AS c WHERE c.request_seq = l.seq
        AND c.report_id >= l.turn << {NUMBER_BITS} AND c.report_id < (l.turn + 1) << {NUMBER_BITS})
    ELSE (SELECT max(c.report_id) FROM reports AS c
        WHERE c.order_id = l.seq AND c.request_seq = l.seq) END
WHERE kind <> '{ANSWER}' OR (json_extract(line, '$[3]') = 'COMMAND_REJECTED'
    AND json_extract(line, '$[4]') = l.seq)"""

VIEWS = {
    "order_states": ORDER_STATES, "trades": TRADES, "positions": POSITIONS,
    "balances": BALANCES, "sessions": SESSIONS, "operator_actions": OPERATOR_ACTIONS,
}  # fmt: skip
