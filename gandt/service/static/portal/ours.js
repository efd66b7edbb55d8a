// What the workers' portal and the owner's page share: calls of the server, and elements made without markup, in which
// each character that others wrote is seen (visible.js).
"use strict";

const at = (id) => document.getElementById(id);

class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

async function ask(address, content) {
  const options = { headers: { "X-Gandt": "portal", "Content-Type": "application/json" } };
  if (content !== undefined) Object.assign(options, { method: "POST", body: JSON.stringify(content) });
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Refused(0, "The server can't be reached. Nothing you sent is lost; try again in a moment.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, sentence(answer.reason || `the server answered ${response.status}`));
  return answer;
}

// A reason as the server gives it, "this isn't so", as a sentence.
function sentence(reason) {
  return `${reason[0].toUpperCase()}${reason.slice(1)}${/[.!?]$/.test(reason) ? "" : "."}`;
}

function element(tag, text, ...children) {
  const made = document.createElement(tag);
  if (text) write(made, text);
  made.append(...children.map((child) => (child instanceof Node ? child : visible(child))));
  return made;
}

// Put a text that others may have written into an element; `lines` keeps its lines.
function write(made, text, lines = false) {
  made.textContent = visible(text, lines);
}

function title(text) {
  write(at("heading"), text);
  document.title = visible(text);
}

function notice(text) {
  write(at("notice"), text);
  at("notice").hidden = !text;
}

function button(text, action) {
  const made = element("button", text);
  made.addEventListener("click", action);
  return made;
}

function message(heading, text, ...more) {
  const box = element("div", "", element("h2", heading), element("p", text), ...more);
  box.className = "message";
  return box;
}

// The job that the address names after its "#"; none where that is no text.
function named() {
  try {
    return decodeURIComponent(window.location.hash.slice(1));
  } catch {
    return "";
  }
}

// Take a secret out of the address, where it would stay in the history.
function secretOfLink(path) {
  const token = window.location.hash.slice(1);
  if (token) window.history.replaceState(null, "", path);
  return token;
}
