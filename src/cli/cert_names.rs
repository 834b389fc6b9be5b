//! What a certificate's host and a client may be called.

/// A host that a certificate can be for: an IP address, a name, or a name with a `*` for its first part.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn host(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let starred = name.len() < text.len();
    match rustls::pki_types::ServerName::try_from(name) {
        Ok(rustls::pki_types::ServerName::IpAddress(_)) if starred => Err("an address has no '*'".to_owned()),
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("write a host's name or IP address, without port or brackets".to_owned()),
    }
}

/// The longest common name: `ub-common-name` of RFC 5280 appendix A.1.
pub const MAX_NAME_LEN: usize = 64;

/// A client's name: it becomes its certificate's common name, and a directory's.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn client_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if text.is_empty()
        || text.len() > MAX_NAME_LEN
        || text.starts_with(['.', '-'])
        || !text.chars().all(plain)
    {
        return Err("write a name of up to 64 letters, digits, '.', '_', '-' and '@'".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses() {
        for good in ["engine", "engine.example", "*.example.org", "192.0.2.1", "::1", "under_score"] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in
            ["", "[::1]", "host:2376", "tcp://host", "a b", "*", "*.", "a.*.b", "*.127.0.0.1", "*.192.0.2.1"]
        {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_client_s_name_is_a_directory_s_name() {
        for good in ["alice", "alice@example.org", "ci-runner_3.prod"] {
            assert!(client_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "-x", "a/b", "a\nb", "a b", "\u{e9}", &"x".repeat(65)] {
            assert!(client_name(bad).is_err(), "{bad}");
        }
    }
}
