"""The exchange as its rules mean it, one request after the other, in whole numbers: the twin that a
history of clients is held against. It keeps orders in the order they came, and money as what each
account owns; what is reserved follows from the open orders.
"""

from typing import NamedTuple

Money = tuple[tuple[str, str, int], ...]
"""What each account owns: account, asset, amount; sorted."""


class Place(NamedTuple):
    """Buy or sell at a price or better. Answer: (state, filled)."""

    account: str
    name: str
    symbol: str
    side: str
    quantity: int
    price: int

    reads = False

    @property
    def touches(self) -> frozenset[str]:
        return frozenset((f"account {self.account}", f"market {self.symbol}"))


class Cancel(NamedTuple):
    """Answer: (whether it was canceled by this, filled)."""

    account: str
    name: str
    symbol: str
    order: str

    reads = False
    touches = Place.touches


class Look(NamedTuple):
    """How an order stands. Answer: (state, filled); None: there is no such order."""

    account: str
    symbol: str
    order: str

    reads = True
    touches = Place.touches


class Transfer(NamedTuple):
    """Answer: whether it was done."""

    account: str
    name: str
    to_account: str
    asset: str
    amount: int

    reads = False

    @property
    def touches(self) -> frozenset[str]:
        return frozenset((f"account {self.account}", f"account {self.to_account}"))


class Owned(NamedTuple):
    """Balances. Answer: available and reserved, of both assets of a market."""

    account: str
    symbol: str

    reads = True

    @property
    def touches(self) -> frozenset[str]:
        return frozenset((f"account {self.account}",))


class Order(NamedTuple):
    account: str
    name: str
    symbol: str
    side: str
    quantity: int
    price: int
    filled: int = 0
    over: str = ""  # CANCELED, REJECTED

    @property
    def state(self) -> str:
        if self.filled == self.quantity:
            return "FILLED"
        return self.over or ("PARTIALLY_FILLED" if self.filled else "NEW")

    @property
    def open(self) -> bool:
        return not self.over and self.filled < self.quantity

    @property
    def left(self) -> int:
        return self.quantity - self.filled


class State(NamedTuple):
    """resting: open orders by market, side and price, the oldest of a price first; so two requests
    that do not touch each other lead to one state, whichever came first. over: all others. done:
    what requests with an id of their own were answered."""

    resting: tuple[Order, ...] = ()
    over: frozenset[Order] = frozenset()
    money: Money = ()
    done: frozenset[tuple[str, str, object]] = frozenset()

    def with_orders(self, changed: list[Order]) -> "State":
        """changed: those that rested, in their order, and a new one behind them."""
        resting = sorted(
            (each for each in changed if each.open), key=lambda o: (o.symbol, o.side, o.price)
        )
        over = self.over | {each for each in changed if not each.open}
        return self._replace(resting=tuple(resting), over=over)


class Exchange:
    """paid_in: what each account owns at first, by account and asset. Symbols are BASE_QUOTE. An
    account may trade with itself."""

    def __init__(self, paid_in: dict[tuple[str, str], int]) -> None:
        self._paid_in = paid_in

    def begin(self, touched: frozenset[str]) -> State:
        money = [
            (account, asset, amount)
            for (account, asset), amount in self._paid_in.items()
            if f"account {account}" in touched
        ]
        return State(money=tuple(sorted(money)))

    def apply(self, state: State, asked: object) -> tuple[State, object]:
        match asked:
            case Place():
                return self._place(state, asked)
            case Cancel():
                return self._cancel(state, asked)
            case Transfer():
                return self._transfer(state, asked)
            case Look(account, _, name):
                found = _find(state, account, name)
                return state, found and (found.state, found.filled)
            case Owned(account, symbol):
                return state, _balances(state, account, symbol)
        raise AssertionError(asked)

    def _place(self, state: State, asked: Place) -> tuple[State, object]:
        known = _find(state, asked.account, asked.name)
        if known is not None:
            return state, (known.state, known.filled)
        base, quote = asked.symbol.split("_")
        asset, amount = (
            (quote, asked.quantity * asked.price) if asked.side == "BUY" else (base, asked.quantity)
        )
        order = Order(*asked)
        if _available(state, asked.account, asset) < amount:
            order = order._replace(over="REJECTED")
            return state._replace(over=state.over | {order}), (order.state, 0)
        orders, money = list(state.resting), _Purse(state.money)
        while order.left and (place := _best(orders, order)) is not None:
            maker = orders[place]
            traded = min(order.left, maker.left)
            orders[place] = maker._replace(filled=maker.filled + traded)
            order = order._replace(filled=order.filled + traded)
            buyer, seller = (order, maker) if order.side == "BUY" else (maker, order)
            money.move(seller.account, buyer.account, base, traded)
            money.move(buyer.account, seller.account, quote, traded * maker.price)
        orders.append(order)
        after = state.with_orders(orders)._replace(money=money.told())
        return after, (order.state, order.filled)

    def _cancel(self, state: State, asked: Cancel) -> tuple[State, object]:
        known = _done(state, asked)
        if known is not None:
            return state, known
        found = _find(state, asked.account, asked.order)
        if found is None or not found.open:
            return _noted(state, asked, (False, 0)), (False, 0)
        orders = [
            each._replace(over="CANCELED") if each is found else each for each in state.resting
        ]
        answer = True, found.filled
        return _noted(state.with_orders(orders), asked, answer), answer

    def _transfer(self, state: State, asked: Transfer) -> tuple[State, object]:
        known = _done(state, asked)
        if known is not None:
            return state, known
        if _available(state, asked.account, asked.asset) < asked.amount:
            return _noted(state, asked, False), False
        money = _Purse(state.money)
        money.move(asked.account, asked.to_account, asked.asset, asked.amount)
        return _noted(state._replace(money=money.told()), asked, True), True


class _Purse:
    def __init__(self, money: Money) -> None:
        self._owned = {(account, asset): amount for account, asset, amount in money}

    def move(self, giver: str, taker: str, asset: str, amount: int) -> None:
        self._owned[giver, asset] = self._owned.get((giver, asset), 0) - amount
        self._owned[taker, asset] = self._owned.get((taker, asset), 0) + amount

    def told(self) -> Money:
        return tuple(sorted((*key, amount) for key, amount in self._owned.items()))


def _find(state: State, account: str, name: str) -> Order | None:
    known = (*state.resting, *state.over)
    return next((o for o in known if (o.account, o.name) == (account, name)), None)


def _best(orders: list[Order], taker: Order) -> int | None:
    """The open order that trades next with this one: the best price, then the oldest."""
    sign = 1 if taker.side == "BUY" else -1
    places = [
        place
        for place, each in enumerate(orders)
        if each.open and each.symbol == taker.symbol and each.side != taker.side
        and sign * each.price <= sign * taker.price
    ]  # fmt: skip
    return min(places, key=lambda place: sign * orders[place].price, default=None)


def _reserved(state: State, account: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in state.resting:
        if each.account == account:
            base, quote = each.symbol.split("_")
            asset = quote if each.side == "BUY" else base
            amount = each.left * (each.price if each.side == "BUY" else 1)
            found[asset] = found.get(asset, 0) + amount
    return found


def _available(state: State, account: str, asset: str) -> int:
    owned = sum(amount for its, a, amount in state.money if (its, a) == (account, asset))
    return owned - _reserved(state, account).get(asset, 0)


def _balances(state: State, account: str, symbol: str) -> tuple[tuple[int, int], ...]:
    reserved = _reserved(state, account)
    return tuple(
        (_available(state, account, asset), reserved.get(asset, 0)) for asset in symbol.split("_")
    )


def _done(state: State, asked: Cancel | Transfer) -> object:
    key = asked.account, asked.name
    return next((answer for *its, answer in state.done if tuple(its) == key), None)


def _noted(state: State, asked: Cancel | Transfer, answer: object) -> State:
    return state._replace(done=state.done | {(asked.account, asked.name, answer)})
