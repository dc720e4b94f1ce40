//! Chromium without a window, asked and steered through its `DevTools` protocol over a pipe: what a page
//! looks like, what it is to a screen reader, and what it does when a user types and clicks.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::common::{KilledOnDrop, eventually, has_program};

/// A browser takes long to start on a machine that does other things.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// A browser with one page. It is killed, by its process id, when this is dropped.
pub(crate) struct Browser {
    _child: KilledOnDrop,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    calls: u64,
    /// What the browser reported by itself.
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// `light` or `dark`.
    pub(crate) scheme: &'static str,
    /// `screen` or `print`.
    pub(crate) media: &'static str,
    pub(crate) is_phone: bool,
}

impl Browser {
    /// Starts one; `None` if there is no Chromium.
    pub(crate) fn start() -> Option<Browser> {
        if !has_program("chromium") {
            return None;
        }
        let profile = tempfile::tempdir().unwrap();
        // It reads messages from descriptor 3 and writes them to 4.
        let script = r#"exec chromium "$@" 3<&0 4>&1 </dev/null >/dev/null"#;
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh", "--remote-debugging-pipe", "--hide-scrollbars", "--no-proxy-server"])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = KilledOnDrop::spawn(command);
        let (to, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, from) = mpsc::channel();
        std::thread::spawn(move || {
            for message in BufReader::new(stdout).split(0).map_while(Result::ok) {
                let _ = sender.send(serde_json::from_slice(&message).unwrap());
            }
        });
        let mut browser = Browser {
            _child: child,
            to,
            from,
            session: None,
            calls: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let targets = browser.call("Target.getTargets", &json!({}));
        let targets = targets["targetInfos"].as_array().unwrap();
        let page = targets.iter().find(|target| target["type"] == "page").expect("a page is open");
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", &attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// Calls a method and returns its result.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(message.to_string().as_bytes()).unwrap();
        self.to.write_all(b"\0").unwrap();
        loop {
            let mut answer = self.from.recv_timeout(ANSWER_WAIT_MAX).expect("Chromium answers");
            if answer["id"] == self.calls {
                let error = answer["error"].take();
                return if error.is_null() { Ok(answer["result"].take()) } else { Err(error) };
            }
            self.events.push(answer);
        }
    }

    /// Goes to `url` and waits until it is loaded.
    #[track_caller]
    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", &json!({ "url": url }));
        self.wait_for_page(url);
    }

    /// Waits until the page at `url` is loaded.
    #[track_caller]
    pub(crate) fn wait_for_page(&mut self, url: &str) {
        let expression = "document.readyState == 'complete' && location.href";
        let params = json!({ "expression": expression, "returnByValue": true });
        eventually(url, || {
            // An error while the page before is left.
            self.try_call("Runtime.evaluate", &params).is_ok_and(|result| result["result"]["value"] == url)
        });
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", &params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// The text of each row of the listing that is shown.
    #[track_caller]
    pub(crate) fn rows(&mut self) -> Vec<String> {
        let rows = "[...document.querySelectorAll('main tbody tr')].filter(row => row.offsetHeight)\
                    .map(row => row.cells[0].innerText)";
        serde_json::from_value(self.evaluate(rows)).unwrap()
    }

    /// Clicks the first element that `selector` finds, as a user does: where it is shown.
    #[track_caller]
    pub(crate) fn click(&mut self, selector: &str) {
        let place = format!(
            "(element => {{ element.scrollIntoView({{block: 'center'}}); const box = element.getClientRects()[0]; \
             return [box.x + Math.min(box.width / 2, 40), box.y + box.height / 2] }})(document.querySelector({selector:?}))"
        );
        let place = self.evaluate(&place);
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Types text where the cursor is.
    pub(crate) fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Has pages look as they do on this screen.
    pub(crate) fn view(&mut self, view: View) {
        let View { width, height, scheme, media, is_phone } = view;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone });
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "media": media, "features": features }));
    }

    /// A picture of what is shown, as PNG.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    /// What the browser complained about: errors of scripts, and what the policy of a page forbade.
    pub(crate) fn complaints(&mut self) -> Vec<&Value> {
        self.call("Runtime.evaluate", &json!({ "expression": "0" })); // what comes before its answer was reported
        let is_complaint = |event: &&Value| {
            let entry = &event["params"]["entry"];
            // Browsers ask for the icon of a site by themselves.
            let is_icon = entry["url"].as_str().is_some_and(|url| url.ends_with("/favicon.ico"));
            event["method"] == "Runtime.exceptionThrown" || (entry["level"] == "error" && !is_icon)
        };
        self.events.iter().filter(is_complaint).collect()
    }
}
