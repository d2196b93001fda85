//! One HTTP GET, for the admin pages and for other servers' signs of life.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ureq::Agent;

/// An admin page answers within this, however busy the gateway is.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes.
const ANSWER_MAX: u64 = 16 * 1024 * 1024;

#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: String,
}

/// Asks for a page; an error when nothing answers there.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(PATIENCE));
    let asked = config.build().new_agent().get(format!("http://{address}{path}")).call();
    let mut answer = asked.map_err(ureq::Error::into_io)?;
    let body = answer.body_mut().with_config().limit(ANSWER_MAX).lossy_utf8(true);
    let body = body.read_to_string().map_err(ureq::Error::into_io)?;
    Ok(Answer { code: answer.status().as_u16(), body })
}
