"""One page out of the pages of several groups: the same as a list of all that is merged at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.errors import ValidationError
from oms.gateways.web.merging import START, Page, Row, merged, of_group

GROUPS = {"usd": "usd", "inr": "inr", "eur": "eur"}
# When each row of a group was, newest first; and how many rows a look there passes by in between.
times = st.lists(st.integers(0, 9), max_size=12).map(lambda each: sorted(each, reverse=True))
flows = st.fixed_dictionaries(dict.fromkeys(GROUPS, times))


def pager(flow, *, looked_max, limit, newest_first):
    """A group whose look sees `looked_max` rows, of which those at odd places are not wanted."""
    sign = 1 if newest_first else -1

    def look(group, place):
        rows = [(at, n) for n, at in enumerate(flow[group][::sign], 1)]
        begin = 0 if place == START else int(place)
        seen = rows[begin : begin + min(looked_max, limit)]
        left = begin + len(seen) < len(rows)
        found = [Row(at, str(n), (group, n)) for at, n in seen if n % 2]
        return Page(found, str(seen[-1][1]) if left else None)

    return look


@given(flows, st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_all_pages_together_are_the_merged_list(flow, limit, looked_max, newest_first):
    """Whatever the limit, and however little one look sees: each row once, in order."""
    look = pager(flow, looked_max=looked_max, limit=limit, newest_first=newest_first)
    sign = -1 if newest_first else 1
    naive = sorted(
        (sign * at, order, n)
        for order, group in enumerate(GROUPS)
        for n, at in enumerate(flow[group][::-sign], 1)
        if n % 2
    )
    told, cursor, pages = [], START, 0
    while cursor is not None:
        page = merged(GROUPS, look, "before", cursor, limit, newest_first=newest_first)
        assert len(page.rows) <= limit
        told += page.rows
        cursor, pages = page.next, pages + 1
        assert pages <= 200, "it goes on for ever"
    assert [(sign * e.at_ns, list(GROUPS).index(e.group), e.told[1]) for e in told] == naive


def test_with_one_group_its_own_page_is_told_as_it_is():
    page = Page([Row(5, "7", {"seq": "7"})], "7")
    seen = []

    def look(group, place):
        seen.append((group, place))
        return page

    assert merged({"": "all"}, look, "before", "17", 10) is page
    assert seen == [("all", "17")]
    assert of_group(page.rows[0]) == {"seq": "7"}
    with pytest.raises(ValidationError, match="before"):
        merged({"": "all"}, look, "before", "usd:17", 10)


def test_a_cursor_of_other_groups_is_refused():
    for cursor in ("17", "gbp:17", "usd:1,gbp:2"):
        with pytest.raises(ValidationError, match="usd, inr, eur"):
            merged(GROUPS, lambda *_: Page([], None), "before", cursor, 10)
