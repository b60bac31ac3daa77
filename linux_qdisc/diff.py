"""The operations that lead from the tree that stands to the tree that should. Pure.

The limit and the guarantee of a queue in use belong to the controller. The diff touches leaf
classes only where their ceiling or framing changes or where the state of a waking queue does.
"""

from __future__ import annotations

from collections.abc import Iterator

from linux_qdisc.operations import (
    AddIfb,
    AddRedirect,
    DeleteClass,
    DeleteIngress,
    DeleteLink,
    Operation,
    ReplaceRoot,
    SetClass,
    SetClassifier,
    SetLeaf,
)
from linux_qdisc.tree import (
    CATCH_ALL_HANDLE,
    CATCH_ALL_MINOR,
    LINK_MINOR,
    FairTree,
    QdiscTree,
    flow_minor,
    leaf_handle,
)


def difference(standing: QdiscTree | None, wanted: QdiscTree) -> list[Operation]:
    """List the operations that turn `standing` (None: nothing of ours) into `wanted`.

    An empty list means that there is nothing to do and no message to send.
    """
    old_egress = standing.egress if standing else None
    old_ingress = standing.ingress if standing else None
    operations = list(_tree_changes(old_egress, wanted.egress))
    if wanted.ingress is not None:
        if old_ingress is None:
            operations.append(AddIfb(wanted.ingress.device))
        operations += _tree_changes(old_ingress, wanted.ingress)
        if old_ingress is None:
            operations.append(AddRedirect(wanted.egress.device, wanted.ingress.device))
    elif old_ingress is not None:
        operations.append(DeleteIngress(wanted.egress.device))
        operations.append(DeleteLink(old_ingress.device))
    return operations


def _tree_changes(old: FairTree | None, new: FairTree) -> Iterator[Operation]:
    if old is None:
        yield from _build(new)
        return
    if old.link != new.link:
        yield SetClass(new.device, LINK_MINOR, 0, new.link, create=False)
    yield from _change_catch_all(old, new)
    kept = min(old.flows, new.flows)
    if old.leaf != new.leaf:
        for queue in range(kept):
            yield SetClass(new.device, flow_minor(queue), LINK_MINOR, new.leaf, create=False)
    if old.limit_bytes != new.limit_bytes:
        for queue in range(kept):
            yield _leaf(new, queue, create=False)
    for queue in range(old.flows, new.flows):
        yield from _add_queue(new, queue)
    if (old.flows, old.classifier) != (new.flows, new.classifier):
        yield SetClassifier(new.device, new.flows, new.classifier, create=False)
    # Packets already queued in surplus leaves are sent first: the kernel layer waits for that.
    for queue in range(new.flows, old.flows):
        yield DeleteClass(new.device, flow_minor(queue))


def _change_catch_all(old: FairTree, new: FairTree) -> Iterator[Operation]:
    if old.leaf != new.leaf:
        yield SetClass(new.device, CATCH_ALL_MINOR, LINK_MINOR, new.leaf, create=False)
    if old.catch_all_limit_bytes != new.catch_all_limit_bytes:
        yield SetLeaf(new.device, CATCH_ALL_MINOR, CATCH_ALL_HANDLE, new.catch_all_limit_bytes, create=False)


def _build(tree: FairTree) -> Iterator[Operation]:
    yield ReplaceRoot(tree.device)
    yield SetClass(tree.device, LINK_MINOR, 0, tree.link, create=True)
    yield SetClass(tree.device, CATCH_ALL_MINOR, LINK_MINOR, tree.leaf, create=True)
    yield SetLeaf(tree.device, CATCH_ALL_MINOR, CATCH_ALL_HANDLE, tree.catch_all_limit_bytes, create=True)
    for queue in range(tree.flows):
        yield from _add_queue(tree, queue)
    # Last: until every leaf stands, the catch-all carries the traffic, shaped.
    yield SetClassifier(tree.device, tree.flows, tree.classifier, create=True)


def _add_queue(tree: FairTree, queue: int) -> Iterator[Operation]:
    yield SetClass(tree.device, flow_minor(queue), LINK_MINOR, tree.leaf, create=True)
    yield _leaf(tree, queue, create=True)


def _leaf(tree: FairTree, queue: int, *, create: bool) -> SetLeaf:
    return SetLeaf(tree.device, flow_minor(queue), leaf_handle(queue), tree.limit_bytes, create=create)
