//! Where traces are sent to: as the command line says, or the environment in the words of OpenTelemetry
//! (*Environment Variable Specification* and *OpenTelemetry Protocol Exporter*). What the environment says
//! wrongly is passed over with a warning, as that specification has it; what the command line says wrongly is
//! an error.

use super::settings::CollectorUrl;
use hacher_libos_net::attach::Tracing;
use hacher_trustlet_host::service::Collector;
use hyper::Uri;
use std::net::{SocketAddr, ToSocketAddrs};

/// The path of traces behind a collector's URL (OTLP/HTTP, *Request*).
const TRACES_PATH: &str = "/v1/traces";
/// The name of the service unless `OTEL_SERVICE_NAME` says another.
const SERVICE: &str = "hacher";
/// All traces: no half of the low half of a trace id is as much.
const ALL: u64 = 1 << 63;

/// What the command line says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// `--otlp`.
    pub url: Option<String>,
    /// `--trace-ratio`.
    pub ratio: Option<f64>,
}

/// A collector, as the monitor and the daemon are told of it; and what was passed over, in words.
pub type Found = (Option<(Collector, CollectorUrl)>, Vec<String>);

/// Finds the collector. `variable` looks a variable of the environment up.
///
/// # Errors
/// What is wrong with the command line, or with the URL that it or the environment names.
pub fn find(asked: &Asked, variable: impl Fn(&str) -> Option<String>) -> Result<Found, String> {
    let mut environment = Environment {
        variable: &variable,
        warnings: Vec::new(),
    };
    let Some((address, url)) = environment.url(asked)? else {
        if asked.ratio.is_some() {
            return Err("--trace-ratio needs --otlp, which says where traces are sent".to_owned());
        }
        return Ok((None, environment.warnings));
    };
    let tracing = environment.tracing(asked.ratio);
    Ok((Some((Collector { address, tracing }, url)), environment.warnings))
}

/// A share of all traces, from 0 to 1.
///
/// # Errors
/// Names the bounds.
pub fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "a ratio is a number from 0 (none) to 1 (all), such as 0.01".to_owned())
}

/// The environment, and what of it was passed over.
struct Environment<'e> {
    variable: &'e dyn Fn(&str) -> Option<String>,
    warnings: Vec<String>,
}

impl Environment<'_> {
    /// A variable; one that is empty is not set.
    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// The first of these that is set.
    fn first<'n>(&self, names: [&'n str; 2]) -> Option<(&'n str, String)> {
        let mut set = names
            .into_iter()
            .filter_map(|name| Some((name, self.variable(name)?)));
        set.next()
    }

    fn url(&mut self, asked: &Asked) -> Result<Option<(SocketAddr, CollectorUrl)>, String> {
        let of_traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        let (whose, text) = match &asked.url {
            Some(url) => ("--otlp", url.clone()),
            None if self.is_off() => return Ok(None),
            None => match self.first([of_traces, "OTEL_EXPORTER_OTLP_ENDPOINT"]) {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        if let Some((name, _)) =
            self.first(["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"])
        {
            let warning = format!("{name} is not sent: a collector on this machine needs no credentials");
            self.warnings.push(warning);
        }
        let (address, authority, path) =
            read(&text, whose == of_traces).map_err(|why| format!("{whose} {}: {why}", shown(&text)))?;
        let service = self
            .variable("OTEL_SERVICE_NAME")
            .unwrap_or_else(|| SERVICE.to_owned());
        let url = CollectorUrl {
            authority,
            path,
            service,
        };
        Ok(Some((address, url)))
    }

    /// Whether it says that nothing is to be exported, or in a way that there is not.
    fn is_off(&mut self) -> bool {
        if self
            .variable("OTEL_SDK_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return true;
        }
        if let Some(exporter) = self.variable("OTEL_TRACES_EXPORTER")
            && exporter != "otlp"
        {
            if exporter != "none" {
                let warning = format!(
                    "OTEL_TRACES_EXPORTER={exporter}: traces are exported by `otlp` alone, so they are not"
                );
                self.warnings.push(warning);
            }
            return true;
        }
        let protocols = [
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ];
        if let Some((name, protocol)) = self.first(protocols)
            && protocol != "http/protobuf"
        {
            let warning =
                format!("{name}={protocol}: traces are exported by `http/protobuf` alone, so they are not");
            self.warnings.push(warning);
            return true;
        }
        false
    }

    /// Which requests are traced: all, or as a client has decided, unless something else is said.
    fn tracing(&mut self, ratio: Option<f64>) -> Tracing {
        let tracing = |parent_based: bool, threshold| Tracing {
            parent_based: u32::from(parent_based),
            reserved: 0,
            threshold,
        };
        if let Some(ratio) = ratio {
            return tracing(true, threshold(ratio));
        }
        let Some(sampler) = self.variable("OTEL_TRACES_SAMPLER") else {
            return tracing(true, ALL);
        };
        let (is_parent_based, rule) = match sampler.strip_prefix("parentbased_") {
            Some(rule) => (true, rule),
            None => (false, sampler.as_str()),
        };
        match rule {
            "always_on" => tracing(is_parent_based, ALL),
            "always_off" => tracing(is_parent_based, 0),
            "traceidratio" => {
                let argument = self.variable("OTEL_TRACES_SAMPLER_ARG");
                let share = argument.as_deref().map_or(Ok(1.0), self::ratio);
                let share = share.unwrap_or_else(|why| {
                    self.warnings
                        .push(format!("OTEL_TRACES_SAMPLER_ARG: {why}; all are traced"));
                    1.0
                });
                tracing(is_parent_based, threshold(share))
            }
            _ => {
                let warning = format!(
                    "OTEL_TRACES_SAMPLER={sampler} is not a sampler that is supported; all are traced, or as clients say"
                );
                self.warnings.push(warning);
                tracing(true, ALL)
            }
        }
    }
}

/// How far trace ids reach that are traced.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of 2^63; casts of floats saturate"
)]
fn threshold(ratio: f64) -> u64 {
    ((ratio * ALL as f64) as u64).min(ALL)
}

/// What of a URL may stand in a message: neither a user with a password, nor a query, nor a fragment.
fn shown(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (shown, _) = url.split_at(end);
    let (scheme, rest) = match shown.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), shown),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}{host}{path}")
}

/// Reads a URL: the address, host and port as requests name them, and the path. `is_whole`: nothing is put
/// behind the path.
fn read(text: &str, is_whole: bool) -> Result<(SocketAddr, String, String), String> {
    let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if uri.scheme_str() != Some("http") || authority.is_empty() || authority.contains('@') {
        return Err(
            "the collector is reached over plain HTTP on loopback, as http://127.0.0.1:4318; one on this machine passes \
             traces on over TLS"
                .to_owned(),
        );
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(80);
    let mut addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("`{host}` is not known: {error}"))?;
    let address = addresses.find(|address| address.ip().is_loopback()).ok_or_else(|| {
        "traces leave over plain HTTP, so the collector is on loopback, as http://127.0.0.1:4318; one on this machine \
         passes them on over TLS"
            .to_owned()
    })?;
    let path = match is_whole {
        true => uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        false => format!("{}{TRACES_PATH}", uri.path().trim_end_matches('/')),
    };
    Ok((address, authority.to_owned(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(asked: &Asked, environment: &[(&str, &str)]) -> Result<Found, String> {
        let variable = |name: &str| {
            let set = environment.iter().find(|(key, _)| *key == name);
            set.map(|(_, value)| (*value).to_owned())
        };
        find(asked, variable)
    }

    fn url(asked: Option<&str>, environment: &[(&str, &str)]) -> Option<String> {
        let asked = Asked {
            url: asked.map(str::to_owned),
            ratio: None,
        };
        let (found, _) = found(&asked, environment).unwrap();
        found.map(|(collector, url)| format!("{} {url} {}", collector.address, url.service))
    }

    fn sampled(ratio: Option<f64>, environment: &[(&str, &str)]) -> (u32, u64, usize) {
        let asked = Asked {
            url: Some("http://127.0.0.1:4318".to_owned()),
            ratio,
        };
        let (found, warnings) = found(&asked, environment).unwrap();
        let tracing = found.unwrap().0.tracing;
        (tracing.parent_based, tracing.threshold, warnings.len())
    }

    #[test]
    fn the_command_line_comes_before_the_environment_and_each_has_its_path() {
        const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/");
        const OWN: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://[::1]:4318/own?a=b");
        let name = ("OTEL_SERVICE_NAME", "shop");
        assert_eq!(url(None, &[]), None);
        assert_eq!(url(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), None);
        assert_eq!(
            url(None, &[BASE]).as_deref(),
            Some("127.0.0.1:4318 http://127.0.0.1:4318/v1/traces hacher")
        );
        assert_eq!(
            url(None, &[BASE, OWN, name]).as_deref(),
            Some("[::1]:4318 http://[::1]:4318/own shop"),
            "its query is not shown"
        );
        let (asked_for, _) = found(&Asked::default(), &[OWN]).unwrap();
        assert_eq!(asked_for.unwrap().1.path, "/own?a=b");
        assert_eq!(
            url(
                Some("http://127.0.0.2:1/a"),
                &[BASE, OWN, ("OTEL_SDK_DISABLED", "true")]
            )
            .as_deref(),
            Some("127.0.0.2:1 http://127.0.0.2:1/a/v1/traces hacher")
        );
        for off in [
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ] {
            assert_eq!(url(None, &[BASE, off]), None, "{off:?}");
        }
        let (_, warnings) = found(
            &Asked::default(),
            &[BASE, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
        )
        .unwrap();
        assert!(warnings[0].contains("`http/protobuf`"), "{warnings:?}");
    }

    #[test]
    fn no_trace_leaves_this_machine_in_the_clear() {
        for wrong in [
            "http://192.0.2.1:4318",
            "https://127.0.0.1:4318",
            "http://user:secret@127.0.0.1:4318",
            "127.0.0.1:4318",
            "http://",
            "unix:/run/collector",
        ] {
            let asked = Asked {
                url: Some(wrong.to_owned()),
                ratio: None,
            };
            let error = found(&asked, &[]).unwrap_err();
            let shown = wrong.replace("user:secret@", "");
            assert!(error.starts_with(&format!("--otlp {shown}: ")), "{error}");
        }
        for wrong in [
            "https://127.0.0.1:4318/own?key=secret",
            "http://192.0.2.1/#secret",
            "a b?secret",
            "user:secret@127.0.0.1:4318",
            "http://user:secret@a@127.0.0.1/",
        ] {
            let asked = Asked {
                url: Some(wrong.to_owned()),
                ratio: None,
            };
            let error = found(&asked, &[]).unwrap_err();
            assert!(
                error.starts_with("--otlp ") && !error.contains("secret"),
                "{error}"
            );
        }
        let alone = Asked {
            url: None,
            ratio: Some(0.5),
        };
        assert!(found(&alone, &[]).unwrap_err().contains("--otlp"));
    }

    #[test]
    fn which_are_traced_is_said_as_samplers_are_named() {
        const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
        const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
        assert_eq!(sampled(None, &[]), (1, ALL, 0));
        assert_eq!(sampled(Some(0.5), &[(SAMPLER, "always_off")]), (1, ALL / 2, 0));
        assert_eq!(sampled(None, &[(SAMPLER, "always_on")]), (0, ALL, 0));
        assert_eq!(sampled(None, &[(SAMPLER, "parentbased_always_off")]), (1, 0, 0));
        let quarter = [(SAMPLER, "traceidratio"), (ARGUMENT, "0.25")];
        assert_eq!(sampled(None, &quarter), (0, ALL / 4, 0));
        assert_eq!(
            sampled(None, &[(SAMPLER, "parentbased_traceidratio"), (ARGUMENT, "2")]),
            (1, ALL, 1)
        );
        assert_eq!(sampled(None, &[(SAMPLER, "jaeger_remote")]), (1, ALL, 1));
        assert_eq!(
            (ratio("0"), ratio("1"), ratio("0.01")),
            (Ok(0.0), Ok(1.0), Ok(0.01))
        );
        assert!(
            ["-0.1", "1.1", "NaN", "x"]
                .iter()
                .all(|text| ratio(text).is_err())
        );
        assert_eq!((threshold(0.0), threshold(1.0)), (0, ALL));
    }
}
