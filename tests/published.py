"""The tables that pages publish from the program: `python -m tests.published` writes them anew.

test_docs.py and test_rejects.py compare each page with its table.
"""

import re
from pathlib import Path

from oms.config import NAMED, SECTIONS
from oms.reject_reasons import published_table
from oms.setting_rules import Section, key_of, rules_of

ROOT = Path(__file__).resolve().parent.parent
SETTINGS_PAGE = ROOT / "docs" / "configuration.md"
REJECTS_PAGE = ROOT / "docs" / "reject-codes.md"
BEGIN, END = "<!-- settings -->\n", "<!-- end of settings -->\n"
AS_RISK = ("account", "group")  # their limits are those of [risk]
HEADERS = {"fees": "fees SYMBOL TIER", "instrument": "instrument SYMBOL"}


def settings_table() -> str:
    """Each section with its settings: default, and what a value may be."""
    sections: dict[str, type[Section]] = dict(SECTIONS)
    for name, (_, _, section) in NAMED.items():
        sections[HEADERS.get(name, f"{name} NAME")] = section
    risk = {key_of(name) for name in rules_of(SECTIONS["risk"])}
    rows = ["| section | setting | default | value |", "|---|---|---|---|"]
    for header, section in sections.items():
        made = section()
        for attribute, rule in rules_of(section).items():
            key = key_of(attribute)
            if header.split()[0] in AS_RISK and key in risk:
                continue
            default = _text(attribute, getattr(made, attribute))
            rows.append(f"| {header} | `{key}` | {default} | {rule.expected} |")
    return "\n".join(rows) + "\n"


def _text(attribute: str, value: object) -> str:
    """As a file would say it; nothing for what has no default of its own."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "`yes`" if value else "`no`"
    if attribute.endswith("_ns"):
        return f"`{int(str(value)) / 10**9:g}`"
    return f"`{value}`"


def published_settings(page: str) -> str:
    """The table as the page has it."""
    return page[page.index(BEGIN) + len(BEGIN) : page.index(END)].strip() + "\n"


def main() -> None:
    page = SETTINGS_PAGE.read_text(encoding="utf-8")
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    page = f"{page[:start]}\n{settings_table()}\n{page[end:]}"
    SETTINGS_PAGE.write_text(page, encoding="utf-8")
    page = REJECTS_PAGE.read_text(encoding="utf-8")
    table = re.compile(r"^\| reason \|.*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
    page = table.sub(lambda _: published_table().rstrip(), page)
    REJECTS_PAGE.write_text(page.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
