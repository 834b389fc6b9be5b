//! In which of its forms a client wants the metrics.

use crate::telemetry::metrics::MetricsFormat;

/// The form that an `Accept` field prefers (RFC 9110 section 12.5.1); the text format where it has no preference,
/// which is what people read too.
pub(super) fn preferred(accept: Option<&str>) -> MetricsFormat {
    let ranges: Vec<(String, f32)> = accept.unwrap_or_default().split(',').filter_map(range).collect();
    let quality = |wanted: &dyn Fn(&str) -> bool| {
        ranges.iter().filter(|(media, _)| wanted(media)).map(|(_, quality)| *quality).fold(0.0, f32::max)
    };
    let open_metrics = quality(&|media| media == "application/openmetrics-text");
    let text = quality(&|media| media == "text/plain");
    if open_metrics > text { MetricsFormat::OpenMetrics } else { MetricsFormat::PrometheusText }
}

/// A media range without its parameters, and its quality. OpenMetrics of another version than 1.0.0 is none that
/// there is here.
fn range(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let media = parts.next()?;
    let mut quality = 1.0;
    for parameter in parts {
        match parameter.split_once('=') {
            Some(("q", value)) => quality = value.parse().ok()?,
            Some(("version", version)) if media.ends_with("openmetrics-text") && version != "1.0.0" => {
                return None;
            }
            _ => {}
        }
    }
    Some((media, quality))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_one_that_is_preferred() {
        use MetricsFormat::{OpenMetrics, PrometheusText};
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                          q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (None, PrometheusText),
            (Some("*/*"), PrometheusText),
            (Some("text/html, text/plain;q=0.5"), PrometheusText),
            (Some(prometheus), OpenMetrics),
            (Some("application/openmetrics-text"), OpenMetrics),
            (Some("Application/OpenMetrics-Text; Version=1.0.0; Q=0.9, text/plain; q=0.3"), OpenMetrics),
            (Some("application/openmetrics-text;q=0.1,text/plain"), PrometheusText),
            (Some("application/openmetrics-text;version=0.0.1"), PrometheusText),
            (Some("application/openmetrics-text;q=0"), PrometheusText),
            (Some("application/openmetrics-text;q=x"), PrometheusText),
        ] {
            assert_eq!(preferred(accept), format, "{accept:?}");
        }
    }
}
