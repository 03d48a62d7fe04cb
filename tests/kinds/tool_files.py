"""Tool files as people write them, and whether 0.16.8 creates the tool that is meant and can run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DOC = '"""Does it.\n\n    Args:\n        text (str): A text.\n    """'
TAIL = f"\ndef helper(text: str) -> str:\n    {DOC}\n    return text\n"
_MODEL = "from pydantic import BaseModel, Field\n\n\nclass P(BaseModel):\n    a: str\n\n\n"


def function(
    body: str = "return 'ok ' + text", *, takes: str = "text: str", before: str = "", word: str = "def", doc: str = DOC
) -> str:
    """The source of the function NAME, which is the one that is meant."""
    return f"{before}{word} NAME({takes}):\n    {doc}\n    {body}\n"


def schema(**words: Any) -> dict[str, Any]:
    """A `json_schema` of the function."""
    properties = {"text": {"type": "string", "description": "A text."}}
    arguments = {"type": "object", "properties": properties, "required": ["text"]}
    return {"name": "NAME", "description": "Does it.", "parameters": arguments} | words


@dataclass(frozen=True)
class ToolFile:
    """A source in which NAME is the function that is meant.

    derived    the problem if the server derives the schema; None: it works
    described  the problem if `json_schema` is given; None: it works
    """

    source: str
    derived: str | None = None
    described: str | None = None


_NESTED = (
    f"def NAME(text: str):\n    {DOC}\n    def inner(each):\n        return each\n    return 'ok ' + inner(text)\n"
)
_CLASS = "class Box:\n    def get(self):\n        return 'ok '\n\n\n"
_DECORATOR = (
    "import functools\n\n\ndef twice(call):\n    @functools.wraps(call)\n    def wrapped(**words):\n"
    "        return call(**words)\n    return wrapped\n\n\n@twice\n"
)
_MAIN = "\n\nif __name__ == '__main__':\n    print(len('x'))\n"
_POSITION = "source: `NAME` takes `text` by its position, and the server gives arguments by name"
_FUTURE = "source: imports from `__future__`: the server puts lines above the source, and cannot run it"


def _nested(name: str) -> str:
    return f"source: the server uses the nested function `{name}` as the tool"


def _doubt(used: str, meant: str) -> str:
    return f"source: the server uses `{used}` as the tool, and `{meant}` may be meant"


FILES = {
    "one function": ToolFile(function()),
    "a private helper above": ToolFile(
        function("return 'ok ' + _same(text)", before="def _same(each):\n    return each\n\n\n")
    ),
    "an undocumented helper above": ToolFile(
        function("return 'ok ' + same(text)", before="def same(each):\n    return each\n\n\n")
    ),
    "a documented function above": ToolFile(
        function("return 'ok ' + text", before=TAIL.lstrip() + "\n\n"), _doubt("NAME", "helper")
    ),
    "a helper below": ToolFile(function("return 'ok ' + helper(text)") + TAIL, _doubt("helper", "NAME")),
    "a private helper below": ToolFile(
        function("return 'ok ' + _helper(text)") + TAIL.replace("helper", "_helper"), _doubt("_helper", "NAME")
    ),
    "an undocumented helper below": ToolFile(
        function("return 'ok ' + helper(text)") + "\n\ndef helper(each):\n    return each\n", _doubt("helper", "NAME")
    ),
    "an async helper below": ToolFile(function() + "\n\nasync def helper(each):\n    return each\n"),
    "a nested helper": ToolFile(_NESTED, _nested("inner")),
    "a nested lambda": ToolFile(function("return (lambda each: 'ok ' + each)(text)")),
    "a class with methods above": ToolFile(function("return Box().get() + text", before=_CLASS), _nested("get")),
    "a class with methods below": ToolFile(
        function("return Box().get() + text") + "\n\n" + _CLASS.rstrip() + "\n", _nested("get")
    ),
    "a class without methods": ToolFile(
        function("return Box.word + text", before="class Box:\n    word = 'ok '\n\n\n")
    ),
    "a decorator of the file": ToolFile(function(before=_DECORATOR), _nested("wrapped")),
    "a decorator of a library": ToolFile(function(before="import functools\n\n\n@functools.lru_cache\n")),
    "async": ToolFile(
        function(word="async def"), "source: defines only `async def NAME`, and the server derives no schema from it"
    ),
    "async above a private helper": ToolFile(
        function(word="async def") + "\n\ndef _helper(each):\n    return each\n", _doubt("_helper", "NAME")
    ),
    "no docstring": ToolFile("def NAME(text):\n    return 'ok ' + text\n", "source: `NAME` has no docstring"),
    "a block for the command line": ToolFile(function() + _MAIN),
    "the function inside try": ToolFile(
        "try:\n    " + function().replace("\n", "\n    ").rstrip() + "\nexcept ImportError:\n    pass\n"
    ),
    "an import from __future__": ToolFile(
        "from __future__ import annotations\n\n\n" + function(), derived=_FUTURE, described=_FUTURE
    ),
    "a required parameter after a star": ToolFile(
        function(takes="*, text: str"),
        "source: the server leaves `text` out of the schema of `NAME`, because it follows a `*`",
    ),
    "a parameter by position": ToolFile(function(takes="text: str, /"), derived=_POSITION, described=_POSITION),
    "a function made by a lambda": ToolFile("NAME = lambda text: 'ok ' + text\n", "source: defines no function"),
    "a method alone": ToolFile(
        f"class Tool:\n    def NAME(self, text: str):\n        {DOC}\n        return 'ok ' + text\n",
        _nested("NAME"),
        "json_schema.name: the source defines no function `NAME`",
    ),
    "another name": ToolFile(
        function().replace("NAME", "NAME_other"), described="json_schema.name: the source defines no function `NAME`"
    ),
}

HINTS = {
    "a union with None": (
        function(takes="text: str | None = None"),
        "write `text: Optional[str]` in place of `text: str | None`",
        function(takes="text: Optional[str] = None"),
    ),
    "a Union with None": (
        function(takes="text: Union[str, None]", before="from typing import Union\n\n\n"),
        "write `text: Optional[str]` in place of `text: Union[str, None]`",
        function(takes="text: Optional[str]"),
    ),
    "a quoted type": (
        function(takes="text: 'str'"),
        "write `text: str` in place of `text: 'str'`",
        function(),
    ),
    "a type of the module typing": (
        function(takes="text: typing.Optional[str]", before="import typing\n\n\n"),
        "write `text: Optional[str]` in place of `text: typing.Optional[str]`",
        function(takes="text: Optional[str]", before="import typing\n\n\n"),
    ),
    "types inside a dict": (
        function("return 'ok x'", takes="text: dict[str, str]"),
        "write `text: dict` in place of `text: dict[str, str]`",
        function("return 'ok x'", takes="text: dict"),
    ),
    "a missing type": (
        function(takes="text"),
        "add the type of `text`, such as `text: str`",
        function(),
    ),
    "a missing entry": (
        function(doc='"""Does it."""'),
        "describe `text` in the docstring: a line `text: …` below `Args:`",
        function(doc='"""Does it.\n\n    Args:\n        text: A text.\n    """'),
    ),
    "an empty entry": (
        function(doc='"""Does it.\n\n    Args:\n        text:\n    """'),
        "describe `text` in the docstring: a line `text: …` below `Args:`",
        function(doc='"""Does it.\n\n    Args:\n        text: A text.\n    """'),
    ),
    "a model without descriptions": (
        function(takes="text: P", before=_MODEL),
        'describe `a` of `P`: `a: str = Field(description="…")`',
        function(
            takes="text: P",
            before=_MODEL.replace("a: str", 'a: str = Field(description="…")'),
        ),
    ),
}
"""A source for which the server derives no schema, the hint, and the source that follows the hint."""

_ENUM = "from enum import Enum\n\n\nclass Color(Enum):\n    RED = 'x'\n\n\n"
UNKNOWN_TYPES = {
    "Color": _ENUM,
    "datetime": "from datetime import datetime\n\n\n",
    "Union[str, int]": "from typing import Union\n\n\n",
    "int | str": "",
    "tuple[int, int]": "",
    "set[str]": "",
    "bytes": "",
    "Any": "from typing import Any\n\n\n",
    "Annotated[str, 'x']": "from typing import Annotated\n\n\n",
    "list[str | int]": "",
}
"""Types of which the server knows no schema, and what stands above the function."""
