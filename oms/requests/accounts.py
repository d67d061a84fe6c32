"""Requests about accounts: create one, move money.

Each request has the account that asks and an id of its own, from the same names as the account's
orders: the same id with the same content again gets the same answer and no second effect.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from oms.errors import ValidationError
from oms.money import Number
from oms.requests.orders import (
    NO_ORIGIN,
    Origin,
    check_id,
    check_optional_id,
    check_origin,
    member_of,
    number_of,
    set_field,
)


class FundsAction(StrEnum):
    CREATE = "CREATE"
    DEPOSIT = "DEPOSIT"
    WITHDRAW = "WITHDRAW"
    TRANSFER = "TRANSFER"


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsRequest:
    """Create an account, or move money: DEPOSIT in, WITHDRAW out, TRANSFER to another account.

    action: a member, or its name. asset, amount: not for CREATE. amount: above 0, in whole units
        of the asset ("12.5").
    to_account: of a TRANSFER. Raises ValidationError, naming the field.
    """

    account: str
    client_order_id: str
    action: FundsAction
    asset: str = ""
    amount: Number | None = None
    to_account: str = ""
    origin: Origin = NO_ORIGIN

    def __post_init__(self) -> None:
        check_id("account", self.account)
        check_id("client_order_id", self.client_order_id)
        check_origin(self.origin)
        set_field(self, "action", member_of("action", self.action, FundsAction))
        creates, transfers = self.action is FundsAction.CREATE, self.action is FundsAction.TRANSFER
        check_optional_id("asset", self.asset)
        check_optional_id("to_account", self.to_account)
        if creates != (self.amount is None) or creates != (self.asset == ""):
            raise ValidationError("amount", self.amount, "asset and amount, but not for CREATE")
        if not creates:
            check_id("asset", self.asset)
            set_field(self, "amount", number_of("amount", self.amount))
        if transfers:
            check_id("to_account", self.to_account)
        elif self.to_account != "":
            raise ValidationError("to_account", self.to_account, "none but for TRANSFER")

    @property
    def line(self) -> tuple[Any, ...]:
        return (
            "F", self.account, self.client_order_id, self.action.value, self.asset, self.amount,
            self.to_account, self.origin,
        )  # fmt: skip
