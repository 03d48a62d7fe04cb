"""The Python source of a tool to its functions, the one that the server uses, and hints why it derives no schema."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What `ast.parse` raises."""

_INJECTED = frozenset({"self", "agent_state"})
"""Parameters that the server leaves out of the schema that it derives (0.16.8)."""
_FILLED = _INJECTED | {"agent_id"}
"""Parameters that the server fills, whether or not the schema has them (0.16.8)."""
_SIMPLE = frozenset({"str", "int", "bool", "float", "list", "dict", "List", "Dict"})
"""Names of types for which 0.16.8 derives a schema."""
_SUBSCRIPTED = frozenset({"Optional", "List", "Dict", "Literal", "list", "dict"})
"""Names that 0.16.8 understands in front of `[`, however the source imports them."""
_SCHEMA = "describe the arguments in `args_json_schema`, or the whole function in `json_schema`"


# --- functions -------------------------------------------------------------------------------------------------------


def tool_function(tree: ast.Module) -> ast.FunctionDef | None:
    """The function that 0.16.8 uses as the tool: the last one in breadth-first order, without `async` functions."""
    return next((node for node in reversed([*ast.walk(tree)]) if isinstance(node, ast.FunctionDef)), None)


def functions(tree: ast.Module) -> list[Function]:
    """The functions that a call by name reaches: those of the module, and not those inside functions and classes."""
    return [node for node in _statements(tree.body) if isinstance(node, Function)]


def names(tree: ast.Module) -> frozenset[str] | None:
    """Every name of the module that may be a function; None if it imports names that the source does not say."""
    found = {each.name for each in functions(tree)}
    for node in _statements(tree.body):
        match node:
            case ast.Assign(targets=targets):
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.Import(names=imported) | ast.ImportFrom(names=imported):
                found |= {alias.asname or alias.name for alias in imported}
    return None if "*" in found else frozenset(found)


def future_import(tree: ast.Module) -> ast.ImportFrom | None:
    """The first `from __future__ import …`. 0.16.8 runs the source below lines of its own: Python refuses it there."""
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    return next((node for node in imports if node.module == "__future__"), None)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, also those inside `if`, `try`, `with` and loops."""
    for node in body:
        yield node
        if isinstance(node, Function | ast.ClassDef):
            continue
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.stmt):
                yield from _statements([inner])
            elif isinstance(inner, ast.ExceptHandler | ast.match_case):
                yield from _statements(inner.body)


# --- parameters ------------------------------------------------------------------------------------------------------


def parameters(function: Function) -> list[str]:
    """The parameters that callers give by name."""
    given = (*function.args.args, *function.args.kwonlyargs)
    return [each.arg for each in given if each.arg not in _INJECTED]


def nameless(function: Function) -> list[str]:
    """The parameters that cannot be given by name. 0.16.8 gives every argument by name."""
    return [each.arg for each in function.args.posonlyargs]


def required(function: Function) -> list[str]:
    """The parameters without which a call fails."""
    given = function.args.args[: len(function.args.args) - len(function.args.defaults)]
    return [each for each in (*(arg.arg for arg in given), *left_out(function)) if each not in _FILLED]


def takes_all(function: Function) -> bool:
    """Whether the function may take arguments that its parameters do not name."""
    return bool(function.args.kwarg or function.decorator_list)


def left_out(function: Function) -> list[str]:
    """The required parameters that 0.16.8 leaves out of the schema that it derives: those after a `*`."""
    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return [each.arg for each, default in pairs if default is None]


def unread_default(function: Function) -> tuple[str, str, str] | None:
    """A parameter with its default, and a later one, for which 0.16.8 derives no schema: it reads only literals.

    A parameter whose default it cannot read has none, and may not follow one that has.
    """
    arguments, defaults = function.args.args, function.args.defaults
    last = arguments[len(arguments) - len(defaults) :]
    pairs = [(each.arg, default) for each, default in zip(last, defaults, strict=True) if each.arg not in _INJECTED]
    read = [_is_literal(default) for _, default in pairs]
    for index, (name, default) in enumerate(pairs):
        if not read[index] and True in read[:index]:
            return name, ast.unparse(default), pairs[read.index(True)][0]
    return None


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except UNREADABLE:
        return False
    return True


def choices(function: Function) -> Iterator[tuple[str, str]]:
    """The parameters with `Literal` types, and the types. 0.16.8 derives one choice from the text of all of them."""
    for each in function.args.args:
        text = ast.unparse(each.annotation) if each.annotation else ""
        if re.search(r"\bLiteral\[", text):
            yield each.arg, text


# --- hints -----------------------------------------------------------------------------------------------------------


def schema_hint(source: str) -> str:
    """What to change in a source for which the server derives no schema."""
    try:
        tree = ast.parse(source)
    except UNREADABLE:
        return _SCHEMA
    function = tool_function(tree)
    if function is None:
        return _SCHEMA
    found = (_type_hint(each, tree) for each in function.args.args if each.arg not in _INJECTED)
    return next((hint for hint in found if hint), None) or _entry_hint(function) or _SCHEMA


def _entry_hint(function: ast.FunctionDef) -> str | None:
    """The hint for the first parameter that the docstring does not describe."""
    lines = [line.strip() for line in (ast.get_docstring(function) or "").splitlines()]
    entries = {name: _entry(name, lines) for name in parameters(function)}
    missing = [name for name, entry in entries.items() if entry is None]
    empty = [name for name, entry in entries.items() if entry is not None and entry.endswith(":")]
    name = next(iter(missing + empty), None)
    return name and f"describe `{name}` in the docstring: a line `{name}: …` below `Args:`"


def _entry(name: str, lines: list[str]) -> str | None:
    """The line of a docstring that describes a parameter."""
    heads = (f"{name}:", f"{name} (", f"{name}(", f"{name} :", f":param {name}:", f"@param {name}")
    return next((line for line in lines if line.startswith(heads)), None)


def _type_hint(parameter: ast.arg, tree: ast.Module) -> str | None:
    """The hint for the type of a parameter; None if the server derives a schema from it."""
    name, node = parameter.arg, parameter.annotation
    if node is None:
        return f"add the type of `{name}`, such as `{name}: str`"
    if isinstance(node, ast.Name) and (model := _model(node.id, tree)):
        return _model_hint(model)
    if _derivable(node, tree):
        return None
    wanted = _rewritten(node)
    if wanted is not None and _derivable(wanted, tree):
        return f"write `{name}: {ast.unparse(wanted)}` in place of `{name}: {ast.unparse(node)}`"
    return f"the server knows no schema of `{name}: {ast.unparse(node)}`: {_SCHEMA}"


def _derivable(node: ast.expr, tree: ast.Module) -> bool:
    """Whether 0.16.8 derives a schema from a type."""
    match node:
        case ast.Name(id=name):
            return name in _SIMPLE or _model(name, tree) is not None
        case ast.Subscript(value=ast.Name(id="Literal")):
            return True
        case ast.Subscript(value=ast.Name(id="Optional" | "list" | "List"), slice=inner):
            return _derivable(inner, tree)
    return False


def _rewritten(node: ast.expr) -> ast.expr | None:
    """The type in the words that 0.16.8 understands; None if there are none."""
    match node:
        case ast.Name():
            return node
        case ast.Constant(value=str(text)):
            return _rewritten(_parsed(text))
        case ast.Attribute(attr=name):
            return ast.Name(name) if name in _SUBSCRIPTED else None
        case ast.BinOp(op=ast.BitOr()):
            return _optional([*_members(node)])
        case ast.Subscript(value=ast.Name(id="Union") | ast.Attribute(attr="Union"), slice=ast.Tuple(elts=members)):
            return _optional(members)
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner) if name in _SUBSCRIPTED:
            if name in ("dict", "Dict"):
                return ast.Name("dict")
            inside = inner if name == "Literal" else _rewritten(inner)
            return inside and ast.Subscript(ast.Name(name), inside)
    return None


def _optional(members: list[ast.expr]) -> ast.expr | None:
    """`Optional[X]` for the members of a union of `X` and `None`."""
    given = [each for each in members if not (isinstance(each, ast.Constant) and each.value is None)]
    inside = _rewritten(given[0]) if len(given) == 1 and len(members) == 2 else None
    return inside and ast.Subscript(ast.Name("Optional"), inside)


def _members(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _members(node.left)
        yield from _members(node.right)
    else:
        yield node


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except UNREADABLE:
        return ast.Constant(None)


def _model(name: str, tree: ast.Module) -> ast.ClassDef | None:
    """The pydantic model of the source with a name."""
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name)
    return next((each for each in classes if any(ast.unparse(base) == "BaseModel" for base in each.bases)), None)


def _model_hint(model: ast.ClassDef) -> str | None:
    """The hint for the first field of a pydantic model that has no description."""
    for line in model.body:
        if isinstance(line, ast.AnnAssign) and "description=" not in ast.unparse(line.value or line.target):
            field, kind = ast.unparse(line.target), ast.unparse(line.annotation)
            return f'describe `{field}` of `{model.name}`: `{field}: {kind} = Field(description="…")`'
    return None
