"""Command line arguments to a verb, and its result to an exit code. Each verb is a module, imported on use."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from lettaform.errors import LettaformError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lettaform.flow import Connection, Source
    from lettaform.model import Manifest

# --- global options ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Globals:
    """The values of the global options. `color`: whether output is coloured."""

    directory: Path = field(default_factory=Path)
    files: tuple[Path, ...] = ()
    environment: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    variable_files: tuple[Path, ...] = ()
    server: str | None = None
    json: bool = False
    color: bool = False
    verbose: bool = False
    debug: bool = False

    def source(self) -> Source:
        """The files and variables of the manifest."""
        from lettaform.flow import Source

        return Source(self.directory, self.files, self.environment, self.variables, self.variable_files)

    def manifest(self, *, lints: bool = False) -> Manifest:
        """The manifest without values of variables, for verbs that send it to no server. `lints`: as of `load`."""
        from lettaform.manifest import load

        return load(
            self.directory,
            self.files,
            environment=self.environment,
            variables=self.variables,
            variable_files=self.variable_files,
            needs="nothing",
            connects=False,
            lints=lints,
        )

    def connection(
        self, patience: float | None = 60.0, *, url: str | None = None, token: str | None = None
    ) -> Connection:
        """How to reach the server. With -v or --debug, each request is printed on stderr.

        url, token  of a server that is not that of --server
        """
        from lettaform.flow import Connection

        return Connection(
            url=url or self.server,
            token=token,
            patience=patience,
            trace=_trace if self.verbose or self.debug else None,
        )


_now: ContextVar[Globals | None] = ContextVar("globals", default=None)
"""The global options read so far, for whoever reports an error."""


def remember(now: Globals) -> Globals:
    """Use these options for reports of errors from now on."""
    _now.set(now)
    return now


def _trace(line: str) -> None:
    from lettaform.render.clean import clean_line

    click.echo(clean_line(line), err=True)


def _wants_color() -> bool:
    """Whether output is coloured. NO_COLOR wins over FORCE_COLOR, and both over what stdout is."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and sys.stdout.isatty()


def _put(name: str, value: Any, now: Globals) -> Globals:
    """`now` with one more option. Repeatable options are collected; of others, the last value counts."""
    if name == "no_color":
        return replace(now, color=False)
    if name == "variables":
        return replace(now, variables={**now.variables, **dict(map(_assignment, value))})
    added: dict[str, Any] = {name: value}
    if name in ("files", "variable_files"):
        added = {name: (*getattr(now, name), *value)}
    return replace(now, **added)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter("expected NAME=VALUE, for example --var model=letta/letta-free", param_hint="--var")
    return name, value


class GlobalOption(click.Option):
    """An option that may be given before and after the verb. The help of a verb lists only its name."""

    about: str

    def __init__(self, about: str, declarations: Sequence[str], *, shown: bool, **words: Any) -> None:
        super().__init__([f"global_{about}", *declarations], expose_value=False, callback=self.take, **words)
        self.about, self.shown = about, shown

    def take(self, context: click.Context, _: click.Parameter, value: Any) -> Any:
        """Store the value for the verb and for reports of errors."""
        if context.get_parameter_source(self.name or "") is ParameterSource.COMMANDLINE:
            context.obj = remember(_put(self.about, value, context.obj))
        return value

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        return super().get_help_record(ctx) if self.shown else None


def _environments(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from lettaform.cli.completion import environments

    return environments(context, parameter, incomplete)


def _options(names: Iterable[str], *, shown: bool = False) -> list[GlobalOption]:
    folder = click.Path(file_okay=False, exists=True, path_type=Path)
    file = click.Path(dir_okay=False, path_type=Path)
    words: dict[str, tuple[list[str], dict[str, Any]]] = {
        "directory": (
            ["-C", "--directory"],
            {"type": folder, "metavar": "DIR", "help": "Folder of the manifest. Default: the current folder."},
        ),
        "files": (
            ["-f", "--file"],
            {
                "type": file,
                "multiple": True,
                "help": "Manifest file to read instead of lettaform.yaml or lettaform.yml. Repeatable.",
            },
        ),
        "environment": (
            ["-e", "--environment"],
            {
                "metavar": "ENV",
                "shell_complete": _environments,
                "help": "Environment of the manifest to apply on top of the rest.",
            },
        ),
        "variables": (
            ["--var"],
            {"metavar": "NAME=VALUE", "multiple": True, "help": "Value of a variable. Repeatable."},
        ),
        "variable_files": (
            ["--var-file"],
            {"type": file, "multiple": True, "help": "YAML or JSON file with values of variables. Repeatable."},
        ),
        "server": (
            ["--server"],
            {
                "metavar": "URL",
                "help": "URL of the Letta server. LETTA_API_KEY is sent to it. Default: LETTA_BASE_URL, "
                "the manifest's `server.url`, or http://localhost:8283.",
            },
        ),
        "json": (["--json"], {"is_flag": True, "help": "Print JSON instead of text."}),
        "no_color": (
            ["--no-color"],
            {
                "is_flag": True,
                "help": "Print without colours, as with NO_COLOR=1. FORCE_COLOR=1 also colours pipes.",
            },
        ),
        "verbose": (
            ["-v", "--verbose"],
            {"is_flag": True, "help": "Print whole texts, the values that agents changed, and each request."},
        ),
        "debug": (["--debug"], {"is_flag": True, "help": "Print each request, and the traceback of an error."}),
    }
    return [GlobalOption(name, words[name][0], shown=shown, **words[name][1]) for name in names]


# --- the verbs --------------------------------------------------------------------------------------------------------

_MANIFEST = ("directory", "files", "environment", "variables", "variable_files")
_ALWAYS = ("no_color", "debug")
_ALL = (*_MANIFEST, "server", "json", "verbose", *_ALWAYS)


@dataclass(frozen=True)
class Verb:
    """A verb: module and function, its line in `lettaform --help`, and the global options it accepts."""

    place: str
    help: str
    takes: tuple[str, ...] = _ALL


VERBS: Mapping[str, Verb] = {
    "init": Verb("init:init", "Write an example manifest.", ("directory", "json", *_ALWAYS)),
    "validate": Verb("validate:validate", "Check the manifest without a server.", (*_MANIFEST, "json", *_ALWAYS)),
    "fmt": Verb("fmt:fmt", "Write the files of the manifest in canonical layout.", (*_MANIFEST, "json", *_ALWAYS)),
    "graph": Verb(
        "graph:graph", "Print who shares what, as Mermaid, DOT, SVG or HTML.", (*_MANIFEST, "json", *_ALWAYS)
    ),
    "render": Verb(
        "render:render", "Print the final manifest, and where each value comes from.", (*_MANIFEST, "json", *_ALWAYS)
    ),
    "vendor": Verb("vendor:vendor", "Fetch components of git repositories.", ("directory", "files", "json", *_ALWAYS)),
    "plan": Verb("plan:plan", "Show the changes that apply would make."),
    "status": Verb("status:status", "Show the objects of the stack, and how they differ from the manifest."),
    "memory": Verb("memory:memory", "Show what fills the context windows of the agents."),
    "drift": Verb("drift:drift", "Show what changed on the server since the last apply."),
    "apply": Verb("apply:apply", "Create, update and replace objects to match the manifest."),
    "check": Verb("check:check", "Talk to copies of agents, and compare what they do with what is expected."),
    "canary": Verb("canary:canary", "Try a change of an agent on copies beside it: start, check, promote, remove."),
    "destroy": Verb("destroy:destroy", "Delete all objects of the stack."),
    "promote": Verb(
        "promote:promote",
        "Apply the manifest to an environment once another one has tried it.",
        tuple(name for name in _ALL if name != "environment"),
    ),
    "pull": Verb("pull:pull", "Put what agents learned back into the files of the manifest."),
    "show": Verb("show:show", "Show the live objects of the stack, or a saved plan."),
    "archive": Verb("archive:archive", "Search in the archives of agents."),
    "audit": Verb("audit:audit", "Find what nobody owns, duplicates, and what nothing uses on the server."),
    "history": Verb("history:history", "Show who changed the stack, when, and from which commit."),
    "state": Verb("state:state", "Inspect and change the state of the stack: list, show, mv, rm, rebuild."),
    "duplicate": Verb("duplicate:duplicate", "Declare a copy of an agent, a block or an archive."),
    "import": Verb("import_:import_", "Manage an existing object under an address of the manifest."),
    "from-af": Verb(
        "from_af:from_af", "Write a manifest for what is in agent files.", ("directory", "json", "verbose", *_ALWAYS)
    ),
    "from-lettactl": Verb(
        "from_lettactl:from_lettactl",
        "Write a manifest for what manifests of lettactl declare.",
        ("directory", "json", "verbose", *_ALWAYS),
    ),
    "export": Verb("export:export", "Write the agent file of an agent or a conversation."),
    "snapshot": Verb("snapshot:snapshot", "Write, list, show, verify and compare snapshots of the stack."),
    "restore": Verb("restore:restore", "Bring back the objects of a snapshot as they were."),
    "rollback": Verb("restore:rollback", "Restore the snapshot that the last apply took."),
    "migrate": Verb(
        "migrate:migrate",
        "Bring the stack from one server to another.",
        (*_MANIFEST, "json", "verbose", *_ALWAYS),
    ),
    "lock": Verb("lock:lock", "Show or release the lock of the stack."),
    "ci": Verb("ci:ci", "In a CI job: the comment of a pull request, the digest reviewed there, issues about drift."),
    "send": Verb("send:send", "Send a message to an agent, or to many, and print the answer."),
    "messages": Verb("messages:messages", "Show the messages of an agent or a conversation."),
    "runs": Verb("runs:runs", "List, show, follow and cancel what agents do with messages."),
    "compact": Verb("compact:compact", "Replace older messages in a context by a summary."),
    "reset": Verb("reset:reset", "Remove all messages from the context of an agent."),
    "recompile": Verb("recompile:recompile", "Compile prompts again from the memory as it is."),
    "dev": Verb("dev:dev", "Run a Letta server on this machine: up, down, status, logs.", ("json", *_ALWAYS)),
    "schema": Verb("schema:schema", "Print a JSON Schema, or the reference of all fields.", _ALWAYS),
    "completion": Verb("completion:completion", "Print the completion script of a shell.", _ALWAYS),
    "version": Verb("version:version", "Print the version.", ("json", *_ALWAYS)),
}


class Usage(click.UsageError):
    """Arguments that are not understood, and what to do instead."""

    def __init__(self, message: str, hint: str | None, context: click.Context) -> None:
        super().__init__(message, context)
        self.hint = hint


class Verbs(click.Group):
    """A group of verbs. Long options may be written with one dash, as Terraform writes them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_two_dashes(args, self))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known and not ctx.resilient_parsing:
            from lettaform.cli.words import verb_hint

            raise Usage(f"unknown verb `{args[0]}`", verb_hint(args[0], known), ctx)
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, with_two_dashes(rest, command) if command else rest


def with_two_dashes(args: Sequence[str], command: click.Command) -> list[str]:
    """`args` with two dashes before every long option, up to the first argument of a group: its verb."""
    options = [option for option in command.params if isinstance(option, click.Option)]
    known = {"--help", *(spelling for option in options for spelling in option.opts)}
    with_value = {spelling for option in options if not option.is_flag for spelling in option.opts}
    spelled: list[str] = []
    rest = iter(args)
    for arg in rest:
        spelled.append(f"-{arg}" if _has_one_dash(arg.partition("=")[0], known) else arg)
        if spelled[-1] in with_value:
            spelled += [value for value in (next(rest, None),) if value is not None]
        elif arg == "--" or (isinstance(command, click.Group) and not arg.startswith("-")):
            break
    return [*spelled, *rest]


def _has_one_dash(name: str, known: Collection[str]) -> bool:
    """Whether a word is a long option, of this command or of another tool, written with one dash."""
    if len(name) < 3 or name[0] != "-" or name[1] == "-":
        return False
    from lettaform.cli.words import OPTIONS

    return f"-{name}" in known or f"-{name}" in OPTIONS


class Shell(Verbs):
    """The verbs, loaded on use. Errors are reported and turned into exit codes here only."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in VERBS and cmd_name not in self.commands:
            module, _, name = VERBS[cmd_name].place.partition(":")
            command: click.Command = getattr(import_module(f"{__name__}.{module}"), name)
            self.commands[cmd_name] = _with_globals(command, VERBS[cmd_name].takes)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.help) for name, verb in VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        for option in self.params:
            given = ctx.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
            if name and given and isinstance(option, GlobalOption) and option.about not in VERBS[name].takes:
                ctx.fail(f"`{name}` does not accept {option.opts[-1]}")
        return name, command, rest

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **words: Any) -> Any:  # type: ignore[override]
        """Run the arguments. Ends the process with the exit code, or returns it if `standalone_mode` is False."""
        arguments = list(sys.argv[1:] if args is None else args)
        standalone = words.pop("standalone_mode", True)
        _replace_unencodable()
        color = _wants_color()
        words.setdefault("obj", remember(Globals(color=color)))
        words.setdefault("color", color or None)  # by default, click removes colours from pipes
        try:
            result = super().main(arguments, prog_name, standalone_mode=False, **words)
            code = result if isinstance(result, int) else 0
            sys.stdout.flush()
        except BaseException as error:
            code = _exit_code(error, arguments)
        if not standalone:
            return code
        sys.exit(code)


def _with_globals(command: click.Command, takes: Sequence[str]) -> click.Command:
    """The command and its subcommands with the global options that they accept, after their own options."""
    taken = {spelling for option in command.params for spelling in (*option.opts, *option.secondary_opts)}
    new = [option for option in _options(takes) if not taken & set(option.opts)]
    command.params = [*command.params, *new]
    if new and not command.epilog:
        command.epilog = (
            f"Global options, described by `lettaform --help`: {' '.join(option.opts[0] for option in new)}"
        )
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _with_globals(inner, takes)
    return command


# --- reports of errors ------------------------------------------------------------------------------------------------


_NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""What click 8.2 and later raise, with the help as message, for a group without a verb. Older ones print the help."""


def _replace_unencodable() -> None:
    """Print the code of a character that the encoding of the terminal cannot represent."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _exit_code(error: BaseException, arguments: Sequence[str]) -> int:
    """Report the error once, as text or JSON. Returns the exit code."""
    try:
        return _report(error, arguments)
    except BrokenPipeError:
        return _close_output()
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _close_output()


def _report(error: BaseException, arguments: Sequence[str]) -> int:
    now = _now.get() or Globals()
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:  # raised in a TaskGroup
        error = error.exceptions[0]
    if isinstance(error, BrokenPipeError):  # the reader of the pipe ended
        return _close_output()
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    if isinstance(error, KeyboardInterrupt | click.Abort):
        click.echo("Interrupted.", err=True)
        return 130
    json = now.json or (isinstance(error, click.UsageError) and "--json" in arguments)
    if isinstance(error, _NO_ARGUMENTS):
        click.echo(error.message, color=now.color or None)
        return 0
    if isinstance(error, LettaformError):
        _report_error(error, now, json)
        return error.exit_code
    if isinstance(error, click.ClickException):
        _report_usage(error, json)
        return 1
    _report_bug(error, now, json)
    return 1


def _close_output() -> int:
    """Discard the rest of stdout, because its reader ended. Otherwise Python reports an error at exit."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _report_error(error: LettaformError, now: Globals, json: bool) -> None:
    if json:
        from lettaform.render import data

        click.echo(data.dumps(data.error(error)))
    else:
        from lettaform.render import problems

        color = now.color and (sys.stderr.isatty() or bool(os.environ.get("FORCE_COLOR")))
        click.echo(problems.error(error, color=color), err=True, nl=False, color=color or None)
    if now.debug:
        _print_traceback(error, now)


def _report_usage(error: click.ClickException, json: bool) -> None:
    """Arguments that click cannot parse."""
    from lettaform.render.clean import clean_line

    context = error.ctx if isinstance(error, click.UsageError) else None
    text, hint = error.format_message(), error.hint if isinstance(error, Usage) else None
    if isinstance(error, click.NoSuchOption):  # click names any option as similar, also one that deletes
        text, hint = error.message, _instead(error.option_name, context.command) if context else None
    message = clean_line(" ".join(text.split()))  # click lists choices on several lines
    hint = hint or (f"run `{context.command_path} --help`" if context else None)
    if json:
        from json import dumps

        click.echo(dumps({"error": {"type": "Usage", "message": message, "hint": hint, "exit_code": 1}}))
        return
    click.echo(f"Error: {message}" + (f"\n  → {hint}" if hint else ""), err=True)


def _instead(option: str, command: click.Command) -> str | None:
    """What to do in place of an option that the command does not have."""
    from lettaform.cli.words import option_hint

    accepted = {spelling for each in command.params if isinstance(each, click.Option) for spelling in each.opts}
    if verbs := _verbs_with(option):
        here = option_hint(option, ())
        return f"accepted by {verbs}" + (f"; here, {here}" if here else "")
    hint = option_hint(option, accepted)
    named = re.findall(r"`(--?\w[\w-]*)", hint or "")
    missing = [verbs for each in named if each not in accepted and (verbs := _verbs_with(each))]
    return f"{hint}; accepted by {missing[0]}" if hint and missing else hint


def _verbs_with(option: str) -> str:
    """The verbs that have an option; `destroy` only if no other has it."""
    context = click.Context(cli)
    found = [name for name in VERBS if (verb := cli.get_command(context, name)) and _has(verb, option)]
    return ", ".join(f"`{name}`" for name in found if name != "destroy" or len(found) == 1)


def _has(command: click.Command, option: str) -> bool:
    return any(option in each.opts for each in command.params if isinstance(each, click.Option))


def _report_bug(error: BaseException, now: Globals, json: bool) -> None:
    """An exception that is not a LettaformError. Its message may contain secrets, so only --debug prints it."""
    message = f"lettaform has a bug: {type(error).__name__}{_where(error)}"
    hint = "please report the command, the output of `lettaform version`, and what the command prints with --debug"
    if json:
        from json import dumps

        click.echo(dumps({"error": {"type": "Bug", "message": message, "hint": hint, "exit_code": 1}}))
    else:
        click.echo(f"Error: {message}\n  → {hint}", err=True)
    if now.debug:
        _print_traceback(error, now)


def _where(error: BaseException) -> str:
    """The last line of lettaform in the traceback."""
    import traceback

    root = Path(__file__).parent.parent
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(root)]
    return f" in {Path(frames[-1].filename).relative_to(root.parent)}:{frames[-1].lineno}" if frames else ""


def _print_traceback(error: BaseException, now: Globals) -> None:
    import traceback

    from lettaform.render.clean import clean, redact

    secrets = [os.environ.get("LETTA_API_KEY", ""), *now.variables.values()]
    secrets += [value for name, value in os.environ.items() if name.startswith("LETTAFORM_VAR_")]
    click.echo(clean(redact("".join(traceback.format_exception(error)), secrets)), err=True, nl=False)


# --- shared by the verbs ----------------------------------------------------------------------------------------------


def refusal(question: str, command: str) -> str:
    """Ask for consent. Returns why nothing is done; empty if the answer is yes.

    command  does the same without a question
    """
    if not can_ask():
        return f"Error: confirmation is needed, but there is no terminal to ask on\n  → run `{command}`"
    click.echo(err=True)
    return "" if ask(question) else "Cancelled. Nothing was changed."


def ask(question: str) -> bool:
    """Ask on the terminal. Only `y` and `yes` agree. Call it only if `can_ask()`."""
    before = None
    with suppress(ValueError):  # not in the main thread
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio's own waits for the answer
    try:
        click.echo(f"{question} [y/N] ", err=True, nl=False)
        answer = sys.stdin.readline()
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    if not answer.endswith("\n"):
        click.echo(err=True)
    return answer.strip().lower() in ("y", "yes")


def can_ask() -> bool:
    """Whether a user at a terminal can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def until_closed(write: Callable[[str], None]) -> Callable[[str], None]:
    """`write`, which does nothing once its pipe is broken, so that a running apply continues."""
    broken = False

    def written(text: str) -> None:
        nonlocal broken
        if not broken:
            try:
                write(text)
            except BrokenPipeError:
                broken = True
                _close_output()

    return written


def _print_version(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        from lettaform.about import line

        click.echo(line())
        context.exit()


_VERSION = click.Option(
    ["--version"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)


@click.command(
    cls=Shell,
    subcommand_metavar="VERB [ARGS]...",
    params=[*_options(_ALL, shown=True), _VERSION],
    context_settings={"help_option_names": ["-h", "--help"]},
)
def cli() -> None:
    """Manage Letta agents, memory blocks and tools from a YAML manifest.

    Write a manifest, run `lettaform plan` to see the changes, and `lettaform apply` to make them.

    \b
    Exit codes:
      0    success; with --detailed-exitcode: no changes
      1    error, also in the arguments or in the manifest; with fmt --check: a file is not in canonical layout; with
           audit --strict: there is a finding; with send and runs follow: the agent has not ended its turn
      2    with --detailed-exitcode: there are changes; with pull --check: there is something to pull
      4    the manifest and the server changed the same lines of a text, or with pull: the same value
      5    partly applied: at least one step failed or was skipped, or what was migrated is not as it was; with send
           and recompile: not all agents succeeded
      6    the saved plan is stale, or a server changed while it was migrated
      7    the plan would destroy a protected object; with send and runs follow: the agent waits for an approval
      8    the stack is locked
      130  interrupted
    """


def main() -> NoReturn:
    """Entry point of the console script."""
    cli.main(prog_name="lettaform")
    raise AssertionError  # not reached: cli.main ends the process
