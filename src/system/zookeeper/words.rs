//! Four-letter words: a node's own account of its state, read over a connection of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::dial::Dialer;
use crate::system::ConnectError;

/// An answer longer than this is cut: no word of use here is nearly so long.
const ANSWER_MAX: u64 = 64 * 1024;

/// Sends a four-letter word and reads the whole answer.
///
/// # Errors
/// If there is no answer within `timeout`.
pub async fn word(
    dialer: &Dialer,
    addr: SocketAddr,
    word: &str,
    timeout: Duration,
) -> Result<String, ConnectError> {
    let ask = async {
        let mut stream = dialer.connect(addr).await?;
        stream.write_all(word.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(ANSWER_MAX).read_to_string(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(timeout, ask)
        .await
        .unwrap_or(Err(ConnectError::Timeout(timeout)))
}

/// The fields of `mntr`, by name.
///
/// # Errors
/// If there is no answer within `timeout`.
pub async fn monitor(
    dialer: &Dialer,
    addr: SocketAddr,
    timeout: Duration,
) -> Result<BTreeMap<String, String>, ConnectError> {
    Ok(parse_monitor(&word(dialer, addr, "mntr", timeout).await?))
}

fn parse_monitor(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mntr_is_name_tab_value() {
        let fields = parse_monitor("zk_version\t3.9\nzk_server_state\tleader\nnoise\n");
        assert_eq!(fields.len(), 2);
        assert_eq!(fields["zk_server_state"], "leader");
    }
}
