"""Operators' commands."""

from __future__ import annotations

from dataclasses import dataclass

from oms.controls import (
    OPERATOR,
    OperatorAction,
    OperatorRequest,
    Request,
)
from oms.language.base import BaseCommand
from oms.messages import (
    Phase,
    Scope,
    Trading,
)
from oms.requests import check_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operator(BaseCommand):
    """scope, target: ALL, one ACCOUNT or one SYMBOL. why: for the record, one line."""

    account: str = OPERATOR
    scope: Scope = Scope.ALL
    target: str = ""
    why: str = ""

    def _asks(
        self, action: OperatorAction, name: str = "", value: str = ""
    ) -> tuple[OperatorRequest]:
        return (
            OperatorRequest(
                client_order_id=self.client_order_id, action=action, scope=self.scope,
                target=self.target, name=name, value=value, why=self.why, account=self.account,
            ),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill(_Operator):
    """Stop all trading, and cancel what is open; it stays so until SetTrading."""

    def _made(self) -> tuple[Request, ...]:
        return self._asks(OperatorAction.KILL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTrading(_Operator):
    """Who may trade: ACTIVE, REDUCING or HALTED."""

    trading: Trading

    def _made(self) -> tuple[Request, ...]:
        return self._asks(OperatorAction.SET_TRADING, value=str(self.trading))


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPhase(_Operator):
    """Put a market, or all, into a phase."""

    phase: Phase

    def _made(self) -> tuple[Request, ...]:
        return self._asks(OperatorAction.SET_PHASE, value=str(self.phase))


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLimit(_Operator):
    """Another limit from now on; an empty value gives back the configured one."""

    name: str
    value: str = ""

    def _made(self) -> tuple[Request, ...]:
        return self._asks(OperatorAction.SET_LIMIT, self.name, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAccount(_Operator):
    """Another tier or stp_group (`name`) of an account (`target`); "": the configured one."""

    scope: Scope = Scope.ACCOUNT
    name: str
    value: str = ""

    def _made(self) -> tuple[Request, ...]:
        return self._asks(OperatorAction.SET_ACCOUNT, self.name, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class BustTrade(_Operator):
    """Take back a trade, named by the execution id of either side; both are as without it."""

    execution_id: str

    def _made(self) -> tuple[Request, ...]:
        check_id("execution_id", self.execution_id)
        return self._asks(OperatorAction.BUST, self.execution_id)
