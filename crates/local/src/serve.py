"""Starts MiniStack, with time for its state machines.

It gives a JSONata expression one second by the clock on the wall. On a busy machine, with hundreds
of executions in one Python process, a short expression can take longer, and its workflow fails
with D1012. AWS has no such limit on a machine's load.

Each execution is a thread, and of those that want to run each wakes every five milliseconds to ask
for the interpreter's lock. When hundreds do, a slow machine is busy with that alone, for a minute.
"""

import runpy
import sys

import jsonata

LIMIT_MS = 60_000

compile_expression = jsonata.Jsonata.jsonata


def compile_with_time(expression, timeout=None):
    return compile_expression(expression, timeout=timeout and LIMIT_MS)


jsonata.Jsonata.jsonata = staticmethod(compile_with_time)
sys.setswitchinterval(0.05)
runpy.run_module("ministack", run_name="__main__", alter_sys=True)
