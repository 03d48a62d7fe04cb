"""What writes on a server and is nobody's field: the operations that lettaform leaves alone, and why.

Nothing decides by this table, so it is no kind's and no server's: the page of fields shows it, and stands beside it.
tests/contract holds it to Letta's own description: whatever writes is a kind's, called by the server room, or here.
"""

from __future__ import annotations

from collections.abc import Mapping

UNMANAGED_OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "The conversation is the agent's own: it happens, nobody declares it.": (
        "POST /v1/agents/{}/messages*",
        "PATCH /v1/agents/{}/messages/*",
        "PATCH /v1/agents/{}/reset-messages",
        "POST /v1/agents/{}/summarize",
        "* /v1/conversations/{}/messages*",
        "POST /v1/conversations/{}/cancel",
        "POST /v1/conversations/{}/compact",
        "POST /v1/conversations/{}/fork",
        "POST /v1/conversations/{}/stream",
        "PATCH /v1/groups/{}/messages/*",
        "PATCH /v1/groups/{}/reset-messages",
        "* /v1/messages/batches*",
    ),
    "A conversation keeps the prompt that it began with, until somebody asks for the agent's present one.": (
        "POST /v1/conversations/{}/recompile",
    ),
    "Runs, jobs and steps are what happens, not what is wanted.": (
        "* /v1/jobs/*",
        "* /v1/runs/*",
        "* /v1/steps/*",
    ),
    "Where tools run: one of each type for a whole server, made by it as a tool first runs; who runs it decides.": (
        "* /v1/sandbox-config/*",
    ),
    "Programs talk to agents and models through it.": (
        "POST /v1/agents/{}/generate",
        "POST /v1/chat/completions",
        "POST /v1/voice-beta/*",
    ),
    "Searches, tries or checks, and leaves nothing behind that could be declared.": (
        "POST /v1/agents/messages/search",
        "POST /v1/messages/search",
        "POST /v1/tools/search",
        "POST /v1/tools/run",
        "POST /v1/tools/generate-tool",
        "POST /v1/agents/{}/tools/{}/run",
        "POST /v1/mcp-servers/{}/tools/{}/run",
        "POST /v1/providers/check",
        "POST /v1/providers/{}/check",
    ),
    "Agents open and close files while they run.": ("PATCH /v1/agents/{}/files/*",),
    "A field says it: `value` of blocks, `passages` of archives, `tool_rules` of agents, `properties` of identities.": (
        "PATCH /v1/agents/{}/core-memory/blocks/{}",
        "* /v1/agents/{}/archival-memory*",
        "POST /v1/archives/{}/passages/batch",
        "PATCH /v1/agents/{}/tools/approval/{}",
        "PUT /v1/identities/{}/properties",
    ),
    "Agents say it, by their `blocks` and `identities`.": (
        "PATCH /v1/blocks/{}/identities/*",
        "PATCH /v1/groups/{}/blocks/*",
    ),
    "Another way to make an object: tools are made by PUT, identities by POST.": (
        "POST /v1/tools/",
        "PUT /v1/identities/",
    ),
    "Agent files carry a whole agent from server to server; a manifest says what is wanted of one.": (
        "POST /v1/agents/import",
        "POST /v1/agents/{}/export",
    ),
    "The old name of folders.": (
        "* /v1/sources/*",
        "PATCH /v1/agents/{}/sources/*",
    ),
    "The old name of MCP servers.": ("* /v1/tools/mcp/*",),
    "The old name of `recompile`.": ("POST /v1/agents/{}/system-prompt/recompile",),
    "The server does it by itself: its own tools when they are listed, a provider's models when it is made.": (
        "POST /v1/tools/add-base-tools",
        "PATCH /v1/providers/{}/refresh",
    ),
    "Users and organisations belong to whoever runs the server.": (
        "* /v1/admin/*",
        "POST /v1/auth",
    ),
    "Letta's own, between its services; templates exist on Letta Cloud alone.": ("* /v1/_internal_*",),
}
"""Why not, to the operations: verb and path, `*` for any verb and any part of a path."""
