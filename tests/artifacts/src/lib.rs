//! The test guests as components, built from source, and as many versions of each as a test needs.
//!
//! A constant for each guest holds its bytes; `tests/guests` says what each one does. The embedded policies are here too, so that what
//! runs policies can be tested without the host, and so is the example of an own one, `ADAPTIVE`.

mod named;
mod section;

pub use named::{Manner, build_named, name_in};
pub use section::with_section;

include!(concat!(env!("OUT_DIR"), "/artifacts.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_is_a_component() {
        // After the magic bytes, a core module has version 1 in layer 0 and a component version 13 in layer 1.
        const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
        assert_eq!(EVERY_GUEST.len(), 18);
        for (name, bytes) in EVERY_GUEST {
            assert!(bytes.starts_with(COMPONENT), "{name}");
        }
    }

    #[test]
    fn guests_are_small() {
        const LIMIT: usize = 512 * 1024;
        for (name, bytes) in EVERY_GUEST {
            assert!(bytes.len() < LIMIT, "{name} has {} bytes", bytes.len());
        }
    }
}
