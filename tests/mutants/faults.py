"""The faults: each changes one place of the program, and the tests that must then fail."""

from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import NamedTuple


class Fault(NamedTuple):
    """One wrong line. file: under oms/. right stands there once; wrong takes its place.

    tests: test modules, without "tests/test_" and ".py"; "web.rights" is tests/web/test_rights.py.
    """

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]

    @property
    def paths(self) -> list[str]:
        """The files of its tests, below the checkout."""
        parts = (name.rpartition(".") for name in self.tests)
        return [
            f"tests/{part.replace('.', '/')}{'/' if part else ''}test_{name}.py"
            for part, _, name in parts
        ]


JOURNAL = [
    Fault(
        "the checksum is not chained", "stores/__init__.py",
        'text = f"{before}|{first_seq}', 'text = f"0|{first_seq}', ("store_contract",),
    ),
    Fault(
        "a gap is not seen", "stores/__init__.py",
        "if record.first_seq != after_seq + 1 and not", "if False and not", ("store_contract",),
    ),
    Fault(
        "the checksum is not compared", "stores/__init__.py",
        "if record.checksum != record.expected_checksum(before):", "if False:", ("store_contract",),
    ),
    Fault(
        "a turn is told before it is committed", "turn/dispatcher.py",
        "        self._store.commit()\n        self._notes.committed()",
        "        self._notes.committed()", ("store_faults", "sqlite"),
    ),
    Fault(
        "a turn that failed stays in memory", "turn/dispatcher.py",
        "            self._recover()\n            self.feed.attach", "            self.feed.attach",
        ("store_faults",),
    ),
    Fault(
        "the directory is not synced", "stores/sqlite.py",
        "                sync_directory(self.path.resolve().parent)\n", "", ("sqlite",),
    ),
    Fault(
        "full durability is normal", "stores/sqlite.py",
        '"full": "FULL"', '"full": "NORMAL"', ("sqlite",),
    ),
    Fault(
        "stamps decrease", "turn/turn_clock.py",
        "max(self._stamp_ns, clock_ns)", "clock_ns", ("turn_clock",),
    ),
    Fault(
        "durations go by the wall clock", "turn/turn_clock.py",
        "now_ns + self.elapsed_offset_ns)", "clock_ns)", ("turn_clock",),
    ),
    Fault(
        "deadlines go by the stamp", "desk/desk.py",
        "clock_ns = self.instant.clock_ns", "clock_ns = self.instant.wall_ns", ("turn_clock",),
    ),
    Fault(
        "a replay sends less than was sent", "turn/journal.py",
        "        if desk.left:\n", "        if False:\n", ("journal",),
    ),
]  # fmt: skip
IDS = [
    Fault(
        "a repeated request is done again", "turn/intake.py",
        "                if first != seq:", "                if False:", ("idempotency",),
    ),
    Fault(
        "other content under a used id is a repeat", "turn/intake.py",
        "same = content_hash in (content, CONTENT_UNKNOWN)", "same = True", ("idempotency",),
    ),
    Fault(
        "accounts share their ids", "stores/schema.py",
        "ON orders (account, client_order_id)", "ON orders (client_order_id)",
        ("idempotency", "sqlite", "store_contract"),
    ),
    Fault(
        "an order forgets the id it had", "exchange/executions.py",
        "order.earlier_ids = [*(order.earlier_ids or ()), order.client_order_id]",
        "order.earlier_ids = None", ("order_desk", "order_desk_stateful"),
    ),
    Fault(
        "an order of another account is found by its number", "exchange/executions.py",
        "return order if order is not None and order.account == account else None",
        "return order", ("manager",),
    ),
]  # fmt: skip
LEDGER = [
    Fault(
        "money is a float", "exchange/accounts.py",
        "        notional = exact // unit\n", "        notional = int(exact / unit)\n", ("ledger",),
    ),
    Fault(
        "each fill is settled alone", "exchange/accounts.py",
        "if unit != 1 and self.since and", "if False and", ("settlement",),
    ),
    Fault(
        "a fee is rounded down", "exchange/accounts.py",
        "fee = -(-owed // unit)", "fee = owed // unit",
        ("settlement",),
    ),
    Fault(
        "a bust gives back what the fill alone would have moved", "exchange/settlement.py",
        "        notional, carry = divmod(carry + exact, unit)\n",
        "        notional, carry = exact // unit, 0\n", ("settlement",),
    ),
    Fault(
        "a seller pays no fee", "exchange/accounts.py",
        "quote[0] += notional - fee", "quote[0] += notional", ("ledger", "exchange_edges"),
    ),
    Fault(
        "fees go nowhere", "exchange/accounts.py",
        "self._credit(FEE_ACCOUNT, quote_asset, fee)", "pass", ("ledger", "exchange_edges"),
    ),
    Fault(
        "money that is not there is reserved", "exchange/accounts.py",
        "        if amount <= available:", "        if True:", ("ledger", "exchange_edges"),
    ),
    Fault(
        "a transfer that has ended stays in flight", "exchange/accounts.py",
        "sent = self.transfers.pop((account, client_order_id))",
        "sent = self.transfers[account, client_order_id]", ("transfers",),
    ),
    Fault(
        "a transfer that was refused is said to have arrived", "roles/transfers.py",
        "        if decided.result().refused:", "        if False:", ("transfers",),
    ),
    Fault(
        "what a full queue refuses is taken for decided", "roles/transfers.py",
        "or not decided.result().journal_seq:", "or False:", ("transfers",),
    ),
    Fault(
        "what an engine sees in flight has nobody who drives it", "roles/transfers.py",
        "            self._drive(_request_of(each))", "            pass", ("transfers",),
    ),
    Fault(
        "an engine takes the step of another group", "desk/transfers.py",
        "    if here != own:", "    if False:", ("transfers",),
    ),
    Fault(
        "the end of a transfer claims its id", "turn/claims.py",
        "            if action in ENDS:", "            if False:", ("transfers",),
    ),
    Fault(
        "a withdrawal counts as paid in", "exchange/accounts.py",
        "self.paid_in.get(asset, 0) + sign * amount", "self.paid_in.get(asset, 0) + amount",
        ("ledger", "exchange_edges"),
    ),
    Fault(
        "what is released stays reserved", "exchange/accounts.py",
        "        balance[1] -= reserved\n", "", ("ledger", "exchange_edges"),
    ),
    Fault(
        "a rebate is paid out of nothing", "exchange/accounts.py",
        "return max(fee, -has)", "return fee", ("ledger", "exchange_restarts", "exchange_edges"),
    ),
    Fault(
        "a buyer's reservation is not lowered by a fill", "exchange/accounts.py",
        "            quote[1] += keep - reserved\n", "", ("ledger", "exchange_edges"),
    ),
]  # fmt: skip
MATCHING = [
    Fault(
        "more quantity keeps the place", "exchange/order.py",
        "return price_new == price_now and quantity_new <= quantity_now",
        "return price_new == price_now", ("order_queue", "matching", "order_desk"),
    ),
    Fault(
        "equal prices do not cross", "exchange/book.py",
        "if crosses and other.ranks[-1] >= -rank:", "if crosses and other.ranks[-1] > -rank:",
        ("book",),
    ),
    Fault(
        "a group trades with itself", "exchange/matching.py",
        "if groups.get(maker.account, maker.account) == key:", "if False:",
        ("operator",),
    ),
    Fault(
        "self-trade prevention goes on where it must end", "exchange/sweep.py",
        "elif mode is not SelfTrade.CANCEL_OLDEST:", "elif mode is SelfTrade.CANCEL_OLDEST:",
        ("sweep",),
    ),
    Fault(
        "the hidden lots of an iceberg do not trade", "exchange/sweep.py",
        "            if maker.leaves_lots > shown:", "            if False:",
        ("sweep",),
    ),
    Fault(
        "fill or kill fills in part", "exchange/plan.py",
        "return self._why_not_whole(order, plan, \"FOK\") if order.time_in_force is FOK else \"\"",
        "return \"\"",
        ("matching", "exchange_edges"),
    ),
    Fault(
        "a stop at the trade's price sleeps on", "exchange/stops.py",
        "while self.ranks[-1] >= limit:", "while self.ranks[-1] > limit:", ("stops",),
    ),
    Fault(
        "an auction prefers the larger surplus", "exchange/auction.py",
        "surplus_min = min(abs(each.surplus)", "surplus_min = max(abs(each.surplus)", ("auction",),
    ),
    Fault(
        "all or nothing never starts the breaker", "exchange/matching.py",
        "executions.finish(order, CANCELED, canceled)\n            if breach:",
        "executions.finish(order, CANCELED, canceled)\n            if False:", ("breaker",),
    ),
    Fault(
        "an order that nothing could fill starts the breaker", "exchange/plan.py",
        "return beyond if beyond.refused or beyond.canceled else plan", "return plan",
        ("breaker",),
    ),
    Fault(
        "a price band stays where nobody trades", "exchange/market.py",
        "if not moves or self.rules.number < 3:", "if True:", ("risk",),
    ),
    Fault(
        "rules number 2 bring back what has room", "exchange/halts.py",
        "if self._rules.number > 2 and self._risk.reduces_only(order):",
        "if self._risk.reduces_only(order):", ("recorded",),
    ),
    Fault(
        "rules number 2 count what is delisted", "desk/configured.py",
        "if desk.rules < 3:  # what was held", "if desk.rules < 2:  # what was held", ("recorded",),
    ),
    Fault(
        "an auction knows limit prices only", "exchange/market.py",
        "tick_at = self.instrument.tick_at if self.rules.number > 1 else None", "tick_at = None",
        ("calls",),
    ),
    Fault(
        "the older of two decides how they are kept apart", "exchange/auction.py",
        "buyer if buyer.entered > seller.entered", "buyer if buyer.entered < seller.entered",
        ("calls",),
    ),
    Fault(
        "a market order in a call stands behind its price", "exchange/market.py",
        "waiting[0][0] * sign >= price_ticks * sign", "waiting[0][0] * sign > price_ticks * sign",
        ("calls",),
    ),
    Fault(
        "a call is extended again and again", "exchange/phases.py",
        "market.extended = True", "market.extended = False", ("calls",),
    ),
    Fault(
        "the maker pays what a taker pays", "exchange/matching.py",
        "fill(maker, price_ticks, lots, MAKER, number)",
        "fill(maker, price_ticks, lots, TAKER, number)", ("matching", "plain_path"),
    ),
    Fault(
        "who came last is sent first", "desk/waiting.py",
        "return self.main.popitem(last=False)[1]", "return self.main.popitem(last=True)[1]",
        ("order_queue",),
    ),
    Fault(
        "a waiting order is changed without the lock", "desk/waiting.py",
        "        with self._lock:\n            lane = self.held if order_id in self.held else",
        "        if True:\n            lane = self.held if order_id in self.held else",
        ("order_queue",),
    ),
]  # fmt: skip
THROTTLE = [
    Fault(
        "the window is a nanosecond short", "desk/throttle.py",
        "return now_ns >= free[0] or", "return now_ns >= free[0] - 1 or", ("throttle",),
    ),
    Fault(
        "sends are not counted", "turn/dispatcher.py",
        "            self.throttler.sent_many(released, read_ns())\n", "            pass\n",
        ("dispatcher", "lifecycle"),
    ),
    Fault(
        "a restart forgets what was just sent", "turn/dispatcher.py",
        "        self._past.end(self.times.elapsed_offset_ns)\n", "",
        ("restarts", "dispatcher", "lifecycle"),
    ),
    Fault(
        "a bucket holds more than it can", "desk/throttle.py",
        "return min(self._burst * self._window_ns, self._level + gained)",
        "return min(2 * self._burst * self._window_ns, self._level + gained)", ("throttle",),
    ),
    Fault(
        "a window is as long as the messages in it", "exchange/conduct.py",
        "exposure.stamps[-most] >= limits.messages_window_ns",
        "exposure.stamps[-most] > limits.messages_window_ns", ("risk",),
    ),
    Fault(
        "a modify to less leaves its room to nobody", "exchange/executions.py",
        "            self.free_room(order)\n        self.reserve_need(order)\n",
        "        self.reserve_need(order)\n", ("halts", "halts_stateful"),
    ),
    Fault(
        "a budget is measured at the last price alone", "exchange/plan.py",
        "if isinstance(plan.wanted, Budget) and self._rules.number > 2:", "if plan.wanted is None:",
        ("limits",),
    ),
    Fault(
        "a limit excludes its own bound", "exchange/holdings.py",
        "        if would <= most:\n", "        if would < most:\n", ("risk",),
    ),
]  # fmt: skip
SESSION = [
    Fault(
        "the market opens a nanosecond late", "desk/calendar.py",
        "return window is not None and window.open_ns <= wall_ns\n\n    def window_at",
        "return window is not None and window.open_ns < wall_ns\n\n    def window_at",
        ("session", "trading_hours"),
    ),
    Fault(
        "an early close is not kept", "desk/calendar.py",
        "for trading_date, at_ns in self.early_close:", "for trading_date, at_ns in ():",
        ("session", "trading_hours"),
    ),
    Fault(
        "a holiday is a day like others", "desk/calendar.py",
        "if window.trading_date in self.holidays:", "if False:", ("session", "trading_hours"),
    ),
    Fault(
        "the link goes down with the close", "desk/calendar.py",
        "window = self._link.after(wall_ns - self._grace_ns)",
        "window = self._link.after(wall_ns)", ("session", "session_keeper"),
    ),
    Fault(
        "what waits for the open is sent before", "desk/desk.py",
        "get_next_order(urgent_only=not self._takes_orders)", "get_next_order(urgent_only=False)",
        ("trading_hours", "order_desk", "phases"),
    ),
]  # fmt: skip
HISTORY = [
    Fault(
        "a trade that was taken back counts in candles", "turn/history.py",
        "        if not trade.lots:\n            continue\n", "", ("history",),
    ),
    Fault(
        "an order that is open is archived", "stores/archiving.py",
        "    connection.executemany(KEEP, ((order_id,) for order_id in open_ids))\n", "",
        ("keeping",),
    ),
    Fault(
        "the whole day settles a price", "turn/day.py",
        "late = [each for each in trades if each.wall_ns >= late_ns]", "late = trades", ("day",),
    ),
]  # fmt: skip
VIEWS = [
    Fault(
        "a busted trade stays the last price", "desk/bust.py",
        "if market is not None and desk.rules > 1:", "if market is None:", ("bust", "tape"),
    ),
    Fault(
        "an order without fills stays filled", "desk/bust.py",
        "return (OrderState.CANCELED if short else OrderState.FILLED).value",
        "return OrderState.FILLED.value", ("bust", "tape"),
    ),
    Fault(
        "the tape begins anew at a start", "turn/dispatcher.py",
        "        publisher.set_trades(self._tapes(desk.instruments))\n", "", ("tape", "manager"),
    ),
    Fault(
        "what is delisted comes back with a start", "desk/listings.py",
        'if fields is None or not own.get("listed", True):', "if fields is None:", ("listings",),
    ),
    Fault(
        "a corrected trade pays no new fee", "desk/bust.py",
        "charge = exact * bps_of(fees, whole.liquidity)",
        "charge = fill.price_ticks * fill.lots * instrument.quote_unit * "
        "bps_of(fees, whole.liquidity)", ("settlement",),
    ),
    Fault(
        "a bust takes a reference that another trade of its price gave", "exchange/market.py",
        "if by and by[0] <= number <= by[1] and price_ticks", "if by and price_ticks", ("bust",),
    ),
    Fault(
        "a fee tier goes while accounts have it", "desk/listings.py",
        "if tier in before - after:", "if False:", ("listings",),
    ),
    Fault(
        "busts that were archived are forgotten", "stores/sql_reader.py",
        "self._archives.merged(own, lambda file: file.change_reports(start_ns))", "own",
        ("archived_trades",),
    ),
    Fault(
        "a bust forgets the archived trades of its account", "stores/sql_reader.py",
        "lambda file: file.executions_of(key)", "lambda file: iter(())", ("archived_trades",),
    ),
]  # fmt: skip
ACCESS = [
    Fault(
        "an old refresh token is forgiven for longer", "desk/access.py",
        "GRACE_NS = 5 * NANOS", "GRACE_NS = 6 * NANOS", ("access",),
    ),
    Fault(
        "a stolen refresh token ends nothing", "desk/access.py",
        'self._end(user, [asked.facts["family"]])\n        elif', "pass\n        elif", ("access",),
    ),
    Fault(
        "a login goes by a password that was changed", "desk/access.py",
        'if asked.facts["credential"] != user.credential:', "if False:", ("access",),
    ),
    Fault(
        "a code is good twice", "desk/access.py",
        '"step" not in asked.facts or asked.number("step") <= user.factor.step',
        '"step" not in asked.facts', ("access",),
    ),
    Fault(
        "anybody signs up for a used account", "desk/access.py",
        "(account in self._owners or self._is_used(account))", "account in self._owners",
        ("access",),
    ),
    Fault(
        "readers see users before they are on disk", "turn/dispatcher.py",
        "        self._store.commit()\n        self._notes.committed()",
        "        self.access.show(desk.access.taken())\n        self._store.commit()\n"
        "        self._notes.committed()", ("access",),
    ),
    Fault(
        "tokens are good for every kind", "gateways/tokens.py",
        'claims["kind"] != kind or not', "not", ("gate",),
    ),
    Fault(
        "a token lives for ever", "gateways/tokens.py",
        '<= now_s < claims["exp"]', "<= now_s", ("gate",),
    ),
    Fault(
        "a signed request comes back after a restart", "gateways/signatures.py",
        "self._floor_ns = started_ns + AHEAD_NS", "self._floor_ns = 0", ("gate", "gate_parts"),
    ),
    Fault(
        "a nonce is used up by who cannot sign", "gateways/gate.py",
        "        why = self._nonces.why_not(time_ms, nonce, now_ns)\n",
        "        why = self._nonces.why_not(time_ms, nonce, now_ns)\n"
        "        self._nonces.take(key_id, time_ms, nonce, now_ns)\n", ("gate",),
    ),
    Fault(
        "a good password forgives guessed codes", "gateways/gate.py",
        "self._begin(CODE, user.name, address)", "self._begin(PASSWORD, user.name, address)",
        ("gate",),
    ),
    Fault(
        "without such a user no hash is verified", "gateways/gate.py",
        "good = self._is_good(hashed, password)",
        "good = user is not None and self._is_good(hashed, password)", ("gate",),
    ),
    Fault(
        "the gate stays open without news", "gateways/gate.py",
        "return self._clock.monotonic_ns() - self._users.seen_ns > STALE_NS", "return False",
        ("gate",),
    ),
    Fault(
        "a client chooses its address", "gateways/addresses.py",
        "read_hop(hops.pop())", "read_hop(hops.pop(0))", ("gate_parts",),
    ),
    Fault(
        "a new database is as the umask has it", "stores/sqlite.py",
        "keep_private(self.path, self._group, create=True)", "pass", ("private",),
    ),
]  # fmt: skip
DOOR = [
    Fault(
        "rights are not asked for", "gateways/web/keeper.py",
        "        if not may(caller, scope):", "        if False:", ("web.rights",),
    ),
    Fault(
        "a key does what needs a login", "gateways/web/login.py",
        "if not ask.caller.family:", "if False:", ("web.rights",),
    ),
    Fault(
        "whose account it is, nobody asks", "gateways/web/front.py",
        "if named not in accounts:", "if False:", ("web.rights",),
    ),
    Fault(
        "orders over a socket need no right", "gateways/web/sockets.py",
        "        self._door.keeper.check(entry.right, self.caller)\n", "", ("web.rights",),
    ),
    Fault(
        "what a snapshot has is told again", "gateways/web/sockets.py",
        "elif seq <= at:", "elif False:", ("web.told_once",),
    ),
    Fault(
        "a key has the rights of its user", "gateways/gate.py",
        "scopes = SCOPES_OF[user.role] & set(key.scopes)", "scopes = SCOPES_OF[user.role]",
        ("web.rights",),
    ),
    Fault(
        "a key of a locked user is good", "gateways/gate.py",
        "if user.locked or (key.ends_ns", "if (key.ends_ns", ("web.rights",),
    ),
    Fault(
        "a token keeps the rights it had at first", "gateways/web/keeper.py",
        "same = self._oms.access.user(known.caller.user) is known.user", "same = True",
        ("web.rights",),
    ),
    Fault(
        "traders pay out money that is real", "gateways/web/front.py",
        "if not self.door.web.play_money:", "if False:", ("web.rights",),
    ),
    Fault(
        "a user signs up as an account of the exchange", "desk/access.py",
        "if account in RESERVED:", "if False:", ("web.rights",),
    ),
    Fault(
        "a nonce is taken twice", "gateways/signatures.py",
        "if at_ns <= self._floor_ns or nonce in taken or full:",
        "if at_ns <= self._floor_ns or full:", ("web.logins",),
    ),
    Fault(
        "nonces are new after a restart", "gateways/signatures.py",
        "self._floor_ns = started_ns + AHEAD_NS", "self._floor_ns = 0", ("web.logins",),
    ),
    Fault(
        "the body is not signed", "gateways/signatures.py",
        "digest = hashlib.sha256(body).hexdigest()", 'digest = hashlib.sha256(b"").hexdigest()',
        ("web.logins", "web.signed_client"),
    ),
    Fault(
        "a key is good from anywhere", "gateways/gate.py",
        "if key.addresses and not is_among(", "if False and not is_among(", ("web.logins",),
    ),
    Fault(
        "a refresh token that is used again ends nothing", "desk/access.py",
        'self._end(user, [asked.facts["family"]])\n        elif', "pass\n        elif",
        ("web.logins",),
    ),
    Fault(
        "two tabs log each other out", "desk/access.py",
        "GRACE_NS = 5 * NANOS", "GRACE_NS = -1", ("web.logins",),
    ),
    Fault(
        "a refresh token is good for ever", "desk/access.py",
        "family.rotated_ns > GRACE_NS", "family.rotated_ns > GRACE_NS * 10**9", ("web.logins",),
    ),
    Fault(
        "a token is good for everything", "gateways/tokens.py",
        'if claims["kind"] != kind or not', "if not", ("web.logins",),
    ),
    Fault(
        "a token does not end", "gateways/tokens.py",
        '<= now_s < claims["exp"]:', "<= now_s:", ("web.logins",),
    ),
    Fault(
        "the second factor is forgotten", "gateways/gate.py",
        "        if user.factor.on:\n            if not code:",
        "        if False:\n            if not code:", ("web.logins",),
    ),
    Fault(
        "a new password ends no login", "desk/access.py",
        "credential=asked.made_id, families=(), code=None",
        "credential=asked.made_id, code=None", ("web.logins",),
    ),
    Fault(
        "one-time codes may be guessed", "desk/access.py",
        "CODE_MISSES_MAX = 5 ", "CODE_MISSES_MAX = 5_000 ", ("web.logins",),
    ),
    Fault(
        "a client's id is not the order's", "gateways/web/trading.py",
        "client_order_id=body.client_order_id or made_id(),\n        symbol=body.symbol,",
        "client_order_id=made_id(),\n        symbol=body.symbol,", ("web.trading", "web.kills"),
    ),
    Fault(
        "a thread that died is not noticed", "app.py",
        "self.failure = self.failure or (name, error)\n        self._stop.set()",
        "self.failure = self.failure or (name, error)", ("web.stops",),
    ),
    Fault(
        "a thread that hangs as it dies is not noticed", "app.py",
        "            if self.manager.failure is not None:", "            if False:", ("lifecycle",),
    ),
]  # fmt: skip
POSTGRES = [  # where there is no server to see them by, they are not planted
    Fault(
        "an engine that was thought dead writes", "stores/postgres_schema.py",
        "FROM writer WHERE epoch = %s FOR SHARE", "FROM writer WHERE %s > 0 FOR SHARE",
        ("scale.postgres.postgres_faults",),
    ),
    Fault(
        "one that takes over does not wait for the turn under way", "stores/postgres_schema.py",
        "WHERE epoch = %s FOR SHARE", "WHERE epoch = %s", ("scale.postgres.postgres_faults",),
    ),
    Fault(
        "a pooler is not noticed", "stores/postgres.py",
        "!= link.info.backend_pid", "is None", ("scale.postgres.postgres_faults",),
    ),
    Fault(
        "a lock that is lost is not noticed", "stores/postgres.py",
        "        if not held:", "        if held is None:",
        ("scale.postgres.postgres_faults",),
    ),
    Fault(
        "one that stands by keeps what the server lost", "turn/dispatcher.py",
        "        if fold.read is not None and not fold.was_read(store):", "        if False:",
        ("scale.postgres.standby",),
    ),
    Fault(
        "one that takes over does not read the rest", "turn/dispatcher.py",
        "        while self.follow():\n            pass",
        "        if self.fold.read is None:\n            self.follow()",
        ("scale.postgres.standby",),
    ),
    Fault(
        "journals in two schemas share a lock", "stores/postgres_link.py",
        "return kind << 32 | crc_of(schema.encode())", "return kind << 32",
        ("scale.postgres.schemas",),
    ),
    Fault(
        "text of Postgres comes as the database has it", "stores/postgres_link.py",
        "            client_encoding=ENCODING,\n", "", ("scale.postgres.encodings",),
    ),
    Fault(
        "a projection takes the schema of a journal", "stores/projection.py",
        "                self._check_schema()\n", "", ("scale.postgres.schemas",),
    ),
    Fault(
        "a stretch that was read for nothing is filled", "commands/filling.py",
        "            if rows.stretch.after_seq == upto.seq:", "            if True:",
        ("scale.postgres.filler",),
    ),
    Fault(
        "a filler that died looks well", "stores/filler_word.py",
        "    silent = wall_ns - word.told_ns > word.good_ns", "    silent = False",
        ("scale.postgres.filler",),
    ),
    Fault(
        "a Postgres that hangs looks well", "lookups.py",
        'return "silent" if silent_ns > SILENT_NS else "ok"', 'return "ok"',
        ("scale.postgres.postgres_faults",),
    ),
    Fault(
        "a projection that is behind keeps all from trading", "gateways/web/watching.py",
        " if name != PROJECTION)", ")", ("web.watching",),
    ),
    Fault(
        "commits that do not last are not noticed", "stores/postgres.py",
        "        if value not in values:", "        if value is None:",
        ("scale.postgres.postgres_faults",),
    ),
    Fault(
        "another journal is filled into the tables", "commands/filling.py",
        "before is None or before.checksum != upto.checksum", "before is None",
        ("scale.postgres.filler",),
    ),
    Fault(
        "a refused change is news of its order", "stores/stretch.py",
        "if kind not in ASIDE or request_seq == order_id:", "if True:",
        ("scale.postgres.projection",),
    ),
    Fault(
        "an old trade that is busted stays as it was", "stores/stretch.py",
        "if row.report_id in renewed", "if row.report_id not in renewed",
        ("scale.postgres.projection",),
    ),
    Fault(
        "a date with open orders is taken out", "stores/partitions.py",
        "            if has_open_orders(db, each.date):", "            if False:",
        ("scale.postgres.partitions",),
    ),
]  # fmt: skip
SCALE = [  # where there is no Redis server to see them by, they are not planted
    Fault(
        "a request is acknowledged as soon as it is read", "transport/scripts.py",
        "'COUNT', ARGV[4],\"", "'COUNT', ARGV[4], 'NOACK',\"", ("scale.engine",),
    ),
    Fault(
        "what an engine left unanswered is not read again", "roles/taking.py",
        "self._pending = True  #", "self._pending = False  #", ("scale.engine",),
    ),
    Fault(
        "a request that kills engines is tried for ever", "roles/taking.py",
        "                if deliveries > engine.config.deliveries_max:",
        "                if False:",
        ("scale.engine",),
    ),
    Fault(
        "a stale engine reads and tells", "transport/scripts.py",
        "tonumber(held[2]) > tonumber(ARGV[2])", "false", ("scale.partition",),
    ),
    Fault(
        "an engine without its lock claims what Redis does not know", "roles/engine.py",
        "        self._look_at_lock()\n", "", ("scale.fence",),
    ),
    Fault(
        "any call puts the fence back", "transport/scripts.py",
        "  return redis.error_reply('{NO_FENCE} the group is to be claimed anew')",
        "  redis.call('HSET', KEYS[1], 'journal', ARGV[1], 'number', ARGV[2])", ("scale.fence",),
    ),
    Fault(
        "an engine of another journal serves the group", "transport/scripts.py",
        "if held[1] and held[1] ~= ARGV[1] then", "if false then", ("scale.engine",),
    ),
    Fault(
        "an older copy of the journal serves the group", "roles/telling.py",
        "        if last > found:", "        if False:", ("scale.engine",),
    ),
    Fault(
        "a turn is told twice under two ids", "transport/scripts.py",
        "'MAXLEN', '~', turns_kept, id,", "'MAXLEN', '~', turns_kept, '*',", ("scale.engine",),
    ),
    Fault(
        "an engine is silent where Redis is full", "transport/scripts.py",
        "redis.call('HDEL', KEYS[1], '')", "", ("scale.full",),
    ),
    Fault(
        "there is no bound to the bytes of turns", "roles/memory.py",
        "            self.first = oldest.last_seq + 1", "            self.first = 1",
        ("scale.full",),
    ),
    Fault(
        "an api leaves the answers that it has read", "roles/sending.py",
        '"MINID", link.receiving.last)', '"MINID", "0-0")', ("scale.full",),
    ),
    Fault(
        "turns that were committed and not told stay untold", "roles/telling.py",
        "        first = max(last, self._kept_from(found))", "        first = found",
        ("scale.engine",),
    ),
    Fault(
        "turns that were too many wait until Redis fails", "roles/telling.py",
        "if circuit.failures or self._behind:", "if circuit.failures:", ("scale.telling",),
    ),
    Fault(
        "an engine says that it is up to date while turns wait", "roles/telling.py",
        "        if not self._to_tell and not self._behind:", "        if True:",
        ("scale.telling",),
    ),
    Fault(
        "an answer goes to another api", "roles/telling.py",
        "enumerate(replies.values(),", "enumerate(reversed(replies.values()),",
        ("scale.engine",),
    ),
    Fault(
        "an answer comes before its turn", "roles/receiving.py",
        "        if link.mirror.seq and not self._is_here(seq, heard=heard):",
        "        if False:", ("scale.remote",),
    ),
    Fault(
        "an api follows a turn twice", "roles/receiving.py",
        "        if entry.seq <= mirror.seq:\n            return True", "        if False:\n"
        "            return True", ("scale.remote",),
    ),
    Fault(
        "turns that are missing are not asked for", "roles/receiving.py",
        "        if entry.after > mirror.seq:", "        if False:", ("scale.remote",),
    ),
    Fault(
        "a circuit never opens", "circuit.py",
        "return self.failures >= FAILURES_MAX", "return False",
        ("scale.remote", "scale.partition"),
    ),
    Fault(
        "users that changed while Redis lost its data stay as they were", "roles/receiving.py",
        "        if not entry.whole:\n            self._users_stale = True",
        "        if not entry.whole:\n            pass", ("scale.unreadable",),
    ),
    Fault(
        "an answer comes before the books that are read anew", "roles/receiving.py",
        "(seq <= mirror.seq and not mirror.behind)", "seq <= mirror.seq", ("scale.remote",),
    ),
    Fault(
        "what an engine was asked before it died is asked of nobody", "roles/receiving.py",
        "        if 0 < mirror.seq < self._missing and link.alive and not link.heard.full:",
        "        if False:", ("scale.remote",),
    ),
    Fault(
        "what Redis had no room for is perhaps sent", "roles/sending.py",
        "            if error.code == FULL:", "            if False:",
        ("scale.full",),
    ),
    Fault(
        "an order is seen before its money", "lookups.py",
        "        if seq > self.publisher.shown_seq and", "        if False and", ("dispatcher",),
    ),
    Fault(
        "the end of a transfer has no outcome", "stores/views.py",
        "CASE WHEN {_IS_END} THEN", "CASE WHEN 0 THEN", ("transfers",),
    ),
    Fault(
        "what Redis lost is not sent again", "roles/sending.py",
        "            link.arms.begin_again()\n            self._send_again()",
        "            link.arms.begin_again()", ("scale.remote", "scale.sentinel"),
    ),
    Fault(
        "what a promoted replica lacks is not sent again", "roles/sending.py",
        "        if not kept or server.run_id != self._run_id:", "        if not kept:",
        ("scale.sentinel",),
    ),
    Fault(
        "turns that Redis lost are waited for", "roles/receiving.py",
        "if turns in ids and turns not in found and mirror.seq < told_seq:", "if False:",
        ("scale.sentinel",),
    ),
    Fault(
        "another run of Redis is taken for the same", "transport/server.py",
        'if before not in ("", self.run_id):', "if False:", ("scale.sentinel",),
    ),
    Fault(
        "a replica is taken for a primary", "transport/server.py",
        'if role != "master":', "if False:", ("scale.sentinel",),
    ),
    Fault(
        "a primary that became a replica is called again", "transport/server.py",
        "(*UNREACHABLE, ReadOnlyError)", "UNREACHABLE",
        ("scale.sentinel",),
    ),
    Fault(
        "a call that failed is repeated", "transport/server.py",
        "        connection.send_command(*command)\n        return connection.read_response()",
        "        for _ in range(3):\n            try:\n"
        "                connection.send_command(*command)\n"
        "                return connection.read_response()\n"
        "            except UNREACHABLE as error:\n                failed = error\n"
        "        raise failed",
        ("scale.engine",),
    ),
    Fault(
        "a server that throws entries away is taken", "transport/server.py",
        'if policy != "noeviction":', "if False:", ("scale.engine",),
    ),
    Fault(
        "there is no bound to what waits", "transport/scripts.py",
        "  if waiting + count <= room then", "  if true then", ("scale.remote",),
    ),
    Fault(
        "a look for an order overtakes requests that wait", "roles/asks.py",
        "if question.method != BEHIND or self._all_taken():", "if True:", ("scale.reads",),
    ),
    Fault(
        "a look for an order believes ids of a Redis that lost its data", "roles/taking.py",
        "if self._pending or self._claims != self._engine.claims:\n            return not upto",
        "if self._pending:\n            return not upto", ("scale.reads",),
    ),
    Fault(
        "subscribers wait for looks at history", "roles/asks.py",
        "self.of_doors if question.method in OF_DOORS else self.of_clients", "self.of_clients",
        ("scale.heard",),
    ),
    Fault(
        "turns are read without a bound", "roles/heard.py",
        "        self.full = self.full or self._held > HELD_MAX", "        self.full = False",
        ("scale.heard",),
    ),
    Fault(
        "a change is told with what was known before it", "roles/heard.py",
        "if each in changed or each not in known}", "if each not in known}", ("scale.heard",),
    ),
    Fault(
        "an api reads again for each page what it cannot use", "roles/receiving.py",
        "        if mirror.seq >= max(1, self._missing) and", "        if mirror.seq and",
        ("scale.behind",),
    ),
    Fault(
        "balances are of a turn before", "lookups.py",
        "self.publisher.wait_until_shown(seq, FOLLOW_S_MAX)", "pass", ("scale.reads",),
    ),
    Fault(
        "each front door takes a nonce", "transport/counting.py",
        "'NX', 'PX', ARGV[6])", "'PX', ARGV[6])", ("scale.shared",),
    ),
    Fault(
        "a nonce of before a loss is taken again", "transport/counting.py",
        "then return -1 end\nif redis.call('SET', KEYS[2]",
        "then return 1 end\nif redis.call('SET', KEYS[2]", ("scale.shared",),
    ),
    Fault(
        "looks wait for an engine that answers nothing", "roles/link.py",
        '"its engine answers no questions" if self.unanswered else ""', '""', ("scale.groups",),
    ),
    Fault(
        "what one group did is lost with the answer of another", "roles/routes.py",
        "if first is not None and (others or not answers):", "if first is not None:",
        ("scale.groups",),
    ),
    Fault(
        "an api that stops leaves the answers on their way", "roles/remote.py",
        "        self._drain()\n", "        pass\n", ("scale.remote",),
    ),
    Fault(
        "an api goes on with an older journal", "roles/receiving.py",
        "if journal != before[0] or number <= mirror.seq:", "if False:", ("scale.remote",),
    ),
    Fault(
        "what is about all markets goes to one group", "roles/routes.py",
        "        if self._is_about_all(request):", "        if False:", ("scale.groups",),
    ),
]  # fmt: skip
HAS_REDIS = find_spec("redis") is not None and any(map(which, ("redis-server", "valkey-server")))
HAS_POSTGRES = find_spec("psycopg") is not None and (
    which("postgres") is not None or any(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
)
FAULTS = (
    (POSTGRES if HAS_POSTGRES else [])
    + (SCALE if HAS_REDIS else [])
    + DOOR
    + JOURNAL
    + IDS
    + LEDGER
    + MATCHING
    + THROTTLE
    + SESSION
    + HISTORY
    + VIEWS
    + ACCESS
)
