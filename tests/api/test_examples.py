"""The examples in Python: a notebook, the tests of a project, and a web service. On a stand-in."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib.util
import inspect
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.standin import StandIn, serve

pytestmark = pytest.mark.thorough

EXAMPLES = Path(__file__).parents[2] / "examples" / "python"
NOTEBOOK = EXAMPLES / "notebook.ipynb"


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A stand-in, which is the server of LETTA_BASE_URL."""
    monkeypatch.chdir(tmp_path)
    with serve(StandIn()) as url:
        monkeypatch.setenv("LETTA_BASE_URL", url)
        yield url


# --- the notebook ----------------------------------------------------------------------------------------------------


async def run(source: str, names: dict[str, Any]) -> str:
    """Run a cell as a kernel does: in a running event loop, with `await` at the top. Returns what it prints."""
    code = compile(source, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        result = eval(code, names)
        if inspect.iscoroutine(result):
            await result
    return printed.getvalue()


def test_the_notebook_prints_what_it_shows(url: str) -> None:
    cells = [each for each in json.loads(NOTEBOOK.read_text())["cells"] if each["cell_type"] == "code"]
    names: dict[str, Any] = {}

    async def main() -> None:
        for cell in cells:
            expected = "".join(text for output in cell["outputs"] for text in output.get("text", ()))
            assert await run("".join(cell["source"]), names) == expected

    asyncio.run(main())


# --- the tests of a project ------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_the_tests_of_a_project_pass(url: str, tmp_path: Path) -> None:
    environment = {**os.environ, "LETTAFORM_TEST_URL": url, "PYTHONPATH": str(EXAMPLES.parents[1])}
    environment.pop("LETTA_BASE_URL")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / "pytest-project")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert [path.name for path in (EXAMPLES / "pytest-project" / "fleet").iterdir()] == ["lettaform.yaml"]
    left = [row for row in httpx.get(f"{url}/v1/agents/").json() if row]
    assert left == []


# --- the web service -------------------------------------------------------------------------------------------------


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_app", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_web_service_serves_several_customers_at_once(url: str) -> None:
    app = load(EXAMPLES / "asgi" / "app.py").app

    async def main() -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client:
            customers = [f"/customers/{name}" for name in ("ada", "bob", "cleo")]
            answers = await asyncio.gather(*map(client.put, customers))
            for answer in answers:
                lines = [json.loads(line) for line in answer.text.splitlines()]
                assert (answer.status_code, lines[-1]) == (200, {"event": "summary", "changed": True}), answer.text
                assert [line["event"] for line in lines].count("done") == lines[-2]["total"]
            again = await client.put(customers[0])
            assert again.json() == {"event": "summary", "changed": False}
            found = (await client.get(customers[1])).json()
            assert [each["address"] for each in found["objects"]] == [
                "agents.support",
                "agents.support.memory.human",
                "blocks.house-rules",
            ]
            assert (await client.get("/customers/Ada!")).status_code == 404
            assert (await client.delete(customers[2])).status_code == 409
            deleted = await asyncio.gather(*(client.delete(f"{each}?consent=yes") for each in customers))
            assert [each.json() for each in deleted] == [{"deleted": 3}] * 3

    asyncio.run(main())


def test_the_web_service_answers_where_the_server_does_not(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_BASE_URL", "http://127.0.0.1:9")
    app = load(EXAMPLES / "asgi" / "app.py").app

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service") as client:
            return await client.get("/customers/ada")

    answer = asyncio.run(main())
    assert (answer.status_code, "127.0.0.1:9" in answer.json()["error"]) == (502, True)
