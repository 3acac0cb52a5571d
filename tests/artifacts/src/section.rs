//! Custom sections: bytes that change a component's digest and nothing else.

/// The id of a custom section, in components as in modules.
const CUSTOM: u8 = 0;

/// `component` with a custom section `name` of `data` at its end. It does what it did before, under another digest.
///
/// A reader of WebAssembly skips custom sections that it does not know, so the result is valid whenever `component` is.
pub fn with_section(component: &[u8], name: &str, data: &[u8]) -> Vec<u8> {
    let mut contents = length(name.len());
    contents.extend_from_slice(name.as_bytes());
    contents.extend_from_slice(data);

    let mut result = component.to_vec();
    result.push(CUSTOM);
    result.extend_from_slice(&length(contents.len()));
    result.extend_from_slice(&contents);
    result
}

/// `value` in unsigned LEB128: seven bits a byte, the lowest first, the eighth bit set where more follow.
fn length(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = value.to_le_bytes().first().copied().unwrap_or_default() & 0x7f;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_appended_with_its_lengths() {
        let component = b"\0asm\x0d\0\x01\0";
        let result = with_section(component, "v", b"42");
        assert_eq!(result, b"\0asm\x0d\0\x01\0\x00\x04\x01v42");
    }

    #[test]
    fn lengths_of_two_bytes_are_in_leb128() {
        assert_eq!(length(0), [0]);
        assert_eq!(length(127), [0x7f]);
        assert_eq!(length(128), [0x80, 0x01]);
        assert_eq!(length(300), [0xac, 0x02]);
    }
}
