"""People at the console: each with a browser of their own, at one daemon.

What they see and press is found as a screen reader finds it: by role and name.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from tests.console.browsing import Watched
from tests.web.served import PROGRAM, Daemon, Session

WIDE = {"width": 1440, "height": 900}


class Exchange:
    """A daemon, and the people who look at it. changes: settings by section."""

    def __init__(
        self, browser: Browser, watch: Watched, directory: Path,
        changes: Mapping[str, Mapping[str, str]],
    ) -> None:  # fmt: skip
        self._browser, self._watch = browser, watch
        self._directory, self._changes = directory, dict(changes)
        self._people: list[Person] = []
        self.daemon = Daemon(directory, self._changes)
        self.url = self.daemon.url

    def close(self) -> None:
        for each in self._people:
            each.page.context.close()
        self.daemon.__exit__(None, None, None)

    def restart(self) -> None:
        """kill -9, and the same again at the same address."""
        self.daemon.__exit__(None, None, None)
        listen = self.url.partition("//")[2]
        web = {**self._changes.get("web", {}), "listen": listen}
        self.daemon = Daemon(self._directory, {**self._changes, "web": web})
        assert self.daemon.url == self.url

    def person(self, name: str, *, role: str = "", **options: Any) -> "Person":
        """Signed up over REST; their page is not open yet. role: as the daemon's owner gives it.
        options: of the browser, such as color_scheme and viewport."""
        self.daemon.sign_up(name)
        if role:
            command = [
                sys.executable, str(PROGRAM), "--data-dir", str(self._directory), "user", "role",
                name, role,
            ]  # fmt: skip
            subprocess.run(command, check=True, capture_output=True)
        options.setdefault("viewport", WIDE)
        context = self._watch.context(self._browser, self.url, **options)
        self._people.append(Person(name, self._watch.page(context), self.daemon.signed_in(name)))
        return self._people[-1]


class Person:
    """One who sits at the console. rest: the same user over REST."""

    def __init__(self, name: str, page: Page, rest: Session) -> None:
        self.name, self.page, self.rest = name, page, rest
