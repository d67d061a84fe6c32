"""History: the routes of what was: orders, trades, money; and of what came of it, positions.

All of it is read from the database, on other threads, page by page. `next` of a page is the cursor
of the one behind it: a journal sequence, an execution id. A page may be short, or empty, and yet
have a `next`, because a look is bounded; only null says that it is the last.
"""

from oms.enums import OrderState, Side
from oms.errors import ValidationError
from oms.gateways.web.errors import Reply
from oms.gateways.web.front import Ask, Entry, Right
from oms.gateways.web.market import instrument_of
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
    TradePageTold,
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
from oms.gateways.web.words import Body, WholeText
from oms.positions import report_id_of
from oms.reports import NUMBER_BITS, NUMBER_MASK


class History(WithReports):
    """All orders of an account: open, ended and refused. before: `next` of the page before. A page
    may have fewer orders than `limit`, or none, and yet a `next`: only null says that it is the
    last."""

    account: Id | None = None
    symbol: Id | None = None
    side: Side | None = None
    status: OrderState | None = None
    before: WholeText = "0"
    limit: COUNT = PAGE


class PastTrades(Body):
    """Of a market, for everybody; or, with mine=true, of an account of yours, with fees, of one
    market or of all. before: `next` of the page before."""

    symbol: Id | None = None
    mine: bool = False
    account: Id | None = None
    before: Id | None = None
    limit: COUNT = PAGE


class Page(Body):
    """before: `next` of the page before."""

    account: Id | None = None
    before: WholeText = "0"
    limit: COUNT = PAGE


class Missed(Body):
    """Reports of the turns behind `after`, a journal sequence, up to `upto`, by default the latest;
    or behind the report that `after` names by its execution id, such as 24-2: `next` of the page
    before."""

    after: Id
    account: Id | None = None
    upto: WholeText | None = None
    limit: COUNT = PAGE_MAX


async def account_now(ask: Ask, wanted: OfAccount) -> Reply:
    account = ask.seen_account(wanted.account)
    found = await ask.door.answered(ask.oms.account_snapshot(account))
    return Reply({
        "account": account, "seq": str(found.seq),
        "reports": [report_told(each) for each in found.orders],
        "balances": balances_told(found.balances),
    })  # fmt: skip


async def reports(ask: Ask, page: Missed) -> Reply:
    """What happened to an account's orders and requests meanwhile, in order, from the store."""
    account, behind = ask.seen_account(page.account), place_named(page.after)
    latest = await ask.door.answered(ask.oms.journal_seq())
    upto = min(cursor("upto", page.upto), latest) if page.upto is not None else latest
    told: Told = {"account": account, "reports": None, "next": None}
    if behind.seq > latest:
        return Reply({**told, "why": "UNKNOWN_SEQUENCE"})

    def look() -> Told:
        found = ask.oms.reports_after(account, max(0, behind.seq - 1), upto)
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
    account, before = ask.seen_account(page.account), cursor("before", page.before)

    def look() -> Told:
        found = ask.oms.orders(
            account, symbol=page.symbol or "", side=page.side, before=before, limit=page.limit
        )
        rows = [each for each in found.orders if page.status in (None, each.state)]
        following = str(found.before) if found.before else None
        told = orders_told(ask.oms, rows, reports=page.reports)
        return {"orders": told, "next": following}

    return Reply(await ask.door.in_thread(look))


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

    def look() -> Told:
        found = ask.oms.trades(
            account, page.symbol or "", before=page.before or "", limit=page.limit
        )
        following = found[0].execution_id if len(found) == page.limit else None
        known = ask.oms.instruments()
        told = [
            told
            for each in reversed(found)
            for told in (
                own_trades_told(each, account, known.get(each.symbol))
                if account
                else [past_trade_told(each)]
            )
        ]
        return {"trades": told, "next": following}

    return Reply(await ask.door.slowly(look))


async def positions(ask: Ask, wanted: OfAccount) -> Reply:
    """With profit and loss: realized, and unrealized by the last price; as of the last commit."""
    account = ask.seen_account(wanted.account)

    def look() -> Told:
        found = ask.oms.positions(account)
        pnl = ask.oms.pnl(account)
        return {
            "account": account,
            "positions": [position_told(each) for each in found],
            "pnl": [pnl_told(each) for _, each in sorted(pnl.items())],
        }

    return Reply(await ask.door.in_thread(look))


async def ledger(ask: Ask, page: Page) -> Reply:
    """What moved an account's money, newest first: trades, fees, busts, corrections, funds.

    limit: of trades and requests. Each may have moved three amounts, which stand on one page.
    """
    account, before = ask.seen_account(page.account), cursor("before", page.before)

    def look() -> Told:
        found = ask.oms.ledger(account, before=before, limit=page.limit)
        return {
            "account": account,
            "entries": [movement_told(each) for each in found.movements],
            "next": str(found.before) if found.before else None,
        }

    return Reply(await ask.door.slowly(look))


def entries() -> list[Entry]:
    read = Right.READ
    return [
        Entry("GET", "/orders", orders, read, "all orders, newest first", query=History,
              answer=Answer(OrderPageTold)),
        Entry("GET", "/account", account_now, read, "open orders and balances of one instant",
              query=OfAccount, answer=Answer(AccountNowTold)),
        Entry("GET", "/reports", reports, read, "what happened meanwhile", query=Missed,
              answer=Answer(ReportPageTold)),
        Entry("GET", "/trade/history", trades, Right.PUBLIC, "trades of a market, or your own",
              query=PastTrades, answer=Answer(TradePageTold)),
        Entry("GET", "/positions", positions, read, "what an account holds, and has made",
              query=OfAccount, answer=Answer(PositionsTold)),
        Entry("GET", "/ledger", ledger, read, "what moved an account's money", query=Page,
              answer=Answer(LedgerTold)),
    ]  # fmt: skip
