"""Merging: one page out of the pages of several groups of markets.

Flow:  pages of each group -> [merging] -> rows by time, then in the order of the groups
The cursor has the place in each group that has more, `usd:17,inr:40`; with one group it is that
group's own. A group whose page is used up and has a next one ends the page: what comes next there
may be earlier than the rows of the others.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from oms.errors import TransportError, ValidationError
from oms.gateways.web.front import Ask
from oms.manager import OrderManagement

T = TypeVar("T")

START = "0"


class Row(NamedTuple):
    """at_ns: by which rows of several groups are in order. place: where a page goes on behind this
    row, within its group. told: what is told of it. group: its own, where there are several."""

    at_ns: int
    place: str
    told: Any
    group: str = ""


class Page(NamedTuple):
    """Of one group. next: where it goes on; None: this is the last."""

    rows: list[Row]
    next: str | None


Look = Callable[[OrderManagement, str], Page]
"""The page of one group behind a place."""


def merged(
    groups: Mapping[str, OrderManagement], look: Look, name: str, cursor: str, limit: int, *,
    newest_first: bool = True,
) -> Page:  # fmt: skip
    """At most `limit` rows of all groups; name: of the field that the cursor was in. Raises
    ValidationError."""
    if len(groups) == 1:
        [oms] = groups.values()
        if ":" in cursor:
            raise ValidationError(name, cursor, "a place of one group")
        return look(oms, cursor)
    places = _places(groups, name, cursor)
    pages = {group: look(groups[group], place) for group, place in places.items()}
    waiting = {group: deque(page.rows) for group, page in pages.items()}
    rows: list[Row] = []
    while len(rows) < limit:
        if any(not waiting[group] and page.next is not None for group, page in pages.items()):
            break
        heads = [group for group, left in waiting.items() if left]
        if not heads:
            break
        sign = -1 if newest_first else 1
        first = min(heads, key=lambda group: sign * waiting[group][0].at_ns)
        rows.append(waiting[first].popleft()._replace(group=first))
        places[first] = rows[-1].place
    for group, page in pages.items():
        if not waiting[group]:
            if page.next is None:
                del places[group]
            else:
                places[group] = page.next
    following = ",".join(f"{group}:{place}" for group, place in places.items())
    return Page(rows, following or None)


def of_group(row: Row) -> Any:
    """What is told of it, with its group where there are several."""
    return {"group": row.group, **row.told} if row.group else row.told


def groups_of(
    ask: Ask, symbol: str | None, group: str | None
) -> Mapping[str, OrderManagement]:  # fmt: skip
    """All; the one that is named, or that trades the symbol. A symbol that there never was is asked
    of the first, which says so."""
    groups = ask.oms.groups
    if group is not None:
        named = ask.door.one_group(group, "a page")
        return {named: groups[named]}
    if symbol is None or not ask.door.group_names:
        return groups
    name = ask.door.group_of(symbol) or next(iter(groups))
    return {name: groups[name]}


def of_those_heard(
    groups: Mapping[str, OrderManagement], look: Callable[[OrderManagement], T]
) -> tuple[list[T], list[str]]:
    """What each group says, and which of several are out of reach. Raises TransportError where all
    are."""
    found, silent = list[T](), dict[str, TransportError]()
    for name, oms in groups.items():
        try:
            found.append(look(oms))
        except TransportError as error:
            silent[name] = error
    if not found:
        raise next(iter(silent.values()))
    return found, list(silent)


def _places(groups: Mapping[str, Any], name: str, cursor: str) -> dict[str, str]:
    """Where each group that has more goes on, in the order of the groups."""
    if cursor == START:
        return dict.fromkeys(groups, START)
    found = dict(each.rpartition(":")[::2] for each in cursor.split(","))
    if not found.keys() <= groups.keys():
        expected = f"0, or `next` of a page of the groups {', '.join(groups)}"
        raise ValidationError(name, cursor, expected)
    return {group: found[group] for group in groups if group in found}
