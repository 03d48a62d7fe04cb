"""Lists: order, cursors and limits, the same for every resource."""

from __future__ import annotations

import pytest

from tests.conformance.server_under_test import Server, unknown_id


def _six(server: Server, section: str) -> list[str]:
    ids = []
    for number in range(6):
        if section == "agents":
            created = server.agent(tags=[server.tag])
        elif section == "blocks":
            created = server.block(tags=[server.tag])
        else:
            key = {"identifier_key": f"{server.tag}-{number}", "name": server.tag, "identity_type": "user"}
            created = server.call("POST", "/v1/identities/", key)
        ids.append(str(created["id"]))
    return ids


_FILTER = {"agents": "tags", "blocks": "tags", "identities": "name"}


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("section", ["agents", "blocks", "identities"])
def test_pages_have_no_gaps(server: Server, section: str, order: str) -> None:
    ids = _six(server, section)
    query = {_FILTER[section]: server.tag, "order": order, "limit": 4}
    first = [each["id"] for each in server.get(f"/v1/{section}/", **query)]
    second = [each["id"] for each in server.get(f"/v1/{section}/", after=first[-1], **query)]
    assert first + second == (ids if order == "asc" else ids[::-1])


@pytest.mark.parametrize(("section", "order"), [("agents", "desc"), ("blocks", "asc"), ("identities", "desc")])
def test_default_order(server: Server, section: str, order: str) -> None:
    ids = _six(server, section)
    listed = [each["id"] for each in server.get(f"/v1/{section}/", **{_FILTER[section]: server.tag})]
    assert listed == (ids if order == "asc" else ids[::-1])


@pytest.mark.parametrize("section", ["agents", "blocks"])
def test_unknown_cursor_is_ignored(server: Server, section: str) -> None:
    ids = _six(server, section)
    query = {"tags": server.tag, "order": "asc", "limit": 2}
    cursor = unknown_id(section.removesuffix("s"))
    assert [each["id"] for each in server.get(f"/v1/{section}/", after=cursor, **query)] == ids[:2]


@pytest.mark.parametrize("section", ["agents", "blocks"])
def test_before_pages_from_the_start(server: Server, section: str) -> None:
    ids = _six(server, section)
    query = {"tags": server.tag, "order": "asc", "limit": 2, "before": ids[4]}
    assert [each["id"] for each in server.get(f"/v1/{section}/", **query)] == ids[:2]


@pytest.mark.parametrize("section", ["agents", "blocks"])
def test_limit_zero_lists_everything(server: Server, section: str) -> None:
    ids = _six(server, section)
    assert len(server.get(f"/v1/{section}/", tags=server.tag, limit=0)) == len(ids)


def test_limit_zero_of_tools_lists_nothing(server: Server) -> None:
    assert server.get("/v1/tools/", limit=0) == []


def test_agents_are_filtered_by_name_and_tags(server: Server) -> None:
    one = server.agent(name=f"{server.tag}-One", tags=[server.tag, "a,b"])["id"]
    two = server.agent(name=f"{server.tag}-Two", tags=[server.tag, "c"])["id"]
    hidden = server.agent(name=f"{server.tag}-Three", tags=[server.tag], hidden=True)["id"]
    for query, found in (
        ({"name": f"{server.tag}-One"}, {one}),
        ({"name": f"{server.tag}-one"}, set()),
        ({"query_text": f"{server.tag}-O"}, {one}),
        ({"query_text": f"{server.tag}-t"}, {two}),
        ({"tags": server.tag}, {one, two}),
        ({"tags": ["a,b", f"{server.tag}-none"]}, {one}),
        ({"tags": [server.tag, "a,b"], "match_all_tags": True}, {one}),
        ({"tags": [server.tag, server.tag], "match_all_tags": True}, {one, two}),
        ({"tags": server.tag, "show_hidden_agents": True}, {one, two, hidden}),
    ):
        assert {agent["id"] for agent in server.get("/v1/agents/", **query)} == found, query
        assert server.get("/v1/agents/count", **query) == len(found), query
