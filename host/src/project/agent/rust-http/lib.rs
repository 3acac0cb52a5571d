//! The agent `{{name}}`: answers HTTP requests (`wasi:http/incoming-handler` 0.2), in the words of the crate `wasip2`.

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Agent;

impl wasip2::exports::http::incoming_handler::Guest for Agent {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        // What is printed is shown by `caxton dev`.
        println!("a request for {path}");
        answer(out, &greeting(&path));
    }
}

fn greeting(path: &str) -> String {
    format!("hello, this is {{name}} at {path}\n")
}

/// Sends a text with status 200. Who asked may be gone already, which is no failure of ours.
fn answer(out: ResponseOutparam, text: &str) {
    let headers = Fields::new();
    let _ = headers.set("content-type", &[b"text/plain; charset=utf-8".to_vec()]);
    let response = OutgoingResponse::new(headers);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        // 4096 bytes are what a stream takes at once.
        for piece in text.as_bytes().chunks(4096) {
            if stream.blocking_write_and_flush(piece).is_err() {
                break;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

// Elsewhere there is nobody to export it to, and `cargo test` works.
#[cfg(target_family = "wasm")]
wasip2::http::proxy::export!(Agent);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets() {
        assert_eq!(greeting("/a"), "hello, this is {{name}} at /a\n");
    }
}
