"""Reduces a published definition to what the checks look at, as a line of definitions.jsonl.

    python3 reduce.py OWNER/REPOSITORY@COMMIT:PATH < definition.json >> definitions.jsonl

States become S1, S2 ...; comments and texts go, and so do accounts and names within ARNs. Paths,
expressions, error names and numbers stay. What is wrong with it is written into `wrong` by whoever
has looked: what the checks say is no judgement of their own.
"""

import json
import re
import sys

# Texts with a meaning of their own.
KEPT = {
    "CSVHeaderLocation", "Error", "ErrorEquals", "ExecutionType", "InputType", "JitterStrategy", "Mode",
    "QueryLanguage", "Timestamp", "TimestampEquals", "Type", "Variable", "Version",
}
RULES = {"And", "Catch", "Choices", "Or", "Retry"}
NAMES = {"Default", "Next", "StartAt"}
MACHINES = {"Iterator", "ItemProcessor"}


def inner(state):
    yield from (state[key] for key in MACHINES if isinstance(state.get(key), dict))
    yield from state.get("Branches", [])


def name_states(machine, names):
    for name, state in machine["States"].items():
        names.setdefault(name, f"S{len(names) + 1}")
        for nested in inner(state):
            name_states(nested, names)
    return names


def resource(text):
    """An ARN without account and names; that of an integration says what is called, and stays."""
    text = re.sub(r"\d{12}", "123456789012", text)
    parts = text.split(":")
    if ":states:::" in text or "$" in text or len(parts) < 6:
        return text
    parts[3] = "us-east-1" if parts[3] else ""
    if len(parts) == 6:
        parts[5] = re.sub(r"/.*", "/name", parts[5])
    else:
        parts[6:] = ["name"]
    return ":".join(parts)


def text_of(key, text, names):
    if key in NAMES:
        return names.get(text, text)
    if key in KEPT or key.endswith("Path") or "$" in text:
        return text
    if key == "Resource" or text.startswith("arn:"):
        return resource(text)
    return "text"


def reduced(value, names, key=""):
    if isinstance(value, str):
        return text_of(key, value, names)
    if isinstance(value, list):
        return [reduced(item, names, key) for item in value]
    if not isinstance(value, dict):
        return value
    if key == "States":
        return {names[name]: reduced(state, names) for name, state in value.items()}
    # In what a state hands over, `Comment` is a field as any other.
    said = key in RULES or "Type" in value or "StartAt" in value
    return {
        name: reduced(item, names, name)
        for name, item in value.items()
        if not (said and name == "Comment")
    }


if __name__ == "__main__":
    machine = json.load(sys.stdin)
    line = {"from": sys.argv[1], "wrong": [], "machine": reduced(machine, name_states(machine, {}))}
    print(json.dumps(line, separators=(",", ":"), ensure_ascii=False))
