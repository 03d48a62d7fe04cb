"""A folder of a git repository at a commit to files on this machine, through the git program."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from lettaform.manifest.vendored import MOST_BYTES, MOST_FILES, Source, Unusable

PATIENCE = 300.0
"""Seconds that one command of git may take."""
MOST_FETCHED = 1_000_000_000
"""The maximum size in bytes of a file that git writes while it fetches."""
_SETTINGS = ("core.hooksPath=/dev/null", "submodule.recurse=false", "protocol.ext.allow=never", "gc.auto=0")
_FILE, _PROGRAM, _LINK, _SUBMODULE = b"100644", b"100755", b"120000", b"160000"


def fetch(source: Source, target: Path) -> None:
    """Write the files of a source to a new folder. Raises Unusable.

    Nothing of the repository runs: no hooks, no filters, no submodules. Git asks nothing, and uses https, ssh and file.
    """
    with tempfile.TemporaryDirectory(prefix="lettaform-") as folder:
        git = _Git(Path(folder), source)
        git.run("init", "--quiet", "--bare", "--template=")
        # a server may refuse to give a commit that no branch ends in: then all branches are fetched
        one = ("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", source.url, source.commit)
        every = ("fetch", "--quiet", "--no-recurse-submodules", source.url, "+refs/heads/*:refs/lettaform/*")
        try:
            git.run(*one)
        except Unusable:
            git.run(*every)
        try:
            found = git.run("cat-file", "-t", source.commit).strip()
        except Unusable:
            found = b""
        if found != b"commit":
            hint = "name a commit of one of its branches"
            raise Unusable(f"{source.url} has no commit {source.commit}", hint)
        for path, content in git.files().items():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(content)


class _Git:
    """Commands of git in an empty repository."""

    def __init__(self, folder: Path, source: Source) -> None:
        self.folder, self.source = folder, source

    def run(self, *words: str, input: bytes = b"") -> bytes:
        """What a command prints. Raises Unusable if it fails."""
        settings = [word for each in _SETTINGS for word in ("-c", each)]
        command = ["git", *settings, f"--git-dir={self.folder}", *words]
        try:
            done = subprocess.run(
                command,
                input=input,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
                env=_environment(),
                preexec_fn=None if sys.platform == "win32" else _limit,
            )
        except FileNotFoundError as error:
            raise Unusable("the program `git` is not installed", "install git") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise Unusable(f"git cannot fetch {self.source.url}: {error}", "try it with `git ls-remote`") from error
        if done.returncode != 0:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it gives no reason"]
            why = "".join(each for each in lines[-1][:300] if each.isprintable())
            raise Unusable(f"git cannot fetch {self.source.url}: {why}", "try it with `git ls-remote`")
        return done.stdout

    def files(self) -> Mapping[str, bytes]:
        """The files of the folder of the source, by their paths below it. Raises Unusable for what no component has."""
        prefix = f"{self.source.folder}/" if self.source.folder else ""
        listed = self.run("ls-tree", "-r", "-z", "--long", "--full-tree", self.source.commit, "--", prefix or ".")
        entries = [_entry(line, prefix) for line in listed.split(b"\0") if line]
        if not entries:
            hint = "name the folder of the component after `//`"
            raise Unusable(f"{self.source.url} has no folder `{self.source.folder or '.'}` at this commit", hint)
        size = sum(size for _, size, _ in entries)
        if len(entries) > MOST_FILES or size > MOST_BYTES:
            limit = f"{MOST_FILES:,} files and {MOST_BYTES // 1_000_000} MB"
            raise Unusable(f"the component is larger than {limit}", "name the folder of the component after `//`")
        contents = self._contents([id for id, _, _ in entries])
        return {path: content for (_, _, path), content in zip(entries, contents, strict=True)}

    def _contents(self, ids: Sequence[str]) -> list[bytes]:
        stream = self.run("cat-file", "--batch", input="".join(f"{id}\n" for id in ids).encode())
        found, position = list[bytes](), 0
        for _ in ids:
            end = stream.index(b"\n", position)
            size = int(stream[position:end].split()[2])
            found.append(stream[end + 1 : end + 1 + size])
            position = end + size + 2
        return found


def _entry(line: bytes, prefix: str) -> tuple[str, int, str]:
    """One line of `git ls-tree --long`: the id of the content, its size, and the path below the folder."""
    about, _, name = line.partition(b"\t")
    mode, _, id, size = about.split()
    try:
        path = name.decode("utf-8")
    except UnicodeDecodeError:
        path = ""
    shown = path if path.isprintable() and path else "a file"
    if mode == _LINK:
        raise Unusable(f"the component has the link `{shown}`", "a component consists of plain files")
    if mode == _SUBMODULE:
        raise Unusable(f"the component has the submodule `{shown}`", "name the component in its own repository")
    below = path.removeprefix(prefix)
    steps = PurePosixPath(below).parts
    unsafe = any(step in ("..", ".") or step.lower() == ".git" for step in steps) or below.startswith("/")
    if mode not in (_FILE, _PROGRAM) or not below.isprintable() or not below or unsafe or "\\" in below or ":" in below:
        raise Unusable(f"the component has a file with the name `{shown}`", "rename it in the repository")
    return id.decode(), int(size), below


def _environment() -> dict[str, str]:
    """The environment of git: it asks nothing, and uses no other repository or protocol."""
    kept = {name: value for name, value in os.environ.items() if name not in _OF_REPOSITORIES}
    asks = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true", "GCM_INTERACTIVE": "never"}
    ssh = {"GIT_SSH_COMMAND": kept.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")}
    return {**kept, **asks, **ssh, "GIT_ALLOW_PROTOCOL": "https:ssh:file", "GIT_LFS_SKIP_SMUDGE": "1", "LC_ALL": "C"}


_OF_REPOSITORIES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_EXEC_PATH", "GIT_CONFIG")


def _limit() -> None:
    """Limit the files that git writes: a repository may be of any size."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_FETCHED, MOST_FETCHED))
