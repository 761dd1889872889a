//! Asking a running node.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use anyhow::{Context, anyhow};
use serde_json::Value;

use super::{ANSWER_BYTES_MAX, Answer, Request, Target, socket_path};
use crate::exit::{Exit, Failure, OrExit, Outcome};

/// Loading a plugin takes longest: reading, checking and compiling up to 16 MiB.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Asks, and returns what the node answered.
pub(crate) fn ask(target: &Target, request: &Request) -> Outcome<Value> {
    let path = socket_path(&target.data).map_err(|problem| Failure::new(Exit::Usage, problem))?;
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) => {
            let why = match error.kind() {
                ErrorKind::NotFound => "no node has run with this data directory".to_owned(),
                ErrorKind::ConnectionRefused => "the node that used it has ended".to_owned(),
                ErrorKind::PermissionDenied => "it belongs to another user".to_owned(),
                _ => error.to_string(),
            };
            let text = format!("no node answers at {}: {why}; give the data directory with --data", path.display());
            return Err(Failure::new(Exit::Unreachable, text));
        }
    };
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).context("the node closed its control socket").or_exit(Exit::Unreachable)?;
    let mut answer = String::new();
    let read = BufReader::new(stream.take(ANSWER_BYTES_MAX as u64)).read_line(&mut answer);
    read.context("the node did not answer").or_exit(Exit::Unreachable)?;
    if answer.is_empty() {
        return Err(Failure::new(Exit::Unreachable, "the node closed its control socket without an answer"));
    }
    match serde_json::from_str(&answer).context("the node's answer is not understood; is it another version?")? {
        Answer::Ok(value) => Ok(value),
        Answer::Error(problem) => Err(anyhow!(problem).into()),
    }
}
