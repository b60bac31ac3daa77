"""What the verbs share that put a plan beside this host: which node it is, which interface is which link."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from qos.errors import ValueRefusedError

if TYPE_CHECKING:
    from linux_qdisc.settings import QueueSettings
    from qos.plan_hosts import HostQueue

F = TypeVar("F", bound=Callable[..., Any])


def interface_option(function: F) -> F:
    """Add the flag `--interface`."""
    flag: Callable[[F], F] = click.option(
        "--interface",
        "interfaces",
        multiple=True,
        metavar="LINK=DEV",
        help="Interface of a link of the plan: a name, a hardware or an IP address.",
    )
    return flag(function)


def places(interfaces: Sequence[str]) -> Mapping[str, str]:
    """Read the flags `--interface`.

    Raises
    ------
    ValueRefusedError
        If one is not ``LINK=DEV``, or a link is given twice.
    """
    found: dict[str, str] = {}
    for text in interfaces:
        link, equals, place = text.rpartition("=")
        if not (link and equals and place):
            raise ValueRefusedError(f"--interface {text!r}: expected LINK=DEV, such as core--server=eth0")
        if link in found:
            raise ValueRefusedError(f"--interface {link}: given twice")
        found[link] = place
    return found


def wanted_settings(queues: Sequence[HostQueue]) -> list[QueueSettings]:
    """Give what each queue asks of an interface of this host.

    Raises
    ------
    ValueRefusedError
        If an interface is not here, or two queues of the plan mean the same one.
    """
    from linux_qdisc.interfaces import find_interface
    from linux_qdisc.wifi_stations import has_radio

    found: list[QueueSettings] = []
    first: dict[str, str] = {}
    for queue in queues:
        links = ", ".join(link.link for link in queue.links)
        try:
            device = find_interface(queue.place).name
        except ValueRefusedError as error:
            raise ValueRefusedError(f"{links}: {error} (is this host the right one?)") from None
        if device in first:
            raise ValueRefusedError(f"{links}: {device} is the interface of {first[device]} already")
        first[device] = links
        found.append(queue.settings(device, follow_radio=queue.is_radio and has_radio(device)))
    return found
