//! Answers without what must differ from server to server.

use std::collections::BTreeMap;

use chaos_node::jute::{JuteError, Reader};

use crate::connection::Told;
use crate::requests::{Request, Shape};

/// Which request each transaction was made for.
type Made = BTreeMap<u64, usize>;

/// The body of an answer as a text to compare.
pub(crate) fn normal(request: &Request, told: &Told, made: &Made) -> String {
    if told.error != 0 {
        return String::new();
    }
    let mut input = Reader::new(&told.body);
    let text = read(request.shape, &mut input, made);
    assert!(
        text.is_ok() && input.is_empty(),
        "{request:?} is answered {told:?}: {text:?}"
    );
    text.unwrap_or_default()
}

/// The names in a list of children.
pub(crate) fn names(body: &[u8]) -> Vec<String> {
    texts(&mut Reader::new(body)).unwrap_or_default()
}

fn read(shape: Shape, input: &mut Reader<'_>, made: &Made) -> Result<String, JuteError> {
    Ok(match shape {
        Shape::PathAndStat => format!("{} {}", input.text()?, stat(input, made)?),
        Shape::Stat | Shape::NewStat => stat(input, made)?,
        Shape::DataAndStat => format!("{} {}", data(input)?, stat(input, made)?),
        Shape::Names => format!("{:?}", texts(input)?),
        Shape::NamesAndStat => format!("{:?} {}", texts(input)?, stat(input, made)?),
        Shape::AccessAndStat => format!("{:?} {}", access(input)?, stat(input, made)?),
        Shape::Users => format!("{:?}", users(input)?),
        Shape::Multi | Shape::MultiRead => parts(input, made)?,
        Shape::Ping
        | Shape::Authenticate
        | Shape::SetWatches
        | Shape::Plain
        | Shape::Written
        | Shape::Close
        | Shape::Move => rest(input)?,
    })
}

fn parts(input: &mut Reader<'_>, made: &Made) -> Result<String, JuteError> {
    let mut text = String::new();
    loop {
        let kind = input.i32()?;
        let is_done = input.bool()?;
        let error = input.i32()?;
        text += &format!("[{kind} {is_done} {error}");
        text += &match kind {
            _ if is_done => return Ok(text),
            -1 => format!(" {}", input.i32()?),
            1 => format!(" {}", input.text()?),
            15 => format!(" {} {}", input.text()?, stat(input, made)?),
            4 => format!(" {} {}", data(input)?, stat(input, made)?),
            5 => stat(input, made)?,
            8 => format!(" {:?}", texts(input)?),
            _ => String::new(),
        };
    }
}

/// Sorted, because ZooKeeper names children in any order.
fn texts(input: &mut Reader<'_>) -> Result<Vec<String>, JuteError> {
    let mut texts = Vec::new();
    for _ in 0..input.count()?.unwrap_or(0) {
        texts.push(input.text()?.to_owned());
    }
    texts.sort();
    Ok(texts)
}

/// Sorted, because ZooKeeper expands `auth` in any order.
fn access(input: &mut Reader<'_>) -> Result<Vec<(i32, String, String)>, JuteError> {
    let mut list = Vec::new();
    for _ in 0..input.count()?.unwrap_or(0) {
        let permissions = input.i32()?;
        let scheme = input.text()?.to_owned();
        list.push((permissions, scheme, input.text()?.to_owned()));
    }
    list.sort();
    Ok(list)
}

fn users(input: &mut Reader<'_>) -> Result<Vec<(String, String)>, JuteError> {
    let mut list = Vec::new();
    for _ in 0..input.count()?.unwrap_or(0) {
        let scheme = input.text()?.to_owned();
        list.push((scheme, input.text()?.to_owned()));
    }
    list.sort();
    Ok(list)
}

fn data(input: &mut Reader<'_>) -> Result<String, JuteError> {
    Ok(match input.count()? {
        Some(length) => format!("{:?}", input.take(length)?),
        None => "none".to_owned(),
    })
}

fn stat(input: &mut Reader<'_>, made: &Made) -> Result<String, JuteError> {
    let by = |zxid: u64| {
        made.get(&zxid)
            .map_or_else(|| "?".to_owned(), usize::to_string)
    };
    let (created, modified) = (by(input.u64()?), by(input.u64()?));
    let _times = (input.i64()?, input.i64()?);
    let versions = (input.i32()?, input.i32()?, input.i32()?);
    let is_ephemeral = input.i64()? != 0;
    let (length, children) = (input.i32()?, input.i32()?);
    let parented = by(input.u64()?);
    Ok(format!(
        "{{by {created} {modified} {parented}, {versions:?}, {is_ephemeral}, {length}, {children}}}"
    ))
}

fn rest(input: &mut Reader<'_>) -> Result<String, JuteError> {
    let mut bytes = Vec::new();
    while !input.is_empty() {
        bytes.push(input.u8()?);
    }
    Ok(format!("{bytes:?}"))
}
