//! What each listener does while it runs, and how a reload changes that.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::ListenerConfig;
use crate::filter::stats::Stats;
use crate::inbound::Serving;
use crate::proxy::limits::RequestLimiter;
use crate::proxy::rules::Rules;
use crate::proxy::service::Service;
use crate::upstream::Upstream;

/// A listener that runs.
pub struct LiveListener {
    upstream: Arc<Upstream>,
    limiter: Arc<RequestLimiter>,
    /// What filtering its answers came to so far.
    filtered: Arc<Stats>,
    serving: watch::Sender<Arc<Serving>>,
}

impl LiveListener {
    /// A listener that does what a configuration says.
    pub fn new(config: &ListenerConfig, upstream: &Arc<Upstream>) -> Self {
        let limiter = RequestLimiter::new(config.requests);
        let filtered = Arc::default();
        let serving = watch::Sender::new(serving(config, upstream, &limiter, &filtered));
        Self { upstream: Arc::clone(upstream), limiter, filtered, serving }
    }

    /// What it does, for whoever serves its clients.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Serving>> {
        self.serving.subscribe()
    }

    /// What filtering its answers came to so far, whatever configuration they had.
    pub fn filtered(&self) -> Arc<Stats> {
        Arc::clone(&self.filtered)
    }

    /// Has it do from now on what another configuration says. What is in flight goes on, and counts.
    pub fn replace(&self, config: &ListenerConfig) {
        self.limiter.set_limits(config.requests);
        self.serving.send_replace(serving(config, &self.upstream, &self.limiter, &self.filtered));
    }
}

fn serving(
    config: &ListenerConfig,
    upstream: &Arc<Upstream>,
    limiter: &Arc<RequestLimiter>,
    filtered: &Arc<Stats>,
) -> Arc<Serving> {
    let rules = Rules::new(Arc::clone(&config.policy), upstream, filtered);
    let service = Service::new(rules, Arc::clone(upstream), Arc::clone(limiter), config.errors);
    Arc::new(Serving { service: Arc::new(service), limits: config.limits })
}
