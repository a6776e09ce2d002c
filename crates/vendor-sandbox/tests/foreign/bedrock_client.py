"""boto3's client of Bedrock against a running sandbox: `bedrock_client.py URL`."""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox import fault

URL = sys.argv[1]
NOVA = "eu.amazon.nova-micro-v1:0"
CLAUDE = "arn:aws:bedrock:eu-central-1:000000000000:inference-profile/eu.anthropic.claude-haiku-4-5"


def client(secret="test", attempts=1):
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=URL,
        region_name="eu-central-1",
        aws_access_key_id="000000000000",
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}),
    )


def say(api, model=NOVA, most=20):
    messages = [{"role": "user", "content": [{"text": "Say hello."}]}]
    return api.converse(
        modelId=model,
        messages=messages,
        system=[{"text": "Be short."}],
        inferenceConfig={"maxTokens": most},
        requestMetadata={"slowlane_key": "py-1"},
    )


def refused(code, status, call):
    try:
        call()
    except ClientError as e:
        found = e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]
        assert found == (code, status), e.response
        return e.response
    raise AssertionError(f"{code} was expected")


def main():
    api = client()
    said = say(api)
    assert said["output"]["message"]["content"] == [{"text": "You said: Say hello."}], said
    assert said["stopReason"] == "end_turn" and said["metrics"]["latencyMs"] >= 1, said
    usage = said["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"] > 5, usage
    assert said["ResponseMetadata"]["RequestId"].startswith("sandbox-"), said
    assert say(api, most=2)["stopReason"] == "max_tokens"

    # The model's name is a path of its own, whose slash and colons are escaped.
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 20,
        "messages": [{"role": "user", "content": "Say hello."}],
    }
    invoked = api.invoke_model(modelId=CLAUDE, body=json.dumps(body))
    assert json.load(invoked["body"])["content"][0]["text"] == "You said: Say hello."
    headers = invoked["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-bedrock-output-token-count"] == "5", headers

    refused("UnrecognizedClientException", 403, lambda: say(client("wrong")))
    refused("ValidationException", 400, lambda: say(api, model="nonsense"))
    refused("ModelTimeoutException", 408, lambda: say(api, model="sandbox.times-out"))
    refused("ModelErrorException", 424, lambda: say(api, model="sandbox.fails"))
    refused("ServiceUnavailableException", 503, lambda: say(api, model="sandbox.unavailable"))
    fault(URL, "429-burst:1")
    throttled = refused("ThrottlingException", 429, lambda: say(api))
    assert "wait before trying again" in throttled["Error"]["Message"], throttled
    # boto3 knows the error for one that may be repeated.
    fault(URL, "429-burst:1")
    assert say(client(attempts=3))["ResponseMetadata"]["RetryAttempts"] == 1
    fault(URL, "500:1")
    refused("InternalServerException", 500, lambda: say(api))
    print("boto3 is served and refused as it should be")


main()
