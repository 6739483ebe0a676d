//! Programs of the command line.

use super::super::recorder::Opening;
use super::{MACHINE, SID, Subject, subject};

const AT_URL: &str = "https://$AT/";

const FETCHMAIL: &str = r"
echo 'poll {LINE} service '$PORT' protocol imap username a password a ssl no sslcertck' > $d/rc
chmod 600 $d/rc
fetchmail -f $d/rc --nodetach --timeout 5 --idfile $d/id --pidfile $d/pid";

const HELM: &str = r"
export KUBECONFIG=/dev/null HELM_CACHE_HOME=$d HELM_CONFIG_HOME=$d HELM_DATA_HOME=$d
timeout 8 $TOOLS/helm list --kube-apiserver https://$AT --kube-insecure-skip-tls-verify {LINE}";

pub(super) const ALL: &[Subject] = &[
    subject(
        "kubectl",
        "kubectl",
        "",
        "timeout 8 $TOOLS/kubectl --kubeconfig /dev/null --server https://$AT --insecure-skip-tls-verify \
         --token none --request-timeout 5s get --raw /version {LINE}",
        "",
    )
    .on(MACHINE)
    .version("$TOOLS/kubectl version --client | sed -n 's/Client Version: v//p'"),
    subject("helm", "helm", "", HELM, "")
        .on(MACHINE)
        .version("$TOOLS/helm version --short | sed 's/^v//; s/+.*//'"),
    subject("curl", "curl", "curl", "curl -sk -m 5 --noproxy '*' {LINE}", AT_URL),
    subject(
        "wget",
        "wget",
        "wget",
        "wget -q --no-proxy --no-check-certificate -T 5 -t 1 -O /dev/null {LINE}",
        AT_URL,
    ),
    subject(
        "wget2",
        "wget2",
        "wget2",
        "wget2 -q --no-proxy --no-check-certificate -T 5 --tries 1 -O /dev/null {LINE}",
        AT_URL,
    ),
    subject("git", "git", "git", "GIT_SSL_NO_VERIFY=1 git {LINE}", "ls-remote https://$AT/r"),
    subject("openssl", "OpenSSL", "openssl", "openssl s_client -connect $AT {LINE}", ""),
    subject("gnutls-cli", "gnutls-cli", "gnutls-bin", "gnutls-cli --insecure -p $PORT {LINE} $HOST", ""),
    subject(
        "kdig",
        "kdig",
        "knot-dnsutils",
        "kdig +tls +retry=0 +timeout=3 -p $PORT @$HOST {LINE} a.example",
        "",
    ),
    // Without the line, an option that does nothing here: a comma needs one after it.
    subject("socat", "socat", "socat", "socat -u OPENSSL:$AT,verify=0,{LINE} -", "reuseaddr"),
    subject("ncat", "ncat", "ncat", "ncat --ssl {LINE} -i 2 $HOST $PORT", ""),
    subject(
        "redis-cli",
        "redis-cli",
        "redis-tools",
        "redis-cli --tls --insecure -h $HOST -p $PORT {LINE} ping",
        "",
    ),
    subject(
        "valkey-cli",
        "valkey-cli",
        "valkey-tools",
        "valkey-cli --tls --insecure -h $HOST -p $PORT {LINE} ping",
        "",
    )
    .on(SID),
    subject(
        "swaks",
        "swaks",
        "swaks",
        "swaks --server $HOST --port $PORT --tls-on-connect {LINE} --to a@a.example --from a@a.example \
         --helo a.example --timeout 5 --quit-after CONNECT",
        "",
    ),
    subject(
        "psql",
        "psql",
        "postgresql-client-*",
        "psql \"{LINE} port=$PORT user=a dbname=a sslmode=require connect_timeout=5\" -c 'select 1'",
        "hostaddr=$HOST",
    )
    .version("psql --version | sed 's/.* \\([0-9.]*\\) .*/\\1/'")
    .opening(Opening::Postgres),
    subject(
        "mariadb",
        "mariadb",
        "",
        "mariadb --ssl --skip-ssl-verify-server-cert {LINE} --port $PORT --protocol tcp -u a -e 'select 1'",
        "--host=$HOST",
    )
    .on(SID)
    .version("mariadb --version | grep -oE '[0-9]+\\.[0-9]+\\.[0-9]+' | head -n 1")
    .opening(Opening::MariaDb),
    subject(
        "ldapsearch",
        "ldapsearch",
        "ldap-utils",
        "LDAPTLS_REQCERT=never ldapsearch -x -o nettimeout=5 {LINE} -b '' -s base",
        "-H ldaps://$AT",
    ),
    subject(
        "mosquitto",
        "mosquitto_pub",
        "mosquitto-clients",
        "timeout 5 mosquitto_pub --capath /etc/ssl/certs --insecure -p $PORT -t a -m a {LINE}",
        "-h $HOST",
    ),
    subject(
        "msmtp",
        "msmtp",
        "msmtp",
        "echo | msmtp --port $PORT --tls=on --tls-starttls=off --tls-certcheck=off --timeout 5 \
         --from a@a.example {LINE} b@a.example",
        "--host=$HOST",
    ),
    subject("fetchmail", "fetchmail", "fetchmail", FETCHMAIL, "'$HOST'"),
    // The tests of SSLv2 and SSLv3 have no SNI.
    subject("sslscan", "sslscan", "sslscan", "timeout 20 sslscan --tls12 --timeout=2 {LINE} $AT", ""),
    subject("siege", "siege", "siege", "timeout 8 siege -c 1 -r 1 {LINE}", AT_URL),
    subject("ab", "ab", "", "ab -n 1 -s 5 {LINE}", AT_URL)
        .version("ab -V | sed -n 's/.*Version \\([0-9.]*\\).*/\\1/p' | head -n 1"),
    subject("h2load", "h2load", "nghttp2-client", "timeout 5 h2load -n 1 -c 1 {LINE}", AT_URL),
    subject(
        "aria2",
        "aria2",
        "aria2",
        "timeout 8 aria2c --check-certificate=false -t 5 -m 1 -d $d {LINE}",
        AT_URL,
    ),
    subject("axel", "axel", "axel", "timeout 8 axel -n 1 -q -k -o $d/x {LINE}", AT_URL),
    subject(
        "lftp",
        "lftp",
        "lftp",
        "timeout 8 lftp -c \"set ssl:verify-certificate no; set net:max-retries 1; set net:timeout 4; open {LINE}; ls\"",
        AT_URL,
    ),
    subject("lynx", "lynx", "lynx", "timeout 8 lynx -dump -connect_timeout=5 {LINE}", AT_URL),
    subject("w3m", "w3m", "w3m", "timeout 8 w3m -o ssl_verify_server=0 -dump {LINE}", AT_URL),
    subject("links", "links", "links", "timeout 8 links -dump -ssl.certificates 0 {LINE}", AT_URL),
    subject("elinks", "elinks", "elinks", "timeout 8 elinks -dump 1 {LINE}", AT_URL),
    subject("cadaver", "cadaver", "cadaver", "echo quit | timeout 8 cadaver {LINE}", AT_URL),
    subject("httpie", "httpie", "httpie", "http --ignore-stdin --verify=no --timeout 5 {LINE}", AT_URL),
    subject(
        "skopeo",
        "skopeo",
        "skopeo",
        "timeout 8 skopeo --insecure-policy inspect --tls-verify=false {LINE}",
        "docker://$AT/image",
    ),
    subject(
        "chromium",
        "Chromium",
        "",
        "timeout 30 chromium --headless --no-sandbox --disable-gpu --user-data-dir=$d/profile --dump-dom {LINE}",
        AT_URL,
    )
    .on(MACHINE)
    .version("chromium --version | cut -d' ' -f2"),
    subject("keytool", "keytool", "", "keytool -printcert {LINE}", "-sslserver $AT").version(JAVA_VERSION),
    subject("botan", "botan", "botan", "timeout 8 botan {LINE}", "tls_client $HOST --port=$PORT"),
];

pub(super) const JAVA_VERSION: &str = "java -version 2>&1 | sed -n 's/.* version \"\\([^\"]*\\)\".*/\\1/p'";
