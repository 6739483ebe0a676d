//! A real Alertmanager in the gateway's namespace, and a webhook that keeps what it sends.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::json;

use crate::netns::{Lab, listens};
use crate::process::{Service, wait_until};

/// Where it listens, inside of the gateway's namespace.
pub const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9093);
/// Where the webhook listens, beside it.
const WEBHOOK_PORT: u16 = 9094;

const READY_DEADLINE: Duration = Duration::from_secs(20);

/// Prints the body of each request as a line.
const WEBHOOK: &str = r#"
import http.server, sys

class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sys.stdout.write(body.decode().replace("\n", " ") + "\n")
        sys.stdout.flush()
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Webhook).serve_forever()
"#;

/// An alert as Alertmanager sends it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Notification {
    /// `firing` or `resolved`.
    pub status: String,
    /// What tells it from others.
    pub labels: BTreeMap<String, String>,
    /// What it says.
    pub annotations: BTreeMap<String, String>,
    /// When it began, in RFC 3339.
    pub starts_at: String,
}

impl Notification {
    /// The alert's name.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }
}

/// A running Alertmanager, which sends all alerts to a webhook at once.
#[derive(Debug)]
pub struct Alertmanager {
    webhook: Service,
    _service: Service,
}

impl Alertmanager {
    /// Starts both, and waits until they answer.
    ///
    /// # Errors
    /// When one of them does not; the message has what it wrote.
    pub fn start(lab: &Lab) -> Result<Self> {
        let mut command = lab.gateway.command("python3");
        command.args(["-c", WEBHOOK, &WEBHOOK_PORT.to_string()]);
        let mut webhook = Service::start("webhook", &mut command, lab.directory())?;
        webhook.wait_for("the webhook", READY_DEADLINE, || listens(&lab.gateway, WEBHOOK_PORT))?;

        let configuration = lab.path("alertmanager.yml");
        // JSON is YAML.
        let text = json!({
            "route": {
                "receiver": "webhook",
                "group_by": ["..."],
                "group_wait": "100ms",
                "group_interval": "200ms",
                "repeat_interval": "1h",
            },
            "receivers": [{
                "name": "webhook",
                "webhook_configs": [{ "url": format!("http://127.0.0.1:{WEBHOOK_PORT}/"), "send_resolved": true }],
            }],
        });
        fs::write(&configuration, text.to_string())
            .with_context(|| format!("writing {}", configuration.display()))?;
        let mut command = lab.gateway.command("prometheus-alertmanager");
        command.arg("--config.file").arg(&configuration);
        command.arg("--storage.path").arg(lab.path("alertmanager"));
        command.args(["--web.listen-address", &ADDRESS.to_string()]);
        // It has no others to talk to.
        command.args(["--cluster.listen-address", "", "--log.level", "warn"]);
        let mut service = Service::start("alertmanager", &mut command, lab.directory())?;
        let is_ready = || matches!(lab.gateway.http_get(ADDRESS, "/-/ready"), Ok((200, _)));
        service.wait_for("Alertmanager to be ready", READY_DEADLINE, is_ready)?;
        Ok(Self { webhook, _service: service })
    }

    /// All that it has sent so far, in order.
    ///
    /// # Errors
    /// When a body is not what Alertmanager documents.
    pub fn notifications(&self) -> Result<Vec<Notification>> {
        #[derive(Deserialize)]
        struct Body {
            alerts: Vec<Notification>,
        }
        let text = self.webhook.stdout();
        // A last line without its end is still being written.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let bodies = lines.map(|line| {
            serde_json::from_str::<Body>(line).with_context(|| format!("a body of Alertmanager: {line}"))
        });
        Ok(bodies.collect::<Result<Vec<_>>>()?.into_iter().flat_map(|body| body.alerts).collect())
    }

    /// Waits for a notification that is `wanted`.
    ///
    /// # Errors
    /// As [`wait_until`]; the message has all that came.
    pub fn wait_for(
        &self,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&Notification) -> bool,
    ) -> Result<Notification> {
        wait_until(what, deadline, || Ok(self.notifications()?.into_iter().find(&wanted)))
            .with_context(|| format!("Alertmanager sent {:#?}", self.notifications()))
    }
}
