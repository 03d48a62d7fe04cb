"""The write operations of Letta's API that lettaform does not use, with the reasons.

The page of fields prints this table; no other code reads it. tests/contract compares it with Letta's OpenAPI document:
every write operation is used by a kind, used by the backend, or listed here.
"""

from __future__ import annotations

from collections.abc import Mapping

UNMANAGED_OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "Messages are runtime data and are not declared.": (
        "POST /v1/agents/{}/messages*",
        "PATCH /v1/agents/{}/messages/*",
        "PATCH /v1/agents/{}/reset-messages",
        "POST /v1/agents/{}/summarize",
        "* /v1/conversations/{}/messages*",
        "POST /v1/conversations/{}/cancel",
        "POST /v1/conversations/{}/compact",
        "POST /v1/conversations/{}/stream",
        "PATCH /v1/groups/{}/messages/*",
        "PATCH /v1/groups/{}/reset-messages",
        "* /v1/messages/batches*",
    ),
    "Runs, jobs and steps are runtime data and are not declared.": (
        "* /v1/jobs/*",
        "* /v1/runs/*",
        "* /v1/steps/*",
    ),
    "Sandboxes of tools belong to the server: one per type, created when a tool first runs.": (
        "* /v1/sandbox-config/*",
    ),
    "Applications use them to talk to agents and models.": (
        "POST /v1/agents/{}/generate",
        "POST /v1/chat/completions",
        "POST /v1/voice-beta/*",
    ),
    "They search, run or check, and create nothing that could be declared.": (
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
    "Agents open and close files at run time.": ("PATCH /v1/agents/{}/files/*",),
    "Covered by fields: `value` (blocks), `passages` (archives), `tool_rules` (agents), `properties` (identities).": (
        "PATCH /v1/agents/{}/core-memory/blocks/{}",
        "* /v1/agents/{}/archival-memory*",
        "POST /v1/archives/{}/passages/batch",
        "PATCH /v1/agents/{}/tools/approval/{}",
        "PUT /v1/identities/{}/properties",
    ),
    "Covered by the fields `blocks` and `identities` of agents.": (
        "PATCH /v1/blocks/{}/identities/*",
        "PATCH /v1/groups/{}/blocks/*",
    ),
    "Alternative ways to create an object: tools are created with PUT, identities with POST.": (
        "POST /v1/tools/",
        "PUT /v1/identities/",
    ),
    "Agent files copy a whole agent between servers.": (
        "POST /v1/agents/import",
        "POST /v1/agents/{}/export",
    ),
    "Former paths of folders.": (
        "* /v1/sources/*",
        "PATCH /v1/agents/{}/sources/*",
    ),
    "Former paths of MCP servers.": ("* /v1/tools/mcp/*",),
    "Former path of `recompile`.": ("POST /v1/agents/{}/system-prompt/recompile",),
    "The server adds its base tools when tools are listed, and a provider's models when it is created.": (
        "POST /v1/tools/add-base-tools",
        "PATCH /v1/providers/{}/refresh",
    ),
    "Users and organizations belong to the operator of the server.": (
        "* /v1/admin/*",
        "POST /v1/auth",
    ),
    "Internal to Letta. Templates exist only on Letta Cloud.": ("* /v1/_internal_*",),
}
"""Reason to operations: method and path; `*` stands for any method and any part of a path."""
