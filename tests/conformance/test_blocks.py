"""Blocks: defaults, PATCH, labels, lists and filters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.server_under_test import Server, refusal


def test_create_sets_defaults(server: Server) -> None:
    created = server.call("POST", "/v1/blocks/", {"label": server.tag})
    assert created.pop("id").startswith("block-")
    assert created == {
        "label": server.tag,
        "value": "",
        "limit": 100_000,
        "description": None,
        "metadata": {},
        "tags": [],
        "read_only": False,
        "hidden": None,
        "project_id": None,
        "is_template": False,
        "template_name": None,
        "template_id": None,
        "base_template_id": None,
        "deployment_id": None,
        "entity_id": None,
        "preserve_on_migration": False,
        "created_by_id": None,
        "last_updated_by_id": None,
    }


@pytest.mark.parametrize("label", ["human", "persona"])
def test_persona_and_human_get_a_default_description(server: Server, label: str) -> None:
    created = server.block(label=label)
    assert created["description"].startswith(f"The {label} block: ")
    assert server.get(f"/v1/blocks/{created['id']}")["description"] is None  # only in the answer, not stored
    (inline,) = server.agent(memory_blocks=[{"label": label, "value": "v"}])["blocks"]
    assert server.get(f"/v1/blocks/{inline['id']}")["description"].startswith(f"The {label} block: ")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"value": " a\r\n\tb "}, {"value": " a\r\n\tb "}),
        ({"value": "a\0b"}, {"value": "ab"}),
        ({"value": "x" * 20, "limit": 5}, {"value": "x" * 20, "limit": 5}),
        ({"limit": -1}, {"limit": -1}),
        ({"value": None, "metadata": None, "description": None}, {"value": "", "metadata": {}, "description": None}),
        ({"tags": ["b", "a", "b"]}, {"tags": ["a", "b"]}),
        ({"metadata": {"a": [1, 2.5, None, "ü"]}}, {"metadata": {"a": [1, 2.5, None, "ü"]}}),
        ({"nonsense": 1}, {}),
    ],
    ids=str,
)
def test_create_normalizes_fields(server: Server, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    block = server.get(f"/v1/blocks/{server.block(**fields)['id']}")
    block["tags"].sort()  # in any order
    assert {key: block[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"value": "w"}, {"value": "w", "description": "d", "tags": ["t"], "metadata": {"a": 1}}),
        ({"metadata": {"b": 2}}, {"metadata": {"b": 2}}),
        ({"tags": ["u"]}, {"tags": ["u"]}),
        ({"value": "", "metadata": {}, "tags": [], "description": ""}, {"value": "", "metadata": {}, "tags": []}),
        ({"value": None, "limit": None, "tags": None, "label": None}, {"value": "v", "limit": 100_000, "tags": ["t"]}),
        ({"read_only": True, "hidden": True, "limit": 9}, {"read_only": True, "hidden": True, "limit": 9}),
        ({"nonsense": 1}, {"value": "v"}),
        ({}, {"value": "v", "tags": ["t"]}),
    ],
    ids=str,
)
def test_patch_replaces_fields_and_ignores_null(
    server: Server, patch: dict[str, Any], expected: dict[str, Any]
) -> None:
    path = f"/v1/blocks/{server.block(description='d', tags=['t'], metadata={'a': 1})['id']}"
    answer = server.call("PATCH", path, patch)
    assert {key: answer[key] for key in expected} == expected
    assert server.get(path) == answer


@pytest.mark.parametrize("name", ["read_only", "is_template"])
def test_patch_refuses_null_flag(server: Server, name: str) -> None:
    path = f"/v1/blocks/{server.block()['id']}"
    assert refusal(server.ask("PATCH", path, {name: None})) == (422, [("bool_type", f"'body', '{name}'")])


def test_block_labels_are_not_unique(server: Server) -> None:
    server.block(label=server.tag)
    server.block(label=server.tag)
    assert len(server.get("/v1/blocks/", label=server.tag)) == 2


def test_relabel_to_label_already_on_same_agent_is_409(server: Server) -> None:
    one, two = server.block(label="one"), server.block(label="two")
    agent = server.agent(block_ids=[one["id"], two["id"]])
    status, detail = refusal(server.ask("PATCH", f"/v1/blocks/{two['id']}", {"label": "one"}))
    assert status == 409
    assert detail.startswith("A unique constraint was violated for Block. Check your input for duplicates: ")
    assert detail.endswith("DETAIL:  Key (agent_id, block_label)=(<agent>, one) already exists.")
    server.call("PATCH", f"/v1/blocks/{two['id']}", {"label": "three"})
    assert {block["label"] for block in server.read_agent(agent)["blocks"]} == {"one", "three"}


def test_delete_detaches_block_from_every_agent(server: Server) -> None:
    block = server.block()
    agents = [server.agent(block_ids=[block["id"]]) for _ in range(2)]
    assert server.call("DELETE", f"/v1/blocks/{block['id']}") is None
    assert [server.read_agent(agent)["blocks"] for agent in agents] == [[], []]
    assert server.ask("DELETE", f"/v1/blocks/{block['id']}").status_code == 404


def test_agents_of_block_are_listed(server: Server) -> None:
    block = server.block()
    agent = server.agent(block_ids=[block["id"]], tags=["t"])
    path = f"/v1/blocks/{block['id']}/agents"
    # for every client: only what is included
    assert [(each["id"], each["tags"]) for each in server.get(path)] == [(agent["id"], [])]
    assert [(each["tags"], each["blocks"]) for each in server.get(path, include="agent.tags")] == [(["t"], [])]


def test_agents_of_unknown_block_are_an_empty_list(server: Server) -> None:
    assert server.get("/v1/blocks/block-00000000-0000-4000-8000-000000000000/agents") == []


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"label": "{tag}-xb"}, "b"),
        ({"tags": "{tag}"}, "abc"),
        ({"tags": ["{tag}", "two"]}, "abc"),
        ({"tags": ["{tag}", "two"], "match_all_tags": True}, "ac"),
        ({"tags": ["{tag}", "{tag}"], "match_all_tags": True}, ""),  # counts tags instead of matching them
        ({"tags": "{tag}", "show_hidden_blocks": True}, "abcd"),
        ({"tags": "{tag}", "value_search": "VALUE B"}, "b"),
        ({"tags": "{tag}", "label_search": "-XC"}, "c"),
        ({"tags": "{tag}", "description_search": "ABOUT A"}, "a"),
        ({"tags": "{tag}", "name": "{tag}-xa"}, ""),  # searches a column that is always empty
        ({"tags": "{tag}", "connected_to_agents_count_eq": 0}, "bc"),
        ({"tags": "{tag}", "connected_to_agents_count_eq": 1}, "a"),
        ({"tags": "{tag}", "connected_to_agents_count_eq": [0, 1]}, "abc"),
        ({"tags": "{tag}", "connected_to_agents_count_gt": 0}, "a"),
        ({"tags": "{tag}", "connected_to_agents_count_gt": -1}, "a"),  # does not find blocks without agents
        ({"tags": "{tag}", "connected_to_agents_count_lt": 1}, "bc"),
    ],
    ids=str,
)
def test_list_filters(server: Server, params: dict[str, Any], found: str) -> None:
    tags = {"a": [server.tag, "two"], "b": [server.tag], "c": ["two", server.tag], "d": [server.tag]}
    created = {}
    for name in "abcd":
        fields = {"value": f"value {name}", "description": f"about {name}", "hidden": True if name == "d" else None}
        created[name] = server.block(label=f"{server.tag}-x{name}", tags=tags[name], **fields)["id"]
    server.agent(block_ids=[created["a"]])
    listed = {block["id"] for block in server.get("/v1/blocks/", **_filled(params, server.tag))}
    assert "".join(name for name, id in created.items() if id in listed) == found


def _filled(params: dict[str, Any], tag: str) -> dict[str, Any]:
    def fill(value: Any) -> Any:
        return value.replace("{tag}", tag) if isinstance(value, str) else value

    return {key: [fill(v) for v in value] if isinstance(value, list) else fill(value) for key, value in params.items()}


def test_agent_count_filter_sorts_by_id_and_breaks_cursor(server: Server) -> None:
    ids = [server.block(label=f"l{number}", tags=[server.tag])["id"] for number in range(6)]
    asked = {"tags": server.tag, "connected_to_agents_count_eq": 0}
    listed = [block["id"] for block in server.get("/v1/blocks/", **asked)]
    assert listed == sorted(ids)
    newest = [block["id"] for block in server.get("/v1/blocks/", after=ids[3], **asked)]
    assert newest == sorted(ids[4:])  # the cursor goes by creation time, the order by id


def test_count_includes_hidden_blocks(server: Server) -> None:
    server.block(tags=[server.tag])
    server.block(tags=[server.tag], hidden=True)
    assert server.get("/v1/blocks/count", tags=server.tag) == 2
    assert len(server.get("/v1/blocks/", tags=server.tag)) == 1


def test_agent_memory_is_read_and_written_by_label(server: Server) -> None:
    agent = server.agent(memory_blocks=[{"label": "notes", "value": "v", "tags": ["t"]}])
    path = f"/v1/agents/{agent['id']}/core-memory/blocks"
    assert [(block["label"], block["tags"]) for block in server.get(path)] == [("notes", ["t"])]
    assert server.call("PATCH", f"{path}/notes", {"value": "w"})["value"] == "w"
    assert server.get(f"{path}/notes")["value"] == "w"
    assert refusal(server.ask("GET", f"{path}/nope")) == (
        404,
        "No block with label 'nope' found for agent '<agent>'",
    )
