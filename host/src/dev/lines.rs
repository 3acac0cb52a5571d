//! What agents print, as it comes.

use caxton_runtime::{LogLine, LogSink};

use crate::cli::{harmless, print};

/// Prints each line to the standard output, with who printed it: `hello v7 | text`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PrintedLines;

impl LogSink for PrintedLines {
    fn line(&self, line: LogLine) {
        // Whoever closes the output wants the agents to be quiet, not the host to end.
        let _ = print(&shown(&line));
    }
}

fn shown(line: &LogLine) -> String {
    let who = format!("{} v{}", line.agent, line.version);
    let lost = match line.dropped_before {
        0 => String::new(),
        1 => format!("{who} | (1 line was lost here)\n"),
        lost => format!("{who} | ({lost} lines were lost here)\n"),
    };
    format!("{lost}{who} | {}\n", harmless(&line.text))
}

#[cfg(test)]
mod tests {
    use caxton_runtime::LogStream;

    use super::*;

    #[test]
    fn a_line_says_who_printed_it_and_acts_on_no_terminal() {
        let line = |text: &str, dropped_before| LogLine {
            agent: "hello".into(),
            version: 7,
            stream: LogStream::Stderr,
            text: text.to_owned(),
            dropped_before,
            at: std::time::UNIX_EPOCH,
        };
        assert_eq!(shown(&line("ready", 0)), "hello v7 | ready\n");
        assert_eq!(
            shown(&line("\u{1b}[2Jx\ny", 3)),
            "hello v7 | (3 lines were lost here)\nhello v7 | \\u{1b}[2Jx\\ny\n"
        );
    }
}
