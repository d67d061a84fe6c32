"""`user`, `key`: who may log in at the gateways, by hand.

Flow:  arguments -> [users] -> reach -> the answer, printed
A password is read from the terminal without showing it, or is the first line of stdin; it is in no
argument, where other processes could read it. What is sent is its hash.
"""

import argparse
import getpass
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from oms.clock import SystemClock, datetime_of, utc_text
from oms.commands import AddCommand, Place, starting
from oms.commands.funds import tell
from oms.commands.reach import Teller, ask_request, new_id, reach
from oms.errors import ValidationError
from oms.gateways.wire import Told
from oms.requests import AccessAction, AccessRequest
from oms.requests.codec import to_object
from oms.requests.operators import OPERATOR
from oms.users import Role

USER = """\
Manages the users of the gateways, in the running daemon; if none runs, the change takes effect at
the next start.

add         a new user: NAME --email E, with the account NAME unless --accounts says others. The
            password is read from the terminal, or is the first line of stdin
role        what NAME may do at most: viewer, trader or operator
accounts    the accounts of NAME, as A,B,...
lock        all sessions of NAME end, keys rest, until unlock
unlock      NAME may log in again
code        print a one-time code with which NAME can set a password within 24 hours
factor-off  switch off the second factor of NAME, who has lost it
list        all users, oldest first

Exit code 1 if the request is refused, with the reason."""
KEY = """\
Lists the API keys of a user, or revokes one: at once, also for sockets that are open."""


class Work(NamedTuple):
    """An action as a request; what VALUE is, if it takes one."""

    action: AccessAction
    value: str = ""
    facts: Callable[[argparse.Namespace], dict[str, str]] = lambda _: {}


USER_ACTIONS = {
    "add": Work(AccessAction.SIGN_UP, facts=lambda args: _sign_up(args)),
    "role": Work(AccessAction.SET_ROLE, "a role", lambda args: {"role": args.value}),
    "accounts": Work(
        AccessAction.SET_USER_ACCOUNTS, "accounts", lambda args: {"accounts": args.value}
    ),
    "lock": Work(AccessAction.LOCK_USER, facts=lambda args: {"why": args.why}),
    "unlock": Work(AccessAction.UNLOCK_USER, facts=lambda args: {"why": args.why}),
    "code": Work(AccessAction.ISSUE_CODE),
    "factor-off": Work(AccessAction.FACTOR_OFF),
}
LIST, CODE, ADD = "list", "code", "add"
WITH_WHY = ("lock", "unlock")


def add_to(add: AddCommand) -> None:
    option = add("user", user, "manage users of the gateways", USER)
    starting(option)
    actions = (*USER_ACTIONS, LIST)
    option("action", metavar="ACTION", choices=actions, help=", ".join(actions))
    option("name", metavar="NAME", nargs="?", default="", help="which user")
    option("value", metavar="VALUE", nargs="?", default="", help="role, accounts: the new ones")
    option("--email", metavar="E", default="", help="add: where to write to")
    option("--role", choices=list(Role), default="", help="add: (default: trader)")
    option("--accounts", metavar="A,B", help="add: instead of the account NAME")
    option("--why", metavar="TEXT", default="", help="lock, unlock: for the record")
    option("--id", metavar="ID", default="", help="the command's own id")

    option = add("key", key, "list or revoke API keys of a user", KEY)
    starting(option)
    option("action", metavar="ACTION", choices=(LIST, "revoke"), help="list, revoke")
    option("name", metavar="NAME", help="whose keys")
    option("key", metavar="KEY", nargs="?", default="", help="revoke: the id of the key")
    option("--id", metavar="ID", default="", help="the command's own id")


def user(args: argparse.Namespace, place: Place) -> int:
    """One action, or the list."""
    from oms.gateways.gate import CODE_LIFE_NS, code_hash, new_code

    wrong = _wrong(args)
    if wrong:
        args.parser_error(wrong)
    if args.action == LIST:
        given = {"ask": "users"}
        return reach(place, lambda t: _print_all(t, given, "users", _line_of), asks=True)
    work, code = USER_ACTIONS[args.action], new_code()
    facts = work.facts(args)
    if args.action == CODE:
        ends_ns = SystemClock().wall_ns() + CODE_LIFE_NS
        facts = {"code": code_hash(code), "ends_ns": str(ends_ns)}
    what = f"{args.action} {args.name}"
    request = _request(args, work.action, facts)

    def ask_and_tell(teller: Teller) -> bool:
        done = tell(what, ask_request(teller, what, to_object(request)))
        if done and args.action == CODE:
            print(f"one-time code: {code}, until {utc_text(int(facts['ends_ns']))}")
        return done

    return reach(place, ask_and_tell)


def _request(
    args: argparse.Namespace, action: AccessAction, facts: dict[str, str]
) -> AccessRequest:
    command_id = args.id or new_id(args.command.__name__)
    return AccessRequest(
        account=OPERATOR, client_order_id=command_id, action=action, user=args.name,
        facts={name: text for name, text in facts.items() if text or name == "accounts"} or None,
    )  # fmt: skip


def _wrong(args: argparse.Namespace) -> str:
    """An option that the action does not use is a mistake."""
    word = args.action
    if (word == LIST) == bool(args.name):
        return "expected NAME with every action but list"
    wanted = USER_ACTIONS[word].value if word != LIST else ""
    if bool(wanted) != bool(args.value):
        return "expected VALUE with role and accounts, and with nothing else"
    of_add = args.email or args.role or args.accounts is not None
    if (word == ADD and not args.email) or (word != ADD and of_add):
        return "expected --email with add; --role and --accounts with nothing else"
    if args.why and word not in WITH_WHY:
        return "expected --why with lock and unlock alone"
    return ""


def _sign_up(args: argparse.Namespace) -> dict[str, str]:
    """What is wrong with name and email is told before a password is asked for."""
    from oms.gateways.passwords import hash_password

    accounts = args.name if args.accounts is None else args.accounts
    facts = {"email": args.email, "role": args.role or Role.TRADER, "accounts": accounts}
    _request(args, AccessAction.SIGN_UP, {**facts, "hash": "$"})
    return {**facts, "hash": hash_password(_password())}


def _password() -> str:
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        if not line:  # a container that was started without -i, say
            raise ValidationError("password", "nothing", "a terminal, or a first line of stdin")
        return line.rstrip("\r\n")
    password = getpass.getpass("password: ")
    if getpass.getpass("again: ") != password:
        raise ValidationError("password", "another one", "the same twice")
    return password


def key(args: argparse.Namespace, place: Place) -> int:
    """All of a user, or revoke one."""
    if (args.action == LIST) == bool(args.key):
        args.parser_error("expected KEY with revoke, and not with list")
    if args.action == LIST:
        given = {"ask": "keys", "user": args.name}
        return reach(place, lambda t: _print_all(t, given, "keys", _key_line), asks=True)
    what = f"revoke {args.key} of {args.name}"
    request = _request(args, AccessAction.REVOKE_KEY, {"key": args.key})
    return reach(place, lambda teller: tell(what, ask_request(teller, what, to_object(request))))


def _print_all(
    teller: Teller, given: dict[str, Any], name: str, line_of: Callable[[Told], str]
) -> bool:
    """Page after page."""
    after, count = "", 0
    while True:
        told = teller.ask({**given, "after": after} if after else given)
        for each in told[name]:
            print(line_of(each))
        count += len(told[name])
        if not told.get("more"):
            break
        after = told[name][-1]["name"]
    if not count:
        print("none")
    return True


def _line_of(user: Told) -> str:
    parts = [
        f"{user['name']:<20} {user['role']:<8} {user['email']}",
        f"accounts {','.join(user['accounts']) or 'none'}",
        f"sessions {user['sessions']}", f"keys {user['keys']}",
    ]  # fmt: skip
    parts += ["second factor"] if user["second_factor"] else []
    parts += [f"locked: {user['locked']}"] if user["locked"] else []
    return ", ".join(parts)


def _key_line(key: Told) -> str:
    ends = f"until {utc_text(key['ends_ns'])}" if key["ends_ns"] else "for ever"
    where = f", from {','.join(key['addresses'])}" if key["addresses"] else ""
    made = f"{datetime_of(key['created_ns']):%Y-%m-%d %H:%M:%S}"
    return f"{key['key']:<24} {key['name']}: {','.join(key['scopes'])}, made {made}, {ends}{where}"
