"""Manifests with one thing wrong each, and all that is said about it: line:column, message, hint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TOOL = 'def shout(text: str) -> str:\n    """Shout."""\n    return text\n'


@dataclass(frozen=True)
class Broken:
    """A manifest, and what `load` must say: `line:column message → hint`, one per problem.

    shape   the JSON Schema must reject it, too
    """

    name: str
    text: str
    said: tuple[str, ...]
    shape: bool = False
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    words: Mapping[str, Any] = field(default_factory=dict)


def broken(name: str, text: str, *said: str, **words: Any) -> Broken:
    return Broken(name, text, said, **words)


CASES = (
    # --- the shape ---
    broken("top level typo", "stack: s\nagnets: {}\n", shape=True),
    broken("field typo", "stack: s\nblocks:\n  b:\n    vlaue: x\n", shape=True),
    broken("own field typo", "stack: s\nagents:\n  a:\n    memory:\n      human: {valeu: x}\n", shape=True),
    broken("lifecycle typo", "stack: s\nagents: {a: {lifecycle: {prevent_destory: true}}}\n", shape=True),
    broken("variable typo", "stack: s\nvariables:\n  v: {defualt: 1}\n", shape=True),
    broken("typo in an environment nobody chose", "stack: s\nenvironments: {prod: {agents: {a: {modle: a/b}}}}\n", shape=True),
    broken("typo in defaults", "stack: s\ndefaults: {agents: {modle: a/b}}\n", shape=True),
    broken("no stack", "agents: {}\n", shape=True),
    broken("stack", "stack: My Stack\n", shape=True),
    broken("stack is a number", "stack: 5\n", shape=True),
    broken("a list of agents", "stack: s\nagents:\n  - name: a\n", shape=True),
    broken("an agent that is a text", "stack: s\nagents: {a: hello}\n", shape=True),
    broken("wrong type", "stack: s\nagents:\n  a:\n    context_window: big\n", shape=True),
    broken("number where a text is wanted", "stack: s\nblocks: {b: {value: 12}}\n", shape=True),
    broken("text where a list is wanted", "stack: s\nblocks: {o: {}}\nagents: {a: {blocks: o}}\n", shape=True),
    broken("quoted number", 'stack: s\nblocks: {b: {limit: "500"}}\n', shape=True),
    broken("quoted bool", 'stack: s\nblocks: {b: {read_only: "true"}}\n', shape=True),
    broken("no is a text", "stack: s\nblocks: {b: {read_only: no}}\n", shape=True),
    broken("nested type", "stack: s\nagents:\n  a:\n    tool_rules:\n      - {type: exit_loop}\n      - exit\n", shape=True),
    broken("type in a map", "stack: s\nagents: {a: {secrets: {KEY: 12345}}}\n", shape=True),
    broken("out of bounds", "stack: s\nblocks: {b: {limit: 0}}\n", shape=True),
    broken("form", "stack: s\nagents: {a: {model: gpt}}\n", shape=True),
    broken("empty label", 'stack: s\nblocks: {b: {label: ""}}\n', shape=True),
    broken("enum", "stack: s\nagents: {a: {agent_type: memgpt_agnet}}\n", shape=True),
    broken("policy", "stack: s\nblocks: {b: {policy: {value: sede}}}\n", shape=True),
    broken("policy of no field", "stack: s\nblocks: {b: {policy: {vlaue: seed}}}\n", shape=True),
    broken("policy of own blocks", "stack: s\nagents: {a: {policy: {memory: seed}}}\n", shape=True),
    broken("ignored field", "stack: s\nagents: {a: {lifecycle: {ignore_changes: [descripton]}}}\n", shape=True),
    broken("ignored and owned", "stack: s\nblocks:\n  b: {policy: {value: yield}, lifecycle: {ignore_changes: [value]}}\n"),
    broken("variable type", "stack: s\nvariables: {v: {type: int, default: 1}}\n", shape=True),
    broken("null that clears nothing", "stack: s\nagents:\n  a: {model: null}\n", shape=True),
    broken("memory null", "stack: s\nagents:\n  a: {memory: null}\n", shape=True),
    broken("own block null", "stack: s\nagents:\n  a: {memory: {human: null}}\n", shape=True),
    broken("label of an own block", "stack: s\nagents:\n  a: {memory: {human: {label: x}}}\n", shape=True),
    broken("empty key", 'stack: s\nblocks: {"": {}}\n', shape=True),
    broken("moved without to", "stack: s\nmoved: [{from: agents.a}]\n", shape=True),
    broken("components", "stack: s\ncomponents: {}\n", shape=True),
    broken("server", "stack: s\nserver: {url: localhost}\n", shape=True),
    broken("include", "stack: s\ninclude: teams\n", shape=True),
    # --- references and names ---
    broken("unknown block", "stack: s\nblocks: {organization: {}}\nagents:\n  a:\n    blocks: [organisation]\n"),
    broken("unknown tool", "stack: s\nagents:\n  a:\n    tools: [web_serach]\n"),
    broken("address for a key", "stack: s\nblocks: {o: {}}\nagents: {a: {blocks: [blocks.o]}}\n"),
    broken("unknown instance", "stack: s\nblocks: {b: {for_each: [x, y]}}\nagents: {a: {blocks: ['b[z]']}}\n"),
    broken("reference twice", "stack: s\nblocks: {b: {for_each: [x]}}\nagents: {a: {blocks: [b, 'b[x]']}}\n"),
    broken("unknown object", 'stack: s\nagents:\n  boss: {}\n  a: {description: "to ${agents.bos.id}"}\n'),
    broken("unknown field of an object", 'stack: s\nagents:\n  boss: {}\n  a: {description: "${agents.boss.nam}"}\n'),
    broken("object, not a value", 'stack: s\nagents:\n  boss: {}\n  a: {description: "${agents.boss}"}\n'),
    broken("no index", 'stack: s\nagents: {w: {for_each: [x]}}\noutputs: {o: "${agents.w.id}"}\n'),
    broken("wrong index", 'stack: s\nagents: {w: {for_each: [x]}}\noutputs: {o: "${agents.w[y].id}"}\n'),
    broken("unknown own block", 'stack: s\nagents: {w: {memory: {human: x}}}\noutputs: {o: "${agents.w.memory.humn.id}"}\n'),
    broken("left out", 'stack: s\nagents: {w: {when: false}}\noutputs: {o: "${agents.w.id}"}\n'),
    broken("circle", 'stack: s\nagents:\n  a: {description: "${agents.b.description}"}\n  b: {description: "${agents.a.description}"}\n'),
    broken("reference to another kind", 'stack: s\ntools: {t: {source: t.py}}\nagents: {a: {blocks: ["${tools.t.id}"]}}\n', files={"t.py": TOOL}),
    broken("label twice", "stack: s\nblocks: {shared: {label: human}}\nagents:\n  a:\n    memory:\n      human: x\n    blocks: [shared]\n"),
    broken("label twice, shared", "stack: s\nblocks: {one: {label: x}, two: {label: x}}\nagents:\n  a:\n    blocks: [one, two]\n"),
    broken("function twice", "stack: s\ntools:\n  one: {source: t.py}\n  two: {source: t.py}\n", files={"t.py": TOOL}),
    broken("reserved tag", "stack: s\nblocks: {b: {tags: [x, 'lettaform:stack=s']}}\n"),
    broken("reserved metadata", "stack: s\nagents: {a: {metadata: {lettaform: 1}}}\n"),
    broken("name that the server refuses", "stack: s\nagents:\n  a: {name: a/b}\n"),
    broken("key that is no name", "stack: s\nagents:\n  a/b: {}\n"),
    broken("value over its limit", "stack: s\nblocks:\n  b: {value: hello, limit: 3}\n"),
    broken("time zone", "stack: s\nagents: {a: {timezone: Europe/Berln}}\n"),
    broken("provider_type", "stack: s\nagents:\n  a:\n    model_settings:\n      temperature: 1\n"),
    # --- tools ---
    broken("tool without source", "stack: s\ntools:\n  t: {tags: [x]}\n"),
    broken("tool with a name", "stack: s\ntools:\n  t: {name: x, source: t.py}\n", files={"t.py": TOOL}),
    broken("source of one line", "stack: s\ntools:\n  t: {source: get_weather}\n"),
    broken("missing source", "stack: s\ntools:\n  t:\n    source: tools/shot.py\n", files={"tools/shout.py": TOOL}),
    broken("source that is not Python", "stack: s\ntools:\n  t:\n    source: tools/t.py\n", files={"tools/t.py": "def f(:\n  pass\n"}),
    broken("source without a docstring", "stack: s\ntools:\n  t: {source: t.py}\n", files={"t.py": "import os\n\n\ndef f():\n    pass\n"}),
    broken("inline source without a function", "stack: s\ntools:\n  t:\n    source: |\n      x = 1\n      y = 2\n"),
    broken("a tool of the server's own", "stack: s\ntools: {t: {source: t.py}}\n", files={"t.py": TOOL.replace("shout", "web_search")}),
    broken("TypeScript without a schema", "stack: s\ntools: {t: {source: t.ts}}\n", files={"t.ts": "export const x = 1\n"}),
    # --- external, moved, imports, removed ---
    broken("external without a name", "stack: s\nblocks: {b: {external: true}}\n"),
    broken("external twice", "stack: s\nblocks: {b: {external: true, name: x, id: y}}\n"),
    broken("external with a value", "stack: s\nblocks: {b: {external: true, name: x, value: y}}\n"),
    broken("external at no address", "stack: s\nblocks: {b: {external: true, stack: t, address: blocks..b}}\n"),
    broken("id without external", "stack: s\nblocks: {b: {id: block-1}}\n"),
    broken("name for a label", "stack: s\nblocks: {b: {name: x}}\n"),
    broken("moved from what is there", "stack: s\nagents: {a: {}, b: {}}\nmoved: [{from: agents.a, to: agents.b}]\n"),
    broken("moved to nothing", "stack: s\nagents: {boss: {}}\nmoved: [{from: agents.a, to: agents.bos}]\n"),
    broken("moved to another kind", "stack: s\nblocks: {b: {}}\nmoved: [{from: agents.a, to: blocks.b}]\n"),
    broken("moved twice", "stack: s\nagents: {b: {}}\nmoved: [{from: agents.a, to: agents.b}, {from: agents.a, to: agents.b}]\n"),
    broken("no address", "stack: s\nagents: {a: {}}\nimports: [{to: 'agents.a[', id: x}]\n"),
    broken("no such section", "stack: s\nremoved: [{from: agent.a}]\n"),
    broken("imported twice", "stack: s\nagents: {a: {}, b: {}}\nimports: [{to: agents.a, id: x}, {to: agents.b, id: x}]\n"),
    broken("imported external", "stack: s\nagents: {a: {external: true, id: x}}\nimports: [{to: agents.a, id: x}]\n"),
    broken("removed but declared", "stack: s\nagents: {a: {}}\nremoved: [{from: agents.a}]\n"),
    # --- expressions ---
    broken("unknown variable", "stack: s\nvariables: {model: {default: a/b}}\nagents:\n  a: {model: '${var.modle}'}\n"),
    broken("undeclared variable", "stack: s\nagents:\n  a: {description: 'in ${var.region}'}\n"),
    broken("unknown head", "stack: s\nagents:\n  a: {description: 'x ${vars.region}'}\n"),
    broken("no expression", "stack: s\nagents:\n  a: {description: 'x ${1 + 1}'}\n"),
    broken("unclosed", "stack: s\nagents:\n  a: {description: 'x ${var.region'}\n"),
    broken("each outside", "stack: s\nagents:\n  a: {description: '${each.key}'}\n"),
    broken("each what", "stack: s\nagents:\n  a: {for_each: [x], description: '${each.item}'}\n"),
    broken("each field", "stack: s\nagents:\n  a: {for_each: {x: {lang: en}}, description: '${each.value.lan}'}\n"),
    broken("list in a text", "stack: s\nvariables: {l: {type: list, default: [a]}}\nagents:\n  a: {description: 'x ${var.l}'}\n"),
    broken("environment", "stack: s\nagents:\n  a: {description: 'x ${environment}'}\n"),
    broken("unset environment variable", "stack: s\nagents: {a: {secrets: {K: '${env.NOT_SET}'}}}\n"),
    broken("type of an expression", "stack: s\nvariables: {v: {default: big}}\nagents:\n  a: {context_window: '${var.v}'}\n"),
    broken("type inside an expression", "stack: s\nvariables: {v: {type: list, default: [a, 1]}}\nagents:\n  a: {tags: '${var.v}'}\n"),
    broken("id for a number", "stack: s\nblocks: {b: {}}\nagents:\n  a: {context_window: '${blocks.b.id}'}\n"),
    broken("each instance tells once", "stack: s\nagents:\n  a: {for_each: [x, y, z], context_window: '${each.value}'}\n"),
    # --- secrets ---
    broken("environment outside a secret", "stack: s\nagents:\n  a: {description: 'x ${env.TOKEN}'}\n", words={"environ": {"TOKEN": "hunter22"}}),
    broken("secret variable outside a secret", "stack: s\nvariables: {k: {secret: true, default: hunter22}}\nblocks:\n  b: {value: '${var.k}'}\n"),
    broken("secret in an output", "stack: s\nvariables: {k: {secret: true, default: hunter22}}\noutputs: {o: '${var.k}'}\n"),
    broken("secret in for_each", "stack: s\nvariables: {k: {secret: true, default: hunter22}}\nagents: {a: {for_each: ['${var.k}']}}\n"),
    broken("secret in a path", "stack: s\nagents: {a: {system: !file '${env.TOKEN}'}}\n", words={"environ": {"TOKEN": "hunter22"}}),
    broken("secret list", "stack: s\nvariables: {k: {secret: true, type: list, default: [hunter22]}}\n"),
    broken("secret and reference", "stack: s\nblocks: {b: {}}\nagents:\n  a: {secrets: {K: '${env.TOKEN} ${blocks.b.id}'}}\n", words={"environ": {"TOKEN": "hunter22"}}),
    # --- variables ---
    broken("no value", "stack: s\nvariables:\n  region: {env: REGION}\n"),
    broken("unknown --var", "stack: s\nvariables: {region: {default: x}}\n", words={"variables": {"regoin": "y"}}),
    broken("--var of a wrong type", "stack: s\nvariables: {n: {type: number, default: 1}}\n", words={"variables": {"n": "many"}}),
    broken("--var list", "stack: s\nvariables: {n: {type: list, default: []}}\n", words={"variables": {"n": "a, b"}}),
    broken("default of a wrong type", "stack: s\nvariables: {n: {default: [a]}}\n"),
    broken("default with an expression", "stack: s\nvariables: {n: {default: 'x ${var.m}'}, m: {default: y}}\n"),
    broken("var-file with an unknown name", "stack: s\nvariables: {region: {default: x}}\n", files={"v.json": '{"regoin": 1}'}, words={"variable_files": ["v.json"]}),
    broken("missing var-file", "stack: s\n", words={"variable_files": ["v.yaml"]}),
    broken("unknown environment", "stack: s\nenvironments:\n  prod: {}\n", words={"environment": "prdo"}),
    # --- for_each, when ---
    broken("for_each twice", "stack: s\nagents:\n  a: {for_each: [x, x]}\n"),
    broken("for_each of lists", "stack: s\nagents:\n  a: {for_each: [[x]]}\n"),
    broken("for_each of a text", "stack: s\nagents:\n  a: {for_each: x}\n", shape=True),
    broken("for_each of a text variable", "stack: s\nvariables: {v: {default: x}}\nagents:\n  a: {for_each: '${var.v}'}\n"),
    broken("for_each of what is not made", "stack: s\nblocks: {b: {}}\nagents:\n  a: {for_each: ['${blocks.b.id}']}\n"),
    broken("when", "stack: s\nvariables: {v: {default: x}}\nagents:\n  a: {when: '${var.v}'}\n"),
    broken("when literally", "stack: s\nagents:\n  a: {when: maybe}\n", shape=True),
    # --- files ---
    broken("missing file", "stack: s\nagents:\n  a:\n    system: !file prompts/bos.md\n", files={"prompts/boss.md": "x"}),
    broken("file outside", "stack: s\nagents:\n  a: {system: !file ../secret.md}\n"),
    broken("absolute file", "stack: s\nagents:\n  a: {system: !file /etc/hostname}\n"),
    broken("file in nowhere", "stack: s\nagents:\n  a: {system: !file nowhere/x.md}\n"),
    broken("folder for a file", "stack: s\nagents:\n  a: {system: !file prompts}\n", files={"prompts/x.md": "x"}),
    broken("file that is not text", "stack: s\nagents:\n  a: {system: !file x.md}\n", files={"x.md": b"abc\xff"}),
    broken("not JSON", "stack: s\nagents:\n  a: {metadata: !json x.json}\n", files={"x.json": '{"a": 1,\n "b" 2}'}),
    broken("JSON of a wrong type", "stack: s\nagents:\n  a: {metadata: !json x.json}\n", files={"x.json": "[1]"}),
    broken("JSON twice", "stack: s\nagents:\n  a: {metadata: !json x.json}\n", files={"x.json": '{"a": 1, "a": 2}'}),
    broken("tag where it cannot stand", "stack: !file x\n", shape=False, files={"x": "s"}),
    broken("missing include", "stack: s\ninclude: [team.yaml]\n", files={"teams.yaml": "x: 1"}),
    broken("include outside", "stack: s\ninclude: ['../*.yaml']\n"),
    broken("include says it, too", "stack: s\ninclude: [b.yaml]\nagents: {a: {}}\n", files={"b.yaml": "agents:\n  a: {}\n"}),
    # --- YAML ---
    broken("key twice", "stack: s\nagents:\n  a: {}\n  b: {}\n  a: {}\n"),
    broken("indentation", "stack: s\nagents:\n  a:\n    name: x\n   model: a/b\n"),
    broken("tab", "stack: s\nagents:\n\ta: {}\n"),
    broken("unclosed list", "stack: s\nagents: {a: {tags: [x, y}}\n"),
    broken("colon in a text", "stack: s\nagents: {}\noutputs:\n  o: a: b\n"),
    broken("octal", "stack: s\nagents:\n  a: {metadata: {zip: 01234}}\n"),
    broken("infinite", "stack: s\nagents: {a: {metadata: {x: .inf, y: 1e999, z: 123456789012345678901234567890}}}\n"),
    broken("unknown tag", "stack: s\nagents: {a: {system: !fiel x.md}}\n"),
    broken("Python tag", "stack: !!python/object/apply:os.system [id]\n"),
    broken("merge key", "stack: s\nx: &x {}\nagents: {a: {<<: *x}}\n"),
    broken("two documents", "stack: s\n---\nstack: t\n"),
    broken("key that is a list", "stack: s\n? [a]\n: b\n"),
    broken("unknown alias", "stack: s\nagents: *agents\n"),
    broken("alias of itself", "stack: s\nagents: &a {b: *a}\n"),
    broken("empty", ""),
    broken("comment only", "# nothing\n"),
    broken("a text", "hello\n"),
    broken("UTF-16", "stack: s\n", files={"lettaform.yaml": "stack: s\n".encode("utf-16")}),
    broken("byte order mark", "stack: s\n", files={"lettaform.yaml": b"\xef\xbb\xbfstack: s\n"}),
    broken("Latin-1", "stack: s\n", files={"lettaform.yaml": b"stack: s\nblocks: {b: {value: \xfcber}}\n"}),
    broken("NUL", "stack: s\nblocks: {b: {value: a\0b}}\n"),
    broken("unset in a list", "stack: s\nagents: {a: {tags: [!unset ]}}\n"),
)
