"""The page of a plan in a browser: its style is allowed, nothing runs, and nothing is wider than the screen."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lettaform.render import drawing, html

from .fleets import mixed
from .hostile import TEXTS, plan
from .test_graph import HOSTILE, a_graph

WIDTHS = (1280, 390)

HARNESS = """<!DOCTYPE html><body>%s<pre id="found"></pre><script>
onload = () => setTimeout(() => {
  const found = [...document.querySelectorAll("iframe")].map((frame) => {
    const page = frame.contentDocument, root = page.documentElement;
    for (const each of page.querySelectorAll("details")) each.open = true;
    const style = (name) => frame.contentWindow.getComputedStyle(page.querySelector(name));
    return {
      width: root.scrollWidth, visible: root.clientWidth, title: page.title, scripts: page.scripts.length,
      styled: style("pre").overflowX, columns: style("main").display,
      cut: [...page.querySelectorAll("body *")].filter((each) => !each.closest("svg, .table"))
        .filter((each) => each.getBoundingClientRect().right > root.clientWidth + 1).length,
    };
  });
  document.getElementById("found").textContent = JSON.stringify(found);
}, 100);
</script>"""


def measured(page: Path, arguments: list[str]) -> tuple[list[dict[str, object]], str]:
    """What a browser says of a page, at each of the widths, and what it logs."""
    frames = "".join(
        f'<iframe src="{page.name}" style="width:{width}px;height:900px;border:0"></iframe>' for width in WIDTHS
    )
    harness = page.with_name("harness.html")
    harness.write_text(HARNESS % frames, encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files"]
    options += ["--enable-logging=stderr", f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=2000"]
    done = subprocess.run(
        [*arguments, *options, "--dump-dom", harness.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stdout
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")), done.stderr


@pytest.fixture
def chromium() -> str:
    """The program. It may be installed while other tests run."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs the program chromium, of the Debian package chromium: `.ci/run` installs it")
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["mixed", "script", "attribute", "many ticks"])
def test_the_page_in_a_browser(name: str, tmp_path: Path, chromium: str) -> None:
    shown = mixed() if name == "mixed" else plan(TEXTS[name])
    page = tmp_path / "plan.html"
    page.write_text(html.plan(shown), encoding="utf-8")
    found, log = measured(page, [chromium])
    assert [each["visible"] for each in found] == [*WIDTHS]
    assert [each["width"] for each in found] == [*WIDTHS]
    assert [each["cut"] for each in found] == [0, 0]
    assert [each["columns"] for each in found] == ["grid", "block"]
    assert {each["styled"] for each in found} == {"hidden"}
    assert {each["scripts"] for each in found} == {0}
    assert "Content Security Policy" not in log


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["plain", *HOSTILE[:3]])
def test_the_page_of_a_graph_in_a_browser(name: str, tmp_path: Path, chromium: str) -> None:
    page = tmp_path / "graph.html"
    page.write_text(drawing.page(a_graph(name, f"{name} 2")), encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [chromium, *options, "--enable-logging=stderr", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.count("<rect") > 3
    assert "<script" not in done.stdout
    assert "Content Security Policy" not in done.stderr
