//! Locks, in near-linear time.
//!
//! A *section* begins with an acquire and ends with the next release of the same process. The lock
//! is certainly held from when the acquire returned to when the release began. Sections can only
//! follow each other in the order in which their acquires returned, and do so unless one is
//! certainly still held when the acquire of a later one has returned.
//!
//! An acquire of unknown outcome whose process does nothing afterwards need not have happened; a
//! release of unknown outcome may have happened at any later time.

use std::collections::BTreeMap;

use super::problem::Item;
use super::{Quick, Story};
use crate::check::linearizable::NEVER;
use crate::history::{Action, Verb};
use crate::id::ProcessId;
use crate::model::Mutex;

/// From an acquire to the release, if there was one.
#[derive(Debug, Clone, Copy)]
struct Section {
    acquire: usize,
    release: Option<usize>,
}

/// Decides whether an order exists.
pub(in crate::check) fn quick(story: &Story<'_, Mutex>) -> Quick {
    let items = &story.problem.items;
    let mut processes: BTreeMap<ProcessId, Vec<usize>> = BTreeMap::new();
    for (number, item) in items.iter().enumerate() {
        processes.entry(item.call.process).or_default().push(number);
    }
    let mut sections = Vec::new();
    let mut wrong = None;
    for (process, numbers) in &processes {
        if !(numbers.windows(2)).all(|pair| items[pair[0]].is_before(&items[pair[1]])) {
            return Quick::Unsure(format!("process {process} did two things at once"));
        }
        if let Err(clash) = cut(story, numbers, &mut sections) {
            wrong.get_or_insert(clash);
        }
    }
    wrong.unwrap_or_else(|| follow(story, sections))
}

/// Cuts what one process did into sections.
fn cut(
    story: &Story<'_, Mutex>,
    numbers: &[usize],
    sections: &mut Vec<Section>,
) -> Result<(), Quick> {
    let mut held: Option<usize> = None;
    for number in numbers {
        let item = story.item(*number);
        let is_acquire = matches!(item.call.action, Action::Do(Verb::Acquire, _));
        match held.take() {
            None if is_acquire && item.is_optional() => {}
            None if is_acquire => held = Some(*number),
            None => {
                if item.is_optional() {
                    continue;
                }
                let who = story.narrate(*number);
                let sentence = format!("{who}, but the process did not hold the lock");
                return Err(Quick::clash(&[*number], sentence));
            }
            // It cannot have taken effect while the same process holds the lock.
            Some(acquire) if is_acquire && item.is_optional() => held = Some(acquire),
            Some(acquire) if is_acquire => {
                let sentence = format!(
                    "{} and {} both returned, and the process gave nothing back in between",
                    story.narrate(acquire),
                    story.narrate(*number),
                );
                return Err(Quick::clash(&[acquire, *number], sentence));
            }
            Some(acquire) => sections.push(Section {
                acquire,
                release: Some(*number),
            }),
        }
    }
    sections.extend(held.map(|acquire| Section {
        acquire,
        release: None,
    }));
    Ok(())
}

/// Whether the sections can follow each other.
fn follow(story: &Story<'_, Mutex>, mut sections: Vec<Section>) -> Quick {
    let items = &story.problem.items;
    let until = |section: &Section| released(items, section);
    sections.sort_by_key(|section| (items[section.acquire].returned, until(section)));
    let mut longest: Option<Section> = None;
    for section in sections {
        if let Some(before) = longest
            && until(&before) > items[section.acquire].returned
        {
            let mut all = vec![before.acquire, section.acquire];
            all.extend(before.release);
            all.extend(section.release);
            return Quick::clash(&all, tell(story, before, section));
        }
        let later = longest.filter(|before| until(before) >= until(&section));
        longest = Some(later.unwrap_or(section));
    }
    Quick::Order
}

/// From when on it may have been given back.
fn released(items: &[Item], section: &Section) -> u64 {
    section
        .release
        .map_or(NEVER, |release| items[release].invoked)
}

fn tell(story: &Story<'_, Mutex>, before: Section, after: Section) -> String {
    let holder = story.item(before.acquire).call.process;
    let end = before.release.map_or_else(
        || "and was never given back".to_owned(),
        |release| format!("until its release began at {}", story.began(release)),
    );
    format!(
        "process {holder} held the lock from {} {end}, yet {} returned at {}",
        story.ended(before.acquire),
        story.narrate(after.acquire),
        story.ended(after.acquire),
    )
}
