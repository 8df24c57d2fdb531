#!/bin/sh
# Checks that this machine has what `make setup` needs and prints the Python to build .venv with.
# Plain POSIX sh, because it has to run where the tools are missing or too old. PYTHON=… names another interpreter.
set -u

NEED_PYTHON_MINOR=11
NEED_NODE=20
NEED_MIB=4000

problems=0
complain() { # what is wrong, what to do
    printf 'pdfed: %s\n  next: %s\n' "$1" "$2" >&2
    problems=1
}

python_version() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }

python_fits() { # "3.11.7" -> true when it is at least 3.NEED_PYTHON_MINOR
    case "$1" in 3.*) rest=${1#3.}; [ "${rest%%.*}" -ge "$NEED_PYTHON_MINOR" ] ;; *) false ;; esac
}

# --- Python ----------------------------------------------------------------------------------------------------------
python=""
seen=""
if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- "python3.$NEED_PYTHON_MINOR" python3 python; fi
for candidate in "$@"; do
    version=$(python_version "$candidate") || continue
    [ -n "$version" ] || continue
    if python_fits "$version"; then python=$candidate; break; fi
    seen="${seen:+$seen, }$candidate is $version"
done
if [ -z "$python" ]; then
    complain "Python 3.$NEED_PYTHON_MINOR or newer is needed; found ${seen:-none}${PYTHON:+ (PYTHON=$PYTHON)}." \
        "install Python 3.$NEED_PYTHON_MINOR, or name one: make setup PYTHON=/path/to/python3.$NEED_PYTHON_MINOR"
elif ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
    complain "$python ($version) cannot make virtual environments: its modules venv and ensurepip are missing." \
        "install them (Debian and Ubuntu: apt-get install python3-venv)"
fi

# --- Node and npm ----------------------------------------------------------------------------------------------------
node_version=$(node --version 2>/dev/null) || node_version=""
node_major=${node_version#v}; node_major=${node_major%%.*}
if [ -z "$node_version" ]; then
    complain "Node $NEED_NODE or newer is needed; found none." "install Node $NEED_NODE and npm, and put them on PATH"
elif [ "$node_major" -lt "$NEED_NODE" ] 2>/dev/null; then
    complain "Node $NEED_NODE or newer is needed; found $node_version." "install Node $NEED_NODE and put it first on PATH"
elif ! npm --version >/dev/null 2>&1; then
    complain "npm is needed; found none beside Node $node_version." "install npm and put it on PATH"
fi

# --- space: the environment takes about 3 GB ---------------------------------------------------------------------------
if [ ! -e .venv/.installed ]; then
    free=$(df -Pm . 2>/dev/null | awk 'NR == 2 { print $4 }')
    if [ -n "$free" ] && [ "$free" -lt "$NEED_MIB" ] 2>/dev/null; then
        complain "$NEED_MIB MiB of free space are needed for the first set-up; found $free MiB in $PWD." \
            "free some space or clone to another disk"
    fi
fi

[ "$problems" -eq 0 ] || exit 52 # EnvironmentProblem, as in pdfed_sdk.errors
printf '%s\n' "$python"
