"""History: the routes of what was: orders, trades, money; and of what came of it, positions.

All of it is read from the database, on other threads, page by page. `next` of a page is the cursor
of the one behind it: a journal sequence, an execution id; of several groups of markets one of
each. A page may be short, or empty, and yet have a `next`, because a look is bounded; only null
says that it is the last.
"""

from itertools import groupby

from oms.answers import Movement
from oms.enums import OrderState, Side
from oms.errors import ValidationError
from oms.gateways.web.door import Right
from oms.gateways.web.errors import Reply
from oms.gateways.web.front import Ask, Entry
from oms.gateways.web.market import instrument_of
from oms.gateways.web.market_shapes import TradePageTold
from oms.gateways.web.merging import START, Page, Row, groups_of, merged, of_group, of_those_heard
from oms.gateways.web.money import OfAccount
from oms.gateways.web.orders import orders_told
from oms.gateways.web.places import Place
from oms.gateways.web.shapes import (
    AccountNowTold,
    Answer,
    LedgerTold,
    OrderPageTold,
    PositionsTold,
    ReportPageTold,
)
from oms.gateways.web.told import (
    Told,
    balances_told,
    movement_told,
    own_trades_told,
    past_trade_told,
    pnl_told,
    position_told,
    report_told,
)
from oms.gateways.web.trading import COUNT, PAGE, PAGE_MAX, Id, WithReports, cursor
from oms.gateways.web.words import Body, CursorText, WholeText
from oms.manager import OrderManagement
from oms.positions import pnl_of, report_id_of
from oms.reports import NUMBER_BITS, NUMBER_MASK


class History(WithReports):
    """All orders of an account: open, ended and refused. before: `next` of the page before. A page
    may have fewer orders than `limit`, or none, and yet a `next`: only null says that it is the
    last. group: of markets, where there are several; without it of all."""

    group: Id | None = None
    account: Id | None = None
    symbol: Id | None = None
    side: Side | None = None
    status: OrderState | None = None
    before: CursorText = START
    limit: COUNT = PAGE


class PastTrades(Body):
    """Of a market, for everybody; or, with mine=true, of an account of yours, with fees, of one
    market or of all. before: `next` of the page before. group: of markets, where there are several;
    without it of all."""

    group: Id | None = None
    symbol: Id | None = None
    mine: bool = False
    account: Id | None = None
    before: CursorText = START
    limit: COUNT = PAGE


class Movements(Body):
    """before: `next` of the page before. group: of markets, where there are several; without it of
    all."""

    group: Id | None = None
    account: Id | None = None
    before: CursorText = START
    limit: COUNT = PAGE


class Missed(Body):
    """Reports of the turns behind `after`, a journal sequence, up to `upto`, by default the latest;
    or behind the report that `after` names by its execution id, such as 24-2: `next` of the page
    before. group: of markets, where there are several: whose sequence `after` is."""

    after: Id
    group: Id | None = None
    account: Id | None = None
    upto: WholeText | None = None
    limit: COUNT = PAGE_MAX


class AccountOf(OfAccount):
    """group: of markets, where there are several: each has an instant and a sequence of its
    own."""

    group: Id | None = None


async def account_now(ask: Ask, wanted: AccountOf) -> Reply:
    account = ask.seen_account(wanted.account)
    group = ask.door.one_group(wanted.group or "", "an account's instant")
    found = await ask.door.answered(ask.oms.groups[group].account_snapshot(account))
    return Reply({
        "account": account, **({"group": group} if group else {}), "seq": str(found.seq),
        "reports": [report_told(each) for each in found.orders],
        "balances": balances_told(found.balances),
    })  # fmt: skip


async def reports(ask: Ask, page: Missed) -> Reply:
    """What happened to an account's orders and requests meanwhile, in order, from the store."""
    account, behind = ask.seen_account(page.account), place_named(page.after)
    group = ask.door.one_group(page.group or "", "what happened meanwhile")
    oms = ask.oms.groups[group]
    latest = await ask.door.answered(oms.journal_seq())
    upto = min(cursor("upto", page.upto), latest) if page.upto is not None else latest
    told: Told = {"account": account, "reports": None, "next": None}
    if group:
        told["group"] = group
    if behind.seq > latest:
        return Reply({**told, "why": "UNKNOWN_SEQUENCE"})

    def look() -> Told:
        found = oms.reports_after(account, max(0, behind.seq - 1), upto)
        if found is None:
            return {**told, "why": "TOO_FAR_BACK"}
        missed = [each for each in found if not behind.has(each.journal_seq, each.number)]
        page_ = missed[: page.limit]
        following = page_[-1].execution_id if len(missed) > page.limit else None
        return {**told, "reports": [report_told(each) for each in page_], "next": following}

    return Reply(await ask.door.slowly(look))


def place_named(after: str) -> Place:
    """A sequence, which stands for its whole turn; or an execution id. Raises ValidationError."""
    if after.isdecimal():
        return Place(cursor("after", after), None)
    report_id = report_id_of("after", after)
    return Place(report_id >> NUMBER_BITS, report_id & NUMBER_MASK)


async def orders(ask: Ask, page: History) -> Reply:
    """Newest first."""
    account, groups = ask.seen_account(page.account), groups_of(ask, page.symbol, page.group)

    def look(oms: OrderManagement, before: str) -> Page:
        found = oms.orders(
            account, symbol=page.symbol or "", side=page.side, before=cursor("before", before),
            limit=page.limit,
        )  # fmt: skip
        those = [each for each in found.orders if page.status in (None, each.state)]
        told = orders_told(oms, those, reports=page.reports)
        ids = [each.order_id for each in those]
        placed_ns = oms.placed_ns(ids) if len(groups) > 1 else {}
        rows = [
            Row(placed_ns.get(order_id, 0), str(order_id), each)
            for order_id, each in zip(ids, told, strict=True)
        ]
        return Page(rows, str(found.before) if found.before else None)

    found = await ask.door.in_thread(merged, groups, look, "before", page.before, page.limit)
    return Reply({"orders": [each.told for each in found.rows], "next": found.next})


async def trades(ask: Ask, page: PastTrades) -> Reply:
    """Newest first, as they stand: a busted trade has no quantity, a corrected one its new price
    and quantity. Both sides of a trade of yours with yourself are told."""
    if page.account is not None and not page.mine:
        raise ValidationError("account", page.account, "none without mine=true")
    account = ""
    if page.mine:
        ask.door.keeper.check(Right.READ, ask.caller)
        account = ask.seen_account(page.account)
    elif page.symbol is None:
        raise ValidationError("symbol", None, "a value, or mine=true")
    if page.symbol is not None:
        instrument_of(ask, page.symbol)

    known = ask.oms.instruments()

    def look(oms: OrderManagement, before: str) -> Page:
        found = oms.trades(
            account, page.symbol or "", before="" if before == START else before, limit=page.limit
        )
        following = found[0].execution_id if len(found) == page.limit else None
        rows = [
            Row(
                each.wall_ns, each.execution_id,
                own_trades_told(each, account, known.get(each.symbol)) if account
                else [past_trade_told(each)],
            )
            for each in reversed(found)
        ]  # fmt: skip
        return Page(rows, following)

    groups = groups_of(ask, page.symbol, page.group)
    found = await ask.door.slowly(merged, groups, look, "before", page.before, page.limit)
    return Reply({"trades": [told for each in found.rows for told in each.told],
                  "next": found.next})  # fmt: skip


async def positions(ask: Ask, wanted: OfAccount) -> Reply:
    """With profit and loss: realized, and unrealized by the last price; as of the last commit."""
    account, groups = ask.seen_account(wanted.account), ask.oms.groups

    def look() -> Told:
        of, silent = of_those_heard(groups, lambda oms: oms.positions(account))
        found = [each for some in of for each in some]
        return {
            "account": account,
            "positions": [position_told(each) for each in found],
            "pnl": [pnl_told(each) for _, each in sorted(pnl_of(found).items())],
            **({"silent": silent} if len(groups) > 1 else {}),
        }

    return Reply(await ask.door.in_thread(look))


async def ledger(ask: Ask, page: Movements) -> Reply:
    """What moved an account's money, newest first: trades, fees, busts, corrections, funds.

    limit: of trades and requests. Each may have moved three amounts, which stand on one page.
    """
    account = ask.seen_account(page.account)

    def look(oms: OrderManagement, before: str) -> Page:
        found = oms.ledger(account, before=cursor("before", before), limit=page.limit)
        rows = [
            Row(of_one[0].wall_ns, str(report_id), [movement_told(each) for each in of_one])
            for report_id, those in groupby(found.movements, _report_id)
            if (of_one := list(those))
        ]
        return Page(rows, str(found.before) if found.before else None)

    groups = groups_of(ask, None, page.group)
    found = await ask.door.slowly(merged, groups, look, "before", page.before, page.limit)
    entries_ = [of_group(each._replace(told=told)) for each in found.rows for told in each.told]
    return Reply({"account": account, "entries": entries_, "next": found.next})


def _report_id(movement: Movement) -> int:
    return movement.seq << NUMBER_BITS | movement.number


def entries() -> list[Entry]:
    read = Right.READ
    return [
        Entry("GET", "/orders", orders, read, "all orders, newest first", query=History,
              answer=Answer(OrderPageTold)),
        Entry("GET", "/account", account_now, read, "open orders and balances of one instant",
              query=AccountOf, answer=Answer(AccountNowTold)),
        Entry("GET", "/reports", reports, read, "what happened meanwhile", query=Missed,
              answer=Answer(ReportPageTold)),
        Entry("GET", "/trade/history", trades, Right.PUBLIC, "trades of a market, or your own",
              query=PastTrades, answer=Answer(TradePageTold)),
        Entry("GET", "/positions", positions, read, "what an account holds, and has made",
              query=OfAccount, answer=Answer(PositionsTold)),
        Entry("GET", "/ledger", ledger, read, "what moved an account's money", query=Movements,
              answer=Answer(LedgerTold)),
    ]  # fmt: skip
