"""YAML of lettactl to values: what its reader accepts, and what is reported of the rest, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform.lettactl.fleet import Options

from .written import addresses, fleet, left, refused, text, values

BROKEN = """\
shared_block: []
shared_blocks:
  - {name: rules, value: x, limit: many, agent_owned: perhaps}
  - {value: nameless}
  - {name: long, limit: 3, value: far too long}
  - {name: both, value: a, from_file: b.md}
  - {name: none}
shared_folders:
  - {name: docs, files: {a: b}}
mcp_servers:
  - {name: web, type: ssse, server_url: https://x.example.com}
  - {name: "${WHICH}", type: sse}
providers:
  - {name: acme, provider_type: openai}
agents:
  - name: clerk
    system_promt: {value: x}
    llm_config: {model: gpt, context_window: "a lot"}
    embedding: free
    memory_blocks:
      - {name: human, value: a}
      - {name: human, value: b}
    shared_blocks: [ruless]
    shared_folders: [doc]
    archives: [{name: a}, {name: b}]
    conversations: [{sumary: x}]
    memory: {mode: block}
    secrets: {lower: {value: v, from_env: E}, KEY: secret-in-clear}
  - {name: clerk, system_prompt: {value: x}, llm_config: {model: a/b}}
"""


def test_everything_that_is_wrong_is_reported_at_once(tmp_path: Path) -> None:
    found = refused(tmp_path, BROKEN)
    assert found == [
        "3:36 shared_blocks.rules.limit: expected a whole number, got the text 'many'",
        "3:55 shared_blocks.rules.agent_owned: expected true or false, got the text 'perhaps'",
        "4:5 shared_blocks.1: `name` is missing → add `name: …`",
        "5:35 shared_blocks.long: the text has 12 characters, more than its `limit` of 3 → raise `limit`, or shorten "
        "the text",
        "6:28 shared_blocks.both: `value` and `from_file` are both given → remove one of the two",
        "7:5 shared_blocks.none: `value` or `from_file` is missing → add `value: …`",
        "9:25 shared_folders.docs.files: expected a list, got a map → start each item with `- `",
        "11:23 mcp_servers.web.type: expected one of stdio, sse, streamable_http, got `ssse` → did you mean `sse`?",
        "12:12 mcp_servers.${WHICH}: `${WHICH}` contains an environment variable → write the name out",
        "14:5 providers.acme: `api_key` is missing → add `api_key: …`",
        "16:5 agents.clerk: `system_prompt` is missing → add `system_prompt: {value: …}`",
        "17:5 agents.clerk.system_promt: lettactl has no field `system_promt` → did you mean `system_prompt`?",
        "18:25 agents.clerk.llm_config.model: expected `provider/model`, got `gpt` → `lettaform from-lettactl FILE -o "
        "DIR --model HANDLE` gives one to all agents",
        "18:46 agents.clerk.llm_config.context_window: expected a whole number, got the text 'a lot'",
        "19:16 agents.clerk.embedding: expected `provider/model`, got `free` → `lettaform from-lettactl FILE -o DIR "
        "--embedding HANDLE` gives one to all agents",
        "22:9 agents.clerk.memory_blocks.human: the agent has two blocks `human` → rename one of the two, or remove it",
        "23:21 agents.clerk.shared_blocks: no file declares a shared block `ruless` → did you mean `rules`?",
        "24:22 agents.clerk.shared_folders: no file declares a shared folder `doc` → did you mean `docs`?",
        "25:27 agents.clerk.archives.b: an agent has one archive → remove the others",
        "26:21 agents.clerk.conversations.0: `summary` is missing → did you mean `summary`, and not `sumary`?",
        "26:22 agents.clerk.conversations.0.sumary: lettactl has no field `sumary` → did you mean `summary`?",
        "27:20 agents.clerk.memory.mode: expected `blocks` or `memfs` → did you mean `blocks`?",
        "28:22 agents.clerk.secrets.lower: expected `from_env` or `value`, one of the two → write `{from_env: NAME}`, "
        "with the name of an environment variable",
        "28:52 agents.clerk.secrets.KEY: expected `from_env` or `value`, one of the two → write `{from_env: NAME}`, "
        "with the name of an environment variable",
        f"29:5 agents.clerk: another agent `clerk` is declared at {tmp_path / '1.yaml'}:16:5 → rename one of the two, "
        "or remove it",
    ]
    assert "secret-in-clear" not in "".join(found)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "1:1 the file is empty → a manifest of lettactl has `agents:`"),
        ("- a", "1:1 the file: expected a map, got a list → write `KEY: value` for each entry"),
        ("agents: []", "1:1 the file has no `agents` → lettactl needs at least one agent"),
        ("agents: [x]", "1:10 agents.0: expected a map, got the text 'x'"),
        ("a: 1\n---\nb: 2", "2:1 a second document starts here → write each document to a file of its own"),
        ("agents: !file x", "1:9 agents: expected a list; `!file` is not allowed here"),
        ("root_path: nowhere\nagents: [x]", "1:12 root_path: there is no folder `nowhere`"),
    ],
)
def test_a_file_that_is_none_of_lettactl(content: str, expected: str, tmp_path: Path) -> None:
    assert refused(tmp_path, content)[0] == expected


def test_what_lettactl_ignores_is_named_with_the_nearest_word(tmp_path: Path) -> None:
    model = {"model": "a/b", "temperature": 0.3, "max_token": 5}
    found = left(fleet(tmp_path, {"llm_config": model}, shared_block=[]))
    reason = "lettactl has no such field, and ignores it"
    assert found == [
        ("shared_block", reason, "did you mean `shared_blocks`?"),
        ("agents.clerk.llm_config.temperature", reason, "here, write it below `model_settings`"),
        ("agents.clerk.llm_config.max_token", reason, "did you mean `max_tokens`?"),
    ]


def test_anchors_merge_keys_and_grouped_numbers(tmp_path: Path) -> None:
    found = text(
        tmp_path,
        "x: &a {system_prompt: {value: Hi.}, tools: []}\n"
        "y: &b {tools: [run_code], llm_config: {model: a/b, context_window: 32_000}}\n"
        "agents:\n"
        "  - {<<: [*a, *b], name: one, tags: [x]}\n"
        "  - {name: two, <<: *b, system_prompt: {value: Ho.}}\n",
    )
    assert addresses(found) == ["agents.one", "agents.two"]
    assert values(found, "agents.one") == {"system": "Hi.", "model": "a/b", "context_window": 32000, "tags": ["x"]}
    assert values(found, "agents.two")["tools"] == ["run_code"]


def test_a_merge_key_needs_maps(tmp_path: Path) -> None:
    found = refused(tmp_path, "agents:\n  - {<<: 5, name: a}\n")
    assert found[-1] == "2:10 `<<` needs a map, or a list of maps → write the alias of a map"


def test_paths_are_relative_to_the_root(tmp_path: Path) -> None:
    (tmp_path / "deep" / "p").mkdir(parents=True)
    (tmp_path / "deep" / "p" / "a.md").write_text("Hello.")
    agent = "agents: [{name: a, system_prompt: {from_file: p/a.md}, llm_config: {model: a/b}}]"
    options = Options(root=tmp_path / "deep")
    for found in (text(tmp_path, f"root_path: deep\n{agent}"), text(tmp_path, agent, options=options)):
        assert values(found, "agents.a")["system"].path == "p/a.md"
    assert refused(tmp_path, f"root_path: .\n{agent}", options=options) == [
        "2:47 there is no file `p/a.md` → there is no folder `p`"
    ]
