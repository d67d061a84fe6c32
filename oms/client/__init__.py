"""The client: the order manager of a server, held like one of this process.

    from oms.client import Client

    with Client("http://127.0.0.1:3000", user="ann", password="...") as oms:
        placed = oms.submit(OrderRequest.new("ann", "a-1", "BTC_USD", "BUY", "1", "100")).result()

Requests, responses and market data are the types of `oms`, so that a strategy runs with a Client
as it does with an OrderManagement; and the functions of `oms.aio` take either. docs/client.md has
the rest.
"""

from oms.client.accounts import CatchUp
from oms.client.client import Client

__all__ = ["CatchUp", "Client"]
