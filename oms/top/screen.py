"""Screen: the terminal itself, by Textual (extra `tui`); keys choose what is looked at.

Flow:  watcher -> Seen -> lines -> [screen] -> terminal; keys -> watcher.want
Owner: the thread that runs the app. The watcher's thread only posts that there is news.
"""

from collections.abc import Callable
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import Resize
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, Static

from oms.clock import Clock
from oms.top import lines as made
from oms.top.lines import Line, Size, View
from oms.top.seen import Seen
from oms.top.watcher import Watcher

TICK_S = 0.25  # ages and the clock grow also when there is no news
LEAST = (80, 24)  # width and height that all fits in
WIDE, TALL = 120, 32  # from where on panels are beside each other, and latencies are all shown
STYLES = {
    made.PLAIN: Style(), made.STRONG: Style(bold=True), made.DIM: Style(color="#8a95a1"),
    made.ZEROS: Style(color="#8a95a1"), made.GREY: Style(color="#a9b3bd"),
    made.BUYS: Style(color="#43b8dc"), made.SELLS: Style(color="#f5895f"),
    made.WARN: Style(color="#e2b74a", bold=True),
}  # fmt: skip
KEYS = " 1-9 market   left right next   / find   space pause   ? help   q quit"
HELP = """\
1 to 9           the market with this digit
left, p, up      the market before
right, n, down   the next market
/                find a market by a part of its name (Enter; Esc leaves)
space            pause, and go on; what is shown is of the past then
?                this page; Esc or ? leaves it
q                quit

● continuous   ◆ auction   ■ halted   ○ closed   ◐ pre-open   · remote
▲ a buyer took, or the price rose      ▼ a seller took, or it fell
in an auction: what would trade now; ▲ so much more to buy, ▼ to sell
▲ stale: no answer for 2 s; all that is shown is of the past, and greyed

It looks, and changes nothing."""
CSS = """
Screen { background: #12161a; color: #e6eaee; }
#panels { layout: grid; grid-size: 3 2; grid-columns: 26 11 1fr; grid-rows: 1fr 11;
          grid-gutter: 0 1; height: 1fr; }
#panels.tall { grid-rows: 1fr 17; }
#panels.small { grid-rows: 1fr 1fr; }
#panels.wide { grid-columns: 30 1fr 46; grid-rows: 1fr 9; }
#book, #tape { column-span: 2; }
.wide #book, .wide #tape { column-span: 1; }
.wide #daemon { column-span: 3; }
#head, #foot, #keys { height: 1; }
#find { display: none; height: 1; border: none; padding: 0; background: #1a1f25; }
.finding #find { display: block; }
.finding #keys { display: none; }
Help { align: center middle; }
Help Static { width: 76; height: auto; background: #1a1f25; padding: 1 2; }
"""

Make = Callable[[Seen, View, Size], list[Line]]


class News(Message):
    """The watcher has looked, or lost its connection."""


class Died(Message):
    """The watcher's thread has ended by an error of ours."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class Leave(Message):
    """A signal asks to leave."""


class Panel(Widget):
    """A part of the screen: lines, painted where they changed since."""

    def __init__(self, name: str, make: Callable[[Size], list[Line]]) -> None:
        super().__init__(id=name)
        self._make = make
        self._lines: list[Line] = []

    def look(self) -> None:
        """Paint anew, if anything is another than it was."""
        if self._make((self.size.width, self.size.height)) != self._lines:
            self.refresh()

    def render(self) -> Text:
        self._lines = self._make((self.size.width, self.size.height))
        shown = Text(no_wrap=True, end="")
        for n, line in enumerate(self._lines):
            if n:
                shown.append("\n")
            for part, look in line:
                shown.append(part, STYLES[look])
        return shown


class Help(ModalScreen[None]):
    """The keys, and what the signs mean."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter,space", "dismiss", "leave")
    ]

    def compose(self) -> ComposeResult:
        yield Static(HELP, markup=False)


class Top(App[None]):
    """What `top` shows until it is left. watcher: it has begun. died: what ended it, if anything
    did."""

    CSS = CSS
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None  # keys are the app's until a name is typed
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", "quit", priority=True),
        Binding("right,n,down", "step(1)", "next"),
        Binding("left,p,up", "step(-1)", "before"),
        Binding("slash", "find", "find"),
        Binding("space", "pause", "pause"),
        Binding("question_mark", "help", "help"),
        *(Binding(str(n), f"choose({n})") for n in range(1, made.NUMBER_MAX + 1)),
    ]

    def __init__(self, watcher: Watcher, told: str, clock: Clock, symbol: str = "") -> None:
        super().__init__()
        self.died: BaseException | None = None
        self._watcher = watcher
        self._told = told
        self._clock = clock
        self._seen = watcher.seen
        self._paused_ns: int | None = None
        self.symbol = symbol

    # --- life ---

    def compose(self) -> ComposeResult:
        yield Panel("head", self._making(made.head_lines))
        with Container(id="panels"):
            yield Panel("markets", self._making(made.market_lines))
            yield Panel("book", self._making(made.book_lines))
            yield Panel("tape", self._making(made.tape_lines))
            yield Panel("daemon", self._making(made.daemon_lines))
        yield Panel("foot", self._making(
            lambda seen, view, size: made.foot_lines(seen, self._told, view, size)
        ))  # fmt: skip
        yield Input(id="find", placeholder="a part of a market's name; Enter, Esc")
        yield Panel("keys", self._keys)

    def on_mount(self) -> None:
        self._arrange(self.size.width, self.size.height)
        self._choose(self.symbol)
        self._watcher.tell = lambda: self.post_message(News())
        self.set_interval(TICK_S, self._look)

    def thread_died(self, _name: str, error: BaseException) -> None:
        """Called on the watcher's thread."""
        self.post_message(Died(error))

    def leave(self) -> None:
        """As q does; a signal handler may call it."""
        self.post_message(Leave())

    def on_leave(self, _message: Leave) -> None:
        self.exit()

    def on_died(self, message: Died) -> None:
        self.died = message.error
        self.exit()

    def on_resize(self, event: Resize) -> None:
        self._arrange(event.size.width, event.size.height)

    def _arrange(self, width: int, height: int) -> None:
        panels = self.query_one("#panels")
        panels.set_class(width >= WIDE, "wide")
        panels.set_class(width < WIDE and height >= TALL, "tall")
        panels.set_class(height < LEAST[1], "small")
        self.call_after_refresh(self._look)

    def _keys(self, size: Size) -> list[Line]:
        """The keys; or that the terminal is too small for all that there is."""
        width, height = self.size.width, self.size.height
        span = (KEYS, made.DIM)
        if width < LEAST[0] or height < LEAST[1]:
            span = (f"made for 80 x 24 or more, this is {width} x {height}; q quits", made.WARN)
        return [made.cut([span], size[0])]

    # --- painting ---

    def on_news(self, _message: News) -> None:
        self._look()

    def _look(self) -> None:
        """Show what there is to see by now."""
        if self._paused_ns is None:
            self._seen = self._watcher.seen
        if self._seen.overview.row(self.symbol) is None:
            self._choose("")
        for panel in self.screen_stack[0].query(Panel):
            panel.look()

    def _making(self, make: Make) -> Callable[[Size], list[Line]]:
        return lambda size: make(self._seen, self._view(), size)

    def _view(self) -> View:
        clock = self._clock
        return View(self.symbol, self._paused_ns, clock.monotonic_ns(), clock.wall_ns())

    # --- keys ---

    def _choose(self, symbol: str) -> None:
        """Look at this market; at the first one if there is none such."""
        rows = self._seen.overview.markets
        if all(row.symbol != symbol for row in rows):
            symbol = rows[0].symbol if rows else ""
        self.symbol = symbol
        self._watcher.want(symbol, max(self.size.height, 1))

    def action_step(self, by: int) -> None:
        symbols = [row.symbol for row in self._seen.overview.markets]
        if symbols:
            self._choose(symbols[(symbols.index(self.symbol) + by) % len(symbols)])
            self._look()

    def action_choose(self, number: int) -> None:
        """The market that has this digit on the page."""
        rows = self._seen.overview.markets
        page = self.query_one("#markets").size.height - 1
        at = made.page_start(rows, self.symbol, page) + number - 1
        if number <= page and at < len(rows):
            self._choose(rows[at].symbol)
            self._look()

    def action_pause(self) -> None:
        paused = self._paused_ns is not None
        self._paused_ns = None if paused else self._clock.monotonic_ns()
        self._look()

    def action_help(self) -> None:
        self.push_screen(Help())

    def action_find(self) -> None:
        field = self.query_one("#find", Input)
        field.value = ""
        self.screen.add_class("finding")
        field.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the market of that name, else the first that begins with it, else that has it."""
        wanted = event.value.strip().upper()
        symbols = [row.symbol for row in self._seen.overview.markets]
        ranks = [
            (name.upper() != wanted, not name.upper().startswith(wanted), name)
            for name in symbols
            if wanted and wanted in name.upper()
        ]
        if ranks:
            self._choose(min(ranks)[2])
        elif wanted:
            self.notify(f"no market has {made.printable(wanted)} in its name", markup=False)
        self._leave_find()

    def on_key(self, event: object) -> None:
        if getattr(event, "key", "") == "escape":
            self._leave_find()

    def _leave_find(self) -> None:
        self.screen.remove_class("finding")
        self.set_focus(None)
        self._look()
