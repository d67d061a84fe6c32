"""Imports point down the layers of DESIGN.md; and each kind of outside has one door."""

import ast
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [
    {"errors", "clock", "enums", "money", "instruments", "reject_reasons", "market_data",
     "shared", "users", "version", "answers", "futures", "circuit"},
    {"requests"}, {"exchange", "reports", "responses", "positions", "pairs"},
    {"setting_rules", "sections", "idle", "config", "config_text"}, {"desk"},
    {"venues", "stores", "transport"}, {"turn"}, {"questions", "lookups", "manager"},
    {"gateways"}, {"roles"}, {"client"},
    {"aio"}, {"logs", "app", "cli", "commands", "simulation", "top", "__main__"},
]  # fmt: skip
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}
STRANGERS = {"venues", "stores"}  # of one level, and yet they do not know each other
CALENDAR = ("sections", "oms.desk.calendar")  # settings that know one thing of the desk
CONSTANTS = {"oms.clock.NANOS"}  # no reading of a clock
OF_THE_EXCHANGE = "oms.exchange.order"  # all that a report knows of it
DOORS = {  # what only these may use
    "time": {"clock.py"},
    "configparser": {"config_text.py"},
    "sqlite3": {
        "stores/archiving.py", "stores/inserts.py", "stores/schema.py", "stores/sqlite.py",
        "stores/sqlite_errors.py",
    },
    "fcntl": {"stores/lock.py"},
    "socket": {
        "app.py", "client/transport.py", "gateways/client.py", "gateways/connection.py",
        "gateways/control.py", "gateways/web/server.py",
    },
    "selectors": {"gateways/connection.py", "gateways/control.py"},
    "asyncio": {
        "aio.py", "client/client.py", "client/orders.py", "client/sockets.py", "client/streams.py",
        "gateways/web/bridge.py", "gateways/web/candles.py",
        "gateways/web/connections.py", "gateways/web/disconnects.py", "gateways/web/door.py",
        "gateways/web/ends.py", "gateways/web/frames.py", "gateways/web/guard.py",
        "gateways/web/hub.py", "gateways/web/lines.py", "gateways/web/server.py",
        "gateways/web/sockets.py", "gateways/web/watching.py",
    },
    "multiprocessing": set(), "concurrent.futures.thread": set(),
}  # fmt: skip
EXTRAS = {  # packages of others; everything else runs without them
    "jwt": {"gateways/tokens.py"}, "argon2": {"gateways/passwords.py"},
    "bcrypt": {"gateways/passwords.py"}, "pyarrow": {"commands/exporting.py"},
    "textual": {"top/screen.py"}, "rich": {"top/screen.py"},  # rich comes with textual
    "websockets": {"client/sockets.py", "gateways/web/frames.py"},
    "psycopg": {
        "stores/partitions.py", "stores/postgres.py", "stores/postgres_link.py",
        "stores/projection.py",
    },
    "redis": {"transport/sentinel.py", "transport/server.py"},
}  # fmt: skip
SPLIT = ("transport/", "roles/")  # what the extra `scale` brings beside redis is for these
WEB = "gateways/web/"  # what the extra `server` brings is for these files alone
FAMILY = {  # what a gateway knows of the library: what its users know, and what they may say
    "aio", "answers", "clock", "config", "enums", "errors", "gateways", "instruments", "manager",
    "market_data", "money", "positions", "questions", "reject_reasons", "reports",
    "requests", "responses", "sections", "shared", "users", "version",
}  # fmt: skip
# Of the turn a gateway knows the classes that the library answers in, who is told, the widths of
# candles, and what makes threads.
TOLD_IN = {"actions", "answer", "details", "movements", "history", "threads"}
# What a client knows of the library: the types that cross the network, and how to sign.
TYPES = {
    "answers", "client", "clock", "enums", "errors", "futures", "instruments", "market_data",
    "money", "pairs", "positions", "reject_reasons", "reports", "requests", "responses",
}  # fmt: skip
SIGNING = "oms.gateways.signatures"
CALLS = {  # and only these may call
    "Thread": {"turn/threads.py"},
    "now": set(), "utcnow": set(), "today": set(), "uuid4": set(),
}  # fmt: skip
FILES = {path.relative_to(ROOT / "oms").as_posix(): path for path in ROOT.glob("oms/**/*.py")}


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path, *, running=False):
    """Every module that a file imports, wherever in it; or only those it runs."""
    return tuple(_imports(tree_of(path), path, running))


def _imports(tree, path, running):
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for branch in node.body
        for inner in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if running and id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(name):
    """The module or package right under oms."""
    return name.split("/")[0].removesuffix(".py")


def file_of(module):
    """The file of ours that gives a name; None if it is somebody else's."""
    parts = module.split(".")
    for length in (len(parts), len(parts) - 1):
        place = "/".join(parts[1:length])
        for name in (f"{place}.py", f"{place}/__init__.py".removeprefix("/")):
            if parts[0] == "oms" and name in FILES:
                return name
    return None


def is_calendar(part, module):
    return part == CALENDAR[0] and module.startswith(CALENDAR[1])


def test_imports_point_down():
    """What matters most depends on least: the exchange knows nothing but words and requests."""
    wrong = []
    for name, path in FILES.items():
        part = part_of(name)
        for module in imports_of(path):
            package, _, rest = module.partition(".")
            if package != "oms" or part == "__init__" or is_calendar(part, module):
                continue
            other = rest.split(".")[0]
            down = other in LEVELS and LEVELS[other] <= LEVELS[part]
            if not down or (part != other and {part, other} == STRANGERS):
                wrong.append(f"{name} imports {module}")
    assert wrong == []
    assert set(LEVELS) == {part_of(name) for name in FILES} - {"__init__"}


def test_a_report_knows_orders_and_nothing_else_of_the_exchange():
    """They are of one layer: what happens to orders is told in reports, which tell of orders."""
    known = {m for m in imports_of(FILES["reports.py"]) if m.startswith("oms.exchange")}
    assert known == {f"{OF_THE_EXCHANGE}.Order"}
    order = [m for m in imports_of(FILES["exchange/order.py"]) if m.startswith("oms.reports")]
    assert order == []


def test_no_two_files_import_each_other():
    """Nor do more than two, in a circle; what only type checkers read does not count."""
    needs = {
        name: {file_of(module) for module in imports_of(path, running=True)} - {None, name}
        for name, path in FILES.items()
    }
    assert needs["turn/dispatcher.py"] > {"desk/desk.py", "stores/__init__.py", "clock.py"}
    while free := [name for name, others in needs.items() if not others]:
        for name in free:
            del needs[name]
        for others in needs.values():
            others.difference_update(free)
    assert needs == {}


def test_what_only_type_checkers_read_is_of_the_same_package():
    """A class and its helper may name each other's types; no layer names one above it so."""
    strangers = []
    for name, path in FILES.items():
        extra = set(imports_of(path)) - set(imports_of(path, running=True))
        strangers += [
            f"{name} imports {module}"
            for module in extra
            if part_of(file_of(module) or module) != part_of(name)
        ]
    assert strangers == []


def test_the_outside_has_few_doors():
    """Time, threads, files of settings, the database: each is met in one place."""
    wrong = []
    for name, path in FILES.items():
        for module in imports_of(path):
            for door, allowed in DOORS.items():
                if (module + ".").startswith(door + ".") and name not in allowed:
                    wrong.append(f"{name} imports {module}")
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if called in CALLS and name not in CALLS[called]:
                    wrong.append(f"{name}:{node.lineno} calls {called}()")
    assert wrong == []


def test_packages_of_others_are_optional():
    """The core is the standard library; the front door's packages stay in the front door."""
    known = {"oms", *sys.stdlib_module_names}
    strange = [
        f"{name} imports {module}"
        for name, path in FILES.items()
        for module in imports_of(path)
        if (top := module.split(".")[0]) not in known
        and name not in EXTRAS.get(top, ())
        and not (name.startswith(WEB) and top not in EXTRAS)
        and not (name.startswith(SPLIT) and top == "msgspec")
    ]
    assert strange == []
    into = {
        name
        for name, path in FILES.items()
        if not name.startswith(WEB)
        and any(module.startswith("oms.gateways.web") for module in imports_of(path))
    }
    assert into == {"app.py"}


def test_the_front_door_knows_the_public_family_alone():
    """Nothing of desk, dispatcher, store: what it asks, any user of the library can ask."""
    known = {
        module.split(".")[1]
        for name, path in FILES.items()
        if name.startswith(WEB)
        for module in imports_of(path)
        if module.startswith("oms.")
    }
    assert known <= FAMILY | {"turn"}
    of_turn = {
        part[2]
        for name, path in FILES.items()
        if name.startswith(WEB)
        for module in imports_of(path)
        if (part := module.split("."))[:2] == ["oms", "turn"]
    }
    assert of_turn <= TOLD_IN


def test_the_client_knows_types_alone():
    """Nothing that keeps an order: what a program of another machine has is what it was told."""
    known = {
        module
        for name, path in FILES.items()
        if name.startswith("client/")
        for module in imports_of(path)
        if module.startswith("oms.")
    }
    wrong = [each for each in known if each.split(".")[1] not in TYPES]
    assert [each for each in wrong if not each.startswith(SIGNING + ".")] == []
    pure = {m.split(".")[1] for m in imports_of(FILES["gateways/signatures.py"]) if m[:4] == "oms."}
    assert pure <= {"clock"}


def test_the_exchange_is_pure():
    """No time, threads, files, logging or chance: the same orders give the same reports."""
    pure = {
        "__future__", "bisect", "collections", "enum", "fractions", "math", "operator", "oms", "re",
        "typing",
    }  # fmt: skip
    used = {m for n, p in FILES.items() if n[:9] == "exchange/" for m in imports_of(p)}
    assert {module.split(".")[0] for module in used} <= pure
    assert {module for module in used if module.startswith("oms.clock")} <= CONSTANTS
