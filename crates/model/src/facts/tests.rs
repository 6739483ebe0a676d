//! The facts, by handshakes that one cause decides.

mod cases;
mod mixture;

use std::collections::BTreeMap;

use sni_probe_core::clients::ClientLabel;

use self::mixture::{Cause, Mixture, Random};
use super::*;

/// The facts that follow from several handshakes.
const DERIVED: [FactName; 10] = [
    FactName::SplitHello,
    FactName::HelloSize,
    FactName::TwoRecords,
    FactName::ProxyHeader,
    FactName::Alpn,
    FactName::OneName,
    FactName::TrailingDot,
    FactName::UpperCase,
    FactName::Versions,
    FactName::RefusesEverything,
];

const MIXTURES: u32 = 1_000;

fn counted(handshakes: &[Handshake]) -> RefusalFacts {
    let mut facts = RefusalFacts::default();
    for handshake in handshakes {
        facts.add(handshake);
    }
    facts
}

fn report(handshakes: &[Handshake]) -> GatewayFacts {
    counted(handshakes).report(&ClientLabel::Ip).gateways.remove(0)
}

/// Derived facts of one certainty.
fn derived(report: &GatewayFacts, certainty: Certainty) -> Vec<FactName> {
    let facts = report.facts.iter().filter(|fact| fact.certainty == certainty);
    facts.filter_map(Fact::name).filter(|name| DERIVED.contains(name)).collect()
}

fn count(mixture: &Mixture, is_counted: fn(&Handshake) -> bool) -> usize {
    mixture.handshakes.iter().filter(|handshake| is_counted(handshake)).count()
}

/// Whether there are enough handshakes for the cause to be a fact.
fn is_enough(mixture: &Mixture) -> bool {
    let others = if mixture.cause == Cause::Everything {
        // Nothing is served, but handshakes without SNI must be there.
        count(mixture, |it| it.outcome.is_refused() && it.hello.sni.class().is_without_sni())
    } else {
        count(mixture, |it| it.outcome.fate() == Fate::Served)
    };
    mixture.refused_by_cause >= 3 && others >= 3
}

/// Whether the fact is true of the mixture.
fn is_true(name: FactName, mixture: &Mixture) -> bool {
    Some(name) == mixture.cause.fact() || (name == FactName::OneName && mixture.unknown_names >= 3)
}

#[test]
fn the_planted_cause_is_found_and_no_other() {
    let mut found = 0;
    let mut missed: BTreeMap<String, u32> = BTreeMap::new();
    let mixtures = (1..).filter_map(|seed| {
        let mut random = Random(seed);
        let mixture = Mixture::new(Cause::any(&mut random), &mut random);
        is_enough(&mixture).then_some((seed, mixture))
    });
    for (seed, mixture) in mixtures.take(MIXTURES as usize) {
        let report = report(&mixture.handshakes);
        let facts = derived(&report, Certainty::Fact);
        let wrong: Vec<_> = facts.iter().filter(|name| !is_true(**name, &mixture)).collect();
        assert!(wrong.is_empty(), "seed {seed}: {:?} {wrong:?}", mixture.cause);
        if facts.iter().any(|&name| Some(name) == mixture.cause.fact()) {
            found += 1;
        } else {
            *missed.entry(format!("{:?}", mixture.cause)).or_default() += 1;
        }
    }
    println!("found {found} of {MIXTURES}; not found: {missed:?}");
    assert!(found * 100 >= MIXTURES * 99, "{found}; not found: {missed:?}");
}

#[test]
fn without_a_cause_there_is_no_fact() {
    for seed in 0..500 {
        let mut random = Random(1_000_000 + seed);
        let cause = if random.is(50) { Cause::Nothing } else { Cause::Chance(random.between(1, 60)) };
        let mixture = Mixture::new(cause, &mut random);
        let facts = derived(&report(&mixture.handshakes), Certainty::Fact);
        assert!(facts.iter().all(|&name| is_true(name, &mixture)), "seed {seed}: {cause:?} {facts:?}");
    }
}

/// No statement contradicts another, or what was seen.
#[test]
fn a_served_name_is_never_refused_for_its_sake() {
    for seed in 0..300 {
        let mut random = Random(2_000_000 + seed);
        let mixture = Mixture::new(Cause::any(&mut random), &mut random);
        let served = mixture.handshakes.iter().filter(|it| it.outcome.fate() == Fate::Served);
        let served: Vec<&str> =
            served.filter_map(|it| it.hello.sni.name()).map(|name| name.trim_end_matches('.')).collect();
        let report = report(&mixture.handshakes);
        for fact in &report.facts {
            if let Detail::OneName { names, .. } = &fact.detail {
                assert!(names.iter().all(|name| !served.contains(&name.name.as_str())), "seed {seed}");
            }
            if fact.name() == Some(FactName::RefusesEverything) {
                assert_eq!(report.served, 0, "seed {seed}");
                assert_eq!(derived(&report, Certainty::Fact).len(), 1, "seed {seed}");
            }
            assert!(fact.refused <= report.refused && fact.served <= report.served, "seed {seed}: {fact:?}");
            assert!(
                !fact.sentence.is_empty() && fact.sentence.bytes().all(|byte| (b' '..=b'~').contains(&byte))
            );
        }
    }
}

#[test]
fn what_came_in_two_parts_gives_the_same_facts() {
    for seed in 0..100 {
        let mut random = Random(3_000_000 + seed);
        let mixture = Mixture::new(Cause::any(&mut random), &mut random);
        let (first, second) = mixture.handshakes.split_at(mixture.handshakes.len() / 2);
        let [mut sum, later] = [first, second].map(counted);
        sum.add_later(&later);
        let all = report(&mixture.handshakes);
        assert_eq!(sum.report(&ClientLabel::Ip).gateways, [all], "seed {seed}");
    }
}

#[test]
fn facts_survive_their_json() {
    for seed in 0..50 {
        let mut random = Random(4_000_000 + seed);
        let mixture = Mixture::new(Cause::any(&mut random), &mut random);
        let report = report(&mixture.handshakes);
        let json = serde_json::to_value(&report).unwrap();
        for (fact, value) in report.facts.iter().zip(json["facts"].as_array().unwrap()) {
            assert_eq!(value["fact"], fact.name().unwrap().to_string());
        }
        assert_eq!(serde_json::from_value::<GatewayFacts>(json).unwrap(), report);
    }
    let later =
        r#"{"fact": "of_a_later_version", "certainty": "sure", "refused": 1, "served": 0, "sentence": ""}"#;
    let later: Fact = serde_json::from_str(later).unwrap();
    assert_eq!((later.name(), later.certainty), (None, Certainty::Hint));
}
