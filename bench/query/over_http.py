"""p50 and p99 of searches over HTTP, one keep-alive connection, one request at a time.

usage: over_http.py HOST:PORT COLLECTION QUERIES.txt [--filter FILTER] [--mode hybrid]
"""
import argparse
import http.client
import json
import time

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("server")
parser.add_argument("collection")
parser.add_argument("queries")
parser.add_argument("--filter")
parser.add_argument("--mode", default="hybrid")
arguments = parser.parse_args()
queries = [line.strip() for line in open(arguments.queries, encoding="utf-8") if line.strip()]
connection = http.client.HTTPConnection(arguments.server)
times = []
for query in queries[:20] + queries:
    request = {"query": query, "mode": arguments.mode}
    if arguments.filter:
        request["filter"] = arguments.filter
    body = json.dumps(request).encode()
    started = time.perf_counter()
    connection.request("POST", f"/collections/{arguments.collection}/search", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    times.append(time.perf_counter() - started)
    if answer.status != 200:
        raise SystemExit(f"status {answer.status} for {query!r}")
times = sorted(times[20:])
at = lambda share: 1000 * times[min(len(times) - 1, int(share * len(times)))]
print(f"{len(times)} queries over HTTP, {arguments.mode}, filter {arguments.filter}: p50 {at(.5):.2f} ms, p99 {at(.99):.2f} ms, max {at(1):.2f} ms")
