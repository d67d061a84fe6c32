"""`db-filler`: fills Postgres from the journal, for whoever queries much.

Flow:  journal of the data directory -> [db-filler] -> projection
Owner: MainThread, in a process of its own, beside the daemon or without it; while it fills one
stretch, the thread oms-ahead reads the next and makes its rows, so that Postgres has always
something to do. It only looks at the database; whatever dies, it goes
on from where the projection says that it stands.
"""

import argparse
import gc
import json
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from datetime import date
from typing import Any

from oms.circuit import Circuit
from oms.clock import NANOS, SystemClock
from oms.commands import EXIT_FAILED, EXIT_OK, AddCommand, Place, say
from oms.errors import ConfigError, JournalError, StoreError
from oms.gateways.aside import Aside
from oms.stores import checked, filler_word
from oms.stores.stretch import Rows, Stretch, TradingDates, Upto, rows_of
from oms.turn.latency import Histogram
from oms.turn.threads import StopFlag, Worker

FILLER = """\
Fills the Postgres database of [projection] dsn from the journal of the data directory: the tables
order_states, trades, order_responses, sessions, operator_actions, holdings, last_prices,
account_balances, instruments, and the views positions, balances, markets and accounts. It goes on
until Ctrl-C or SIGTERM, beside the daemon or without it. Each turn is there exactly once, whatever
dies; the row of `upto` says how far. A second one on the same schema is refused.

The password is not a setting: libpq reads it from PGPASSWORD or from the file of PGPASSFILE."""
PARTITIONS = """\
Lists the trading dates of the projection, or takes old ones out of its tables and puts them back. A
detached date has tables of its own, such as order_states_20260105, which nobody sees in
order_states: read them by name, dump them, drop them, restore them. A date with open orders stays,
and so does the latest."""
TOLD_NS = 10 * NANOS  # between two lines about how far it is
READ_S_MAX = 2.0  # at the stop, of a stretch that nobody needs then
WORD_NS = NANOS // 4  # between two words in the data directory
GOOD_NS = 5 * NANOS  # after so long without another one it is silent; and two waits
OBJECTS_MAX = 50  # of an entry and its rows, in two stretches: some 10 were measured
PAUSE_S = 0.05  # of a look whether a try is due


def add_to(add: AddCommand) -> None:
    option = add("db-filler", db_filler, "fill Postgres from the journal", FILLER)
    option("--once", action="store_true", help="stop where the journal ends now")
    option("--anew", action="store_true", help="drop what is there, and fill from the first turn")
    option("--status", action="store_true", help="only say how far it is, as one JSON object")
    option = add(
        "db-partitions", db_partitions, "trading dates in Postgres, in and out", PARTITIONS
    )
    option("--detach-before", metavar="DATE", type=calendar_date, help="take out those before DATE")
    option("--attach", metavar="DATE", type=calendar_date, help="put the tables of DATE back")


def calendar_date(text: str) -> date:
    """The reader of an argument that is a date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a date such as 2026-11-20, was {text!r}"
        ) from None


def db_filler(args: argparse.Namespace, place: Place) -> int:
    """Fill until it is told to stop; 1 if the projection cannot be filled from this journal."""
    projection = projection_of(place)
    if args.status:
        return tell_status(projection, place)
    with ExitStack() as stack:
        stack.callback(projection.close)
        stop = StopFlag()
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, lambda _n, _f: stop.set())
            stack.callback(signal.signal, number, before)
        projection.open(anew=args.anew)  # what is wrong with the settings is told, not tried again
        filler = Filler(projection, place, stop)
        try:
            filler.run(once=args.once)
        except JournalError as error:
            say(str(error))
            return EXIT_FAILED
    return EXIT_OK


def projection_of(place: Place) -> Any:
    """The Projection; its module needs a package that not everybody has.

    Raises ConfigError without a dsn; StoreError without the package.
    """
    config = place.config.projection
    if not config.dsn:
        raise ConfigError(["[projection] dsn: expected a connection string of Postgres, was none"])
    try:
        from oms.stores.projection import Projection
    except ImportError as error:
        raise StoreError(
            f"db-filler needs a package that is missing: {error.name or error}; "
            "pip install '.[postgres]' in the checkout has it"
        ) from error
    return Projection(config.dsn, config.schema)


def db_partitions(args: argparse.Namespace, place: Place) -> int:
    """List them, after what was asked was done; 1 if a date stays that should have gone."""
    projection, stay = projection_of(place), list[date]()
    with closing(projection):
        projection.open(fill=False)
        if args.attach is not None:
            projection.attach(args.attach)
        if args.detach_before is not None:
            _, stay = projection.detach(args.detach_before)
        for each in projection.partitions():
            how = "attached" if each.attached else "detached"
            print(f"{each.date}  {how}  {each.size_bytes / 1e6:,.1f} MB")
    for day in stay:
        say(f"{day}: orders are open, and so it stays")
    return EXIT_FAILED if stay else EXIT_OK


def tell_status(projection: Any, place: Place) -> int:
    """1 where the projection cannot be asked: then only the journal's end is known, and all else is
    null. Raises StoreError where the journal cannot be read."""
    upto: Upto | None = None
    try:
        with closing(projection):
            projection.open(fill=False)
            upto = projection.upto()
    except StoreError as error:
        say(str(error))
    place.require_database()
    stretch = place.reader().find_stretch(upto.seq if upto else 0, 1, 0)
    told = lag_of(stretch, SystemClock().wall_ns())
    if upto is None:
        told = dict.fromkeys((*Upto._fields, *told)) | {"journal_seq": stretch.end_seq}
        print(json.dumps(told))
        return EXIT_FAILED
    print(json.dumps({**upto._asdict(), **told}))
    return EXIT_OK


def lag_of(stretch: Stretch, wall_ns: int) -> dict[str, Any]:
    """How many entries are not filled, and for how long the first of them has waited."""
    waits_ns = wall_ns - stretch.records[0].wall_ns if stretch.records else 0
    return {
        "journal_seq": stretch.end_seq, "lag_entries": stretch.end_seq - stretch.after_seq,
        "lag_s": round(max(0, waits_ns) / NANOS, 3),
    }  # fmt: skip


@contextmanager
def rarely_collected(entries_max: int) -> Iterator[None]:
    """No garbage collection while what there is may be two stretches and no garbage: it would walk
    all of their rows, for nothing."""
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS_MAX * entries_max, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Filler:
    """Takes a stretch after another, and waits where there is none."""

    def __init__(self, projection: Any, place: Place, stop: StopFlag) -> None:
        self.projection = projection
        self._place = place
        self._stop = stop
        self._clock = SystemClock()
        self._store = place.reader()
        self.postgres, self.journal = Circuit(), Circuit()
        self.times = Histogram()  # from the stamp of a turn until it is in Postgres
        self._upto: Upto | None = None  # how far it is, as far as it is known
        self._waits_ns = 0  # stamp of the first turn that is not filled; 0: there is none
        self._told_ns = self._word_ns = 0
        self._wordless = False  # its word could not be written
        self._behind = False
        self._is_open = True
        self._reading: Aside | None = None  # reads ahead, while `run` goes on
        self._ahead: Future[Rows] | None = None

    def run(self, *, once: bool = False) -> None:
        """Until it is told to stop; once: until the journal's end.

        Raises JournalError if the projection is of another journal.
        """
        self._reading = Aside(1, "rows made ahead")
        worker = Worker("oms-ahead", self._reading, lambda _name, _error: self._stop.set())
        worker.start()
        try:
            with rarely_collected(self._place.config.projection.entries_max):
                self._run(once)
        finally:
            worker.stop(READ_S_MAX)
            self._reading = self._ahead = None
            self._leave_word(last=True)

    def _run(self, once: bool) -> None:
        said = ""
        while not self._stop.is_set():
            now_ns = self._clock.monotonic_ns()
            if not (self.postgres.may_try(now_ns) and self.journal.may_try(now_ns)):
                self._stop.wait(PAUSE_S)
                continue
            try:
                more = self.step()
            except JournalError:
                raise
            except StoreError as error:
                if once:
                    raise
                if str(error) != said:
                    said = str(error)
                    say(f"{said}; trying again")
                self._look()
                continue
            if said:
                say(f"{self.projection}: goes on")
                said = ""
            if not more:
                if once:
                    return
                self._stop.wait(self._place.config.projection.poll_ns / NANOS)

    def step(self) -> bool:
        """Fill one stretch; was there one, and perhaps more behind it?"""
        projection = self.projection
        with self._calling(self.postgres):
            if not self._is_open:
                projection.open()
                self._is_open = True
            self._is_open = False  # if anything below fails
            upto = self._upto = projection.upto()
        with self._calling(self.journal):
            self._place.require_database()
            rows = self._rows_after(upto)
        stretch = rows.stretch
        self._check(stretch, upto)
        if self._reading is not None and stretch.last_seq < stretch.end_seq:
            asked = stretch.last_seq, upto.kept_seq, rows.dates
            self._ahead = self._reading.ask(lambda: self._read(*asked))
        self._waits_ns = stretch.records[0].wall_ns if stretch.records else 0
        self._leave_word()
        if stretch.records or upto.kept_seq < upto.seq:
            with self._calling(self.postgres):
                upto = self._upto = projection.fill(rows, upto)
            self._time(stretch)
        self._is_open = True
        self._tell(stretch.end_seq, upto)
        if upto.seq == stretch.end_seq:
            self._waits_ns = 0
            self._leave_word()
        return bool(upto.seq < stretch.end_seq)

    @contextmanager
    def _calling(self, circuit: Circuit) -> Iterator[None]:
        """A call of what the circuit is of."""
        try:
            yield
        except StoreError as error:
            circuit.failed(self._clock.monotonic_ns(), str(error))
            raise
        circuit.succeeded()

    def _look(self) -> None:
        """It cannot fill: how far behind is it meanwhile?"""
        if self._upto is not None and not self.journal.failures and not self._waits_ns:
            try:
                left = self._store.find_stretch(self._upto.seq, 1, 0).records
            except StoreError as error:
                self.journal.failed(self._clock.monotonic_ns(), str(error))
            else:
                self._waits_ns = left[0].wall_ns if left else 0
        self._leave_word()

    def _time(self, stretch: Stretch) -> None:
        now_ns = self._clock.wall_ns()
        for record in stretch.records:
            self.times.record(max(0, now_ns - record.wall_ns))

    def _leave_word(self, *, last: bool = False) -> None:
        """In the data directory, for the daemon that writes the journal."""
        if self._upto is None:
            return
        now_ns = self._clock.monotonic_ns()
        if self._word_ns and now_ns - self._word_ns < WORD_NS and not last:
            return
        self._word_ns = now_ns
        config, postgres, journal = self._place.config, self.postgres, self.journal
        word = filler_word.Word(
            self._upto.seq, self._waits_ns, self._clock.wall_ns(),
            GOOD_NS + 2 * config.projection.poll_ns, postgres.state, journal.state,
            postgres.why or journal.why, self.times.rows(),
        )  # fmt: skip
        try:
            filler_word.write(self._place.directory, word, config.store.group)
        except (OSError, StoreError) as error:  # it goes on without
            if not self._wordless:
                say(f"{self._place.directory / filler_word.NAME}: not written: {error}")
            self._wordless = True
        else:
            self._wordless = False

    def _rows_after(self, upto: Upto) -> Rows:
        """Those that were made ahead, if the projection is where they begin."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            rows = ahead.result()
            if rows.stretch.after_seq == upto.seq:
                return rows
        return self._read(upto.seq, upto.kept_seq, self.projection.dates)

    def _read(self, after_seq: int, kept_seq: int, dates: TradingDates) -> Rows:
        entries_max = self._place.config.projection.entries_max
        return rows_of(self._store.find_stretch(after_seq, entries_max, kept_seq), dates)

    def _check(self, stretch: Stretch, upto: Upto) -> None:
        """The stretch goes on from where the projection stands."""
        anew = "fill another database, or this one with --anew"
        before = stretch.before
        if upto.seq and (before is None or before.checksum != upto.checksum):
            raise JournalError(
                f"{self.projection} is filled up to journal sequence {upto.seq} of another "
                f"journal than {self._store}: {anew}"
            )
        for _ in checked(stretch.records, upto.seq, upto.checksum):
            pass

    def _tell(self, end_seq: int, upto: Upto) -> None:
        """How far it is, now and then, and as soon as it has caught up."""
        now_ns, left = self._clock.monotonic_ns(), end_seq - upto.seq
        caught_up, self._behind = self._behind and not left, left > 0
        if self._told_ns and now_ns - self._told_ns < TOLD_NS and not caught_up:
            return
        self._told_ns = now_ns
        lag_s = max(0, self._clock.wall_ns() - upto.wall_ns) / NANOS if left else 0.0
        say(
            f"{self.projection}: filled up to journal sequence {upto.seq} of {end_seq}, "
            f"{left:,} entries and {lag_s:.1f} s behind"
        )
