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
    broken(
        "top level typo",
        "stack: s\nagnets: {}\n",
        "2:1 unknown key `agnets` → did you mean `agents`?",
        shape=True,
    ),
    broken(
        "field typo",
        "stack: s\nblocks:\n  b:\n    vlaue: x\n",
        "4:5 unknown field `vlaue` → did you mean `value`?",
        shape=True,
    ),
    broken(
        "own field typo",
        "stack: s\nagents:\n  a:\n    memory:\n      human: {valeu: x}\n",
        "5:15 unknown field `valeu` → did you mean `value`?",
        shape=True,
    ),
    broken(
        "lifecycle typo",
        "stack: s\nagents: {a: {lifecycle: {prevent_destory: true}}}\n",
        "2:26 agents.a.lifecycle: unknown key `prevent_destory` → did you mean `prevent_destroy`?",
        shape=True,
    ),
    broken(
        "variable typo",
        "stack: s\nvariables:\n  v: {defualt: 1}\n",
        "3:7 variables.v: unknown key `defualt` → did you mean `default`?",
        shape=True,
    ),
    broken(
        "typo in an environment nobody chose",
        "stack: s\nenvironments: {prod: {agents: {a: {modle: a/b}}}}\n",
        "2:36 unknown field `modle` → did you mean `model`?",
        shape=True,
    ),
    broken(
        "typo in defaults",
        "stack: s\ndefaults: {agents: {modle: a/b}}\n",
        "2:21 unknown field `modle` → did you mean `model`?",
        shape=True,
    ),
    broken(
        "no stack",
        "agents: {}\n",
        "1:1 `stack` is missing → add `stack: …`",
    ),
    broken(
        "stack",
        "stack: My Stack\n",
        "1:8 stack: expected letters a-z, digits and `-`, got the text 'My Stack'",
        shape=True,
    ),
    broken(
        "stack is a number",
        "stack: 5\n",
        "1:8 stack: expected letters a-z, digits and `-`, got the number 5 → put it in quotes",
        shape=True,
    ),
    broken(
        "a list of agents",
        "stack: s\nagents:\n  - name: a\n",
        "2:1 agents: expected a map, got a list",
        shape=True,
    ),
    broken(
        "an agent that is a text",
        "stack: s\nagents: {a: hello}\n",
        "2:13 agents.a: expected a map, got the text 'hello'",
        shape=True,
    ),
    broken(
        "wrong type",
        "stack: s\nagents:\n  a:\n    context_window: big\n",
        "4:21 context_window: expected a whole number, got the text 'big'",
        shape=True,
    ),
    broken(
        "number where a text is wanted",
        "stack: s\nblocks: {b: {value: 12}}\n",
        "2:21 value: expected a text, got the number 12 → put it in quotes",
        shape=True,
    ),
    broken(
        "text where a list is wanted",
        "stack: s\nblocks: {o: {}}\nagents: {a: {blocks: o}}\n",
        "3:22 blocks: expected a list, got the text 'o' → write a list: [o]",
        shape=True,
    ),
    broken(
        "quoted number",
        'stack: s\nblocks: {b: {limit: "500"}}\n',
        "2:21 limit: expected a whole number, got the text '500' → write it without quotes",
        shape=True,
    ),
    broken(
        "quoted bool",
        'stack: s\nblocks: {b: {read_only: "true"}}\n',
        "2:25 read_only: expected true or false, got the text 'true' → write it without quotes",
        shape=True,
    ),
    broken(
        "no is a text",
        "stack: s\nblocks: {b: {read_only: no}}\n",
        "2:25 read_only: expected true or false, got the text 'no'",
        shape=True,
    ),
    broken(
        "nested type",
        "stack: s\nagents:\n  a:\n    tool_rules:\n      - {type: exit_loop}\n      - exit\n",
        "6:9 tool_rules.1: expected a map, got the text 'exit'",
        shape=True,
    ),
    broken(
        "type in a map",
        "stack: s\nagents: {a: {secrets: {KEY: 12345}}}\n",
        "2:29 secrets.KEY: expected a text → put it in quotes",
        shape=True,
    ),
    broken(
        "out of bounds",
        "stack: s\nblocks: {b: {limit: 0}}\n",
        "2:21 limit: expected at least 1, got the number 0",
        shape=True,
    ),
    broken(
        "form",
        "stack: s\nagents: {a: {model: gpt}}\n",
        "2:21 model: expected a text of the form `provider/model`, got the text 'gpt'",
        shape=True,
    ),
    broken(
        "empty label",
        'stack: s\nblocks: {b: {label: ""}}\n',
        "2:21 label: expected a text that is not empty, got the text ''",
        shape=True,
    ),
    broken(
        "enum",
        "stack: s\nagents: {a: {agent_type: memgpt_agnet}}\n",
        ("2:26 agent_type: expected one of its values, got the text 'memgpt_agnet' → did you mean `memgpt_agent`?"),
        shape=True,
    ),
    broken(
        "policy",
        "stack: s\nblocks: {b: {policy: {value: sede}}}\n",
        "2:30 blocks.b.policy.value: expected one of its values, got the text 'sede' → did you mean `seed`?",
        shape=True,
    ),
    broken(
        "policy of no field",
        "stack: s\nblocks: {b: {policy: {vlaue: seed}}}\n",
        "2:23 blocks.b.policy: unknown key `vlaue` → did you mean `value`?",
        shape=True,
    ),
    broken(
        "policy of own blocks",
        "stack: s\nagents: {a: {policy: {memory: seed}}}\n",
        ("2:23 agents.a.policy: unknown key `memory` → each of them says it for itself: `memory: {KEY: {policy: …}}`"),
        shape=True,
    ),
    broken(
        "ignored field",
        "stack: s\nagents: {a: {lifecycle: {ignore_changes: [descripton]}}}\n",
        (
            "2:43 agents.a.lifecycle.ignore_changes.0: expected one of its values, got the text 'descripton'"
            " → did you mean `description`?"
        ),
        shape=True,
    ),
    broken(
        "ignored and owned",
        "stack: s\nblocks:\n  b: {policy: {value: yield}, lifecycle: {ignore_changes: [value]}}\n",
        "3:60 lifecycle.ignore_changes: `value` has the policy `yield`, too → keep one of the two",
    ),
    broken(
        "variable type",
        "stack: s\nvariables: {v: {type: int, default: 1}}\n",
        (
            "2:23 variables.v.type: expected one of its values, got the text 'int' → one of: string, number,"
            " bool, list, map"
        ),
        shape=True,
    ),
    broken(
        "null that clears nothing",
        "stack: s\nagents:\n  a: {model: null}\n",
        (
            "3:14 `model` cannot be cleared on the server → leave the line out, or write `!unset`, to leave "
            "the field unmanaged"
        ),
        shape=True,
    ),
    broken(
        "memory null",
        "stack: s\nagents:\n  a: {memory: null}\n",
        (
            "3:15 `memory` cannot be cleared on the server → leave the line out, or write `!unset`, to leave"
            " the field unmanaged"
        ),
        shape=True,
    ),
    broken(
        "own block null",
        "stack: s\nagents:\n  a: {memory: {human: null}}\n",
        "3:23 agents.a.memory.human: expected a text or a map, got null"
        " → `!unset` takes back what stands in the defaults",
        shape=True,
    ),
    broken(
        "label of an own block",
        "stack: s\nagents:\n  a: {memory: {human: {label: x}}}\n",
        "3:24 the key of an own block is its `label` → leave the line out",
        shape=True,
    ),
    broken(
        "empty key",
        'stack: s\nblocks: {"": {}}\n',
        "2:10 blocks: the key '' must not be empty",
        shape=True,
    ),
    broken(
        "moved without to",
        "stack: s\nmoved: [{from: agents.a}]\n",
        "2:9 `to` is missing in moved.0 → add `to: …`",
        shape=True,
    ),
    broken(
        "components",
        "stack: s\ncomponents: {}\n",
        "2:1 unknown key `components`",
        shape=True,
    ),
    broken(
        "server",
        "stack: s\nserver: {url: localhost}\n",
        "2:15 server.url: expected an http(s) URL, got the text 'localhost'",
        shape=True,
    ),
    broken(
        "include",
        "stack: s\ninclude: teams\n",
        "2:10 include: expected a list, got the text 'teams'",
        shape=True,
    ),
    # --- references and names ---
    broken(
        "unknown block",
        "stack: s\nblocks: {organization: {}}\nagents:\n  a:\n    blocks: [organisation]\n",
        "5:14 blocks: there is no block `organisation` → did you mean `organization`?",
    ),
    broken(
        "unknown tool",
        "stack: s\nagents:\n  a:\n    tools: [web_serach]\n",
        "4:13 tools: there is no tool `web_serach` → did you mean `web_search`?",
    ),
    broken(
        "address for a key",
        "stack: s\nblocks: {o: {}}\nagents: {a: {blocks: [blocks.o]}}\n",
        "3:23 blocks: there is no block `blocks.o` → did you mean `o`?",
    ),
    broken(
        "unknown instance",
        "stack: s\nblocks: {b: {for_each: [x, y]}}\nagents: {a: {blocks: ['b[z]']}}\n",
        "3:23 blocks: there is no block `b[z]` → did you mean `b[y]`?",
    ),
    broken(
        "reference twice",
        "stack: s\nblocks: {b: {for_each: [x]}}\nagents: {a: {blocks: [b, 'b[x]']}}\n",
        "3:26 blocks: blocks.b[x] stands twice → leave one out",
    ),
    broken(
        "unknown object",
        'stack: s\nagents:\n  boss: {}\n  a: {description: "to ${agents.bos.id}"}\n',
        "4:24 there is no `agents.bos` → did you mean `agents.boss`?",
    ),
    broken(
        "unknown field of an object",
        'stack: s\nagents:\n  boss: {}\n  a: {description: "${agents.boss.nam}"}\n',
        "4:21 `${agents.boss.nam}`: there is no `nam` → did you mean `name`?",
    ),
    broken(
        "object, not a value",
        'stack: s\nagents:\n  boss: {}\n  a: {description: "${agents.boss}"}\n',
        "4:21 `${agents.boss}` names an object, not a value → ${agents.boss.id}",
    ),
    broken(
        "no index",
        'stack: s\nagents: {w: {for_each: [x]}}\noutputs: {o: "${agents.w.id}"}\n',
        "3:15 `agents.w` is made by `for_each`: name one of them → did you mean `agents.w[x]`?",
    ),
    broken(
        "wrong index",
        'stack: s\nagents: {w: {for_each: [x]}}\noutputs: {o: "${agents.w[y].id}"}\n',
        "3:15 there is no `agents.w[y]` → did you mean `agents.w[x]`?",
    ),
    broken(
        "unknown own block",
        'stack: s\nagents: {w: {memory: {human: x}}}\noutputs: {o: "${agents.w.memory.humn.id}"}\n',
        "3:15 there is no `agents.w.memory.humn` → did you mean `agents.w.memory.human`?",
    ),
    broken(
        "left out",
        'stack: s\nagents: {w: {when: false}}\noutputs: {o: "${agents.w.id}"}\n',
        "3:15 `agents.w` is left out by its `when`",
    ),
    broken(
        "circle",
        "stack: s\n"
        "agents:\n"
        '  a: {description: "${agents.b.description}"}\n'
        '  b: {description: "${agents.a.description}"}\n',
        (
            "3:20 fields that are taken from one another: agents.a.description → agents.b.description → "
            "agents.a.description"
        ),
    ),
    broken(
        "whole map of another object",
        'stack: s\nagents:\n  a: {metadata: {x: 1}}\n  b: {metadata: {y: "${agents.a.metadata}"}}\n',
        "4:22 `${agents.a.metadata}` is a map → only texts, numbers and truth values can be taken from another object",
    ),
    broken(
        "empty id",
        "stack: s\nagents: {a: {}}\nblocks: {b: {external: true, id: ''}}\nimports: [{to: agents.a, id: ''}]\n",
        "3:34 id: is empty",
        "4:30 id: is empty",
    ),
    broken(
        "reference to another kind",
        'stack: s\ntools: {t: {source: t.py}}\nagents: {a: {blocks: ["${tools.t.id}"]}}\n',
        "3:23 blocks: tools.t is none of blocks",
        files={"t.py": TOOL},
    ),
    broken(
        "label twice",
        "stack: s\n"
        "blocks: {shared: {label: human}}\n"
        "agents:\n"
        "  a:\n"
        "    memory:\n"
        "      human: x\n"
        "    blocks: [shared]\n",
        "7:14 two blocks of agents.a have the label `human` → the other stands at lettaform.yaml:6:7",
    ),
    broken(
        "label twice, shared",
        "stack: s\nblocks: {one: {label: x}, two: {label: x}}\nagents:\n  a:\n    blocks: [one, two]\n",
        "5:19 two blocks of agents.a have the label `x` → the other stands at lettaform.yaml:5:14",
    ),
    broken(
        "function twice",
        "stack: s\ntools:\n  one: {source: t.py}\n  two: {source: t.py}\n",
        ("4:3 tools.two and tools.one are one tool, `shout`, on the server → the other stands at lettaform.yaml:3:3"),
        files={"t.py": TOOL},
    ),
    broken(
        "reserved tag",
        "stack: s\nblocks: {b: {tags: [x, 'lettaform:stack=s']}}\n",
        (
            "2:24 tags: 'lettaform:stack=s' begins with `lettaform:`, which is reserved → it is where "
            "lettaform keeps its marks"
        ),
    ),
    broken(
        "reserved metadata",
        "stack: s\nagents: {a: {metadata: {lettaform: 1}}}\n",
        "2:36 metadata: the key `lettaform` is reserved → it is where lettaform keeps its marks",
    ),
    broken(
        "name that the server refuses",
        "stack: s\nagents:\n  a: {name: a/b}\n",
        "3:13 name: the server does not accept the name 'a/b' → use letters, digits, spaces, `-`, `_` and `'`",
    ),
    broken(
        "key that is no name",
        "stack: s\nagents:\n  a/b: {}\n",
        "3:3 name: the server does not accept the name 'a/b' → use letters, digits, spaces, `-`, `_` and `'`",
    ),
    broken(
        "value over its limit",
        "stack: s\nblocks:\n  b: {value: hello, limit: 3}\n",
        "3:14 value: has 5 characters, more than its `limit` of 3 → raise `limit`, or shorten the text",
    ),
    broken(
        "provider_type",
        "stack: s\nagents:\n  a:\n    model_settings:\n      temperature: 1\n",
        "4:5 model_settings: `provider_type` is required → for example openai, anthropic or google_ai",
    ),
    # --- tools ---
    broken(
        "tool without source",
        "stack: s\ntools:\n  t: {tags: [x]}\n",
        "3:3 `source` is missing",
    ),
    broken(
        "tool with a schema alone",
        "stack: s\ntools:\n  t: {json_schema: {}}\n",
        "3:3 `source` is missing",
    ),
    broken(
        "schema without a name",
        "stack: s\ntools:\n  t: {source: t.ts, json_schema: {description: x}}\n",
        "3:3 `source` and `json_schema` give it no name",
        files={"t.ts": "export const x = 1\n"},
    ),
    broken(
        "tool with a name",
        "stack: s\ntools:\n  t: {name: x, source: t.py}\n",
        "3:7 name: is read from the object's other fields → leave the line out",
        files={"t.py": TOOL},
    ),
    broken(
        "source of one line",
        "stack: s\ntools:\n  t: {source: get_weather}\n",
        (
            "3:15 source: the text 'get_weather' is no path that ends in .py or .ts, and no text of several "
            "lines → write a path, or the text itself after `source: |`"
        ),
    ),
    broken(
        "missing source",
        "stack: s\ntools:\n  t:\n    source: tools/shot.py\n",
        "4:13 there is no file `tools/shot.py` → did you mean `tools/shout.py`?",
        files={"tools/shout.py": TOOL},
    ),
    broken(
        "source that is not Python",
        "stack: s\ntools:\n  t:\n    source: tools/t.py\n",
        "4:13 source: tools/t.py:1: is not valid Python in line 1 of the source: invalid syntax",
        files={"tools/t.py": "def f(:\n  pass\n"},
    ),
    broken(
        "source without a docstring",
        "stack: s\ntools:\n  t: {source: t.py}\n",
        "3:15 source: t.py:4: `f` has no docstring → add one: it tells models what the tool does",
        files={"t.py": "import os\n\n\ndef f():\n    pass\n"},
    ),
    broken(
        "inline source without a function",
        "stack: s\ntools:\n  t:\n    source: |\n      x = 1\n      y = 2\n",
        "4:13 source: defines no function → add a `def` with a docstring and type hints",
    ),
    broken(
        "a tool of the server's own",
        "stack: s\ntools: {t: {source: t.py}}\n",
        ("2:21 source: t.py:1: defines `web_search`, the name of a built-in tool of the server → rename the function"),
        files={"t.py": 'def web_search(text: str) -> str:\n    """Shout."""\n    return text\n'},
    ),
    broken(
        "TypeScript without a schema",
        "stack: s\ntools: {t: {source: t.ts}}\n",
        "2:9 json_schema: is required for a TypeScript tool",
        files={"t.ts": "export const x = 1\n"},
    ),
    # --- external, moved, imports, removed ---
    broken(
        "external without a name",
        "stack: s\nblocks: {b: {external: true}}\n",
        "2:24 an external object is found by exactly one of: name; id; stack and address",
    ),
    broken(
        "external twice",
        "stack: s\nblocks: {b: {external: true, name: x, id: y}}\n",
        "2:24 an external object is found by exactly one of: name; id; stack and address",
    ),
    broken(
        "external with a value",
        "stack: s\nblocks: {b: {external: true, name: x, value: y}}\n",
        ("2:39 `value` of an external object is never written → it is found by name, by id, or by stack and address"),
    ),
    broken(
        "external at no address",
        "stack: s\nblocks: {b: {external: true, stack: t, address: blocks..b}}\n",
        "2:49 `blocks..b` is not an address → as in agents.supervisor",
    ),
    broken(
        "id without external",
        "stack: s\nblocks: {b: {id: block-1}}\n",
        "2:14 only an external object has `id` → or add `external: true`",
    ),
    broken(
        "name for a label",
        "stack: s\nblocks: {b: {name: x}}\n",
        "2:14 only an external object has `name` → did you mean `label`?",
    ),
    broken(
        "moved from what is there",
        "stack: s\nagents: {a: {}, b: {}}\nmoved: [{from: agents.a, to: agents.b}]\n",
        "3:16 `agents.a` is still declared → take it out of `agents`, or this line away",
    ),
    broken(
        "moved to nothing",
        "stack: s\nagents: {boss: {}}\nmoved: [{from: agents.a, to: agents.bos}]\n",
        "3:30 nothing is declared at `agents.bos` → did you mean `agents.boss`?",
    ),
    broken(
        "moved to another kind",
        "stack: s\nblocks: {b: {}}\nmoved: [{from: agents.a, to: blocks.b}]\n",
        "3:30 `agents.a` cannot become `blocks.b`: they are different kinds",
    ),
    broken(
        "moved twice",
        "stack: s\nagents: {b: {}}\nmoved: [{from: agents.a, to: agents.b}, {from: agents.a, to: agents.b}]\n",
        "3:48 `agents.a` moves twice → the other stands at lettaform.yaml:3:16",
    ),
    broken(
        "no address",
        "stack: s\nagents: {a: {}}\nimports: [{to: 'agents.a[', id: x}]\n",
        "3:16 `agents.a[` is not an address → as in agents.supervisor",
    ),
    broken(
        "no such section",
        "stack: s\nremoved: [{from: agent.a}]\n",
        "2:18 `agent.a`: there is no section `agent` → did you mean `agents`?",
    ),
    broken(
        "imported twice",
        "stack: s\nagents: {a: {}, b: {}}\nimports: [{to: agents.a, id: x}, {to: agents.b, id: x}]\n",
        "3:53 `x` is imported twice → the other stands at lettaform.yaml:3:30",
    ),
    broken(
        "imported external",
        "stack: s\nagents: {a: {external: true, id: x}}\nimports: [{to: agents.a, id: x}]\n",
        "3:16 `agents.a` is external: it is used, and never ours → take `external` away, or this line",
    ),
    broken(
        "removed but declared",
        "stack: s\nagents: {a: {}}\nremoved: [{from: agents.a}]\n",
        "3:18 `agents.a` is still declared → take it out of `agents`, or this line away",
    ),
    # --- expressions ---
    broken(
        "unknown variable",
        "stack: s\nvariables: {model: {default: a/b}}\nagents:\n  a: {model: '${var.modle}'}\n",
        "4:15 there is no variable `modle` → did you mean `model`?",
    ),
    broken(
        "undeclared variable",
        "stack: s\nagents:\n  a: {description: 'in ${var.region}'}\n",
        "3:24 there is no variable `region` → declare it: `variables: {region: {default: …}}`",
    ),
    broken(
        "unknown head",
        "stack: s\nagents:\n  a: {description: 'x ${vars.region}'}\n",
        "3:23 `${vars.region}` means nothing → did you mean `var`?",
    ),
    broken(
        "no expression",
        "stack: s\nagents:\n  a: {description: 'x ${1 + 1}'}\n",
        "3:23 `${1 + 1}` is not an expression → write `$${` for the two characters themselves",
    ),
    broken(
        "unclosed",
        "stack: s\nagents:\n  a: {description: 'x ${var.region'}\n",
        "3:23 `${` without `}` after it → write `$${` for the two characters themselves",
    ),
    broken(
        "each outside",
        "stack: s\nagents:\n  a: {description: '${each.key}'}\n",
        "3:21 `${each.key}` has a meaning only beside `for_each`",
    ),
    broken(
        "each what",
        "stack: s\nagents:\n  a: {for_each: [x], description: '${each.item}'}\n",
        "3:36 `${each.item}` means nothing → ${each.key} or ${each.value}",
    ),
    broken(
        "each field",
        "stack: s\nagents:\n  a: {for_each: {x: {lang: en}}, description: '${each.value.lan}'}\n",
        "3:48 `${each.value.lan}`: there is no `lan` → did you mean `lang`?",
    ),
    broken(
        "list in a text",
        "stack: s\nvariables: {l: {type: list, default: [a]}}\nagents:\n  a: {description: 'x ${var.l}'}\n",
        "4:23 `${var.l}` is a list, which does not fit into a text → it can only stand alone",
    ),
    broken(
        "environment",
        "stack: s\nagents:\n  a: {description: 'x ${environment}'}\n",
        "3:23 `${environment}` is not known: none was chosen → choose one with -e",
    ),
    broken(
        "unset environment variable",
        "stack: s\nagents: {a: {secrets: {K: '${env.NOT_SET}'}}}\n",
        "2:28 the environment variable `NOT_SET` is not set → export NOT_SET=…",
    ),
    broken(
        "type of an expression",
        "stack: s\nvariables: {v: {default: big}}\nagents:\n  a: {context_window: '${var.v}'}\n",
        "4:23 context_window: expected a whole number, got the text 'big'",
    ),
    broken(
        "type inside an expression",
        "stack: s\nvariables: {v: {type: list, default: [a, 1]}}\nagents:\n  a: {tags: '${var.v}'}\n",
        "4:13 tags.1: expected a text, got the number 1 → put it in quotes",
    ),
    broken(
        "id for a number",
        "stack: s\nblocks: {b: {}}\nagents:\n  a: {context_window: '${blocks.b.id}'}\n",
        "4:23 context_window: expected a whole number, got the text '‹blocks.b.id›'",
    ),
    broken(
        "type in each round",
        "stack: s\nagents:\n  a: {for_each: [x, y, z], context_window: '${each.value}'}\n",
        "3:44 context_window: expected a whole number, got the text 'x'",
        "3:44 context_window: expected a whole number, got the text 'y'",
        "3:44 context_window: expected a whole number, got the text 'z'",
    ),
    # --- secrets ---
    broken(
        "environment outside a secret",
        "stack: s\nagents:\n  a: {description: 'x ${env.TOKEN}'}\n",
        (
            "3:20 description: a secret cannot stand here → secrets may only fill fields that are secret; "
            "for a plain value, declare a variable with `env: NAME`"
        ),
        words={"environ": {"TOKEN": "hunter22"}},
    ),
    broken(
        "secret variable outside a secret",
        "stack: s\nvariables: {k: {secret: true, default: hunter22}}\nblocks:\n  b: {value: '${var.k}'}\n",
        (
            "4:14 value: a secret cannot stand here → secrets may only fill fields that are secret; for a "
            "plain value, declare a variable with `env: NAME`"
        ),
    ),
    broken(
        "secret in an output",
        "stack: s\nvariables: {k: {secret: true, default: hunter22}}\noutputs: {o: '${var.k}'}\n",
        "3:14 outputs.o: a secret cannot stand here → outputs are shown",
    ),
    broken(
        "secret in for_each",
        "stack: s\nvariables: {k: {secret: true, default: hunter22}}\nagents: {a: {for_each: ['${var.k}']}}\n",
        (
            "3:24 for_each: a secret cannot stand here → secrets may only fill fields that are secret; for a"
            " plain value, declare a variable with `env: NAME`"
        ),
    ),
    broken(
        "secret in a path",
        "stack: s\nagents: {a: {system: !file '${env.TOKEN}'}}\n",
        (
            "2:22 !file: a secret cannot stand here → secrets may only fill fields that are secret; for a "
            "plain value, declare a variable with `env: NAME`"
        ),
        words={"environ": {"TOKEN": "hunter22"}},
    ),
    broken(
        "secret list",
        "stack: s\nvariables: {k: {secret: true, type: list, default: [hunter22]}}\n",
        "2:16 variables.k: a secret is a string → leave out its `type`",
    ),
    broken(
        "secret and reference",
        "stack: s\nblocks: {b: {}}\nagents:\n  a: {secrets: {K: '${env.TOKEN} ${blocks.b.id}'}}\n",
        "4:20 a secret and a reference cannot stand in one text",
        words={"environ": {"TOKEN": "hunter22"}},
    ),
    # --- variables ---
    broken(
        "no value",
        "stack: s\nvariables:\n  region: {env: REGION}\n",
        ("3:11 the variable `region` has no value → --var region=…, a --var-file, or LETTAFORM_VAR_region, or REGION"),
    ),
    broken(
        "unknown --var",
        "stack: s\nvariables: {region: {default: x}}\n",
        "--var regoin: no such variable is declared → did you mean `region`?",
        words={"variables": {"regoin": "y"}},
    ),
    broken(
        "--var of a wrong type",
        "stack: s\nvariables: {n: {type: number, default: 1}}\n",
        "the variable `n` from --var: expected a number, got the text 'many' → as in 5",
        words={"variables": {"n": "many"}},
    ),
    broken(
        "--var list",
        "stack: s\nvariables: {n: {type: list, default: []}}\n",
        "the variable `n` from --var: expected a list, got the text 'a, b' → as in [a, b]",
        words={"variables": {"n": "a, b"}},
    ),
    broken(
        "default of a wrong type",
        "stack: s\nvariables: {n: {default: [a]}}\n",
        "2:26 the variable `n`: expected a text, got a list → declare it: `type: list`",
    ),
    broken(
        "default with an expression",
        "stack: s\nvariables: {n: {default: 'x ${var.m}'}, m: {default: y}}\n",
        "2:26 the default of `n` holds an expression; it cannot → `$${` for the characters themselves",
    ),
    broken(
        "var-file with an unknown name",
        "stack: s\nvariables: {region: {default: x}}\n",
        "v.json:1:12 no variable `regoin` is declared → did you mean `region`?",
        files={"v.json": '{"regoin": 1}'},
        words={"variable_files": ["v.json"]},
    ),
    broken(
        "missing variable file",
        "stack: s\n",
        "there is no file `v.yaml`",
        words={"variable_files": ["v.yaml"]},
    ),
    broken(
        "unknown environment",
        "stack: s\nenvironments:\n  prod: {}\n",
        "2:1 there is no environment `prdo` → did you mean `prod`?",
        words={"environment": "prdo"},
    ),
    # --- for_each, when ---
    broken(
        "for_each twice",
        "stack: s\nagents:\n  a: {for_each: [x, x]}\n",
        "3:21 for_each: 'x' stands twice → each item makes one object",
    ),
    broken(
        "for_each of lists",
        "stack: s\nagents:\n  a: {for_each: [[x]]}\n",
        (
            "3:18 for_each: expected texts in the list, got a list → use a map, whose keys become the "
            "indexes, for anything else"
        ),
    ),
    broken(
        "for_each of a text",
        "stack: s\nagents:\n  a: {for_each: x}\n",
        "3:17 agents.a.for_each: expected a list or a map, got the text 'x'",
        shape=True,
    ),
    broken(
        "for_each of a text variable",
        "stack: s\nvariables: {v: {default: x}}\nagents:\n  a: {for_each: '${var.v}'}\n",
        "4:17 for_each: expected a list or a map, got the text 'x'",
    ),
    broken(
        "for_each of what is not made",
        "stack: s\nblocks: {b: {}}\nagents:\n  a: {for_each: ['${blocks.b.id}']}\n",
        "4:19 `${blocks.b.id}` is not known here → nothing has been made yet",
    ),
    broken(
        "when",
        "stack: s\nvariables: {v: {default: x}}\nagents:\n  a: {when: '${var.v}'}\n",
        "4:13 when: expected true or false, got the text 'x'",
    ),
    broken(
        "when literally",
        "stack: s\nagents:\n  a: {when: maybe}\n",
        "3:13 agents.a.when: expected true or false, got the text 'maybe'",
        shape=True,
    ),
    # --- files ---
    broken(
        "missing file",
        "stack: s\nagents:\n  a:\n    system: !file prompts/bos.md\n",
        "4:13 there is no file `prompts/bos.md` → did you mean `prompts/boss.md`?",
        files={"prompts/boss.md": "x"},
    ),
    broken(
        "file outside",
        "stack: s\nagents:\n  a: {system: !file ../secret.md}\n",
        (
            "3:15 `../secret.md` lies outside the project → move it into the project, or run with -C on the "
            "folder that holds both"
        ),
    ),
    broken(
        "absolute file",
        "stack: s\nagents:\n  a: {system: !file /etc/hostname}\n",
        "3:15 `/etc/hostname` is an absolute path → write it relative to this file",
    ),
    broken(
        "file in nowhere",
        "stack: s\nagents:\n  a: {system: !file nowhere/x.md}\n",
        "3:15 there is no file `nowhere/x.md` → there is no folder `nowhere`",
    ),
    broken(
        "folder for a file",
        "stack: s\nagents:\n  a: {system: !file prompts}\n",
        "3:15 `prompts` is a folder → name a file in it",
        files={"prompts/x.md": "x"},
    ),
    broken(
        "file that is not text",
        "stack: s\nagents:\n  a: {system: !file x.md}\n",
        "x.md:1:4 byte 0xff is not UTF-8 → save the file as UTF-8",
        files={"x.md": b"abc\xff"},
    ),
    broken(
        "not JSON",
        "stack: s\nagents:\n  a: {metadata: !json x.json}\n",
        "x.json:2:6 not JSON: Expecting ':' delimiter",
        files={"x.json": '{"a": 1,\n "b" 2}'},
    ),
    broken(
        "JSON of a wrong type",
        "stack: s\nagents:\n  a: {metadata: !json x.json}\n",
        "3:17 metadata: expected a map, got a list",
        files={"x.json": "[1]"},
    ),
    broken(
        "JSON twice",
        "stack: s\nagents:\n  a: {metadata: !json x.json}\n",
        "x.json:1:1 not JSON that lettaform takes: the key 'a' stands twice in one object",
        files={"x.json": '{"a": 1, "a": 2}'},
    ),
    broken(
        "tag where it cannot stand",
        "stack: !file x\n",
        "1:8 stack: `!file` cannot stand here, expected letters a-z, digits and `-`",
        files={"x": "s"},
    ),
    broken(
        "missing include",
        "stack: s\ninclude: [team.yaml]\n",
        "2:11 there is no file `team.yaml` → did you mean `teams.yaml`?",
        files={"teams.yaml": "x: 1"},
    ),
    broken(
        "include outside",
        "stack: s\ninclude: ['../*.yaml']\n",
        "2:11 `../*.yaml` leads outside the project → only files inside the project are included",
    ),
    broken(
        "include says it, too",
        "stack: s\ninclude: [b.yaml]\nagents: {a: {}}\n",
        "b.yaml:2:3 `agents.a` is already defined at lettaform.yaml:3:10 → keep one of the two",
        files={"b.yaml": "agents:\n  a: {}\n"},
    ),
    # --- YAML ---
    broken(
        "key twice",
        "stack: s\nagents:\n  a: {}\n  b: {}\n  a: {}\n",
        "5:3 the key `a` stands twice: here and in line 3 → keep one of the two",
    ),
    broken(
        "indentation",
        "stack: s\nagents:\n  a:\n    name: x\n   model: a/b\n",
        (
            "5:4 not YAML: did not find expected key → while parsing a block mapping, which begins in line "
            "3; check the indentation"
        ),
    ),
    broken(
        "tab",
        "stack: s\nagents:\n\ta: {}\n",
        (
            "3:1 not YAML: found character that cannot start any token → YAML is indented with spaces; this "
            "line begins with a tab"
        ),
    ),
    broken(
        "unclosed list",
        "stack: s\nagents: {a: {tags: [x, y}}\n",
        (
            "2:25 not YAML: did not find expected ',' or ']' → check brackets, quotes and indentation here "
            "and in the line above; quote a text that holds `: ` or ` #`"
        ),
    ),
    broken(
        "colon in a text",
        "stack: s\nagents: {}\noutputs:\n  o: a: b\n",
        (
            "4:7 not YAML: mapping values are not allowed in this context → check brackets, quotes and "
            "indentation here and in the line above; quote a text that holds `: ` or ` #`"
        ),
    ),
    broken(
        "octal",
        "stack: s\nagents:\n  a: {metadata: {zip: 01234}}\n",
        (
            "3:23 `01234` is eight-based to some readers and ten-based to others → put it in quotes if it is"
            ' a text: "01234"'
        ),
    ),
    broken(
        "infinite",
        "stack: s\nagents: {a: {metadata: {x: .inf, y: 1e999, z: 123456789012345678901234567890}}}\n",
        '2:28 `.inf` is not a number that JSON knows → put it in quotes if it is a text: ".inf"',
        '2:37 `1e999` is too large a number → put it in quotes if it is a text: "1e999"',
        (
            "2:47 `123456789012345678901234567890` is too large a number → put it in quotes if it is a text:"
            ' "123456789012345678901234567890"'
        ),
    ),
    broken(
        "unknown tag",
        "stack: s\nagents: {a: {system: !fiel x.md}}\n",
        "2:22 the tag `!fiel` means nothing here → did you mean `!file`?",
    ),
    broken(
        "Python tag",
        "stack: !!python/object/apply:os.system [id]\n",
        "1:8 the tag `!!python/object/apply:os.system` means nothing here → one of: !file, !json, !unset",
    ),
    broken(
        "merge key",
        "stack: s\nx: &x {}\nagents: {a: {<<: *x}}\n",
        "2:1 unknown key `x`",
        "3:14 merge keys (`<<`) are not part of YAML 1.2 → write the fields out, or say them once in `defaults`",
    ),
    broken(
        "two documents",
        "stack: s\n---\nstack: t\n",
        (
            "2:1 a second document begins here → one file, one document; put the rest into another file and "
            "name it in `include`"
        ),
    ),
    broken(
        "key that is a list",
        "stack: s\n? [a]\n: b\n",
        "2:3 a key must be a plain text",
    ),
    broken(
        "unknown alias",
        "stack: s\nagents: *agents\n",
        "2:9 `*agents` refers to nothing above → quote a text that begins with `*`",
    ),
    broken(
        "alias of itself",
        "stack: s\nagents: &a {b: *a}\n",
        "2:16 `*a` stands inside what it refers to",
    ),
    broken(
        "empty",
        "",
        "1:1 the file is empty → a manifest begins with `stack: NAME`",
    ),
    broken(
        "comment only",
        "# nothing\n",
        "1:1 the file is empty → a manifest begins with `stack: NAME`",
    ),
    broken(
        "a text",
        "hello\n",
        "1:1 expected a map of sections, got the text 'hello' → begin with `stack: NAME`",
    ),
    broken(
        "UTF-16",
        "stack: s\n",
        "1:1 the file is UTF-16 → save it as UTF-8",
        files={"lettaform.yaml": b"\xff\xfes\x00t\x00a\x00c\x00k\x00:\x00 \x00s\x00\n\x00"},
    ),
    broken(
        "byte order mark",
        "stack: s\n",
        "1:1 the file begins with a byte order mark → save it as UTF-8 without BOM",
        files={"lettaform.yaml": b"\xef\xbb\xbfstack: s\n"},
    ),
    broken(
        "Latin-1",
        "stack: s\n",
        "2:21 byte 0xfc is not UTF-8 → save the file as UTF-8",
        files={"lettaform.yaml": b"stack: s\nblocks: {b: {value: \xfcber}}\n"},
    ),
    broken(
        "NUL",
        "stack: s\nblocks: {b: {value: a\x00b}}\n",
        "2:22 the character U+0000 may not stand in YAML → write it as an escape",
    ),
    broken(
        "unset in a list",
        "stack: s\nagents: {a: {tags: [!unset ]}}\n",
        "2:21 `!unset` takes away a field, not an item of a list",
    ),
)
