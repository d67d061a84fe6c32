"""Money between two groups of markets: out, in, and the end of it; each step once, none half."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from decimal import Decimal

import pytest

from oms import FundsAction, MemoryStore, PersistentStorage, RejectReason, ValidationError
from oms.answers import AssetMoney
from oms.desk import snapshot
from oms.errors import StoreError
from oms.exchange.accounts import TRANSFERS_MAX
from oms.sections import ScaleConfig
from oms.stores.archiving import archive
from oms.stores.stretch import TradingDates, rows_of
from oms.turn.journal import Fold, differences, state_mistakes
from tests.fakes import Stepped
from tests.teller import FUNDED
from tests.transfers import CONFIG, SHARED, Groups, funds, transfer


@pytest.fixture(params=["memory", "sqlite"])
def groups(request, tmp_path):
    """Ann and bob are in both, and ann has 100 A in the one."""
    sqlite = request.param == "sqlite"
    made = Groups(lambda name: PersistentStorage(tmp_path / name) if sqlite else MemoryStore())
    made.open("ann", "bob")
    made.ask("usd", funds(FundsAction.DEPOSIT, "ann", "d", 100))
    yield made
    for way in made.ways.values():
        way.stepped.store.close()


def owned(groups, account="ann"):
    """In both."""
    return tuple(
        way.ledger.accounts[account].get(SHARED, [0, 0])[0] for way in groups.ways.values()
    )


def sound(groups):
    """All adds up, in the state, and replayed from the journal."""
    for way in groups.ways.values():
        desk = way.stepped.dispatcher.desk
        assert desk.ledger.mistakes(desk.executions.orders.values()) == []
        fold = Fold(way.stepped.venue)
        for _ in fold.recover(way.stepped.store, use_snapshot=False):
            pass
        assert fold.digest() == way.stepped.dispatcher.fold.digest()
        assert list(differences(way.stepped.store, Fold(Stepped(CONFIG).venue))) == []


def test_money_goes_to_another_group_in_three_steps(groups):
    # when the first step is done
    told = groups.api.submit(transfer("t", 30))
    groups.ways["usd"].deliver()

    # then it is in neither account, and still there
    assert owned(groups) == (70, 0)
    [there] = groups.ways["usd"].ask("transfers").result(0)
    assert (there.state, there.amount, there.to_group) == ("IN_FLIGHT", Decimal(30), "eur")
    money = groups.ways["usd"].ask("money").result(0)["usd"].assets[SHARED]
    assert money == AssetMoney(Decimal(70), Decimal(30), Decimal(100), Decimal(0))
    sound(groups)

    # when the others follow
    assert not told.done()
    groups.come_to_rest()

    # then it is in the other, and both say so
    assert owned(groups) == (70, 30)
    assert not told.result(0).refused
    states = [way.stepped.oms.transfer("ann", "t").state for way in groups.ways.values()]
    assert states == ["DONE", "ARRIVED"]
    for name, carried in (("usd", -30), ("eur", 30)):
        assert groups.ways[name].ask("money").result(0)[name].assets[SHARED].carried == carried
    sound(groups)


def test_what_the_other_group_refuses_comes_back(groups):
    """An account that is unknown there."""
    groups.ask("usd", funds(FundsAction.CREATE, "cid", "create"))
    groups.api.submit(transfer("t", 30, to="cid"))
    groups.come_to_rest()
    assert owned(groups) == (100, 0)
    usd, eur = (way.stepped.oms.transfer("ann", "t") for way in groups.ways.values())
    assert (usd.state, eur.state) == ("RETURNED", "REFUSED")
    assert usd.text == eur.text == "ACCOUNT_UNKNOWN: account=cid"

    # and that is so for ever, though the account is made
    groups.open("cid", groups=["eur"])
    groups.api.submit(transfer("t", 30, to="cid"))
    groups.come_to_rest()
    assert owned(groups) == (100, 0)
    sound(groups)


def test_an_asset_that_the_other_group_does_not_know_comes_back(groups):
    groups.ask("usd", funds(FundsAction.DEPOSIT, "ann", "d-usd", 5, "USD"))
    groups.api.submit(transfer("t", 5, asset="USD"))
    groups.come_to_rest()
    assert groups.ways["usd"].ledger.accounts["ann"]["USD"] == [500, 0]
    returned = groups.ways["usd"].stepped.oms.transfer("ann", "t")
    assert (returned.state, returned.text) == (
        "RETURNED", "ASSET_UNKNOWN: asset=USD, known=B|EUR|A",
    )  # fmt: skip
    assert groups.ways["eur"].stepped.oms.transfer("ann", "t") is None  # its amount was not read
    sound(groups)


def test_every_step_that_comes_again_changes_nothing(groups):
    groups.api.submit(transfer("t", 30))
    groups.come_to_rest()
    for way in groups.ways.values():
        for request in way.sent.copy():
            response = groups.ask(way.name, request)
            ends = request.action is FundsAction.TRANSFER_DONE
            assert response.refused == ends and response.repeated == (not ends)
            wrong = groups.ask(way.name, replace(request, amount=31))
            assert wrong.refused
    assert owned(groups) == (70, 30)
    sound(groups)


def test_an_api_that_dies_between_any_two_steps_leaves_the_rest_to_another(groups):
    for steps in range(4):
        groups.api.submit(transfer(f"t{steps}", 10))
        for step in range(1, steps + 1):  # the answer to the latest is lost
            way = next(way for way in groups.ways.values() if way.pending)
            way.deliver(told=step < steps)
        groups.new_api()
        for way in groups.ways.values():
            way.restart()
            way.pending.clear()  # Redis lost its data, too
        groups.look()
        groups.come_to_rest()
        sound(groups)
    assert owned(groups) == (70, 30)  # the first was never sent


def test_two_apis_that_drive_the_same_do_no_harm(groups):
    first = groups.api
    first.submit(transfer("t", 30))
    groups.ways["usd"].deliver()
    groups.api = type(first)(groups.ways, groups.clock)
    groups.look()
    groups.look()
    assert [each.action for each in groups.ways["eur"].sent] == ["TRANSFER_IN"] * 2
    groups.come_to_rest()
    assert owned(groups) == (70, 30)
    sound(groups)


def test_a_group_that_is_out_of_reach_is_not_asked_again_and_again(groups):
    groups.ways["eur"].alive = False
    told = groups.api.submit(transfer("t", 30))
    groups.ways["usd"].deliver()
    for _ in range(5):
        groups.look()
    assert groups.ways["eur"].sent == []
    groups.api.wake()
    groups.api.step()
    assert told.result(0).facts["to_group"] == "eur"  # its client was told that it is in flight
    groups.ways["eur"].alive = True
    groups.look()
    groups.come_to_rest()
    assert owned(groups) == (70, 30)


def test_what_is_refused_for_a_full_queue_is_not_decided(groups):
    """Nothing of it is in the other group's journal, so it may still arrive."""
    told = groups.api.submit(transfer("t", 30))
    groups.ways["usd"].deliver()
    groups.ways["eur"].refuse()
    assert groups.ways["usd"].sent[1:] == []
    groups.look()
    groups.look()
    groups.ways["eur"].deliver()
    groups.ways["usd"].refuse()  # the end of it, too
    assert not told.done()
    groups.come_to_rest()
    assert (owned(groups), told.result(0).refused) == ((70, 30), False)
    sound(groups)


def test_pauses_between_two_tries_grow(groups):
    groups.api.submit(transfer("t", 30))
    groups.ways["usd"].deliver()
    for _ in range(30):
        groups.look()
        while groups.ways["eur"].pending:
            groups.ways["eur"].deliver(told=False)
    assert 3 <= len(groups.ways["eur"].sent) <= 7
    groups.come_to_rest(looks=60)
    assert owned(groups) == (70, 30)


@pytest.mark.parametrize("step", [FundsAction.TRANSFER_DONE, FundsAction.TRANSFER_BACK])
def test_the_end_of_a_transfer_that_is_not_in_flight_is_refused(groups, step):
    unknown = groups.ask("usd", replace(transfer("never", 30), action=step))
    assert (unknown.reason, unknown.text) == (
        RejectReason.COMMAND_INVALID, "COMMAND_INVALID: transfer=never, not in flight",
    )  # fmt: skip
    groups.ask("usd", transfer("t", 30))
    other = groups.ask("usd", replace(transfer("t", 31), action=step))
    assert other.reason is RejectReason.COMMAND_INVALID
    assert owned(groups) == (70, 0)
    sound(groups)


def test_a_group_makes_only_its_own_steps(groups):
    """So a request that went to the wrong engine moves nothing."""
    assert groups.ask("eur", transfer("t", 30)).text == "COMMAND_INVALID: group=usd, expected eur"
    arriving = replace(transfer("u", 30), action=FundsAction.TRANSFER_IN)
    assert groups.ask("usd", arriving).text == "COMMAND_INVALID: group=eur, expected usd"
    alone = Stepped(FUNDED).start()
    alone.ask(funds(FundsAction.CREATE, "ann", "create"))
    refused = alone.ask(transfer("t", 30, asset="USD"))
    assert refused.text == "COMMAND_INVALID: group=usd, expected none, as markets are not split"
    assert alone.oms.transfer("ann", "t").state == "REFUSED"


def test_more_than_there_is_does_not_leave(groups):
    told = groups.api.submit(transfer("t", 101))
    groups.come_to_rest()
    assert told.result(0).reason is RejectReason.FUNDS_INSUFFICIENT
    assert groups.ways["eur"].sent == []
    assert groups.ways["usd"].stepped.oms.transfer("ann", "t").state == "REFUSED"


def test_so_many_may_be_in_flight(groups):
    ledger = groups.ways["usd"].ledger
    groups.ask("usd", transfer("t", 1))
    [sent] = ledger.transfers.values()
    ledger.transfers.update({("x", str(n)): sent for n in range(TRANSFERS_MAX - 1)})
    assert groups.ask("usd", transfer("u", 1)).text.startswith("COMMAND_INVALID: in_flight=10000")
    assert len(groups.ways["usd"].ask("transfers").result(0)) == 1_000


def test_money_moves_to_another_account_and_both_see_their_side(groups):
    groups.api.submit(transfer("t", 30, to="bob"))
    groups.api.submit(transfer("back", 30, to="nobody"))
    groups.come_to_rest()

    def moved(group, account):
        page = groups.ways[group].stepped.oms.ledger(account)
        return [(str(m.kind), m.amount, m.other) for m in page.movements]

    assert moved("usd", "ann") == [
        ("TRANSFER", Decimal(30), "nobody"), ("TRANSFER", Decimal(-30), "nobody"),
        ("TRANSFER", Decimal(-30), "bob"), ("DEPOSIT", Decimal(100), ""),
    ]  # fmt: skip
    assert moved("eur", "bob") == [("TRANSFER", Decimal(30), "ann")]
    assert moved("usd", "bob") == moved("eur", "ann") == []


def test_a_snapshot_has_what_is_in_flight(groups):
    groups.ask("usd", transfer("t", 30))
    fold = groups.ways["usd"].stepped.dispatcher.fold
    state = snapshot.dump(fold.desk, 9)
    assert state["ledger"]["transfers"][0][:2] == ["ann", "t"]
    assert state_mistakes(fold) == []


def test_what_was_decided_is_answered_again_out_of_an_archive(tmp_path):
    """The answer is lost, and all of it is in archives by the time that it is asked again."""
    groups = Groups(lambda name: PersistentStorage(tmp_path / name))
    groups.open("ann")
    groups.ask("usd", funds(FundsAction.DEPOSIT, "ann", "d", 100))
    for name, to in (("t", "ann"), ("u", "nobody")):
        groups.api.submit(transfer(name, 30, to=to))
        groups.ways["usd"].deliver()
        groups.ways["eur"].deliver(told=False)
    for way in groups.ways.values():
        in_flight = [sent.seq for sent in way.ledger.transfers.values()]
        cut_seq = way.stepped.dispatcher.fold.last_seq
        groups.ask(way.name, funds(FundsAction.CREATE, "later", "c"))
        way.stepped.stop()
        with PersistentStorage(tmp_path / way.name) as store:
            assert archive(store, cut_seq, in_flight).reports > 0
        way.stepped = Stepped(CONFIG.of_group(way.name), store=way.make_store(way.name)).start()
    groups.new_api()
    groups.look()
    groups.come_to_rest()
    assert owned(groups) == (70, 30)
    states = [groups.ways["usd"].stepped.oms.transfer("ann", name).state for name in ("t", "u")]
    assert states == ["DONE", "RETURNED"]
    sound(groups)
    for way in groups.ways.values():
        way.stepped.store.close()


def test_a_program_of_one_group_replays_what_is_in_flight_and_lets_it_end(groups):
    """It begins none, and keeps what another program has begun."""
    groups.ask("usd", transfer("t", 30))
    groups.ask("usd", transfer("u", 20))
    way = groups.ways["usd"]
    whole = replace(CONFIG.of_group("usd"), scale=ScaleConfig())
    alone = way.stepped = Stepped(whole, store=way.again()).start()
    assert [each.amount for each in way.ask("transfers").result(0)] == [30, 20]
    refused = alone.ask(transfer("v", 1))
    assert refused.text == "COMMAND_INVALID: group=usd, expected none, as markets are not split"
    assert not alone.ask(replace(transfer("t", 30), action=FundsAction.TRANSFER_DONE)).refused
    back = replace(transfer("u", 20), action=FundsAction.TRANSFER_BACK, why="said by hand")
    assert alone.ask(back).facts["transfer"] == "RETURNED"
    assert owned(groups) == (70, 0)
    assert alone.oms.transfer("ann", "u").text == "said by hand"
    assert way.ask("money").result(0)["main"].assets[SHARED].carried == -30
    sound(groups)


def test_the_journal_of_a_group_is_not_started_as_another_s(groups):
    """One without a group may become a group's: that of `run`, or of an older program."""
    way = groups.ways["usd"]
    for other in (CONFIG.of_group("eur"), replace(CONFIG, scale=ScaleConfig()).of_group("main")):
        refused = Stepped(other, store=way.again())
        with pytest.raises(StoreError, match=r"--group: expected usd, .* was (eur|main)"):
            refused.start()
        refused.store.close()
        way.restart()
    for config, group in (
        (CONFIG, ""),  # of `run`, which has all markets
        (CONFIG.of_group("eur"), "eur"), (CONFIG.of_group("eur"), "eur"),
    ):  # fmt: skip
        way.stepped = Stepped(config, store=way.again()).start()
        assert way.stepped.dispatcher.desk.settings.get("group", "") == group


def test_ids_and_groups_are_checked():
    for wrong in (
        {"groups": ("usd", "usd")}, {"groups": ("usd", "")}, {"groups": ("", "eur")},
        {"groups": ("u" * 33, "eur")}, {"groups": ("usd", 'e"')},
    ):  # fmt: skip
        with pytest.raises(ValidationError, match="group"):
            transfer("t", 1, **wrong)
    with pytest.raises(ValidationError, match="why"):
        replace(transfer("t", 1), why="so")
    with pytest.raises(ValidationError, match="from_group"):
        funds(FundsAction.DEPOSIT, "ann", "d", 1, groups=("usd", "eur"))
    with pytest.raises(ValidationError, match="to_group"):
        funds(FundsAction.TRANSFER_IN, "ann", "d", 1, to="ann")
    with pytest.raises(ValidationError, match="to_group: expected one of usd, eur"):
        Groups().api.submit(transfer("t", 1, groups=("usd", "inr")))


def test_each_step_is_an_action_with_its_outcome(tmp_path):
    """The end of a transfer is answered by a report about the transfer, and still has its own."""
    # given one that arrived, and one that came back
    groups = Groups(lambda name: PersistentStorage(tmp_path / name))
    groups.open("ann")
    groups.ask("usd", funds(FundsAction.DEPOSIT, "ann", "d", 100))
    groups.api.submit(transfer("there", 30))
    groups.api.submit(transfer("back", 20, to="nobody"))
    groups.come_to_rest()

    # when the view is read, and what would be filled into a projection
    store = groups.ways["usd"].stepped.store
    with closing(sqlite3.connect(store.path)) as connection:
        rows = connection.execute(
            "SELECT action, client_order_id, outcome, text FROM operator_actions ORDER BY seq"
        ).fetchall()
    filled, stretch = [], store.find_stretch(0, 1_000, 0)
    while stretch.records:
        filled += rows_of(stretch, TradingDates()).actions
        stretch = store.find_stretch(stretch.last_seq, 1_000, 0)
    for way in groups.ways.values():
        way.stepped.store.close()

    # then both have the outcome of each step
    told = [row for row in rows if row[0].startswith("TRANSFER")]
    assert {row[:3] for row in told} == {
        ("TRANSFER", "there", "COMMAND_DONE"), ("TRANSFER_DONE", "there", "COMMAND_DONE"),
        ("TRANSFER", "back", "COMMAND_DONE"), ("TRANSFER_BACK", "back", "COMMAND_DONE"),
    }  # fmt: skip
    [back] = [row[3] for row in told if row[0] == "TRANSFER_BACK"]
    assert "transfer=RETURNED" in back
    assert [(row[3], row[2], row[9], row[10]) for row in filled] == rows
