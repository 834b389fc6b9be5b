//! Learning what a client needs: what is let through meanwhile, the fewest names for what it asked for, and the
//! consumers that have those.

use super::catalog::Catalog;
use super::consumers::{CONSUMERS, Consumer};
use super::endpoint::Endpoint;
use super::names;

/// What is let through while it is learnt what clients need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LearningScope {
    /// Everything but what hands out files or tokens.
    WithoutFiles,
    /// Everything.
    WithFiles,
}

/// A consumer that is allowed all that a client needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerFit {
    /// Which one.
    pub consumer: &'static Consumer,
    /// Endpoints that it is allowed and the client did not ask for.
    pub unused: usize,
    /// Names that the client asked for and that such a consumer does without.
    pub without: Vec<&'static str>,
}

impl LearningScope {
    /// Whether an endpoint is let through.
    pub fn includes(self, endpoint: &Endpoint) -> bool {
        match self {
            Self::WithFiles => true,
            Self::WithoutFiles => !endpoint.hands_out_files && !endpoint.hands_out_tokens(),
        }
    }
}

/// The fewest names that allow these endpoints and no other: a group where all of it is needed, else the endpoints'
/// own names, in the order of the catalog.
pub fn least_names(
    catalog: &'static Catalog,
    is_needed: impl Fn(&'static Endpoint) -> bool,
) -> Vec<&'static str> {
    let is_whole = |group: &str| names::matching(catalog, group).all(|(_, row)| is_needed(row));
    let mut least = Vec::new();
    for row in catalog.endpoints().iter().filter(|row| is_needed(row)) {
        let name = row.group.filter(|group| is_whole(group)).unwrap_or(row.name);
        if !least.contains(&name) {
            least.push(name);
        }
    }
    least
}

/// The consumers of the table that are allowed all of these endpoints, given by their names, or all that they do not
/// do without; those that are allowed least besides come first.
pub fn fitting_consumers(catalog: &'static Catalog, needed: &[&'static str]) -> Vec<ConsumerFit> {
    let mut fits: Vec<ConsumerFit> =
        CONSUMERS.iter().filter_map(|consumer| fit(catalog, consumer, needed)).collect();
    fits.sort_by_key(|fit| (fit.without.len(), fit.unused));
    fits
}

fn fit(
    catalog: &'static Catalog,
    consumer: &'static Consumer,
    needed: &[&'static str],
) -> Option<ConsumerFit> {
    let opened = |names: &[&str]| -> Vec<&'static str> {
        let rows = names.iter().flat_map(|name| names::matching(catalog, name));
        rows.map(|(_, row)| row.name).collect()
    };
    let (allowed, optional) = (opened(consumer.allow), opened(consumer.optional));
    let (used, other): (Vec<&str>, Vec<&str>) = needed.iter().partition(|name| allowed.contains(name));
    let fits = !used.is_empty() && other.iter().all(|name| optional.contains(name));
    fits.then(|| ConsumerFit {
        consumer,
        unused: allowed.iter().filter(|name| !used.contains(name)).count(),
        without: other,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Acl;
    use super::super::catalog::ENGINE;
    use super::*;

    fn least(needed: &[&str]) -> Vec<&'static str> {
        least_names(&ENGINE, |row| needed.contains(&row.name))
    }

    fn fits(needed: &[&'static str]) -> Vec<(&'static str, usize, Vec<&'static str>)> {
        let fits = fitting_consumers(&ENGINE, needed).into_iter();
        fits.map(|fit| (fit.consumer.name, fit.unused, fit.without)).collect()
    }

    #[test]
    fn a_group_is_named_where_all_of_it_is_needed_else_its_endpoints_are() {
        assert_eq!(least(&["ping", "events", "containers:list"]), ["containers:list", "events", "ping"]);
        assert_eq!(least(&["containers:list", "containers:inspect"]), ["containers"]);
        assert_eq!(least(&["images:list", "images:inspect"]), ["images:list", "images:inspect"]);
        assert_eq!(
            least(&["images:history", "images:list", "images:inspect", "version"]),
            ["images", "version"]
        );
        // What no group opens does not make one whole.
        assert_eq!(least(&["containers:list", "containers:logs"]), ["containers:list", "containers:logs"]);
        assert_eq!(least(&["images:export"]), ["images:export"]);
        assert_eq!(least(&[]), Vec::<&str>::new());
    }

    #[test]
    fn the_names_open_what_is_needed_and_nothing_else() {
        let all: Vec<&str> = ENGINE.endpoints().iter().map(|row| row.name).collect();
        for (first, one) in all.iter().enumerate() {
            for (second, other) in all.iter().enumerate() {
                // Neighbours too, so that groups become whole.
                let (from, to) = (first.min(second), first.max(second));
                for needed in [&[*one, *other][..], &all[from..=to]] {
                    let acl = Acl::from_names(&ENGINE, least(needed)).unwrap();
                    for row in ENGINE.endpoints() {
                        assert_eq!(acl.allows(row), needed.contains(&row.name), "{}: {needed:?}", row.name);
                    }
                }
            }
        }
    }

    #[test]
    fn files_and_tokens_are_let_through_only_where_that_is_said() {
        let left_out = |scope: LearningScope| -> Vec<&str> {
            let rows = ENGINE.endpoints().iter().filter(|row| !scope.includes(row));
            rows.map(|row| row.name).collect()
        };
        assert!(left_out(LearningScope::WithFiles).is_empty());
        assert_eq!(
            left_out(LearningScope::WithoutFiles),
            [
                "containers:export",
                "containers:archive",
                "images:export",
                "images:export",
                "swarm:inspect",
                "secrets:list",
                "secrets:inspect",
                "configs:list",
                "configs:inspect",
            ]
        );
    }

    #[test]
    fn consumers_that_are_allowed_the_same_come_before_those_that_are_allowed_more() {
        let prometheus = fits(&["ping", "containers:list", "networks:list"]);
        assert_eq!(prometheus[0], ("prometheus", 0, vec![]));
        assert!(prometheus[1..].iter().all(|(_, unused, _)| *unused > 0), "{prometheus:?}");
        assert!(prometheus.iter().any(|(name, ..)| *name == "docker-gen"), "{prometheus:?}");
        assert!(fits(&["ping", "containers:archive"]).is_empty());
        assert!(fits(&[]).is_empty());
    }

    #[test]
    fn what_a_consumer_does_without_is_named() {
        let names =
            ["containers:list", "containers:inspect", "networks:list", "events", "info", "version", "ping"];
        let fits = fits(&names);
        assert!(fits.contains(&("docker-gen", 0, vec!["info", "version"])), "{fits:?}");
    }
}
