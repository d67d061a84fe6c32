"""Configured: what the configuration and operators say, put into force.

Flow:  a START line, listings, account settings -> [configured] -> exchange, ledger, risk
What an operator set goes before what is configured. Owner: the dispatcher thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oms.desk.listings import fees_in
from oms.desk.settings import instrument_of, money_terms_of, worth_nothing
from oms.enums import SelfTrade

if TYPE_CHECKING:
    from oms.desk.desk import Desk


class Configured:
    """Puts into force what changed: all of it at a start, else what an operator set."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._executions = desk.executions

    def configure(self, settings: dict[str, Any]) -> None:
        """Take over the part of the configuration that a replay depends on."""
        desk = self._desk
        desk.settings = settings
        desk.rules = desk.risk.rules = settings.get("rules", 1)
        desk.hold_when_closed = settings["hold_when_closed"]
        desk.queue.size_max = settings["waiting_max"]
        for order in self._executions.orders.values():
            order.received_ns = order.queued_ns = 0  # the old process's clock means nothing now
        self._executions.ledger = desk.ledger if settings.get("ledger") else None
        self.use_instruments()
        if desk.engine is not None:
            self._set_rules(settings)
        else:  # what a remote venue trades at is not known here
            desk.risk.holdings.reference_of = lambda symbol, _: (
                desk.known[symbol].reference_price_ticks
            )
            desk.risk.band_of = lambda symbol, bps, _: (
                instrument.band(instrument.reference_price_ticks, bps)
                if (instrument := desk.instruments[symbol]).reference_price_ticks
                else None
            )
        self.use_account_settings()

    def use_instruments(self) -> None:
        """What is traded, its fees and limits: as configured, and as operators changed it."""
        desk, settings = self._desk, self._desk.listings.settings()
        instruments = [instrument_of(fields) for fields in settings["instruments"]]
        desk.instruments = {instrument.symbol: instrument for instrument in instruments}
        if desk.engine is not None:
            desk.engine.list_instruments(instruments)
            desk.engine.phases.changed.update(desk.instruments)
        else:
            desk.venue.list_instruments(instruments)
        for order in self._executions.orders.values():
            order.instrument = desk.instruments[order.instrument.symbol]
        desk.ledger.configure(instruments, fees_in(settings))
        desk.risk.configure(settings.get("limits", {}), settings.get("limit_groups", {}))
        if desk.rules < 3:  # what was held of others did not count
            desk.known = desk.instruments
        elif desk.engine is not None:
            desk.known = {s: market.instrument for s, market in desk.engine.markets.items()}
        else:
            desk.known = {**desk.known, **desk.instruments}
        desk.risk.holdings.instruments = desk.known
        desk.risk.watch(self._executions.orders.values())

    def _set_rules(self, settings: dict[str, Any]) -> None:
        assert self._desk.engine is not None
        rules, markets = self._desk.engine.rules, self._desk.engine.markets
        rules.number, halts = self._desk.rules, self._desk.engine.halts
        halts.cancels = settings.get("on_halt") == "cancel"
        halts.day_is_done = self._desk.day_is_done
        self._desk.risk.acting_lots = (
            (lambda order: halts.acting_lots(order, waiting=True)) if rules.number > 1 else None
        )
        rules.self_trade = SelfTrade(settings.get("self_trade", "none"))
        for name, value in {**settings.get("breaker", {}), **settings.get("calls", {})}.items():
            setattr(rules, name, value)
        self._desk.risk.holdings.reference_of = lambda symbol, around: (
            markets[symbol].reference_ticks
            if around == "last"
            else markets[symbol].instrument.reference_price_ticks
        )
        self._desk.risk.band_of = lambda symbol, bps, around: markets[symbol].price_band(
            bps, around
        )

    def use_account_settings(self) -> None:
        """The configuration's tiers and groups, and before them what an operator set."""
        desk = self._desk
        groups, tiers = (
            {
                **desk.settings.get(f"{name}s", {}),
                **{
                    account: settings[name]
                    for account, settings in desk.account_settings.items()
                    if name in settings
                },
            }
            for name in ("stp_group", "tier")
        )
        desk.ledger.tiers = {account: tier for account, tier in tiers.items() if tier}
        if desk.engine is not None:
            desk.engine.rules.groups = {a: group for a, group in groups.items() if group}

    def worth_nothing(self, symbol: str) -> str:
        """A warning, which is logged, too, if an order of the symbol may be worth less than money
        can be counted; "" if not."""
        desk = self._desk
        if self._executions.ledger is None or desk.rules < 3:
            return ""
        instrument = desk.instruments[symbol]
        warning = worth_nothing(instrument, desk.risk.least(instrument))
        if warning:
            desk.warnings.append(warning)
        return f", warning={warning}" if warning else ""

    def note_money_terms(self, seq: int) -> None:
        """What trades are settled by, from this line on."""
        desk = self._desk
        known, ledger = desk.money_terms, bool(desk.settings.get("ledger"))
        instruments = dict(desk.instruments)
        if desk.engine is not None and desk.rules > 2:  # trades of what was delisted can be busted
            for symbol, market in desk.engine.markets.items():
                instruments.setdefault(symbol, market.instrument)
        for symbol, instrument in instruments.items():
            terms = [ledger, *money_terms_of(instrument)]
            if symbol not in known or known[symbol][0] != terms:
                known[symbol] = (terms, seq)
