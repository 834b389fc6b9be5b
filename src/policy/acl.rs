//! The access control list: which endpoints are enabled, and the verdict on a request.

use http::Method;

use super::catalog::Catalog;
use super::endpoint::Endpoint;
use super::names::{self, UnknownName};
use super::path::CanonicalPath;
use super::query::Query;
use super::router::Route;
use super::verdict::{Allowed, Denied, Reason, Verdict};
use super::version::ApiVersion;

/// The endpoints of a catalog that are enabled.
#[derive(Debug, Clone)]
pub struct Acl {
    catalog: &'static Catalog,
    names: Vec<&'static str>,
    enabled: Rows,
    /// The lowest version of the API that the engine is asked with.
    min_version: Option<ApiVersion>,
}

/// Rows of a catalog, by their index: as bits, because there is an ACL for each rule of a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Rows(u128);

impl Rows {
    fn contains(self, row: usize) -> bool {
        self.0 >> row & 1 == 1
    }

    fn insert(&mut self, row: usize) {
        self.0 |= 1 << row;
    }
}

impl Acl {
    /// The ACL that enables what these names stand for.
    ///
    /// # Errors
    /// [`UnknownName`] for the first one that the catalog does not have.
    pub fn from_names<S: AsRef<str>>(
        catalog: &'static Catalog,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self, UnknownName> {
        let mut acl = Self::empty(catalog);
        for name in names {
            acl.enable(name.as_ref())?;
        }
        Ok(acl)
    }

    /// The ACL that enables nothing.
    pub fn empty(catalog: &'static Catalog) -> Self {
        Self { catalog, names: Vec::new(), enabled: Rows::default(), min_version: None }
    }

    /// Whether an endpoint is enabled.
    pub fn allows(&self, endpoint: &Endpoint) -> bool {
        self.endpoints().any(|row| std::ptr::eq(row, endpoint))
    }

    /// Has requests with a lower version of the API, or none, sent on with this one.
    #[must_use]
    pub fn with_min_version(mut self, version: Option<ApiVersion>) -> Self {
        self.min_version = version;
        self
    }

    /// The names that it was made from, in their order, each once.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// The enabled rows of the catalog.
    pub fn endpoints(&self) -> impl Iterator<Item = &'static Endpoint> {
        self.catalog
            .endpoints()
            .iter()
            .enumerate()
            .filter(|(row, _)| self.enabled.contains(*row))
            .map(|(_, row)| row)
    }

    /// The verdict on a request with this method, this path and this query.
    pub fn authorize<'a>(&self, method: &Method, path: &'a str, query: Option<&'a str>) -> Verdict<'a> {
        match self.authorize_get(path, query) {
            allowed @ Verdict::Allowed(_) if method == Method::GET => allowed,
            // Whatever the path: the answer does not tell which paths are enabled.
            Verdict::Allowed(Allowed { endpoint, .. }) => {
                Verdict::Denied(Denied::new(Reason::MethodNotAllowed, Some(endpoint)))
            }
            Verdict::Denied(_) if method != Method::GET => {
                Verdict::Denied(Denied::new(Reason::MethodNotAllowed, None))
            }
            denied => denied,
        }
    }

    fn authorize_get<'a>(&self, path: &'a str, query: Option<&'a str>) -> Verdict<'a> {
        let path = match CanonicalPath::parse(path) {
            Ok(path) => path,
            Err(error) => return Verdict::Denied(Denied::new(Reason::Malformed(error), None)),
        };
        let (reason, endpoint) = match self.catalog.route(&path) {
            Route::Endpoint(row) => {
                let endpoint = &self.catalog.endpoints()[row];
                if self.enabled.contains(row) {
                    return self.authorize_enabled(endpoint, path, query);
                }
                (Reason::NotAllowed(endpoint), Some(endpoint))
            }
            Route::Denied(denied) => (Reason::DeniedPath(denied), None),
            Route::Unknown => (Reason::UnknownPath, None),
            Route::EncodedSlash => (Reason::EncodedSlash, None),
        };
        Verdict::Denied(Denied::new(reason, endpoint))
    }

    /// The verdict on a GET of an enabled endpoint.
    fn authorize_enabled<'a>(
        &self,
        endpoint: &'static Endpoint,
        path: CanonicalPath<'a>,
        query: Option<&'a str>,
    ) -> Verdict<'a> {
        let denied = |reason| Verdict::Denied(Denied::new(reason, Some(endpoint)));
        let version = self.min_version.filter(|min| path.version().is_none_or(|asked| asked < *min));
        if let Some(name) = endpoint.also_needed_at(version.or(path.version()))
            && let Some(other) = self.disabled(name)
        {
            return denied(Reason::NotAllowed(other));
        }
        match Query::parse(query, endpoint.parameters) {
            Ok(query) => Verdict::Allowed(Allowed { endpoint, path, version, query }),
            Err(error) => denied(Reason::Query(error)),
        }
    }

    /// The endpoint of this name, if it is not enabled.
    fn disabled(&self, name: &str) -> Option<&'static Endpoint> {
        let (row, endpoint) =
            self.catalog.endpoints().iter().enumerate().find(|(_, row)| row.name == name)?;
        (!self.enabled.contains(row)).then_some(endpoint)
    }

    /// Enables what a name stands for.
    ///
    /// # Errors
    /// [`UnknownName`] if the catalog does not have it.
    pub fn enable(&mut self, name: &str) -> Result<(), UnknownName> {
        let mut known = None;
        for (row, endpoint) in names::matching(self.catalog, name) {
            self.enabled.insert(row);
            known = endpoint.group.filter(|group| *group == name).or(Some(endpoint.name));
        }
        let known = known.ok_or_else(|| names::unknown(self.catalog, name))?;
        if !self.names.contains(&known) {
            self.names.push(known);
        }
        Ok(())
    }
}
