//! What `/metrics` says, taken apart.

use crate::service::{Service, ServiceError};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a figure may take to be there; detects what hangs, and measures nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// One scrape.
#[derive(Debug, Clone)]
pub struct Scrape {
    /// As it came.
    pub text: String,
}

impl Scrape {
    /// Scrapes once, with a query or without.
    ///
    /// # Errors
    /// [`ServiceError::Http`].
    pub fn of(service: &Service, query: &str) -> Result<Self, ServiceError> {
        let reply = service.operator(&format!("/metrics{query}"))?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        Ok(Self { text })
    }

    /// Scrapes until `condition` holds: a figure may come after what it counts.
    ///
    /// # Errors
    /// [`ServiceError::NotSeen`] with the last scrape.
    pub fn when(
        service: &Service,
        what: &'static str,
        condition: impl Fn(&Self) -> bool,
    ) -> Result<Self, ServiceError> {
        let end = Instant::now() + PATIENCE;
        loop {
            let scrape = Self::of(service, "")?;
            if condition(&scrape) {
                return Ok(scrape);
            }
            if Instant::now() > end {
                let status = scrape.text;
                return Err(ServiceError::NotSeen { what, status });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Names and labels of all samples, with their values.
    pub fn samples(&self) -> impl Iterator<Item = (&str, &str, f64)> {
        let lines = self.text.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some((name, labels.trim_end_matches('}'), value.parse().ok()?))
        })
    }

    /// The sum over all samples of this name that have all of these labels; `None` if there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let has_all = |of: &str| labels.iter().all(|label| of.contains(label));
        let samples = self
            .samples()
            .filter(|(found, of, _)| *found == name && has_all(of));
        samples.map(|(.., value)| value).reduce(|sum, value| sum + value)
    }

    /// The kind of each metric, as its `TYPE` line says.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<&str, &str> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        lines.filter_map(|line| line.split_once(' ')).collect()
    }
}
