//! The page at `/`, in headless Chromium: from the daemon's own answers, and from canned ones of a busy gateway.
//!
//! `SNI_PROBE_BLESS=1 cargo xtask system-test page::pictures` writes the documentation's pictures anew.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sni_probe_testkit::canned;
use system_tests::browser::Browser;
use system_tests::probe::HTTP_PORT;
use system_tests::{Namespace, wait_until};

use crate::site::{Site, TIMEOUT, assert_counted};

/// What the page may ask for, and nothing else.
const OWN: [&str; 5] = ["", "api/v1/summary", "api/v1/clients", "api/v1/handshakes?limit=50", "api/v1/facts"];

fn address() -> String {
    format!("http://127.0.0.1:{HTTP_PORT}/")
}

/// The answer of a busy gateway to a path.
fn busy(path: &str) -> Option<Value> {
    let path = path.split('?').next().unwrap_or_default();
    match path {
        "/api/v1/summary" => Some(canned::summary()),
        "/api/v1/clients" => Some(canned::clients()),
        "/api/v1/handshakes" => Some(canned::handshakes()),
        "/api/v1/facts" => Some(canned::facts()),
        _ => None,
    }
}

fn browser(site: &Site, answers: impl Fn(&str) -> Option<Value> + 'static) -> Browser {
    Browser::start(&site.lab.gateway, site.lab.directory(), answers).unwrap()
}

/// Opens the page, and waits until it shows something.
fn open(browser: &Browser) {
    browser.open(&address()).unwrap();
    browser.wait_for("document.getElementById('state').dataset.state !== 'loading'").unwrap();
}

/// Nothing went wrong in the page, and it asked nobody but its daemon.
#[track_caller]
fn assert_clean(browser: &Browser) {
    let seen = browser.seen().unwrap();
    assert_eq!(seen.complaints, Vec::<String>::new());
    let own = |url: &&String| {
        url.starts_with("data:") || url.strip_prefix(&address()).is_some_and(|path| OWN.contains(&path))
    };
    let foreign: Vec<_> = seen.requests.iter().filter(|url| !own(url)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(seen.requests.len() >= OWN.len(), "{:?}", seen.requests);
}

#[track_caller]
fn evaluate(browser: &Browser, expression: &str) -> Value {
    browser.evaluate(expression).unwrap()
}

#[test]
fn it_says_what_the_daemon_says() {
    let site = Site::new();
    let probe = site.probe(&[]);
    site.hello();
    assert_counted(&probe, 1);
    let browser = browser(&site, |_| None);
    open(&browser);
    let summary: Value = serde_json::from_str(&probe.get("/api/v1/summary").unwrap().1).unwrap();
    assert_eq!(
        summary["sentence"], "1 client without SNI was reset in the last hour; the gateway accepts none.",
        "{summary}"
    );
    browser
        .wait_for("document.querySelectorAll('#clients-table tbody td.client button').length === 1")
        .unwrap();
    browser.wait_for("document.querySelectorAll('#chart path').length === 1").unwrap();
    assert_eq!(evaluate(&browser, "document.getElementById('state').innerText"), "Refusing");
    browser.wait_for("document.querySelectorAll('#interfaces li.good').length === 1").unwrap();
    // Between two answers the sentence may change.
    browser
        .wait_for("fetch('api/v1/summary').then(answer => answer.json()).then(({ sentence }) => document.getElementById('sentence').textContent === sentence)")
        .unwrap();
    assert_eq!(evaluate(&browser, "document.getElementById('state').innerText.length > 3"), true);
    assert_eq!(evaluate(&browser, "document.getElementById('ports').textContent"), "ports 443, 8443");
    assert_clean(&browser);
}

/// DNS rebinding: the browser takes the daemon for the site whose name points to it.
#[test]
fn a_site_whose_name_points_here_reads_no_page() {
    let site = Site::new();
    let _probe = site.probe(&["--web-host", "probe.example"]);
    let browser = browser(&site, |_| None);
    let statuses = "Promise.all(['/', '/api/v1/summary', '/api/v1/clients', '/metrics', '/readyz', '/healthz']\
                    .map(path => fetch(path).then(answer => answer.status)))";
    for (name, expected) in [("site.example", [421, 421, 421, 200, 200, 200]), ("probe.example", [200; 6])] {
        browser.open(&format!("http://{name}:{HTTP_PORT}/healthz")).unwrap();
        assert_eq!(evaluate(&browser, statuses), json!(expected), "{name}");
    }
}

#[test]
fn chart_and_tables_of_a_busy_gateway() {
    let site = Site::new();
    let _probe = site.probe(&[]);
    let browser = browser(&site, busy);
    open(&browser);
    assert_eq!(
        evaluate(&browser, "document.getElementById('sentence').textContent"),
        canned::summary()["sentence"]
    );
    assert_eq!(evaluate(&browser, "document.getElementById('state').innerText"), "Refusing");
    // One path of bars for each kind, each with its name, and the same in the legend.
    let names = "JSON.stringify([...document.querySelectorAll('#chart path title')].map(t => t.textContent))";
    let names = evaluate(&browser, names);
    assert!(names.as_str().unwrap().starts_with(r#"["no SNI, reset by gateway","#), "{names}");
    let paths = "[...document.querySelectorAll('#chart path')].filter(path => path.getAttribute('d').length > 20).length";
    assert_eq!(evaluate(&browser, paths), 6);
    assert_eq!(evaluate(&browser, "document.querySelectorAll('#legend button').length"), 6);
    // Who reads no charts has a table.
    evaluate(&browser, "document.getElementById('hour-details').open = true");
    browser.wait_for("document.querySelectorAll('#hour tbody tr').length === 60").unwrap();

    let clients = "[...document.querySelectorAll('#clients-table tbody td.client button')].map(b => b.textContent).join()";
    assert_eq!(evaluate(&browser, clients), "10.20.3.17,203.0.113.84,2001:db8:7:12::9a");
    let foot = evaluate(&browser, "document.querySelector('#clients-table tfoot').innerText");
    assert!(foot.as_str().unwrap().contains("Expected sources: 5,760 no SNI, reset by gateway"), "{foot}");
    let handshakes = "document.querySelectorAll('#handshakes tbody tr').length";
    assert_eq!(evaluate(&browser, handshakes), 12);
    evaluate(&browser, "document.getElementById('more').click()");
    assert_eq!(evaluate(&browser, handshakes), 20);
    let facts = evaluate(
        &browser,
        "[...document.querySelectorAll('#facts li strong')].map(s => s.textContent).join()",
    );
    assert_eq!(facts, "one name,health check,refusal shape");
    let loss = evaluate(&browser, "document.getElementById('loss').innerText");
    assert!(loss.as_str().unwrap().contains("packets skipped: fragment"), "{loss}");
    assert_clean(&browser);
}

#[test]
fn it_works_by_keyboard() {
    let site = Site::new();
    let _probe = site.probe(&[]);
    let browser = browser(&site, busy);
    open(&browser);
    let first = "document.querySelector('#clients-table tbody td.client button').textContent";
    let sort = |key: &str| format!("document.querySelector('[data-key=\"sort {key}\"]')");
    let order = |key: &str| format!("{}.closest('th').ariaSort", sort(key));
    assert_eq!(evaluate(&browser, &order("refused")), "descending");
    evaluate(&browser, &format!("{}.focus()", sort("handshakes")));
    for (expected, client) in [("descending", "10.20.3.17"), ("ascending", "2001:db8:7:12::9a")] {
        browser.press("Enter").unwrap();
        assert_eq!(evaluate(&browser, &order("handshakes")), expected);
        assert_eq!(evaluate(&browser, first), client);
        assert_eq!(evaluate(&browser, "document.activeElement.dataset.key"), "sort handshakes");
    }
    // What has the focus shows it.
    assert_ne!(evaluate(&browser, "getComputedStyle(document.activeElement).outlineStyle"), "none");

    evaluate(&browser, "document.querySelector('#clients-table tbody button').focus()");
    browser.press("Enter").unwrap();
    let details = evaluate(&browser, "document.querySelector('tr.detail').innerText");
    for expected in ["GREASE, TLS 1.3, TLS 1.2", "http/1.1", "alert: unrecognized name", "JA3"] {
        assert!(details.as_str().unwrap().contains(expected), "{details}");
    }
    // An answer that comes meanwhile closes nothing, and leaves the focus where it is.
    evaluate(&browser, "askAll()");
    assert_eq!(evaluate(&browser, "document.querySelectorAll('tr.detail').length"), 1);
    assert_eq!(evaluate(&browser, "document.activeElement.ariaExpanded"), "true");
    browser.press("Enter").unwrap();
    assert_eq!(evaluate(&browser, "document.querySelectorAll('tr.detail').length"), 0);

    evaluate(&browser, "document.getElementById('chart').focus()");
    browser.press("ArrowLeft").unwrap();
    let tip = evaluate(&browser, "document.getElementById('tip').innerText");
    assert!(tip.as_str().unwrap().starts_with("14:03: "), "{tip}");
    assert_clean(&browser);
}

#[test]
fn names_with_markup_stay_text() {
    const NAME: &str =
        "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">";
    let site = Site::new();
    let _probe = site.probe(&[]);
    let hostile = |path: &str| {
        let mut answer = busy(path)?;
        // More than clients choose: all that is no closed set of words.
        for key in ["client", "name", "likely", "ja4", "server_name", "status", "reason", "alpn", "gateway"] {
            spoil(&mut answer, key, NAME);
        }
        if answer["sentence"].is_string() {
            answer["sentence"] = json!(NAME);
        }
        Some(answer)
    };
    let browser = browser(&site, hostile);
    open(&browser);
    browser.wait_for("document.querySelectorAll('#clients-table tbody tr').length === 3").unwrap();
    evaluate(&browser, "document.querySelector('#clients-table tbody button').click()");
    evaluate(&browser, "document.getElementById('hour-details').open = true");
    assert_eq!(evaluate(&browser, "document.getElementById('sentence').textContent"), NAME);
    assert_eq!(evaluate(&browser, "document.querySelector('#clients-table tbody button').textContent"), NAME);
    assert_eq!(evaluate(&browser, "document.querySelectorAll('script').length"), 1);
    assert_eq!(evaluate(&browser, "document.querySelectorAll('img').length"), 0);
    assert_ne!(evaluate(&browser, "document.title"), "taken");
    // However long it is, it stays in its place.
    browser.resize(360, 800).unwrap();
    browser.wait_for("document.scrollingElement.scrollWidth <= 360").unwrap();
    // And if it were markup, the policy would not let it run.
    evaluate(
        &browser,
        "document.body.insertAdjacentHTML('beforeend', \"<img src=x onerror=\\\"document.title='taken'\\\">\")",
    );
    browser
        .wait_for("new Promise(resolve => setTimeout(() => resolve(document.title !== 'taken'), 200))")
        .unwrap();
    assert!(!browser.seen().unwrap().complaints.is_empty());
}

/// Puts a text in the place of every string of this name.
fn spoil(value: &mut Value, key: &str, text: &str) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value {
                    Value::String(value) if name == key => text.clone_into(value),
                    Value::Array(values) if name == key => {
                        *values = vec![json!(text)];
                    }
                    value => spoil(value, key, text),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| spoil(value, key, text)),
        _ => {}
    }
}

#[test]
fn light_dark_and_narrow() {
    let site = Site::new();
    let _probe = site.probe(&[]);
    let browser = browser(&site, busy);
    open(&browser);
    let paper = "getComputedStyle(document.body).backgroundColor";
    let mut papers = Vec::new();
    for dark in [false, true] {
        browser.set_dark(dark).unwrap();
        papers.push(evaluate(&browser, paper));
    }
    assert_ne!(papers[0], papers[1]);
    for width in [360, 768, 1200] {
        browser.resize(width, 800).unwrap();
        evaluate(&browser, "document.querySelector('#clients-table tbody td.client button').click()");
        let fits = format!("document.scrollingElement.scrollWidth <= {width}");
        browser.wait_for(&fits).unwrap_or_else(|error| panic!("{width} pixels: {error:#}"));
    }
    assert_clean(&browser);
}

#[test]
fn it_goes_on_by_itself_after_the_daemon_was_away() {
    let site = Site::new();
    let mut probe = site.probe(&[]);
    let browser = browser(&site, |_| None);
    open(&browser);
    probe.stop().unwrap();
    browser.wait_for("document.getElementById('notice').innerText.startsWith('No answer since ')").unwrap();
    let _probe = site.probe(&[]);
    browser.wait_for("document.getElementById('notice').hidden").unwrap();
}

#[test]
fn a_proxy_may_put_it_under_another_path() {
    const PORT: u16 = 8080;
    let site = Site::new();
    let _probe = site.probe(&[]);
    let listener =
        site.lab.gateway.run_in_thread(|| TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))).unwrap().unwrap();
    let connect = |namespace: &Namespace| {
        namespace.run_in_thread(|| TcpStream::connect((Ipv4Addr::LOCALHOST, HTTP_PORT))).unwrap().unwrap()
    };
    // The proxy ends with the connection after the last that the page makes.
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let proxy = || {
            for client in listener.incoming().take_while(|_| !is_over.load(Ordering::Relaxed)) {
                forward(client.unwrap(), connect(&site.lab.gateway));
            }
        };
        scope.spawn(proxy);
        let browser = browser(&site, |_| None);
        browser.open(&format!("http://127.0.0.1:{PORT}/probes/one/")).unwrap();
        let shown = browser.wait_for("document.querySelectorAll('#interfaces li.good').length === 1");
        is_over.store(true, Ordering::Relaxed);
        let _last = site.lab.gateway.run_in_thread(|| TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)));
        shown.unwrap();
    });
}

/// Hands on one request, without the path's prefix, and its answer.
fn forward(mut client: TcpStream, mut daemon: TcpStream) {
    let mut head = [0; 16 * 1024];
    // A request of a browser comes in one piece; one that opens a connection in advance sends none for a while.
    client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let Ok(length) = client.read(&mut head) else { return };
    let head = String::from_utf8_lossy(&head[..length]).replacen(" /probes/one/", " /", 1);
    daemon.write_all(head.as_bytes()).unwrap();
    std::io::copy(&mut daemon, &mut client).ok();
}

#[test]
fn who_does_not_look_asks_for_nothing() {
    let site = Site::new();
    let _probe = site.probe(&[]);
    let asked = Arc::new(AtomicBool::new(false));
    let browser = {
        let asked = Arc::clone(&asked);
        browser(&site, move |path| {
            asked.store(true, Ordering::Relaxed);
            busy(path)
        })
    };
    open(&browser);
    evaluate(&browser, "document.getElementById('pause').click()");
    assert_eq!(evaluate(&browser, "refresh.paused && document.getElementById('pause').textContent"), "Go on");
    browser.wait_for("document.getElementById('updated').textContent.endsWith(', paused')").unwrap();
    asked.store(false, Ordering::Relaxed);
    // Longer than the page's interval.
    evaluate(&browser, "new Promise(resolve => setTimeout(resolve, 1.3 * INTERVAL))");
    assert!(!asked.load(Ordering::Relaxed));
    evaluate(&browser, "document.getElementById('pause').click()");
    wait_until("the page's next question", TIMEOUT, || {
        // What the page asks is heard while it is spoken to.
        browser.evaluate("0")?;
        Ok(asked.load(Ordering::Relaxed).then_some(()))
    })
    .unwrap();
}

#[test]
fn pictures() {
    const WIDTH: u32 = 1200;
    let site = Site::new();
    let _probe = site.probe(&[]);
    let browser = browser(&site, busy);
    browser.resize(WIDTH, 1000).unwrap();
    open(&browser);
    // The times of the answers are canned, that of their coming is not.
    evaluate(&browser, "document.getElementById('updated').textContent = 'Updated 14:03:22, every 5 s'");
    // To the end of the clients: what comes after is as it looks.
    let height =
        "Math.ceil(document.getElementById('clients').getBoundingClientRect().bottom + scrollY) + 24";
    let height = u32::try_from(evaluate(&browser, height).as_u64().unwrap()).unwrap();
    browser.resize(WIDTH, height).unwrap();
    for (name, dark) in [("page-light.png", false), ("page-dark.png", true)] {
        browser.set_dark(dark).unwrap();
        let picture = browser.screenshot().unwrap();
        assert!(picture.starts_with(b"\x89PNG"), "{name}");
        if std::env::var_os("SNI_PROBE_BLESS").is_some() {
            let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images");
            fs::create_dir_all(&images).unwrap();
            fs::write(images.join(name), picture).unwrap();
        }
    }
}
