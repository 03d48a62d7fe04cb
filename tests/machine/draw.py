"""What the tests of random worlds draw, and how many examples."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.machine.fleet import initial, initial_with_all_kinds

NUMBERS = st.lists(st.integers(0, 59), min_size=10, max_size=10)
"""The numbers that decide the details of one step."""
STARTS = st.sampled_from((initial, initial_with_all_kinds))


def examples(number: int, *quiet: HealthCheck) -> settings:
    """Run a test with that many examples, however long they take."""
    return settings(
        max_examples=number,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large, *quiet),
        print_blob=True,
    )
