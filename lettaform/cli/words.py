"""Words of other tools to what to do here: options and verbs of Terraform, kubectl, Letta's SDK and lettactl."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lettaform.errors import nearest

OPTIONS: Mapping[str, str] = {
    "--all": "every verb is about the whole stack; `--target PATTERN` narrows it",
    "--apply": "run `lettaform apply`",
    "--auto-approve": "write `-y`",
    "--backend-config": "there is no backend: the state is on the Letta server; choose it with `--server URL`",
    "--base-url": "write `--server URL`, or set LETTA_BASE_URL",
    "--api-key": "set LETTA_API_KEY, and choose its server with `--server URL` or LETTA_BASE_URL",
    "--chdir": "write `-C DIR`",
    "--check": "run `lettaform validate` for the manifest, or `lettaform plan --detailed-exitcode` for the server",
    "--compact-warnings": "leave it out",
    "--config": "write `-f FILE`",
    "--context": "write `--server URL`",
    "--cwd": "write `-C DIR`",
    "--destroy": "run `lettaform destroy`, which shows what it would delete and asks",
    "--dry-run": "run `lettaform plan`, which writes nothing",
    "--env": "write `-e ENV`",
    "--filename": "write `-f FILE`",
    "--filter": "write `--target PATTERN`",
    "--force": "write `-y` to skip the question; an error names the option that allows what it refuses",
    "--force-conflicts": "write `--reseed ADDRESS` for values that agents changed",
    "--generate-config-out": "run `lettaform import --all -o DIR`, which writes a manifest for what already lives",
    "--input": "write `-y` to skip the question",
    "--kubeconfig": "write `--server URL`",
    "--lock": "write `--no-lock` or `--lock-timeout`",
    "--manifest": "write `-f FILE`",
    "--namespace": "the stack is `stack:` in the manifest; an environment can set another one",
    "--output": "write `--json`",
    "--parallelism": "write `--parallel`",
    "--password": "set LETTA_API_KEY to the password, and choose its server with `--server URL` or LETTA_BASE_URL",
    "--profile": "write `-e ENV`",
    "--project": "set LETTA_PROJECT",
    "--quiet": "redirect the output",
    "--reconfigure": "leave it out: there is no backend to configure",
    "--recursive": "list other files under `include:` in the manifest",
    "--refresh": "leave it out: every plan reads the server",
    "--refresh-only": "run `lettaform drift`, which shows what changed outside; `lettaform pull --drift` accepts it",
    "--replace": "an object is replaced where a change needs it; the plan names the option that allows it",
    "--resource": "write `--target PATTERN`",
    "--root": "write `-C DIR`",
    "--selector": "write `--target PATTERN`",
    "--state": "there is no state file: `lettaform state list` shows the state on the server",
    "--state-out": "there is no state file: `lettaform state list` shows the state on the server",
    "--token": "set LETTA_API_KEY, and choose its server with `--server URL` or LETTA_BASE_URL",
    "--upgrade": "leave it out: there are no plugins",
    "--url": "write `--server URL`",
    "--values": "write `--var-file FILE`",
    "--watch": "run `lettaform status --watch`, which shows what differs again and again",
    "--workspace": "write `-e ENV`; an environment can set another `stack:`",
    "--write": "leave it out; `--check` writes nothing",
    "--yaml": "write `--json`",
}
"""What to do in place of an option of another tool. A verb that has the option itself is not asked."""

VERBS: Mapping[str, str] = {
    "agents": "`lettaform status` lists the objects of the stack, `lettaform show` prints their values",
    "annotate": "set `tags` or `metadata` in the manifest, and run `lettaform apply`",
    "backup": "run `lettaform snapshot create`",
    "chat": "use `lettaform send ADDRESS TEXT`",
    "clone": "run `lettaform duplicate ADDRESS NEW_ADDRESS`",
    "config": "the manifest says everything; `--server URL` chooses another server",
    "convert": "run `lettaform from-af FILE -o DIR` for agent files, or `lettaform from-lettactl FILE -o DIR`",
    "console": "there is none; `lettaform plan` shows outputs",
    "copy": "run `lettaform duplicate ADDRESS NEW_ADDRESS`",
    "cost": "run `lettaform plan --cost`",
    "cp": "run `lettaform duplicate ADDRESS NEW_ADDRESS`",
    "create": "declare the object in the manifest, and run `lettaform apply`",
    "delete": "remove the object from the manifest; `lettaform plan` then says how it is deleted",
    "deploy": "run `lettaform apply`",
    "describe": "run `lettaform show ADDRESS`",
    "diff": "run `lettaform plan`",
    "down": "`lettaform dev down` stops the server on this machine",
    "edit": "edit the manifest, and run `lettaform apply`",
    "force-unlock": "run `lettaform lock release`",
    "format": "run `lettaform fmt`",
    "generate": "`lettaform init` writes an example manifest",
    "get": "run `lettaform status`, or `lettaform show ADDRESS` for all values of an object",
    "health": "`lettaform dev status` lists the servers on this machine",
    "help": "run `lettaform --help`",
    "kill": "`lettaform dev down` stops the server on this machine",
    "label": "set `tags` in the manifest, and run `lettaform apply`",
    "lettactl": "run `lettaform from-lettactl FILE -o DIR`, which writes a manifest for one of lettactl",
    "list": "run `lettaform status`, or `lettaform status -o name` for addresses alone",
    "login": "set LETTA_API_KEY, and choose its server with `--server URL` or LETTA_BASE_URL",
    "logs": "`lettaform dev logs` prints the log of the server on this machine",
    "ls": "run `lettaform status`",
    "output": "`lettaform plan` and `lettaform apply` print outputs; `--json` prints them as JSON",
    "patch": "change the manifest, and run `lettaform apply`",
    "preview": "run `lettaform plan`",
    "providers": "declare them under `providers:` in the manifest",
    "ps": "run `lettaform status`",
    "refresh": "leave it out: every plan reads the server",
    "remove": "`lettaform state rm ADDRESS` forgets an object, which stays on the server",
    "replace": "an object is replaced where a change needs it; the plan names the option that allows it",
    "rm": "`lettaform state rm ADDRESS` forgets an object, which stays on the server",
    "search": "run `lettaform archive search ADDRESS TEXT`",
    "tokens": "run `lettaform memory`",
    "undo": "`lettaform rollback` restores what the last apply changed",
    "run": "run `lettaform apply`",
    "server": "`lettaform dev up` runs a Letta server on this machine",
    "start": "`lettaform dev up` starts a Letta server on this machine",
    "stop": "`lettaform dev down` stops the server on this machine",
    "sync": "run `lettaform apply`",
    "taint": "to write the manifest's values again, run `lettaform apply --reseed ADDRESS`",
    "test": "run `lettaform check`; `lettaform validate` checks the manifest",
    "top": "run `lettaform memory`, or `lettaform status --watch`",
    "unlock": "run `lettaform lock release`",
    "untaint": "nothing is tainted: objects are replaced only where a change needs it",
    "up": "run `lettaform apply`; `lettaform dev up` starts a Letta server on this machine",
    "upgrade": "leave it out: there are no plugins",
    "use": "write `-e ENV` for another environment, or `--server URL` for another server",
    "watch": "run `lettaform memory`, or `lettaform status --watch`",
    "workspace": "declare `environments:` in the manifest, and choose one with `-e ENV`",
}
"""What to do in place of a verb of another tool."""

NEVER_GUESSED = frozenset(
    {
        "--allow-destroy",
        "--all",
        "--ignore-limits",
        "--no-lock",
        "--ours",
        "--prune",
        "--purge",
        "--reseed",
        "--yes",
        "destroy",
        "migrate",
        "promote",
        "release",
        "remove",
        "restore",
        "rm",
        "rollback",
    }
)
"""Options and verbs that delete, overwrite or skip a question: no guess names them."""


def option_hint(word: str, known: Collection[str]) -> str | None:
    """What to do in place of an unknown option. `known`: the long options of the verb."""
    name = word.partition("=")[0]
    if name in OPTIONS:
        return OPTIONS[name]
    return _guess(name, [each for each in known if each.startswith("--")])


def verb_hint(word: str, known: Collection[str]) -> str | None:
    """What to do in place of an unknown verb. `known`: the verbs."""
    return VERBS.get(word.lower()) or _guess(word, known)


def _guess(word: str, known: Collection[str]) -> str | None:
    """The nearest word, if it is near and a guess may name it. Who meant one that destroys is led to no other."""
    near = nearest(word, known)
    return f"did you mean `{near}`?" if near and near not in NEVER_GUESSED else None
