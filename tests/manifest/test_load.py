"""Valid manifests to the values that `load` returns."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.errors import ManifestError, Place
from lettaform.manifest import begin, load
from lettaform.manifest.node import Node
from lettaform.model import Desired, External, Import, Manifest, Moved, Removed
from lettaform.values import Ref, Secret, Template
from tests.manifest.broken import TOOL
from tests.manifest.conftest import Project

at = Address.parse


def values(manifest: Manifest, address: str) -> dict[str, Any]:
    return dict(manifest.objects[at(address)].values)


# --- objects ---


def test_a_name_is_the_key_unless_given(project: Project) -> None:
    project.write("stack: s\nagents: {a: {}, b: {name: Bee}}\nblocks: {c: {}, d: {label: dee}}\n")
    manifest = project.load()
    assert manifest.stack == "s"
    assert {str(address): dict(desired.values) for address, desired in manifest.objects.items()} == {
        "agents.a": {"name": "a"},
        "agents.b": {"name": "Bee"},
        "blocks.c": {"label": "c"},
        "blocks.d": {"label": "dee"},
    }


def test_own_blocks_are_objects(project: Project) -> None:
    project.write(
        """
        stack: s
        agents:
          a:
            memory:
              human: Nobody.
              persona: {value: Me., limit: 100, policy: {value: enforce}, lifecycle: {prevent_destroy: true}}
        """
    )
    manifest = project.load()
    assert "memory" not in values(manifest, "agents.a")
    assert values(manifest, "agents.a.memory.human") == {"label": "human", "value": "Nobody."}
    assert manifest.objects[at("agents.a.memory.persona")] == Desired(
        address=Address.of("agents", "a").part("memory", "persona"),
        kind="block",
        values={"label": "persona", "value": "Me.", "limit": 100},
        place=Place("lettaform.yaml", 6, 7),
        places={
            "value": Place("lettaform.yaml", 6, 17),
            "limit": Place("lettaform.yaml", 6, 29),
            "policy": Place("lettaform.yaml", 6, 41),
            "policy.value": Place("lettaform.yaml", 6, 50),
            "lifecycle": Place("lettaform.yaml", 6, 67),
            "lifecycle.prevent_destroy": Place("lettaform.yaml", 6, 79),
        },
        policies={"value": "enforce"},
        prevent_destroy=True,
    )


def test_every_value_has_its_place(project: Project) -> None:
    project.write(
        "stack: s\nagents:\n  a:\n    tool_rules:\n      - {type: run_first, tool_name: x}\n    tags: [x, y]\n"
    )
    desired = project.load().objects[at("agents.a")]
    assert desired.place == Place("lettaform.yaml", 3, 3)
    assert desired.place_of("tool_rules.0.type") == Place("lettaform.yaml", 5, 10)
    assert desired.place_of("tags.1") == Place("lettaform.yaml", 6, 15)
    assert desired.place_of("name") == desired.place


def test_fields_that_are_not_set_and_null(project: Project) -> None:
    project.write("stack: s\nagents: {a: {description: null, metadata: {gone: null, kept: 1}, secrets: {K: null}}}\n")
    assert values(project.load(), "agents.a") == {
        "name": "a",
        "description": None,
        "metadata": {"gone": None, "kept": 1},
        "secrets": {"K": None},
    }


def test_ownership(project: Project) -> None:
    project.write(
        """
        stack: s
        agents:
          a: {policy: {tools: enforce}, lifecycle: {ignore_changes: [system], prevent_destroy: true}}
        """
    )
    desired = project.load().objects[at("agents.a")]
    assert desired.policies == {"tools": "enforce", "system": "ignore"}
    assert desired.prevent_destroy


def test_whole_number_where_a_number_is_wanted(project: Project) -> None:
    project.write("stack: s\nagents: {a: {model_settings: {provider_type: openai, temperature: 1}}}\n")
    assert values(project.load(), "agents.a")["model_settings"]["temperature"] == 1


# --- references ---


def test_references(project: Project) -> None:
    project.write(
        """
        stack: s
        blocks:
          one: {}
          many: {for_each: [x, y]}
          never: {when: false}
        tools: {t: {source: t.py}}
        agents:
          a:
            blocks: [one, many, never]
            tools: [t, web_search, run_code]
          b:
            blocks: ["many[y]", "${blocks.one.id}"]
            tools: [web_search]
        """,
        {"t.py": TOOL},
    )
    manifest = project.load()
    assert values(manifest, "agents.a")["blocks"] == [
        Ref(at(b)) for b in ("blocks.one", "blocks.many[x]", "blocks.many[y]")
    ]
    assert values(manifest, "agents.b")["blocks"] == [Ref(at("blocks.many[y]")), Ref(at("blocks.one"))]
    assert values(manifest, "agents.a")["tools"] == [
        Ref(at(t)) for t in ("tools.t", "tools.web_search", "tools.run_code")
    ]
    assert manifest.objects[at("tools.web_search")] == Desired(
        at("tools.web_search"), "tool", {}, Place("lettaform.yaml", 10, 16), external=External(name="web_search")
    )
    assert at("blocks.never") not in manifest.objects


def test_declared_tools_take_precedence_over_built_in_ones(project: Project) -> None:
    project.write("stack: s\ntools: {web_search: {external: true, id: tool-1}}\nagents: {a: {tools: [web_search]}}\n")
    assert project.load().objects[at("tools.web_search")].external == External(id="tool-1")


def test_references_in_texts(project: Project) -> None:
    project.write(
        """
        stack: s
        blocks: {o: {value: "x ${agents.boss.memory.human.id} y"}}
        agents:
          boss: {name: The Boss, memory: {human: "of ${agents.boss.name}"}, model_settings: {provider_type: openai}}
          a:
            description: "to ${agents.boss.name}, ${agents.boss.id} and ${blocks.o.id}"
            metadata: {boss: "${agents.boss.id}", type: "${agents.boss.model_settings.provider_type}"}
            timezone: "${agents.boss.timezone}"
        """
    )
    manifest = project.load()
    boss, human = Ref(at("agents.boss")), Ref(at("agents.boss.memory.human"))
    assert values(manifest, "blocks.o")["value"] == Template(("x ", human, " y"))
    assert values(manifest, "agents.boss.memory.human")["value"] == "of The Boss"
    a = values(manifest, "agents.a")
    assert a["description"] == Template(("to The Boss, ", boss, " and ", Ref(at("blocks.o"))))
    assert a["metadata"] == {"boss": boss, "type": "openai"}
    assert a["timezone"] == Ref(at("agents.boss"), "timezone")


def test_templates_are_not_nested(project: Project) -> None:
    project.write(
        """
        stack: s
        blocks: {o: {}}
        agents:
          a: {description: "[${blocks.o.id}]"}
          b: {description: "<${agents.a.description}>"}
        """
    )
    assert values(project.load(), "agents.b")["description"] == Template(("<[", Ref(at("blocks.o")), "]>"))


def chain(field: str, length: int) -> str:
    """Agents that each refer to the next one. `field`: their fields, with N for the number of the next one."""
    agents = "".join(f"  a{n}: {field.replace('N', str(n + 1))}\n" for n in range(length))
    return f"stack: s\nagents:\n{agents}  a{length}: {{description: {'x' * 100}}}\n"


def test_deeply_nested_values_across_objects_are_rejected(project: Project) -> None:
    """Each value is nested deeply and refers to the next: evaluating them all would overflow the stack."""
    project.write(chain("{metadata: " + "{x: " * 90 + '"${agents.aN.metadata.x}"' + "}" * 90 + "}", 50))
    assert any("nested lists and maps" in problem.message for problem in project.problems())


def test_long_chains_of_fields_are_rejected(project: Project) -> None:
    project.write(chain('{description: "${agents.aN.description}"}', 20))
    assert values(project.load(), "agents.a0")["description"] == "x" * 100
    project.write(chain('{description: "${agents.aN.description}"}', 500))
    assert any("take their values from one another" in problem.message for problem in project.problems())


def test_texts_that_grow_exponentially_are_rejected(project: Project) -> None:
    project.write(chain('{description: "${agents.aN.description}${agents.aN.description}"}', 25))
    (problem,) = project.problems()
    assert problem.message.startswith("the expressions produce more than 64")


def test_a_number_that_is_known_after_apply(project: Project) -> None:
    project.write('stack: s\nagents: {a: {}, b: {context_window: "${agents.a.context_window}"}}\n')
    assert values(project.load(), "agents.b")["context_window"] == Ref(at("agents.a"), "context_window")


def test_external(project: Project) -> None:
    project.write(
        """
        stack: s
        blocks:
          a: {external: true, name: "shared-${stack}"}
          b: {external: true, id: block-1}
          c: {external: true, stack: other, address: "blocks.c[x]"}
        """
    )
    found = {address.key: desired.external for address, desired in project.load().objects.items()}
    assert found == {
        "a": External(name="shared-s"),
        "b": External(id="block-1"),
        "c": External(stack="other", address=at("blocks.c[x]")),
    }


# --- tools ---


def test_tools(project: Project) -> None:
    project.write(
        """
        stack: s
        tools:
          from_file: {source: "tools/${stack}.py"}
          inline:
            source: |
              def whisper(text: str) -> str:
                  "Whisper."
                  return text.lower()
          tagged: {source: !file other.txt}
          typed: {source: t.ts, json_schema: {name: typed, parameters: {type: object, properties: {}}}}
        agents: {a: {description: "${tools.from_file.name}"}}
        """,
        {"tools/s.py": TOOL, "other.txt": TOOL.replace("shout", "other"), "t.ts": "export const typed = () => 1\n"},
    )
    manifest = project.load()
    names = {address.key: d.values["name"] for address, d in manifest.objects.items() if d.kind == "tool"}
    assert names == {"from_file": "shout", "inline": "whisper", "tagged": "other", "typed": "typed"}
    assert values(manifest, "tools.from_file") == {"name": "shout", "source": TOOL}
    assert values(manifest, "tools.typed")["source_type"] == "typescript"
    assert values(manifest, "agents.a")["description"] == "shout"


# --- merging ---


def test_defaults(project: Project) -> None:
    project.write(
        """
        stack: s
        defaults:
          agents:
            model: a/b
            description: Someone.
            tags: [x]
            memory: {human: {value: Nobody., limit: 100}, persona: Me.}
            metadata: {team: red, floor: 1}
            policy: {tags: enforce}
        agents:
          a: {tags: [y], memory: {human: Anna.}, metadata: {floor: 2}, policy: {name: ignore}}
          b: {description: null, memory: {human: !unset }, metadata: !unset }
        """
    )
    manifest = project.load()
    assert values(manifest, "agents.a") == {
        "name": "a",
        "model": "a/b",
        "description": "Someone.",
        "tags": ["y"],
        "metadata": {"team": "red", "floor": 2},
    }
    assert manifest.objects[at("agents.a")].policies == {"tags": "enforce", "name": "ignore"}
    assert values(manifest, "agents.a.memory.human") == {"label": "human", "value": "Anna.", "limit": 100}
    assert values(manifest, "agents.b") == {"name": "b", "model": "a/b", "description": None, "tags": ["x"]}
    assert at("agents.b.memory.human") not in manifest.objects
    assert values(manifest, "agents.b.memory.persona")["value"] == "Me."


def test_defaults_leave_external_objects_alone(project: Project) -> None:
    project.write("stack: s\ndefaults: {blocks: {limit: 5}}\nblocks: {b: {external: true, id: block-1}}\n")
    assert values(project.load(), "blocks.b") == {}


def test_environments(project: Project) -> None:
    project.write(
        """
        stack: s
        variables: {model: {default: a/small, description: Which.}}
        environments:
          prod:
            stack: s-prod
            server: {url: "https://letta.example.com"}
            variables: {model: {default: a/large}}
            agents:
              a: {lifecycle: {prevent_destroy: true}, memory: {human: In production.}}
              test: !unset
              extra: {}
        agents:
          a: {model: "${var.model}", memory: {human: {value: Nobody., limit: 100}}}
          test: {}
        """
    )
    plain, prod = project.load(), project.load(environment="prod")
    assert (plain.stack, plain.server.url, plain.environment) == ("s", None, None)
    assert (prod.stack, prod.server.url, prod.environment) == ("s-prod", "https://letta.example.com", "prod")
    assert values(plain, "agents.a")["model"] == "a/small"
    assert values(prod, "agents.a")["model"] == "a/large"
    assert values(prod, "agents.a.memory.human") == {"label": "human", "value": "In production.", "limit": 100}
    assert [d.prevent_destroy for d in (plain.objects[at("agents.a")], prod.objects[at("agents.a")])] == [False, True]
    assert at("agents.test") in plain.objects
    assert at("agents.test") not in prod.objects
    assert at("agents.extra") in prod.objects


def test_an_empty_line_in_an_environment_removes_nothing(project: Project) -> None:
    project.write(
        """
        stack: s
        variables: {v: {default: x}}
        environments: {prod: {agents: {a: }, blocks: , variables: {v: }}}
        agents: {a: {description: "${var.v}"}}
        blocks: {b: {value: y}}
        """
    )
    assert project.load(environment="prod").objects == project.load().objects


# --- for_each, when, variables ---


def test_for_each(project: Project) -> None:
    project.write(
        """
        stack: s
        agents:
          list: {for_each: [x, 2], description: "${each.key} ${each.value}"}
          map: {for_each: {x: {lang: en, top: 3}}, name: "m-${each.key}", max_files_open: "${each.value.top}"}
          none: {for_each: []}
          some: {for_each: {x: true, y: false}, when: "${each.value}"}
        blocks:
          odd: {for_each: ["a b"]}
        """
    )
    manifest = project.load()
    assert {str(a): dict(d.values) for a, d in manifest.objects.items()} == {
        "agents.list[x]": {"name": "list-x", "description": "x x"},
        "agents.list[2]": {"name": "list-2", "description": "2 2"},
        "agents.map[x]": {"name": "m-x", "max_files_open": 3},
        "agents.some[x]": {"name": "some-x"},
        'blocks.odd["a b"]': {"label": "odd-a b"},
    }


VARIABLES = """\
stack: s
variables:
  text: {default: d}
  number: {type: number, default: 1}
  flag: {type: bool, default: false}
  list: {type: list, default: []}
  map: {type: map, default: {a: [1]}}
  region: {env: REGION, default: nowhere}
agents:
  a:
    name: "${var.text}"
    description: "${var.number} ${var.flag} ${var.region} ${var.map.b}"
    hidden: "${var.flag}"
    max_files_open: "${var.number}"
    tags: "${var.list}"
    metadata: "${var.map}"
"""


def test_variables_from_the_command_line(project: Project) -> None:
    project.write(VARIABLES)
    given = {
        "text": "007",
        "number": "5",
        "flag": "true",
        "list": "[x, '1']",
        "map": '{"b": "no"}',
        "region": "${var.x}",
    }
    assert values(project.load(variables=given), "agents.a") == {
        "name": "007",
        "description": "5 true ${var.x} no",
        "hidden": True,
        "max_files_open": 5,
        "tags": ["x", "1"],
        "metadata": {"b": "no"},
    }


def test_precedence_of_the_values_of_a_variable(project: Project, tmp_path: Path) -> None:
    project.write("stack: s\nvariables: {v: {env: V, default: default}}\nblocks: {b: {value: '${var.v}'}}\n")
    (tmp_path / "one.yaml").write_text("v: first file\n")
    (tmp_path / "two.json").write_text('{"v": "second file"}')

    def value(**words: Any) -> Any:
        return values(project.load(**words), "blocks.b")["value"]

    assert value() == "default"
    assert value(environ={"V": "env"}) == "env"
    assert value(environ={"V": "env", "LETTAFORM_VAR_v": "own"}) == "own"
    files = [Path("one.yaml"), Path("two.json")]
    assert value(environ={"LETTAFORM_VAR_v": "own"}, variable_files=files) == "second file"
    assert value(variable_files=files, variables={"v": "line"}) == "line"


def test_a_misspelled_variable_of_the_environment_is_a_warning(project: Project) -> None:
    project.write("stack: s\nvariables: {region: {default: x}}\n")
    environ = {"LETTAFORM_VAR_regoin": "y", "LETTAFORM_VAR_of_somebody_else": "z"}
    (warning,) = project.load(environ=environ).warnings
    assert warning.message == "LETTAFORM_VAR_regoin is set, but there is no variable `regoin`"
    assert warning.severity == "warning"


def test_expressions(project: Project) -> None:
    project.write(
        """
        stack: s
        environments: {prod: {}}
        blocks:
          a: {value: "$${var.x} costs $5 {} ${ stack } }"}
          b: {value: "${environment}-${stack}"}
          c: {value: !file raw.txt}
        """,
        {"raw.txt": "${var.unknown} is only text\n"},
    )
    manifest = project.load(environment="prod")
    assert values(manifest, "blocks.a")["value"] == "${var.x} costs $5 {} s }"
    assert values(manifest, "blocks.b")["value"] == "prod-s"
    assert values(manifest, "blocks.c")["value"] == "${var.unknown} is only text\n"


def test_secrets(project: Project) -> None:
    project.write(
        """
        stack: s
        variables: {key: {secret: true}}
        agents:
          a:
            secrets:
              ALONE: "${var.key}"
              INSIDE: "Bearer ${var.key}:${env.TOKEN}"
              LITERAL: plain
        """
    )
    secrets = values(project.load(environ={"LETTAFORM_VAR_key": "k1", "TOKEN": "t1"}), "agents.a")["secrets"]
    assert secrets == {
        "ALONE": Secret("${var.key}", "k1"),
        "INSIDE": Secret("Bearer ${var.key}:${env.TOKEN}", "Bearer k1:t1"),
        "LITERAL": Secret("literal", "plain"),
    }


def test_json(project: Project) -> None:
    project.write("stack: s\nagents: {a: {metadata: !json m.json}}\n", {"m.json": '{"a": [1, 2.5, null, "${x}"]}'})
    assert values(project.load(), "agents.a")["metadata"] == {"a": [1, 2.5, None, "${x}"]}


# --- sections that are not objects ---


def test_moved_imports_removed_outputs(project: Project) -> None:
    project.write(
        """
        stack: s
        agents: {a: {memory: {human: x}}, w: {for_each: [x, y]}}
        moved:
          - {from: agents.old, to: agents.a}
          - {from: agents.a.memory.person, to: agents.a.memory.human}
          - {from: agents.worker, to: agents.w}
          - {from: agents.one, to: agents.two}
          - {from: agents.two, to: agents.a}
        imports: [{to: "agents.w[x]", id: agent-1}, {to: "agents.w[y]", name: "${stack} y"}]
        removed: [{from: agents.gone}, {from: "blocks.b[z]", destroy: true}]
        outputs: {id: "${agents.a.id}", list: ["${agents.w[y].name}", 1]}
        """
    )
    manifest = project.load()
    assert [(str(moved.old), str(moved.new)) for moved in manifest.moved] == [
        ("agents.old", "agents.a"),
        ("agents.a.memory.person", "agents.a.memory.human"),
        ("agents.worker[x]", "agents.w[x]"),
        ("agents.worker[y]", "agents.w[y]"),
        ("agents.one", "agents.two"),
        ("agents.two", "agents.a"),
    ]
    assert manifest.moved[0] == Moved(at("agents.old"), at("agents.a"), Place("lettaform.yaml", 4, 5))
    assert manifest.imports == (
        Import(at("agents.w[x]"), "agent-1", Place("lettaform.yaml", 9, 11)),
        Import(at("agents.w[y]"), None, Place("lettaform.yaml", 9, 45), f"{manifest.stack} y"),
    )
    assert manifest.removed == (
        Removed(at("agents.gone"), False, Place("lettaform.yaml", 10, 11)),
        Removed(at("blocks.b[z]"), True, Place("lettaform.yaml", 10, 32)),
    )
    assert manifest.outputs == {"id": Ref(at("agents.a")), "list": ["w-y", 1]}


# --- files ---


def test_without_a_lettaform_yaml_the_folder_is_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("stack: s\nvariables: {v: {default: x}}\n")
    (tmp_path / "b.yml").write_text("agents: {a: {description: '${var.v}'}}\n")
    (tmp_path / ".hidden.yaml").write_text("nonsense")
    assert [str(address) for address in load(tmp_path, environ={}).objects] == ["agents.a"]
    (tmp_path / "lettaform.yaml").write_text("stack: alone\n")
    assert load(tmp_path, environ={}).objects == {}
    assert load(tmp_path, [Path("a.yaml"), Path("b.yml")], environ={}).stack == "s"


def test_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ManifestError, match=r"there is no manifest in `.` .*lettaform init"):
        load(Path())


def test_a_file_outside_the_project(tmp_path: Path) -> None:
    (tmp_path / "out.yaml").write_text("stack: s\n")
    (tmp_path / "project").mkdir()
    with pytest.raises(ManifestError, match="is outside the project"):
        load(tmp_path / "project", [tmp_path / "out.yaml"])


def test_include(project: Project) -> None:
    project.write(
        """
        stack: s
        include: [teams/*.yaml, more/../extra.yml]
        agents: {a: {blocks: [red]}}
        removed: [{from: agents.x}]
        """,
        {
            "teams/red.yaml": "include: [deep/one.yaml, ../lettaform.yaml]\nblocks: {red: {value: !file red.md}}\n",
            "teams/red.md": "I am red.\n",
            "teams/deep/one.yaml": "blocks: {one: {}}\nremoved: [{from: agents.y}]\n",
            "extra.yml": "defaults: {agents: {model: a/b}}\nenvironments: {prod: {agents: {a: {tags: [p]}}}}\n",
            "more/x": "",
        },
    )
    manifest = project.load()
    assert values(manifest, "blocks.red")["value"] == "I am red.\n"
    assert manifest.objects[at("blocks.one")].place == Place("teams/deep/one.yaml", 1, 10)
    assert values(manifest, "agents.a")["model"] == "a/b"
    assert [str(removed.address) for removed in manifest.removed] == ["agents.x", "agents.y"]
    assert manifest.warnings == ()


def names_of_files(project: Project) -> list[str]:
    return [item.name for item in values(project.load(), "folders.f")["files"]]


TREE = {
    "docs/a.md": "a", "docs/.gitkeep": "", "docs/.git/config": "x", "docs/deep/b.md": "b", "docs/deep/.c.md": "c",
    "docs/drafts/d.md": "d", "docs/picture.png": "x", ".github/e.md": "e",
}  # fmt: skip
PNG = '"!docs/picture.png"'


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (f'"docs/**/*", {PNG}', ["a.md", "deep__b.md", "drafts__d.md"]),
        (f'"docs/*", {PNG}', ["a.md"]),
        (f'"docs/?*", {PNG}', ["a.md"]),
        ('"docs/**/*.md", "!docs/drafts/*"', ["a.md", "deep__b.md"]),
        ('"!docs/**/a.md", "docs/**/*.md"', ["deep__b.md", "drafts__d.md"]),
        ('"docs/a.md", "docs/*.md", "!docs/a.md"', []),
        ('"docs/**/*.md", "!**/d.md", "!docs/a.md"', ["deep__b.md"]),
        ('".github/*.md"', ["e.md"]),
        ('"docs/**/.c*"', ["deep__.c.md"]),
        ('"**/*.md", "!docs/drafts/**/*"', ["docs__a.md", "docs__deep__b.md"]),
    ],
)
def test_patterns_leave_out_hidden_and_excluded_files(project: Project, patterns: str, names: list[str]) -> None:
    project.write(f"stack: s\nfolders: {{f: {{embedding: e/e, files: [{patterns}]}}}}\n", TREE)
    assert names_of_files(project) == names
    assert project.load().warnings == ()


def test_a_file_whose_name_begins_with_a_dot_is_refused_where_it_is_named(project: Project) -> None:
    project.write('stack: s\nfolders: {f: {embedding: e/e, files: ["docs/.g*"]}}\n', TREE)
    (problem,) = project.problems()  # 0.16.8 would change the name
    assert problem.message == "`docs/.gitkeep`: the server would change the name `.gitkeep`"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("docs/p.png", b"x"),
        ("docs/l.md", b"\xff"),
        ("docs/x?.md", b"x"),
        ("docs/[1].gif", b"x"),
        ('docs/q"\n.md', b"x"),
    ],
)
def test_the_hint_for_a_file_that_the_server_refuses_excludes_it(project: Project, name: str, content: bytes) -> None:
    manifest = 'stack: s\nfolders:\n  f: {embedding: e/e, files: ["docs/*"%s]}\n'
    project.write(manifest % "", {"docs/a.md": "a", name: content})
    (problem,) = project.problems()
    assert problem.hint
    exclusion = problem.hint.partition("exclude it with `")[2].partition("`")[0]
    project.write(manifest % f", {exclusion}")
    assert names_of_files(project) == ["a.md"]


@pytest.mark.parametrize(
    ("patterns", "message", "hint"),
    [
        ('".*.md"', "no file matches `.*.md`", None),
        ('"only/*"', "no file matches `only/*`", "`*` leaves out names that begin with a dot: write `.*` for those"),
        ('"a**"', "`a**` is not a valid pattern", "write a pattern such as `docs/**/*.md`"),
        ('"docs/*.md", "!../*"', "`../*` may match files outside the project", None),
        ("!docs/*", "unknown tag `!docs/*`", 'if it is a pattern that excludes files, quote it: "!docs/*"'),
    ],
)
def test_patterns_that_match_nothing(project: Project, patterns: str, message: str, hint: str | None) -> None:
    files = {**TREE, "only/.hidden": ""}
    project.write(
        f"stack: s\nfolders:\n  f:\n    embedding: e/e\n    files:\n    - {patterns}\n".replace(", ", "\n    - "), files
    )
    problem = next(each for each in project.problems() if message in each.message)
    assert hint is None or problem.hint == hint


def test_a_pattern_that_excludes_nothing_is_a_warning(project: Project) -> None:
    project.write('stack: s\nfolders: {f: {embedding: e/e, files: ["docs/*.md", "!docs/*.txt"]}}\n', TREE)
    (warning,) = project.load().warnings
    assert warning.message == "`!docs/*.txt` excludes no file"


def test_includes_leave_out_hidden_and_excluded_files(project: Project) -> None:
    manifest = 'stack: s\ninclude: ["teams/**/*.yaml", "!teams/old.yaml"]\n'
    files = {
        "teams/a.yaml": "agents: {a: {}}\n",
        "teams/old.yaml": "wrong",
        "teams/.b.yaml": "wrong",
        "teams/.d/c.yaml": "wrong",
    }
    assert [str(address) for address in project.write(manifest, files).load().objects] == ["agents.a"]


def test_an_include_that_matches_nothing_is_a_warning(project: Project) -> None:
    (warning,) = project.write("stack: s\ninclude: [teams/*.yaml]\n").load().warnings
    assert warning.message == "no file matches `teams/*.yaml`"


def test_a_file_that_is_named_in_two_ways_is_one_file(project: Project) -> None:
    patterns = '"docs/*.md", docs/a.md, ./docs/../docs/a.md'
    project.write(f"stack: s\nfolders: {{f: {{embedding: e/e, files: [{patterns}]}}}}\n", {"docs/a.md": "a"})
    assert names_of_files(project) == ["a.md"]


def test_two_files_with_one_name_are_named_as_they_are_below_the_project(project: Project) -> None:
    text = "stack: s\nfolders: {f: {embedding: e/e, files: [docs/a.md, other/a.md]}}\n"
    project.write(text, {"docs/a.md": "a", "other/a.md": "b"})
    (problem,) = project.problems()
    message = problem.message.replace(f"{project.folder}/", "")
    assert message == "files: two files have the name `a.md` on the server: docs/a.md and other/a.md"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("folders: {f: {embedding: e/e, files: [docs/*]}}", "`docs/b.md` links to a file that does not exist"),
        ("folders: {f: {embedding: e/e, files: [docs/b.md]}}", "`docs/b.md` links to a file that does not exist"),
        ("agents: {a: {system: !file docs/b.md}}", "`docs/b.md` links to a file that does not exist"),
        ("include: [docs/*.md]", "there is no file `docs/b.md`"),
    ],
)
def test_a_link_to_nothing_is_an_error(project: Project, text: str, message: str) -> None:
    project.write(f"stack: s\n{text}\n", {"docs/a.md": "agents: {}"})
    (project.folder / "docs/b.md").symlink_to("nowhere.md")
    (problem,) = project.problems()
    assert message in problem.message.replace(f"{project.folder}/", "")


@pytest.mark.parametrize("how", ["system: !file link.md", "metadata: !json link.md"])
def test_symlinks_to_files_outside_the_project_are_rejected(
    how: str, project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.md"
    outside.write_text("{}")
    project.write(f"stack: s\nagents:\n  a: {{{how}}}\n")
    (project.folder / "link.md").symlink_to(outside)
    (problem,) = project.problems()
    assert problem.message == "`link.md` is outside the project"


def test_includes_do_not_follow_symlinks_outside_the_project(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x.yaml").write_text("stack: s\n")
    project.write("stack: s\ninclude: [teams/*.yaml, 'link/*.yaml']\n", {"teams/a.yaml": "agents: {}\n"})
    (project.folder / "teams/b.yaml").symlink_to(outside / "x.yaml")
    (project.folder / "link").symlink_to(outside)
    assert [problem.message for problem in project.problems()] == [
        "`teams/*.yaml` matches files outside the project",
        "`link/*.yaml` matches files outside the project",
    ]


def test_places_are_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fleet").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "fleet/lettaform.yaml").write_text("stack: s\nagents: {a: {}}\n")
    monkeypatch.chdir(tmp_path)
    assert load(Path("fleet")).objects[at("agents.a")].place.file == "fleet/lettaform.yaml"
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load(Path("../fleet")).objects[at("agents.a")].place.file == f"{tmp_path}/fleet/lettaform.yaml"


def test_keys_with_other_characters_need_no_quotes_where_they_have_one_meaning(project: Project) -> None:
    project.write(
        """
        stack: s
        blocks:
          brand: {for_each: [acme/eu, v1.2, two words], label: "l-${each.value}", value: x}
          acme/eu: {value: x}
        agents:
          seller:
            for_each: [acme/eu, v1.2, two words]
            name: seller
            model: a/b
            blocks: ["brand[${each.key}]", acme/eu]
            system: "${blocks.brand[acme/eu].id}"
        moved: [{from: blocks.old/one, to: blocks.acme/eu}]
        imports: [{to: "blocks.brand[acme/eu]", id: block-1}]
        removed: [{from: "blocks.gone[a b]"}]
        """
    )
    manifest = project.load()
    for key in ("acme/eu", "v1.2", "two words"):
        references = manifest.objects[Address.of("agents", "seller", key)].values["blocks"]
        assert references == [Ref(Address.of("blocks", "brand", key)), Ref(Address.of("blocks", "acme/eu"))]
    assert manifest.moved[0].new == Address.of("blocks", "acme/eu")
    assert manifest.imports[0].address == Address.of("blocks", "brand", "acme/eu")
    assert manifest.removed[0].address == Address.of("blocks", "gone", "a b")


def test_the_hint_for_a_key_that_is_not_read_shows_the_spelling_that_is(project: Project) -> None:
    text = "stack: s\nagents:\n  a:\n    model: a/b\n    system: '%s'\nblocks: {acme/eu: {value: x}}\n"
    project.write(text % "${blocks.acme/eu.id}")
    (problem,) = project.problems()
    assert problem.hint == 'other characters stand in brackets, as in `${blocks["a/b"].id}`'
    project.write(text % '${blocks["acme/eu"].id}')
    project.load()


# --- which files are read --------------------------------------------------------------------------------------------


def test_two_names_of_the_manifest_side_by_side_are_an_error(project: Project) -> None:
    project.write("stack: s\n", {"lettaform.yml": "stack: t\n"})
    (problem,) = project.problems()
    assert problem.message == "`lettaform.yaml` and `lettaform.yml` are both in `.`"
    assert problem.hint == "keep one of the two, or choose with -f: `-f lettaform.yaml`"
    assert project.load(files=[Path("lettaform.yaml")]).stack == "s"
    (project.folder / "lettaform.yaml").unlink()
    assert project.load().stack == "t"


def test_the_errors_of_a_folder_say_why_its_files_are_read(project: Project) -> None:
    project.write("", {"a.yaml": "agents: {}\n", "z.yaml": "jobs: {}\nblocks: {b: {vlaue: x}}\n"})
    (project.folder / "lettaform.yaml").unlink()
    rule = "without a `lettaform.yaml`, all YAML files of the folder are one manifest: a.yaml, z.yaml"
    hints = {problem.message: problem.hint for problem in project.problems()}
    assert hints == {
        "`stack` is required": f"add `stack: …`; {rule}",
        "unknown key `jobs`": rule,
        "unknown field `vlaue`": "did you mean `value`?",
    }
    project.write("stack: s\njobs: {}\n")
    (problem,) = project.problems()
    assert problem.hint is None


# --- objects that an environment makes external ----------------------------------------------------------------------

SHARED = """
stack: s
environments:
  prod: {stack: s-prod}
  dev:
    stack: s-dev
    tools: {shout: {external: true, name: shout}}
    blocks: {b: {external: true}, c: {external: true, id: block-1}}
    agents: {boss: {external: true, name: boss}}
tools: {shout: {source: shout.py, tags: [x]}}
blocks: {b: {name: theirs, external: true}, c: {value: x}}
agents: {boss: {model: a/b, memory: {human: x}, lifecycle: {prevent_destroy: true}, tools: [shout]}}
"""


def test_external_in_an_environment_drops_what_does_not_go_with_it(project: Project) -> None:
    project.write(SHARED, {"shout.py": TOOL})
    dev, prod = project.load(environment="dev"), project.load(environment="prod")
    found = {str(address): desired.external for address, desired in dev.objects.items()}
    assert found == {
        "tools.shout": External(name="shout"),
        "blocks.b": External(name="theirs"),
        "blocks.c": External(id="block-1"),
        "agents.boss": External(name="boss"),
    }
    assert prod.objects[Address.of("tools", "shout")].external is None
    assert values(prod, "blocks.c") == {"label": "c", "value": "x"}


@pytest.mark.parametrize("word", ["null", "x", "5"])
def test_a_field_next_to_external_says_to_remove_the_line(word: str, project: Project) -> None:
    text = SHARED.replace("name: shout}", f"name: shout, source: {word}}}")
    project.write(text, {"shout.py": TOOL})
    for environment in ("dev", *(["prod"] if word == "null" else [])):
        messages = [problem.message for problem in project.problems(environment=environment)]
        assert "`source` cannot be set: external objects are never changed" in messages
        assert not [text for text in messages if "cannot be null" in text]
    project.write(SHARED, {"shout.py": TOOL})
    project.load(environment="dev")


def test_a_manifest_does_not_keep_the_nodes_of_its_files(project: Project) -> None:
    """A session holds the draft while it reads the server, with the garbage collector paused."""
    project.write(
        "stack: s\nagents: {a: {description: '${blocks.b.label}', memory: {m: x}}}\nblocks: {b: {value: x}}\n"
    )
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(each, Node) for each in gc.get_objects())
        draft = begin(project.folder, environ={})
        manifest = draft.finish()
        assert sum(isinstance(each, Node) for each in gc.get_objects()) == before
        assert draft.finish() is manifest
    finally:
        gc.enable()


def test_a_draft_with_problems_reports_them_again(project: Project) -> None:
    draft = begin(project.write("stack: s\nagents: {a: {blocks: [none]}}\n").folder, environ={})
    found = []
    for _ in range(2):
        with pytest.raises(ManifestError) as caught:
            draft.finish()
        found.append(caught.value.problems)
    assert found[0] == found[1]
