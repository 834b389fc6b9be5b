//! `consumers`: prints the table of consumers.

use super::args::TableFormat;
use super::table;
use crate::policy::Consumer;
use crate::policy::consumers::CONSUMERS;

/// The table in a form for people or for programs, with a line end.
pub fn listing(format: TableFormat) -> String {
    match format {
        TableFormat::Json => {
            let json = serde_json::to_string_pretty(CONSUMERS).expect("the table is plain data");
            format!("{json}\n")
        }
        TableFormat::Table => {
            let heading = ["CONSUMER", "PROGRAM", "NAMES", "REDACTED", "KEPT"].map(str::to_owned);
            table::aligned(std::iter::once(heading).chain(CONSUMERS.iter().map(cells)))
        }
    }
}

fn cells(row: &Consumer) -> [String; 5] {
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let kept: Vec<&str> = row.keep_env.iter().chain(row.keep_labels).copied().collect();
    [
        row.name.to_owned(),
        row.program.to_owned(),
        row.allow.join(","),
        or_dash(row.redact.to_string()),
        or_dash(kept.join(",")),
    ]
}
