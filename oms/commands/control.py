"""`order`, `cancel`, `modify`, `mass-cancel`, `orders`, `trades`, `positions`, ...: by hand.

Flow:  arguments -> [control] -> request or question, as an object -> reach -> the answer, printed
Owner: MainThread. Requests are made and checked by their own classes, before anything is sent.
"""

import argparse
import json
from collections.abc import Callable

from oms.clock import datetime_of, utc_text
from oms.commands import (
    EXIT_FAILED,
    EXIT_NOT_RUNNING,
    EXIT_OK,
    AddCommand,
    AddOption,
    Place,
    instant,
    say,
    whole_number,
)
from oms.commands.reach import Teller, ask_request, new_id, reach, running_daemon
from oms.enums import OrderType, PostOnly, SelfTrade, Side, TimeInForce
from oms.errors import GatewayError
from oms.gateways.wire import Told
from oms.requests import MassCancelRequest, OrderRequest, OrderTerms, Request
from oms.requests.codec import to_object

ROWS_MAX = 1_000
SIDES = [side.value.lower() for side in Side]
ORDER = """\
Places an order, and prints how it stands at once: the order, then each trade. LIMIT with
a PRICE, MARKET without; with --stop-price STOP_LIMIT or STOP. The daemon of the data directory
takes it; if none runs, an order manager is started for it. --dry-run checks the order and
places nothing. The same --id with the same content is placed once, however often it is sent.
Exit code 1 if the order is refused, with the reason."""
CANCEL = """\
Cancels what is open of one order, named by a client order id it has had or by --order-id."""
MODIFY = """\
Changes price, total quantity, stop price or displayed quantity of an open order, named by a
client order id it has had or by --order-id. A quantity is the new total, fills included."""
MASS_CANCEL = """\
Cancels all open orders of an account, of one symbol or one side if given; with --everybody, for
the account "operator" alone, of all accounts."""
ORDERS = """\
Lists the open orders of an account, oldest first; with ORDER, how that one stands, open or not:
named by a client order id it has had or by --order-id."""
TRADES = """\
Lists the latest trades of a symbol, or of all, oldest first, with both accounts, the aggressor
and the fees; with --account those of one account. As they stand: a busted trade is marked and
has no quantity, a corrected one has its new price and quantity. `explain order N`, or `explain ID`
with the execution id at the end of the line, tells the story. --before ID goes further back."""
POSITIONS = """\
Lists what an account holds of each symbol it has traded: quantity, average cost, realized profit,
unrealized profit at the last price, fees; then the sums by quote asset. docs/database.md says how
they are reckoned."""
CANDLES = """\
Lists the candles of a symbol, of one minute or another --width from 1s to 1d: open, high, low,
close, volume, volume in the quote asset, volume-weighted average price, trades. A day begins at
midnight in the session's time zone; an interval without a trade has no line. Busted and corrected
trades count as they stand now; "changed" counts those of the interval. By default the last 100
intervals; with --start the first ones from then on."""
STATISTICS = """\
Shows the statistics of a symbol over the last 24 hours, or the 24 hours before --end: open, high,
low, last, change, volume, volume in the quote asset, volume-weighted average price, trades."""
DEPTH = """\
Shows the best price levels of a symbol: bids on the left, asks on the right."""
WATCH = """\
Prints what the daemon publishes as JSON lines, from now on until Ctrl-C: {"report": ...} for
each execution report, {"market": ...} for each event of the market. --account leaves out the
reports and balances of others, --symbol all that is not of that symbol. A reader that cannot
keep up is told so and left (exit code 1). Exit code 3 if no daemon runs."""


def add_to(add: AddCommand) -> None:
    _add_order(add)
    for name, command, brief, text in (
        ("cancel", cancel, "cancel an order", CANCEL),
        ("modify", modify, "change an order", MODIFY),
    ):  # fmt: skip
        option = add(name, command, brief, text)
        option("account", metavar="ACCOUNT")
        option("order", metavar="ORDER", nargs="?", default="", help="a client order id it has had")
        option("--order-id", metavar="N", type=whole_number(1), default=0, help="instead of ORDER")
        if command is modify:
            for word in ("price", "quantity", "stop-price", "display-quantity"):
                option(f"--{word}", metavar="V", help="the new one")
        _add_id(option)

    option = add("mass-cancel", mass_cancel, "cancel all orders of an account", MASS_CANCEL)
    option("account", metavar="ACCOUNT")
    option("--symbol", metavar="S", default="", help="of this symbol alone")
    option("--side", choices=SIDES, type=str.lower, help="of this side alone")
    option("--everybody", action="store_true", help='of all accounts; ACCOUNT is "operator"')
    option("--why", metavar="TEXT", default="", help="for the record")
    _add_id(option)
    _add_questions(add)


def _add_order(add: AddCommand) -> None:
    option = add("order", order, "place an order", ORDER)
    option("account", metavar="ACCOUNT")
    option("symbol", metavar="SYMBOL")
    option("side", metavar="SIDE", choices=SIDES, type=str.lower, help="buy or sell")
    option("quantity", metavar="QUANTITY", help="in whole units, such as 2.5; - with a budget")
    option("price", metavar="PRICE", nargs="?", help="limit price; none: a market order")
    option("--time-in-force", choices=list(TimeInForce), type=str.upper, default="GTC")
    option("--type", choices=list(OrderType), type=str.upper, help="(default: as PRICE says)")
    option("--hold", action="store_true", help="wait for the open while the session is closed")
    option("--expire", metavar="TIME", type=instant, default=0, help="with GTD: until when")
    for word, text in (
        ("stop-price", "of a stop: what triggers it"), ("display-quantity", "of an iceberg"),
        ("min-quantity", "fill at least so much at once"), ("quote-quantity", "a buy's budget"),
        ("protection-price", "the worst price of a market order"),
    ):  # fmt: skip
        option(f"--{word}", metavar="V", help=text)
    option("--post-only", choices=list(PostOnly), type=str.lower, help="never take")
    option("--oco-with", metavar="ID", default="", help="the open stop that is its partner")
    option("--self-trade", choices=list(SelfTrade), type=str.lower)
    option("--dry-run", action="store_true", help="check the order and place nothing")
    _add_id(option)


def _add_id(option: AddOption) -> None:
    option("--id", metavar="ID", default="", help="the request's own client order id")
    option("--json", action="store_true", help="the answer as one JSON object")


def _add_questions(add: AddCommand) -> None:
    option = add("orders", orders, "the open orders of an account", ORDERS)
    option("account", metavar="ACCOUNT")
    option("order", metavar="ORDER", nargs="?", default="", help="this one alone")
    option("--order-id", metavar="N", type=whole_number(1), default=0, help="instead of ORDER")
    option("--after", metavar="N", type=whole_number(0), default=0, help="order ids above N")
    _add_limit(option)

    option = add("trades", trades, "the latest trades of a symbol or an account", TRADES)
    option("symbol", metavar="SYMBOL", nargs="?", default="")
    option("--account", metavar="A", default="", help="of this account alone")
    option("--before", metavar="ID", default="", help="trades before this execution id")
    _add_limit(option)

    option = add("positions", positions, "positions of an account, profit and loss", POSITIONS)
    option("account", metavar="ACCOUNT")
    option("--json", action="store_true", help="the answer as one JSON object")

    option = add("candles", candles, "prices and volumes by interval", CANDLES)
    option("symbol", metavar="SYMBOL")
    option("--width", metavar="W", default="1m", help="such as 1s, 5m, 4h, 1d (default: 1m)")
    option("--start", metavar="TIME", type=instant, default=0, help="from then on")
    option("--end", metavar="TIME", type=instant, default=0, help="up to then (default: now)")
    _add_limit(option)

    option = add("statistics", statistics, "prices and volume of the last 24 hours", STATISTICS)
    option("symbol", metavar="SYMBOL")
    option("--end", metavar="TIME", type=instant, default=0, help="up to then (default: now)")
    option("--json", action="store_true", help="the answer as one JSON object")

    option = add("depth", depth, "the best price levels of a symbol", DEPTH)
    option("symbol", metavar="SYMBOL")
    option("--levels", metavar="N", type=whole_number(1, ROWS_MAX), default=10)
    option("--json", action="store_true", help="the answer as one JSON object")

    option = add("watch", watch, "reports and market events as they happen", WATCH)
    option("--account", metavar="A", default="", help="reports and balances of this account alone")
    option("--symbol", metavar="S", default="", help="of this symbol alone")
    option("--no-reports", action="store_false", dest="reports", help="market events alone")
    option("--no-market", action="store_false", dest="market", help="reports alone")


def _add_limit(option: AddOption) -> None:
    option(
        "--limit", metavar="N", type=whole_number(1, ROWS_MAX), default=100,
        help="at most so many (default: 100)",
    )  # fmt: skip
    option("--json", action="store_true", help="the answer as one JSON object")


# --- requests ---


def order(args: argparse.Namespace, place: Place) -> int:
    """Place one, or only check it."""
    terms = OrderTerms(
        stop_price=args.stop_price,
        display_quantity=args.display_quantity,
        post_only=PostOnly(args.post_only) if args.post_only else None,
        expire_ns=args.expire,
        min_quantity=args.min_quantity,
        quote_quantity=args.quote_quantity,
        protection_price=args.protection_price,
        oco_with=args.oco_with,
        self_trade=SelfTrade(args.self_trade) if args.self_trade else None,
    )
    request = OrderRequest.new(
        args.account,
        args.id or new_id("order"),
        args.symbol,
        Side(args.side.upper()),
        None if args.quantity == "-" else args.quantity,
        args.price,
        order_type=OrderType(args.type) if args.type else None,
        terms=terms,
        time_in_force=TimeInForce(args.time_in_force),
        hold=args.hold,
    )
    if not args.dry_run:
        return _send(args, place, request)

    def work(teller: Teller) -> bool:
        told = teller.ask({"ask": "dry_run", "of": to_object(request)})
        found = told["dry_run"]
        _show(args, told, _dry_run_lines)
        return not found["refused"]

    return reach(place, work)


def cancel(args: argparse.Namespace, place: Place) -> int:
    client_id = args.id or new_id("cancel")
    request = OrderRequest.cancel(args.account, client_id, args.order, order_id=args.order_id)
    return _send(args, place, request)


def modify(args: argparse.Namespace, place: Place) -> int:
    terms = OrderTerms(stop_price=args.stop_price, display_quantity=args.display_quantity)
    client_id = args.id or new_id("modify")
    request = OrderRequest.modify(
        args.account, client_id, args.order, order_id=args.order_id, price=args.price,
        quantity=args.quantity, terms=terms,
    )  # fmt: skip
    return _send(args, place, request)


def mass_cancel(args: argparse.Namespace, place: Place) -> int:
    request = MassCancelRequest(
        account=args.account,
        client_order_id=args.id or new_id("mass-cancel"),
        symbol=args.symbol,
        side=Side(args.side.upper()) if args.side else None,
        everybody=args.everybody,
        why=args.why,
    )
    return _send(args, place, request)


def _send(args: argparse.Namespace, place: Place, request: Request) -> int:
    """One request, and its answer; the exit code."""
    what = args.command.__name__.replace("_", "-")
    given = to_object(request)

    def work(teller: Teller) -> bool:
        told = ask_request(teller, what, given)
        refused: bool = told["response"]["refused"]
        if refused and not args.json:
            say(f"{what}, id {request.client_order_id}: refused: {told['response']['text']}")
        else:
            _show(args, told, lambda told: _response_lines(what, told))
        return not refused

    return reach(place, work)


def _response_lines(what: str, told: Told) -> list[str]:
    response: Told = told["response"]
    head = f"{what}, id {response['client_order_id']}: "
    if "state" not in response:  # about no single order
        return [head + response["text"]]
    lines = [head + standing(response)]
    lines += [
        f"  {each['last_quantity']} at {each['last_price']}" for each in told.get("trades", ())
    ]
    if len(lines) - 1 < told.get("trades_count", 0):
        lines.append(f"  and more: {told['trades_count']} trades in all")
    return lines


def standing(report: Told) -> str:
    """How an order stands, in words."""
    parts = [f"order {report['order_id']} {report['state']}"]
    if "filled" in report:
        at = f" at {report['average_price']}" if "average_price" in report else ""
        parts += [f"filled {report['filled']}{at}", f"open {report['open']}"]
    text = f": {report['text']}" if "text" in report else ""
    return ", ".join(parts) + text


def _dry_run_lines(told: Told) -> list[str]:
    found = told["dry_run"]
    if found["refused"]:
        return [f"would be refused: {found['text']}"]
    reserves = f", reserving {found['reserved']} {found['asset']}" if found["asset"] else ""
    return [f"would be accepted{reserves}"]


# --- questions ---


def orders(args: argparse.Namespace, place: Place) -> int:
    """The open ones; or how one stands, 1 if there is none such."""
    name = args.order_id or args.order
    if name:
        given = {"ask": "order", "account": args.account, "order": name}
    else:
        given = {
            "ask": "orders", "account": args.account, "after": args.after, "limit": args.limit,
        }  # fmt: skip
    return _ask(args, place, given, _order_lines)


def _order_lines(told: Told) -> list[str]:
    found: list[Told] = told["orders"] if "orders" in told else [told["order"] or {}]
    if not any(found):
        return ["none"]
    rows: list[str] = [
        f"{each['client_order_id']:<20} {each['symbol']:<12} {each['side']:<4} {standing(each)}"
        for each in found
    ]
    more = [f"and more: --after {found[-1]['order_id']}"] if told.get("more") else []
    return rows + more


def trades(args: argparse.Namespace, place: Place) -> int:
    given = {
        "ask": "trades", "symbol": args.symbol, "account": args.account, "before": args.before,
        "limit": args.limit,
    }  # fmt: skip
    return _ask(args, place, given, _trade_lines)


def _trade_lines(told: Told) -> list[str]:
    return [
        f"{datetime_of(each['wall_ns']):%Y-%m-%d %H:%M:%S.%f} {each['symbol']:<10} "
        f"{each['aggressor'] or 'AUCTION':<7} {each['quantity']:>12} at {each['price']:>12}  "
        f"{_party(each, 'buy')} from {_party(each, 'sell')}, fees "
        f"{each['buy_fee']} and {each['sell_fee']}  {each['execution_id']}"
        + (f"  {each['status']}" if each["status"] else "")
        for each in told["trades"]
    ] or ["none"]


def _party(trade: Told, side: str) -> str:
    """Account and order of one side: `explain order N` tells the rest."""
    account, order_id = trade[f"{side}_account"], trade[f"{side}_order_id"]
    return f"{account} (order {order_id})" if account else "-"


def candles(args: argparse.Namespace, place: Place) -> int:
    given = {
        "ask": "candles", "symbol": args.symbol, "width": args.width, "start": args.start,
        "end": args.end, "limit": args.limit,
    }  # fmt: skip
    return _ask(args, place, given, _candle_lines)


def _candle_lines(told: Told) -> list[str]:
    names = ("open", "high", "low", "close", "volume", "quote_volume", "vwap")
    head = "".join(f" {name:>14}" for name in (*names, "trades"))
    lines = [f"{'UTC':<19}{head}"]
    for each in told["candles"]:
        figures = "".join(f" {each[name] or '-':>14}" for name in names)
        changed = f"  {each['changed']} changed" if each["changed"] else ""
        start = f"{datetime_of(each['start_ns']):%Y-%m-%d %H:%M:%S}"
        lines.append(f"{start}{figures} {each['count']:>14}{changed}")
    if told["more"]:
        last = utc_text(told["candles"][-1]["end_ns"])
        lines.append(f"and more: --start {last}")
    return lines if told["candles"] else ["none"]


def statistics(args: argparse.Namespace, place: Place) -> int:
    given = {"ask": "statistics", "symbol": args.symbol, "end": args.end}
    return _ask(args, place, given, _statistics_lines)


def _statistics_lines(told: Told) -> list[str]:
    found: Told = told["statistics"]
    span = f"{utc_text(found['start_ns'])} to {utc_text(found['end_ns'])}"
    names = ("open", "high", "low", "last", "change", "volume", "quote_volume", "vwap")
    rows = [f"{name:<13} {'-' if found[name] is None else found[name]}" for name in names]
    changed = f", {found['changed']} busted or corrected since" if found["changed"] else ""
    return [f"{found['symbol']}, {span}", *rows, f"{'trades':<13} {found['count']}{changed}"]


def positions(args: argparse.Namespace, place: Place) -> int:
    return _ask(args, place, {"ask": "positions", "account": args.account}, _position_lines)


def _position_lines(told: Told) -> list[str]:
    if not told["positions"]:
        return ["none"]
    lines = [
        f"{'symbol':<12} {'quantity':>14} {'average cost':>16} {'realized':>16} "
        f"{'unrealized':>16} {'fees':>14}"
    ]
    lines += [
        f"{each['symbol']:<12} {each['quantity']:>14} {each['average_cost'] or '-':>16} "
        f"{each['realized']:>16} {each['unrealized']:>16} {each['fees']:>14}"
        for each in told["positions"]
    ]
    return lines + [
        f"{each['asset'] or 'in all':<12} {'':>14} {'':>16} {each['realized']:>16} "
        f"{each['unrealized']:>16} {each['fees']:>14}  net {each['net']}"
        for each in told["pnl"]
    ]


def depth(args: argparse.Namespace, place: Place) -> int:
    given = {"ask": "depth", "symbol": args.symbol, "levels": args.levels}
    return _ask(args, place, given, _depth_lines)


def _depth_lines(told: Told) -> list[str]:
    found = told["depth"]
    bids, asks = found["bids"], found["asks"]
    lines = [f"{found['symbol']}{', ' + found['phase'] if found['phase'] else ''}"]
    for n in range(max(len(bids), len(asks))):
        bid = f"{bids[n][1]:>14} at {bids[n][0]:>12}" if n < len(bids) else " " * 30
        ask = f"{asks[n][0]:<12} for {asks[n][1]}" if n < len(asks) else ""
        lines.append(f"{bid}  |  {ask}".rstrip())
    return lines if len(lines) > 1 else [f"{lines[0]}: empty"]


def _ask(
    args: argparse.Namespace, place: Place, given: Told, lines_of: Callable[[Told], list[str]]
) -> int:
    """One question, and its answer; 1 if there is no such order."""

    def work(teller: Teller) -> bool:
        told = teller.ask(given)
        _show(args, told, lines_of)
        return told.get("order", True) is not None

    return reach(place, work, asks=True)


def _show(args: argparse.Namespace, told: Told, lines_of: Callable[[Told], list[str]]) -> None:
    for line in [json.dumps(told)] if args.json else lines_of(told):
        print(line)


def watch(args: argparse.Namespace, place: Place) -> int:
    """Print what comes, until Ctrl-C or the daemon's end."""
    try:
        daemon = running_daemon(place)
    except GatewayError as error:
        say(str(error))
        return EXIT_NOT_RUNNING
    with daemon:
        daemon.ask(
            {
                "ask": "watch", "account": args.account, "symbol": args.symbol,
                "reports": args.reports, "market": args.market,
            }
        )  # fmt: skip
        while True:
            try:
                line = daemon.receive_line(None)
            except GatewayError:  # it stopped
                return EXIT_OK
            assert line is not None  # it waits for ever
            if line.startswith(b'{"error"'):
                say(json.loads(line)["error"]["text"])
                return EXIT_FAILED
            # As it came, and flushed only when nothing more has come: it has to keep up.
            print(line.decode("ascii"), flush=not daemon.has_line)
