"""The comparison of a page's output with what a command printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transcripts import Shell, shown

ONE, TWO = "agent-c16a1101-5bc6-462f-90bc-d80716f50bbe", "agent-bbd1af80-8870-44bc-809a-4e2e9fa1d945"


@pytest.mark.parametrize(
    ("page", "printed", "equal"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nd\n", True),
        ("a\n…\n", "b\n", False),
        ("Applied: 1 created in 0.4 s.\n", "Applied: 1 created in 12.0 s.\n", True),
        ("Applied: 1 created in 0.4 s.\n", "Applied: 2 created in 0.4 s.\n", False),
        ("Digest: 13ff7d870d63065035927f85bcac6438.f86c3603\n", "Digest: " + "0" * 32 + "." + "1" * 8 + "\n", True),
        ("x/a-20261127T193639.020696Z\n", "x/a-20271127T193639.120696Z\n", True),
        ("on http://localhost:8283 are\n", "on http://127.0.0.1:1 are\n", True),
        ('{"a":[…"b"…\n', '{"a":[1,"b",2]}\n', True),
        ("  + (a.b)*\n", "  + (a.b)*\n", True),
        ("  + (a.b)*\n", "  + (axb)*\n", False),
    ],
)
def test_an_output_is_compared(page: str, printed: str, equal: bool, tmp_path: Path) -> None:
    shell = Shell(tmp_path, "http://127.0.0.1:1")
    if equal:
        shell.check(page, printed)
    else:
        with pytest.raises(AssertionError):
            shell.check(page, printed)


def test_an_id_stands_for_the_one_that_was_printed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(tmp_path, "http://127.0.0.1:1")
    shell.check(f"made {ONE}\n", f"made {TWO}\n")
    assert shell.run(f"echo {ONE}", monkeypatch) == f"{TWO}\n"
    shell.check(f"{ONE}\n", f"{TWO}\n")
    with pytest.raises(AssertionError):
        shell.check(f"{ONE}\n", f"{ONE}\n")


def test_commands_keep_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(tmp_path, "http://127.0.0.1:1")
    shell.run("mkdir inner && cd inner", monkeypatch)
    assert shell.run("pwd", monkeypatch) == f"{tmp_path}/inner\n"
    assert list(tmp_path.rglob(".cwd")) == []


def test_the_commands_of_a_page_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ a\n1\n2\n$ b\n```\n```sh\n$ c\n```\n```console\n$ d\n```\n")
    assert [(each.command, each.output) for each in shown(page)] == [("a", "1\n2\n"), ("b", ""), ("d", "")]
