"""Questions; answered at once from what is published."""

from __future__ import annotations

from dataclasses import dataclass

from oms.errors import ValidationError
from oms.requests import check_id

LEVELS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GetDepth:
    """The best prices of a symbol and what is shown there; at most depth_levels a side."""

    symbol: str
    levels: int = 10

    def __post_init__(self) -> None:
        check_id("symbol", self.symbol)
        if type(self.levels) is not int or not 1 <= self.levels <= LEVELS_MAX:
            raise ValidationError("levels", self.levels, f"1 to {LEVELS_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBalance:
    """What an account has, by asset."""

    account: str

    def __post_init__(self) -> None:
        check_id("account", self.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOrder:
    """How an order of the account stands, by any id it has had."""

    account: str
    client_order_id: str

    def __post_init__(self) -> None:
        check_id("account", self.account)
        check_id("client_order_id", self.client_order_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOpenOrders:
    """How every open order of the account stands, oldest first; of one symbol, if given."""

    account: str
    symbol: str = ""

    def __post_init__(self) -> None:
        check_id("account", self.account)
        if self.symbol:
            check_id("symbol", self.symbol)
