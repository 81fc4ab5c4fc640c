#!/bin/sh
# Makes a Debian-like machine able to run the lab, the tests and the benchmarks: the programs they call, and the npm
# packages of the lock file. Idempotent; takes milliseconds when there is nothing to do. Starts no service.
set -eu

cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
export PATH

fail() {
  echo "setup: $1" >&2
  exit 1
}

[ "$(id -u)" -eq 0 ] || fail 'needs root, as network namespaces do; run it with sudo'

# What is called, and the Debian package that brings it.
missing=
for pair in ip:iproute2 nft:nftables tcpdump:tcpdump wrk:wrk nginx:nginx-light curl:curl ethtool:ethtool ps:procps; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done

install_missing() {
  command -v apt-get >/dev/null 2>&1 || fail "there is no apt-get here; install by other means:$missing"
  echo "setup: installing$missing" >&2
  # Debian starts what it installs unless this file says no (invoke-rc.d, exit code 101): nginx must not take port 80.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  DEBIAN_FRONTEND=noninteractive
  export DEBIAN_FRONTEND
  apt-get update -qq >/dev/null || fail 'apt-get update failed; its reason is above'
  # Unquoted: one word for each package.
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $missing >/dev/null || fail "apt-get could not install$missing"
}

# The stamp holds the checksum of the lock file that node_modules was made from.
lock=$(sha256sum package-lock.json)
stamped() {
  [ -d node_modules ] && [ -f .setup-stamp ] && [ "$(cat .setup-stamp)" = "$lock" ]
}

# npm writes node_modules/.package-lock.json last: newer than the lock file means that somebody ran npm already.
installed() {
  [ -f node_modules/.package-lock.json ] && [ ! -f .setup-stamp ] &&
    [ -n "$(find node_modules/.package-lock.json -newer package-lock.json)" ]
}

[ -z "$missing" ] || install_missing
if ! stamped; then
  if ! installed; then
    command -v npm >/dev/null 2>&1 || fail 'there is no npm here; install Node.js with npm'
    echo 'setup: npm ci' >&2
    rm -f .setup-stamp
    # Said in full even under `npm --silent`, which nested calls inherit.
    npm ci --no-progress --loglevel=error >&2 || fail 'npm ci failed; its reason is above'
  fi
  printf '%s\n' "$lock" >.setup-stamp
fi
