//! The page at `/`: one document with its style and its scripts inside, which asks `/api/v1/` every few seconds.
//!
//! Names of servers and protocols come from whoever connects to the gateway. The scripts write them as text only; and if
//! one of them failed in that, the policy in the header lets nothing run, load or be sent but what is hashed here.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("page/style.css");
/// In this order: the later ones use what the earlier ones define.
const SCRIPT: &str = concat!(
    include_str!("page/dom.js"),
    include_str!("page/chart.js"),
    include_str!("page/tables.js"),
    include_str!("page/facts.js"),
    include_str!("page/refresh.js"),
);

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let document = include_str!("page/page.html");
    document.replace("/* style */", STYLE).replace("/* script */", SCRIPT)
});

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    // The icon is within the document as well.
    format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// The page, with the policy that makes it safe.
pub(super) fn answer() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
    ];
    (headers, DOCUMENT.as_str()).into_response()
}

/// A source expression of Content Security Policy (CSP 3, 2.3.1).
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_are_in_the_document_as_they_are_hashed() {
        let within = |tag: &str| {
            let (_, rest) = DOCUMENT.split_once(&format!("<{tag}>")).unwrap();
            rest.split_once(&format!("</{tag}>")).unwrap().0
        };
        assert!(POLICY.contains(&format!("style-src '{}';", hash(within("style")))));
        assert!(POLICY.contains(&format!("script-src '{}';", hash(within("script")))));
        assert_eq!(DOCUMENT.matches("<script").count(), 1);
    }

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_is_markup_by_chance() {
        // The namespace of SVG is a name, and no address that anybody asks.
        let document = DOCUMENT.replace("http://www.w3.org/2000/svg", "");
        for forbidden in
            ["http://", "https://", "url(", "@import", "innerHTML", "outerHTML", "document.write"]
        {
            assert!(!document.contains(forbidden), "{forbidden}");
        }
        // The policy would not let them work.
        for forbidden in [" style=", " onclick=", "javascript:"] {
            assert!(!document.contains(forbidden), "{forbidden}");
        }
    }
}
