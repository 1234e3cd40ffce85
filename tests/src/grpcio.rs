//! A client of containerd's services that stands on gRPC's C library: Python's grpcio.
//!
//! Invariant: messages are made and read here; all of the transport is grpcio's.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use prost::Message;
use tonic::Code;

use crate::build::repository;
use crate::grpc::Answer;

/// A client with a connection of its own.
#[derive(Debug)]
pub struct Grpcio {
    child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Grpcio {
    /// Starts one. Without an authority it sends what grpcio makes of the target.
    #[track_caller]
    pub fn start(target: &str, authority: Option<&str>) -> Self {
        let library = repository().join("target/peers/grpcio");
        assert!(
            library.join("VERSION").exists(),
            "grpcio is missing: run `tests/setup/peers.sh target/peers`"
        );
        let mut child = Command::new("python3")
            .arg(repository().join("tests/peers/grpcio/client.py"))
            .arg(target)
            .args(authority)
            .env("PYTHONPATH", library)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start python3");
        let requests = child.stdin.take().expect("its input");
        let answers = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self {
            child,
            requests,
            answers,
        }
    }

    /// Asks the snapshot service; all messages of the answer.
    pub fn ask<T: Message + Default>(
        &mut self,
        method: &str,
        request: &impl Message,
    ) -> Answer<Vec<T>> {
        let request: String = request
            .encode_to_vec()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let method = format!("/containerd.services.snapshots.v1.Snapshots/{method}");
        writeln!(self.requests, "{method} {request}").expect("ask");
        let mut messages = Vec::new();
        loop {
            let line = self.answers.next().expect("an answer").expect("read it");
            let (kind, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match kind {
                "message" => {
                    let message = T::decode(&*bytes(rest)).expect("a message of this kind");
                    messages.push(message);
                }
                "error" => {
                    let (code, text) = rest.split_once(' ').expect("code and text");
                    let code = Code::from_i32(code.parse().expect("a code"));
                    return Err((code, text.to_owned()));
                }
                _ => return Ok(messages),
            }
        }
    }
}

fn bytes(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

impl Drop for Grpcio {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}
