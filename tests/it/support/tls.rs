//! Certificates made for a test, and other people's programs to meet over TCP and TLS.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::proxy::{Builder, Proxy, program};
use super::until;

/// A CA that `certs` made, with a listener's certificate and one of a client named alice.
pub struct Pki {
    directory: tempfile::TempDir,
}

/// A folder with `ca.pem`, `cert.pem` and `key.pem`.
#[derive(Clone)]
pub struct Folder(pub PathBuf);

impl Pki {
    pub fn new() -> Self {
        Self::with(&["--host", "localhost,127.0.0.1,::1"])
    }

    /// With these flags to `certs init`.
    pub fn with(flags: &[&str]) -> Self {
        let pki = Self { directory: tempfile::tempdir().unwrap() };
        pki.certs(&[&["init"], flags].concat());
        pki.certs(&["client", "alice"]);
        pki
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn ca(&self) -> PathBuf {
        self.path().join("ca.pem")
    }

    pub fn server(&self) -> Folder {
        Folder(self.path().join("server"))
    }

    pub fn alice(&self) -> Folder {
        self.client("alice")
    }

    pub fn client(&self, name: &str) -> Folder {
        Folder(self.path().join("clients").join(name))
    }

    /// Runs `certs` in its directory.
    pub fn certs(&self, args: &[&str]) {
        let output = program().arg("certs").args(args).arg("--dir").arg(self.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// What `certs` does not make: a certificate by openssl, valid between two times such as
    /// `20200101000000Z`, with these extensions.
    pub fn odd(&self, name: &str, from: &str, until: &str, extensions: &str) -> Folder {
        let folder = Folder(self.path().join(name));
        std::fs::create_dir(&folder.0).unwrap();
        std::fs::copy(self.ca(), folder.ca()).unwrap();
        let at = |file: &str| folder.0.join(file);
        let ca = self.path().display();
        let config = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={0}/index\nnew_certs_dir={0}\nserial={0}/serial\n\
             default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n[x]\n{extensions}\n",
            folder.0.display()
        );
        std::fs::write(at("config"), config).unwrap();
        std::fs::write(at("index"), "").unwrap();
        std::fs::write(at("serial"), "0700\n").unwrap();
        openssl(
            &folder.0,
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -subj /CN={name} -out request"
            ),
        );
        openssl(
            &folder.0,
            &format!(
                "ca -batch -notext -config config -extensions x -startdate {from} -enddate {until} \
             -cert {ca}/ca.pem -keyfile {ca}/ca-key.pem -in request -out cert.pem"
            ),
        );
        std::fs::remove_file(at("0700.pem")).unwrap();
        folder
    }
}

impl Folder {
    pub fn ca(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    pub fn cert(&self) -> PathBuf {
        self.0.join("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    /// The three files, after these three flags.
    pub fn flags(&self, ca: &str, cert: &str, key: &str) -> Vec<String> {
        let pairs = [(ca, self.ca()), (cert, self.cert()), (key, self.key())];
        pairs.iter().flat_map(|(flag, file)| [(*flag).to_owned(), file.display().to_string()]).collect()
    }
}

/// Runs openssl in a directory.
pub fn openssl(directory: &Path, args: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(args.split_whitespace()).current_dir(directory).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "openssl {args}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A proxy that listens on loopback with TLS and lets in the clients of a CA.
pub fn verifying(pki: &Pki, upstream: &Path) -> Builder {
    let folder = pki.server();
    Proxy::before(upstream).args(["--listen", "tcp://127.0.0.1:0", "--tlsverify"]).args(folder.flags(
        "--tlscacert",
        "--tlscert",
        "--tlskey",
    ))
}

/// The port of a proxy's TCP listener.
pub fn port(proxy: &Proxy) -> u16 {
    let line = proxy.logged(&["Listening on tcp://"]);
    let address = line.split("tcp://").nth(1).unwrap().split(' ').next().unwrap();
    address.rsplit(':').next().unwrap().parse().unwrap()
}

/// What a command printed, standard output and error together.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Runs curl, which has no configuration of its own and waits for a while at most.
pub fn curl(args: &[&str]) -> Output {
    Command::new("curl").args(["-q", "-sS", "-m", "20"]).args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs curl as a client with a certificate.
pub fn curl_as(folder: &Folder, args: &[&str]) -> Output {
    let flags = folder.flags("--cacert", "--cert", "--key");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    curl(&[&flags, args].concat())
}

/// A program that runs until it is dropped.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // In order: socat ends its children so.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// A port of loopback that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something listens on a port of loopback.
pub fn until_listening(port: u16) {
    until(&format!("something listens on port {port}"), || TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// nginx in one process, with this `http` or `stream` block.
pub fn nginx(directory: &Path, block: &str) -> Running {
    let place = directory.display();
    let config = directory.join("nginx.conf");
    let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
    let text = format!(
        "load_module {module};\ndaemon off; master_process off; user root; pid {place}/nginx.pid;\n\
         error_log {place}/error.log;\nevents {{}}\n{block}\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    Running::start(command.arg("-p").arg(directory).arg("-c").arg(config))
}
