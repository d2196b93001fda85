//! A real S3 server: versitygw over a folder, where a bucket is a folder and an object a file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock};

use serde_json::{Value, json};

use crate::process::{Process, Signal};
use crate::tools::{Folder, tool};
use crate::{http, ports, wait};

const ACCESS_KEY: &str = "landfall-tests";
const SECRET_KEY: &str = "a-secret-of-the-tests";
/// Where in a bucket the gateways of the tests write, as a URL says it: keys begin with
/// `Geräte/a~b/100%/my devices/`, and whoever reads has to see that.
const PREFIX: &str = "Geräte/a~b/100%25/my%20devices";
/// Folders within folders of a bucket.
const DEPTH_MAX: usize = 32;

/// A server; it ends with this.
pub struct S3 {
    folder: Folder,
    port: u16,
    process: Mutex<Process>,
}

impl S3 {
    /// The server that all tests of this program share: use buckets of your own, and leave it running.
    pub fn shared() -> &'static S3 {
        static SHARED: OnceLock<S3> = OnceLock::new();
        SHARED.get_or_init(S3::start)
    }

    /// A server of one's own.
    pub fn start() -> S3 {
        let folder = Folder::new("s3");
        for name in ["buckets", "metadata"] {
            std::fs::create_dir(folder.join(name)).expect("the test's folder can be written");
        }
        let port = ports::free();
        let process = Mutex::new(Self::launch(&folder, port));
        S3 { folder, port, process }
    }

    fn launch(folder: &Path, port: u16) -> Process {
        let mut command = Command::new(tool("bin/versitygw"));
        command
            .env("ROOT_ACCESS_KEY", ACCESS_KEY)
            .env("ROOT_SECRET_KEY", SECRET_KEY)
            .arg("--port")
            .arg(ports::local(port).to_string())
            // Not every file system has the extended attributes that it would use otherwise.
            .args(["posix", "--sidecar"])
            .arg(folder.join("metadata"))
            .arg(folder.join("buckets"));
        let mut process = Process::start("s3", command, folder);
        process.until("the S3 server's start", wait::START, || {
            http::get(ports::local(port), "/").ok()
        });
        process
    }

    pub fn address(&self) -> SocketAddr {
        ports::local(self.port)
    }

    /// The server's process.
    pub fn id(&self) -> u32 {
        self.process().id()
    }

    /// SIGKILL; the port is closed when this returns.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// Starts it again after [`S3::kill`], on the same port and data; it answers when this returns.
    pub fn start_again(&self) {
        let mut process = self.process();
        assert!(process.ended().is_some(), "the S3 server still runs");
        *process = Self::launch(&self.folder, self.port);
    }

    /// SIGSTOP or SIGCONT: a server that hangs, and goes on.
    pub fn signal(&self, signal: Signal) {
        self.process().signal(signal);
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn create_bucket(&self, name: &str) {
        std::fs::create_dir(self.bucket(name)).expect("the bucket is new");
    }

    /// The gateway's `object_store` section for a bucket; `address` is the server's, or that of
    /// something in front of it.
    pub fn section(bucket: &str, address: SocketAddr) -> Value {
        json!({
            "url": format!("s3://{bucket}/{PREFIX}"),
            "options": {
                "endpoint": format!("http://{address}"),
                "allow_http": "true",
                "region": "us-east-1",
                "access_key_id": ACCESS_KEY,
                "secret_access_key": SECRET_KEY,
            },
        })
    }

    /// Removes all objects of a bucket, of which no request is about any more.
    pub fn empty_bucket(&self, name: &str) {
        std::fs::remove_dir_all(self.bucket(name)).expect("the bucket is there");
        self.create_bucket(name);
    }

    /// The keys of a bucket's objects, sorted.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let root = self.bucket(bucket);
        let mut keys = Vec::new();
        collect(&root, &root, 0, &mut keys);
        keys.sort();
        keys
    }

    /// The folder in which each bucket is one.
    pub fn buckets(&self) -> PathBuf {
        self.folder.join("buckets")
    }

    /// The file behind an object, for a test that changes or removes it.
    pub fn file(&self, bucket: &str, key: &str) -> PathBuf {
        self.bucket(bucket).join(key)
    }

    /// The file behind a URI such as `s3://bucket/key`.
    #[track_caller]
    pub fn path(&self, uri: &str) -> PathBuf {
        let place = uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
        let (bucket, key) = place.unwrap_or_else(|| panic!("{uri} is no S3 URI"));
        self.file(bucket, &unescaped(key))
    }

    /// The object behind a URI such as `s3://bucket/key`.
    #[track_caller]
    pub fn object(&self, uri: &str) -> Vec<u8> {
        let read = std::fs::read(self.path(uri));
        read.unwrap_or_else(|error| panic!("{uri} is not there: {error}"))
    }

    fn bucket(&self, name: &str) -> PathBuf {
        self.buckets().join(name)
    }
}

/// A URI's path, with what its escapes stand for.
fn unescaped(path: &str) -> String {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or_else(|| panic!("{path} has a broken escape")));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap_or_else(|_| panic!("{path} is no text"))
}

fn collect(root: &Path, folder: &Path, depth: usize, keys: &mut Vec<String>) {
    assert!(depth < DEPTH_MAX, "{} is too deep", folder.display());
    for entry in std::fs::read_dir(folder).expect("the bucket can be read").flatten() {
        let path = entry.path();
        // The server keeps unfinished uploads in folders of its own.
        if entry.file_name().to_string_lossy().starts_with(".sgwtmp") {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, depth + 1, keys);
        } else {
            let key = path.strip_prefix(root).expect("it lies in the bucket");
            keys.push(key.to_string_lossy().into_owned());
        }
    }
}
