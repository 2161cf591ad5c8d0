"""The figures as a table, and what was promised of them."""

import os
import re
import statistics
import subprocess
from pathlib import Path


def machine(root):
    """What it ran on."""
    def output(*command):
        try:
            return subprocess.run(command, capture_output=True, text=True, cwd=root).stdout.strip()
        except FileNotFoundError:
            return ""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1)) / 1024 / 1024
    server = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return {"cores": os.cpu_count(), "cpu": cpu.group(1) if cpu else "", "memory_gib": round(memory, 1),
            "system": re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text()).group(1),
            "postgresql": output(server[-1] if server else "postgres", "--version"), "rust": output("rustc", "--version"),
            "wrk": output("sh", "-c", "wrk -v 2>&1 | head -1 | cut -d' ' -f1,2,3"), "commit": output("git", "rev-parse", "--short", "HEAD"),
            "load_at_start": os.getloadavg()[0]}


def middle(runs, name):
    return statistics.median(run[name] for run in runs)


def rows(results):
    """One flat row of medians per size and scenario."""
    for size, measured in results["sizes"].items():
        for name, row in measured["rows"].items():
            flat = {"size": size, "name": name, "statements": row["statements"], "prepared_again": row["prepared_again"]}
            flat |= {key: middle(row["service"], key) for key in ("rate", "p50_ms", "p99_ms", "service_us", "database_us")}
            for clients in (64, 16):
                runs = row[f"pgbench_{clients}"]
                flat |= {f"pgbench_{clients}": middle(runs, "rate"), f"pgbench_{clients}_us": middle(runs, "database_us")}
                # Neighbours in time are compared, then the median is taken: the machine's mood cancels out.
                flat[f"ratio_{clients}"] = statistics.median(
                    service["rate"] / other["rate"] for service, other in zip(row["service"], runs))
            if "alone_64" in row:
                flat["alone_64"] = middle(row["alone_64"], "rate")
                flat["ratio_alone"] = statistics.median(
                    service["rate"] / other["rate"] for service, other in zip(row["service"], row["alone_64"]))
            yield flat


def table(results):
    head = ["size", "what", "requests/s", "p50 ms", "p99 ms", "service µs", "database µs", "statements", "pgbench 64/s", "µs", "pgbench 16/s", "µs", "ratio 64", "ratio 16"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows(results):
        lines.append("| " + " | ".join([
            row["size"], row["name"], f"{row['rate']:,.0f}", f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}", f"{row['service_us']:.0f}",
            f"{row['database_us']:.0f}", str(row["statements"]), f"{row['pgbench_64']:,.0f}", f"{row['pgbench_64_us']:.0f}",
            f"{row['pgbench_16']:,.0f}", f"{row['pgbench_16_us']:.0f}", f"{row['ratio_64']:.2f}", f"{row['ratio_16']:.2f}"]) + " |")
        if "alone_64" in row:
            lines.append(f"| {row['size']} | … against its first statement alone | | | | | | 1 | {row['alone_64']:,.0f} | | | | {row['ratio_alone']:.2f} | |")
    for size, measured in results["sizes"].items():
        runs = measured["sign_in"]
        lines.append(f"| {size} | sign-in, 16 connections | {middle(runs, 'rate'):,.0f} | {middle(runs, 'p50_ms'):.0f} | {middle(runs, 'p99_ms'):.0f} | "
                     f"{middle(runs, 'service_us'):,.0f} | {middle(runs, 'database_us'):,.0f} | | | | | | | |")
    for size, measured in results["sizes"].items():
        lines.append(f"\n{size}: {measured['organizations']:,} organizations; resident memory {measured['memory_mb']:.0f} MB, "
                     f"at most {measured['most_memory_mb']:.0f} MB, before any sign-in load")
    return "\n".join(lines)


def checks(results):
    """[(what was promised, figure, limit, whether it holds)]"""
    found = []
    flat = {(row["size"], row["name"]): row for row in rows(results)}

    def at_least(what, figure, limit):
        found.append((what, figure, f"≥ {limit}", figure >= limit))

    def at_most(what, figure, limit):
        found.append((what, figure, f"≤ {limit}", figure <= limit))

    for (size, name), row in flat.items():
        if name == "one organization":
            at_least(f"{size}: {name}, share of pgbench with 64 clients", row["ratio_64"], 0.8)
            if "alone_64" in row:
                at_least(f"{size}: {name}, share of pgbench reading the row alone", row["ratio_alone"], 0.8)
        elif name.startswith("page of a "):
            at_least(f"{size}: {name}, share of pgbench with 64 clients", row["ratio_64"], 0.6)
            first = flat.get((size, name.split(",")[0] + ", first"))
            if first and row is not first:
                at_most(f"{size}: {name}, times slower than the first", first["rate"] / row["rate"], 1.3)
        if row["prepared_again"] and not name.startswith(("search", "directory")):
            at_most(f"{size}: {name}, statements prepared again", row["prepared_again"], 0)
        other = flat.get(("small", name))
        if size == "large" and other and not name.startswith(("search", "directory")):
            at_most(f"large: {name}, times slower than small", other["rate"] / row["rate"], 1.3)
            cpu = lambda one: one["service_us"] + one["database_us"]
            at_most(f"large: {name}, times the CPU of small", cpu(row) / cpu(other), 1.3)
    for size, measured in results["sizes"].items():
        at_most(f"{size}: resident memory in MB", measured["memory_mb"], 80)
    return found


def verdicts(found):
    return "\n" + "\n".join(f"{'holds' if holds else 'MISSED':6} {what}: {figure:.2f} ({limit})" for what, figure, limit, holds in found)
