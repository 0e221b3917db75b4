"""How often a search rightly says "nothing": 100 gibberish or off-topic queries, and the SciFact test queries that must not suffer.

usage: run.py KOKESHI_BINARY SCIFACT_DIR [--model DIR]
Prints the share of the 100 queries that return nothing (bar: >= 90 %), and the share of SciFact test queries that keep at least one
relevant document of those that are in the top 10 without the cut (bar: >= 95 %).
"""
import argparse
import json
import os
import random
import subprocess
import tempfile

OFF_TOPIC = """best pizza restaurant in Naples
how to change a flat tyre on a bicycle
premier league results this weekend
who won the eurovision song contest
cheap flights from Berlin to Lisbon
how do I reset my router password
lyrics of a sad love song
recipe for sourdough bread with rye flour
history of the Ottoman navy
how to knit a woollen scarf
red carpet dresses at the Oscars
mortgage rates for first time buyers
best beaches in Thailand for surfing
how to install Windows on an old laptop
chess openings for beginners
the plot of Hamlet in five sentences
electric guitar amplifier repair
how to write a cover letter
celebrity divorce gossip
train timetable Zurich to Milan
tax deduction for home office
used cars for sale near me
wedding speech ideas for the best man
how to paint a wooden fence
football transfer rumours
nice hotels with a pool in Crete
stock price of a car maker
dog training tips for puppies
the rules of cricket explained
what time does the museum open
poems about autumn leaves
horoscope for tomorrow
video game speedrun records
how to tie a bow tie
medieval castles in Wales
cover versions of famous rock songs
minimum wage in France
best smartphone camera 2024
how to train for a marathon in winter
how to fold a paper crane
gardening calendar for roses
parliamentary elections in Portugal
baroque architecture in Prague
learn Spanish verbs quickly
camping equipment checklist
karaoke bars open late
crossword clue seven letters
how to clean a leather sofa
secondhand bookshops in Edinburgh
the best jokes about lawyers""".splitlines()
NONSENSE = """asdf qwer zxcv
lorem ipsum dolor sit amet consectetur
blargh fnord wibble
!!!! ????
xyzzy plugh
hjkl hjkl hjkl
qqqqqqqqqq
aaaa bbbb cccc dddd
foo bar baz qux
0x7f3a 9921 zz
zzzxxyyy
mimsy were the borogoves
1234567890 0987654321
skdjfh aksjdfh aksjdhf
\u00bf\u00bf\u00bf \u2603 \u2603
ghoti ghoti
wibbly wobbly timey wimey
fhqwhgads
Lorem Ipsum
bleep bloop blorp""".splitlines()


def gibberish(count, seed=7):
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    word = lambda: "".join(chance.choice(letters) for _ in range(chance.randint(3, 10)))
    return [" ".join(word() for _ in range(chance.randint(1, 7))) for _ in range(count)]


def answers(binary, collection, queries, *flags):
    """One answer a query, from one process that reads queries line by line."""
    command = [binary, "search", "--in", collection, "--json", "-k", "10", *flags]
    lines = "\n".join(" ".join(query.split()) for query in queries) + "\n"
    out = subprocess.run(command, input=lines, capture_output=True, text=True, check=True).stdout
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(out):
        value, at = decoder.raw_decode(out, at)
        found.append(value)
        while at < len(out) and out[at].isspace():
            at += 1
    assert len(found) == len(queries), f"{len(found)} answers to {len(queries)} queries"
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kokeshi")
    parser.add_argument("scifact")
    parser.add_argument("--model")
    arguments = parser.parse_args()
    queries = {row["_id"]: row["text"] for row in map(json.loads, open(os.path.join(arguments.scifact, "queries.jsonl")))}
    relevant = {}
    with open(os.path.join(arguments.scifact, "qrels/test.tsv")) as lines:
        next(lines)
        for line in lines:
            query, document, grade = line.split("\t")
            if int(grade) > 0:
                relevant.setdefault(query, set()).add(document)
    with tempfile.TemporaryDirectory() as work:
        collection = work + "/scifact.kokeshi"
        command = [arguments.kokeshi, "index", arguments.scifact, "--to", collection, "--quiet"]
        subprocess.run(command + (["--model", arguments.model] if arguments.model else []), check=True, stdout=subprocess.DEVNULL)
        off = OFF_TOPIC + NONSENSE + gibberish(100 - len(OFF_TOPIC) - len(NONSENSE))
        found = answers(arguments.kokeshi, collection, off)
        silent = sum(not answer["hits"] for answer in found)
        print(f"{silent} of {len(off)} gibberish or off-topic queries return nothing (bar: 90)")
        for query, answer in zip(off, found):
            if answer["hits"]:
                print(f"  not silent: {query!r}: {answer['hits'][0]['title'][:70]!r}")
        ids = list(relevant)
        with_cut = answers(arguments.kokeshi, collection, [queries[i] for i in ids])
        without = answers(arguments.kokeshi, collection, [queries[i] for i in ids], "--no-cut")
        hits = lambda answer, i: {hit["id"] for hit in answer["hits"]} & relevant[i]
        had = [n for n, i in enumerate(ids) if hits(without[n], i)]
        kept = sum(bool(hits(with_cut[n], ids[n])) for n in had)
        print(f"{kept} of {len(had)} SciFact queries keep a relevant document of their top 10: {100 * kept / len(had):.1f} % (bar: 95)")
        shown = sum(len(answer["hits"]) for answer in with_cut) / len(ids)
        print(f"hits shown a query, of 10: {shown:.1f}")


main()
