"""Load on one server: requests through wrk, and the CPU time that the server and Postgres spend on them."""

import json
import os
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scenarios import Request, Scenario

# `prepared` holds the token, the path and the body of each request; they are sent in turn.
SCRIPT = """
wrk.method = {method}
for name, value in pairs({headers}) do wrk.headers[name] = value end
local prepared, requests, turn = {prepared}, {{}}, 0
function init()
  for i, one in ipairs(prepared) do
    wrk.headers["Authorization"] = "Bearer " .. one[1]
    requests[i] = wrk.format(nil, one[2], nil, one[3])
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
function done(summary, latency)
  local errors = summary.errors
  io.stderr:write(string.format("%d %d %d %f %f", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.timeout + errors.status,
    latency:percentile(50), latency:percentile(99)))
end
"""


class LoadError(Exception):
    """A server answered what it should not have."""


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    name: str
    url: str
    pid: int


@dataclass(frozen=True)
class Run:
    """What one run measured: requests a second, milliseconds, and microseconds of CPU time a request."""

    per_second: float
    p50: float
    p99: float
    cpu: float
    database_cpu: float


def run(
    server: Server,
    scenario: Scenario,
    requests: list[Request],
    *,
    database_pid: int,
    seconds: float,
    connections: int,
) -> Run:
    """Sends the requests in turn over kept connections. Raises LoadError where one was not answered with success."""
    headers = {"Content-Type": "application/json", **scenario.headers}
    prepared = [[one.token, one.path, *([json.dumps(one.body)] if one.body else [])] for one in requests]
    script = SCRIPT.format(method=_lua(scenario.method), headers=_lua(headers), prepared=_lua(prepared))
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        before = cpu_seconds(server.pid), cpu_seconds(database_pid)
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "10s", "-s", file.name, server.url]
        finished = subprocess.run(command, capture_output=True, text=True, check=True)
        after = cpu_seconds(server.pid), cpu_seconds(database_pid)
    count, microseconds, errors, p50, p99 = map(float, finished.stderr.split())
    if errors or not count:
        raise LoadError(f"{server.name}, {scenario.name}: {errors:.0f} of {count:.0f} requests failed")
    cpu, database_cpu = ((a - b) / count * 1e6 for a, b in zip(after, before, strict=True))
    return Run(count / microseconds * 1e6, p50 / 1000, p99 / 1000, cpu, database_cpu)


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process and all its descendants, with those that have ended."""
    spent: dict[int, int] = {}
    children: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            children[int(fields[1])].append(int(folder.name))
            spent[int(folder.name)] = sum(map(int, fields[11:15]))
    family = [pid]
    for member in family:
        family += children[member]
    return sum(spent.get(member, 0) for member in family) / os.sysconf("SC_CLK_TCK")


def _lua(value: object) -> str:
    """A text, list or object, as Lua writes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"[{_lua(name)}] = {_lua(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(_lua, value)) + "}"
    return json.dumps(value)
