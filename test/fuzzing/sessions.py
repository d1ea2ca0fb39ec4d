"""Hooks of Schemathesis. They replace some generated values by ones that exist, so that requests reach more code."""

import json
import os
import zlib

import requests
import schemathesis

CONTROL = os.environ["CONTROL_URL"]
ROLE = os.environ["ROLE"]
BACKEND = os.environ["BACKEND"]


def fetch(path):
    return requests.get(f"{CONTROL}{path}", timeout=30).json()


def is_chosen(value):
    """Chooses half of the generated values, always the same ones."""
    return zlib.crc32(json.dumps(value, sort_keys=True, default=str).encode()) % 2 == 0


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Replaces values of valid bodies. Invalid bodies stay as they are, because they must be refused."""
    body, mode = case.body, case.meta.generation.mode
    if mode != schemathesis.GenerationMode.POSITIVE or not isinstance(body, dict) or not is_chosen(body):
        return
    accepted = fetch("/values")
    accepted["token"] = accepted["verify" if case.path.endswith("/verify") else "reset"]
    if case.path == "/auth/register":
        del accepted["email"]
    case.body = {name: accepted.get(name, value) for name, value in body.items()}


if ROLE != "anonymous":

    @schemathesis.auth(refresh_interval=None, retry_on=[])
    class Session:
        """A new session for each request, because a request may end the session or delete the user."""

        def get(self, case, context):
            return fetch(f"/session/{ROLE}/{BACKEND}")

        def set(self, case, data, context):
            case.headers = {**(case.headers or {}), **data["headers"]}
            parameters = case.path_parameters or {}
            if "id" in parameters and is_chosen(parameters["id"]):
                parameters["id"] = data["victim"]
