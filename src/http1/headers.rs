//! Which header fields travel, upstream and back.

use http::header::{self, HeaderMap, HeaderName};

/// The client's header fields that the engine gets to see; the others it has no use for, or could be
/// talked into something by.
#[rustfmt::skip] // one a line, each with its reason
static FORWARDED: [HeaderName; 4] = [
    header::ACCEPT,             // /events and logs come in several formats
    header::ACCEPT_ENCODING,    // archives may come compressed
    header::USER_AGENT,         // shows in the engine's log
    HeaderName::from_static("x-registry-auth"), // for images:search and distribution:inspect
];

/// The fields of a hop, not of the message: RFC 9110 section 7.6.1, and those of its predecessors.
/// `Trailer` stays, because trailers travel on.
#[rustfmt::skip]
static HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The fields of the request to the engine: a fixed `Host`, and of the client's the few that matter.
pub fn for_upstream(client: &HeaderMap, host: &http::HeaderValue) -> HeaderMap {
    // hyper takes the same map for the answer's fields, of which the engine sends about eight.
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(header::HOST, host.clone());
    for name in &FORWARDED {
        for value in client.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    headers
}

/// The client's fields without its wish for a compressed answer, which could not be filtered.
pub fn without_content_codings(client: &HeaderMap) -> HeaderMap {
    let mut headers = client.clone();
    headers.remove(header::ACCEPT_ENCODING);
    headers
}

/// Takes the fields of the hop out of the engine's answer, those that `Connection` names included.
pub fn strip_hop_by_hop(answer: &mut HeaderMap) {
    let present = answer.keys().filter(|name| HOP_BY_HOP.contains(name)).cloned();
    let values = answer.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = values
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| *name != header::CONTENT_LENGTH && *name != header::TRAILER);
    for name in present.chain(named).collect::<Vec<_>>() {
        answer.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(n, v)| (HeaderName::from_static(n), http::HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn only_the_listed_fields_reach_the_engine() {
        let client = map(&[
            ("host", "evil"),
            ("accept", "a"),
            ("upgrade", "h2c"),
            ("connection", "upgrade"),
            ("x-registry-auth", "e30="),
            ("x-forwarded-for", "1.2.3.4"),
            ("content-length", "0"),
            ("te", "trailers"),
        ]);
        let sent = for_upstream(&client, &http::HeaderValue::from_static("docker"));
        assert_eq!(sent, map(&[("host", "docker"), ("accept", "a"), ("x-registry-auth", "e30=")]));
    }

    #[test]
    fn the_hop_s_fields_stay_behind_and_the_message_s_travel() {
        let mut answer = map(&[
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x-sum"),
            ("api-version", "1.41"),
            ("content-length", "3"),
        ]);
        strip_hop_by_hop(&mut answer);
        assert_eq!(answer, map(&[("trailer", "x-sum"), ("api-version", "1.41"), ("content-length", "3")]));
    }
}
