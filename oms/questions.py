"""Questions: what an order manager can be asked, and what it answers in.

Flow:  gateway, caller -> [questions] -> Lookups, in the process that has the orders
                                      -> RemoteOrders -> Redis -> Lookups of an engine
Each of them only looks: so an api may ask an engine any of them, by name (roles/marshalling.py).
What is answered at once comes from what is published or stored; a Future is answered between turns.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from decimal import Decimal
from typing import Any

from oms.answers import (
    AccountLimits,
    ActionPage,
    CalendarWindow,
    DryRun,
    Explained,
    GroupMoney,
    Halts,
    MovementPage,
    OpenCount,
    StateDigest,
    Transfer,
)
from oms.clock import NANOS, Moment
from oms.enums import Phase, Side
from oms.instruments import Instrument
from oms.market_data import Candle, DepthSnapshot, IndicativePrice, TradeEvent, TradePrint
from oms.positions import Pnl, Position, Trade
from oms.requests import Request
from oms.requests.orders import Origin
from oms.responses import AccountSnapshot, OrderPage, OrderResponse
from oms.turn.details import OrderDetails

MOVEMENTS_MAX = ORDERS_MAX = 1_000  # in one answer
TRADES_MAX = 1_000  # in one answer
ACTIONS_MAX = 200  # in one answer
AHEAD_MAX = 10_000  # orders that are looked at for one question
DAYS_MAX, WINDOWS_MAX, DAY_NS = 366, 400, 86_400 * NANOS


class Questions(ABC):
    """What may be asked of orders, accounts, markets, and of how it goes. Nothing is changed."""

    # --- orders ---

    @abstractmethod
    def get_order(self, account: str, named: str | int) -> OrderResponse | None:
        """How an order stands, by any client order id it has had, or by its order id; None if
        there is no such order. A response to no request: its client_order_id is the latest."""

    @abstractmethod
    def find_order(self, account: str, named: str | int) -> "Future[OrderResponse | None]":
        """The same, asked behind every request of the account that was handed over before: what is
        answered None was not among them. Raises as `get_order`."""

    @abstractmethod
    def order_details(self, order_ids: Sequence[int]) -> dict[int, OrderDetails]:
        """What orders are for, by order id: type, price, quantity and terms as asked and changed
        since; left out where there is no such order. From the store, some 50 us each. Raises
        ValidationError."""

    @abstractmethod
    def details_for(self, responses: Sequence[OrderResponse]) -> list[OrderDetails | None]:
        """The same for the order of each of these, in their order; None where it has no details.
        One look into the store for all of them. Raises ValidationError."""

    @abstractmethod
    def details_heard(self, response: OrderResponse) -> OrderDetails | None:
        """The same for one order that a listener was told of, as it is by then. Raises
        ValidationError."""

    @abstractmethod
    def orders(
        self, account: str, *, symbol: str = "", side: Side | None = None, before: int = 0,
        limit: int = ORDERS_MAX,
    ) -> OrderPage:  # fmt: skip
        """How an account's orders stand, the newest first: open ones, ended ones, refused ones.

        before: the `before` of the page before; 0: from the newest on. A page has `limit` orders
        at most; fewer do not mean that there are no more, `before` = 0 does. From the store.
        Raises ValidationError, naming the field.
        """

    @abstractmethod
    def open_orders(self, account: str) -> list[OrderResponse]:
        """How each open order of an account stands, oldest first."""

    @abstractmethod
    def fills(self, account: str, order_id: int, *, limit: int = ORDERS_MAX) -> list[OrderResponse]:
        """The latest fills of an order, oldest first, as they were told; at most `limit`. Raises
        ValidationError."""

    @abstractmethod
    def queue_ahead(self, symbol: str, order_ids: Sequence[int]) -> "Future[dict[int, Decimal]]":
        """How much is shown ahead of these orders of a symbol, each at its own price. Left out:
        what does not rest in our book, and what has too many ahead: AHEAD_MAX orders are looked at
        in all. Raises ValidationError."""

    @abstractmethod
    def origins(self, order_ids: Sequence[int]) -> dict[int, Origin]:
        """How each of these orders came; from the journal, on the caller's thread, some 0.1 ms
        each. Raises JournalError if one was never placed, ValidationError."""

    @abstractmethod
    def placed_ns(self, order_ids: Sequence[int]) -> dict[int, int]:
        """When the turn that took each of these orders was committed; from the journal, on the
        caller's thread. One that was never placed is left out. Raises ValidationError."""

    @abstractmethod
    def count_open(self, account: str = "", symbol: str = "") -> OpenCount:
        """Of an account and a symbol; "": of all. Raises ValidationError."""

    @abstractmethod
    def explain(self, named: str, account: str = "") -> Explained | None:
        """The story of one order or command, from what is on disk; None if there is none.

        named: a client order id that the account has used; or "order 8", by order id; or the
        execution id of a report or trade, "9-2". Raises ValidationError.
        """

    @abstractmethod
    def dry_run(self, request: Request) -> "Future[DryRun]":
        """What would become of a request now: why it would be refused, what it would reserve.

        Nothing is recorded, and nothing promised: the next request may change it. Raises as
        `on_data`; the future holds StoppedError if the order manager stops before it answers.
        """

    # --- accounts ---

    @abstractmethod
    def account_snapshot(self, account: str) -> "Future[AccountSnapshot]":
        """Open orders and balances of one instant, and its sequence: what is told from then on
        comes behind it. Raises ValidationError."""

    @abstractmethod
    def balances(self, account: str) -> dict[str, tuple[Decimal, Decimal]]:
        """By asset: available and reserved, of one instant.

        Empty for an account that is unknown or never had anything, and without a ledger.
        """

    @abstractmethod
    def positions(self, account: str) -> list[Position]:
        """What an account holds of each symbol it ever traded, in the instrument's units: average
        cost, realized and unrealized profit, fees; as of the last commit. See oms/positions.py."""

    @abstractmethod
    def pnl(self, account: str) -> dict[str, Pnl]:
        """What an account has made, by quote asset: the sums over its positions."""

    @abstractmethod
    def ledger(self, account: str, *, before: int = 0, limit: int = MOVEMENTS_MAX) -> MovementPage:
        """What moved an account's money, newest first: amounts of trades, fees, busts, corrections
        and funds; of `limit` reports at most, each of which may have three.

        before: the `before` of the page before; 0: from the newest on. A page may have nothing, and
        yet a `before`. From stored reports and funds entries, without a fold. Orders that traded
        by rules number 1 are reckoned as if by later ones. Raises ValidationError.
        """

    @abstractmethod
    def trades(
        self, account: str = "", symbol: str = "", *, before: str = "", limit: int = TRADES_MAX
    ) -> list[Trade]:
        """The latest trades of an account and of a symbol, if named, oldest first; at most `limit`.

        From the store, and so all that there ever were. As they stand: busted ones are marked, and
        have no quantity, corrected ones have their new price and quantity. before: the execution
        id of a trade; those before it.
        """

    @abstractmethod
    def account_limits(self, account: str) -> "Future[AccountLimits]":
        """Raises ValidationError."""

    # --- markets ---

    @abstractmethod
    def instruments(self, *, delisted: bool = False) -> dict[str, Instrument]:
        """What is traded: as configured, and as operators changed it. delisted: also what is traded
        no more."""

    @abstractmethod
    def market_states(self) -> dict[str, Phase]:
        """The phase of each instrument's market; empty where the venue is somebody else's."""

    @abstractmethod
    def depth_snapshot(self, symbol: str) -> DepthSnapshot:
        """The whole book, and the id of the last depth update in it; empty at a remote venue.

        Books are followed from when somebody first asks, or listens to the market: that very
        first call waits for the next turn (so no listener may make it), the others for nothing.
        Raises StoppedError if there is no such turn, DeadlockError if a listener is first.
        """

    @abstractmethod
    def indicative(self, symbol: str) -> "Future[IndicativePrice | None]":
        """What an auction would trade if it ended now; None: the market is in no call. Between two
        turns: a look at all orders of the call. Raises ValidationError."""

    @abstractmethod
    def best_bid(self, symbol: str) -> Decimal | None:
        """The best bid; None if nobody bids."""

    @abstractmethod
    def best_ask(self, symbol: str) -> Decimal | None:
        """The best ask; None if nobody offers."""

    @abstractmethod
    def recent_trades(self, symbol: str, limit: int | None = None) -> list[TradePrint]:
        """The last trades, oldest first; at most `limit`, 1 or more, if given, and trades_kept. As
        they stand: without busted ones, corrected ones as they were corrected."""

    @abstractmethod
    def candles(
        self, symbol: str, width: str, start: Moment, end: Moment | None = None,
        upto_seq: int | None = None,
    ) -> list[Candle]:  # fmt: skip
        """What was traded in [start, end), as whole candles, oldest first; spans without a trade
        have none.

        width: whole seconds, minutes or hours, or a day: "1s" to "1d". start, end: nanoseconds
        since 1970, or a datetime with a zone; by default until now. upto_seq: without what later
        turns traded, for whoever adds that from events. From the store, on the caller's thread: a
        day of 100,000 trades takes about a third of a second.
        """

    @abstractmethod
    def statistics(self, symbol: str, end: Moment | None = None) -> Candle:
        """Open, high, low, last, change, volume, quote volume, VWAP and number of trades of the
        24 hours before `end` (by default now): one candle, also of the past."""

    @abstractmethod
    def symbol_limits(self) -> "Future[dict[str, dict[str, str]]]":
        """What an order of each symbol may be: limit -> text, as configured and as operators set
        it since; only what is limited."""

    @abstractmethod
    def calendar(self, from_ns: int, days: int = 7) -> list[CalendarWindow]:
        """Windows of trading that end after an instant and begin within so many days of it, with
        what each market does in them but for halts. Raises ValidationError."""

    # --- operators, and who follows turns ---

    @abstractmethod
    def halts(self) -> "Future[Halts]":
        """Who may trade, as operators said it."""

    @abstractmethod
    def actions(self, *, before: int = 0, limit: int = ACTIONS_MAX) -> ActionPage:
        """What was asked in the name of the account "operator", the newest first: commands, mass
        cancels of all accounts, busts, changes of markets and users; refused ones, too.

        before: the `before` of the page before; 0: from the newest on. From the store, on the
        caller's thread, some 0.2 ms each. Raises ValidationError.
        """

    @abstractmethod
    def digest(self) -> "Future[StateDigest]":
        """The fingerprint of the state, as the command `digest` prints it. No request is answered
        while it is made: that is some 20 us an open order."""

    @abstractmethod
    def money(self) -> "Future[Mapping[str, GroupMoney | None]]":
        """What all accounts own and what is in flight, by group of markets. No request is answered
        while it is added up: that is some 0.2 us an account and asset."""

    @abstractmethod
    def transfers(self) -> "Future[list[Transfer]]":
        """What is in flight to other groups, the oldest first; 1,000 to each at most."""

    @abstractmethod
    def transfer(self, account: str, client_order_id: str) -> Transfer | None:
        """How a transfer between groups stands where the money leaves; None if there is none of
        that id, or its numbers were refused. Raises ValidationError."""

    @abstractmethod
    def journal_seq(self, symbol: str = "") -> "Future[int]":
        """The sequence of the latest turn that is on disk, as the dispatcher says: it is alive.
        symbol: in the journal that has this market; here one has all of them."""

    @abstractmethod
    def reports_after(self, account: str, seq: int, upto_seq: int) -> list[OrderResponse] | None:
        """Every report of an account that the turns behind `seq` and up to `upto_seq` made, in
        order; None if that lies too far back: see Store.find_after. From the store, on the
        caller's thread. Raises ValidationError."""

    @abstractmethod
    def trades_after(self, symbol: str, seq: int, upto_seq: int) -> list[TradeEvent] | None:
        """What the same turns traded, busted and corrected of a symbol, as it was told then; None
        and errors as above."""

    @abstractmethod
    def latency_rows(self, hop: str) -> list[tuple[int, int, int]]:
        """How often a hop took how long since the start: from ns, to ns, how many. Raises
        ValidationError."""

    @abstractmethod
    def get_status(self) -> dict[str, Any]:
        """How it goes: plain data, JSON as it stands. Durations are nanoseconds."""
