"""`simple-salesforce` against a running sandbox: `salesforce_client.py URL`.

The client knows only https addresses at Salesforce. Its session's adapter leads what goes there to the
sandbox; all else is the client's own.
"""

import sys
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceGeneralError,
    SalesforceMalformedRequest,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from sandbox import fault

URL = sys.argv[1]


class ToSandbox(HTTPAdapter):
    def send(self, request, **options):
        parts = urlsplit(request.url)
        sandbox = urlsplit(URL)
        request.url = parts._replace(scheme="http", netloc=sandbox.netloc).geturl()
        return super().send(request, **options)


def session():
    session = requests.Session()
    session.mount("https://", ToSandbox())
    return session


def sign_in(secret="sandbox-secret"):
    return Salesforce(
        consumer_key="sandbox-client", consumer_secret=secret, domain="acme.my", session=session()
    )


def refused(error, code, call):
    try:
        call()
    except error as e:
        assert e.content[0]["errorCode"] == code, e.content
        return
    raise AssertionError(f"{error.__name__} was expected")


def main():
    sf = sign_in()
    made = sf.Account.create({"Name": "Acme & Söhne"})
    assert made["success"] and made["id"].startswith("001"), made
    assert sf.Account.get(made["id"])["Name"] == "Acme & Söhne"
    assert sf.Account.update(made["id"], {"City__c": "Ulm"}) == 204

    # 201 the first time, 200 the second: one record.
    assert sf.Order__c.upsert("Ext__c/py-1", {"Quantity__c": 2}) == 201
    assert sf.Order__c.upsert("Ext__c/py-1", {"Quantity__c": 3}) == 200
    assert sf.Order__c.get_by_custom_id("Ext__c", "py-1")["Quantity__c"] == 3

    rows = sf.query("SELECT Id, Name FROM Account WHERE City__c = 'Ulm'")
    assert rows["totalSize"] == 1 and rows["records"][0]["Name"] == "Acme & Söhne", rows
    assert [row["Id"] for row in sf.query_all_iter("SELECT Id FROM Account")] == [made["id"]]
    assert sf.limits()["DailyApiRequests"]["Max"] == 100000
    # The client reads the header that each answer has.
    assert sf.api_usage["api-usage"].total == 15000, sf.api_usage

    refused(SalesforceMalformedRequest, "MALFORMED_QUERY", lambda: sf.query("SELEC Id"))
    refused(SalesforceResourceNotFound, "NOT_FOUND", lambda: sf.Account.get("001none"))
    assert sf.Account.delete(made["id"]) == 204
    refused(SalesforceResourceNotFound, "NOT_FOUND", lambda: sf.Account.get(made["id"]))

    try:
        sign_in("wrong")
        raise AssertionError("a wrong secret was taken")
    except SalesforceAuthenticationFailed as e:
        assert e.code == "invalid_client_id", e
    ended = Salesforce(instance="acme.my.salesforce.com", session_id="ended", session=session())
    refused(SalesforceExpiredSession, "INVALID_SESSION_ID", lambda: ended.Account.get("001none"))

    fault(URL, "429-burst:1")
    refused(
        (SalesforceRefusedRequest, SalesforceGeneralError),
        "REQUEST_LIMIT_EXCEEDED",
        lambda: sf.Account.create({"Name": "limit"}),
    )
    print("simple-salesforce is served and refused as it should be")


main()
