#!/usr/bin/env bash
# Builds the example policies into target/examples:
#
#     policies/examples/build.sh [rust] [js] [python]        (all of them without a word)
#
# budget-rust.wasm, budget-js.wasm and budget-python.wasm are the same policy; faulty-js.wasm and faulty-python.wasm fail on
# demand, for tests/languages. JavaScript and Python are built in a copy of their directory, with the commands of their README, so that
# no tool is installed outside of target/. Nothing is done where sources and tools are those of the last time.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/policies/examples
out=$root/target/examples
# shellcheck source=policies/examples/tools.sh
source "$here/tools.sh"

# project FROM TO : the files of a project, with the contract, in TO; what was installed there stays.
project() {
    mkdir -p "$2/wit"
    cp "$here/$1"/* "$here/scenarios.json" "$2/"
    cp "$root/wit/policy/policy.wit" "$2/wit/"
}

build_rust() {
    # Where the host's build scripts build guests, and as they do: most of it is there.
    local target=$root/target/guest-target built
    (cd "$root" && cargo build --quiet --package policy-budget --target wasm32-wasip2 --profile guest --target-dir "$target")
    built=$target/wasm32-wasip2/guest/policy_budget.wasm
    cmp --silent "$built" "$out/budget-rust.wasm" && return
    cp "$built" "$out/budget-rust.wasm"
    say 'built target/examples/budget-rust.wasm'
}

build_js() {
    local work=$out/javascript faulty=$root/tests/languages/faulty.js line
    with_node
    line=$(stamp "node $(node --version)" "$here/javascript/policy.js" "$here/javascript"/package*.json \
        "$root/wit/policy/policy.wit" "$faulty")
    is_built "$line" "$out/budget-js.wasm" "$out/faulty-js.wasm" && return
    project javascript "$work"
    cp "$faulty" "$work/"
    (
        cd "$work"
        npm_ci
        npm run --silent build
        npm exec --silent -- componentize-js faulty.js --wit wit --world-name rollback-policy --disable http fetch-event --out faulty.wasm
    )
    keep "$line" "$work/budget.wasm" "$out/budget-js.wasm"
    keep "$line" "$work/faulty.wasm" "$out/faulty-js.wasm"
}

build_python() {
    local work=$out/python faulty=$root/tests/languages/faulty.py line python
    python=$(python)
    command -v make >/dev/null || fail 'make is needed; run: apt-get install make'
    line=$(stamp "$("$python" --version)" "$here/python/policy.py" "$here/python/Makefile" "$here/python/requirements.txt" \
        "$root/wit/policy/policy.wit" "$faulty")
    is_built "$line" "$out/budget-python.wasm" "$out/faulty-python.wasm" && return
    project python "$work"
    cp "$faulty" "$work/"
    (
        cd "$work"
        make --silent PYTHON="$python" || fail 'componentize-py could not be installed, or the policy not be built: see above'
        .venv/bin/componentize-py --quiet --wit-path wit --world rollback-policy componentize --python-path . --output faulty.wasm faulty
    )
    keep "$line" "$work/budget.wasm" "$out/budget-python.wasm"
    keep "$line" "$work/faulty.wasm" "$out/faulty-python.wasm"
}

mkdir -p "$out"
if [[ $# -eq 0 ]]; then
    set -- rust js python
fi
for language in "$@"; do
    case $language in
    rust | js | python) "build_$language" ;;
    *) fail "there is no example in $language: rust, js, python" ;;
    esac
done
