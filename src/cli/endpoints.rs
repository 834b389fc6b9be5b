//! `endpoints`: prints the catalog.

use super::args::TableFormat;
use crate::policy::Endpoint;
use crate::policy::catalog::ENGINE;

/// The catalog in a form for people or for programs, with a line end.
pub fn listing(format: TableFormat) -> String {
    match format {
        TableFormat::Json => {
            let json = serde_json::to_string_pretty(ENGINE.endpoints()).expect("the catalog is plain data");
            format!("{json}\n")
        }
        TableFormat::Table => table(),
    }
}

fn table() -> String {
    let heading = ["NAME", "GROUP", "PATH", "REDACTABLE", "EXPOSES"].map(str::to_owned);
    let rows: Vec<[String; 5]> =
        std::iter::once(heading).chain(ENGINE.endpoints().iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let (name, group, path, classes) = (width(0), width(1), width(2), width(3));
    rows.iter()
        .map(|row| {
            let [a, b, c, d, exposes] = row;
            format!("{a:name$}  {b:group$}  {c:path$}  {d:classes$}  {exposes}\n")
        })
        .collect()
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
