"""The program's `serve` as a process of its own, as a user starts it."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import httpx

from tests.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "order_management.py"
ANSWER_S = 30.0
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({packages!r}))
sys.path.insert(0, {root!r})
sys.argv[0] = {program!r}
from oms.cli import main
sys.exit(main())
"""


class Served:
    """`serve` in `directory`, on free ports; dead when the `with` block ends.

    without: packages that are not installed, for all that it knows.
    """

    def __init__(
        self, directory: Path, *options: object, without: tuple[str, ...] = (),
        listen: str = "127.0.0.1:0",
    ) -> None:  # fmt: skip
        start = [sys.executable, str(PROGRAM)]
        if without:
            text = WITHOUT.format(packages=without, root=str(ROOT), program=str(PROGRAM))
            start = [sys.executable, "-c", text]
        listening = ["--listen", listen] if listen else []
        directory.mkdir(exist_ok=True)
        self.out_path, self.errors_path = directory / "out.txt", directory / "errors.txt"
        with self.out_path.open("w") as out, self.errors_path.open("w") as errors:
            self.process = subprocess.Popen(
                [*start, "serve", *listening, *map(str, options)], cwd=directory, stdout=out,
                stderr=errors, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def __enter__(self) -> "Served":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def told(self) -> str:
        return self.out_path.read_text(encoding="utf-8")

    @property
    def errors(self) -> str:
        return self.errors_path.read_text(encoding="utf-8")

    def wait_for(self, text: str) -> str:
        """All that it has printed, once that is in it."""
        wait_until(lambda: text in self.told or self.process.poll() is not None)
        assert text in self.told, self.told + self.errors
        return self.told

    @property
    def urls(self) -> list[str]:
        return re.findall(r"https?://[^\s/;,']+", self.told)

    def curl(self, number: int) -> httpx.Response:
        """Do what a printed line of curl says."""
        line = [line for line in self.told.splitlines() if line.startswith("curl ")][number]
        words = shlex.split(line)[1:]
        url = words.pop(0)
        options = dict(zip(words[::2], words[1::2], strict=True))
        headers = dict([options["-H"].split(": ", 1)]) if "-H" in options else {}
        if "-d" not in options:
            return httpx.get(url, headers=headers, timeout=ANSWER_S)
        headers["content-type"] = "application/x-www-form-urlencoded"  # as curl sends it
        return httpx.post(url, headers=headers, content=options["-d"], timeout=ANSWER_S)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Its exit code, once it has stopped in order."""
        self.process.send_signal(number)
        return self.process.wait(30)
