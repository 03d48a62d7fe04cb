"""Manifests of lettactl to a manifest: what a person would have written, whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lettaform.errors import ManifestError, PlanError
from lettaform.manifest import load
from lettaform.model import Imported, Manifest
from lettaform.session.from_lettactl import Options, from_lettactl
from tests.lettactl.written import SHOP

CLEAR = ("clear-access-0815", "clear-till-key-0815", "clear-bot-token", "shop-team-4711")
"""The secrets that stand in the sample in clear."""


def declared(folder: Path, *paths: Path, **options: Any) -> Imported:
    more = {key: options.pop(key) for key in ("stack", "fold") if key in options}
    return asyncio.run(from_lettactl(paths, folder, Options(**options), **more))


def loaded(folder: Path, found: Imported) -> Manifest:
    environ = dict.fromkeys(found.environment.values(), "value")
    given = {name: "value" for name in found.variables if name not in found.environment}
    return load(folder, variables=given, environ=environ)


def written(tmp_path: Path, text: str, files: Mapping[str, str] = {}) -> Path:
    for name, content in {**files, "fleet.yaml": text}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path / "fleet.yaml"


def agent(name: str, **more: str) -> str:
    fields = {"system_prompt": "{value: Hello.}", "llm_config": "{model: a/b}", "tools": "[]", **more}
    return f"  - {{name: {name}, {', '.join(f'{key}: {value}' for key, value in fields.items())}}}\n"


def test_a_fleet_with_every_field(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = declared(out, SHOP)
    manifest = loaded(out, found)
    assert manifest.stack == "fleet"
    assert (out / "prompts" / "clerk.md").read_text() == "You are the clerk of a shop.\n\nAnswer in one sentence."
    assert sorted(each.name for each in (out / "folders" / "handbook").iterdir()) == ["bells.md", "hours.md"]
    imports = {str(each.address): each.name for each in manifest.imports}
    assert imports == found.by_name
    external = {str(each.address) for each in manifest.objects.values() if each.external}
    mine = {str(a) for a in manifest.objects if not a.parent} - external
    assert imports.keys() == mine
    assert found.objects == {
        "mcp_servers": 3,
        "providers": 1,
        "blocks": 2,
        "tools": 4,
        "folders": 2,
        "archives": 1,
        "agents": 2,
        "conversations": 1,
    }
    assert len(found.not_declared) == 20


def test_no_secret_is_written_or_said(tmp_path: Path) -> None:
    found = declared(tmp_path / "out", SHOP)
    texts = [each.read_text() for each in (tmp_path / "out").rglob("*") if each.is_file()]
    assert [secret for secret in CLEAR if secret in "".join(texts) + str(found)] == []


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        declared(tmp_path / name, SHOP)
    one, two = ({p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*") if p.is_file()}
                for n in ("one", "two"))  # fmt: skip
    assert one == two


def test_a_manifest_as_a_person_writes_it(tmp_path: Path) -> None:
    names = ("emea", "apac", "amer")
    workers = "".join(agent(f"worker-{n}", system_prompt=f"{{from_file: prompts/worker-{n}.md}}",
                            secrets="{K: {from_env: K}}") for n in names)  # fmt: skip
    path = written(tmp_path, f"agents:\n{workers}", {f"prompts/worker-{n}.md": f"I am {n}.\n" for n in names})
    declared(tmp_path / "out", path)
    assert (tmp_path / "out" / "lettaform.yaml").read_text() == (
        "stack: fleet\n\n"
        "include: [imports.yaml]\n\n"
        'variables:\n  k: {secret: true, env: K, description: "Of agents.worker-emea: secrets.K."}\n\n'
        "defaults:\n"
        '  agents: {model: a/b, secrets: {K: "${var.k}"}}\n\n'
        "agents:\n"
        '  worker: {for_each: [emea, apac, amer], system: !file "prompts/worker-${each.key}.md"}\n'
    )
    assert '- {to: "agents.worker[emea]", name: worker-emea}' in (tmp_path / "out" / "imports.yaml").read_text()
    declared(tmp_path / "flat", path, fold=False, stack="other")
    assert "for_each" not in (tmp_path / "flat" / "lettaform.yaml").read_text()


def test_what_the_language_refuses_is_left_out_with_its_place(tmp_path: Path) -> None:
    text = (
        "mcp_servers:\n  - {name: m, type: stdio, command: npx, args: [a b]}\n"
        "agents:\n"
        + agent("a", tags="[git-memory-enabled]", tools="[broken, memory]")
        + agent("b", compaction_settings="{mode: sometimes, clip_chars: 5}")
    )
    path = written(tmp_path, text, {"tools/broken.py": "def broken(:\n"})
    found = declared(tmp_path / "out", path)
    assert [(each.place and each.place.line, each.what, each.reason) for each in found.not_declared] == [
        (2, "mcp_servers.m", "`args.0` is not declared: is empty or contains spaces, at which the server splits it"),
        (4, "agents.a", "`tools` is declared without tools.broken"),
        (
            4,
            "tools.broken",
            "is left out: tools/broken.py:1: is not valid Python in line 1 of the source: invalid syntax",
        ),
        (4, "agents.a", "`tags` is not declared: the tag `git-memory-enabled` is reserved by the server"),
        (
            5,
            "agents.b",
            "`compaction_settings.mode` is not declared: expected one of the allowed values, got the text 'sometimes'",
        ),
    ]
    assert load(tmp_path / "out", environ={})


def test_a_problem_leaves_nothing_behind(tmp_path: Path) -> None:
    path = written(tmp_path, "agents: [{name: a}]")
    with pytest.raises(ManifestError):
        declared(tmp_path / "out", path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["fleet.yaml"]


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="is not an empty folder"):
        declared(tmp_path, written(tmp_path, f"agents:\n{agent('a')}"))
