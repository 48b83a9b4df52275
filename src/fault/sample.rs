//! Quantities of a plan that may be random: drawn from a stream each time their step runs.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::units::{Share, Span, trimmed, whole_nanos};
use crate::clock::Nanos;
use crate::seed::Stream;

/// A duration, fixed or drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationSpec {
    /// `5s`: always the same.
    Fixed(Nanos),
    /// `2s..20s`: uniform over the closed range.
    Uniform(Nanos, Nanos),
    /// `{exp: 12s}`: exponential with this mean.
    Exponential(Nanos),
    /// `{normal: {mean: 10s, sd: 2s}}`: normal, cut off at zero.
    Normal {
        /// The mean before the cut.
        mean: Nanos,
        /// The standard deviation before the cut.
        sd: Nanos,
    },
    /// `{one_of: [1s, 10s]}`: each equally likely. Never empty.
    OneOf(Vec<Nanos>),
}

/// A share from 0 to 1, fixed or drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ShareSpec {
    /// `30%`: always the same.
    Fixed(f64),
    /// `5%..60%`: uniform.
    Uniform(f64, f64),
}

impl DurationSpec {
    /// One value; takes from the stream only if there is something to choose.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a nanosecond more or less of a mean"
    )]
    pub fn draw(&self, stream: &mut Stream) -> Nanos {
        match self {
            Self::Fixed(value) => *value,
            Self::Uniform(low, high) => *low + Nanos(stream.below((*high - *low).0 + 1)),
            // 1 - unit lies in (0, 1], so that the logarithm is finite.
            Self::Exponential(mean) => whole_nanos(-(1.0 - stream.unit()).ln() * mean.0 as f64),
            // Box–Muller: one of the pair is enough, draws are rare.
            Self::Normal { mean, sd } => {
                let radius = (-2.0 * (1.0 - stream.unit()).ln()).sqrt();
                let angle = std::f64::consts::TAU * stream.unit();
                whole_nanos(
                    (radius * angle.cos())
                        .mul_add(sd.0 as f64, mean.0 as f64)
                        .max(0.0),
                )
            }
            Self::OneOf(values) => values[stream.index(values.len())],
        }
    }

    /// Its mean: what to expect of a long run.
    #[must_use]
    pub fn mean(&self) -> Nanos {
        match self {
            Self::Fixed(value) | Self::Exponential(value) | Self::Normal { mean: value, .. } => {
                *value
            }
            Self::Uniform(low, high) => *low + Nanos((*high - *low).0 / 2),
            Self::OneOf(values) => {
                Nanos(values.iter().map(|v| v.0).sum::<u64>() / values.len().max(1) as u64)
            }
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once("..") {
            None => Span::parse(text)
                .map(|span| Self::Fixed(span.0))
                .map_err(|error| error.to_string()),
            Some((low, high)) => {
                let (low, high) = range(low, high, Span::parse)?;
                Ok(Self::Uniform(low.0, high.0))
            }
        }
    }
}

impl ShareSpec {
    /// One value from 0 to 1, drawn in steps of a tenth of a percent, which people can read; takes
    /// from the stream only if there is something to choose.
    pub fn draw(&self, stream: &mut Stream) -> f64 {
        match self {
            Self::Fixed(share) => *share,
            Self::Uniform(low, high) => {
                let drawn = (high - low).mul_add(stream.unit(), *low);
                ((drawn * 1000.0).round() / 1000.0).clamp(*low, *high)
            }
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once("..") {
            None => Share::parse(text)
                .map(|share| Self::Fixed(share.0))
                .map_err(|error| error.to_string()),
            Some((low, high)) => {
                let (low, high) = range(low, high, Share::parse)?;
                Ok(Self::Uniform(low.0, high.0))
            }
        }
    }
}

/// Both ends of a range, in order.
fn range<T: PartialOrd, E: fmt::Display>(
    low: &str,
    high: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<(T, T), String> {
    let ends = [parse(low), parse(high)];
    let [Ok(from), Ok(to)] = ends else {
        let error = ends.into_iter().find_map(Result::err);
        return Err(error.map_or_else(String::new, |error| error.to_string()));
    };
    if from > to {
        return Err(format!(
            "the range `{low}..{high}` is empty{mark}write the smaller end first: `{high}..{low}`",
            mark = super::units::HELP_MARK,
        ));
    }
    Ok((from, to))
}

impl From<Nanos> for DurationSpec {
    fn from(fixed: Nanos) -> Self {
        Self::Fixed(fixed)
    }
}

/// As written in a plan.
impl fmt::Display for DurationSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(value) => Span(*value).fmt(f),
            Self::Uniform(low, high) => write!(f, "{}..{}", Span(*low), Span(*high)),
            Self::Exponential(mean) => write!(f, "{{exp: {}}}", Span(*mean)),
            Self::Normal { mean, sd } => {
                write!(
                    f,
                    "{{normal: {{mean: {}, sd: {}}}}}",
                    Span(*mean),
                    Span(*sd)
                )
            }
            Self::OneOf(values) => {
                let values: Vec<String> = values.iter().map(|v| Span(*v).to_string()).collect();
                write!(f, "{{one_of: [{}]}}", values.join(", "))
            }
        }
    }
}

/// As written in a plan.
impl fmt::Display for ShareSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(share) => Share(*share).fmt(f),
            Self::Uniform(low, high) => {
                write!(f, "{}%..{}%", trimmed(low * 100.0), trimmed(high * 100.0))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NormalKeys {
    mean: Span,
    sd: Span,
}

struct DurationVisitor;

impl<'de> Visitor<'de> for DurationVisitor {
    type Value = DurationSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration: 5s, 2s..20s, {exp: 12s}, {normal: {mean, sd}} or {one_of: [..]}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<DurationSpec, E> {
        DurationSpec::parse(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<DurationSpec, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<DurationSpec, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<DurationSpec, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DurationSpec, A::Error> {
        const SHAPES: &[&str] = &["exp", "normal", "one_of"];
        let Some(shape) = map.next_key::<String>()? else {
            return Err(de::Error::invalid_length(0, &self));
        };
        let spec = match shape.as_str() {
            "exp" => DurationSpec::Exponential(map.next_value::<Span>()?.0),
            "normal" => {
                let keys: NormalKeys = map.next_value()?;
                DurationSpec::Normal {
                    mean: keys.mean.0,
                    sd: keys.sd.0,
                }
            }
            "one_of" => {
                let values: Vec<Span> = map.next_value()?;
                if values.is_empty() {
                    return Err(de::Error::custom("`one_of` has nothing to choose from"));
                }
                DurationSpec::OneOf(values.into_iter().map(|span| span.0).collect())
            }
            _ => return Err(de::Error::unknown_field(&shape, SHAPES)),
        };
        match map.next_key::<String>()? {
            None => Ok(spec),
            Some(second) => Err(de::Error::custom(format_args!(
                "a duration has one shape, found `{shape}` and `{second}`"
            ))),
        }
    }
}

struct ShareVisitor;

impl Visitor<'_> for ShareVisitor {
    type Value = ShareSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a percentage: 30% or 5%..60%")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ShareSpec, E> {
        ShareSpec::parse(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<ShareSpec, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<ShareSpec, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<ShareSpec, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for DurationSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(DurationVisitor)
    }
}

impl<'de> Deserialize<'de> for ShareSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ShareVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::seed::Seed;

    fn draws(spec: &DurationSpec) -> Vec<f64> {
        let mut stream = Seed(3).stream("draws");
        (0..10_000)
            .map(|_| spec.draw(&mut stream).as_secs_f64())
            .collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / 10_000.0
    }

    #[test]
    fn draws_have_the_mean_that_the_plan_says() {
        let secs = Nanos::from_secs;
        for spec in [
            DurationSpec::Fixed(secs(5)),
            DurationSpec::Uniform(secs(2), secs(20)),
            DurationSpec::Exponential(secs(12)),
            DurationSpec::Normal {
                mean: secs(10),
                sd: secs(2),
            },
            DurationSpec::OneOf(vec![secs(1), secs(10)]),
        ] {
            let (drawn, said) = (mean(&draws(&spec)), spec.mean().as_secs_f64());
            assert!(
                (drawn / said - 1.0).abs() < 0.05,
                "{spec}: {drawn} for {said}"
            );
        }
    }

    #[test]
    fn a_normal_duration_is_never_negative_and_spreads_as_said() {
        let spec = DurationSpec::Normal {
            mean: Nanos::from_secs(10),
            sd: Nanos::from_secs(2),
        };
        let values = draws(&spec);
        let mean = mean(&values);
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 10_000.0;
        assert!((variance.sqrt() - 2.0).abs() < 0.1);
        let wide = DurationSpec::Normal {
            mean: Nanos::from_secs(1),
            sd: Nanos::from_secs(9),
        };
        assert!(draws(&wide).contains(&0.0));
    }

    #[test]
    fn fixed_values_take_nothing_from_the_stream() {
        let (mut used, mut fresh) = (Seed(1).stream("x"), Seed(1).stream("x"));
        DurationSpec::Fixed(Nanos::from_secs(1)).draw(&mut used);
        ShareSpec::Fixed(0.3).draw(&mut used);
        assert_eq!(used.bits(), fresh.bits());
    }

    proptest! {
        #[test]
        fn a_range_is_never_left(low in 0..1_000_000_u64, more in 0..1_000_000_u64, seed: u64) {
            let mut stream = Seed(seed).stream("range");
            let spec = DurationSpec::Uniform(Nanos(low), Nanos(low + more));
            let drawn = spec.draw(&mut stream).0;
            prop_assert!((low..=low + more).contains(&drawn));
            let share = ShareSpec::Uniform(0.05, 0.6).draw(&mut stream);
            prop_assert!((0.05..=0.6).contains(&share));
        }
    }
}
