//! Figures for Prometheus, on a port of their own.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use crate::app::App;

/// The figures of this node.
pub struct Metrics {
    registry: Registry,
    requests: HistogramVec,
    jobs: IntCounterVec,
    audit_sealed: IntCounter,
    audit_unsealed: IntGauge,
    audit_lag: IntGauge,
    connections_busy: IntGauge,
    connections_idle: IntGauge,
}

impl Metrics {
    /// Registers every figure.
    pub fn new() -> Self {
        let registry = Registry::new();
        let requests = HistogramVec::new(
            HistogramOpts::new("http_request_seconds", "Time to answer, by operationId and status.")
                .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]),
            &["operation", "status"],
        )
        .expect("the figure is declared correctly");
        let jobs = IntCounterVec::new(Opts::new("jobs_total", "Jobs run, by kind and outcome."), &["kind", "outcome"])
            .expect("the figure is declared correctly");
        let audit_sealed = IntCounter::new("audit_sealed_total", "Audit entries sealed by this node.")
            .expect("the figure is declared correctly");
        let gauge = |name, help| IntGauge::new(name, help).expect("the figure is declared correctly");
        let connections_busy = gauge("database_connections_busy", "Connections in a transaction.");
        let connections_idle = gauge("database_connections_idle", "Connections waiting in the pool.");
        let audit_unsealed = gauge("audit_unsealed_entries", "Audit entries without a seal, counted up to 10000.");
        let audit_lag = gauge("audit_seal_lag_seconds", "Age of the oldest audit entry without a seal.");
        for collector in [
            Box::new(requests.clone()) as Box<dyn prometheus::core::Collector>,
            Box::new(jobs.clone()),
            Box::new(audit_sealed.clone()),
            Box::new(audit_unsealed.clone()),
            Box::new(audit_lag.clone()),
            Box::new(connections_busy.clone()),
            Box::new(connections_idle.clone()),
        ] {
            registry.register(collector).expect("every figure has its own name");
        }
        Self { registry, requests, jobs, audit_sealed, audit_unsealed, audit_lag, connections_busy, connections_idle }
    }

    /// Counts one answered request.
    pub fn request(&self, operation: &str, status: StatusCode, took: Duration) {
        self.requests.with_label_values(&[operation, status.as_str()]).observe(took.as_secs_f64());
    }

    /// Counts one job.
    pub fn job(&self, kind: &str, outcome: &str) {
        self.jobs.with_label_values(&[kind, outcome]).inc();
    }

    /// Counts audit entries that this node has sealed.
    pub fn sealed(&self, entries: u64) {
        self.audit_sealed.inc_by(entries);
    }

    /// How many audit entries have no seal, and the age of the oldest of them in seconds.
    pub fn audit_backlog(&self, entries: i64, lag: i64) {
        self.audit_unsealed.set(entries);
        self.audit_lag.set(lag);
    }

    /// Age in seconds of the oldest audit entry without a seal, when it was last measured.
    pub fn audit_lag(&self) -> i64 {
        self.audit_lag.get()
    }

    /// The text that Prometheus reads.
    pub fn text(&self, app: &App) -> String {
        let (busy, idle) = app.db.pool_state();
        self.connections_busy.set(busy as i64);
        self.connections_idle.set(idle as i64);
        let mut text = Vec::new();
        if let Err(fault) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            log::error!(cause = fault.to_string().as_str(); "metrics could not be written");
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// GET /metrics
pub async fn show(app: Data<App>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(app.metrics.text(&app))
}
