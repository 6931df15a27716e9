#!/bin/sh
# packages.sh PROGRAM=PACKAGE ...: installs with apt-get the Debian packages whose program is missing ("-": always).
# No service is started: the tests start their own servers, and this machine's owner did not ask for others.
set -eu

PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
wanted=''
for pair in "$@"; do
    program=${pair%%=*}
    if [ "$program" = - ] || ! command -v "$program" >/dev/null 2>&1; then
        wanted="$wanted ${pair#*=}"
    fi
done
[ -n "$wanted" ] || exit 0

fail() {
    printf 'packages: missing:%s. Install them (%s).\n' "$wanted" "$1" >&2
    exit 1
}
command -v apt-get >/dev/null 2>&1 || fail 'no apt-get here: use your own package manager'
root=''
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || fail "as root: apt-get install$wanted"
    root=sudo
fi

printf 'packages: installing%s\n' "$wanted" >&2
# policy-rc.d is Debian's way to forbid that maintainer scripts start services; one that is there already is kept.
# shellcheck disable=SC2016,SC2086
$root env DEBIAN_FRONTEND=noninteractive sh -eu -c '
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap "rm -f $policy" EXIT
        trap "exit 1" HUP INT TERM
        printf "#!/bin/sh\nexit 101\n" >"$policy"
        chmod 755 "$policy"
    fi
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
' packages $wanted || fail "apt-get failed: apt-get update && apt-get install$wanted"
