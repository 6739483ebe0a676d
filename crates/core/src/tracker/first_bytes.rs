//! What a client's first bytes make of a flow, once they decide.

use std::ops::Range;

use super::awaiting::{Awaiting, Decided};
use super::context::{Context, Sighting};
use super::ending::Over;
use crate::client_hello::ClientHello;
use crate::flow::FlowKey;
use crate::observation::{Features, Hello, Observation};
use crate::opening::{Content, Opening, PartialHello};
use crate::prelude;
use crate::proxy_header::{ProxyHeader, Version};
use crate::vocabulary::{Feature, IncompleteReason, NonTls, Prelude, TlsVersion};

/// The segments in which the client's first bytes came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pieces {
    /// The packet with which the hello began, or the flow.
    pub(super) began: Sighting,
    /// The last one.
    pub(super) ended: Sighting,
    /// The first place of the stream for which there are two different bytes.
    pub(super) contradiction: Option<usize>,
}

impl Pieces {
    /// What follows from the client's first bytes; `None` if they do not decide.
    ///
    /// `segments` says how many segments brought bytes of a part of the stream.
    pub(super) fn decide(
        self,
        opening: Opening,
        segments: impl FnOnce(Range<usize>) -> u32,
        context: &mut Context<'_>,
    ) -> Option<Decided> {
        let before = Before { proxy: opening.proxy, prelude: opening.prelude() };
        match opening.content {
            Content::Undecided { .. } | Content::Partial { .. } => None,
            Content::NonTls(protocol) => {
                self.not_tls(protocol, before, context);
                Some(Decided::Over(Over::Ignored))
            }
            Content::Rejected { reason, partial } => {
                let segments = segments(partial.start..usize::MAX);
                let awaiting = self.incomplete(partial, reason.into(), before, segments, context);
                Some(Decided::Awaiting(Box::new(awaiting)))
            }
            Content::Hello(whole) if self.contradicts_before(whole.span.end) => {
                let partial = PartialHello {
                    sslv2: whole.hello.features.contains(Feature::Sslv2),
                    length: whole.length,
                    records: whole.records,
                    start: whole.span.start,
                };
                let segments = segments(whole.span);
                let reason = IncompleteReason::Contradictory;
                let awaiting = self.incomplete(partial, reason, before, segments, context);
                Some(Decided::Awaiting(Box::new(awaiting)))
            }
            Content::Hello(whole) => {
                let ClientHello { sni, features, .. } = &whole.hello;
                let (sni, features) = (sni.clone(), *features);
                let with_fingerprints = context.config.fingerprints.are_wanted(sni.class());
                let mut hello = Hello {
                    sni,
                    body: Some(whole.hello.into_body(with_fingerprints)),
                    incomplete: None,
                    length: whole.length,
                    segments: segments(whole.span),
                    records: whole.records,
                    prelude: before.prelude,
                    is_proxy_local: false,
                    features,
                };
                add_transport_features(&mut hello, before.proxy);
                let awaiting = await_outcome(&hello, self.ended, before.proxy, whole.next_record, context);
                Some(Decided::Awaiting(Box::new(awaiting)))
            }
        }
    }

    /// The bytes are not TLS; or no observer can know whether they are.
    pub(super) fn not_tls(self, protocol: NonTls, before: Before, context: &mut Context<'_>) {
        let flow = FlowKey::from(context.key);
        let start = before.proxy.map_or(0, |header| header.len);
        context.observations.push_back(if self.contradicts_before(start + prelude::SIGNATURE_LEN) {
            Observation::Unclassified { flow, reason: IncompleteReason::Contradictory }
        } else {
            Observation::NonTls { flow, time: context.scale.stamp_of(self.began.time), protocol }
        });
    }

    pub(super) fn incomplete(
        self,
        partial: PartialHello,
        reason: IncompleteReason,
        before: Before,
        segments: u32,
        context: &mut Context<'_>,
    ) -> Awaiting {
        // Where its end is not known, all that has come of it may be its own.
        let end = if partial.length == 0 { usize::MAX } else { partial.least_end() };
        let reason = if self.contradicts_before(end) { IncompleteReason::Contradictory } else { reason };
        let mut hello = Hello {
            incomplete: Some(reason),
            length: partial.length,
            segments,
            records: partial.records,
            prelude: before.prelude,
            ..Hello::default()
        };
        if partial.sslv2 {
            hello.features.insert(Feature::Sslv2);
        }
        add_transport_features(&mut hello, before.proxy);
        await_outcome(&hello, self.began, before.proxy, 0, context)
    }

    fn contradicts_before(&self, end: usize) -> bool {
        self.contradiction.is_some_and(|at| at < end)
    }
}

fn await_outcome(
    hello: &Hello,
    seen: Sighting,
    proxy: Option<ProxyHeader>,
    next_record: usize,
    context: &mut Context<'_>,
) -> Awaiting {
    let proxied = proxy.and_then(|header| header.addresses);
    context.observations.push_back(Observation::ClientHello {
        flow: FlowKey::from(context.key),
        proxied,
        sni: hello.sni.class(),
        version: hello.body.as_ref().map_or(TlsVersion::Unknown, |body| body.version),
        features: hello.features,
        incomplete: hello.incomplete,
    });
    Awaiting::new(hello, seen, proxied, next_record)
}

/// What a client said before its hello.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) proxy: Option<ProxyHeader>,
    pub(super) prelude: Option<Prelude>,
}

fn add_transport_features(hello: &mut Hello, proxy: Option<ProxyHeader>) {
    hello.is_proxy_local = proxy.is_some_and(|header| header.is_local);
    let features: &mut Features = &mut hello.features;
    match proxy.map(|header| header.version) {
        Some(Version::V1) => features.insert(Feature::ProxyV1),
        Some(Version::V2) => features.insert(Feature::ProxyV2),
        None => {}
    }
    if hello.segments > 1 {
        features.insert(Feature::MultiSegment);
    }
    if hello.records > 1 {
        features.insert(Feature::MultiRecord);
    }
}
