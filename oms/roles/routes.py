"""Routes: which group a request is for.

An order goes by its symbol; a change of one by where its order went, which its engine is asked
where this process does not know. Money goes by its asset, users to the home group. What is about
all markets goes to every group, and its answers become one.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from oms.enums import RequestType, Scope
from oms.errors import OutcomeUnknownError, TransportError, ValidationError
from oms.futures import gathered, settle, when_all, when_done
from oms.instruments import Instrument
from oms.requests import (
    AccessRequest,
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OrderRequest,
    Request,
)
from oms.responses import OrderResponse
from oms.roles.link import Link

T = TypeVar("T")

REMEMBERED_MAX = 100_000  # orders of which it is known where they went


class Routes:
    """links: by group; home: the group of users. Any thread."""

    def __init__(self, links: Mapping[str, Link], home: str) -> None:
        self._links = links
        self._home = home
        self._went: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._lock = threading.Lock()

    def group_of_symbol(self, symbol: str) -> str:
        """The home group's also of a symbol that there is not: its engine says so."""
        for group, link in self._links.items():
            if symbol in link.mirror.known:
                return group
        return self._home

    def group_of(self, request: Request) -> str:
        """As far as the request alone says; the home group's of what is about all markets. Raises
        ValidationError, and TransportError while it is not known."""
        if len(self._links) == 1 or isinstance(request, AccessRequest):
            return self._home
        if isinstance(request, FundsRequest) and request.asset:
            if request.from_group:
                return self._group_of_transfer(request)
            return self._group_of_asset(request.asset)
        if isinstance(request, OrderRequest) and request.type is not RequestType.NEW:
            named = request.orig_client_order_id
            return self._went.get((request.account, named), self._home)
        symbol = getattr(request, "symbol", "")
        if getattr(request, "scope", None) is Scope.SYMBOL:
            symbol = getattr(request, "target", "")
        return self.group_of_symbol(symbol)

    def _group_of_transfer(self, request: FundsRequest) -> str:
        """Where a step of a transfer between groups is made. Raises ValidationError."""
        arrives = request.action is FundsAction.TRANSFER_IN
        name = "to_group" if arrives else "from_group"
        group: str = getattr(request, name)
        if group not in self._links:
            raise ValidationError(name, group, "one of " + ", ".join(self._links))
        return group

    def _group_of_asset(self, asset: str) -> str:
        """The first group that trades against it by the settings, else that trades it. Of an asset
        that they do not name, another group than the home one that ever did, else the home one,
        where new markets are listed. So listing and delisting move no asset, and a deposit that is
        repeated under its id goes where it went. Raises TransportError while it is not known what
        a group ever traded."""
        found = _first({name: each.mirror.configured for name, each in self._links.items()}, asset)
        if found is not None:
            return found
        for group, link in self._links.items():
            if not link.mirror.seq:
                raise TransportError(f"group {group}: whether it has {asset} is not known yet")
        others = {
            name: tuple(each.mirror.known.values())
            for name, each in self._links.items()
            if name != self._home
        }
        return _first(others, asset) or self._home

    def likely(self, account: str, named: str | int) -> tuple[list[Link], list[str]]:
        """The groups that may have this order: one, if it is known where it went; and which were
        left out, because their engines are silent: by a client order id they need not be asked
        where another one has it. An order id may be of any group."""
        group = self._went.get((account, named)) if isinstance(named, str) else None
        if group is not None:
            return [self._links[group]], []
        heard = [each for each in self._links.values() if not each.silent]
        if isinstance(named, int) or not heard:
            return list(self._links.values()), []
        return heard, [name for name, each in self._links.items() if each not in heard]

    def submit(self, request: Request) -> "Future[OrderResponse]":
        links = self._links
        if len(links) == 1:
            return links[self._home].submit(request)
        if isinstance(request, OrderRequest):
            if request.type is RequestType.NEW:
                group = self.group_of_symbol(request.symbol)
                self._note(request.account, request.client_order_id, group)
                return links[group].submit(request)
            return self._change(request)
        if self._is_about_all(request):
            sent = {group: link.submit(request, soon=True) for group, link in links.items()}
            return _one_of(sent)
        try:
            group = self.group_of(request)
        except TransportError as error:
            outcome: Future[OrderResponse] = Future()
            settle(outcome, None, error)
            return outcome
        return links[group].submit(request)

    @staticmethod
    def _is_about_all(request: Request) -> bool:
        if isinstance(request, FundsRequest):
            return not request.asset  # an account is made in every group's ledger
        if isinstance(request, MassCancelRequest):
            return not request.symbol
        scope = getattr(request, "scope", None)
        return scope is not None and scope is not Scope.SYMBOL

    def _note(self, account: str, client_order_id: str, group: str) -> None:
        with self._lock:
            self._went[account, client_order_id] = group
            if len(self._went) > REMEMBERED_MAX:
                self._went.popitem(last=False)

    def _change(self, request: OrderRequest) -> "Future[OrderResponse]":
        """Where its order went; if that is not known, the engines are asked first."""
        account, named = request.account, request.orig_client_order_id
        group = self._went.get((account, named)) if named else None
        if group is not None:
            self._note(account, request.client_order_id, group)
            return self._links[group].submit(request)
        outcome: Future[OrderResponse] = Future()
        links, silent = self.likely(account, named or request.order_id)
        asked = {link.group: link.ask("get_order", account, named or request.order_id)
                 for link in links}  # fmt: skip

        def place(found: list[OrderResponse | None]) -> str:
            groups = [group for group, each in zip(asked, found, strict=True) if each is not None]
            return the_only(groups, named or request.order_id, silent) or self._home

        def failed(error: BaseException) -> None:
            settle(outcome, None, error)

        def send(group: str) -> None:
            self._note(account, request.client_order_id, group)
            when_done(self._links[group].submit(request), partial(settle, outcome), failed)

        when_done(gathered(list(asked.values()), place), send, failed)
        return outcome


def _first(groups: Mapping[str, Sequence[Instrument]], asset: str) -> str | None:
    """The first group that trades against the asset, else that trades it."""
    for part in ("quote", "base"):
        for group, instruments in groups.items():
            if any(getattr(each, part) == asset for each in instruments):
                return group
    return None


def the_only(
    found: Sequence[T | None], named: str | int, silent: Sequence[str] = ()
) -> T | None:  # fmt: skip
    """The one order of this name, its story, or its group. Raises ValidationError where several
    groups have one: order ids count in each group alone; TransportError where none has, and silent
    ones were not asked."""
    those = [each for each in found if each is not None]
    if len(those) > 1:
        expected = "a clientOrderId, as several groups have an order of this name"
        raise ValidationError("order_id", named, expected)
    if not those and silent:
        raise TransportError(f"group {silent[0]}: its engine is silent, and it may have the order")
    return those[0] if those else None


COUNTED = ("canceled", "cancel_requested")  # facts that add up
NO_ANSWER = (OutcomeUnknownError, TransportError)


class Joined(OrderResponse):
    """The answer to what every group was asked: a refusal if one refused, else that of the first
    group; with those of all groups that answered, and with their counts added up."""

    __slots__ = ("_answers", "_silent")

    def __init__(self, answers: Mapping[str, OrderResponse], silent: Sequence[str]) -> None:
        found = list(answers.values())
        told = next((each for each in found if each.refused), found[0])
        report, hops, times, at_once = told.made_of
        counts = {
            name: sum(int(each.facts[name]) for each in found if name in each.facts)
            for name in COUNTED
            if name in told.facts and not told.refused
        }
        if counts:
            facts = {**told.facts, **counts}
            report = report._replace(reason=", ".join(f"{k}={v}" for k, v in facts.items()))
        super().__init__(report, told.instrument, hops, times, at_once)
        self._answers = answers
        self._silent = tuple(silent)

    @property
    def answers(self) -> Mapping[str, OrderResponse]:
        return self._answers

    @property
    def silent(self) -> tuple[str, ...]:
        return self._silent


def _one_of(futures: Mapping[str, "Future[OrderResponse]"]) -> "Future[OrderResponse]":
    """By group. Where one gives no answer, what the others did is told all the same."""

    def joined() -> OrderResponse:
        errors = {name: each.exception() for name, each in futures.items() if each.exception()}
        answers = {name: each.result() for name, each in futures.items() if name not in errors}
        unknown = [each for each in errors.values() if isinstance(each, OutcomeUnknownError)]
        others = [each for each in errors.values() if not isinstance(each, NO_ANSWER)]
        first = next(iter([*others, *unknown, *errors.values()]), None)
        if first is not None and (others or not answers):
            raise first
        return Joined(answers, list(errors))

    return when_all(list(futures.values()), joined)
