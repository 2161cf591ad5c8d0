"""The program on its private PostgreSQL, in a folder of its own that goes with it; what /proc tells of both."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

TICK = 1e6 / os.sysconf("SC_CLK_TCK")
DATABASE = "half_sky"
LOGIN = "half_sky_login"


class Service:
    """A service that was started for the benchmark. Use it in a `with` statement: nothing outlives that."""

    def __init__(self, binary, settings):
        self.binary, self.settings = binary, settings
        self.process = None

    def __enter__(self):
        # The database runs as a user of its own, who must be able to walk in here.
        self.folder = Path(tempfile.mkdtemp(prefix="half-sky-bench."))
        self.folder.chmod(0o711)
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder)

    def start(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HALF_SKY_", "DATABASE_", "PG"))}
        environment |= {"HALF_SKY_HTTP": f"127.0.0.1:{self.port}", "HALF_SKY_DATA": str(self.folder / "data"),
                        # Tokens outlive the run; the limiter stays on the path with numbers that are out of reach.
                        "HALF_SKY_PUBLIC_URL": "http://bench.localhost",
                        "HALF_SKY_ACCESS_TOKEN_MINUTES": "120", "HALF_SKY_RATE_LIMIT_SCALE": "100000"} | self.settings
        self.output = self.folder / "output"
        with open(self.output, "w") as out, open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen([self.binary], env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=log)
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit("the service ended before it was ready:\n" + (self.folder / "log").read_text()[-4000:])
            try:
                if self.ask("GET", "/health/ready")[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.2)
        else:
            raise SystemExit("the service did not become ready")
        postgres = Path(re.search(r"PostgreSQL +(/.*)", self.output.read_text()).group(1))
        self.server_log = postgres / "server.log"
        lines = (postgres / "data" / "postmaster.pid").read_text().splitlines()
        self.postmaster, self.socket_dir = int(lines[0]), lines[4]
        self.sign_ins = {one["username"]: one["password"] for one in json.loads((self.folder / "data/sign-ins.json").read_text())}

    def stop(self):
        """Asks it to end and waits; its database ends with it."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def ask(self, method, path, token=None, body=None):
        """One request: status and JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, json.loads(content) if content else None

    def sign_in(self, username, password):
        status, reply = self.ask("POST", "/api/v1/auth/login", body={"username": username, "password": password})
        if status != 200:
            raise SystemExit(f"{username} cannot sign in: {status} {reply}")
        return reply["access_token"]

    def psql(self, sql=None, file=None, variables=(), user="postgres"):
        """Runs SQL; returns the rows as lists of texts."""
        command = ["psql", "-h", self.socket_dir, "-U", user, "-d", DATABASE, "-X", "-q", "-A", "-t", "-F", "\t",
                   "-v", "ON_ERROR_STOP=1", *(f"-v{name}={value}" for name, value in variables)]
        command += ["-f", str(file)] if file else ["-f", "-"]
        done = subprocess.run(command, input=sql, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"psql: {done.stderr}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def cpu(self):
        """Microseconds of CPU so far: of the service, of the database with all its processes, living and gone."""
        database = sum(stat(self.postmaster)[1:3])
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    parent, own, _ = stat(int(entry))
                except (OSError, IndexError):
                    continue
                database += own if parent == self.postmaster else 0
        return stat(self.process.pid)[1] * TICK, database * TICK

    def memory(self):
        """Megabytes that the service holds now, and the most it ever held since its start."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return tuple(int(re.search(rf"{name}:\s+(\d+)", status).group(1)) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))


def stat(pid):
    """Parent, ticks of its own, ticks of its ended children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
