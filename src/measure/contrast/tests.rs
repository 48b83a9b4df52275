//! Laws of comparisons, and cases whose answer is known.

use super::*;
use crate::seed::{Seed, Stream};

const QUESTION: Question = Question {
    tolerance: 0.1,
    resolution: 0.0,
    alpha: 0.01,
};

/// A skewed distribution as failovers have: most near 10, some much longer.
fn draw(stream: &mut Stream, n: usize, factor: f64) -> Vec<f64> {
    let uniform = |stream: &mut Stream| (stream.below(1 << 30) as f64 + 0.5) / f64::from(1 << 30);
    (0..n)
        .map(|_| factor * 10.0 * (-uniform(stream).ln()).mul_add(0.15, 0.9))
        .collect()
}

fn change(a: &[f64], b: &[f64]) -> Change {
    contrast(Side::of(a), Side::of(b), QUESTION).unwrap().change
}

#[test]
fn a_clear_change_is_told_in_its_direction() {
    let mut stream = Seed(1).stream("contrast");
    let (a, b) = (draw(&mut stream, 30, 1.0), draw(&mut stream, 30, 1.5));
    assert_eq!(change(&a, &b), Change::Worse);
    assert_eq!(change(&b, &a), Change::Better);
    let found = contrast(Side::of(&a), Side::of(&b), QUESTION).unwrap();
    assert!(found.interval[0] < 1.5 && 1.5 < found.interval[1]);
    assert!((found.ratio - 1.5).abs() < 0.2 && found.p < 1e-4 && found.delta > 0.5);
}

#[test]
fn a_sure_change_within_the_tolerance_or_below_the_resolution_is_none() {
    let a: Vec<f64> = (0..50).map(|i| 100.0 + f64::from(i) / 100.0).collect();
    let b: Vec<f64> = a.iter().map(|x| x * 1.05).collect();
    assert_eq!(change(&a, &b), Change::Same);
    let b: Vec<f64> = a.iter().map(|x| x * 1.5).collect();
    assert_eq!(change(&a, &b), Change::Worse);
    let coarse = Question {
        resolution: 60.0,
        ..QUESTION
    };
    let found = contrast(Side::of(&a), Side::of(&b), coarse).unwrap();
    assert_eq!(found.change, Change::Same);
}

#[test]
fn few_trials_decide_nothing_and_say_how_many_more_would() {
    let Change::Unclear { more } = change(&[1.0, 2.0], &[5.0, 6.0]) else {
        panic!("two samples decide nothing");
    };
    assert_eq!(more, 4);
    let mut stream = Seed(5).stream("contrast");
    let wide = |stream: &mut Stream| -> Vec<f64> {
        (0..10).map(|_| 1.0 + stream.below(1_000) as f64).collect()
    };
    let (a, b) = (wide(&mut stream), wide(&mut stream));
    let Change::Unclear { more } = change(&a, &b) else {
        panic!("ten wild samples decide nothing");
    };
    assert!((10..100_000).contains(&more), "{more}");
}

#[test]
fn censored_samples_are_longer_than_all_others() {
    let a = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7];
    // The limit of the trial was 2, and none of these recovered.
    let b = [2.0; 8];
    let side = Side {
        samples: &b,
        censored: 8,
    };
    let found = contrast(Side::of(&a), side, QUESTION).unwrap();
    assert_eq!(found.change, Change::Worse);
    assert!(found.ratio.is_infinite());
    assert_eq!(found.median[1], 2.0);
    let found = contrast(side, Side::of(&a), QUESTION).unwrap();
    assert_eq!(found.change, Change::Better);
    assert_eq!(contrast(side, side, QUESTION), None);
}

#[test]
fn zeros_and_equal_samples_are_the_same() {
    assert_eq!(change(&[0.0; 10], &[0.0; 10]), Change::Same);
    assert_eq!(change(&[5.0; 10], &[5.0; 10]), Change::Same);
    assert_eq!(change(&[0.0; 10], &[5.0; 10]), Change::Worse);
    assert_eq!(contrast(Side::of(&[]), Side::of(&[1.0]), QUESTION), None);
}

#[test]
fn chance_alone_is_rarely_taken_for_a_change_and_a_fifth_is_seen() {
    let mut stream = Seed(7).stream("contrast");
    let (mut alarms, mut seen) = (0, 0);
    for _ in 0..1_000 {
        let (a, b) = (draw(&mut stream, 20, 1.0), draw(&mut stream, 20, 1.0));
        alarms += usize::from(change(&a, &b) == Change::Worse);
        let slower = draw(&mut stream, 20, 1.2);
        seen += usize::from(change(&a, &slower) == Change::Worse);
    }
    // Half of one percent is expected, less what the tolerance forgives.
    assert!(alarms <= 10, "{alarms}");
    assert!(seen >= 960, "{seen}");
}

proptest::proptest! {
    #[test]
    fn swapping_the_sides_turns_the_answer_round(
        a in proptest::collection::vec(1_u32..1_000, 1..30),
        b in proptest::collection::vec(1_u32..1_000, 1..30),
    ) {
        let real = |values: &[u32]| -> Vec<f64> { values.iter().map(|v| f64::from(*v)).collect() };
        let (a, b) = (real(&a), real(&b));
        let there = contrast(Side::of(&a), Side::of(&b), QUESTION).unwrap();
        let back = contrast(Side::of(&b), Side::of(&a), QUESTION).unwrap();
        proptest::prop_assert!((there.p - back.p).abs() < 1e-12);
        proptest::prop_assert!((there.delta + back.delta).abs() < 1e-12);
        proptest::prop_assert!(there.interval[0] <= there.ratio && there.ratio <= there.interval[1]);
        proptest::prop_assert!((0.0..=1.0).contains(&there.p));
        let turned = match there.change {
            Change::Worse => Change::Better,
            Change::Better => Change::Worse,
            other => other,
        };
        // An even number of pairs has its median between two ratios, which is not that of their
        // inverses: only the edge of the tolerance feels that.
        if (there.ratio * back.ratio - 1.0).abs() < 1e-9 {
            proptest::prop_assert_eq!(
                std::mem::discriminant(&turned),
                std::mem::discriminant(&back.change)
            );
        }
    }
}
