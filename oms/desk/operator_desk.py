"""Operator desk: who may trade, which phase, which limits; the kill switch.

Flow:  control_desk -> [operator_desk] -> risk, phases, ledger
In:    OPERATOR entries of the journal. What they set lasts until it is set again, restarts or not.
Owner: the dispatcher thread.
"""

from typing import NamedTuple, Protocol

from oms.controls import OperatorAction
from oms.desk.desk_state import DeskState
from oms.desk.entries import Entry
from oms.desk.limits import check_limit
from oms.errors import ValidationError
from oms.messages import Phase, RejectReason, Scope, Trading
from oms.orders import Event

INVALID = RejectReason.COMMAND_INVALID.value
ACCOUNT_SETTINGS = ("tier", "stp_group")


class Control(Protocol):
    """What operators' commands need of the control desk."""

    def apply(self, events: list[Event]) -> None: ...
    def cancel_all(self, account: str, symbol: str, side: str, reason: str) -> int: ...
    def answer(self, seq: int, entry: Entry, symbol: str, reason: str, told: str) -> None: ...
    def use_account_settings(self) -> None: ...
    @property
    def said_of_cancels(self) -> str: ...


class Command(NamedTuple):
    """What an OPERATOR entry says, but for who asks."""

    scope: Scope
    target: str
    name: str
    value: str
    why: str

    @property
    def account(self) -> str:
        return self.target if self.scope is Scope.ACCOUNT else ""

    @property
    def symbol(self) -> str:
        return self.target if self.scope is Scope.SYMBOL else ""


class RefusedError(Exception):
    """The command cannot be obeyed, and why; nothing was done."""


class OperatorDesk:
    """What each OperatorAction does, and says."""

    def __init__(self, desk: DeskState, control: Control) -> None:
        self._desk = desk
        self._control = control
        self._actions = {
            OperatorAction.SET_TRADING.value: self._set_trading,
            OperatorAction.KILL.value: self._kill,
            OperatorAction.SET_PHASE.value: self._set_phase,
            OperatorAction.SET_LIMIT.value: self._set_limit,
            OperatorAction.SET_ACCOUNT.value: self._set_account,
        }

    def act(self, seq: int, entry: Entry) -> None:
        """Do what the entry says; whoever asked is told what came of it."""
        command = Command(Scope(entry[4]), *entry[5:])
        reason = told = ""
        try:
            if command.symbol and command.symbol not in self._desk.instruments:
                raise RefusedError(f"{RejectReason.SYMBOL_UNKNOWN.value}: symbol={command.symbol}")
            told = self._actions[entry[3]](command)
        except RefusedError as refused:
            reason = str(refused)
        self._control.answer(seq, entry, command.symbol, reason, told)

    def _set_trading(self, command: Command) -> str:
        """Of a symbol, HALTED and ACTIVE halt its market and let it go on."""
        state, engine = Trading(command.value), self._desk.engine
        if command.symbol and engine is not None and state is not Trading.REDUCING:
            phases, market = engine.phases, engine.markets[command.symbol]
            halted = state is Trading.HALTED
            self._control.apply(phases.halt(market) if halted else phases.resume(market))
        if not command.symbol or state is not Trading.HALTED or engine is None:
            self._set_risk(command, state)
        return f"trading={state}"

    def _set_risk(self, command: Command, state: Trading) -> None:
        """Nobody new comes in where trading is HALTED, not even to wait."""
        self._desk.risk.set_trading(command.scope, command.target, state, command.why)
        self._desk.risk.watch(self._desk.blotter.orders.values())

    def _kill(self, command: Command) -> str:
        """Halt, and cancel what is open; it lasts until trading is set to ACTIVE."""
        self._set_trading(command._replace(value=Trading.HALTED.value))
        self._set_risk(command, Trading.HALTED)
        code = RejectReason.KILL_SWITCH.value
        reason = f"{code}: {command.why}" if command.why else code
        count = self._control.cancel_all(command.account, command.symbol, "", reason)
        return f"trading=HALTED, {self._control.said_of_cancels}={count}"

    def _set_phase(self, command: Command) -> str:
        phase, engine = Phase(command.value), self._desk.engine
        closed = phase is Phase.CLOSED or not self._desk.is_open
        if engine is None or command.scope is Scope.ACCOUNT or closed:
            session = "open" if self._desk.is_open else "closed"
            raise RefusedError(
                f"{INVALID}: scope={command.scope}, value={phase}, session={session}"
            )
        phases, markets = engine.phases, engine.markets
        for symbol in [command.symbol] if command.symbol else list(markets):
            market, halts = markets[symbol], phase is Phase.HALTED
            self._control.apply(phases.halt(market) if halts else phases.force(market, phase))
        return f"phase={phase}"

    def _set_limit(self, command: Command) -> str:
        try:
            check_limit(command.scope, command.name, command.value)
        except ValidationError as error:
            raise RefusedError(f"{INVALID}: {error}") from error
        scope = Scope.SYMBOL if command.symbol else Scope.ACCOUNT  # ALL: of every account
        self._desk.risk.set_limit(scope, command.target, command.name, command.value)
        self._desk.risk.watch(self._desk.blotter.orders.values())
        return f"{command.name}={command.value or 'as configured'}"

    def _set_account(self, command: Command) -> str:
        if command.scope is not Scope.ACCOUNT or command.name not in ACCOUNT_SETTINGS:
            raise RefusedError(
                f"{INVALID}: name={command.name}, expected tier or stp_group of an ACCOUNT"
            )
        settings = self._desk.account_settings.setdefault(command.target, {})
        settings.pop(command.name, None)
        if command.value:
            settings[command.name] = command.value
        self._control.use_account_settings()
        return f"{command.name}={command.value or 'as configured'}"
