"""Small pieces of SVG and HTML, with all text escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d", "#8c8c00")
"""Colours that remain different to colour-blind readers (Okabe and Ito, with two more)."""


def element(name: str, content: str = "", /, **attributes: object) -> str:
    """Give an element; a trailing underscore is dropped from a name, others become hyphens."""
    parts = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{parts}>{content}</{name}>" if content else f"<{name}{parts}/>"


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)


def text(x: float, y: float, words: str, **attributes: object) -> str:
    """Give a text."""
    return element("text", escape(words), x=x, y=y, **attributes)


def title(words: str) -> str:
    """Give what is shown while the pointer is over an element."""
    return element("title", escape(words))


def picture(width: float, height: float, parts: Iterable[str], label: str) -> str:
    """Join the parts of a picture that scales with the page."""
    return element(
        "svg",
        "".join(parts),
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
        aria_label=label,
        style=f"max-width:{width:.0f}px",
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a table; a column whose name begins with ``>`` is set to the right, cells are escaped."""
    head = "".join(
        element("th", escape(name.lstrip(">")), **({"class": "n"} if name.startswith(">") else {}))
        for name in columns
    )
    body = []
    for row in rows:
        cells = "".join(
            f'<td class="n">{escape(cell)}</td>' if name.startswith(">") else f"<td>{escape(cell)}</td>"
            for name, cell in zip(columns, row, strict=True)
        )
        body.append(f"<tr>{cells}</tr>")
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def ticks(most: float, count: int = 5) -> list[float]:
    """Give round numbers from 0 to `most`, about `count` of them."""
    if most <= 0:
        return [0.0]
    raw = most / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    return [step * number for number in range(math.floor(most / step + 1e-9) + 1)]
