"""The reference pages are made from the code and name what is public."""

from __future__ import annotations

import qos
from docs import api_reference, cli_reference


def test_the_api_page_documents_every_name_of_the_front_door_and_of_each_listed_module() -> None:
    page = api_reference.markdown()
    for name in qos.__all__:
        if not name.startswith("__"):
            assert f"#### {name}\n" in page
    for _, modules in api_reference.SECTIONS:
        for module in modules:
            assert f"### {module}\n" in page
    assert "::\n" not in page


def test_a_docstring_becomes_markdown() -> None:
    sections = (
        "Parameters\n----------\nspeed\n    In bit/s,\n    more than 0.",
        "Raises\n------\nError\n    If not.",
    )
    text = "\n\n".join(("Do it::", "    now", *sections))
    found = "\n".join(api_reference.docstring(text))
    assert "* `speed`: In bit/s, more than 0." in found
    assert "**Raises**\n\n* `Error`: If not." in found
    assert found.startswith("Do it:\n")


def test_the_command_page_names_every_verb() -> None:
    page = cli_reference.markdown()
    for verb in ("plan", "apply", "simulate", "survive", "upgrade", "export", "report"):
        assert f"## qos {verb}\n" in page
