//! What of an allowed answer is shown: what is redacted out of it, and which objects are in it at all.

use super::endpoint::{Body, Endpoint};
use super::redaction::{Class, Redaction};
use super::visibility::Visibility;

/// What a listener's answers show.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    /// What is taken out of them.
    pub redaction: Redaction,
    /// Whose objects are in them.
    pub visibility: Visibility,
}

impl View {
    /// Whether answers are shown as they come.
    pub fn is_whole(&self) -> bool {
        self.redaction.is_none() && self.visibility.is_everything()
    }

    /// What of an endpoint's answer is not shown, such as `without env but VIRTUAL_*`; `None` if all of it is.
    pub fn omission(&self, endpoint: &Endpoint) -> Option<String> {
        let redacted = self.redacted(endpoint);
        let only = self.visibility.only().iter().filter(|_| endpoint.can_be_limited());
        let only = only.map(ToString::to_string).collect::<Vec<_>>();
        let redacted = (!redacted.is_empty()).then(|| format!("without {}", redacted.join(", ")));
        let only = (!only.is_empty()).then(|| format!("only {}", only.join(" or ")));
        let parts: Vec<String> = redacted.into_iter().chain(only).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn redacted(&self, endpoint: &Endpoint) -> Vec<String> {
        let classes = self.redaction.classes();
        let held = endpoint.holds.iter().filter(|class| classes.contains(*class));
        held.map(|class| self.class_with_exceptions(class)).collect()
    }

    fn class_with_exceptions(&self, class: Class) -> String {
        let kept = match class {
            Class::Env => self.redaction.keep_env(),
            Class::Labels => self.redaction.keep_labels(),
            _ => &[],
        };
        let globs: Vec<String> = kept.iter().map(ToString::to_string).collect();
        if globs.is_empty() { class.to_string() } else { format!("{class} (but {})", globs.join(", ")) }
    }
}

impl Body {
    /// Whether it can be filtered.
    pub fn is_json(self) -> bool {
        matches!(self, Body::Document | Body::Sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::ENGINE;
    use super::super::redaction::Classes;
    use super::*;

    fn row(name: &str) -> &'static Endpoint {
        ENGINE.endpoints().iter().find(|row| row.name == name).unwrap()
    }

    #[test]
    fn what_is_not_shown_is_said_in_the_words_of_the_settings() {
        let redaction = Redaction::new(
            Classes::of(&[Class::Paths]),
            vec!["VIRTUAL_*".into(), "LETSENCRYPT_*".into()],
            Vec::new(),
        );
        let visibility = Visibility::new(vec!["label:a=b".parse().unwrap(), "name:x".parse().unwrap()]);
        let view = View { redaction, visibility: Visibility::default() };
        let omission = |view: &View, name| view.omission(row(name));
        assert_eq!(
            omission(&view, "containers:inspect").as_deref(),
            Some("without env (but VIRTUAL_*, LETSENCRYPT_*), paths")
        );
        assert_eq!(omission(&view, "containers:list").as_deref(), Some("without paths"));
        assert_eq!(omission(&view, "version"), None);
        assert_eq!(omission(&view, "containers:logs"), None);
        let view = View { visibility, ..view };
        assert_eq!(
            omission(&view, "containers:list").as_deref(),
            Some("without paths; only label:a=b or name:x")
        );
        assert_eq!(omission(&view, "containers:logs").as_deref(), Some("only label:a=b or name:x"));
        assert_eq!(omission(&view, "nodes:list"), None);
        assert_eq!(omission(&View::default(), "containers:inspect"), None);
    }
}
