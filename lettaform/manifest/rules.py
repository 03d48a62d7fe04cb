"""The rules of `lettaform validate`: the id of each problem of a manifest, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Rule:
    """One rule. `doc`: what is wrong where it reports a problem. `severity`: that of its problems."""

    doc: str
    severity: Literal["error", "warning"] = "warning"


SYNTAX, FORM, VARIABLE = "invalid-syntax", "invalid-form", "invalid-variable"
REFERENCE, VALUE, DECLARATION = "invalid-reference", "invalid-value", "invalid-declaration"
UNUSED_WAIVER = "unused-waiver"
"""The rules that modules outside this package and several modules of it name."""

ERRORS: Mapping[str, Rule] = {
    SYNTAX: Rule("A file cannot be read, is not valid YAML, or contradicts another file.", "error"),
    FORM: Rule("A key is unknown or missing, or a value that is written literally is of the wrong type.", "error"),
    VARIABLE: Rule("A variable has no value, or one of the wrong type.", "error"),
    REFERENCE: Rule("A key or an expression refers to nothing, or to what cannot be used there.", "error"),
    VALUE: Rule("A value of an object is wrong, or contradicts another one, or names an unusable file.", "error"),
    DECLARATION: Rule("An entry of `moved`, `imports`, `removed`, `outputs` or `server` is wrong.", "error"),
}
"""What makes a manifest unusable. These rules cannot be switched off."""

WARNINGS: Mapping[str, Rule] = {
    "block-without-description": Rule(
        "A block that agents write has no `description`, so that they are not told what to store in it. The server "
        "describes `persona` and `human` by itself."
    ),
    "duplicate-block": Rule("Two shared blocks have the same text of at least 80 characters."),
    "duplicate-name": Rule("Two agents or two archives have the same name on the server."),
    "empty-block": Rule(
        "A block is declared empty, and it is read-only, so that nobody fills it, or it is a `persona`."
    ),
    "expression-in-file": Rule("A file that is read with `!file` contains `${…}`, which is not evaluated there."),
    "external-by-id": Rule(
        "An external object of a kind with unique names is found by its `id`, which is another one on each server."
    ),
    "long-prompt": Rule("A system prompt has more than 20,000 characters, which are sent with each request."),
    "memory-exceeds-context": Rule(
        "The system prompt and the memory blocks, filled up to their limits, need more tokens than `context_window` "
        "has; a token is counted as four characters."
    ),
    "misspelled-variable": Rule("An environment variable is set that is nearly the name of a variable."),
    "near-limit": Rule("The text of a block that agents write has at least 90 % of the characters of its `limit`."),
    "no-file-matches": Rule("A pattern of `include` matches no file."),
    "no-memory-tool": Rule("An agent has memory blocks that are not read-only, and no tool that writes them."),
    "path-as-text": Rule("A text looks like the path of a file whose content is meant."),
    "placeholder-text": Rule("A prompt or a block contains a placeholder, such as `CHANGEME` or `<your name>`."),
    "secret-in-clear": Rule("A secret is written in the manifest or in one of its files, or a text looks like one."),
    "single-for-each": Rule("A `for_each` has one literal item, so that the object needs none."),
    "unattached-tool": Rule("A system prompt names a tool that the agent does not have."),
    "unused-declaration": Rule(
        "Nothing refers to a shared block, a tool, a folder, an archive or an identity, in any environment."
    ),
    "unused-exclusion": Rule("A pattern that begins with `!` excludes no file."),
    "unused-variable": Rule("Nothing uses a variable, in any environment."),
    UNUSED_WAIVER: Rule("An entry of `lint.ignore` matches no warning, or a waiver of a policy no object."),
}
"""What is probably a mistake. `lint.ignore` in the manifest switches these rules off, each with a reason."""

RULES: Mapping[str, Rule] = {**ERRORS, **WARNINGS}
