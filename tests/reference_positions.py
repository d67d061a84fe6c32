"""Positions, reckoned as one would on paper: every fill kept, nothing rounded, all done anew.

The twin of oms/positions.py. It knows trades as (account, symbol, side, price, lots, fee) in a
list, strikes out or overwrites what was busted or corrected, and then walks through the list with
Fractions.
"""

from fractions import Fraction


class PlainFill:
    def __init__(self, report):
        self.key = report.account, report.symbol
        self.name = report.execution_id
        self.signed = report.last_quantity_lots * (1 if report.side == "BUY" else -1)
        self.price = report.last_price_ticks
        self.fee = int(report.fee or 0)

    def change(self, report):
        fee = int(report.fee or 0)
        if report.type == "TRADE_BUSTED":
            self.signed, self.fee = 0, self.fee + fee
        else:
            direction = 1 if self.signed > 0 else -1
            self.signed, self.price = direction * report.last_quantity_lots, report.last_price_ticks
            self.fee = fee


class PlainPosition:
    """average: cost of one lot, exactly. earned: what was realized; in ticks times lots."""

    def __init__(self):
        self.lots, self.average, self.earned, self.fees = 0, Fraction(0), Fraction(0), 0
        self.lessened = 0  # so many fills took off a part of it

    def add(self, fill):
        self.fees += fill.fee
        for _ in range(2):  # a fill through zero is two: one that closes, one that opens
            more = fill.signed
            if self.lots * more < 0:
                closing = min(abs(self.lots), abs(more))
                gain = (fill.price - self.average) * closing
                self.earned += gain if self.lots > 0 else -gain
                self.lessened += 1
                more = closing if more > 0 else -closing
            elif more:
                whole = self.average * abs(self.lots) + fill.price * abs(more)
                self.average = whole / (abs(self.lots) + abs(more))
            self.lots += more
            if not self.lots:
                self.average = Fraction(0)
            fill = Rest(fill.signed - more, fill.price)

    @property
    def cost(self):
        return self.average * self.lots


class Rest:
    fee = 0

    def __init__(self, signed, price):
        self.signed, self.price = signed, price


def plain_positions(reports):
    """(account, symbol) -> PlainPosition, and symbol -> last price, by all reports there are."""
    fills = {r.execution_id: PlainFill(r) for r in reports if r.type == "TRADE"}
    symbols = {}
    for report in reports:
        if report.type in ("TRADE_BUSTED", "TRADE_CORRECTED"):
            name = report.reason.split(": trade=")[1].split(",")[0]
            fills[name].change(report)
    found = {}
    for fill in fills.values():
        found.setdefault(fill.key, PlainPosition()).add(fill)
        if fill.signed:
            symbols[fill.key[1]] = fill.price
    return found, symbols
