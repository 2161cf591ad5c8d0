"""What is measured: requests, who makes them, and how often the database is asked for each."""

import json
import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import large
from compare import PREFIX, Pgbench, statements_of

HERE = Path(__file__).parent
CITY = "430600000000"
PAGE = 20
# Words of one to four characters: in every name, in many, in few.
WORDS = ["妇联", "社区", "湖", "洞庭", "岳阳楼", "洞庭社区"]


@dataclass
class Scenario:
    """Requests of one kind."""
    name: str
    path: str = ""
    ranges: list = field(default_factory=list)  # [(first, last, place)] instead of one path
    body: str = ""
    connections: int = 64
    statements: list = field(default_factory=list)
    pgbench: Pgbench = None
    alone: Pgbench = None  # only the first of several statements, the row itself


def small(service):
    """Yueyang, seen by the city's administrator."""
    ids = [int(row[0]) for row in service.psql(
        f"SELECT right(id::text, 12) FROM organizations WHERE id::text LIKE '{PREFIX}%' ORDER BY 1")]
    runs = []
    for number in ids:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [(first, last, int(CITY)) for first, last in runs], {CITY: "city-admin"}, CITY, []


def all_of_china(service):
    """Every division, each province seen by its own administrator; the pages are Hunan's and Yueyang's, as in the small size."""
    ranges = large.load(service)
    callers = {str(place): f"bench-{province}" for _, _, place, province in ranges}
    hunan = next(str(place) for _, _, place, province in ranges if province == "43")
    return [entry[:3] for entry in ranges], callers, hunan, [("province", hunan)]


SIZES = {"small": small, "large": all_of_china}


def subtrees(service):
    """The city, its largest county and the largest township of that."""
    largest = """SELECT right(o.id::text, 12) FROM organizations o JOIN organization_tree above ON above.descendant_id = o.id AND above.to_on IS NULL
        JOIN organization_tree below ON below.ancestor_id = o.id AND below.to_on IS NULL
        WHERE above.ancestor_id = '{}' AND o.kind = '{}' GROUP BY o.id ORDER BY count(*) DESC, o.id LIMIT 1"""
    county = service.psql(largest.format(PREFIX + CITY, "county_federation"))[0][0]
    township = service.psql(largest.format(PREFIX + county, "township_federation"))[0][0]
    return [("city", CITY), ("county", county), ("township", township)]


class Plan:
    """The scenarios of a size, with tokens, cursors and the database's statements."""

    def __init__(self, service, size):
        self.service = service
        self.ranges, self.callers, self.place, self.provinces = SIZES[size](service)
        self.scenarios = []

    def prepare(self):
        """Signs in, walks to the pages, samples the statements."""
        service, folder = self.service, self.service.folder
        password = service.sign_ins["city-admin"]
        self.tokens = {place: service.sign_in(name, password) for place, name in self.callers.items()}
        # A new process: what signing in took is not what serving takes.
        service.stop()
        service.start()
        scenarios = [Scenario("one organization", ranges=self.ranges)]
        for name, number in subtrees(service) + self.provinces:
            path = f"/api/v1/organizations?within={PREFIX}{number}&limit={PAGE}"
            size = int(service.psql(f"SELECT count(*) FROM organization_tree WHERE ancestor_id = '{PREFIX}{number}' AND to_on IS NULL")[0][0])
            scenarios.append(Scenario(f"page of a {name}, first", path))
            if number == self.place and self.provinces:
                scenarios.append(Scenario(f"page of a {name}, 500th", path + self.cursor(path, 499 * PAGE)))
            else:
                scenarios.append(Scenario(f"page of a {name}, last", path + self.cursor(path, size - PAGE)))
        township = subtrees(service)[2][1]
        scenarios.append(Scenario("search 妇联 in a township", f"/api/v1/organizations?within={PREFIX}{township}&limit={PAGE}&q={quote('妇联')}"))
        for word in WORDS:
            scenarios.append(Scenario(f"search {word} in all", f"/api/v1/organizations?limit={PAGE}&q={quote(word)}"))
        for word in ("湖", "洞庭"):
            scenarios.append(Scenario(f"directory {word}", f"/api/v1/directory?limit={PAGE}&q={quote(word)}"))
        for index, scenario in enumerate(scenarios):
            sampled = None
            if scenario.ranges:
                _, last, place = scenario.ranges[-1]
                sampled = {"id": str(last), "place": str(place)}
            scenario.statements, prepared = statements_of(service, lambda: self.get(scenario, sampled))
            scenario.prepared = prepared
            scenario.pgbench = Pgbench(service, folder, str(index), scenario.statements, scenario.ranges, sampled)
            if len(scenario.statements) > 1:
                scenario.alone = Pgbench(service, folder, f"{index}-alone", scenario.statements[:1], scenario.ranges, sampled)
            self.write_plan(scenario, index)
        signing_in = Scenario("sign-in", "/api/v1/auth/login", connections=16,
                              body=json.dumps({"username": "city-viewer", "password": service.sign_ins["city-viewer"]}))
        self.write_plan(signing_in, len(scenarios))
        self.scenarios, self.signing_in = scenarios, signing_in

    def get(self, scenario, sampled=None):
        place = sampled["place"] if sampled else self.place
        path = f"/api/v1/organizations/{PREFIX}{sampled['id']}" if sampled else scenario.path
        status, reply = self.service.ask("GET", path, self.tokens[place])
        if status != 200:
            raise SystemExit(f"GET {path}: {status} {reply}")
        return reply

    def cursor(self, path, skipped):
        """The cursor of the page after so many items."""
        cursor = ""
        while skipped > 0:
            step = min(skipped, 100)
            reply = self.get(Scenario("", path.replace(f"limit={PAGE}", f"limit={step}") + cursor))
            if len(reply["items"]) != step or not reply["has_more"]:
                raise SystemExit(f"{path}: the list ended early")
            cursor = f"&cursor={reply['next_cursor']}"
            skipped -= step
        return cursor

    def write_plan(self, scenario, index):
        """What requests.lua reads."""
        places = list(self.tokens)
        host = f" HTTP/1.1\r\nHost: 127.0.0.1:{self.service.port}\r\n"
        if scenario.body:
            tails = [host + "Content-Type: application/json\r\n"]
        else:
            tails = [f"{host}Authorization: Bearer {self.tokens[place]}\r\n" for place in (places if scenario.ranges else [self.place])]
        lines = ["return {", f"head = {lua('POST ' if scenario.body else 'GET ')},", f"tails = {{{', '.join(map(lua, tails))}}},"]
        if scenario.ranges:
            lines.append(f"prefix = {lua('/api/v1/organizations/' + PREFIX)}, ranges = {{")
            lines += [f"{{{first}, {last}, {places.index(str(place)) + 1}}}," for first, last, place in scenario.ranges]
            lines.append("},")
        else:
            lines.append(f"path = {lua(scenario.path)},")
        if scenario.body:
            lines.append(f"body = {lua(scenario.body)},")
        scenario.plan = self.service.folder / f"plan-{index}.lua"
        scenario.plan.write_text("\n".join(lines) + "\n}\n")

    def measure(self, scenario, seconds):
        """One run of wrk: rate, latencies, CPU per request, and whether the database was asked for every request."""
        self.service.psql("SELECT pg_stat_statements_reset()")
        before = self.service.cpu()
        done = subprocess.run(["wrk", "-t", "2", "-c", str(scenario.connections), "-d", f"{seconds}s", "-s", str(HERE / "requests.lua"),
                               f"http://127.0.0.1:{self.service.port}", "--", str(scenario.plan)], capture_output=True, text=True)
        after = self.service.cpu()
        if "RESULT " not in done.stdout:
            raise SystemExit(f"wrk: {done.stdout}{done.stderr}")
        result = json.loads(done.stdout.rsplit("RESULT ", 1)[1])
        requests = max(result["requests"], 1)
        if result["refused"] or result["broken"]:
            raise SystemExit(f"{scenario.name}: {result}")
        result |= {"rate": requests / result["seconds"],
                   "service_us": (after[0] - before[0]) / requests, "database_us": (after[1] - before[1]) / requests}
        if scenario.statements:
            # Requests under way when wrk ended were answered and not counted.
            counted = Counter()
            for sql, calls in self.service.psql(r"SELECT regexp_replace(query, '\s+', ' ', 'g'), calls FROM pg_stat_statements"):
                counted[shape(sql)] += int(calls)
            for sql, times in Counter(shape(sql) for sql, _ in scenario.statements).items():
                if not requests * times <= counted[sql] <= (requests + scenario.connections) * times:
                    raise SystemExit(f"{scenario.name}: {requests} requests and {counted[sql]} calls of {sql}")
            result["calls"] = sum(counted[sql] for sql in {shape(sql) for sql, _ in scenario.statements})
        return result


def shape(sql):
    """A statement without its numbers: the database's figures put parameters in the place of constants."""
    return re.sub(r"\$?\b\d+\b", "?", " ".join(sql.split()))


def lua(text):
    """A text as Lua writes it."""
    return '"' + "".join(f"\\{byte:03d}" if byte < 32 or byte > 126 or byte in b'"\\' else chr(byte) for byte in text.encode()) + '"'
