"""Ledger: who owns how much, what is reserved for open orders, and what fills move.

Flow:  desk -> [ledger]: funds commands, reservations; executions -> [ledger]: fills
In:    orders, and whole amounts in units of an asset. Out: "" or why not, with the figures.
Owner: the dispatcher thread. No locks, no I/O, no clock.

Per asset, all accounts together, and what is in flight to another group of markets, are what was
deposited less what was withdrawn, and what came from other groups less what went there, always and
exactly. Each order is settled as a whole: after each fill a buyer has paid the notional of all
his fills rounded up, a seller has received that of his rounded down, and ROUNDING has the
difference. So no way of cutting an order into fills or orders is cheaper than another. Fees are
rounded up in the same way and go to FEE_ACCOUNT.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import ceil
from operator import attrgetter
from typing import Any, NamedTuple

from oms.enums import Side
from oms.exchange.order import NO_FEES, FeeRates, Order
from oms.exchange.settlement import bps_of, fee_of, rest_of_need, settled
from oms.instruments import BPS, Instrument
from oms.money import to_text
from oms.reject_reasons import RejectReason
from oms.requests.accounts import FundsAction

FEE_ACCOUNT, ROUNDING = "fees", "rounding"
HOUSE = (FEE_ACCOUNT, ROUNDING)  # accounts of the exchange itself
OUTSIDE, TRADES = "outside", "trades"  # what deposits come from, and what a fill goes through
IN_FLIGHT = "in flight"  # what a transfer to another group goes through
TRANSFERS_MAX = 10_000  # in flight at once
BUY = Side.BUY

Balance = list[int]
"""Available, reserved; a list, because it changes with every fill."""


class Posting(NamedTuple):
    """One half of a movement; the other half has account and contra swapped, amount negated.

    seq: the journal entry that caused it. contra: the other account, "outside" for deposits and
    withdrawals and for other groups, "trades" for a fill (it owns nothing once both sides are
    settled), "in flight" for a transfer to another group.
    """

    seq: int
    account: str
    asset: str
    amount: int
    contra: str
    why: str


class FillSide(NamedTuple):
    """What one side of a fill gives back when it is taken back.

    carry, fee_carry: those of its order then; 0 of a fill that was settled alone.
    """

    account: str
    instrument: Instrument
    side: Side
    notional: int
    lots: int
    fee: int
    carry: int = 0
    fee_carry: int = 0

    def legs(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """What it would give back, and what it would get: (asset, amount)."""
        base = (self.instrument.base, self.lots * self.instrument.lot_amount)
        if self.side is BUY:
            return base, (self.instrument.quote, self.notional + self.fee)
        return (self.instrument.quote, self.notional - self.fee), base


class Sent(NamedTuple):
    """A transfer in flight: it left its account by the journal entry `seq`, at that instant."""

    seq: int
    wall_ns: int
    asset: str
    amount: int
    to_account: str
    from_group: str
    to_group: str


class Ledger:
    """Balances of every account, by asset.

    transfers: what is in flight to other groups, by account and client order id. carried: what came
    from other groups less what has arrived there.

    since: the journal sequence from which orders are settled as a whole; 0: each fill alone, its
    notional and fee rounded down, as by rules number 1. charged: the fee rates of each account's
    orders in a symbol, each with the first order that had them; for trade busts, which may be
    about orders that ended long ago.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, dict[str, Balance]] = {FEE_ACCOUNT: {}}
        self.scales: dict[str, int] = {}
        self.paid_in: dict[str, int] = {}  # asset -> deposits less withdrawals
        self.transfers: dict[tuple[str, str], Sent] = {}
        self.carried: dict[str, int] = {}
        self.rates: dict[
            tuple[str, str], FeeRates
        ] = {}  # (symbol, tier), where not the symbol's own
        self.tiers: dict[str, str] = {}
        self.touched: set[str] = set()  # accounts whose balances moved since somebody looked
        self.postings: list[Posting] | None = None  # kept only for who asks: a report
        self.seq = 0  # the journal entry under way, for postings
        self.since = 0
        self.charged: dict[tuple[str, str], list[list[int]]] = {}

    def configure(
        self, instruments: Iterable[Instrument], rates: dict[tuple[str, str], FeeRates]
    ) -> None:
        """What is traded, at which fees."""
        self.rates = rates
        for instrument in instruments:
            self.scales[instrument.base] = instrument.base_scale
            self.scales[instrument.quote] = instrument.quote_scale

    def settle_whole(self, seq: int, orders: Iterable[Order]) -> None:
        """From this journal sequence on orders are settled as a whole, from their next fill on."""
        if not self.since:
            self.since = seq
            self.accounts.setdefault(ROUNDING, {})
            for order in sorted(orders, key=attrgetter("order_id")):
                self.remember_rates(order)

    # --- funds ---

    def would_move(
        self,
        action: FundsAction,
        account: str,
        asset: str,
        amount: int,
        to_account: str,
        kept: int = 0,
    ) -> str:
        """Why money may not move so; "" if it may. kept: what has to stay where it is."""
        if action is FundsAction.CREATE:
            taken = account in self.accounts or account in (OUTSIDE, TRADES)
            return f"{RejectReason.ACCOUNT_EXISTS}: account={account}" if taken else ""
        reason = self._unknown(account)
        if action is FundsAction.TRANSFER:
            reason = reason or self._unknown(to_account)
        if action is not FundsAction.DEPOSIT:
            reason = reason or self._short(account, asset, amount, -kept)
        return reason

    def move(
        self,
        action: FundsAction,
        account: str,
        asset: str,
        amount: int,
        to_account: str,
        kept: int = 0,
    ) -> str:
        """Open an account, or move money; the reason if that may not be, and nothing is done."""
        reason = self.would_move(action, account, asset, amount, to_account, kept)
        if reason:
            return reason
        if action is FundsAction.CREATE:
            self.accounts[account] = {}
        elif action is FundsAction.TRANSFER:
            self._credit(account, asset, -amount)
            self._credit(to_account, asset, amount)
            self._post(account, asset, -amount, to_account, "transfer")
        else:
            sign, why = (1, "deposit") if action is FundsAction.DEPOSIT else (-1, "withdrawal")
            self._credit(account, asset, sign * amount)
            self.paid_in[asset] = self.paid_in.get(asset, 0) + sign * amount
            self._post(account, asset, sign * amount, OUTSIDE, why)
        return ""

    # --- transfers between groups ---

    def would_send(self, account: str, sent: Sent, kept: int = 0) -> str:
        """Why money may not go to another group; "" if it may. kept: as in would_move."""
        if len(self.transfers) >= TRANSFERS_MAX:
            return f"{RejectReason.COMMAND_INVALID}: in_flight={TRANSFERS_MAX}, expected fewer"
        return self._unknown(account) or self._short(account, sent.asset, sent.amount, -kept)

    def send(self, account: str, client_order_id: str, sent: Sent) -> None:
        """Money that may go leaves its account, and is in flight."""
        self._credit(account, sent.asset, -sent.amount)
        self.transfers[account, client_order_id] = sent
        self._post(account, sent.asset, -sent.amount, IN_FLIGHT, f"transfer to {sent.to_group}")

    def would_receive(self, account: str) -> str:
        """Why money from another group cannot be paid in; "" if it can."""
        return self._unknown(account)

    def receive(self, account: str, asset: str, amount: int, from_group: str) -> None:
        """Pay in what comes from another group."""
        self._credit(account, asset, amount)
        self.carried[asset] = self.carried.get(asset, 0) + amount
        self._post(account, asset, amount, OUTSIDE, f"transfer from {from_group}")

    def end_transfer(self, account: str, client_order_id: str, *, arrived: bool) -> None:
        """It arrived in the other group, or comes back because it was refused there."""
        sent = self.transfers.pop((account, client_order_id))
        if arrived:
            self.carried[sent.asset] = self.carried.get(sent.asset, 0) - sent.amount
            self._post(IN_FLIGHT, sent.asset, -sent.amount, OUTSIDE, "transfer arrived")
        else:
            self._credit(account, sent.asset, sent.amount)
            self._post(account, sent.asset, sent.amount, IN_FLIGHT, "transfer returned")

    def _unknown(self, account: str) -> str:
        if account in self.accounts:
            return ""
        return f"{RejectReason.ACCOUNT_UNKNOWN}: account={account}"

    def _short(self, account: str, asset: str, amount: int, freed: int = 0) -> str:
        available = self.accounts[account].get(asset, (0,))[0] + freed
        if amount <= available:
            return ""
        scale = self.scales.get(asset, 0)
        return (
            f"{RejectReason.FUNDS_INSUFFICIENT}: asset={asset}, needed={to_text(amount, scale)}, "
            f"available={to_text(available, scale)}"
        )

    def _credit(self, account: str, asset: str, amount: int) -> None:
        self._balance(account, asset)[0] += amount

    def _balance(self, account: str, asset: str) -> Balance:
        self.touched.add(account)
        assets = self.accounts[account]
        balance = assets.get(asset)
        if balance is None:
            balance = assets[asset] = [0, 0]
        return balance

    # --- orders ---

    def may_trade(self, account: str) -> str:
        """Why an account may place no orders: it is not there, or is the exchange's own."""
        if account == FEE_ACCOUNT:
            return f"{RejectReason.ACCOUNT_UNKNOWN}: account={account}, which takes the fees"
        if account == ROUNDING and self.since:
            return f"{RejectReason.ACCOUNT_UNKNOWN}: account={account}, which takes what is rounded"
        return self._unknown(account)

    def fees_of(self, order: Order) -> FeeRates:
        """What an order pays if it is accepted now."""
        instrument = order.instrument
        tier = self.tiers.get(order.account, "")
        own = self.rates.get((instrument.symbol, tier)) if tier else None
        return own or (instrument.maker_fee_bps, instrument.taker_fee_bps)

    def remember_rates(self, order: Order) -> None:
        """An order was accepted, at its fees."""
        key = order.account, order.instrument.symbol
        known = self.charged.get(key)
        if known is None:
            if order.fees != NO_FEES:
                self.charged[key] = [[order.order_id, *order.fees]]
        elif (known[-1][1], known[-1][2]) != order.fees:
            known.append([order.order_id, *order.fees])

    def rates_of(self, account: str, symbol: str, order_id: int) -> FeeRates:
        """The fees that an order was accepted at, which may have ended since."""
        for first_id, maker, taker in reversed(self.charged.get((account, symbol), ())):
            if first_id <= order_id:
                return maker, taker
        return NO_FEES

    def asset_of(self, order: Order) -> str:
        """What an order reserves: the quote asset of a buy, the base asset of a sell."""
        return order.instrument.quote if order.side is BUY else order.instrument.base

    def would_reserve(self, order: Order, more: int, freed: int = 0) -> str:
        """Why so much more cannot be reserved for an order, once so much is free; "" if it can."""
        return self._short(order.account, self.asset_of(order), more, freed) if more > 0 else ""

    def reserve(self, order: Order, amount: int) -> str:
        """Reserve so much for an order, in place of what is; the reason if it is not there."""
        more = amount - order.reserved
        if not more:
            return ""
        instrument = order.instrument
        asset = instrument.quote if order.side is BUY else instrument.base
        if more > 0:
            reason = self._short(order.account, asset, more)
            if reason:
                return reason
        balance = self._balance(order.account, asset)
        balance[0] -= more
        balance[1] += more
        order.reserved = amount
        return ""

    def release(self, order: Order) -> None:
        """Give back all that is reserved for an order."""
        account, asset, reserved = order.account, self.asset_of(order), order.reserved
        balance = self.accounts[account][asset]
        balance[0] += reserved
        balance[1] -= reserved
        order.reserved = 0
        self.touched.add(account)

    def settle(self, order: Order, price_ticks: int, lots: int, liquidity: str) -> int:
        """One side of a fill, after the order's open lots went down; returns the fee.

        What an order with a price bound has left over is its reservation at once; one without a
        bound ends in this step, and then gives back the rest.
        """
        instrument, account, reserved = order.instrument, order.account, order.reserved
        base_asset, quote_asset = instrument.base, instrument.quote
        exact, unit = price_ticks * lots * instrument.quote_unit, instrument.price_quantity_unit
        notional = exact // unit
        if unit != 1 and self.since and (order.carry or notional * unit != exact):
            alone, notional = notional, settled(order, exact)
            rounded = notional - alone if order.side is BUY else alone - notional
            if rounded:
                self._round(quote_asset, rounded, f"fill of order {order.order_id}")
        fee = 0
        if order.fees != NO_FEES:
            fee = self._fee(order, exact, notional, liquidity)
            if fee:
                self._credit(FEE_ACCOUNT, quote_asset, fee)
        assets = self.accounts[account]
        base, quote = assets.get(base_asset), assets.get(quote_asset)
        if base is None:
            base = assets[base_asset] = [0, 0]
        if quote is None:
            quote = assets[quote_asset] = [0, 0]
        self.touched.add(account)
        amount, leaves_lots = lots * instrument.lot_amount, order.leaves_lots
        if order.side is BUY:
            paid = notional + fee
            if not (order.price_ticks or bound_of(order, 0)):
                keep = reserved - paid
            else:
                keep = need_of(order, order.price_ticks, leaves_lots) if leaves_lots else 0
            quote[0] += reserved - paid - keep
            quote[1] += keep - reserved
            base[0] += amount
        else:
            keep = leaves_lots * instrument.lot_amount
            base[0] += reserved - amount - keep
            base[1] += keep - reserved
            quote[0] += notional - fee
        order.reserved = keep
        if self.postings is not None:
            self._post_fill(order, notional, amount, fee)
        return fee

    def _round(self, asset: str, amount: int, why: str) -> None:
        self._credit(ROUNDING, asset, amount)
        self._post(ROUNDING, asset, amount, TRADES, f"rounding, {why}")

    def _fee(self, order: Order, exact: int, notional: int, liquidity: str) -> int:
        """The fee of a fill: what all fills of the order so far owe, less what it has paid.

        A seller pays no more than the fill brings him; what is left is due with the next one.
        """
        if not self.since:
            return self._payable(fee_of(order.fees, notional, liquidity), order.instrument.quote)
        unit = order.instrument.price_quantity_unit * BPS
        owed = exact * bps_of(order.fees, liquidity) - order.fee_carry
        fee = -(-owed // unit)
        if fee < 0:
            fee = self._payable(fee, order.instrument.quote)
        elif fee > notional and order.side is not BUY:
            fee = notional
        order.fee_carry = fee * unit - owed
        return fee

    def owed(self, asset: str, orders: Iterable[Order], carries: Mapping[int, int]) -> int:
        """What ROUNDING must keep of an asset, because fills of open orders may need it.

        carries: of orders that are to have another one than they have.
        """
        return ceil(
            sum(
                Fraction(
                    carries.get(order.order_id, order.carry), order.instrument.price_quantity_unit
                )
                for order in orders
                if order.instrument.quote == asset
            )
        )

    def _payable(self, fee: int, asset: str) -> int:
        """A rebate is paid out of what the fee account has, and no further.

        It always has it while one configuration holds; but an order keeps the rebate it was
        accepted under, and after a restart takers may pay less.
        """
        if fee >= 0:
            return fee
        has = self.accounts[FEE_ACCOUNT].get(asset, (0,))[0]
        return max(fee, -has)

    def spent_since(self, side: FillSide, more: int) -> str:
        """Why one side of a fill cannot be given back: it is not there any more. Of a correction
        the side may be to get less than nothing: then that is what must be there.

        more: what the order must then have reserved in addition, out of what it gets.
        """
        (asset, amount), (gets, back) = side.legs()
        reason = self._short(side.account, asset, amount)
        if not reason and more > back:
            reason = self._short(side.account, gets, more - back)
        return reason

    def short_of(self, account: str, asset: str, amount: int, kept: int = 0) -> str:
        """Why an account of the exchange cannot give so much back; "" if it can."""
        reason = self._short(account, asset, amount, -kept) if amount > 0 else ""
        return f"{reason}, account={account}" if reason else ""

    def unround(self, buyer: FillSide, seller: FillSide) -> None:
        """What both sides of a fill give back is not the same: the rest is ROUNDING's."""
        less = buyer.notional - seller.notional
        if less:
            self._round(buyer.instrument.quote, -less, "bust")

    def unsettle(self, side: FillSide) -> None:
        """Take one side of a fill back (a trade bust)."""
        account, quote = side.account, side.instrument.quote
        (gives, amount), (gets, back) = side.legs()
        self._credit(account, gives, -amount)
        self._credit(account, gets, back)
        self._credit(FEE_ACCOUNT, quote, -side.fee)
        base_back = amount if side.side is BUY else -back
        self._post(account, side.instrument.base, -base_back, TRADES, "bust")
        self._post(account, quote, side.notional * (1 if side.side is BUY else -1), TRADES, "bust")
        if side.fee:
            self._post(account, quote, side.fee, FEE_ACCOUNT, "fee, bust")

    # --- the record ---

    def _post(self, account: str, asset: str, amount: int, contra: str, why: str) -> None:
        if self.postings is not None:
            self.postings.append(Posting(self.seq, account, asset, amount, contra, why))
            self.postings.append(Posting(self.seq, contra, asset, -amount, account, why))

    def _post_fill(self, order: Order, notional: int, amount: int, fee: int) -> None:
        sign = 1 if order.side is BUY else -1
        instrument, why = order.instrument, f"fill of order {order.order_id}"
        self._post(order.account, instrument.quote, -sign * notional, TRADES, why)
        self._post(order.account, instrument.base, sign * amount, TRADES, why)
        if fee:
            self._post(order.account, instrument.quote, -fee, FEE_ACCOUNT, f"fee, {why}")

    def total(self, asset: str) -> int:
        """All that anybody owns of an asset, without what is in flight."""
        return sum(sum(assets.get(asset, (0, 0))) for assets in self.accounts.values())

    def in_flight(self, asset: str) -> int:
        """What is on its way to other groups, or has arrived there and was not told so yet."""
        return sum(sent.amount for sent in self.transfers.values() if sent.asset == asset)

    def mistakes(self, orders: Iterable[Order]) -> list[str]:
        """What does not add up: nothing, ever; for verify and for tests."""
        orders = list(orders)
        found = [
            f"{account} {asset}: available={balance[0]}, reserved={balance[1]}"
            for account, assets in self.accounts.items()
            for asset, balance in assets.items()
            if min(balance) < 0
        ]
        for asset in {a for assets in self.accounts.values() for a in assets} | self.carried.keys():
            held, paid_in = self.total(asset), self.paid_in.get(asset, 0)
            in_flight, carried = self.in_flight(asset), self.carried.get(asset, 0)
            if held + in_flight != paid_in + carried:
                found.append(
                    f"{asset}: accounts hold {held}, in flight {in_flight}, paid in {paid_in}, "
                    f"from other groups {carried}"
                )
        reserved: dict[tuple[str, str], int] = {}
        for order in orders:
            asset = order.instrument.quote if order.side is BUY else order.instrument.base
            reserved[order.account, asset] = (
                reserved.get((order.account, asset), 0) + order.reserved
            )
        for account, assets in self.accounts.items():
            for asset, balance in assets.items():
                if balance[1] != reserved.get((account, asset), 0):
                    found.append(
                        f"{account} {asset}: reserved={balance[1]}, open orders reserve "
                        f"{reserved.get((account, asset), 0)}"
                    )
        for asset, balance in self.accounts.get(ROUNDING, {}).items() if self.since else ():
            owed = self.owed(asset, orders, {})
            if sum(balance) < owed:
                found.append(f"{ROUNDING} {asset}: has {sum(balance)}, open orders carry {owed}")
        return found

    def dump(self) -> dict[str, Any]:
        """Plain data: the balances, and what they must add up to."""
        whole = {
            "since": self.since,
            "charged": sorted([*key, known] for key, known in self.charged.items()),
        }
        between = {
            "transfers": [[*key, *sent] for key, sent in self.transfers.items()],
            "carried": self.carried,
        }
        return {
            "accounts": self.accounts,
            "paid_in": self.paid_in,
            "scales": self.scales,  # of assets that are no longer traded too
            **(whole if self.since else {}),
            **(between if self.transfers or self.carried else {}),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.accounts = {
            account: {asset: list(balance) for asset, balance in assets.items()}
            for account, assets in state["accounts"].items()
        }
        self.paid_in = dict(state["paid_in"])
        self.scales = dict(state["scales"])
        self.transfers = {
            (account, client_order_id): Sent(*sent)
            for account, client_order_id, *sent in state.get("transfers", ())
        }
        self.carried = dict(state.get("carried", {}))
        self.since = state.get("since", 0)
        self.charged = {
            (account, symbol): [list(each) for each in known]
            for account, symbol, known in state.get("charged", ())
        }


def bound_of(order: Order, price_ticks: int) -> int:
    """The worst price that a reservation goes by; 0: a budget, or nothing, bounds it.

    price_ticks: the order's limit price, or the one it is to have; 0: none.
    """
    terms = order.terms
    if terms is None or terms.budget:
        return price_ticks
    return price_ticks or terms.protection_ticks


def need_of(order: Order, price_ticks: int, leaves_lots: int) -> int:
    """What an order must have reserved at this price, for so much open: base of a sell, quote of
    a buy.

    A buy without a bound needs its budget, or nothing until it meets the book.
    """
    instrument = order.instrument
    if order.side is not BUY:
        return leaves_lots * instrument.lot_amount
    bound = price_ticks if order.terms is None else bound_of(order, price_ticks)
    if not bound:
        return order.terms.budget if order.terms else 0
    maker, taker = order.fees
    top = maker if maker > taker else taker
    if order.carry or order.fee_carry:
        return rest_of_need(order, bound * leaves_lots * instrument.quote_unit, top)
    notional = instrument.notional_up(bound, leaves_lots)
    return notional if top <= 0 else notional - (-notional * top // BPS)
