"""Live secrets to the variables that a manifest declares in their place. No text that is written contains a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lettaform.manifest.emit_text import Raw
from lettaform.manifest.keys import Keys, clean
from lettaform.manifest.secret_shapes import TOKENS

_NAMED = r"(?:[\w-]*(?:key|token|secret|passw|credential|auth|signature|sig|pwd)[\w-]*)"
_IN_URL = re.compile(
    rf"(?i)(?P<before>[?&]{_NAMED}=)(?P<value>[^&#\s]+)|(?P<user>//[^/@\s:]*:)(?P<password>[^/@\s]+)(?=@)"
)
_IN_ARGUMENT = re.compile(rf"(?i)(?P<before>--?{_NAMED}=|{_NAMED}=|bearer )(?P<value>\S+)")
_TOKEN = re.compile("|".join(TOKENS.values()))
_STANDS_IN = "https://example.com/"
"""Begins a value that is not known: it is valid as a token, as a URL and as an argument."""
_FLAG = re.compile(rf"(?i)--?{_NAMED}")


@dataclass
class Hidden:
    """The variables that stand for secrets.

    values  name of a variable to the secret. They are needed to check what was written, and are never written.
    about   name of a variable to where its secret is used first
    environment  name of a variable to the environment variable that it is read from. Its value is not known: what
                 stands in `values` is only valid
    """

    values: dict[str, str] = field(default_factory=dict, repr=False)
    about: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    _keys: Keys = field(default_factory=lambda: Keys(joint="_"))
    _names: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)

    def variable(self, name: str, owner: str, secret: str, where: str) -> Raw:
        """The expression for a secret. Equal secrets of one name have one variable. `owner`: the key of the object."""
        wanted = re.sub(r"[^a-z0-9_]+", "_", clean(name, "secret").lower()).strip("_") or "secret"
        wanted = wanted if wanted[0].isalpha() else f"secret_{wanted}"
        known = self._names.get((wanted, secret))
        if known is None:
            prefix = re.sub(r"[^a-z0-9_]+", "_", owner.lower()).strip("_")
            helps = wanted in self._keys.used and prefix[:1].isalpha() and not wanted.startswith(prefix)
            known = self._keys.take(f"{prefix}_{wanted}" if helps else wanted)
            self._names[wanted, secret] = known
            self.values[known], self.about[known] = secret, where
        return Raw(f"${{var.{known}}}")

    def from_environment(self, name: str, where: str) -> Raw:
        """The expression for a secret that an environment variable has."""
        found = self.variable(name, "", f"{_STANDS_IN}{name}", where)
        self.environment[found.text.removeprefix("${var.").removesuffix("}")] = name
        return found

    def field(self, name: str, value: Any, owner: str, where: str) -> Any:
        """The value of a field that is secret: a variable for each text in it."""
        if isinstance(value, Mapping):
            return {key: self.variable(key, owner, str(item), f"{where}.{key}") for key, item in value.items() if item}
        return self.variable(f"{owner}_{name}", owner, str(value), where) if value else None

    def inside(self, name: str, value: Any, owner: str, where: str) -> Any:
        """The value of a field that may contain secrets, with a variable for each text in it that looks like one."""
        if isinstance(value, list):
            return [self._argument(value, index, owner, where) for index in range(len(value))]
        if not isinstance(value, str):
            return value
        return self._replaced(_IN_URL, value, f"{owner}_{name}", owner, where)

    def _argument(self, arguments: list[Any], index: int, owner: str, where: str) -> Any:
        text, flag = str(arguments[index]), str(arguments[index - 1]) if index else ""
        if _FLAG.fullmatch(flag) and not text.startswith("-"):
            return self.variable(flag.strip("-"), owner, text, where)
        found = self._replaced(_IN_ARGUMENT, text, f"{owner}_argument", owner, where)
        return self._replaced(_IN_URL, text, f"{owner}_argument", owner, where) if found == text else found

    def _replaced(self, pattern: re.Pattern[str], text: str, name: str, owner: str, where: str) -> Any:
        found = pattern.search(text) or _TOKEN.search(text)
        if found is None:
            return text
        groups = found.groupdict()
        secret = groups.get("value") or groups.get("password") or found[0]
        start = found.start() + found[0].index(secret, len(groups.get("before") or groups.get("user") or ""))
        variable = self.variable(name, owner, secret, where).text
        rest = self._replaced(pattern, text[start + len(secret) :], name, owner, where)
        before = text[:start].replace("${", "$${")
        after = rest.text if isinstance(rest, Raw) else rest.replace("${", "$${")
        return Raw(f"{before}{variable}{after}")
