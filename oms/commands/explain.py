"""`explain`: the causal story of one order, from what is on disk.

Flow:  journal, order_responses -> turn/story.py -> [explain] -> lines of English
"""

import argparse
from collections.abc import Iterator

from oms.answers import Explained
from oms.clock import datetime_of
from oms.commands import EXIT_FAILED, EXIT_OK, AddCommand, folded, looking, say
from oms.stores import Store
from oms.stores.sql_store import SqlStore
from oms.turn.story import Story, Words, reports_named

DESCRIPTION = """\
Tells what happened to one order and why: the request, its checks, how long the order waited and
for what, each trade with counterparty and fee, modifies, what triggered it, how it ended, and in
which turn each step was committed. The order is named by any client order id that it has had,
also that of a modify or cancel; or by its order number, as in `explain order 8`; or by the
execution id of a report or trade (9-2), as `trades` prints it. The id of a deposit, a mass cancel
or an operator's request works, too. All times are UTC."""


def add_to(add: AddCommand) -> None:
    option = add("explain", looking(explain), "tell the story of one order", DESCRIPTION)
    option(
        "named", metavar="ID", nargs="+",
        help="an id the order had; or: order N; or an execution id, such as 9-2",
    )  # fmt: skip
    option("--account", metavar="A", help="whose id it is; needed when several accounts used it")


def explain(args: argparse.Namespace, store: SqlStore) -> int:
    """Print the story; 1 if there is none."""
    name = " ".join(args.named)
    accounts = [args.account] if args.account else _accounts(store, name)
    if len(accounts) > 1:
        say(f"{name}: used by {', '.join(accounts)}; say which with --account")
        return EXIT_FAILED
    reports = reports_named(store, name, accounts[0] if accounts else None)
    if not reports:
        whose = f" of account {args.account}" if args.account else ""
        say(f"{name}: no order{whose} has had this id")
        return EXIT_FAILED
    desk = folded(store).desk
    words = Words(desk.instruments, desk.ledger.scales)
    for line in lines_of(Story(store, reports, words).told()):
        print(line)
    return EXIT_OK


def _accounts(store: Store, name: str) -> list[str]:
    """Every account that used an id, in the order they did."""
    users = (report.account for report in store.all_reports() if report.client_order_id == name)
    return list(dict.fromkeys(users))


def lines_of(told: Explained) -> Iterator[str]:
    """As a table of two columns before the words; what came of one turn names it once."""
    yield told.heading
    yield f"{'UTC':<26}  {'journal':>9}  what happened"
    before = (0, 0)
    for step in told.lines:
        when, where = f"{datetime_of(step.wall_ns):%Y-%m-%d %H:%M:%S.%f}", str(step.seq)
        if before == (step.wall_ns, step.seq):
            when = where = ""
        yield f"{when:<26}  {where:>9}  {step.text}"
        before = (step.wall_ns, step.seq)
    yield told.ending
