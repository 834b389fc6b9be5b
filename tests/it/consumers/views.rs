//! What a row redacts is nowhere in the answers.

use super::fleet::{Fleet, PASSWORD};
use super::proxy_for;
use crate::support::library::CONSUMERS;

#[test]
#[ignore = "needs an engine: tests/run"]
fn no_row_that_redacts_variables_shows_a_password() {
    let fleet = Fleet::shared();
    for row in CONSUMERS.iter().filter(|row| !row.redact.is_empty()) {
        let proxy = proxy_for(row.name, &fleet.engine);
        let mut seen = 0;
        for target in ["/containers/json", "/containers/web/json", "/services", "/tasks"] {
            let answer = proxy.get(target);
            assert!(!answer.text().contains(PASSWORD), "{} sees it in {target}", row.name);
            seen += usize::from(answer.status() == 200);
        }
        assert!(seen > 0 || row.name == "prometheus-swarm-nodes", "{}", row.name);
    }
}
