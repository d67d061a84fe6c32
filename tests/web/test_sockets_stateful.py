"""A client that comes and goes under a random flow knows what the library knows.

It rebuilds book, orders, fills, trades and balances from messages alone, resumes at any instant,
also across restarts of the order manager, and checks that no event came twice.
"""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from oms import OrderRequest, Side
from oms.enums import TERMINAL_STATES, OrderType, TimeInForce
from oms.requests import MassCancelRequest
from tests.examples import many
from tests.web.doors import FrontDoor, front_config
from tests.web.wires import Wire

SYMBOL = "BTC_USD"
CHANNELS = {
    "depth": {"symbol": SYMBOL}, "trades": {"symbol": SYMBOL}, "orders": {}, "fills": {},
    "balances": {},
}  # fmt: skip
RESUMED = ("trades", "orders", "fills")
ENDED = {state.value for state in TERMINAL_STATES}


class Rebuilt:
    """What one client makes of what it is told."""

    def __init__(self):
        self.last = {}  # channel -> the place of its last event
        self.first = {}  # channel -> the sequence that it began at
        self.orders, self.balances, self.fills, self.trades = {}, {}, [], []
        self.bids, self.asks, self.last_id = {}, {}, 0

    def begin(self, told):
        channel = told["channel"]
        if told["event"] == "RESUMED":
            return
        assert channel not in RESUMED or channel not in self.last, told
        self.last[channel] = int(told["seq"]), 1 << 24
        self.first.setdefault(channel, int(told["seq"]))
        if channel == "depth":
            self.bids, self.asks = dict(told["bids"]), dict(told["asks"])
            self.last_id = int(told["lastId"])
        elif channel == "orders":
            self.orders = {each["orderId"]: standing(each) for each in told["orders"]}
        elif channel == "balances":
            self.balances = {each["asset"]: owned(each) for each in told["balances"]}

    def take(self, told):
        channel = told["channel"]
        if channel == "depth":
            assert int(told["firstId"]) <= self.last_id + 1 <= int(told["lastId"])
            self.last_id = int(told["lastId"])
            for levels, changed in ((self.bids, told["bids"]), (self.asks, told["asks"])):
                for price, quantity in changed:
                    levels[price] = quantity
                    if quantity == "0":
                        del levels[price]
            return
        place = int(told["seq"]), told["number"]
        assert place > self.last[channel], "a repeat, or out of order"
        self.last[channel], data = place, told["data"]
        if channel == "orders" and told["event"] != "ORDER_STATUS":
            if data["status"] in ENDED:
                self.orders.pop(data["orderId"], None)
            else:
                self.orders[data["orderId"]] = standing(data)
        elif channel == "fills":
            self.fills.append(data["executionId"])
        elif channel == "trades":
            self.trades.append((data["executionId"], data["price"], data["quantity"]))
        elif channel == "balances":
            self.balances[data["asset"]] = owned(data)

    def where(self, channel):
        if channel not in RESUMED or channel not in self.last:
            return {}
        seq, number = self.last[channel]
        # the beginning's own turn is whole
        return {"fromSeq": str(seq)} | ({"fromNumber": str(number)} if number < 1 << 24 else {})


def standing(data):
    return data["status"], data["filledQuantity"], data["openQuantity"]


def owned(data):
    return data["available"], data["reserved"]


class Flow(RuleBasedStateMachine):
    """Ann watches; Ann and Bob trade."""

    def __init__(self):
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.door = FrontDoor(self.directory, front_config())
        self.ann = self.door.user("ann")
        self.door.user("bob")
        self.rebuilt, self.count, self.wire = Rebuilt(), 0, None

    def teardown(self):
        if self.wire is not None:
            self.wire.close()
        self.door.stop()
        shutil.rmtree(self.directory)

    # --- the flow: handed over, not waited for ---

    @rule(
        orders=st.lists(
            st.tuples(
                st.sampled_from(["ann", "bob"]), st.sampled_from(Side), st.integers(98, 102),
                st.integers(1, 4), st.sampled_from([TimeInForce.GTC, TimeInForce.IOC]),
            ),
            min_size=1, max_size=12,
        )
    )  # fmt: skip
    def trade(self, orders):
        for account, side, price, quantity, tif in orders:
            self.count += 1
            self.door.oms.on_data(
                OrderRequest.new(
                    account, f"o-{self.count}", SYMBOL, side, str(quantity), str(price),
                    order_type=OrderType.LIMIT, time_in_force=tif,
                )
            )  # fmt: skip

    @rule(back=st.integers(0, 8))
    def cancel(self, back):
        named = f"o-{max(1, self.count - back)}"
        for account in ("ann", "bob"):
            self.count += 1
            self.door.oms.on_data(OrderRequest.cancel(account, f"o-{self.count}", named))

    @rule(account=st.sampled_from(["ann", "bob"]))
    def cancel_all(self, account):
        self.count += 1
        request = MassCancelRequest(account=account, client_order_id=f"o-{self.count}")
        self.door.oms.on_data(request)

    # --- the client ---

    @precondition(lambda self: self.wire is None)
    @rule()
    def connect(self):
        self.wire = Wire(self.door, self.ann)
        for channel, of in CHANNELS.items():
            begun = self.wire.subscribe(channel, **of, **self.rebuilt.where(channel))
            assert "why" not in begun or channel not in RESUMED, begun

    @precondition(lambda self: self.wire is not None)
    @rule(messages=st.integers(0, 20))
    def disconnect(self, messages):
        """In the midst of what it is told: the rest is lost on the way."""
        told, self.wire.told[:] = list(self.wire.told), []
        beginnings = [m for m in told if m.get("op") == "subscribe"]
        last = told.index(beginnings[-1]) if beginnings else 0
        self.take(told[: last + 1 + messages])
        self.wire.close()
        self.wire = None

    @rule()
    def restart(self):
        if self.wire is not None:
            self.disconnect(0)
        self.door.stop()
        self.door = FrontDoor(self.directory, front_config())
        self.ann = self.door.login("ann")

    def take(self, told):
        for message in told:
            if message.get("op") == "subscribe":
                self.rebuilt.begin(message)
            elif "channel" in message:
                self.rebuilt.take(message)

    @precondition(lambda self: self.wire is not None)
    @rule()
    def agree(self):
        """Once everything is told, both have the same."""
        oms, rebuilt = self.door.oms, self.rebuilt
        self.count += 1
        request = OrderRequest.new("bob", f"o-{self.count}", SYMBOL, Side.BUY, "1", "1",
                                   time_in_force=TimeInForce.IOC)  # fmt: skip
        seq = oms.submit(request).result(30).report.journal_seq
        self.wire.beat(seq)
        self.take(self.wire.told)
        self.wire.told.clear()
        book = oms.depth_snapshot(SYMBOL)
        for levels, rebuilt_levels in ((book.bids, rebuilt.bids), (book.asks, rebuilt.asks)):
            known = {f"{price:f}": f"{quantity:f}" for price, quantity in levels}
            assert rebuilt_levels == known
        assert rebuilt.orders == {
            str(each.order_id): (
                each.report.state,
                *(f"{lots / 10**4:.4f}".rstrip("0").rstrip(".")
                  for lots in (each.report.cumulative_lots, each.report.leaves_lots)),
            )
            for each in oms.open_orders("ann")
        }  # fmt: skip
        assert rebuilt.balances == {
            asset: (f"{available:f}", f"{reserved:f}")
            for asset, (available, reserved) in oms.balances("ann").items()
        }
        # what was told since the first subscription is all that there was since then
        first = rebuilt.first
        fills = [each.report for each in oms.reports_after("ann", first["fills"], seq)]
        assert rebuilt.fills == [each.execution_id for each in fills if each.type == "TRADE"]
        trades = oms.trades_after(SYMBOL, first["trades"], seq)
        assert rebuilt.trades == [
            (each.execution_id, f"{each.price:f}", f"{each.quantity:f}") for each in trades
        ]


def so_many(examples):
    return settings(
        max_examples=many(examples), stateful_step_count=25,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
    )  # fmt: skip


class LongerFlow(Flow):
    """The same, as often as a night has room for."""


Flow.TestCase.settings = so_many(3)
LongerFlow.TestCase.settings = so_many(40)
TestFlow = Flow.TestCase
TestLongerFlow = pytest.mark.slow(LongerFlow.TestCase)
