// The workers' portal: signs in by the link's fragment or a code, lists jobs, and shows tasks in sandboxed frames. The
// page after the one in hand is loaded ahead, in a frame that can't be seen or reached yet.
"use strict";

const main = at("main");
const SKIP = "Leave this one to somebody else";
const PAUSE = 30; // seconds without a sign of life that still count as work

let job = null; // the job that is worked on, as the server lists it
let page = null; // the page in hand; see newPage
let ahead = null; // the page after it
let last = ""; // the lease of what was sent last
let sending = false;
let again = 0; // timer of the pages that look again on their own
const drafts = new Map(); // answers that wait to be kept, by lease

const call = (path, content) => ask(`/portal-api/${path}`, content);

function show(heading, ...children) {
  clearTimeout(again);
  page = ahead = null;
  last = "";
  document.body.classList.remove("working");
  main.className = "";
  main.replaceChildren(...children);
  title(heading);
  at("left").textContent = "";
  for (const id of ["clock", "skip", "undo", "help"]) at(id).hidden = true;
}

const pages = (many) => `${many} more page${many === 1 ? "" : "s"}`;
// A job opens its pages in batches: a few first, the rest when these have the answers that were asked for.
const why = (later) => (later ? `${pages(later)} will come, when those that are open now have everybody's answers` : "");
const count = (left, later) => `${left} left for you${later ? ` now. ${why(later)}.` : ""}`;

// The address says which job is open, so that reloading comes back to it and the browser's Back leads to the list.
function remember(name) {
  if (named() !== name) window.history.pushState(null, "", name ? `/#${encodeURIComponent(name)}` : "/");
}

// List the worker's jobs, or go on with the one of this name.
async function listJobs(wanted = "") {
  job = null;
  at("back").hidden = true;
  let listed;
  try {
    listed = await call("jobs");
  } catch (error) {
    return failed(error, () => listJobs(wanted));
  }
  write(at("worker"), listed.worker);
  at("sign-out").hidden = false;
  notice("");
  const open = listed.jobs.filter((each) => each.left > 0);
  const chosen = open.find((each) => each.name === wanted);
  if (chosen) return begin(chosen);
  remember("");
  if (!open.length) {
    const later = listed.jobs.reduce((sum, each) => sum + each.later, 0);
    show("Your jobs", message("Nothing to do right now", `New work appears here on its own.${later ? ` ${why(later)}.` : ""}`));
    again = setTimeout(() => listJobs(), 10_000);
    return undefined;
  }
  const rows = open.map((each) => {
    const start = button("Start", () => begin(each));
    start.setAttribute("aria-label", visible(`Start ${each.title}`));
    const text = element("div", "", element("h2", each.title), element("p", each.description), element("p", count(each.left, each.later)));
    return element("li", "", text, start);
  });
  show("Your jobs", element("ul", "", ...rows));
  return undefined;
}

async function begin(chosen) {
  job = chosen;
  remember(job.name);
  try {
    open(await call(`jobs/${encodeURIComponent(job.name)}/next`, {}));
  } catch (error) {
    failed(error, () => begin(chosen));
  }
}

// A task's page in a frame, not shown yet: with its full size, so that it lays itself out as it will be seen.
function newPage(lease) {
  const frame = document.createElement("iframe");
  const made = { lease, frame, ready: false, begun: false, spent: 0, revision: 0, ends: 0, draft: null, lastSign: 0 };
  frame.setAttribute("sandbox", "allow-scripts");
  frame.title = visible(`Task of ${job.title}`);
  frame.className = "ahead";
  frame.inert = true;
  frame.src = `/task/${lease}`;
  frame.addEventListener("load", () => {
    made.loaded = true;
    if (made === page) settle();
  });
  return made;
}

// Show the task that the server gave, or that there is none.
function open(given) {
  if (!job) return; // the worker went back to the list meanwhile
  at("back").hidden = false;
  notice("");
  if (!given.task) {
    const before = last;
    const more = given.later ? ` ${why(given.later)}.` : "";
    const text = `You have done every page that is open now. Others may still be at work; new tasks appear on their own.${more}`;
    show(job.title, message("Nothing left for you here", text, button("All jobs", () => listJobs())));
    last = before;
    at("undo").hidden = !last;
    const waiting = job;
    again = setTimeout(() => job === waiting && !page && begin(waiting), 10_000);
    return;
  }
  turnTo(given.task, false);
  if (given.left !== undefined) {
    at("left").replaceChildren(`${given.left} left`, element("span", " for you"));
    at("left").title = why(given.later);
  }
  at("status").textContent = `Next task. ${at("left").textContent}`;
}

// Bring a task's page to the front; `keep` leaves the one in hand behind it, to come back to.
function turnTo(task, keep) {
  clearTimeout(again);
  if (main.className !== "task") main.replaceChildren();
  main.className = "task";
  const old = page;
  if (ahead && ahead.lease === task.lease) {
    page = ahead;
    ahead = null;
  } else {
    page = newPage(task.lease);
    main.append(page.frame);
  }
  if (ahead && old) drop(ahead);
  if (old) {
    if (keep) hide(old);
    else old.frame.remove();
  }
  ahead = old && keep ? old : null;
  if (!page.begun) Object.assign(page, { spent: task.spent, draft: task.draft ?? null });
  Object.assign(page, { begun: true, revision: task.revision, lastSign: performance.now() });
  page.ends = performance.now() + task.seconds * 1000;
  page.frame.className = "";
  page.frame.inert = false;
  document.body.classList.add("working");
  title(job.title);
  at("skip").hidden = false;
  at("skip").textContent = page.revision ? "Withdraw" : "Skip";
  at("skip").title = page.revision ? "Take your answer back, and leave this one to somebody else" : SKIP;
  at("undo").hidden = !last && !page.revision;
  at("undo").textContent = page.revision ? "Go on without a change" : "Last page";
  at("help").hidden = at("clock").hidden = false;
  settle();
  tick();
}

function hide(old) {
  old.frame.contentWindow?.postMessage({ type: "crowd-form-shown", shown: false }, "*");
  old.frame.className = "ahead";
  old.frame.inert = true;
}

function drop(old) {
  old.frame.remove();
  if (old === ahead) ahead = null;
}

// What can only be done with the page once it is there.
function settle() {
  if (page.ready && page.draft) {
    tell({ type: "crowd-form-restore", answer: page.draft });
    page.draft = null;
  }
  if (!page.loaded) return;
  tell({ type: "crowd-form-shown", shown: true });
  page.frame.focus(); // the template's keys work at once
  if (!ahead && !page.asked) lookAhead(page);
}

async function lookAhead(before) {
  before.asked = true;
  const next = await call(`jobs/${encodeURIComponent(job.name)}/ahead`, {}).catch(() => ({}));
  if (!next.lease || before !== page || ahead) return;
  ahead = newPage(next.lease);
  main.append(ahead.frame);
}

function failed(error, retry) {
  if (error.status === 401) {
    at("sign-out").hidden = at("back").hidden = true;
    at("worker").textContent = "";
    notice("");
    show("Labeling", message("You aren't signed in", "Open your personal link, or enter the code that you were given.", codeForm()));
    return;
  }
  notice(error.message);
  if (!page) show("Labeling", message("That didn't work", error.message, button("Try again", retry)));
}

function codeForm() {
  const field = (label, options) => {
    const input = Object.assign(element("input"), { required: true, ...options });
    return [element("label", label, input), input];
  };
  const [codeLabel, code] = field("Code", { autocomplete: "one-time-code", spellcheck: false, placeholder: "ABCD-EFGH-JKMN" });
  const [nameLabel, name] = field("Your name", { autocomplete: "name", maxLength: 60 });
  const form = element("form", "", codeLabel, nameLabel, element("button", "Sign in"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await call("session", { code: code.value, name: name.value });
      listJobs(named());
    } catch (error) {
      notice(error.message);
    }
  });
  return form;
}

const tell = (what) => page?.frame.contentWindow?.postMessage(what, "*"); // its origin is opaque

function sign() {
  const now = performance.now();
  page.spent += Math.min((now - page.lastSign) / 1000, PAUSE);
  page.lastSign = now;
}

async function submit(answer) {
  if (sending) return;
  sending = true;
  sign();
  const begun = performance.now();
  const sent = page;
  drafts.delete(sent.lease);
  try {
    const next = await call(`leases/${sent.lease}/answer`, { answer, seconds: sent.spent, revision: sent.revision });
    tell({ type: "crowd-form-accepted" });
    last = sent.lease;
    open(next);
    if (next.note) notice(next.note);
    requestAnimationFrame(() => performance.measure("next page", { start: begun }));
  } catch (error) {
    tell({ type: "crowd-form-rejected", reason: error.message });
    if (error.status === 410) await begin(job);
    failed(error, () => listJobs());
  } finally {
    sending = false;
  }
}

// Keep what is unfinished: one call at a time, the latest answer, and no more often than a large one takes.
async function keepDraft(lease, answer, spent) {
  const busy = drafts.has(lease);
  drafts.set(lease, { answer, seconds: spent });
  if (busy) return;
  while (drafts.get(lease)) {
    const content = drafts.get(lease);
    drafts.set(lease, null);
    await call(`leases/${lease}/draft`, content).catch(() => undefined);
  }
  drafts.delete(lease);
}

async function skip() {
  if (sending || !page) return;
  sending = true;
  try {
    const next = await call(`leases/${page.lease}/decline`, { withdraw: page.revision > 0 });
    if (page.revision) last = ""; // withdrawn
    open(next);
  } catch (error) {
    if (error.status === 410) await begin(job);
    failed(error, () => listJobs());
  } finally {
    sending = false;
  }
}

async function undo() {
  if (page?.revision) {
    begin(job);
    return;
  }
  if (sending || !last) return;
  sending = true;
  try {
    const { task } = await call(`leases/${last}/again`, {});
    turnTo(task, true);
    at("left").textContent = "Your last page";
    at("status").textContent = "Your last page, with what you sent.";
  } catch (error) {
    last = "";
    at("undo").hidden = true;
    notice(error.message);
  } finally {
    sending = false;
  }
}

function help() {
  write(at("about-title"), job.title);
  write(at("about-text"), job.description);
  const minutes = Math.round(job.seconds / 60);
  at("about-later").textContent = at("left").title && `${at("left").title}.`;
  at("about-time").textContent = `${minutes > 1 ? `${minutes} minutes` : `${job.seconds} seconds`} for each page; after that it goes to somebody else.`;
  at("about").showModal();
}

function tick() {
  if (!page) return;
  const left = Math.max(0, Math.round((page.ends - performance.now()) / 1000));
  const minutes = Math.floor(left / 60);
  at("clock").textContent = `${minutes}:${String(left % 60).padStart(2, "0")}`;
  at("clock").setAttribute("aria-label", `Time for this task: ${minutes} minutes`);
  // an hour on the clock tells nobody anything
  at("clock").hidden = left > 600;
  at("clock").classList.toggle("short", left <= 60);
  if (left === 60) at("status").textContent = "One minute is left for this task.";
  if (left > 0 || sending || performance.now() < (page.asking ?? 0)) return;
  const over = page;
  over.asking = performance.now() + 10_000; // where the server can't be reached, it is asked again
  begin(job).then(() => {
    if (page && page !== over) notice("The time for the last task was over, so it went back. Here is another.");
  });
}

window.addEventListener("message", (event) => {
  if (!event.data) return;
  const { type, answer } = event.data;
  const from = [page, ahead].find((each) => each && event.source === each.frame.contentWindow);
  if (!from) return; // nobody but the tasks is heard
  if (type === "crowd-form-ready") {
    from.ready = true;
    event.source.postMessage({ type: "crowd-form-watch" }, "*");
    if (from === page) settle();
  }
  if (from !== page) return; // a page that isn't shown yet can say nothing else
  if (type === "crowd-activity") sign();
  if (type === "crowd-form-submit") submit(answer);
  if (type === "crowd-form-draft" && !sending && !page.revision) {
    sign();
    keepDraft(page.lease, answer, page.spent);
  }
});

document.addEventListener("visibilitychange", () => {
  if (!page) return;
  if (document.hidden) sign();
  else page.lastSign = performance.now(); // what was between was a pause
});

async function start() {
  setInterval(tick, 1000);
  at("back").addEventListener("click", () => listJobs());
  window.addEventListener("popstate", () => listJobs(named()));
  at("skip").addEventListener("click", skip);
  at("undo").addEventListener("click", undo);
  at("help").addEventListener("click", help);
  at("sign-out").addEventListener("click", async () => {
    await call("sign-out", {}).catch(() => undefined);
    failed(new Refused(401, ""));
  });
  if (window.location.pathname === "/enter") {
    const token = secretOfLink("/");
    try {
      if (token) await call("session", { token });
    } catch (error) {
      show("Labeling", message("This link doesn't work", error.message));
      return;
    }
  }
  listJobs(named());
}

start();
