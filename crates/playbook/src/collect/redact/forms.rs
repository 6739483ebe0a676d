//! Secrets that are known by their form, whatever is around them: tokens with a known beginning, hashes of passwords,
//! user information in URLs, parameters of URLs, fields of XML.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::REDACTED;
use super::names::is_secret;

/// How tokens begin. Source: the rules of secret scanners (gitleaks 8, secrets-patterns-db), and the pages of the issuers.
const TOKENS: &[&str] = &[
    // JSON in base64 (JWTs, service accounts), also twice; PEM in base64.
    "eyJ",
    "ewog",
    "ewoJ",
    "eyAi",
    "ZXlK",
    "LS0tLS1CRUdJTi",
    // Google, AWS, Azure, Alibaba, DigitalOcean, Databricks.
    "ya29.",
    "1//",
    "AIza",
    "GOCSPX-",
    "AKIA",
    "ASIA",
    "ABIA",
    "ACCA",
    "ABSK",
    "bedrock-api-key-",
    "LTAI",
    "dop_v1_",
    "doo_v1_",
    "dor_v1_",
    "dapi",
    // GitHub, GitLab, Bitbucket and Atlassian, Gitea, Sourcegraph.
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "glrt-",
    "glcbt-",
    "glptt-",
    "glft-",
    "glimt-",
    "glagent-",
    "gloas-",
    "glsoat-",
    "glffct-",
    "GR1348941",
    "ATATT3",
    "ATCTT3",
    "ATBB",
    "sgp_",
    // Slack, Discord, Telegram by opaque words, Mattermost.
    "xoxa-",
    "xoxb-",
    "xoxc-",
    "xoxd-",
    "xoxe-",
    "xoxe.",
    "xoxo-",
    "xoxp-",
    "xoxr-",
    "xoxs-",
    "xapp-",
    // Payments and shops.
    "sk_live_",
    "sk_test_",
    "sk_prod_",
    "rk_live_",
    "rk_test_",
    "rk_prod_",
    "whsec_",
    "sq0atp-",
    "sq0csp-",
    "EAAA",
    "shpat_",
    "shpca_",
    "shppa_",
    "shpss_",
    "shippo_live_",
    "shippo_test_",
    "FLWSECK",
    "access_token$production$",
    "duffel_live_",
    "duffel_test_",
    "EZAK",
    "EZTK",
    // Vault, Terraform, Doppler, 1Password, age, Infisical, Pulumi.
    "hvs.",
    "hvb.",
    "hvr.",
    "s.",
    "b.",
    "atlasv1.",
    "dp.st.",
    "dp.pt.",
    "dp.ct.",
    "dp.sa.",
    "dp.scim.",
    "dp.audit.",
    "ops_",
    "A3-",
    "AGE-SECRET-KEY-",
    "st.",
    "pul-",
    // Registries of packages and images.
    "npm_",
    "pypi-",
    "rubygems_",
    "dckr_pat_",
    "dckr_oat_",
    "CLOJARS_",
    "AKCp",
    "cmVmd",
    "oy2",
    "cio",
    // Monitoring, mail, machines that write.
    "glc_",
    "glsa_",
    "NRAK-",
    "NRII-",
    "NRJS-",
    "NRRA-",
    "dt0c01.",
    "dt0s01.",
    "sntrys_",
    "sntryu_",
    "SG.",
    "key-",
    "xkeysib-",
    "xsmtpsib-",
    "sk-",
    "pplx-",
    "hf_",
    "api_org_",
    "r8_",
    "gsk_",
    "xai-",
    // Others.
    "PMAK-",
    "lin_api_",
    "ntn_",
    "secret_",
    "fo1_",
    "fm1a_",
    "fm1r_",
    "fm2_",
    "pscale_tkn_",
    "pscale_pw_",
    "pscale_oauth_",
    "pnu_",
    "rdme_",
    "tfp_",
    "HRKU-",
    "API-",
    "sm_aat_",
    "sm_pat_",
    "sm_sat_",
    "squ_",
    "sqp_",
    "sqa_",
    "sha256~",
    "tskey-",
    "ico-",
    "fio-u-",
    "tk-us-",
    "dnkey-",
    "p8e-",
    "s-s4t2",
    "EAAC",
    "EAAM",
    "AQVN",
    "ZAADMIN",
    "cfut_",
    "cfat_",
    "v1.0-",
    "figd_",
    "ATZR",
    "amzn.mws.",
    "amzn1.oa2-cs.",
    "NFP_",
    "nfp_",
    "sbp_",
    "vercel_",
    "vcp_",
    "rnd_",
    "lip_",
    "kjs_",
    "CCIPAT_",
    "bkua_",
    "jfrt@",
];
/// A certificate in base64 is no secret.
const CERTIFICATE: &str = "LS0tLS1CRUdJTiBDRVJU";
/// Characters of a token. A shorter word begins so by chance.
const MIN_TOKEN: usize = 16;
/// Characters of a beginning that is known well enough for shorter tokens.
const LONG_BEGINNING: usize = 4;
const MIN_TOKEN_AFTER_LONG: usize = 12;
/// Characters of the last label of a host's name.
const MAX_TOP_LABEL: usize = 18;
/// Characters of a parameter that is taken for a secret although its name says nothing.
const MIN_PARAMETER: usize = 6;

/// One form: the group `secret` is taken out, if `is_one` says so of the match.
struct Form {
    /// A text without this part has no such form. Spares the search in the many short texts of events.
    needs: &'static str,
    pattern: Regex,
    is_one: fn(&Captures<'_>) -> bool,
}

impl Form {
    fn new(needs: &'static str, pattern: &str, is_one: fn(&Captures<'_>) -> bool) -> Option<Self> {
        Regex::new(pattern).ok().map(|pattern| Self { needs, pattern, is_one })
    }
}

fn always(_: &Captures<'_>) -> bool {
    true
}

fn group<'text>(captures: &Captures<'text>, name: &str) -> &'text str {
    captures.name(name).map_or("", |group| group.as_str())
}

/// In the order in which they are looked for.
static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let forms = [
        // <password>, <db.password type="x">, with CDATA.
        Form::new(
            "<",
            r"(?s)<(?<name>[\w:.-]+)(?:\s[^<>]*)?>\s*(?<secret><!\[CDATA\[.*?\]\]>|[^<>]+?)\s*</",
            |captures| is_secret(group(captures, "name")),
        ),
        // <entry key="password">, <Setting name="Password"><Value>.
        Form::new(
            "<",
            r#"(?si)<[\w:.-]+\s[^<>]*?\b(?:key|name|id|property|param)\s*=\s*["'](?<name>[^"'<>]*)["'][^<>]*>\s*(?:<value[^<>]*>\s*)?(?<secret><!\[CDATA\[.*?\]\]>|[^<>]+?)\s*</"#,
            |captures| is_secret(group(captures, "name")),
        ),
        // <add key="Password" value="…"/>, and the other way round.
        Form::new(
            "<",
            r#"(?i)<[\w:.-]+\s[^<>]*?\b(?:key|name|id|property|param)\s*=\s*["'](?<name>[^"'<>]*)["'][^<>]*?\bvalue\s*=\s*["'](?<secret>[^"'<>]+)"#,
            |captures| is_secret(group(captures, "name")),
        ),
        Form::new(
            "<",
            r#"(?i)<[\w:.-]+\s[^<>]*?\bvalue\s*=\s*["'](?<secret>[^"'<>]+)["'][^<>]*?\b(?:key|name|id|property|param)\s*=\s*["'](?<name>[^"'<>]*)["']"#,
            |captures| is_secret(group(captures, "name")),
        ),
        // Keys without their first line, of SSH2, of PuTTY.
        Form::new(
            "-----END ",
            r"(?<secret>(?:[A-Za-z0-9+/=]+(?:\s|\\n|\\r)+)+)-----END [A-Z0-9 ]*PRIVATE KEY",
            always,
        ),
        Form::new(
            "---- BEGIN ",
            r"(?s)---- BEGIN [A-Z0-9 ]*PRIVATE KEY ----(?<secret>.*?)(?:---- END|\z)",
            always,
        ),
        Form::new("Private-Lines:", r"(?s)Private-Lines:\s*\d+\s*(?<secret>.*?)(?:Private-MAC|\z)", always),
        // User information of URLs; a password may have characters that it should not have.
        Form::new("://", r#"://(?<secret>[^\s/?#"'<>@]*(?:@[^\s/?#"'<>@]*)*)@"#, always),
        Form::new(
            "://",
            r#"://(?<secret>[^\s/?#"'<>@:\[]+:[^\s"'<>@]*?[^\s"'<>@0-9/][^\s"'<>@]*)@"#,
            |captures| {
                // A port and a path with an @ in it are none.
                let after = group(captures, "secret").split_once(':').map_or("", |(_, after)| after);
                let port = after.split(['/', '?', '#']).next().unwrap_or_default();
                port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit())
            },
        ),
        // jdbc:oracle:thin:scott/tiger@…
        Form::new("@", r#"(?i)\bjdbc:(?:[a-z0-9]+:)+(?<secret>[^\s"'<>@/][^\s"'<>@]*)@"#, always),
        // user:password@tcp(host:1), user:password@host:1/db; the digest of an image is none.
        Form::new(
            "@",
            r#"(?:^|[\s"'=\[(,])(?<secret>[\w.+%-]+:[^\s"'<>@:/]+)@(?<host>[\w.\[-]+)"#,
            |captures| !group(captures, "host").starts_with("sha"),
        ),
        // scott/tiger@database.
        Form::new("@", r#"(?:^|[\s"'=])(?<secret>\w+/[^\s"'<>@:/]+)@(?:/{0,2}[\w.-]+)"#, |captures| {
            !captures.get(0).is_some_and(|whole| whole.as_str().contains("@sha"))
        }),
        // Parameters of URLs.
        Form::new("=", r#"[?&](?<name>[\w.\[\]-]+)=(?<secret>[^\s"'<>&;#]+)"#, is_parameter),
        // Webhooks: their path lets in anyone.
        Form::new(
            "/",
            r#"(?i)(?:hooks\.slack\.com/\w+/|discord(?:app)?\.com/api/webhooks/|webhook\.office\.com/\w*|logic\.azure\.com[:\d]*/workflows/|chat\.googleapis\.com/v1/spaces/|hooks\.zapier\.com/hooks/|api\.telegram\.org/bot|events\.pagerduty\.com/integration/)(?<secret>[^\s"'<>)]{6,})"#,
            always,
        ),
        // Hashes of passwords: crypt(5), PHC strings, LDAP, Django, SCRAM.
        Form::new("$", r"(?:^|[^\w$])\$[\w-]{1,16}\$(?<secret>[\w./+=$,-]{6,})", always),
        Form::new(
            "{",
            r"\{(?:[Ss]?(?:SHA|MD5)\d*|CRYPT|PBKDF2[\w-]*|ARGON2|bcrypt|noop)\}(?<secret>[^\s,;]{4,})",
            always,
        ),
        Form::new("$", r"(?i)\b(?:pbkdf2_sha\d+|scrypt|scram-sha-\d+)\$(?<secret>[^\s,;]{6,})", always),
        // Azure: the secret of a client has this in its middle. Telegram: the number of the bot, and a colon.
        Form::new("Q~", r"\b(?<secret>[\w~.]{3}\dQ~[\w~.-]{20,})", always),
        Form::new(":AA", r"\b\d{6,12}:(?<secret>AA[\w-]{30,})", always),
        // Credentials after their scheme.
        Form::new(
            "",
            r"(?i)\b(?:bearer|basic|digest|apikey|negotiate|ntlm)[ \t:]+(?<secret>[\w.+/=~-]{6,})",
            |captures| has_digit_or_capital(group(captures, "secret")) || captures[0].contains("earer"),
        ),
        // setPassword("…").
        Form::new("(", r#"\b(?<name>\w+)\(\s*["'](?<secret>[^"'\n]+)["']"#, |captures| {
            is_secret(group(captures, "name"))
        }),
        // echo secret | command that reads it.
        Form::new(
            "|",
            r#"\b(?:echo|printf)\s+(?:-\w+\s+)*(?<secret>"[^"|]*"|'[^'|]*'|[^\s|"']+)\s*\|[^|]*(?:-stdin\b|chpasswd|sudo\s+(?:-\w+\s+)*-S|passwd\b|\blogin\b)"#,
            always,
        ),
        Form::new("", TOKEN_PATTERN.as_str(), is_token),
    ];
    forms.into_iter().flatten().collect()
});

/// A word that begins as a token does, after anything but a letter or a digit.
static TOKEN_PATTERN: LazyLock<String> = LazyLock::new(|| {
    let beginnings: Vec<String> = TOKENS.iter().map(|token| regex::escape(token)).collect();
    format!(r"(?:^|[^A-Za-z0-9])(?<secret>(?<beginning>{})[\w.+/=~-]*)", beginnings.join("|"))
});

fn is_token(captures: &Captures<'_>) -> bool {
    let (word, beginning) = (group(captures, "secret"), group(captures, "beginning"));
    let min = if beginning.len() >= LONG_BEGINNING { MIN_TOKEN_AFTER_LONG } else { MIN_TOKEN };
    word.len() >= min
        && !word.starts_with(CERTIFICATE)
        && has_digit_or_capital(&word[beginning.len()..])
        && !is_host(word)
}

fn is_parameter(captures: &Captures<'_>) -> bool {
    let (name, value) = (group(captures, "name"), group(captures, "secret"));
    is_secret(name) || value.len() >= MIN_PARAMETER && value.bytes().any(|byte| byte.is_ascii_digit())
}

fn has_digit_or_capital(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// Whether the word may be the name of a host: labels, the last one of letters of one case.
fn is_host(word: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let last = word.rsplit('.').next().unwrap_or_default();
    word.contains('.')
        && word.split('.').all(is_label)
        && last.len() <= MAX_TOP_LABEL
        && (last.bytes().all(|byte| byte.is_ascii_lowercase())
            || last.bytes().all(|byte| byte.is_ascii_uppercase()))
}

/// The text without the secrets that have a known form; `count` grows by their number.
pub(super) fn redact(text: &str, count: &mut u64) -> String {
    let mut text = text.to_owned();
    // Shorter than the shortest token, and without a sign of another form.
    if text.len() < MIN_TOKEN_AFTER_LONG && !text.contains(['@', '=', ':', '$', '<', '{', ' ']) {
        return text;
    }
    for form in FORMS.iter() {
        if text.contains(form.needs)
            && let Some(redacted) = form.redact(&text, count)
        {
            text = redacted;
        }
    }
    text
}

impl Form {
    /// The text without secrets of this form; `None` if there is none.
    fn redact(&self, text: &str, count: &mut u64) -> Option<String> {
        let mut redacted = String::new();
        let (mut copied, mut from) = (0, 0);
        while let Some(captures) = self.pattern.captures_at(text, from) {
            let Some(secret) = captures.name("secret") else { break };
            // Forms may overlap: what follows the secret may belong to the next one.
            from = secret.end().max(from + 1);
            while !text.is_char_boundary(from) {
                from += 1;
            }
            if !secret.as_str().is_empty() && !secret.as_str().contains(REDACTED) && (self.is_one)(&captures)
            {
                redacted.push_str(&text[copied..secret.start()]);
                redacted.push_str(REDACTED);
                copied = secret.end();
                *count += 1;
            }
            if from > text.len() {
                break;
            }
        }
        if copied == 0 {
            return None;
        }
        redacted.push_str(&text[copied..]);
        Some(redacted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_a_pattern() {
        assert_eq!(FORMS.len(), 23);
    }
}
