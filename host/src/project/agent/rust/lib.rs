//! The agent `{{name}}`: answers messages. What comes in and what may go out is written in wit/agent.wit.

wit_bindgen::generate!({ path: "wit", world: "agent" });

use exports::caxton::agent::handler::{Failure, Guest, Message};

struct Agent;

impl Guest for Agent {
    fn handle(request: Message) -> Result<Message, Failure> {
        let text = String::from_utf8(request.body)
            .map_err(|_| Failure::Invalid("the body must be text".to_owned()))?;
        // What is printed is shown by `caxton dev`.
        println!("a message of {} bytes", text.len());
        Ok(Message {
            content_type: Some("text/plain".to_owned()),
            body: greeting(&text).into_bytes(),
            metadata: Vec::new(),
        })
    }
}

fn greeting(text: &str) -> String {
    let who = match text.trim() {
        "" => "world",
        who => who,
    };
    format!("hello {who}, this is {{name}}\n")
}

// Elsewhere there is nobody to export it to, and `cargo test` works.
#[cfg(target_family = "wasm")]
export!(Agent);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets() {
        assert_eq!(greeting("Ada\n"), "hello Ada, this is {{name}}\n");
        assert_eq!(greeting(""), "hello world, this is {{name}}\n");
    }
}
