"""The methods of Stack to `lettaform/api/aio.py`: the same methods for `async` programs."""

from __future__ import annotations

import ast
from pathlib import Path

STACK = Path(__file__).parents[1] / "lettaform" / "api" / "stack.py"
HEAD = '''\
"""The methods of Stack for `async` programs. Made by `python -m scripts.generate`: change `stack.py`, not this file."""

# ruff: noqa: E501, I001
# fmt: off
from __future__ import annotations

'''
CLASS = '''

class AsyncStack:
    """The methods of a Stack for `async` programs. Each runs in a thread of its own, with an event loop of its own.

    So the event loop of the program goes on, also while a plan is computed and while files are read. A method whose
    task is cancelled begins no other step, releases the lock, and then raises CancelledError. Functions that are given,
    such as `consent`, are called in that thread.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
'''
ITERATORS = {"Applying": "run_of", "Sending": "talk_of"}
"""A class of iterators to the function that makes what it iterates: a method that returns one is not async itself."""


def module() -> str:
    """The text of the module."""
    tree = ast.parse(STACK.read_text("utf-8"))
    (stack,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Stack")
    methods = [each for each in stack.body if isinstance(each, ast.FunctionDef) and not _is_property(each)]
    overloaded = {each.name for each in methods if each.decorator_list}
    text = "\n".join(_method(each, each.name in overloaded) for each in methods)
    return HEAD + _imports(tree, text) + CLASS + text


def _is_property(method: ast.FunctionDef) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "property" for each in method.decorator_list)


def _imports(tree: ast.Module, text: str) -> str:
    """The imports of `stack.py` that the twin needs, too."""
    used = {node.id for node in ast.walk(ast.parse("if True:\n" + text)) if isinstance(node, ast.Name)}
    iterators = [f"Async{name}" for name in ITERATORS]
    found: dict[str, list[str]] = {"lettaform.api.events": iterators, "lettaform.session.blocking": ["awaited"]}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module != "__future__":
            names = [each.name for each in node.names if each.name in used]
            found.setdefault(node.module, []).extend(names)
    found["lettaform.api.stack"] = ["Stack", *sorted(used & _defined(tree))]
    # constants first, as ruff wants them
    every = {name: sorted(set(names), key=lambda word: (not word.isupper(), word)) for name, names in found.items()}
    lines = [f"from {name} import {', '.join(names)}" for name, names in every.items() if names]
    standard = sorted(line for line in lines if not line.startswith("from lettaform"))
    ours = sorted(line for line in lines if line.startswith("from lettaform"))
    return "\n".join([*standard, "", *ours]) + "\n"


def _defined(tree: ast.Module) -> set[str]:
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assigned = (node for node in tree.body if isinstance(node, ast.Assign))
    return names | {target.id for node in assigned for target in node.targets if isinstance(target, ast.Name)}


def _method(method: ast.FunctionDef, overloaded: bool) -> str:
    returns = ast.unparse(method.returns) if method.returns else "None"
    iterates = returns in ITERATORS
    begin, answer = ("", f"Async{returns}") if iterates else ("async ", returns)
    head = f"{begin}def {method.name}({ast.unparse(method.args)}) -> {answer}:"
    if method.decorator_list:
        return f"\n    @overload\n    {head} ..."
    doc = ast.get_docstring(method, clean=False) or ""
    if iterates:
        body = f"return Async{returns}({ITERATORS[returns]}(self._stack, {_given(method)}))"
    else:
        body = f"return await awaited(lambda: self._stack.{method.name}({_given(method)}))"
    ignored, call = ("  # type: ignore[misc]", "  # type: ignore[call-overload]") if overloaded else ("", "")
    return f'\n    {head}{ignored}\n        """{doc}"""\n        {body}{"" if iterates else call}\n'


def _given(method: ast.FunctionDef) -> str:
    """The arguments of a method as it hands them on."""
    named = method.args
    places = [each.arg for each in (*named.posonlyargs, *named.args) if each.arg != "self"]
    if method.returns and ast.unparse(method.returns) in ITERATORS:
        return ", ".join([*places, named.kwarg.arg if named.kwarg else "{}"])
    stars = [f"*{named.vararg.arg}"] if named.vararg else []
    words = [f"{each.arg}={each.arg}" for each in named.kwonlyargs]
    return ", ".join([*places, *stars, *words, *([f"**{named.kwarg.arg}"] if named.kwarg else [])])
