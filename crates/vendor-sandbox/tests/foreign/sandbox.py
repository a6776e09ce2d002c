"""What a script asks of the sandbox itself."""

import json
import urllib.request


def fault(url, text):
    """The sandbox is to have this fault from now on."""
    asked = json.dumps({"fault": text}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}/_sandbox/fault", data=asked)).close()
