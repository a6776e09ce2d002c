"""The Python client `netsuite` against a running sandbox: `python_client.py URL TBA.json`.

A check that the sandbox was not made to fit our own client: theirs is used as it is, but for its
base address. It signs in by token-based authentication, creates, upserts, reads, queries, calls a
RESTlet, and meets a wrong secret. `tests/it/python.rs` runs it.
"""

import asyncio
import json
import sys

from netsuite import Config, NetSuiteRestApi, NetSuiteRestlet, TokenAuth
from netsuite.exceptions import NetsuiteAPIRequestError

BASE_URL, CREDENTIALS = sys.argv[1], json.load(open(sys.argv[2]))


class Api(NetSuiteRestApi):
    def _make_url(self, subpath):
        return f"{BASE_URL}/services/rest{subpath}"


class Restlet(NetSuiteRestlet):
    def _make_url(self, subpath):
        return f"{BASE_URL}/app/site/hosting/restlet.nl{subpath}"


def config(**changed):
    auth = {
        "consumer_key": CREDENTIALS["consumer_key"],
        "consumer_secret": CREDENTIALS["consumer_secret"],
        "token_id": CREDENTIALS["token_id"],
        "token_secret": CREDENTIALS["token_secret"],
    }
    return Config(account=CREDENTIALS["account_id"], auth=TokenAuth(**(auth | changed)))


async def main():
    api = Api(config())
    order = {
        "externalId": "py-1",
        "entity": {"id": "7"},
        "item": {"items": [{"item": {"id": "3"}, "quantity": 2}]},
    }
    assert await api.post("/record/v1/salesOrder", json=order) is None
    assert await api.put("/record/v1/customer/eid:py-2", json={"companyName": "Acme & Söhne"}) is None

    customer = await api.get("/record/v1/customer/eid:py-2", params={"fields": "id,companyName"})
    assert customer["companyName"] == "Acme & Söhne", customer
    expanded = await api.get("/record/v1/salesOrder/eid:py-1", params={"expandSubResources": "true"})
    assert expanded["item"]["items"][0]["quantity"] == 2, expanded
    await api.patch("/record/v1/customer/eid:py-2", json={"email": "ann@acme.example"})

    rows = await api.suiteql("SELECT id, companyname, email FROM customer WHERE email = 'ann@acme.example'")
    assert rows["totalResults"] == 1 and rows["items"][0]["id"] == customer["id"], rows
    bound = await api.suiteql("SELECT id FROM customer WHERE id = ?", json={"params": [int(customer["id"])]})
    assert bound["count"] == 1, bound

    shape = await api.jsonschema("salesOrder")
    assert "item" in shape["properties"], shape
    openapi = await api.openapi(["customer", "salesOrder"])
    assert set(openapi["components"]["schemas"]) == {"customer", "salesOrder"}

    restlet = Restlet(config())
    assert (await restlet.post(1, json={"a": [1]}))["body"] == {"a": [1]}

    # The client sends X-NetSuite-PropertyNameValidation: error, so a misspelt field is refused.
    await refused(400, "INVALID_CONTENT", api.post("/record/v1/customer", json={"colour": "red"}))
    await refused(404, "NONEXISTENT_ID", api.get("/record/v1/customer/999999"))
    await refused(401, "INVALID_LOGIN", Api(config(token_secret="wrong")).get("/record/v1/customer/1"))
    await api.delete("/record/v1/customer/eid:py-2")
    print("the Python client signs in, creates, reads, queries and is refused as it should be")


async def refused(status, code, call):
    try:
        await call
    except NetsuiteAPIRequestError as error:
        assert error.status_code == status and code in error.response_text, error
    else:
        raise AssertionError(f"{code} was expected")


asyncio.run(main())
