"""What clients and an operator may ask of a daemon under test, as JSON can carry it.

A wish is a list: account, client id, kind, and then
    NEW, MODIFY, CANCEL    orig, symbol, side, quantity, price, tif, and perhaps terms
    all other kinds        the keyword arguments of the request
The driver makes requests of wishes; exchange_audit.py compares them with the journal.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from oms import Config, Side, TimeInForce
from oms.config import ExchangeConfig
from oms.enums import Phase, PostOnly, Scope, SelfTrade
from oms.requests import (
    AccessAction,
    AccessRequest,
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    OrderRequest,
    OrderTerms,
    Request,
)

Wish = list[Any]
SYMBOLS = ("TATA_INR", "JIO_INR")
ASSETS = ("INR", "TATA", "JIO")
STARTING = {"INR": "15000", "TATA": "150", "JIO": "150"}  # now and then it is not enough
TICK, SPREAD_TICKS = 0.05, 8
MILLISECOND = 1_000_000
KINDS: dict[str, tuple[type[Any], dict[str, type[Any]]]] = {
    "FUNDS": (FundsRequest, {"action": FundsAction}),
    "MASS_CANCEL": (MassCancelRequest, {"side": Side}),
    "OPERATOR": (OperatorRequest, {"action": OperatorAction, "scope": Scope}),
    "ACCESS": (AccessRequest, {"action": AccessAction, "facts": dict}),
}


def with_exchange(config: Config) -> Config:
    """The same with a ledger, and fees: the maker gets one basis point, the taker pays five."""
    return replace(
        config,
        exchange=ExchangeConfig(ledger=True),
        instruments=tuple(
            replace(instrument, maker_fee_bps=-1, taker_fee_bps=5)
            for instrument in config.instruments
        ),
    )


def request_of(wish: Wish) -> Request:
    account, client_id, kind, *rest = wish
    if kind in KINDS:
        make, enums = KINDS[kind]
        said = {name: enums.get(name, str)(value) for name, value in rest[0].items()}
        return make(account=account, client_order_id=client_id, **said)  # type: ignore[no-any-return]
    orig, symbol, side, quantity, price, tif, *more = rest
    if kind == "CANCEL":
        return OrderRequest.cancel(account, client_id, orig)
    terms = _terms_of(more[0]) if more else None
    if kind == "MODIFY":
        return OrderRequest.modify(
            account, client_id, orig, price=price, quantity=quantity, terms=terms
        )
    return OrderRequest.new(
        account, client_id, symbol, Side(side), quantity, price,
        time_in_force=TimeInForce(tif), terms=terms,
    )  # fmt: skip


def _terms_of(said: dict[str, Any]) -> OrderTerms:
    enums = {"post_only": PostOnly, "self_trade": SelfTrade}
    return OrderTerms(**{name: enums.get(name, _same)(value) for name, value in said.items()})


def _same(value: Any) -> Any:
    return value


# --- what clients ask for, without end ---


def plain_wishes(chance: random.Random, account: str, prefix: object) -> Iterator[Wish]:
    """New orders near 100.00, so that many trade; changes of own recent orders."""
    mine, n = deque[str](maxlen=40), 0
    while True:
        n += 1
        client_id, dice = f"{prefix}-{n}", chance.random()
        quantity, price = chance.randint(1, 20), _price(chance)
        if dice < 0.5 and mine:
            kind = "CANCEL" if dice < 0.35 else "MODIFY"
            yield [account, client_id, kind, chance.choice(mine), "", "", quantity, price, ""]
            continue
        mine.append(client_id)
        symbol, side = chance.choice(SYMBOLS), chance.choice(("BUY", "SELL"))
        tif = chance.choice(("GTC", "GTC", "GTC", "DAY", "IOC", "FOK"))
        if dice > 0.95:
            yield [account, client_id, "NEW", "", symbol, side, quantity, None, "GTC"]
        else:
            yield [account, client_id, "NEW", "", symbol, side, quantity, price, tif]


def _price(chance: random.Random, spread_ticks: int = SPREAD_TICKS) -> str:
    return f"{100 + chance.randint(-spread_ticks, spread_ticks) * TICK:.2f}"


def funding(account: str) -> list[Wish]:
    """An account and its first money: by the same ids in every process, so once for ever."""
    deposits = [deposit(account, f"first-{asset}", asset, STARTING[asset]) for asset in ASSETS]
    return [[account, "create", "FUNDS", {"action": "CREATE"}], *deposits]


def deposit(account: str, client_id: str, asset: str, amount: str) -> Wish:
    return [
        account, client_id, "FUNDS", {"action": "DEPOSIT", "asset": asset, "amount": amount},
    ]  # fmt: skip


def set_phase(client_id: str, phase: Phase, symbol: str = "") -> Wish:
    where = {"scope": "SYMBOL", "target": symbol} if symbol else {}
    said = {"action": "SET_PHASE", "value": phase.value, **where}
    return ["operator", client_id, "OPERATOR", said]


class Trader:
    """One account that uses all that the exchange knows."""

    def __init__(self, chance: random.Random, account: str, prefix: object, others: int) -> None:
        self._chance, self._account, self._prefix = chance, account, prefix
        self._others = others
        self._mine: deque[str] = deque(maxlen=40)
        self._n = 0

    def wishes(self) -> Iterator[Wish]:
        yield from funding(self._account)
        yield self._user("SIGN_UP", email=f"{self._account}@x", hash="$1", role="trader",
                         accounts="")  # fmt: skip
        while True:
            dice = self._chance.random()
            if dice < 0.35 and self._mine:
                yield self._change()
            elif dice < 0.37:
                yield self._mass_cancel()
            elif dice < 0.42:
                yield self._money()
            elif dice < 0.43:
                yield self._user("CREATE_KEY", name="bot", scopes="read,trade", ends_ns="0")
            else:
                yield from self._orders()

    def _user(self, action: str, **facts: str) -> Wish:
        said = {"action": action, "user": self._account, "facts": facts}
        return [self._account, self._id(), "ACCESS", said]

    def _id(self) -> str:
        self._n += 1
        return f"{self._prefix}-{self._n}"

    def _change(self) -> Wish:
        chance, orig = self._chance, self._chance.choice(self._mine)
        if chance.random() < 0.6:
            return [self._account, self._id(), "CANCEL", orig, "", "", None, None, ""]
        new = [chance.randint(1, 40), _price(chance)]
        wish = [self._account, self._id(), "MODIFY", orig, "", "", *new, ""]
        # Most are no stops, and are refused for it.
        return [*wish, {"stop_price": _price(chance)}] if chance.random() < 0.1 else wish

    def _mass_cancel(self) -> Wish:
        said = self._chance.choice(({}, {"symbol": SYMBOLS[0]}, {"side": "BUY"}))
        return [self._account, self._id(), "MASS_CANCEL", said]

    def _money(self) -> Wish:
        chance, asset = self._chance, self._chance.choice(ASSETS)
        action = chance.choice(("DEPOSIT", "WITHDRAW", "TRANSFER", "TRANSFER"))
        most = 3_000 if asset == "INR" else 30
        said = {"action": action, "asset": asset, "amount": f"{chance.uniform(1, most):.8f}"}
        if action == "TRANSFER":
            said["to_account"] = f"client{chance.randrange(self._others)}"
        return [self._account, self._id(), "FUNDS", said]

    def _orders(self) -> list[Wish]:
        """One order; or an OCO pair, the stop first."""
        chance = self._chance
        symbol, side = chance.choice(SYMBOLS), chance.choice(("BUY", "SELL"))
        make: Callable[..., list[Wish]] = chance.choice(
            [self._limit] * 6 + [self._special] * 5 + [self._stop] * 3 + [self._pair, self._market]
        )
        return make(symbol, side)

    def _new(
        self, symbol: str, side: str, price: str | None, tif: str, terms: dict[str, Any]
    ) -> Wish:
        client_id = self._id()
        if price is not None or "stop_price" in terms:
            self._mine.append(client_id)  # it may still be there when something is asked of it
        if self._chance.random() < 0.2:
            terms["self_trade"] = self._chance.choice(list(SelfTrade)).value
        quantity = None if "quote_quantity" in terms else self._chance.randint(1, 20)
        wish = [self._account, client_id, "NEW", "", symbol, side, quantity, price, tif]
        return [*wish, terms] if terms else wish

    def _limit(self, symbol: str, side: str) -> list[Wish]:
        tif = self._chance.choice(("GTC", "GTC", "GTC", "DAY", "IOC", "FOK"))
        return [self._new(symbol, side, _price(self._chance), tif, {})]

    def _special(self, symbol: str, side: str) -> list[Wish]:
        """An iceberg, a maker only, one with a time or a least quantity."""
        chance, tif = self._chance, "GTC"
        terms: dict[str, Any] = chance.choice(
            (
                {"display_quantity": 2}, {"display_quantity": 1, "post_only": "SLIDE"},
                {"post_only": "REJECT"}, {"min_quantity": 3}, {"expire_ns": 0},
            )
        ).copy()  # fmt: skip
        if "expire_ns" in terms:  # soon: while it trades, or while nobody is there
            tif = "GTD"
            terms["expire_ns"] = time.time_ns() + chance.randint(10, 500) * MILLISECOND
        return [self._new(symbol, side, _price(chance), tif, terms)]

    def _market(self, symbol: str, side: str) -> list[Wish]:
        terms: dict[str, Any] = {}
        if self._chance.random() < 0.5:
            terms = {"protection_price": _price(self._chance)}
        elif side == "BUY":
            terms = {"quote_quantity": f"{self._chance.uniform(50, 2_000):.2f}"}
        return [self._new(symbol, side, None, "GTC", terms)]

    def _stop(self, symbol: str, side: str) -> list[Wish]:
        chance = self._chance
        price = _price(chance) if chance.random() < 0.5 else None
        terms = {"stop_price": _price(chance, 3 * SPREAD_TICKS)}
        return [self._new(symbol, side, price, chance.choice(("GTC", "DAY")), terms)]

    def _pair(self, symbol: str, side: str) -> list[Wish]:
        [stop] = self._stop(symbol, side)
        limit = self._new(symbol, side, _price(self._chance), "GTC", {"oco_with": stop[1]})
        return [stop, limit]


def operator_wishes(chance: random.Random, prefix: object) -> Iterator[Wish]:
    """Calls, halts, and continuous trading again: of one symbol, or of all."""
    n = 0
    while True:
        symbol = chance.choice(("", *SYMBOLS))
        call = chance.choice((Phase.OPENING_AUCTION, Phase.OPENING_AUCTION, Phase.HALTED))
        for phase in (call, Phase.CONTINUOUS):
            n += 1
            yield set_phase(f"{prefix}-{n}", phase, symbol)
