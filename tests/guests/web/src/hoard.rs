//! Makes the host keep as much as it takes, in objects that are the host's and not in the guest's memory.

use wasip2::http::types::{Fields, Method, OutgoingRequest, OutgoingResponse};

/// What is tried at once, in bytes.
const PIECE: usize = 64 * 1024;

/// Keeps requests with the longest texts that the host takes. Returns the bytes that it took.
pub(crate) fn requests(number: u64) -> u64 {
    let long = "x".repeat(PIECE - 1);
    let mut taken = 0;
    for _ in 0..number {
        let request = OutgoingRequest::new(Fields::new());
        let answers = [
            request.set_method(&Method::Other(long.clone())),
            request.set_authority(Some(&long)),
            request.set_path_with_query(Some(&format!("/{long}"))),
        ];
        taken += answers.iter().filter(|answer| answer.is_ok()).count() * PIECE;
        std::mem::forget(request);
    }
    taken as u64
}

/// Keeps bodies that are full and that nobody reads, with their writing ends let go. Returns the bytes that they took.
pub(crate) fn bodies(number: u64) -> u64 {
    let piece = vec![b'x'; PIECE];
    let mut taken = 0;
    for _ in 0..number {
        let response = OutgoingResponse::new(Fields::new());
        if let Ok(body) = response.body()
            && let Ok(stream) = body.write()
        {
            while let Ok(room @ 1..) = stream.check_write() {
                let now = PIECE.min(usize::try_from(room).unwrap_or(PIECE));
                if stream.write(piece.get(..now).unwrap_or_default()).is_err() {
                    break;
                }
                taken += now;
            }
        }
        std::mem::forget(response);
    }
    taken as u64
}
