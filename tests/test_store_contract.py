"""The contract of every store: a turn is kept whole or not at all, and found again.

A store of another kind subclasses `Contract` and gives it `opened`.
"""

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import MemoryStore, PersistentStorage
from oms.errors import JournalError
from oms.positions import LATEST
from oms.reports import CODES, NUMBER_BITS, Report
from oms.requests import FundsAction, OperatorAction, codec
from oms.requests.orders import ID_LENGTH_MAX
from oms.requests.orders import SEQUENCE_MAX as SEQS
from oms.stores import JournalRecord, Snapshot, checked, checksum
from tests.fakes import cancel as cancel_of
from tests.fakes import modify as modify_of
from tests.test_exchange_restarts import Floor, listed

ID_CHARACTERS = "".join(chr(n) for n in range(32, 127) if chr(n) not in '"\\')


def record(
    first_seq, *turn, before=0, wall_ns=5, released=1, elapsed_ns=None, clock_ns=None, tally=None
):
    body = "\n".join(map(codec.encode, turn))
    last_seq = first_seq + len(turn)
    fields = (first_seq, last_seq, wall_ns, released, body)
    text = checksum(before, *fields, elapsed_ns, clock_ns, tally)
    return JournalRecord(*fields, text, elapsed_ns, clock_ns, tally)


def report(seq, number, order_id, request_seq=0, state="NEW", client_id="A", **more):
    """Of turn `seq`; it bears the client order id of the request that it answers."""
    named_seq = more.pop("named_seq", request_seq or order_id)
    fields = dict.fromkeys(Report._fields, 0) | {
        "report_id": seq << NUMBER_BITS | number, "order_id": order_id, "request_seq": request_seq,
        "named_after": named_seq - order_id, "type": "NEW", "state": state, "leaves_lots": 5,
        "notional": "", "liquidity": "", "reason": "", "fee": "", "account": "me",
        "client_order_id": client_id, "symbol": "X", "side": "BUY", "wall_ns": 5, **more,
    }  # fmt: skip
    return Report(**{**fields, "code": CODES[fields["type"], fields["state"]]})


def claim(seq, client_id, account="me", content=0):
    return (seq, account, client_id, "X", "BUY", "", content)


def command(seq, client_id, account="me"):
    """The claim of a request that is no new order."""
    return (seq, account, client_id, "", "", "", 0)


def new(client_id):
    return (codec.NEW, "me", client_id, "X", "BUY", "LIMIT", "GTC", 100, 5, 0, "")


def modify(client_id, orig):
    return (codec.MODIFY, "me", client_id, orig, 0, 4, "")


def cancel(client_id, orig):
    return (codec.CANCEL, "me", client_id, orig, "")


def keep(store, record, reports=(), claims=()):
    """One turn, committed."""
    store.begin()
    if claims:
        assert store.claim(claims)
    store.append(record, reports)
    store.commit()


MARKETS = (
    listed("X", quote_scale=1, price_scale=1, quantity_scale=1, base_scale=2, taker_fee_bps=300),
    listed("Y", base="C", quote_scale=1, maker_fee_bps=-50, taker_fee_bps=70),
)
ACCOUNTS = ("ann", "bob", "cid")


def lived_through(store, seed, steps=60, pauses_s=(0, 1, 60)):
    """An exchange with accounts that trade, change, cancel, transfer, are refused, busted and
    corrected, by chance; the same seed gives the same journal in whatever store. It is not
    stopped."""
    floor, random, names = Floor(*MARKETS, store=store), Random(seed), list[tuple[str, str]]()
    floor.ids = iter(range(10**6))
    for account in ACCOUNTS:
        floor.fund(account, B=500, C=500, Q=90_000)
    for number in range(steps):
        account, what = random.choice(ACCOUNTS), random.random()
        if what < 0.6 or not names:
            symbol, side = random.choice("XXY"), random.choice(("BUY", "SELL"))
            price = random.choice(("9.9", "10", "10.1", "10.05")) if symbol == "X" else "10"
            floor.new(account, f"n{number}", side, random.randint(1, 9), price, symbol)
            names.append((account, f"n{number}"))
        elif what < 0.8:
            owner, name = random.choice(names)
            if random.random() < 0.5:
                floor.ask(cancel_of(f"c{number}", name, account=owner))
            else:
                floor.ask(
                    modify_of(f"m{number}", name, account=owner, quantity=random.randint(1, 9))
                )
                names.append((owner, f"m{number}"))
        elif what < 0.9:
            to = random.choice([other for other in ACCOUNTS if other != account])
            money = {"asset": "Q", "amount": number, "to_account": to}
            floor.funds(account, FundsAction.TRANSFER, **money)
        elif trades := floor.oms.trades():
            named = random.choice(trades).execution_id
            terms = {"price": "9.8" if random.random() < 0.5 else "10", "quantity": "1"}
            if random.random() < 0.5:
                floor.operate(OperatorAction.CORRECT, name=named, settings=terms)
            else:
                floor.bust(named)
        floor.clock.advance(random.choice(pauses_s))
    return floor


def pages_of(store, *wanted):
    """Every order id of an account, a page of five after another."""
    found, before = [], SEQS
    while before:
        page = store.find_orders(*wanted, before, 5)
        assert len(page.ids) <= 5
        found, before = found + page.ids, page.before
    return found


def answers_of(store):
    """What a store says to every question there is."""
    reports = list(store.all_reports())
    ids = sorted({report.order_id for report in reports})
    seqs = range(1, store.last_told_seq() + 2)
    names = [(report.account, report.client_order_id) for report in reports]
    pages = [(account, symbol) for account in ("", *ACCOUNTS) for symbol in ("", "X", "Y")]
    moved = {a: [store.find_moved(a, before, 7) for before in (LATEST, reports[-9].report_id)]
             for a in ACCOUNTS}  # fmt: skip
    lines = [s for r in store.records() for s in range(r.first_seq, r.last_seq)]
    stamps = sorted({report.wall_ns for report in reports})
    return {
        "records": (list(store.records()), list(store.records(seqs[len(seqs) // 2]))),
        "record_of": [store.record_of(seq) for seq in seqs],
        "owner": [store.owner(*name) for name in names],
        "used": store.used([*names, ("ann", "nobody's")]),
        "reports": (reports, [store.reports_of(order_id) for order_id in ids]),
        "turns": [store.reports_of_turn(seq) for seq in seqs],
        "told": [store.told(seq) for seq in seqs],
        "found": [store.find_reports(account, name) for account, name in names],
        "asked": store.find_asked([*ids, 10**6]),
        "orders": {
            (account, symbol, side): pages_of(store, account, symbol, side)
            for account in ACCOUNTS for symbol in ("", "X") for side in ("", "BUY")
        },
        "commands": {
            account: [store.find_commands(account, before, 5) for before in (SEQS, seqs[-1] // 2)]
            for account in ACCOUNTS
        },
        "moved": moved,
        "holdings": [store.find_holdings(account) for account in ACCOUNTS],
        "trades": [store.find_trades(*page, LATEST, 50) for page in pages],
        "lines": store.find_lines(lines),
        "after": [
            store.find_after(after, LATEST, **who)
            for after in (0, reports[5].report_id) for who in ({"account": "ann"}, {"symbol": "X"})
        ],
        "executions": [
            list(store.executions(symbols, LATEST)) for symbols in ({"X"}, {"X", "Y"}, set())
        ],
        "tape": [list(store.trades(symbol, stamps[1], stamps[-1])) for symbol in "XY"],
        "changes": [store.changes(stamp) for stamp in (0, stamps[len(stamps) // 2])],
        "scales": [store.scales()(symbol, seqs[-1]) for symbol in "XY"],
    }  # fmt: skip


class Contract:
    """What the dispatcher, the fold and readers rely on."""

    @pytest.fixture
    def store(self, opened):
        store = opened()
        yield store
        store.close()

    def test_a_new_store_is_empty(self, store):
        """Nothing to fold, nobody known."""
        assert list(store.records()) == list(store.all_reports()) == store.reports_of(1) == []
        assert (store.owner("me", "A"), store.snapshots(), store.record_of(1)) == ((0, 0), [], None)
        assert store.find_reports("me", "A") == store.find_reports("me", 1) == []
        assert (store.told(1), store.last_told_seq()) == (None, 0)

    def test_a_turn_that_is_committed_is_found_again(self, store):
        """By sequence, by order, by client id; a reader in another thread too."""
        # given two turns
        first = record(1, new("A"), new("B"))
        second = record(4, modify("M", "A"), before=first.checksum)
        reports = [
            report(3, 1, 1, 1), report(3, 2, 2, 2, client_id="B"), report(5, 1, 1, 4, client_id="M")
        ]  # fmt: skip
        keep(store, first, reports[:2], [claim(1, "A"), claim(2, "B")])
        keep(store, second, reports[2:], [claim(4, "M")])

        # then everything is there, in order
        assert list(store.records()) == [first, second]
        assert list(store.records(after_seq=3)) == [second]
        assert [store.record_of(seq) for seq in (1, 2, 3, 4, 5, 6)] == [first] * 3 + [
            second, second, None
        ]  # fmt: skip
        assert list(store.all_reports()) == reports
        assert store.reports_of(1) == [reports[0], reports[2]]
        assert store.reports_of_turn(3) == reports[:2]
        assert store.reports_of_turn(4) == []
        assert store.reports_between(0, 3) == reports[:2]
        assert store.reports_between(3, 5) == reports[2:]
        assert store.reports_between(0, 5) == reports
        assert [store.told(seq) for seq in (1, 2, 4)] == reports
        assert store.last_told_seq() == 5
        assert store.line_of(2) == new("B")
        assert store.line_of(4) == modify("M", "A")

    def test_the_entry_of_a_turn_itself_or_beyond_is_a_journal_error(self, store):
        """Something refers to a sequence that is no entry: then the data does not add up."""
        keep(store, record(1, new("A")))
        for seq in (2, 7):
            with pytest.raises(JournalError, match=f"sequence {seq}: missing"):
                store.line_of(seq)

    def test_the_first_who_claims_an_id_has_it(self, store):
        """Also within one turn; each account has ids of its own."""
        store.begin()
        assert not store.claim([claim(1, "A"), claim(2, "A", "you"), claim(3, "A")])
        assert (store.owner("me", "A")[0], store.owner("you", "A")[0]) == (1, 2)
        store.commit()
        store.begin()
        assert not store.claim([claim(9, "A"), claim(10, "B")])
        assert (store.owner("me", "A")[0], store.owner("me", "B")[0]) == (1, 10)
        store.rollback()

    def test_the_content_of_the_first_is_kept_beside_its_id(self, store):
        """While the turn goes on, and for ever; the second does not change it."""
        for _ in range(2):
            store.begin()
            store.claim([claim(1, "A", content=77), claim(2, "A", content=78)])
            assert store.owner("me", "A") == (1, 77)
            store.commit()
        assert store.owner("me", "A") == (1, 77)

    def test_a_turn_that_is_rolled_back_leaves_nothing(self, store):
        """Its ids can be claimed again, its sequences used again."""
        # given a turn that came as far as its reports
        store.begin()
        assert store.claim([claim(1, "A")])
        store.append(record(1, new("A")), [report(2, 1, 1, 1)])

        # when it is undone
        store.rollback()
        store.rollback()  # once more does no harm

        # then there is no trace
        assert list(store.records()) == list(store.all_reports()) == []
        assert store.owner("me", "A") == (0, 0)
        keep(store, record(1, new("B")), [report(2, 1, 1, 1)], [claim(1, "A")])
        assert store.line_of(1) == new("B")

    def test_a_reader_sees_nothing_of_a_turn_before_its_commit(self, store):
        """Nor does it fail: the id is claimed, the order is not there yet."""
        store.begin()
        assert store.claim([claim(1, "A")])
        assert store.find_reports("me", "A") == []
        store.append(record(1, new("A")), [report(2, 1, 1, 1)])
        assert store.find_reports("me", "A") == []
        store.commit()
        assert store.find_reports("me", "A") == [report(2, 1, 1, 1)]

    def test_an_order_is_found_by_any_id_it_has_had(self, store):
        """By that of a modify, of a modify of the modify, of a cancel."""
        reports = [report(6, n, 1, n, client_id=name) for n, name in enumerate("AMNC", 1)]
        turn = (new("A"), modify("M", "A"), modify("N", "M"), cancel("C", "N"), cancel("Z", "?"))
        claims = [claim(seq, name) for seq, name in enumerate("AMNCZ", 1)]
        keep(store, record(1, *turn), reports, claims)
        for name in (*"AMNC", 1):
            assert store.find_reports("me", name) == reports
        for account, name in (("me", "Z"), ("you", "A"), ("you", 1), ("me", 2), ("me", 99)):
            assert store.find_reports(account, name) == []

    def test_a_report_keeps_every_field(self, store):
        """Also a refusal, which may name another symbol than the request that has the order's id,
        and numbers that are as large as numbers may be."""
        told = [
            report(
                4, 1, 1, 1, type="TRADE", state="FILLED", last_price_ticks=10**18,
                last_quantity_lots=7, cumulative_lots=8, leaves_lots=9, notional="1" + "0" * 40,
                liquidity="MAKER", reason="why: so=1", fee="-12", match_number=2**40,
                waited_ns=11, venue_ns=12,
            ),
            report(
                4, 2, 1, 2, "REJECTED", client_id="B", type="REJECTED", symbol="", side=""
            ),
            report(4, 3, 3, 3, client_id="C", type="CANCEL_REJECTED", symbol="Y", side="SELL"),
        ]  # fmt: skip
        turn = (new("A"), new("B"), cancel("C", "?"))
        keep(store, record(1, *turn), told, [claim(n, name) for n, name in enumerate("ABC", 1)])
        assert list(store.all_reports()) == told
        assert store.reports_of(1) == told[:2]
        assert store.told(3) == told[2]

    def test_the_two_latest_snapshots_are_kept_with_their_parts(self, store):
        """As they were given, oldest first; also when what is not needed any more is deleted."""
        for seq in (1, 5, 9):
            for number in range(1, seq + 1):
                store.save_part(seq - 1, number, f"part {number} of {seq}")
            store.save_snapshot(Snapshot(seq, seq * 7, f"last of {seq}", seq - 1))
        kept = [
            Snapshot(
                seq, seq * 7, f"last of {seq}", seq - 1,
                tuple(f"part {number} of {seq}" for number in range(1, seq + 1)),
            )
            for seq in (5, 9)
        ]  # fmt: skip
        assert store.snapshots() == kept
        while store.drop_parts(-1):
            pass
        assert store.snapshots() == kept

    def test_parts_are_no_snapshot_until_the_last_is_there(self, store):
        """What nobody finishes can be deleted, a little at a time; what is under way stays."""
        for parts_id in (3, 4):
            for number in range(1, 31):
                store.save_part(parts_id, number, f"{parts_id}-{number}")
        assert store.snapshots() == []
        while store.drop_parts(4):
            pass
        store.save_snapshot(Snapshot(5, 0, "last", 3))
        store.save_snapshot(Snapshot(6, 0, "last", 4))
        assert [snapshot.parts for snapshot in store.snapshots()] == [
            (), tuple(f"4-{number}" for number in range(1, 31))
        ]  # fmt: skip

    def test_it_tells_which_of_many_ids_were_used(self, store):
        """By whatever account; none of none."""
        keep(store, record(1, new("A")), [report(2, 1, 1, 1)], [claim(1, "A")])
        assert store.used([("me", "A"), ("you", "A"), ("me", "B")]) == {("me", "A")}
        assert store.used([]) == set()

    def test_requests_that_are_no_new_orders_are_found(self, store):
        """Newest first, so many, before a sequence; of one account."""
        keep(
            store, record(1, new("A"), modify("M", "A"), cancel("C", "M")), [report(4, 1, 1, 1)],
            [claim(1, "A"), command(2, "M"), command(3, "C")],
        )  # fmt: skip
        assert store.find_commands("me", SEQS, 9) == [3, 2]
        assert store.find_commands("me", SEQS, 1) == [3]
        assert store.find_commands("me", 3, 9) == [2]
        assert store.find_commands("you", SEQS, 9) == []

    def test_it_is_read_as_of_one_instant(self, store):
        """From any thread; what was committed before is there."""
        keep(store, record(1, new("A")), [report(2, 1, 1, 1)], [claim(1, "A")])
        with ThreadPoolExecutor(1) as other:

            def read():
                with store.at_one_instant() as then:
                    return list(then.records()), list(then.all_reports())

            assert other.submit(read).result(30) == ([record(1, new("A"))], [report(2, 1, 1, 1)])

    def test_a_probe_changes_nothing(self, store):
        """It asks whether a commit would do."""
        keep(store, record(1, new("A")), [report(2, 1, 1, 1)], [claim(1, "A")])
        before = (list(store.records()), list(store.all_reports()))
        store.probe()
        store.hurry()
        store.probe()
        assert (list(store.records()), list(store.all_reports())) == before

    @pytest.mark.parametrize("seed", [1, 2])
    def test_every_question_has_the_same_answer_in_every_store(self, store, opened, seed):
        """The twin is in lists. And again after the store was closed and opened."""
        twin, floor = lived_through(MemoryStore(), seed), lived_through(store, seed)
        expected = answers_of(twin.store)
        found = answers_of(store)
        for question, answer in expected.items():
            assert found[question] == answer, question
        floor.stop()
        again = opened()
        assert answers_of(again) == expected
        again.close()

    def test_what_was_kept_is_there_when_the_store_is_opened_again(self, store, opened):
        """P1, within what the store promises."""
        keep(store, record(1, new("A")), [report(2, 1, 1, 1)], [claim(1, "A")])
        store.save_part(1, 1, "part")
        store.save_snapshot(Snapshot(2, 7, "last", 1))
        store.close()
        again = opened()
        assert again.line_of(1) == new("A")
        assert again.owner("me", "A")[0] == 1
        assert again.snapshots() == [Snapshot(2, 7, "last", 1, ("part",))]
        assert list(again.all_reports()) == [report(2, 1, 1, 1)]
        again.close()


class TestMemoryStore(Contract):
    """In lists; gone when it is gone."""

    @pytest.fixture
    def opened(self):
        store = MemoryStore()

        def again():
            store.open()
            return store

        return again


class TestPersistentStorage(Contract):
    """In one SQLite file."""

    @pytest.fixture
    def opened(self, tmp_path):
        def again():
            store = PersistentStorage(tmp_path / "orders.db", durability="none")
            store.open()
            return store

        return again


# --- the chain of checksums ---


def test_a_journal_is_read_as_long_as_it_is_whole():
    """Each checksum covers the one before: a missing, changed or moved record shows."""
    first = record(1, new("A"))
    second = record(3, new("B"), new("C"), before=first.checksum)
    third = record(6, new("D"), before=second.checksum)
    assert list(checked([first, second, third], 0, 0)) == [first, second, third]
    assert list(checked([second, third], 2, first.checksum)) == [second, third]
    with pytest.raises(JournalError, match="sequence 3: missing; the next record starts at 6"):
        list(checked([first, third], 0, 0))
    with pytest.raises(JournalError, match="sequence 1: missing; the next record starts at 3"):
        list(checked([second, first], 0, 0))
    alone = record(3, new("B"), new("C"))
    with pytest.raises(JournalError, match="sequence 3 to 5: the checksum does not match"):
        list(checked([first, alone], 0, 0))


@given(
    ids=st.lists(
        st.text(ID_CHARACTERS, min_size=1, max_size=ID_LENGTH_MAX), min_size=1, max_size=4,
        unique=True,
    ),
    field=st.sampled_from(JournalRecord._fields),
    change=st.integers(1, 1_000),
)  # fmt: skip
def test_any_change_of_a_record_breaks_the_chain(ids, field, change):
    """Whatever field is altered, and however little."""
    sound = record(1, *map(new, ids), elapsed_ns=7, clock_ns=4, tally="[1,2,3,4]")
    value = getattr(sound, field)
    if field in ("body", "tally"):
        value = value[: change % len(value)] + "~" + value[change % len(value) :]
    else:
        value += change
    with pytest.raises(JournalError):
        list(checked([sound._replace(**{field: value})], 0, 0))
