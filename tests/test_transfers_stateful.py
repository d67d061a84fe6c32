"""Whatever happens on the way, money between two groups is in one place: two ledgers and an api
against two dicts.

Requests are delivered late, twice, in any order; answers are lost; apis and engines die, and Redis
loses its data. The twin knows nothing of accounts, journals and futures.
"""

from collections import Counter
from concurrent.futures import Future

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oms import FundsAction
from oms.errors import OutcomeUnknownError
from oms.requests import FundsRequest
from oms.roles.transfers import Transfers
from oms.turn.journal import Fold, differences
from tests.examples import many
from tests.transfers import SHARED, Groups, funds, transfer

NAMES = ("usd", "eur")
OPENED = {"usd": ("ann", "bob"), "eur": ("ann", "cid")}
names = st.sampled_from(NAMES)
accounts = st.sampled_from(["ann", "bob", "cid"])
ids = st.integers(1, 8).map("t{}".format)  # few, so that they meet
picks = st.integers(0, 99)
LOST = OutcomeUnknownError("the answer is lost")


class Plain:
    """One group: what each account owns, what is out, which ids were used, by whom for what."""

    def __init__(self, name):
        self.name = name
        self.owned = dict.fromkeys(OPENED[name], 0)
        self.out, self.used = {}, {}

    def take(self, request: FundsRequest) -> bool:
        """Is it done? What was asked before is answered as then."""
        action, key = request.action, (request.account, request.client_order_id)
        said = (request.asset, request.amount, request.to_account, request.from_group,
                request.to_group)  # fmt: skip
        if action in (FundsAction.TRANSFER_DONE, FundsAction.TRANSFER_BACK):
            if self.out.get(key) != said:
                return False
            del self.out[key]
            self.owned[request.account] += request.amount * (action is FundsAction.TRANSFER_BACK)
            return True
        if key not in self.used:
            self.used[key] = (action, said, self._move(request, key, said))
        was, told, done = self.used[key]
        return (was, told) == (action, said) and done

    def _move(self, request, key, said):
        if request.action is FundsAction.DEPOSIT:
            self.owned[request.account] += request.amount
        elif request.action is FundsAction.TRANSFER_IN:
            if request.to_account not in self.owned:
                return False
            self.owned[request.to_account] += request.amount
        else:
            if self.owned.get(request.account, -1) < request.amount:
                return False
            self.owned[request.account] -= request.amount
            self.out[key] = said
        return True


class TransfersMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.groups, self.plain = Groups(), {name: Plain(name) for name in NAMES}
        self.deposited, self.count = 0, 0
        for name in NAMES:
            self.groups.open(*OPENED[name], groups=[name])
            self.deposit(name, OPENED[name][0], 200, "")

    def way(self, name):
        return self.groups.ways[name]

    def deliver_one(self, name, at, told):
        way = self.way(name)
        at %= len(way.pending)
        request, future = way.pending[at]
        done = self.plain[name].take(request)
        outcome: Future = Future()
        way.pending[at] = (request, outcome)
        way.deliver(at)
        assert outcome.result(0).refused != done, (request, outcome.result(0))
        if not told:
            future.set_exception(LOST)
        else:
            future.set_result(outcome.result(0))

    # --- what clients do ---

    @rule(name=names, account=accounts, amount=st.integers(1, 60), to=accounts, id=ids)
    def submit(self, name, account, amount, to, id):
        groups = (name, NAMES[name == "usd"])
        self.groups.api.submit(transfer(id, amount, account=account, to=to, groups=groups))

    @rule(name=names, pick=picks, amount=st.integers(1, 60), id=st.one_of(st.just(""), ids))
    def deposit(self, name, pick, amount, id):
        """Sometimes under an id that a transfer has, too."""
        self.count += 1
        account = OPENED[name][pick % 2] if isinstance(pick, int) else pick
        request = funds(FundsAction.DEPOSIT, account, id or f"d{self.count}", amount)
        key, plain = (account, request.client_order_id), self.plain[name]
        is_new = key not in plain.used
        done = plain.take(request)
        assert self.groups.ask(name, request).refused != done
        self.deposited += amount * (is_new and done)

    # --- what the way there does ---

    @precondition(lambda self: any(way.pending for way in self.groups.ways.values()))
    @rule(pick=picks, at=picks, told=st.sampled_from([True, True, True, False]))
    def deliver(self, pick, at, told):
        waiting = [name for name in NAMES if self.way(name).pending]
        self.deliver_one(waiting[pick % len(waiting)], at, told)

    @precondition(lambda self: any(way.pending for way in self.groups.ways.values()))
    @rule(pick=picks)
    def queue_full(self, pick):
        waiting = [name for name in NAMES if self.way(name).pending]
        self.way(waiting[pick % len(waiting)]).refuse()

    @precondition(lambda self: any(way.sent for way in self.groups.ways.values()))
    @rule(pick=picks, at=picks)
    def deliver_again(self, pick, at):
        """However long ago it was sent."""
        waiting = [name for name in NAMES if self.way(name).sent]
        way = self.way(waiting[pick % len(waiting)])
        way.pending.append((way.sent[at % len(way.sent)], Future()))
        self.deliver_one(way.name, len(way.pending) - 1, told=True)

    @rule(name=names)
    def data_lost(self, name):
        """What was sent and not delivered never will be."""
        pending = self.way(name).pending
        while pending:
            pending.popleft()[1].set_exception(LOST)

    @rule(name=names, alive=st.booleans())
    def reach(self, name, alive):
        self.way(name).alive = alive

    # --- what dies ---

    @rule()
    def api_dies(self):
        self.groups.new_api()

    @rule()
    def second_api(self):
        """The one before goes on, too: what it asked is answered to it."""
        self.groups.api = Transfers(self.groups.ways, self.groups.clock)

    @rule(name=names)
    def engine_dies(self, name):
        self.way(name).restart()

    @rule()
    def look(self):
        self.groups.look()

    # --- what holds ---

    @invariant()
    def same(self):
        for name, plain in self.plain.items():
            ledger = self.way(name).ledger
            assert {
                account: balances.get(SHARED, [0, 0])[0]
                for account, balances in ledger.accounts.items()
                if account in plain.owned
            } == plain.owned
            assert ledger.transfers.keys() == plain.out.keys()
            assert ledger.mistakes([]) == []

    @invariant()
    def conserved(self):
        """What is out and not there yet is on its way; nothing is in two places."""
        on_its_way = 0
        for plain in self.plain.values():
            for key, said in plain.out.items():
                arrived = self.plain[said[4]].used.get(key, (None, None, False))
                if arrived != (FundsAction.TRANSFER_IN, said, True):
                    on_its_way += said[1]
        owned = sum(sum(plain.owned.values()) for plain in self.plain.values())
        assert owned + on_its_way == self.deposited
        carried = sum(self.way(name).ledger.carried.get(SHARED, 0) for name in NAMES)
        out = sum(self.way(name).ledger.in_flight(SHARED) for name in NAMES)
        assert out - carried == on_its_way

    def teardown(self):
        """Once all is in reach again, an api that knows nothing ends what is in flight."""
        for way in self.groups.ways.values():
            way.alive = True
        self.groups.new_api()
        for _ in range(200):
            while waiting := [name for name in NAMES if self.way(name).pending]:
                self.deliver_one(waiting[0], 0, told=True)
            if not any(plain.out for plain in self.plain.values()):
                break
            self.groups.look()
        self.same()
        self.conserved()
        ended = Counter[str]()
        for name in NAMES:
            way, oms = self.way(name), self.way(name).stepped.oms
            assert not way.ledger.transfers
            assert list(differences(way.stepped.store, Fold(way.stepped.venue))) == []
            for (account, id), (action, said, done) in self.plain[name].used.items():
                if action is not FundsAction.TRANSFER or not done:
                    continue
                there = self.plain[said[4]].used[account, id]
                state = oms.transfer(account, id).state
                ended[state] += 1
                assert (state == "DONE") == (there == (FundsAction.TRANSFER_IN, said, True))
        assert ended.keys() <= {"DONE", "RETURNED"}


TestTransfers = TransfersMachine.TestCase
TestTransfers.settings = settings(max_examples=many(100), stateful_step_count=40, deadline=None)


@pytest.mark.slow
def test_many_more_ways_that_transfers_go():
    machine = type("Machine", (TransfersMachine.TestCase,), {})
    machine.settings = settings(max_examples=many(1_500), stateful_step_count=80, deadline=None)
    machine("runTest").runTest()
