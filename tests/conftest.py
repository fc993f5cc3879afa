"""What holds for every test."""

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# Hundreds of processes are started, each of which would compile every module that it imports.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shared, busy machine is no reason to fail: a property holds or not, however long an example takes.
settings.register_profile("imgserve", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("imgserve")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Reject tests marked `alone` where `make test` does not look for them."""
    for item in items:
        if item.get_closest_marker("alone") and "acceptance" not in item.path.parts:
            raise pytest.UsageError(f"{item.nodeid}: tests marked `alone` belong in tests/acceptance")
