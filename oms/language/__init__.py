"""The language of commands: what any gateway may ask, each with one answer (answers.py).

Flow:  gateway -> [language] -> requests -> inbox
A command that writes is made of the requests of requests.py and controls.py, and nothing else:
`requests` has them, checked when the command is made. So there is one way into the journal.
A command that reads is answered at once from what is published.
Prices, quantities and amounts are text, int or Decimal. Who may speak for an account is the
gateway's to know: `account` of a command is believed.
"""

from oms.language.base import Amount, BaseCommand
from oms.language.funds import AddFunds, CreateAccount, Transfer, Withdraw
from oms.language.operators import BustTrade, Kill, SetAccount, SetLimit, SetPhase, SetTrading
from oms.language.orders import (
    BATCH_MAX,
    CancelOrder,
    CancelOrders,
    MassCancel,
    ModifyOrder,
    PlaceOco,
    PlaceOrder,
    PlaceOrders,
)
from oms.language.questions import GetBalance, GetDepth, GetOpenOrders, GetOrder

Operate = Kill | SetTrading | SetPhase | SetLimit | SetAccount | BustTrade
Write = (
    PlaceOrder | ModifyOrder | CancelOrder | MassCancel | CreateAccount | AddFunds | Withdraw
    | Transfer | Operate
)  # fmt: skip
Read = GetDepth | GetBalance | GetOrder | GetOpenOrders
Command = Write | PlaceOco | PlaceOrders | CancelOrders | Read

__all__ = [
    "BATCH_MAX",
    "AddFunds",
    "Amount",
    "BaseCommand",
    "BustTrade",
    "CancelOrder",
    "CancelOrders",
    "Command",
    "CreateAccount",
    "GetBalance",
    "GetDepth",
    "GetOpenOrders",
    "GetOrder",
    "Kill",
    "MassCancel",
    "ModifyOrder",
    "Operate",
    "PlaceOco",
    "PlaceOrder",
    "PlaceOrders",
    "Read",
    "SetAccount",
    "SetLimit",
    "SetPhase",
    "SetTrading",
    "Transfer",
    "Withdraw",
    "Write",
]  # fmt: skip
