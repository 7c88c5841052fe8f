//! A program that keeps a service for the tests: it is told a word a line, answers with one, and ends, with its service,
//! when its input does. So the service never outlives the tests, however these end.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout};

pub(crate) struct Keeper {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Keeper {
    /// `child` has its input and its output piped.
    pub fn new(mut child: Child) -> Keeper {
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Keeper { child, stdin, lines }
    }

    pub fn ask(&mut self, word: &str) -> String {
        let stdin = self.stdin.as_mut().expect("piped");
        stdin.write_all(format!("{word}\n").as_bytes()).expect("it listens");
        self.hear()
    }

    pub fn hear(&mut self) -> String {
        self.lines.next().and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.stdin = None;
        let _ = self.child.wait();
    }
}
