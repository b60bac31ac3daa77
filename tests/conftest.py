"""What the tests share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import qos

ROOT = Path(__file__).resolve().parents[1]
# Last, so that an installed package is tested as installed; `experiments` and `docs` are found here.
sys.path.append(str(ROOT))

settings.register_profile(
    "deterministic",
    derandomize=True,
    database=None,
    deadline=None,
    # How fast a busy machine draws examples says nothing about the code.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("deterministic")

CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21


def effective_capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff")), 16)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the kernel tests, with a reason, where namespaces cannot be made."""
    wanted = 1 << CAP_NET_ADMIN | 1 << CAP_SYS_ADMIN
    if effective_capabilities() & wanted == wanted and os.path.exists("/proc/self/ns/net"):
        return
    skip = pytest.mark.skip(reason="needs CAP_NET_ADMIN and CAP_SYS_ADMIN to make network namespaces")
    for item in items:
        if "netns" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def installed_environment() -> dict[str, str]:
    """The environment for a child process that shall import the very package under test."""
    return os.environ | {"PYTHONPATH": str(Path(qos.__file__).parents[1])}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Reference data that is not part of the project: `../shared/data` beside the checkout."""
    place = Path(os.environ.get("QOS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not place.is_dir():
        pytest.skip(f"no reference data at {place} (QOS_SHARED_DATA names another place)")
    return place
