"""The fair inbox: FIFO for each client, clients in turn; what goes for the plain one holds, too."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from oms import Config, Origin
from oms.manager import is_fair
from oms.requests.codec import NEW
from oms.sections import QueueConfig, WebConfig
from oms.turn.fair import FairInbox
from tests.examples import many
from tests.fakes import Stepped, buy, cancel, config_of

BATCH = 4


def item(client, number, **more):
    return (buy(f"{client}{number}", 1, 100, account=client, **more).line, number, None)


def of_user(user, account, number):
    return item(account, number, origin=Origin(user, "rest", str(number)))


def names(taken):
    return [line[2] for line, _, _ in taken]


def test_what_one_turn_takes_stays_in_the_order_of_arrival():
    """Time priority goes by it, and nobody waits for it."""
    inbox = FairInbox(100)
    for number in range(3):
        inbox.put(item("a", number))
    inbox.put(item("b", 0))
    assert names(inbox.take(BATCH, 0)) == ["a0", "a1", "a2", "b0"]


def test_the_flood_of_one_client_is_not_the_others_wait():
    """Fifty requests of a stand before one of b and two of c; the first turn has all of those."""
    inbox = FairInbox(1_000)
    for number in range(50):
        inbox.put(item("a", number))
    inbox.put(item("b", 0))
    inbox.put(item("c", 0))
    inbox.put(item("c", 1))
    assert names(inbox.take(BATCH, 0)) == ["a0", "b0", "c0", "a1"]
    assert names(inbox.take(BATCH, 0)) == ["c1", "a2", "a3", "a4"]
    assert names(inbox.take(1_000, 0)) == [f"a{number}" for number in range(5, 50)]
    assert inbox.size == 0


def test_a_client_is_a_user_however_many_accounts_they_have():
    inbox = FairInbox(1_000)
    for number in range(20):
        inbox.put(of_user("ann", f"acc{number}", number))
    inbox.put(of_user("bob", "acc0", 99))
    assert [each[1] for each in inbox.take(BATCH, 0)] == [0, 99, 1, 2]


def test_a_full_inbox_has_room_for_the_others():
    """The first client may have half of it, the next half of what is left, and so on."""
    inbox = FairInbox(16)
    counts = []
    for client in "abcde":
        counts.append(sum(inbox.put(item(client, number)) for number in range(100)))
    assert counts == [8, 4, 2, 1, 1]
    assert not inbox.put(item("f", 0))
    assert inbox.put((cancel("x", "a0").line, 0, None), urgent=True)


def test_notices_and_venue_reports_go_first():
    inbox = FairInbox(100)
    for number in range(10):
        inbox.put(item("a", number))
    inbox.notice((("L", "UP", ""), 7, None))
    assert inbox.take(BATCH, 0)[0][0][0] == "L"


def test_cancels_overtake_and_take_turns_among_clients():
    inbox = FairInbox(1_000)
    for number in range(20):
        inbox.put(item("a", number))
    for number in range(3):
        inbox.put((cancel(f"ca{number}", f"a{number}", account="a").line, number, None), True)
    inbox.put((cancel("cb", "b0", account="b").line, 0, None), True)
    found = inbox.take_urgent(3, 10)
    assert [each[0][2] for _, each in found] == ["ca0", "cb", "ca1"]
    assert inbox.known([("a", "a0"), ("b", "b0")]) == {("a", "a0")}
    ((_, order),) = inbox.withdraw([("a", "a0", found[0][0])])
    assert order[0][2] == "a0"
    assert "a0" not in names(inbox.take(1_000, 0))


def test_a_sweep_goes_for_what_arrived_before_it():
    inbox = FairInbox(1_000)
    for number in range(6):
        inbox.put(item("a", number))
        inbox.put(item("b", number))
    inbox.sweep(("a", "", ""), 7, "WHY")
    taken = [each[0] for each in inbox.take(1_000, 0)]
    assert [line[2] for line in taken if line[0] != NEW] == ["a0", "a1", "a2", "a3"]


def test_a_question_waits_for_its_own_account_alone():
    """However long the flood of another is; and until what was taken is answered."""
    inbox = FairInbox(1_000)
    for number in range(50):
        inbox.put(item("a", number))
    inbox.put(item("b", 0))
    is_done = inbox.behind("b")
    assert not is_done()
    inbox.take(BATCH, 0)
    assert not is_done()  # b's request is in the turn that is under way
    inbox.done()
    assert is_done()
    assert not inbox.behind("a")()
    assert inbox.behind("nobody")()


@pytest.mark.parametrize(
    ("fair", "front_door", "expected"),
    [("auto", False, False), ("auto", True, True), ("no", True, False), ("yes", False, True)],
)
def test_it_is_the_default_of_an_open_front_door(fair, front_door, expected):
    config = replace(
        Config(), queue=QueueConfig(fair=fair), web=replace(WebConfig(), enabled=front_door)
    )
    assert is_fair(config) is expected


def test_an_order_manager_with_it_answers_everybody(start_manager):
    """A flood, cancels through the middle of it, and a question behind it."""
    oms = start_manager(config_of(queue=QueueConfig(fair="yes", batch_max=10)))
    flood = [oms.submit(buy(f"a{n}", 1, 100, account="a")) for n in range(500)]
    other = oms.submit(buy("b", 1, 100, account="b"))
    gone = oms.submit(cancel("ca", "a499", account="a"))
    assert oms.find_order("b", "b").result(10) is not None
    assert {each.result(10).state for each in flood[:-1]} == {"NEW"}
    assert (other.result(10).state, gone.result(10).state) == ("NEW", "CANCELED")


def test_behind_a_flood_another_client_is_answered_in_the_very_next_turn():
    """Five hundred orders of a wait; one turn takes ten, and b's is among them."""
    desk = Stepped(config_of(queue=QueueConfig(fair="yes", batch_max=10))).start()
    for number in range(500):
        desk.oms.on_data(buy(f"a{number}", 1, 100, account="a"))
    desk.oms.on_data(buy("b", 1, 100, account="b"))
    assert "b NEW/NEW" in desk.step()
    assert desk.oms.inbox.size == 491
    while desk.oms.inbox.size:
        desk.step()
    assert desk.refolded() == desk.digest()


class FairMachine(RuleBasedStateMachine):
    """Beside it a list for each client, and one round after the other."""

    def __init__(self):
        super().__init__()
        self.inbox, self.waiting, self.rounds, self.count = FairInbox(10_000), {}, [], 0

    @rule(client=st.sampled_from("abcd"), count=st.integers(1, 9))
    def put(self, client, count):
        for _ in range(count):
            assert self.inbox.put(item(client, self.count))
            self.waiting.setdefault(client, []).append(self.count)
            self.count += 1
            if client not in self.rounds:
                self.rounds.append(client)

    @rule(count=st.integers(1, 12))
    def take(self, count):
        taken = [each[1] for each in self.inbox.take(count, 0)]
        if sum(map(len, self.waiting.values())) <= count:
            assert taken == sorted(number for each in self.waiting.values() for number in each)
            self.waiting, self.rounds = {}, []
            return
        expected = []
        while len(expected) < count and self.rounds:
            client = self.rounds.pop(0)
            expected.append(self.waiting[client].pop(0))
            if self.waiting[client]:
                self.rounds.append(client)
        assert taken == expected

    @invariant()
    def sound(self):
        assert self.inbox.size == sum(map(len, self.waiting.values()))


TestFair = FairMachine.TestCase
TestFair.settings = settings(max_examples=many(100), stateful_step_count=40)
