"""Between: a line between clients and a server, which a test cuts, or which loses an answer.

It keeps its address while servers come and go behind it, as a host name would.
"""

import asyncio
import threading
from contextlib import suppress
from urllib.parse import urlsplit

CHUNK_BYTES = 65_536


class Between:
    """url: of the server; it may be set anew at any time. loses: so many next answers reach nobody.
    connections: how many were made."""

    def __init__(self, url: str = "") -> None:
        self.server_url = url
        self.loses = self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        target = urlsplit(self.server_url)
        try:
            behind_reader, behind = await asyncio.open_connection(target.hostname, target.port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, behind}
        self._writers |= both
        await asyncio.gather(
            self._pump(reader, behind, both, False), self._pump(behind_reader, writer, both, True)
        )
        self._writers -= both

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        both: set[asyncio.StreamWriter], answers: bool,
    ) -> None:  # fmt: skip
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if answers and self.loses:
                    self.loses -= 1
                    break
                writer.write(data)
                await writer.drain()
        for each in both:
            each.transport.abort()

    def cut(self) -> None:
        """Every connection, at once."""

        async def abort() -> None:
            for each in self._writers:
                each.transport.abort()

        asyncio.run_coroutine_threadsafe(abort(), self._loop).result(10)

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            for each in self._writers:
                each.transport.abort()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others:
                await asyncio.wait(others, timeout=5)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
