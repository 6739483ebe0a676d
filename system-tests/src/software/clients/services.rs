//! Monitors, downloaders, clients of databases and directories, and small clients of other TLS libraries.

use super::{
    ClientProgram, ERLANG, GNUTLS, GNUTLS_OF_LDAP, GO_OF_SKOPEO, MBEDTLS, OPENSSL, OPENSSL_OF_LDAP, WOLFSSL,
};

/// What a distribution has beside [`super::DEBIAN`].
pub const SERVICES: &[ClientProgram] = &[
    ClientProgram {
        program: "Monit",
        version: "monit -V | sed -n '1s/.*version \\([0-9.]*\\).*/\\1/p'",
        library: OPENSSL,
        script: r"
d=$(mktemp -d)
cat > $d/cfg <<END
set daemon 1
set pidfile $d/pid
set idfile $d/id
set statefile $d/state
check host h with address $HOST
 if failed port $PORT protocol https with ssl options { verify: disable } with timeout 2 seconds then alert
END
chmod 600 $d/cfg
timeout 3 monit -I -c $d/cfg; rm -r $d",
        invoked: "check host IP, protocol https, verify: disable",
    },
    ClientProgram {
        program: "openssl s_client",
        version: "",
        library: OPENSSL,
        script: "openssl s_client -connect $AT < /dev/null",
        invoked: "-connect IP:PORT",
    },
    ClientProgram {
        program: "gnutls-cli",
        version: "",
        library: GNUTLS,
        script: "gnutls-cli --insecure -p $PORT $HOST < /dev/null",
        invoked: "IP",
    },
    ClientProgram {
        program: "mariadb",
        version: "mariadb --version | sed -n 's/.* \\([0-9.]*\\)-MariaDB.*/\\1/p'",
        library: OPENSSL,
        script: r"
case $HOST in *[a-z]*) at=relay.example;; *) at=127.0.0.1;; esac
python3 $FILES/starttls.py mysql 13306 $HOST $PORT & sleep 0.5
timeout 5 mariadb --protocol=tcp -h $at -P 13306 --ssl --disable-ssl-verify-server-cert -u x -px -e 'select 1'; kill $!",
        invoked: "--ssl -h IP",
    },
    ClientProgram {
        program: "psql",
        version: "psql --version | sed 's/.*) \\([^ ]*\\).*/\\1/'",
        library: OPENSSL,
        script: r#"
python3 $FILES/starttls.py postgresql 15432 $HOST $PORT & sleep 0.5
export PGCONNECT_TIMEOUT=5 PGPASSWORD=x
timeout 5 psql "host=$HOST hostaddr=127.0.0.1 port=15432 sslmode=require gssencmode=disable user=x dbname=x" -c ''; kill $!"#,
        invoked: "sslmode=require host=IP",
    },
    ClientProgram {
        program: "psql",
        version: "psql --version | sed 's/.*) \\([^ ]*\\).*/\\1/'",
        library: OPENSSL,
        script: r#"
timeout 5 psql "host=$HOST port=$PORT sslmode=require sslnegotiation=direct user=x dbname=x connect_timeout=5" -c ''"#,
        invoked: "sslnegotiation=direct host=IP",
    },
    ClientProgram {
        program: "redis-cli",
        version: "redis-cli --version | sed 's/redis-cli \\([^ ]*\\).*/\\1/'",
        library: OPENSSL,
        script: "timeout 5 redis-cli --tls --insecure -h $HOST -p $PORT ping",
        invoked: "--tls -h IP",
    },
    ClientProgram {
        program: "ldapsearch",
        version: "ldapsearch -VV 2>&1 | sed -n 's/.*ldapsearch \\([0-9.]*\\).*/\\1/p'",
        library: GNUTLS_OF_LDAP,
        script: "LDAPTLS_REQCERT=never timeout 5 ldapsearch -x -o nettimeout=3 -H ldaps://$AT -b '' -s base",
        invoked: "-H ldaps://IP",
    },
    ClientProgram {
        program: "ldapsearch",
        version: "ldapsearch -VV 2>&1 | sed -n 's/.*ldapsearch \\([0-9.]*\\).*/\\1/p'",
        library: OPENSSL_OF_LDAP,
        script: "LDAPTLS_REQCERT=never timeout 5 ldapsearch -x -o nettimeout=3 -H ldaps://$AT -b '' -s base",
        invoked: "-H ldaps://IP",
    },
    ClientProgram {
        program: "kdig",
        version: "kdig -V | sed -n '1s/.* \\([0-9.]*\\)$/\\1/p'",
        library: GNUTLS,
        script: "kdig +tls +retry=0 +timeout=3 -p $PORT @$HOST example.com",
        invoked: "+tls @IP",
    },
    ClientProgram {
        program: "kdig",
        version: "kdig -V | sed -n '1s/.* \\([0-9.]*\\)$/\\1/p'",
        library: GNUTLS,
        script: "kdig +https +retry=0 +timeout=3 -p $PORT @$HOST example.com",
        invoked: "+https @IP",
    },
    ClientProgram {
        program: "h2load",
        version: "h2load --version | sed 's|.*nghttp2/||'",
        library: OPENSSL,
        script: "timeout 5 h2load -n 1 -c 1 https://$AT/",
        invoked: "https://IP",
    },
    ClientProgram {
        program: "skopeo",
        version: "skopeo --version | sed 's/.*version \\([^ ]*\\).*/\\1/'",
        library: GO_OF_SKOPEO,
        script: "timeout 8 skopeo inspect --tls-verify=false docker://$AT/a:b",
        invoked: "inspect docker://IP",
    },
    ClientProgram {
        program: "aria2",
        version: "aria2c --version | sed -n '1s/.*version //p'",
        library: GNUTLS,
        script: "timeout 5 aria2c --check-certificate=false --no-conf -m 1 -t 3 --dry-run=true https://$AT/x",
        invoked: "https://IP",
    },
    ClientProgram {
        program: "wget2",
        version: "wget2 --version | sed -n '1s/.*Wget2 \\([^ ]*\\).*/\\1/p'",
        library: GNUTLS,
        script: "timeout 5 wget2 -q --no-check-certificate -T 3 -t 1 -O /dev/null https://$AT/",
        invoked: "https://IP",
    },
    ClientProgram {
        program: "ncat",
        version: "ncat --version 2>&1 | sed -n '1s/.*Version \\([^ ]*\\).*/\\1/p'",
        library: OPENSSL,
        script: "timeout 5 ncat --ssl -w 3 $HOST $PORT < /dev/null",
        invoked: "--ssl IP",
    },
    ClientProgram {
        program: "mosquitto_pub",
        version: "mosquitto_pub --version | sed -n 's/.*version \\([0-9.]*\\).*/\\1/p'",
        library: OPENSSL,
        script: "timeout 5 mosquitto_pub -h $HOST -p $PORT --tls-use-os-certs --insecure -t a -m b",
        invoked: "--tls-use-os-certs -h IP",
    },
    ClientProgram {
        program: "wrk",
        version: "wrk -v 2>&1 | sed -n '1s/wrk [^0-9]*\\([0-9.]*\\).*/\\1/p'",
        library: OPENSSL,
        script: "timeout -s INT 0.2 wrk -t 1 -c 1 -d 1s https://$AT/",
        invoked: "https://IP",
    },
    ClientProgram {
        program: "ssl_client",
        version: "",
        library: MBEDTLS,
        script: "$FILES/mbedtls $HOST $PORT",
        invoked: "mbedtls_ssl_config_defaults, by IP",
    },
    ClientProgram {
        program: "client",
        version: "",
        library: WOLFSSL,
        script: "$FILES/wolfssl $HOST $PORT",
        invoked: "wolfTLS_client_method, by IP",
    },
    ClientProgram {
        program: "client",
        version: "",
        library: WOLFSSL,
        script: "$FILES/wolfssl $HOST $PORT 1.2",
        invoked: "wolfTLSv1_2_client_method, by IP",
    },
    ClientProgram {
        program: "ssl",
        version: "",
        library: ERLANG,
        script: r#"timeout 8 erl -noshell -eval '
{ok, _} = application:ensure_all_started(ssl),
Text = os:getenv("HOST"),
Host = case inet:parse_address(Text) of {ok, Address} -> Address; _ -> Text end,
ssl:connect(Host, list_to_integer(os:getenv("PORT")), [{verify, verify_none}], 4000),
halt().'"#,
        invoked: "connect, IP as a tuple",
    },
    ClientProgram {
        program: "httpc",
        version: "",
        library: ERLANG,
        script: r#"timeout 8 erl -noshell -eval '
{ok, _} = application:ensure_all_started(ssl),
{ok, _} = application:ensure_all_started(inets),
Url = "https://" ++ os:getenv("AT") ++ "/",
httpc:request(get, {Url, []}, [{ssl, [{verify, verify_none}]}, {timeout, 4000}], []),
halt().'"#,
        invoked: "request https://IP",
    },
];
