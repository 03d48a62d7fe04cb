"""Paths of lettactl to texts and files: inside the root, and as lettactl sends them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lettaform.lettactl.fleet import Options
from lettaform.lettactl.texts import prompt
from lettaform.manifest.emit_text import File

from .written import fleet, left, refused, text, values

AGENT = "agents: [{name: a, llm_config: {model: a/b}, embedding: e/m, tools: [], system_prompt: {%s}, %s}]"


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("  Hello.\n\n", "Hello."),
        ("\ufeff\u00a0Hello.\u3000", "Hello."),
        ("```\nHello.\n```\n", "Hello."),
        ("```markdown\nHello.\n```", "markdown\nHello."),  # lettactl keeps the word
        ("```\nHello.\n``` there", "```\nHello.\n``` there"),
        ("Use:\n```\nx\n```", "Use:\n```\nx\n```"),
        ("```", ""),
    ],
)
def test_a_prompt_is_what_lettactl_sends(written: str, sent: str) -> None:
    assert prompt(written) == sent


def test_texts_of_blocks_are_kept_and_files_keep_their_paths(tmp_path: Path) -> None:
    (tmp_path / "memory-blocks" / "a b").mkdir(parents=True)
    (tmp_path / "memory-blocks" / "a b" / "x.md").write_text("\n Rules. \n")
    (tmp_path / "memory-blocks" / "human.md").write_text("Nobody yet.")
    blocks = [
        {"name": "rules", "from_file": "./memory-blocks/a b/x.md", "agent_owned": False},
        {"name": "human"},  # as older releases of lettactl read it
    ]
    memory = values(fleet(tmp_path, {"memory_blocks": blocks}))["memory"]
    rules = File("!file", "memory-blocks/a b/x.md", "\n Rules. \n")
    assert memory == {
        "rules": {"value": rules, "policy": {"value": "enforce"}},
        "human": {"value": File("!file", "memory-blocks/human.md", "Nobody yet.")},
    }


@pytest.mark.parametrize("written", ["../x.md", "/etc/hostname", "deep/../../x.md", "link.md"])
def test_a_path_that_leaves_the_root_is_refused_and_the_remedy_works(written: str, tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    folder.mkdir()
    (tmp_path / "x.md").write_text("Hello.")
    os.symlink(tmp_path / "x.md", folder / "link.md")
    content = AGENT % (f"from_file: {written}", "tags: []")
    (problem,) = refused(folder, content)
    assert f"`{written}` is outside the root" in problem
    assert problem.endswith(
        "→ move the file there, or name a folder that contains it: `root_path` in this "
        "file, or `lettaform from-lettactl FILE -o DIR --root ROOT`"
    )
    if written == "../x.md":
        assert values(text(folder, content.replace("../x.md", "x.md"), options=Options(root=tmp_path)), "agents.a")


def test_the_files_of_folders(tmp_path: Path) -> None:
    for name in ("files/a.md", "files/deep/b.md", "files/deep/a.md", "other/[c].md", "other/d.pdf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "other" / "d.pdf").write_bytes(b"%PDF \xff\x00")
    (tmp_path / "other" / "e.txt").write_bytes(b"\xff\xfe\x00")
    written = ["files/*", "other/[c].md", "other/d.pdf", "other/e.txt", "other/*.txt", "files/none.md", "../out.md"]
    bucket = "{from_bucket: {provider: supabase, bucket: b, path: x}}"
    listed = ", ".join(f"'{each}'" for each in written)
    folders = f"folders: [{{name: docs, files: [{listed}, {bucket}]}}]"
    (problem,) = refused(tmp_path, AGENT % ("value: x", folders))
    assert "`../out.md` is outside the root" in problem
    found = text(tmp_path, AGENT % ("value: x", folders.replace("'../out.md', ", "")))
    items = {each.name: each.body["text"] for each in values(found, "folders.docs")["files"]}
    assert items == {
        "a.md": b"files/a.md",
        "b.md": b"files/deep/b.md",
        "[c].md": b"other/[c].md",
        "d.pdf": b"%PDF \xff\x00",
    }
    assert [(what, reason) for what, reason, _ in left(found)] == [
        (
            "agents.a.folders.docs: files/*",
            "another file of the folder has the name `a.md`, and lettactl keeps one of them",
        ),
        (
            "agents.a.folders.docs: other/e.txt",
            f"`{tmp_path}/other/e.txt` is not UTF-8 text: the server accepts text, code and PDF",
        ),
        (
            "agents.a.folders.docs: other/*.txt",
            "lettactl takes a pattern for the name of one file, and uploads nothing",
        ),
        ("agents.a.folders.docs: files/none.md", "there is no file `files/none.md`"),
        ("agents.a.folders.docs.files.6", "lettaform reads no storage bucket"),
    ]


def test_a_folder_without_files(tmp_path: Path) -> None:
    found = fleet(tmp_path, {"embedding": "e/m", "folders": [{"name": "docs", "files": ["files/*"]}]})
    assert values(found, "folders.docs") == {"embedding": "e/m"}
    assert left(found) == [("agents.clerk.folders.docs: files/*", "the folder `files` has no files", None)]
