"""The report of a run as a page: whole by itself, for every reader, and with every figure."""

import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.cli import main
from oms.simulation.charts import duration_text, nice_ticks, number_text, percentiles
from oms.simulation.page import STYLE, html_of
from oms.simulation.report import positions
from oms.simulation.samples import SAMPLES_MAX, BookSample, Sample, Samples, book_sample
from tests.test_simulation import SECOND, facts_of

SAMPLES = [
    Sample(
        n * SECOND // 5,
        n % 7,
        {"X": BookSample(10100 + n % 3, 10 * n, 10095, 10105 if n > 3 else 10090, 150, 250)},
    )
    for n in range(30)
]


def page(**more) -> str:
    return html_of(facts_of(samples=SAMPLES, **more))


def drawings(text: str) -> list[ElementTree.Element]:
    """Each chart, read as XML: what is not well-formed fails here."""
    return [ElementTree.fromstring(found) for found in re.findall(r"<svg.*?</svg>", text)]


def test_the_page_asks_nobody_for_anything():
    """It is one file: no script, no link, no picture, and a policy against all of them."""
    text = page()
    assert "default-src 'none'" in text
    assert not re.search(
        r"<(script|link|img|iframe|object)|\b(src|href)=|url\(|@import|https?:", text
    )


def test_each_market_has_price_volume_and_depth_with_units():
    """And the run its queue and latency; a reader who sees none of it is told in words."""
    titles = [
        element.findtext("text", "") for element in drawings(page()) if element.get("role") == "img"
    ]
    assert [title.split(":")[0] for title in titles[:3]] == [
        "Price, USD",
        "Volume in each 0.2 s",
        "Depth on 5 levels a side",
    ]
    assert titles[-1].startswith("Queue length")
    labels = [element.get("aria-label", "") for element in drawings(page())]
    assert "Prices from 100.95 to 101.05" in labels[0]
    assert any(label.startswith("Latency percentiles") for label in labels)
    assert "seconds" in page()


def test_the_page_has_the_figures_of_the_report():
    """Positions, rejects with their meaning, and what to do next, as the text has them."""
    facts = facts_of(samples=SAMPLES)
    text = html_of(facts)
    for row in positions(facts):
        assert f"<td>{row.account}</td>" in text
    for figure in ("+1.05", "-1.15", "TOO_LATE", "oms explain B-7 --data-dir d", "errs on purpose"):
        assert figure in text


def test_colours_follow_the_reader():
    """Every variable has a value for light and one for dark; numbers stand in columns."""
    light, dark = STYLE.split("@media (prefers-color-scheme: dark)")
    names = set(re.findall(r"(--[a-z]+):", light))
    assert names == set(re.findall(r"(--[a-z]+):", dark.split("}")[0]))
    assert set(re.findall(r"var\((--[a-z]+)\)", page())) <= names
    assert "tabular-nums" in STYLE


def test_text_from_outside_is_text_on_the_page():
    """A symbol or a path cannot become markup."""
    text = page(title="<script>alert(1)</script>", verdict="a & b")
    assert "<script" not in text
    assert "A &amp; b." in text


def test_a_run_without_samples_or_trades_has_a_page():
    """Ctrl-C in the first moment."""
    facts = facts_of(samples=SAMPLES[:1])
    facts = replace(facts, tally=replace(facts.tally, dealt={}, traded={}))
    text = html_of(facts)
    assert "too short for charts" in text
    assert "Trades and positions" not in text


def test_a_crossed_book_of_a_call_draws_no_spread():
    """In a call bids stand above asks: both lines begin when it has ended."""
    [price, *_] = drawings(page())
    paths = [path.get("d", "") for path in price.iter("path")]
    first = [float(d[1:].split()[0]) for d in paths]
    assert first[0] == first[1] > first[2]


def test_simulate_writes_the_page(tmp_path, capsys):
    """A real run; and a place that cannot be written is told before it."""
    file = tmp_path / "run.html"
    options = ["--data-dir", str(tmp_path / "d"), "--seconds", "1", "--rate", "150", "--quiet"]
    assert main(["simulate", *options, "--html", str(file)]) == 0
    assert f"Charts     {file}" in capsys.readouterr().out
    text = file.read_text(encoding="utf-8")
    assert len(drawings(text)) > 10
    assert "BTC_USD" in text

    for place in (tmp_path / "no" / "run.html", tmp_path):
        assert main(["simulate", *options, "--html", str(place)]) == 2
        told = capsys.readouterr()
        assert f"{place}: " in told.err
        assert "Simulation" not in told.out


# --- samples ---


@given(count=st.integers(0, 5_000))
def test_samples_stay_few_and_evenly_spaced(count):
    """A day has as many as a minute; the first moment is always among them."""
    samples = Samples()
    for n in range(count):
        if samples.due:
            samples.add(Sample(n, 0, {}))
    kept = [sample.at_ns for sample in samples.kept]
    assert len(kept) < SAMPLES_MAX
    assert len({b - a for a, b in pairwise(kept)}) <= 1
    assert kept[:1] == [0][:count]
    assert count == 0 or count - kept[-1] <= max(1, 4 * count // SAMPLES_MAX)


def test_a_sample_of_a_book():
    """Best prices, and what stands on the levels that were read."""
    assert book_sample(7, 9, ([(5, 2), (4, 3)], [])) == BookSample(7, 9, 5, 0, 5, 0)


# --- charts ---


@given(low=st.floats(-1e9, 1e9), wide=st.floats(1e-3, 1e9))
def test_ticks_are_few_round_and_enclose_the_values(low, wide):
    high = low + wide
    ticks = nice_ticks(low, high, 4)
    slack = (ticks[-1] - ticks[0]) * 1e-6
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= 12


def test_one_value_alone_has_an_axis():
    """A price that never moved stands in the middle."""
    ticks = nice_ticks(100, 100, 4)
    assert ticks[0] < 100 < ticks[-1]


@pytest.mark.parametrize(
    ("value", "text"), [(1200.0, "1,200"), (0.05, "0.05"), (-3.0, "\N{MINUS SIGN}3"), (0.0, "0")]
)
def test_numbers_of_an_axis(value, text):
    assert number_text(value) == text


def test_percentiles_have_a_shape_each_and_gaps_where_nothing_was_measured():
    """Colour alone says nothing."""
    drawing = ElementTree.fromstring(percentiles([("disk", [1e-3] * 5), ("wait", [None] * 5)], "t"))
    marks = [element for element in drawing.iter("g") if element.get("class") == "mark"]
    assert len(marks) == 10  # five of the legend, five of the disk
    assert len({ElementTree.tostring(mark[0])[:12] for mark in marks[:5]}) >= 3
    assert [duration_text(10.0**n) for n in (-9, -6, -4, -3, 0, 1)] == [
        "1 ns", "1 µs", "100 µs", "1 ms", "1 s", "10 s",
    ]  # fmt: skip
