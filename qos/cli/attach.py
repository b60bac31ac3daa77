"""`qos attach`: put a fair queue on an interface."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from linux_qdisc.settings import QueueSettings

from qos.cli.common import DURATION, RATE, CommandSettings, print_json, verb
from qos.cli.preference import PREFERENCE, with_preference
from qos.errors import BusyError, QosError
from qos.units import format_rate

log = logging.getLogger(__name__)
NOTABLE_WAIT_MS = 10.0
AUTO = "auto"


class _RateOrAuto(click.ParamType[int | str]):
    name = RATE.name

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Leave the word auto, parse anything else."""
        return AUTO if value == AUTO else RATE.convert(value, param, ctx)


RATE_OR_AUTO = _RateOrAuto()


def _take_config(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Make what the host file says the defaults of the other flags."""
    del parameter
    if value is None:
        return
    from linux_qdisc.hostfile import read_host_file

    names = {"rate": "rate_bps", "ingress": "ingress_rate_bps", "interval": "interval_ns"}
    found = read_host_file(Path(value))
    ctx.default_map = {names.get(key, key): given for key, given in found.items()}


def _print_schema(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Print the JSON Schema of the host file and end."""
    del parameter
    if value:
        from linux_qdisc.hostfile import shipped_schema

        print(shipped_schema(), end="")
        ctx.exit()


@verb(short_help="Put a fair queue on an interface and control each flow's limit.")
@click.argument("device", metavar="DEV")
@click.option(
    "-c",
    "--config",
    type=click.Path(),
    envvar="QOS_CONFIG",
    is_eager=True,
    expose_value=False,
    callback=_take_config,
    help="Read flags from a host file; flags on the line win.",
)
@click.option(
    "--config-schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON Schema of the host file and exit.",
)
@click.option(
    "--rate",
    "rate_bps",
    type=RATE_OR_AUTO,
    required=True,
    help="Rate of the link, such as 100mbit; auto follows the rate of a Wi-Fi radio.",
)
@click.option("--ingress", "ingress_rate_bps", type=RATE, help="Shape incoming traffic to this rate.")
@click.option("--flows", type=int, default=1024, show_default=True, help="Queues, a power of two.")
@click.option("--policy", default="lfq", show_default=True, help="lfq, sawtooth or fixed:SIZE.")
@click.option("--prefer", type=PREFERENCE, help="What lfq prefers.  [default: balanced]")
@click.option("--alpha", type=float, help="Price of delay for lfq, 1/s, in place of --prefer.")
@click.option("--learn", is_flag=True, help="lfq goes on learning on the flows that pass.")
@click.option(
    "--weights", type=click.Path(), help="Weights of lfq; with --learn kept there.  [/var/lib/qos/DEV.npz]"
)
@click.option("--interval", "interval_ns", type=DURATION, default="20ms", show_default=True)
@click.option(
    "--offloads", default="keep", show_default=True, help="off: no GSO and TSO on DEV, with --ingress no GRO."
)
@click.option("--gro-off", multiple=True, metavar="IF", help="Switch GRO of this interface off.")
@click.option("--overhead", type=int, help="Bytes that the link adds to an IP packet.")
@click.option("--mpu", type=int, default=0, help="Smallest packet on the wire, in bytes.")
@click.option("--linklayer", default="ethernet", show_default=True, help="ethernet, atm or ptm.")
@click.option("--isolate", default="flow", show_default=True, help="flow, source-host or destination-host.")
@click.option("--classifier", default="auto", show_default=True, help="auto, ebpf, cbpf, flow or u32.")
@click.option("--metrics", metavar="ADDR:PORT", help="Serve Prometheus metrics; :PORT is loopback.")
@click.option("--dry-run", is_flag=True, help="Print what would be done; needs no root.")
@click.option("--force", is_flag=True, help="Replace a foreign root qdisc (detach restores it).")
@click.option("--foreground", is_flag=True, help="Stay in the foreground.")
def command(
    settings: CommandSettings, dry_run: bool, force: bool, foreground: bool, **wishes: object
) -> None:
    """Put a fair queue on DEV, or change the one that is there without losing a packet."""
    from linux_qdisc import state
    from linux_qdisc.background import READY_FD, reload_controller, start_controller
    from linux_qdisc.device import device_facts
    from linux_qdisc.learning import check_weights
    from linux_qdisc.operations import as_commands
    from linux_qdisc.plan import plan_attach, require_net_admin
    from linux_qdisc.settings import Framing, QueueSettings

    wishes["policy"] = with_preference(
        wishes["policy"],  # type: ignore[arg-type]
        wishes.pop("prefer"),  # type: ignore[arg-type]
        wishes.pop("alpha"),  # type: ignore[arg-type]
    )
    wishes["gro_off"] = tuple(wishes["gro_off"])  # type: ignore[arg-type]
    if wishes["rate_bps"] == AUTO:
        from linux_qdisc.radio_rate import first_rate_bps

        wishes |= {"rate_bps": first_rate_bps(str(wishes["device"])), "follow_radio": True}
    wishes["weights"] = _weights(wishes)
    framing = Framing(wishes.pop("overhead"), wishes.pop("mpu"), wishes.pop("linklayer"))  # type: ignore[arg-type]
    wanted = QueueSettings(framing=framing, **wishes)  # type: ignore[arg-type]
    operations = plan_attach(wanted, force=force).operations
    if READY_FD not in os.environ:
        _say_what_offloads_cost(wanted)
    if dry_run:
        commands = as_commands(operations)
        if settings.as_json:
            print_json({"schema": 1, "commands": commands})
        else:
            for line in commands:
                print(line)
        return
    require_net_admin()
    if wanted.weights:
        check_weights(Path(wanted.weights), learn=wanted.learn)
    key = state.Key.of(device_facts(wanted.device).ifindex)
    if state.is_locked(key):
        if foreground:
            raise BusyError(f"{wanted.device} is controlled already; 'qos detach {wanted.device}' ends that")
        reload_controller(wanted, force=force)
    elif foreground:
        _control(wanted, force)
    else:
        start_controller(sys.argv[1:])


def _weights(wishes: dict[str, object]) -> str:
    """Give the file of weights, whole, for the controller may run elsewhere; empty for the shipped ones."""
    from linux_qdisc.learning import default_weights

    named = wishes["weights"]
    if not named and not wishes["learn"]:
        return ""
    return str(Path(str(named)).absolute() if named else default_weights(str(wishes["device"])))


def _say_what_offloads_cost(wanted: QueueSettings) -> None:
    """Say, where it matters, how coarse limits become while super-packets are let through."""
    from linux_qdisc.compile import super_packet_bytes
    from linux_qdisc.device import all_devices, device_facts
    from linux_qdisc.offloads import merging_interfaces

    if wanted.offloads == "off":
        merging = merging_interfaces(
            wanted, [row.name for row in all_devices() if row.is_up and row.kind != "ifb"]
        )
        if merging:
            log.warning(
                "what %s receives may be merged (GRO) before it is forwarded to %s, and a limit below such a "
                "packet drops it whole; %s avoids it",
                *(", ".join(merging), wanted.device, " ".join(f"--gro-off {name}" for name in merging)),
            )
        return
    size = super_packet_bytes(device_facts(wanted.device))
    wait_ms = 8 * size * 8 / wanted.rate_bps * 1e3
    if wait_ms >= NOTABLE_WAIT_MS:
        log.warning(
            "%s keeps its offloads, so no limit is below a super-packet of %d bytes: %.0f ms for 8 flows at "
            "%s; --offloads off avoids it",
            *(wanted.device, size, wait_ms, format_rate(wanted.rate_bps)),
        )


def _control(wanted: QueueSettings, force: bool) -> None:
    """Hold the interface in this process; tell a waiting parent how the start went."""
    from linux_qdisc.background import READY_FD
    from linux_qdisc.session import Session

    channel = os.environ.pop(READY_FD, None)
    if channel is not None:
        _log_to_the_system()

    def tell(answer: dict[str, object]) -> None:
        if channel is not None:
            os.write(int(channel), json.dumps(answer).encode())
            os.close(int(channel))

    try:
        session = Session(wanted, force=force)
    except QosError as error:
        if channel is None:
            raise
        tell({"ok": False, "error": str(error), "exit_code": error.exit_code})
        return

    def ready() -> None:
        tell({"ok": True})
        _notify_systemd("READY=1")

    try:
        session.run(ready)
    except QosError as error:
        if channel is not None:
            log.error("%s", error)
        raise
    finally:
        session.close()


def _log_to_the_system() -> None:
    """Send what a process in the background has to say to the system's log, where there is one."""
    from logging.handlers import SysLogHandler

    try:
        handler = SysLogHandler("/dev/log")
    except OSError:
        return
    handler.ident = f"qos[{os.getpid()}]: "
    logging.getLogger().addHandler(handler)


def _notify_systemd(message: str) -> None:
    """Tell the service manager, if one started us (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        try:
            channel.sendto(message.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
        except OSError as error:
            log.warning("systemd could not be told: %s", error)
