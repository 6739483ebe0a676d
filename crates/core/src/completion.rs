//! How a handshake ends after its ServerHello, by the types and lengths of records.
//!
//! ```text
//! gateway: ServerHello … Certificate … Finished                    a record that is not an alert ─▶ established
//! client:                     alert ─▶ rejected_by_client  │ Finished, data
//! gateway:        alert ─▶ refused_after_server_hello      │        alert, after a client's Certificate ─▶ client_certificate_refused
//! ```
//!
//! In TLS 1.3 all these records but a client's early alert are encrypted. What they hold shows in their lengths, which
//! `docs/handshake.md` lists with the programs that they were measured with.

use sni_probe_datapath::answer;
use sni_probe_datapath::seq::SeqNumber;

use crate::observation::Outcome;
use crate::record::content_type;
use crate::record_walk::RecordStart;
use crate::server_hello::ServerHello;
use crate::vocabulary::{AlertDescription, TlsVersion};

/// The suite of TLS 1.3 with a tag of 8 bytes (RFC 8446, appendix B.4). All others have 16.
const TLS_AES_128_CCM_8_SHA256: u16 = 0x1305;
/// The suite of TLS 1.3 with a hash of 48 bytes. All others have 32.
const TLS_AES_256_GCM_SHA384: u16 = 0x1302;
/// Zeros that JSSE (Java 17 and 25) appends to protected messages of a handshake.
const JSSE_PADDING: u16 = 16;
/// An alert: level and description.
const ALERT: u16 = 2;
/// An `EndOfEarlyData` message (RFC 8446, section 4.5).
const END_OF_EARLY_DATA: u16 = 4;
/// A Certificate message of TLS 1.3 without certificates (RFC 8446, section 4.4.2): header, context, empty list.
const EMPTY_CERTIFICATE: u16 = 4 + 1 + 3;
/// Bytes from which on a record, or the gateway's flight, can hold a certificate. The shortest certificate in use, with a
/// key of Ed25519, has more than 200.
const MIN_CERTIFICATE: u16 = 150;
/// Message types (RFC 8446, section 4; RFC 5246, section 7.4).
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const CLIENT_KEY_EXCHANGE: u8 = 16;

/// How the connection ended, as an observer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// FIN or RST of the gateway. `flight_len`: bytes that it has sent after the ServerHello.
    Gateway { flight_len: u32 },
    /// FIN of the client: it sends no more. `flight_len` as above.
    ClientFin { flight_len: u32 },
    /// RST of the client.
    ClientReset,
    /// No more will be seen, and the connection goes on.
    Unseen,
}

/// What records have shown of a handshake since its ServerHello.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    is_tls13: bool,
    /// What TLS 1.3 adds to a protected message: the inner type and the tag (RFC 8446, section 5.2).
    protection: u16,
    /// Length of the client's Finished with its protection, in TLS 1.3.
    finished_len: u16,
    /// Early data may come before the client's Finished.
    has_early_data: bool,
    flight: Flight,
    reply: Reply,
    /// The gateway went on after the client's reply.
    has_reacted: bool,
}

/// The gateway's records up to the client's reply.
#[derive(Clone, Copy, Debug, Default)]
struct Flight {
    /// A certificate came, or may have come.
    has_certificate: bool,
    /// The gateway goes on with an earlier session, and needs none.
    is_resumed: bool,
    /// The last record has the length of an alert, and may hold other messages.
    may_end_in_alert: bool,
    /// Length of the first protected record of TLS 1.3, which holds extensions; 0 before it.
    extensions_len: u16,
}

/// The client's records after the ServerHello.
#[derive(Clone, Copy, Debug, Default)]
struct Reply {
    /// Where the Certificate message ends, if there was one.
    certificate_end: Option<SeqNumber>,
    /// Where the message ends by which the gateway gets its keys, in TLS 1.2 and older.
    key_exchange_end: Option<SeqNumber>,
    /// A change of cipher specs came, in TLS 1.2 and older: what follows is encrypted.
    has_changed_ciphers: bool,
    finished_end: Option<SeqNumber>,
    /// Where a protected record ends that may be any message: its sender pads.
    unknown_end: Option<SeqNumber>,
    /// Something came after the Finished that is longer than an alert.
    has_data: bool,
    has_begun: bool,
    closing: Closing,
}

/// How far the client has closed the connection after its Finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Closing {
    #[default]
    Open,
    /// A record came that is as long as an alert: most likely `close_notify`.
    Alert,
    /// FIN.
    Fin,
}

impl Completion {
    /// The state after a ServerHello.
    pub(crate) fn new(hello: ServerHello, has_early_data: bool) -> Self {
        let ServerHello { negotiated, is_resumed, followed_by } = hello;
        let suite = negotiated.cipher_suite;
        let hash_len = if suite == TLS_AES_256_GCM_SHA384 { 48 } else { 32 };
        let protection = 1 + if suite == TLS_AES_128_CCM_8_SHA256 { 8 } else { 16 };
        let has_certificate = followed_by >= MIN_CERTIFICATE.into();
        let is_tls13 = negotiated.version == TlsVersion::Tls13;
        let flight = Flight { has_certificate, is_resumed, ..Flight::default() };
        Self {
            is_tls13,
            protection,
            finished_len: 4 + hash_len + protection,
            has_early_data,
            flight,
            reply: Reply::default(),
            has_reacted: false,
        }
    }

    /// Takes a record that the gateway sent before the client's reply. `flight_len`: bytes after the ServerHello that it has sent
    /// before the record.
    pub(crate) fn flight_record(&mut self, record: &RecordStart, flight_len: u32) -> Option<Outcome> {
        if self.reply.has_begun {
            return None;
        }
        self.flight.has_certificate |= flight_len >= MIN_CERTIFICATE.into();
        self.flight_record_in_order(record)
    }

    /// The end of what a reaction of the gateway acknowledges: the client's Finished, or where its header was not
    /// seen, what came before.
    pub(crate) fn reply_end(&self) -> Option<SeqNumber> {
        let Reply { finished_end, certificate_end, key_exchange_end, unknown_end, .. } = self.reply;
        finished_end.or(key_exchange_end).or(certificate_end).or(unknown_end)
    }

    /// Whether a record of the gateway is one after the client's reply, by what its segment acknowledges. A gateway may refuse a
    /// client's certificate before it has the Finished.
    pub(crate) fn is_reaction(&self, record: &RecordStart, ack: SeqNumber) -> bool {
        let refuses = record.content_type == content_type::ALERT || self.is_alert_len(record);
        let earliest = self.reply.certificate_end.filter(|_| refuses);
        earliest.or(self.reply_end()).is_some_and(|end| ack.offset_from(end) >= 0)
    }

    /// The gateway's flight may hold a certificate that is not seen.
    pub(crate) fn assume_certificate(&mut self) {
        self.flight.has_certificate = true;
    }

    fn flight_record_in_order(&mut self, record: &RecordStart) -> Option<Outcome> {
        let (is_finished, is_alert_len) = (self.is_finished(record), self.is_alert_len(record));
        let alert_len = ALERT + self.protection;
        let flight = &mut self.flight;
        let needs_certificate = !flight.has_certificate && !flight.is_resumed;
        match record.content_type {
            content_type::ALERT if needs_certificate && record.len == ALERT => {
                return Some(Outcome::RefusedAfterServerHello { alert: Some(plain_alert(record)?) });
            }
            content_type::CHANGE_CIPHER_SPEC if !self.is_tls13 => flight.is_resumed = true,
            content_type::HANDSHAKE => {
                flight.has_certificate |= match record.first {
                    Some(SERVER_HELLO) => false,
                    Some(CERTIFICATE) => true,
                    _ => record.len >= MIN_CERTIFICATE,
                };
            }
            content_type::APPLICATION_DATA if self.is_tls13 => {
                if flight.extensions_len == 0 {
                    flight.extensions_len = record.len;
                }
                flight.has_certificate |= record.len >= MIN_CERTIFICATE;
                // A Finished without a certificate before it.
                flight.is_resumed |= is_finished && !flight.has_certificate;
                flight.may_end_in_alert = is_alert_len;
                // Extensions, which come first, are longer (RFC 8446, section 4.3.1): they have 6 bytes at least.
                if record.len == alert_len && needs_certificate {
                    return Some(Outcome::RefusedAfterServerHello { alert: None });
                }
            }
            _ => {}
        }
        None
    }

    /// Takes a record that the gateway sent after the client's reply had come up to [`reply_end`](Self::reply_end).
    pub(crate) fn reaction(&mut self, record: &RecordStart) -> Option<Outcome> {
        let is_alert = match record.content_type {
            content_type::ALERT => true,
            // JSSE's padded alert is as long as 18 bytes of data. Only after a client's certificate an alert is to be expected.
            content_type::APPLICATION_DATA if self.is_tls13 && !self.has_reacted => {
                record.len == ALERT + self.protection
                    || self.is_alert_len(record) && self.reply.certificate_end.is_some()
            }
            _ => false,
        };
        if is_alert {
            if self.has_reacted {
                return None;
            }
            // An alert in answer to the client's own close, or for another reason than a certificate.
            let is_refusal = self.reply.certificate_end.is_some() && self.reply.closing == Closing::Open;
            return Some(if is_refusal {
                Outcome::ClientCertificateRefused { alert: plain_alert(record) }
            } else {
                Outcome::ServerHello
            });
        }
        // A gateway that pads all records to one length: it may be an alert.
        if self.reply.certificate_end.is_some() && self.is_tls13 && record.len == self.flight.extensions_len {
            return Some(Outcome::ServerHello);
        }
        self.has_reacted = true;
        self.reply.has_data.then_some(Outcome::Established)
    }

    /// Takes a record of the client.
    pub(crate) fn client_record(&mut self, record: &RecordStart) -> Option<Outcome> {
        if self.reply.finished_end.is_some() {
            return self.after_finished(record);
        }
        if self.is_tls13 { self.client_record_13(record) } else { self.client_record_12(record) }
    }

    fn client_record_13(&mut self, record: &RecordStart) -> Option<Outcome> {
        match record.content_type {
            content_type::ALERT => return rejected(record),
            content_type::APPLICATION_DATA => {}
            // A change of cipher specs, or a second hello.
            _ => return None,
        }
        let is_one_of = |len: u16| record.len == len || record.len == len + JSSE_PADDING;
        if self.reply.certificate_end.is_some() && (self.is_alert_len(record) || self.has_reacted) {
            // It has accepted the gateway's certificate; the Finished may be unseen.
            return if self.is_alert_len(record) { self.closing() } else { self.goes_on() };
        }
        if self.is_alert_len(record) && !self.has_early_data {
            self.reply.has_begun = true;
            return Some(Outcome::RejectedByClient { alert: None });
        }
        if self.is_finished(record) {
            self.reply.has_begun = true;
            self.reply.finished_end = Some(record.end);
        } else if self.has_early_data {
            if is_one_of(END_OF_EARLY_DATA + self.protection) {
                self.has_early_data = false;
                // The client has sent its data before.
                self.reply.has_data = true;
            } else if record.len == ALERT + self.protection {
                // Two bytes of early data are as long.
                return Some(Outcome::ServerHello);
            }
        } else {
            self.reply.has_begun = true;
            // An empty Certificate may be in one record with the Finished.
            let has_finished = is_one_of(EMPTY_CERTIFICATE + self.finished_len);
            let is_certificate = has_finished
                || is_one_of(EMPTY_CERTIFICATE + self.protection)
                || record.len >= MIN_CERTIFICATE;
            if is_certificate {
                self.reply.certificate_end.get_or_insert(record.end);
            } else {
                self.reply.unknown_end.get_or_insert(record.end);
            }
            if has_finished {
                self.reply.finished_end = Some(record.end);
            }
        }
        None
    }

    fn client_record_12(&mut self, record: &RecordStart) -> Option<Outcome> {
        match record.content_type {
            content_type::ALERT if !self.reply.has_changed_ciphers => return rejected(record),
            content_type::CHANGE_CIPHER_SPEC => self.reply.has_changed_ciphers = true,
            content_type::HANDSHAKE if self.reply.has_changed_ciphers => {
                self.reply.finished_end = Some(record.end);
            }
            content_type::HANDSHAKE => match record.first {
                Some(CERTIFICATE) => self.reply.certificate_end = Some(record.end),
                Some(CLIENT_KEY_EXCHANGE) => self.reply.key_exchange_end = Some(record.end),
                _ => {}
            },
            // The Finished was unseen.
            content_type::APPLICATION_DATA if self.has_reacted => return Some(Outcome::Established),
            _ => return None,
        }
        self.reply.has_begun = true;
        None
    }

    /// Takes bytes of the client after its Finished of which no record was seen.
    pub(crate) fn unseen_after_finished(&mut self, len: u32) -> Option<Outcome> {
        let alerts = [0, JSSE_PADDING].map(|padding| 5 + u32::from(ALERT + self.protection + padding));
        if len == 0 || alerts.contains(&len) { None } else { self.goes_on() }
    }

    /// Where the client's Finished ends, if it was seen.
    pub(crate) fn finished_end(&self) -> Option<SeqNumber> {
        self.reply.finished_end
    }

    fn after_finished(&mut self, record: &RecordStart) -> Option<Outcome> {
        let is_alert = match record.content_type {
            content_type::ALERT => true,
            content_type::APPLICATION_DATA => self.is_tls13 && self.is_alert_len(record),
            _ => return None,
        };
        if is_alert && self.reply.closing == Closing::Open { self.closing() } else { self.goes_on() }
    }

    /// The client sends data after its Finished.
    fn goes_on(&mut self) -> Option<Outcome> {
        self.reply.has_data = true;
        self.has_reacted.then_some(Outcome::Established)
    }

    /// The client closes the connection after its Finished. One that has sent a certificate had accepted the gateway's; any
    /// data before the end may be in records that were unseen.
    fn closing(&mut self) -> Option<Outcome> {
        self.reply.closing = Closing::Alert;
        let has_accepted = self.reply.certificate_end.is_some();
        (self.has_reacted && has_accepted).then_some(Outcome::Established)
    }

    /// Takes an end of the connection; `None` if what follows may still decide.
    pub(crate) fn end(&mut self, end: End) -> Option<Outcome> {
        let Self { reply, has_reacted, .. } = *self;
        let outcome = match end {
            End::Gateway { flight_len } => self.gateway_end(flight_len),
            // A half-close after a request.
            End::ClientFin { .. } if reply.has_data && !has_reacted => {
                self.reply.closing = Closing::Fin;
                return None;
            }
            // The client's FIN may overtake the gateway's, which comes after its alert.
            End::ClientFin { flight_len }
                if !reply.has_begun && self.flight.may_end_in_alert && self.is_refusal(flight_len) =>
            {
                Outcome::RefusedAfterServerHello { alert: None }
            }
            // Node.js and Java's HttpClient say no more where they reject a certificate.
            End::ClientFin { flight_len } if self.is_unfinished_after_certificate(flight_len) => {
                Outcome::RejectedByClient { alert: None }
            }
            // It had accepted the gateway's certificate before it sent its own.
            End::ClientFin { .. } | End::ClientReset if has_reacted && reply.certificate_end.is_some() => {
                Outcome::Established
            }
            // A client that checks the certificate after the handshake (Node.js with TLS 1.2, wget, curl for the name) ends it
            // as a health check does.
            End::Unseen if has_reacted && reply.closing != Closing::Alert => Outcome::Established,
            End::ClientFin { .. } | End::ClientReset | End::Unseen => Outcome::ServerHello,
        };
        Some(outcome)
    }

    /// Whether the gateway has sent what may hold a certificate, and the client nothing after it that goes on with the handshake.
    fn is_unfinished_after_certificate(&self, flight_len: u32) -> bool {
        let has_certificate = self.flight.has_certificate || flight_len >= MIN_CERTIFICATE.into();
        has_certificate && !self.flight.is_resumed && !self.has_early_data && !self.reply.has_begun
    }

    fn gateway_end(&self, flight_len: u32) -> Outcome {
        let Reply { has_begun, certificate_end, closing, .. } = self.reply;
        if has_begun {
            let is_open = closing == Closing::Open;
            return match (self.has_reacted, certificate_end) {
                (true, _) if is_open => Outcome::Established,
                // Node.js refuses without an alert.
                (false, Some(_)) if is_open => Outcome::ClientCertificateRefused { alert: None },
                _ => Outcome::ServerHello,
            };
        }
        if self.is_refusal(flight_len) {
            Outcome::RefusedAfterServerHello { alert: None }
        } else {
            Outcome::ServerHello
        }
    }

    /// Whether the gateway's flight, which has ended, holds no certificate and needed one.
    fn is_refusal(&self, flight_len: u32) -> bool {
        let Flight { has_certificate, is_resumed, may_end_in_alert, extensions_len } = self.flight;
        let is_too_short = flight_len < MIN_CERTIFICATE.into() && !has_certificate;
        is_too_short && !is_resumed && (may_end_in_alert || extensions_len == 0)
    }

    /// Whether a protected record of TLS 1.3 is as long as one with an alert.
    fn is_alert_len(&self, record: &RecordStart) -> bool {
        let len = ALERT + self.protection;
        record.len == len || record.len == len + JSSE_PADDING
    }

    fn is_finished(&self, record: &RecordStart) -> bool {
        record.len == self.finished_len || record.len == self.finished_len + JSSE_PADDING
    }
}

/// What an alert says that is not encrypted.
fn plain_alert(record: &RecordStart) -> Option<AlertDescription> {
    let is_plain = record.content_type == content_type::ALERT && record.len == ALERT;
    is_plain.then_some(AlertDescription::from_code(record.second?))
}

/// The outcome of an alert that the client sends before its Finished. One that closes the connection rejects nothing.
fn rejected(record: &RecordStart) -> Option<Outcome> {
    let alert = plain_alert(record);
    match alert {
        Some(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => Some(Outcome::ServerHello),
        Some(_) if answer::may_go_on(record.first?, record.second?) => None,
        _ => Some(Outcome::RejectedByClient { alert }),
    }
}
