"""What schemathesis is told on the way: what any client of this API knows, and a count of every reply.

Two headers are filled exactly as our Swagger UI fills them, and only where the case does not put the
header itself to the test: a fresh Idempotency-Key per request, and in If-Match the last ETag seen for the
object. Without this nearly every write would end at 412 and the rules behind it would never be judged.

A cursor is only ever one that the API gave, sent with the query it belongs to: no schema can tell a genuine
cursor from a forged one, and a forged one is rightly refused. Invalid requests keep their forged ones.

No request pulls the ground from under the others. All come from another network (X-Forwarded-For) than the sign-ins of this
run, because wrong passwords hold back the network that they come from. Requests that end a session end one opened for them.
Requests that end an account, give it grants or take them never mean the two accounts of this run ($JUDGE_ACCOUNTS): the
document's example takes their place.

Nothing is moved into the neighbour's organization ($JUDGE_BESIDE), nor is it restructured: what she is given she may rightly
see, and the tool, which knows no subtrees, would call it a leak.

In the document that schemathesis reads, the {id} of a list inside an object bears the name of that object, {task_id} in
/tasks/{id}/indicators: by one name for all it takes the id of an indicator for the id of a task, and concludes that a list
which it asked for wrongly hides the indicator from the neighbour. And If-Match has a format of its own there, because its
quotation marks are otherwise more than the tool dares to write into a header: it would leave out every valid request to an
operation that needs it, and with each invalid body send an invalid If-Match, which is what would be refused.

In every second valid request the organization named in the body is the caller's own ($JUDGE_HOME), because
the document's examples name the city, where a county officer may write nothing.

At exit the counts are written to $JUDGE_COUNTS, one JSON object, for coverage_2xx.py.
"""

import ast
import atexit
import json
import os
import re
import threading
import uuid
from base64 import urlsafe_b64decode
from collections import Counter, defaultdict
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation

_lock = threading.Lock()
_parse_lock = threading.Lock()
_parse = ast.parse


def _parse_alone(*arguments, **options):
    """CPython before 3.11.8 and 3.12.2 fails with "AST constructor recursion depth mismatch" when two threads parse at once
    (gh-106905); hypothesis parses in both of our workers."""
    with _parse_lock:
        return _parse(*arguments, **options)


ast.parse = _parse_alone

_etags: dict[str, str] = {}  # object path -> last ETag
_pages: dict[str, dict] = {}  # list path -> the query of its next page
_calls: Counter = Counter()  # operation -> requests so far
_home = os.environ.get("JUDGE_HOME")
_own_accounts = set(os.environ.get("JUDGE_ACCOUNTS", "").split())
_beside = os.environ.get("JUDGE_BESIDE")
_CHANGE_ACCOUNTS = ("disable_account", "reset_account_password", "create_grant", "revoke_grant")
_RESTRUCTURE = ("move_organization", "merge_organization", "split_organization", "dissolve_organization", "reactivate_organization")
_network = {"X-Forwarded-For": "192.0.2.1"}  # TEST-NET-1
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
    return next(("/".join(parts[:end]) for end in range(len(parts), 0, -1) if _is_uuid(parts[end - 1])), path)


def _is_uuid(text):
    try:
        uuid.UUID(text)
    except (TypeError, ValueError, AttributeError):
        return False
    return True


def _names_organization(field):
    return field in ("organization_id", "parent_id") or field.endswith("_organization_id")


schemathesis.openapi.format("etag", st.from_regex(r'"[0-9]{1,9}(\.[A-Za-z0-9_-]{1,20})?"', fullmatch=True))


@schemathesis.hook
def before_load_schema(context, raw_schema):
    def name(found):
        collection = found[1]
        return f"/{collection}/{{{_singular(collection)}_id}}/"

    paths = {}
    for path, item in raw_schema["paths"].items():
        named = re.sub(r"/([a-z-]+)/\{id\}/", name, path) if "get" in item else path
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path" and parameter["name"] == "id" and named != path:
                    parameter["name"] = named.split("{")[1].split("}")[0]
                elif parameter["name"] == "If-Match":
                    parameter["schema"]["format"] = "etag"
        paths[named] = item
    raw_schema["paths"] = paths


def _singular(collection):
    word = collection.replace("-", "_")
    return "person" if word == "people" else word[:-1]


def _operation_id(case):
    return case.operation.definition.raw["operationId"]


def _away_from_neighbour(value):
    """`value` with the caller's own organization wherever it names the neighbour's."""
    if isinstance(value, dict):
        return {name: _away_from_neighbour(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_away_from_neighbour(part) for part in value]
    return _home if value == _beside and value is not None else value


def _open_session(case):
    """A new session of the owner: its token and its id. None in the credential flow, which keeps its own."""
    if "JUDGE_WFC" not in os.environ:
        return None
    with open(os.environ["JUDGE_WFC"], encoding="utf-8") as file:
        login = json.load(file)["auth"][0]["loginEndpointAuth"]
    fields = login["payloadUserPwd"]
    body = {fields["usernameField"]: fields["username"], fields["passwordField"]: fields["password"]}
    address = case.operation.schema.get_base_url().rstrip("/") + login["endpoint"]
    with urlopen(Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"}), timeout=30) as reply:
        token = json.load(reply)["access_token"]
    claims = token.split(".")[1]
    return token, json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sid"]


def _spare_this_run(case):
    operation, own = _operation_id(case), (case.path_parameters or {})
    if operation in _CHANGE_ACCOUNTS + _RESTRUCTURE:
        name = next(parameter.name for parameter in case.operation.path_parameters if parameter.name != "grant_id")
        if own.get(name) in _own_accounts | {_beside}:
            example = next(parameter for parameter in case.operation.path_parameters if parameter.name == name).definition["example"]
            case.path_parameters = {**own, name: example}
    signed_in = str(case.headers.get("Authorization", "")).startswith("Bearer ey")
    if operation not in ("logout", "end_session") or not signed_in:
        return
    if case.method.upper() != case.operation.method.upper() or (session := _open_session(case)) is None:
        return
    token, session_id = session
    if operation == "logout":
        case.headers["Authorization"] = f"Bearer {token}"
    elif _is_uuid(own.get("id")):
        case.path_parameters = {**own, "id": session_id}


@schemathesis.hook
def before_call(context, case, kwargs):
    case.headers.update(_network)
    _spare_this_run(case)
    valid = case.meta is not None and case.meta.generation.mode.is_positive
    if valid and "cursor" in (case.query or {}):
        with _lock:
            page = _pages.get(case.formatted_path)
        case.query = dict(page) if page else {name: value for name, value in case.query.items() if name != "cursor"}
    # The body of a form is left alone: once it is set again, the tool holds its bytes against the schema of a text, and calls it invalid.
    form = case.media_type == "multipart/form-data"
    if _home and valid and isinstance(case.body, dict) and not form:
        with _lock:
            _calls[_operation_id(case)] += 1
            own = _calls[_operation_id(case)] % 2 == 0
        if own:
            case.body = {name: _home if _names_organization(name) and value is not None else value for name, value in case.body.items()}
    if _beside and not form:
        case.body = _away_from_neighbour(case.body)
    if valid and isinstance(case.body, dict) and case.formatted_path.endswith("/batch"):
        case.body = {**case.body, "items": [_current_version(case, item) for item in case.body.get("items", [])]}
    declared = {parameter.name.lower(): parameter.name for parameter in case.operation.headers}
    if "idempotency-key" in declared and not _tests_header(case, "Idempotency-Key"):
        case.headers[declared["idempotency-key"]] = str(uuid.uuid4())
    if "if-match" in declared and not _tests_header(case, "If-Match"):
        etag = _current_etag(case)
        if etag is not None:
            case.headers[declared["if-match"]] = etag


def _current_version(case, item):
    """An item of a batch, with the version last seen of the object that it names."""
    with _lock:
        etag = _etags.get(f"{case.formatted_path.removesuffix('/batch')}/{item.get('id')}")
    return {**item, "version": int(etag.strip('"').split(".")[0])} if etag and "version" in item else item


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
            counts = _counts[_operation_id(case)]
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
            json.dump({operation: dict(counts) for operation, counts in sorted(_counts.items())}, file, ensure_ascii=False, indent=1)
