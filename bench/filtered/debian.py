"""Makes the DEB set: the packages that `apt-cache dumpavail` lists, as vectors with attributes.

    apt-cache dumpavail > packages.txt
    python bench/filtered/debian.py packages.txt DATA/debian

Text is the name with hyphens as blanks and the one-line description; TF-IDF over words (in at least 3 packages, sublinear) to 256
dimensions by SVD, scaled to unit length, rows that are alike dropped. Writes vectors.npy (float32) and attributes.jsonl, row for row:
section (a category), tags (a set), installed_size (a number), source, package. Needs numpy and scikit-learn (made with 1.9.1).
"""

import json
import pathlib
import sys

import numpy
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer


def packages(text):
    """Each package as a dictionary of its fields; lines that go on are joined."""
    for block in text.split("\n\n"):
        fields, name = {}, None
        for line in block.splitlines():
            if line.startswith(" ") and name:
                fields[name] += line
            elif ": " in line:
                name, value = line.split(": ", 1)
                fields[name] = value
        if "Package" in fields:
            yield fields


def main(listing, to):
    found = {}
    for fields in packages(pathlib.Path(listing).read_text()):
        found.setdefault(fields["Package"], fields)
    found = list(found.values())
    texts = [p["Package"].replace("-", " ") + " " + p.get("Description", "") for p in found]
    counts = TfidfVectorizer(min_df=3, sublinear_tf=True).fit_transform(texts)
    rows = TruncatedSVD(256, random_state=1).fit_transform(counts).astype(numpy.float32)
    lengths = numpy.linalg.norm(rows, axis=1)
    rows /= numpy.maximum(lengths, 1e-12)[:, None]
    _, first = numpy.unique(rows.round(5), axis=0, return_index=True)
    kept = sorted(row for row in first if lengths[row] > 1e-6)
    to = pathlib.Path(to)
    to.mkdir(parents=True, exist_ok=True)
    numpy.save(to / "vectors.npy", rows[kept])
    with open(to / "attributes.jsonl", "w") as out:
        for row in kept:
            p = found[row]
            line = {
                "package": p["Package"],
                "section": p.get("Section", "").split("/")[-1],
                "tags": [tag.strip() for tag in p.get("Tag", "").split(",") if tag.strip()],
                "installed_size": int(p.get("Installed-Size", 0)),
                "source": p.get("Source", p["Package"]).split(" ")[0],
            }
            out.write(json.dumps(line) + "\n")
    print(f"{len(found)} packages, {len(kept)} rows x {rows.shape[1]}")


main(*sys.argv[1:])
