"""Events: what happens in the order manager, as the message that a WebSocket is told.

The same whether it happens now or is read from the store for whoever was away.
"""

from typing import Final, cast

from oms.gateways.web.market_shapes import AuctionTold
from oms.gateways.web.messages import (
    AuctionEvent,
    BalanceEvent,
    CandleFacts,
    FillEvent,
    MarketEvent,
    OrderEvent,
    ReportEvent,
    TradeEvent,
    TradeFacts,
)
from oms.gateways.web.shapes import FillTold, OrderTold, ReportTold
from oms.gateways.web.told import (
    Told,
    auction_told,
    candle_told,
    decimal_told,
    report_told,
    trade_told,
)
from oms.market_data import (
    BalanceChange,
    Candle,
    IndicativePrice,
    MarketState,
    TradeBust,
    TradeCorrection,
    TradePrint,
)
from oms.market_data import TradeEvent as Traded
from oms.responses import OrderResponse

DEPTH: Final = "depth"
TRADES: Final = "trades"
TICKER: Final = "ticker"
CANDLES: Final = "candles"
AUCTION: Final = "auction"
MARKETS: Final = "markets"
SESSION: Final = "session"
ORDERS: Final = "orders"
REPORTS: Final = "reports"
FILLS: Final = "fills"
BALANCES: Final = "balances"
HEARTBEAT: Final = "heartbeat"


def order_event(response: OrderResponse, data: Told) -> OrderEvent:
    """data: how its order stands."""
    report = response.report
    return {
        "channel": ORDERS, "event": report.type, "seq": str(report.journal_seq),
        "number": report.number, "account": report.account, "data": cast(OrderTold, data),
    }  # fmt: skip


def fill_event(response: OrderResponse, data: Told) -> FillEvent:
    report = response.report
    return {
        "channel": FILLS, "seq": str(report.journal_seq), "number": report.number,
        "account": report.account, "data": cast(FillTold, data),
    }  # fmt: skip


def report_event(response: OrderResponse) -> ReportEvent:
    """The report itself, of an order or of any other request of the account."""
    report = response.report
    return {
        "channel": REPORTS, "seq": str(report.journal_seq), "number": report.number,
        "account": report.account, "data": cast(ReportTold, report_told(response)),
    }  # fmt: skip


def trade_event(traded: Traded, number: int) -> TradeEvent:
    """number: its place among the turn's trades, busts and corrections of the symbol."""
    facts: TradeFacts
    if isinstance(traded, TradePrint):
        facts, event = cast(TradeFacts, trade_told(traded)), "TRADE"
    else:
        event = "BUST" if isinstance(traded, TradeBust) else "CORRECTION"
        facts = _change_told(traded)
    return cast(TradeEvent, {
        "channel": TRADES, "event": event, "seq": str(traded.seq), "number": number,
        "data": facts,
    })  # fmt: skip


def _change_told(change: TradeBust | TradeCorrection) -> TradeFacts:
    return {
        "tradeId": str(change.match_number), "executionId": change.execution_id,
        "symbol": change.symbol, "price": decimal_told(change.price),
        "quantity": decimal_told(change.quantity),
    }  # fmt: skip


def market_event(state: MarketState) -> MarketEvent:
    return {
        "channel": MARKETS, "seq": str(state.seq), "number": state.number,
        "data": {"symbol": state.symbol, "phase": state.phase.value,
                 "reason": state.reason or None},
    }  # fmt: skip


def auction_event(found: IndicativePrice) -> AuctionEvent:
    return {
        "channel": AUCTION, "seq": str(found.seq), "number": found.number,
        "data": cast("AuctionTold", auction_told(found.symbol, found)),
    }  # fmt: skip


def balance_event(change: BalanceChange) -> BalanceEvent:
    return {
        "channel": BALANCES, "seq": str(change.seq), "number": change.number,
        "data": {"account": change.account, "asset": change.asset,
                 "available": decimal_told(change.available),
                 "reserved": decimal_told(change.reserved)},
    }  # fmt: skip


def candle_facts(candle: Candle, width: str) -> CandleFacts:
    return cast(CandleFacts, {"symbol": candle.symbol, "width": width, **candle_told(candle)})
