"""Plays, once and in order, the operations that need a secret: no generator can guess a password or a code.

usage: credential_flow.py BASE_URL SIGN_INS_JSON ACCOUNT

Requests are built from the document's own example bodies, with the secrets put in by the meaning of the
field's name; every reply is judged by schemathesis against the document, like any other. The account is
used up: its password is changed. Steps that the document does not have are skipped and named.
"""

import base64
import hashlib
import hmac
import json
import secrets
import struct
import sys
import time

import schemathesis
import schemathesis_hooks  # noqa: F401  fills the computed headers and counts the replies


class Flow:
    def __init__(self, base_url, username, password):
        self.schema = schemathesis.openapi.from_url(f"{base_url}/api-docs/openapi.json")
        self.schema.config.update(base_url=base_url)
        self.username, self.password = username, password
        self.token = self.refresh_token = self.totp_secret = None
        self.new_password = f"Half-the-sky-{secrets.token_urlsafe(12)}"
        self.totp_step = 0
        self.skipped = []

    def secret_for(self, name):
        """The value of a secret field, by its name; None for fields that are not secrets."""
        if name.startswith("new_") and "password" in name:
            return self.new_password
        if "password" in name:
            return self.password
        if name == "username":
            return self.username
        if name == "refresh_token":
            return self.refresh_token
        if name in ("code", "totp_code") and self.totp_secret:
            return self.totp()
        return None

    def totp(self):
        """RFC 6238; never the same step twice, which the server refuses as a replay."""
        self.totp_step = max(int(time.time()) // 30, self.totp_step + 1)
        digest = hmac.new(self.totp_secret, struct.pack(">Q", self.totp_step), hashlib.sha1).digest()
        at = digest[-1] & 15
        return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"

    def example_body(self, operation):
        content = operation.definition.raw.get("requestBody")
        if content is None:
            return None
        raw = self.schema.raw_schema
        while "$ref" in content:
            content = resolve(raw, content["$ref"])
        media = content["content"].get("application/json")
        if media is None:
            return None
        example = next(iter(media.get("examples", {}).values()), {}) if "example" not in media else {"value": media["example"]}
        while "$ref" in example:
            example = resolve(raw, example["$ref"])
        body = dict(example.get("value", {}))
        target = media.get("schema", {})
        while "$ref" in target:
            target = resolve(raw, target["$ref"])
        for name in target.get("properties", {}):
            value = self.secret_for(name)
            if value is not None:
                body[name] = value
            elif name in ("code", "totp_code") and name not in target.get("required", []):
                body.pop(name, None)  # an optional code that we do not have
        return body

    def step(self, method, path, signed_in=True, **path_parameters):
        try:
            operation = self.schema[path][method]
        except LookupError:
            self.skipped.append(f"{method} {path}")
            return None
        body = self.example_body(operation)
        case = operation.Case(
            path_parameters=path_parameters or None,
            headers={"Authorization": f"Bearer {self.token}"} if signed_in else {},
            **({"body": body, "media_type": "application/json"} if body is not None else {}),
        )
        response = case.call_and_validate()
        if not 200 <= response.status_code < 300:
            sys.exit(f"credential flow: {method} {path} answered {response.status_code}: {response.text[:400]}")
        reply = json.loads(response.text) if response.content else {}
        self.token = reply.get("access_token", self.token)
        self.refresh_token = reply.get("refresh_token", self.refresh_token)
        return reply

    def run(self):
        base = "/api/v1"
        self.step("POST", f"{base}/auth/login", signed_in=False)
        self.step("POST", f"{base}/auth/refresh", signed_in=False)
        self.step("POST", f"{base}/auth/step-up")
        if (reply := self.step("POST", f"{base}/me/totp")) is not None:
            encoded = reply["secret"].upper()
            self.totp_secret = base64.b32decode(encoded + "=" * (-len(encoded) % 8))
            self.step("POST", f"{base}/me/totp/confirm")
            self.step("POST", f"{base}/auth/step-up")
            self.step("DELETE", f"{base}/me/totp")
            self.totp_secret = None
        # A second session to end, so that this one lives on.
        first = self.token, self.refresh_token
        self.step("POST", f"{base}/auth/login", signed_in=False)
        self.token, self.refresh_token = first
        if (reply := self.step("GET", f"{base}/auth/sessions")) is not None:
            other = next(item for item in reply["items"] if not item.get("current"))
            template = next((p for p in self.schema.raw_schema["paths"] if p.startswith(f"{base}/auth/sessions/{{")), f"{base}/auth/sessions/{{id}}")
            self.step("DELETE", template, **{template.split("{")[1].rstrip("}"): other["id"]})
        if self.step("PUT", f"{base}/me/password") is not None:
            self.password = self.new_password
            self.step("POST", f"{base}/auth/login", signed_in=False)
        self.step("POST", f"{base}/auth/logout")
        for name in self.skipped:
            print(f"credential flow: the document has no {name}")


def resolve(document, reference):
    for part in reference.removeprefix("#/").split("/"):
        document = document[part.replace("~1", "/").replace("~0", "~")]
    return document


def main(base_url, sign_ins, username):
    with open(sign_ins, encoding="utf-8") as file:
        password = next(account["password"] for account in json.load(file) if account["username"] == username)
    Flow(base_url, username, password).run()


main(*sys.argv[1:])
