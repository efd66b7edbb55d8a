// The workers' portal: signs in by the link's fragment, lists jobs, and shows tasks in a sandboxed frame.
"use strict";

const at = (id) => document.getElementById(id);
const main = at("main");
const PAUSE = 30; // seconds without a sign of life that still count as work

let job = null; // the job that is worked on, as the server lists it
let task = null; // {lease, seconds} of the page in the frame
let frame = null;
let ends = 0; // when the lease ends, by performance.now()
let spent = 0; // seconds of work on this task
let lastSign = 0;
let sending = false;
let again = 0; // timer of the pages that look again on their own

class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

async function call(path, content) {
  const options = { headers: { "X-Gandt": "portal", "Content-Type": "application/json" } };
  if (content !== undefined) Object.assign(options, { method: "POST", body: JSON.stringify(content) });
  let response;
  try {
    response = await fetch(`/portal-api/${path}`, options);
  } catch {
    throw new Refused(0, "The server can't be reached. Nothing you sent is lost; try again in a moment.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, answer.reason || `The server answered ${response.status}.`);
  return answer;
}

function element(tag, text, ...children) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function button(text, action) {
  const made = element("button", text);
  made.addEventListener("click", action);
  return made;
}

function notice(text) {
  at("notice").textContent = text;
  at("notice").hidden = !text;
}

function show(heading, ...children) {
  clearTimeout(again);
  task = frame = null;
  document.body.classList.remove("working");
  main.className = "";
  main.replaceChildren(...children);
  at("heading").textContent = document.title = heading;
  at("left").textContent = "";
  at("clock").hidden = at("skip").hidden = true;
}

function message(heading, text, ...buttons) {
  const box = element("div", "", element("h2", heading), element("p", text), ...buttons);
  box.className = "message";
  return box;
}

const count = (left) => `${left} left for you`;

async function listJobs() {
  job = null;
  at("back").hidden = true;
  let listed;
  try {
    listed = await call("jobs");
  } catch (error) {
    return failed(error, listJobs);
  }
  at("worker").textContent = listed.worker;
  at("sign-out").hidden = false;
  notice("");
  const open = listed.jobs.filter((each) => each.left > 0);
  if (!open.length) {
    show("Your jobs", message("Nothing to do right now", "New work appears here on its own."));
    again = setTimeout(listJobs, 10_000);
    return undefined;
  }
  const rows = open.map((each) => {
    const start = button("Start", () => begin(each));
    start.setAttribute("aria-label", `Start ${each.title}`);
    const text = element("div", "", element("h2", each.title), element("p", each.description), element("p", count(each.left)));
    return element("li", "", text, start);
  });
  show("Your jobs", element("ul", "", ...rows));
  return undefined;
}

async function begin(chosen) {
  job = chosen;
  try {
    open(await call(`jobs/${encodeURIComponent(job.name)}/next`, {}));
  } catch (error) {
    failed(error, () => begin(chosen));
  }
}

// Show the task that the server gave, or that there is none.
function open(given) {
  if (!job) return; // the worker went back to the list meanwhile
  at("back").hidden = false;
  notice("");
  if (!given.task) {
    show(job.title, message("Nothing left for you here", "Others may still be at work; new tasks appear on their own.", button("All jobs", listJobs)));
    const waiting = job;
    again = setTimeout(() => job === waiting && begin(waiting), 10_000);
    return;
  }
  clearTimeout(again);
  task = given.task;
  ends = performance.now() + task.seconds * 1000;
  spent = 0;
  lastSign = performance.now();
  frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts");
  frame.title = `Task of ${job.title}`;
  frame.src = `/task/${task.lease}`;
  frame.addEventListener("load", (event) => event.target.focus()); // the template's keys work at once
  main.className = "task";
  main.replaceChildren(frame);
  document.body.classList.add("working");
  at("heading").textContent = document.title = job.title;
  at("left").textContent = count(given.left);
  at("status").textContent = `Next task. ${count(given.left)}`;
  at("skip").hidden = at("clock").hidden = false;
  tick();
}

function failed(error, retry) {
  if (error.status === 401) {
    at("sign-out").hidden = at("back").hidden = true;
    at("worker").textContent = "";
    notice("");
    show("Labeling", message("You aren't signed in", "Open your personal link. Whoever gave you this work can send you a new one."));
    return;
  }
  notice(error.message);
  if (!frame) show("Labeling", message("That didn't work", error.message, button("Try again", retry)));
}

const tell = (what) => frame && frame.contentWindow.postMessage(what, "*"); // its origin is opaque

function sign() {
  const now = performance.now();
  spent += Math.min((now - lastSign) / 1000, PAUSE);
  lastSign = now;
}

async function submit(answer) {
  if (sending) return;
  sending = true;
  sign();
  try {
    const next = await call(`leases/${task.lease}/answer`, { answer, seconds: spent });
    tell({ type: "crowd-form-accepted" });
    open(next);
  } catch (error) {
    tell({ type: "crowd-form-rejected", reason: error.message });
    if (error.status === 410) await begin(job);
    failed(error, listJobs);
  } finally {
    sending = false;
  }
}

async function skip() {
  if (sending || !task) return;
  sending = true;
  try {
    open(await call(`leases/${task.lease}/decline`, {}));
  } catch (error) {
    failed(error, listJobs);
  } finally {
    sending = false;
  }
}

function tick() {
  if (!task) return;
  const left = Math.max(0, Math.round((ends - performance.now()) / 1000));
  const minutes = Math.floor(left / 60);
  at("clock").textContent = `${minutes}:${String(left % 60).padStart(2, "0")}`;
  at("clock").setAttribute("aria-label", `Time for this task: ${minutes} minutes`);
  // an hour on the clock tells nobody anything
  at("clock").hidden = left > 600;
  if (left === 0 && !sending) {
    begin(job).then(() => notice("The time for the last task was over, so it went back. Here is another."));
  }
}

window.addEventListener("message", (event) => {
  if (!frame || event.source !== frame.contentWindow || !event.data) return; // nobody but the task is heard
  const { type, answer } = event.data;
  if (type === "crowd-form-ready") tell({ type: "crowd-form-watch" });
  if (type === "crowd-activity") sign();
  if (type === "crowd-form-submit") submit(answer);
});

async function start() {
  setInterval(tick, 1000);
  at("back").addEventListener("click", listJobs);
  at("skip").addEventListener("click", skip);
  at("sign-out").addEventListener("click", async () => {
    await call("sign-out", {}).catch(() => undefined);
    failed(new Refused(401, ""));
  });
  const token = window.location.hash.slice(1);
  if (window.location.pathname === "/enter") {
    window.history.replaceState(null, "", "/"); // the secret leaves the address bar and the history
    try {
      if (token) await call("session", { token });
    } catch (error) {
      show("Labeling", message("This link doesn't work", error.message));
      return;
    }
  }
  listJobs();
}

start();
