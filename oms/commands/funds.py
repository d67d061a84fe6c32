"""`fund`, `operator`, `seed-market`: money, control, and instruments.

Flow:  arguments -> [funds] -> reach -> the answer, printed
What is there already is left as it is, however often a command is repeated. `seed-market`
changes settings and so is for a directory whose daemon does not run: if another process runs
there, that process is named and nothing is done.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from oms.commands import AddCommand, Place, ask, say, starting, whole_number
from oms.commands.reach import Teller, ask_request, meanwhile, new_id, reach
from oms.config import CONFIG_PATH, Config, load_config
from oms.desk.operations import ACCOUNT_SETTINGS
from oms.enums import ResponseType, Scope, Trading
from oms.errors import ConfigError, DataInUseError
from oms.gateways.wire import Told
from oms.manager import OrderManagement
from oms.reject_reasons import RejectReason
from oms.requests import FundsAction, FundsRequest, OperatorAction, OperatorRequest
from oms.requests.codec import to_object
from oms.stores.lock import held_by

FUND = """\
Pays money into an account, out of it (--withdraw) or over to another one (--to), and prints
what the account has then. Needs [exchange] ledger = yes. --create opens the account first, if
it is not there; without ASSET and AMOUNT that is all.

The same --id with the same content moves nothing a second time, and is answered as the first
time. Without --id it gets a new one, which is printed. Exit code 1 if it is refused, with
the reason."""
OPERATOR = """\
Sends an operator's request to the daemon; if none runs, it takes effect at the next start.

halt     no new orders: of an account, or of everybody; a symbol stops trading
reduce   accept only orders that reduce a position: of an account, a symbol, or everybody
resume   end a halt or a reduce
kill     halt, and cancel all open orders; stays until release
release  the same as resume
phase    put a symbol's market, or all, into the phase --value, such as OPENING_AUCTION, in
         trading hours; the calendar moves it on, but for HALTED
limits   set a risk limit of config.ini by --name and --value; an empty value gives the
         configured one back. Without --scope it is every account's; --scope group NAME: that
         of a [group NAME]
account  set --name tier or stp_group of --scope account NAME to --value; empty: as configured
bust     bust a trade, named by the EXECUTION_ID of either side
correct  correct the price or quantity of a trade: --set price=P, --set quantity=Q
list     list a symbol, --scope symbol NAME; --set KEY=VALUE for each setting that its
         [instrument] section would have. Without --set: as configured, or as it was before
delist   delist a symbol; with --value cancel its open orders are canceled, else it must have
         none
suspend  the same as halt, of a symbol; resume lets it trade again
market   change --set maker_fee_bps=, taker_fee_bps=, tick_size= or tick_table= of a symbol; of
         a tier's fees with --name TIER. An empty value gives the configured one back"""
ACTIONS = {
    "halt": (OperatorAction.SET_TRADING, Trading.HALTED.value),
    "reduce": (OperatorAction.SET_TRADING, Trading.REDUCING.value),
    "resume": (OperatorAction.SET_TRADING, Trading.ACTIVE.value),
    "release": (OperatorAction.SET_TRADING, Trading.ACTIVE.value),
    "kill": (OperatorAction.KILL, ""),
    "phase": (OperatorAction.SET_PHASE, ""),
    "limits": (OperatorAction.SET_LIMIT, ""),
    "account": (OperatorAction.SET_ACCOUNT, ""),
    "bust": (OperatorAction.BUST, ""),
    "correct": (OperatorAction.CORRECT, ""),
    "list": (OperatorAction.LIST, ""),
    "delist": (OperatorAction.DELIST, ""),
    "suspend": (OperatorAction.SET_TRADING, Trading.HALTED.value),
    "market": (OperatorAction.SET_MARKET, ""),
}
NAMED = ("limits", "account")
VALUED = (*NAMED, "phase", "delist")  # actions that take a --value
OF_TRADES = ("bust", "correct")
OF_SYMBOLS = ("list", "delist", "suspend", "market")
SET = {"correct": True, "list": False, "market": True}  # actions that take --set; do they need it?
MARKETS_MAX, USERS_MAX = 1_000, 100_000
DIGITS_MAX = 4
SYMBOL = re.compile("[A-Z0-9._-]{1,15}_[A-Z0-9.-]{1,16}")
TICK_SIZE, LOT_SIZE = "0.01", "0.0001"

SEED_MARKET = """\
Makes a market to try things on: instruments, and accounts user-1, user-2, ... with money.
For a data directory whose daemon does not run. What is there already is left as it is: a
second run changes nothing, and says so.

Instruments are sections of a config.ini, so that is where missing ones are appended, and
[exchange] ledger set to yes: in FILE with --config FILE; else in DIR/config.ini with
--data-dir DIR, which begins as a copy of the settings in use, and which every command in
DIR uses from then on. The config.ini beside the program is not touched, unless --config
names it.

Each user gets each --fund once; with another amount for the same asset it is refused (exit
code 1): see `fund` for more."""


def add_to(add: AddCommand) -> None:
    option = add("fund", fund, "pay money into an account, out of it, or over", FUND)
    starting(option)
    option("account", metavar="ACCOUNT")
    option("asset", metavar="ASSET", nargs="?", default="")
    option("amount", metavar="AMOUNT", nargs="?", help="in whole units, such as 12.5")
    option("--withdraw", action="store_true", help="out of the account, instead of in")
    option("--create", action="store_true", help="open the account first")
    option("--to", metavar="OTHER", default="", help="over to this account, instead of in")
    option("--id", metavar="ID", default="", help="the command's own id, unique in the account")

    option = add("operator", operator, "halt, kill, phases, limits, trades, markets", OPERATOR)
    starting(option)
    option("action", metavar="ACTION", choices=tuple(ACTIONS), help=", ".join(ACTIONS))
    option(
        "execution_id",
        metavar="EXECUTION_ID",
        nargs="?",
        default="",
        help="bust, correct: the trade",
    )
    option("--scope", nargs=2, metavar=("KIND", "TARGET"), help="account, symbol, group NAME")
    option(
        "--name",
        metavar="N",
        default="",
        help="limits, account: which, such as tier; market: a tier",
    )
    option("--value", metavar="V", default="", help="limits, account, phase: the new one")
    option(
        "--set", metavar="KEY=VALUE", dest="settings", type=_setting, action="append", default=[],
        help="correct, list, market: what it is to be; may be given often",
    )  # fmt: skip
    option("--why", metavar="TEXT", default="", help="for the record")
    option("--id", metavar="ID", default="", help="the command's own id")

    option = add(
        "seed-market",
        seed_market,
        "instruments and accounts with money, to try things on",
        SEED_MARKET,
    )
    starting(option)
    option(
        "--markets", metavar="N|SYMBOL,...", type=_symbols, default=[],
        help="so many, called M1_USD, M2_USD, ...; or these, such as ABC_USD,XYZ_USD",
    )  # fmt: skip
    option(
        "--users", metavar="N", type=whole_number(0, USERS_MAX), default=0,
        help="so many accounts, called user-1, user-2, ...",
    )  # fmt: skip
    option(
        "--fund", metavar="AMOUNT[:ASSET]", dest="funds", type=_fund, nargs="+", action="extend",
        default=[], help="what each user gets; of every asset that is traded, if none is named",
    )  # fmt: skip


# --- one request ---


def tell(what: str, told: Told) -> bool:
    """Print the answer to a request; False if it was a refusal."""
    answer = told["response"]
    if answer["type"] != ResponseType.COMMAND_DONE:
        say(f"{what}, id {answer['client_order_id']}: refused: {answer['text']}")
        return False
    print(f"{what}, id {answer['client_order_id']}: {answer['text']}")
    if answer["order_id"] != answer["request_seq"]:
        print(f"done before, as journal sequence {answer['order_id']}: nothing was done again")
    return True


def fund(args: argparse.Namespace, place: Place) -> int:
    """Create, deposit, withdraw or transfer."""
    wrong = _wrong_fund(args)
    if wrong:
        args.parser_error(wrong)
    command_id = args.id or new_id("fund")
    request = _movement(args, command_id)  # a mistake is told before anything starts
    create = FundsRequest(
        account=args.account, client_order_id=f"{command_id}-create", action=FundsAction.CREATE
    )

    def work(teller: Teller) -> bool:
        if args.create:
            what = f"create {args.account}"
            told = ask_request(teller, what, to_object(create))
            if told["response"].get("reason") == RejectReason.ACCOUNT_EXISTS:
                print(f"{what}: it is there already")
            elif not tell(what, told):
                return False
        if args.amount is None:
            return True
        what = f"{request.action.lower()} {args.amount} {args.asset}, account {args.account}"
        return tell(what, ask_request(teller, what, to_object(request)))

    return reach(place, work)


def _wrong_fund(args: argparse.Namespace) -> str:
    if args.withdraw and args.to:
        return "expected --withdraw or --to, not both"
    if (args.amount is None) != (args.asset == ""):
        return "expected an amount after the asset"
    if args.amount is None and (args.withdraw or args.to or not args.create):
        return "expected ASSET and AMOUNT, or --create"
    return ""


def _movement(args: argparse.Namespace, command_id: str) -> FundsRequest:
    action = FundsAction.TRANSFER if args.to else FundsAction.DEPOSIT
    action = FundsAction.WITHDRAW if args.withdraw else action
    if args.amount is None:
        action = FundsAction.CREATE
    return FundsRequest(
        account=args.account, client_order_id=command_id, action=action, asset=args.asset,
        amount=args.amount, to_account=args.to,
    )  # fmt: skip


def operator(args: argparse.Namespace, place: Place) -> int:
    """One command of an operator."""
    request = _command(args, args.id or new_id("operator"))

    def work(teller: Teller) -> bool:
        return tell(args.action, ask_request(teller, args.action, to_object(request)))

    return reach(place, work)


def _command(args: argparse.Namespace, command_id: str) -> OperatorRequest:
    action, value = ACTIONS[args.action]
    kind, target = args.scope or ("all", "")
    if kind.upper() not in list(Scope) or (kind == "all") != (target == ""):
        expected = "account NAME or symbol NAME; with limits also group NAME"
        args.parser_error(f"--scope: expected {expected}, was {kind} {target}")
    scope = Scope(kind.upper())
    wrong = _wrong_command(args, scope)
    if wrong:
        args.parser_error(wrong)
    given = args.value.upper() if action is OperatorAction.SET_PHASE else args.value
    return OperatorRequest(
        client_order_id=command_id, action=action, scope=scope, target=target,
        name=args.name or args.execution_id, value=value or given, why=args.why,
        settings=dict(args.settings) or None,
    )  # fmt: skip


def _wrong_command(args: argparse.Namespace, scope: Scope) -> str:
    """An option that the action does not use is a mistake."""
    word = args.action
    named_wrong = word != "market" and (word in NAMED) != (args.name != "")
    if named_wrong or (args.value and word not in VALUED):
        return "expected --name and --value with limits and account, and with nothing else"
    if (word in OF_TRADES) != (args.execution_id != ""):
        return "expected EXECUTION_ID with bust and correct, and with nothing else"
    if word in OF_TRADES and scope is not Scope.ALL:
        return f"expected no --scope with {word}: the trade says whose it is"
    if word in OF_SYMBOLS and scope is not Scope.SYMBOL:
        return f"expected --scope symbol NAME with {word}"
    if (args.settings and word not in SET) or (SET.get(word) and not args.settings):
        return "expected --set KEY=VALUE with correct, list and market, and with nothing else"
    if scope is Scope.GROUP and word != "limits":
        return "expected --scope group NAME with limits alone"
    if word == "phase" and scope is Scope.ACCOUNT:
        return "expected --scope symbol NAME, or none, with phase"
    if word == "account" and (scope is not Scope.ACCOUNT or args.name not in ACCOUNT_SETTINGS):
        names = " or ".join(ACCOUNT_SETTINGS)
        return f"expected --scope account NAME, and --name {names}, with account"
    return ""


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, was {text!r}")
    return key.strip(), value.strip()


# --- seed-market ---


def _symbols(text: str) -> list[str]:
    if text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX:
        if int(text) > MARKETS_MAX:
            raise argparse.ArgumentTypeError(f"expected at most {MARKETS_MAX}, was {text}")
        return [f"M{n}_USD" for n in range(1, int(text) + 1)]
    symbols = list(dict.fromkeys(filter(None, text.split(","))))
    for symbol in symbols:
        if not SYMBOL.fullmatch(symbol) or len(symbol) > 32:
            raise argparse.ArgumentTypeError(
                f"expected a number, or symbols such as ABC_USD, was {symbol!r}"
            )
    return symbols


def _fund(text: str) -> tuple[str, str]:
    """Amount and asset, "" for every asset."""
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,12})?)(?::([A-Z0-9._-]{1,16}))?", text)
    if match is None or not match[1].strip("0."):
        raise argparse.ArgumentTypeError(f"expected such as 1000 or 2.5:BTC, was {text!r}")
    return match[1], match[2] or ""


def seed_market(args: argparse.Namespace, place: Place) -> int:
    """Write what config.ini lacks; then create and fund the accounts."""
    place.directory.mkdir(parents=True, exist_ok=True)
    owner = held_by(place.database)
    if owner is not None:  # before config.ini changes under a daemon
        raise DataInUseError(f"{place.directory}: in use by process {owner}")
    known = {instrument.symbol for instrument in place.config.instruments}
    missing = [symbol for symbol in args.markets if symbol not in known]
    changed = bool(missing) or not place.config.exchange.ledger
    if changed:
        path = _writable(args, place.directory)
        place = place._replace(config=_extend(path, missing))
        print(f"{path}: ledger = yes, {len(missing):,} instruments added: {_listed(missing)}")
    print(f"markets    {len(args.markets):,}, of which {len(missing):,} new")

    def work(manager: OrderManagement) -> bool:
        created, paid, refused = _seed_users(manager, args.users, args.funds)
        print(f"users      {args.users:,}, of which {created:,} new")
        print(f"deposits   {paid:,} made now")
        if not (changed or created or paid or refused):
            print("nothing changed: all of it was there already")
        return not refused

    return meanwhile(place, work)


def _listed(symbols: list[str]) -> str:
    more = ", ..." if len(symbols) > 5 else ""
    return ", ".join(symbols[:5]) + more if symbols else "none"


# --- accounts ---


def _seed_users(
    manager: OrderManagement, users: int, funds: list[tuple[str, str]]
) -> tuple[int, int, int]:
    """How many accounts were created, deposits made, and requests refused."""
    assets = sorted({a for each in manager.config.instruments for a in (each.base, each.quote)})
    amounts = {asset: amount for amount, only in funds if not only for asset in assets}
    amounts |= {only: amount for amount, only in funds if only}  # which is said of it alone
    names = [f"user-{n}" for n in range(1, users + 1)]
    created = _count(manager, map(_create, names), RejectReason.ACCOUNT_EXISTS)
    deposits = (_deposit(name, *each) for name in names for each in amounts.items())
    paid = _count(manager, deposits, None)
    return created[0], paid[0], created[1] + paid[1]


def _create(account: str) -> FundsRequest:
    return FundsRequest(account=account, client_order_id="seed", action=FundsAction.CREATE)


def _deposit(account: str, asset: str, amount: str) -> FundsRequest:
    return FundsRequest(
        account=account, client_order_id=f"seed-{asset}", action=FundsAction.DEPOSIT,
        asset=asset, amount=amount,
    )  # fmt: skip


def _count(
    manager: OrderManagement, requests: Iterator[FundsRequest], fine: RejectReason | None
) -> tuple[int, int]:
    """How many were done just now, and refused for another reason than the one that is fine."""
    done = refused = 0
    for answer in ask(manager, requests):
        if answer.type is ResponseType.COMMAND_DONE:
            done += answer.order_id == answer.request_seq  # else it was done before
        elif answer.reason is not fine:
            refused += 1
            if refused == 1:
                say(f"account {answer.account}, id {answer.client_order_id}: {answer.text}")
    return done, refused


# --- config.ini ---


def _writable(args: argparse.Namespace, directory: Path) -> Path:
    """The file to write; ConfigError if it is nobody's but the program's own."""
    given: Path | None = getattr(args, "config", None)
    if given is not None:
        return given
    path = directory / "config.ini"
    if path.resolve() == CONFIG_PATH.resolve():
        raise ConfigError(
            [
                "seed-market writes a config.ini, and not the one the program came with: "
                "say where with --data-dir DIR or --config FILE"
            ]
        )
    return path


def _extend(path: Path, symbols: list[str]) -> Config:
    """Write the settings with a ledger and these instruments; what they are then.

    Written aside and read back first: what would not start a daemon is not put in place.
    """
    source = path if path.exists() else CONFIG_PATH
    text = _with_ledger(source.read_text(encoding="utf-8-sig"))
    for symbol in symbols:
        text += f"\n[instrument {symbol}]\ntick_size = {TICK_SIZE}\nlot_size = {LOT_SIZE}\n"
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    try:
        found = load_config(beside)
    except ConfigError as error:
        beside.unlink()
        mistakes = [mistake.replace(beside.name, path.name) for mistake in error.mistakes]
        raise ConfigError(mistakes) from None
    beside.replace(path)
    return found


def _with_ledger(text: str) -> str:
    """The same text with [exchange] ledger = yes; comments and all else stay as they are."""
    lines = text.rstrip("\n").split("\n")
    header = next((n for n, line in enumerate(lines) if line.rstrip() == "[exchange]"), None)
    if header is None:
        return "\n".join([*lines, "", "[exchange]", "ledger = yes", ""])
    for n in range(header + 1, len(lines)):
        if lines[n].startswith("["):
            break
        if re.match(r"ledger\s*=", lines[n]):
            lines[n] = "ledger = yes"
            return "\n".join([*lines, ""])
    lines.insert(header + 1, "ledger = yes")
    return "\n".join([*lines, ""])
