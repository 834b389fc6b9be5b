"""What is measured: each function takes a running contender and gives figures by name."""

import contextlib
import json
import re
import socket
import subprocess
import time


class Bench:
    """The tools of the measures and how long they take."""

    def __init__(self, load, scale):
        self.load = load
        self.scale = scale

    # 1, 2

    def requests(self, where, process, path):
        """Requests per second on 32 kept-alive connections and processor time for each."""
        seconds = max(1, round(2 * self.scale))
        h2load = ["h2load", "--h1", "-c", "32", "-D", str(seconds), *target(where, path)]
        text, spent = spending(process, lambda: run(h2load))
        done, failed = succeeded(text)
        return {"rate": rate(text), "failed": failed, **of_each(spent, done)}

    # 8

    def crowd(self, where, process, path, connections):
        """The same on any number of connections, which are all open before the first asks."""
        crowd = ["crowd", where, path, "--connections", str(connections), "--seconds", str(2 * self.scale)]
        figures, spent = spending(process, lambda: self._load(*crowd))
        return {name: figures[name] for name in ("rate", "failed")} | of_each(spent, figures["requests"])

    # 3

    def latency(self, where, path, rate=2000, connections=16, seconds=3):
        """Quantiles in microseconds at so many requests/s, corrected for coordinated omission."""
        plan = {"rate": rate, "connections": connections, "seconds": seconds * self.scale}
        figures = self._load("latency", where, path, *(f"--{name}={value}" for name, value in plan.items()))
        return {name: figures[name] for name in ("p50", "p99", "p99.9")}

    # 9

    def handshakes(self, where, process):
        """New TLS connections per second, without resumption, and processor time for each."""
        seconds = max(1, round(2 * self.scale))
        s_time = ["openssl", "s_time", "-connect", str(where), "-new", "-tls1_3", "-ciphersuites", where.CIPHER]
        text, spent = spending(process, lambda: run([*s_time, "-time", str(seconds)]))
        done = int(re.search(r"(\d+) connections in [\d.]+ real seconds", text)[1])
        return {"rate": done / seconds, **of_each(spent, done)}

    def tls_download(self, where, process, path):
        """MB/s of one large answer over TLS and processor seconds for it."""
        h2load = ["h2load", "--h1", "-c", "1", "-n", "1", *target(where, path)]
        text, spent = spending(process, lambda: run(h2load))
        assert succeeded(text) == (1, 0), text
        return {"MB/s": (1 << 30) / seconds_of(text) / 1e6, "cpu s": spent}

    # 4

    def download(self, where, process, path):
        """MB/s of one large answer and processor seconds for it."""
        figures, spent = spending(process, lambda: self._load("download", where, path))
        return {"MB/s": figures["bytes"] / figures["seconds"] / 1e6, "cpu s": spent}

    # 5

    def fresh(self, where, path):
        """Requests per second, each on its own connection."""
        return {"rate": self._load("fresh", where, path, "--seconds", str(1.5 * self.scale))["rate"]}

    # 10

    def lists(self, where, process, path, size):
        """MB/s of one large answer after the other, the time to the first byte of one, and the memory that it takes."""
        rest = process.pss_kib()
        command = ["h2load", "--h1", "-c", "1", "-n", str(max(20, round(200 * self.scale))), *target(where, path)]
        text, spent = spending(process, lambda: run(command))
        done, failed = succeeded(text)
        number, unit = re.search(r"time to 1st byte: +([\d.]+)(us|ms|s)", text).groups()
        return {
            "MB/s": done * size / seconds_of(text) / 1e6,
            "MB/s of cpu": done * size / spent / 1e6,
            "first byte, us": float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit],
            "kB more": process.pss_kib() - rest,
            "failed": failed,
        }

    def event_pairs(self, contender, engine, view):
        """Microseconds that an event takes without the view, with it, and with it more, of two proxies in turn."""
        count = str(round(2000 * self.scale))
        with contender.running(engine) as (plain, _), contender.beside().running(engine, view=view) as (redacted, _):
            return self._load("event-pairs", engine, plain, redacted, "--events", count)

    # 6, 7

    def events(self, contender, engine, watchers):
        """Delays of events in microseconds, how many were lost, and memory per watcher in kB."""
        count = max(10, round((200 if watchers == 1 else 30) * self.scale))
        every = 5 if watchers == 1 else 50
        with contender.running(engine) if contender.name != "direct" else contextlib.nullcontext((engine, None)) as (
            where,
            process,
        ):
            rest = process.pss_kib() if process else None
            command = [self.load, "events", engine, where, "--watchers", str(watchers), "--events", str(count)]
            with subprocess.Popen(
                [*command, "--every", str(every), "--hold"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as helper:
                delays = json.loads(helper.stdout.readline())
                figures = {name: delays[name] for name in ("p50", "p99", "lost")}
                if process:
                    figures["kB each"] = (process.pss_kib() - rest) / watchers
                helper.communicate("\n", timeout=30)
        return figures

    # 7

    def idle(self, where, process, clients):
        """kB at rest, and per client that asked once and keeps its connection: once another one has asked, which brings
        the code of a request into memory, whoever comes next."""
        rest = process.pss_kib()
        with connected(where) as first:
            ask(first)
        before = process.pss_kib()
        with contextlib.ExitStack() as stack:
            open_clients = [stack.enter_context(connected(where)) for _ in range(clients)]
            for client in open_clients:
                ask(client)
            # What lets go of an idle client's memory does so soon.
            time.sleep(4)
            return {"rest": rest, "kB each": (process.pss_kib() - before) / clients}

    def start(self, contender, upstream, path):
        """Milliseconds from exec to the first answer."""
        contender.clear()
        figures = self._load("start", contender.socket, path, "--", *contender.command(upstream))
        contender.clear()
        return figures

    def _load(self, *args):
        return json.loads(run([self.load, *args]))


def spending(process, work):
    """What `work` gives, and the processor seconds that the process takes meanwhile; None without one."""
    before = process.cpu_seconds() if process else None
    result = work()
    return result, process.cpu_seconds() - before if process else None


def of_each(spent, done):
    """Processor time for each of what was done, in microseconds, where there is any."""
    return {"us": spent / done * 1e6} if spent is not None and done else {}


def run(command):
    """A tool's standard output; it has a minute."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def target(where, path):
    """What h2load is told of where to ask: a socket, or a port with TLS."""
    if isinstance(where, str):
        return ["-B", f"unix:{where}", f"http://docker{path}"]
    return [f"--tls13-ciphers={where.CIPHER}", f"https://{where}{path}"]


def seconds_of(h2load):
    time, unit = re.search(r"finished in ([\d.]+)(ms|s),", h2load).groups()
    return float(time) / (1000 if unit == "ms" else 1)


def rate(h2load):
    return float(re.search(r"finished in .*?, ([\d.]+) req/s", h2load)[1])


def succeeded(h2load):
    """How many answers were 2xx, and how many requests got another one or none."""
    good, *other = map(int, re.search(r"(\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", h2load).groups())
    return good, sum(other) + int(re.search(r"(\d+) failed", h2load)[1])


def connected(where):
    """A connection; a full queue means to try again."""
    for _ in range(1000):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        try:
            client.connect(where)
            return client
        except BlockingIOError:
            client.close()
            time.sleep(0.01)
    raise SystemExit(f"{where}: the queue stays full")


def ask(client):
    client.sendall(b"GET /version HTTP/1.1\r\nHost: docker\r\n\r\n")
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(65536)
    head, body = received.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"not a 200: {head!r}")
    length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
    while len(body) < length:
        body += client.recv(65536)
