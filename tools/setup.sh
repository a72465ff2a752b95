#!/usr/bin/env bash
# From a bare Debian or Ubuntu (git and make) to everything this project runs: `make setup`. Running it again does nothing
# unless its inputs changed. As root it installs missing system packages; otherwise it names the command that does.
set -euo pipefail
cd "$(dirname "$0")/.."
LOGS=.tools/log
STAMP=.tools/stamp
SAMPLE=.tools/samples/portrait.jpg
SAMPLE_SHA256=a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130

inputs() { # everything that decides what set-up makes; the folder counts, for environments cannot be moved
  { pwd; cat pyproject.toml requirements/*.txt tools/setup*.sh multimood/local/kafka-pom.xml multimood/local/kafka-jars.sha256 multimood/graphs/*.py multimood/assets/*_adapter.npz; } \
    | sha256sum | cut -d' ' -f1
}
if [ "$(cat $STAMP 2>/dev/null)" = "$(inputs)" ] && [ -x .venv/bin/python ]; then exit 0; fi

mkdir -p "$LOGS"
exec 9>.tools/setup.lock
flock -n 9 || { echo "another set-up is running here: waiting for it"; flock 9; }
rm -f "$LOGS"/*.running "$LOGS/failed" "$STAMP"
say() { printf '[%3d s] %-9s %s\n' "$SECONDS" "$1" "$2"; }
die() { printf '\nset-up stopped: %s\n' "$*" >&2; exit 1; }

# --- steps: each has a log; those that run side by side are told apart by their name ---------------------------------
# (A step's commands are joined by && or followed by || return: inside a condition, `set -e` is without effect.)
step() { # NAME WHAT COMMAND...
  local name=$1 what=$2 log=$LOGS/$1.log begin=$SECONDS; shift 2
  say "$name" "$what"
  : > "$LOGS/$name.running"
  if "$@" > "$log" 2>&1 < /dev/null; then
    rm -f "$LOGS/$name.running"; say "$name" "done in $((SECONDS - begin)) s"
  else
    rm -f "$LOGS/$name.running"; : > "$LOGS/failed"
    { say "$name" "FAILED after $((SECONDS - begin)) s; the end of $log:"; tail -n 20 "$log" | sed 's/^/          | /'; } >&2
    return 1
  fi
}
JOBS=()
side_by_side() { step "$@" & JOBS+=($!); }
stop_jobs() { for job in "${JOBS[@]}"; do kill -- "-$job" 2>/dev/null || true; done; }
await_jobs() { # a failing step has said so itself; it ends the others
  local job running=yes
  while [ -n "$running" ] && [ ! -e "$LOGS/failed" ]; do
    running=; for job in "${JOBS[@]}"; do ! kill -0 "$job" 2>/dev/null || running=yes; done
    sleep 0.1
  done
  [ ! -e "$LOGS/failed" ] || die "see above"
  for job in "${JOBS[@]}"; do wait "$job" || die "a step ended unexpectedly, see $LOGS"; done
  JOBS=()
}
heartbeat() { # shows during quiet stretches what is going on
  while sleep 15; do
    for running in "$LOGS"/*.running; do
      [ -e "$running" ] || continue
      name=$(basename "$running" .running)
      say "$name" "... $(tail -n 1 "$LOGS/$name.log" 2>/dev/null | tr -d '\r' | cut -c 1-90)"
    done
  done
}

# --- system packages -------------------------------------------------------------------------------------------------
# In a session of its own: dpkg must never be killed half way because another step failed. The next run waits for it.
APT='setsid --wait apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300'
is_debian() { command -v apt-get >/dev/null && [ -f /etc/debian_version ]; }
base_python() { # the interpreter itself: not a version manager's shim, not an activated environment's
  "$1" -c 'import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 12); print(sys._base_executable)' 2>/dev/null
}
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.12 python3.11}; do base_python "$candidate" && return; done
  return 1
}
has_venv() { command -v uv >/dev/null || [ -x .tools/uv/bin/uv ] || "$1" -c 'import ensurepip' 2>/dev/null; }
has_libpython() { # Triton's Python backend links the shared library of this very version
  "$1" - <<'PYTHON' 2>/dev/null
import ctypes, os, sys, sysconfig
name = "libpython%d.%d.so.1.0" % sys.version_info[:2]
folders = (sysconfig.get_config_var("LIBDIR"), os.path.join(sys.base_prefix, "lib"))
any(folder and os.path.exists(os.path.join(folder, name)) for folder in folders) or ctypes.CDLL(name)
PYTHON
}
python_packages() { # what gives a usable Python, by the version that is there or could be
  local python version
  if python=$(find_python); then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    has_venv "$python" || echo "python$version-venv"
    has_libpython "$python" || echo "libpython$version"
    return
  fi
  for version in 3.12 3.11; do
    if apt-cache show "python$version" >/dev/null 2>&1; then
      echo "python$version python$version-venv libpython$version"; return
    fi
  done
  echo python3.11 python3.11-venv libpython3.11
}
other_packages() {
  command -v java >/dev/null || echo default-jre-headless
  command -v mvn >/dev/null || kafka_is_here || echo maven
  command -v espeak-ng >/dev/null || echo espeak-ng
  [ -n "$(find /usr/lib /usr/lib64 -maxdepth 2 -name libgomp.so.1 2>/dev/null)" ] || echo libgomp1 # of llama.cpp
}
certificates() { [ -f /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates; }
kafka_is_here() { (cd .tools/kafka/libs 2>/dev/null && sha256sum --check --quiet --strict "$OLDPWD/multimood/local/kafka-jars.sha256" >/dev/null 2>&1); }

[ "$(uname -sm)" = "Linux x86_64" ] || die "$(uname -sm) is not supported: Triton's packaged server is for Linux x86_64"
[ -z "${PYTHON:-}" ] || base_python "$PYTHON" >/dev/null || die "PYTHON=$PYTHON is not a Python 3.11 or 3.12"
missing=$(echo $(certificates) $(python_packages) $(other_packages))
if [ -n "$missing" ]; then
  is_debian || die "please install with your package manager what Debian calls: $missing"
  [ "$(id -u)" = 0 ] || die "some system packages are missing. Install them with
    sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing
and run make setup again."
  export DEBIAN_FRONTEND=noninteractive
  echo "Running as root: installing system packages with apt-get as they are needed ($missing)."
fi
set -m # each job is a process group of its own, so that it can be stopped whole
heartbeat & HEARTBEAT=$!
trap 'exec 2>/dev/null; kill -- -$HEARTBEAT; stop_jobs' EXIT
trap 'exit 130' INT TERM
if [ -n "$missing" ]; then
  step apt "reading the package lists" apt-get update -q || die "apt-get update failed"
  first=$(echo $(certificates) $(python_packages)) # again: now the lists say which version there is
  [ -z "$first" ] || step apt "$first" $APT $first || die "no Python 3.11 or 3.12 could be installed: get one (for instance
    uv python install 3.12) and run make setup PYTHON=/path/to/python3.12"
fi

# --- Python packages, models and the broker, side by side ------------------------------------------------------------
PYTHON=$(find_python) || die "Python 3.11 or 3.12 is needed; found $(python3 --version 2>&1). Run make setup PYTHON=/path/to/python3.12"
broker() {
  local rest; rest=$(echo $(other_packages))
  [ -z "$rest" ] || { echo "installing $rest"; $APT $rest; } || return 1
  ! kafka_is_here || return 0
  rm -rf .tools/kafka/libs
  mvn -q -B -C -Dmaven.repo.local="$PWD/.tools/m2" -f multimood/local/kafka-pom.xml \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$PWD/.tools/kafka/libs" || return 1
  rm -rf .tools/m2
  kafka_is_here || { echo "the fetched jars are not those of multimood/local/kafka-jars.sha256"; return 1; }
}
packages() {
  "$UV" venv --quiet --allow-existing --python "$PYTHON" .venv &&
  "$UV" pip install --python .venv/bin/python --require-hashes -r requirements/app.txt &&
  "$UV" pip install --python .venv/bin/python --no-deps --no-build-isolation -e .
}
sample() { # a public-domain portrait (US Navy) that matplotlib ships as sample data
  ! echo "$SAMPLE_SHA256  $SAMPLE" | sha256sum --check --status 2>/dev/null || return 0
  local target=.tools/samples/matplotlib
  "$UV" pip install --quiet --python "$PYTHON" --no-deps --only-binary :all: --target "$target" matplotlib==3.10.7 &&
  cp "$target/matplotlib/mpl-data/sample_data/grace_hopper.jpg" "$SAMPLE" &&
  rm -r "$target" &&
  echo "$SAMPLE_SHA256  $SAMPLE" | sha256sum --check --quiet
}

side_by_side broker "Kafka${missing:+, and Java for it}" broker
UV=$(command -v uv || echo "$PWD/.tools/uv/bin/uv")
if [ ! -x "$UV" ]; then
  get_uv() { "$PYTHON" -m venv .tools/uv && .tools/uv/bin/pip install --quiet --disable-pip-version-check uv==0.13.9; }
  step uv "the installer of Python packages" get_uv || die "uv could not be installed"
fi
export UV PYTHON
side_by_side packages ".venv from requirements/app.txt" packages
side_by_side models "the Triton server and the models" tools/setup-models.sh
side_by_side sample "a sample portrait" sample
await_jobs

inputs > "$STAMP"
say setup "everything is in place"
