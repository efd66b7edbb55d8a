// Tiles with answers to choose from: digits toggle, arrows move, Enter goes on, z enlarges; nothing is submitted
// while a tile lacks its answer. Every tile keeps its answer as a JSON list in its own hidden input.
(() => {
  "use strict";
  const form = document.querySelector("crowd-form");
  const tiles = [...document.querySelectorAll(".tile")];
  const multi = document.querySelector(".tiles").dataset.multi === "true";
  const find = (selector) => document.querySelector(selector);
  const submit = find("crowd-button");
  const message = find(".message");
  const choices = (tile) => [...tile.querySelectorAll(".choice")];
  const chosen = (tile) => choices(tile).filter((choice) => choice.getAttribute("aria-pressed") === "true");
  const answered = (tile) => chosen(tile).length > 0;
  const noun = find(".tiles").dataset.noun || "image";
  let current = 0;
  let large = null;

  // digits first, 0 for "none of these", then letters that no other key here uses
  const KEYS = "123456789qwertyuiopasdfghjklxcvbnm";
  tiles.forEach((tile) => {
    let next = 0;
    choices(tile).forEach((choice) => {
      choice.dataset.key = choice.hasAttribute("data-other") ? "0" : KEYS[next++] || "";
      choice.querySelector("kbd").textContent = choice.dataset.key;
      choice.querySelector("kbd").hidden = !choice.dataset.key;
      if (choice.dataset.key) choice.setAttribute("aria-keyshortcuts", choice.dataset.key);
    });
  });

  function toggle(tile, choice) {
    const on = choice.getAttribute("aria-pressed") !== "true";
    const alone = !multi || choice.hasAttribute("data-other");
    choices(tile).forEach((each) => {
      if (on && each !== choice && (alone || each.hasAttribute("data-other"))) each.setAttribute("aria-pressed", "false");
    });
    choice.setAttribute("aria-pressed", String(on));
    tile.querySelector("input[type=hidden]").value = JSON.stringify(chosen(tile).map((each) => each.dataset.label));
    tile.classList.toggle("answered", answered(tile));
    if (answered(tile)) tile.classList.remove("missing");
    show();
    return on;
  }

  function show() {
    const done = tiles.filter(answered).length;
    find(".count").textContent = `${done} of ${tiles.length} answered`;
    const bar = find("progress");
    bar.max = tiles.length;
    bar.value = done;
    if (!document.querySelector(".missing")) message.textContent = "";
    if (large) large.show();
  }

  function go(index, focus = true) {
    const tile = tiles[index];
    if (!tile) return;
    tiles.forEach((each, at) => {
      each.classList.toggle("current", at === index);
      each.tabIndex = at === index ? 0 : -1;
      choices(each).forEach((choice) => (choice.tabIndex = at === index ? 0 : -1));
    });
    current = index;
    if (large) large.show();
    else if (focus) {
      tile.focus({ preventScroll: true });
      tile.scrollIntoView({ block: "nearest" });
    }
  }

  function onward() {
    const order = [...tiles.keys()].map((step) => (current + 1 + step) % tiles.length);
    const next = order.find((index) => !answered(tiles[index]));
    if (next !== undefined) return go(next);
    if (large) large.close();
    submit.focus();
    if (!submit.matches(":focus, :focus-within")) send();
  }

  function beside(key) {
    if (key === "ArrowLeft") return current - 1;
    if (key === "ArrowRight") return current + 1;
    if (key === "Home") return 0;
    if (key === "End") return tiles.length - 1;
    const down = key === "ArrowDown" ? 1 : -1;
    const here = tiles[current].getBoundingClientRect();
    let best = current;
    let distance = Infinity;
    tiles.forEach((tile, index) => {
      const there = tile.getBoundingClientRect();
      const rows = (there.top - here.top) * down;
      const far = rows * 1e4 + Math.abs(there.left - here.left);
      if (rows > 1 && far < distance) [best, distance] = [index, far];
    });
    return best;
  }

  function check() {
    const missing = tiles.filter((tile) => !answered(tile));
    tiles.forEach((tile) => tile.classList.toggle("missing", !answered(tile)));
    if (!missing.length) return true;
    go(tiles.indexOf(missing[0]));
    const rest = missing.length === 1 ? `${noun} ${current + 1} has` : `${missing.length} ${noun}s have`;
    message.textContent = `Not submitted: ${rest} no answer yet.`;
    return false;
  }

  function send() {
    if (typeof form.submit === "function") form.submit();
    else if (check()) message.textContent = "The page can't be submitted yet: Ground Truth's script did not load. Try again in a moment.";
  }

  form.onsubmit = (event) => {
    if (!check()) event.preventDefault();
  };
  submit.addEventListener("click", () => typeof form.submit === "function" || send());

  document.addEventListener("click", (event) => {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    go(tiles.indexOf(tile), false);
    const choice = event.target.closest(".choice");
    const picture = event.target.closest(".picture");
    if (choice) toggle(tile, choice);
    else if (picture && picture.classList.contains("broken")) retry(picture);
    else if (picture) enlarge();
  });
  document.addEventListener("focusin", (event) => {
    const tile = event.target.closest && event.target.closest(".tile");
    if (tile && !large) go(tiles.indexOf(tile), false);
  });

  document.addEventListener("keydown", (event) => {
    const writing = event.target.matches && event.target.matches("textarea, input:not([type=hidden])");
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (large) large.close();
      return send();
    }
    if (writing || event.ctrlKey || event.metaKey || event.altKey) return;
    const inside = large || !event.target.closest || event.target.closest(".tile") || event.target === document.body;
    const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code);
    const key = digit && !event.shiftKey ? digit[1] : event.key.toLowerCase();
    const choice = choices(tiles[current]).find((each) => each.dataset.key && each.dataset.key === key);
    if (choice) {
      if (event.repeat) return;
      const on = toggle(tiles[current], choice);
      if (on && !multi && quick.value) onward();
    } else if (event.key === "Enter" && inside) onward();
    else if (/^(Arrow|Home$|End$)/.test(event.key) && inside) go(beside(event.key));
    else if (key === "z" && !event.repeat) large ? large.close() : enlarge();
    else return;
    event.preventDefault();
  });

  // the worker's own switch: go on by itself after a digit (where one answer is asked for)
  const quick = { value: false };
  const flip = find("[data-quick]");
  if (flip) {
    flip.hidden = multi || tiles.length < 2;
    const set = (value) => {
      quick.value = value;
      flip.setAttribute("aria-pressed", String(value));
      try { localStorage.setItem("gandt-quick", value ? "1" : ""); } catch { /* no storage: for this page only */ }
    };
    try { set(localStorage.getItem("gandt-quick") === "1"); } catch { set(false); }
    flip.addEventListener("click", () => set(!quick.value));
  }

  // pictures that fail say so, and can be asked for again
  function retry(picture) {
    const image = picture.querySelector("img");
    const source = image.src;
    picture.classList.remove("broken");
    image.removeAttribute("src");
    image.src = source;
  }
  document.querySelectorAll(".picture img").forEach((image) => {
    const broken = () => image.closest(".picture").classList.add("broken");
    image.addEventListener("error", broken);
    if (image.complete && !image.naturalWidth && image.getAttribute("src")) broken();
  });

  function enlarge() {
    const picture = tiles[current].querySelector(".picture img");
    if (!picture || large) return;
    const dialog = document.createElement("dialog");
    dialog.className = "large";
    dialog.innerHTML = `<div><b></b><button type="button" class="plain" data-do="size">Full size</button>
      <button type="button" class="plain" data-do="close">Close</button></div><figure tabindex="0"><img></figure>
      <div><button type="button" class="plain" data-do="back" aria-label="Previous">←</button><span class="choices"></span>
      <button type="button" class="plain" data-do="on" aria-label="Next">→</button></div>`;
    const part = (selector) => dialog.querySelector(selector);
    const size = (whole) => {
      part("figure").classList.toggle("whole", whole);
      part("[data-do=size]").textContent = whole ? "Fit to the window" : "Full size";
    };
    const end = () => {
      if (!large) return;
      large = null;
      dialog.remove();
      go(current);
    };
    large = {
      tile: null,
      close: () => (dialog.close(), end()),
      show() {
        const tile = tiles[current];
        if (this.tile !== tile) {
          const image = tile.querySelector(".picture img");
          part("img").src = image.src;
          part("img").alt = image.alt;
          part("b").textContent = tile.getAttribute("aria-label");
          size(false);
          part(".choices").replaceChildren(
            ...choices(tile).map((choice) => {
              const twin = choice.cloneNode(true);
              twin.tabIndex = 0;
              twin.addEventListener("click", () => toggle(tile, choice));
              return twin;
            }),
          );
          this.tile = tile;
        }
        const twins = [...part(".choices").children];
        choices(tile).forEach((choice, at) => twins[at].setAttribute("aria-pressed", choice.getAttribute("aria-pressed")));
      },
    };
    dialog.addEventListener("close", end);
    dialog.addEventListener("click", (event) => {
      const what = event.target.dataset.do || (event.target.matches("figure img") ? "size" : "");
      if (what === "close") large.close();
      else if (what === "back") go(current - 1);
      else if (what === "on") go(current + 1);
      else if (what === "size") size(!part("figure").classList.contains("whole"));
    });
    document.body.append(dialog);
    dialog.showModal();
    part("figure").focus();
    large.show();
  }

  // a folded guide stays folded on the worker's next page
  const guide = find(".guide");
  if (guide) {
    try {
      if (localStorage.getItem("gandt-guide") === "folded") guide.open = false;
      guide.addEventListener("toggle", () => localStorage.setItem("gandt-guide", guide.open ? "" : "folded"));
    } catch { /* no storage: the guide opens each time */ }
  }

  show();
  go(0, false);
  if (document.activeElement === document.body && tiles[0]) tiles[0].focus({ preventScroll: true });
})();
