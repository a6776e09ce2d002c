"""OpenAI's own client against a running sandbox: `openai_client.py URL`."""

import sys
import time

import openai

from sandbox import fault

URL = sys.argv[1]


def client(key="sk-sandbox", retries=0):
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=retries)


def chat(api, **more):
    messages = [{"role": "user", "content": "Say hello."}]
    return api.chat.completions.create(
        model="gpt-4o-mini", messages=messages, max_completion_tokens=20, **more
    )


def main():
    api = client()
    said = chat(api, store=True, metadata={"slowlane_key": "py-1"})
    assert said.choices[0].message.content == "You said: Say hello.", said
    assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens > 0
    stored = api.chat.completions.list(metadata={"slowlane_key": "py-1"}).data
    assert [one.id for one in stored] == [said.id], stored
    assert api.chat.completions.list(metadata={"slowlane_key": "other"}).data == []
    assert api.chat.completions.retrieve(said.id).id == said.id

    response = api.responses.create(model="gpt-5-mini", input="Say hello.", background=True)
    assert response.status == "queued", response
    response = api.responses.retrieve(response.id)
    assert (response.status, response.output_text) == ("completed", "You said: Say hello.")

    # The client asks for base64 and decodes it.
    vectors = api.embeddings.create(model="text-embedding-3-small", input=["a", "b"]).data
    assert len(vectors) == 2 and abs(vectors[0].embedding[0] - 0.097) < 1e-6, vectors
    assert "gpt-4o-mini" in [model.id for model in api.models.list().data]

    raw = api.chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "x"}], max_tokens=5
    )
    assert raw.headers["x-ratelimit-limit-tokens"] == "100000", dict(raw.headers)
    assert raw.parse().usage.completion_tokens == 3

    try:
        client("sk-wrong").models.list()
        raise AssertionError("401 was expected")
    except openai.AuthenticationError as e:
        assert e.code == "invalid_api_key", e
    try:
        api.chat.completions.create(model="gpt-4o-mini", messages=None)
        raise AssertionError("400 was expected")
    except openai.BadRequestError as e:
        assert e.param == "messages", e

    fault(URL, "429-burst:2,by=1.5s")
    try:
        chat(api)
        raise AssertionError("429 was expected")
    except openai.RateLimitError as e:
        assert e.code == "rate_limit_exceeded", e
        assert e.response.headers["retry-after-ms"] == "1500", dict(e.response.headers)
    # The client heeds the wait.
    started = time.monotonic()
    chat(client(retries=1))
    assert time.monotonic() - started >= 1.5
    print("OpenAI's client is served and refused as it should be")


main()
