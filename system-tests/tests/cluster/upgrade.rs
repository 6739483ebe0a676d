//! An upgrade from the image of an earlier commit, and back: connections that come while no pod runs are not seen, and nothing
//! else is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sni_probe_testkit::hello::ClientHelloBuilder;
use system_tests::cluster::EARLIER_TAG;
use system_tests::cluster::{DEADLINE, GATEWAY_PORT, Gateway};
use system_tests::dist::{Architecture, Artifacts, IMAGE};
use system_tests::raw::{End, RawClient};
use system_tests::wait_until;

use crate::site::{Release, cluster, gateway};

/// The directory of the node with the events of all pods, one after the other.
const EVENTS: &str = "/var/lib/sni-probe-events";
/// Between two clients. Ten a second are enough to see a gap, and few enough to lose none.
const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);
/// Clients before and after each roll-out.
const SETTLED: usize = 10;

fn import_both() {
    let image = format!("docker.io/library/{IMAGE}");
    let earlier = Artifacts::new(&cluster().files().earlier(), Architecture::host());
    cluster().import(&earlier.image()).unwrap();
    let tag = format!("docker.io/library/sni-probe:{EARLIER_TAG}");
    cluster().ctr(&["images", "tag", "--force", &image, &tag]).unwrap();
    cluster().import(&Artifacts::from_environment().unwrap().image()).unwrap();
}

fn values(tag: &str) -> Value {
    json!({
        "image": { "tag": tag },
        "events": {
            "filter": ["all"],
            "rate": 0,
            "file": { "enabled": true, "volume": { "hostPath": EVENTS } },
        },
    })
}

/// A connection without SNI that the gateway has reset.
#[derive(Debug)]
struct Sent {
    client: String,
    /// Since the first one.
    at: Duration,
}

/// Sends until it is stopped. `used` has the addresses and ports of all clients before: they tell events apart.
fn send(
    gateway: &Gateway,
    stop: &AtomicBool,
    sent: &std::sync::Mutex<Vec<Sent>>,
    used: &mut BTreeSet<SocketAddr>,
) {
    let start = Instant::now();
    let address = SocketAddr::new(gateway.address, GATEWAY_PORT);
    let hello = ClientHelloBuilder::new().build();
    while !stop.load(Ordering::Relaxed) {
        let at = start.elapsed();
        let mut client = RawClient::connect(cluster().client(), address).unwrap();
        if !used.insert(client.local()) {
            // The kernel gave a port for the second time.
            continue;
        }
        client.send(&hello).unwrap();
        assert_eq!(client.read_first(PATIENCE).unwrap().end, End::Reset);
        sent.lock().unwrap().push(Sent { client: client.local().to_string(), at });
        thread::sleep(PAUSE);
    }
}

/// How often each client is in the events of all pods.
fn seen() -> BTreeMap<String, u64> {
    let mut seen = BTreeMap::new();
    for entry in fs::read_dir(EVENTS).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            *seen.entry(event["client"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    seen
}

/// Upgrades while clients come, and gives the time in which none was seen.
fn gap_of(release: &Release, gateway: &Gateway, tag: &str, used: &mut BTreeSet<SocketAddr>) -> Duration {
    let stop = AtomicBool::new(false);
    let sent = std::sync::Mutex::new(Vec::new());
    let count = || sent.lock().unwrap().len();
    let wait_for_more = || {
        let wanted = count() + SETTLED;
        wait_until("clients", DEADLINE, || Ok((count() >= wanted).then_some(()))).unwrap();
    };
    thread::scope(|scope| {
        scope.spawn(|| send(gateway, &stop, &sent, used));
        wait_for_more();
        release.upgrade(&values(tag));
        wait_for_more();
        stop.store(true, Ordering::Relaxed);
    });
    let sent = sent.into_inner().unwrap();
    // The last one is there: all before it are.
    let last = &sent.last().unwrap().client;
    wait_until("the last event", DEADLINE, || Ok(seen().contains_key(last).then_some(()))).unwrap();
    let seen = seen();
    assert!(seen.values().all(|times| *times == 1), "counted twice: {seen:#?}");
    let missed: Vec<usize> =
        (0..sent.len()).filter(|index| !seen.contains_key(&sent[*index].client)).collect();
    // One gap: what is missed are neighbours, and what came before and after is there.
    let is_one_gap = missed.windows(2).all(|pair| pair[1] == pair[0] + 1);
    assert!(is_one_gap, "missed {missed:?} of {} clients", sent.len());
    let (Some(first), Some(last)) = (missed.first(), missed.last()) else { return Duration::ZERO };
    assert!(
        *first >= SETTLED && *last + SETTLED < sent.len() + 1,
        "missed {missed:?} of {} clients",
        sent.len()
    );
    let gap = sent[last + 1].at.saturating_sub(sent[first - 1].at);
    println!("to {tag}: {} of {} clients not seen, in {:.1} s", missed.len(), sent.len(), gap.as_secs_f32());
    gap
}

#[test]
fn from_an_earlier_image_and_back() {
    import_both();
    let gateway = gateway();
    fs::remove_dir_all(EVENTS).ok();
    let release = Release::install(&values(EARLIER_TAG));
    let current = IMAGE.rsplit(':').next().unwrap();
    let tags: BTreeSet<&str> = BTreeSet::from([current, EARLIER_TAG]);
    assert_eq!(tags.len(), 2);
    let mut used = BTreeSet::new();
    for tag in [current, EARLIER_TAG] {
        let gap = gap_of(&release, &gateway, tag, &mut used);
        // docs/upgrade.md says how long: some seconds, which are the kubelet's.
        assert!(gap < DEADLINE, "{gap:?}");
    }
    drop(release);
    assert!(Path::new(EVENTS).exists(), "a directory of the node stays");
    fs::remove_dir_all(EVENTS).unwrap();
}
