"""A real engine of its own, with a hundred containers."""

import contextlib
import os
import shutil
import subprocess
import tarfile

from .contenders import Process

CONTAINERS = 100
# It touches nothing of the machine's networks.
APART = ["--bridge=none", "--iptables=false", "--ip6tables=false"]


class Engine:
    """dockerd, as root; its containers are made and not started."""

    def __init__(self, directory):
        self.dir = os.path.join(directory, "dockerd")
        os.makedirs(self.dir)
        self.socket = os.path.join(self.dir, "docker.sock")
        roots = ["--data-root", os.path.join(self.dir, "data"), "--exec-root", os.path.join(self.dir, "exec")]
        own = [*roots, "-p", os.path.join(self.dir, "pid"), "-H", f"unix://{self.socket}"]
        self.process = Process(["dockerd", *own, *APART], self.socket)
        try:
            self._fill()
        except BaseException:
            self.stop()
            raise

    def _fill(self):
        image = os.path.join(self.dir, "image.tar")
        with tarfile.open(image, "w") as tar:
            tar.add(shutil.which("busybox"), "bin/busybox")
        self._docker("import", image, "busybox")
        for number in range(CONTAINERS):
            self._docker("create", "--name", f"c{number}", "--network", "none", "busybox", "/bin/busybox", "true")
        self.a_container = f"/containers/c{CONTAINERS // 2}/json"

    def _docker(self, *command):
        subprocess.run(["docker", "-H", f"unix://{self.socket}", *command], check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        self.process.stop()
        # What it leaves mounted would keep the directory from being removed.
        with contextlib.suppress(OSError), open("/proc/self/mounts", encoding="utf-8") as mounts:
            for path in reversed([line.split()[1] for line in mounts if self.dir in line]):
                subprocess.run(["umount", path], check=False)
