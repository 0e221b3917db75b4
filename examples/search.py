"""Search a running `kokeshi serve my.kokeshi` from Python, standard library only: search.py http://127.0.0.1:7700 my QUERY"""
import json
import sys
import urllib.request

server, collection, query = sys.argv[1:4]
request = urllib.request.Request(
    f"{server}/collections/{collection}/search",
    data=json.dumps({"query": query, "k": 5, "explain": True}).encode(),
    headers={"Content-Type": "application/json"},
)
answer = json.load(urllib.request.urlopen(request))
for hit in answer["hits"]:
    print(f"{hit['score']:.3f}  {hit['title'] or hit['id']}")
print(answer.get("note") or f"{len(answer['hits'])} hits in {answer['took_ms']:.1f} ms")
