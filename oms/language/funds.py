"""Commands on accounts and money."""

from __future__ import annotations

from dataclasses import dataclass

from oms.controls import (
    FundsAction,
    FundsRequest,
    Request,
)
from oms.language.base import Amount, BaseCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAccount(BaseCommand):
    """Open the account that asks."""

    def _made(self) -> tuple[Request, ...]:
        return (_funds(self, FundsAction.CREATE),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Funds(BaseCommand):
    """An amount above 0, in whole units of an asset ("12.5")."""

    NUMBERS = ("amount",)

    asset: str
    amount: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFunds(_Funds):
    """Money comes in."""

    def _made(self) -> tuple[Request, ...]:
        return (_funds(self, FundsAction.DEPOSIT, self.asset, self.amount),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw(_Funds):
    """Money goes out, of what is available."""

    def _made(self) -> tuple[Request, ...]:
        return (_funds(self, FundsAction.WITHDRAW, self.asset, self.amount),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(_Funds):
    """Money goes to another account, of what is available."""

    to_account: str

    def _made(self) -> tuple[Request, ...]:
        return (_funds(self, FundsAction.TRANSFER, self.asset, self.amount, self.to_account),)


def _funds(
    command: BaseCommand,
    action: FundsAction,
    asset: str = "",
    amount: Amount | None = None,
    to_account: str = "",
) -> FundsRequest:
    return FundsRequest(
        account=command.account, client_order_id=command.client_order_id, action=action,
        asset=asset, amount=amount, to_account=to_account,
    )  # fmt: skip
