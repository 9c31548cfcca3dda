"""What is added to the calls that are made up: lines of JSON, URLs where nobody listens, and ids that exist."""

import itertools
import json
import os
import re
import uuid

import schemathesis

# In place of every second id that is made up, so that calls come beyond "there is no such webhook".
KNOWN = json.loads(os.environ.get("KNOWN_IDS", "{}"))
TURN = itertools.count()


def lines(value):
    values = value if isinstance(value, list) else [value]
    return b"\n".join(v if isinstance(v, bytes) else json.dumps(v).encode() for v in values)


@schemathesis.serializer("application/x-ndjson")
def as_lines(context, value):
    return value if isinstance(value, bytes) else lines(value)


@schemathesis.deserializer("application/x-ndjson")
def from_lines(context, response):
    return response.content.decode()


def is_id(value):
    try:
        return len(str(value)) == 36 and uuid.UUID(str(value)) is not None
    except ValueError:
        return False


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    if isinstance(body, dict) and isinstance(body.get("webhookUrl"), str):
        url = re.sub(r"^(https?://)[^/?#\\]*", r"\g<1>127.0.0.1:9", body["webhookUrl"])
        case.body = {**body, "webhookUrl": url}
    if KNOWN and case.method != "DELETE" and next(TURN) % 2 == 0:
        ids = {name: KNOWN[name] for name, had in case.path_parameters.items() if name in KNOWN and is_id(had)}
        case.path_parameters = {**case.path_parameters, **ids}
