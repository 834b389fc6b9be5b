//! What was learnt as command lines, with all else as comments.

use super::client;
use crate::config::LearntListener;

/// A line for each client, and for all of a listener's if they are several.
pub fn report(listeners: &[LearntListener]) -> String {
    listeners.iter().map(of_listener).collect()
}

fn of_listener(listener: &LearntListener) -> String {
    let mut text = String::new();
    for client in &listener.clients {
        text.push_str(&client::title(listener, client));
        text.push_str(&line(&client::names(&client.endpoints)));
        text.push_str(&client::notes(client));
    }
    match listener.clients.len() {
        0 => client::nobody(listener),
        1 => text,
        _ => {
            let all = client::names(listener.clients.iter().flat_map(|client| &client.endpoints));
            format!("{text}# {}, all clients together\n{}", listener.address, line(&all))
        }
    }
}

fn line(names: &[&str]) -> String {
    match names {
        [] => "# nothing that can be allowed\n".to_owned(),
        names => format!("docker-proxy-acl -a {}\n", names.join(",")),
    }
}
