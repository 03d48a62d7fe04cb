"""A stack in shards on a real server: runs of two shards at the same time, then one of the whole stack."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import lettaform
from lettaform import flow
from lettaform.model import Shard
from tests.live.conftest import Letta

MANIFEST = """
stack: {stack}
blocks: {{policy: {{value: Be kind.}}}}
agents:
  desk:
    for_each: [a, b, c, d]
    model: {model}
    embedding: {embedding}
    include_base_tools: false
    blocks: [policy]
    memory: {{human: Nobody.}}
"""


def test_two_shards_at_the_same_time_are_one_stack(letta: Letta, tmp_path: Path) -> None:
    name = f"shards-{uuid4().hex[:8]}"
    (tmp_path / "lettaform.yaml").write_text(MANIFEST.format(stack=name, model=letta.model, embedding=letta.embedding))
    stack = lettaform.load(tmp_path, server=lettaform.Connection(url=letta.url, token=letta.password))

    def apply(index: int) -> int:
        options = flow.PlanOptions(shard=Shard(index, 2))
        _, report = flow.apply(stack.source, stack.connection, options, consent=True, wait=60)
        return report.exit_code if report else 0

    try:
        with ThreadPoolExecutor() as threads:
            assert [*threads.map(apply, (1, 0))] == [0, 0]
        assert not stack.plan()
        assert sorted(run.shard for run in stack.history()) == ["0/2", "1/2"]
        (tmp_path / "lettaform.yaml").write_text((tmp_path / "lettaform.yaml").read_text().replace("Nobody.", "Ann."))
        (tmp_path / "lettaform.yaml").write_text(
            (tmp_path / "lettaform.yaml").read_text().replace("[a, b, c, d]", "[a, b]")
        )
        stack.apply(consent=True, prune=True, allow_destroy="*")
        assert not any(stack.plan(shard=(index, 2)) for index in range(2))
        assert flow.lock_show(stack.source, stack.connection) == []
    finally:
        stack.destroy(consent=True, allow_destroy="*")
    assert flow.state_list(stack.source, stack.connection) == []
