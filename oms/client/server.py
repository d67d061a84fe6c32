"""Server: what a client knows of the other side, and how it asks.

Flow:  client, streams -> [server] -> transport -> the server's answer -> told
Owner: any thread; each question waits for its answer on the caller's thread.

A request is sent until it is answered, each time with the same client order id, so that it is done
once. What nobody answers within retry_s is raised: UnansweredError where it may have been done,
ServerError where it was not.
"""

import json
import random
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlencode

from oms.client.credentials import Credentials, Nobody, Reply, refusal_of
from oms.client.retry import (
    Backoff,
    FailedError,
    Tries,
    Verdict,
    error_of,
    parsed,
    retry_after_s,
    verdict_of,
)
from oms.client.said import Call
from oms.client.told import GarbledError, Told, instrument_of, reading, rows, text
from oms.client.transport import LostError, Transport
from oms.clock import Clock
from oms.errors import ServerError, StoppedError, ValidationError
from oms.instruments import Instrument

T = TypeVar("T")
Read = Callable[[Reply], T]


def resolved(call: Callable[..., T], *given: object) -> "Future[T]":
    """A future with what comes of a call."""
    answer: Future[T] = Future()
    try:
        answer.set_result(call(*given))
    except ServerError as error:
        answer.set_exception(error)
    return answer


class Server:
    """One server, as one user. retry_s: so long a request is tried; answer_s: so long an answer is
    waited for. wait: lets time pass; chance: gives the pauses their length."""

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        *,
        retry_s: float,
        answer_s: float,
        clock: Clock,
        wait: Callable[[float], None],
        chance: random.Random,
    ) -> None:
        self.transport, self.credentials = transport, credentials
        self.retry_s, self.answer_s = retry_s, answer_s
        self.clock, self.chance = clock, chance
        self._wait = wait
        self._instruments: dict[str, Instrument] = {}
        self._groups: list[str] = []
        self.stopped = False

    def stop(self) -> None:
        """Safe to repeat."""
        self.stopped = True
        self.transport.close()

    @property
    def is_known(self) -> bool:
        """Does the server know who it is? Else it has public questions alone."""
        return not isinstance(self.credentials, Nobody)

    # --- what it is asked again and again ---

    def instruments(self, *, delisted: bool = False) -> dict[str, Instrument]:
        """What is traded; delisted: also what is traded no more."""

        def read(reply: Reply) -> dict[str, Instrument]:
            self._groups = [text(each) for each in rows(reply.told.get("groups", [""]))]
            found = [instrument_of(each) for each in rows(reply.told["markets"])]
            return {each.symbol: each for each in found}

        asked = {"delisted": "true"} if delisted else {}
        found = self.question("/markets", asked, read)
        self._instruments.update(found)
        return found

    def groups(self) -> list[str]:
        """Of markets, each with sequences of its own; one without a name, where there is one."""
        if not self._groups:
            self.instruments()
        return self._groups

    def instrument(self, symbol: str) -> Instrument | None:
        """As it was told last; asked for where it is not known. None: no such symbol was traded."""
        if symbol not in self._instruments:
            self.instruments(delisted=True)
        return self._instruments.get(symbol)

    def all_known(self) -> list[Instrument]:
        """Whatever was told of so far; asked for where that is nothing."""
        if not self._instruments:
            self.instruments(delisted=True)
        return list(self._instruments.values())

    def known(self, symbol: str) -> Instrument | None:
        """The same without asking."""
        return self._instruments.get(symbol)

    def traded(self, symbol: str) -> Instrument:
        """Raises ValidationError: it never was."""
        found = self.instrument(symbol) if type(symbol) is str else None
        if found is None:
            raise ValidationError("symbol", symbol, "one of " + ", ".join(self._instruments))
        return found

    def accounts(self) -> list[str]:
        """Those of the user."""

        def read(reply: Reply) -> list[str]:
            return [text(each) for each in rows(reply.told["accounts"])]

        return self.question("/me", {}, read)

    # --- asking ---

    def question(self, path: str, asked: dict[str, Any], read: Read[T]) -> T:
        """Raises ServerError."""
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        call = Call("GET", f"{path}?{query}" if query else path)

        def checked(reply: Reply) -> T:
            if not 200 <= reply.status < 300:
                raise refusal_of(reply)
            with reading(path):
                return read(reply)

        return self.ask(call, checked)

    def ask(self, call: Call, read: Read[T]) -> T:
        """Send it until there is an answer, or retry_s are over. Each try is signed anew, and has
        the same body. Raises ServerError, of which UnansweredError is one; StoppedError."""
        tries = self.tries(call)
        while True:
            self.check_running()
            try:
                return self._once(call, read)
            except FailedError as failed:
                self._wait(tries.pause_s(failed))
                if failed.verdict is Verdict.WHO:
                    with suppress(ServerError):  # the next try says what is wrong
                        self.credentials.refused(self.exchange)

    def tries(self, call: Call) -> Tries:
        """The count of the tries of a request, which begin now."""
        backoff = Backoff(self.chance)
        patience_s = self.credentials.patience_s
        return Tries(call.name, bool(call.line), self.clock, self.retry_s, patience_s, backoff)

    def _once(self, call: Call, read: Read[T]) -> T:
        """Raises FailedError: there may be another try; ServerError: this is the answer."""
        headers = self.headers(call.method, call.target, call.content)
        try:
            reply = self._exchange(call.method, call.target, headers, call.content)
            verdict = verdict_of(reply.status, error_of(reply.told))
            if verdict is not Verdict.DONE:
                raise FailedError(verdict, refusal_of(reply), reply.later_s)
            return read(reply)
        except LostError as error:
            raise FailedError(Verdict.DOUBT if error.sent else Verdict.LATER, error) from error
        except GarbledError as error:
            raise FailedError(Verdict.DOUBT, error) from error

    def headers(self, method: str, target: str, content: bytes) -> dict[str, str]:
        """By what the server knows the client. Raises FailedError."""
        try:
            return self.credentials.headers(self.exchange, method, target, content)
        except ServerError as error:
            known = (
                isinstance(error, LostError | GarbledError)
                or error.status == 429
                or error.status >= 500
            )
            raise FailedError(Verdict.LATER if known else Verdict.NEVER, error) from error

    def exchange(self, method: str, target: str, body: Told | None) -> Reply:
        """One request without credentials, once. Raises LostError."""
        content = b"" if body is None else json.dumps(body).encode()
        return self._exchange(method, target, {}, content)

    def _exchange(
        self, method: str, target: str, headers: dict[str, str], content: bytes
    ) -> Reply:  # fmt: skip
        sent = {**headers, "Content-Type": "application/json"} if content else headers
        answer = self.transport.exchange(method, target, sent, content)
        told = parsed(answer.content)
        return Reply(answer.status, told, retry_after_s(answer.retry_after))

    def check_running(self) -> None:
        if self.stopped:
            raise StoppedError("the client has stopped")
