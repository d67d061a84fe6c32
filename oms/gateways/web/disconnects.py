"""Disconnects: orders that are canceled because the socket that guarded them was lost.

Flow:  a socket asks, the journal has it -> the socket is lost -> [disconnects] -> cancels
What is armed is in the journal before it is answered. So it holds also when the process dies that
has the socket: the next one finds it, waits for the grace, and cancels. Every request that this
makes has an id that follows from what was armed: made twice, it is done once.
Owner: the event loop.
"""

import asyncio
import logging
from contextvars import Context

from oms.enums import RequestType
from oms.errors import OMSError
from oms.gateways.web.door import Door
from oms.gateways.web.errors import http_error, refusal
from oms.manager import OrderManagement
from oms.requests import MassCancelRequest, OrderRequest
from oms.requests.access import GATE, AccessAction, AccessRequest, told_facts
from oms.requests.orders import Origin
from oms.responses import OrderResponse
from oms.users import Arm, LossScope

log = logging.getLogger(__name__)

GATEWAY = "disconnect"  # as the journal names what was canceled for this
AGAIN_S = 1.0  # after a cancel that could not be made
AT_ONCE_MAX = 100  # cancels under way
LOOK_S = 3.0  # between looks for what other front doors have lost
NOT_TAKEN = 503


def gateway_of(arm: Arm | None) -> str:
    """How the journal names the way of orders placed over a socket: those of one that was armed
    are found again by it."""
    return "ws" if arm is None else f"ws:{arm.arm_id}"


class Disconnects:
    """What is armed and has no socket: it waits for its grace, or is being done."""

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._loop = loop
        self._waiting: dict[tuple[str, str], tuple[Arm, asyncio.TimerHandle]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._doing: set[tuple[str, str]] = set()

    def restore(self) -> None:
        """What an earlier process armed has lost its sockets with it; so has, among several front
        doors, what one armed that died."""
        for user, arm in self._door.oms.lost_arms():
            if (user, arm.arm_id) not in self._waiting and (user, arm.arm_id) not in self._doing:
                log.info("web: a socket of %s is lost: %s is armed still", user, arm.arm_id)
                self.lost(user, arm)
        self._loop.call_later(LOOK_S, self.restore)

    async def arm(self, user: str, account: str, scope: str, grace_s: int, own_id: str) -> Arm:
        """Raises HttpError. own_id: of the request."""
        facts = {"account": account, "scope": scope, "grace_s": str(grace_s)}
        response = await self._ask(AccessAction.ARM, user, facts, own_id)
        return Arm(told_facts(response.text)["arm"], account, scope, grace_s)

    async def disarm(self, user: str, arm: Arm) -> None:
        """Raises HttpError."""
        facts = {"arm": arm.arm_id}
        await self._ask(AccessAction.DISARM, user, facts, f"disarm-{arm.arm_id}")

    async def _ask(
        self, action: AccessAction, user: str, facts: dict[str, str], own_id: str
    ) -> OrderResponse:
        request = AccessRequest(
            account=GATE, client_order_id=own_id, action=action, user=user, facts=facts,
            origin=Origin(user, GATEWAY),
        )  # fmt: skip
        response = await self._door.submit(request)
        if response.refused:
            raise refusal(response)
        return response

    def take_over(self, user: str, arm_id: str) -> Arm:
        """Another socket of the user is there in time. Raises HttpError 404 if it is not."""
        found = self._waiting.pop((user, arm_id), None)
        if found is None:
            raise http_error(404, "NOT_FOUND", "nothing of that name waits for a socket")
        arm, timer = found
        timer.cancel()
        return arm

    def lost(self, user: str, arm: Arm) -> None:
        """The socket is gone: cancel once its grace is over."""
        timer = self._loop.call_later(arm.grace_s, self._begin, user, arm)
        self._waiting[user, arm.arm_id] = arm, timer

    def _begin(self, user: str, arm: Arm) -> None:
        self._waiting.pop((user, arm.arm_id), None)
        task = self._loop.create_task(self._cancel(user, arm), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._doing.add((user, arm.arm_id))
        task.add_done_callback(lambda _: self._doing.discard((user, arm.arm_id)))

    async def _cancel(self, user: str, arm: Arm) -> None:
        """Until it is done: nobody is there who could ask again."""
        while True:
            try:
                if arm.scope == LossScope.ACCOUNT:
                    count = await self._cancel_account(user, arm)
                else:
                    count = await self._cancel_own(user, arm)
                await self.disarm(user, arm)
            except OMSError as error:
                log.warning("web: %s of %s, once more: %s", arm.arm_id, user, error)
                await asyncio.sleep(AGAIN_S)
            else:
                log.info(
                    "web: a socket of %s is lost: %s orders of account %s canceled (%s)",
                    user, count, arm.account, arm.scope,
                )  # fmt: skip
                return

    async def _cancel_account(self, user: str, arm: Arm) -> str:
        request = MassCancelRequest(
            account=arm.account, client_order_id=f"{GATEWAY}-{arm.arm_id}",
            origin=Origin(user, GATEWAY, arm.arm_id),
        )  # fmt: skip
        response = await self._door.submit(request)
        _check_taken(response)
        return response.facts.get("canceled", "0")

    async def _cancel_own(self, user: str, arm: Arm) -> str:
        """Those whose journal entry says that they came over this very socket: in every group of
        markets, also where another one's engine is not there."""
        groups = self._door.oms.groups.values()
        counts = await asyncio.gather(
            *[self._cancel_own_of(oms, user, arm) for oms in groups], return_exceptions=True
        )
        for each in counts:
            if isinstance(each, BaseException):
                raise each
        return str(sum(each for each in counts if isinstance(each, int)))

    async def _cancel_own_of(self, oms: OrderManagement, user: str, arm: Arm) -> int:
        door = self._door
        open_orders = await door.in_thread(oms.open_orders, arm.account)
        origins = await door.in_thread(oms.origins, [each.order_id for each in open_orders])
        way = gateway_of(arm)
        own = [order_id for order_id, origin in origins.items() if origin.gateway == way]
        for at in range(0, len(own), AT_ONCE_MAX):
            futures = [
                oms.try_submit(
                    OrderRequest(
                        type=RequestType.CANCEL, account=arm.account, order_id=order_id,
                        client_order_id=f"{GATEWAY}-{arm.arm_id}-{order_id}",
                        origin=Origin(user, GATEWAY, arm.arm_id),
                    )
                )
                for order_id in own[at : at + AT_ONCE_MAX]
            ]  # fmt: skip
            for future in futures:
                _check_taken(await door.settled(future))
        return len(own)


def _check_taken(response: OrderResponse) -> None:
    """Raises HttpError where nothing was recorded; an order that is over needs no cancel."""
    if response.refused and response.reason is not None and response.reason.http == NOT_TAKEN:
        raise refusal(response)
