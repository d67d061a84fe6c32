"""Sockets: what one client says over a WebSocket, and what they are told.

Flow:  text of a client -> [sockets] -> hub, routes -> frames -> client
A message is one JSON object with `op` and, if the client likes, an `id` that its answer repeats.
Orders go the way of REST: the same entries, the same fields, the same errors.

A subscription begins with how things stand, or with what was missed; what comes later comes behind
it, without a gap and without a repeat. Who does not read is let go, told their last sequence, and
nobody else notices.
"""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from typing import cast

import msgspec
from starlette.types import Receive, Scope, Send

from oms.errors import ValidationError
from oms.gateways.gate import Caller, may
from oms.gateways.web.disconnects import Disconnects, gateway_of
from oms.gateways.web.door import Door, Right
from oms.gateways.web.errors import HttpError, error_reply, http_error, log_refused
from oms.gateways.web.events import DEPTH, HEARTBEAT
from oms.gateways.web.frames import SOCKET, FrameProtocol, frame_of
from oms.gateways.web.front import Ask, Entry, headers_of
from oms.gateways.web.guard import SLOW, TOO_MUCH, Guard
from oms.gateways.web.hub import Hub, Topic, seqs_text
from oms.gateways.web.limits import ADDRESS, EXTRA, REQUEST
from oms.gateways.web.messages import (
    Auth,
    CancelOnDisconnect,
    Do,
    Ended,
    ListSubscriptions,
    Ping,
    Subscribe,
    Unsubscribe,
    Welcome,
)
from oms.gateways.web.places import Place
from oms.gateways.web.pools import CLIENT
from oms.gateways.web.replies import refuse_socket
from oms.gateways.web.streams import (
    OF_ACCOUNT,
    Streams,
    place_of,
    topic_told,
    topics_of,
)
from oms.gateways.web.told import Told
from oms.gateways.web.trading import made_id
from oms.gateways.web.words import Body, parse_json, query_pairs, texts_once, typed
from oms.users import AccessScope, Arm

log = logging.getLogger(__name__)

MESSAGE_LENGTH_MAX = 65_536
TOPICS_MAX = 200  # of one socket
PENDING_MAX = 10_000  # frames of a socket that wait for the beginnings of their topics
ORDERS_AT_ONCE_MAX = 64  # of one socket that are not answered yet; then it is not read from
FRAMES_AT_ONCE = 64  # of what was missed; then it waits until they are read
encode = msgspec.json.Encoder().encode

ORDER_OPS = {
    "order.place": ("POST", "/order"), "order.test": ("POST", "/order/test"),
    "order.modify": ("PATCH", "/order"), "order.cancel": ("DELETE", "/order"),
    "order.cancel_all": ("POST", "/order/cancel_all"), "order.status": ("GET", "/order"),
}  # fmt: skip
OPS: Mapping[str, type[Body]] = {
    "subscribe": Subscribe, "unsubscribe": Unsubscribe, "list": ListSubscriptions, "ping": Ping,
    "auth": Auth, "cancelOnDisconnect": CancelOnDisconnect, **dict.fromkeys(ORDER_OPS, Do),
}  # fmt: skip
Pending = list[tuple[bytes, int]]
"""What came of a topic whose beginning is on its way: frames, and their sequences."""


class Sockets:
    """The application of every WebSocket: at /ws and at /."""

    hub: Hub
    guard: Guard
    streams: Streams
    disconnects: Disconnects

    def __init__(self, door: Door, entries: list[Entry]) -> None:
        self.door = door
        self.numbers = itertools.count(1)
        self.entries = {
            op: next(each for each in entries if (each.method, each.path) == route)
            for op, route in ORDER_OPS.items()
        }
        door.at_open.append(self._open)

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop runs, whose these are."""
        self.hub = Hub(self.door, loop)
        self.guard = Guard(self.door, loop)
        self.streams = Streams(self.door, self.hub)
        self.disconnects = Disconnects(self.door, loop)
        self.disconnects.restore()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door, address = self.door, ""
        caller: Caller | None = None
        try:
            address = door.keeper.address(scope)
            door.allow(ADDRESS, address)
            caller = await door.keeper.socket_caller(scope, headers_of(scope))
            self.guard.admit(caller, address)
            query = query_pairs(scope["query_string"].decode("ascii", "replace"))
        except Exception as error:
            request_id = door.next_id()
            log_refused(error, "a WebSocket", address, caller, request_id)
            await refuse_socket(send, error_reply(error, request_id), request_id)
            return
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        connection = cast(FrameProtocol, scope["extensions"][SOCKET])
        client = Client(self, connection, caller, address)
        self.hub.join(client)
        self.guard.join(client)
        door.sockets += 1
        door.counts.sockets_opened += 1
        try:
            welcome: Welcome = {
                "op": "welcome", "user": caller.user if caller else None,
                "authenticated": caller is not None, "userId": query.get("user_id"),
            }  # fmt: skip
            if door.group_names:
                welcome["groups"] = door.group_names
            client.say(welcome)
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    return
                await client.hear(message.get("text"))
        finally:
            client.leave()
            door.sockets -= 1
            await client.finish()


class Client:
    """One connection: who it is, what it listens to, how far it was told.

    topics: of each what waits for its beginning, or the sequence that its beginning reached.
    """

    def __init__(
        self, sockets: Sockets, connection: FrameProtocol, caller: Caller | None, address: str
    ) -> None:
        self._sockets = sockets
        self._door = sockets.door
        self._hub = sockets.hub
        self._connection = connection
        self._name = f"socket:{next(sockets.numbers)}"
        self.caller = caller
        self.address = address
        self.topics: dict[Topic, Pending | int] = {}
        self._pending = 0
        # Of which group a subscription begins: no heartbeat may overtake what it begins with.
        self._begins: str | None = None
        self.seqs: dict[str, int] = {}  # of the last events that it was told
        self.heard_ns = self._door.oms.clock.monotonic_ns()
        self.gone = False
        self._armed: tuple[str, Arm] | None = None  # of which user
        self._doing: set[asyncio.Task[None]] = set()
        self._may_do = asyncio.Semaphore(ORDERS_AT_ONCE_MAX)
        connection.on_extra = self._extra

    @property
    def listens(self) -> bool:
        return bool(self.topics)

    @property
    def is_private(self) -> bool:
        return any(topic.channel in OF_ACCOUNT for topic in self.topics)

    # --- to the client ---

    def say(self, told: Mapping[str, object]) -> None:
        self._write(frame_of(encode(told)))

    def _write(self, frame: bytes) -> None:
        self._door.counts.frames += 1
        if not self._connection.write_frame(frame):
            self._slow()

    def _slow(self) -> None:
        if self._connection.is_open:
            told = seqs_text(self.seqs) or "0"
            log.info("web: a socket of %s does not read; closed at seq=%s", self.address, told)
            self._door.counts.sockets_slow += 1
            self.cut(SLOW, f"it does not read: the last event told was seq={told}")

    def tell(self, topic: Topic, frame: bytes, seq: int) -> None:
        at = self.topics.get(topic, -1)
        if isinstance(at, list):
            if self._pending >= PENDING_MAX:
                self.cut(SLOW, f"{topic.channel}: too much came before its beginning was read")
            else:
                self._pending += 1
                at.append((frame, seq))
            return
        if topic.channel == HEARTBEAT:
            if self._begins == topic.group:
                return
        elif seq <= at:  # its beginning has it
            return
        if seq > self.seqs.get(topic.group, 0):
            self.seqs[topic.group] = seq
        self._write(frame)

    def cut(self, code: int, reason: str) -> None:
        self.leave()
        self._connection.end(code, reason)

    def leave(self) -> None:
        """It is told nothing more. Safe to repeat."""
        self.gone = True
        self._connection.on_extra = None
        self._sockets.guard.leave(self)
        self._hub.leave(self)
        self.topics.clear()

    async def finish(self) -> None:
        """The connection is gone: once its last orders are answered, it is known which they are."""
        await self._all_done()
        self._lose_arm()

    async def _all_done(self) -> None:
        if self._doing:
            await asyncio.wait(self._doing)

    def _lose_arm(self) -> None:
        if self._armed is not None:
            self._sockets.disconnects.lost(*self._armed)
            self._armed = None

    # --- from the client ---

    def _extra(self) -> None:
        """A control frame or a fragment: few are needed."""
        now_ns = self._door.oms.clock.monotonic_ns()
        if self._door.limits.take(EXTRA, self._name, now_ns).wait_s:
            self.cut(TOO_MUCH, "too many control frames and fragments")

    async def hear(self, text: str | None) -> None:
        """One message; a mistake in it is answered, and harms nobody.

        Orders are handed over in the order in which they came, and answered as they are done; all
        else is done alone.
        """
        if self.gone:
            return
        self.heard_ns = self._door.oms.clock.monotonic_ns()
        op, request_id = "", ""
        try:
            try:
                given = self._read(text)
            except ValidationError:  # its answer has the id of the message, if that can be read
                if text is not None and len(text) <= MESSAGE_LENGTH_MAX:
                    op, request_id = texts_once(text, "op", "id")
                    op, request_id = op[:40], request_id[:64]
                raise
            op, request_id = str(given.get("op", ""))[:40], str(given.get("id", ""))[:64]
            kind = OPS.get(op)
            if kind is None:
                raise ValidationError("op", op, "one of " + ", ".join(OPS))
            said = typed(kind, given)
        except Exception as error:
            self._refuse(op, request_id, error)
            return
        if isinstance(said, Do):
            await self._may_do.acquire()
            task = asyncio.create_task(self._answer(said, op, request_id))
            self._doing.add(task)
            task.add_done_callback(self._done)
        else:
            await self._all_done()
            await self._answer(said, op, request_id)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._doing.discard(task)
        self._may_do.release()

    async def _answer(self, said: Body, op: str, request_id: str) -> None:
        try:
            told = await self._do(said, request_id)
        except Exception as error:
            self._refuse(op, request_id, error)
        else:
            if told is not None:
                self.say({"op": op, "id": request_id or None, "ok": True, **told})

    def _refuse(self, op: str, request_id: str, error: Exception, group: str = "") -> None:
        number = self._door.next_id()
        log_refused(error, op or "a message", self.address, self.caller, number)
        told = {"op": op or None, "id": request_id or None, "ok": False}
        told |= error_reply(error, number).told
        self.say({**told, "group": group} if group else told)
        if isinstance(error, HttpError) and error.status == 429:
            self._extra()  # who does not heed it is closed

    def _read(self, text: str | None) -> Told:
        self._door.allow(ADDRESS, self.address)
        if text is None or len(text) > MESSAGE_LENGTH_MAX:
            raise ValidationError("message", None, f"text of up to {MESSAGE_LENGTH_MAX}")
        given = parse_json(text.encode("utf-8", "surrogatepass"))
        if not isinstance(given, dict):
            raise ValidationError("message", text[:40], "a JSON object")
        if "SubscribeOrderbook" in given and len(given) == 1:
            return {"op": "subscribe", "channel": DEPTH, "symbol": given["SubscribeOrderbook"]}
        return given

    async def _do(self, said: Body, request_id: str) -> Told | None:
        if isinstance(said, Do):
            return await self._route(said)
        client = self._ask().client
        CLIENT.set(client)
        self._door.allow(REQUEST, client)
        match said:
            case Unsubscribe():
                ending = [t for t in topics_of(self._ask(), said, self._door) if t in self.topics]
                if not ending:
                    raise http_error(404, "NOT_FOUND", "there is no such subscription")
                for topic in ending:
                    self._end(topic)
                return dict(topic_told(ending[0]._replace(group=said.group)))
            case Subscribe():
                await self._subscribe(said, request_id)
                return None  # it has answered
            case Auth():
                return await self._speak_for(said.token)
            case CancelOnDisconnect():
                return await self._arm(said)
            case ListSubscriptions():
                return {"subscriptions": [topic_told(topic) for topic in self._subscribed()]}
        return {"time": str(self._door.oms.clock.wall_ns())}

    async def _route(self, said: Do) -> Told:
        """What REST does, over the socket."""
        entry = self._sockets.entries[said.op]
        ask = self._ask()
        CLIENT.set(ask.client)
        error = self._sockets.guard.check(self)
        if error is not None:
            raise error
        self._door.keeper.check(entry.right, self.caller)
        self._door.allow(entry.cost, ask.client)
        kind = entry.body or entry.query
        assert kind is not None
        reply = await entry.reply(ask, typed(kind, said.params))
        return {"status": reply.status, "result": reply.told}

    def _ask(self) -> Ask:
        door = self._door
        way = gateway_of(self._armed[1] if self._armed is not None else None)
        return Ask(door, door.next_id(), {}, self.address, {}, "", b"", self.caller, way)

    # --- who it is ---

    async def _speak_for(self, token: str) -> Told:
        """Another token: what its user may not see is told no more."""
        caller = await self._door.keeper.token_caller(token, self.address)
        self._sockets.guard.speak_for(self, caller)
        if self._armed is not None and self._armed[0] != caller.user:
            self._lose_arm()
        for topic in self._subscribed():
            if topic.channel in OF_ACCOUNT and not may(caller, AccessScope.READ, topic.key):
                self._end(topic)
                ended = cast(Ended, {**topic_told(topic), "event": "ENDED", "why": "AUTH"})
                self.say(ended)
        return {"user": caller.user, "accounts": list(caller.accounts)}

    async def _arm(self, said: CancelOnDisconnect) -> Told:
        """What is to be canceled when this socket is lost, instead of what was before."""
        self._door.keeper.check(Right.TRADE, self.caller)
        ask, disconnects = self._ask(), self._sockets.disconnects
        user, before = ask.caller.user, self._armed
        if said.take_over:
            if said.scope is not None or said.account or said.grace:
                raise ValidationError("takeOver", said.take_over, "nothing else beside it")
            arm: Arm | None = disconnects.take_over(user, said.take_over)
        elif said.scope is None:
            raise ValidationError("scope", None, "session, account, off; or takeOver")
        elif said.scope == "off":
            arm = None
        else:
            account = ask.account(said.account or None)
            arm = await disconnects.arm(user, account, said.scope, said.grace, made_id())
        self._armed = (user, arm) if arm is not None else None
        if self.gone:  # meanwhile
            self._lose_arm()
        if before is not None:
            await disconnects.disarm(*before)
        return {
            "armed": arm.arm_id if arm else None, "scope": arm.scope if arm else "off",
            "account": arm.account if arm else None, "grace": arm.grace_s if arm else 0,
        }  # fmt: skip

    # --- what it listens to ---

    def _subscribed(self) -> list[Topic]:
        return [topic for topic in self.topics if topic.channel != HEARTBEAT]

    def _end(self, topic: Topic) -> None:
        self._hub.unsubscribe(self, topic)
        waiting = self.topics.pop(topic, 0)
        if isinstance(waiting, list):
            self._pending -= len(waiting)
        if not any(each.group == topic.group for each in self._subscribed()):
            beats = Topic(HEARTBEAT, group=topic.group)
            self._hub.unsubscribe(self, beats)
            self.topics.pop(beats, None)

    async def _subscribe(self, said: Subscribe, request_id: str) -> None:
        """To one topic; or to that of each group, each answered alone."""
        topics = topics_of(self._ask(), said, self._door)
        place = place_of(said, topics)
        for topic in topics:
            self._begins = topic.group
            try:
                await self._begin(topic, place, request_id)
            except Exception as error:
                if len(topics) == 1:
                    raise
                self._refuse(said.op, request_id, error, topic.group)
            finally:
                self._begins = None

    async def _begin(self, topic: Topic, place: Place | None, request_id: str) -> None:
        """Listen first, then find out how things stand or what was missed, then tell what came
        meanwhile and is not in it."""
        if topic in self.topics:
            raise ValidationError("channel", topic.channel, "one that is not subscribed yet")
        if len(self._subscribed()) >= TOPICS_MAX:
            raise http_error(429, "TOO_MANY_REQUESTS", f"at most {TOPICS_MAX} subscriptions")
        pending: Pending = []
        self.topics[topic] = pending
        self._hub.subscribe(self, topic)
        try:
            start = await self._sockets.streams.begin(topic, place)
        except BaseException:
            self._end(topic)
            raise
        if self.topics.get(topic) is not pending:
            return  # it left meanwhile, or may not see it any more
        beats = Topic(HEARTBEAT, group=topic.group)
        if beats not in self.topics:
            self.topics[beats] = -1
            self._hub.subscribe(self, beats)
        answer = {"op": "subscribe", "id": request_id or None, "ok": True, **topic_told(topic)}
        frames = [frame_of(encode({**answer, **start.told}))]
        frames += [frame_of(encode(told)) for told in start.missed]
        for at in range(0, len(frames), FRAMES_AT_ONCE):
            some = frames[at : at + FRAMES_AT_ONCE]
            self._door.counts.frames += len(some)
            if not await self._connection.write_snapshot(b"".join(some)):
                self._slow()
                return
            if self.topics.get(topic) is not pending:
                return
        self.topics[topic] = start.at
        self._pending -= len(pending)
        for frame, seq in pending:
            self.tell(topic, frame, seq)
