"""The `use` of a component of a git repository to the folder that keeps its files, checked against the lock file."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GIT, FOLDER, LOCK = "git::", "vendor", "lettaform.lock"
FORMAT = 1
"""The version of the lock file."""
MOST_FILES, MOST_BYTES = 1_000, 16_000_000
"""How many files, and bytes, one component may have."""
_SOURCE = re.compile(r"git::((?:https|ssh|file)://[^\s?#\\]+)\?ref=([^\s&?#]+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_RUN = "run `lettaform vendor`"


class Unusable(Exception):
    """A component cannot be used. `hint`: what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True)
class Source:
    """A folder of a git repository at a commit. `folder`: relative to the repository; empty: all of it."""

    url: str
    folder: str
    commit: str

    @classmethod
    def read(cls, text: str) -> Source:
        """The source in a `use`. Raises Unusable with what is wrong with it."""
        form = f"write `{GIT}https://HOST/REPOSITORY.git//FOLDER?ref=COMMIT`, with https, ssh or file"
        found = _SOURCE.fullmatch(text)
        if found is None or not text.isprintable():
            raise Unusable(f"`{text}` does not name a component of a git repository", form)
        scheme, _, rest = found[1].partition("://")
        place, _, folder = rest.partition("//")
        host = place.partition("/")[0]
        if not _COMMIT.fullmatch(found[2]):
            hint = "a branch or a tag can change: write all 40 digits of a commit, as `git rev-parse TAG` prints them"
            raise Unusable(f"`ref={found[2]}` is not a full commit", hint)
        user, _, name = host.rpartition("@")
        if ":" in user or (user and scheme != "ssh"):
            raise Unusable("the URL contains a password or a token", "remove it, and use a credential helper of git")
        steps = folder.strip("/").split("/") if folder else []
        if (
            host.startswith("-")
            or name.startswith("-")
            or (scheme != "file" and not host)
            or any(step in ("", ".", "..") for step in steps)
        ):
            raise Unusable(f"`{text}` does not name a component of a git repository", form)
        return cls(f"{scheme}://{place.rstrip('/')}", "/".join(steps), found[2])

    @property
    def spelled(self) -> str:
        """Its only spelling, by which the lock file names it."""
        return f"{GIT}{self.url}{'//' + self.folder if self.folder else ''}?ref={self.commit}"

    @property
    def name(self) -> str:
        """The name of the folder that keeps its files."""
        last = (self.folder or self.url).rpartition("/")[2].removesuffix(".git")
        word = re.sub(r"[^A-Za-z0-9_-]+", "-", last).strip("-")[:40] or "component"
        return f"{word}-{hashlib.sha256(self.spelled.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Locked:
    """What the lock file says of one source. `files`: path to the sha256 of the content."""

    source: Source
    files: Mapping[str, str] = field(default_factory=dict)


def read_lock(directory: Path) -> dict[str, Locked]:
    """The lock file of a project, by the spelling of the sources. Raises Unusable if it cannot be read."""
    path = directory / LOCK
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        entries = content["components"].items()
        found = {spelled: Locked(Source.read(spelled), dict(each["files"])) for spelled, each in entries}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Unusable(f"cannot read `{LOCK}`: {error.strerror}", _RUN) from error
    except (ValueError, LookupError, TypeError, AttributeError, Unusable) as error:
        raise Unusable(f"`{LOCK}` is damaged", f"restore it from git, or {_RUN}") from error
    if content.get("format_version") != FORMAT:
        raise Unusable(f"`{LOCK}` is of another version of lettaform", _RUN)
    return found


def lock_text(locked: Mapping[str, Locked]) -> str:
    """The content of a lock file."""
    entries = {
        spelled: {
            "url": each.source.url,
            "folder": each.source.folder,
            "commit": each.source.commit,
            "files": dict(sorted(each.files.items())),
        }
        for spelled, each in sorted(locked.items())
    }
    return json.dumps({"format_version": FORMAT, "components": entries}, indent=2, ensure_ascii=False) + "\n"


def digests(folder: Path) -> dict[str, str]:
    """Path of each file below a folder to the sha256 of its content. Raises Unusable for what no component has."""
    found: dict[str, str] = {}
    size = 0
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file():
            raise Unusable(f"`{name}` is a link or no file", "a component consists of plain files")
        size += path.stat().st_size
        if len(found) >= MOST_FILES or size > MOST_BYTES:
            limit = f"{MOST_FILES:,} files and {MOST_BYTES // 1_000_000} MB"
            raise Unusable(f"the component is larger than {limit}", "name the folder of the component after `//`")
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        for name in sorted((*names, *(each for each in folders if os.path.islink(Path(root, each))))):
            yield Path(root, name)


def differing(folder: Path, locked: Mapping[str, str]) -> list[str]:
    """The files of a folder that are not as the lock file says, sorted. Raises Unusable as `digests`."""
    have = digests(folder)
    return sorted(name for name in {*have, *locked} if have.get(name) != locked.get(name))


class Vendored:
    """The components of git repositories that a project keeps. Each is checked once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._locked: dict[str, Locked] | None = None
        self._checked: dict[str, Path] = {}

    def folder(self, text: str) -> Path:
        """The folder of a source, whose files are as the lock file says. Raises Unusable."""
        source = Source.read(text)
        if source.spelled not in self._checked:
            self._checked[source.spelled] = self._verified(source)
        return self._checked[source.spelled]

    def _verified(self, source: Source) -> Path:
        if self._locked is None:
            self._locked = read_lock(self.directory)
        locked, folder = self._locked.get(source.spelled), self.directory / FOLDER / source.name
        if locked is None:
            raise Unusable(f"`{LOCK}` does not have `{source.spelled}`", _RUN)
        if not folder.is_dir() or folder.resolve() != folder.parent.resolve() / source.name:
            raise Unusable(f"`{FOLDER}/{source.name}` is missing", f"restore it from git, or {_RUN}")
        if names := differing(folder, locked.files):
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            message = f"`{FOLDER}/{source.name}/{names[0]}`{more} differs from `{LOCK}`"
            raise Unusable(message, f"to use what the commit has, {_RUN}")
        return folder
