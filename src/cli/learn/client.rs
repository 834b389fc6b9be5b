//! What is printed of one client, as comments: who it is, what it asked for, and what it was refused.
//!
//! The text is to be pasted into shells, so nothing of what clients wrote stands there that means something to one.

use std::fmt::Write;

use crate::config::{LearntClient, LearntEndpoint, LearntListener, RefusedCall};
use crate::net::ClientKey;
use crate::policy::catalog::ENGINE;
use crate::policy::learning::{ConsumerFit, fitting_consumers, least_names};

/// Consumers of one kind that are named.
const MAX_CONSUMERS: usize = 5;

/// The fewest names for these endpoints.
pub fn names<'a>(endpoints: impl IntoIterator<Item = &'a LearntEndpoint>) -> Vec<&'static str> {
    let needed: Vec<&str> = endpoints.into_iter().map(|endpoint| endpoint.name).collect();
    least_names(&ENGINE, |row| needed.contains(&row.name))
}

/// Who it is and how much it asked for.
pub fn title(listener: &LearntListener, client: &LearntClient) -> String {
    let who = match &client.client {
        Some(ClientKey::User(uid)) => format!("uid {uid}"),
        Some(ClientKey::Certificate(identity)) => {
            let name = identity.common_name.as_ref().or(identity.alternative_names.first());
            format!("certificate {}", name.map_or("without a name", |name| name.as_str()))
        }
        Some(ClientKey::Address(address)) => format!("address {address}"),
        None => "all further clients".to_owned(),
    };
    let plural = if client.requests == 1 { "" } else { "s" };
    format!("# {}, {}: {} request{plural}\n", listener.address, harmless(&who), client.requests)
}

/// That a listener has no clients, where that is all there is to say.
pub fn nobody(listener: &LearntListener) -> String {
    format!("# {}: no client asked for anything\n", listener.address)
}

/// What else there is to say of it, a comment a line.
pub fn notes(client: &LearntClient) -> String {
    let mut text = String::new();
    for LearntEndpoint { name, requests, parameters } in &client.endpoints {
        let parameters = match parameters[..] {
            [] => String::new(),
            _ => format!(" ({})", parameters.join(", ")),
        };
        let _ = match requests {
            0 => writeln!(text, "#         {name}, which an old version of the API shows too"),
            _ => writeln!(text, "# {requests:>6}  {name}{parameters}"),
        };
    }
    text.push_str(&consumers(client));
    if !client.withheld.is_empty() {
        text.push_str(
            "# not let through while learning, --include-files would; add them by hand if they are meant:\n",
        );
    }
    for (name, requests) in &client.withheld {
        let _ = writeln!(text, "# {requests:>6}  {name}");
    }
    if !client.refused.is_empty() {
        text.push_str("# nothing allows these:\n");
    }
    for call in &client.refused {
        let _ = writeln!(text, "# {:>6}  {}", call.requests, harmless(&refused(call)));
    }
    if client.refused_besides > 0 {
        let _ = writeln!(text, "# {:>6}  others", client.refused_besides);
    }
    text
}

fn refused(RefusedCall { method, path, why, .. }: &RefusedCall) -> String {
    match method.as_str() {
        "" => why.clone(),
        "POST" | "PUT" | "PATCH" | "DELETE" => format!("{method} {path}: writes"),
        _ => format!("{method} {path}: {why}"),
    }
}

/// The consumers that are allowed as much.
fn consumers(client: &LearntClient) -> String {
    let needed: Vec<&'static str> = client.endpoints.iter().map(|endpoint| endpoint.name).collect();
    let fits = fitting_consumers(&ENGINE, &needed);
    let (whole, without): (Vec<_>, Vec<_>) = fits.into_iter().partition(|fit| fit.without.is_empty());
    let (same, more): (Vec<_>, Vec<_>) = whole.into_iter().partition(|fit| fit.unused == 0);
    let mut text = String::new();
    for (fits, what) in [(same, "the same"), (more, "this and more")] {
        if !fits.is_empty() {
            let _ = writeln!(text, "# {what}: {}", list(&fits));
        }
    }
    for fit in without.iter().take(MAX_CONSUMERS) {
        let _ = writeln!(
            text,
            "# all but {}: --for {}, which does without",
            fit.without.join(", "),
            fit.consumer.name
        );
    }
    text
}

fn list(fits: &[ConsumerFit]) -> String {
    let named = fits.iter().take(MAX_CONSUMERS).map(|fit| format!("--for {}", fit.consumer.name));
    let named = named.collect::<Vec<_>>().join(", ");
    match fits.len().checked_sub(MAX_CONSUMERS) {
        None | Some(0) => named,
        Some(others) => format!("{named} and {others} more"),
    }
}

/// A text without anything that ends a line or means something to a shell.
fn harmless(text: &str) -> String {
    let harmless = |c: char| match c {
        '\'' | '"' => None,
        c if c.is_ascii_alphanumeric() || " /._-:@%{}+,=".contains(c) => Some(c),
        _ => Some('_'),
    };
    text.chars().filter_map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_client_wrote_means_something_to_a_shell() {
        let call = RefusedCall {
            method: "POST".to_owned(),
            path: "/x'$(reboot)`reboot`;reboot|reboot&\nreboot\"!!>/etc/passwd".to_owned(),
            requests: 1,
            why: "only GET allowed".to_owned(),
        };
        assert_eq!(
            harmless(&refused(&call)),
            "POST /x__reboot__reboot__reboot_reboot__reboot___/etc/passwd: writes"
        );
    }

    #[test]
    fn a_call_that_is_no_request_is_told_by_its_reason() {
        let call =
            RefusedCall { method: String::new(), path: String::new(), requests: 1, why: "no".to_owned() };
        assert_eq!(refused(&call), "no");
        let head = RefusedCall { method: "HEAD".to_owned(), path: "/info".to_owned(), ..call };
        assert_eq!(refused(&head), "HEAD /info: no");
    }
}
