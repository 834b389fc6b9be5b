//! The list of names, for `--help` and for a command line that allows none.

use crate::policy::catalog::ENGINE;
use crate::policy::names;

/// Every name that `-a` takes with what it enables.
pub fn names_table() -> String {
    let rows: Vec<(&str, Vec<String>)> = names::all(&ENGINE)
        .into_iter()
        .map(|name| (name, names::matching(&ENGINE, name).map(|(_, row)| row.api_path()).collect()))
        .collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut text = String::from("Names that -a takes, and the endpoints that each enables for GET:\n");
    for (name, paths) in rows {
        text.push_str(&format!("  {name:width$}  {}\n", paths.join(" ")));
    }
    let files = ENGINE.endpoints().iter().filter(|row| row.hands_out_files);
    let mut warned: Vec<_> = files.map(|row| row.name).collect();
    warned.dedup();
    text.push_str(&format!("These hand out file contents: {}.\n", warned.join(", ")));
    text.push_str("Every flag can also be set by its environment variable. More: docker-proxy-acl endpoints");
    text
}
