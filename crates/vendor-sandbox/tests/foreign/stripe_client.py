"""Stripe's own client against a running sandbox: `stripe_client.py URL`.

It creates, reads, changes, finds, lists and deletes; meets a declined card, a wrong key, what is not
there, a key that came before with other parameters, and a limit.
"""

import sys

import stripe

from sandbox import fault

URL = sys.argv[1]


def client(key="sk_test_sandbox", retries=0):
    return stripe.StripeClient(key, base_addresses={"api": URL}, max_network_retries=retries)


def refused(error, code, call):
    try:
        call()
    except error as e:
        assert e.json_body["error"].get("code") == code, e.json_body
        return
    raise AssertionError(f"{error.__name__} was expected")


def main():
    v1 = client().v1
    made = v1.customers.create(
        {"name": "Ada & Söhne", "metadata": {"slowlane_key": "py-1"}}, {"idempotency_key": "py-1"}
    )
    assert made.id.startswith("cus_") and made.metadata["slowlane_key"] == "py-1", made
    assert v1.customers.retrieve(made.id).name == "Ada & Söhne"
    assert v1.customers.update(made.id, {"email": "ada@acme.example"}).email == "ada@acme.example"
    found = v1.customers.search({"query": "metadata['slowlane_key']:'py-1'"})
    assert [one.id for one in found.data] == [made.id], found
    assert [one.id for one in v1.customers.list().data] == [made.id]

    charge = {"amount": 2000, "currency": "eur", "source": "tok_visa"}
    first = v1.charges.create(charge, {"idempotency_key": "py-2"})
    again = v1.charges.create(charge, {"idempotency_key": "py-2"})
    assert first.id == again.id and first.amount == 2000, (first, again)
    assert again.last_response.headers["idempotent-replayed"] == "true"
    refused(
        stripe.IdempotencyError,
        None,
        lambda: v1.charges.create({**charge, "amount": 1}, {"idempotency_key": "py-2"}),
    )
    refused(
        stripe.CardError,
        "card_declined",
        lambda: v1.charges.create({**charge, "source": "tok_chargeDeclined"}),
    )
    refused(
        stripe.InvalidRequestError, "parameter_missing", lambda: v1.charges.create({"amount": 1})
    )
    refused(
        stripe.InvalidRequestError, "resource_missing", lambda: v1.customers.retrieve("cus_none")
    )
    refused(stripe.AuthenticationError, None, lambda: client("sk_wrong").v1.customers.list())
    assert v1.customers.delete(made.id).deleted

    fault(URL, "429-burst:2")
    limited = lambda retries: client(retries=retries).v1.customers.create({"name": "limit"})
    refused(stripe.RateLimitError, "rate_limit", lambda: limited(0))
    # Its answer says that it may be tried again, so the client does, with its own back-off.
    assert limited(2).name == "limit"
    print("Stripe's client is served and refused as it should be")


main()
