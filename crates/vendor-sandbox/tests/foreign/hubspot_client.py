"""HubSpot's own client against a running sandbox: `hubspot_client.py URL`."""

import sys

from hubspot import HubSpot
from hubspot.crm.contacts import (
    ApiException,
    BatchInputSimplePublicObjectBatchInputUpsert,
    Filter,
    FilterGroup,
    PublicObjectSearchRequest,
    SimplePublicObjectBatchInputUpsert,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)

from sandbox import fault

URL = sys.argv[1]


def contacts(token="pat-sandbox"):
    return HubSpot(access_token=token, host=URL).crm.contacts


def refused(status, text, call):
    try:
        call()
    except ApiException as e:
        assert e.status == status and text in e.body, e
        return e
    raise AssertionError(f"{status} was expected")


def new(email):
    properties = {"email": email, "firstname": "Ada", "slowlane_key": email}
    return SimplePublicObjectInputForCreate(properties=properties, associations=[])


def upsert(quantity):
    one = SimplePublicObjectBatchInputUpsert(
        id="py-1", id_property="slowlane_key", properties={"quantity": quantity}
    )
    return BatchInputSimplePublicObjectBatchInputUpsert(inputs=[one])


def main():
    api = contacts()
    made = api.basic_api.create(new("ada@acme.example"))
    assert made.properties["firstname"] == "Ada", made
    assert api.basic_api.get_by_id(made.id).id == made.id
    by_key = api.basic_api.get_by_id("ada@acme.example", id_property="slowlane_key")
    assert by_key.id == made.id
    twice = lambda: api.basic_api.create(new("ada@acme.example"))
    refused(409, f"Contact already exists. Existing ID: {made.id}", twice)
    changed = SimplePublicObjectInput(properties={"city": "Ulm"})
    assert api.basic_api.update(made.id, changed).properties["city"] == "Ulm"

    for quantity, is_new in [("2", True), ("3", False)]:
        upserted = api.batch_api.upsert(upsert(quantity)).results[0]
        assert upserted.new is is_new, upserted
        assert upserted.properties["quantity"] == quantity, upserted
    city = Filter(property_name="city", operator="EQ", value="Ulm")
    request = PublicObjectSearchRequest(filter_groups=[FilterGroup(filters=[city])])
    found = api.search_api.do_search(request)
    assert found.total == 1 and found.results[0].id == made.id, found

    api.basic_api.archive(made.id)
    refused(404, "OBJECT_NOT_FOUND", lambda: api.basic_api.get_by_id(made.id))
    refused(401, "INVALID_AUTHENTICATION", lambda: contacts("wrong").basic_api.get_page())

    fault(URL, "429-burst:1")
    limited = refused(429, "TEN_SECONDLY_ROLLING", lambda: api.basic_api.create(new("b@acme.example")))
    assert limited.headers["X-HubSpot-RateLimit-Max"] == "100", limited.headers
    print("HubSpot's client is served and refused as it should be")


main()
