"""The Python package `netsuite` doing what examples/measure.rs does with ours.

Only its base address is changed. Its `suiteql` fetches one page a call, so the loop over the pages
is written here: all pages gathered, which its own limit holds to ten at a time, or one after another.
"""

import asyncio
import json
import re
import sys
import time

from netsuite import Config, TokenAuth
from netsuite.rest_api import NetSuiteRestApi

QUERY = "SELECT id, tranid, memo, entity FROM transaction WHERE type = ? ORDER BY id"


def client(url, path, limit):
    with open(path) as file:
        keys = json.load(file)
    account = keys.pop("account_id")

    class Api(NetSuiteRestApi):
        def _make_url(self, subpath):
            return f"{url}/services/rest{subpath}"

    config = Config(account=account, auth=TokenAuth(**keys))
    return Api(config, concurrent_requests=limit)


def page(api, offset):
    return api.suiteql(QUERY, limit=1000, offset=offset, json={"params": ["SalesOrd"]})


def count(answer):
    return sum(1 for row in answer["items"] if row["id"].isdigit())


async def rows(api):
    first = await page(api, 0)
    offsets = range(1000, first["totalResults"], 1000)
    pages = [first, *await asyncio.gather(*(page(api, offset) for offset in offsets))]
    return sum(count(answer) for answer in pages)


async def rows_one_by_one(api):
    total, offset, more = 0, 0, True
    while more:
        answer = await page(api, offset)
        total += count(answer)
        offset, more = offset + 1000, answer["hasMore"]
    return total


async def upserts(api, number):
    async def one(n):
        order = {
            "entity": {"id": "7"},
            "memo": f"order {n}",
            "item": {"items": [{"item": {"id": "3"}, "quantity": 2}]},
        }
        try:
            await api.put(f"/record/v1/salesOrder/eid:order-{n}", params={"replace": "item"}, json=order)
            return 1
        except Exception:
            return 0

    return sum(await asyncio.gather(*(one(n) for n in range(number))))


def peak_megabytes():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) / 1024


async def main():
    url, credentials, what, number, limit = sys.argv[1:]
    api = client(url, credentials, int(limit))
    # A call before the clock starts, as the others make one. It may meet a 429.
    await asyncio.gather(api.get("/system/v1/serverTime"), return_exceptions=True)
    start = time.monotonic()
    if what == "rows":
        done = await rows(api)
    elif what == "rows-one-by-one":
        done = await rows_one_by_one(api)
    else:
        done = await upserts(api, int(number))
    print(json.dumps({"done": done, "seconds": time.monotonic() - start, "peak_mb": peak_megabytes()}))


asyncio.run(main())
