"""Writes the sign-in file (Web Fuzzing Commons format) of one schemathesis run.

usage: sign_in.py BASE_URL SIGN_INS_JSON OWNER NEIGHBOUR OUTPUT

schemathesis signs in by itself with what is written here, again when a token has grown old or a test has
ended the session, so no run depends on a session that it may destroy. Prints four ids: of the owner's and the neighbour's
organizations, then of their accounts.
"""

import json
import os
import sys
from urllib.request import Request, urlopen


def entry(name, account):
    return {
        "name": name,
        "loginEndpointAuth": {
            "endpoint": "/api/v1/auth/login",
            "verb": "POST",
            "contentType": "application/json",
            "payloadUserPwd": {
                "username": account["username"],
                "password": account["password"],
                "usernameField": "username",
                "passwordField": "password",
            },
            "token": {
                "extractFrom": "body",
                "extractSelector": "/access_token",
                "sendIn": "header",
                "sendName": "Authorization",
                "sendTemplate": "Bearer {token}",
            },
        },
    }


def account_id(base_url, account):
    body = json.dumps({"username": account["username"], "password": account["password"]}).encode()
    request = Request(f"{base_url}/api/v1/auth/login", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as reply:
        return json.load(reply)["account"]["id"]


def main(base_url, sign_ins, owner, neighbour, output):
    with open(sign_ins, encoding="utf-8") as file:
        accounts = {account["username"]: account for account in json.load(file)}
    for name in (owner, neighbour):
        if name not in accounts:
            sys.exit(f"tools/roles.tsv names {name}, but the server has no such demo account")
    document = {"auth": [entry("owner", accounts[owner]), entry("neighbour", accounts[neighbour])]}
    with open(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(document, file)
    places = [accounts[name]["organization"]["id"] for name in (owner, neighbour)]
    print(*places, account_id(base_url, accounts[owner]), account_id(base_url, accounts[neighbour]))


main(*sys.argv[1:])
