# shellcheck shell=bash
# Shared by the scripts beside it: finds the toolchain, installs what is missing, makes the virtual environment, builds.
# Source it; it sets `root` (the checkout) and `prefix` (where the release build is installed).
#
# Exit codes of every script that sources this: 1 something failed · 2 wrong usage · 3 no Swift toolchain ·
# 4 a system package is missing and cannot be installed · 5 the Python environment cannot be made.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
prefix=${APUS_PREFIX:-$root/.build/prefix}
venv=${APUS_VENV:-$root/.venv}

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'
else
  bold='' dim='' red='' plain=''
fi

say() { printf '%s\n' "${bold}==>${plain} $*"; }
note() { printf '%s\n' "    ${dim}$*${plain}"; }

# fail CODE LINE...: what happened, then what to do, on standard error.
fail() {
  local code=$1 line
  shift
  printf '%s\n' "${red}error:${plain} $1" >&2
  shift
  for line in "$@"; do printf '%s\n' "       $line" >&2; done
  exit "$code"
}

# Prints the comment at the head of the calling script (its usage) and leaves.
show_help() {
  awk 'NR > 1 && /^#/ { sub(/^# ?/, ""); print; next } NR > 1 { exit }' "$1"
  exit 0
}

# Puts a Swift toolchain of 6.2 or later on PATH, or says where to get one.
need_swift() {
  local place version
  if ! command -v swift >/dev/null; then
    for place in "${SWIFTLY_BIN_DIR:-$HOME/.local/share/swiftly/bin}" "$HOME/.swiftly/bin" /usr/libexec/swift/bin; do
      if [[ -x $place/swift ]]; then
        PATH=$place:$PATH
        break
      fi
    done
  fi
  command -v swift >/dev/null || fail 3 "there is no Swift toolchain on this machine" \
    "Get Swift 6.2 or later from https://www.swift.org/install/linux/ (swiftly installs it in one command)," \
    "see that 'swift --version' works, and run this again."
  version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -n 1)
  local major=${version% *} minor=${version#* }
  if [[ -n $version ]] && ((major < 6 || (major == 6 && minor < 2))); then
    fail 3 "Swift $major.$minor is too old for Apus" "Get Swift 6.2 or later from https://www.swift.org/install/linux/."
  fi
}

# The packages that this machine lacks, one a line; judged by what works, not by what the package database says.
missing_packages() {
  local python=${APUS_PYTHON:-python3}
  command -v git >/dev/null || echo git
  command -v python3 >/dev/null || echo python3
  "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  if command -v pkg-config >/dev/null; then
    pkg-config --exists 'libzmq >= 4.3' || echo libzmq3-dev
    pkg-config --exists jemalloc || echo libjemalloc-dev
    pkg-config --exists sqlite3 || echo libsqlite3-dev
    pkg-config --exists python3 || echo python3-dev
  else
    printf '%s\n' pkg-config libzmq3-dev libjemalloc-dev libsqlite3-dev python3-dev
  fi
}

# The systems that launchers are tested with (Tests/systems), by what of them is not here.
missing_systems() {
  [[ -x /usr/sbin/sshd ]] || echo openssh-server
  command -v ssh >/dev/null || echo openssh-client
  command -v mpiexec.openmpi >/dev/null || echo openmpi-bin
  command -v mpiexec.mpich >/dev/null || echo mpich
  [[ -x /usr/sbin/slurmctld && -x /usr/sbin/slurmd ]] || printf '%s\n' slurmctld slurmd
  command -v sbatch >/dev/null || echo slurm-client
  [[ -x /usr/lib/gridengine/sge_qmaster && -x /usr/lib/gridengine/sge_execd ]] || printf '%s\n' gridengine-master gridengine-exec
  command -v qconf >/dev/null || echo gridengine-client
}

# want_systems: installs them where that is possible; their tests are skipped where it is not, one line each.
want_systems() {
  local missing=()
  mapfile -t missing < <(missing_systems)
  ((${#missing[@]})) || return 0
  if ! command -v apt-get >/dev/null || ((EUID != 0)); then
    note "not here, and their tests are skipped: ${missing[*]} (installed by root, on systems with apt-get)"
    return 0
  fi
  say "Installing ${missing[*]}"
  apt-get update -qq || true
  # One at a time: what one distribution lacks is no reason to go without the others.
  local package
  for package in "${missing[@]}"; do
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null \
      || note "$package cannot be installed; its tests are skipped"
  done
}

need_packages() {
  local missing=() sudo=()
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || fail 4 "this machine lacks ${missing[*]} (named as on Debian), and has no apt-get" \
    "Install them with the system's own package tool and run this again."
  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail 4 "${missing[*]} must be installed, which needs root" \
      "Run 'apt-get install ${missing[*]}' as root, then this again."
    sudo=(sudo)
  fi
  say "Installing ${missing[*]}"
  "${sudo[@]}" apt-get update -qq || note "the package lists could not be refreshed; trying with those at hand"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null \
    || fail 4 "apt-get could not install ${missing[*]}" "Its own words are above."
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]} == 0)) || fail 4 "still missing after the installation: ${missing[*]}"
}

# need_venv demo|test: the virtual environment with scripts/requirements-<kind>.txt in it. Done already: some milliseconds.
need_venv() {
  local kind=$1 stamp wanted base=${APUS_PYTHON:-python3}
  stamp=$venv/.apus-$kind
  wanted=$(cat "$root"/scripts/requirements-{demo,"$kind"}.txt | sha256sum | cut -d ' ' -f 1)
  if [[ ! -x $venv/bin/python ]] || ! "$venv/bin/python" -c '' 2>/dev/null; then
    say "Making a Python environment in ${venv/#"$PWD"\//}"
    "$base" -m venv --clear "$venv" || fail 5 "$base could not make a virtual environment in $venv"
  fi
  [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && return 0
  say "Installing the Python packages of scripts/requirements-$kind.txt"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$root/scripts/requirements-$kind.txt" \
    || fail 5 "pip could not install scripts/requirements-$kind.txt" "Its own words are above."
  printf '%s\n' "$wanted" >"$stamp"
}

# Release build, installed in $prefix. APUS_PREFIX names a finished installation instead, which is then taken as it is.
need_prefix() {
  if [[ -n ${APUS_PREFIX:-} ]]; then
    [[ -x $prefix/bin/ipcluster ]] || fail 2 "APUS_PREFIX is $prefix, and there is no bin/ipcluster in it"
    return 0
  fi
  say "Building in release mode and installing to ${prefix/#"$PWD"\//} (the first time takes some minutes)"
  if [[ ! -t 1 ]]; then
    "$root/scripts/install" "$prefix"
    return
  fi
  # The time that has passed, on the terminal's last line, until the build is done.
  local log ticker code=0
  log=$(mktemp)
  while sleep 1; do printf '\r    %sbuilding: %d s%s' "$dim" $((SECONDS)) "$plain"; done &
  ticker=$!
  # shellcheck disable=SC2064
  trap "kill $ticker 2>/dev/null; rm -f '$log'" EXIT
  "$root/scripts/install" "$prefix" >"$log" 2>&1 || code=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  printf '\r\e[K'
  cat "$log"
  rm -f "$log"
  trap - EXIT
  ((code == 0)) || exit "$code"
}
