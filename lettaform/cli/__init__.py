"""Arguments to a verb, its result to an exit code. One file per verb, imported when it is called."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    from lettaform.flow import Connection, Source

# --- what every verb is told -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Globals:
    """The global options, wherever on the line they stood. `color`: stdout is a terminal that wants it."""

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
        """Where the manifest is."""
        from lettaform.flow import Source

        return Source(self.directory, self.files, self.environment, self.variables, self.variable_files)

    def connection(self, patience: float | None = 60.0) -> Connection:
        """How to reach the server. -v and --debug: with a line per request on stderr."""
        from lettaform.flow import Connection

        return Connection(
            url=self.server,
            patience=patience,
            token=os.environ.get("LETTA_API_KEY") or None,
            project=os.environ.get("LETTA_PROJECT") or None,
            trace=_trace if self.verbose or self.debug else None,
        )


_now: ContextVar[Globals | None] = ContextVar("globals", default=None)
"""What is known when something goes wrong."""


def remember(now: Globals) -> Globals:
    """Report errors in this form from here on."""
    _now.set(now)
    return now


def _trace(line: str) -> None:
    from lettaform.render.clean import clean_line

    click.echo(clean_line(line), err=True)


def _colorful() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()


def _put(name: str, value: Any, now: Globals) -> Globals:
    """`now` with one more option. What can be said several times adds up; the last word wins otherwise."""
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
        raise click.BadParameter("write it as name=value", param_hint="--var")
    return name, value


class GlobalOption(click.Option):
    """An option that may stand before the verb and after it. A verb's own help does not repeat it."""

    about: str

    def __init__(self, about: str, declarations: Sequence[str], *, shown: bool, **words: Any) -> None:
        super().__init__([f"global_{about}", *declarations], expose_value=False, callback=self.take, **words)
        self.about, self.shown = about, shown

    def take(self, context: click.Context, _: click.Parameter, value: Any) -> Any:
        """Put it where the verb, and whoever reports an error, will look."""
        if context.get_parameter_source(self.name or "") is ParameterSource.COMMANDLINE:
            context.obj = remember(_put(self.about, value, context.obj))
        return value

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        return super().get_help_record(ctx) if self.shown else None


def _options(names: Iterable[str], *, shown: bool = False) -> list[GlobalOption]:
    folder = click.Path(file_okay=False, exists=True, path_type=Path)
    file = click.Path(dir_okay=False, path_type=Path)
    words: dict[str, tuple[list[str], dict[str, Any]]] = {
        "directory": (["-C", "--directory"], {"type": folder, "metavar": "DIR", "help": "Folder of the manifest."}),
        "files": (
            ["-f", "--file"],
            {"type": file, "multiple": True, "help": "Read this manifest instead of lettaform.yaml; may be repeated."},
        ),
        "environment": (["-e", "--environment"], {"metavar": "ENV", "help": "Lay this environment over the rest."}),
        "variables": (
            ["--var"],
            {"metavar": "NAME=VALUE", "multiple": True, "help": "Set a variable; may be repeated."},
        ),
        "variable_files": (
            ["--var-file"],
            {"type": file, "multiple": True, "help": "Set variables from a YAML or JSON file; may be repeated."},
        ),
        "server": (
            ["--server"],
            {"metavar": "URL", "help": "The Letta server; before the manifest's and LETTA_BASE_URL."},
        ),
        "json": (["--json"], {"is_flag": True, "help": "Print JSON for machines."}),
        "no_color": (["--no-color"], {"is_flag": True, "help": "No colours; NO_COLOR does the same."}),
        "verbose": (["-v", "--verbose"], {"is_flag": True, "help": "Whole texts, kept values, and each request."}),
        "debug": (["--debug"], {"is_flag": True, "help": "Each request, and where in the code an error arose."}),
    }
    return [GlobalOption(name, words[name][0], shown=shown, **words[name][1]) for name in names]


# --- the verbs -------------------------------------------------------------------------------------------------------

_MANIFEST = ("directory", "files", "environment", "variables", "variable_files")
_ALWAYS = ("no_color", "debug")
_ALL = (*_MANIFEST, "server", "json", "verbose", *_ALWAYS)


@dataclass(frozen=True)
class Verb:
    """Where a verb lives, what `--help` says about it, and which global options mean something to it."""

    place: str
    help: str
    takes: tuple[str, ...] = _ALL


VERBS: Mapping[str, Verb] = {
    "init": Verb("init:init", "Write a small fleet that works.", ("directory", "json", *_ALWAYS)),
    "validate": Verb("validate:validate", "Name all problems of the manifest.", (*_MANIFEST, "json", *_ALWAYS)),
    "plan": Verb("plan:plan", "Show what would change."),
    "apply": Verb("apply:apply", "Make it so: show the plan, ask, carry it out."),
    "destroy": Verb("destroy:destroy", "Delete everything that carries this stack's mark."),
    "show": Verb("show:show", "Show what is live."),
    "state": Verb("state:state", "What the server remembers of this stack: list, show, mv, rm, rebuild."),
    "import": Verb("import_:import_", "Adopt a living object under an address."),
    "lock": Verb("lock:lock", "Who applies right now: show, release."),
    "dev": Verb("dev:dev", "A real Letta server on this machine.", ("json", *_ALWAYS)),
    "schema": Verb("schema:schema", "Print the JSON Schema of manifests, or of plans.", _ALWAYS),
    "completion": Verb("completion:completion", "Print the script that completes lettaform in a shell.", _ALWAYS),
    "version": Verb("version:version", "Print the version.", ("json", *_ALWAYS)),
}


class Shell(click.Group):
    """The verbs, loaded when called; and the one place where errors become words and exit codes."""

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
        if args[0] not in VERBS and not ctx.resilient_parsing:
            from lettaform.errors import nearest

            near = nearest(args[0], list(VERBS))
            ctx.fail(f"there is no verb `{args[0]}`" + (f"; did you mean `{near}`?" if near else ""))
        name, command, rest = super().resolve_command(ctx, args)
        for option in self.params:
            given = ctx.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
            if given and isinstance(option, GlobalOption) and option.about not in VERBS[name or ""].takes:
                ctx.fail(f"`{name}` takes no {option.opts[-1]}")
        return name, command, rest

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **words: Any) -> Any:  # type: ignore[override]
        """Run a line of arguments; ends the process with its exit code unless `standalone_mode` is False."""
        arguments = list(sys.argv[1:] if args is None else args)
        standalone = words.pop("standalone_mode", True)
        _tolerate()
        words.setdefault("obj", remember(Globals(color=_colorful())))
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
    """The command, and all below it, with the global options that it takes. Its own options come first."""
    taken = {spelling for option in command.params for spelling in (*option.opts, *option.secondary_opts)}
    new = [option for option in _options(takes) if not taken & set(option.opts)]
    command.params = [*command.params, *new]
    if new and not command.epilog:
        command.epilog = f"Global options (`lettaform --help`): {' '.join(option.opts[0] for option in new)}"
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _with_globals(inner, takes)
    return command


# --- when something goes wrong ---------------------------------------------------------------------------------------


def _tolerate() -> None:
    """A terminal that cannot show a character gets its number instead of a crash."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _exit_code(error: BaseException, arguments: Sequence[str]) -> int:
    """Tell the user what happened, once, in the form that was asked for; the code that the process ends with."""
    try:
        return _tell(error, arguments)
    except BrokenPipeError:
        return _muted()
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _muted()


def _tell(error: BaseException, arguments: Sequence[str]) -> int:
    now = _now.get() or Globals()
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:  # from a TaskGroup
        error = error.exceptions[0]
    if isinstance(error, BrokenPipeError):  # whoever read us has gone
        return _muted()
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    if isinstance(error, KeyboardInterrupt | click.Abort):
        click.echo("Interrupted.", err=True)
        return 130
    json = now.json or (isinstance(error, click.UsageError) and "--json" in arguments)
    if isinstance(error, LettaformError):
        _say_error(error, now, json)
        return error.exit_code
    if isinstance(error, click.ClickException):
        _say_refusal(error, json)
        return 1
    _say_bug(error, now, json)
    return 1


def _muted() -> int:
    """Nobody reads stdout any more: what is left in its buffer must not complain at exit."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _say_error(error: LettaformError, now: Globals, json: bool) -> None:
    if json:
        from lettaform.render import data

        click.echo(data.dumps(data.error(error)))
    else:
        from lettaform.render import problems

        click.echo(problems.error(error, color=now.color and sys.stderr.isatty()), err=True, nl=False)
    if now.debug:
        _say_traceback(error, now)


def _say_refusal(error: click.ClickException, json: bool) -> None:
    """A line of arguments that click cannot make sense of."""
    from lettaform.render.clean import clean_line

    context = error.ctx if isinstance(error, click.UsageError) else None
    message = clean_line(error.format_message())
    hint = f"{context.command_path} --help" if context else None
    if json:
        from json import dumps

        click.echo(dumps({"error": {"type": "Usage", "message": message, "hint": hint, "exit_code": 1}}))
        return
    click.echo(f"Error: {message}" + (f"\n  → {hint}" if hint else ""), err=True)


def _say_bug(error: BaseException, now: Globals, json: bool) -> None:
    """Not a LettaformError: our fault. Its message might hold anything, so that only --debug shows it."""
    message = f"lettaform has a bug: {type(error).__name__}{_where(error)}"
    hint = "please report it: what you ran, `lettaform version`, and what the same command prints with --debug"
    if json:
        from json import dumps

        click.echo(dumps({"error": {"type": "Bug", "message": message, "hint": hint, "exit_code": 1}}))
    else:
        click.echo(f"Error: {message}\n  → {hint}", err=True)
    if now.debug:
        _say_traceback(error, now)


def _where(error: BaseException) -> str:
    """The last line of ours that it passed."""
    import traceback

    root = Path(__file__).parent.parent
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(root)]
    return f" in {Path(ours[-1].filename).relative_to(root.parent)}:{ours[-1].lineno}" if ours else ""


def _say_traceback(error: BaseException, now: Globals) -> None:
    import traceback

    from lettaform.render.clean import clean, redact

    secrets = [os.environ.get("LETTA_API_KEY", ""), *now.variables.values()]
    secrets += [value for name, value in os.environ.items() if name.startswith("LETTAFORM_VAR_")]
    click.echo(clean(redact("".join(traceback.format_exception(error)), secrets)), err=True, nl=False)


# --- what verbs share ------------------------------------------------------------------------------------------------


def ask(question: str) -> bool:
    """A question on the terminal; anything but yes is no. Call it only where `can_ask()`."""
    before = None
    with suppress(ValueError):  # not in the main thread
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio's would wait for the answer
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
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def until_nobody_reads(write: Callable[[str], None]) -> Callable[[str], None]:
    """`write`, and silence after a broken pipe: what is under way must not die of it."""
    broken = False

    def written(text: str) -> None:
        nonlocal broken
        if not broken:
            try:
                write(text)
            except BrokenPipeError:
                broken = True
                _muted()

    return written


@click.command(
    cls=Shell,
    subcommand_metavar="VERB [ARGS]...",
    params=[*_options(_ALL, shown=True)],
    context_settings={"help_option_names": ["-h", "--help"]},
)
def cli() -> None:
    """Terraform for Letta agents: declare agents, shared memory and tools in YAML; plan, apply, converge.

    Exit codes: 0 fine, 1 error, 2 changes (with --detailed-exitcode), 4 conflict, 5 partly applied, 6 stale plan,
    7 refused by a policy, 8 locked, 130 interrupted.
    """


def main() -> NoReturn:
    """The console script."""
    cli.main(prog_name="lettaform")
    raise AssertionError  # never: a standalone main exits
