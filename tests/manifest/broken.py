"""Manifests with one mistake each, and the problems that `load` reports: line:column, message, hint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TOOL = 'def shout(text: str) -> str:\n    """Shout."""\n    return text\n'
UUID = "11111111-2222-4333-8444-555555555555"


@dataclass(frozen=True)
class Broken:
    """A manifest, and the problems that `load` reports, each as `line:column message → hint`.

    shape  the JSON Schema rejects it, too
    files  other files of the project
    words  arguments of `load`
    """

    name: str
    text: str
    reported: tuple[str, ...]
    shape: bool = False
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    words: Mapping[str, Any] = field(default_factory=dict)


def broken(name: str, text: str, *reported: str, **words: Any) -> Broken:
    return Broken(name, text, reported, **words)


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
        "1:1 `stack` is required → add `stack: …`",
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
        "1:8 stack: expected letters a-z, digits and `-`, got the number 5 → quote the value",
        shape=True,
    ),
    broken(
        "a list of agents",
        "stack: s\nagents:\n  - name: a\n",
        "2:1 agents: expected a map, got a list → write a map: `{a: {name: a}}`",
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
        "2:21 value: expected a text, got the number 12 → quote the value",
        shape=True,
    ),
    broken(
        "text where a list is wanted",
        "stack: s\nblocks: {o: {}}\nagents: {a: {blocks: o}}\n",
        "3:22 blocks: expected a list, got the text 'o' → write a list: `[o]`",
        shape=True,
    ),
    broken(
        "quoted number",
        'stack: s\nblocks: {b: {limit: "500"}}\n',
        "2:21 limit: expected a whole number, got the text '500' → remove the quotes",
        shape=True,
    ),
    broken(
        "quoted bool",
        'stack: s\nblocks: {b: {read_only: "true"}}\n',
        "2:25 read_only: expected true or false, got the text 'true' → remove the quotes",
        shape=True,
    ),
    broken(
        "no is a text",
        "stack: s\nblocks: {b: {read_only: no}}\n",
        "2:25 read_only: expected true or false, got the text 'no' → write `false`",
        shape=True,
    ),
    broken(
        "nested type",
        "stack: s\nagents:\n  a:\n    tool_rules:\n      - {type: exit_loop, tool_name: x}\n      - exit\n",
        "6:9 tool_rules.1: expected a map, got the text 'exit'",
        shape=True,
    ),
    broken(
        "type in a map",
        "stack: s\nagents: {a: {secrets: {KEY: 12345}}}\n",
        "2:29 secrets.KEY: expected a text → quote the value",
        shape=True,
    ),
    broken(
        "out of bounds",
        "stack: s\nblocks: {b: {limit: 0}}\n",
        "2:21 limit: expected at least 1, got the number 0",
        shape=True,
    ),
    broken(
        "pattern",
        "stack: s\nagents: {a: {model: gpt}}\n",
        "2:21 model: expected a text of the form `provider/model`, got the text 'gpt'",
        shape=True,
    ),
    broken(
        "empty label",
        'stack: s\nblocks: {b: {label: ""}}\n',
        "2:21 label: expected a non-empty text, got the text ''",
        shape=True,
    ),
    broken(
        "enum",
        "stack: s\nagents: {a: {agent_type: memgpt_agnet}}\n",
        (
            "2:26 agent_type: expected one of the allowed values, got the text 'memgpt_agnet' → did you mean "
            "`memgpt_agent`?"
        ),
        shape=True,
    ),
    broken(
        "policy",
        "stack: s\nblocks: {b: {policy: {value: sede}}}\n",
        "2:30 blocks.b.policy.value: expected one of the allowed values, got the text 'sede' → did you mean `seed`?",
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
        "2:23 agents.a.policy: unknown key `memory` → set the policy of each entry: `memory: {KEY: {policy: …}}`",
        shape=True,
    ),
    broken(
        "ignored field",
        "stack: s\nagents: {a: {lifecycle: {ignore_changes: [descripton]}}}\n",
        (
            "2:43 agents.a.lifecycle.ignore_changes.0: expected one of the allowed values, got the text "
            "'descripton' → did you mean `description`?"
        ),
        shape=True,
    ),
    broken(
        "ignore_changes and another policy",
        "stack: s\nblocks:\n  b: {policy: {value: yield}, lifecycle: {ignore_changes: [value]}}\n",
        "3:60 lifecycle.ignore_changes: `value` also has the policy `yield` → remove one of the two",
    ),
    broken(
        "variable type",
        "stack: s\nvariables: {v: {type: int, default: 1}}\n",
        (
            "2:23 variables.v.type: expected one of the allowed values, got the text 'int' → one of: string, "
            "number, bool, list, map"
        ),
        shape=True,
    ),
    broken(
        "null that clears nothing",
        "stack: s\nagents:\n  a: {model: null}\n",
        (
            "3:14 `model` cannot be null: the server cannot clear it → remove the line, or write `!unset`, to "
            "leave the field unmanaged"
        ),
        shape=True,
    ),
    broken(
        "memory null",
        "stack: s\nagents:\n  a: {memory: null}\n",
        (
            "3:15 `memory` cannot be null: the server cannot clear it → remove the line, or write `!unset`, to "
            "leave the field unmanaged"
        ),
        shape=True,
    ),
    broken(
        "own block null",
        "stack: s\nagents:\n  a: {memory: {human: null}}\n",
        (
            "3:23 agents.a.memory.human: expected a text or a map, got null → write `!unset` to remove what "
            "`defaults` sets"
        ),
        shape=True,
    ),
    broken(
        "label of an own block",
        "stack: s\nagents:\n  a: {memory: {human: {label: x}}}\n",
        "3:24 `label` cannot be set: the key of an own block is its `label` → remove the line",
        shape=True,
    ),
    broken(
        "empty key",
        'stack: s\nagents: {"": {}}\n',
        "2:10 agents: the key '' must not be empty, and not end in `@canary-` and a number",
        shape=True,
    ),
    broken(
        "key with the form of an id",
        f"stack: s\nblocks: {{block-{UUID}: {{}}, archive-{UUID}: {{}}}}\n",
        f"2:10 blocks: the key 'block-{UUID}' must not be empty, and not have the form of an id",
        shape=True,
    ),
    broken(
        "moved without to",
        "stack: s\nmoved: [{from: agents.a}]\n",
        "2:9 `to` is required in moved.0 → add `to: …`",
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
        "2:10 include: expected a list, got the text 'teams' → write a list: `[teams]`",
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
        "address in place of a key",
        "stack: s\nblocks: {o: {}}\nagents: {a: {blocks: [blocks.o]}}\n",
        "3:23 blocks: there is no block `blocks.o` → did you mean `o`?",
    ),
    broken(
        "unknown instance",
        "stack: s\nblocks: {b: {for_each: [x, y]}}\nagents: {a: {blocks: ['b[z]']}}\n",
        "3:23 blocks: there is no block `b[z]` → did you mean `b[y]`?",
    ),
    broken(
        "duplicate reference",
        "stack: s\nblocks: {b: {for_each: [x]}}\nagents: {a: {blocks: [b, 'b[x]']}}\n",
        "3:26 blocks: blocks.b[x] is listed twice → remove one",
    ),
    broken(
        "unknown object",
        'stack: s\nagents:\n  boss: {}\n  a: {description: "to ${agents.bos.id}"}\n',
        "4:24 there is no `agents.bos` → did you mean `agents.boss`?",
    ),
    broken(
        "unknown field of an object",
        'stack: s\nagents:\n  boss: {}\n  a: {description: "${agents.boss.nam}"}\n',
        "4:21 `${agents.boss.nam}`: there is no field `nam` → did you mean `name`?",
    ),
    broken(
        "object in place of a value",
        'stack: s\nagents:\n  boss: {}\n  a: {description: "${agents.boss}"}\n',
        "4:21 `${agents.boss}` is an object, not a value → did you mean `${agents.boss.id}`?",
    ),
    broken(
        "declaration with for_each without an index",
        'stack: s\nagents: {w: {for_each: [x]}}\noutputs: {o: "${agents.w.id}"}\n',
        "3:15 `agents.w` has `for_each`: add the key of an instance → did you mean `agents.w[x]`?",
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
        "object that is not created",
        'stack: s\nagents: {w: {when: false}}\noutputs: {o: "${agents.w.id}"}\n',
        "3:15 `agents.w` is not created: its `when` is false",
    ),
    broken(
        "field cycle",
        "stack: s\n"
        "agents:\n"
        '  a: {description: "${agents.b.description}"}\n'
        '  b: {description: "${agents.a.description}"}\n',
        (
            "3:20 these fields take their values from one another: agents.a.description → agents.b.description "
            "→ agents.a.description → set one of them directly"
        ),
    ),
    broken(
        "cycle of references",
        "stack: s\nagents:\n  a: {system: 'Ask ${agents.b.id}.'}\n  b: {metadata: {boss: '${agents.a.id}'}}\n",
        (
            "3:20 cycle of references: agents.a → agents.b → agents.a → remove one of these references, so that "
            "one object can be created first: agents.a → agents.b at lettaform.yaml:3:20, "
            "agents.b → agents.a at lettaform.yaml:4:25"
        ),
    ),
    broken(
        "reference to itself",
        "stack: s\nagents:\n  a:\n    description: I am ${agents.a.id}\n",
        (
            "4:23 agents.a refers to itself: agents.a → agents.a → remove the reference: an object has no ID "
            "before it is created: agents.a → agents.a at lettaform.yaml:4:23"
        ),
    ),
    broken(
        "passage with a reference",
        "stack: s\nagents: {a: {}}\narchives:\n  k: {passages: ['of ${agents.a.id}']}\n",
        (
            "4:18 passages.0: references to objects cannot be used here → it is compared by its text, which "
            "must be known"
        ),
    ),
    broken(
        "imports as a map",
        "stack: s\nagents: {a: {}}\nimports: {to: agents.a, id: x}\n",
        "3:10 imports: expected a list, got a map → write a list: `[{to: agents.a, id: x}]`",
        shape=True,
    ),
    broken(
        "whole map of another object",
        'stack: s\nagents:\n  a: {metadata: {x: 1}}\n  b: {metadata: {y: "${agents.a.metadata}"}}\n',
        (
            "4:22 `${agents.a.metadata}` is a map, which cannot be taken from another object → refer to a "
            "text, a number, true or false inside it"
        ),
    ),
    broken(
        "empty id",
        "stack: s\nagents: {a: {}}\nblocks: {b: {external: true, id: ''}}\nimports: [{to: agents.a, id: ''}]\n",
        "3:34 id: must not be empty",
        "4:30 id: must not be empty",
    ),
    broken(
        "reference to another kind",
        'stack: s\ntools: {t: {source: t.py}}\nagents: {a: {blocks: ["${tools.t.id}"]}}\n',
        "3:23 blocks: expected an object of `blocks`, got tools.t",
        files={"t.py": TOOL},
    ),
    broken(
        "two blocks with one label",
        "stack: s\n"
        "blocks: {shared: {label: human}}\n"
        "agents:\n"
        "  a:\n"
        "    memory:\n"
        "      human: x\n"
        "    blocks: [shared]\n",
        (
            "7:14 two blocks of agents.a have the label `human` → rename or remove one of the two; the other "
            "is at lettaform.yaml:6:7"
        ),
    ),
    broken(
        "two shared blocks with one label",
        "stack: s\nblocks: {one: {label: x}, two: {label: x}}\nagents:\n  a:\n    blocks: [one, two]\n",
        (
            "5:19 two blocks of agents.a have the label `x` → rename or remove one of the two; the other is at "
            "lettaform.yaml:5:14"
        ),
    ),
    broken(
        "two tools with one function",
        "stack: s\ntools:\n  one: {source: t.py}\n  two: {source: t.py}\n",
        (
            "4:3 tools.two and tools.one are the same tool on the server: `shout` → rename or remove one of "
            "the two; the other is at lettaform.yaml:3:3"
        ),
        files={"t.py": TOOL},
    ),
    broken(
        "reserved tag",
        "stack: s\nblocks: {b: {tags: [x, 'lettaform:stack=s']}}\n",
        (
            "2:24 tags: 'lettaform:stack=s' starts with `lettaform:`, which is reserved → lettaform uses it to "
            "mark the objects that it manages: choose another one"
        ),
    ),
    broken(
        "reserved metadata",
        "stack: s\nagents: {a: {metadata: {lettaform: 1}}}\n",
        (
            "2:36 metadata: the key `lettaform` is reserved → lettaform uses it to mark the objects that it "
            "manages: choose another one"
        ),
    ),
    broken(
        "name that the server refuses",
        "stack: s\nagents:\n  a: {name: a/b}\n",
        "3:13 name: the server does not accept the name 'a/b' → use letters, digits, spaces, `-`, `_` and `'`",
    ),
    broken(
        "key that is not a valid name",
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
        (
            "4:5 model_settings.provider_type: is required → one of: openai, sglang, chatgpt_oauth, anthropic, zai, "
            "google_ai, google_vertex, baseten, azure, bedrock, deepseek, groq, openrouter, together, xai"
        ),
    ),
    # --- maps whose keys the server fixes ---
    broken(
        "keys of maps",
        """\
stack: s
agents:
  a:
    model_settings: {provider_type: openai, temprature: 0.2, reasoning: {effort: low}}
    compaction_settings: {mdoe: all, model_settings: {provider_type: zai, thinking: {budget_tokens: 1}}}
    response_format: {type: json_object, json_schema: {}}
    tool_rules: [{type: run_first, tool_name: conversation_search, children: []}]
    initial_message_sequence: [{role: user, text: hello}]
conversations:
  c: {agent: a, model_settings: {provider_type: google_ai, strict: true}}
tools:
  t: {source: t.py, pip_requirements: [{name: httpx, verison: "1"}], npm_requirements: [{nmae: x}]}
archives:
  r: {passages: [{text: x, tag: [y]}]}
""",
        "4:45 model_settings.temprature: unknown key → did you mean `temperature`?",
        "4:74 model_settings.reasoning.effort: unknown key → one of: reasoning_effort",
        "5:27 compaction_settings.mdoe: unknown key → did you mean `mode`?",
        "5:86 compaction_settings.model_settings.thinking.budget_tokens: unknown key → one of: type, clear_thinking",
        "6:42 response_format.json_schema: is not allowed with `type: json_object` → remove the line",
        "7:68 tool_rules.0.children: is not allowed with `type: run_first` → remove the line",
        "8:32 initial_message_sequence.0.content: is required → add `content: …`",
        (
            "8:45 initial_message_sequence.0.text: unknown key → "
            "one of: role, type, name, sender_id, otid, group_id, batch_item_id, content"
        ),
        "10:60 model_settings.strict: is not allowed with `provider_type: google_ai` → remove the line",
        "12:54 pip_requirements.0.verison: unknown key → did you mean `version`?",
        "12:89 npm_requirements.0.name: is required → add `name: …`",
        "12:90 npm_requirements.0.nmae: unknown key → did you mean `name`?",
        "14:28 passages.0.tag: unknown key → did you mean `tags`?",
        shape=True,
        files={"t.py": TOOL},
    ),
    broken(
        "values in maps",
        """\
stack: s
agents:
  a:
    tool_rules:
      - {type: run_frist, tool_name: conversation_search}
      - {type: max_count_per_step, tool_name: conversation_search, max_count_limit: two}
      - {type: conditional, tool_name: conversation_search, child_output_mapping: {}}
      - {type: constrain_child_tools, tool_name: conversation_search}
      - {tool_name: conversation_search}
    response_format: {type: yaml}
    model_settings: {provider_type: openai, temperature: hot, max_output_tokens: 0, strict: null}
    compaction_settings: {mode: some, sliding_window_percentage: 30}
identities:
  i: {name: x, identity_type: user, properties: {a: [1], b: null}}
tools:
  t: {source: t.py, pip_requirements: [{name: httpx, version: ">=0.27"}]}
archives:
  r: {passages: [{text: ""}, {text: x, tags: y}]}
""",
        (
            "5:16 tool_rules.0.type: expected one of the allowed values, got the text 'run_frist' → "
            "did you mean `run_first`?"
        ),
        "6:85 tool_rules.1.max_count_limit: expected a whole number, got the text 'two'",
        "7:83 tool_rules.2.child_output_mapping: expected a non-empty map",
        "8:9 tool_rules.3.children: is required → add `children: …`",
        (
            "9:9 tool_rules.4.type: is required → one of: continue_loop, exit_loop, required_before_exit, "
            "requires_approval, run_first, constrain_child_tools, parent_last_tool, conditional, max_count_per_step"
        ),
        (
            "10:29 response_format.type: expected one of the allowed values, got the text 'yaml' → "
            "one of: text, json_object, json_schema"
        ),
        "11:58 model_settings.temperature: expected a number, got the text 'hot'",
        "11:82 model_settings.max_output_tokens: expected at least 1, got the number 0",
        (
            "11:93 model_settings.strict: cannot be null: the server cannot clear it → "
            "remove the line, or set another value"
        ),
        (
            "12:33 compaction_settings.mode: expected one of the allowed values, got the text 'some' → "
            "one of: all, sliding_window, self_compact_all, self_compact_sliding_window"
        ),
        "12:66 compaction_settings.sliding_window_percentage: expected at most 1.0, got the number 30",
        "14:53 properties.a: expected a text or true or false or a number or a map, got a list",
        (
            "16:63 pip_requirements.0.version: expected an exact version, got the text '>=0.27' → "
            "write other requirements as the name: `{name: httpx>=0.27}`"
        ),
        "18:25 passages.0.text: expected a non-empty text, got the text ''",
        "18:46 passages.1.tags: expected a list, got the text 'y' → write a list: `[y]`",
        shape=True,
        files={"t.py": TOOL},
    ),
    broken(
        "map in two files",
        """\
stack: s
agnets: {}
defaults: {agents: {model_settings: {provider_type: openai}}}
agents: {a: {model_settings: {temprature: 1}}}
""",
        "2:1 unknown key `agnets` → did you mean `agents`?",
        "4:31 model_settings.temprature: unknown key → did you mean `temperature`?",
    ),
    broken(
        "map from an expression",
        """\
stack: s
variables: {provider: {default: openia}, heat: {default: hot}}
agents: {a: {model_settings: {provider_type: "${var.provider}"}}}
conversations: {c: {agent: a, model_settings: {provider_type: openai, temperature: "${var.heat}"}}}
""",
        (
            "3:46 model_settings.provider_type: expected one of the allowed values, got the text 'openia' → "
            "did you mean `openai`?"
        ),
        "4:84 model_settings.temperature: expected a number, got the text 'hot'",
    ),
    broken(
        "child that is no child",
        """\
stack: s
agents:
  a:
    tool_rules:
      - type: constrain_child_tools
        tool_name: conversation_search
        children: [memory_insert]
        child_arg_nodes: [{name: memory_replace, args: {label: x}}]
""",
        (
            "8:34 tool_rules.0.child_arg_nodes.0.name: `memory_replace` is none of the rule's `children` → "
            "add it to `children`"
        ),
    ),
    broken(
        "voice without sleeptime",
        "stack: s\nagents: {a: {agent_type: voice_convo_agent}}\n",
        "2:26 agent_type: the server creates a `voice_convo_agent` only with a sleeptime agent → add `sleeptime: true`",
    ),
    # --- tools ---
    broken(
        "tool without source",
        "stack: s\ntools:\n  t: {tags: [x]}\n",
        "3:3 `source` is required → add `source: …`",
    ),
    broken(
        "tool with a schema alone",
        "stack: s\ntools:\n  t: {json_schema: {}}\n",
        "3:3 `source` is required → add `source: …`",
    ),
    broken(
        "schema without a name",
        "stack: s\ntools:\n  t: {source: t.ts, json_schema: {description: x}}\n",
        "3:34 json_schema.name: is required: the name of the function",
        (
            "3:34 json_schema.parameters: is required → for a function without arguments: "
            "`parameters: {type: object, properties: {}}`"
        ),
        files={"t.ts": "export const x = 1\n"},
    ),
    broken(
        "tool with a name",
        "stack: s\ntools:\n  t: {name: x, source: t.py}\n",
        "3:7 name: cannot be set: the server derives it from `source` and `json_schema` → remove the line",
        files={"t.py": TOOL},
    ),
    broken(
        "source of one line",
        "stack: s\ntools:\n  t: {source: get_weather}\n",
        (
            "3:15 source: expected a path that ends in .py or .ts, or a text of several lines; got the text "
            "'get_weather' → write a path, or the text itself after `source: |`"
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
        "a helper below the function",
        "stack: s\ntools: {t: {source: t.py}}\n",
        (
            "2:21 source: t.py:6: the server uses `_help` as the tool, and `shout` may be meant → move `_help` above "
            "`shout`, or give `json_schema`, with the `name` of the function"
        ),
        files={"t.py": TOOL + "\n\ndef _help(text):\n    return text\n"},
    ),
    broken(
        "a nested schema",
        "stack: s\ntools:\n  t:\n    source: t.py\n    json_schema:\n      type: function\n"
        "      function:\n        name: shout\n",
        (
            "7:7 json_schema.function: is nested; the server expects the map inside it → write the map inside "
            "`function` in its place: `json_schema: {name: …, description: …, parameters: …}`"
        ),
        files={"t.py": TOOL},
    ),
    broken(
        "a schema that does not fit",
        "stack: s\ntools:\n  t:\n    source: t.py\n    json_schema:\n      name: shuot\n      parameters:\n"
        "        type: object\n        properties:\n          text: {type: str}\n        required: [txt]\n",
        "6:13 json_schema.name: the source defines no function `shuot` → did you mean `shout`?",
        ("10:24 json_schema.parameters.properties.text.type: `str` is no type of JSON Schema → did you mean `string`?"),
        "11:20 json_schema.parameters.required.0: `txt` is not among the `properties` → did you mean `text`?",
        files={"t.py": TOOL},
    ),
    broken(
        "a schema of arguments that is no map of arguments",
        "stack: s\ntools:\n  t:\n    source: t.py\n    args_json_schema:\n      type: dict\n      properties: []\n",
        "6:13 args_json_schema.type: must be `object`: the arguments of a function are a map → write `type: object`",
        (
            "7:19 args_json_schema.properties: is required: a map of the arguments → write `properties: {}` if there "
            "are none"
        ),
        files={"t.py": TOOL},
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
        (
            "2:24 an external object needs exactly one of: `name`; `id`; `stack` and `address` → for example "
            "`{external: true, name: NAME}`"
        ),
    ),
    broken(
        "external with name and id",
        "stack: s\nblocks: {b: {external: true, name: x, id: y}}\n",
        (
            "2:24 an external object needs exactly one of: `name`; `id`; `stack` and `address` → for example "
            "`{external: true, name: NAME}`"
        ),
    ),
    broken(
        "external with a value",
        "stack: s\nblocks: {b: {external: true, name: x, value: y}}\n",
        (
            "2:39 `value` cannot be set: external objects are never changed → remove the line; an external "
            "object has only `name`, `id`, or `stack` and `address`"
        ),
    ),
    broken(
        "external at no address",
        "stack: s\nblocks: {b: {external: true, stack: t, address: blocks..b}}\n",
        (
            "2:49 `blocks..b` is not an address → write an address such as "
            '`agents.supervisor`, `agents.worker[emea]` or `agents["v1.2"]`'
        ),
    ),
    broken(
        "id without external",
        "stack: s\nblocks: {b: {id: block-1}}\n",
        "2:14 only external objects have `id` → add `external: true`",
    ),
    broken(
        "name for a label",
        "stack: s\nblocks: {b: {name: x}}\n",
        "2:14 only external objects have `name` → did you mean `label`?",
    ),
    broken(
        "moved from a declared address",
        "stack: s\nagents: {a: {}, b: {}}\nmoved: [{from: agents.a, to: agents.b}]\n",
        "3:16 `agents.a` is still declared → remove it from `agents`, or remove this entry",
    ),
    broken(
        "moved to an address that is not declared",
        "stack: s\nagents: {boss: {}}\nmoved: [{from: agents.a, to: agents.bos}]\n",
        "3:30 `agents.bos` is not declared → did you mean `agents.boss`?",
    ),
    broken(
        "moved to another kind",
        "stack: s\nblocks: {b: {}}\nmoved: [{from: agents.a, to: blocks.b}]\n",
        (
            "3:30 `agents.a` cannot be moved to `blocks.b`: they are of different kinds → an object keeps its "
            "kind, agent"
        ),
    ),
    broken(
        "moved to itself",
        "stack: s\nagents: {a: {}}\nmoved: [{from: agents.a, to: agents.a}]\n",
        "3:30 `agents.a` is moved to itself → remove this entry",
    ),
    broken(
        "moved to an external object",
        "stack: s\nblocks: {b: {external: true, id: x}}\nmoved: [{from: blocks.a, to: blocks.b}]\n",
        (
            "3:30 `blocks.b` is external, and no object of this stack can become it → remove `external`, or remove "
            "this entry"
        ),
    ),
    broken(
        "moved to a block that the server creates",
        (
            "stack: s\nagents: {a: {model: m/m, embedding: e/e, sleeptime: true}}\n"
            "moved: [{from: blocks.b, to: agents.a-sleeptime.memory.memory_persona}]\n"
        ),
        (
            "3:30 `agents.a-sleeptime.memory.memory_persona` is created by the server, and no other block can become "
            "it → declare the block in the `memory` of agents.a"
        ),
    ),
    broken(
        "moved to a part that no field holds",
        "stack: s\nagents: {a: {}}\nmoved: [{from: agents.b.tools.x, to: agents.a.tools.x}]\n",
        "3:16 `agents.b.tools.x`: `tools` of agents.b holds no objects",
        "3:38 `agents.a.tools.x`: `tools` of agents.a holds no objects",
    ),
    broken(
        "moved from a single agent to all instances",
        (
            "stack: s\nagents:\n  a: {}\n  b: {for_each: [k], memory: {x: X}}\n"
            "moved: [{from: agents.a.memory.x, to: agents.b.memory.x}]\n"
        ),
        ("5:39 `agents.b` has a `for_each`, and `agents.a` has none → name the instance: `agents.b[KEY].memory.x`"),
    ),
    broken(
        "moved from declared instances",
        "stack: s\nagents: {a: {for_each: [k]}, b: {for_each: [k]}}\nmoved: [{from: agents.a, to: agents.b}]\n",
        "3:16 `agents.a[k]` is still declared → remove it from `agents`, or remove this entry",
    ),
    broken(
        "import of an own block",
        "stack: s\nagents: {a: {memory: {x: X}}}\nimports: [{to: agents.a.memory.x, id: y}]\n",
        (
            "3:16 `agents.a.memory.x` is an own block, and comes with agents.a → attach the block to that agent: the "
            "next apply adopts it by its label, `x`"
        ),
    ),
    broken(
        "moved twice",
        "stack: s\nagents: {b: {}}\nmoved: [{from: agents.a, to: agents.b}, {from: agents.a, to: agents.b}]\n",
        "3:48 `agents.a` is moved twice → remove one of the two; the other is at lettaform.yaml:3:16",
    ),
    broken(
        "not an address",
        "stack: s\nagents: {a: {}}\nimports: [{to: 'agents.a[', id: x}]\n",
        (
            "3:16 `agents.a[` is not an address → write an address such as "
            '`agents.supervisor`, `agents.worker[emea]` or `agents["v1.2"]`'
        ),
    ),
    broken(
        "no such section",
        "stack: s\nremoved: [{from: agent.a}]\n",
        "2:18 `agent.a`: there is no section `agent` → did you mean `agents`?",
    ),
    broken(
        "imported twice",
        "stack: s\nagents: {a: {}, b: {}}\nimports: [{to: agents.a, id: x}, {to: agents.b, id: x}]\n",
        "3:53 `x` is imported twice → remove one of the two; the other is at lettaform.yaml:3:30",
    ),
    broken(
        "import of nothing, and of two",
        "stack: s\nagents: {a: {}, b: {}}\nimports: [{to: agents.a}, {to: agents.b, id: x, name: y}]\n",
        "3:11 `id` or `name` is required in imports.0 → add `id: …`",
        "3:49 imports.1: only one of `id` or `name` can be given → remove one of the two",
        shape=True,
    ),
    broken(
        "import by an empty name",
        "stack: s\nagents: {a: {}}\nimports: [{to: agents.a, name: ''}]\n",
        "3:32 name: must not be empty",
    ),
    broken(
        "import of a schedule by a name",
        "stack: s\nagents: {a: {}}\n"
        "schedules: {t: {agent: a, cron: '* * * * *', messages: [{role: user, content: x}]}}\n"
        "imports: [{to: schedules.t, name: x}]\n",
        "4:35 `schedules.t`: an object of `schedules` has no name on the server → write its `id`",
    ),
    broken(
        "imported external",
        "stack: s\nagents: {a: {external: true, id: x}}\nimports: [{to: agents.a, id: x}]\n",
        "3:16 `agents.a` is external and cannot be imported → remove `external`, or remove this import",
    ),
    broken(
        "removed but declared",
        "stack: s\nagents: {a: {}}\nremoved: [{from: agents.a}]\n",
        "3:18 `agents.a` is still declared → remove it from `agents`, or remove this entry",
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
        "3:23 `${vars.region}` refers to nothing → did you mean `var`?",
    ),
    broken(
        "not an expression",
        "stack: s\nagents:\n  a: {description: 'x ${1 + 1}'}\n",
        "3:23 `${1 + 1}` is not an expression → write `$${` for a literal `${`",
    ),
    broken(
        "expression without a closing brace",
        "stack: s\nagents:\n  a: {description: 'x ${var.region'}\n",
        "3:23 `${` without `}` → write `$${` for a literal `${`",
    ),
    broken(
        "each without for_each",
        "stack: s\nagents:\n  a: {description: '${each.key}'}\n",
        "3:21 `${each.key}` can be used only in objects with `for_each` → add `for_each` to the object",
    ),
    broken(
        "unknown member of each",
        "stack: s\nagents:\n  a: {for_each: [x], description: '${each.item}'}\n",
        "3:36 `${each.item}` refers to nothing → write `${each.key}` or `${each.value}`",
    ),
    broken(
        "each field",
        "stack: s\nagents:\n  a: {for_each: {x: {lang: en}}, description: '${each.value.lan}'}\n",
        "3:48 `${each.value.lan}`: there is no `lan` → did you mean `lang`?",
    ),
    broken(
        "list in a text",
        "stack: s\nvariables: {l: {type: list, default: [a]}}\nagents:\n  a: {description: 'x ${var.l}'}\n",
        "4:23 `${var.l}` is a list, which cannot be part of a text → use the expression as the whole value",
    ),
    broken(
        "environment",
        "stack: s\nagents:\n  a: {description: 'x ${environment}'}\n",
        "3:23 `${environment}` has no value: no environment is selected → select one with -e",
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
        "4:13 tags.1: expected a text, got the number 1"
        " → an expression keeps the type of its value: quote the value where it is set",
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
            "3:20 description: a secret cannot be used here → secrets can be used only in fields "
            "that hide them, such as `secrets` of an agent or the `url` of an MCP server; to read a value that is not "
            "secret from the environment, declare a variable with `env: NAME`"
        ),
        words={"environ": {"TOKEN": "hunter22"}},
    ),
    broken(
        "secret variable outside a secret",
        "stack: s\nvariables: {k: {secret: true, default: hunter22}}\nblocks:\n  b: {value: '${var.k}'}\n",
        (
            "4:14 value: a secret cannot be used here → secrets can be used only in fields "
            "that hide them, such as `secrets` of an agent or the `url` of an MCP server; to read a value that is not "
            "secret from the environment, declare a variable with `env: NAME`"
        ),
    ),
    broken(
        "secret in an output",
        "stack: s\nvariables: {k: {secret: true, default: hunter22}}\noutputs: {o: '${var.k}'}\n",
        "3:14 outputs.o: a secret cannot be used here → remove it: outputs are shown to everybody who runs a plan",
    ),
    broken(
        "secret in for_each",
        "stack: s\nvariables: {k: {secret: true, default: hunter22}}\nagents: {a: {for_each: ['${var.k}']}}\n",
        (
            "3:24 for_each: a secret cannot be used here → secrets can be used only in fields "
            "that hide them, such as `secrets` of an agent or the `url` of an MCP server; to read a value that is not "
            "secret from the environment, declare a variable with `env: NAME`"
        ),
    ),
    broken(
        "secret in a path",
        "stack: s\nagents: {a: {system: !file '${env.TOKEN}'}}\n",
        (
            "2:22 !file: a secret cannot be used here → secrets can be used only in fields "
            "that hide them, such as `secrets` of an agent or the `url` of an MCP server; to read a value that is not "
            "secret from the environment, declare a variable with `env: NAME`"
        ),
        words={"environ": {"TOKEN": "hunter22"}},
    ),
    broken(
        "secret list",
        "stack: s\nvariables: {k: {secret: true, type: list, default: [hunter22]}}\n",
        "2:16 variables.k: a secret variable must be a string → remove its `type`",
    ),
    broken(
        "secret and reference",
        "stack: s\nblocks: {b: {}}\nagents:\n  a: {secrets: {K: '${env.TOKEN} ${blocks.b.id}'}}\n",
        "4:20 a text cannot contain both a secret and a reference to an object → use two fields or two texts",
        words={"environ": {"TOKEN": "hunter22"}},
    ),
    # --- variables ---
    broken(
        "variable without a value",
        "stack: s\nvariables:\n  region: {env: REGION}\n",
        (
            "3:11 the variable `region` has no value → give it with --var region=…, --var-file FILE, "
            "export LETTAFORM_VAR_region=…, export REGION=… or `variables: {region: {default: …}}`"
        ),
    ),
    broken(
        "unknown --var",
        "stack: s\nvariables: {region: {default: x}}\n",
        "--var regoin: there is no variable `regoin` → did you mean `region`?",
        words={"variables": {"regoin": "y"}},
    ),
    broken(
        "--var of a wrong type",
        "stack: s\nvariables: {n: {type: number, default: 1}}\n",
        "the variable `n` from --var: expected a number, got the text 'many' → write a value such as `5`",
        words={"variables": {"n": "many"}},
    ),
    broken(
        "--var list",
        "stack: s\nvariables: {n: {type: list, default: []}}\n",
        "the variable `n` from --var: expected a list, got the text 'a, b' → write a value such as `[a, b]`",
        words={"variables": {"n": "a, b"}},
    ),
    broken(
        "default of a wrong type",
        "stack: s\nvariables: {n: {default: [a]}}\n",
        "2:26 the variable `n`: expected a text, got a list → declare the type: `type: list`",
    ),
    broken(
        "default with an expression",
        "stack: s\nvariables: {n: {default: 'x ${var.m}'}, m: {default: y}}\n",
        "2:26 the default of `n` must not contain an expression → write `$${` for a literal `${`",
    ),
    broken(
        "var-file with an unknown name",
        "stack: s\nvariables: {region: {default: x}}\n",
        "v.json:1:12 there is no variable `regoin` → did you mean `region`?",
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
        "duplicate item of for_each",
        "stack: s\nagents:\n  a: {for_each: [x, x]}\n",
        "3:21 for_each: 'x' is listed twice → each item creates one object: remove one",
    ),
    broken(
        "for_each of lists",
        "stack: s\nagents:\n  a: {for_each: [[x]]}\n",
        (
            "3:18 for_each: expected a text or a whole number, got a list → for other values use a map: its "
            "keys become the indexes"
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
        "for_each of an object",
        "stack: s\nblocks: {b: {}}\nagents:\n  a: {for_each: ['${blocks.b.id}']}\n",
        "4:19 `${blocks.b.id}` is not known here → objects cannot be used here: use a literal or a variable",
    ),
    broken(
        "when that is not true or false",
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
            "3:15 `../secret.md` is outside the project → move the file into the project, or use -C with a "
            "folder that contains both"
        ),
    ),
    broken(
        "absolute file",
        "stack: s\nagents:\n  a: {system: !file /etc/hostname}\n",
        "3:15 `/etc/hostname` is an absolute path → write a path relative to this file",
    ),
    broken(
        "file in a missing folder",
        "stack: s\nagents:\n  a: {system: !file nowhere/x.md}\n",
        "3:15 there is no file `nowhere/x.md` → there is no folder `nowhere`",
    ),
    broken(
        "folder in place of a file",
        "stack: s\nagents:\n  a: {system: !file prompts}\n",
        "3:15 `prompts` is a folder → name a file inside it",
        files={"prompts/x.md": "x"},
    ),
    broken(
        "file that is not text",
        "stack: s\nagents:\n  a: {system: !file x.md}\n",
        "x.md:1:4 the byte 0xff is not valid UTF-8 → save the file as UTF-8",
        files={"x.md": b"abc\xff"},
    ),
    broken(
        "not JSON",
        "stack: s\nagents:\n  a: {metadata: !json x.json}\n",
        "x.json:2:6 invalid JSON: Expecting ':' delimiter",
        files={"x.json": '{"a": 1,\n "b" 2}'},
    ),
    broken(
        "JSON of a wrong type",
        "stack: s\nagents:\n  a: {metadata: !json x.json}\n",
        "3:17 metadata: expected a map, got a list → write `KEY: value` for each entry",
        files={"x.json": "[1]"},
    ),
    broken(
        "duplicate key in JSON",
        "stack: s\nagents:\n  a: {metadata: !json x.json}\n",
        "x.json:1:1 invalid JSON: the key 'a' is defined twice in one object",
        files={"x.json": '{"a": 1, "a": 2}'},
    ),
    broken(
        "tag that is not allowed",
        "stack: !file x\n",
        "1:8 stack: expected letters a-z, digits and `-`; `!file` is not allowed here",
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
        "2:11 `../*.yaml` matches files outside the project → only files inside the project can be included",
    ),
    broken(
        "object defined in two files",
        "stack: s\ninclude: [b.yaml]\nagents: {a: {}}\n",
        "b.yaml:2:3 `agents.a` is already defined at lettaform.yaml:3:10 → remove one of the two",
        files={"b.yaml": "agents:\n  a: {}\n"},
    ),
    # --- YAML ---
    broken(
        "duplicate key",
        "stack: s\nagents:\n  a: {}\n  b: {}\n  a: {}\n",
        "5:3 the key `a` is defined twice: here and in line 3 → remove one of the two",
    ),
    broken(
        "indentation",
        "stack: s\nagents:\n  a:\n    name: x\n   model: a/b\n",
        (
            "5:4 invalid YAML: did not find expected key → while parsing a block mapping that starts in line "
            "3; check the indentation"
        ),
    ),
    broken(
        "tab",
        "stack: s\nagents:\n\ta: {}\n",
        (
            "3:1 invalid YAML: found character that cannot start any token → indent with spaces; this line is "
            "indented with a tab"
        ),
    ),
    broken(
        "unclosed list",
        "stack: s\nagents: {a: {tags: [x, y}}\n",
        (
            "2:25 invalid YAML: did not find expected ',' or ']' → check brackets, quotes and indentation in "
            "this line and the previous one; quote texts with `: ` or ` #`"
        ),
    ),
    broken(
        "colon in a text",
        "stack: s\nagents: {}\noutputs:\n  o: a: b\n",
        (
            "4:7 invalid YAML: mapping values are not allowed in this context → check brackets, quotes and "
            "indentation in this line and the previous one; quote texts with `: ` or ` #`"
        ),
    ),
    broken(
        "octal",
        "stack: s\nagents:\n  a: {metadata: {zip: 01234}}\n",
        (
            "3:23 `01234` is ambiguous: YAML 1.1 reads it as octal, YAML 1.2 as decimal → if it is a text, "
            'quote it: "01234"'
        ),
    ),
    broken(
        "infinite",
        "stack: s\nagents: {a: {metadata: {x: .inf, y: 1e999, z: 123456789012345678901234567890}}}\n",
        '2:28 `.inf` is not a valid number in JSON → if it is a text, quote it: ".inf"',
        '2:37 the number `1e999` is too large → if it is a text, quote it: "1e999"',
        (
            "2:47 the number `123456789012345678901234567890` is too large → if it is a text, quote it: "
            '"123456789012345678901234567890"'
        ),
    ),
    broken(
        "unknown tag",
        "stack: s\nagents: {a: {system: !fiel x.md}}\n",
        "2:22 unknown tag `!fiel` → did you mean `!file`?",
    ),
    broken(
        "Python tag",
        "stack: !!python/object/apply:os.system [id]\n",
        "1:8 unknown tag `!!python/object/apply:os.system` → one of: !file, !json, !csv, !unset",
    ),
    broken(
        "merge key",
        "stack: s\nx: &x {}\nagents: {a: {<<: *x}}\n",
        "2:1 unknown key `x`",
        "3:14 merge keys (`<<`) are not part of YAML 1.2 → write the fields out, or set them under `defaults`",
    ),
    broken(
        "two documents",
        "stack: s\n---\nstack: t\n",
        (
            "2:1 a second document starts here → a file contains one document; move the rest to another file "
            "and list it under `include`"
        ),
    ),
    broken(
        "key that is a list",
        "stack: s\n? [a]\n: b\n",
        "2:3 a key must be a text",
    ),
    broken(
        "unknown alias",
        "stack: s\nagents: *agents\n",
        "2:9 the alias `*agents` has no anchor `&agents` before it → a text that starts with `*` must be quoted",
    ),
    broken(
        "alias of itself",
        "stack: s\nagents: &a {b: *a}\n",
        "2:16 the alias `*a` is inside the value that it refers to",
    ),
    broken(
        "empty",
        "",
        "1:1 the file is empty → a manifest starts with `stack: NAME`",
    ),
    broken(
        "comment only",
        "# nothing\n",
        "1:1 the file is empty → a manifest starts with `stack: NAME`",
    ),
    broken(
        "a text",
        "hello\n",
        "1:1 expected a map of sections, got the text 'hello' → a manifest starts with `stack: NAME`",
    ),
    broken(
        "UTF-16",
        "stack: s\n",
        "1:1 the file is encoded in UTF-16 → save the file as UTF-8",
        files={"lettaform.yaml": b"\xff\xfes\x00t\x00a\x00c\x00k\x00:\x00 \x00s\x00\n\x00"},
    ),
    broken(
        "byte order mark",
        "stack: s\n",
        "1:1 the file starts with a byte order mark → save the file as UTF-8 without BOM",
        files={"lettaform.yaml": b"\xef\xbb\xbfstack: s\n"},
    ),
    broken(
        "Latin-1",
        "stack: s\n",
        "2:21 the byte 0xfc is not valid UTF-8 → save the file as UTF-8",
        files={"lettaform.yaml": b"stack: s\nblocks: {b: {value: \xfcber}}\n"},
    ),
    broken(
        "NUL",
        "stack: s\nblocks: {b: {value: a\x00b}}\n",
        '2:22 the character U+0000 is not allowed in YAML → write it as an escape in a quoted text: "\\x00"',
    ),
    broken(
        "unset as an item of a list",
        "stack: s\nagents: {a: {tags: [!unset ]}}\n",
        "2:21 `!unset` removes a field of a map; it cannot be an item of a list",
    ),
    # --- lists to which the server adds ---
    broken(
        "base tools beside an exact list",
        "stack: s\nagents:\n  a:\n    tools: [web_search, memory_insert]\n    policy: {tools: enforce}\n"
        "    include_base_tools: true\n",
        "6:25 include_base_tools: the server adds to `tools`, which is exact: conversation_search, memory_replace"
        " → remove `include_base_tools: true`, or add them to `tools`",
    ),
    broken(
        "base tools of another type, from the defaults, beside an exact list",
        "stack: s\ndefaults:\n  agents: {include_base_tools: true, sleeptime: true, embedding: a/b}\nagents:\n"
        "  a: {tools: [send_message, conversation_search], policy: {tools: enforce}}\n",
        "3:32 include_base_tools: the server adds to `tools`, which is exact: archival_memory_search"
        " → remove `include_base_tools: true`, or add them to `tools`",
    ),
    broken(
        "tools for messages beside an exact list",
        "stack: s\nagents: {a: {tools: [send_message_to_agent_async], policy: {tools: enforce},"
        " include_multi_agent_tools: true}}\n",
        "2:105 include_multi_agent_tools: the server adds to `tools`, which is exact:"
        " send_message_to_agent_and_wait_for_reply, send_message_to_agents_matching_tags"
        " → remove `include_multi_agent_tools: true`, or add them to `tools`",
    ),
    broken(
        "base rules beside rules",
        "stack: s\nagents:\n  a:\n    tools: [send_message]\n    include_base_tools: false\n"
        "    include_base_tool_rules: true\n    tool_rules: [{type: run_first, tool_name: send_message}]\n",
        "6:30 include_base_tool_rules: the server adds to `tool_rules`, which is exact: exit_loop send_message"
        " → remove `include_base_tool_rules: true`, or add them to `tool_rules`",
    ),
    broken(
        "a workflow agent that remembers",
        "stack: s\nagents: {a: {agent_type: workflow_agent, message_buffer_autoclear: false}}\n",
        "2:68 message_buffer_autoclear: the server sets it to true on a new `workflow_agent`"
        " → remove the line, or choose another `agent_type`",
    ),
    broken(
        "a voice agent alone",
        "stack: s\nagents: {a: {agent_type: voice_convo_agent}}\n",
        "2:26 agent_type: the server creates a `voice_convo_agent` only with a sleeptime agent → add `sleeptime: true`",
    ),
    broken(
        "a NUL character in any text",
        'stack: s\nagents:\n  a:\n    description: "\\0"\n    system: "\\0"\n    tags: [a, "\\0"]\n'
        '    metadata: {k: {l: ["\\0"]}, "\\0": 1}\n    memory: {"\\0": x, own: "\\0"}\n'
        'archives:\n  ar: {passages: [{text: t, tags: ["\\0"]}, "\\0"]}\n',
        "4:18 description: contains a NUL character, which the server cannot store → remove it",
        "5:13 system: contains a NUL character, which the server cannot store → remove it",
        "6:15 tags.1: contains a NUL character, which the server cannot store → remove it",
        "7:15 metadata: contains a NUL character, which the server cannot store → remove it",
        "7:24 metadata.k.l.0: contains a NUL character, which the server cannot store → remove it",
        "8:14 label: contains a NUL character, which the server cannot store → remove it",
        "8:28 value: contains a NUL character, which the server cannot store → remove it",
        "10:36 passages.0.tags.0: contains a NUL character, which the server cannot store → remove it",
        "10:44 passages.1: contains a NUL character, which the server cannot store → remove it",
    ),
    broken(
        "a NUL character in a secret",
        "stack: s\nvariables: {v: {secret: true}}\nagents: {a: {secrets: {K: '${var.v}'}}}\n",
        "3:27 secrets.K: contains a NUL character, which the server cannot store → remove it",
        words={"variables": {"v": "a\0b"}},
    ),
    broken(
        "a number of more than 64 bits in a JSON file",
        "stack: s\nagents: {a: {metadata: !json m.json}}\n",
        "m.json:1:1 invalid JSON: the number 9223372036854775808 is too large",
        files={"m.json": '{"a": [9223372036854775808]}'},
    ),
    broken(
        "a name with a combining accent",
        'stack: s\nagents: {a: {name: "cafe\\u0301"}}\n',
        "2:20 name: the server does not accept the name 'cafe\u0301'"
        " → write each accented letter as one character (Unicode NFC)",
    ),
    broken(
        "digits in groups",
        "stack: s\nagents: {a: {context_window: 16_000}}\n",
        "2:30 context_window: expected a whole number, got the text '16_000' → write `16000`",
        shape=True,
    ),
    broken(
        "a file of environment variables as a file of variables",
        "stack: s\nvariables: {v: {}}\nblocks: {b: {value: '${var.v}'}}\n",
        "2:16 the variable `v` has no value"
        " → give it with --var v=…, --var-file FILE, export LETTAFORM_VAR_v=… or `variables: {v: {default: …}}`",
        "v.env:1:1 expected a map of variables, got the text 'v=1' → write `KEY: value` for each variable",
        files={"v.env": "v=1\n"},
        words={"variable_files": ["v.env"]},
    ),
    broken(
        "a default that the server cannot read",
        "stack: s\ntools: {t: {source: t.py}}\n",
        "2:21 source: t.py:2: the server reads no default of `n` from `LIMIT`, and refuses that after the default of"
        " `a` → write the value itself in place of `LIMIT`, or give `args_json_schema`",
        files={
            "t.py": "LIMIT = 5\ndef f(a: str = 'x', n: int = LIMIT) -> str:\n"
            '    """F.\n\n    Args:\n        a: A.\n        n: N.\n    """\n'
        },
    ),
    broken(
        "limits that are no numbers",
        "stack: s\nlimits: {deleted: -1, deleted_percent: 101, agents: many, memory_lost: 1.5, objects: 3}\n",
        "2:19 limits.deleted: expected a whole number, got -1",
        "2:40 limits.deleted_percent: expected a whole number up to 100, got 101",
        "2:53 limits.agents: expected a whole number, got the text 'many'",
        "2:72 limits.memory_lost: expected a whole number, got the number 1.5",
        "2:77 limits: unknown key `objects` → one of: deleted, deleted_percent, agents, memory_lost, prompt_tokens",
        shape=True,
    ),
    broken(
        "a limit that is an expression",
        "stack: s\nvariables: {n: {type: number, default: 3}}\nlimits: {deleted: '${var.n}'}\n",
        "3:19 limits.deleted: expected a whole number, got the text '${var.n}' → expressions cannot be used here",
    ),
)
