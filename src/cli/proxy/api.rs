//! The proxy's rules over HTTP: one request for each connection, all bodies JSON.
//!
//! | request | answer |
//! |---|---|
//! | `GET /rules` | the rules in force, as they were written |
//! | `PUT /rules` | replaces all rules; answered when every connection obeys them |
//! | `GET /counters` | what crossed `forth` and `back` |
//! | `POST /reset` | resets all connections: `{"connections": 3}` |
//! | `POST /half_open` | the server loses all connections, clients hear nothing |
//!
//! What is refused is answered with `{"error": "…"}`. Requests with an `Origin` are: no page in a
//! browser shall break what somebody tests.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::rules::{Rules, refused};
use crate::link::{Counters, LinkId, Links};

/// The longest request.
const LONGEST: usize = 64 << 10;
/// The longest time that a request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait when no connection can be accepted.
const ACCEPT_RETRY: Duration = Duration::from_millis(10);

/// Serves one client at a time: requests are short and rare.
pub(super) struct Api {
    listener: TcpListener,
    rules: Rules,
}

struct Request {
    method: String,
    path: String,
    has_origin: bool,
    body: String,
}

type Answer = (&'static str, Value);

impl Api {
    /// `rules` are in force.
    pub(super) const fn new(listener: TcpListener, rules: Rules) -> Self {
        Self { listener, rules }
    }

    /// Serves for ever.
    pub(super) async fn serve(mut self, links: &Links, forth: LinkId) {
        loop {
            match self.listener.accept().await {
                // A client that went away needs no answer.
                Ok((mut client, _)) => drop(self.attend(&mut client, links, forth).await),
                Err(_) => sleep(ACCEPT_RETRY).await,
            }
        }
    }

    async fn attend(
        &mut self,
        client: &mut TcpStream,
        links: &Links,
        forth: LinkId,
    ) -> io::Result<()> {
        let request = timeout(PATIENCE, receive(client)).await;
        let (status, body) = match request {
            Ok(Ok(request)) => self.answer(&request, links, forth).await,
            Ok(Err(error)) => refusal("400 Bad Request", &error.to_string()),
            Err(_) => refusal("408 Request Timeout", "the request did not arrive in time"),
        };
        let body = format!("{body}\n");
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len()
        );
        let sent = async {
            client.write_all((head + &body).as_bytes()).await?;
            client.shutdown().await
        };
        timeout(PATIENCE, sent).await?
    }

    async fn answer(&mut self, request: &Request, links: &Links, forth: LinkId) -> Answer {
        if request.has_origin {
            return refusal("403 Forbidden", "web pages are not served");
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/rules") => ("200 OK", self.rules.text.clone()),
            ("PUT", "/rules") => {
                let rules = match Rules::parse(&request.body) {
                    Ok(rules) => rules,
                    Err(why) => return refusal("400 Bad Request", &why),
                };
                match links.set_rules(rules.table(forth)).await {
                    Ok(_) => {
                        self.rules = rules;
                        ("200 OK", self.rules.text.clone())
                    }
                    Err(why) => refusal("400 Bad Request", &refused(&why, forth)),
                }
            }
            ("GET", "/counters") => match links.counters().await {
                Ok(all) => {
                    let of = |link| all.get(&link).copied().unwrap_or_else(Counters::default);
                    (
                        "200 OK",
                        json!({"forth": of(forth), "back": of(forth.reversed())}),
                    )
                }
                Err(why) => refusal("503 Service Unavailable", &why.to_string()),
            },
            ("POST", "/reset") => struck(links.reset(&[forth]).await),
            ("POST", "/half_open") => struck(links.half_open(&[forth]).await),
            (_, "/rules" | "/counters" | "/reset" | "/half_open") => {
                refusal("405 Method Not Allowed", "see `chaos proxy --help`")
            }
            _ => refusal("404 Not Found", "see `chaos proxy --help`"),
        }
    }
}

fn struck(struck: Result<usize, crate::link::RuleError>) -> Answer {
    match struck {
        Ok(count) => ("200 OK", json!({"connections": count})),
        Err(why) => refusal("503 Service Unavailable", &why.to_string()),
    }
}

fn refusal(status: &'static str, why: &str) -> Answer {
    (status, json!({"error": why}))
}

async fn receive(client: &mut TcpStream) -> io::Result<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(request) = parse(&bytes)? {
            return Ok(request);
        }
        if bytes.len() > LONGEST {
            return Err(io::Error::other("the request is too long"));
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::other("the request is not complete"));
        }
    }
}

/// The request, if it is complete.
fn parse(bytes: &[u8]) -> io::Result<Option<Request>> {
    let wrong = |why: &'static str| io::Error::other(why);
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong("the head is no text"))?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(path)) = (first.next(), first.next()) else {
        return Err(wrong("the first line is no request"));
    };
    let (mut length, mut has_origin) = (0, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                length = value
                    .trim()
                    .parse::<usize>()
                    .map_err(|_| wrong("the length is no number"))?;
            }
            "transfer-encoding" => return Err(wrong("send the body with a Content-Length")),
            "origin" => has_origin = true,
            _ => {}
        }
    }
    if length > LONGEST {
        return Err(wrong("the request is too long"));
    }
    let Some(body) = bytes.get(end + 4..end + 4 + length) else {
        return Ok(None);
    };
    Ok(Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        has_origin,
        body: String::from_utf8(body.to_vec()).map_err(|_| wrong("the body is no text"))?,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PUT: &str = "PUT /rules HTTP/1.1\r\nHost: x\r\nContent-length: 6\r\n\r\n{\"a\":1";

    #[test]
    fn a_request_is_complete_with_the_last_byte_of_its_body() {
        for end in 0..PUT.len() {
            assert!(parse(&PUT.as_bytes()[..end]).unwrap().is_none(), "{end}");
        }
        let request = parse(PUT.as_bytes()).unwrap().unwrap();
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("PUT", "/rules")
        );
        assert_eq!(request.body, "{\"a\":1");
        assert!(!request.has_origin);
    }

    #[test]
    fn strange_requests_are_refused() {
        for head in [
            "x",
            "GET",
            "PUT /rules HTTP/1.1\r\nContent-Length: 99999999",
        ] {
            assert!(
                parse(format!("{head}\r\n\r\n").as_bytes()).is_err(),
                "{head}"
            );
        }
        let page = b"POST /reset HTTP/1.1\r\nORIGIN: http://evil\r\n\r\n";
        assert!(parse(page).unwrap().unwrap().has_origin);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let mut text = bytes;
            text.extend_from_slice(b"\r\n\r\n");
            let _ = parse(&text);
        }
    }
}
