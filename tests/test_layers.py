"""Imports point down the layers of DESIGN.md; and each kind of outside has one door."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [
    {
        "errors", "clock", "money", "instruments", "messages", "requests", "controls", "reports",
        "orders", "bounds", "market_data", "sections", "config", "rejects", "language", "answers",
    },
    {"exchange"}, {"desk"}, {"venues", "stores"}, {"flow"}, {"manager"},
    {"logs", "app", "cli", "commands", "simulation"},
]  # fmt: skip
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}
STRANGERS = {"venues", "stores"}  # of one level, and yet they do not know each other
CALENDAR = ("sections", "oms.desk.session")  # a word that knows one thing of the desk
DOORS = {  # what only these may use
    "time": {"clock.py"},
    "configparser": {"config.py"},
    "sqlite3": {"stores/schema.py", "stores/sqlite.py"},
    "fcntl": {"stores/lock.py"},
    "asyncio": set(), "multiprocessing": set(), "concurrent.futures.thread": set(),
}  # fmt: skip
CALLS = {  # and only these may call
    "Thread": {"flow/threads.py"},
    "now": set(), "utcnow": set(), "today": set(), "uuid4": set(),
}  # fmt: skip
FILES = {path.relative_to(ROOT / "oms").as_posix(): path for path in ROOT.glob("oms/**/*.py")}


def imports_of(path):
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_calendar(part, module):
    return part == CALENDAR[0] and module.startswith(CALENDAR[1])


def test_imports_point_down():
    """What matters most depends on least: the exchange knows nothing but words."""
    wrong = []
    for name, path in FILES.items():
        part = name.split("/")[0].removesuffix(".py")
        for module in imports_of(path):
            package, _, rest = module.partition(".")
            if package != "oms" or part == "__init__" or _is_calendar(part, module):
                continue
            other = rest.split(".")[0]
            down = other in LEVELS and LEVELS[other] <= LEVELS[part]
            if not down or (part != other and {part, other} == STRANGERS):
                wrong.append(f"{name} imports {module}")
    assert wrong == []
    assert set(LEVELS) == {name.split("/")[0].removesuffix(".py") for name in FILES} - {"__init__"}


def test_the_outside_has_few_doors():
    """Time, threads, files of settings, the database: each is met in one place."""
    wrong = []
    for name, path in FILES.items():
        for module in imports_of(path):
            for door, allowed in DOORS.items():
                if (module + ".").startswith(door + ".") and name not in allowed:
                    wrong.append(f"{name} imports {module}")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if called in CALLS and name not in CALLS[called]:
                    wrong.append(f"{name}:{node.lineno} calls {called}()")
    assert wrong == []


def test_the_exchange_is_pure():
    """No time, threads, files, logging or chance: the same orders give the same events."""
    pure = {"__future__", "bisect", "collections", "enum", "oms", "typing"}
    used = {
        m.split(".")[0] for n, p in FILES.items() if n[:9] == "exchange/" for m in imports_of(p)
    }
    assert used <= pure
