//! Certificates made for a test.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::proxy::{Builder, Proxy, program};
use super::tools::{curl, openssl};

/// From when to when a certificate is valid, as openssl reads it.
pub type Validity = (&'static str, &'static str);

pub const VALID: Validity = ("20200101000000Z", "20990101000000Z");
pub const EXPIRED: Validity = ("20200101000000Z", "20210101000000Z");
pub const NOT_YET_VALID: Validity = ("20980101000000Z", "20990101000000Z");

/// A CA that `certs` made, with a listener's certificate and one of a client named alice.
pub struct Pki {
    directory: tempfile::TempDir,
}

/// A directory with `ca.pem`, `cert.pem` and `key.pem`.
#[derive(Clone)]
pub struct CertDir(pub PathBuf);

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

    pub fn server(&self) -> CertDir {
        CertDir(self.path().join("server"))
    }

    pub fn alice(&self) -> CertDir {
        CertDir(self.path().join("clients/alice"))
    }

    /// Runs `certs` in its directory, which is to go well.
    pub fn certs(&self, args: &[&str]) {
        let output = certs(self.path(), args);
        assert!(output.status.success(), "{output:?}");
    }

    /// What `certs` does not make: a certificate by openssl with this validity and these extensions.
    pub fn issue_custom(&self, name: &str, (from, until): Validity, extensions: &str) -> CertDir {
        let issued = CertDir(self.path().join(name));
        std::fs::create_dir(&issued.0).unwrap();
        std::fs::copy(self.ca(), issued.ca()).unwrap();
        let at = |file: &str| issued.0.join(file);
        let ca = self.path().display();
        let config = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={0}/index\nnew_certs_dir={0}\nserial={0}/serial\n\
             default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n[x]\n{extensions}\n",
            issued.0.display()
        );
        std::fs::write(at("config"), config).unwrap();
        std::fs::write(at("index"), "").unwrap();
        std::fs::write(at("serial"), "0700\n").unwrap();
        openssl(
            &issued.0,
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -subj /CN={name} -out request"
            ),
        );
        openssl(
            &issued.0,
            &format!(
                "ca -batch -notext -config config -extensions x -startdate {from} -enddate {until} \
             -cert {ca}/ca.pem -keyfile {ca}/ca-key.pem -in request -out cert.pem"
            ),
        );
        std::fs::remove_file(at("0700.pem")).unwrap();
        issued
    }
}

/// Runs `certs` in a directory.
pub fn certs(directory: &Path, args: &[&str]) -> Output {
    program().arg("certs").args(args).arg("--dir").arg(directory).output().unwrap()
}

impl CertDir {
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
    fn flags(&self, ca: &str, cert: &str, key: &str) -> Vec<String> {
        let pairs = [(ca, self.ca()), (cert, self.cert()), (key, self.key())];
        pairs.iter().flat_map(|(flag, file)| [(*flag).to_owned(), file.display().to_string()]).collect()
    }

    /// As docker, dockerd and a listener of the program take them.
    pub fn docker_flags(&self) -> Vec<String> {
        self.flags("--tlscacert", "--tlscert", "--tlskey")
    }

    /// As the program takes them for its connections to the engine.
    pub fn upstream_flags(&self) -> Vec<String> {
        self.flags("--upstream-tlscacert", "--upstream-tlscert", "--upstream-tlskey")
    }

    /// As the clients and servers of openssl take them.
    pub fn openssl_flags(&self) -> Vec<String> {
        self.flags("-CAfile", "-cert", "-key")
    }

    pub fn curl_flags(&self) -> Vec<String> {
        self.flags("--cacert", "--cert", "--key")
    }

    /// As rustls takes them for a client.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca()).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_file(self.cert()).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.key()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Arc::new(builder.unwrap().with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap())
    }
}

/// A proxy that also listens on loopback with TLS and lets in the clients of a CA.
pub fn tls_proxy(pki: &Pki, upstream: &Path) -> Builder {
    let listen = ["--listen", "tcp://127.0.0.1:0", "--tlsverify"];
    Proxy::builder(upstream).args(listen).args(pki.server().docker_flags())
}

/// Runs curl as a client with a certificate.
pub fn curl_as(client: &CertDir, args: &[&str]) -> Output {
    let flags = client.curl_flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    curl(&[&flags, args].concat())
}
