from __future__ import annotations

import json
from dataclasses import replace

from lettaform.model import Live, Mark

from .conftest import Flow, Run, at

SECRET = "hunter2"
BOSS = Live(
    *("agent", "agent-1", "boss", {"name": "boss", "secrets": {"KEY": SECRET}}, at("agents.boss"), "support"),
    Mark({"system": "ab12"}),
    marked=True,
)


def test_show(run: Run, flow: Flow) -> None:
    flow.lives = [BOSS]
    assert run("show", "agents.boss").stdout == (
        'agents.boss  agent  agent-1  not declared\n    name     "boss"\n    secrets  KEY=‹secret›\n'
    )
    assert flow.calls[0][3] == "agents.boss"
    assert "agents.boss  not declared\n" in run("show").stdout
    assert flow.calls[1][3] is None
    shown = json.loads(run("show", "--json").stdout)
    assert shown["objects"][0]["values"] == {"name": "boss", "secrets": {"KEY": None}}


def test_list(run: Run, flow: Flow) -> None:
    assert run("state", "list").stdout == "This stack has no objects on the server.\n"
    flow.lives = [BOSS]
    assert run("state", "list").stdout == "agents.boss  agent  agent-1  boss\n"
    (shown,) = json.loads(run("state", "list", "--json").stdout)["objects"]
    assert shown == {
        "address": "agents.boss",
        "kind": "agent",
        "id": "agent-1",
        "name": "boss",
        "stack": "support",
        "marked": True,
    }


def test_state_show(run: Run, flow: Flow) -> None:
    flow.lives = [BOSS]
    assert "    system  ab12\n" in run("state", "show", "agents.boss").stdout
    shown = json.loads(run("state", "--json", "show", "agents.boss").stdout)
    assert shown["objects"][0]["mark"]["base"] == {"system": "ab12"}
    result = run("state", "show", "agents.bos")
    assert result.exit_code == 1
    assert "did you mean `agents.boss`?" in result.stderr


def test_state_show_names_instances_by_their_declaration_and_without_quotes(run: Run, flow: Flow) -> None:
    flow.lives = [replace(BOSS, address=at(f'agents.rep["{key}"]')) for key in ("acme/eu", "v1.2")]
    assert run("state", "show", "agents.rep").stdout.count("system  ab12") == 2
    for address in ("agents.rep[acme/eu]", 'agents.rep["acme/eu"]'):
        assert run("state", "show", address).stdout.count("system  ab12") == 1
    assert run("state", "show", "agents.re").exit_code == 1


def test_mv_and_rm(run: Run, flow: Flow) -> None:
    assert run("state", "mv", "agents.a", "agents.b").stdout == "Moved agents.a to agents.b.\n"
    assert json.loads(run("state", "mv", "agents.a", "agents.b", "--json").stdout) == {
        "moved": {"from": "agents.a", "to": "agents.b"}
    }
    assert run("state", "rm", "agents.a").stdout == "agents.a is no longer managed. The object still exists.\n"
    assert json.loads(run("state", "rm", "agents.a", "--json").stdout) == {"forgotten": "agents.a"}
    assert [call[0] for call in flow.calls] == ["state_move", "state_move", "state_remove", "state_remove"]
    assert flow.calls[0][3:] == ("agents.a", "agents.b")


def test_rebuild(run: Run) -> None:
    assert run("state", "rebuild").stdout == "Rebuilt the state: 3 objects.\n  agents.a␛ is gone\n"
    assert json.loads(run("state", "rebuild", "--json").stdout) == {"recorded": 3, "lost": ["agents.a\x1b is gone"]}


def test_import(run: Run, flow: Flow) -> None:
    result = run("import", "agents.boss", "agent-1")
    assert result.exit_code == 0
    assert "Imported: 1 object. `lettaform plan` shows what differs." in result.stdout
    assert flow.calls[0][3:] == ("agents.boss", "agent-1")
    assert json.loads(run("import", "agents.boss", "agent-1", "--json").stdout)["stack"] == "support"


def test_version(run: Run) -> None:
    from lettaform import __version__

    assert run("version").stdout.startswith(f"lettaform {__version__} (Python 3.")
    assert json.loads(run("--json", "version").stdout)["version"] == __version__
    assert run("--version").stdout == run("version").stdout
