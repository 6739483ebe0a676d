//! The lines of a gateway's own configuration that let clients without SNI, or with an unknown name, in.
//!
//! The table is `gateways/index.tsv`; the lines are the other files of that directory. `cargo xtask gateways --fixes` starts the
//! gateways in a configuration that refuses, applies the lines, and sees the same clients served. Those of Apigee, Istio and the
//! Gateway API are made from the routes: see [`super::apigee`] and [`super::listeners`].

use std::sync::LazyLock;

/// What holds of every fix that lets clients without SNI, or with unknown names, in.
pub(super) const WARNINGS: [&str; 3] = [
    "Other listeners of the same port that require client certificates can be bypassed: a client without SNI, or with another \
     Host header, reaches the fallback. Keep what needs a client certificate off the fallback.",
    "All organisations and tenants share the fallback's certificate.",
    "Never have two wildcard routes (host name \"*\") on one port: which of them answers is not defined.",
];

/// One line for each snippet. Comments begin with `#`.
const INDEX: &str = include_str!("gateways/index.tsv");

/// Names and texts of the files.
macro_rules! snippets {
    ($($name:literal)*) => { &[$(($name, include_str!(concat!("gateways/", $name)))),*] };
}

const SNIPPETS: &[(&str, &str)] = snippets![
    "apache-policy.conf" "apisix.yaml" "caddy-default-sni" "caddy-fallback-sni" "contour-configuration.yaml"
    "contour-httpproxy.yaml" "envoy.yaml" "erlang.erl" "go-no-sni.go" "go-unknown-name.go" "haproxy-bind.cfg"
    "haproxy-content-reject.cfg" "haproxy-tcp-no-sni.cfg" "haproxy-tcp-unknown-name.cfg" "hitch.conf"
    "java-key-manager.java" "java-matcher.java" "jetty-ssl.ini" "nginx-default-server.conf"
    "nginx-name-variable-no-sni.conf" "nginx-name-variable-unknown-name.conf" "nginx-stream-no-sni.conf"
    "nginx-stream-unknown-name.conf" "node-no-sni.js" "node-unknown-name.js" "rustls.rust" "sniproxy.conf"
    "tomcat-connector.xml" "traefik-file.yaml" "traefik-kubernetes.yaml" "traffic-server.config" "wolfssl.c"
];

/// Clients that a gateway refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Clients without SNI.
    NoSni,
    /// Clients with a name for which the gateway has no route or certificate.
    UnknownName,
}

impl Problem {
    /// Reads the word of the table.
    fn read(word: &str) -> Option<Self> {
        match word {
            "no_sni" => Some(Self::NoSni),
            "unknown_name" => Some(Self::UnknownName),
            _ => None,
        }
    }
}

/// Lines of a gateway's configuration. Words in capitals are placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GatewayFix {
    /// The gateway, for people.
    pub gateway: &'static str,
    /// Which clients are served with these lines.
    pub problem: Problem,
    /// The file and the place in it.
    pub file: &'static str,
    /// What to do with the lines, and when they apply.
    pub note: &'static str,
    /// The lines.
    pub text: &'static str,
    /// The versions with which the lab saw these clients refused before and served after; `None`: not tried.
    pub tried_with: Option<&'static str>,
    /// Programs as shapes of refusals and logs name them.
    programs: &'static str,
    /// The file of the lines.
    #[cfg(test)]
    snippet: &'static str,
}

impl GatewayFix {
    /// Returns what the user reads about trials: `tried with nginx 1.22.1`, or `not tried`.
    pub(super) fn trial(&self) -> String {
        self.tried_with.map_or_else(
            || "not tried".to_owned(),
            |versions| format!("tried with {} {versions}", self.gateway),
        )
    }
}

/// Returns the fixes for a program, named as in shapes of refusals or as logs name it, in the order of the table.
///
/// `Envoy behind nginx stream` has the fixes of Envoy, which refuses. Programs without a line have none.
pub(super) fn fixes_of(software: &str, problem: Problem) -> Vec<&'static GatewayFix> {
    let software = software.split(" behind ").next().unwrap_or(software);
    // The log is that of the same program.
    let software = software.strip_suffix("'s debug log").unwrap_or(software);
    let is_of = |fix: &&GatewayFix| fix.programs.split(',').any(|program| program == software);
    FIXES.iter().filter(|fix| fix.problem == problem).filter(is_of).collect()
}

static FIXES: LazyLock<Vec<GatewayFix>> = LazyLock::new(|| {
    let lines = INDEX.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(read).flatten().collect()
});

/// Returns the fixes of a line of the table: one for each problem. `None`: the line is malformed, which a test excludes.
fn read(line: &'static str) -> Option<Vec<GatewayFix>> {
    let cells: Vec<&str> = line.split('\t').collect();
    let [snippet, gateway, programs, problems, tried, file, note] = cells[..] else { return None };
    let (_, text) = SNIPPETS.iter().find(|(name, _)| *name == snippet)?;
    let of_problem = |word: &str| {
        Problem::read(word).map(|problem| GatewayFix {
            gateway,
            problem,
            file,
            note,
            text,
            tried_with: Some(tried).filter(|tried| *tried != "-"),
            programs,
            #[cfg(test)]
            snippet,
        })
    };
    problems.split(',').map(of_problem).collect()
}

#[cfg(test)]
#[path = "gateways_tests.rs"]
mod tests;
