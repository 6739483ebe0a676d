//! The programs in the kernel.

use aya::Ebpf;
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use serde_json::{Value, json};
use sni_probe_capture::programs::{CLIENT_TO_GATEWAY, EventRing, GATEWAY_TO_CLIENT, LoadError, Programs};
use sni_probe_datapath::tunnel::Tunnels;
use system_tests::classifier::constant_classifier;

use crate::Sample;
use crate::cases::{Case, GATEWAY_PORT, Packet};

const EMPTY: &str = "empty";
/// `TC_ACT_UNSPEC`.
const NO_VERDICT: i32 = -1;

pub(crate) struct Kernel {
    /// Two times each, for where the kernel happens to put a program and its maps makes a difference of some 10 ns. They
    /// are loaded in the order ours, other, other, ours.
    pairs: [Pair; 2],
    empty: Ebpf,
    /// How many clients there were.
    clients: u32,
}

struct Pair {
    ours: Loaded,
    /// The object to compare with.
    other: Option<Loaded>,
}

/// The programs of one object, and their events.
struct Loaded {
    programs: Programs,
    ring: EventRing,
}

impl Loaded {
    fn new(programs: Result<Programs, LoadError>) -> Self {
        let mut programs = programs.expect("the programs load");
        // The kernel's test packets are of the loopback interface, and for another MAC address than its own. (An object
        // of an earlier version knows no difference.)
        let _ = programs.count_other_hosts(1, true);
        let ring = programs.take_events().expect("a ring");
        Self { programs, ring }
    }

    /// Nanoseconds of a run.
    fn sample(&mut self, case: &Case, client: u32) -> f64 {
        self.ring.drain(usize::MAX, |_| ());
        for packet in &case.before {
            self.run(&packet.of(client), 1);
        }
        self.run(&case.packet.of(client), case.repeat)
    }

    fn run(&mut self, packet: &Packet, repeat: u32) -> f64 {
        run(self.programs.program(packet.program).expect("a program"), packet, repeat)
    }
}

impl Kernel {
    pub(crate) fn load(other: Option<&[u8]>) -> Self {
        let ours = || Loaded::new(Programs::load(&[GATEWAY_PORT], Tunnels::NONE, true));
        let load =
            |object: &[u8]| Loaded::new(Programs::from_object(object, &[GATEWAY_PORT], Tunnels::NONE, true));
        let first = Pair { ours: ours(), other: other.map(load) };
        let (other, ours) = (other.map(load), ours());
        let mut empty = Ebpf::load(&constant_classifier(EMPTY, NO_VERDICT)).expect("an object");
        classifier(&mut empty).load().expect("the empty classifier loads");
        Self { pairs: [first, Pair { ours, other }], empty, clients: 0 }
    }

    /// Instructions of each program: as the verifier left them, and how many it looked at on all paths.
    pub(crate) fn instructions(mut self) -> Value {
        [CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT]
            .map(|name| {
                let info = self.pairs[0]
                    .ours
                    .programs
                    .program(name)
                    .and_then(|program| program.info())
                    .expect("a program");
                json!({
                    "program": name,
                    "instructions": info.size_translated().map(|bytes| bytes / 8),
                    "verified": info.verified_instruction_count(),
                })
            })
            .into_iter()
            .collect()
    }

    /// A sample of the first or the second loading, by the number of the round.
    pub(crate) fn sample(&mut self, case: &Case, round: u32) -> Sample {
        let Pair { ours, other } = &mut self.pairs[round as usize % 2];
        let mut sum = Sample { program: 0.0, empty: 0.0, other: other.as_ref().map(|_| 0.0) };
        for call in 0..case.calls {
            self.clients += 1;
            let client = self.clients;
            // In turns, so that neither is always the first.
            if call.is_multiple_of(2) {
                sum.program += ours.sample(case, client);
            }
            if let (Some(other), Some(sum)) = (&mut *other, &mut sum.other) {
                *sum += other.sample(case, client);
            }
            if !call.is_multiple_of(2) {
                sum.program += ours.sample(case, client);
            }
            sum.empty += run(classifier(&mut self.empty), &case.packet, case.repeat);
        }
        let calls = f64::from(case.calls);
        let other = sum.other.map(|sum| sum / calls);
        Sample { program: sum.program / calls, empty: sum.empty / calls, other }
    }
}

fn classifier(ebpf: &mut Ebpf) -> &mut SchedClassifier {
    let program = ebpf.program_mut(EMPTY).expect("a program");
    program.try_into().expect("a classifier")
}

/// Nanoseconds of a run.
fn run(program: &SchedClassifier, packet: &Packet, repeat: u32) -> f64 {
    let mut options = TestRunOptions::new();
    options.data_in = Some(&packet.bytes);
    options.repeat = repeat;
    let result = program.test_run(options).expect("the kernel runs the program");
    assert_eq!(result.return_value, NO_VERDICT.cast_unsigned(), "the chain goes on");
    result.duration.as_nanos() as f64
}
