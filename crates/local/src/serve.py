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
from ministack.services import stepfunctions
from ministack.services.stepfunctions import (
    _ExecutionError,
    _iso_to_epoch_ms,
    _jsonata_state_field,
    _send_task_failure,
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
        setattr(stepfunctions, name, lambda *args: lesson(function, *args))

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
    return "States.TaskFailed", json.dumps(present)


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
# JSONata"). The server means one by the clock on the wall: on a busy machine, with hundreds of
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
