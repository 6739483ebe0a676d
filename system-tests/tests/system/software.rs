//! What sni-probe says of the software of real clients, those that this machine has.

use system_tests::Lab;
use system_tests::probe::Probe;
use system_tests::resetting::ResettingGateway;
use system_tests::software::clients::{
    BORING_SSL, ClientProgram, DEBIAN, GO_TOOLCHAIN, JAVA_JDK, NODE_JS, PYTHON, SERVICES,
};
use system_tests::software::{hellos, place::Place};

use crate::site::PORT;

/// Slow to start, and no client of gateways.
const LEFT_OUT: &str = "Chromium";

/// A client that is not in the table, in that version, is unknown, which the test tells and does not mind: the
/// machine's versions are not those of the table for ever. A wrong name is a failure, and so is a table that knows
/// none of them.
#[test]
fn real_clients_are_named_by_their_library() {
    let lab = Lab::new().unwrap();
    let _gateway = ResettingGateway::start(&lab.gateway, PORT).unwrap();
    let probe = Probe::start(&lab, &[]).unwrap();
    let place = Place::machine(None).unwrap();
    let clients = [DEBIAN, SERVICES, PYTHON, NODE_JS, JAVA_JDK, GO_TOOLCHAIN, BORING_SSL].concat();
    let (mut report, mut known, mut wrong) = (String::new(), 0, Vec::new());
    for client in clients.iter().filter(|client| client.library.name != LEFT_OUT) {
        let Some(version) = version(&lab, &place, client) else { continue };
        for event in hellos(&lab, &probe, &place, client, (None, PORT)).unwrap() {
            let likely = event.json["likely"].as_str();
            let (library, ja4) = (client.library.name, event.ja4.unwrap_or_default());
            let told = likely.unwrap_or("UNKNOWN");
            let library_version = format!("{library} {version}");
            let line = format!("{:<20} {library_version:<25} {ja4}  {told}\n", client.program);
            // Health checks come again and again.
            if !report.ends_with(&line) {
                report.push_str(&line);
            }
            known += usize::from(likely.is_some());
            if likely.is_some_and(|likely| !likely.contains(library)) {
                wrong.push(format!("{} with {library}: {told}", client.program));
            }
        }
    }
    println!("{report}");
    assert!(wrong.is_empty(), "{wrong:#?}\n{report}");
    assert!(known > 0, "all are unknown:\n{report}");
}

/// The version of the client's library. `None`: the client is not there.
fn version(lab: &Lab, place: &Place, client: &ClientProgram) -> Option<String> {
    if !client.version.is_empty() {
        place.version(lab, client.version).unwrap()?;
    }
    place.version(lab, client.library.version).unwrap()
}
