"""Requests of operators, and mass cancels.

Each request has the account that asks and an id of its own, from the same names as the account's
orders: the same id with the same content again gets the same answer and no second effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from oms.enums import Phase, Scope, Side, Trading
from oms.errors import ValidationError
from oms.requests.orders import (
    NO_ORIGIN,
    Origin,
    check_id,
    check_optional_id,
    check_origin,
    member_of,
    set_field,
)

TEXT_LENGTH_MAX = 200
OPERATOR = "operator"


class OperatorAction(StrEnum):
    """What an operator may do.

    SET_TRADING: who may trade: value is a Trading. KILL: HALTED, and cancel what is open; it
    stays until SET_TRADING, whatever the phase. SET_PHASE: of a symbol, or all: value is a Phase;
    HALTED stays until another is set, a call until then or the calendar's next step. SET_LIMIT:
    `name` is a risk limit, value its text, "" for the configured one. SET_ACCOUNT: `name` is tier
    or stp_group of an account. BUST: take a trade back; `name` is its execution id. CORRECT: the
    same, but it gets another `price` or `quantity`, which are its settings. Of a SYMBOL: LIST,
    have it traded; its settings are those of an [instrument] section, none for one that is
    configured, or was listed before. DELIST: trade it no longer; with orders open only if value
    is "cancel". SET_MARKET: settings MARKET_SETTINGS, of which "" gives the configured one back;
    `name` is the tier whose fees are meant, if it is not everybody.
    """

    SET_TRADING = "SET_TRADING"
    KILL = "KILL"
    SET_PHASE = "SET_PHASE"
    SET_LIMIT = "SET_LIMIT"
    SET_ACCOUNT = "SET_ACCOUNT"
    BUST = "BUST"
    CORRECT = "CORRECT"
    LIST = "LIST"
    DELIST = "DELIST"
    SET_MARKET = "SET_MARKET"


MARKET_SETTINGS = ("maker_fee_bps", "taker_fee_bps", "tick_size", "tick_table")
# What the settings of an action may be: these, or those of an instrument, which are looked at
# when it is listed. No other action has any.
SETTINGS: dict[OperatorAction, tuple[str, ...] | None] = {
    OperatorAction.CORRECT: ("price", "quantity"),
    OperatorAction.SET_MARKET: MARKET_SETTINGS,
    OperatorAction.LIST: None,
}
NEED_SETTINGS = (OperatorAction.CORRECT, OperatorAction.SET_MARKET)
OF_MARKETS = (OperatorAction.LIST, OperatorAction.DELIST, OperatorAction.SET_MARKET)


def _check_who(account: str, client_order_id: str, origin: Origin) -> None:
    check_id("account", account)
    check_id("client_order_id", client_order_id)
    check_origin(origin)


def check_why(why: object) -> None:
    """Raises ValidationError unless it is one line for the record, or empty."""
    if type(why) is not str or len(why) > TEXT_LENGTH_MAX or not (why == "" or why.isprintable()):
        raise ValidationError("why", why, f"up to {TEXT_LENGTH_MAX} printable characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class MassCancelRequest:
    """Cancel every open order of `account`; of one symbol, or one side, if given.

    everybody: of all accounts; only for the operator. why: for the record, one line.
    """

    account: str
    client_order_id: str
    symbol: str = ""
    side: Side | None = None
    everybody: bool = False
    origin: Origin = NO_ORIGIN
    why: str = ""

    def __post_init__(self) -> None:
        _check_who(self.account, self.client_order_id, self.origin)
        check_optional_id("symbol", self.symbol)
        if self.side is not None:
            set_field(self, "side", member_of("side", self.side, Side))
        if type(self.everybody) is not bool:
            raise ValidationError("everybody", self.everybody, "True or False")
        if self.everybody and self.account != OPERATOR:
            raise ValidationError("everybody", True, f"False, but for the account {OPERATOR}")
        check_why(self.why)

    @property
    def line(self) -> tuple[Any, ...]:
        account = "" if self.everybody else self.account
        side = self.side.value if self.side is not None else ""
        why = (self.why,) if self.why else ()
        return (
            "X", self.account, self.client_order_id, account, self.symbol, side, *why, self.origin,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRequest:
    """What an operator asks of the exchange; see OperatorAction.

    scope, target: ALL, one ACCOUNT, one SYMBOL or, for limits, one GROUP of accounts. why: for
    the record, one line. settings: name to text, for the actions that have some.
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
    origin: Origin = NO_ORIGIN
    settings: Mapping[str, str] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        _check_who(self.account, self.client_order_id, self.origin)
        set_field(self, "action", member_of("action", self.action, OperatorAction))
        set_field(self, "scope", member_of("scope", self.scope, Scope))
        for name in ("target", "name", "value"):
            check_optional_id(name, getattr(self, name))
        if (self.scope is Scope.ALL) != (self.target == ""):
            raise ValidationError("target", self.target, "whose it is; none for ALL")
        check_why(self.why)
        self._check_value()
        self._check_settings()

    def _check_value(self) -> None:
        action, value = self.action, self.value
        if action in OF_MARKETS and self.scope is not Scope.SYMBOL:
            raise ValidationError("scope", self.scope, f"SYMBOL with {action}")
        if action is OperatorAction.DELIST and value not in ("", "cancel"):
            raise ValidationError("value", value, "cancel, or nothing")
        known: type[StrEnum] | None = None
        if action is OperatorAction.SET_TRADING:
            known = Trading
        elif action is OperatorAction.SET_PHASE:
            known = Phase
        if known is not None and value not in list(known):
            raise ValidationError("value", value, "one of " + ", ".join(known))

    def _check_settings(self) -> None:
        known, settings = SETTINGS.get(self.action, ()), self.settings
        if settings is None and self.action not in NEED_SETTINGS:
            return
        if not isinstance(settings, Mapping) or not settings:
            raise ValidationError("settings", settings, "names with their texts, at least one")
        for name, text in settings.items():
            if known is not None and name not in known:
                expected = "one of " + ", ".join(known) if known else f"none with {self.action}"
                raise ValidationError("settings", name, expected)
            if type(name) is not str or type(text) is not str:
                raise ValidationError("settings", settings, "names with their texts")
            if len(name) > TEXT_LENGTH_MAX or len(text) > TEXT_LENGTH_MAX or not text.isascii():
                raise ValidationError("settings", text, f"up to {TEXT_LENGTH_MAX} ASCII characters")

    @property
    def line(self) -> tuple[Any, ...]:
        settings = (dict(sorted(self.settings.items())),) if self.settings else ()
        return (
            "O", self.account, self.client_order_id, self.action.value, self.scope.value,
            self.target, self.name, self.value, self.why, *settings, self.origin,
        )  # fmt: skip
