//! A real browser: a Chromium without a window, driven through its DevTools protocol. A test looks at a page as a
//! person does, by what stands on it, and takes pictures of it.
//!
//! The browser is told by a pipe, and ends when that closes, which it does however this program ends: what is
//! installed as Chromium is a script, and a signal to it would leave the browser behind.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::tools::{Folder, tool};
use crate::wait::START;

/// What a Chromium is called.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-headless-shell", "google-chrome"];
/// How long an answer of the browser may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether a page says what is waited for.
const LOOK: Duration = Duration::from_millis(50);
/// What goes wrong on a page is kept up to so many lines.
const ERRORS_MAX: usize = 100;
/// Chromium takes commands from descriptor 3, and answers to 4.
const BY_PIPE: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#;
/// Ends a message.
const END: u8 = 0;

/// The program; where this machine has none, it is said what is not run.
pub fn program(what: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut programs =
        std::env::split_paths(&paths).flat_map(|folder| PROGRAMS.map(|name| folder.join(name)));
    let found = programs.find(|program| program.exists());
    if found.is_none() {
        let why = "there is no Chromium: apt-get install chromium-headless-shell";
        crate::not_run(what, why);
    }
    found
}

/// A running browser; it ends with this.
pub struct Browser {
    pipe: Mutex<ChildStdin>,
    listeners: Arc<Listeners>,
    asked: AtomicU64,
    /// What it says to nobody in particular.
    own: Mutex<Receiver<Value>>,
    _child: Child,
    _folder: Folder,
}

/// Who listens to what the browser says, by the session of each page.
type Listeners = Mutex<HashMap<String, Sender<Value>>>;

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// In pixels.
    pub width: u32,
    pub height: u32,
    pub dark: bool,
}

impl Look {
    pub const WIDE: Look = Look { width: 1600, height: 1000, dark: false };
    pub const NARROW: Look = Look { width: 380, height: 800, dark: false };

    pub fn dark(self) -> Look {
        Look { dark: true, ..self }
    }
}

impl Browser {
    /// The browser that all tests of this program share: open pages of your own. None where there is none.
    pub fn shared() -> Option<&'static Browser> {
        static SHARED: OnceLock<Option<Browser>> = OnceLock::new();
        let start = || program("what the page for people shows in a browser").map(Browser::start);
        SHARED.get_or_init(start).as_ref()
    }

    fn start(program: PathBuf) -> Browser {
        let folder = Folder::new("browser");
        let log = File::create(folder.join("browser.log")).expect("the folder can be written");
        let mut command = Command::new("sh");
        command
            .args(["-c", BY_PIPE])
            .arg(program)
            .args(["--headless", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            // The tests may be run by root, and in a container with little shared memory.
            .args(["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"])
            // A page that is not in front draws too.
            .args(["--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows"])
            .args(["--no-first-run", "--disable-background-networking", "--hide-scrollbars"])
            .arg("about:blank");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("sh can be started");
        let pipe = Mutex::new(child.stdin.take().expect("it is a pipe"));
        let said = child.stdout.take().expect("it is a pipe");
        let (sender, own) = channel();
        let listeners = Arc::new(Mutex::new(HashMap::from([(String::new(), sender)])));
        let hearing = Arc::clone(&listeners);
        thread::spawn(move || hear(said, &hearing));
        let (asked, own) = (AtomicU64::new(0), Mutex::new(own));
        Browser { pipe, listeners, asked, own, _child: child, _folder: folder }
    }

    /// A page of its own, with nothing on it yet.
    #[track_caller]
    pub fn open(&'static self, look: Look) -> Page {
        let made = self.command("Target.createTarget", json!({ "url": "about:blank" }));
        let id = &made["targetId"];
        // What the page says before somebody listens would be lost.
        let own = lock(&self.own);
        let attach = json!({ "targetId": id, "flatten": true });
        let number = self.send("", "Target.attachToTarget", attach);
        let (sender, heard) = channel();
        let answer = answer(&own, number, "Target.attachToTarget", |_| {});
        let session = answer["sessionId"].as_str().expect("it has a session").to_owned();
        lock(&self.listeners).insert(session.clone(), sender);
        drop(own);
        let id = id.as_str().expect("a page has an id").to_owned();
        let mut page = Page { browser: self, id, session, heard, errors: VecDeque::new() };
        for domain in ["Page", "Runtime", "Log"] {
            page.command(&format!("{domain}.enable"), json!({}));
        }
        page.look(look);
        page
    }

    /// A command to the browser itself.
    #[track_caller]
    fn command(&self, method: &str, parameters: Value) -> Value {
        let own = lock(&self.own);
        let number = self.send("", method, parameters);
        answer(&own, number, method, |_| {})
    }

    /// Sends a command, and returns its number.
    fn send(&self, session: &str, method: &str, parameters: Value) -> u64 {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let mut message = json!({ "id": number, "method": method, "params": parameters });
        if !session.is_empty() {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(END);
        lock(&self.pipe).write_all(&bytes).expect("the browser runs");
        number
    }
}

/// Hands on what the browser says, until it ends.
fn hear(said: ChildStdout, listeners: &Listeners) {
    let (mut said, mut message) = (BufReader::new(said), Vec::new());
    while said.read_until(END, &mut message).is_ok_and(|count| count > 0) {
        message.pop_if(|last| *last == END);
        if let Ok(value) = serde_json::from_slice::<Value>(&message) {
            let session = value["sessionId"].as_str().unwrap_or_default();
            if let Some(listener) = lock(listeners).get(session) {
                // Whoever does not listen any more needs no answer.
                let _ = listener.send(value);
            }
        }
        message.clear();
    }
    lock(listeners).clear();
}

/// Waits for the answer to a command; what else is said goes to `note`.
#[track_caller]
fn answer(
    heard: &Receiver<Value>,
    number: u64,
    method: &str,
    mut note: impl FnMut(&Value),
) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let said = heard.recv_timeout(left);
        let mut said = said.unwrap_or_else(|why| panic!("{method}: the browser: {why}"));
        if said["id"] == number {
            assert!(said["error"].is_null(), "{method}: {}", said["error"]);
            return said["result"].take();
        }
        note(&said);
    }
}

/// A test that failed under a lock has told why; the others may go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A page in the browser; it is closed with this.
pub struct Page {
    browser: &'static Browser,
    id: String,
    session: String,
    heard: Receiver<Value>,
    errors: VecDeque<String>,
}

impl Page {
    /// Goes there, and returns when the document is there.
    #[track_caller]
    pub fn go(&mut self, url: &str) {
        let went = self.command("Page.navigate", json!({ "url": url }));
        assert!(went["errorText"].is_null(), "{url}: {went}");
        self.until("the document is there", "document.readyState === 'complete'");
    }

    #[track_caller]
    pub fn reload(&mut self) {
        // So that the document before it is not taken for the one after it.
        self.ask("window.isBefore = true");
        self.command("Page.reload", json!({}));
        self.until(
            "the document is there",
            "!window.isBefore && document.readyState === 'complete'",
        );
    }

    /// From now on it is looked at like this.
    #[track_caller]
    pub fn look(&mut self, look: Look) {
        let Look { width, height, dark } = look;
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.command("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// What an expression comes to, promises awaited.
    #[track_caller]
    pub fn ask(&mut self, expression: &str) -> Value {
        let options =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.command("Runtime.evaluate", options);
        let thrown = &answer["exceptionDetails"];
        assert!(thrown.is_null(), "{expression}: {thrown}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true; panics at the deadline with what stands on the page.
    #[track_caller]
    pub fn until(&mut self, what: &str, expression: &str) {
        let end = Instant::now() + START;
        while self.ask(expression) != true {
            if Instant::now() > end {
                panic!(
                    "{what}: not within {:?}: {expression}\n{}\n{:?}",
                    START,
                    self.text(),
                    self.errors()
                );
            }
            thread::sleep(LOOK);
        }
    }

    /// Everything that is read on the page.
    #[track_caller]
    pub fn text(&mut self) -> String {
        self.ask("document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until this stands on the page.
    #[track_caller]
    pub fn until_it_says(&mut self, text: &str) {
        let text = serde_json::to_string(text).expect("a text is JSON");
        self.until("it is said", &format!("document.body.innerText.includes({text})"));
    }

    /// The cells of the tables whose caption begins like this, row by row.
    #[track_caller]
    pub fn table(&mut self, caption: &str) -> Vec<Vec<String>> {
        let rows = self.ask(&format!(
            "[...document.querySelectorAll('table')]
                .filter((table) => table.caption.textContent.startsWith({}))
                .flatMap((table) => [...table.tBodies[0].rows])
                .map((row) => [...row.cells].map((cell) => cell.textContent.replace(/\\s/g, ' ')))",
            json!(caption)
        ));
        serde_json::from_value(rows).expect("rows of texts")
    }

    /// Presses a key, such as `Tab`, `Enter` or `ArrowLeft`.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "ArrowLeft" => (37, ""),
            other => panic!("{other} is not known here"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.command("Input.dispatchKeyEvent", event);
        }
    }

    /// Writes where the focus is.
    #[track_caller]
    pub fn write(&mut self, text: &str) {
        self.command("Input.insertText", json!({ "text": text }));
    }

    /// A picture of what is seen, in PNG.
    #[track_caller]
    pub fn picture(&mut self) -> Vec<u8> {
        let taken = self.command(
            "Page.captureScreenshot",
            json!({ "format": "png", "optimizeForSpeed": false }),
        );
        let data = taken["data"].as_str().expect("a picture is there");
        STANDARD.decode(data).expect("it is in base64")
    }

    /// What went wrong on it since this was asked last: errors in its console, and what it threw.
    #[track_caller]
    pub fn errors(&mut self) -> Vec<String> {
        // What was said before is here before the answer.
        self.ask("0");
        self.errors.drain(..).collect()
    }

    /// What axe-core finds on the page: a line for each rule that is broken, with where.
    #[track_caller]
    pub fn barriers(&mut self) -> Vec<String> {
        if self.ask("typeof axe") == json!("undefined") {
            let axe = tool("node/node_modules/axe-core/axe.min.js");
            let axe = std::fs::read_to_string(axe).expect("it can be read");
            self.ask(&format!("{axe}; 0"));
        }
        let found = self.ask(
            "axe.run(document).then(({ violations }) => violations.map(({ id, help, nodes }) =>
                `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => html + ' ' + failureSummary).join('; ')}`))",
        );
        let found = found.as_array().expect("a list").iter();
        found.map(|one| one.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Sends a command, and waits for what comes of it.
    #[track_caller]
    fn command(&mut self, method: &str, parameters: Value) -> Value {
        let number = self.browser.send(&self.session, method, parameters);
        let errors = &mut self.errors;
        answer(&self.heard, number, method, |event| {
            if let Some(error) = error_of(event) {
                if errors.len() == ERRORS_MAX {
                    errors.pop_front();
                }
                errors.push_back(error);
            }
        })
    }
}

/// What an event tells that went wrong.
fn error_of(event: &Value) -> Option<String> {
    let parameters = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(parameters["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" if parameters["type"] == "error" => {
            Some(parameters["args"].to_string())
        }
        "Log.entryAdded" if parameters["entry"]["level"] == "error" => {
            let entry = &parameters["entry"];
            Some(format!("{} {}", entry["text"], entry["url"]))
        }
        _ => None,
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        lock(&self.browser.listeners).remove(&self.session);
        if !thread::panicking() {
            self.browser.command("Target.closeTarget", json!({ "targetId": self.id }));
        }
    }
}
