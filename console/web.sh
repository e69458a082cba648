#!/bin/sh
# Makes the console's files and tests them; Maven calls this. It does nothing where nothing changed.
#
#   web.sh build [--offline=true]   into target/web
#   web.sh test [--offline=true]    the unit tests
#   web.sh node                     prints the Node that is used; fails if there is none
#
# Node: $TERMINUS_NODE, or the one on the PATH if it is new enough, or the one that Maven downloaded to target/node because
# there was none. Offline npm takes everything from its cache.
set -eu

cd "$(dirname "$0")"

# What vite and vitest run on: 20.19 and later of 20, or 22.12 and later.
is_new_enough() {
    "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number);
        process.exit((a === 20 && b >= 19) || (a === 22 && b >= 12) || a > 22 ? 0 : 1)' 2>/dev/null
}

find_node() {
    for node in "${TERMINUS_NODE:-}" "$(command -v node || true)" "$PWD/target/node/node/node"; do
        if [ -n "$node" ] && [ -x "$node" ] && is_new_enough "$node"; then
            return 0
        fi
    done
    echo "console: Node 20.19, 22.12 or later is needed to build the console, and none was found; TERMINUS_NODE may name one" >&2
    return 1
}

find_npm() {
    npm=$(dirname "$node")/npm
    [ -x "$npm" ] || npm=$(command -v npm) || {
        echo "console: no npm beside $node nor on the PATH" >&2
        return 1
    }
}

install() {
    want=$(cksum package.json package-lock.json)
    [ "$(cat node_modules/.installed 2>/dev/null || true)" = "$want" ] && return 0
    find_npm
    PATH=$(dirname "$node"):$PATH "$npm" ci --ignore-scripts --no-audit --no-fund --prefer-offline $offline >&2
    printf '%s' "$want" >node_modules/.installed
}

is_fresh() {
    [ -f target/web/static/console/index.html ] && [ -z "$(find src public index.html package-lock.json tsconfig.json \
        vite.config.ts web.sh -newer target/web/static/console/index.html | head -n 1)" ]
}

offline=
[ "${2:-}" = --offline=true ] && offline=--offline
find_node
case ${1:-} in
node) echo "$node" ;;
build)
    is_fresh && exit 0
    install
    "$node" node_modules/typescript/bin/tsc
    "$node" node_modules/vite/bin/vite.js build --logLevel warn
    ;;
test)
    install
    NO_COLOR=1 "$node" node_modules/vitest/vitest.mjs run --reporter=dot
    ;;
*)
    echo "usage: web.sh build|test|node [--offline=true]" >&2
    exit 2
    ;;
esac
