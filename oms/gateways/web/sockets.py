"""Sockets: what one client says over a WebSocket, and what they are told.

Flow:  text of a client -> [sockets] -> hub, routes -> frames -> client
A message is one JSON object with `op` and, if the client likes, an `id` that its answer repeats.
Orders go the way of REST: the same entries, the same fields, the same errors.

A subscription begins with a snapshot at a named sequence; what comes later comes behind it, without
a gap and without a repeat. Who does not read is let go, told their last sequence, and nobody else
notices.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

import msgspec
from starlette.types import Receive, Scope, Send

from oms.errors import OMSError, ValidationError
from oms.gateways.gate import Caller
from oms.gateways.web.errors import HttpError, Reply, error_reply, http_error
from oms.gateways.web.frames import SOCKET, FrameProtocol, frame_of
from oms.gateways.web.front import Ask, Door, Entry, Right, headers_of
from oms.gateways.web.hub import (
    AUCTION,
    BALANCES,
    DEPTH,
    FILLS,
    HEARTBEAT,
    INTERVALS_MS,
    MARKETS,
    ORDERS,
    TICKER,
    TRADES,
    Hub,
    Topic,
)
from oms.gateways.web.limits import ADDRESS
from oms.gateways.web.market import instrument_of
from oms.gateways.web.replies import refuse_socket
from oms.gateways.web.told import Told, balances_told, levels_told, trade_told
from oms.gateways.web.words import Body, parse_json, query_pairs, typed

log = logging.getLogger(__name__)

MESSAGE_LENGTH_MAX = 65_536
TOPICS_MAX = 200  # of one socket
PENDING_MAX = 10_000  # frames that wait for the snapshot of their topic
SLOW, REPLACED, REVOKED = 4008, 4009, 4003
OF_SYMBOL, OF_ACCOUNT = (DEPTH, TRADES, TICKER, AUCTION), (ORDERS, FILLS, BALANCES)
encode = msgspec.json.Encoder().encode
Text = Annotated[str, msgspec.Meta(max_length=64)]


class Subscribe(Body):
    """interval: how many milliseconds of depth or ticker may become one message; 0: none."""

    op: str
    channel: str
    id: Text = ""
    symbol: Text = ""
    account: Text = ""
    interval: int = 0


class Unsubscribe(Subscribe):
    """The same words as the subscription."""


class Simple(Body):
    """list, ping: nothing more to say."""

    op: str
    id: Text = ""


class Auth(Body):
    """token: what an Authorization header would have behind Bearer."""

    op: str
    token: Annotated[str, msgspec.Meta(max_length=2_048)]
    id: Text = ""


class Do(Body):
    """An order to place, change or cancel: with the fields that REST has."""

    op: str
    params: dict[str, Any]
    id: Text = ""


ORDER_OPS = {
    "order.place": ("POST", "/order"), "order.test": ("POST", "/order/test"),
    "order.modify": ("PATCH", "/order"), "order.cancel": ("DELETE", "/order"),
    "order.cancel_all": ("POST", "/order/cancel_all"), "order.status": ("GET", "/order"),
}  # fmt: skip
OPS: Mapping[str, type[Body]] = {
    "subscribe": Subscribe, "unsubscribe": Unsubscribe, "list": Simple, "ping": Simple,
    "auth": Auth, **dict.fromkeys(ORDER_OPS, Do),
}  # fmt: skip


@dataclass(slots=True)
class Pending:
    """A topic whose snapshot is on its way: what came meanwhile."""

    frames: list[tuple[bytes, int]]


class Sockets:
    """The application of every WebSocket: at /ws and at /."""

    def __init__(self, door: Door, entries: list[Entry]) -> None:
        self.door = door
        self.entries = {
            op: next(each for each in entries if (each.method, each.path) == route)
            for op, route in ORDER_OPS.items()
        }
        self.hub: Hub | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self.door
        if self.hub is None:
            self.hub = Hub(door.oms, asyncio.get_running_loop())
        try:
            caller = await door.keeper.socket_caller(scope, headers_of(scope))
        except HttpError as error:
            request_id = door.next_id()
            await refuse_socket(send, error_reply(error, request_id), request_id)
            return
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        connection = cast(FrameProtocol, scope["extensions"][SOCKET])
        client = Client(self, connection, caller, door.keeper.address(scope))
        self.hub.join(client)
        door.sockets += 1
        door.counts.sockets_opened += 1
        try:
            user_id = query_pairs(scope["query_string"].decode("ascii", "replace")).get("user_id")
            client.say({"op": "welcome", "user": caller.user if caller else None,
                        "authenticated": caller is not None, "userId": user_id})  # fmt: skip
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    return
                await client.hear(message.get("text"))
        except ValidationError as error:
            client.cut(1008, str(error))
        finally:
            self.hub.leave(client)
            door.sockets -= 1
            client.gone = True


class Client:
    """One connection: who it is, what it listens to, how far it was told."""

    def __init__(
        self, sockets: Sockets, connection: FrameProtocol, caller: Caller | None, address: str
    ) -> None:
        self._sockets = sockets
        self._door = sockets.door
        assert sockets.hub is not None
        self._hub = sockets.hub
        self._connection = connection
        self.caller = caller
        self._address = address
        self._topics: dict[Topic, Pending | int] = {}  # its snapshot is due; or it is at this seq
        self.seq = 0  # of the last event it was told
        self.gone = False

    # --- to the client ---

    def say(self, told: Told) -> None:
        self._write(frame_of(encode(told)))

    def _write(self, frame: bytes) -> None:
        self._door.counts.frames += 1
        if not self._connection.write_frame(frame) and self._connection.is_open:
            log.info("web: a socket of %s does not read; closed at seq=%d", self._address, self.seq)
            self._door.counts.sockets_slow += 1
            self.cut(SLOW, f"it does not read: the last event told was seq={self.seq}")

    def tell(self, topic: Topic, frame: bytes, seq: int) -> None:
        at = self._topics.get(topic, -1)
        if isinstance(at, Pending):
            if len(at.frames) >= PENDING_MAX:
                self.cut(SLOW, f"{topic[0]}: too much came before its snapshot")
            else:
                at.frames.append((frame, seq))
            return
        if seq <= at and topic[0] != HEARTBEAT:  # the snapshot has it
            return
        if seq > self.seq:
            self.seq = seq
        self._write(frame)

    def cut(self, code: int, reason: str) -> None:
        self._hub.leave(self)
        self._connection.end(code, reason)

    # --- from the client ---

    async def hear(self, text: str | None) -> None:
        """One message; a mistake in it is answered, and harms nobody."""
        op, request_id = "", ""
        try:
            if text is None or len(text) > MESSAGE_LENGTH_MAX:
                raise ValidationError("message", None, f"text of up to {MESSAGE_LENGTH_MAX}")
            self._door.allow(ADDRESS, self._address)
            given = parse_json(text.encode("utf-8", "surrogatepass"))
            if not isinstance(given, dict):
                raise ValidationError("message", text[:40], "a JSON object")
            if "SubscribeOrderbook" in given and len(given) == 1:
                given = {
                    "op": "subscribe", "channel": DEPTH, "symbol": given["SubscribeOrderbook"],
                }  # fmt: skip
            op, request_id = str(given.get("op", ""))[:40], str(given.get("id", ""))[:64]
            kind = OPS.get(op)
            if kind is None:
                raise ValidationError("op", op, "one of " + ", ".join(OPS))
            told = await self._do(op, typed(kind, given))
            if told is not None:
                self.say({"op": op, "id": request_id or None, "ok": True, **told})
        except OMSError as error:
            reply = error_reply(error, self._door.next_id())
            self.say({"op": op or None, "id": request_id or None, "ok": False, **reply.told})

    async def _do(self, op: str, said: Body) -> Told | None:
        match said:
            case Do():
                return await self._route(op, said)
            case Unsubscribe():
                topic = self._topic(said)
                self._topics.pop(topic, None)
                if not self._hub.unsubscribe(self, topic):
                    raise http_error(404, "NOT_FOUND", "there is no such subscription")
                return {"channel": said.channel}
            case Subscribe():
                await self._subscribe(self._topic(said), said)
                return None  # it has answered
            case Auth():
                self.caller = await self._door.keeper.token_caller(said.token, self._address)
                return {"user": self.caller.user, "accounts": list(self.caller.accounts)}
        if op == "list":
            return {"subscriptions": [_topic_told(topic) for topic in self._topics]}
        return {"time": str(self._door.oms.clock.wall_ns())}

    async def _route(self, op: str, said: Do) -> Told:
        """What REST does, over the socket."""
        entry = self._sockets.entries[op]
        ask = self._ask()
        self._door.keeper.check(entry.right, self.caller)
        self._door.allow(entry.cost, ask.client)
        kind = entry.body or entry.query
        assert kind is not None
        reply: Reply = await entry.handler(ask, typed(kind, said.params))
        return {"status": reply.status, "result": reply.told}

    def _ask(self) -> Ask:
        door = self._door
        return Ask(door, door.next_id(), {}, self._address, {}, "", b"", self.caller)

    def _topic(self, said: Subscribe) -> Topic:
        """Raises ValidationError and HttpError: no such channel, symbol, or right to it."""
        channel = said.channel
        if channel in OF_SYMBOL:
            instrument_of(self._ask(), said.symbol)
            if channel not in (DEPTH, TICKER):
                return (channel, said.symbol)
            if said.interval not in INTERVALS_MS:
                expected = "one of " + ", ".join(map(str, INTERVALS_MS))
                raise ValidationError("interval", said.interval, expected)
            return (channel, said.symbol, said.interval)
        if channel in OF_ACCOUNT:
            ask = self._ask()
            self._door.keeper.check(Right.READ, self.caller)
            return (channel, ask.account(said.account or None))
        if channel == MARKETS:
            return (channel,)
        raise ValidationError(
            "channel", channel, "one of " + ", ".join((*OF_SYMBOL, *OF_ACCOUNT, MARKETS))
        )

    async def _subscribe(self, topic: Topic, said: Subscribe) -> None:
        """Listen first, then take the snapshot, then tell what came meanwhile and is not in it."""
        if topic in self._topics:
            raise ValidationError("channel", said.channel, "one that is not subscribed yet")
        if len(self._topics) >= TOPICS_MAX:
            raise http_error(429, "TOO_MANY_REQUESTS", f"at most {TOPICS_MAX} subscriptions")
        pending = self._topics[topic] = Pending([])
        self._hub.subscribe(self, topic)
        try:
            snapshot, at = await self._snapshot(topic)
        except BaseException:
            self._topics.pop(topic, None)
            self._hub.unsubscribe(self, topic)
            raise
        if self.gone or self._topics.get(topic) is not pending:
            return  # it left meanwhile
        self.say({
            "op": "subscribe", "id": said.id or None, "ok": True, **_topic_told(topic),
            "event": "SNAPSHOT", **snapshot,
        })  # fmt: skip
        self._topics[topic] = at
        for frame, seq in pending.frames:
            self.tell(topic, frame, seq)

    async def _snapshot(self, topic: Topic) -> tuple[Told, int]:
        """How things stand, and the sequence up to which that is."""
        door, channel = self._door, topic[0]
        if channel in OF_ACCOUNT:
            found = await door.settled(door.oms.account_snapshot(str(topic[1])))
            told: Told = {"seq": str(found.seq)}
            if channel != BALANCES:
                told["orders"] = await door.orders_told(found.orders)
            if channel != FILLS:
                told["balances"] = balances_told(found.balances)
            return told, found.seq
        symbol = str(topic[1]) if len(topic) > 1 else ""
        if channel == MARKETS:
            states = door.oms.market_states()
            return {"markets": {name: phase.value for name, phase in states.items()}}, -1
        instrument_of(self._ask(), symbol)
        if channel == TRADES:
            seq = await door.settled(door.oms.journal_seq())
            trades = [t for t in door.oms.recent_trades(symbol)[-100:] if t.seq <= seq]
            return {
                "seq": str(seq),
                "trades": [trade_told(each) for each in trades],
            }, seq
        book = await door.book(symbol)
        scales = book.price_scale, book.quantity_scale
        if channel == DEPTH:
            return {
                "lastId": str(book.last_id), "bids": levels_told(book.bids_ticks, scales),
                "asks": levels_told(book.asks_ticks, scales),
            }, book.last_id  # fmt: skip
        if channel == TICKER:
            bid, ask = (levels_told(s[:1], scales) for s in (book.bids_ticks, book.asks_ticks))
            return {"bid": bid[0] if bid else None, "ask": ask[0] if ask else None}, book.last_id
        return {}, -1


def _topic_told(topic: Topic) -> Told:
    channel, *rest = topic
    told: Told = {"channel": channel}
    if rest:
        told["account" if channel in OF_ACCOUNT else "symbol"] = rest[0]
    if len(rest) > 1:
        told["interval"] = rest[1]
    return told
