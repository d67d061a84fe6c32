"""A subscription's beginning and what comes behind it: nothing of it is told twice."""

from tests.fakes import buy
from tests.web.clients import next_of, opened, said_to


def test_what_a_snapshot_has_is_not_told_behind_it(door):
    """An order is placed while the snapshot is on its way: it is in it, and told once."""
    ann, oms = door.user("ann"), door.oms
    snapshot = oms.account_snapshot

    def with_an_order_in_between(account):
        oms.submit(buy("between", "1", "9", account="ann", symbol="BTC_USD")).result(10)
        return snapshot(account)

    oms.account_snapshot = with_an_order_in_between
    with opened(door, ann) as socket:
        began = said_to(socket, "subscribe", channel="orders", account="ann")
        assert [each["clientOrderId"] for each in began["orders"]] == ["between"]
        ann.buy("1", "8", clientOrderId="behind")
        assert next_of(socket, "orders")["data"]["clientOrderId"] == "behind"
