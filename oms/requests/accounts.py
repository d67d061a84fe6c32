"""Requests about accounts: create one, move money.

Each request has the account that asks and an id of its own, from the same names as the account's
orders: the same id with the same content again gets the same answer and no second effect.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from oms.errors import ValidationError
from oms.money import Number
from oms.requests.operators import check_why
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
    TRANSFER_IN = "TRANSFER_IN"
    TRANSFER_DONE = "TRANSFER_DONE"
    TRANSFER_BACK = "TRANSFER_BACK"


PLAIN = (FundsAction.CREATE, FundsAction.DEPOSIT, FundsAction.WITHDRAW, FundsAction.TRANSFER)
ENDS = (FundsAction.TRANSFER_DONE, FundsAction.TRANSFER_BACK)  # of a transfer between groups
TRANSFERS = (FundsAction.TRANSFER, FundsAction.TRANSFER_IN, *ENDS)
NAME_LENGTH_MAX = 32  # of a group of markets


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsRequest:
    """Create an account, or move money: DEPOSIT in, WITHDRAW out, TRANSFER to another account.

    action: a member, or its name. asset, amount: not for CREATE. amount: above 0, in whole units
        of the asset ("12.5").
    to_account: of a TRANSFER.
    from_group, to_group: of a TRANSFER between two groups of markets, whose ledgers are apart;
        otherwise "". It has three steps under one id, each with all fields of the first:
        TRANSFER at from_group takes the money out and has it in flight, TRANSFER_IN at to_group
        pays it in, or is refused for ever; then TRANSFER_DONE, or TRANSFER_BACK, at from_group.
        An api makes the second and third of its own accord (oms/roles/transfers.py).
    why: of a TRANSFER_BACK, what to_group refused it for.
    Raises ValidationError, naming the field.
    """

    account: str
    client_order_id: str
    action: FundsAction
    asset: str = ""
    amount: Number | None = None
    to_account: str = ""
    from_group: str = ""
    to_group: str = ""
    why: str = ""
    origin: Origin = NO_ORIGIN

    def __post_init__(self) -> None:
        check_id("account", self.account)
        check_id("client_order_id", self.client_order_id)
        check_origin(self.origin)
        set_field(self, "action", member_of("action", self.action, FundsAction))
        creates, transfers = self.action is FundsAction.CREATE, self.action in TRANSFERS
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
        self._check_groups()

    def _check_groups(self) -> None:
        groups = {"from_group": self.from_group, "to_group": self.to_group}
        for name, group in groups.items():
            check_optional_id(name, group)
            if len(group) > NAME_LENGTH_MAX:
                raise ValidationError(name, group, f"at most {NAME_LENGTH_MAX} characters")
        named = bool(self.from_group), bool(self.to_group)
        if any(named) and self.action not in TRANSFERS:
            name = "from_group" if self.from_group else "to_group"
            raise ValidationError(name, groups[name], "none but for TRANSFER")
        if named[0] != named[1] or (self.action not in PLAIN and not any(named)):
            raise ValidationError("to_group", self.to_group, "a group, as from_group is one")
        if self.from_group and self.from_group == self.to_group:
            raise ValidationError("to_group", self.to_group, "another group than from_group")
        check_why(self.why)
        if self.why and self.action is not FundsAction.TRANSFER_BACK:
            raise ValidationError("why", self.why, "none but for TRANSFER_BACK")

    @property
    def line(self) -> tuple[Any, ...]:
        return (
            "F", self.account, self.client_order_id, self.action.value, self.asset, self.amount,
            self.to_account,
            *((self.from_group, self.to_group, self.why) if self.from_group else ()), self.origin,
        )  # fmt: skip
