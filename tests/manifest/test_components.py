"""Components: their files are read once, and only what belongs to the component is in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from lettaform.manifest import documents
from lettaform.manifest.formatted import format_files
from lettaform.model import Manifest
from tests.manifest.conftest import Project

Write = Callable[..., Project]

DESK = """
variables:
  region: {}
  guide: {default: none}
blocks:
  notes: {value: "Notes of ${var.region}."}
agents:
  lead:
    model: a/b
    system: !file prompts/lead.md
    memory: {persona: "I am ${var.region}."}
    blocks: [notes]
outputs:
  lead_id: ${agents.lead.id}
  name: ${agents.lead.name}
"""
FILES: Mapping[str, str] = {
    "components/desk/component.yaml": DESK,
    "components/desk/prompts/lead.md": "You lead.",
}
HEAD = "stack: s\n"


def lines(project: Project, **words: Any) -> list[str]:
    return [f"{each.place} {each.message}" for each in project.problems(**words)]


def values(manifest: Manifest, address: str) -> Mapping[str, Any]:
    return next(each.values for each in manifest.objects.values() if str(each.address) == address)


def test_the_objects_of_a_component_have_its_step_in_their_addresses(write: Write) -> None:
    found = write(HEAD + "components: {emea: {use: ./components/desk, inputs: {region: EMEA}}}\n", FILES).load()
    assert [str(each) for each in found.objects] == [
        "components.emea.agents.lead",
        "components.emea.agents.lead.memory.persona",
        "components.emea.blocks.notes",
    ]
    lead = values(found, "components.emea.agents.lead")
    assert (lead["name"], lead["system"]) == ("emea-lead", "You lead.")
    assert str(lead["blocks"][0].address) == "components.emea.blocks.notes"
    notes = values(found, "components.emea.blocks.notes")
    assert (notes["label"], notes["value"]) == ("notes", "Notes of EMEA.")


def test_a_component_has_instances_and_may_be_left_out(write: Write) -> None:
    text = """
    stack: s
    variables: {wanted: {type: bool, default: false}}
    components:
      desk: {use: ./components/desk, for_each: [a, b c], inputs: {region: "${each.key}"}}
      other: {use: components/desk/component.yaml, when: "${var.wanted}", inputs: {region: x}}
    outputs: {b: '${components.desk["b c"].name}'}
    """
    found = write(text, FILES).load()
    agents = [str(each.address) for each in found.objects.values() if each.kind == "agent"]
    assert agents == ["components.desk[a].agents.lead", 'components.desk["b c"].agents.lead']
    assert found.outputs == {"b": "desk-b c-lead"}
    assert len(write(text, FILES).load(variables={"wanted": "true"}).objects) == 9


def test_files_of_a_component_are_parsed_once_however_many_use_it(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = []
    parse = documents.parse
    monkeypatch.setattr(documents, "parse", lambda text, name, found: parsed.append(name) or parse(text, name, found))
    text = (
        HEAD + "components: {d: {use: ./components/desk, for_each: '${range(300)}', inputs: {region: '${each.key}'}}}\n"
    )
    assert len(write(text, FILES).load().objects) == 900
    assert parsed.count("components/desk/component.yaml") == 1


def test_inputs_may_be_references_secrets_and_data(write: Write) -> None:
    inner = """
    variables: {guide: {}, key: {secret: true}, tools: {type: list}, limits: {type: map, default: {small: 5}}}
    agents:
      lead:
        model: a/b
        description: "uses ${var.guide} up to ${var.limits.small}"
        blocks: ["${var.guide}"]
        tools: "${var.tools}"
        secrets: {KEY: "${var.key}"}
    """
    text = """
    stack: s
    variables: {key: {secret: true}}
    blocks: {guide: {value: x}}
    tools: {t: {source: t.py}}
    components:
      a: {use: ./c, inputs: {guide: "${blocks.guide.id}", key: "${var.key}", tools: ["${tools.t.id}"]}}
    """
    tool = 'def t(text: str) -> str:\n    """T.\n\n    Args:\n        text (str): A text.\n    """\n    return text\n'
    found = write(text, {"c/component.yaml": inner, "t.py": tool}).load(variables={"key": "s3cret!"})
    lead = values(found, "components.a.agents.lead")
    assert [str(each.address) for each in (*lead["blocks"], *lead["tools"])] == ["blocks.guide", "tools.t"]
    assert (lead["secrets"]["KEY"].value, lead["secrets"]["KEY"].expression) == ("s3cret!", "${var.key}")
    assert lead["description"].parts[-1] == " up to 5"


def test_a_secret_input_is_tainted(write: Write) -> None:
    inner = "variables: {key: {}}\nagents: {a: {model: a/b, description: '${var.key}'}}\n"
    text = "stack: s\nvariables: {key: {secret: true}}\ncomponents: {a: {use: ./c, inputs: {key: '${var.key}'}}}\n"
    project = write(text, {"c/component.yaml": inner})
    assert lines(project, variables={"key": "s3cret!"}) == [
        "c/component.yaml:2:39 description: a secret cannot be used here"
    ]


def test_what_a_secret_is_made_of_in_a_component_is_no_expression_of_the_manifest(write: Write) -> None:
    inner = "variables: {token: {}}\nagents: {a: {model: a/b, secrets: {K: '${upper(var.token)}'}}}\n"
    text = "stack: s\nvariables: {key: {secret: true}, token: {secret: true, default: other}}\n"
    text += "components: {a: {use: ./c, inputs: {token: '${var.key}'}}}\n"
    found = write(text, {"c/component.yaml": inner}).load(variables={"key": "s3cret!"})
    secret = values(found, "components.a.agents.a")["secrets"]["K"]
    assert (secret.value, secret.expression) == ("S3CRET!", "components.a: ${upper(var.token)}")


def test_defaults_stand_below_the_component_and_an_overlay_above(write: Write) -> None:
    inner = """
    defaults: {agents: {timezone: UTC}}
    agents: {lead: {model: a/b, description: inner, memory: {persona: me}}}
    """
    text = """
    stack: s
    components:
      desk:
        use: ./c
        for_each: {a: A}
        defaults: {agents: {timezone: Europe/Berlin, embedding: "e/${each.key}"}}
        overlay:
          agents:
            lead:
              description: "of ${each.value}"
              memory: {persona: {policy: {value: enforce}}}
              lifecycle: {prevent_destroy: true}
    """
    found = write(text, {"c/component.yaml": inner}).load()
    desired = {str(each.address): each for each in found.objects.values()}
    lead = desired["components.desk[a].agents.lead"]
    assert (lead.values["timezone"], lead.values["embedding"]) == ("UTC", "e/a")
    assert (lead.values["description"], lead.prevent_destroy) == ("of A", True)
    persona = desired["components.desk[a].agents.lead.memory.persona"]
    assert (persona.values["value"], persona.policies) == ("me", {"value": "enforce"})


def test_an_environment_changes_inputs(write: Write) -> None:
    text = """
    stack: s
    components: {emea: {use: ./components/desk, inputs: {region: EMEA}}}
    environments: {dev: {components: {emea: {inputs: {region: Dev}}}}}
    """
    project = write(text, FILES)
    assert values(project.load(environment="dev"), "components.emea.blocks.notes")["value"] == "Notes of Dev."
    assert values(project.load(), "components.emea.blocks.notes")["value"] == "Notes of EMEA."


def test_components_nest_and_read_outputs_of_one_another(write: Write) -> None:
    outer = """
    variables: {region: {}}
    components:
      desk: {use: ../desk, inputs: {region: "${var.region}"}}
      peer: {use: ../desk, inputs: {region: "${components.desk.name}"}}
    outputs: {lead: "${components.desk.lead_id}"}
    """
    text = HEAD + "components: {team: {use: ./components/team, inputs: {region: X}}}\n"
    text += "outputs: {lead: '${components.team.lead}'}\n"
    found = write(text, {**FILES, "components/team/component.yaml": outer}).load()
    assert str(found.outputs["lead"].address) == "components.team.components.desk.agents.lead"
    peer = values(found, "components.team.components.peer.agents.lead.memory.persona")
    assert peer["value"] == "I am team-desk-lead."


def test_moves_lead_into_components_out_of_them_and_between_them(write: Write) -> None:
    inner = "agents: {lead: {model: a/b, memory: {h: x}}}\nblocks: {notes: {value: x}}\n"
    inner += "moved: [{from: agents.boss, to: agents.lead}]\n"
    text = """
    stack: s
    agents: {clerk: {model: a/b}}
    components:
      new: {use: ./c}
      many: {use: ./c, for_each: [x]}
    moved:
      - {from: components.old, to: components.new}
      - {from: components.desk, to: components.many}
      - {from: components.gone.agents.clerk, to: agents.clerk}
    """
    found = write(text, {"c/component.yaml": inner}).load()
    assert {(str(each.old), str(each.new)) for each in found.moved} == {
        ("components.old.agents.lead", "components.new.agents.lead"),
        ("components.old.blocks.notes", "components.new.blocks.notes"),
        ("components.desk[x].agents.lead", "components.many[x].agents.lead"),
        ("components.desk[x].blocks.notes", "components.many[x].blocks.notes"),
        ("components.gone.agents.clerk", "agents.clerk"),
        ("components.new.agents.boss", "components.new.agents.lead"),
        ("components.many[x].agents.boss", "components.many[x].agents.lead"),
    }
    text = "stack: s\ncomponents: {new: {use: ./c}}\nmoved: [{from: agents.lead, to: components.new.agents.lead}]\n"
    found = write(text, {"c/component.yaml": "agents: {lead: {model: a/b}}\n"}).load()
    assert [(str(each.old), str(each.new)) for each in found.moved] == [("agents.lead", "components.new.agents.lead")]


USE = "components: {a: {use: ./c}}\n"
NESTED = "components: {b: {use: ../d}}\n"
PROBLEMS = {
    "no folder": (USE, {"cc/component.yaml": ""}, "lettaform.yaml:2:23 there is no component `./c`"),
    "outside": (
        "components: {a: {use: ../c}}\n",
        {},
        "lettaform.yaml:2:23 `../c` is outside the project",
    ),
    "expression": (
        "components: {a: {use: './${stack}'}}\n",
        {},
        "lettaform.yaml:2:23 `use` cannot contain an expression",
    ),
    "required input": (
        USE,
        {"c/component.yaml": "variables: {x: {}}\noutputs: {x: '${var.x}'}\n"},
        "lettaform.yaml:2:17 components.a: the input `x` is required",
    ),
    "unknown input": (
        "components: {a: {use: ./c, inputs: {regoin: x}}}\n",
        {"c/component.yaml": "variables: {region: {default: x}}\n"},
        "lettaform.yaml:2:37 components.a: the component has no input `regoin`",
    ),
    "type of an input": (
        "components: {a: {use: ./c, inputs: {n: many}}}\n",
        {"c/component.yaml": "variables: {n: {type: number}}\nagents: {a: {model: a/b, max_tokens: '${var.n}'}}\n"},
        "lettaform.yaml:2:40 components.a: the input `n`: expected a number, got the text 'many'",
    ),
    "key of a manifest": (
        USE,
        {"c/component.yaml": "stack: other\n"},
        "c/component.yaml:1:1 components.a: unknown key `stack`",
    ),
    "field": (
        USE,
        {"c/component.yaml": "agents: {lead: {modle: x}}\n"},
        "c/component.yaml:1:17 unknown field `modle`",
    ),
    "key of the manifest": (
        "blocks: {guide: {value: x}}\n" + USE,
        {"c/component.yaml": "agents: {lead: {model: a/b, blocks: [guide]}}\n"},
        "c/component.yaml:1:38 blocks: there is no block `guide`",
    ),
    "variable of the manifest": (
        "variables: {region: {default: x}}\n" + USE,
        {"c/component.yaml": "agents: {lead: {model: a/b, description: '${var.region}'}}\n"},
        "c/component.yaml:1:43 there is no variable `region`",
    ),
    "file outside": (
        USE,
        {"c/component.yaml": "agents: {lead: {model: a/b, system: !file ../x.md}}\n", "x.md": "x"},
        "c/component.yaml:1:37 `../x.md` is outside the component",
    ),
    "include outside": (
        USE,
        {"c/component.yaml": "include: [../*.yaml]\n"},
        "c/component.yaml:1:11 `../*.yaml` matches files outside the component",
    ),
    "uses itself": (
        USE,
        {"c/component.yaml": NESTED, "d/component.yaml": "components: {c: {use: ../c}}\n"},
        "d/component.yaml:1:23 the component `c` uses itself: c/component.yaml:1:23 → d/component.yaml:1:23",
    ),
    "output": (
        USE + "outputs: {x: '${components.a.idd}'}\n",
        {"c/component.yaml": "outputs: {id: x}\n"},
        "lettaform.yaml:3:15 `components.a` has no output `idd`",
    ),
    "outputs of one another": (
        "components:\n  a: {use: ./c, inputs: {x: '${components.b.y}'}}\n"
        "  b: {use: ./c, inputs: {x: '${components.a.y}'}}\n",
        {
            "c/component.yaml": "variables: {x: {}}\nagents: {a: {model: a/b, name: '${var.x}'}}\n"
            "outputs: {y: '${agents.a.name}'}\n"
        },
        "these fields take their values from one another",
    ),
    "overlay": (
        "components: {a: {use: ./c, overlay: {agents: {laed: {name: x}}}}}\n",
        {"c/component.yaml": "agents: {lead: {model: a/b}}\n"},
        "components.a: overlay: the component has no `laed` in `agents`",
    ),
    "same tool twice": (
        "components: {a: {use: ./c, for_each: [x, y]}}\n",
        {"c/component.yaml": "tools: {t: {source: t.py}}\n", "c/t.py": 'def t():\n    """T."""\n'},
        "are the same tool on the server: `t`",
    ),
    "moved still used": (
        "components: {a: {use: ./c}, b: {use: ./c}}\nmoved: [{from: components.a, to: components.b}]\n",
        {"c/component.yaml": "blocks: {b: {value: x}}\n"},
        "`components.a` is still used",
    ),
    "for_each by reference": (
        "blocks: {b: {value: x}}\ncomponents: {a: {use: ./c, inputs: {x: '${blocks.b.id}'}}}\n",
        {"c/component.yaml": "variables: {x: {}}\nblocks: {c: {for_each: '${var.x}', value: y}}\n"},
        "lettaform.yaml:3:41 `${blocks.b.id}` is not known here",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_mistakes_are_reported_where_they_are_written(name: str, write: Write) -> None:
    text, files, reported = PROBLEMS[name]
    found = lines(write(HEAD + text, files))
    assert any(reported in each for each in found), found


def test_a_bomb_of_components_is_refused(write: Write) -> None:
    files = {
        f"c{n}/component.yaml": f"components: {{a: {{use: ../c{n + 1}, for_each: '${{range(99)}}'}}}}\n"
        for n in range(9)
    }
    files["c9/component.yaml"] = "outputs: {}\n"
    assert (
        "the objects of the manifest have more than" in lines(write(HEAD + "components: {a: {use: ./c0}}\n", files))[0]
    )


def test_values_that_double_from_component_to_component_are_refused(write: Write) -> None:
    inner = "variables: {x: {type: list}}\noutputs: {y: ['${var.x}', '${var.x}']}\n"
    uses = ["  a0: {use: ./c, inputs: {x: [1]}}"]
    uses += [f"  a{n}: {{use: ./c, inputs: {{x: '${{components.a{n - 1}.y}}'}}}}" for n in range(1, 28)]
    text = HEAD + "components:\n" + "\n".join(uses) + "\noutputs: {y: '${components.a27.y}'}\n"
    assert "is too large" in lines(write(text, {"c/component.yaml": inner}))[0]


def test_files_of_components_are_formatted_with_the_manifest(write: Write) -> None:
    files = {"c/component.yaml": "components: {d:   {use: ../d}}\n", "d/component.yaml": "include: [more.yaml]\n"}
    project = write(
        HEAD + USE, {**files, "d/more.yaml": "outputs: {a:   1}\n", "e/component.yaml": "outputs: {a:   1}\n"}
    )
    found = format_files(project.folder)
    assert [each.name for each in found.changed] == ["c/component.yaml", "d/more.yaml"]
