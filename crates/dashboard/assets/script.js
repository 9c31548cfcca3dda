// What pages do beyond what they do without this: times in the reader's own zone, lists that change while they are looked
// at, secrets in a dialog, copying, selecting, and checking a signature. Nothing is loaded from elsewhere.
"use strict";

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Times: every moment is UTC in the page. Here it becomes the reader's, with UTC in its title.
const two = (number) => String(number).padStart(2, "0");
function local(at) {
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
function span(millis) {
  if (millis < 60e3) return `${Math.floor(millis / 1e3)} s`;
  if (millis < 3600e3) return `${Math.floor(millis / 60e3)} min`;
  if (millis < 86400e3) return `${Math.floor(millis / 3600e3)} h`;
  return `${Math.floor(millis / 86400e3)} d`;
}
function tellTime(time) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime())) return;
  const utc = time.dateTime.replace("T", " ").replace(/\.\d+Z$/, "") + " UTC";
  if (time.hasAttribute("data-ago")) {
    const age = Date.now() - at.getTime();
    const text = age < -999 ? `in ${span(-age)}` : age < 5e3 ? "just now" : `${span(age)} ago`;
    if (time.textContent !== text) time.textContent = text;
    time.title = `${local(at)} (${utc})`;
  } else {
    // Of today, the time is enough; the date is in the title.
    const whole = local(at);
    const text = whole.startsWith(local(new Date()).slice(0, 10)) && !time.closest(".ends") ? whole.slice(11) : whole;
    if (time.textContent !== text) time.textContent = text;
    time.title = `${whole} (${utc})`;
  }
}
const tellTimes = (root) => all("time", root).forEach(tellTime);
setInterval(() => all("time[data-ago]").forEach(tellTime), 5000);

// Live pages: the server sends a part when it has changed. What a reader has opened, selected or focused stays.
const plain = new Map();
function put(id, html) {
  const element = document.getElementById(id);
  if (!element) return;
  const next = document.createElement("template");
  next.innerHTML = html;
  const text = next.innerHTML;
  if (plain.get(id) === text) return;
  plain.set(id, text);
  const open = new Set(all("details[id][open]", element).map((details) => details.id));
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const focusables = () => all("a, button, input, select, summary, [tabindex]", element);
  const place = focused ? focusables().indexOf(focused) : -1;
  const key = focused && (focused.getAttribute("href") || focused.id);
  const scrolled = all(".scroll", element).map((box) => box.scrollLeft);
  const rows = new Set(all("tbody tr", element).map((row) => one("a", row)?.getAttribute("href")));
  element.replaceChildren(next.content);
  tellTimes(element);
  open.forEach((details) => document.getElementById(details)?.setAttribute("open", ""));
  all(".scroll", element).forEach((box, at) => { box.scrollLeft = scrolled[at] || 0; });
  if (id === "log" && rows.size) {
    all("tbody tr", element).filter((row) => !rows.has(one("a", row)?.getAttribute("href"))).forEach((row) => row.classList.add("new"));
  }
  if (place >= 0) {
    const again = focusables();
    (again.find((other) => key && (other.getAttribute("href") === key || other.id === key)) || again[place])?.focus({ preventScroll: true });
  }
}
function live(region) {
  all("[id]", region).forEach((part) => plain.set(part.id, part.innerHTML));
  const state = one("#live-state");
  let source = null;
  const say = (text, on) => {
    if (!state) return;
    if (state.textContent !== text) state.textContent = text;
    state.classList.toggle("on", on);
  };
  const begin = () => {
    if (source || document.hidden) return;
    source = new EventSource(region.dataset.live);
    source.onopen = () => say("Live", true);
    source.onerror = () => {
      // The browser tries again by itself, unless the answer was a refusal.
      if (source && source.readyState === EventSource.CLOSED) {
        source = null;
        say("Not live: reload to see changes", false);
      }
    };
    source.addEventListener("part", (event) => {
      const { id, html } = JSON.parse(event.data);
      put(id, html);
    });
  };
  const end = () => { source?.close(); source = null; };
  document.addEventListener("visibilitychange", () => (document.hidden ? end() : begin()));
  addEventListener("pagehide", end);
  addEventListener("pageshow", begin);
  begin();
}

// Secrets: a dialog that is in front of everything; the address becomes the webhook's, so that loading the page again
// sends no form again.
function secrets(dialog) {
  history.replaceState(null, "", dialog.dataset.secrets);
  dialog.close();
  dialog.showModal();
  dialog.addEventListener("cancel", (event) => event.preventDefault());
}

async function copy(button) {
  const from = document.getElementById(button.dataset.copy);
  const text = from.value ?? from.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (from.select) from.select();
    else getSelection().selectAllChildren(from);
    button.textContent = "Press Ctrl+C";
    return;
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

function selection(form) {
  const boxes = all('input[name="letter"]', form);
  const whole = one("[data-all]", form);
  const count = one("[data-count]", form);
  if (!whole || !boxes.length) return;
  const box = one("input", whole);
  whole.hidden = false;
  const tell = () => {
    const chosen = boxes.filter((one) => one.checked).length;
    count.textContent = chosen ? `${chosen} selected` : "";
    box.checked = chosen === boxes.length;
    box.indeterminate = chosen > 0 && chosen < boxes.length;
  };
  box.addEventListener("change", () => { boxes.forEach((one) => { one.checked = box.checked; }); tell(); });
  boxes.forEach((one) => one.addEventListener("change", tell));
  tell();
}

// The signature helper. Everything stays in this page.
const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const base64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
const bytesOf = (text) => new TextEncoder().encode(text);
async function mac(key, message) {
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return crypto.subtle.sign("HMAC", imported, bytesOf(message));
}
function readRequest(text) {
  const clean = text.replace(/\r\n/g, "\n").replace(/^\n+/, "");
  const gap = clean.indexOf("\n\n");
  const head = gap < 0 ? clean : clean.slice(0, gap);
  const headers = new Map();
  for (const line of head.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0 && !/^[A-Z]+ \S+$/.test(line.slice(0, colon))) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return { headers, body: gap < 0 ? null : clean.slice(gap + 2) };
}
async function checkSignature(text, secret, now) {
  const steps = [];
  const step = (name, outcome, said) => { steps.push({ name, outcome, said }); return outcome === "passed"; };
  const { headers, body } = readRequest(text);
  const timestamp = headers.get("x-spectrum-timestamp") ?? "";
  const given = headers.get("x-spectrum-signature") ?? "";
  let key = secret.trim();
  let keyGood = true;
  if (/^whsec_/.test(key)) {
    try { key = atob(key.slice(6)); } catch { keyGood = false; }
  }
  keyGood = keyGood && /^[0-9a-f]{64}$/.test(key);
  step("Secret", keyGood ? "passed" : "failed", keyGood ? "It has the form of a signing secret." : "A signing secret is 64 characters of 0–9 and a–f, or whsec_ and their base64. Look for white space and for characters that are missing.");
  step("Body", body === null ? "failed" : "passed", body === null ? "There is no empty line behind the headers, so there is no body. Paste headers, an empty line, then the body." : `${bytesOf(body).length} bytes`);
  const stamped = /^[0-9]{1,12}$/.test(timestamp);
  step("Time stamp", stamped ? "passed" : "failed", stamped ? new Date(Number(timestamp) * 1000).toISOString() : timestamp ? "X-Spectrum-Timestamp is not a number of seconds." : "X-Spectrum-Timestamp is missing: a proxy may have dropped it.");
  const formed = /^v0=[0-9a-f]{64}$/.test(given);
  step("Signature header", formed ? "passed" : "failed", formed ? "It has the form v0= and 64 hex characters." : given ? "X-Spectrum-Signature must be v0= and 64 lowercase hex characters. Was it cut off, or is this another header's value?" : "X-Spectrum-Signature is missing: a proxy may have dropped it.");
  if (!steps.every((one) => one.outcome === "passed")) {
    step("Signature", "not_reached", "It can be compared once the above is mended.");
    return steps;
  }
  const fits = async (keyBytes, message) => `v0=${hex(await mac(keyBytes, message))}` === given;
  const raw = bytesOf(key);
  const signed = `v0:${timestamp}:${body}`;
  if (await fits(raw, signed)) {
    step("Signature", "passed", "It was made with this secret over exactly these bytes.");
  } else {
    // What people run into, tried one after the other.
    const decoded = new Uint8Array(key.match(/../g).map((pair) => parseInt(pair, 16)));
    let why = "It was made with another secret, or over other bytes. Compare the secret with the one of this very webhook; if it was rotated, the old one signs until the overlap ends. Take the body's raw bytes, before any parsing.";
    const tries = [
      [decoded, signed, "The sender's key was decoded from hex: the key is the 64 characters as they stand."],
      [raw, `v0:${timestamp}:${body.replace(/\n$/, "")}`, "The body that was signed has no line end at its end: your capture has one too many."],
      [raw, `v0:${timestamp}:${body}\n`, "The body that was signed has a line end at its end that your capture lacks."],
      [raw, `v0:${timestamp}:${body.replace(/\n/g, "\r\n")}`, "The body that was signed has CRLF line ends: your capture changed them."],
      [raw, `${timestamp}.${body}`, "It was made over another form of the bytes: they are v0, a colon, the time stamp, a colon, the body."],
      [raw, body, "It was made over the body alone: the bytes are v0, a colon, the time stamp, a colon, the body."],
    ];
    try { tries.push([raw, `v0:${timestamp}:${JSON.stringify(JSON.parse(body))}`, "The body was parsed and written again before it was captured: keep the raw bytes."]); } catch { /* no JSON */ }
    for (const [keyBytes, message, said] of tries) {
      if (await fits(keyBytes, message)) { why = said; break; }
    }
    step("Signature", "failed", why);
  }
  const age = Math.round(now / 1000 - Number(timestamp));
  const fresh = Math.abs(age) <= 300;
  step("Age", fresh ? "passed" : "failed", fresh ? "It is at most 300 seconds from your clock." : `It is ${span(Math.abs(age) * 1000)} ${age > 0 ? "old" : "ahead"}: receivers refuse what is more than 300 seconds from their clock. For a request that was captured earlier this is as it should be.`);
  const standard = headers.get("webhook-signature");
  if (standard && headers.get("webhook-id")) {
    const expected = `v1,${base64(await mac(raw, `${headers.get("webhook-id")}.${headers.get("webhook-timestamp") ?? ""}.${body}`))}`;
    const good = standard.split(" ").includes(expected);
    step("Standard Webhooks", good ? "passed" : "failed", good ? "webhook-signature fits as well." : "webhook-signature does not fit.");
  }
  return steps;
}
function signature(form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const steps = await checkSignature(one("#request", form).value, one("#key", form).value, Date.now());
    const result = one("[data-result]");
    const verdict = one("[data-verdict]", result);
    const failed = steps.find((step) => step.outcome === "failed");
    const note = document.createElement("p");
    note.className = `note ${failed ? (failed.name === "Age" ? "warn" : "bad") : "good"}`;
    note.textContent = failed ? `${failed.name === "Age" ? "The signature fits. " : `${failed.name}: `}${failed.said}` : "The request is genuine: every check passed.";
    verdict.replaceChildren(note);
    const words = { passed: "Passed", failed: "Failed", not_reached: "Not reached" };
    one("[data-steps]", result).replaceChildren(...steps.map((step) => {
      const item = document.createElement("li");
      item.className = `step ${step.outcome}`;
      for (const [name, text] of [["step-name", step.name], ["step-word", words[step.outcome]], ["step-said", step.said]]) {
        const part = document.createElement("span");
        part.className = name;
        part.textContent = text;
        item.append(part);
      }
      return item;
    }));
    result.hidden = false;
  });
}

all("[data-live]").forEach(live);
tellTimes(document);
all("dialog[data-secrets]").forEach(secrets);
all("[data-selection]").forEach(selection);
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});
if (!isSecureContext) all("[data-insecure]").forEach((note) => { note.hidden = false; });
all("form[data-signature]").forEach(signature);
