"""One flow of orders, sent three ways: the state and the reports are the same to the last unit."""

import random
from dataclasses import replace
from itertools import islice
from pathlib import Path

from oms import ManualClock
from oms.gateways.client import ControlClient
from oms.gateways.control import ControlGateway
from oms.requests import (
    AccessRequest,
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorRequest,
    OrderRequest,
    codec,
)
from oms.requests.access import AccessAction
from oms.turn.threads import Worker
from tests.driver import config_of
from tests.exchange_flow import Trader, operator_wishes, request_of
from tests.processes import audit, wait_until
from tests.web.doors import WEB, FrontDoor
from tests.web.served import Session

TRADERS, WISHES_EACH, SEED_RANGE = 3, 120, 10**9
MONEY = {
    FundsAction.DEPOSIT: "/balance/deposit", FundsAction.WITHDRAW: "/balance/withdraw",
    FundsAction.TRANSFER: "/balance/transfer",
}  # fmt: skip
NS = 1_700_000_000 * 10**9


def flow(seed: int) -> list:
    """Requests of three traders and an operator, in turn: what they do differs by the seed."""
    chance = random.Random(seed)
    wishes = [
        list(islice(Trader(random.Random(chance.random()), f"client{n}", "w", TRADERS).wishes(),
                    WISHES_EACH))
        for n in range(TRADERS)
    ]  # fmt: skip
    operator = list(islice(operator_wishes(chance, "op"), 20))
    funded = [w for each in wishes for w in each[:4]]
    rest = [w for row in zip(*(each[4:] for each in wishes), strict=True) for w in row]
    for wish in operator:
        rest.insert(chance.randrange(len(rest)), wish)
    found = [request_of(wish) for wish in (*funded, *rest) if wish[2] != "ACCESS"]
    return [each for each in found if not _expires(each)]


def _expires(request: object) -> bool:
    """Good till a time of the real clock, which here stands still elsewhere."""
    return isinstance(request, OrderRequest) and bool(request.terms and request.terms.expire_ns)


class Place:
    """A front door on a clock that stands still, with three users and an operator. Each of them
    was made by the library under the same ids, so the journals are alike so far."""

    def __init__(self, directory: Path, config) -> None:
        self.directory = directory
        directory.mkdir()
        self.door = FrontDoor(directory, config, clock=ManualClock(NS))
        wait_until(lambda: self.door.oms.session.logged_on)  # that is an entry of the journal, too
        self.sessions: dict[str, Session] = {}
        for n in range(TRADERS):
            self._user(f"client{n}", "trader", f"client{n}")
        self._user("boss", "operator", "")

    def _user(self, name: str, role: str, accounts: str) -> None:
        facts = {"email": f"{name}@x", "role": "trader", "accounts": accounts, "hash": "$none"}
        self._access("up", AccessAction.SIGN_UP, name, facts)
        self._access("role", AccessAction.SET_ROLE, name, {"role": role})
        gate = self.door.server.gate
        user = self.door.oms.access.user(name)
        facts = {"credential": user.credential, "ends_ns": str(NS + 10**15)}
        opened = gate.opened(self._access("in", AccessAction.LOGIN, name, facts))
        self.sessions[name] = Session(self.door.url, opened.access)

    def _access(self, what: str, action: AccessAction, name: str, facts: dict[str, str]):
        request = AccessRequest(
            account="operator", client_order_id=f"{what}-{name}", action=action, user=name,
            facts=facts,
        )  # fmt: skip
        return self.door.oms.submit(request).result(30)

    def close(self):
        for each in self.sessions.values():
            each.close()
        self.door.stop()
        return audit(self.directory)


def camel(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(each.title() for each in more)


def by_rest(place: Place, request: object) -> int:
    """As a client of REST says it: the status."""
    said = {camel(key): value for key, value in codec.to_object(request).items()}
    said.pop("request")
    name = said.get("account", "boss")
    if isinstance(request, OperatorRequest):
        said.pop("account", None)
        said["action"] = request.action.value
        return place.sessions["boss"].ask("POST", "/admin/command", said).status
    if isinstance(request, MassCancelRequest):
        return place.sessions[name].ask("POST", "/order/cancel_all", said).status
    if isinstance(request, FundsRequest):
        if request.action is FundsAction.CREATE:
            return place.sessions["boss"].ask("POST", "/admin/accounts", said).status
        return place.sessions[name].ask("POST", MONEY[request.action], said).status
    said |= {camel(key): value for key, value in said.pop("terms", {}).items()}
    if "orderType" in said:
        said["type"] = said.pop("orderType")
    method = {"NEW": "POST", "MODIFY": "PATCH", "CANCEL": "DELETE"}[request.type]
    return place.sessions[name].ask(method, "/order", said).status


def sent_by_rest(place: Place, requests: list) -> None:
    statuses = {by_rest(place, request) for request in requests}
    assert 201 in statuses and 422 in statuses
    assert not statuses & {400, 401, 403, 405, 429, 500, 503, 504}


def sent_by_the_control_socket(place: Place, requests: list) -> None:
    gateway = ControlGateway(place.door.oms, place.directory)
    gateway.open()
    worker = Worker("oms-control", gateway, lambda *died: place.door.died.append(died))
    worker.start()
    try:
        client = ControlClient.connect(place.directory)
        assert client is not None
        for request in requests:
            client.ask(codec.to_object(request))
        client.close()
    finally:
        assert worker.stop(10)
        gateway.close()


def sent_by_the_library(place: Place, requests: list) -> None:
    for request in requests:
        place.door.oms.submit(request).result(30)


WAYS = (sent_by_rest, sent_by_the_control_socket, sent_by_the_library)


def test_whichever_way_a_flow_comes_it_comes_to_the_same(tmp_path):
    seed = random.randrange(SEED_RANGE)
    print(f"seed {seed}")
    requests, found = flow(seed), []
    config = replace(config_of({}, exchange=True), web=WEB)
    for way in WAYS:
        place = Place(tmp_path / way.__name__, config)
        try:
            way(place, requests)
        finally:
            found.append(place.close())
    first, *others = found
    assert first.row_count > len(requests)
    assert (first.differences, first.mistakes) == ([], [])
    for other in others:
        assert other.rows == first.rows
        assert other.digest == first.digest
    # and each journal says by which way it came
    origins = [{origin_of(line) for _, line in each.requests} for each in found]
    assert [("rest" in each, len(each) > 0) for each in origins] == [
        (True, True), (False, True), (False, True),
    ]  # fmt: skip


def origin_of(line: codec.Line) -> str:
    """The gateway that a line names; "" if none."""
    return next((str(part[1]) for part in line if isinstance(part, list) and len(part) > 1), "")
