"""The house rules that can be read off the source: who imports whom, how long, how documented."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("qos", "schedulers", "topologies", "linux_qdisc")
MAX_FUNCTION_LINES = 80
MAX_MODULE_LINES = 600
HEAVY = {
    "numpy",
    "networkx",
    "pyroute2",
    "matplotlib",
    "rich",
    "scapy",
    "pydantic",
    "yaml",
    "ortools",
    "numba",
    "scipy",
    "joblib",
    "distributed",
}

# Lower floors first; a module may import from its own family and from any floor below.
# Families on one floor do not import each other, but for a learner, which is wired to environments.
FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "qos",
        "qos.units",
        "qos.errors",
        "qos.demands",
        "qos.profiles",
        "qos.compiled",
        "qos.whole_files",
        "qos.array_files",
    ),
    ("topologies",),
    ("schedulers",),
    ("qos.crosslayer", "qos.simulation", "qos.training", "linux_qdisc"),
    (
        "qos.engine",
        "qos.planning",
        "qos.plan_files",
        "qos.plan_changes",
        "qos.plan_check",
        "qos.scenarios",
        "qos.report",
        "qos.drawing",
        "qos.drawing_plan",
        "qos.drawing_schedule",
        "qos.traffic_matrix",
        "qos.random_flows",
        "qos.workers",
        "qos.plan_hosts",
        "qos.plan_simulation",
        "qos.plan_report",
        "qos.survival",
        "qos.plan_export",
    ),
    ("qos.cli", "qos.__main__", "experiments"),
)
MAY_LOOK_SIDEWAYS = {"qos.training"}
FLOORS_OF_FRIENDS = {0, len(FLOORS) - 2, len(FLOORS) - 1}
"""Floors whose families may import each other: the ground floor, the engine, the front door."""

MODULES = sorted(path for package in (*PACKAGES, "experiments") for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def name_of_case(path: Path) -> str:
    return str(path.relative_to(ROOT))


every_module = pytest.mark.parametrize("path", MODULES, ids=name_of_case)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imported(path: Path, nodes: Iterator[ast.AST] | None = None) -> set[str]:
    """Full names of what a module imports; `from qos import units` gives `qos.units`."""
    found = set()
    for node in nodes if nodes is not None else ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            assert node.module is not None
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def at_import_time(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: not in functions, not for the type checker."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from at_import_time(other)
            continue
        yield child
        yield from at_import_time(child)


def family(name: str) -> tuple[int, str] | None:
    """Floor and family of one of our modules, None for other people's."""
    if name.partition(".")[0] not in (*PACKAGES, "experiments"):
        return None
    fits = [
        (floor, entry)
        for floor, families in enumerate(FLOORS)
        for entry in families
        if name == entry or (entry != "qos" and name.startswith(entry + "."))
    ]
    if fits:
        return fits[0]
    # `qos.x`: a name in qos/__init__.py if there is no module x.
    assert name.startswith("qos."), name
    below = ROOT.joinpath(*name.split(".")[:2])
    assert not below.is_dir(), f"{name}: give this package a floor in tests/test_architecture.py"
    assert not below.with_suffix(".py").exists(), (
        f"{name}: give this module a floor in tests/test_architecture.py"
    )
    return 0, "qos"


def may_import(importer: tuple[int, str], target: tuple[int, str]) -> bool:
    if target[0] < importer[0] or target[1] == importer[1]:
        return True
    sideways = importer[0] in FLOORS_OF_FRIENDS or importer[1] in MAY_LOOK_SIDEWAYS
    return target[0] == importer[0] and sideways


@every_module
def test_imports_run_one_way(path: Path) -> None:
    here = family(module_name(path))
    assert here is not None
    if path == ROOT / "qos" / "__init__.py":
        # It forwards names on first use; what the type checker sees is not imported.
        assert [name for name in imported(path, at_import_time(tree_of(path))) if family(name)] == []
        return
    wrong = [
        name for name in imported(path) if (there := family(name)) is not None and not may_import(here, there)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("importer", "target", "allowed"),
    [
        ("topologies.model", "qos.units.parse_rate", True),
        ("topologies.model", "schedulers.packet", False),
        ("schedulers.packet.limits.fixed", "qos.errors", True),
        ("schedulers.packet", "linux_qdisc.tree", False),
        ("linux_qdisc.kernel", "qos.simulation.link", False),
        ("qos.training", "linux_qdisc.stats", True),
        ("qos.units", "qos.errors", True),
        ("qos.errors", "qos.cli", False),
        ("qos.cli.attach", "linux_qdisc.kernel", True),
        ("linux_qdisc.kernel", "qos.__version__", True),
    ],
)
def test_the_rule_itself_says_what_the_design_says(importer: str, target: str, allowed: bool) -> None:
    here, there = family(importer), family(target)
    assert here is not None
    assert there is not None
    assert may_import(here, there) is allowed


def is_allowed_place(package: str, path: Path) -> bool:
    place = path.relative_to(ROOT)
    match package:
        case "ortools":
            return place.parts[0] == "schedulers" and any(part.startswith("cpsat") for part in place.parts)
        case "pyroute2":
            return place.parts[0] == "linux_qdisc" or place in (
                Path("topologies/host.py"),
                Path("experiments/bench_kernel.py"),  # the peer that is measured beside ours
            )
        case "scapy":
            return place.parts[0] == "experiments" or place == Path("qos/simulation/captures.py")
        case _:
            return place.parts[0] == "experiments"


@every_module
@pytest.mark.parametrize("package", ["ortools", "pyroute2", "scapy"])
def test_some_libraries_have_their_place(path: Path, package: str) -> None:
    uses = [name for name in imported(path) if name.partition(".")[0] == package]
    assert uses == [] or is_allowed_place(package, path)


@every_module
def test_matplotlib_is_imported_only_where_something_is_drawn(path: Path) -> None:
    eager = imported(path, at_import_time(tree_of(path)))
    assert [name for name in eager if name.partition(".")[0] == "matplotlib"] == []


@every_module
def test_no_module_is_a_drawer_for_everything(path: Path) -> None:
    assert path.stem not in ("utils", "util", "helpers", "misc")


@every_module
def test_modules_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_MODULE_LINES
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    }
    assert long == {}


def undocumented(node: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[str]:
    for child in node.body:
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if child.name.startswith("_"):
                continue
            if ast.get_docstring(child) is None:
                yield prefix + child.name
            if isinstance(child, ast.ClassDef):
                yield from undocumented(child, f"{child.name}.")


@every_module
def test_what_is_public_is_documented(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))
    assert list(undocumented(tree_of(path))) == []


def test_help_imports_nothing_heavy(installed_environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "qos", "--help"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=installed_environment,
        cwd=tmp_path,
        check=True,
        timeout=60,
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "click" in loaded
    assert loaded & HEAVY == set()
    ours = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {name for name in ours if name.startswith("qos.cli.")} == {"qos.cli.common", "qos.cli.root"}
