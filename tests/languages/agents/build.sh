#!/usr/bin/env bash
# Builds agents from other toolchains into target/examples, for tests/languages:
#
#     tests/languages/agents/build.sh [js] [python]        (both without a word)
#
# agent-http-LANGUAGE.wasm is for wasi:http/incoming-handler, and agent-handler-LANGUAGE.wasm for caxton:agent/handler. The WIT
# of WASI is that of the crate `wasip2`, which the agents in Rust are built with.
set -euo pipefail

root=$(cd "$(dirname "$0")/../../.." && pwd)
here=$root/tests/languages/agents
examples=$root/policies/examples
out=$root/target/examples
# shellcheck source=policies/examples/tools.sh
source "$examples/tools.sh"

# wit TO [VERSION] : the worlds of the agents with all that they name, in TO; of WASI as if it were of VERSION.
wit() {
    local crate newest
    crate=$(cd "$root" && cargo metadata --format-version 1 --locked | "$(python)" -c '
import json, os, sys
[crate] = [p for p in json.load(sys.stdin)["packages"] if p["name"] == "wasip2"]
print(os.path.dirname(crate["manifest_path"]))')
    rm -rf "$1"
    mkdir -p "$1/deps/caxton-agent"
    cp "$crate"/wit/deps/*.wit "$1/deps/"
    cp "$root/wit/agent/agent.wit" "$1/deps/caxton-agent/"
    cp "$here/wit/agents.wit" "$1/"
    newest=$(sed -n 's/^package wasi:http@\(.*\);$/\1/p' "$1/deps/http.wit")
    sed -i "s/@0\.2\.WASI/@${2:-$newest}/" "$1/agents.wit"
    sed -i "s/@${newest//./\\.}/@${2:-$newest}/; s/since(version = ${newest//./\\.})/since(version = ${2:-$newest})/" "$1"/deps/*.wit
}

# engine_wasi : the version of WASI that the engine of componentize-js is made for; it takes no other.
engine_wasi() {
    grep -ao 'wasi:http/incoming-handler@[0-9.]*[0-9]' node_modules/@bytecodealliance/componentize-js/lib/starlingmonkey_embedding.wasm |
        head -n 1 | cut -d@ -f2
}

build_js() {
    local work=$out/agents-javascript line
    with_node
    line=$(stamp "node $(node --version)" "$here"/*.js "$here/wit/agents.wit" "$examples/javascript"/package*.json \
        "$root/wit/agent/agent.wit" "$root/Cargo.lock")
    is_built "$line" "$out/agent-http-js.wasm" "$out/agent-handler-js.wasm" && return
    mkdir -p "$work"
    cp "$here"/*.js "$examples/javascript"/package*.json "$work/"
    (
        cd "$work"
        npm_ci
        wit wit "$(engine_wasi)"
        npm exec --silent -- componentize-js http.js --wit wit --world-name http --out http.wasm
        npm exec --silent -- componentize-js handler.js --wit wit --world-name handler --disable fetch-event --out handler.wasm
    )
    keep "$line" "$work/http.wasm" "$out/agent-http-js.wasm"
    keep "$line" "$work/handler.wasm" "$out/agent-handler-js.wasm"
}

build_python() {
    local work=$out/agents-python line python
    python=$(python)
    line=$(stamp "$("$python" --version)" "$here"/*.py "$here/wit/agents.wit" "$examples/python/requirements.txt" \
        "$root/wit/agent/agent.wit" "$root/Cargo.lock")
    is_built "$line" "$out/agent-http-python.wasm" "$out/agent-handler-python.wasm" && return
    mkdir -p "$work"
    cp "$here"/*.py "$examples/python/Makefile" "$examples/python/requirements.txt" "$work/"
    wit "$work/wit"
    (
        cd "$work"
        make --silent PYTHON="$python" .venv/installed || fail 'componentize-py could not be installed: see above'
        componentize http http_agent
        componentize handler handler_agent
    )
    keep "$line" "$work/http.wasm" "$out/agent-http-python.wasm"
    keep "$line" "$work/handler.wasm" "$out/agent-handler-python.wasm"
}

# componentize WORLD MODULE : builds WORLD.wasm in the directory that it is called in.
componentize() {
    .venv/bin/componentize-py --quiet --wit-path wit --world "$1" componentize --python-path . --output "$1.wasm" "$2"
}

mkdir -p "$out"
if [[ $# -eq 0 ]]; then
    set -- js python
fi
for language in "$@"; do
    case $language in
    js | python) "build_$language" ;;
    *) fail "there are no agents in $language: js, python" ;;
    esac
done
