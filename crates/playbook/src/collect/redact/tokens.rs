//! Tokens that are known by how they begin.

use std::sync::LazyLock;

use super::certificates::is_certificate;

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
/// Beginnings that names of objects have too: there a token is in capitals, or has a long part.
const BEGINNINGS_OF_NAMES: [&str; 12] =
    ["key-", "sk-", "s.", "b.", "st.", "A3-", "API-", "ico-", "tk-us-", "p8e-", "pul-", "ops_"];
/// Characters of a part of a token without capitals that begins as a name may.
const MIN_PART: usize = 20;
/// How long the shortest token is.
pub(super) const MIN_LENGTH: usize = MIN_TOKEN_AFTER_LONG;
/// Characters of a token. A shorter word begins so by chance.
const MIN_TOKEN: usize = 16;
/// Characters of a beginning that is known well enough for shorter tokens.
const LONG_BEGINNING: usize = 4;
const MIN_TOKEN_AFTER_LONG: usize = 12;
/// Characters of the last label of a host's name.
const MAX_TOP_LABEL: usize = 18;
/// A word that begins as a token does, after anything but a letter or a digit.
pub(super) static PATTERN: LazyLock<String> = LazyLock::new(|| {
    let beginnings: Vec<String> = TOKENS.iter().map(|token| regex::escape(token)).collect();
    format!(r"(?:^|[^A-Za-z0-9])(?<secret>(?<beginning>{})[\w.+/=~-]*)", beginnings.join("|"))
});

/// Returns whether the word is a token, of which this is the known beginning.
pub(super) fn is_token(word: &str, beginning: &str) -> bool {
    let min = if beginning.len() >= LONG_BEGINNING { MIN_TOKEN_AFTER_LONG } else { MIN_TOKEN };
    word.len() >= min
        && !is_certificate(word)
        && has_digit_or_capital(&word[beginning.len()..])
        && !is_host(word)
        && !(BEGINNINGS_OF_NAMES.contains(&beginning) && is_name(&word[beginning.len()..]))
}

/// Whether the rest of a word is in small letters and digits, in short parts: `api-key-2024-cert`.
fn is_name(rest: &str) -> bool {
    !rest.bytes().any(|byte| byte.is_ascii_uppercase())
        && rest.split(['-', '.', '_']).all(|part| part.len() < MIN_PART)
}

/// Returns whether the text has a digit or a capital.
pub(super) fn has_digit_or_capital(text: &str) -> bool {
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
