"""pgbench running the very statements that the service runs for a request, over the same socket and with the same scope."""

import os
import re
import subprocess
import time
from pathlib import Path

from service import DATABASE, LOGIN

PREFIX = "0168028c-2f00-7000-8000-"
EXECUTED = re.compile(r"half-sky reads\|LOG:  duration: [\d.]+ ms  (parse|execute) ([^:]*): (.*)", re.S)
PARAMETER = re.compile(r"\$(\d+) = (NULL|'(?:[^']|'')*')")


def statements_of(service, request):
    """What the database executes for `request()`: [(SQL, {parameter: value or None})]. Everything must have been prepared before."""
    for _ in range(24):  # every shared connection of every worker has prepared its statements, none of them for the first times
        request()
    set_logging(service, "0")
    start = service.server_log.stat().st_size
    request()
    set_logging(service, "-1")
    with open(service.server_log, encoding="utf-8") as log:
        log.seek(start)
        text = log.read().replace("\n\t", "\n")
    lines = re.split(r"\n(?=[^\n|]*\|\w+: )", text)
    found, prepared = [], 0
    for line, following in zip(lines, lines[1:] + [""]):
        if match := EXECUTED.match(line):
            if match.group(1) == "parse":
                prepared += 1
                continue
            values = PARAMETER.findall(following) if "|DETAIL:  parameters: " in following else []
            found.append((match.group(3).strip(),
                          {int(n): None if value == "NULL" else value[1:-1].replace("''", "'") for n, value in values}))
    return found, prepared


def set_logging(service, threshold):
    service.psql(f"ALTER SYSTEM SET log_line_prefix = '%a|'; ALTER SYSTEM SET log_min_duration_statement = {threshold}; SELECT pg_reload_conf()")
    time.sleep(0.3)  # until every backend has read it


class Pgbench:
    """A script of these statements. Where a parameter names the sampled organization or place, it names a random one instead."""

    def __init__(self, service, folder, name, statements, ranges=None, sampled=None):
        self.service = service
        self.folder = Path(folder) / f"pgbench-{name}"
        self.folder.mkdir()
        self.variables = []
        lines = random_organization(ranges) if ranges else []
        for index, (sql, values) in enumerate(statements):
            def parameter(match, index=index, values=values):
                value, variable = values[int(match.group(1))], f"s{index}p{match.group(1)}"
                if value is None:
                    return "NULL"
                kind = "uuid[]" if value.startswith("{") else "uuid"
                for what, number in (sampled or {}).items():
                    if PREFIX + number in value:
                        before, after = value.split(PREFIX + number)
                        return f"('{before}{PREFIX}' || :{what} || '{after}')::{kind}"
                self.variables.append(f"-D{variable}={value}")
                return f":{variable}"
            lines.append(re.sub(r"\$(\d+)\b", parameter, sql) + ";")
        (self.folder / "script").write_text("\n".join(lines) + "\n")

    def run(self, clients, seconds):
        """Rate, median and 99th percentile in milliseconds, CPU of the database per transaction in microseconds."""
        for old in self.folder.glob("pgbench_log*"):
            old.unlink()
        binary = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
        command = [binary[-1] if binary else "pgbench", "-n", "-M", "prepared", "-j", "2", "-c", str(clients), "-T", str(seconds),
                   "-h", self.service.socket_dir, "-p", "5432", "-U", LOGIN, "-f", "script", "-l", "--sampling-rate=0.02",
                   *self.variables, DATABASE]
        _, before = self.service.cpu()
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True,
                              env=os.environ | {"PGOPTIONS": "-c role=half_sky_service -c TimeZone=UTC " + read_settings()})
        _, after = self.service.cpu()
        if done.returncode:
            raise SystemExit(f"pgbench: {done.stderr}\n{(self.folder / 'script').read_text()}")
        transactions = int(re.search(r"transactions actually processed: (\d+)", done.stdout).group(1))
        rate = float(re.search(r"tps = ([\d.]+) \(without", done.stdout).group(1))
        times = sorted(int(line.split()[2]) / 1000 for log in self.folder.glob("pgbench_log*") for line in open(log)) or [0]
        return {"rate": rate, "p50_ms": times[len(times) // 2], "p99_ms": times[len(times) * 99 // 100],
                "database_us": (after - before) / transactions}


def read_settings():
    """The settings of the service's reading connections, from its source."""
    source = (Path(__file__).parent.parent / "src/db/connect.rs").read_text()
    return re.sub(r"\\\n\s*", "", re.search(r'READ_SETTINGS: &str = "(.*?)";', source, re.S).group(1))


def random_organization(ranges):
    """Commands that choose an organization, every one equally likely, and the place of its caller."""
    ends, total, shifts, places = [], 0, [], []
    for first, last, place in ranges:
        total += last - first + 1
        ends.append(total)
        shifts.append(last - total)
        places.append(place)

    def tree(values, low, high):
        if all(value == values[low] for value in values[low:high]):
            return str(values[low])
        middle = (low + high) // 2
        return f"CASE WHEN :n <= {ends[middle - 1]} THEN {tree(values, low, middle)} ELSE {tree(values, middle, high)} END"

    return [f"\\set n random(1, {total})", f"\\set id :n + {tree(shifts, 0, len(ends))}", f"\\set place {tree(places, 0, len(ends))}"]
