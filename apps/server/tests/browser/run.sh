#!/usr/bin/env bash
# The browser test: builds the server, serves an empty collection, fills it over HTTP and uses the page in a real Chromium.
# Needs node, npm and Chromium ($CHROMIUM, or /usr/bin/chromium). Screenshots go to the folder in $1.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../../.." && pwd)
work=$(mktemp -d)
shots=$(realpath -m "${1:-$work/shots}")
server=
stop() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; fi
    rm -rf "$work"
}
trap stop EXIT
cd "$here"
npm ci --no-audit --no-fund --silent
cd "$root"
cargo build --quiet -p kokeshi-server --example serve
target=${CARGO_TARGET_DIR:-$root/target}
node --input-type=module -e \
    "import { schema } from '$here/corpus.mjs'; process.stdout.write(JSON.stringify(schema));" > "$work/schema.json"
"$target/debug/examples/serve" --listen 127.0.0.1:0 --new "$work/schema.json" "$work/repository" > "$work/address" &
server=$!
for _ in $(seq 300); do
    grep -q http "$work/address" && break
    kill -0 "$server"
    sleep 0.1
done
cd "$here"
status=0
node test.mjs "$(cat "$work/address")" "$shots" "$root" || status=$?
kill "$server"
# The server must end by itself, and well.
wait "$server" || { echo "the server ended with status $?" >&2; status=1; }
server=
exit "$status"
