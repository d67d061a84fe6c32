"""What the journals of several groups say of money together, turn by turn."""

from heapq import merge

from oms.commands import venue_of
from oms.requests.accounts import FundsAction
from oms.requests.codec import FUNDS, decode_all, groups_of
from oms.stores import COMMAND_DONE, checked
from oms.turn.journal import Fold


def conserved(stores, asset):
    """How many turns there were, behind each of which accounts and what was on its way had all of
    an asset that was deposited. The turns of all journals follow one another by their stamps.
    stores: not open yet, to be read."""
    for store in stores:
        store.open()
    folds = [Fold(venue_of(store)) for store in stores]
    for fold in folds:
        fold.reset()
    turns = merge(*(
        [(record.wall_ns, at, record) for record in checked(store.records(), 0, 0)]
        for at, store in enumerate(stores)
    ), key=lambda turn: turn[:2])  # fmt: skip
    where: dict[tuple[str, str, str], str] = {}
    deposited = on_its_way = count = 0
    for _, at, record in turns:
        reports = {each.request_seq: each for each in folds[at].apply(record)}
        for seq, line in enumerate(decode_all(record.body, record.first_seq), record.first_seq):
            if line[0] != FUNDS or line[4] != asset or reports[seq].type != COMMAND_DONE:
                continue
            action, amount = line[3], line[5]
            if not groups_of(line):
                deposited += amount * (action == FundsAction.DEPOSIT)
                continue
            key = (line[1], line[2], line[7])
            before, after, moves = {
                FundsAction.TRANSFER: (None, "in flight", 1),
                FundsAction.TRANSFER_IN: ("in flight", "arrived", -1),
                FundsAction.TRANSFER_DONE: ("arrived", "done", 0),
                FundsAction.TRANSFER_BACK: ("in flight", "back", -1),
            }[FundsAction(action)]
            assert where.get(key) == before, (line, where.get(key))
            where[key], on_its_way = after, on_its_way + moves * amount
        owned = sum(fold.desk.ledger.total(asset) for fold in folds)
        assert owned + on_its_way == deposited, (record.first_seq, owned, on_its_way, deposited)
        count += 1
    assert set(where.values()) <= {"done", "back"} and on_its_way == 0
    assert [fold.desk.ledger.transfers for fold in folds] == [{}] * len(folds)
    assert sum(fold.desk.ledger.carried.get(asset, 0) for fold in folds) == 0
    for store in stores:
        store.close()
    return count
