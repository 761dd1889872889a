//! Where alerts are sent.

use std::{fmt, str::FromStr};

use hyper::Uri;

/// What Alertmanager's address is followed by.
const PATH: &str = "/api/v2/alerts";

/// An Alertmanager, or whatever takes what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

/// An address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationProblem {
    /// It is no URL.
    #[error("{0:?} is no URL; expected is the address of an Alertmanager, such as \"http://127.0.0.1:9093\"")]
    Malformed(String),
    /// It is not plain HTTP.
    #[error("alerts are sent over http only, not over {0}; name a proxy on this machine that speaks it")]
    Scheme(String),
    /// Metrics and logs name destinations, so no secret may be in it.
    #[error("the address has a user name or password in it, which is not supported; take it out")]
    Credentials,
}

impl FromStr for Destination {
    type Err = DestinationProblem;

    fn from_str(url: &str) -> Result<Self, DestinationProblem> {
        let malformed = || DestinationProblem::Malformed(url.chars().take(200).collect());
        let uri: Uri = url.parse().map_err(|_| malformed())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(other) => return Err(DestinationProblem::Scheme(other.to_owned())),
            None => return Err(malformed()),
        }
        let authority = uri.authority().ok_or_else(malformed)?;
        if authority.as_str().contains('@') {
            return Err(DestinationProblem::Credentials);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || uri.query().is_some() {
            return Err(malformed());
        }
        let path = format!("{}{PATH}", uri.path().trim_end_matches('/').trim_end_matches(PATH));
        Ok(Destination { host, port: authority.port_u16().unwrap_or(80), path })
    }
}

impl Destination {
    /// Host and port as a header and a label write them.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_alertmanagers() {
        for (url, shown) in [
            ("http://127.0.0.1:9093", "http://127.0.0.1:9093/api/v2/alerts"),
            ("http://alerts", "http://alerts:80/api/v2/alerts"),
            ("http://alerts:9093/prefix/", "http://alerts:9093/prefix/api/v2/alerts"),
            ("http://alerts:9093/api/v2/alerts", "http://alerts:9093/api/v2/alerts"),
            ("http://[::1]:9093/", "http://[::1]:9093/api/v2/alerts"),
        ] {
            assert_eq!(url.parse::<Destination>().unwrap().to_string(), shown, "{url}");
        }
        let problem = |url: &str| url.parse::<Destination>().unwrap_err();
        assert_eq!(problem("https://alerts"), DestinationProblem::Scheme("https".to_owned()));
        assert_eq!(problem("http://me:secret@alerts"), DestinationProblem::Credentials);
        for bad in ["", "alerts:9093", "http://", "not a url", "http://a/?x=1"] {
            assert!(matches!(problem(bad), DestinationProblem::Malformed(_) | DestinationProblem::Scheme(_)), "{bad}");
        }
    }
}
