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
    let heading = ["NAME".to_owned(), "GROUP".to_owned(), "PATH".to_owned(), "EXPOSES".to_owned()];
    let rows: Vec<[String; 4]> =
        std::iter::once(heading).chain(ENGINE.endpoints().iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let (name, group, path) = (width(0), width(1), width(2));
    rows.iter()
        .map(|row| format!("{:name$}  {:group$}  {:path$}  {}\n", row[0], row[1], row[2], row[3]))
        .collect()
}

fn cells(row: &Endpoint) -> [String; 4] {
    [row.name.to_owned(), row.group.unwrap_or("-").to_owned(), row.api_path(), row.exposes.to_owned()]
}
