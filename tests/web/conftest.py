"""The front door's own packages are an extra: without them its tests are skipped."""

import pytest

for package in ("starlette", "uvicorn", "msgspec", "websockets", "jwt", "httpx"):
    pytest.importorskip(package)
