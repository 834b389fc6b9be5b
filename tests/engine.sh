# The engine that the tests share: how it is started, filled and ended. tests/run and tests/engines source this.
#
# `dir` is the folder that all of it is in, `kind` what the engine is: docker or podman.

start_engine() {
  "start_$kind" >"$dir/log" 2>&1 &
  engine=$!
  for _ in $(seq 300); do
    curl -fs --unix-socket "$dir/docker.sock" http://docker/_ping >/dev/null && return
    kill -0 "$engine" 2>/dev/null || break
    sleep 0.1
  done
  echo "$0: the engine does not start:" >&2
  tail -20 "$dir/log" >&2
  exit 1
}

start_docker() {
  exec dockerd --data-root "$dir/data" --exec-root "$dir/exec" -p "$dir/pid" -H "unix://$dir/docker.sock" \
    --bridge=none --iptables=false --ip6tables=false -D
}

start_podman() {
  exec podman --root "$dir/data" --runroot "$dir/exec" --tmpdir "$dir/s" --runtime runc \
    --network-config-dir "$dir/networks" --cgroup-manager cgroupfs --log-level debug system service --time 0 "unix://$dir/docker.sock"
}

# One of each kind of thing that the engine has, and names that look like routes.
fill_engine() {
  make_root
  tar -C "$dir/root" -c . | docker import - busybox:latest
  local name
  for name in getmeili/meilisearch:v1.6 library/json:latest x/history:latest ghcr.io/a/b:tag; do
    docker tag busybox:latest "$name"
  done
  for name in web json export; do
    docker run -d --name "$name" --network none -e PASSWORD=hidden busybox:latest \
      /bin/sh -c 'echo hello; exec /bin/busybox sleep 100000'
  done
  docker volume create data
  "fill_$kind"
}

# The files of the image that everything is made of.
make_root() {
  mkdir -p "$dir/root/bin"
  cp "$(command -v busybox)" "$dir/root/bin/busybox"
  ln -s busybox "$dir/root/bin/sh"
  cp "$(command -v nc.openbsd)" "$dir/root/bin/nc"
  ldd "$(command -v nc.openbsd)" | grep -o '/lib[^ ]*' | while read -r library; do
    mkdir -p "$dir/root$(dirname "$library")"
    cp -L "$library" "$dir/root$library"
  done
}

# A swarm with one of each kind of thing.
fill_docker() {
  docker swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:0
  docker network create -d overlay mesh
  echo content | docker secret create hush -
  echo content | docker config create plain -
  docker service create --detach --name sleeper busybox:latest /bin/busybox sleep 100000
  for _ in $(seq 300); do
    command docker -H "unix://$dir/docker.sock" service ps sleeper | grep -q Running && return
    sleep 0.1
  done
  echo "$0: the service does not run" >&2
  exit 1
}

# Podman has no swarm, but what goes by the same names.
fill_podman() {
  docker network create mesh
  echo content | docker secret create hush -
}

docker() {
  command docker -H "unix://$dir/docker.sock" "$@" >>"$dir/fill.log" 2>&1 || {
    cat "$dir/fill.log" >&2
    return 1
  }
}

# Ends the engine, if it runs, and what it would leave behind.
end_engine() {
  if [ -n "${engine:-}" ] && kill -0 "$engine" 2>/dev/null; then
    "empty_$kind" >/dev/null 2>&1 || true
    kill "$engine"
    wait "$engine" || true
  fi
}

# Interfaces outlive Docker; its containers end with it.
empty_docker() {
  command docker -H "unix://$dir/docker.sock" swarm leave --force || true
  command docker -H "unix://$dir/docker.sock" network rm docker_gwbridge
}

# Containers outlive Podman.
empty_podman() {
  command docker -H "unix://$dir/docker.sock" ps -q |
    xargs --no-run-if-empty docker -H "unix://$dir/docker.sock" rm -f
}
