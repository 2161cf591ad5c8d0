"""What schemathesis is told on the way: what any client of this API knows, and a count of every reply.

Two headers are filled exactly as our Swagger UI fills them, and only where the case does not put the
header itself to the test: a fresh Idempotency-Key per request, and in If-Match the last ETag seen for the
object. Without this nearly every write would end at 412 and the rules behind it would never be judged.

A cursor is only ever one that the API gave, sent with the query it belongs to: no schema can tell a genuine
cursor from a forged one, and a forged one is rightly refused. Invalid requests keep their forged ones.

In every second valid request the organization named in the body is the caller's own ($JUDGE_HOME), because
the document's examples name the city, where a county officer may write nothing.

At exit the counts are written to $JUDGE_COUNTS, one JSON object, for coverage_2xx.py.
"""

import atexit
import json
import os
import threading
import uuid
from collections import Counter, defaultdict
from urllib.parse import parse_qs, urlsplit

import schemathesis
from schemathesis.core.parameters import ParameterLocation

_lock = threading.Lock()
_etags: dict[str, str] = {}  # object path -> last ETag
_pages: dict[str, dict] = {}  # list path -> the query of its next page
_calls: Counter = Counter()  # operation -> requests so far
_home = os.environ.get("JUDGE_HOME")
_counts: dict[str, Counter] = defaultdict(Counter)  # operation -> status or problem code -> replies


def _tests_header(case, name):
    """Whether this very case is about a wrong or missing header `name`."""
    meta = case.meta
    if meta is None:
        return False
    if meta.is_negative_at(ParameterLocation.HEADER):
        return True
    data = meta.phase.data
    return (getattr(data, "parameter", None) or "").lower() == name.lower()


def _object_path(path):
    """The path of the object that a request is about: up to and with the last segment that is an id."""
    parts = path.split("/")
    for end in range(len(parts), 0, -1):
        try:
            uuid.UUID(parts[end - 1])
        except ValueError:
            continue
        return "/".join(parts[:end])
    return path


def _names_organization(field):
    return field in ("organization_id", "parent_id") or field.endswith("_organization_id")


@schemathesis.hook
def before_call(context, case, kwargs):
    valid = case.meta is not None and case.meta.generation.mode.is_positive
    if valid and "cursor" in (case.query or {}):
        with _lock:
            page = _pages.get(case.formatted_path)
        case.query = dict(page) if page else {name: value for name, value in case.query.items() if name != "cursor"}
    if _home and valid and isinstance(case.body, dict):
        with _lock:
            _calls[case.operation.label] += 1
            own = _calls[case.operation.label] % 2 == 0
        if own:
            case.body = {name: _home if _names_organization(name) and value is not None else value for name, value in case.body.items()}
    declared = {parameter.name.lower(): parameter.name for parameter in case.operation.headers}
    if "idempotency-key" in declared and not _tests_header(case, "Idempotency-Key"):
        case.headers[declared["idempotency-key"]] = str(uuid.uuid4())
    if "if-match" in declared and not _tests_header(case, "If-Match"):
        etag = _current_etag(case)
        if etag is not None:
            case.headers[declared["if-match"]] = etag


def _current_etag(case):
    try:
        path = _object_path(case.formatted_path)
    except Exception:  # a path parameter left out on purpose
        return None
    with _lock:
        return _etags.get(path) or _etags.get(path.lower())


@schemathesis.hook
def after_call(context, case, response):
    method = response.request.method
    path = response.request.path_url.split("?")[0]
    status = response.status_code
    body = None
    if status >= 200 and "json" in ",".join(response.headers.get("content-type", [])):
        try:
            body = response.json()
        except ValueError:
            body = None
    with _lock:
        # Only requests by the operation's own method: probes of undeclared methods are not the operation.
        if method == case.operation.method.upper():
            counts = _counts[case.operation.label]
            counts[str(status)] += 1
            if status >= 400 and isinstance(body, dict) and isinstance(body.get("code"), str):
                counts[f"{status} {body['code']}"] += 1
        if status < 300:
            _remember(method, path, response, body)
            if isinstance(body, dict) and isinstance(body.get("next_cursor"), str):
                query = parse_qs(urlsplit(response.request.url).query)
                _pages[path] = {name: ",".join(values) for name, values in query.items()} | {"cursor": body["next_cursor"]}


def _remember(method, path, response, body):
    if method == "DELETE":
        _etags.pop(path, None)
        return
    etag = (response.headers.get("etag") or [None])[0]
    location = (response.headers.get("location") or [None])[0]
    if etag is not None:
        _etags[(location or _object_path(path)).split("?")[0]] = etag
    # Lists show versions too, so objects never read one by one have one as well.
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        for item in body["items"]:
            if isinstance(item, dict) and isinstance(item.get("id"), str) and isinstance(item.get("version"), int):
                _etags.setdefault(f"{path}/{item['id']}", f'"{item["version"]}"')


@atexit.register
def _write_counts():
    target = os.environ.get("JUDGE_COUNTS")
    if target:
        with open(target, "w", encoding="utf-8") as file:
            json.dump({label: dict(counts) for label, counts in sorted(_counts.items())}, file, ensure_ascii=False, indent=1)
