"""Notes: what a turn changed of instruments and balances, for the tables that anybody reads.

Flow:  dispatcher, before the commit -> [notes] -> store; journal -> [notes] -> upgrade, verify
Owner: the dispatcher's thread.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from oms.desk.desk import Desk
from oms.exchange.accounts import Ledger
from oms.instruments import Instrument
from oms.positions import CHANGES, Holding, Holdings, Key
from oms.reports import TRADE, Report
from oms.stores import Noted, Store
from oms.stores.listed import SYMBOL, Row, relisted

Amounts = tuple[int, int, int]
"""The asset's scale, available and reserved units."""


def amounts_in(ledger: Ledger) -> dict[tuple[str, str], Amounts]:
    """By account and asset."""
    return {
        (account, asset): (ledger.scales.get(asset, 0), available, reserved)
        for account, assets in ledger.accounts.items()
        for asset, (available, reserved) in assets.items()
    }


class Notes:
    """Compares each turn with what was noted before it. ledger: what there is already."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        self._listed: Mapping[str, Instrument] | None = None
        self._balances = amounts_in(ledger) if ledger is not None else {}
        self._under_way: Noted | None = None

    def of_turn(self, desk: Desk, seq: int) -> Noted:
        """What this turn changed. It is taken for stored by `committed` alone."""
        listed = desk.instruments if desk.instruments is not self._listed else None
        balances, ledger = [], desk.executions.ledger
        if ledger is not None and ledger.touched:
            known, accounts, scales = self._balances, ledger.accounts, ledger.scales
            for account in ledger.touched:
                for asset, (available, reserved) in accounts[account].items():
                    scale = scales.get(asset, 0)
                    if known.get((account, asset)) != (scale, available, reserved):
                        balances.append((account, asset, scale, available, reserved))
        self._under_way = Noted(seq, listed, balances)
        return self._under_way

    def committed(self) -> None:
        noted, self._under_way = self._under_way, None
        if noted is None:
            return
        if noted.instruments is not None:
            self._listed = noted.instruments
        for account, asset, *amounts in noted.balances:
            scale, available, reserved = amounts
            self._balances[account, asset] = scale, available, reserved


class Expected:
    """What the tables kept for readers should hold, followed turn by turn; for `verify`."""

    def __init__(self) -> None:
        self._listed: Mapping[str, Instrument] | None = None
        self._standing: list[Row] = []
        self._ended: list[Row] = []
        self._folding = Holdings(lambda _: None)
        self._holdings: dict[Key, Holding] = {}
        self._anew: set[Key] = set()  # with busts or corrections
        self._prices: dict[str, int] = {}

    def turn(self, desk: Desk, seq: int, reports: list[Report]) -> None:
        changed = {(r.account, r.symbol) for r in reports if r.type in CHANGES}
        fills = [report for report in reports if report.type == TRADE]
        self._anew |= changed
        rows = self._folding.take(fills, seq, self._anew)
        self._holdings.update({(row.account, row.symbol): row for row in rows})
        self._prices.update({report.symbol: report.last_price_ticks for report in fills})
        if desk.instruments is self._listed:
            return
        self._listed = desk.instruments
        ended, begun = relisted(self._standing, desk.instruments, seq)
        over = {row[SYMBOL] for row in ended}
        self._standing = [row for row in self._standing if row[SYMBOL] not in over] + begun
        self._ended += ended

    def differences(self, store: Store, desk: Desk) -> Iterator[str]:
        """Of a store that has such tables; one line for each.

        Of accounts with a bust or a correction, which are seldom, all fills are read from the
        store once more: they were compared with the journal before.
        """
        kept = getattr(store, "kept", None)
        if kept is None:
            return
        for key in self._anew:
            _account, symbol = key
            for holding in store.folded_of(key):  # type: ignore[attr-defined]
                self._holdings[key] = holding
            self._prices[symbol] = store.last_price_of(symbol)  # type: ignore[attr-defined]
        balances = {key: now for key, now in amounts_in(desk.ledger).items() if any(now[1:])}
        stored = {
            "holdings": {row[:2]: row for row in kept("holdings")},
            "last_prices": {(symbol,): (ticks,) for symbol, _seq, ticks in kept("last_prices")},
            "account_balances": {
                (account, asset): (scale, available, reserved)
                for account, asset, _seq, scale, available, reserved in kept("account_balances")
                if available or reserved
            },
            "instruments": {row[:2]: row for row in kept("instruments")},
        }
        expected: dict[str, dict[Any, Any]] = {
            "holdings": {key: tuple(row) for key, row in self._holdings.items()},
            "last_prices": {(symbol,): (ticks,) for symbol, ticks in self._prices.items()},
            "account_balances": balances,
            "instruments": {row[:2]: row for row in (*self._ended, *self._standing)},
        }
        for table, rows in expected.items():
            for key in sorted(rows.keys() | stored[table].keys(), key=repr):
                found, given = stored[table].get(key), rows.get(key)
                if found != given:
                    yield f"{table} {key}: stored {found}, the journal gives {given}"
