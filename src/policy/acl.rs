//! The access control list: which endpoints are enabled, and the verdict on a request.

use http::Method;

use super::catalog::{Catalog, Endpoint};
use super::names::{self, UnknownName};
use super::path::CanonicalPath;
use super::router::Route;
use super::verdict::{Allowed, Denied, Reason, Verdict};

/// The endpoints of a catalog that are enabled.
#[derive(Debug, Clone)]
pub struct Acl {
    catalog: &'static Catalog,
    names: Vec<String>,
    /// By the row's index in the catalog.
    enabled: Vec<bool>,
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
        let mut acl = Self { catalog, names: Vec::new(), enabled: vec![false; catalog.endpoints().len()] };
        for name in names {
            acl.enable(name.as_ref())?;
        }
        Ok(acl)
    }

    /// The names that it was made from, in their order, each once.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The enabled rows of the catalog.
    pub fn endpoints(&self) -> impl Iterator<Item = &'static Endpoint> {
        self.catalog.endpoints().iter().zip(&self.enabled).filter_map(|(row, enabled)| enabled.then_some(row))
    }

    /// The verdict on a request with this method, this path and this query.
    pub fn judge<'a>(&self, method: &Method, path: &'a str, query: Option<&'a str>) -> Verdict<'a> {
        match self.judge_get(path, query) {
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

    fn judge_get<'a>(&self, path: &'a str, query: Option<&'a str>) -> Verdict<'a> {
        let path = match CanonicalPath::parse(path) {
            Ok(path) => path,
            Err(error) => return Verdict::Denied(Denied::new(Reason::Malformed(error), None)),
        };
        let (reason, endpoint) = match self.catalog.route(&path) {
            Route::Endpoint(row) => {
                let endpoint = &self.catalog.endpoints()[row];
                if self.enabled[row] {
                    return Verdict::Allowed(Allowed { endpoint, path, query });
                }
                (Reason::NotAllowed(endpoint), Some(endpoint))
            }
            Route::Denied(denied) => (Reason::DeniedPath(denied), None),
            Route::Unknown => (Reason::UnknownPath, None),
            Route::EncodedSlash => (Reason::EncodedSlash, None),
        };
        Verdict::Denied(Denied::new(reason, endpoint))
    }

    fn enable(&mut self, name: &str) -> Result<(), UnknownName> {
        let mut known = false;
        for (row, _) in names::matching(self.catalog, name) {
            self.enabled[row] = true;
            known = true;
        }
        if !known {
            return Err(names::unknown(self.catalog, name));
        }
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
        Ok(())
    }
}
