"""A folder with all that the nodes need: tables, the task set, the schedule, the network for SeQUeNCe.

::

    schedule.json           tables of all nodes; schedule.schema.json describes it
    nodes/NODE.csv          one table a node: which operation, which qubits, which slots
    taskset.json            the tasks on the paths chosen (qtaskset/1)
    starts.json             admitted ids and their starts
    sequence-network.json   nodes and channels, as SeQUeNCe reads them (only from a topology)
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from qos.errors import InputError
from schedulers.entanglement.export import JSON_SCHEMA, as_csv, document, node_tables
from schedulers.entanglement.sequence_export import network_document
from schedulers.entanglement.tasks import Schedule, TaskSet
from schedulers.entanglement.taskset_files import dump_task_set
from topologies.model import Topology


def write_folder(
    folder: str | os.PathLike[str], tasks: TaskSet, schedule: Schedule, topology: Topology | None = None
) -> list[Path]:
    """Write a schedule for its nodes; files of the same names are replaced.

    Parameters
    ----------
    folder
        Made where it is missing.
    tasks, schedule
        The tasks, whose operations must be known, and their schedule.
    topology
        The network, where it is known.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        If a task has no operations, or a file cannot be written.
    """
    tables = node_tables(tasks, schedule)
    table = {
        "schema": 1,
        "slot_s": tasks.slot_s,
        "hyperperiod_slots": schedule.hyperperiod_slots,
        "starts": {str(task_id): list(starts) for task_id, starts in schedule.starts.items()},
        "segments": {
            str(i): [list(map(list, one)) for one in parts] for i, parts in schedule.segments.items()
        },
    }
    texts = {
        "schedule.json": json.dumps(document(tasks, schedule), indent=1),
        "schedule.schema.json": json.dumps(JSON_SCHEMA, indent=1),
        "taskset.json": dump_task_set(tasks),
        "starts.json": json.dumps(table, indent=1),
    }
    texts |= {f"nodes/{quote(node, safe='')}.csv": as_csv({node: rows}) for node, rows in tables.items()}
    if topology is not None:
        texts["sequence-network.json"] = json.dumps(network_document(topology), indent=1)
    written = []
    try:
        (Path(folder) / "nodes").mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            path = Path(folder) / name
            path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from None
    return written
