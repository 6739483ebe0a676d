//! Secrets in command lines: the word after a flag, or what is glued to it.

use super::REDACTED;
use super::names::{is_secret, is_secret_scalar};
use super::programs::{Program, login_verb};

/// Flags of any program with `certificate:password` after them.
const CERTIFICATE_FLAGS: [&str; 2] = ["--cert", "--proxy-cert"];
/// Long options with one dash that begin with `p`.
const LONG_P: [&str; 14] = [
    "path", "pod", "port", "print", "profile", "project", "prefix", "proxy", "proto", "pretty", "policy",
    "plugin", "pid", "prune",
];
/// Bytes of letters after one dash; what is longer is a word.
const MAX_SHORT_FLAGS: usize = 6;
/// How deep commands in quotes of commands are looked into.
const MAX_DEPTH: u32 = 4;
/// Characters of a value after `-p` of an unknown program that is taken for a secret.
const MIN_VALUE: usize = 4;

/// What of a word is to be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Nothing,
    /// From this byte on.
    From(usize),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Any,
    /// It is a secret.
    Secret,
    /// It is a secret unless it looks like a number, a path or another flag.
    Likely,
    /// It is a user and a password, if it has a colon or a percent sign.
    Login,
    /// It is the file of a certificate, and a password after a colon.
    Certificate,
    /// It is `name=secret`.
    Literal,
}

/// The words of one command, one after the other.
#[derive(Debug, Default)]
pub(super) struct Words {
    program: Option<&'static Program>,
    login: Option<&'static str>,
    next: Next,
    /// In a list of arguments even a plain word after `-p` is taken for a secret: the program may be elsewhere.
    is_list: bool,
}

impl Words {
    /// For the words of a list.
    pub(super) fn of_list() -> Self {
        Self { is_list: true, ..Self::default() }
    }

    /// What of the next word is to be taken out.
    pub(super) fn word(&mut self, word: &str) -> Part {
        match std::mem::take(&mut self.next) {
            Next::Secret if !is_flag(word) => return Part::From(0),
            Next::Likely if self.is_likely(word) => return Part::From(0),
            Next::Login if word.contains([':', '%']) => return Part::From(0),
            Next::Certificate => {
                if let Some(at) = password_of_certificate(word) {
                    return Part::From(at);
                }
            }
            Next::Literal => {
                if let Some(at) = word.find('=') {
                    return Part::From(at + 1);
                }
            }
            _ => {}
        }
        // A flag of Windows begins as a path does.
        let is_path = word.starts_with('/') && word[1..].contains('/') && !word.contains(':');
        if is_path || !word.starts_with(['-', '/']) {
            return self.plain(word);
        }
        if let Some(part) = self.program.and_then(|program| self.of_program(program, word)) {
            return part;
        }
        self.flag(word)
    }

    fn plain(&mut self, word: &str) -> Part {
        let base = word.rsplit(['/', ',']).next().unwrap_or_default();
        if let Some(program) = Program::of(base) {
            self.program = Some(program);
        }
        if let Some(verb) = login_verb(base) {
            self.login = Some(verb);
        } else if self.login == Some(base) {
            self.next = Next::Likely;
        }
        Part::Nothing
    }

    fn of_program(&mut self, program: &Program, word: &str) -> Option<Part> {
        if let Some(flag) = program.logins.iter().find(|flag| word.starts_with(**flag)) {
            self.next = if word == *flag { Next::Login } else { Next::Any };
            return Some(if word[flag.len()..].contains(':') {
                Part::From(flag.len())
            } else {
                Part::Nothing
            });
        }
        if let Some(flag) = program.certificates.iter().find(|flag| word.starts_with(**flag)) {
            self.next = if word == *flag { Next::Certificate } else { Next::Any };
            return Some(password_of_certificate(word).map_or(Part::Nothing, Part::From));
        }
        let flag =
            program.flags.iter().filter(|flag| word.starts_with(**flag)).max_by_key(|flag| flag.len())?;
        let glued = &word[flag.len()..];
        if glued.is_empty() {
            self.next = if program.is_glued { Next::Any } else { Next::Likely };
            // In a list `-p` and the secret are two words for programs that do not know this.
            if program.is_glued && self.is_list {
                self.next = Next::Likely;
            }
            return Some(Part::Nothing);
        }
        // `-path`, `-cert`: another flag.
        let is_other =
            !program.is_glued && glued.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let is_number = is_number(glued) && !program.is_glued;
        (!is_other && !is_number).then_some(Part::From(flag.len() + usize::from(glued.starts_with('='))))
    }

    fn flag(&mut self, word: &str) -> Part {
        if let Some((name, value)) = word.split_once('=') {
            let after = name.len() + 1;
            let is_user = matches!(name, "--user" | "--proxy-user" | "-u");
            return match () {
                () if is_secret(name) => Part::From(after),
                () if is_user && value.contains(':') => Part::From(after),
                () if CERTIFICATE_FLAGS.contains(&name) => {
                    password_of_certificate(value).map_or(Part::Nothing, |at| Part::From(after + at))
                }
                () if name == "--from-literal" => {
                    value.find('=').map_or(Part::Nothing, |at| Part::From(after + at + 1))
                }
                () => Part::Nothing,
            };
        }
        if let Some(glued) = word.strip_prefix("-p").filter(|glued| !glued.is_empty()) {
            let is_long = glued.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
                && (!self.is_list || LONG_P.iter().any(|long| word[1..].starts_with(long)));
            if !is_long && glued.len() >= MIN_VALUE && !is_number(glued) && !is_secret(word) {
                return Part::From(2);
            }
        }
        // `-uuser:password`.
        if word.starts_with("-u") && word.contains(':') {
            return Part::From(2);
        }
        self.next = match word {
            "-p" => Next::Likely,
            "--user" | "--proxy-user" => Next::Login,
            "--from-literal" => Next::Literal,
            _ if CERTIFICATE_FLAGS.contains(&word) => Next::Certificate,
            _ if is_secret(word) => Next::Secret,
            _ if word.starts_with("--") && is_secret_scalar(word) => Next::Likely,
            _ if is_login_flag(word) => Next::Login,
            _ => Next::Any,
        };
        Part::Nothing
    }

    fn is_likely(&self, word: &str) -> bool {
        let is_other = word.starts_with(['-', '/', '.', '$']) || is_number(word);
        let is_plain =
            word.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'/' | b'.'));
        !is_other
            && (self.is_list
                || self.program.is_some()
                || self.login.is_some()
                || word.len() >= MIN_VALUE && !is_plain)
    }
}

/// Whether a word after a flag is another flag, and not a secret.
fn is_flag(word: &str) -> bool {
    word.starts_with("--")
        || word.strip_prefix('-').is_some_and(|letters| {
            letters.len() > 1 && letters.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
        })
}

/// Where the password begins in curl's `certificate:password`. A drive's letter, a URL and `\:` have no password after them.
fn password_of_certificate(word: &str) -> Option<usize> {
    let is_one = |at: &usize| {
        *at > 1 && !word[..*at].ends_with('\\') && !word[at + 1..].starts_with("//") && at + 1 < word.len()
    };
    word.match_indices(':').map(|(at, _)| at).find(is_one).map(|at| at + 1)
}

/// A number, a port, a mapping of ports, an address.
fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'-' | b','))
}

/// curl's flag for user and password; it may be the last of several letters, `-sSu`.
fn is_login_flag(word: &str) -> bool {
    word.len() <= MAX_SHORT_FLAGS
        && word
            .strip_prefix('-')
            .and_then(|letters| letters.strip_suffix(['u', 'U']))
            .is_some_and(|letters| letters.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// The line without secrets after flags; `count` grows by their number.
pub(super) fn redact(line: &str, count: &mut u64) -> String {
    redact_within(line, count, 0)
}

fn redact_within(line: &str, count: &mut u64, depth: u32) -> String {
    let mut redacted = String::with_capacity(line.len());
    let mut words = Words::default();
    let mut rest = line;
    while !rest.is_empty() {
        let gap = rest.find(|character| !is_between(character)).unwrap_or(rest.len());
        let (between, after) = rest.split_at(gap);
        if between.contains([';', '|', '&', '\n']) {
            words = Words::default();
        }
        redacted.push_str(between);
        let (whole, after) = after.split_at(word_length(after));
        rest = after;
        // The word without quotes around it, and how many bytes of them are before it.
        let quote = whole.chars().next().filter(|character| matches!(character, '"' | '\''));
        let word = quote.map_or(whole, |quote| whole.trim_matches(quote));
        let before = whole.len() - whole.trim_start_matches(['"', '\'']).len();
        let before = if quote.is_some() { before.min(whole.len() - word.len()) } else { 0 };
        if word.contains(char::is_whitespace)
            && words.next == Next::Any
            && quote.is_some()
            && depth < MAX_DEPTH
        {
            redacted.push_str(&whole[..before]);
            redacted.push_str(&redact_within(word, count, depth + 1));
            redacted.push_str(&whole[before + word.len()..]);
            continue;
        }
        let Part::From(at) = words.word(word) else {
            redacted.push_str(whole);
            continue;
        };
        let secret = &word[at..];
        let is_nothing = secret.is_empty() || secret.contains(REDACTED);
        redacted.push_str(&whole[..before + at]);
        redacted.push_str(if is_nothing { secret } else { REDACTED });
        redacted.push_str(&whole[before + word.len()..]);
        *count += u64::from(!is_nothing);
    }
    redacted
}

fn is_between(character: char) -> bool {
    character.is_whitespace() || matches!(character, ',' | '[' | ']' | '(' | ')' | ';' | '|' | '&')
}

/// Whether a comma belongs to the word around it, as in `user,password`. After a flag and beside quotes it separates words.
fn is_within(text: &str, at: usize) -> bool {
    let is_part = |character: char| !is_between(character) && !matches!(character, '"' | '\'' | '-');
    !text.starts_with('-') && text[..at].ends_with(is_part) && text[at + 1..].starts_with(is_part)
}

/// Bytes of the word: parts in quotes belong to it, with what is between them.
fn word_length(text: &str) -> usize {
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        if is_between(character) && !(character == ',' && is_within(text, at)) {
            break;
        }
        at += character.len_utf8();
        if matches!(character, '"' | '\'')
            && let Some(end) = text[at..].find(character)
        {
            at += end + 1;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn secrets_in_command_lines() {
        for line in [
            "mysql -u root -phunter2x db",
            "mysqldump -phunter -h db",
            "sshpass -p hunter2x ssh host",
            "sshpass -phunter2x ssh host",
            "redis-cli -a hunter2x ping",
            "ldapsearch -x -D cn=admin -w hunter2x",
            "nodetool -u a -pw hunter2x status",
            "snmpwalk -v2c -c hunter2x host",
            "snmpget -A hunter2x host",
            "docker login -u a -p hunter2x registry",
            "zip -P hunter2x a.zip b",
            "tool -phunter2x",
            "tool -p hunter2x",
            "tool --password hunter2x",
            "tool -password hunter2x",
            "tool --api-key=hunter2x",
            "sh -c 'mysql -phunter2x db'",
            "sh -c \"sleep 1; redis-cli -a hunter2x\"",
            "curl -u user:hunter2x http://a/",
            "curl -sSu user:hunter2x http://a/",
            "curl -uuser:hunter2x http://a/",
            "curl --user=\"user:a hunter2x\" http://a/",
            "smbclient -U user%hunter2x //a/b",
            "[\"-u\",\"user:hunter2x\"]",
            "vault login hunter2x",
            "kubectl create secret generic a --from-literal=b=hunter2x",
            "xfreerdp /u:a /p:hunter2x",
            "keytool -genkey -keypass hunter2x",
            "keytool -genkey -alias a -storepass hunter2x",
            "lftp -u user,hunter2x host",
            "[lftp,-u,hunter2x]",
            "[echo,mysql,-phunter2x]",
            "curl --cert c.pem:hunter2x https://a",
            "curl --cert=c.pem:hunter2x https://a",
            "curl -E c.p12:hunter2x https://a",
            "curl -Ec.p12:hunter2x https://a",
            "curl --proxy-cert 'C:\\a.pem:hunter2x' https://a",
            "http -a user:hunter2x GET a",
            "ab -A user:hunter2x http://a/",
            "/usr/bin/hey -a user:hunter2x http://a/",
            "tool --license hunter2x",
            "useradd -p hunterxx bob",
            "usermod -p hunterxx bob",
            "schtasks /create /ru u /rp hunterxx",
        ] {
            let redacted = redact(line, &mut 0);
            assert!(!redacted.contains("hunter") && redacted.contains("[redacted]"), "{line} => {redacted}");
        }
    }

    #[test]
    fn other_words_stay() {
        for line in [
            "ssh -p 2222 host",
            "docker run -p 80:80 image",
            "mkdir -p /a/b; cp -p a b",
            "tool -path /a -port 1 -profile x",
            "id -u root; sudo -u nobody",
            "it's a 'quoted thing",
            "nginx -c /etc/nginx.conf",
            "grep -E a:b file; curl --cert a.pem https://b",
            "curl -a x; about -A user:name",
            "--expected-non-sni gcp-lb --password-file pw",
        ] {
            assert_eq!(redact(line, &mut 0), line);
        }
    }
}
