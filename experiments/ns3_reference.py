"""Runs a dumbbell in ns-3 (the `ns3` wheel) and prints one JSON line; for an interpreter that has the wheel.

``PYTHON experiments/ns3_reference.py QDISC LIMIT RECOVERY RATE_MBIT RTT_MS DURATION_S RUN SENDER:COUNT ...``
with a LIMIT like ``100p`` or ``-``. It imports nothing of this project: the wheel is in another environment.

``PYTHON experiments/ns3_reference.py --grid WANTED.csv GRID.csv`` runs one flow for each row of WANTED.csv
(columns `qdisc, limit, cc, recovery, bw_mbit, rtt_ms, dur_s, run`) and adds what is new to GRID.csv, which
`experiments.simulator_vs_ns3 --grid` reads; interrupted, it goes on where it was.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

WANTED = ("qdisc", "limit", "cc", "recovery", "bw_mbit", "rtt_ms", "dur_s", "run")
MEASURED = ("nflows", "thr_mbit", "avgq_exact", "maxq_exact", "tx_pkts", "drops")

PROGRAM = r"""
#include "ns3/core-module.h"
#include "ns3/network-module.h"
#include "ns3/internet-module.h"
#include "ns3/point-to-point-module.h"
#include "ns3/applications-module.h"
#include "ns3/traffic-control-module.h"
#include <ctime>
using namespace ns3;
static double g_area = 0, g_last = 0;
static uint32_t g_queue = 0, g_max = 0, g_sent = 0, g_drops = 0;
void OnQueue(uint32_t, uint32_t now) {
  double t = Simulator::Now().GetSeconds();
  g_area += g_queue * (t - g_last); g_last = t; g_queue = now; g_max = std::max(g_max, now);
}
void OnSent(Ptr<const QueueDiscItem>) { g_sent++; }
void OnDrop(Ptr<const QueueDiscItem>) { g_drops++; }
void Prepare(std::string recovery, uint32_t run) {
  RngSeedManager::SetRun(run);
  Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(1446));
  Config::SetDefault("ns3::TcpSocket::InitialCwnd", UintegerValue(1));
  Config::SetDefault("ns3::TcpSocket::DelAckCount", UintegerValue(1));
  Config::SetDefault("ns3::TcpSocket::SndBufSize", UintegerValue(1 << 20));
  Config::SetDefault("ns3::TcpSocket::RcvBufSize", UintegerValue(1 << 20));
  Config::SetDefault("ns3::TcpSocketBase::LimitedTransmit", BooleanValue(false));
  Config::SetDefault("ns3::TcpSocketBase::MinRto", TimeValue(Seconds(1)));
  Config::SetDefault("ns3::TcpL4Protocol::RecoveryType", StringValue(
      recovery == "classic" ? "ns3::TcpClassicRecovery" : "ns3::TcpPrrRecovery"));
}
std::string Reference(std::string qdisc, std::string limit, std::string recovery, double mbit, double rtt_ms,
                      double duration, uint32_t run, std::string senders) {
  g_area = g_last = 0; g_queue = g_max = g_sent = g_drops = 0;
  Prepare(recovery, run);
  NodeContainer nodes; nodes.Create(2);
  PointToPointHelper wire;
  wire.SetDeviceAttribute("DataRate", StringValue(std::to_string((long)(mbit * 1e6)) + "bps"));
  wire.SetChannelAttribute("Delay", TimeValue(Seconds(rtt_ms / 2000)));
  wire.SetQueue("ns3::DropTailQueue", "MaxSize", StringValue("1p"));
  NetDeviceContainer devices = wire.Install(nodes);
  InternetStackHelper stack; stack.Install(nodes);
  TrafficControlHelper there, back;
  if (limit != "-") there.SetRootQueueDisc("ns3::" + qdisc + "QueueDisc", "MaxSize", StringValue(limit));
  else there.SetRootQueueDisc("ns3::" + qdisc + "QueueDisc");
  back.SetRootQueueDisc("ns3::FifoQueueDisc", "MaxSize", StringValue("1000p"));
  Ptr<QueueDisc> queue = there.Install(devices.Get(0)).Get(0);
  back.Install(devices.Get(1));
  queue->TraceConnectWithoutContext("PacketsInQueue", MakeCallback(&OnQueue));
  queue->TraceConnectWithoutContext("Dequeue", MakeCallback(&OnSent));
  queue->TraceConnectWithoutContext("Drop", MakeCallback(&OnDrop));
  Ipv4AddressHelper addresses("10.0.0.0", "255.255.255.0");
  Ipv4InterfaceContainer interfaces = addresses.Assign(devices);
  std::istringstream list(senders); std::string word; uint16_t port = 9; ApplicationContainer sinks;
  while (list >> word) {
    size_t colon = word.find(':');
    std::string type = "ns3::Tcp" + word.substr(0, colon);
    for (int n = 0; n < std::stoi(word.substr(colon + 1)); n++, port++) {
      // The socket type of a node can only be set for all; each flow starts with its own default.
      PacketSinkHelper sink("ns3::TcpSocketFactory", InetSocketAddress(Ipv4Address::GetAny(), port));
      ApplicationContainer made = sink.Install(nodes.Get(1)); made.Start(Seconds(0)); sinks.Add(made);
      BulkSendHelper bulk("ns3::TcpSocketFactory", InetSocketAddress(interfaces.GetAddress(1), port));
      bulk.SetAttribute("SendSize", UintegerValue(1000)); bulk.SetAttribute("MaxBytes", UintegerValue(0));
      ApplicationContainer app = bulk.Install(nodes.Get(0));
      Simulator::Schedule(NanoSeconds(port), [type]() {
        Config::Set("/NodeList/*/$ns3::TcpL4Protocol/SocketType", TypeIdValue(TypeId::LookupByName(type)));
      });
      app.Start(NanoSeconds(port));
    }
  }
  Simulator::Stop(Seconds(duration));
  clock_t begin = clock(); Simulator::Run();
  double cpu = double(clock() - begin) / CLOCKS_PER_SEC;
  g_area += g_queue * (duration - g_last);
  uint64_t bytes = 0;
  for (uint32_t n = 0; n < sinks.GetN(); n++) bytes += DynamicCast<PacketSink>(sinks.Get(n))->GetTotalRx();
  std::ostringstream out;
  out << "{\"throughput_mbit\": " << bytes * 8 / duration / 1e6 << ", \"mean_packets\": " << g_area / duration
      << ", \"max_packets\": " << g_max << ", \"packets\": " << g_sent << ", \"drops\": " << g_drops
      << ", \"cpu_s\": " << cpu << "}";
  Simulator::Destroy();
  return out.str();
}
"""


def extend(wanted: Path, grid: Path, reference: Callable[..., str]) -> None:
    """Run the rows that a grid lacks, and add them."""
    present: set[tuple[str, ...]] = set()
    if grid.exists():
        with grid.open(newline="") as file:
            present = {tuple(row[name] for name in WANTED) for row in csv.DictReader(file)}
    with wanted.open(newline="") as file, grid.open("a", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        if not present:
            writer.writerow([*WANTED, *MEASURED])
        for row in csv.DictReader(file):
            if tuple(row[name] for name in WANTED) in present:
                continue
            limit, sender = row["limit"] or "-", f"{row['cc']}:1"
            numbers = (row["bw_mbit"], row["rtt_ms"], row["dur_s"], row["run"])
            got = json.loads(reference(row["qdisc"], limit, row["recovery"], *numbers, sender))
            names = ("throughput_mbit", "mean_packets", "max_packets", "packets", "drops")
            writer.writerow([*(row[name] for name in WANTED), 1, *(got[name] for name in names)])
            out.flush()


def main(arguments: list[str]) -> None:
    """Run one scenario."""
    from ns import ns  # type: ignore[import-not-found] # noqa: F401 - loads the libraries

    import cppyy  # type: ignore[import-not-found] # isort: skip

    cppyy.cppdef(PROGRAM)

    def reference(qdisc: str, limit: str, recovery: str, *rest: str) -> str:
        rate, rtt, duration, run, *senders = rest
        numbers = float(rate), float(rtt), float(duration), int(run)
        return str(cppyy.gbl.Reference(qdisc, limit, recovery, *numbers, " ".join(senders)))

    if arguments[0] == "--grid":
        extend(Path(arguments[1]), Path(arguments[2]), reference)
    else:
        print(reference(*arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
