//! A PROXY header, read as a connection reads it: never more than belongs to it, and always to an end.

use gateway::net::proxy::{Header, Next, header};

/// The longest header that is taken, in bytes.
const HEADER_MAX: usize = 2 * 1024;

/// Reads what `data` begins with. Returns whether that is a good header.
pub fn read(data: &[u8]) -> bool {
    let mut received = 0;
    loop {
        let wanted = match header(&data[..received]) {
            Header::Whole(_) => {
                check_whole(&data[..received]);
                return true;
            }
            Header::Fault(fault) => {
                assert!(!fault.label().is_empty());
                return false;
            }
            Header::Partial(Next::Bytes(count)) => count,
            Header::Partial(Next::Line(count)) => {
                let rest = &data[received..data.len().min(received + count)];
                let line = rest.iter().position(|byte| *byte == b'\n');
                line.map_or(count, |end| end + 1)
            }
        };
        assert!(wanted > 0 && received + wanted <= HEADER_MAX, "{received} and {wanted} more");
        if received == data.len() {
            return false;
        }
        received = data.len().min(received + wanted);
    }
}

/// It says of itself that it ends here.
fn check_whole(bytes: &[u8]) {
    match bytes[0] {
        b'P' => {
            assert!(bytes.ends_with(b"\r\n"));
            assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        }
        _ => {
            let length = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
            assert_eq!(bytes.len(), 16 + length);
        }
    }
}
