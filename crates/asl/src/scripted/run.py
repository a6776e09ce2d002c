"""Runs state machines on the local AWS's Step Functions, in this process, with scripted answers.

Reads {"lessons": the text of serve.py, "objects": {bucket: {key: text}}, "cases": [{"machine",
"name", "definition", "input", "answers"}]} and writes a transcript for each case: [{"do": …, "state": …}, …].

All that a machine does is done by the server: its order of states, its expressions, its Retry and
Catch. Only what a Task calls is answered from the script. Items and branches run one after the
other, and waits take no time, so that a run is the same each time. The server's inside is no
interface, but the server is pinned.
"""

import json
import os
import re
import sys
import threading
from concurrent.futures import Future

os.environ["SFN_WAIT_SCALE"] = "0"
request = json.load(sys.stdin)

from ministack.services import s3, stepfunctions  # noqa: E402

exec(compile(request["lessons"], "serve.py", "exec"), {"__name__": "lessons"})

ExecutionError = stepfunctions._ExecutionError


class Inline:
    """A thread that runs at once, where it is started."""

    def __init__(self, target, args=(), kwargs=None, daemon=None):
        self.run = lambda: target(*args, **(kwargs or {}))

    def start(self):
        self.run()

    def join(self, timeout=None):
        pass


class InlinePool:
    """An executor that runs each call at once."""

    def __init__(self, max_workers=None):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def submit(self, function, *args):
        future = Future()
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)
        return future

    def shutdown(self, wait=True):
        pass


class Threading:
    Thread = Inline

    def __getattr__(self, name):
        return getattr(threading, name)


stepfunctions.threading = Threading()
stepfunctions.ThreadPoolExecutor = InlinePool


class Time:
    """The server gives a client 150 ms before it runs what was started."""

    def sleep(self, seconds):
        pass

    def __getattr__(self, name):
        import time

        return getattr(time, name)


stepfunctions.time = Time()


def answer_of(script, attempt):
    """The answer for an attempt, counted from 0. Of several the one for the fewest attempts wins."""
    found = []
    for attempts, answer in script.items():
        first, _, last = attempts.partition("-")
        first, last = int(first), int(last or first)
        if first <= attempt <= last:
            found.append((last - first, answer))
    return min(found, key=lambda pair: pair[0])[1] if found else None


class Case:
    def __init__(self, answers):
        self.answers = answers
        self.attempts = {}
        self.transcript = []
        self.open = []

    def say(self, do, **details):
        depth = len(self.open) - 1
        self.transcript.append({"do": do, "depth": max(depth, 0), **details})

    def answer(self, resource, arguments, timeout):
        state = self.open[-1]
        attempt = self.attempts.get(state, 0)
        self.attempts[state] = attempt + 1
        self.say("call", state=state, resource=resource, arguments=arguments, timeout=timeout)
        answer = answer_of(self.answers.get(state, {}), attempt)
        if answer:
            return self.give(answer)
        self.say("missing", state=state, attempt=attempt)
        raise ExecutionError("Script.NoAnswer", f"no answer {attempt} is scripted for {state}")

    def give(self, answer):
        if "Throw" in answer:
            error, cause = answer["Throw"]["Error"], answer["Throw"].get("Cause", "")
            raise ExecutionError(error, cause)
        self.say("answer", value=answer["Return"])
        return answer["Return"]


case = None


def scripted(resource, arguments):
    return case.answer(resource, arguments, None)


def scripted_callback(resource, arguments, token, state_def):
    return case.answer(resource, arguments, state_def.get("TimeoutSeconds"))


def scripted_with_timeout(resource, arguments, timeout):
    return case.answer(resource, arguments, timeout)


stepfunctions._invoke_resource = scripted
stepfunctions._invoke_with_callback = scripted_callback
stepfunctions._invoke_resource_with_timeout = scripted_with_timeout


def follow(kind):
    """Notes that a state of this kind is entered, and what it hands on or fails with."""
    name = f"_execute_{kind.lower()}"
    execute = getattr(stepfunctions, name)

    def followed(state_def, raw_input, *rest):
        state = rest[-1]["State"]["Name"]
        case.open.append(state)
        case.say("enter", state=state, kind=kind)
        try:
            output, following = execute(state_def, raw_input, *rest)
            case.say("exit", state=state, output=output, next=following)
            return output, following
        except ExecutionError as error:
            case.say("fail", state=state, error=error.error, cause=error.cause)
            raise
        finally:
            case.open.pop()

    setattr(stepfunctions, name, followed)


for kind in ["Pass", "Task", "Choice", "Wait", "Parallel", "Map"]:
    follow(kind)

find_retrier = stepfunctions._find_matching_retrier


def followed_retrier(retriers, error, counts):
    retrier, index = find_retrier(retriers, error, counts)
    case.say("error", error=error, retried=retrier is not None)
    return retrier, index


stepfunctions._find_matching_retrier = followed_retrier


def body(answer):
    status, _, content = answer
    content = json.loads(content)
    if status >= 300:
        sys.exit(f"the local AWS refuses it: {content.get('__type')}: {content.get('message')}")
    return content


def objects():
    """The texts in S3, by bucket and key."""
    return {
        (bucket, key): stepfunctions._s3_object_text(bucket, key)
        for bucket, content in s3._buckets.items()
        for key in content["objects"]
    }


# What differs from run to run.
VARIES = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "<time>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
]


def run(number, given):
    global case
    case = Case(given["answers"])
    # As long for every case: names stand in what a run writes, whose size is told.
    name = f"{given['machine']}-{number:03}"
    created = body(stepfunctions._create_state_machine({
        "name": name,
        "definition": json.dumps(given["definition"]),
        "roleArn": "arn:aws:iam::000000000000:role/scripted",
    }))
    before = objects()
    started = body(stepfunctions._start_execution({
        "stateMachineArn": created["stateMachineArn"],
        "name": "run",
        "input": json.dumps(given["input"]),
    }))
    ended = body(stepfunctions._describe_execution({"executionArn": started["executionArn"]}))
    output = ended.get("output")
    succeeded = ended["status"] == "SUCCEEDED"
    case.say(
        "end",
        status=ended["status"],
        output=json.loads(output) if output and succeeded else None,
        error=ended.get("error"),
        cause=ended.get("cause"),
    )
    for place, content in sorted(objects().items()):
        if place not in before:
            case.say("wrote", place="/".join(place), content=content)
    text = json.dumps(case.transcript)
    for pattern, instead in VARIES:
        text = pattern.sub(instead, text)
    return json.loads(text.replace(name, given["machine"]))


for bucket, texts in request["objects"].items():
    s3._create_bucket(bucket, b"", {})
    for key, text in texts.items():
        s3._put_object(bucket, key, text.encode(), {})

json.dump([run(number, given) for number, given in enumerate(request["cases"])], sys.stdout)
