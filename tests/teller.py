"""Requests given to a stepped order manager under ids of its own, and what their answers say."""

from oms import (
    FundsAction,
    FundsRequest,
    Instrument,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    OrderRequest,
    OrderTerms,
    RejectReason,
    Side,
)
from oms.config import ExchangeConfig
from oms.enums import MarketOrderPolicy
from oms.money import to_decimal
from tests.fakes import Stepped, config_of

MARKETS = tuple(
    Instrument(
        symbol=symbol, price_scale=2, quantity_scale=0, base_scale=0, quote_scale=2,
        market_order=policy, **fees,
    )
    for symbol, policy, fees in (
        ("ACME_USD", MarketOrderPolicy.PARTIAL, {}),
        ("WHOLE_USD", MarketOrderPolicy.ALL_OR_NONE, {}),
        ("FEE_USD", MarketOrderPolicy.PARTIAL, {"taker_fee_bps": 50, "maker_fee_bps": -10}),
    )
)  # fmt: skip
SCALES = {"USD": 2, "ACME": 0, "WHOLE": 0, "FEE": 0}
FUNDED = config_of(exchange=ExchangeConfig(ledger=True), instruments=MARKETS)


class Teller:
    """Gives requests to a stepped order manager, with ids of its own, and has their answers."""

    def __init__(self, config=FUNDED, **parts):
        self.stepped = Stepped(config, **parts).start()
        self.oms = self.stepped.oms
        self.count = 0

    def ask(self, request):
        """One request; its answer."""
        return self.wait(self.oms.submit(request))

    def wait(self, future):
        """As many turns as an answer takes."""
        for _ in range(5):
            if not future.done():
                self.stepped.turn()
        return future.result(0)

    def dry_run(self, request):
        """What would become of a request, asked between two turns."""
        self.oms._running = True  # without threads: answer as a running one does
        return self.wait(self.oms.dry_run(request))

    def next_id(self):
        self.count += 1
        return f"t{self.count}"

    # --- funds, operators, mass cancels ---

    def move(self, action, account="ann", asset="", amount=None, to_account=""):
        """Create an account, or move money."""
        return self.ask(
            FundsRequest(
                account=account, client_order_id=self.next_id(), action=action, asset=asset,
                amount=amount, to_account=to_account,
            )
        )  # fmt: skip

    def fund(self, *accounts, assets=tuple(SCALES)):
        """These accounts are new, and have 10,000 of each asset."""
        for account in accounts:
            self.move(FundsAction.CREATE, account)
            for asset in assets:
                self.move(FundsAction.DEPOSIT, account, asset, 10_000)
        return self

    def operate(self, action, **fields):
        return self.ask(
            OperatorRequest(client_order_id=self.next_id(), action=OperatorAction(action), **fields)
        )

    def mass_cancel(self, account="ann", **fields):
        return self.ask(
            MassCancelRequest(account=account, client_order_id=self.next_id(), **fields)
        )

    # --- orders ---

    def sell(self, account, price, quantity, symbol="ACME_USD", **more):
        return self._new(Side.SELL, account, price, quantity, symbol, more)

    def buy(self, account, price, quantity, symbol="ACME_USD", **more):
        return self._new(Side.BUY, account, price, quantity, symbol, more)

    def _new(self, side, account, price, quantity, symbol, more):
        return self.ask(
            order(
                self.next_id(), account=account, symbol=symbol, side=side, price=price,
                quantity=quantity, **more,
            )
        )  # fmt: skip

    def modify(self, account, named, **terms):
        return self.ask(OrderRequest.modify(account, self.next_id(), named, **terms))

    def cancel(self, account, named):
        return self.ask(OrderRequest.cancel(account, self.next_id(), named))

    def pair(self, stop=None, limit=None, undo_id="undo"):
        """An OCO pair; the usual one, unless it is said otherwise."""
        return self.wait(self.oms.submit_pair(*(stop, limit) if stop else pair(), undo_id))

    # --- questions ---

    def open_ids(self, account):
        return [response.client_order_id for response in self.oms.open_orders(account)]

    def balance(self, account, asset):
        """What is available and what is reserved, in whole units of the asset."""
        units = self.oms.balances_units(account).get(asset, (0, 0))
        available, reserved = (to_decimal(each, SCALES[asset]) for each in units)
        return available, reserved


TERMS = set(OrderTerms.__dataclass_fields__)


def order(client_order_id, **fields):
    """A sell of 1 at 100 by ann, unless it is said otherwise; terms by their names, too."""
    said = {
        "account": "ann", "symbol": "ACME_USD", "side": Side.SELL, "quantity": 1, "price": 100,
        **fields,
    }  # fmt: skip
    terms = {name: said.pop(name) for name in TERMS & said.keys()}
    return OrderRequest.new(
        client_order_id=client_order_id, terms=OrderTerms(**terms) if terms else None, **said
    )


def refused(answer, reason):
    """Is this a no for that reason? It has the codes that are published."""
    assert answer.refused, answer
    assert answer.reason is RejectReason(reason)
    assert answer.reason.api and answer.reason.http >= 400, answer.reason
    return True


def pair(**limit):
    """Ann has 5 to sell: at 110 if it rises, or at any price once it falls to 90."""
    return (
        order("stop", price=None, stop_price=90, quantity=5),
        order("limit", **{"price": 110, "quantity": 5, "oco_with": "stop", **limit}),
    )
