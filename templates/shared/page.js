// Tiles with answers to choose from: digits toggle, arrows move, Enter goes on, z enlarges; nothing is submitted
// while a tile lacks its answer. Every tile keeps its answer as JSON in its own hidden input.
//
// A template with answers of another kind sets window.gandt before this script:
//   answer(tile, labels) → what its hidden input holds (labels: those chosen), "" or [] for none yet
//   load(tile, answer)   shows an answer given earlier
//   key(event, tile, key) → true where it dealt with a key (its digit or letter is the third)
//   missing()            the message while answers are missing
//   count(tiles)         the words beside the progress bar
//   start()              called once all is set up
//   first                the element to focus first
// and calls gandt.changed(tile) after a change of its own.
(() => {
  "use strict";
  const gandt = (window.gandt = { answer: (tile, labels) => labels, ...window.gandt });
  const find = (selector) => document.querySelector(selector);
  const form = find("crowd-form");
  const board = find(".tiles");
  const tiles = [...document.querySelectorAll(".tile")];
  const multi = board.dataset.multi === "true";
  const noun = board.dataset.noun || "image";
  const submit = find("crowd-button");
  const message = find(".message");
  const choices = (tile) => [...tile.querySelectorAll(".choice")];
  const field = (tile) => tile.querySelector("input[type=hidden]");
  const text = (tile) => tile.querySelector("textarea");
  const pressed = (choice) => choice.getAttribute("aria-pressed") === "true";
  const press = (choice, on) => choice.setAttribute("aria-pressed", String(on));
  const answered = (tile) => !["", "[]"].includes(field(tile).value);
  let current = 0;
  let large = null;

  // digits first, 0 for "none of these", then the letters that no other key here uses; data-key adds one of its own
  const KEYS = "123456789qwertyuiopasdfghjklxcvbnm";
  tiles.forEach((tile) => {
    let next = 0;
    choices(tile).forEach((choice) => {
      const key = choice.hasAttribute("data-other") ? "0" : KEYS[next++] || "";
      choice.keys = [key, choice.dataset.key].filter(Boolean);
      choice.querySelector("kbd").textContent = key;
      choice.querySelector("kbd").hidden = !key;
      if (key) choice.setAttribute("aria-keyshortcuts", choice.keys.join(" "));
    });
    const hint = document.createElement("span");
    hint.id = `missing-${tiles.indexOf(tile)}`;
    hint.className = "only-read-aloud";
    hint.textContent = "Not answered yet";
    hint.hidden = true;
    tile.append(hint);
  });

  function changed(tile) {
    const typed = text(tile);
    const labels = typed ? [typed.value.trim()].filter(Boolean) : choices(tile).filter(pressed).map((each) => each.dataset.label);
    const answer = gandt.answer(tile, labels);
    const value = answer === "" ? "" : JSON.stringify(answer);
    if (field(tile).value !== value) {
      field(tile).value = value;
      field(tile).dispatchEvent(new Event("change", { bubbles: true })); // for a portal that keeps drafts
    }
    tile.classList.toggle("answered", answered(tile));
    if (answered(tile)) mark(tile, false);
    show();
  }
  gandt.changed = changed;

  function mark(tile, missing) {
    tile.classList.toggle("missing", missing);
    const hint = tile.querySelector("[id^=missing-]");
    hint.hidden = !missing;
    if (missing) tile.setAttribute("aria-describedby", hint.id);
    else tile.removeAttribute("aria-describedby");
  }

  function toggle(tile, choice) {
    const on = !pressed(choice);
    const alone = !multi || choice.hasAttribute("data-other");
    choices(tile).forEach((each) => {
      if (on && each !== choice && (alone || each.hasAttribute("data-other"))) press(each, false);
    });
    press(choice, on);
    changed(tile);
    return on;
  }

  // what a portal puts back into the hidden input, when a worker takes a page up again, is shown
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const tile = target.closest(".tile");
      let answer;
      try { answer = JSON.parse(target.value || "[]"); } catch { continue; }
      const labels = Array.isArray(answer) ? answer : [];
      const shown = JSON.stringify(choices(tile).filter(pressed).map((each) => each.dataset.label));
      if (gandt.load) gandt.load(tile, answer);
      else if (text(tile)) { if (text(tile).value.trim() !== (labels[0] || "")) text(tile).value = labels[0] || ""; }
      else if (shown !== target.value) choices(tile).forEach((each) => press(each, labels.includes(each.dataset.label)));
      tile.classList.toggle("answered", answered(tile));
      show();
    }
  }).observe(board, { subtree: true, attributes: true, attributeFilter: ["value"] });

  function show() {
    const done = tiles.filter(answered).length;
    const count = find(".count");
    if (count) count.textContent = gandt.count ? gandt.count(tiles) : `${done} of ${tiles.length} answered`;
    const bar = find("progress");
    if (bar) [bar.max, bar.value] = [tiles.length, done];
    if (!find(".missing")) say("");
    if (large) large.show();
  }

  function say(words) {
    message.textContent = words;
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
    if (large) return large.show();
    if (!focus) return;
    (text(tile) || tile).focus({ preventScroll: true });
    tile.scrollIntoView({ block: "nearest" });
  }

  function onward() {
    const order = [...tiles.keys()].map((step) => (current + 1 + step) % tiles.length);
    const next = order.find((index) => !answered(tiles[index]));
    if (next === current) return check();
    if (next !== undefined) return go(next);
    if (large) large.close();
    submit.focus();
    if (tiles.length === 1 || !submit.matches(":focus, :focus-within")) send();
  }

  function beside(key) {
    if (key === "ArrowLeft") return current - 1;
    if (key === "ArrowRight") return current + 1;
    if (key === "Home") return 0;
    if (key === "End") return tiles.length - 1;
    const down = key === "ArrowDown" ? 1 : -1;
    const here = tiles[current].getBoundingClientRect();
    let [best, distance] = [current, Infinity];
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
    tiles.forEach((tile) => mark(tile, !answered(tile)));
    if (!missing.length) return true;
    if (large) large.close();
    go(tiles.indexOf(missing[0]));
    const rest = missing.length > 1 ? `${missing.length} ${noun}s have` : `${noun} ${tiles.length > 1 ? `${current + 1} ` : ""}has`;
    say(`Not submitted: ${gandt.missing ? gandt.missing() : `${tiles.length > 1 ? "" : "the "}${rest} no answer yet.`}`);
    return false;
  }

  function send() {
    if (!check()) return;
    if (typeof form.submit === "function") form.submit();
    else say("This can't be submitted yet: Ground Truth's script did not load. Try again in a moment.");
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
    else if (picture && picture.hasAttribute("data-choose")) toggle(tile, choices(tile)[0]);
    else if (picture) enlarge(picture);
  });
  document.addEventListener("focusin", (event) => {
    const tile = event.target.closest && event.target.closest(".tile");
    if (tile && !large) go(tiles.indexOf(tile), false);
  });
  tiles.filter(text).forEach((tile) => text(tile).addEventListener("input", () => changed(tile)));

  document.addEventListener("play", (event) => {
    document.querySelectorAll("audio").forEach((sound) => sound === event.target || sound.pause());
  }, true);

  // caught on the way down, so that no element acts on a key a second time
  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const target = event.target.matches ? event.target : document.body;
    const handled = () => { event.preventDefault(); event.stopImmediatePropagation(); };
    const enter = event.key === "Enter";
    if (enter && (event.ctrlKey || event.metaKey)) {
      handled();
      return event.repeat || send();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (enter && target === submit) {
      handled();
      return event.repeat || send();
    }
    // the digit or Latin letter on the key, whatever the keyboard's script and wherever its digits lie
    const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code);
    const letter = /^[^\x00-\x7f]$/.test(event.key) && /^Key([A-Z])$/.exec(event.code);
    const key = digit && !event.shiftKey ? digit[1] : letter ? letter[1].toLowerCase() : event.key.toLowerCase();
    if (gandt.key && gandt.key(event, tiles[current], key)) return handled();
    if (target.matches("input:not([type=hidden])")) return;
    if (target.matches("textarea")) {
      if (!enter || event.shiftKey) return;
      handled();
      return event.repeat || onward();
    }
    const inside = large ? !target.closest("[data-do]") : target === document.body || target.closest(".tile");
    const turn = large && key.startsWith("arrow");
    const choice = !turn && choices(tiles[current]).find((each) => each.keys.includes(key));
    const sound = tiles[current].querySelector("audio");
    // a button that the keyboard has reached is pressed by Enter, as any button; once it is, Enter goes on
    if (enter && target.matches(".choice") && !pressed(target)) return;
    if (choice && !event.shiftKey) {
      if (target.matches(".tile .choice")) tiles[current].focus({ preventScroll: true });
      if (!event.repeat && toggle(tiles[current], choice) && !multi && quick) onward();
    } else if (enter && inside) event.repeat || onward();
    else if (/^(Arrow|Home$|End$)/.test(event.key) && inside) large ? large.step(event.key) : go(beside(event.key));
    else if (key === "z" && (large || tiles[current].querySelector(".picture"))) event.repeat || (large ? large.close() : enlarge());
    else if (key === " " && sound && (target === tiles[current] || target === document.body)) sound.paused ? sound.play() : sound.pause();
    else return;
    handled();
  }, true);

  // the worker's own switch: go on by itself after a key (where one answer is asked for)
  let quick = false;
  const flip = find("[data-quick]");
  if (flip && !multi && tiles.length > 1) {
    flip.hidden = false;
    const set = (on) => {
      quick = on;
      press(flip, on);
      try { localStorage.setItem("gandt-quick", on ? "1" : ""); } catch { /* no storage: for this page only */ }
    };
    try { set(localStorage.getItem("gandt-quick") === "1"); } catch { set(false); }
    flip.addEventListener("click", () => set(!quick));
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

  function enlarge(picture = tiles[current].querySelector(".picture")) {
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
    const pictures = [...document.querySelectorAll(".picture")];
    large = {
      picture: null,
      close: () => (dialog.close(), end()),
      step(key) {
        const next = pictures[pictures.indexOf(this.picture) + (key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1)];
        if (next) this.show(next);
      },
      show(next = this.picture) {
        if (next === this.picture && next.closest(".tile") !== tiles[current]) next = tiles[current].querySelector(".picture");
        const tile = next.closest(".tile");
        if (next !== this.picture) {
          this.picture = next;
          if (tile !== tiles[current]) go(tiles.indexOf(tile));
          const image = next.querySelector("img");
          part("img").src = image.src;
          part("img").alt = image.alt;
          part("b").textContent = next.closest("[data-side]") ? image.alt : tile.getAttribute("aria-label");
          part("[data-do=back]").disabled = next === pictures[0];
          part("[data-do=on]").disabled = next === pictures.at(-1);
          size(false);
          const twins = choices(tile).map((choice) => {
            const twin = choice.cloneNode(true);
            twin.tabIndex = 0;
            twin.addEventListener("click", () => toggle(tile, choice));
            return twin;
          });
          part(".choices").replaceChildren(...twins);
        }
        choices(tile).forEach((choice, at) => press(part(".choices").children[at], pressed(choice)));
      },
    };
    dialog.addEventListener("close", end);
    dialog.addEventListener("click", (event) => {
      const what = event.target.dataset.do || (event.target.matches("figure img") ? "size" : "");
      if (what === "close") large.close();
      else if (what === "back") large.step("ArrowLeft");
      else if (what === "on") large.step("ArrowRight");
      else if (what === "size") size(!part("figure").classList.contains("whole"));
    });
    document.body.append(dialog);
    dialog.showModal();
    part("figure").focus();
    large.show(picture);
  }

  // a folded guide stays folded on the worker's next page
  const guide = find(".guide");
  if (guide) {
    try {
      if (localStorage.getItem("gandt-guide") === "folded") guide.open = false;
      guide.addEventListener("toggle", () => localStorage.setItem("gandt-guide", guide.open ? "" : "folded"));
    } catch { /* no storage: the guide opens each time */ }
  }

  if (gandt.start) gandt.start();
  show();
  go(0, false);
  // the focus waits until the form has moved its contents about; keys work without it
  const begin = () => tiles[0] && document.activeElement === document.body && (gandt.first || text(tiles[0]) || tiles[0]).focus({ preventScroll: true });
  document.addEventListener("all-crowd-elements-ready", begin);
  addEventListener("load", () => setTimeout(begin, 1000));
})();
