//! Secrets in command lines: the word after a flag, or what is glued to it.

use super::REDACTED;
use super::names::is_secret;

/// A program with flags of its own.
#[derive(Debug)]
struct Program {
    /// Its names, as far as they are alike: a name that begins so.
    begins: &'static [&'static str],
    /// Flags with a secret after them, or glued to them.
    flags: &'static [&'static str],
    /// Whether the secret is only ever glued to the flag.
    is_glued: bool,
}

const fn program(begins: &'static [&'static str], flags: &'static [&'static str]) -> Program {
    Program { begins, flags, is_glued: false }
}

/// From their manual pages.
const PROGRAMS: &[Program] = &[
    Program { begins: &["mysql", "mariadb", "7z", "rar", "unrar"], flags: &["-p", "-hp"], is_glued: true },
    program(
        &[
            "sshpass", "cqlsh", "mongo", "docker", "podman", "nerdctl", "helm", "skopeo", "buildah", "crane",
            "oras",
        ],
        &["-p"],
    ),
    program(
        &["az", "cf", "oc", "influx", "couchbase", "elasticsearch-", "rabbitmqadmin", "clickhouse"],
        &["-p"],
    ),
    program(&["redis-", "valkey-"], &["-a"]),
    program(&["ldap"], &["-w", "-s", "-a"]),
    program(&["nodetool", "plink", "pscp", "psftp", "jmx"], &["-pw"]),
    program(&["snmp"], &["-c", "-A", "-X"]),
    program(&["zip", "unzip", "sqlcmd", "bcp", "isql", "mosquitto_", "ipmitool"], &["-P"]),
    program(&["openssl"], &["-k", "-K", "-passin", "-passout", "-pass", "-macopt"]),
    program(&["xfreerdp", "rdesktop"], &["-p", "/p:"]),
    program(&["smbclient", "rpcclient", "smbmap"], &["-U", "-p"]),
    program(&["kinit", "kadmin"], &["-w"]),
    program(&["aria2c", "rclone", "lftp", "ncftp"], &["-p", "-u"]),
];
/// Programs with a secret among their other words: `vault login WORD`.
const LOGINS: [(&str, &str); 3] =
    [("vault", "login"), ("npm", "adduser"), ("gcloud", "activate-refresh-token")];
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
            Next::Secret if !word.starts_with("--") => return Part::From(0),
            Next::Likely if self.is_likely(word) => return Part::From(0),
            Next::Login if word.contains([':', '%']) => return Part::From(0),
            Next::Literal => {
                if let Some(at) = word.find('=') {
                    return Part::From(at + 1);
                }
            }
            _ => {}
        }
        if !word.starts_with(['-', '/']) {
            return self.plain(word);
        }
        if let Some(part) = self.program.and_then(|program| self.of_program(program, word)) {
            return part;
        }
        self.flag(word)
    }

    fn plain(&mut self, word: &str) -> Part {
        let base = word.rsplit('/').next().unwrap_or_default();
        if let Some(program) =
            PROGRAMS.iter().find(|one| one.begins.iter().any(|begin| base.starts_with(begin)))
        {
            self.program = Some(program);
        }
        let takes = LOGINS.iter().find(|(program, _)| *program == base);
        if let Some((_, verb)) = takes {
            self.login = Some(verb);
        } else if self.login == Some(base) {
            self.next = Next::Likely;
        }
        Part::Nothing
    }

    fn of_program(&mut self, program: &Program, word: &str) -> Option<Part> {
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
            _ if is_secret(word) => Next::Secret,
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

/// Bytes of the word: parts in quotes belong to it, with what is between them.
fn word_length(text: &str) -> usize {
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        if is_between(character) {
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
            "--expected-non-sni gcp-lb --password-file pw",
        ] {
            assert_eq!(redact(line, &mut 0), line);
        }
    }
}
