// The owner's page: every job live, what its workers do, each answer's history, what failed, what the Lambdas said.
"use strict";

const main = at("main");
const LIVE = 2000; // ms between two looks

let chosen = null; // name of the job that is shown
let timer = 0;
let events = []; // of the history that is shown, the latest first
let onlyObject = "";
let shown = null; // the parts of a job's page that change

const call = (path, content) => ask(`/owner-api/${path}`, content);
const number = (value, digits = 0) => (value ?? null) === null ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits });
const percent = (value) => (value ?? null) === null ? "–" : `${(100 * value).toFixed(1)} %`;
const moment = (at_) => new Date(at_ * 1000).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const clock = (at_) => new Date(at_ * 1000).toLocaleString([], { dateStyle: "short", timeStyle: "medium" });

// An answer in few words: what stands as JSON within JSON is taken out of it.
const plain = (content) => Object.entries(content).map(([name, value]) => {
  if (typeof value !== "string") return `${name}: ${JSON.stringify(value)}`;
  try {
    return `${name}: ${[JSON.parse(value)].flat().map((each) => (typeof each === "string" ? each : JSON.stringify(each))).join(", ")}`;
  } catch {
    return `${name}: ${value}`;
  }
}).join("; ");

function span(seconds) {
  if ((seconds ?? null) === null) return "–";
  if (seconds < 100) return `${number(seconds, seconds < 10 ? 1 : 0)} s`;
  if (seconds < 6000) return `${number(seconds / 60)} min`;
  return `${number(seconds / 3600, 1)} h`;
}

function tile(name, value) {
  const made = element("div", "", element("p", name), element("b", value));
  made.className = "tile";
  return made;
}

function table(columns, rows, name) {
  const cell = (tag, value, kind) => {
    const made = element(tag, "", value ?? "");
    if (kind) made.className = kind;
    if (tag === "th") made.scope = "col";
    return made;
  };
  const head = element("thead", "", element("tr", "", ...columns.map(([name, kind]) => cell("th", name, kind))));
  const body = rows.map((row) => element("tr", "", ...row.map((value, place) => cell("td", value, columns[place][1]))));
  const box = element("div", "", element("table", "", head, element("tbody", "", ...body)));
  box.className = "scroll";
  box.tabIndex = 0; // so that the keyboard can scroll it, too
  box.role = "region";
  box.ariaLabel = name;
  return box;
}

function bar(done, failed, all) {
  const made = element("div", "");
  made.className = "bar";
  made.role = "img";
  made.ariaLabel = `${done} of ${all} labeled, ${failed} failed`;
  for (const [count, kind] of [[done, ""], [failed, "bad"]]) {
    const part = element("i", "");
    part.className = kind;
    part.style.width = `${all ? (100 * count) / all : 0}%`;
    made.append(part);
  }
  return made;
}

// Why a job can't end: it wants more workers than there are.
const warning = (text) => Object.assign(element("p", `${sentence(text)} gandt workers invite NAME brings one.`), { className: "warning" });

function printed(text) {
  const made = Object.assign(element("pre"), { tabIndex: 0 }); // the keyboard can scroll it
  write(made, text, true);
  return made;
}

const status = (text) => Object.assign(element("span", text), { className: `status ${text}` });

// ------------------------------------------------------------------ all jobs

function drawJobs({ jobs }) {
  title("Labeling jobs");
  if (!jobs.length) {
    main.replaceChildren(message("No job yet", "Create one with boto3, the AWS CLI or gandt job create; it appears here on its own."));
    return;
  }
  const rows = jobs.map((job) => {
    const link = Object.assign(element("a", job.name), { href: `#${encodeURIComponent(job.name)}` });
    const counts = `${number(job.answers)} of ${number(job.answers_wanted)} answers, ${number(job.labeled)} of ${number(job.objects)} labeled${job.failed ? `, ${number(job.failed)} failed` : ""}`;
    const text = element("div", "", element("h2", "", link), element("p", job.title), element("p", counts), bar(job.labeled, job.failed, job.objects));
    if (job.shortage) text.append(warning(job.shortage));
    return element("li", "", text, status(job.status));
  });
  main.replaceChildren(element("ul", "", ...rows));
}

// ------------------------------------------------------------------ one job

function section(name, ...children) {
  const made = element("section", "", element("h2", name), ...children);
  made.ariaLabel = name;
  return made;
}

function layOut() {
  shown = {};
  for (const part of ["shortage", "tiles", "chart", "workers", "failures", "history", "console", "cost"]) shown[part] = element("div", "");
  shown.tiles.className = "tiles";
  const wage = Object.assign(element("input"), { type: "number", min: 0, step: "0.5", value: localStorage.getItem("gandt-wage") ?? "" });
  wage.addEventListener("input", () => {
    localStorage.setItem("gandt-wage", wage.value);
    if (shown.figures) drawCost(shown.figures);
  });
  const gold = Object.assign(element("input"), { type: "file", accept: ".csv,.jsonl" });
  gold.addEventListener("change", () => sendGold(gold.files[0]));
  const object = Object.assign(element("input"), { type: "number", min: 0, value: onlyObject });
  object.addEventListener("change", () => {
    onlyObject = object.value;
    events = [];
    lookBack();
  });
  const older = button("Older", () => lookBack(events.at(-1)?.id));
  older.className = "quiet";
  shown.older = older;
  const inRow = (...parts) => Object.assign(element("div", "", ...parts), { className: "row" });
  main.replaceChildren(
    shown.shortage,
    shown.tiles,
    section("Answers over time", shown.chart),
    section("Time and cost", inRow(element("label", "Wage per hour", wage)), shown.cost),
    section("Workers", inRow(element("label", "Gold record (CSV of gandt manifest build --gold-record)", gold)), shown.workers),
    section("Failed", shown.failures),
    section("History", element("p", "Every hand-out and answer, as it came; nothing here can be changed."),
      inRow(element("label", "Object number", object)), shown.history, older),
    section("What the Lambdas printed", shown.console),
  );
}

function drawJob(job) {
  shown.figures = job;
  title(job.name);
  shown.shortage.replaceChildren(...(job.shortage ? [warning(job.shortage)] : []));
  shown.tiles.replaceChildren(
    tile("Status", job.status),
    tile("Labeled", `${number(job.labeled)} / ${number(job.objects)}`),
    tile("Answers", `${number(job.answers)} / ${number(job.answers_wanted)}`),
    tile("Still wanted", number(job.missing)),
    tile("In hand now", number(job.in_hand)),
    tile("Answers per minute", number(job.per_minute, 1)),
    tile("Done in about", job.missing ? span(job.seconds_left) : "–"),
    tile("Agreement", percent(job.agreement)),
    tile("Gold right", job.gold_answers ? percent(job.gold_right / job.gold_answers) : "–"),
    tile("Failed", number(job.failed)),
  );
  drawChart(job.throughput);
  drawCost(job);
  const right = "number";
  shown.workers.replaceChildren(job.workers.length ? table(
    [["Worker"], ["Answers", right], ["Seconds, median", right], ["Agreement", right], ["Gold right", right]],
    job.workers.map((each) => [each.name || each.worker, number(each.answers), number(each.seconds, 1), percent(each.agreement),
      each.gold_answers ? `${each.gold_right} of ${each.gold_answers}` : "–"]),
    "Table of workers",
  ) : element("p", "Nobody has answered yet."));
  const failed = [];
  if (job.reason) failed.push(printed(job.reason));
  if (job.failures.length) failed.push(table([["Object", right], ["Why", "text"]], job.failures.map((each) => [each.object, each.reason]), "Table of failed objects"));
  shown.failures.replaceChildren(...(failed.length ? failed : [element("p", "Nothing.")]));
}

function drawChart({ seconds, answers, end }) {
  const most = Math.max(1, ...answers);
  const space = "http://www.w3.org/2000/svg";
  const make = (tag, values) => {
    const made = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(values)) made.setAttribute(name, value);
    return made;
  };
  const chart = make("svg", { class: "chart", viewBox: `0 0 ${answers.length} 100`, preserveAspectRatio: "none", role: "img",
    "aria-label": `Answers in steps of ${span(seconds)}: ${answers.join(", ")}` });
  answers.forEach((count, place) => {
    const height = (98 * count) / most;
    chart.append(make("rect", { x: place + 0.1, y: 100 - height, width: 0.8, height }));
  });
  chart.append(make("line", { x1: 0, x2: answers.length, y1: 99.8, y2: 99.8, "stroke-width": 0.4 }));
  const axis = element("div", "", element("span", moment(end - seconds * answers.length)),
    element("span", `up to ${number(most)} in ${span(seconds)}`), element("span", moment(end)));
  axis.className = "axis";
  shown.chart.replaceChildren(chart, axis);
}

function drawCost(job) {
  const wage = Number(localStorage.getItem("gandt-wage")) || null;
  const money = (seconds) => (wage && seconds !== null ? number((seconds / 3600) * wage, 4) : "–");
  shown.cost.replaceChildren(table(
    [["Of"], ["Time", "number"], ["Cost", "number"]],
    [
      ["An answer (median)", span(job.seconds_per_answer), money(job.seconds_per_answer)],
      ["A label", span(job.seconds_per_label), money(job.seconds_per_label)],
      ["All so far", span(job.seconds_spent), money(job.seconds_spent)],
    ],
    "Table of time and cost",
  ));
}

async function sendGold(file) {
  const lines = (await file.text()).split(/\r?\n/).filter((line) => line.trim());
  try {
    let rows = [];
    if (file.name.endsWith(".jsonl")) rows = lines.map((line) => JSON.parse(line));
    else {
      const cells = lines.map(csvCells);
      rows = cells.slice(1).map((values) => Object.fromEntries(cells[0].map((name, place) => [name, values[place]])));
    }
    const { gold } = await call(`jobs/${encodeURIComponent(chosen)}/gold`, { rows });
    notice("");
    drawJob(await call(`jobs/${encodeURIComponent(chosen)}`));
    return gold;
  } catch (error) {
    notice(error.message);
    return 0;
  }
}

function csvCells(line) {
  const cells = [];
  for (const [, quoted, plain] of line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)) cells.push(quoted?.replaceAll('""', '"') ?? plain);
  return cells;
}

// ------------------------------------------------------------------ history

async function lookBack(before) {
  const query = new URLSearchParams({ object: onlyObject, before: before ?? "" });
  const found = await call(`jobs/${encodeURIComponent(chosen)}/history?${query}`);
  if (before) events.push(...found.events);
  else events = [...found.events, ...events.filter((old) => found.events.length && old.id < found.events.at(-1).id)];
  shown.older.hidden = found.events.length < 50 && Boolean(before || events.length < 50);
  shown.history.replaceChildren(events.length ? table(
    [["When"], ["Object", "number"], ["Who"], ["What"], ["Answer", "text"]],
    events.map((each) => [clock(each.at), each.number, each.name || each.worker, each.what, each.content ? plain(each.content) : ""]),
    "Table of events",
  ) : element("p", "Nothing yet."));
}

// ------------------------------------------------------------------ always again

async function look() {
  clearTimeout(timer);
  const wanted = chosen;
  try {
    if (wanted) {
      const job = await call(`jobs/${encodeURIComponent(wanted)}`);
      if (wanted !== chosen) return;
      drawJob(job);
      await lookBack();
      const { functions } = await call("functions");
      const parts = Object.entries(functions).flatMap(([name, text]) => [element("h3", name), printed(text || "Nothing.")]);
      shown.console.replaceChildren(...(parts.length ? parts : [element("p", "The service runs without Lambdas.")]));
    } else {
      const listed = await call("jobs");
      if (wanted !== chosen) return;
      drawJobs(listed);
    }
    at("live").textContent = "live";
    at("sign-out").hidden = false;
    notice("");
  } catch (error) {
    if (error.status === 401) {
      at("sign-out").hidden = at("back").hidden = true;
      at("live").textContent = "";
      main.replaceChildren(message("You aren't signed in as the owner", "Open the link that the command gandt owner prints."));
      return;
    }
    at("live").textContent = "not reached";
    notice(error.message);
  }
  timer = setTimeout(() => (document.hidden ? document.addEventListener("visibilitychange", look, { once: true }) : look()), LIVE);
}

function turn() {
  chosen = named() || null;
  events = [];
  onlyObject = "";
  at("back").hidden = !chosen;
  if (chosen) layOut();
  look();
}

async function start() {
  at("back").addEventListener("click", () => (window.location.hash = ""));
  at("sign-out").addEventListener("click", async () => {
    await call("sign-out", {}).catch(() => undefined);
    look();
  });
  // a job's name has no "="
  if (window.location.hash.startsWith("#key=")) {
    const token = secretOfLink("/owner").slice(4);
    try {
      await call("session", { token });
    } catch (error) {
      main.replaceChildren(message("This link doesn't work", error.message));
      return;
    }
  }
  window.addEventListener("hashchange", turn);
  turn();
}

start();
