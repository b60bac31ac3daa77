"""The host file: what the model takes, the schema takes; the flags get what the file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from linux_qdisc.hostfile import HostFile, host_file_schema, read_host_file, shipped_schema
from qos.cli.attach import command
from qos.cli.root import cli
from qos.errors import InputError

GOOD = [
    "rate: 100mbit",
    "rate: 10000000",
    "{rate: 10mbit, ingress: 50mbit, flows: 64, policy: 'fixed:30kb', interval: 20ms, offloads: off}",
    "{offloads: 'off', gro_off: [lan0, lan1], overhead: 44, mpu: 64, linklayer: atm}",
    "{isolate: source-host, metrics: ':9420', force: true}",
    "{rate: null}",
]
BAD = [
    ("rat: 1mbit", "unknown key 'rat'"),
    ("rate: {a: 1}", "rate"),
    ("rate: 1.5", "rate"),
    ("rate: .nan", "rate"),
    ("flows: many", "flows"),
    ("flows: 1", "flows"),
    ("flows: 65536", "flows"),
    ("gro_off: lan0", "list"),
    ("gro_off: [1]", "gro_off"),
    ("overhead: -1", "overhead"),
    ("overhead: true", "overhead"),
    ("mpu: 900", "mpu"),
    ("linklayer: token-ring", "atm"),
    ("isolate: everybody", "source-host"),
    ("offloads: maybe", "off"),
    ("force: 'yes please'", "force"),
    ("policy: 5", "policy"),
    ("interval: 20", "interval"),
    ("metrics: 9420", "metrics"),
]
TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "null": type(None)}


def fits(schema: dict[str, Any], value: object) -> bool:
    """Whether a value fits the few words of JSON Schema that ours uses."""
    if "anyOf" in schema:
        return any(fits(choice, value) for choice in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kind = TYPES[schema["type"]]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return False
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    return not isinstance(value, list) or all(fits(schema["items"], item) for item in value)


def schema_takes(document: dict[str, object]) -> bool:
    schema = json.loads(shipped_schema())
    assert schema["additionalProperties"] is False
    known = schema["properties"]
    return all(key in known and fits(known[key], value) for key, value in document.items())


def without_titles(node: object) -> object:
    """The wording of titles is the library's business."""
    if isinstance(node, dict):
        return {
            key: without_titles(value)
            for key, value in node.items()
            if key != "title" or not isinstance(value, str)
        }
    return [without_titles(item) for item in node] if isinstance(node, list) else node


def test_the_shipped_schema_is_that_of_the_model() -> None:
    assert without_titles(json.loads(shipped_schema())) == without_titles(host_file_schema())


def test_the_command_prints_the_schema() -> None:
    done = CliRunner().invoke(cli, ["attach", "--config-schema"])
    assert (done.exit_code, json.loads(done.stdout)) == (0, json.loads(shipped_schema()))


@pytest.mark.parametrize("text", GOOD)
def test_what_the_model_takes_the_schema_takes(text: str, tmp_path: Path) -> None:
    path = tmp_path / "eth0.yaml"
    path.write_text(text)
    read_host_file(path)
    assert schema_takes(yaml.safe_load(text))


@pytest.mark.parametrize(("text", "said"), BAD)
def test_what_the_model_refuses_the_schema_refuses(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "eth0.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as refusal:
        read_host_file(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not schema_takes(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    ["&a [*a]", "a: &x [1]\nb: [*x, *x]", "? [1, 2]\n: 3", "[" * 30_000, "1: 2", "a" * 70_000, ""],
    ids=["cycle", "aliases", "list as key", "deep", "number as key", "long", "empty"],
)
def test_strange_yaml_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "eth0.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as refusal:
        read_host_file(path)
    assert "\n" not in str(refusal.value)


def test_there_is_a_key_for_each_flag_that_describes_the_interface() -> None:
    flags = {option.opts[-1].lstrip("-").replace("-", "_") for option in command.params}
    here_and_now = {"device", "config", "config_schema", "dry_run", "foreground", "json", "verbose"}
    missing = flags - set(HostFile.model_fields) - here_and_now
    assert missing & {"rate", "metrics", "force", "gro_off"} == set()
    assert set(HostFile.model_fields) <= flags
