"""`ledger`: what every account has, and how it came to that; read from the journal.

It only looks: it holds no lock, writes nothing, and works beside a daemon too.
"""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from oms.commands import EXIT_FAILED, EXIT_OK, Parsers, looking, say, venue_of
from oms.exchange.ledger import FEE_ACCOUNT, OUTSIDE, Ledger, Posting
from oms.flow.journal import Fold
from oms.money import to_text
from oms.stores.sqlite import PersistentStorage

SCALE_UNKNOWN = 8  # of an asset that is no longer configured
DESCRIPTION = """\
Lists what every account has: available, reserved for open orders, in total. With ACCOUNT,
each of its movements too, from the journal: at which sequence, how much, with whom, why; and
whether all movements of all accounts add up to what they have (exit code 1 if not). Every
movement is entered twice, with opposite signs: "outside" is where deposits come from,
"trades" what fills go through."""


def add_to(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    parser = parsers.add_parser(
        "ledger",
        help="what every account has, and how it came to that",
        description=DESCRIPTION,
        parents=[common],
    )
    parser.add_argument("account", metavar="ACCOUNT", nargs="?", default="")
    parser.add_argument("--json", action="store_true", help="as one JSON object; amounts are text")
    parser.set_defaults(command=looking(ledger))


class PostingFold(Fold):
    """A fold whose ledger keeps its postings."""

    def reset(self) -> None:
        super().reset()
        self.desk.ledger.postings = []


@dataclass(slots=True)
class Statement:
    """What one refold gives: an account's postings, and the sums of all of them."""

    ledger: Ledger
    postings: list[Posting] = field(default_factory=list)
    sums: dict[tuple[str, str], int] = field(default_factory=dict)
    turnover: dict[str, list[int]] = field(default_factory=dict)  # debits, credits of an asset

    def add(self, posting: Posting, account: str) -> None:
        key = (posting.account, posting.asset)
        self.sums[key] = self.sums.get(key, 0) + posting.amount
        self.turnover.setdefault(posting.asset, [0, 0])[posting.amount > 0] += abs(posting.amount)
        if posting.account == account:
            self.postings.append(posting)

    def mistakes(self) -> Iterator[str]:
        """Where debits, credits, balances and deposits do not say the same."""
        for asset, (debits, credits) in self.turnover.items():
            if debits != credits:
                yield f"{asset}: debits {debits}, credits {credits}"
            paid_in = -self.sums.get((OUTSIDE, asset), 0)
            if paid_in != self.ledger.paid_in.get(asset, 0):
                yield f"{asset}: {paid_in} came from outside, paid in {self.ledger.paid_in}"
        for account, balances in self.ledger.accounts.items():
            for asset, balance in balances.items():
                posted = self.sums.get((account, asset), 0)
                if posted != sum(balance):
                    yield f"{account} {asset}: postings {posted}, balance {sum(balance)}"

    def text(self, asset: str, amount: int) -> str:
        return to_text(amount, self.ledger.scales.get(asset, SCALE_UNKNOWN))


def ledger(args: argparse.Namespace, store: PersistentStorage) -> int:
    """Print the balances; 1 if the account is not there, or something does not add up."""
    fold = PostingFold(venue_of(store))
    statement = Statement(fold.desk.ledger)
    for _ in fold.recover(store, use_snapshot=False):
        statement.ledger = fold.desk.ledger
        for posting in statement.ledger.postings or ():
            statement.add(posting, args.account)
        statement.ledger.postings = []
    if args.account and args.account not in statement.ledger.accounts:
        say(f"{args.account}: no such account")
        return EXIT_FAILED
    mistakes = list(statement.mistakes())
    if args.json:
        print(json.dumps(_as_json(statement, args.account, mistakes)))
    else:
        print("\n".join(_lines(statement, args.account, mistakes)))
    return EXIT_FAILED if mistakes else EXIT_OK


def _shown(statement: Statement, account: str) -> Iterator[tuple[str, str, list[int]]]:
    """Account, asset and balance: of one account, or of all, by name; the fees last."""
    accounts = [account] if account else sorted(statement.ledger.accounts, key=_fees_last)
    for name in accounts:
        for asset, balance in sorted(statement.ledger.accounts[name].items()):
            yield name, asset, balance


def _fees_last(account: str) -> tuple[bool, list[tuple[bool, int, str]]]:
    """user-10 comes after user-9."""
    parts = re.findall("[0-9]+|[^0-9]+", account)
    return account == FEE_ACCOUNT, [(p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]


def _lines(statement: Statement, account: str, mistakes: list[str]) -> Iterator[str]:
    if account:
        yield f"{'sequence':>10}  {'asset':<8}{'amount':>26}  {'with':<16} why"
        for each in statement.postings:
            amount = statement.text(each.asset, each.amount)
            signed = amount if each.amount < 0 else f"+{amount}"
            yield f"{each.seq:>10}  {each.asset:<8}{signed:>26}  {each.contra:<16} {each.why}"
        yield ""
    columns = "".join(f"{name:>26}" for name in ("available", "reserved", "total"))
    yield f"{'account':<16} {'asset':<8}{columns}"
    for name, asset, balance in _shown(statement, account):
        amounts = (statement.text(asset, amount) for amount in (*balance, sum(balance)))
        yield f"{name:<16} {asset:<8}" + "".join(f"{amount:>26}" for amount in amounts)
    for asset, paid_in in sorted(statement.ledger.paid_in.items() if not account else ()):
        yield f"{'(paid in)':<16} {asset:<8}{'':>52}{statement.text(asset, paid_in):>26}"
    yield ""
    for asset, (debits, credits) in sorted(statement.turnover.items()):
        if not account or any(each.asset == asset for each in statement.postings):
            both = f"debits {statement.text(asset, debits)}, credits "
            yield f"{asset}, all accounts: {both}{statement.text(asset, credits)}"
    yield from (f"does not add up: {mistake}" for mistake in mistakes)
    if not mistakes:
        yield "adds up: every movement was entered twice, and gives the balances"


def _as_json(statement: Statement, account: str, mistakes: list[str]) -> dict[str, Any]:
    text = statement.text
    found: dict[str, Any] = {
        "balances": [
            {
                "account": name, "asset": asset, "available": text(asset, balance[0]),
                "reserved": text(asset, balance[1]), "total": text(asset, sum(balance)),
            }
            for name, asset, balance in _shown(statement, account)
        ],
        "paid_in": {a: text(a, amount) for a, amount in sorted(statement.ledger.paid_in.items())},
        "adds_up": not mistakes,
        "mistakes": mistakes,
    }  # fmt: skip
    if account:
        found["postings"] = [
            {**each._asdict(), "amount": text(each.asset, each.amount)}
            for each in statement.postings
        ]
    return found
