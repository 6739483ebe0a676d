use super::*;
use crate::http::renewed::{LOOK_INTERVAL, MAX_FILE_BYTES};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
/// "correct horse", by `htpasswd -B -C 4`.
const APACHE: &str = "$2y$04$wysqXixDlBz2.3JHZ6O/kOy8zo2exo3aLQ2VKb3LkOPofRB6gD6va";

fn parse_error(text: &str) -> String {
    format!("{:#}", parse(text).unwrap_err())
}

/// With a file of this text.
fn auth(text: &str) -> Auth {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    std::fs::write(&path, text).unwrap();
    Auth::load(&path).unwrap()
}

fn basic(credentials: impl AsRef<[u8]>) -> HeaderValue {
    HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(credentials))).unwrap()
}

fn in_runtime<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn check(auth: &Auth, header: Option<&HeaderValue>) -> Authentication {
    in_runtime(auth.check(header, PEER))
}

#[test]
fn a_file_of_htpasswd_with_comments_and_blank_lines() {
    let other = bcrypt::hash("päss:word", 4).unwrap();
    let auth = auth(&format!("# users\r\n\r\nscraper:{APACHE}\r\n  \nÄnne:{other}\n"));
    assert_eq!(in_runtime(auth.users.get(Instant::now())).keys().collect::<Vec<_>>(), ["scraper", "Änne"]);
    assert_eq!(check(&auth, Some(&basic("scraper:correct horse"))), Authentication::Allowed);
    assert_eq!(check(&auth, Some(&basic("Änne:päss:word"))), Authentication::Allowed);
    for wrong in
        ["scraper:", "scraper:correct", "scraper:päss:word", "nobody:correct horse", ":", "scraper", ""]
    {
        assert_eq!(check(&auth, Some(&basic(wrong))), Authentication::Denied, "{wrong}");
    }
}

#[test]
fn all_three_names_of_bcrypt_are_taken() {
    for prefix in PREFIXES {
        let auth = auth(&format!("scraper:{prefix}{}", &APACHE[4..]));
        assert_eq!(check(&auth, Some(&basic("scraper:correct horse"))), Authentication::Allowed, "{prefix}");
    }
}

#[test]
fn a_line_that_is_no_good_is_told_by_its_number() {
    let cases = [
        ("# a comment\n\nscraper\n", "line 3: expected a name, a colon"),
        (&format!(":{APACHE}"), "line 1: there is no name"),
        (
            "scraper:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=",
            "line 1: the password of \"scraper\" is not hashed by bcrypt",
        ),
        ("scraper:correct horse", "is not hashed by bcrypt"),
        (&format!("scraper:{}", APACHE.replace("$2y", "$2x")), "is not hashed by bcrypt"),
        (&format!("scraper:{}", &APACHE[..50]), "the hash of \"scraper\" is damaged"),
        (&format!("scraper:{}", APACHE.replace("$04", "$17")), "has the cost 17, and 4 to 14"),
        (&format!("scraper:{}", APACHE.replace("$04", "$00")), "has the cost 0,"),
        (&format!("a:{APACHE}\na:{APACHE}"), "line 2: the user \"a\" is there twice"),
        ("# nobody\n", "there is no user in it"),
        ("", "there is no user in it"),
    ];
    for (text, expected) in cases {
        let error = parse_error(text);
        assert!(error.contains(expected), "{text:?}: {error}");
        assert!(error.contains("htpasswd") || error.contains("remove"), "{error}");
        assert!(!error.contains("wysqXixDl") && !error.contains("correct horse"), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    let error = |path: &Path| format!("{:#}", Auth::load(path).unwrap_err());
    assert!(error(&path).contains("No such file"), "{}", error(&path));
    assert!(error(&path).contains(path.to_str().unwrap()));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(error(&path).contains("UTF-8"), "{}", error(&path));
    std::fs::File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
    assert!(error(&path).contains("more than"), "{}", error(&path));
}

#[test]
fn what_is_no_basic_authentication_is_denied() {
    let auth = auth(&format!("scraper:{APACHE}"));
    assert_eq!(check(&auth, None), Authentication::Denied);
    let right = BASE64_STANDARD.encode("scraper:correct horse");
    for header in ["", "Basic", "Basic ", "Basic !", "Bearer abc", &format!("Digest {right}"), "Basic w"] {
        let header = HeaderValue::from_str(header).unwrap();
        assert_eq!(check(&auth, Some(&header)), Authentication::Denied, "{header:?}");
    }
    assert_eq!(check(&auth, Some(&basic([0xff, b':', b'a']))), Authentication::Denied);
    let lower_case = HeaderValue::from_str(&format!("basic {right}")).unwrap();
    assert_eq!(check(&auth, Some(&lower_case)), Authentication::Allowed);
}

#[test]
fn passwords_may_have_any_length() {
    let auth = auth(&format!("scraper:{APACHE}"));
    assert_eq!(check(&auth, Some(&basic(format!("scraper:{}", "x".repeat(10_000))))), Authentication::Denied);
    assert_eq!(check(&auth, Some(&basic("scraper:correct horse\0"))), Authentication::Denied);
}

#[test]
fn a_known_password_passes_though_too_many_wrong_ones_were_sent() {
    let auth = auth(&format!("scraper:{APACHE}\nother:{APACHE}"));
    let (right, wrong) = (basic("scraper:correct horse"), basic("scraper:battery staple"));
    assert_eq!(check(&auth, Some(&right)), Authentication::Allowed);
    let verdicts: Vec<Authentication> = (0..20).map(|_| check(&auth, Some(&wrong))).collect();
    assert_eq!(verdicts[0], Authentication::Denied);
    assert_eq!(verdicts[19], Authentication::TooMany);
    assert_eq!(check(&auth, Some(&right)), Authentication::Allowed);
    // Not known yet, and from the same address.
    assert_eq!(check(&auth, Some(&basic("other:correct horse"))), Authentication::TooMany);
    // A known password of one user is not that of another.
    assert_ne!(auth.digest("scraper", b"correct horse"), auth.digest("other", b"correct horse"));
}

#[test]
fn only_so_many_passwords_wait_for_being_checked() {
    let auth = auth(&format!("scraper:{APACHE}"));
    in_runtime(async {
        let _all = auth.waiting.try_acquire_many(u32::try_from(MAX_WAITING).unwrap()).unwrap();
        assert_eq!(auth.check(Some(&basic("scraper:correct horse")), PEER).await, Authentication::TooMany);
    });
}

#[test]
fn an_unknown_user_is_checked_as_somebody_else_would_be() {
    let other = bcrypt::hash("another", 5).unwrap();
    let auth = auth(&format!("scraper:{APACHE}\nother:{other}"));
    let users = in_runtime(auth.users.get(Instant::now()));
    let hashes: std::collections::BTreeSet<&str> = (0..100)
        .filter_map(|nth| auth.decoy(&users, &format!("nobody{nth}")))
        .map(|user| user.hash.as_str())
        .collect();
    assert_eq!(hashes.len(), 2);
    let again = || auth.decoy(&users, "nobody").map(|user| user.hash.as_str());
    assert_eq!(again(), again());
    // Its password is not theirs.
    for nth in 0..8 {
        let header = basic(format!("nobody{nth}:correct horse"));
        assert_eq!(check(&auth, Some(&header)), Authentication::Denied);
    }
}

#[test]
fn a_file_that_has_changed_is_read_again_and_a_bad_one_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    std::fs::write(&path, format!("first:{APACHE}\n")).unwrap();
    let auth = Auth::load(&path).unwrap();
    let mut now = Instant::now();
    let mut names = || {
        now += LOOK_INTERVAL;
        in_runtime(auth.users.get(now)).keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(), ["first"]);
    std::fs::write(&path, format!("second:{APACHE}\nthird:{APACHE}\n")).unwrap();
    assert_eq!(names(), ["second", "third"]);
    std::fs::write(&path, "no users").unwrap();
    assert_eq!(names(), ["second", "third"], "nobody was locked out");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(names(), ["second", "third"]);
}
