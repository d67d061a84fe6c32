"""Commands of the language given to a stepped order manager, and what their answers say."""

from oms import (
    Instrument,
    RejectReason,
    Side,
    code_of,
)
from oms.answers import (
    Error,
)
from oms.config import ExchangeConfig
from oms.instruments import MarketOrderPolicy
from oms.language import (
    AddFunds,
    CreateAccount,
    GetOpenOrders,
    PlaceOco,
    PlaceOrder,
)
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
FUNDED = config_of(exchange=ExchangeConfig(ledger=True), instruments=MARKETS)


class Teller:
    """Gives commands to a stepped order manager, with ids of its own, and has their answers."""

    def __init__(self, config=FUNDED, **parts):
        self.stepped = Stepped(config, **parts).start()
        self.oms = self.stepped.oms
        self.count = 0

    def ask(self, command):
        """One command; as many turns as its answer takes."""
        future = self.oms.execute(command)
        for _ in range(5):
            if not future.done():
                self.stepped.turn()
        return future.result(0)

    def give(self, kind, account="ann", **fields):
        """The same, of an account, under the next id."""
        self.count += 1
        return self.ask(kind(account=account, client_order_id=f"t{self.count}", **fields))

    def fund(self, *accounts, assets=("USD", "ACME", "WHOLE", "FEE")):
        for account in accounts:
            self.give(CreateAccount, account)
            for asset in assets:
                self.give(AddFunds, account, asset=asset, amount=10_000)
        return self

    def sell(self, account, price, quantity, symbol="ACME_USD", **more):
        return self.give(
            PlaceOrder, account, symbol=symbol, side=Side.SELL, price=price, quantity=quantity,
            **more,
        )  # fmt: skip

    def buy(self, account, price, quantity, symbol="ACME_USD", **more):
        return self.give(
            PlaceOrder, account, symbol=symbol, side=Side.BUY, price=price, quantity=quantity,
            **more,
        )  # fmt: skip

    def open_ids(self, account):
        orders = self.ask(GetOpenOrders(account=account)).orders
        return [order.client_order_id for order in orders]


def order(client_order_id, **fields):
    """A sell of 1 at 100 by ann, unless it is said otherwise."""
    usual = {
        "account": "ann", "symbol": "ACME_USD", "side": Side.SELL, "quantity": 1, "price": 100,
    }  # fmt: skip
    return PlaceOrder(client_order_id=client_order_id, **{**usual, **fields})


def refused(answer, reason):
    """Is this an Error of that reason, with the codes that are published?"""
    assert isinstance(answer, Error), answer
    row = code_of(RejectReason(reason))
    assert (answer.code, answer.api_code, answer.http_status) == (reason, row.api, row.http)
    assert answer.text.partition(":")[0] == reason
    return True


def pair(**limit):
    """Ann has 5 to sell: at 110 if it rises, or at any price once it falls to 90."""
    return PlaceOco(
        account="ann", client_order_id="pair", stop=order("stop", price=None, stop_price=90,
        quantity=5), limit=order("limit", **{"price": 110, "quantity": 5, **limit}),
    )  # fmt: skip
