"""The client of tools/long/import-50000.

usage: import_50000.py BASE_URL SIGN_INS_JSON SERVER_PID ROWS MEGABYTES FOLDER
"""

import datetime
import itertools
import json
import pathlib
import sys
import threading
import time
import uuid
import zipfile
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from xml.sax.saxutils import escape

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
LARGEST = 10 << 20  # bytes of an upload
PATIENCE = 1800  # seconds for one step, also of a debug build

SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林郑谢罗梁宋唐许韩冯邓曹彭曾肖田董袁潘蒋蔡余"
GIVEN = "兰芳梅英玉霞红艳静丽敏娟秀珍琴云萍雪莲桂香月春凤洁琳晶莹佳慧颖婷雅欣怡瑶思雨晨曦蕾"


def workbook(path, header, rows):
    """A workbook of one sheet with texts only, row by row, so that this program needs no memory either."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{PACKAGE}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{XLSX}.main+xml"/>'
            '<Override PartName="/xl/worksheets/sheet1.xml" '
            'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
        )
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships">'
            f'<Relationship Id="r1" Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}">'
            '<sheets><sheet name="数据" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships">'
            f'<Relationship Id="r1" Type="{RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        )
        with book.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            sheet.write(f'<worksheet xmlns="{MAIN}"><sheetData>'.encode())
            for number, row in enumerate(itertools.chain([header], rows), 1):
                cells = "".join(
                    f'<c r="{chr(65 + column)}{number}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
                    for column, value in enumerate(row)
                    if value
                )
                sheet.write(f'<row r="{number}">{cells}</row>'.encode())
            sheet.write(b"</sheetData></worksheet>")


def identity_number(number):
    """Valid by GB 11643, of a region that is not in use; the sequence is even, as women's are, and not one of the demo's."""
    day = datetime.date(1960, 1, 1) + datetime.timedelta(days=number % 14000)
    first = f"430699{day:%Y%m%d}{500 + number // 14000 * 2}"
    total = sum(int(digit) * (2 ** (17 - place) % 11) for place, digit in enumerate(first))
    return first + "10X98765432"[total % 11]


def people(count, codes):
    """Half of them with an identity number, all with a telephone; names repeat, as they do."""
    for number in range(count):
        rest, surname = divmod(number, len(SURNAMES))
        name = SURNAMES[surname] + GIVEN[rest % len(GIVEN)] + GIVEN[rest // len(GIVEN) % len(GIVEN)]
        known = identity_number(number) if number % 2 else ""
        sex, year = ("", "") if known else ("女", str(1960 + number % 40))
        yield [name, codes[number % len(codes)], sex, year, f"139{number:08}", known, "网格员、调解员"]


def villages(count, codes):
    for number in range(count):
        yield ["村社区妇联", f"第{number}新村妇联", codes[number % len(codes)], f"新村路{number}号"]


class Api:
    def __init__(self, base_url, account):
        self.base, self.token = f"{base_url}/api/v1", None
        body = {"username": account["username"], "password": account["password"]}
        self.token = self.ask("POST", "/auth/login", body)[0]["access_token"]

    def ask(self, method, path, body=None, etag=None, content=None, media_type="application/json"):
        headers = {"Content-Type": media_type, "Idempotency-Key": str(uuid.uuid4())}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if etag:
            headers["If-Match"] = etag
        data = content if content is not None else None if body is None else json.dumps(body).encode()
        try:
            with urlopen(Request(self.base + path, data, headers, method=method), timeout=120) as reply:
                return json.load(reply), reply.headers.get("ETag")
        except HTTPError as error:
            sys.exit(f"{method} {path}: {error.code} {error.read().decode()}")

    def upload(self, path):
        content, line = path.read_bytes(), uuid.uuid4().hex
        if len(content) > LARGEST:
            sys.exit(f"{path.name} has {len(content)} bytes, more than an upload may have")
        parts = (
            f'--{line}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nimport\r\n'
            f'--{line}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\nContent-Type: {XLSX}\r\n\r\n'
        )
        body = parts.encode() + content + f"\r\n--{line}--\r\n".encode()
        return self.ask("POST", "/files", content=body, media_type=f"multipart/form-data; boundary={line}")[0]["id"]


class Memory(threading.Thread):
    """Resident memory of a process in kB: the most since it was last asked."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.status, self.most = pathlib.Path(f"/proc/{pid}/status"), 0
        self.start()

    def now(self):
        return next(int(line.split()[1]) for line in self.status.read_text().splitlines() if line.startswith("VmRSS:"))

    def run(self):
        while self.status.exists():
            self.most = max(self.most, self.now())
            time.sleep(0.05)

    def peak(self):
        most, self.most = max(self.most, self.now()), 0
        return most


def wait(api, path, until):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        state, etag = api.ask("GET", path)
        if state["status"] == until:
            return state, etag
        if state["status"] not in ("validating", "applying"):
            sys.exit(f"{state['status']} ({state['failure']}), not {until}: {json.dumps(state['errors'][:3], ensure_ascii=False)}")
        time.sleep(0.1)
    sys.exit(f"not {until} within {PATIENCE} s: {state['progress']}")


def main(base_url, sign_ins, pid, rows, megabytes, folder):
    rows, bound, folder = int(rows), int(megabytes), pathlib.Path(folder)
    with open(sign_ins, encoding="utf-8") as file:
        account = next(one for one in json.load(file) if one["username"] == "city-admin")
    api, place = Api(base_url, account), account["organization"]["id"]
    codes, cursor = [], ""
    while cursor is not None:
        page = api.ask("GET", f"/organizations?kind=township_federation&status=active&limit=100{cursor}")[0]
        codes += [item["division_code"] for item in page["items"] if item["division_code"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    memory = Memory(pid)
    before, worst, wrong = memory.now(), 0, []
    print(f"{rows} rows each, below {len(codes)} townships; the service has {before / 1024:.0f} MB")
    print(f"{'':14}  {'step':16}  seconds  grown by")

    def told(kind, step, since):
        nonlocal worst
        grown = (memory.peak() - before) / 1024
        worst = max(worst, grown)
        print(f"{kind:14}  {step:16}  {time.monotonic() - since:7.1f}  {grown:5.0f} MB", flush=True)

    def counted(kind, step, state, new, unchanged):
        expected = {"rows": rows, "new": new, "changed": 0, "unchanged": unchanged, "errors": 0}
        if state["counts"] != expected:
            wrong.append(f"{kind}, {step}: {state['counts']}, not {expected}")

    for kind, header, made in [
        ("people", ["姓名", "组织代码", "性别", "出生年份", "电话", "身份证号", "标签"], people(rows, codes)),
        ("organizations", ["类别", "名称", "上级代码", "地址"], villages(rows, codes)),
    ]:
        path = folder / f"{kind}.xlsx"
        workbook(path, header, made)
        memory.peak()
        since = time.monotonic()
        body = {"file_id": api.upload(path), "kind": kind, "organization_id": place, "mode": "validate"}
        told(kind, f"upload, {path.stat().st_size / 1e6:.1f} MB", since)
        since = time.monotonic()
        imported = f"/imports/{api.ask('POST', '/imports', body)[0]['id']}"
        state, etag = wait(api, imported, "validated")
        told(kind, "validate", since)
        counted(kind, "validate", state, rows, 0)
        since = time.monotonic()
        api.ask("POST", f"{imported}/apply", {}, etag)
        state, _ = wait(api, imported, "applied")
        told(kind, "apply", since)
        counted(kind, "apply", state, rows, 0)
        since = time.monotonic()
        again = api.ask("POST", "/imports", {**body, "file_id": api.upload(path)})[0]
        state, _ = wait(api, f"/imports/{again['id']}", "validated")
        told(kind, "validate again", since)
        counted(kind, "validate again", state, 0, rows)
    print(f"grown by {worst:.0f} MB at most, {bound} allowed")
    if worst > bound:
        wrong.append("the service takes too much memory")
    if wrong:
        sys.exit("\n".join(wrong))


main(*sys.argv[1:])
