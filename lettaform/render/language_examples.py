"""Examples of the manifest language: valid manifests, or parts of one without `stack`. A test loads each."""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, str] = {
    "stack": "stack: support",
    "server": """
server:
  url: https://letta.example.com
  api_key: "${env.LETTA_API_KEY}"
  project: help-desk
""",
    "snapshots": "snapshots: {to: backups, before: apply}",
    "limits": "limits: {deleted: 20, deleted_percent: 20, agents: 100, memory_lost: 10000, prompt_tokens: 20000}",
    "policies": """\
policies:
  names:
    for: change
    severity: warning
    rule: change.kind != "agent" || change.action != "create" || change.declared.name.matches("^[a-z-]+$")
    message: Names of agents consist of a-z and `-`.
    waivers: [{address: agents.old*, reason: Their names are known to customers.}]""",
    "checks": """\
agents:
  clerk: {model: openai/gpt-4o-mini, memory: {human: Nobody yet.}}

checks:
  greets:
    agent: clerk
    say: Hello
    expect: {answer: {contains: hello}}
  remembers:
    agent: clerk
    say:
      - My name is Ann.
      - {say: "What is my name?", expect: {answer: {matches: "Ann[.!]?$"}}}
    expect:
      calls: [{tool: memory_replace, arguments: {label: human}}]
      no_calls: ["send_message_to_*"]
      memory: {human: {contains: Ann}}
      at_most: {seconds: 60, steps: 6, tokens: 20000}
    runs: 5
    pass_rate: 0.8
    on_failure: rollback
  is-polite:
    agent: clerk
    say: You are wrong.
    quarantine: true
    deny_tools: [run_code]
    judge: {criteria: The clerk stays polite., model: openai/gpt-4o}""",
    "lint": """\
lint:
  ignore:
    - {rule: single-for-each, address: agents.worker, reason: More regions follow.}""",
    "variables": """
variables:
  model: {default: openai/gpt-4o-mini, description: The model of every agent.}
  regions: {type: list, default: [emea, apac]}
  city: {env: CITY, default: Delft}  # from the environment, and not a secret
  weather_key: {secret: true}        # from --var, --var-file, or LETTAFORM_VAR_weather_key
""",
    "include": """
include: [teams/*.yaml, "!teams/old.yaml"]
""",
    "defaults": """
defaults:
  agents:
    model: openai/gpt-4o-mini
    lifecycle: {prevent_destroy: true}
  blocks: {policy: {value: merge}}
""",
    "matches": """\
blocks:
  notice: {value: Maintenance on Sunday., description: What every agent must know today.}

matches:
  support:
    match: {tags: [support], name: "worker-*", exclude: {name: worker-old, tags: [legacy]}}
    limit: 50
    tools: [web_search]
    blocks: [notice]
  trial:
    match: {name: trial}
    model: openai/gpt-4o-mini
    policy: {model: yield}""",
    "components": """
components:
  emea:
    use: ./components/desk
    when: true
    inputs: {region: EMEA}
    defaults: {agents: {model: openai/gpt-4o-mini}}
    overlay: {agents: {lead: {lifecycle: {prevent_destroy: true}}}}
  desk:
    use: ./components/desk
    for_each: [apac, amer]
    inputs: {region: "${each.key}"}
outputs: {lead_id: "${components.emea.lead_id}"}
""",
    "moved": """
agents:
  supervisor: {model: openai/gpt-4o-mini}

moved:
  - {from: agents.boss, to: agents.supervisor}
""",
    "imports": """
agents:
  supervisor: {model: openai/gpt-4o-mini}
  clerk: {model: openai/gpt-4o-mini}

imports:
  - {to: agents.supervisor, id: agent-c16a1101-5bc6-462f-90bc-d80716f50bbe}
  - {to: agents.clerk, name: clerk}
""",
    "removed": """
removed:
  - {from: agents.retired, destroy: false}
""",
    "outputs": """
agents:
  supervisor: {model: openai/gpt-4o-mini}

outputs:
  supervisor: "${agents.supervisor.id}"
""",
    "environments": """
agents:
  supervisor: {model: openai/gpt-4o-mini}

environments:
  prod:  # lettaform plan -e prod
    server: {url: "https://letta.example.com"}
    agents:
      supervisor: {model: openai/gpt-4o, lifecycle: {prevent_destroy: true}}
""",
}
"""Key of a manifest that is no section of objects, to an example that has all words inside it."""

OF_OBJECTS = """
variables:
  holidays: {type: bool, default: false}

blocks:
  organization: {external: true, stack: platform, address: blocks.organization}  # used, never written

tools:
  look_up: {external: true, name: web_search}  # built into the server
  lend: {external: true, id: tool-c16a1101-5bc6-462f-90bc-d80716f50bbe}

agents:
  worker:
    for_each: {emea: Europe, apac: Asia}  # worker[emea] and worker[apac]
    name: "worker-${each.key}"
    model: openai/gpt-4o-mini
    memory: {persona: "I look after ${each.value}."}
    blocks: [organization]
    tools: [look_up, lend]
    policy: {tools: enforce}  # the list is exact
    lifecycle: {prevent_destroy: true, ignore_changes: [description], recompile: agents}
  substitute:
    when: "${var.holidays}"
    model: openai/gpt-4o-mini
"""
"""Has every word of every object."""

CONDITION = """
variables:
  docs: {type: bool, default: false}
tools:
  search_docs: {source: tools/search_docs.py}
agents:
  clerk:
    tools: [web_search, {use: search_docs, when: "${var.docs}"}]
"""

VALUES = """
stack: museum

variables:
  city: {default: Delft}

defaults:
  agents: {model: openai/gpt-4o-mini, description: An agent of the museum.}

environments:
  prod:
    agents:
      curator: {description: "In ${environment}."}

mcp_servers:
  clock:
    type: stdio
    command: python3
    args: ["${folder}/clock.py"]
    env: {KEY: "${env.MUSEUM_KEY}"}

agents:
  curator:
    name: "Curator of ${var.city}"
    system: !file prompts/curator.md
    metadata: !json curator.json
  guide:
    for_each: {dutch: Nederlands, english: English}
    description: !unset
    tags: ["${stack}", "${each.key}"]
    memory:
      language: "${each.value}"
      format: "Write prices as $${price}."  # the text `${price}`

outputs:
  curator: "${agents.curator.id}"
  guide: "${agents.guide[dutch].name}"
"""
"""Has every expression and every tag."""

CALLS = """
stack: museum

variables:
  floors: {type: list, default: [Ground, First]}
  quiet: {type: bool, default: false}

agents:
  curator:
    description: "${format('%s, floors: %s', upper(stack), join(' and ', var.floors))}"
    tags: "${concat([for floor in var.floors : lower(floor)], cond(var.quiet, ['quiet'], []))}"
    metadata: "${{for number, floor in var.floors : format('floor-%02d', number) => length(floor)}}"
  guide:
    for_each: !csv guides.csv  # code,city,language: guide[ann] is a row
    description: "${each.value.city} in ${replace(each.value.language, '_', ' ')}"
    metadata: "${json(file('guide.json')).settings}"
    tags: "${[for word in split(' ', trim(each.value.city)) : word if word != 'the']}"
  desk:
    for_each: "${[for number in range(1, 4) : text(number)]}"
    description: "${coalesce(var.floors[0], 'Somewhere')}, desk ${each.key}"
"""
"""Has functions, and what repeats expressions."""
