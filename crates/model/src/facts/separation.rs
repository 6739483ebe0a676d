//! What separates the refused handshakes of a gateway from the served ones.
//!
//! The answer is the smallest set of properties such that nearly every refused handshake has one of them and nearly no
//! served one has any. A property is a fact if every set that explains the handshakes about as well has it, and if enough
//! handshakes speak for it. Otherwise it is a hint.
//!
//! What needs no explanation here: handshakes without SNI, where the gateway served none of their class.

use super::predicate::{Predicate, Row};
use super::report::FactName;

/// Refused handshakes with a property, and served ones without it, from which on it is a fact.
pub const MIN_HANDSHAKES: u64 = 3;

/// One in so many handshakes may contradict an explanation. Gateways restart, and a name may move.
const EXCEPTIONS: u64 = 10;

/// Refused handshakes without an explanation are chance if there are so many served ones for each.
const CHANCE: u64 = 30;

/// How many more handshakes must contradict another explanation than the best one, to rule it out.
const MARGIN: u64 = 3;

/// How many handshakes more a further property must explain.
const COST: u64 = 2;

/// Properties in one explanation.
const MAX_PROPERTIES: usize = 3;

/// Properties that are combined, those that explain most. Stops a gateway with many profiles from costing time.
const MAX_CANDIDATES: usize = 16;

/// Unknown names from which on another property that explains all their refusals is the better explanation: as many names
/// explain anything.
const MANY_NAMES: usize = 4;

/// Explanations that may be hinted at: where there are more, they say nothing.
const MAX_HINTS: usize = 3;

/// A property that separates, or may.
#[derive(Clone, Debug)]
pub(super) struct Separation {
    pub(super) predicate: Predicate,
    /// Refused handshakes with it that nothing else explains.
    pub(super) refused: u64,
    /// Served handshakes without it.
    pub(super) served: u64,
    /// Refused handshakes without it, those without an explanation only.
    pub(super) refused_otherwise: u64,
    /// Served handshakes with it.
    pub(super) served_too: u64,
    pub(super) is_fact: bool,
    /// What explains the handshakes about as well.
    pub(super) alternatives: Vec<FactName>,
}

/// Properties by which a gateway may refuse, and how many handshakes they explain.
#[derive(Clone, Debug)]
struct Explanation {
    /// Numbers of candidates.
    members: Vec<usize>,
    /// Refused handshakes without an explanation.
    unexplained: u64,
    /// Served handshakes with one of the properties.
    served_with: u64,
    /// Properties that gateways hardly go by.
    unlikely: u64,
}

impl Explanation {
    fn exceptions(&self) -> u64 {
        self.unexplained + self.served_with
    }

    /// Whether nearly all refused handshakes are explained; or most of them, where the others are few beside the served ones.
    fn is_good(&self, refused: u64, served: u64) -> bool {
        let is_chance = self.unexplained * CHANCE <= served && self.unexplained * 2 <= refused;
        self.unexplained * EXCEPTIONS <= refused || is_chance
    }

    fn cost(&self) -> u64 {
        self.exceptions() + COST * self.members.len() as u64 + MARGIN * self.unlikely
    }

    fn is_part_of(&self, other: &Self) -> bool {
        self.members.iter().all(|member| other.members.contains(member))
    }
}

/// A property with what it explains, row by row.
struct Candidate {
    predicate: Predicate,
    explains: Vec<u64>,
    served_with: Vec<u64>,
}

/// Finds what separates. `unknown_names` is how many names were refused and never served.
pub(super) fn separate(rows: &[Row], unknown_names: usize) -> Vec<Separation> {
    let refused: u64 = rows.iter().filter(|row| row.is_to_be_explained()).map(Row::refused).sum();
    let served: u64 = rows.iter().map(Row::served).sum();
    if refused == 0 || served == 0 {
        return Vec::new();
    }
    let candidates = candidates(rows);
    let mut explanations = explanations(&candidates, rows, refused, served);
    if unknown_names >= MANY_NAMES {
        drop_coincidences(&mut explanations, &candidates);
    }
    let Some(best) = explanations.iter().min_by_key(|it| (it.cost(), it.members.len())).cloned() else {
        return Vec::new();
    };
    // The best one, and others that explain the handshakes about as well.
    explanations.retain(|it| {
        it.members == best.members
            || (it.members.len() <= best.members.len()
                && it.cost() < best.cost() + MARGIN
                && !it.is_part_of(&best))
    });
    let mut found: Vec<Separation> = Vec::new();
    for (place, explanation) in explanations_in_order(&explanations, &best).into_iter().enumerate() {
        for &member in &explanation.members {
            let predicate = candidates[member].predicate;
            let fact = predicate.fact();
            if found.iter().any(|known| known.predicate.fact() == fact) {
                continue;
            }
            let is_sole = explanations.iter().all(|other| has(other, fact, &candidates));
            let mut separation = separation(member, explanation, &candidates, rows, served);
            separation.is_fact = place == 0
                && is_sole
                && separation.refused >= MIN_HANDSHAKES
                && separation.served >= MIN_HANDSHAKES;
            if separation.refused > 0 && separation.served > 0 {
                found.push(separation);
            }
        }
    }
    let hints: Vec<FactName> = found.iter().filter(|it| !it.is_fact).map(|it| it.predicate.fact()).collect();
    if hints.len() > MAX_HINTS {
        found.retain(|it| it.is_fact);
    }
    for separation in found.iter_mut().filter(|it| !it.is_fact) {
        let own = separation.predicate.fact();
        separation.alternatives = hints.iter().copied().filter(|&fact| fact != own).collect();
    }
    found
}

/// The best explanation first.
fn explanations_in_order<'a>(explanations: &'a [Explanation], best: &Explanation) -> Vec<&'a Explanation> {
    let mut ordered: Vec<&Explanation> = explanations.iter().collect();
    ordered.sort_by_key(|it| (it.members != best.members, it.cost()));
    ordered
}

fn has(explanation: &Explanation, fact: FactName, candidates: &[Candidate]) -> bool {
    explanation.members.iter().any(|&member| candidates[member].predicate.fact() == fact)
}

/// The properties that no or nearly no served handshake has; of one fact, those that explain different handshakes.
fn candidates(rows: &[Row]) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for predicate in Predicate::all(rows) {
        let explains: Vec<u64> = rows.iter().map(|row| predicate.explains(row)).collect();
        let served_with: Vec<u64> = rows.iter().map(|row| predicate.served_with(row)).collect();
        let (explained, with): (u64, u64) = (explains.iter().sum(), served_with.iter().sum());
        let is_new = candidates.iter().all(|known| {
            known.predicate.fact() != predicate.fact()
                || known.explains != explains
                || known.served_with != served_with
        });
        if explained > 0 && with * EXCEPTIONS <= explained && is_new {
            candidates.push(Candidate { predicate, explains, served_with });
        }
    }
    let score = |it: &Candidate| it.explains.iter().sum::<u64>().saturating_sub(it.served_with.iter().sum());
    candidates.sort_by_key(|it| std::cmp::Reverse(score(it)));
    candidates.truncate(MAX_CANDIDATES);
    candidates
}

/// The sets of candidates, of different facts, that explain nearly all refused handshakes.
fn explanations(candidates: &[Candidate], rows: &[Row], refused: u64, served: u64) -> Vec<Explanation> {
    let mut sets: Vec<Vec<usize>> = vec![Vec::new()];
    let mut explanations = Vec::new();
    for _ in 0..MAX_PROPERTIES {
        let mut larger = Vec::new();
        for set in &sets {
            let next = set.last().map_or(0, |last| last + 1);
            for candidate in next..candidates.len() {
                let fact = candidates[candidate].predicate.fact();
                if set.iter().any(|&member| candidates[member].predicate.fact() == fact) {
                    continue;
                }
                let members = [&set[..], &[candidate]].concat();
                let explanation = explanation(members.clone(), candidates, rows, refused);
                if explanation.is_good(refused, served) {
                    explanations.push(explanation);
                }
                larger.push(members);
            }
        }
        sets = larger;
    }
    explanations
}

fn explanation(members: Vec<usize>, candidates: &[Candidate], rows: &[Row], refused: u64) -> Explanation {
    let most = |row: usize, of: fn(&Candidate) -> &Vec<u64>| {
        members.iter().map(|&member| of(&candidates[member])[row]).max().unwrap_or_default()
    };
    // Of refusals with a stated reason, two properties may explain different ones: the larger number is a lower bound.
    let explained: u64 = (0..rows.len()).map(|row| most(row, |it| &it.explains)).sum();
    let served_with = (0..rows.len()).map(|row| most(row, |it| &it.served_with)).sum();
    let unlikely =
        members.iter().filter(|&&member| candidates[member].predicate.is_unlikely()).count() as u64;
    Explanation { members, unexplained: refused - explained, served_with, unlikely }
}

/// Drops explanations by unknown names where other properties explain the handshakes about as well.
fn drop_coincidences(explanations: &mut Vec<Explanation>, candidates: &[Candidate]) {
    let by_name = |it: &Explanation| has(it, FactName::OneName, candidates);
    let others: Vec<(usize, u64)> =
        explanations.iter().filter(|it| !by_name(it)).map(|it| (it.members.len(), it.cost())).collect();
    explanations.retain(|it| {
        let is_as_good =
            |&(members, cost): &(usize, u64)| members <= it.members.len() && cost < it.cost() + MARGIN;
        !by_name(it) || !others.iter().any(is_as_good)
    });
}

fn separation(
    member: usize,
    explanation: &Explanation,
    candidates: &[Candidate],
    rows: &[Row],
    served: u64,
) -> Separation {
    let candidate = &candidates[member];
    let others: Vec<&Candidate> =
        explanation.members.iter().filter(|&&other| other != member).map(|&it| &candidates[it]).collect();
    let own = (0..rows.len()).filter(|&row| others.iter().all(|other| other.explains[row] == 0));
    let refused = own.map(|row| candidate.explains[row]).sum();
    let served_too: u64 = candidate.served_with.iter().sum();
    Separation {
        predicate: candidate.predicate,
        refused,
        served: served - served_too,
        refused_otherwise: explanation.unexplained,
        served_too,
        is_fact: false,
        alternatives: Vec::new(),
    }
}
