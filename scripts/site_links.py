"""A hook of mkdocs: links to files of the repository outside `docs/`, which the site lacks, become their text."""

from __future__ import annotations

import re
from typing import Any

_LINK = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+)[^)]*\)")


def within(markdown: str, depth: int) -> str:
    """The text of a page without links out of `docs/`. `depth`: number of folders between `docs/` and the page."""
    return _LINK.sub(lambda link: link[1] if link[2].count("/") > depth else link[0], markdown)


def on_page_markdown(markdown: str, page: Any, **more: Any) -> str:
    """Called by mkdocs with the text of each page."""
    return within(markdown, page.file.src_uri.count("/"))
