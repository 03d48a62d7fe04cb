"""Every field of lettactl 1.1.2: what its value must be, the field here that has it, or why none has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TEXT, WHOLE, FLAG, LIST, TEXTS, MAP = (
    "a text",
    "a whole number",
    "true or false",
    "a list",
    "a list of texts",
    "a map",
)


@dataclass(frozen=True)
class Row:
    """A field of lettactl.

    takes    what its value must be; empty: anything
    to       the field of lettaform that has its value, as documentation spells it
    copied   the field of the same object into which the value goes as it is
    reason   why it is not carried over; empty: it is
    instead  what to do instead
    """

    takes: str
    to: str = ""
    copied: str = ""
    reason: str = ""
    instead: str = ""


Table = Mapping[str, Row]


def _copied(takes: str, name: str = "") -> Row:
    return Row(takes, name, name)


BUCKET = Row(
    MAP,
    reason="lettaform reads no storage bucket",
    instead="download the file into the project, and name it with `!file PATH`, or in `source` or `files`",
)
_VERSION = Row(
    "",
    reason="lettactl stores it nowhere",
    instead="git keeps versions; `metadata: {version: …}` of the block stores it on the server",
)
_HANDLE_ALONE = Row(MAP, "embedding, from `handle`; embedding_chunk_size")

TOP: Table = {
    "root_path": Row(TEXT, "paths are relative to the file that names them"),
    "global-secrets": Row(MAP, "agents.*.secrets"),
    "preserve_secrets": Row(
        TEXTS,
        reason="it is not needed: lettaform removes only secrets that it has written itself",
        instead="leave it out",
    ),
    "providers": Row(LIST, "providers"),
    "prune_missing_providers": Row(
        FLAG,
        reason="lettaform deletes only what it owns",
        instead="remove a provider from the manifest, and run `lettaform plan --prune`",
    ),
    "shared_blocks": Row(LIST, "blocks"),
    "shared_folders": Row(LIST, "folders"),
    "mcp_servers": Row(LIST, "mcp_servers"),
    "agents": Row(LIST, "agents"),
}

AGENT: Table = {
    "name": Row(TEXT, "the key, and name where it differs"),
    "description": _copied(TEXT, "description"),
    "system_prompt": Row(MAP, "system"),
    "llm_config": Row(MAP, "model, context_window, max_tokens"),
    "embedding": Row(TEXT, "embedding"),
    "embedding_config": _HANDLE_ALONE,
    "tools": Row(LIST, "tools"),
    "include_base_tools": _copied(FLAG, "include_base_tools"),
    "include_base_tool_rules": _copied(FLAG, "include_base_tool_rules"),
    "mcp_tools": Row(LIST, "tools.*.mcp, and tools"),
    "memory_blocks": Row(LIST, "memory"),
    "shared_blocks": Row(TEXTS, "blocks"),
    "folders": Row(LIST, "folders"),
    "shared_folders": Row(TEXTS, "folders"),
    "archives": Row(LIST, "archives, and archive"),
    "conversations": Row(LIST, "conversations"),
    "compaction_settings": _copied(MAP, "compaction_settings"),
    "reasoning": _copied(FLAG, "reasoning"),
    "tags": _copied(TEXTS, "tags"),
    "secrets": Row(MAP, "secrets"),
    "first_message": Row(
        TEXT,
        reason="an apply sends no messages",
        instead="send it once with Letta's own tools after the agent is created; agents that exist have received it",
    ),
    "memory": Row(MAP, "memory; a memory file system has no counterpart"),
    "lettabot": Row(
        MAP,
        reason="lettaform does not configure LettaBot",
        instead="move these lines to the configuration of LettaBot; an existing agent keeps them in its metadata",
    ),
}

PROMPT: Table = {
    "value": Row(TEXT, "system"),
    "from_file": Row(TEXT, "system: !file PATH"),
    "from_bucket": BUCKET,
}

MODEL: Table = {
    "model": _copied(TEXT, "model"),
    "context_window": _copied(WHOLE, "context_window"),
    "max_tokens": _copied(WHOLE, "max_tokens"),
}

BLOCK: Table = {
    "name": Row(TEXT, "the key, and label where it differs"),
    "description": _copied(TEXT, "description"),
    "limit": _copied(WHOLE, "limit"),
    "value": Row(TEXT, "value"),
    "from_file": Row(TEXT, "value: !file PATH"),
    "from_bucket": BUCKET,
    "version": _VERSION,
    "agent_owned": Row(FLAG, "policy: {value: enforce} if it is false; `seed` is the default"),
}

FOLDER: Table = {
    "name": Row(TEXT, "the key, and name where it differs"),
    "files": Row(LIST, "files"),
}

ARCHIVE: Table = {
    "name": Row(TEXT, "the key, and name where it differs"),
    "description": _copied(TEXT, "description"),
    "embedding": Row(TEXT, "embedding"),
    "embedding_config": _HANDLE_ALONE,
}

CONVERSATION: Table = {
    "summary": Row(TEXT, "the key, and summary where it differs"),
    "isolated_blocks": _copied(TEXTS, "isolated"),
}

TOOL: Table = {
    "name": Row(TEXT, "the key"),
    "from_file": Row(TEXT, "source"),
    "source_code": Row(TEXT, "source"),
    "from_bucket": BUCKET,
}

MCP_TOOLS: Table = {
    "server": Row(TEXT, "tools.*.mcp"),
    "tools": Row("", "tools"),
}

MCP_SERVER: Table = {
    "name": Row(TEXT, "the key, and name where it differs"),
    "type": _copied(TEXT, "type"),
    "server_url": Row(TEXT, "url"),
    "auth_header": Row(TEXT, "headers; `token` is sent as Authorization"),
    "auth_token": Row(TEXT, "token"),
    "custom_headers": Row(MAP, "headers"),
    "command": Row(TEXT, "command"),
    "args": Row(LIST, "args"),
    "env": Row(MAP, "env"),
}

PROVIDER: Table = {
    "name": Row(TEXT, "the key, and name where it differs"),
    "provider_type": _copied(TEXT, "provider_type"),
    "api_key": Row(MAP, "api_key"),
    "access_key": Row(MAP, "access_key"),
    "region": _copied(TEXT, "region"),
    "profile": Row(
        TEXT,
        reason="the server's API of 0.16.8 stores no profile",
        instead="give `api_key`, `access_key` and `region`",
    ),
    "refresh": Row(
        FLAG,
        reason="the server lists the models of a provider when it is created",
        instead="`PATCH /v1/providers/ID/refresh` of the server lists them again",
    ),
}

SECRET: Table = {
    "from_env": Row(TEXT, "variables.*.env"),
    "value": Row(TEXT, "a variable with `secret: true`; the value is not written"),
    "preserve_existing": Row(
        FLAG,
        reason="a secret that is declared needs its variable in every apply",
        instead="leave this secret out of the manifest: lettaform keeps secrets that it has not written",
    ),
}

_MEMFS = "the server has no memory file system"
_MEMFS_INSTEAD = "declare the texts as blocks, below `memory` of the agent"
MEMORY: Table = {
    "mode": Row(TEXT, "memory holds blocks; `memfs` has no counterpart"),
    **{
        name: Row("", reason=_MEMFS, instead=_MEMFS_INSTEAD)
        for name in (
            *("bare_repo", "template_dir", "preserve_existing_paths", "prune_missing_skills", "prune_paths", "files"),
            *("skills", "from_blocks", "capability_index_file", "verify"),
        )
    },
}

EMBEDDING: Table = {
    "handle": _copied(TEXT, "embedding"),
    "embedding_chunk_size": _copied(WHOLE, "embedding_chunk_size"),
}

TABLES: Mapping[str, Table] = {
    "a manifest": TOP,
    "agents[]": AGENT,
    "system_prompt": PROMPT,
    "llm_config": MODEL,
    "embedding_config": EMBEDDING,
    "memory_blocks[], shared_blocks[]": BLOCK,
    "folders[], shared_folders[]": FOLDER,
    "archives[]": ARCHIVE,
    "conversations[]": CONVERSATION,
    "tools[]": TOOL,
    "mcp_tools[]": MCP_TOOLS,
    "mcp_servers[]": MCP_SERVER,
    "providers[]": PROVIDER,
    "a secret": SECRET,
    "memory": MEMORY,
}
"""What is written where to the table of its fields."""

KINDS = (
    ("agent", AGENT),
    ("agent", MODEL),
    ("block", BLOCK),
    ("folder", FOLDER),
    ("archive", ARCHIVE),
    ("conversation", CONVERSATION),
    ("tool", TOOL),
    ("mcp_server", MCP_SERVER),
    ("provider", PROVIDER),
)
"""The kind of object here that the fields of a table say something about."""

REFUSED_BY_LETTACTL = (AGENT, CONVERSATION)
"""The tables of maps in which lettactl refuses unknown keys. It ignores them elsewhere."""

DEFAULT_TOOLS = ("web_search", "fetch_webpage")
"""What lettactl 1.1.2 attaches to an agent without `tools`."""
