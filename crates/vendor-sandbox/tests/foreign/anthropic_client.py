"""Anthropic's own client against a running sandbox: `anthropic_client.py URL`."""

import sys
import time

import anthropic

from sandbox import fault

URL = sys.argv[1]


def client(key="sk-ant-sandbox", retries=0):
    return anthropic.Anthropic(base_url=URL, api_key=key, max_retries=retries)


def say(api, text="Say hello.", most=20):
    messages = [{"role": "user", "content": text}]
    return api.messages.create(model="claude-haiku-4-5", max_tokens=most, messages=messages)


def main():
    api = client()
    said = say(api)
    assert said.content[0].text == "You said: Say hello." and said.stop_reason == "end_turn", said
    assert said.usage.input_tokens > 0 and said.usage.output_tokens == 5, said.usage
    assert say(api, most=2).stop_reason == "max_tokens"
    counted = api.messages.count_tokens(
        model="claude-haiku-4-5", messages=[{"role": "user", "content": "Say hello."}]
    )
    assert counted.input_tokens == said.usage.input_tokens, counted
    assert "claude-haiku-4-5" in [model.id for model in api.models.list()]

    params = {
        "model": "claude-haiku-4-5",
        "max_tokens": 20,
        "messages": [{"role": "user", "content": "Say hello."}],
    }
    batch = api.messages.batches.create(requests=[{"custom_id": "py-1", "params": params}])
    assert batch.processing_status == "in_progress", batch
    assert api.messages.batches.retrieve(batch.id).processing_status == "ended"
    results = list(api.messages.batches.results(batch.id))
    assert [one.custom_id for one in results] == ["py-1"], results
    assert results[0].result.message.content[0].text == "You said: Say hello."

    raw = api.messages.with_raw_response.create(**params)
    assert raw.headers["anthropic-ratelimit-tokens-limit"] == "100000", dict(raw.headers)
    assert raw.request_id.startswith("req_")

    try:
        say(client("sk-wrong"))
        raise AssertionError("401 was expected")
    except anthropic.AuthenticationError as e:
        assert e.body["error"]["type"] == "authentication_error", e.body

    # Anthropic says whole seconds, so a second and a half are two.
    fault(URL, "429-burst:2,by=1.5s")
    try:
        say(api)
        raise AssertionError("429 was expected")
    except anthropic.RateLimitError as e:
        assert e.response.headers["retry-after"] == "2", dict(e.response.headers)
    started = time.monotonic()
    say(client(retries=1))
    assert time.monotonic() - started >= 1.5
    print("Anthropic's client is served and refused as it should be")


main()
