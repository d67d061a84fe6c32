"""Told: orders, reports, trades and markets as objects of JSON, the same for REST and WebSocket.

Prices, quantities and money are decimals as text. Ids, sequences and nanoseconds are text, too:
they pass 2^53, beyond which JavaScript has no whole numbers.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from oms.answers import Movement, Transfer
from oms.enums import OrderState, Side
from oms.gateways.web.fields import reason_told
from oms.instruments import Instrument
from oms.market_data import Candle, IndicativePrice, Level, TradePrint
from oms.money import to_text
from oms.positions import Pnl, Position, Trade
from oms.responses import OrderResponse
from oms.turn.details import OrderDetails

Told = dict[str, Any]
REPORTS_MAX = 1_000  # in the answer to one request


def order_told(response: OrderResponse, details: OrderDetails | None) -> Told:
    """How an order stands, and what it is for; details: None of a request that made no order.

    clientOrderId is the order's own for as long as it lives; requestClientOrderId that of the
    request told of here: of the order itself, of a change or a cancel; null if nobody asked.
    """
    report, instrument = response.report, response.instrument
    told: Told = {
        "orderId": str(report.order_id),
        "clientOrderId": details.client_order_id if details else report.client_order_id,
        "requestClientOrderId": report.client_order_id if report.request_seq else None,
        "account": report.account, "symbol": report.symbol, "side": report.side,
    }  # fmt: skip
    if details is not None:
        told.update(details_told(details))
    told["status"] = report.state
    if instrument is not None:
        quantity = instrument.quantity_scale
        told["filledQuantity"] = to_text(report.cumulative_lots, quantity)
        told["openQuantity"] = to_text(report.leaves_lots, quantity)
        told["averagePrice"] = decimal_told(response.average_price)
    if report.reason:
        reason = response.reason
        if reason is not None:
            told["reason"] = reason.value
        told["text"] = reason_told(report.reason)
    told["seq"] = str(report.journal_seq)
    told["time"] = str(report.wall_ns)
    return told


def details_told(details: OrderDetails) -> Told:
    """What an order is for; terms that it does not have are left out."""
    told: Told = {
        "type": details.type, "timeInForce": details.time_in_force,
        "price": decimal_told(details.price), "quantity": decimal_told(details.quantity),
    }  # fmt: skip
    return told | {
        name: value
        for name, value in (
            ("hold", details.hold or None),
            ("stopPrice", decimal_told(details.stop_price)),
            ("displayQuantity", decimal_told(details.display_quantity)),
            ("postOnly", details.post_only),
            ("expireTime", str(details.expire_ns) if details.expire_ns else None),
            ("minQuantity", decimal_told(details.min_quantity)),
            ("quoteQuantity", decimal_told(details.quote_quantity)),
            ("protectionPrice", decimal_told(details.protection_price)),
            ("ocoWith", details.oco_with or None),
            ("selfTrade", details.self_trade),
        )
        if value is not None
    }


def fill_told(response: OrderResponse, own_id: str = "") -> Told:
    """One fill of an order, for its owner. own_id: the order's own client order id, where a modify
    may have given it another since."""
    report, instrument = response.report, response.instrument
    price, quantity, fee = instrument.scales if instrument is not None else (0, 0, 0)
    return {
        "tradeId": str(report.match_number), "executionId": report.execution_id,
        "orderId": str(report.order_id), "clientOrderId": own_id or report.client_order_id,
        "account": report.account, "symbol": report.symbol, "side": report.side,
        "price": to_text(report.last_price_ticks, price),
        "quantity": to_text(report.last_quantity_lots, quantity),
        "fee": to_text(response.fee_units, fee),
        "feeAsset": instrument.quote if instrument is not None else "",
        "liquidity": report.liquidity, "time": str(report.wall_ns),
    }  # fmt: skip


def report_told(response: OrderResponse) -> Told:
    """One execution report with all that it says, as the library's OrderResponse has it.

    namedSeq: the request whose client order id it bears. fee: null where there is none to tell.
    """
    report, instrument = response.report, response.instrument
    price, quantity, quote = instrument.scales if instrument is not None else (0, 0, 0)
    return {
        "seq": str(report.journal_seq), "number": report.number,
        "orderId": str(report.order_id), "requestSeq": str(report.request_seq),
        "namedSeq": str(report.named_seq), "account": report.account,
        "clientOrderId": report.client_order_id, "symbol": report.symbol, "side": report.side,
        "type": report.type, "status": report.state,
        "lastPrice": to_text(report.last_price_ticks, price),
        "lastQuantity": to_text(report.last_quantity_lots, quantity),
        "filledQuantity": to_text(report.cumulative_lots, quantity),
        "openQuantity": to_text(report.leaves_lots, quantity),
        "notional": to_text(response.notional_units, price + quantity),
        "fee": to_text(response.fee_units, quote) if report.fee else None,
        "liquidity": report.liquidity, "text": report.reason,
        "tradeId": str(report.match_number), "waitedNs": str(report.waited_ns),
        "venueNs": str(report.venue_ns), "time": str(report.wall_ns),
    }  # fmt: skip


def reports_told(response: OrderResponse) -> list[Told]:
    """What a request did at once: the first report, which answers the request itself, and the
    latest of the others, REPORTS_MAX in all; the last is how the order stands."""
    reports = response.reports or (response,)
    if len(reports) > REPORTS_MAX:
        reports = (reports[0], *reports[1 - REPORTS_MAX :])
    return [report_told(each) for each in reports]


def trade_told(trade: TradePrint) -> Told:
    """One trade of a market, for everybody: whose orders they were is nobody's business."""
    return {
        "tradeId": str(trade.match_number), "executionId": trade.execution_id,
        "symbol": trade.symbol, "price": decimal_told(trade.price),
        "quantity": decimal_told(trade.quantity),
        "takerSide": trade.taker_side or None, "seq": str(trade.seq),
        "time": str(trade.wall_ns),
    }  # fmt: skip


def past_trade_told(trade: Trade) -> Told:
    """One trade of a market's history, as it stands, for everybody."""
    return {
        "tradeId": str(trade.match_number), "executionId": trade.execution_id,
        "symbol": trade.symbol, "price": decimal_told(trade.price),
        "quantity": decimal_told(trade.quantity), "takerSide": trade.aggressor or None,
        "status": trade.status or None, "tradedPrice": decimal_told(trade.traded_price),
        "tradedQuantity": decimal_told(trade.traded_quantity), "time": str(trade.wall_ns),
    }  # fmt: skip


def own_trades_told(trade: Trade, account: str, instrument: Instrument | None) -> list[Told]:
    """The same for the account, from its side; from both, if it traded with itself."""
    sides = (
        (Side.BUY, trade.buy_account, trade.buy_order_id, trade.buy_fee),
        (Side.SELL, trade.sell_account, trade.sell_order_id, trade.sell_fee),
    )
    return [
        {
            **past_trade_told(trade), "account": account, "side": side.value,
            "orderId": str(order_id), "fee": decimal_told(fee),
            "feeAsset": instrument.quote if instrument is not None else "",
        }
        for side, owner, order_id, fee in sides
        if owner == account
    ]  # fmt: skip


def position_told(position: Position) -> Told:
    """quantity: below zero if more was sold than bought; null: no position, or no price."""
    return {
        "symbol": position.symbol, "quantity": decimal_told(position.quantity),
        "averageCost": decimal_told(position.average_cost), "cost": decimal_told(position.cost),
        "realized": decimal_told(position.realized),
        "unrealized": decimal_told(position.unrealized), "fees": decimal_told(position.fees),
        "lastPrice": decimal_told(position.last_price), "asset": position.quote,
    }  # fmt: skip


def pnl_told(pnl: Pnl) -> Told:
    """The sums over all positions of one quote asset."""
    return {
        "asset": pnl.asset, "realized": decimal_told(pnl.realized),
        "unrealized": decimal_told(pnl.unrealized), "fees": decimal_told(pnl.fees),
        "net": decimal_told(pnl.net),
    }  # fmt: skip


def movement_told(movement: Movement) -> Told:
    """One amount of one asset, in or out of an account."""
    return {
        "seq": str(movement.seq), "executionId": movement.execution_id,
        "time": str(movement.wall_ns), "asset": movement.asset,
        "amount": decimal_told(movement.amount), "kind": movement.kind,
        "orderId": str(movement.order_id) if movement.order_id else None,
        "clientOrderId": movement.client_order_id, "symbol": movement.symbol or None,
        "otherAccount": movement.other or None,
    }  # fmt: skip


def levels_told(levels: Iterable[Level], scales: tuple[int, int]) -> list[list[str]]:
    """Price and quantity of each level, best first. scales: of prices and quantities."""
    price, quantity = scales
    return [[to_text(ticks, price), to_text(lots, quantity)] for ticks, lots in levels]


def instrument_told(instrument: Instrument, phase: str | None) -> Told:
    """What is traded, on which grid, at which fees, and whether it trades now."""
    price = instrument.price_scale
    return {
        "symbol": instrument.symbol, "base": instrument.base, "quote": instrument.quote,
        "phase": phase,
        "priceScale": price, "quantityScale": instrument.quantity_scale,
        "tickSize": instrument.tick_size_text, "lotSize": instrument.lot_size_text,
        "tickTable": [
            {"from": to_text(at, price), "tickSize": to_text(step, price)}
            for at, step in instrument.tick_table
        ],
        "makerFeeBps": instrument.maker_fee_bps, "takerFeeBps": instrument.taker_fee_bps,
        "referencePrice": to_text(instrument.reference_price_ticks, price)
        if instrument.reference_price_ticks else None,
        "baseScale": instrument.base_scale, "quoteScale": instrument.quote_scale,
        "marketOrder": instrument.market_order.value,
        "marketSlippageBps": instrument.market_slippage_bps,
        "breakerBandBps": instrument.breaker_band_bps,
        "auctionBandBps": instrument.auction_band_bps,
    }  # fmt: skip


def auction_told(symbol: str, found: IndicativePrice | None) -> Told:
    """What an auction would trade if it ended now; all null where there is no call."""
    return {
        "symbol": symbol,
        "price": decimal_told(found.price if found else None),
        "volume": decimal_told(found.volume if found else None),
        "surplus": decimal_told(found.surplus if found else None),
    }


# A limit of the exchange -> the filter that says so, and of which numbers it is.
FILTERS = {
    "quantity_min": "minQuantity", "quantity_max": "maxQuantity",
    "market_quantity_max": "maxMarketQuantity", "notional_min": "minNotional",
    "notional_max": "maxNotional", "market_notional_max": "maxMarketNotional",
}  # fmt: skip


def filters_told(limits: Mapping[str, str]) -> Told:
    """What an order of a market may be, beside its grid; null where nothing limits it."""
    told: Told = {name: limits.get(limit) for limit, name in FILTERS.items()}
    band = limits.get("price_band_bps")
    told["priceBandBps"] = int(band) if band else None
    told["priceBandAround"] = limits.get("price_band_around", "last") if band else None
    return told


def candle_told(candle: Candle) -> Told:
    """One span of time. changed: how many of its trades were busted or corrected since they were
    told."""
    return {
        "start": str(candle.start_ns), "end": str(candle.end_ns),
        "open": decimal_told(candle.open), "high": decimal_told(candle.high),
        "low": decimal_told(candle.low), "close": decimal_told(candle.close),
        "volume": decimal_told(candle.volume), "quoteVolume": decimal_told(candle.quote_volume),
        "vwap": decimal_told(candle.vwap), "count": candle.count, "changed": candle.changed,
    }  # fmt: skip


def statistics_told(day: Candle) -> Told:
    """The last 24 hours of a market, for its ticker."""
    told = candle_told(day)
    return {
        **{name: told[name] for name in (
            "open", "high", "low", "volume", "quoteVolume", "vwap", "count"
        )},
        "change": decimal_told(day.change), "from": told["start"], "to": told["end"],
    }  # fmt: skip


def balances_told(balances: Mapping[str, tuple[Decimal, Decimal]]) -> list[Told]:
    """What an account owns of each asset."""
    return [
        {"asset": asset, "available": decimal_told(available), "reserved": decimal_told(reserved)}
        for asset, (available, reserved) in sorted(balances.items())
    ]


def transfer_told(found: Transfer) -> Told:
    """A transfer between groups, as the one that the money leaves knows it."""
    return {
        "account": found.account, "clientOrderId": found.client_order_id, "asset": found.asset,
        "amount": decimal_told(found.amount), "toAccount": found.to_account,
        "fromGroup": found.from_group, "toGroup": found.to_group, "seq": str(found.seq),
        "time": str(found.wall_ns), "state": found.state.value, "why": found.text or None,
    }  # fmt: skip


def decimal_told(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


def ended(response: OrderResponse) -> bool:
    """Is it over with the order?"""
    state = response.report.state
    return bool(state) and OrderState(state).terminal
