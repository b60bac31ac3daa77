"""MkDocs hook: the page `cli.md`, made from the parser at build time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # after the installed package, for `docs`

from docs.command_tree import ENVIRONMENT, EXIT_CODES, FILES, entries


def markdown() -> str:
    """Return the page."""
    lines = ["# Command reference", "", "Made from the parser of the installed command.", ""]
    for entry in entries():
        lines += [f"## {entry.path}", "", "```text", f"{entry.path} {entry.usage}", "```", ""]
        for paragraph in entry.paragraphs:
            lines += [paragraph, ""]
        if entry.options:
            lines += ["| flag | meaning |", "|---|---|"]
            lines += [f"| `{_cell(flag)}` | {_cell(meaning)} |" for flag, meaning in entry.options]
            lines.append("")
    lines += ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES]
    for title, pairs in (("Environment", ENVIRONMENT), ("Files", FILES)):
        lines += ["", f"## {title}", "", "| name | meaning |", "|---|---|"]
        lines += [f"| `{name}` | {_cell(meaning)} |" for name, meaning in pairs]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def on_files(files: Any, config: Any) -> Any:
    """Add the page to the site (MkDocs calls this)."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "cli.md", content=markdown()))
    return files
