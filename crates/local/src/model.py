"""A language model's API on this machine, for reviews: OpenAI's chat completions, with a rate limit.

Takes the requests a second and the milliseconds that an answer takes, listens on a free loopback port
and writes {"listening": URL} to standard output. The sentiment is worked out by vaderSentiment, and
the limit, a moving window of a second, is kept by the library limits. GET /_model/stats tells what it
saw.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

per_second, latency_ms = int(sys.argv[1]), int(sys.argv[2])

limiter = MovingWindowRateLimiter(MemoryStorage())
limit = RateLimitItemPerSecond(per_second)
analyzer = SentimentIntensityAnalyzer()
lock = threading.Lock()
stats = {"requests": 0, "answered": 0, "http_429": 0, "most_in_a_second": 0}
answered_at = []


def sentiment(text):
    score = analyzer.polarity_scores(text)["compound"]
    # The bounds that vaderSentiment's README recommends.
    return "positive" if score >= 0.05 else "negative" if score <= -0.05 else "neutral"


def count(answered):
    with lock:
        stats["requests"] += 1
        stats["answered" if answered else "http_429"] += 1
        if answered:
            now = time.monotonic()
            answered_at.append(now)
            within = sum(1 for at in answered_at[-4 * per_second :] if at > now - 1)
            stats["most_in_a_second"] = max(stats["most_in_a_second"], within)


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status, body, headers=()):
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in [("content-type", "application/json"), *headers]:
            self.send_header(name, value)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        with lock:
            self.reply(200, dict(stats))

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/chat/completions" or not request.get("messages"):
            self.reply(404, {"error": {"message": f"there is no {self.path}", "code": None}})
            return
        admitted = limiter.hit(limit)
        count(admitted)
        if not admitted:
            wait_ms = max(1, int(1000 * (limiter.get_window_stats(limit).reset_time - time.time())))
            error = {"message": "Rate limit reached: requests per second", "code": "rate_limit_exceeded"}
            self.reply(429, {"error": error}, [("retry-after-ms", str(wait_ms))])
            return
        time.sleep(latency_ms / 1000)
        text = request["messages"][-1]["content"]
        # What a model says of nothing is no sentiment.
        said = sentiment(text) if text.strip() else "There is no review."
        message = {"role": "assistant", "content": said}
        completion = {
            "id": f"chatcmpl-{time.monotonic_ns():x}",
            "object": "chat.completion",
            "model": request.get("model"),
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": len(text.split()), "completion_tokens": 1},
        }
        self.reply(200, completion)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
server.daemon_threads = True
print(json.dumps({"listening": f"http://127.0.0.1:{server.server_port}"}), flush=True)
server.serve_forever()
