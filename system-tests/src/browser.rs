//! Chromium without a screen, driven by the `DevTools` protocol over pipes.
//!
//! No web socket is needed that way: with `--remote-debugging-pipe` Chromium reads commands from descriptor 3 and writes
//! to 4, each message a JSON text with a NUL behind it.

use std::cell::{Cell, RefCell};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::netns::Namespace;
use crate::process::wait_until;

/// How long Chromium may take for one command.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Where Debian's packages have Chromium.
const PROGRAM: &str = "chromium";

/// What a test may answer in a server's place: the path, and the body, or nothing for the server's own answer.
type Answers = dyn Fn(&str) -> Option<Value>;

/// A browser with one page.
pub struct Browser {
    child: Child,
    commands: RefCell<ChildStdin>,
    messages: Receiver<Value>,
    next: Cell<u64>,
    session: RefCell<Option<String>>,
    answers: Box<Answers>,
    seen: RefCell<BrowserEvents>,
}

/// What happened in the page.
#[derive(Debug, Default)]
pub struct BrowserEvents {
    /// What was asked for, as addresses.
    pub requests: Vec<String>,
    /// Errors and warnings of the console, exceptions, and what the page's policy refused.
    pub complaints: Vec<String>,
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser")
            .field("child", &self.child)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

impl Browser {
    /// Starts it in `namespace`, its files in `directory`. For paths of which `answers` knows a body, the server is not
    /// asked.
    ///
    /// # Errors
    /// When Chromium is missing or does not answer.
    pub fn start(
        namespace: &Namespace,
        directory: &Path,
        answers: impl Fn(&str) -> Option<Value> + 'static,
    ) -> Result<Self> {
        let mut command = namespace.command("sh");
        // Standard output goes to the pipe's place: what Chromium prints itself is not for us.
        command.args([
            "-c",
            "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>\"$HOME/chromium.err\"",
            PROGRAM,
        ]);
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]);
        // It asks its maker for updates and lists otherwise; there is no network, but it would wait for one.
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.args(["--hide-scrollbars", "--force-color-profile=srgb", "--font-render-hinting=none"]);
        // There is no resolver: names of sites that a test plays are this host.
        command.arg("--host-resolver-rules=MAP *.example 127.0.0.1");
        command.arg("--remote-debugging-pipe");
        command.arg(format!("--user-data-dir={}", directory.join("chromium").display()));
        command.env("HOME", directory).env("TZ", "UTC").env("LANG", "C.UTF-8");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting Chromium")?;
        let commands = child.stdin.take().context("Chromium has no standard input")?;
        let messages = read_messages(child.stdout.take().context("Chromium has no standard output")?);
        let browser = Self {
            child,
            commands: RefCell::new(commands),
            messages,
            next: Cell::new(1),
            session: RefCell::new(None),
            answers: Box::new(answers),
            seen: RefCell::default(),
        };
        browser.attach()?;
        Ok(browser)
    }

    fn attach(&self) -> Result<()> {
        let target = self.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call("Target.attachToTarget", &target)?;
        *self.session.borrow_mut() = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), &json!({}))?;
        }
        self.call("Fetch.enable", &json!({ "patterns": [{ "urlPattern": "*/api/v1/*" }] }))?;
        Ok(())
    }

    /// Goes to an address, and waits until the page is loaded.
    ///
    /// # Errors
    /// When nobody answers there.
    pub fn open(&self, url: &str) -> Result<()> {
        let answer = self.call("Page.navigate", &json!({ "url": url }))?;
        ensure!(answer["errorText"].is_null(), "{url}: {}", answer["errorText"]);
        self.wait_for("document.readyState === 'complete'")
    }

    /// Evaluates an expression in the page.
    ///
    /// # Errors
    /// When it throws.
    pub fn evaluate(&self, expression: &str) -> Result<Value> {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", &parameters)?;
        ensure!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        Ok(answer["result"]["value"].take())
    }

    /// Polls until an expression is true.
    ///
    /// # Errors
    /// As [`wait_until`]; the message has the page's text.
    pub fn wait_for(&self, expression: &str) -> Result<()> {
        let is_so = || Ok((self.evaluate(expression)? == true).then_some(()));
        wait_until(expression, TIMEOUT, is_so).with_context(|| {
            let text = self.evaluate("document.body.innerText").unwrap_or_default();
            format!("the page says:\n{}\nseen: {:?}", text.as_str().unwrap_or_default(), self.seen.borrow())
        })
    }

    /// Presses a key: `Enter`, `Tab`, `ArrowLeft`, ….
    ///
    /// # Errors
    /// When the browser is gone.
    pub fn press(&self, key: &str) -> Result<()> {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "ArrowLeft" => (37, ""),
            other => bail!("no code for the key {other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let parameters =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", &parameters)?;
        }
        Ok(())
    }

    /// Light or dark, as the reader's system would have it.
    ///
    /// # Errors
    /// When the browser is gone.
    pub fn set_dark(&self, dark: bool) -> Result<()> {
        let value = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }))?;
        Ok(())
    }

    /// The window's size in CSS pixels.
    ///
    /// # Errors
    /// When the browser is gone.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        let parameters = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &parameters)?;
        Ok(())
    }

    /// What the window shows, as PNG.
    ///
    /// # Errors
    /// When the browser is gone.
    pub fn screenshot(&self) -> Result<Vec<u8>> {
        let answer = self.call("Page.captureScreenshot", &json!({ "format": "png" }))?;
        let data = answer["data"].as_str().context("no picture")?;
        BASE64_STANDARD.decode(data).context("the picture is no base64")
    }

    /// What has happened in the page so far.
    ///
    /// # Errors
    /// When the browser is gone.
    pub fn seen(&self) -> Result<std::cell::Ref<'_, BrowserEvents>> {
        // Whatever came before the answer to this has been read then.
        self.evaluate("0")?;
        Ok(self.seen.borrow())
    }

    /// Calls a method of the protocol, and takes note of events until its result is there.
    fn call(&self, method: &str, parameters: &Value) -> Result<Value> {
        let id = self.send(method, parameters)?;
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut message = self
                .messages
                .recv_timeout(left)
                .with_context(|| format!("Chromium has no answer to {method}"))?;
            if message["id"] == id {
                ensure!(message["error"].is_null(), "{method}: {}", message["error"]);
                return Ok(message["result"].take());
            }
            self.note(&message)?;
        }
    }

    fn send(&self, method: &str, parameters: &Value) -> Result<u64> {
        let id = self.next.replace(self.next.get() + 1);
        let mut command = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &*self.session.borrow() {
            command["sessionId"] = json!(session);
        }
        let mut pipe = self.commands.borrow_mut();
        pipe.write_all(format!("{command}\0").as_bytes()).context("Chromium is gone")?;
        Ok(id)
    }

    fn note(&self, message: &Value) -> Result<()> {
        let parameters = &message["params"];
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut seen = self.seen.borrow_mut();
        match message["method"].as_str() {
            Some("Network.requestWillBeSent") => seen.requests.push(text(&parameters["request"]["url"])),
            Some("Log.entryAdded") => {
                let entry = &parameters["entry"];
                seen.complaints.push(format!("{}: {}", text(&entry["level"]), text(&entry["text"])));
            }
            Some("Runtime.consoleAPICalled") => seen.complaints.push(parameters["args"].to_string()),
            Some("Runtime.exceptionThrown") => {
                seen.complaints.push(parameters["exceptionDetails"].to_string());
            }
            Some("Fetch.requestPaused") => {
                let url = text(&parameters["request"]["url"]);
                let path = url.find("/api/").map_or("", |start| &url[start..]);
                let id = &parameters["requestId"];
                match (self.answers)(path) {
                    Some(answer) => {
                        let body = BASE64_STANDARD.encode(answer.to_string());
                        let headers = json!([{ "name": "Content-Type", "value": "application/json" }]);
                        let parameters = json!({ "requestId": id, "responseCode": 200, "responseHeaders": headers, "body": body });
                        self.send("Fetch.fulfillRequest", &parameters)?;
                    }
                    None => {
                        self.send("Fetch.continueRequest", &json!({ "requestId": id }))?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends its own children, which a signal to it alone would leave behind.
        *self.session.borrow_mut() = None;
        let closes = self.send("Browser.close", &json!({})).is_ok();
        let ended = closes
            && wait_until("Chromium's end", Duration::from_secs(5), || Ok(self.child.try_wait()?)).is_ok();
        if !ended {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

fn read_messages(pipe: ChildStdout) -> Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for message in BufReader::new(pipe).split(0).map_while(Result::ok) {
            let Ok(message) = serde_json::from_slice(&message) else { continue };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}
