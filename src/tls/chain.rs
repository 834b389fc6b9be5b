//! The certificates that a peer presents, judged before a path through them is looked for.
//!
//! Nobody stands for them at that time: whoever connects chooses what they say. A search through many
//! that all seem to be signed by each other takes seconds, so there may be no more than a chain needs.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, SignatureScheme,
};
use thiserror::Error;

use crate::net::Excerpt;

/// How many certificates a peer may present: its own and those between it and a CA.
const MAX_CERTIFICATES: usize = 6;

/// How many of those in between may have one and the same name, which are all tried as the issuer of
/// another: a CA that two others have signed has two certificates. Six of one name cost a hundred
/// signatures to be tried, 13 ms with a CA on P-256 and 130 ms with one on P-384; with two it is ten.
const MAX_SAME_NAMED: usize = 2;

/// Why the certificates that a peer presents are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChainError {
    /// There are more than a chain needs.
    #[error("{0} certificates were presented, and no chain needs more than {MAX_CERTIFICATES}")]
    TooMany(usize),
    /// Too many could each be the issuer of the same certificate.
    #[error("more than {MAX_SAME_NAMED} of the CA certificates that were presented have the same name")]
    SameNamed,
}

/// Verifies as another does, but only what is searched through quickly.
#[derive(Debug)]
pub struct BoundedVerifier<V: ?Sized>(pub Arc<V>);

/// What is wrong with a certificate, in no more than a log line can take.
pub fn describe(problem: &CertificateError) -> String {
    let chain_error = match problem {
        CertificateError::Other(OtherError(error)) => error.downcast_ref::<ChainError>(),
        _ => None,
    };
    chain_error.map_or_else(|| Excerpt(problem).to_string(), ChainError::to_string)
}

fn check(intermediates: &[CertificateDer<'_>]) -> Result<(), ChainError> {
    let presented = intermediates.len() + 1;
    if presented > MAX_CERTIFICATES {
        return Err(ChainError::TooMany(presented));
    }
    // The store reads names as the search does; what it cannot read is in no path.
    let mut parsed = RootCertStore::empty();
    parsed.add_parsable_certificates(intermediates.iter().cloned());
    let same_named =
        |ca: &TrustAnchor<'_>| parsed.roots.iter().filter(|other| other.subject == ca.subject).count();
    if parsed.roots.iter().any(|ca| same_named(ca) > MAX_SAME_NAMED) {
        return Err(ChainError::SameNamed);
    }
    Ok(())
}

impl From<ChainError> for rustls::Error {
    fn from(error: ChainError) -> Self {
        CertificateError::Other(OtherError(Arc::new(error))).into()
    }
}

impl ClientCertVerifier for BoundedVerifier<dyn ClientCertVerifier> {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        check(intermediates)?;
        self.0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl ServerCertVerifier for BoundedVerifier<dyn ServerCertVerifier> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        check(intermediates)?;
        self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SignatureAlgorithm};
    use rustls::server::WebPkiClientVerifier;

    use super::super::provider;
    use super::*;

    const P256: &SignatureAlgorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
    const P384: &SignatureAlgorithm = &rcgen::PKCS_ECDSA_P384_SHA384;

    fn params(name: &str, is_ca: IsCa) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = is_ca;
        params
    }

    fn ca(name: &str) -> CertificateParams {
        params(name, IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
        KeyPair::generate_for(algorithm).unwrap()
    }

    type Chain = Vec<CertificateDer<'static>>;

    /// Certificates that nobody of the issuers' names has signed, each a subject and its issuer; the first
    /// is no CA's.
    fn forged(names: &[(&str, &str)], algorithm: &'static SignatureAlgorithm) -> Chain {
        let certificate = |(index, (subject, issuer)): (usize, &(&str, &str))| {
            let forger = Issuer::new(ca(issuer), key(algorithm));
            let params = if index == 0 { params(subject, IsCa::ExplicitNoCa) } else { ca(subject) };
            params.signed_by(&key(algorithm), &forger).unwrap().der().clone()
        };
        names.iter().enumerate().map(certificate).collect()
    }

    fn verifier(root: CertificateDer<'static>) -> BoundedVerifier<dyn ClientCertVerifier> {
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        BoundedVerifier(inner.build().unwrap())
    }

    /// Why a listener with a CA named "CA" does not take them.
    fn refused(names: &[(&str, &str)], algorithm: &'static SignatureAlgorithm) -> String {
        let verifier = verifier(ca("CA").self_signed(&key(algorithm)).unwrap().der().clone());
        let chain = forged(names, algorithm);
        let started_at = Instant::now();
        let error = verifier.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).unwrap_err();
        println!("{} certificates took {:?}: {error}", chain.len(), started_at.elapsed());
        match error {
            rustls::Error::InvalidCertificate(problem) => describe(&problem),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn more_certificates_than_a_chain_needs_are_not_looked_at() {
        let chain: Vec<String> = (0..8).map(|number| format!("{number}")).collect();
        let names: Vec<(&str, &str)> = chain.windows(2).map(|two| (&*two[0], &*two[1])).collect();
        assert_eq!(refused(&names, P256), ChainError::TooMany(7).to_string());
        assert_eq!(refused(&names[1..], P256), "UnknownIssuer");
    }

    #[test]
    fn many_of_one_name_are_not_looked_at() {
        let leaf = ("leaf", "CA");
        let same = ("CA", "CA");
        assert_eq!(refused(&[leaf, same, same, same], P256), ChainError::SameNamed.to_string());
        assert_eq!(refused(&[leaf, same, same, same, same, same], P384), ChainError::SameNamed.to_string());
    }

    #[test]
    fn the_worst_that_is_looked_at_does_not_use_up_what_a_search_may_take() {
        for algorithm in [P256, P384] {
            let names = [("leaf", "B"), ("B", "A"), ("A", "CA"), ("A", "CA"), ("CA", "CA"), ("CA", "CA")];
            assert_eq!(refused(&names, algorithm), "BadSignature");
        }
    }

    #[test]
    fn a_ca_that_two_others_have_signed_is_a_chain_as_any_other() {
        let (root_key, other_key, middle_key) = (key(P256), key(P256), key(P256));
        let root = ca("root").self_signed(&root_key).unwrap().der().clone();
        let (root_issuer, other_issuer) =
            (Issuer::new(ca("root"), root_key), Issuer::new(ca("other"), other_key));
        let signed = |issuer| ca("middle").signed_by(&middle_key, issuer).unwrap().der().clone();
        let cross_signed = [signed(&other_issuer), signed(&root_issuer)];
        let middle = Issuer::new(ca("middle"), &middle_key);
        let leaf = params("leaf", IsCa::ExplicitNoCa).signed_by(&key(P256), &middle).unwrap();
        let verified = verifier(root).verify_client_cert(leaf.der(), &cross_signed, UnixTime::now());
        assert!(verified.is_ok(), "{verified:?}");
    }
}
