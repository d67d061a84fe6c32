"""Requests that are not about one order: money, mass cancels, and what operators do.

Each has the account that asks and an id of its own, from the same names as the account's
orders: the same id with the same content again gets the same answer and no second effect.
"""

from dataclasses import dataclass
from enum import StrEnum

from oms.errors import ValidationError
from oms.messages import Phase, Scope, Side, Trading
from oms.money import Number
from oms.requests import OrderRequest, check_id, check_number

TEXT_LENGTH_MAX = 200
OPERATOR = "operator"


class FundsAction(StrEnum):
    CREATE = "CREATE"
    DEPOSIT = "DEPOSIT"
    WITHDRAW = "WITHDRAW"
    TRANSFER = "TRANSFER"


class OperatorAction(StrEnum):
    """What an operator may do.

    SET_TRADING: who may trade: value is a Trading. KILL: HALTED, and cancel what is open; it
    stays until SET_TRADING, whatever the phase. SET_PHASE: of a symbol, or all: value is a Phase;
    HALTED stays until another is set, a call until then or the calendar's next step. SET_LIMIT:
    `name` is a risk limit, value its text, "" for the configured one. SET_ACCOUNT: `name` is tier
    or stp_group of an account. BUST: take a trade back; `name` is its execution id.
    """

    SET_TRADING = "SET_TRADING"
    KILL = "KILL"
    SET_PHASE = "SET_PHASE"
    SET_LIMIT = "SET_LIMIT"
    SET_ACCOUNT = "SET_ACCOUNT"
    BUST = "BUST"


def _check_who(account: str, client_order_id: str) -> None:
    check_id("account", account)
    check_id("client_order_id", client_order_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsRequest:
    """Create an account, or move money: DEPOSIT in, WITHDRAW out, TRANSFER to another account.

    asset, amount: not for CREATE. amount: above 0, in whole units of the asset ("12.5").
    to_account: of a TRANSFER. Raises ValidationError, naming the field.
    """

    account: str
    client_order_id: str
    action: FundsAction
    asset: str = ""
    amount: Number | None = None
    to_account: str = ""

    def __post_init__(self) -> None:
        _check_who(self.account, self.client_order_id)
        if type(self.action) is not FundsAction:
            expected = "one of " + ", ".join(FundsAction)
            raise ValidationError("action", self.action, expected)
        creates, transfers = self.action is FundsAction.CREATE, self.action is FundsAction.TRANSFER
        if creates != (self.amount is None) or creates != (self.asset == ""):
            raise ValidationError("amount", self.amount, "asset and amount, but not for CREATE")
        if not creates:
            check_id("asset", self.asset)
            check_number("amount", self.amount)
        if transfers:
            check_id("to_account", self.to_account)
        elif self.to_account:
            raise ValidationError("to_account", self.to_account, "none but for TRANSFER")


@dataclass(frozen=True, slots=True, kw_only=True)
class MassCancelRequest:
    """Cancel every open order of `account`; of one symbol, or one side, if given.

    everybody: of all accounts; only for the operator.
    """

    account: str
    client_order_id: str
    symbol: str = ""
    side: Side | None = None
    everybody: bool = False

    def __post_init__(self) -> None:
        _check_who(self.account, self.client_order_id)
        if self.symbol:
            check_id("symbol", self.symbol)
        if self.side is not None and type(self.side) is not Side:
            raise ValidationError("side", self.side, "BUY, SELL or none")
        if self.everybody and self.account != OPERATOR:
            raise ValidationError("everybody", True, f"False, but for the account {OPERATOR}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRequest:
    """What an operator asks of the exchange; see OperatorAction.

    scope, target: ALL, one ACCOUNT or one SYMBOL. why: for the record, one line.
    The caller sees to it that only operators get here.
    """

    client_order_id: str
    action: OperatorAction
    scope: Scope = Scope.ALL
    target: str = ""
    name: str = ""
    value: str = ""
    why: str = ""
    account: str = OPERATOR

    def __post_init__(self) -> None:
        _check_who(self.account, self.client_order_id)
        if type(self.action) is not OperatorAction:
            expected = "one of " + ", ".join(OperatorAction)
            raise ValidationError("action", self.action, expected)
        if type(self.scope) is not Scope:
            raise ValidationError("scope", self.scope, "one of " + ", ".join(Scope))
        if (self.scope is Scope.ALL) != (self.target == ""):
            raise ValidationError("target", self.target, "an account or symbol, none for ALL")
        for field in ("target", "name", "value"):
            if getattr(self, field):
                check_id(field, getattr(self, field))
        if len(self.why) > TEXT_LENGTH_MAX or not (self.why == "" or self.why.isprintable()):
            raise ValidationError("why", self.why, f"up to {TEXT_LENGTH_MAX} printable characters")
        self._check_value()

    def _check_value(self) -> None:
        action, value = self.action, self.value
        known: type[StrEnum] | None = None
        if action is OperatorAction.SET_TRADING:
            known = Trading
        elif action is OperatorAction.SET_PHASE:
            known = Phase
        if known is not None and value not in list(known):
            raise ValidationError("value", value, "one of " + ", ".join(known))


Request = OrderRequest | FundsRequest | MassCancelRequest | OperatorRequest
REQUESTS = (OrderRequest, FundsRequest, MassCancelRequest, OperatorRequest)
