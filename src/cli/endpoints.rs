//! `endpoints`: prints the catalog.

use super::args::TableFormat;
use super::table;
use crate::policy::Endpoint;
use crate::policy::catalog::ENGINE;

/// The catalog in a form for people or for programs, with a line end.
pub fn listing(format: TableFormat) -> String {
    match format {
        TableFormat::Json => {
            let json = serde_json::to_string_pretty(ENGINE.endpoints()).expect("the catalog is plain data");
            format!("{json}\n")
        }
        TableFormat::Table => {
            let heading = ["NAME", "GROUP", "PATH", "REDACTABLE", "EXPOSES"].map(str::to_owned);
            table::aligned(std::iter::once(heading).chain(ENGINE.endpoints().iter().map(cells)))
        }
    }
}

fn cells(row: &Endpoint) -> [String; 5] {
    let classes = if row.holds.is_empty() { "-".to_owned() } else { row.holds.to_string() };
    [
        row.name.to_owned(),
        row.group.unwrap_or("-").to_owned(),
        row.api_path(),
        classes,
        row.exposes.to_owned(),
    ]
}
