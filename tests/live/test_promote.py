"""A promotion on a real server: what both environments learned is merged, and neither plan has anything to do."""

from __future__ import annotations

from dataclasses import replace

from lettaform import flow
from tests.live.fleet import Fleet

MANIFEST = """
    environments:
      dev: {{stack: {stack}-dev}}
      prod: {{}}
    blocks: {{team: {{value: "one\\ntwo\\nthree"}}}}
    agents: {{ann: {{memory: {{notes: none}}, blocks: [team]}}}}
"""


def test_memory_of_both_environments_is_merged(fleet: Fleet) -> None:
    fleet.write(MANIFEST.format(stack=fleet.stack))
    dev, prod = (replace(fleet.source, environment=name) for name in ("dev", "prod"))
    try:
        for source in (dev, prod):
            _, report = flow.apply(source, fleet.connection, consent=True)
            assert report is not None
            assert report.exit_code == 0
        for source, text in ((dev, "one dev\ntwo\nthree"), (prod, "one\ntwo\nthree prod")):
            found = next(
                each for each in flow.state_list(source, fleet.connection) if str(each.address) == "blocks.team"
            )
            fleet.patch(f"/v1/blocks/{found.id}", value=text)
        plan, report = flow.promote(prod, fleet.connection, "dev", "prod", memory="merge", consent=True)
        assert report is not None
        assert (report.exit_code, plan.environment) == (0, "prod")
        assert fleet.block("team")["value"] == "one dev\ntwo\nthree prod"
        for source in (dev, prod):
            assert not flow.plan(source, fleet.connection)
        assert not flow.promote(prod, fleet.connection, "dev", "prod", memory="merge", consent=True)[0]
    finally:
        flow.apply(dev, fleet.connection, flow.PlanOptions(destroy=True), consent=True)
