"""A client of the WebSocket for tests: says, and reads what it is told, in order."""

import json
from contextlib import ExitStack, suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

WAIT_S = 30


class Wire:
    """One socket. `told`: all messages so far but heartbeats. At a door of several groups of
    markets it is about the first: it names that, and reads as if there were no other."""

    of_group = ("orders", "fills", "reports", "balances")  # channels

    def __init__(self, door, user=None, query="", **more):
        headers = user.headers if user is not None else {}
        self._stack = ExitStack()
        self.socket = self._stack.enter_context(
            connect(
                door.ws_url + query, additional_headers=headers, compression=None,
                open_timeout=WAIT_S, **more,
            )
        )  # fmt: skip
        self.told = []
        self.beats = []
        self.groups = []
        self.welcome = self.read()
        self.groups = self.welcome.pop("groups", [])

    def heard(self):
        return json.loads(self.socket.recv(WAIT_S))

    def next(self):
        while True:
            message = self.heard()
            group = message.pop("group", None)
            for each in message.get("subscriptions", ()):
                each.pop("group", None)
            if message.get("channel") != "heartbeat" or group in (None, *self.groups[:1]):
                return message

    def read(self):
        """The next message that is no heartbeat."""
        while True:
            message = self.next()
            if message.get("channel") != "heartbeat" or "op" in message:
                self.told.append(message)
                return message
            self.beats.append(message)

    def say(self, **message):
        if self.groups and message.get("channel") in self.of_group:
            message["group"] = self.groups[0]
        self.socket.send(json.dumps(message))

    def ask(self, **message):
        """Its answer; events that come before it are kept in `told`."""
        self.say(**message)
        return self.until(lambda m: m.get("op") == message["op"] and "ok" in m)

    def subscribe(self, channel, **more):
        answer = self.ask(op="subscribe", channel=channel, **more)
        assert answer["ok"], answer
        return answer

    def until(self, wanted):
        while True:
            message = self.read()
            if wanted(message):
                return message

    def beat(self, seq=0):
        """The next heartbeat that has come to `seq`: everything before was told."""
        while not self.beats or int(self.beats[-1]["seq"]) < seq:
            message = self.next()
            (self.beats if message.get("channel") == "heartbeat" else self.told).append(message)
        return self.beats[-1]

    def events(self, channel):
        return [m for m in self.told if m.get("channel") == channel and "op" not in m]

    def closed(self):
        """Wait until it is closed; the code and the reason."""
        try:
            while True:
                self.told.append(json.loads(self.socket.recv(WAIT_S)))
        except ConnectionClosed as error:
            assert error.rcvd is not None, error
            return error.rcvd.code, error.rcvd.reason

    def close(self):
        with suppress(ConnectionClosed):
            self._stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
