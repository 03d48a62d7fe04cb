"""A manifest in a saved plan is the manifest again, without the values of its secrets."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.errors import ManifestError, Stale
from lettaform.manifest import Given, begin, load
from lettaform.manifest.saved import decode, dump, encode, open_saved
from lettaform.manifest.scope import unset_secret
from lettaform.model import Manifest
from lettaform.values import Digest, Item, Ref, Secret, Template

TEXT = """
stack: n
variables:
  token: {secret: true, env: THE_TOKEN}
  region: {default: emea}
  sizes: {type: map, default: {a: 1}}
limits: {agents: 5}
blocks:
  shared: {value: !file text.md}
mcp_servers:
  m: {url: "https://example.com/mcp?key=${var.token}"}
agents:
  a:
    description: "${var.region}"
    prevent: &x ~
    system: "Ask ${agents.b.id}."
    secrets: {TOKEN: "${var.token}", OTHER: "Bearer ${env.N_OTHER}"}
    blocks: [shared]
  b: {for_each: [x, y], metadata: {$is: Secret, key: "${each.key}"}}
moved: [{from: agents.old, to: agents.a}]
outputs: {id: "${agents.a.id}"}
""".replace("    prevent: &x ~\n", "").replace('"Ask ${agents.b.id}."', '"Ask ${agents.b[x].id}."')
GIVEN = {"N_OTHER": "OOOO-OOOO", "THE_TOKEN": "TTTT-TTTT"}


@pytest.fixture
def whole(tmp_path: Path) -> Manifest:
    project = tmp_path / "project"
    project.mkdir()
    (project / "lettaform.yaml").write_text(TEXT)
    (project / "text.md").write_text("One.")
    return load(project, environ=GIVEN)


def given(folder: Path, environ: dict[str, str] = GIVEN, **variables: str) -> Given:
    return Given(folder, (), None, variables, (), environ)


def again(part: Any) -> Any:
    return json.loads(json.dumps(part))


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        ["a", ("b", 2), {}],
        {"$secret": "no secret", "$x": {"$is": "Ref"}},
        Template(("a", Ref(Address.parse("agents.a")))),
        Digest(["a"], unordered=True),
        Item("key", "name", {"text": "A."}, "id"),
    ],
)
def test_a_value_is_the_same_again(value: Any) -> None:
    found = decode(again(encode(value, {})), unset_secret)
    assert (found, type(found)) == (value, type(value))
    assert getattr(found, "body", None) == getattr(value, "body", None)


def test_a_secret_is_saved_as_its_source() -> None:
    token = Secret("${var.token}", "TTTT")
    for secret in (token, Secret("a ${var.token}", "a TTTT", ("a ", token), hidden=True)):
        saved = again(encode(secret, {}))
        assert "TTTT" not in json.dumps(saved)
        found = decode(saved, lambda expression: Secret(expression, "UUUU"))
        assert found == replace(secret, value=secret.value.replace("TTTT", "UUUU"))
        assert (found.hidden, str(found)) == (secret.hidden, str(secret))
        assert decode(saved, unset_secret).unset


def test_a_manifest_is_the_same_without_its_files(whole: Manifest, tmp_path: Path) -> None:
    part = again(dump(whole, ()))
    assert not [secret for secret in GIVEN.values() if secret in json.dumps(part)]
    draft = open_saved(part, {"${var.token}": ["agents.a"], "${env.N_OTHER}": ["agents.a"]}, given(tmp_path))
    assert not draft.from_files
    found = draft.finish()
    assert {address: replace(each, files={}) for address, each in whole.objects.items()} == found.objects
    assert replace(found, objects={}) == replace(whole, objects={})


def test_only_secrets_that_are_written_need_values(whole: Manifest, tmp_path: Path) -> None:
    part = again(dump(whole, ()))
    assert open_saved(part, {}, given(tmp_path, {})).finish().stack == "n"
    needed = {"${var.token}": ["agents.a", "mcp_servers.m"], "${env.N_OTHER}": ["agents.a"]}
    with pytest.raises(ManifestError) as refused:
        open_saved(part, needed, given(tmp_path, {})).finish()
    assert [str(each) for each in refused.value.problems] == [
        "the variable `token` has no value: agents.a, mcp_servers.m needs it (give it with --var token=…, "
        "--var-file FILE, export LETTAFORM_VAR_token=… or export THE_TOKEN=…)",
        "the environment variable `N_OTHER` has no value: agents.a needs it (export N_OTHER=…)",
    ]
    assert [each.address for each in refused.value.problems] == ["agents.a", "agents.a"]


def test_a_secret_in_clear_is_not_saved(tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text("stack: n\nagents: {a: {secrets: {K: in-clear-9}}}\n")
    part = again(dump(load(tmp_path), ()))
    assert "in-clear-9" not in json.dumps(part)
    assert open_saved(part, {"literal": ["agents.a"]}, given(tmp_path)).finish().objects  # it is in the file
    (tmp_path / "lettaform.yaml").unlink()
    with pytest.raises(ManifestError, match=r"writes a secret that only the manifest of agents.a has"):
        open_saved(part, {"literal": ["agents.a"]}, given(tmp_path)).finish()


@pytest.mark.parametrize(
    ("file", "text", "values", "why"),
    [
        ("text.md", "Two.", {}, "text.md has changed"),
        ("other.md", "Two.", {}, None),
        ("text.md", "One.", {}, None),
        (None, None, {"region": "apac"}, "var.region has another value than planned"),
        (None, None, {"region": "emea"}, None),
        (None, None, {"sizes": "{a: 2}"}, "var.sizes has another value than planned"),
    ],
)
def test_files_and_values_that_are_there_must_be_those_of_the_plan(
    file: str | None, text: str, values: dict[str, str], why: str | None, whole: Manifest, tmp_path: Path
) -> None:
    if file:
        (tmp_path / file).write_text(text)
    draft = open_saved(again(dump(whole, ())), {}, given(tmp_path, **values))
    if why is None:
        assert draft.finish().stack == "n"
        return
    with pytest.raises(Stale) as stale:
        draft.finish()
    assert stale.value.message == f"the plan is stale: {why}"


def test_where_the_project_is_there_it_is_read_with_the_values_of_the_plan(whole: Manifest, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "lettaform.yaml").write_text(TEXT.replace("{default: emea}", "{}").replace("n\n", "n\n# edited\n", 1))
    draft = open_saved(again(dump(whole, ())), {}, given(project))
    assert draft.from_files
    assert draft.finish().inputs.variables["var.region"] == "emea"
    assert begin(project, environ=GIVEN, planned={"region": "x"}).finish().inputs.variables["var.region"] == "x"


def test_a_file_that_is_uploaded_is_saved(tmp_path: Path) -> None:

    (path := tmp_path / "a.pdf").write_bytes(data := b"\xff%PDF")
    item = Item(f"a.pdf 5 {hashlib.sha256(data).hexdigest()}", "a.pdf", {"path": str(path)})
    manifest = Manifest("n", {}, outputs={"x": [item]})
    kept, left = (decode(again(dump(manifest, each)), unset_secret).outputs["x"][0] for each in ([item], []))
    assert kept.body == {"base64": "/yVQREY="}
    assert left.body == {}
    path.write_text("changed")
    with pytest.raises(Stale, match=r"a\.pdf has changed"):
        dump(manifest, [item])


@pytest.mark.parametrize("part", [{}, {"$is": "Manifest"}, {"$is": "Path"}, {"$address": "agents.a"}, "x"])
def test_what_is_no_manifest_is_refused_at_once(part: Any, tmp_path: Path) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        open_saved(part, {}, given(tmp_path))


def test_a_secret_that_functions_make_is_made_again(tmp_path: Path) -> None:
    one = "${upper(var.token)}"
    text = (
        f"stack: n\nvariables: {{token: {{secret: true}}}}\nagents: {{a: {{for_each: [x], secrets: {{K: '{one}'}}}}}}\n"
    )
    (tmp_path / "lettaform.yaml").write_text(text)
    part = again(dump(load(tmp_path, variables={"token": "tttt"}), ()))
    assert "TTTT" not in json.dumps(part)
    (tmp_path / "lettaform.yaml").unlink()
    needed = {one: ["agents.a[x]"]}
    found = open_saved(part, needed, given(tmp_path, {}, token="uuuu")).finish()
    assert found.objects[Address.parse("agents.a[x]")].values["secrets"] == {"K": Secret(one, "UUUU")}
    with pytest.raises(ManifestError, match="the variable `token` has no value"):
        open_saved(part, needed, given(tmp_path, {})).finish()
