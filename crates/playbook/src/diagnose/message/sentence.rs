//! The sentences for people.

use std::fmt::Write as _;

use super::Wire;
use super::alert_text::AlertSeen;

/// What a proxy makes of a RST (measured with nginx stream 1.22 and 1.30, `HAProxy` 2.6 and 3.2, socat, Envoy 1.40).
const PROXY: &str = "A proxy in front of the gateway may turn the gateway's RST into a FIN (nginx stream, HAProxy and socat do; \
                     Envoy's tcp_proxy keeps the RST)";

/// Returns the sentences about an end.
pub(super) fn sentence(
    wire: Wire,
    alert: Option<AlertSeen>,
    program: Option<&str>,
    remark: Option<&str>,
    is_contradictory: bool,
) -> String {
    let mut text = match program {
        Some(program) if wire != Wire::Unknown => format!("Message of {program}: "),
        _ => String::new(),
    };
    // Writing to a `String` cannot fail.
    let _ = match wire {
        Wire::Rst => write!(
            text,
            "a TCP reset (RST) ended the connection. {PROXY}, so the same refusal can be an unexpected end of file at another \
             client."
        ),
        Wire::Fin => write!(
            text,
            "the other side closed the connection with a FIN, without a TLS alert. {PROXY}, so a FIN does not exclude a gateway \
             that resets."
        ),
        Wire::RstOrFin => write!(
            text,
            "a RST or a FIN ended the connection. This text cannot tell which. {PROXY}, so a FIN does not exclude a gateway \
             that resets. See the packets: sni-probe replay, or curl -v to the same address."
        ),
        Wire::Alert => write!(text, "{}", of_alert(alert)),
        Wire::CertificateRejected => write!(
            text,
            "the client itself ended the handshake, because it does not accept the gateway's certificate (issuer, name or date). \
             The gateway did not refuse the ClientHello. A client without SNI may get a default certificate with another name."
        ),
        Wire::PlainHttpAnswer => write!(
            text,
            "the answer to the ClientHello was not TLS, most often plain HTTP. The port is one without TLS, or a proxy answered."
        ),
        Wire::PlainHttpRequest => write!(
            text,
            "the client sent plain HTTP to a port that expects TLS. Use https:// in the URL, or the port for HTTP."
        ),
        Wire::NotConnected => write!(
            text,
            "there was no TCP connection to the gateway, so no ClientHello was sent. Check the name's address, the port, and \
             firewalls. SNI has no part in it."
        ),
        Wire::Timeout => write!(
            text,
            "no answer came in time. A gateway that refuses a ClientHello answers at once, so look at the network between: \
             firewalls, or an MTU too small for a large ClientHello."
        ),
        Wire::CannotTell if is_contradictory => write!(
            text,
            "the text holds messages that contradict each other, so it cannot tell what happened on the wire. Give the message \
             of one connection at a time."
        ),
        Wire::CannotTell => write!(
            text,
            "the program prints this text for a RST, a FIN and alerts alike, so it cannot tell what happened on the wire. See \
             the packets: sni-probe replay, or curl -v to the same address."
        ),
        Wire::Unknown => write!(
            text,
            "This text is unknown: it says nothing about the wire that sni-probe knows. Give the program's whole error message \
             with its causes, or see the packets: sni-probe replay, or curl -v to the same address."
        ),
    };
    if let Some(remark) = remark
        && wire != Wire::Unknown
        && !is_contradictory
    {
        let _ = write!(text, " ({remark})");
    }
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn of_alert(alert: Option<AlertSeen>) -> String {
    let Some(AlertSeen { name, number }) = alert else {
        return "the other side sent a TLS alert; this text does not say which. Alerts about names are unrecognized_name, \
                internal_error and handshake_failure."
            .to_owned();
    };
    let name = match (name, number) {
        (Some(name), Some(number)) => format!("{name} ({number})"),
        (name, _) => name.unwrap_or_default().to_owned(),
    };
    format!("the other side sent the TLS alert {name}. {}", hint(&name))
}

/// What gateways mean by an alert (measured, docs/handshake.md).
fn hint(name: &str) -> &'static str {
    match name {
        "unrecognized_name" => {
            "The gateway has no certificate for the name, or refuses clients without SNI (nginx, HAProxy strict-sni, Go)."
        }
        "internal_error" => {
            "Caddy, Go and nginx with a certificate by name send it when they have no certificate for the name, or no name."
        }
        "handshake_failure" => {
            "It means no common cipher suite, or no certificate for the name: Apache Traffic Server, sniproxy, Node.js, \
             Erlang and Java send it for names."
        }
        "missing_extension" => "wolfSSL sends it where the ClientHello has no SNI and must have one.",
        "access_denied" => "rustls sends it where it has no certificate for the name, or no name came.",
        "illegal_parameter" => "Erlang/OTP 29 sends it where it has no certificate for the name.",
        "protocol_version" | "insufficient_security" => {
            "Client and gateway have no TLS version or cipher suite in common."
        }
        "no_application_protocol" => {
            "The gateway serves none of the protocols that the client offers (ALPN)."
        }
        "certificate_required" | "no_certificate" => {
            "The other side asks for a certificate of its own peer (mutual TLS)."
        }
        "bad_certificate"
        | "unsupported_certificate"
        | "certificate_revoked"
        | "certificate_expired"
        | "certificate_unknown"
        | "unknown_ca" => {
            "The other side does not accept the certificate that it got. In a client's message that is the client's \
             certificate (mutual TLS); in a gateway's, the gateway's."
        }
        "close_notify" => "The other side closed the connection in order, before the handshake was complete.",
        _ => "sni-probe replay shows the handshake in a capture.",
    }
}
