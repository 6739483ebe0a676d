"""Checks a dashboard against the types that Grafana publishes (grafana-foundation-sdk, made from Grafana's own schemas).

The SDK reads JSON without a complaint about what it does not know, so two things are looked at here: a key that is gone
after reading and writing is none of Grafana's, and what was read must have the types that the SDK's classes declare.
"""

import enum
import json
import sys
import types
import typing

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

# What Grafana's editors write and its published schema lacks: where, and which key.
NOT_IN_THE_SCHEMA = {
    ("templating.list", "definition"),
    *(("annotations.list", key) for key in ("step", "tagKeys", "textFormat", "titleFormat", "useValueForTime")),
}


def unknown_keys(given, kept, path):
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key in kept:
                yield from unknown_keys(value, kept[key], f"{path}.{key}" if path else key)
            elif value is not None and (path, key) not in NOT_IN_THE_SCHEMA:
                yield f"{path}: Grafana knows no {key}"
    elif isinstance(given, list) and isinstance(kept, list):
        for one, other in zip(given, kept, strict=True):
            yield from unknown_keys(one, other, path)


def wrong_types(value, declared, path):
    origin = typing.get_origin(declared)
    if declared in (typing.Any, object):
        if hasattr(value, "to_json"):
            yield from wrong_attributes(value, path)
    elif origin in (typing.Union, types.UnionType):
        choices = [choice for choice in typing.get_args(declared) if value is None or choice is not type(None)]
        same = [choice for choice in choices if isinstance(choice, type) and type(value) is choice]
        choices = [list(wrong_types(value, choice, path)) for choice in same or choices]
        if all(choices):
            yield from min(choices, key=len)
    elif origin is list:
        if not isinstance(value, list):
            yield f"{path}: {value!r} is no list"
            return
        for item in value:
            yield from wrong_types(item, typing.get_args(declared)[0], path)
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is no object"
            return
        for key, item in value.items():
            yield from wrong_types(item, typing.get_args(declared)[1], f"{path}.{key}")
    elif origin is typing.Literal:
        if value not in typing.get_args(declared):
            yield f"{path}: {value!r} is none of {typing.get_args(declared)}"
    elif isinstance(declared, type) and issubclass(declared, enum.Enum):
        if value not in [member.value for member in declared]:
            yield f"{path}: {value!r} is no {declared.__name__}"
    elif declared is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield f"{path}: {value!r} is no number"
    elif declared is int:
        if isinstance(value, bool) or not isinstance(value, int):
            yield f"{path}: {value!r} is no whole number"
    elif isinstance(declared, type):
        if isinstance(value, dict) and hasattr(declared, "from_json"):
            # The SDK leaves some objects as they are, transformations for one.
            given, value = value, declared.from_json(value)
            yield from unknown_keys(given, json.loads(JSONEncoder().encode(value)), path)
        if not isinstance(value, declared):
            yield f"{path}: {value!r} is no {declared.__name__}"
        elif hasattr(value, "to_json"):
            yield from wrong_attributes(value, path)


def wrong_attributes(value, path):
    for name, declared in typing.get_type_hints(type(value)).items():
        yield from wrong_types(getattr(value, name), declared, f"{path}.{name}" if path else name)


def main():
    register_default_plugins()
    with open(sys.argv[1], encoding="utf-8") as file:
        given = json.load(file)
    dashboard = Dashboard.from_json(given)
    kept = json.loads(JSONEncoder().encode(dashboard))
    complaints = [*unknown_keys(given, kept, ""), *wrong_types(dashboard, Dashboard, "")]
    for complaint in dict.fromkeys(complaints):
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
