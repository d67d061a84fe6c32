"""Told: what the server answers, as the types of the library.

Flow:  JSON -> [told] -> OrderResponse, DepthSnapshot, Instrument ...
An answer that is not as docs/api.md says raises GarbledError, whatever is wrong with it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from typing import Any

from oms.answers import CalendarWindow, DryRun, Movement, Room, Transfer
from oms.enums import MarketOrderPolicy, Phase, ResponseType, Side, TransferState
from oms.errors import OMSError, ServerError
from oms.instruments import Instrument
from oms.market_data import (
    BalanceChange,
    Candle,
    DepthSnapshot,
    DepthUpdate,
    IndicativePrice,
    Level,
    MarketState,
    TopOfBook,
    TradeBust,
    TradeCorrection,
    TradeEvent,
    TradePrint,
)
from oms.money import to_units
from oms.positions import Pnl, Position, Trade
from oms.reports import CODES, COMMAND_ANSWERS, NUMBER_BITS, NUMBER_MASK, Report
from oms.responses import AccountSnapshot, OrderResponse

Told = dict[str, Any]
Instruments = Callable[[str], Instrument | None]
"""By symbol; None: no such symbol was ever traded."""
Balances = dict[str, tuple[Decimal, Decimal]]
TEXT_LENGTH_MAX = 64  # of a number


class GarbledError(ServerError):
    """The answer is none that the server gives."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Around the reading of an answer: whatever does not fit makes it GarbledError."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        name = type(error).__name__
        raise GarbledError(f"{what}: not an answer of this server ({name}: {error})") from error
    except OMSError as error:
        if isinstance(error, ServerError):
            raise
        raise GarbledError(f"{what}: not an answer of this server ({error})") from error


def whole(value: object) -> int:
    """A whole number as text; sequences and ids."""
    if not isinstance(value, str) or not value.isascii() or not value.isdecimal():
        raise ValueError(f"a whole number as text, not {value!r:.80}")
    if len(value) > TEXT_LENGTH_MAX:
        raise ValueError("a number of too many digits")
    return int(value)


def text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text, not {value!r:.80}")
    return value


def count(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"a whole number, not {value!r:.80}")
    return value


def rows(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"a list, not {value!r:.80}")
    return value


def decimal(value: object) -> Decimal:
    found = Decimal(text(value)) if len(text(value)) <= 2 * TEXT_LENGTH_MAX else Decimal("NaN")
    if not found.is_finite():
        raise ValueError(f"a number, not {value!r:.80}")
    return found


def decimal_or_none(value: object) -> Decimal | None:
    return None if value is None else decimal(value)


# --- orders ---


def report_of(told: Told, instruments: Instruments) -> OrderResponse:
    """One execution report."""
    symbol, kind = text(told["symbol"]), ResponseType(told["type"])
    of_market = symbol and kind.value not in COMMAND_ANSWERS  # else it is an asset, say
    instrument = instruments(symbol) if of_market else None
    price, quantity, quote = instrument.scales if instrument is not None else (0, 0, 0)
    seq, number, order_id = whole(told["seq"]), count(told["number"]), whole(told["orderId"])
    if not 0 <= number <= NUMBER_MASK:
        raise ValueError("a number within a turn")
    state, side = text(told["status"]), text(told["side"])
    notional = Fraction(decimal(told["notional"])) * 10 ** (price + quantity)
    fee = told["fee"]
    return OrderResponse(
        Report(
            seq << NUMBER_BITS | number, order_id, whole(told["requestSeq"]),
            whole(told["namedSeq"]) - order_id, CODES[kind.value, state],
            to_units("lastPrice", text(told["lastPrice"]), price),
            to_units("lastQuantity", text(told["lastQuantity"]), quantity),
            to_units("filledQuantity", text(told["filledQuantity"]), quantity),
            to_units("openQuantity", text(told["openQuantity"]), quantity),
            str(notional) if notional else "", text(told["liquidity"]), text(told["text"]),
            "" if fee is None else str(to_units("fee", text(fee), quote)), whole(told["tradeId"]),
            whole(told["waitedNs"]), whole(told["venueNs"]), kind.value, state,
            text(told["account"]), text(told["clientOrderId"]), symbol,
            Side(side).value if side else "", whole(told["time"]),
        ),
        instrument,
    )  # fmt: skip


def answer_of(told: Told, instruments: Instruments) -> OrderResponse:
    """How the order of a request stands, from all reports that it made at once."""
    found = [report_of(each, instruments) for each in rows(told["reports"])]
    last = found[-1]
    return OrderResponse(last.report, last.instrument, at_once=[each.report for each in found])


def standing_of(told: Told, instruments: Instruments) -> OrderResponse:
    """How an order stands, that is told with its one report."""
    [report] = rows(told["reports"])
    return report_of(report, instruments)


def snapshot_of(told: Told, instruments: Instruments) -> AccountSnapshot:
    """Open orders and balances of one instant."""
    orders = [report_of(each, instruments) for each in rows(told["reports"])]
    return AccountSnapshot(whole(told["seq"]), orders, balances_of(told["balances"]))


def balances_of(told: object) -> Balances:
    return {
        text(each["asset"]): (decimal(each["available"]), decimal(each["reserved"]))
        for each in rows(told)
    }


def position_of(told: Told, account: str) -> Position:
    return Position(
        account, text(told["symbol"]), decimal(told["quantity"]),
        decimal_or_none(told["averageCost"]), decimal(told["cost"]), decimal(told["realized"]),
        decimal(told["unrealized"]), decimal(told["fees"]), decimal_or_none(told["lastPrice"]),
        text(told["asset"]),
    )  # fmt: skip


def pnl_of(told: Told) -> Pnl:
    return Pnl(
        text(told["asset"]), decimal(told["realized"]), decimal(told["unrealized"]),
        decimal(told["fees"]), decimal(told["net"]),
    )  # fmt: skip


def movement_of(told: Told, account: str) -> Movement:
    execution_id = text(told["executionId"])
    return Movement(
        seq=whole(told["seq"]), number=whole(execution_id.partition("-")[2]),
        execution_id=execution_id, wall_ns=whole(told["time"]), account=account,
        asset=text(told["asset"]), amount=decimal(told["amount"]), kind=text(told["kind"]),
        order_id=whole(told["orderId"] or "0"), client_order_id=text(told["clientOrderId"]),
        symbol=text(told["symbol"] or ""), other=text(told["otherAccount"] or ""),
    )  # fmt: skip


def transfer_of(told: Told) -> Transfer:
    return Transfer(
        text(told["account"]), text(told["clientOrderId"]), text(told["asset"]),
        decimal(told["amount"]), text(told["toAccount"]), text(told["fromGroup"]),
        text(told["toGroup"]), whole(told["seq"]), whole(told["time"]),
        TransferState(told["state"]), text(told["why"] or ""),
    )  # fmt: skip


def traded_by(told: list[Any]) -> list[Trade]:
    """Trades, newest first as a page has them, oldest first. What is told of a side, of which
    there is one where an account traded with another, or none, is put in its place."""
    found: dict[str, Trade] = {}
    for each in told:
        trade = _past_trade_of(each)
        trade = found.get(trade.execution_id, trade)
        if "side" in each:
            side = Side(each["side"]).value.lower()
            fields: dict[str, Any] = {
                "order_id": whole(each["orderId"]), "account": text(each["account"]),
                "fee": decimal(each["fee"]),
            }  # fmt: skip
            trade = trade._replace(**{f"{side}_{name}": value for name, value in fields.items()})
        found[trade.execution_id] = trade
    return list(reversed(found.values()))


def _past_trade_of(told: Told) -> Trade:
    nothing = Decimal(0)
    return Trade(
        text(told["executionId"]), whole(told["tradeId"]), text(told["symbol"]),
        whole(told["time"]), text(told["takerSide"] or ""), decimal(told["price"]),
        decimal(told["quantity"]), decimal(told["tradedPrice"]), decimal(told["tradedQuantity"]),
        text(told["status"] or ""), 0, "", nothing, 0, "", nothing,
    )  # fmt: skip


def tried_of(
    told: Told, instruments: Iterable[Instrument], instrument: Instrument | None
) -> DryRun:
    """Of a request that would be accepted. instrument: of a new order."""
    room = None
    if told["room"] is not None and instrument is not None:
        room = _room_of(told["room"], instrument)
    if told["asset"] is None:
        return DryRun("", room=room)
    asset = text(told["asset"])
    scale = asset_scale(asset, instruments)
    return DryRun("", to_units("reserved", text(told["reserved"]), scale), asset, scale, room)


def _room_of(told: Told, instrument: Instrument) -> Room:
    scales = instrument.quantity_scale, instrument.quote_scale
    lots, units = (
        None if told[name] is None else to_units(name, text(told[name]), scale)
        for name, scale in zip(("quantity", "value"), scales, strict=True)
    )
    return Room(None if told["orders"] is None else count(told["orders"]), lots, units, *scales)


# --- markets ---


def instrument_of(told: Told) -> Instrument:
    price, quantity = count(told["priceScale"]), count(told["quantityScale"])
    reference = told["referencePrice"]
    return Instrument(
        symbol=text(told["symbol"]), price_scale=price, quantity_scale=quantity,
        tick_size=to_units("tickSize", text(told["tickSize"]), price),
        lot_size=to_units("lotSize", text(told["lotSize"]), quantity),
        market_order=MarketOrderPolicy(told["marketOrder"]),
        base=text(told["base"]), quote=text(told["quote"]),
        base_scale=count(told["baseScale"]), quote_scale=count(told["quoteScale"]),
        maker_fee_bps=count(told["makerFeeBps"]), taker_fee_bps=count(told["takerFeeBps"]),
        reference_price_ticks=0 if reference is None else to_units("price", reference, price),
        market_slippage_bps=count(told["marketSlippageBps"]),
        breaker_band_bps=count(told["breakerBandBps"]),
        auction_band_bps=count(told["auctionBandBps"]),
        tick_table=tuple(
            (to_units("from", text(each["from"]), price),
             to_units("tickSize", text(each["tickSize"]), price))
            for each in rows(told["tickTable"])
        ),
    )  # fmt: skip


def _levels(told: object, instrument: Instrument) -> tuple[Level, ...]:
    return tuple(
        (to_units("price", text(price), instrument.price_scale),
         to_units("quantity", text(quantity), instrument.quantity_scale))
        for price, quantity in rows(told)
    )  # fmt: skip


def book_of(told: Told, last_id: str, instrument: Instrument) -> DepthSnapshot:
    """last_id: the field that names the last update in it."""
    return DepthSnapshot(
        instrument.symbol, whole(told[last_id]), _levels(told["bids"], instrument),
        _levels(told["asks"], instrument), instrument.price_scale, instrument.quantity_scale,
    )  # fmt: skip


def update_of(told: Told, instrument: Instrument) -> DepthUpdate:
    return DepthUpdate(
        whole(told["seq"]), 0, instrument.symbol, whole(told["firstId"]), whole(told["lastId"]),
        _levels(told["bids"], instrument), _levels(told["asks"], instrument),
        instrument.price_scale, instrument.quantity_scale,
    )  # fmt: skip


def trade_of(told: Told, instrument: Instrument, number: int = 0) -> TradePrint:
    """Whose orders they were nobody is told: both order ids are 0."""
    price, quantity = instrument.price_scale, instrument.quantity_scale
    return TradePrint(
        whole(told["seq"]), number, instrument.symbol, text(told["executionId"]),
        whole(told["tradeId"]), text(told["takerSide"] or ""),
        to_units("price", text(told["price"]), price),
        to_units("quantity", text(told["quantity"]), quantity), whole(told["time"]), 0, 0, price,
        quantity,
    )  # fmt: skip


def traded_of(told: Told, instrument: Instrument) -> TradeEvent:
    """A message of the channel trades."""
    data, number = told["data"], count(told["number"])
    if told["event"] == "TRADE":
        return trade_of(data, instrument, number)
    price, quantity = instrument.price_scale, instrument.quantity_scale
    kinds: dict[str, type[TradeBust | TradeCorrection]] = {
        "BUST": TradeBust, "CORRECTION": TradeCorrection,
    }  # fmt: skip
    return kinds[told["event"]](
        whole(told["seq"]), number, instrument.symbol, text(data["executionId"]),
        whole(data["tradeId"]), to_units("price", text(data["price"]), price),
        to_units("quantity", text(data["quantity"]), quantity), price, quantity,
    )  # fmt: skip


def top_of(told: Told, instrument: Instrument, seq: int) -> TopOfBook:
    """A ticker, without its last trade."""
    [bid] = _levels([told["bid"] or ["0", "0"]], instrument)
    [ask] = _levels([told["ask"] or ["0", "0"]], instrument)
    scales = instrument.price_scale, instrument.quantity_scale
    return TopOfBook(seq, 0, instrument.symbol, *bid, *ask, *scales)


def state_of(told: Told) -> MarketState:
    """A message of the channel markets."""
    data = told["data"]
    return MarketState(
        whole(told["seq"]), count(told["number"]), text(data["symbol"]), Phase(data["phase"]),
        text(data["reason"] or ""),
    )  # fmt: skip


def window_of(told: Told) -> CalendarWindow:
    """One stretch of trading."""
    return CalendarWindow(
        text(told["tradingDate"]), whole(told["opens"]), whole(told["closes"]), text(told["note"]),
        [(Phase(each["phase"]), whole(each["from"])) for each in rows(told["phases"])],
    )  # fmt: skip


def indicative_of(data: Told, seq: int, number: int, instrument: Instrument) -> IndicativePrice:
    """What an auction would trade: the answer of a route, or the data of a message."""
    price, quantity = instrument.price_scale, instrument.quantity_scale
    return IndicativePrice(
        seq, number, instrument.symbol,
        to_units("price", text(data["price"] or "0"), price),
        to_units("volume", text(data["volume"] or "0"), quantity),
        to_units("surplus", text(data["surplus"] or "0"), quantity), price, quantity,
    )  # fmt: skip


def balance_of(
    told: Told, account: str, instruments: Iterable[Instrument], seq: int, number: int
) -> BalanceChange:
    """What an account has of an asset: a row of balances."""
    asset = text(told["asset"])
    scale = asset_scale(asset, instruments)
    return BalanceChange(
        seq, number, account, asset, to_units("available", text(told["available"]), scale),
        to_units("reserved", text(told["reserved"]), scale), scale,
    )  # fmt: skip


def asset_scale(asset: str, instruments: Iterable[Instrument]) -> int:
    """Of an asset that nothing is traded in the most decimals that one may have."""
    for each in instruments:
        if asset == each.base:
            return each.base_scale
        if asset == each.quote:
            return each.quote_scale
    return 12


def candle_of(told: Told, instrument: Instrument) -> Candle:
    price, quantity = instrument.price_scale, instrument.quantity_scale

    def ticks(name: str) -> int | None:
        return None if told[name] is None else to_units(name, text(told[name]), price)

    return Candle(
        symbol=instrument.symbol, start_ns=whole(told["start"]), end_ns=whole(told["end"]),
        open_ticks=ticks("open"), high_ticks=ticks("high"), low_ticks=ticks("low"),
        close_ticks=ticks("close"), volume_lots=to_units("volume", text(told["volume"]), quantity),
        notional=int(Fraction(decimal(told["quoteVolume"])) * 10 ** (price + quantity)),
        count=count(told["count"]), changed=count(told["changed"]), price_scale=price,
        quantity_scale=quantity,
    )  # fmt: skip
