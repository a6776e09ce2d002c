"""Prints what CloudFormation asks of AWS for each resource type of templates: the permissions that
the type's own schema names for its handlers. The schemas are those that cfn-lint brings.

    python handlers.py infra/*.yaml > infra/permissions/handlers.json
"""

import json
import re
import sys

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

# `list` is for looking through an account; a deploy does not.
HANDLERS = ("create", "read", "update", "delete")


def permissions(resource_type):
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource_type).schema["handlers"]
    return {name: sorted(set(handlers[name]["permissions"])) for name in HANDLERS if name in handlers}


templates = [open(path).read() for path in sys.argv[1:]]
types = sorted({name for text in templates for name in re.findall(r"^    Type: (AWS::\S+)$", text, re.MULTILINE)})
print(json.dumps({name: permissions(name) for name in types}, indent=2))
