"""What all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

CI = bool(os.environ.get("CI"))
# In CI the same examples each time: whether a change lands is no matter of chance.
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=CI, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", max_examples=60, deadline=None, derandomize=CI, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if CI else "dev"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", type=int, default=1, metavar="N", help="run every Nth test only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    share = config.getoption("--share")
    if share > 1:
        config.hook.pytest_deselected(items=[item for place, item in enumerate(items) if place % share])
        items[:] = items[::share]
