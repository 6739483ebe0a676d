//! Programs that take secrets after flags of their own, from their manual pages.

/// A program with flags of its own.
#[derive(Debug)]
pub(super) struct Program {
    /// Its names.
    names: &'static [&'static str],
    /// Names that only begin so are meant too.
    is_beginning: bool,
    /// Flags with a secret after them, or glued to them.
    pub(super) flags: &'static [&'static str],
    /// Whether the secret is only ever glued to the flag.
    pub(super) is_glued: bool,
    /// Flags with `user:password` after them, or glued to them.
    pub(super) logins: &'static [&'static str],
    /// Flags with `certificate:password` after them, or glued to them.
    pub(super) certificates: &'static [&'static str],
}

const NONE: Program =
    Program { names: &[], is_beginning: false, flags: &[], is_glued: false, logins: &[], certificates: &[] };

const fn program(names: &'static [&'static str], flags: &'static [&'static str]) -> Program {
    Program { names, is_beginning: true, flags, ..NONE }
}

const PROGRAMS: &[Program] = &[
    Program {
        names: &["mysql", "mariadb", "7z", "rar", "unrar"],
        is_beginning: true,
        flags: &["-p", "-hp"],
        is_glued: true,
        ..NONE
    },
    program(
        &[
            "sshpass", "cqlsh", "mongo", "docker", "podman", "nerdctl", "helm", "skopeo", "buildah", "crane",
            "oras", "useradd", "usermod", "adduser", "psexec", "racadm",
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
    program(&["schtasks"], &["/rp", "/p", "/RP", "/P"]),
    program(&["smbclient", "rpcclient", "smbmap"], &["-U", "-p"]),
    program(&["kinit", "kadmin"], &["-w"]),
    program(&["aria2c", "rclone", "lftp", "ncftp"], &["-p", "-u"]),
    Program { names: &["curl"], certificates: &["-E"], ..NONE },
    Program {
        names: &["http", "https", "xh", "xhs", "ab", "hey", "siege", "wrk", "oha", "vegeta"],
        logins: &["-a", "-A"],
        ..NONE
    },
];
/// Programs with a secret among their other words: `vault login WORD`.
const LOGINS: [(&str, &str); 3] =
    [("vault", "login"), ("npm", "adduser"), ("gcloud", "activate-refresh-token")];

impl Program {
    /// Returns the program of this name, if it is known.
    pub(super) fn of(name: &str) -> Option<&'static Self> {
        PROGRAMS.iter().find(|program| {
            let is_one = |known: &&str| {
                if program.is_beginning { name.starts_with(*known) } else { name == *known }
            };
            program.names.iter().any(is_one)
        })
    }
}

/// Returns the word of the program after which a secret stands.
pub(super) fn login_verb(program: &str) -> Option<&'static str> {
    LOGINS.iter().find(|(name, _)| *name == program).map(|(_, verb)| *verb)
}
