"""Starts MiniStack, taught what AWS does where the two differ.

Each lesson replaces one function of the server and says what AWS does, with its source, and what
the server does by itself. They reach into the server's inside, whose version is pinned: where that
is not as they expect it, the server does not start.
"""

import inspect
import json
import runpy
import sys
import threading

import jsonata
from ministack.services import s3, stepfunctions
from ministack.services.stepfunctions import (
    _ExecutionError,
    _apply_jsonata_output,
    _apply_jsonata_template,
    _executions,
    _iso_to_epoch_ms,
    _jsonata_state_field,
    _map_runs,
    _send_task_failure,
    _state_query_language,
    _task_tokens,
    _with_retry_and_catch,
)


def teaches(name):
    """Puts a lesson, whose first argument is the function that it replaces, in that one's place."""
    function = getattr(stepfunctions, name)

    def put(lesson):
        expected = list(inspect.signature(lesson).parameters)[1:]
        found = list(inspect.signature(function).parameters)
        if found != expected:
            sys.exit(f"MiniStack's {name} takes {found}, not {expected}: serve.py is not for it")
        taught = lambda *args, **named: lesson(function, *args, **named)
        setattr(stepfunctions, name, taught)

    return put


@teaches("_execute_task")
def task_timeout(execute, state_def, raw_input, execution, ctx):
    """AWS takes a JSONata expression in TimeoutSeconds. One that gives no whole number in range is
    a States.QueryEvaluationError, for Retry and Catch to see (Developer Guide, "Transforming data
    with JSONata", "Handling errors"; "Task workflow state"). The server takes only a number.
    """
    if not isinstance(state_def.get("TimeoutSeconds"), str):
        return execute(state_def, raw_input, execution, ctx)
    try:
        seconds = _jsonata_state_field(state_def, "TimeoutSeconds", "number", raw_input, ctx)
        if seconds != int(seconds) or not 1 <= seconds <= 99_999_999:
            raise _ExecutionError(
                "States.QueryEvaluationError",
                "The JSONata expression specified for the field 'TimeoutSeconds' must give a whole "
                f"number from 1 to 99999999, but gave {json.dumps(seconds)}",
            )
    except _ExecutionError as error:
        return _with_retry_and_catch(state_def, raw_input, ctx, lambda: fail(error))
    return execute({**state_def, "TimeoutSeconds": int(seconds)}, raw_input, execution, ctx)


def fail(error):
    raise error


@teaches("_nested_execution_failure")
def child_failure(_, payload):
    """On AWS a child that fails is States.TaskFailed for its parent, whatever its own error, which
    stands in the cause: DescribeExecution's answer as JSON (Developer Guide, "Start a new workflow
    execution from a running execution"; the keys as recorded in executions on AWS). The server
    passes the child's own error and cause on.
    """
    described = {
        "Cause": payload.get("cause"),
        "Error": payload.get("error"),
        "ExecutionArn": payload["executionArn"],
        "Input": payload["input"],
        "InputDetails": {"Included": True},
        "Name": payload["name"],
        "RedriveCount": 0,
        "RedriveStatus": "REDRIVABLE",
        "StartDate": _iso_to_epoch_ms(payload["startDate"]),
        "StateMachineArn": payload["stateMachineArn"],
        "Status": payload["status"],
        "StopDate": _iso_to_epoch_ms(payload["stopDate"]),
    }
    present = {key: value for key, value in described.items() if value is not None}
    # Without white space, as AWS writes it: what is looked for in the text must be found here too.
    return "States.TaskFailed", json.dumps(present, separators=(",", ":"))


@teaches("_apply_state_assign")
def assign(apply, state_def, raw_input, ctx, result=None, error_output=None):
    """On AWS each expression of an Assign sees the variables as they were before all of it (Developer
    Guide, "Passing data between states with variables", "Evaluation order in an assign field"). The
    server lets each see what those above it have assigned.
    """
    if ctx is None:
        return
    before = ctx.get("variables", {})
    assigned = {}
    for name, template in (state_def.get("Assign") or {}).items():
        alone = {**ctx, "variables": dict(before)}
        apply({**state_def, "Assign": {name: template}}, raw_input, alone, result, error_output)
        if name in alone["variables"]:
            assigned[name] = alone["variables"][name]
    ctx.setdefault("variables", {}).update(assigned)


# The batches, if any, that the distributed Map of this thread makes of its dataset.
batches = threading.local()


@teaches("_run_distributed_map")
def distributed_map(run, state_def, raw_input, effective, iterator, execution, ctx):
    """On AWS a distributed Map in JSONata evaluates its fields and its Output as any state does
    (Developer Guide, "Transforming data with JSONata"), ItemBatcher gives each child several items
    ("ItemBatcher (Map)"), and ResultWriter writes what became of the children into S3 and leaves
    its manifest's place as the result ("ResultWriter (Map)"). The server takes expressions as they
    stand and ignores the two.
    """
    if _state_query_language(state_def, ctx) != "JSONata":
        return run(state_def, raw_input, effective, iterator, execution, ctx)
    evaluated = dict(state_def)
    for field in ["MaxConcurrency", "ToleratedFailurePercentage", "ToleratedFailureCount"]:
        if field in state_def:
            evaluated[field] = _jsonata_state_field(state_def, field, "number", raw_input, ctx)
    for field in ["ItemReader", "ItemBatcher", "ResultWriter"]:
        if field in state_def:
            evaluated[field] = _apply_jsonata_template(state_def[field], raw_input, ctx)
    writer = evaluated.get("ResultWriter")
    known = set(_map_runs)
    batches.wanted = evaluated.get("ItemBatcher")
    try:
        results, following = run(evaluated, raw_input, effective, iterator, execution, ctx)
    finally:
        batches.wanted = None
        own = [
            arn
            for arn, map_run in _map_runs.items()
            if arn not in known and map_run["executionArn"] == execution["executionArn"]
        ]
        written = write_results(writer["Arguments"], own[0]) if writer and own else None
    results = written or results
    output = _apply_jsonata_output(state_def, raw_input, ctx, result=results, default=results)
    stepfunctions._apply_state_assign(state_def, raw_input, ctx, result=results)
    return output, following


@teaches("_read_map_items")
def batched(read, reader, effective, ctx):
    items = read(reader, effective, ctx)
    wanted = getattr(batches, "wanted", None)
    # A Map within a child makes none.
    batches.wanted = None
    if not wanted:
        return items
    most = int(wanted["MaxItemsPerBatch"])
    extra = {"BatchInput": wanted["BatchInput"]} if "BatchInput" in wanted else {}
    return [{**extra, "Items": items[at : at + most]} for at in range(0, len(items), most)]


def write_results(place, map_run_arn):
    """The files of ResultWriter: one for each outcome that occurred, and the manifest."""
    folder = f"{place.get('Prefix', '').rstrip('/')}/{map_run_arn.rsplit(':', 1)[1]}".lstrip("/")
    children = [
        child for child in _executions.values() if child.get("mapRunArn") == map_run_arn
    ]
    files = {}
    for status in ["SUCCEEDED", "FAILED", "PENDING"]:
        ended = [described(child) for child in children if child["status"] == status]
        key = f"{folder}/{status}_0.json"
        body = json.dumps(ended).encode()
        files[status] = [{"Key": key, "Size": len(body)}] if ended else []
        if ended:
            s3._put_object(place["Bucket"], key, body, {})
    manifest = {
        "DestinationBucket": place["Bucket"],
        "MapRunArn": map_run_arn,
        "ResultFiles": files,
    }
    key = f"{folder}/manifest.json"
    s3._put_object(place["Bucket"], key, json.dumps(manifest).encode(), {})
    details = {"Bucket": place["Bucket"], "Key": key}
    return {"MapRunArn": map_run_arn, "ResultWriterDetails": details}


def described(child):
    fields = {
        "ExecutionArn": "executionArn",
        "Input": "input",
        "Output": "output",
        "Error": "error",
        "Cause": "cause",
        "Name": "name",
        "StartDate": "startDate",
        "StateMachineArn": "stateMachineArn",
        "Status": "status",
        "StopDate": "stopDate",
    }
    present = {name: child.get(key) for name, key in fields.items()}
    return {name: value for name, value in present.items() if value is not None}


# The token, if any, that the state of this thread hands over.
handed_over = threading.local()


@teaches("_invoke_with_callback")
def callback(invoke, resource, input_data, token, state_def):
    handed_over.token = token
    try:
        return invoke(resource, input_data, token, state_def)
    finally:
        handed_over.token = None


@teaches("_call_lambda")
def function_error(call, func_ref, event):
    """On AWS a function that fails with its caller's task token fails the state at once, as it does
    without one (Developer Guide, "Discover service integration patterns": a callback task first
    calls the service, and only then waits). The server overlooks the error and waits for the token.
    """
    try:
        return call(func_ref, event)
    except _ExecutionError as error:
        token = getattr(handed_over, "token", None)
        task = token and _task_tokens.get(token)
        # A callback that came before the error has ended the task.
        if task and not task["event"].is_set():
            answer = {"taskToken": token, "error": error.error, "cause": error.cause}
            _send_task_failure(answer)
        raise


# AWS gives an expression one second of its own machines (Developer Guide, "Transforming data with
# JSONata"). The server means one by the clock on the wall. On a busy machine, with hundreds of
# executions in one process, a short expression can take longer, and its workflow fails with D1012.
LIMIT_MS = 60_000

compile_expression = jsonata.Jsonata.jsonata


def compile_with_time(expression, timeout=None):
    return compile_expression(expression, timeout=timeout and LIMIT_MS)


jsonata.Jsonata.jsonata = staticmethod(compile_with_time)

# Each execution is a thread, and of those that want to run each wakes every five milliseconds to
# ask for the interpreter's lock. When hundreds do, a slow machine is busy with that alone.
sys.setswitchinterval(0.05)

# Whoever only wants the lessons runs this under another name.
if __name__ == "__main__":
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)
