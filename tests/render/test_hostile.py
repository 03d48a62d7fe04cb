"""Hostile texts have no effect in any format of a plan. The parser of Markdown is the one that rich brings."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from lettaform.cli.formats import FORMATS, document
from lettaform.model import FieldChange, Plan
from lettaform.plan.saved import approval
from lettaform.render import html, markdown

from .hostile import TEXTS, plan
from .samples import SENTINEL, hidden, of, update

HARMLESS = "harmless"
MEGABYTE = 1_000_000
COMMANDS = re.compile(r"^\s*::[A-Za-z]|##\w*\[", re.MULTILINE)
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e0fff]"
)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", TEXTS)
def test_no_format_has_a_command_or_an_invisible_character(name: str, form: str) -> None:
    shown = document(plan(TEXTS[name]), form, verbose=True)
    assert COMMANDS.findall(shown) == []
    assert INVISIBLE.findall(shown) == []
    shown.encode("utf-8")


@pytest.mark.parametrize("name", TEXTS)
def test_json_is_lossless_and_can_stand_in_a_page(name: str) -> None:
    shown = document(plan(TEXTS[name]), "json")
    assert json.loads(shown)["environment"] == TEXTS[name]
    assert shown.isascii()
    assert not {"<", ">"} & set(shown)


# --- HTML ------------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))
        if tag not in ("meta", "br", "rect", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "path") and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)

    def handle_comment(self, data: str) -> None:
        self.wrong.append(data)

    def unknown_decl(self, data: str) -> None:
        self.wrong.append(data)


ELEMENTS = (
    *("html", "head", "meta", "title", "style", "body", "header", "main", "aside", "section", "div", "span", "p", "ul"),
    *("li", "br", "h1", "h2", "h3", "b", "strong", "small", "code", "pre", "ins", "del", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td", "svg", "g", "rect", "text", "path"),
)
ATTRIBUTES = {
    *("lang", "charset", "name", "content", "http-equiv", "class", "open", "viewbox", "role", "aria-label", "d"),
    *("x", "y", "width", "height", "rx"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_html_has_only_the_elements_and_attributes_of_the_page(name: str) -> None:
    page = Page(html.plan(plan(TEXTS[name])))
    harmless = Page(html.plan(plan(HARMLESS)))
    assert (page.wrong, page.open) == ([], [])
    assert {tag for tag, _ in page.elements} <= set(ELEMENTS)
    assert {word for _, attrs in page.elements for word, _ in attrs} <= ATTRIBUTES
    policies = [attrs for tag, attrs in page.elements if ("http-equiv", "Content-Security-Policy") in attrs]
    assert policies == [attrs for _, attrs in harmless.elements if ("http-equiv", "Content-Security-Policy") in attrs]
    values = {value for _, attrs in page.elements for word, value in attrs if word == "class"}
    assert not [value for value in values if not re.fullmatch(r"[a-z ]*", value or "")]


def test_html_requests_nothing_and_allows_only_its_own_style() -> None:
    page = html.plan(plan(HARMLESS))
    assert not re.search(r"https?:|url\(|@import|src=|href=|style=|<script| on\w+=", page)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert policy.startswith(f"default-src 'none'; style-src '{html._hash(style)}'; ")
    assert "unsafe" not in policy


# --- Markdown --------------------------------------------------------------------------------------------------------


def tokens(text: str) -> Iterator[Token]:
    """All tokens of a Markdown text, also those inside of lines."""
    for token in MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text):
        yield token
        yield from token.children or ()


SPECIAL = re.compile(r"[@#/<&:][A-Za-z]|\d[#!]|[A-Z]-\d|www|http|evil|octocat|everyone|alert|bold|tada")


@pytest.mark.parametrize("name", TEXTS)
def test_markdown_has_the_hostile_text_in_code_alone(name: str) -> None:
    shown = markdown.plan(plan(TEXTS[name]))
    found = list(tokens(shown))
    outside = [token.content for token in found if token.type == "text"]
    assert [text for text in outside if SPECIAL.search(text)] == []
    assert {token.type for token in found if token.type.startswith(("link", "image", "s_", "em"))} == set()
    assert [token.tag for token in found if token.type == "heading_open"] == ["h3"]
    assert {token.type for token in found} <= {token.type for token in tokens(markdown.plan(plan(HARMLESS)))} | {
        *("softbreak", "text", "paragraph_open", "paragraph_close", "inline", "code_inline"),
    }
    for kind in ("fence", "td_open", "blockquote_open", "bullet_list_open"):
        number = sum(token.type == kind for token in tokens(markdown.plan(plan(HARMLESS))))
        assert sum(token.type == kind for token in found) == number, kind


@pytest.mark.parametrize("name", TEXTS)
def test_html_in_markdown_is_what_folds_and_its_text_is_code(name: str) -> None:
    shown = markdown.plan(plan(TEXTS[name]))
    blocks = [token.content for token in tokens(shown) if token.type in ("html_block", "html_inline")]
    assert blocks[0] == shown.splitlines()[0] + "\n"
    assert re.fullmatch(r"<!-- lettaform plan( \w+=[\w.%~-]*)* -->\n", blocks[0], re.ASCII)
    page = Page("".join(blocks[1:]))
    assert (page.wrong, page.open) == ([], [])
    assert {tag for tag, _ in page.elements} <= {"details", "summary", "code", "p"}
    assert {attrs for _, attrs in page.elements} <= {(), (("open", None),)}
    bare = re.sub(r"<code>[^<]*</code>", "", "".join(blocks[1:]))
    assert not SPECIAL.search(re.sub(r"<[^>]*>", " ", bare))


def test_the_comments_of_a_stack_are_told_apart_by_environment() -> None:
    of_stack = [of(stack="a b", environment=name) for name in (None, "prod", "test-->")]
    assert [markdown.marker(each, "1") for each in of_stack] == [
        "<!-- lettaform plan stack=a%20b digest=1 -->",
        "<!-- lettaform plan stack=a%20b environment=prod digest=1 -->",
        "<!-- lettaform plan stack=a%20b environment=test--%3E digest=1 -->",
    ]
    assert all(markdown.plan(each).startswith(f"{markdown.marker(each, approval(each))}\n") for each in of_stack)


# --- every format ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("verbose", [False, True])
def test_no_format_shows_a_secret(form: str, verbose: bool) -> None:
    assert SENTINEL not in document(hidden(), form, verbose=verbose)


LONG = {
    "word": ("x" * MEGABYTE, "x" * MEGABYTE + "y"),
    "ticks": ("`" * MEGABYTE, "`" * MEGABYTE + "\n"),
    "words": ("a b " * (MEGABYTE // 4), "a c " * (MEGABYTE // 4)),
    "lines": ("x\n" * (MEGABYTE // 4), "y\n" * (MEGABYTE // 4)),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize(("form", "most"), [("markdown", 60_000), ("html", 150_000)])
def test_a_megabyte_is_shown_in_part(name: str, form: str, most: int) -> None:
    old, new = LONG[name]
    changed = of(update("agents.a", FieldChange("system", old, new)))
    created = of(*(update(f"agents.{key}", FieldChange("system", None, new)) for key in "bc"))
    for each in (changed, created):
        assert len(document(each, form)) < most


@pytest.mark.parametrize("form", FORMATS)
def test_a_line_of_a_megabyte_takes_little_time(form: str) -> None:
    long = plan("x" * 10_000)
    started = time.process_time()
    document(replaced(long), form)
    assert time.process_time() - started < 5


def replaced(long: Plan) -> Plan:
    old, new = LONG["word"]
    return of(*long.changes, update("agents.long", FieldChange("system", old, new)))
