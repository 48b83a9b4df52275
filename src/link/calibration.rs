//! What a delay and a loss really do on this machine, tried on links that carry nothing else,
//! before the load begins.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::rule::{DropLayer, Rule, Spread};
use super::self_test::{Ends, median, round_trip};
use crate::clock::Nanos;

/// A delay and a loss as they were asked for and as they came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The delay asked for, each way.
    pub delay_asked: Nanos,
    /// What it added to a round trip, halved: median of [`DELAYED`] round trips.
    pub delay: Nanos,
    /// The loss asked for, 0 to 1.
    pub loss_asked: f64,
    /// What share did not arrive.
    pub loss: f64,
    /// Of how many frames or packets.
    pub sent: u32,
}

/// The delay that is tried. Longer ones are no less exact, only slower to try.
pub const DELAY: Rule = Rule::Delay {
    by: DELAY_BY,
    jitter: Nanos::ZERO,
    spread: Spread::Uniform,
};
const DELAY_BY: Nanos = Nanos::from_millis(5);
/// The share that is lost when a loss is tried.
pub const LOSS: f64 = 0.2;
/// Round trips with the delay.
pub const DELAYED: usize = 20;
/// Frames with the loss: the share comes within one per cent.
const FRAMES: u32 = 4_000;

/// The loss that is tried, of frames or of packets.
#[must_use]
pub const fn loss(layer: DropLayer) -> Rule {
    Rule::Drop { loss: LOSS, layer }
}

impl Calibration {
    /// From the median of the round trips without and with [`DELAY`] each way, and of what was
    /// sent over a link with [`LOSS`], and arrived.
    #[must_use]
    pub fn new(undelayed: Nanos, delayed: Nanos, sent: u32, arrived: u32) -> Self {
        let lost = sent.saturating_sub(arrived);
        Self {
            delay_asked: DELAY_BY,
            delay: Nanos(delayed.since(undelayed).0 / 2),
            loss_asked: LOSS,
            loss: f64::from(lost) / f64::from(sent.max(1)),
            sent,
        }
    }
}

/// The median of round trips over a connection with the delay.
///
/// # Errors
/// If it breaks.
pub async fn delayed(ends: &mut Ends) -> io::Result<Nanos> {
    let mut times = Vec::with_capacity(DELAYED);
    for _ in 0..DELAYED {
        times.push(round_trip(&mut ends.0, &mut ends.1).await?);
    }
    Ok(median(&mut times))
}

/// Sends frames over a connection with the loss. Returns how many, and how many arrived.
pub(super) async fn frames((dialer, target): Ends) -> io::Result<(u32, u32)> {
    let (sent, arrived) = tokio::join!(send_frames(dialer), count_frames(target));
    sent?;
    Ok((FRAMES, arrived?))
}

async fn send_frames(mut to: TcpStream) -> io::Result<()> {
    let frame = FRAME.repeat(FRAMES as usize);
    to.write_all(&frame).await?;
    to.shutdown().await
}

async fn count_frames(mut from: TcpStream) -> io::Result<u32> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).await?;
    let (frames, rest) = bytes.as_chunks::<{ FRAME.len() }>();
    if !rest.is_empty() || frames.iter().any(|frame| frame != FRAME) {
        return Err(io::Error::other("frames arrived damaged"));
    }
    Ok(u32::try_from(frames.len()).unwrap_or(u32::MAX))
}

/// Eight bytes, after their length.
const FRAME: &[u8; 12] = b"\0\0\0\x08calibrat";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_a_round_trip_grew_by_is_the_delay() {
        let found = Calibration::new(Nanos(100), Nanos(10_000_500), 4_000, 3_210);
        assert_eq!(found.delay, Nanos(5_000_200));
        assert!((found.loss - 0.1975).abs() < 1e-9);
        let nothing = Calibration::new(Nanos(2), Nanos(1), 0, 0);
        assert_eq!((nothing.delay, nothing.loss), (Nanos::ZERO, 0.0));
    }
}
