"""The language: the form of a whole manifest, from the kinds and the keys that belong to no kind."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from lettaform.kinds import MATCHED, MATCHES, kinds, sections
from lettaform.manifest.bodies import Body, changeable, ownership, policies_of
from lettaform.manifest.form import (
    Anything,
    Count,
    Entries,
    Fields,
    Flag,
    Form,
    Items,
    Many,
    Named,
    Number,
    OneOrMore,
    Text,
)
from lettaform.manifest.rules import WARNINGS
from lettaform.manifest.words import SECTIONS
from lettaform.model import MATCH_LIMIT
from lettaform.ownership import canaries
from lettaform.ownership.unowned import NOT_TEMPORARY

ABOUT, SEVERITIES = ("change", "plan"), ("error", "warning")
ON_FAILURE = ("stop", "rollback")
TYPES = ("string", "number", "bool", "list", "map")
NAME = r"^[A-Za-z_][A-Za-z0-9_-]*$"
NOT_IN_ENVIRONMENTS = ("include", "environments", "lint")

EXTERNAL: Mapping[str, Form] = {
    "external": Flag(
        "Whether the object is managed elsewhere. It is used and never changed. Give `name`, `id`, or both `stack` and "
        "`address` to identify it. In an environment, it drops the other fields of the object. Default: false.",
        expressions=False,
        beside=True,
    ),
    "name": Text("The name of the external object.", expressions=True),
    "id": Text("The ID of the external object.", expressions=True),
    "stack": Text("The stack that manages the external object.", expressions=True),
    "address": Text("The address of the external object in its stack, for example `blocks.organization`."),
}
REPEAT: Mapping[str, Form] = {
    "for_each": Many(
        "Create one instance for each item of a list or each entry of a map. `${each.key}` and `${each.value}` are the "
        "key and the value of the current one."
    ),
    "when": Flag("Whether to create the object. Default: true."),
}

VARIABLE = Fields(
    {
        "type": Text("How values from --var and from environment variables are parsed. Default: string.", TYPES),
        "default": Anything("The value if none is given. Must not contain expressions."),
        "description": Text("A description of the variable."),
        "secret": Flag("Whether to hide the value. A secret can only be used in secret fields. Default: false.", False),
        "env": Text("The environment variable to read the value from.", pattern="^[^=]+$", expected="a name"),
    },
    "A variable.",
    nullable=True,
    short="default",
)

SNAPSHOTS = Fields(
    {
        "to": Text(
            "The folder in which snapshots are written. --snapshot-dir takes precedence. Default: "
            "`.lettaform/snapshots`.",
            expressions=True,
        ),
        "before": Text(
            "What a snapshot is taken before: `delete`, an apply that deletes something; `apply`, each apply that "
            "changes or deletes something, so that `lettaform rollback` can undo it. Default: delete.",
            ("delete", "apply"),
        ),
    },
    "Where and when snapshots are written: before objects are deleted, and by `lettaform snapshot create`.",
    nullable=True,
    short="to",
)

LINT = Fields(
    {
        "ignore": Items(
            Fields(
                {
                    "rule": Text("The id of the rule.", tuple(WARNINGS)),
                    "address": Text(
                        "The address of the object, for example `blocks.notes`; `*` stands for any text. Default: all.",
                        pattern=r".",
                        expected="an address",
                    ),
                    "reason": Text("Why the rule does not apply.", pattern=r"\S", expected="a text"),
                },
                "A rule that is switched off, for one object or for all.",
                ("rule", "reason"),
            ),
            "Warnings that are not reported, each with a reason.",
        )
    },
    "Which warnings of `lettaform validate` are switched off.",
    nullable=True,
)

LIMITS = Fields(
    {
        "deleted": Count("Number of objects that one plan may delete or replace. Default: null, no limit."),
        "deleted_percent": Count(
            "Share of the stack's objects that one plan may delete or replace, in percent. A plan that deletes at most "
            "5 objects is not judged. null: no limit. Default: 50.",
            100,
        ),
        "agents": Count(
            "Number of existing agents that one plan may change, delete or recompile. Default: null, no limit."
        ),
        "memory_lost": Count(
            "Number of characters that one plan may remove from memory blocks: in deleted blocks, and in lines that "
            "leave others. Default: null, no limit."
        ),
        "prompt_tokens": Count(
            "Number of estimated tokens that the prompt of an agent may have, memory blocks included, if one plan "
            "creates it or makes it longer. Default: null, no limit."
        ),
    },
    "How much one plan may do. --ignore-limits lifts all limits for one run. `destroy` has none.",
    nullable=True,
)

POLICIES = Entries(
    Fields(
        {
            "rule": Text("An expression of CEL that must be true."),
            "for": Text("What the rule is evaluated for: each `change`, or the `plan`. Default: change.", ABOUT),
            "severity": Text("What a plan is that does not meet it: an `error`, or with a `warning`.", SEVERITIES),
            "message": Text("What is wrong with a plan that does not meet it."),
            "waivers": Items(
                Fields(
                    {
                        "address": Text(
                            "The address of the object, for example `agents.worker`; `*` stands for any text. "
                            "Default: all.",
                            pattern=r".",
                            expected="an address",
                        ),
                        "reason": Text("Why the policy does not apply.", pattern=r"\S", expected="a text"),
                    },
                    "An object to which the policy does not apply.",
                    ("reason",),
                ),
                "What the policy does not apply to, each with a reason.",
            ),
        },
        "A rule that plans must meet.",
        ("rule",),
    ),
    "Rules that each plan must meet, before anything is written. They need `lettaform[policy]`.",
    r"^[A-Za-z0-9_-]+$",
    "consist of letters, digits, `_` and `-`",
)


_TEXT = Text(expressions=True)


def _texts(doc: str) -> OneOrMore:
    return OneOrMore(_TEXT, Items(_TEXT), doc)


EXPECTED_TEXT = Named(
    "expected_text",
    Fields(
        {
            "contains": _texts("A text that it contains, or a list of texts. Upper and lower case are equal."),
            "excludes": _texts("A text that it does not contain, or a list of texts. Upper and lower case are equal."),
            "matches": Text("A regular expression of Python that matches a part of the text.", expressions=True),
            "json_schema": Anything("A JSON Schema that the text, read as JSON, meets."),
        },
        "What a text must be like.",
    ),
)
EXPECTATION = Named(
    "expectation",
    Fields(
        {
            "answer": EXPECTED_TEXT,
            "calls": Items(
                Fields(
                    {
                        "tool": Text("The name of the tool on the server.", expressions=True),
                        "arguments": Anything("A map of arguments that the call has at least, with these values."),
                    },
                    "A call of a tool.",
                    ("tool",),
                ),
                "Tools that the agent calls, in any order, among others.",
            ),
            "no_calls": Items(
                _TEXT, "Names of tools that the agent does not call; `*` stands for any text, and alone for every tool."
            ),
            "memory": Entries(
                EXPECTED_TEXT, "Label of a memory block of the agent to what its text is like after the last answer."
            ),
            "at_most": Fields(
                {
                    "seconds": Number("Number of seconds from the first message to the last answer."),
                    "steps": Number("Number of steps: of requests to the model.", 1, whole=True),
                    "tokens": Number("Number of tokens, of prompts and answers.", 1, whole=True),
                },
                "How much the agent takes at most.",
            ),
        },
        "What is expected.",
    ),
)
_CHECK: Mapping[str, Form] = {
    "agent": Text(
        "The agent: a key of `agents`. The key of a declaration with `for_each` stands for all its instances."
    ),
    "say": OneOrMore(
        _TEXT,
        Items(
            OneOrMore(
                _TEXT,
                Fields(
                    {"say": _TEXT, "expect": EXPECTATION},
                    "A message, and what is expected of its answer.",
                    ("say",),
                ),
            )
        ),
        "The message to the agent; a list of messages is sent one after the other. A message can be a map of "
        "`say` and `expect`.",
    ),
    "expect": EXPECTATION,
    "runs": Number("How often the agent is checked, each time with a new copy. Default: 1.", 1, 100, whole=True),
    "pass_rate": Number("Share of the runs that must pass, such as 0.8. Default: 1.", 0, 1),
    "quarantine": Flag(
        "Whether a failure is reported alone: it changes no exit code, and stops nothing. Default: false.",
        False,
    ),
    "on_failure": Text(
        "What `apply --check` does if the check fails: `stop` reports it; `rollback` also restores the "
        "snapshot that was taken before the apply. Default: stop.",
        ON_FAILURE,
    ),
    "deny_tools": Items(
        _TEXT,
        "Names of tools that do not run: the call is recorded, and the agent is told that it was denied. `*` "
        "stands for any text.",
    ),
    "judge": Fields(
        {
            "criteria": Text("What the conversation must be like, for a model that reads it.", expressions=True),
            "model": Text("The model that judges. Default: that of the agent.", expressions=True),
        },
        "A model that decides whether the conversation meets criteria.",
        ("criteria",),
        short="criteria",
    ),
}


def _checks(*required: str) -> Entries:
    """The form of `checks`. `required`: keys of each check."""
    return Entries(
        Fields(_CHECK, "A conversation with a copy of an agent, and what is expected of it.", required),
        "Conversations with throw-away copies of agents, and what is expected of them: `lettaform check` runs them.",
        r"^[A-Za-z0-9_-]+$",
        "consist of letters, digits, `_` and `-`",
    )


_SELECTED = OneOrMore(
    _TEXT,
    Items(_TEXT),
    "The name of an agent, with `*` for any text, or a list of names: agents with one of them.",
)
MATCH = Fields(
    {
        "name": _SELECTED,
        "tags": Items(_TEXT, "Tags: agents that have all of them."),
        "exclude": Fields(
            {
                "name": _SELECTED,
                "tags": Items(_TEXT, "Tags: agents that have one of them."),
                "id": _texts("The ID of an agent, or a list of IDs."),
            },
            "Agents that are left out.",
        ),
        "stacks": Items(
            Text(pattern=r"^[a-z0-9-]+$", expected="letters a-z, digits and `-`", expressions=True),
            "Other stacks whose agents are selected, too. Default: agents of other stacks are left out.",
        ),
    },
    "Which existing agents are selected, whoever created them. Agents of this stack are not: their fields are declared "
    "in `agents`.",
)
_NOT_MATCHED: Mapping[str, str] = {
    "memory": "declare the block in `blocks`, and name it in `blocks` here",
    "name": "write `name` below `match`; a name cannot be set",
    "tag": "write `tags` below `match` to select agents; `tags` here are added to them",
}


def _matches() -> Entries:
    """The form of `matches`."""
    fixed = "an existing agent keeps it: declare the agent in `agents`, and import it"
    fields = frozenset(changeable(MATCHED)) - {kinds()[MATCHED].name_field}
    hints = {**{name: fixed for name in kinds()[MATCHED].attrs() if name not in fields}, **_NOT_MATCHED}
    settings: Mapping[str, Form] = {
        "match": MATCH,
        "limit": Count(
            "The largest number of agents that may be selected; a plan that selects more is refused. null: no limit. "
            f"Default: {MATCH_LIMIT}."
        ),
        "policy": Named("match_policy", policies_of(MATCHED, sorted(fields))),
    }
    doc = "Fields of every existing agent that is selected. Nothing else of these agents is changed."
    body = Body(MATCHED, settings, "match", only=fields, doc=doc, hints=hints)
    return Entries(body, "Fields of existing agents that this stack does not own, whoever created them.")


@cache
def objects() -> Mapping[str, Form]:
    """The form of every section of objects."""
    forms: dict[str, Form] = {}
    for section, kind in sections().items():
        body = Body(kind, {**EXTERNAL, **REPEAT, **ownership(kind)}, kind)
        forms[section] = Entries(body, kinds()[kind].__doc__ or "", *_keys(kind))
    return forms


def _keys(kind: str) -> tuple[str, str] | tuple[()]:
    """What the keys of a section must match, and that in words; empty if they may be anything."""
    if kind in NOT_TEMPORARY:
        return NOT_TEMPORARY[kind], "not be empty, and not have the form of an id"
    if kind == canaries.KIND:
        return canaries.NOT_CANARY, "not be empty, and not end in `@canary-` and a number"
    return ()


def _sections() -> dict[str, Form]:
    """The forms of all sections of objects, and of those of others."""
    return {**objects(), MATCHES: _matches()}


@cache
def language() -> Fields:
    """The form of a whole manifest."""
    anywhere = _anywhere()
    overlay = {name: form for name, form in anywhere.items() if name not in NOT_IN_ENVIRONMENTS}
    overlay["checks"] = _checks()  # one of them may change a single key of a check
    environments = Entries(
        Fields(overlay, "What differs in this environment.", nullable=True, elsewhere=SECTIONS),
        "Environments. The one selected with -e is merged over the rest of the manifest, key by key.",
    )
    description = "Letta agents, their shared memory and their tools."
    return Fields({**anywhere, "environments": environments}, description, ("stack",), elsewhere=SECTIONS)


def _import(address: Form) -> Form:
    """The form of an entry of `imports`. `address`: that of an address."""
    name = (
        "The name, label or topic of the existing object, in place of its ID. If the server has no such object that no "
        "stack owns, the object is created."
    )
    fields = {
        "to": address,
        "id": Text("The ID of the existing object.", expressions=True),
        "name": Text(name, expressions=True),
    }
    return Fields(fields, "An object to import, by its `id` or its `name`.", ("to",), either=("id", "name"))


def _address(doc: str) -> Text:
    return Text(doc, pattern=r"^[a-z_]+[.\[]", expected="an address")


def _server() -> Fields:
    """The form of `server`."""
    key = Text(
        "The API key, for example `${env.LETTA_API_KEY}`. It is sent to `url` and to no other URL. "
        "LETTA_API_KEY itself is sent only to the URL of --server or LETTA_BASE_URL.",
        expressions=True,
    )
    return Fields(
        {
            "url": Text("The URL of the server.", pattern=r"^https?://.", expected="an http(s) URL", expressions=True),
            "api_key": key,
            "project": Text("The project on Letta Cloud. LETTA_PROJECT takes precedence.", expressions=True),
        },
        "The Letta server. --server and LETTA_BASE_URL take precedence.",
        nullable=True,
        short="url",
    )


def _anywhere() -> dict[str, Form]:
    """The forms of the top-level keys, except `environments`."""
    defaults = {section: Body(kind, ownership(kind), f"{kind}_defaults") for section, kind in sections().items()}
    moved = {
        "from": _address("The old address, for example `agents.boss`."),
        "to": _address("The new address, for example `agents.supervisor`. It is declared in the manifest."),
    }
    removed = _address("The address that is no longer declared, for example `agents.retired`.")
    destroy = Flag("Whether to delete the object from the server. Default: false, which only stops managing it.")
    return {
        "stack": Text(
            "The name of the stack, which owns the objects of this manifest on the server.",
            pattern=r"^[a-z0-9-]+$",
            expected="letters a-z, digits and `-`",
        ),
        "server": _server(),
        "snapshots": SNAPSHOTS,
        "limits": LIMITS,
        "policies": POLICIES,
        "checks": _checks("agent", "say"),
        "lint": LINT,
        "variables": Entries(
            VARIABLE, "Values that can differ between runs.", NAME, "consist of letters, digits, `_` and `-`"
        ),
        "include": Items(
            Text('A path or a pattern, for example `teams/*.yaml`; `"!teams/old.yaml"` excludes files.'),
            "Other files of this stack, inside the project folder.",
        ),
        "defaults": Fields(
            dict(defaults), "Default values of fields, by section. Objects override them.", nullable=True
        ),
        **_sections(),
        "moved": Items(
            Fields(moved, "A renamed address.", ("from", "to")),
            "Addresses that were renamed. The objects are kept.",
        ),
        "imports": Items(
            _import(_address("The address of the object in the manifest, for example `agents.supervisor`.")),
            "Existing objects of the server that this stack takes over.",
        ),
        "removed": Items(
            Fields({"from": removed, "destroy": destroy}, "A removed address.", ("from",)),
            "Addresses that are no longer declared, and whether to delete their objects.",
        ),
        "outputs": Entries(Anything("Any value."), "Values that plan and apply report."),
    }
