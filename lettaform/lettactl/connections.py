"""Secrets, MCP servers and providers of lettactl to values: each text that may be a secret is a variable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.lettactl.fields import MCP_SERVER, PROVIDER, SECRET
from lettaform.lettactl.reading import Reading
from lettaform.manifest.emit_text import Raw
from lettaform.manifest.hidden import Hidden
from lettaform.manifest.node import Node
from lettaform.manifest.problems import suggest

_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}|\$([A-Z0-9_]+)")
"""What lettactl replaces with the value of an environment variable."""
_TRANSPORTS: Mapping[str, tuple[str, ...]] = {
    "stdio": ("command", "args", "env"),
    **dict.fromkeys(("sse", "streamable_http"), ("server_url", "auth_header", "auth_token", "custom_headers")),
}
"""The type of an MCP server to the fields that lettactl sends."""
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_AUTHORIZATION = "authorization"


class Connections:
    """What an agent or the server needs to reach something else."""

    def __init__(self, reading: Reading, hidden: Hidden) -> None:
        self.reading, self.hidden = reading, hidden
        self.concealed: set[str] = set()
        """Texts that no message may show."""

    # --- secrets

    def secrets(self, node: Node, path: str, address: Address) -> dict[str, Any]:
        """Name to value of the secrets of an agent. Names are spelled as lettactl writes them: in capitals."""
        found: dict[str, Any] = {}
        for key, child in node.map.items():
            name = key.upper()
            if not _NAME.fullmatch(name):
                message = f"{path}: `{key}` is not the name of a secret"
                self.reading.problems.add(message, node.keys[key], "use letters, digits and `_`")
            elif value := self.secret(child, f"{path}.{key}", name, address, f"secrets.{name}"):
                found[name] = value
        return found

    def secret(self, node: Node, path: str, name: str, address: Address, field: str) -> Raw | None:
        """The variable that stands for a secret; None, and a problem, if there is none."""
        problems, given = (
            self.reading.problems,
            {key: node.map[key] for key in ("from_env", "value") if key in node.map},
        )
        self._conceal(node.map.get("value") or node)
        if not isinstance(node.value, dict) or len(given) != 1:
            hint = "write `{from_env: NAME}`, with the name of an environment variable"
            problems.add(f"{path}: expected `from_env` or `value`, one of the two", node.place, hint, secret=True)
            return None
        self.reading.map(node, path, SECRET)
        ((kind, child),) = given.items()
        if not child.text:
            problems.add(f"{path}.{kind}: expected a text that is not empty", child.place, secret=True)
            return None
        where = f"{address}: {field}"
        if kind == "from_env":
            return self.hidden.from_environment(child.text, where)
        return self.hidden.variable(name, address.key, child.text, where)

    def _conceal(self, node: Node) -> None:
        if isinstance(node.value, str | int | float) and not isinstance(node.value, bool):
            self.concealed.add(str(node.value))

    def conceal_below(self, node: Node, name: str = "") -> None:
        """Note every text below a value whose key says that it is a secret."""
        for key, child in node.map.items():
            self.conceal_below(child, key)
        for child in node.list:
            self.conceal_below(child, name)
        if re.search(r"(?i)token|key|secret|passw|hash", name):
            self._conceal(node)

    # --- providers

    def provider(self, node: Node, path: str, address: Address) -> dict[str, Any]:
        """The values of a provider."""
        values = {name: value for name, value, _ in self.reading.copied(node, path, PROVIDER)}
        for key in ("api_key", "access_key"):
            if key in node.map:
                name = f"{address.key}_{key}"
                values[key] = self.secret(node.map[key], f"{path}.{key}", name, address, key)
        for key in ("provider_type", "api_key"):
            if key not in node.map:
                self.reading.problems.add(f"{path}: `{key}` is missing", node.place, f"add `{key}: …`")
        return {name: value for name, value in values.items() if value is not None}

    # --- MCP servers

    def mcp_server(self, node: Node, path: str, address: Address) -> dict[str, Any]:
        """The values of an MCP server."""
        kind = self.reading.required(node, "type", path)
        if kind is None:
            return {}
        if kind not in _TRANSPORTS:
            message = f"{path}.type: expected one of {', '.join(_TRANSPORTS)}, got `{kind}`"
            self.reading.problems.add(message, node.at("type"), suggest(kind, _TRANSPORTS))
            return {}
        for key in node.map:
            if key in MCP_SERVER and key not in ("name", "type", *_TRANSPORTS[kind]):
                reason = f"lettactl does not send it to a server with `type: {kind}`"
                self.reading.leave(f"{path}.{key}", node.keys[key], reason)
        fields = {key: node.map[key] for key in _TRANSPORTS[kind] if key in node.map and not node.map[key].null}
        values = dict(self._plain_fields(fields, path, address))
        values |= self._headers(fields, path, address)
        if "env" in fields:
            values["env"] = self._hidden_map(fields["env"], f"{path}.env", address, "env")
        return {"type": kind, **{name: value for name, value in values.items() if value}}

    def _plain_fields(self, fields: Mapping[str, Node], path: str, address: Address) -> Iterator[tuple[str, Any]]:
        """The fields that may contain secrets, and need not."""
        for key, name in (("server_url", "url"), ("command", "command")):
            text = self.reading.text(fields[key], f"{path}.{key}", fields[key].place) if key in fields else None
            if text:
                yield name, self._open(text, name, address)
        if "args" in fields and isinstance(fields["args"].value, list):
            texts = [_spelled(each) for each in fields["args"].list]
            if any(_VARIABLE.search(each) for each in texts):
                yield "args", [self._open(each, "args", address) for each in texts]
            else:
                yield "args", self.hidden.inside("args", texts, address.key, f"{address}: args")
        elif "args" in fields:
            self.reading.value(fields["args"], MCP_SERVER["args"], f"{path}.args", fields["args"].place)

    def _open(self, text: str, name: str, address: Address) -> Any:
        """A text with variables for the environment variables in it, or for what looks like a secret."""
        where = f"{address}: {name}"
        if _VARIABLE.search(text):
            return self._expanded(text, where)
        return self.hidden.inside(name, text, address.key, where)

    def _headers(self, fields: Mapping[str, Node], path: str, address: Address) -> dict[str, Any]:
        """The token and the headers. A token that is not sent as Authorization is a header."""
        none = Node(Place("", 0, 0), None)
        given, header, sent = (fields.get(key, none) for key in ("custom_headers", "auth_header", "auth_token"))
        headers = self._hidden_map(given, f"{path}.custom_headers", address, "headers") or {}
        named = None if header.null else self.reading.text(header, f"{path}.auth_header", header.place)
        token = self._hidden(sent, f"{address.key}_token", address, "token")
        if named and named.lower() != _AUTHORIZATION:
            return {"headers": {**headers, **({named: token} if token else {})}}
        return {"token": token, "headers": headers}

    def _hidden_map(self, node: Node, path: str, address: Address, field: str) -> dict[str, Any] | None:
        """The values of a map, each of which may be a secret."""
        if node.null or not self.reading.is_map(node, path):
            return None
        found = {key: self._hidden(child, key, address, f"{field}.{key}") for key, child in node.map.items()}
        return {key: value for key, value in found.items() if value}

    def _hidden(self, node: Node, name: str, address: Address, field: str) -> Any:
        """A value that may be a secret: a variable for it, or for each environment variable in it."""
        text, where = _spelled(node), f"{address}: {field}"
        if not text:
            return None
        if _VARIABLE.search(text):
            return self._expanded(text, where)
        self.concealed.add(text)
        return self.hidden.variable(name, address.key, text, where)

    def _expanded(self, text: str, where: str) -> Raw:
        """A text with a variable for each environment variable in it."""
        written, end = "", 0
        for found in _VARIABLE.finditer(text):
            variable = self.hidden.from_environment(found[1] or found[2], where)
            written += text[end : found.start()].replace("${", "$${") + variable.text
            end = found.end()
        return Raw(written + text[end:].replace("${", "$${"))


def _spelled(node: Node) -> str:
    """A value as a text, as JavaScript spells it."""
    if isinstance(node.value, bool | int | float):
        return json.dumps(node.value)
    return node.text or ""


def environment_in(name: str, path: str, place: Place, reading: Reading) -> bool:
    """Whether a name contains an environment variable; a problem, because a name must be known."""
    if _VARIABLE.search(name):
        reading.problems.add(f"{path}: `{name}` contains an environment variable", place, "write the name out")
        return True
    return False
