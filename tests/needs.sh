# What scripts of the tests need of the machine; they source this.

# Rust itself comes from elsewhere: better to say so before anything is installed.
need_cargo() {
  if ! command -v cargo >/dev/null; then
    echo "$0: needs cargo, $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer: https://rustup.rs" >&2
    exit 1
  fi
}

# The mirror of Debian that this machine uses.
debian_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sed -n 1p
}

# Installs what is missing of `needs`, whose lines are "command package" or "file package".
install_missing() {
  local missing=() command package
  while read -r command package; do
    [ -z "$command" ] || command -v "$command" >/dev/null || [ -e "$command" ] || missing+=("$package")
  done <<<"$needs"
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" != 0 ]; then
    echo "$0: as root it would install: ${missing[*]}" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
