#!/bin/sh
# Makes .venv ready: finds Python >= 3.11, installs uv into .venv, and everything of uv.lock with it.
set -eu
cd "$(dirname "$0")/.."

UV_VERSION='uv>=0.9,<1'
SUITS='import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'

say() { printf 'setup: %s\n' "$*" >&2; }

# The candidate is run, not only looked up: a pyenv shim exists for versions that are not selected, and fails.
find_python() {
    for candidate in ${PYTHON:-} python3.12 python3.11 python3 python3.13; do
        if "$candidate" -c "$SUITS" 2>/dev/null && "$candidate" -c "$1" 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c "$SUITS" 2>/dev/null; then
    if ! python=$(find_python 'import ensurepip, venv'); then
        say 'no Python 3.11 to 3.13 with the venv module; installing it'
        sh .ci/packages.sh python3=python3 -=python3-venv
        python=$(find_python 'import ensurepip, venv') || {
            say "Python 3.11, 3.12 or 3.13 with its venv module is needed, e.g. apt-get install python3.12 python3.12-venv, or make PYTHON=/path/to/python"
            exit 1
        }
    fi
    say "creating .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi

# uv reads the certificates of the system where there are any (a company's own root may be among them); else its own.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
    UV_NATIVE_TLS="$UV_SYSTEM_CERTS" # its name before uv 0.11
    export UV_SYSTEM_CERTS UV_NATIVE_TLS
fi

if [ ! -x .venv/bin/uv ]; then
    say 'installing uv'
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$UV_VERSION"
fi

say 'installing what uv.lock names'
# --inexact: uv itself is not in the lock and stays.
UV_PROJECT_ENVIRONMENT=.venv VIRTUAL_ENV='' .venv/bin/uv sync --frozen --inexact --quiet --python .venv/bin/python
touch .venv/.ready
