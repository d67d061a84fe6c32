"""Clients that record what they asked and were told, for the checker of tests/scale/linear.py.

A world is a market with accounts that trade nowhere else. Clients go from world to world, each by
whichever api, so a history falls apart into small parts. Where an outcome is unknown a client asks
the same again, under the same id, or leaves it unknown for ever.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import TimeoutError as TooLateError
from decimal import Decimal
from typing import Any, NamedTuple

from oms import OrderRequest
from oms.errors import OutcomeUnknownError, StoppedError, TransportError
from oms.requests import FundsAction, FundsRequest
from oms.roles.remote import RemoteOrders
from tests.scale.linear import NEVER, UNTOLD, Call
from tests.scale.processes import Role
from tests.scale.twin import Cancel, Look, Owned, Place, Transfer
from tests.web.clients import BROKEN
from tests.web.served import Session

AGAIN_S = 0.03
GIVE_UP_S = 40.0
ANSWER_S_MAX = 10.0
PLAY = 1_000_000  # of each asset, in each account
NOTHING = "nothing was done"  # in place of an answer: not taken, and never will be
UNKNOWN = "unknown"
UNKNOWN_MAX = 3
"""Calls of a world whose outcome stays unknown for ever. Each may have taken effect at any time or
never, and so doubles what the checker may have to try; see linear.STEPS_MAX."""


class World(NamedTuple):
    """accounts: each owns PLAY of both assets at first. placed: account and name of all orders
    that any client asked for, the latest last. may_stay_unknown: as often as a client can acquire
    it, it may leave an outcome unknown."""

    symbol: str
    accounts: tuple[str, ...]
    placed: list[tuple[str, str]]
    may_stay_unknown: threading.Semaphore

    @classmethod
    def of(cls, number: int, accounts: int = 2) -> "World":
        names = tuple(f"w{number}u{each}" for each in range(accounts))
        return cls(f"W{number}_USD", names, [], threading.Semaphore(UNKNOWN_MAX))

    @property
    def paid_in(self) -> dict[tuple[str, str], int]:
        return {(name, asset): PLAY for name in self.accounts for asset in self.symbol.split("_")}


class Told(NamedTuple):
    """answer: the twin's form, or NOTHING, or UNKNOWN. repeated: the request was known."""

    answer: Any
    repeated: bool = False


Door = Callable[[Any], Told]


class Client:
    """A thread that asks for `count` things in each world, of a door by chance. share: of all that,
    how much it may ask for by now."""

    def __init__(
        self, name: str, worlds: Iterable[World], doors: list[Door], count: int, seed: int,
        stays_unknown: float = 0.4,
    ) -> None:  # fmt: skip
        self.name, self.doors, self.count = name, doors, count
        self.worlds = list(worlds)
        self.calls: list[Call] = []
        self.unknown = self.again = 0
        self.share = 1.0
        self.failure: BaseException | None = None
        self._chance, self._stays_unknown = random.Random(seed), stays_unknown
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Client":
        self._thread.start()
        return self

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            for world in self.worlds:
                number, until = 0, len(self.calls) + self.count
                while len(self.calls) < until:
                    if len(self.calls) > self.share * self.count * len(self.worlds):
                        time.sleep(AGAIN_S)
                        continue
                    number += 1
                    self._ask(world, self._wish(world, number))
        except BaseException as error:
            self.failure = error

    def _wish(self, world: World, number: int) -> Any:
        chance = self._chance
        account, other = chance.sample(world.accounts, 2)
        name, (base, quote) = f"{self.name}-{number}", world.symbol.split("_")
        owner, placed = chance.choice(world.placed[-5:] or [(account, "nothing")])
        kind = chance.random()
        if kind < 0.4:
            world.placed.append((account, name))
            side, quantity = chance.choice(("BUY", "SELL")), chance.randint(1, 7) * 1_000
            return Place(account, name, world.symbol, side, quantity, 100 + chance.randint(-3, 3))
        if kind < 0.55:
            return Cancel(owner, f"{name}c", world.symbol, placed)
        if kind < 0.75:
            return Look(owner, world.symbol, placed)
        if kind < 0.88:
            return Owned(account, world.symbol)
        asset = chance.choice((base, quote))
        return Transfer(account, f"{name}t", other, asset, chance.randint(1, 4) * 100_000)

    def _ask(self, world: World, asked: Any) -> None:
        """Until it is answered, or left unknown."""
        begun = last = time.monotonic()
        unknown, deadline = False, begun + GIVE_UP_S
        while True:
            told = self._chance.choice(self.doors)(asked)
            ended = time.monotonic()
            if told.answer == UNKNOWN:
                unknown = True
                self.unknown += 1
            elif told.answer != NOTHING:
                break
            if not unknown:
                time.sleep(AGAIN_S)
                return  # it was not taken, and never comes
            leave = self._chance.random() < self._stays_unknown
            if leave and (asked.reads or world.may_stay_unknown.acquire(blocking=False)):
                self._note(asked, None, begun, NEVER)
                return
            assert ended < deadline, f"{asked}: no answer in {GIVE_UP_S:g} s"
            time.sleep(AGAIN_S)
            self.again += 1
            last = time.monotonic()
        if isinstance(asked, Place) and told.repeated:
            # It was taken at some time before; what is told now is how it stands.
            self._note(asked, UNTOLD, begun, ended)
            self._note(Look(asked.account, asked.symbol, asked.name), told.answer, last, ended)
        else:
            self._note(asked, told.answer, begun, ended)

    def _note(self, asked: Any, answer: Any, begun: float, ended: float) -> None:
        self.calls.append(Call(self.name, asked, answer, begun, ended))


# --- doors ---


def remote_door(remote: RemoteOrders) -> Door:
    """An api in the test's own process, without HTTP."""

    def ask(asked: Any) -> Told:
        try:
            return _remote(remote, asked)
        except (OutcomeUnknownError, TooLateError):
            return Told(UNKNOWN)
        except (TransportError, StoppedError):
            return Told(NOTHING)

    return ask


def _remote(remote: RemoteOrders, asked: Any) -> Told:
    match asked:
        case Look(account, _, order):
            found = remote.get_order(account, order)
            if found is None:
                found = remote.find_order(account, order).result(ANSWER_S_MAX)
            return Told(found and (str(found.state), int(found.cumulative_quantity)))
        case Owned(account, symbol):
            owned = remote.balances(account)
            return Told(tuple(
                tuple(map(int, owned.get(asset, (0, 0)))) for asset in symbol.split("_")
            ))  # fmt: skip
    response = remote.submit(request_of(asked)).result(ANSWER_S_MAX)
    if response.refused and not response.journal_seq:
        return Told(NOTHING)
    if isinstance(asked, Place):
        filled = int(response.cumulative_quantity)
        return Told((str(response.state), filled), response.repeated)
    if isinstance(asked, Cancel):
        done = not response.refused
        return Told((done, int(response.cumulative_quantity) if done else 0), response.repeated)
    return Told(not response.refused, response.repeated)


def request_of(asked: Place | Cancel | Transfer) -> OrderRequest | FundsRequest:
    match asked:
        case Place(account, name, symbol, side, quantity, price):
            return OrderRequest.new(account, name, symbol, side, quantity, price)
        case Cancel(account, name, _, order):
            return OrderRequest.cancel(account, name, order)
        case Transfer(account, name, to_account, asset, amount):
            return FundsRequest(
                account=account, client_order_id=name, action=FundsAction.TRANSFER, asset=asset,
                amount=amount, to_account=to_account,
            )  # fmt: skip


def http_door(api: Role, tokens: dict[str, str], timeout_s: float = 3.0) -> Door:
    """An api as a process. tokens: by account."""

    def ask(asked: Any) -> Told:
        try:
            session = Session(api.url, tokens[asked.account], timeout_s)
            try:
                return _http(session, asked)
            finally:
                session.close()
        except ConnectionRefusedError:
            return Told(NOTHING)
        except BROKEN:
            return Told(UNKNOWN)

    return ask


def _http(session: Session, asked: Any) -> Told:
    answer = session.ask(*_said(asked))
    repeated = answer.headers.get("idempotency-replayed") == "true"
    if answer.status == 504:
        return Told(UNKNOWN)
    if answer.status in (429, 503):
        return Told(NOTHING)
    assert answer.status < 500, answer
    told = answer.told
    match asked:
        case Owned(_, symbol):
            owned = {each["asset"]: each for each in told["balances"]}
            return Told(tuple(
                tuple(int(Decimal(owned[asset][part])) if asset in owned else 0
                      for part in ("available", "reserved"))
                for asset in symbol.split("_")
            ))  # fmt: skip
        case Look():
            return Told(None if answer.status == 404 else _standing(told))
        case Place() if answer.status == 422:
            return Told(_standing(told["order"]), repeated)
        case Place():
            assert answer.status < 300, answer
            return Told(_standing(told), repeated)
        case Cancel():
            done = answer.status < 300
            return Told((done, _standing(told)[1] if done else 0), repeated)
        case Transfer():
            assert answer.status in (200, 422), answer
            return Told(answer.status == 200, repeated)
    raise AssertionError(asked)


def _said(asked: Any) -> tuple[str, str, Any]:
    match asked:
        case Place(account, name, symbol, side, quantity, price):
            return "POST", "/order", {
                "account": account, "clientOrderId": name, "symbol": symbol, "side": side,
                "quantity": str(quantity), "price": str(price),
            }  # fmt: skip
        case Cancel(account, name, _, order):
            said = {"account": account, "clientOrderId": name, "origClientOrderId": order}
            return "DELETE", "/order", said
        case Look(_, _, order):
            return "GET", f"/order?clientOrderId={order}", None
        case Owned():
            return "GET", "/balance", None
        case Transfer(account, name, to_account, asset, amount):
            return "POST", "/balance/transfer", {
                "account": account, "clientOrderId": name, "asset": asset, "amount": str(amount),
                "toAccount": to_account,
            }  # fmt: skip
    raise AssertionError(asked)


def _standing(told: Any) -> tuple[str, int]:
    return told["status"], int(Decimal(told["filledQuantity"]))


def opened(world: World) -> list[FundsRequest]:
    """Requests that make its accounts, with what they own at first."""
    made = [
        FundsRequest(account=account, client_order_id="made", action=FundsAction.CREATE)
        for account in world.accounts
    ]
    paid = [
        FundsRequest(
            account=account, client_order_id=f"paid-{asset}", action=FundsAction.DEPOSIT,
            asset=asset, amount=PLAY,
        )
        for account, asset in world.paid_in
    ]  # fmt: skip
    return made + paid


def whole(clients: Iterable[Client]) -> list[Call]:
    return [call for each in clients for call in each.calls]
