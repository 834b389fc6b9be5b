//! The number of series is bounded, whatever clients write.

use std::ops::Range;

use crate::support::http::pipelined;
use crate::support::metrics::{Metrics, with_admin};
use crate::support::mock::{Mock, OK};
use crate::support::process::memory;
use crate::support::proxy::Proxy;
use crate::support::until;

const MANY: usize = 10_000;

/// What they may leave behind, in KiB: less than a tenth of a kilobyte each.
const GROWTH: u64 = 1024;

/// As many requests as that of three kinds each, no two alike.
fn requests(numbers: Range<usize>) -> String {
    let head = |path: String, n| format!("GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: agent-{n}\r\n\r\n");
    let paths = |n| [format!("/unknown-{n}"), format!("/containers/c{n}/json"), format!("/info?x{n}=1")];
    numbers.flat_map(|n| paths(n).map(|path| head(path, n))).collect()
}

#[test]
fn ten_thousand_paths_and_user_agents_make_no_series_and_grow_nothing() {
    let engine = Mock::answering(OK);
    let allowed = Proxy::builder(engine.socket()).allow("info,containers:inspect").quiet();
    let proxy = with_admin(allowed).start();
    assert_eq!(pipelined(proxy.socket(), &requests(0..1)).len(), 3);
    let counted = |count: usize| {
        let requests = || Metrics::of(&proxy).sum("docker_proxy_acl_requests_total", &[]);
        until("all are counted", || requests() == count as f64);
        Metrics::of(&proxy)
    };
    let before = counted(3).series();
    // Some first, so that buffers have the size that they will have.
    let mut done = 3;
    let mut memory_before = 0;
    for numbers in [1..MANY / 10, MANY / 10..MANY] {
        memory_before = memory(proxy.pid());
        let asked = 3 * numbers.len();
        assert_eq!(pipelined(proxy.socket(), &requests(numbers)).len(), asked);
        done += asked;
        assert_eq!(counted(done).series(), before);
    }
    let grown = memory(proxy.pid()).saturating_sub(memory_before);
    assert!(grown < GROWTH, "memory grew by {grown} KiB");
}

#[cfg(feature = "tls")]
mod certificates {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::Arc;

    use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

    use super::*;
    use crate::support::http::statuses;
    use crate::support::tls::{Pki, tls_proxy};

    /// Clients of a CA, each with another name.
    struct Clients {
        issuer: Issuer<'static, KeyPair>,
        key: KeyPair,
        roots: Arc<RootCertStore>,
    }

    impl Clients {
        fn new(pki: &Pki) -> Self {
            let read = |name: &str| std::fs::read_to_string(pki.path().join(name)).unwrap();
            let key = KeyPair::from_pem(&read("ca-key.pem")).unwrap();
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(read("ca.pem").as_bytes()).unwrap()).unwrap();
            Self {
                issuer: Issuer::from_ca_cert_pem(&read("ca.pem"), key).unwrap(),
                key: KeyPair::generate().unwrap(),
                roots: Arc::new(roots),
            }
        }

        /// Asks as the client of this name.
        fn ask(&self, port: u16, name: &str) {
            let mut params = CertificateParams::new(vec![format!("{name}.example")]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            let cert = params.signed_by(&self.key, &self.issuer).unwrap();
            let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config =
                ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
            let config = config.with_root_certificates(Arc::clone(&self.roots));
            let config = config.with_client_auth_cert(vec![cert.der().clone()], key).unwrap();
            let mut tls = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
            let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
            tcp.set_nodelay(true).unwrap();
            let mut stream = Stream::new(&mut tls, &mut tcp);
            stream.write_all(b"GET /info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            assert_eq!(statuses(&answer), [200]);
        }
    }

    #[test]
    fn ten_thousand_names_in_certificates_make_no_series_and_grow_nothing() {
        let (engine, pki) = (Mock::answering(OK), Pki::new());
        let proxy = with_admin(tls_proxy(&pki, engine.socket()).allow("info")).start();
        let (clients, port) = (Clients::new(&pki), proxy.tcp_port());
        clients.ask(port, "first");
        let counted = |count: usize| {
            let requests = || Metrics::of(&proxy).sum("docker_proxy_acl_requests_total", &[]);
            until("all are counted", || requests() == count as f64);
            Metrics::of(&proxy)
        };
        let before = counted(1).series();
        let ask = |numbers: Range<usize>| {
            numbers.for_each(|n| clients.ask(port, &format!("client-{n}")));
            memory(proxy.pid())
        };
        let memory_before = ask(0..MANY / 10);
        let grown = ask(MANY / 10..MANY).saturating_sub(memory_before);
        assert!(grown < GROWTH, "memory grew by {grown} KiB");
        let after = counted(1 + MANY);
        assert_eq!(after.series(), before);
        assert!(!after.text().contains("client-"), "{}", after.text());
    }
}
