//! Certificate chains that are made to cost whoever looks at them time, and a client that shows them.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::http::connect_tcp;
use super::tls::Pki;

/// A chain that nobody has signed, and the key of its first certificate.
pub struct Crafted {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: KeyPair,
}

impl Crafted {
    /// Six levels of seven CAs with the same name, each a possible issuer of any of the level below, and
    /// others that are looked at in vain at each step: a search through them takes seconds.
    pub fn labyrinth() -> Self {
        const LEVELS: usize = 6;
        const WIDTH: usize = 7;
        const FILLERS: usize = 150;
        let signer = |name: &str| Issuer::new(ca(name), KeyPair::generate_for(&PKCS_ED25519).unwrap());
        let keys: Vec<_> = (0..WIDTH).map(|_| KeyPair::generate_for(&PKCS_ED25519).unwrap()).collect();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut chain = vec![named("0").signed_by(&key, &signer("1")).unwrap().der().clone()];
        let fillers = signer("f");
        for _ in 0..FILLERS {
            chain.push(ca("f").signed_by(&keys[0], &fillers).unwrap().der().clone());
        }
        for level in 1..=LEVELS {
            let above = signer(&format!("{}", level + 1));
            for key in &keys {
                chain.push(ca(&format!("{level}")).signed_by(key, &above).unwrap().der().clone());
            }
        }
        let bytes: usize = chain.iter().map(|certificate| certificate.len()).sum();
        println!("{} certificates, {bytes} bytes", chain.len());
        Self { chain, key }
    }

    /// As rustls takes it.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn ca(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// What rustls computes with.
pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Makes a handshake as a client with this chain and asks for `/version`; how it ended.
pub fn shake_hands(
    pki: &Pki,
    port: u16,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.ca()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = builder.unwrap().with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
    let session = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(session, connect_tcp(port));
    let sent = stream.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    match sent.and_then(|()| stream.read_to_end(&mut answer)) {
        Ok(_) => String::from_utf8_lossy(&answer).into_owned(),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            String::from_utf8_lossy(&answer).into_owned()
        }
        Err(error) => error.to_string(),
    }
}
