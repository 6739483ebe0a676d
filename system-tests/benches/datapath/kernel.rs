//! The programs in the kernel.

use aya::Ebpf;
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use serde_json::{Value, json};
use sni_probe::capture::programs::{CLIENT_TO_GATEWAY, EventRing, GATEWAY_TO_CLIENT, Programs};
use sni_probe_common::tunnel::Tunnels;
use system_tests::classifier::constant_classifier;

use crate::Sample;
use crate::cases::{Case, GATEWAY_PORT, Packet};

const EMPTY: &str = "empty";
/// `TC_ACT_UNSPEC`.
const NO_VERDICT: i32 = -1;

pub(crate) struct Kernel {
    programs: Programs,
    ring: EventRing,
    empty: Ebpf,
}

impl Kernel {
    pub(crate) fn load() -> Self {
        let mut programs = Programs::load(&[GATEWAY_PORT], Tunnels::NONE).expect("the programs load");
        let ring = programs.take_events().expect("a ring");
        let mut empty = Ebpf::load(&constant_classifier(EMPTY, NO_VERDICT)).expect("an object");
        classifier(&mut empty).load().expect("the empty classifier loads");
        Self { programs, ring, empty }
    }

    /// Instructions of each program: as the verifier left them, and how many it looked at on all paths.
    pub(crate) fn instructions(mut self) -> Value {
        [CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT]
            .map(|name| {
                let info = self.programs.program(name).and_then(|program| program.info()).expect("a program");
                json!({
                    "program": name,
                    "instructions": info.size_translated().map(|bytes| bytes / 8),
                    "verified": info.verified_instruction_count(),
                })
            })
            .into_iter()
            .collect()
    }

    pub(crate) fn sample(&mut self, case: &Case) -> Sample {
        let mut sum = Sample { program: 0.0, empty: 0.0 };
        for _ in 0..case.calls {
            self.ring.drain(usize::MAX, |_| ());
            for packet in &case.before {
                self.run(packet, 1);
            }
            sum.program += self.run(&case.packet, case.repeat);
            sum.empty += run(classifier(&mut self.empty), &case.packet, case.repeat);
        }
        let calls = f64::from(case.calls);
        Sample { program: sum.program / calls, empty: sum.empty / calls }
    }

    fn run(&mut self, packet: &Packet, repeat: u32) -> f64 {
        run(self.programs.program(packet.program).expect("a program"), packet, repeat)
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
