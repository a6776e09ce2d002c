"""Evaluates JSONata expressions as Step Functions does: a JSON request a line, an answer a line.

The local AWS server reads a machine's expressions by the same function, with the functions that
Step Functions adds. It is not part of that server's interface, but the server is pinned.
"""

import json
import sys

from ministack.services import stepfunctions

for line in sys.stdin:
    request = json.loads(line)
    try:
        value = stepfunctions._evaluate_jsonata(
            request["expression"],
            request["input"],
            request["context"],
            error_output=request["errorOutput"],
        )
        answer = {"Ok": value}
    except Exception as error:
        answer = {"Err": repr(error)}
    print(json.dumps(answer), flush=True)
