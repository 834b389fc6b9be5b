//! Families whose figures are kept in other rooms, which know nothing of metrics: they are read when somebody asks.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// A family, and how its figures are read.
pub struct Source {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    unit: Option<Unit>,
    read: Box<dyn Fn() -> Vec<Sample> + Send + Sync>,
}

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It is what there is now.
    Gauge,
}

/// A figure with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Figure,
}

impl Source {
    /// A family of a name without the suffix of counters, read by a function.
    pub fn new(
        name: &'static str,
        help: &'static str,
        kind: Kind,
        read: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) -> Self {
        Self { name, help, kind, unit: None, read: Box::new(read) }
    }

    /// The same in seconds.
    #[must_use]
    pub fn in_seconds(self) -> Self {
        Self { unit: Some(Unit::Seconds), ..self }
    }

    /// The same in bytes.
    #[must_use]
    pub fn in_bytes(self) -> Self {
        Self { unit: Some(Unit::Bytes), ..self }
    }
}

impl Sample {
    /// The only figure of a family, without labels.
    pub fn alone(value: impl Into<Figure>) -> Vec<Self> {
        vec![Self { labels: vec![], value: value.into() }]
    }

    /// One of several figures, which are told apart by labels.
    pub fn labelled<const N: usize>(
        labels: [(&'static str, impl Into<String>); N],
        value: impl Into<Figure>,
    ) -> Self {
        let labels = labels.into_iter().map(|(name, value)| (name, value.into())).collect();
        Self { labels, value: value.into() }
    }
}

/// The value of a [`Sample`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// A number of things.
    Whole(u64),
    /// An amount.
    Fraction(f64),
}

impl From<u64> for Figure {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        Self::Fraction(value)
    }
}

impl Collector for Source {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
        };
        // The registry ends the help of its own families so.
        let help = format!("{}.", self.help);
        let mut family = encoder.encode_descriptor(self.name, &help, self.unit.as_ref(), kind)?;
        for Sample { labels, value } in (self.read)() {
            let encoder = family.encode_family(&labels)?;
            match (self.kind, value) {
                (Kind::Counter, Figure::Whole(value)) => ConstCounter::new(value).encode(encoder)?,
                (Kind::Counter, Figure::Fraction(value)) => ConstCounter::new(value).encode(encoder)?,
                (Kind::Gauge, Figure::Whole(value)) => {
                    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)?;
                }
                (Kind::Gauge, Figure::Fraction(value)) => ConstGauge::new(value).encode(encoder)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}
