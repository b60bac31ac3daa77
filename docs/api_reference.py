"""MkDocs hook: the page `api.md`, made from the signatures and docstrings of the public modules.

Nothing of the page is written by hand but the list of modules: what a name does, takes, gives and raises
stands in its docstring (numpydoc), and a module without one public name is an error of the build.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # after the installed package, for `docs`

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("The front door", ("qos",)),
    (
        "What is asked and what is decided",
        (
            "qos.demands",
            "qos.profiles",
            "qos.scenarios",
            "qos.random_flows",
            "qos.traffic_matrix",
            "qos.planning",
            "qos.engine",
            "qos.plan_files",
            "qos.plan_changes",
            "qos.plan_check",
        ),
    ),
    (
        "What is done with a plan",
        ("qos.plan_simulation", "qos.survival", "qos.plan_hosts", "qos.plan_export", "qos.plan_report"),
    ),
    ("Topologies", ("topologies.model", "topologies.links", "topologies.files", "topologies.generators")),
    (
        "Queues",
        (
            "linux_qdisc.settings",
            "qos.simulation.scenario",
            "qos.simulation.simulation",
            "qos.simulation.result",
            "schedulers.packet.limits",
            "schedulers.packet.registry",
        ),
    ),
    (
        "Radios",
        (
            "qos.crosslayer.link_design",
            "qos.crosslayer.rate_process",
            "qos.crosslayer.multihop.routing",
            "qos.crosslayer.multihop.admission",
        ),
    ),
    (
        "Entanglement",
        (
            "schedulers.entanglement.allocation",
            "schedulers.entanglement.compile",
            "schedulers.entanglement.tasks",
            "schedulers.entanglement.verify",
            "schedulers.entanglement.execution",
        ),
    ),
    ("Project scheduling", ("schedulers.rcpsp",)),
    ("Workers, units, errors", ("qos.workers", "qos.units", "qos.errors")),
)
"""Titles of the page, and the modules below each."""

WIDTH = 88
_HEADING = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}$", re.MULTILINE)
_TABLE = re.compile(r"^=+ +=[= ]*$.*^=+ +=[= ]*$", re.MULTILINE | re.DOTALL)
_LISTS = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Other Parameters")


def public_names(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Give the public classes and functions of a module: its `__all__`, or what it defines itself."""
    listed = getattr(module, "__all__", None)
    for name in listed if listed is not None else sorted(vars(module)):
        value = getattr(module, name)
        if not inspect.isclass(value) and not inspect.isfunction(value):
            continue
        if listed is not None or (not name.startswith("_") and value.__module__ == module.__name__):
            yield name, value


class _Bare(str):
    """An annotation that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _signature(value: Any, *, method: bool = False) -> str:
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    own = [one for number, one in enumerate(found.parameters.values()) if number or not method]
    shown = [one.replace(annotation=_bare(one.annotation)) for one in own]
    return str(found.replace(parameters=shown, return_annotation=_bare(found.return_annotation)))


def _lines(head: str, value: Any) -> str:
    """Give a signature, with a line for each parameter where one line is too long."""
    whole = head + _signature(value)
    if len(whole) <= WIDTH:
        return whole
    shown = [str(one.replace(annotation=_bare(one.annotation))) for one in _parameters(value)]
    stars = [name for name in shown if name.startswith("*")]
    keywords = [one.kind is inspect.Parameter.KEYWORD_ONLY for one in _parameters(value)]
    if any(keywords) and not stars:
        shown.insert(keywords.index(True), "*")
    tail = whole[whole.rindex(")") + 1 :] if ") -> " in whole else ""
    return head + "(\n" + "".join(f"    {each},\n" for each in shown) + ")" + tail


def _parameters(value: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(value).parameters.values())


def _bare(annotation: Any) -> Any:
    return _Bare(annotation) if isinstance(annotation, str) else annotation


def docstring(text: str) -> Iterator[str]:
    """Turn a numpydoc docstring into Markdown."""
    parts = _HEADING.split(inspect.cleandoc(text))
    yield from (_plain(parts[0]).strip(), "")
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        yield from (f"**{title}**", "")
        if title in _LISTS:
            yield from _definitions(body)
        elif ">>>" in body:
            yield from ("```python", body.strip("\n"), "```", "")
        else:
            yield from (_plain(body).strip(), "")


def _plain(text: str) -> str:
    """Turn what reStructuredText alone knows into Markdown: literal blocks and simple tables."""
    text = re.sub(r"^::$", "", text, flags=re.MULTILINE)
    text = re.sub(r"::$", ":", text, flags=re.MULTILINE)
    return _TABLE.sub(lambda found: f"```text\n{found.group()}\n```", text)


def _definitions(body: str) -> Iterator[str]:
    """Turn names with indented words below them into a list."""
    name, words = "", list[str]()
    for line in [*body.strip("\n").splitlines(), "end"]:
        if line.startswith(" ") or not line:
            words.append(line.strip())
            continue
        if name:
            yield f"* `{name}`: {' '.join(word for word in words if word)}"
        name, words = line.strip(), []
    yield ""


def _entry(name: str, value: Any) -> Iterator[str]:
    keyword = "class" if inspect.isclass(value) else "def"
    head = f"{keyword} {name}"
    shown = head if inspect.isclass(value) and issubclass(value, Exception) else _lines(head, value)
    yield from (f"#### {name}", "", "```python", shown, "```", "")
    yield from docstring(inspect.getdoc(value) or "")
    if inspect.isclass(value):
        yield from _members(value)


def _members(kind: type) -> Iterator[str]:
    """List methods and properties with the first sentence of each."""
    for name, value in vars(kind).items():
        found = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        is_property = isinstance(found, property | cached_property)
        function = found.fget if isinstance(found, property) else getattr(found, "func", found)
        if name.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
            continue
        shown = "" if is_property else _signature(function, method=not isinstance(value, staticmethod))
        first = inspect.cleandoc(function.__doc__).partition("\n\n")[0].replace("\n", " ")
        yield f"* `{name}{shown}`: {first}"
    yield ""


def _home(value: Any, known: set[str]) -> str:
    """Give the listed module that a name is documented with: its own, or the nearest above it."""
    path = str(value.__module__)
    while path and path not in known:
        path = path.rpartition(".")[0]
    return path


def _elsewhere(name: str, value: Any) -> str:
    first = (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")
    return f"* `{name}` (`{value.__module__}`): {first}"


def markdown() -> str:
    """Return the page."""
    lines = ["# Python API", "", "Made from the signatures and docstrings of the installed package.", ""]
    known = {path for _, modules in SECTIONS for path in modules}
    for title, modules in SECTIONS:
        lines += [f"## {title}", ""]
        for path in modules:
            module = importlib.import_module(path)
            names = list(public_names(module))
            if not names:
                raise LookupError(f"docs/api_reference.py: {path} has no public names")
            lines += [f"### {path}", "", *docstring(module.__doc__ or "")]
            for name, value in names:
                listed = _home(value, known) not in (path, "")
                lines += [_elsewhere(name, value)] if listed else _entry(name, value)
            lines.append("")
    return "\n".join(lines) + "\n"


def on_files(files: Any, config: Any) -> Any:
    """Add the page to the site (MkDocs calls this)."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "api.md", content=markdown()))
    return files
