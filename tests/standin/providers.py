"""`/v1/providers/`: models under a key of one's own. Names are unique; deleted providers are only hidden."""

from __future__ import annotations

from tests.standin.lists import page
from tests.standin.server import ORGANIZATION, Ask, Body, Refusal, StandIn, absent, invalid, on, taken
from tests.standin.validate import check, faults

_TYPES = (
    *("anthropic", "azure", "baseten", "bedrock", "cerebras", "chatgpt_oauth", "deepseek", "fireworks", "google_ai"),
    *("google_vertex", "groq", "hugging-face", "letta", "lmstudio_openai", "minimax", "mistral", "ollama", "openai"),
    *("together", "vllm", "sglang", "openrouter", "xai", "zai", "zai_coding"),
)
_BASE = ("letta", "openai")  # the server's base providers
_KIND = "enum:" + "|".join(_TYPES)
_FIELDS = {"name": "str!", "provider_type": f"{_KIND}!", "api_key": "str!", "access_key": "str?", "region": "str?"}
_FIELDS |= {"base_url": "str?", "api_version": "str?"}
_UPDATE = {"api_key": "str!", "access_key": "str?", "region": "str?", "base_url": "str?", "api_version": "str?"}


def _not_deleted(server: StandIn) -> dict[str, Body]:
    return {id: each for id, each in server.tables.providers.items() if not each["_deleted"]}


def find(server: StandIn, id: str) -> Body:
    """A provider, or 404."""
    if id not in _not_deleted(server):
        raise absent("Provider", id)
    return server.tables.providers[id]


def _show(provider: Body) -> Body:
    return {key: value for key, value in provider.items() if not key.startswith("_")}


def _set(server: StandIn, provider: Body, fields: Body) -> Body:
    """0.16.8 keeps keys only under another name."""
    plain = ("name", "provider_type", "base_url", "region", "api_version")
    provider |= {name: fields[name] for name in plain if fields.get(name) is not None}
    provider |= {f"{key}_enc": fields[key] for key in ("api_key", "access_key") if fields.get(key) is not None}
    provider |= {"updated_at": server.now()}
    return _show(provider)


@on("POST", "/v1/providers/")
def _create(server: StandIn, ask: Ask) -> Body:
    body = check(ask.body, _FIELDS, closed=True)
    if body["name"] in _BASE:
        message = f"Provider name '{body['name']}' conflicts with an existing base provider. "
        raise Refusal(400, f"{message}Please choose a different name.")
    if not body.get("base_url"):
        body["base_url"] = _default_url(body["provider_type"])
    body["api_key"] = body["api_key"] or None
    known = next((each for each in server.tables.providers.values() if each["name"] == body["name"]), None)
    if known is not None and not known["_deleted"]:
        raise taken("Provider", "unique_name_organization_id", {"name": body["name"], "organization_id": ORGANIZATION})
    # a deleted provider is restored under its old id (0.16.8)
    created: Body = {"id": known["id"] if known else server.id("provider"), "name": None, "provider_type": None}
    created |= {"provider_category": "byok", "api_key": None, "base_url": None, "access_key": None, "region": None}
    created |= {"api_version": None, "organization_id": ORGANIZATION, "updated_at": None, "last_synced": None}
    created |= {"api_key_enc": None, "access_key_enc": None, "_deleted": False}
    server.tables.providers[created["id"]] = created
    return _set(server, created, body)


def _default_url(kind: str) -> str:
    if kind != "openai":
        raise Refusal(501, f"the stand-in does not model where {kind} is")
    return "http://stand.in/v1"


@on("GET", "/v1/providers/")
def _list(server: StandIn, ask: Ask) -> list[Body]:
    asked = {key: ask.query[key] for key in ("name", "provider_type") if ask.query.get(key)}
    if errors := faults(asked, {"provider_type": _KIND}, at=("query",)):
        raise invalid(errors)
    alive = _not_deleted(server)
    found = [_show(each) for each in alive.values() if all(each[key] == asked[key] for key in asked)]
    return page(ask, found, all_ids=list(alive), order="desc", zero_is_all=False)


@on("GET", "/v1/providers/{provider_id}")
def _get(server: StandIn, ask: Ask) -> Body:
    id = ask.names["provider_id"]
    if id not in server.tables.providers:
        raise Refusal(404, f"Provider not found with id='{id}'")
    return _show(server.tables.providers[id])  # deleted ones included (0.16.8)


@on("PATCH", "/v1/providers/{provider_id}")
def _patch(server: StandIn, ask: Ask) -> Body:
    provider = find(server, ask.names["provider_id"])
    return _set(server, provider, check(ask.body, _UPDATE, closed=True))


@on("DELETE", "/v1/providers/{provider_id}")
def _delete(server: StandIn, ask: Ask) -> Body:
    provider = find(server, ask.names["provider_id"])
    provider |= {"_deleted": True, "api_key_enc": None, "access_key_enc": None, "updated_at": server.now()}
    return {"message": f"Provider id={provider['id']} successfully deleted"}
