//! Secrets that are known by their form, whatever is around them: tokens with a known beginning, hashes of passwords,
//! user information in URLs, parameters of URLs, fields of XML.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::REDACTED;
use super::names::is_secret;
use super::tokens::{self, has_digit_or_capital};

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
        // <key>password</key><string>…, <name>db.password</name><value>….
        Form::new(
            "<",
            r"(?si)<[\w:.-]*(?:key|name|id|property|param|parameter|field|setting|option)(?:\s[^<>]*)?>\s*(?<name>[^<>]*?)\s*</[\w:.-]+>\s*<[\w:.-]+(?:\s[^<>]*)?>\s*(?<secret><!\[CDATA\[.*?\]\]>|[^<>]+?)\s*(?:</|\z)",
            |captures| is_secret(group(captures, "name")),
        ),
        // <AdministratorPassword><Value>…, with up to three other elements between.
        Form::new(
            "<",
            r"(?si)<(?<name>[\w:.-]+)(?:\s[^<>]*)?>\s*(?:<[\w:.-]+(?:\s[^<>]*)?>[^<>]*</[\w:.-]+>\s*){0,3}<(?:\w+:)?(?:value|val|string|text|content|data)(?:\s[^<>]*)?>\s*(?<secret><!\[CDATA\[.*?\]\]>|[^<>]+?)\s*(?:</|\z)",
            |captures| is_secret(group(captures, "name")),
        ),
        // <password>, <db.password type="x">, with CDATA. The <key> of a property list is a name.
        Form::new(
            "<",
            r"(?s)<(?<name>[\w:.-]+)(?:\s[^<>]*)?>\s*(?<secret><!\[CDATA\[.*?\]\]>|[^<>]+?)\s*(?:</[\w:.-]*>?\s*(?<next><(?:string|integer|real|true|false|array|dict|data|date)\b)?|\z)",
            |captures| {
                let name = group(captures, "name");
                is_secret(name) && !(name == "key" && captures.name("next").is_some())
            },
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
        // The same without a scheme.
        Form::new("//", r#"(?:^|[\s"'=])//(?<secret>[^\s/?#"'<>@:]+:[^\s"'<>@/]+)@"#, always),
        // jdbc:oracle:thin:scott/tiger@…
        Form::new("@", r#"(?i)\bjdbc:(?:[a-z0-9]+:)+(?<secret>[^\s"'<>@/][^\s"'<>@]*)@"#, always),
        // user:password@tcp(host:1), user:password@host:1/db; the digest of an image is none.
        Form::new(
            "@",
            r#"(?:^|[\s"'=\[(,])(?<secret>[\w.+%-]+:[^\s"'<>@/]+)@(?<host>[\w.\[-]+)"#,
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
            r"\{(?:[Ss]?(?:SHA|MD5)\d*|CRYPT|PLAIN|CLEARTEXT|PBKDF2[\w-]*|ARGON2|bcrypt|noop)\}(?<secret>[^\s,;]{4,})",
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
            |captures| {
                let secret = group(captures, "secret");
                // "digest sha256:…" of an image.
                !secret.starts_with("sha") && has_digit_or_capital(secret) || captures[0].contains("earer")
            },
        ),
        // define('DB_PASSWORD', '…'), ["password", "…"].
        Form::new(
            ",",
            r#"[(\[]\s*\\?["'](?<name>[^"'\n\\]+)\\?["']\s*,\s*\\?["'](?<secret>[^"'\n\\]+)"#,
            |captures| is_secret(group(captures, "name")),
        ),
        // SQL: IDENTIFIED BY '…', IDENTIFIED WITH a_plugin AS '…'. In small letters it may be a sentence, unless there are quotes.
        Form::new(
            "dentified",
            r#"\b[Ii]dentified\s+(?:with\s+\S+\s+)?(?:by|as|using)\s+(?:password\s+|values\s+)?(?<secret>'[^'\n]*'|"[^"\n]*")"#,
            always,
        ),
        Form::new(
            "IDENTIFIED",
            r#"\bIDENTIFIED\s+(?:WITH\s+\S+\s+)?(?:BY|AS|USING)\s+(?:PASSWORD\s+|VALUES\s+)?(?<secret>'[^'\n]*'|"[^"\n]*"|[^\s;,'"]+)"#,
            always,
        ),
        // ipsec.secrets: `a b : PSK "…"`, `: RSA file "…"`.
        Form::new(
            ":",
            r#":\s+(?:PSK|XAUTH|EAP|NTLM|PIN\s+\S+|(?:RSA|ECDSA|PKCS8|P12)\s+\S+)\s+(?<secret>"[^"\n]*"|[^\s"]+)"#,
            always,
        ),
        // Redis: AUTH, with or without a user.
        Form::new("AUTH", r"(?m)^\s*AUTH[ \t]+(?<secret>\S+(?:[ \t]+\S+)?)", always),
        Form::new(
            "-cli",
            r"\b(?:redis|valkey)-cli\b[^|;&\n]*\s(?:AUTH|auth)[ \t]+(?<secret>\S+(?:[ \t]+\S+)?)",
            always,
        ),
        // PowerShell, and Windows: net user a …, net use X: \\host\share ….
        Form::new(
            "SecureString",
            r#"\bConvertTo-SecureString\s+(?:-String\s+)?(?<secret>"[^"\n]*"|'[^'\n]*'|[^\s$-]\S*)"#,
            always,
        ),
        Form::new(
            "net",
            r#"\bnet1?\s+(?:user\s+[^\s/]+|use\s+(?:\w:\s+)?\\\\\S+)\s+(?<secret>"[^"\n]*"|[^\s/]\S*)"#,
            always,
        ),
        // Net-SNMP: com2sec name source community, createUser name SHA … AES ….
        Form::new("com2sec", r"\bcom2sec6?\s+(?:-Cn\s+\S+\s+)?\S+\s+\S+\s+(?<secret>\S+)", always),
        Form::new(
            "createUser",
            r#"\bcreateUser\b[^\n]*?\s(?:MD5|SHA[\d-]*)\s+(?<secret>"[^"]*"|\S+)"#,
            always,
        ),
        Form::new(
            "createUser",
            r#"\bcreateUser\b[^\n]*?\s(?:DES|AES[\d-]*)\s+(?<secret>"[^"]*"|\S+)"#,
            always,
        ),
        // mount.cifs: user=a%….
        Form::new("%", r"(?i)\buser(?:name)?=[^\s%,&;]+%(?<secret>[^\s,&;]+)", always),
        // Redis: user a on >…. Postfix: [host]:587 user:…. PPP: a * … *.
        Form::new(" >", r"\buser\s+\S+\s(?:[^\n]*?\s)?>(?<secret>[^\s>]\S*)", always),
        Form::new("]", r"(?m)^\s*\[[\w.:-]+\](?::\w+)?\s+[^\s:]+:(?<secret>[^\s:]+)\s*$", always),
        Form::new("*", r"(?m)^\s*\S+\s+\*\s+(?<secret>[^\s*]\S*)\s+(?:\*|[\d.]+)\s*$", always),
        // mysqli_connect('host', 'user', '…').
        Form::new(
            "connect(",
            r#"connect\(\s*["'][^"'\n]*["']\s*,\s*["'][^"'\n]*["']\s*,\s*["'](?<secret>[^"'\n]+)"#,
            always,
        ),
        // Terraform: variable "db_password" { default = "…" }.
        Form::new(
            "variable",
            r#"\bvariable\s+"(?<name>[^"\n]+)"\s*\{[^}]*?\bdefault\s*=\s*"(?<secret>[^"\n]+)"#,
            |captures| is_secret(group(captures, "name")),
        ),
        // A row of a table.
        Form::new("|", r"\|[ *`]*(?<name>[\w. -]+?)[ *`]*\|\s*(?<secret>[^|\n]*[^|\s])\s*\|", |captures| {
            is_secret(group(captures, "name"))
        }),
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
        Form::new("", tokens::PATTERN.as_str(), |captures| {
            tokens::is_token(group(captures, "secret"), group(captures, "beginning"))
        }),
    ];
    forms.into_iter().flatten().collect()
});

fn is_parameter(captures: &Captures<'_>) -> bool {
    let (name, value) = (group(captures, "name"), group(captures, "secret"));
    is_secret(name) || value.len() >= MIN_PARAMETER && value.bytes().any(|byte| byte.is_ascii_digit())
}

/// The text without the secrets that have a known form; `count` grows by their number.
pub(super) fn redact(text: &str, count: &mut u64) -> String {
    let mut text = text.to_owned();
    // Shorter than the shortest token, and without a sign of another form.
    if text.len() < tokens::MIN_LENGTH && !text.contains(['@', '=', ':', '$', '<', '{', ' ']) {
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
            let is_secret = !secret.as_str().is_empty()
                && !secret.as_str().contains(REDACTED)
                && (self.is_one)(&captures);
            // Forms may overlap: what follows the secret may belong to the next one, and what is none may begin one.
            let begin = captures.get(0).map_or(from, |whole| whole.start());
            from = if is_secret { secret.end() } else { begin + 1 }.max(from + 1);
            while from < text.len() && !text.is_char_boundary(from) {
                from += 1;
            }
            if is_secret {
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
        assert_eq!(FORMS.len(), 44);
    }
}
