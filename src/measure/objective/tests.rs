//! What is an assertion, and what is refused with which words.

use super::*;

fn comparison(text: &str) -> Comparison {
    match Assertion::parse(text).unwrap().subject {
        Subject::Comparison(comparison) => comparison,
        Subject::Predicate { .. } | Subject::Within(_) => panic!("{text} has no limit"),
    }
}

fn refusal(text: &str) -> String {
    let error = Assertion::parse(text).unwrap_err();
    assert!(text.is_char_boundary(error.start) && text.is_char_boundary(error.end));
    format!(
        "{} [{}] {}",
        error.message,
        &text[error.start..error.end],
        error.help
    )
}

#[test]
fn every_assertion_of_the_plan_language_parses() {
    for (text, aggregate, op, limit) in [
        (
            "detect.quorum p99 <= 2s",
            Aggregate::P99,
            Comparator::AtMost,
            2e9,
        ),
        (
            "detect.first p99 <= 1500 ms",
            Aggregate::P99,
            Comparator::AtMost,
            1.5e9,
        ),
        ("outage.write max<5s", Aggregate::Max, Comparator::Less, 5e9),
        ("lost_writes == 0", Aggregate::Total, Comparator::Equal, 0.0),
        (
            "leader_changes<=1",
            Aggregate::Total,
            Comparator::AtMost,
            1.0,
        ),
        (
            "availability.unexcused.write >= 99%",
            Aggregate::Min,
            Comparator::AtLeast,
            0.99,
        ),
        (
            "harness_lag p99 > 50ms",
            Aggregate::P99,
            Comparator::More,
            5e7,
        ),
        (
            "recover.first count >= 10",
            Aggregate::Count,
            Comparator::AtLeast,
            10.0,
        ),
        (
            "latency.write.fault p999 <= 1.5s",
            Aggregate::P999,
            Comparator::AtMost,
            1.5e9,
        ),
        (
            "goodput.dip mean <= 12.5",
            Aggregate::Mean,
            Comparator::AtMost,
            12.5,
        ),
    ] {
        let read = comparison(text);
        assert_eq!((read.aggregate, read.op), (aggregate, op), "{text}");
        assert!((read.limit - limit).abs() < 1e-9 * limit.max(1.0), "{text}");
    }
}

#[test]
fn an_upper_bound_without_an_aggregate_binds_the_worst_sample_and_a_lower_one_the_least() {
    assert_eq!(comparison("recover.first <= 1s").aggregate, Aggregate::Max);
    assert_eq!(comparison("recover.first >= 1ms").aggregate, Aggregate::Min);
    assert_eq!(comparison("latency.read >= 1ms").aggregate, Aggregate::Max);
}

#[test]
fn predicates_stand_alone_and_know_their_class() {
    let class = |text| Assertion::parse(text).unwrap().class();
    assert_eq!(class("linearizable"), Class::Safety);
    assert_eq!(class(" converged "), Class::Safety);
    assert_eq!(class("recovered"), Class::Objective);
    assert_eq!(class("lost_writes == 0"), Class::Safety);
    assert_eq!(class("elect p50 <= 1s"), Class::Objective);
}

#[test]
fn every_refusal_points_at_its_part_and_says_what_to_write() {
    let all = [
        "",
        "linearisable",
        "linearizable == 1",
        "sequential",
        "detect.fist p99 <= 2s",
        "quorum p99 <= 2s",
        "zzz <= 2",
        "detect.first",
        "detect.first p99",
        "detect.first p99 <=",
        "detect.first p95 <= 2s",
        "detect.first p99 <= 500",
        "detect.first p99 <= 5 parsecs",
        "detect.first p99 <= soon",
        "detect.first p99 =< 2s",
        "detect.first p99 ≤ 2s",
        "availability.write >= 0.999",
        "availability.write >= 99",
        "lost_writes == 0s",
        "lost_writes == 0.5",
        "stale_versions p99 <= 1",
        "stale_time <= 3",
        "latency.write mean <= 2ms",
        "linearizable within 10% of baseline",
        "outage.write p50 within 10 of baseline",
        "lost_writes within 10% of baseline",
        "outage.write min within 10% of baseline",
        "outage.write within ten",
    ]
    .map(refusal)
    .join("\n");
    insta::assert_snapshot!(all);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z.<>=!≤ 0-9%µ]{0,40}") {
        if let Err(error) = Assertion::parse(&text) {
            proptest::prop_assert!(error.start <= error.end && error.end <= text.len());
        }
    }
}

#[test]
fn a_line_about_a_baseline_names_its_aggregate_or_means_the_median() {
    for (text, aggregate, tolerance) in [
        (
            "outage.write p90 within 10% of baseline",
            Aggregate::P90,
            0.1,
        ),
        (
            "recover.first within 2.5% of baseline",
            Aggregate::P50,
            0.025,
        ),
        (
            "latency.write.steady p99 within 50% of baseline",
            Aggregate::P99,
            0.5,
        ),
    ] {
        let parsed = Assertion::parse(text).unwrap();
        assert_eq!(parsed.class(), Class::Objective);
        let Subject::Within(within) = parsed.subject else {
            panic!("{text} is about a baseline");
        };
        assert_eq!(within.aggregate, aggregate, "{text}");
        assert!((within.tolerance - tolerance).abs() < 1e-12, "{text}");
    }
}
