"""`qos apply` and `qos status --plan` on the real kernel, in namespaces of the test's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from made_plans import small_plan, with_links
from test_attach_kernel import Lab, pytestmark, send_flows  # noqa: F401

from qos.plan_files import save_plan
from qos.planning import Plan


@pytest.fixture
def lab(tmp_path: Path, installed_environment: dict[str, str]) -> Iterator[Lab]:
    made = Lab(tmp_path, installed_environment)
    yield made
    made.run(sys.executable, "-m", "qos", "detach", "v1")
    made.close()


def saved(plan: Plan, folder: Path, name: str = "plan.json") -> str:
    save_plan(plan, folder / name)
    return str(folder / name)


def two_interfaces() -> Plan:
    """The server sends over v0 and over v1."""
    plan = small_plan("v0")
    second = replace(plan.links[0], link="lan", interface="v1")
    return with_links(plan, plan.links[0], second)


def test_apply_attaches_once_and_changes_in_place(lab: Lab, tmp_path: Path) -> None:
    plan = saved(small_plan(), tmp_path)
    first = json.loads(lab.qos("apply", plan, "--host", "server", "--json"))
    (row,) = first["interfaces"]
    assert (row["device"], row["rate_bps"], row["policy"]) == ("v0", 19_000_000, "lfq:latency")
    assert row["change"] == "attached"
    pid = lab.controller()
    before = lab.tc("class", "show", "dev", "v0")
    again = json.loads(lab.qos("apply", plan, "--host", "server", "--json"))
    assert again["interfaces"][0]["change"] == "unchanged"
    assert (lab.controller(), lab.tc("class", "show", "dev", "v0")) == (pid, before)
    faster = saved(small_plan(rate_bps=40_000_000), tmp_path, "faster.json")
    changed = json.loads(lab.qos("apply", faster, "--host", "server", "--json"))
    assert changed["interfaces"][0]["change"] == "changed"
    assert lab.controller() == pid
    assert json.loads(lab.qos("status", "--json"))["interfaces"][0]["rate_bps"] == 38_000_000


def test_a_dry_run_prints_commands_and_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    plan = saved(small_plan(), tmp_path)
    before = lab.tc("qdisc", "show")
    lines = lab.qos("apply", plan, "--host", "server", "--dry-run").splitlines()
    assert lines[0] == "# v0"
    assert any("htb" in line for line in lines)
    assert lab.tc("qdisc", "show") == before
    lab.qos("apply", plan, "--host", "server")
    assert lab.qos("apply", plan, "--host", "server", "--dry-run").strip() == "# v0: nothing to do"


def test_interfaces_are_found_by_name_and_by_address(lab: Lab, tmp_path: Path) -> None:
    lab.ip("address", "add", "192.0.2.1/24", "dev", "v0")
    hardware = json.loads(lab.ip("-json", "link", "show", "v1"))[0]["address"]
    by_ip = saved(small_plan("192.0.2.1"), tmp_path)
    assert "# v0" in lab.qos("apply", by_ip, "--host", "server", "--dry-run")
    said = lab.qos("apply", by_ip, "--host", "server", "--interface", f"uplink={hardware}", "--dry-run")
    assert "# v1" in said
    nameless = saved(small_plan(""), tmp_path, "nameless.json")
    told = lab.qos("apply", nameless, "--host", "server", "--dry-run", code=1)
    assert "names no interface of 'server' for uplink; give it: --interface uplink=DEV" in told
    assert "# v1" in lab.qos("apply", nameless, "--host", "server", "--interface", "uplink=v1", "--dry-run")


def test_plans_for_other_hosts_and_versions_are_refused(lab: Lab, tmp_path: Path) -> None:
    plan = saved(small_plan(), tmp_path)
    assert "'gateway' is no node" in lab.qos("apply", plan, "--host", "gateway", code=2)
    assert "sets no link that leaves 'laptop'" in lab.qos("apply", plan, "--host", "laptop", code=1)
    assert "is this host the right one?" in lab.qos(
        "apply", plan, "--host", "gw", "--interface", "uplink=v0", code=2
    )
    campus = lab.qos("apply", plan, "--host", "server", "--topology", "campus", code=1)
    assert "plan again" in campus
    outdated = saved(small_plan(source="campus"), tmp_path, "outdated.json")
    assert "campus is now" in lab.qos("apply", outdated, "--host", "server", code=1)
    assert "noqueue" in lab.tc("qdisc", "show", "dev", "v0")
    lab.qos("apply", plan, "--host", "server")
    words = ("apply", plan, "--host", "gw", "--interface", "uplink=v0", "--interface", "lan=v1")
    assert "was set up as 'server' of 'office'" in lab.qos(*words, "--dry-run", code=1)
    assert "# v1" in lab.qos(*words, "--dry-run", "--force")


def test_if_one_interface_fails_all_are_led_back(lab: Lab, tmp_path: Path) -> None:
    plan = saved(two_interfaces(), tmp_path)
    lab.tc("qdisc", "replace", "dev", "v1", "root", "pfifo")
    assert "not ours" in lab.qos("apply", plan, "--host", "server", code=1)
    assert "noqueue" in lab.tc("qdisc", "show", "dev", "v0")
    # A failure that shows only at work: the state of v1 is damaged after the plan was judged.
    lab.tc("qdisc", "del", "dev", "v1", "root")
    index = json.loads(lab.ip("-json", "link", "show", "v1"))[0]["ifindex"]
    inode = lab.run("stat", "-Lc", "%i", "/proc/self/ns/net").stdout.strip()
    folder = Path(lab.environment["QOS_STATE_DIR"])
    (folder / f"{inode}-{index}.sock").mkdir(parents=True)
    assert lab.run(sys.executable, "-m", "qos", "apply", plan, "--host", "server").returncode != 0
    (folder / f"{inode}-{index}.sock").rmdir()
    assert "noqueue" in lab.tc("qdisc", "show", "dev", "v0")
    both = json.loads(lab.qos("apply", plan, "--host", "server", "--json"))["interfaces"]
    assert [row["change"] for row in both] == ["attached", "attached"]


def test_status_sets_promise_beside_measurement(lab: Lab, tmp_path: Path) -> None:
    plan = saved(small_plan(), tmp_path)
    words = ("status", "--plan", plan, "--interval", "50ms", "--json")
    assert "which node is this host?" in lab.qos(*words, code=1)
    done = lab.run(sys.executable, "-m", "qos", *words, "--host", "server")
    assert done.returncode == 1
    assert json.loads(done.stdout)["interfaces"][0]["broken"] == ["nothing attached"]
    lab.qos("apply", plan, "--host", "server")
    send_flows(lab, 4, 2)
    (row,) = json.loads(lab.qos(*words))["interfaces"]
    assert row["broken"] == []
    assert row["promised"] == {
        "rate_bps": 19_000_000,
        "policy": "lfq:latency",
        "reserved_bps": 4e6,
        "wait_s": 0.01,
        "loss": 1e-3,
    }
    assert row["measured"]["loss"] == 0.0
    lab.qos("attach", "v0", "--rate", "5mbit")
    done = lab.run(sys.executable, "-m", "qos", *words)
    assert json.loads(done.stdout)["interfaces"][0]["broken"] == ["another queue"]
    assert "v0: not as promised" in done.stderr
    shown = lab.run(sys.executable, "-m", "qos", *words[:-1]).stdout
    assert "promised" in shown
    assert "another queue" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("apply", "absent.json", "--host", "server"), "cannot be read"),
        (("status", "v0", "--plan", "x"), "DEV or --plan"),
        (("status", "--host", "server"), "belong to --plan"),
    ],
)
def test_wrong_words_are_refused(lab: Lab, words: tuple[str, ...], said: str) -> None:
    assert said in lab.qos(*words, code=1 if words[0] == "apply" else 2)


@pytest.mark.parametrize(
    ("flag", "said"),
    [("v0", "expected LINK=DEV"), ("moon=v0", "no link 'moon' leaves 'server'; there is uplink")],
)
def test_wrong_interfaces_are_refused(lab: Lab, tmp_path: Path, flag: str, said: str) -> None:
    plan = saved(small_plan(), tmp_path)
    assert said in lab.qos("apply", plan, "--host", "server", "--interface", flag, code=2)
