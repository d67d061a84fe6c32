"""Sentinel: a client of one server, or of that which is the primary now, by redis-py's own class.

Each new connection then asks the Sentinels, one after the other, until one of them names a primary.
"""

import re
from typing import Any

from redis import Redis, connection, sentinel

_URL = re.compile(r"(rediss?)\+sentinel://([^/]*@)?([^/@]+)/([^/?]+)(/[0-9]+)?(\?.*)?")
_parse: Any = connection.parse_url  # neither is typed
_Sentinel: Any = sentinel.Sentinel
_OF_SENTINELS = ("retry", "socket_connect_timeout")


def client_of(url: str, **options: Any) -> Any:
    """A Redis client of the server that [scale] redis_url names, or of the primary that Sentinels
    name. options: of each connection.

    User and password are those of the primary; those of the Sentinels are `sentinel_username` and
    `sentinel_password` behind the question mark. rediss: TLS with both.
    """
    found = _URL.fullmatch(url)
    if found is None:
        return Redis.from_url(url, **options)
    scheme, credentials, places, name, database, query = (each or "" for each in found.groups())
    given = _parse(f"{scheme}://{credentials}localhost{database}{query}")
    for key in ("host", "connection_class"):
        given.pop(key, None)
    tls = {"ssl": True, **{key: given[key] for key in given if key.startswith("ssl_")}}
    own = {key: given.pop(f"sentinel_{key}", None) for key in ("username", "password")}
    own |= {key: options[key] for key in _OF_SENTINELS}
    own |= {"socket_timeout": options["socket_connect_timeout"]}
    sentinels = _Sentinel(
        [_place(each) for each in places.split(",")],
        sentinel_kwargs={**own, **(tls if scheme == "rediss" else {})},
    )
    return sentinels.master_for(name, ssl=scheme == "rediss", **given, **options)


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.strip().rpartition(":")
    return host.strip("[]"), int(port)
