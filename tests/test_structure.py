"""What the structure of the package promises, read from its source.

`python -m tests.test_structure` prints the largest classes and functions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest

ROOT = Path(__file__).parent.parent
MAXIMUM_CLASS, MAXIMUM_FUNCTION = 250, 60
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Found: TypeAlias = set[tuple[str, str]]


@cache
def sources() -> Mapping[str, ast.Module]:
    """Path of each module below `lettaform`, without `.py`, to its syntax tree. Docstrings are left out."""
    found = {}
    for path in sorted((ROOT / "lettaform").rglob("*.py")):
        name = path.relative_to(ROOT / "lettaform").with_suffix("").as_posix()
        found[name] = _without_docstrings(ast.parse(path.read_text(encoding="utf-8")))
    return found


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """Half a million nodes that live on would slow the garbage collector down for all tests that follow."""
    yield
    sources.cache_clear()
    walk.cache_clear()


@cache
def walk(tree: ast.AST) -> tuple[ast.AST, ...]:
    """All nodes of a tree, found once for all tests."""
    return tuple(ast.walk(tree))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [each for each in node.body if not _is_text(each)] or node.body
    return tree


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def modules(*below: str) -> Iterator[tuple[str, ast.Module]]:
    """The modules of these packages; all modules if none is given."""
    for name, tree in sources().items():
        if not below or any(name == each or name.startswith(f"{each}/") for each in below):
            yield name, tree


def texts(tree: ast.AST) -> Iterator[str]:
    """Every text in the code, also those between the values of an f-string."""
    for node in walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def names(tree: ast.AST) -> Iterator[str]:
    """Every name that the code uses, defines or imports."""
    for node in walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def attributes(tree: ast.AST, name: str) -> Iterator[str]:
    """The code left of `.name`, wherever it stands."""
    for node in walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == name:
            yield ast.unparse(node.value)


def lines(node: ast.stmt) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


# --- marks -----------------------------------------------------------------------------------------------------------

USERS_OF_THE_MARK = {
    "manifest/checks": "rejects tags and metadata in a manifest that look like a mark",
    "backend/v1/state": "the pages of the state begin with the same word, so that people see whose they are",
}


@pytest.mark.thorough
def test_one_module_spells_marks() -> None:
    spelled = {
        name
        for name, tree in modules()
        for text in texts(tree)
        if text.startswith("lettaform:") and not text.startswith("lettaform:lock")
    }
    assert spelled == set()  # ownership/marks builds its prefix from MARK
    users = {name for name, tree in modules() if "MARK" in set(names(tree))}
    assert users == {"ownership/marks", *USERS_OF_THE_MARK}


@pytest.mark.thorough
def test_marks_are_written_by_one_function_each() -> None:
    writers = {
        (name, word) for name, tree in modules("backend") for word in attributes_of(tree, "marks", ("write", "erase"))
    }
    assert writers == {("backend/v1/encode", "write"), ("backend/v1/encode", "erase")}
    readers = {name for name, tree in modules() if "read" in set(attributes_of(tree, "marks", ("read",)))}
    assert readers == {"backend/v1/decode"}


def attributes_of(tree: ast.AST, value: str, wanted: Iterable[str]) -> Iterator[str]:
    return (name for name in wanted for left in attributes(tree, name) if left == value)


# --- the state -------------------------------------------------------------------------------------------------------


def test_one_module_turns_a_state_into_texts_and_back() -> None:
    words = {
        "to_pages": {"ownership/state", "backend/v1/send", "snapshot/format"},
        "from_pages": {"ownership/state", "session/observe", "snapshot/format"},
    }
    for word, users in words.items():
        assert {name for name, tree in modules() if word in set(names(tree))} == users
    stores = dict(modules("backend/v1/state"))["backend/v1/state"]
    assert {"State", "json"}.isdisjoint(names(stores)), "backend/v1/state stores texts"


# --- values ----------------------------------------------------------------------------------------------------------

VALUES = {"Ref", "Template", "Patch", "Secret", "Digest"}
PRINTERS = {
    ("render/inline", "to_text"): "a value as people read it, on one line",
    ("render/data", "to_json"): "a value in the machine contract, where secrets are redacted",
    ("plan/saved", "spell"): "a value in a saved plan, where a secret is a keyed digest",
    ("manifest/rendered", "value"): "a value in the final manifest, where secrets are hidden",
    ("manifest/saved", "encode"): "the manifest in a saved plan, from which it is read again",
}


def _recurses(function: Function) -> bool:
    called = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return any(function.name in (getattr(each, "id", None), getattr(each, "attr", None)) for each in called)


def _asks_for_values(function: Function) -> bool:
    for node in ast.walk(function):
        match node:
            case ast.MatchClass(cls=ast.Name(id=name)) if name in VALUES:
                return True
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]) if VALUES & set(names(kinds)):
                return True
    return False


def test_one_module_walks_and_rebuilds_values() -> None:
    found: Found = {
        (name, function.name)
        for name, tree in modules()
        for function in functions(tree)
        if _recurses(function) and _asks_for_values(function)
    }
    assert found == {("values", "walk"), ("values", "rebuild"), *PRINTERS}


# --- ownership and plan ----------------------------------------------------------------------------------------------


def test_a_backend_decides_nothing_about_ownership() -> None:
    for name, tree in modules("backend"):
        compared = [node for node in walk(tree) if isinstance(node, ast.Compare)]
        assert not [ast.unparse(each) for each in compared if any(attributes(each, "stack"))], name
        assert "state" not in {left.split(".")[-1] for left in attributes(tree, "ids")}, name


def test_plan_and_ownership_know_nothing_of_a_backend() -> None:
    for name, tree in modules("plan", "ownership"):
        spelled = list(texts(tree))
        assert not [each for each in spelled if "/v1" in each], name
        assert not [each for each in spelled if each in ("GET", "POST", "PATCH", "PUT", "DELETE")], name
        imported = {
            node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        assert not [each for each in imported if each.startswith("lettaform.backend")], name
        assert not [left for left in attributes(tree, "path") if _is_kind(left)], name
        assert not any(attributes(tree, "requests")), name
        if name != "ownership/marks":  # the kind says where its mark stands
            assert not [left for left in attributes(tree, "mark") if _is_kind(left)], name


def _is_kind(code: str) -> bool:
    return code in ("kind", "table", "self.kind", "self.table") or code.startswith("kinds()[")


# --- addresses -------------------------------------------------------------------------------------------------------


def test_one_module_builds_addresses_and_takes_them_apart() -> None:
    found: Found = set()
    for name, tree in modules():
        for node in walk(tree):
            if name != "address" and (_takes_apart(node) or _builds(node)):
                found.add((name, ast.unparse(node)))
    assert found == set()


def _takes_apart(node: ast.AST) -> bool:
    """`str(address).split(".")`"""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="str"), args=[of]), attr=verb)):
            cuts = verb in ("split", "rsplit", "partition", "rpartition", "removeprefix", "removesuffix")
            return cuts and "address" in ast.unparse(of)
    return False


def _builds(node: ast.AST) -> bool:
    """`f"{section}.{key}"`, `f"{address}[{index}]"`"""
    if not isinstance(node, ast.JoinedStr):
        return False
    for left, between, right in zip(node.values, node.values[1:], node.values[2:], strict=False):
        if isinstance(left, ast.FormattedValue) and isinstance(right, ast.FormattedValue):
            words = [ast.unparse(each.value).split(".")[-1] for each in (left, right)]
            joined = isinstance(between, ast.Constant) and between.value in (".", "[")
            # an address and a field, as people read it, is no address
            if joined and words[0] in ("address", "section") and words[1] not in ("path", "field"):
                return True
    return False


# --- size ------------------------------------------------------------------------------------------------------------

LARGE_CLASSES = {
    ("backend/v1/client", "Client"): "one connection: retries, redaction, limits and pages share its counters",
}
LARGE_FUNCTIONS = {
    ("render/data", "plan_schema"): "one literal: the published JSON schema of a saved plan",
}


def sizes() -> tuple[list[tuple[int, str, str]], list[tuple[int, str, str]]]:
    """Classes and functions with their number of lines, the largest first."""
    classes, every = [], []
    for name, tree in modules():
        classes += [(lines(node), name, node.name) for node in walk(tree) if isinstance(node, ast.ClassDef)]
        every += [(lines(node), name, node.name) for node in functions(tree)]
    return sorted(classes, reverse=True), sorted(every, reverse=True)


def test_no_class_and_no_function_is_too_large() -> None:
    classes, every = sizes()
    assert {(name, word) for length, name, word in classes if length > MAXIMUM_CLASS} == set(LARGE_CLASSES)
    assert {(name, word) for length, name, word in every if length > MAXIMUM_FUNCTION} == set(LARGE_FUNCTIONS)


# --- tests -----------------------------------------------------------------------------------------------------------

PACKAGES = ("api", "ownership", "plan", "backend", "client", "session", "snapshot", "lettactl")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_has_a_test_module_of_the_same_path(package: str) -> None:
    expected = [Path(name) for name, _ in modules(package) if not name.endswith("__init__")]
    missing = [str(each) for each in expected if not (ROOT / "tests" / each.with_name(f"test_{each.name}.py")).exists()]
    assert missing == []


@pytest.mark.parametrize("module", ["about", "address", "apply", "errors", "flow", "testing", "values"])
def test_modules_of_the_top_have_a_test_module(module: str) -> None:
    assert (ROOT / "tests" / f"test_{module}.py").exists()


def main() -> None:
    for title, every in zip(("classes", "functions"), sizes(), strict=True):
        print(title)
        for length, name, word in every[:5]:
            print(f"  {length:4} {name} {word}")


if __name__ == "__main__":
    main()
