"""Write `man/qos.1` from the parser: `python -m docs.make_man --write` (`--check` compares)."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.command_tree import ENVIRONMENT, EXIT_CODES, FILES, Entry, entries

PAGE = Path(__file__).resolve().parents[1] / "man" / "qos.1"


def escape(text: str) -> str:
    """Protect what roff reads as a request or as punctuation of its own."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in lines)


def page() -> str:
    """Return the whole page."""
    root, *verbs = entries()
    lines = [
        '.\\" Made from the parser by `python -m docs.make_man --write`; do not edit.',
        '.TH QOS 1 "" "qos\\-engine" "User Commands"',
        ".SH NAME",
        "qos \\- a fair queue on Linux, with one buffer limit a flow",
        ".SH SYNOPSIS",
        f".B qos\n{escape(root.usage)}",
        ".SH DESCRIPTION",
        *_paragraphs(root),
        "Global flags stand before or after the command.",
        "Results go to standard output, all talk to standard error.",
        ".SH OPTIONS",
        *_options(root),
        ".SH COMMANDS",
    ]
    for entry in verbs:
        lines += [f".SS {escape(entry.path)} {escape(entry.usage)}", *_paragraphs(entry)]
        lines += _options(entry, without=root)
    lines.append(".SH EXIT STATUS")
    lines += _definitions(
        [(str(code), meaning[:1].upper() + meaning[1:] + ".") for code, meaning in EXIT_CODES]
    )
    lines += [".SH ENVIRONMENT", *_definitions(ENVIRONMENT)]
    lines += [".SH FILES", *_definitions(FILES)]
    lines += [
        ".SH SEE ALSO",
        ".BR tc (8),",
        ".BR tc\\-htb (8),",
        ".BR tc\\-bpf (8),",
        ".BR systemd\\-escape (1)",
    ]
    return "\n".join(lines) + "\n"


def _paragraphs(entry: Entry) -> list[str]:
    lines: list[str] = []
    for paragraph in entry.paragraphs:
        lines += [".PP", escape("\n".join(line.strip() for line in paragraph.splitlines()))]
    return lines


def _options(entry: Entry, without: Entry | None = None) -> list[str]:
    common = {spelling for spelling, _ in without.options if "--help" not in spelling} if without else set()
    return _definitions([pair for pair in entry.options if pair[0] not in common])


def _definitions(pairs: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> list[str]:
    lines: list[str] = []
    for term, meaning in pairs:
        lines += [".TP", f".B {escape(term)}", escape(meaning)]
    return lines


def main(arguments: list[str]) -> int:
    """Write the page, or say whether it is up to date; returns the exit status."""
    if arguments == ["--write"]:
        PAGE.write_text(page())
        return 0
    if arguments == ["--check"]:
        if PAGE.read_text() == page():
            return 0
        print(f"{PAGE} is out of date; run: python -m docs.make_man --write", file=sys.stderr)
        return 1
    print("usage: python -m docs.make_man --write | --check", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
