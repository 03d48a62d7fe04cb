"""Texts that attack the formats of a plan, and a plan with such a text in every place."""

from __future__ import annotations

from dataclasses import replace

from lettaform.address import Address
from lettaform.errors import Place, Problem
from lettaform.model import AgentChange, Change, FieldChange, MergeConflict, Plan, PromptChange, Unmanaged
from lettaform.values import Patch, Ref

from .samples import HOSTILE, at, of, update

TEXTS = {
    "control": HOSTILE,
    "escape": "\x1b]8;;http://evil.test\x07link\x1b]8;;\x07 \x1b[2J",
    "bidi": "abc\u202egnp.exe\u2066x\u2069 \u200f",
    "script": "</script></style></title><script>alert(1)</script><img src=x onerror=alert(1)>",
    "attribute": "\" onmouseover=\"alert(1)\" ' onclick='alert(1)' `",
    "comment": "--> --!> <!-- ]]> <![CDATA[ <?php",
    "entities": "&lt;script&gt; &#64;everyone &commat;octocat",
    "mention": "@everyone @octocat @org/team octocat@evil.test",
    "issue": "#1 GH-1 org/repo#1 !1 %1 fixes #1 closes https://github.com/a/b/issues/1",
    "link": "[click](http://evil.test) ![x](http://evil.test/x.png) <http://evil.test> www.evil.test http://evil.test",
    "emphasis": "**bold** __bold__ ~~gone~~ :tada: [^1] $x^2$ \\* &amp;",
    "command": "::set-output name=x::y",
    "old command": "##[set-env name=PATH]x ##vso[task.setvariable variable=x]y",
    "quick action": "/close\n/assign @me\n/merge",
    "heading": "# Title\n## Plan: 0 to destroy\n---\n===\n> quoted\n- item\n1. item\n    code",
    "table": "a | b | c \\| d\n|---|---|\n| x | y |",
    "ticks": "` `` ``` ```` ~~~ `````````` x",
    "fence": "```\n~~~\n````\n  ```\n```diff\n</details>\n\n</summary>",
    "details": "</details></summary></code></pre><details open>\n\n# x",
    "many ticks": "`" * 2_000,
    "newlines": "\n\n\r\n\u2028\u2029\x85\x0b\x0c",
    "empty": " ",
}


def plan(text: str) -> Plan:
    """A plan with the text in every place that a manifest, a server or a saved plan can fill."""
    place = Place(text, 1, 1)
    agent = Address.of("agents", text, text)
    lines = f"{text}\n  {text}\n{text}"
    changes = (
        Change(agent, "agent", "delete", text, text, notes=(text,)),
        Change(Address.of("agents", f"{text}2"), "agent", "replace", text, text, notes=(text,), place=place),
        Change(Address.of("agents", f"{text}3"), "agent", "adopt", text, text, place=place),
        Change(
            Address.of("agents", f"{text}4"),
            "agent",
            "create",
            fields_changed=(
                FieldChange("name", None, text),
                FieldChange("system", None, lines),
                FieldChange("tags", None, [text, text * 5]),
                FieldChange("metadata", None, {text: text, "nested": {text: [text]}}),
            ),
            place=place,
        ),
        replace(
            update(
                "agents.b",
                FieldChange("system", f"same\n{lines}\nold", f"same\n{lines}\nnew {text}"),
                FieldChange("description", f"{text} one {'word ' * 30}", f"{text} two {'word ' * 30}"),
                FieldChange(text, text, f"{text}!"),
                FieldChange("tags", [text], [f"{text}!"]),
                FieldChange("tools", [], Patch((text, Ref(agent)), (f"{text}!",))),
                FieldChange("metadata", {text: 1, "n": {text: text}}, {text: 2, "n": {text: f"{text}!"}}),
                notes=(text,),
            ),
            place=place,
        ),
        *(
            update(str(Address.of("blocks", "same", f"{text}{n}")), FieldChange("limit", 1, 2), kind="block")
            for n in (1, 2, 3)
        ),
        *(
            replace(update(f"matches.m[agent-{n}]", FieldChange("max_tokens", 1, 2)), name=f"{text}{n}")
            for n in (1, 2, 3)
        ),
        update("blocks.drift", FieldChange("description", text, "x", reason="drift"), reason="drift", kind="block"),
    )
    return of(
        *changes,
        stack=text,
        url=text,
        version=text,
        environment=text,
        runtime=(
            AgentChange(agent, text, text, seed_moved=True),
            AgentChange(at("agents.b"), text, "x", conflict=MergeConflict(text, f"<<<<<<<\n{lines}\n>>>>>>>")),
        ),
        unmanaged=(Unmanaged("agent", text, agent, text),),
        warnings=(Problem(text, place, text), Problem(f"a `{text}` b", place, f"run `{text}`")),
        outputs={text: text},
        names={text: text},
        shared={Address.of("blocks", text): (agent, at("agents.b")), at("blocks.x"): (agent,)},
        prompts=(
            PromptChange(Address.of("agents", text), None, None, 5, 5),
            PromptChange(Address.of("agents", text, text), text, 1, 5, 900),
            PromptChange(Address.of("agents", f"{text}2"), text, 1, 5, 900),
        ),
    )
