"""`fund`, `operator`: money and control of a daemon that does not run.

Flow:  arguments -> [funds] -> App, OrderManagement -> the answer, printed
They start the order manager, ask one thing of it, and stop it again; a process that runs on
the data directory meanwhile is named.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from oms.app import App
from oms.commands import (
    EXIT_FAILED,
    Command,
    Parsers,
    Place,
    ask,
    say,
)
from oms.commands.live import tell_failure
from oms.controls import (
    FundsAction,
    FundsRequest,
    OperatorAction,
    OperatorRequest,
    Request,
)
from oms.desk.operator_desk import ACCOUNT_SETTINGS
from oms.manager import OrderManagement
from oms.messages import RejectReason, ResponseType, Scope, Trading
from oms.reports import OrderResponse

FUND = """\
Pays money into an account, out of it (--withdraw) or over to another one (--to), and prints
what the account has then. For a data directory whose daemon does not run, and a config.ini
with [exchange] ledger = yes. --create opens the account first, if it is not there; without
ASSET and AMOUNT that is all.

The same --id with the same content moves nothing a second time, and is answered as the first
time. Without --id it gets a new one, which is printed. Exit code 1 if it is refused, with
the reason."""
OPERATOR = """\
Does what an operator does, for a data directory whose daemon does not run; it holds from its
next start on. A daemon that runs takes the same commands through the library:
execute(Kill(...)), and so on.

halt     no new orders: of an account, or of everybody; a symbol stops trading
reduce   only what makes a position smaller: of an account, a symbol, or everybody
resume   trading goes on
kill     halt, and cancel what is open; stays until release
release  the same as resume
phase    put a symbol's market, or all, into the phase --value, such as OPENING_AUCTION, in
         trading hours; the calendar moves it on, but for HALTED
limits   set a risk limit of config.ini by --name and --value; an empty value gives the
         configured one back. Without --scope it is every account's.
account  set --name tier or stp_group of --scope account NAME to --value; empty: as configured
bust     take a trade back, named by the EXECUTION_ID of either side"""
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
}
NAMED = ("limits", "account")


def add_to(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    def add(name: str, command: Command, brief: str, text: str) -> Callable[..., Any]:
        parser = parsers.add_parser(name, help=brief, description=text, parents=[common])
        parser.set_defaults(command=command, parser_error=parser.error)
        add_argument: Callable[..., Any] = parser.add_argument
        return add_argument

    option = add("fund", fund, "pay money into an account, out of it, or over", FUND)
    option("account", metavar="ACCOUNT")
    option("asset", metavar="ASSET", nargs="?", default="")
    option("amount", metavar="AMOUNT", nargs="?", help="in whole units, such as 12.5")
    option("--withdraw", action="store_true", help="out of the account, instead of in")
    option("--create", action="store_true", help="open the account first")
    option("--to", metavar="OTHER", default="", help="over to this account, instead of in")
    option("--id", metavar="ID", default="", help="the command's own id, unique in the account")

    option = add("operator", operator, "halt, kill, phases, limits, trade busts", OPERATOR)
    option("action", metavar="ACTION", choices=tuple(ACTIONS), help=", ".join(ACTIONS))
    option("execution_id", metavar="EXECUTION_ID", nargs="?", default="", help="bust: the trade")
    option("--scope", nargs=2, metavar=("KIND", "TARGET"), help="account NAME, or symbol NAME")
    option("--name", metavar="N", default="", help="limits, account: which, such as tier")
    option("--value", metavar="V", default="", help="limits, account, phase: the new one")
    option("--why", metavar="TEXT", default="", help="for the record")
    option("--id", metavar="ID", default="", help="the command's own id")


# --- one request to an order manager that runs for it alone ---


def meanwhile(place: Place, work: Callable[[OrderManagement], bool]) -> int:
    """Start the order manager, work with it, stop it; 1 if `work` says that it failed."""
    # What waits to be sent goes on waiting: this stop is not the end of the daemon's day.
    config = replace(place.config, stop=replace(place.config.stop, on_stop="park"))
    app, went_well = App(config, place.directory), []
    code = app.run(lambda manager: went_well.append(work(manager)))
    tell_failure(app)
    return code if code or (went_well and went_well[0]) else EXIT_FAILED


def tell(what: str, request: Request, answer: OrderResponse) -> bool:
    """Print the answer; False if it was a refusal."""
    if answer.type is not ResponseType.COMMAND_DONE:
        say(f"{what}, id {request.client_order_id}: refused: {answer.text}")
        return False
    print(f"{what}, id {request.client_order_id}: {answer.text}")
    if answer.order_id != answer.request_seq:
        print(f"done before, as journal sequence {answer.order_id}: nothing was done again")
    return True


def fund(args: argparse.Namespace, place: Place) -> int:
    """Create, deposit, withdraw or transfer."""
    wrong = _wrong_fund(args)
    if wrong:
        args.parser_error(wrong)

    def work(manager: OrderManagement) -> bool:
        command_id = args.id or f"fund-{manager.dispatcher.fold.last_seq}"
        if args.create:
            create = FundsRequest(
                account=args.account, client_order_id=f"{command_id}-create",
                action=FundsAction.CREATE,
            )  # fmt: skip
            [answer] = ask(manager, [create])
            if answer.reason is RejectReason.ACCOUNT_EXISTS:
                print(f"create {args.account}: it is there already")
            elif not tell(f"create {args.account}", create, answer):
                return False
        if args.amount is None:
            return True
        request = _movement(args, command_id)
        what = f"{request.action.lower()} {args.amount} {args.asset}"
        [answer] = ask(manager, [request])
        return tell(f"{what}, account {args.account}", request, answer)

    _movement(args, args.id or "fund")  # what is wrong with it is told before anything starts
    return meanwhile(place, work)


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
    _command(args, "operator")  # likewise

    def work(manager: OrderManagement) -> bool:
        request = _command(args, args.id or f"operator-{manager.dispatcher.fold.last_seq}")
        [answer] = ask(manager, [request])
        return tell(args.action, request, answer)

    return meanwhile(place, work)


def _command(args: argparse.Namespace, command_id: str) -> OperatorRequest:
    action, value = ACTIONS[args.action]
    kind, target = args.scope or ("all", "")
    if kind.upper() not in list(Scope) or (kind == "all") != (target == ""):
        args.parser_error(f"--scope: expected account NAME or symbol NAME, was {kind} {target}")
    scope = Scope(kind.upper())
    wrong = _wrong_command(args, scope)
    if wrong:
        args.parser_error(wrong)
    given = args.value.upper() if action is OperatorAction.SET_PHASE else args.value
    return OperatorRequest(
        client_order_id=command_id, action=action, scope=scope, target=target,
        name=args.name or args.execution_id, value=value or given, why=args.why,
    )  # fmt: skip


def _wrong_command(args: argparse.Namespace, scope: Scope) -> str:
    """An option that the action would not look at is a mistake, not a detail."""
    word = args.action
    if (word in NAMED) != (args.name != "") or (args.value and word not in (*NAMED, "phase")):
        return "expected --name and --value with limits and account, and with nothing else"
    if (word == "bust") != (args.execution_id != ""):
        return "expected EXECUTION_ID with bust, and with nothing else"
    if word == "bust" and scope is not Scope.ALL:
        return "expected no --scope with bust: the trade says whose it is"
    if word == "phase" and scope is Scope.ACCOUNT:
        return "expected --scope symbol NAME, or none, with phase"
    if word == "account" and (scope is not Scope.ACCOUNT or args.name not in ACCOUNT_SETTINGS):
        names = " or ".join(ACCOUNT_SETTINGS)
        return f"expected --scope account NAME, and --name {names}, with account"
    return ""
