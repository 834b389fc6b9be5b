"""The contenders: how each is started, and how its processes' time and memory are read.

All stand before the same upstream, an nginx with static answers, and listen on a Unix socket. All but
the plain relay do the same job: GET only, and the same few paths. Each is one process with one thread,
as all share the machine with the load and the upstream.
"""

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import time

PATHS = "version|info|_ping|containers/json|containers/[^/]+/json|containers/[^/]+/export"
NAMES = "version,info,ping,containers,containers:export,events"
# What is taken out of answers where a measure says so.
VIEW = ["--redact", "commands,paths,options", "--keep-env", "VIRTUAL_*", "--keep-label", "com.docker.compose.*"]
# How many lists there are that differ in every item.
CHANGES = 50
# Connections: 10,000 clients and as many to the upstream.
MANY = 19900

UPSTREAM = """
daemon off; user root; worker_processes 1; pid {dir}/upstream.pid; error_log {dir}/upstream.log;
events {{ worker_connections {many}; }}
http {{
  access_log off; default_type application/json; keepalive_timeout 1h; keepalive_requests 1000000000;
  sendfile on; open_file_cache max=100; client_body_temp_path {dir}/u1; proxy_temp_path {dir}/u2;
  fastcgi_temp_path {dir}/u3; uwsgi_temp_path {dir}/u4; scgi_temp_path {dir}/u5;
  split_clients $request_id $another {{ {others} }}
  map $args $list {{ default json; all=1 changing/$another; limit=1000 many; }}
  server {{
    listen unix:{socket} backlog=4096; root {dir}/www;
    location = /containers/json {{ try_files /containers/$list =404; }}
  }}
}}
"""

NGINX = """
daemon off; user root; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log crit;
events {{ worker_connections {many}; }}
http {{
  access_log off; keepalive_timeout 1h; keepalive_requests 1000000000;
  client_body_temp_path {dir}/n1; proxy_temp_path {dir}/n2;
  fastcgi_temp_path {dir}/n3; uwsgi_temp_path {dir}/n4; scgi_temp_path {dir}/n5;
  upstream engine {{ server unix:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host docker;
  proxy_max_temp_file_size 0; proxy_read_timeout 1h;
  server {{
    {listen}
    if ($request_method != GET) {{ return 400; }}
    location / {{ return 404; }}
    location ~ ^(/v[0-9.]+)?/({paths})$ {{ proxy_pass http://engine; }}
    location ~ ^(/v[0-9.]+)?/events$ {{ proxy_pass http://engine; proxy_buffering off; }}
  }}
}}
"""

NGINX_TLS = """
    listen {tls} ssl; ssl_certificate {tls.cert}; ssl_certificate_key {tls.key};
    ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites {tls.CIPHER};
"""

HAPROXY = """
global
  nbthread 1
  no strict-limits
  maxconn {many}
defaults
  mode http
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  http-reuse always
frontend clients
  bind unix@{socket} backlog 4096
  http-request deny deny_status 400 unless METH_GET
  http-request deny deny_status 404 unless {{ path_reg ^(/v[0-9.]+)?/({paths}|events)$ }}
  default_backend engine
backend engine
  http-request set-header Host docker
  server engine unix@{upstream}
"""


class Process:
    """A program that was started here and is ended by its id."""

    def __init__(self, command, listening):
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait_for(listening)

    def _wait_for(self, address):
        """`address` is a path, or a host and a port."""
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        until = time.monotonic() + 30
        while time.monotonic() < until and self.child.poll() is None:
            with contextlib.suppress(OSError), socket.socket(family) as probe:
                probe.connect(address)
                return
            time.sleep(0.01)
        self.stop()
        raise SystemExit(f"{self.child.args[0]} does not listen on {address}")

    def stop(self):
        family = self.family()
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            # A main process that is killed leaves its workers behind.
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.child.wait()

    def family(self):
        """The ids of the process and of those that it started."""
        found, queue = [], [self.child.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                queue += map(int, _read(f"/proc/{pid}/task/{pid}/children").split())
        return found

    def cpu_seconds(self):
        """Time on a processor so far, that of children that have ended included."""
        ticks = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                ticks += sum(map(int, _read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def pss_kib(self):
        """Proportional set size of all its processes: proc_pid_smaps(5)."""
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
                total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total


class Tls:
    """A certificate and a port for the contenders that speak TLS; one of them runs at a time."""

    CIPHER = "TLS_AES_256_GCM_SHA384"

    def __init__(self, directory):
        self.cert, self.key = os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem")
        make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
        subprocess.run([*make.split(), "-keyout", self.key, "-out", self.cert], check=True, capture_output=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = probe.getsockname()

    def __str__(self):
        return f"127.0.0.1:{self.address[1]}"


class Contender:
    """One way to reach an upstream, by a command that listens on a socket of its own or speaks TLS."""

    def __init__(self, name, directory, program=None, tls=None):
        self.name = name
        self.dir = directory
        self.program = program
        self.tls = tls
        self.socket = os.path.join(directory, f"{name}.sock")

    def beside(self):
        """The same a second time, on a socket of its own."""
        directory = os.path.join(self.dir, "beside")
        os.makedirs(directory, exist_ok=True)
        return Contender(self.name, directory, self.program, self.tls)

    def over(self, tls):
        """The same, listening for TLS."""
        return Contender(self.name, self.dir, self.program, tls)

    def command(self, upstream, names=NAMES, view=()):
        """The command line that serves `upstream`; None where clients go straight to it."""
        fill = {"dir": self.dir, "socket": self.socket, "upstream": upstream, "many": MANY, "paths": PATHS}
        match self.name:
            case "direct":
                return None
            case "docker-proxy-acl":
                listen = ["--listen", f"unix://{self.socket}"]
                if self.tls:
                    listen = ["--listen", f"tcp://{self.tls}", "--tls", "--tlscert", self.tls.cert]
                    listen += ["--tlskey", self.tls.key]
                return [
                    self.program, "-a", names, *view, *listen,
                    "--upstream", f"unix://{upstream}", "--idle-timeout", "1h",
                    "--max-connections", str(MANY), "--max-connections-per-uid", str(MANY),
                    "--max-requests", str(MANY), "--client-share", "100",
                ]
            case "nginx":
                listen = f"listen unix:{self.socket} backlog=4096;"
                if self.tls:
                    listen = NGINX_TLS.format(tls=self.tls)
                return ["nginx", "-p", self.dir, "-c", self._file("conf", NGINX.format(listen=listen, **fill))]
            case "haproxy":
                return ["haproxy", "-db", "-q", "-f", self._file("cfg", HAPROXY.format(**fill))]
            case "socat":
                return [
                    "socat", f"UNIX-LISTEN:{self.socket},fork,backlog=4096", f"UNIX-CONNECT:{upstream}",
                ]

    @contextlib.contextmanager
    def running(self, upstream, names=NAMES, view=()):
        """Gives the socket to ask and the process, which is none for `direct`."""
        command = self.command(upstream, names, view)
        if command is None:
            yield upstream, None
            return
        self.clear()
        process = Process(command, self.tls.address if self.tls else self.socket)
        try:
            yield self.tls or self.socket, process
        finally:
            process.stop()
            self.clear()

    def clear(self):
        """nginx leaves its socket when it is killed, and does not start over one."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)

    def _file(self, ending, text):
        path = os.path.join(self.dir, f"{self.name}.{ending}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


def start_upstream(directory):
    """nginx with the answers: /version of 700 bytes, /containers/json of 50 kB, with `limit=1000` of 2 MB, with `all=1`
    mostly another one each time, in which every item differs; an export of 1 GiB."""
    www = os.path.join(directory, "www", "containers")
    os.makedirs(os.path.join(www, "x"))
    os.makedirs(os.path.join(www, "changing"))
    lists = {"json": containers(50_000), "many": containers(2_000_000)}
    lists |= {os.path.join("changing", str(n)): containers(50_000, f"Up {n} minutes") for n in range(CHANGES)}
    for path, text in lists.items():
        with open(os.path.join(www, path), "w", encoding="utf-8") as file:
            file.write(text)
    with open(os.path.join(directory, "www", "version"), "w", encoding="utf-8") as file:
        file.write(('{"Version":"27.3.1","ApiVersion":"1.47","Os":"linux","Components":[]}' * 11)[:700])
    with open(os.path.join(www, "x", "export"), "wb") as file:
        file.truncate(1 << 30)
    path = os.path.join(directory, "upstream.sock")
    config = os.path.join(directory, "upstream.conf")
    with open(config, "w", encoding="utf-8") as file:
        others = " ".join(f"{100 / CHANGES}% {n};" for n in range(CHANGES))
        file.write(UPSTREAM.format(dir=directory, socket=path, many=MANY, others=others))
    process = Process(["nginx", "-p", directory, "-c", config], path)
    # Reads the large file once: the first time also pays for its pages.
    with open(os.path.join(www, "x", "export"), "rb") as file:
        while file.read(1 << 20):
            pass
    return process, path


def containers(size, status="Up 3 hours"):
    """A list of containers as Docker gives it, about 2 kB each, of exactly this size."""
    items, left = [], size - 2
    while left > (length := len(text := container(len(items), status))):
        items.append(text)
        left -= length + 1
    return ("[" + ",".join(items) + "]").ljust(size)


def container(number, status):
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    project = {f"com.docker.compose.{name}": "shop" for name in ("project", "service", "oneoff", "version", "image")}
    item = {
        "Id": digest,
        "Names": [f"/shop-web-{number}"],
        "Image": "registry.example/shop/web:1.0",
        "ImageID": f"sha256:{digest}",
        "Command": "/docker-entrypoint.sh nginx -g 'daemon off;'",
        "Created": 1730000000,
        "Ports": [{"IP": ip, "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"} for ip in ("0.0.0.0", "::")],
        "Labels": project | {f"traefik.http.routers.web-{n}.rule": "Host(`shop.example`)" for n in range(8)},
        "State": "running",
        "Status": status,
        "HostConfig": {"NetworkMode": "shop_default"},
        "NetworkSettings": {
            "Networks": {
                "shop_default": {
                    "NetworkID": digest, "EndpointID": digest, "Gateway": "172.18.0.1", "IPAddress": "172.18.0.3",
                    "IPPrefixLen": 16, "MacAddress": "02:42:ac:12:00:03", "DriverOpts": None, "DNSNames": None,
                }
            }
        },
        "Mounts": [{"Type": "volume", "Source": f"/var/lib/docker/volumes/{n}/_data", "RW": True} for n in range(4)],
    }
    return json.dumps(item, separators=(",", ":"))


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Host(Contender):
    """docker-proxy-acl with a file that sets up a whole host; the first of its listeners is the one that is asked, by a
    client that no rule is for."""

    LISTENERS, CLIENTS = 50, 500

    def __init__(self, other):
        super().__init__(other.name, other.dir, other.program)

    def command(self, upstream, names=NAMES, view=()):
        places = [self.socket] + [os.path.join(self.dir, f"listener{n}", "s") for n in range(1, self.LISTENERS)]
        allow = ", ".join(f'"{name}"' for name in names.split(","))
        rules = "".join(
            f'  [[listener.client]]\n  uid = {100000 + n}\n  allow = ["containers:list", "events"]\n'
            for n in range(self.CLIENTS // self.LISTENERS)
        )
        listeners = "".join(
            f'[[listener]]\naddress = "unix://{place}"\nallow = [{allow}]\n'
            f'idle_timeout = "1h"\nmax_connections = {MANY}\nmax_connections_per_uid = {MANY}\n'
            f"max_requests = {MANY}\nclient_share = 100\n{rules}"
            for place in places
        )
        return [self.program, "--config", self._file("toml", listeners), "--upstream", f"unix://{upstream}"]
