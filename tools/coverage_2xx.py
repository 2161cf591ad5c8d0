"""Counts, over all runs together, how often each operation of the document answered 2xx. None may be zero.

usage: coverage_2xx.py OPENAPI_JSON COUNTS_JSON...            prints the table; fails if an operation has none
       coverage_2xx.py --played OPENAPI_JSON COUNTS_JSON...   only of the operations that were played by schemathesis
       coverage_2xx.py --missing OPENAPI_JSON COUNTS_JSON...  prints the operationIds that have none

The counts files are written by schemathesis_hooks.py; the name of each file is the name of its run.
"""

import json
import sys
from pathlib import Path

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def operations(document):
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method].get("operationId", f"{method.upper()} {path}")


def succeeded(counts):
    return sum(number for status, number in counts.items() if status.isdigit() and status.startswith("2"))


def main(arguments):
    option = arguments.pop(0) if arguments[0].startswith("--") else None
    document_path, *files = arguments
    with open(document_path, encoding="utf-8") as file:
        document = json.load(file)
    runs = {}
    for name in files:
        with open(name, encoding="utf-8") as file:
            runs[Path(name).stem] = json.load(file)

    rows = []
    for label, operation_id in operations(document):
        by_run = {run: counts.get(operation_id, {}) for run, counts in runs.items()}
        rows.append((operation_id, label, sum(map(succeeded, by_run.values())), by_run))
    missing = [row for row in rows if row[2] == 0]

    if option == "--missing":
        for operation_id, *_ in missing:
            print(operation_id)
        return 0

    width = max(len(row[0]) for row in rows)
    print(f"{'operation':{width}}  {'2xx':>6}  by run")
    for operation_id, _, total, by_run in rows:
        detail = "  ".join(f"{run} {succeeded(counts)}" for run, counts in by_run.items() if succeeded(counts))
        print(f"{operation_id:{width}}  {total:>6}  {detail}")
    print(f"{len(rows)} operations, {len(rows) - len(missing)} with a 2xx")
    for operation_id, label, _, by_run in missing:
        print(f"NO 2xx: {operation_id} ({label})")
        for run, counts in by_run.items():
            if counts:
                print(f"    {run}: " + ", ".join(f"{key} ×{number}" for key, number in sorted(counts.items())))
    return 1 if missing else 0


sys.exit(main(sys.argv[1:]))
