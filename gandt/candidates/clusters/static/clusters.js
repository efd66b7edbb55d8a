"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  // names of items and labels are others' text: visible.js shows each of its characters
  const make = (tag, props = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), props);
    for (const name of ["textContent", "title"]) if (name in props) node[name] = visible(props[name]);
    node.append(...children);
    return node;
  };
  const quoted = (label) => `\u2068${visible(label)}\u2069`; // turns nothing around it in a sentence
  const many = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
  const image = (point, size = "small") => `/image/${size}/${point}`;
  let facts = null; // what never changes while the page is open
  let state = null; // what is decided
  let view = "loading";
  let shown = null; // the cluster on the page: {name, points, struck: Set, alike, items}
  let current = 0; // its tile that the keys move
  let last = null; // the tile struck last, where a range begins
  let k = 0;
  let busy = false;

  // ------------------------------------------------------------------ talking to gandt

  async function ask(path, content) {
    let answer;
    try {
      const body = content && { method: "POST", headers: { "Content-Type": "application/json", "X-Gandt": "clusters" }, body: JSON.stringify(content) };
      answer = await fetch(path, body || {});
    } catch {
      throw new Error("gandt cluster doesn't answer. All that you decided is kept: start it again, then reload this page.");
    }
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(told.reason || `gandt cluster answered ${answer.status}`);
    return told;
  }

  function complain(error) {
    at("message").textContent = error ? visible(error.message) : "";
    at("message").hidden = !error;
  }

  // one decision at a time; a second press while one is on its way is ignored
  async function decide(content) {
    if (busy) return null;
    busy = true;
    try {
      const told = await ask("/api/decide", content);
      state = told.state;
      complain(null);
      return told;
    } catch (error) {
      complain(error);
      return null;
    } finally {
      busy = false;
    }
  }

  // time at work: pauses of more than half a minute don't count
  let spent = 0;
  let moved = Date.now();
  const tick = () => {
    const now = Date.now();
    spent += Math.min(now - moved, 30000) / 1000;
    moved = now;
  };
  ["pointerdown", "pointermove", "keydown", "scroll"].forEach((name) => addEventListener(name, tick, { passive: true }));
  const seconds = () => {
    tick();
    const taken = spent;
    spent = 0;
    return Math.round(taken * 10) / 10;
  };

  // ------------------------------------------------------------------ what all views share

  const hues = new Map();
  function hue(label) {
    if (!hues.has(label)) hues.set(label, (25 + hues.size * 137.5) % 360);
    return `hsl(${hues.get(label)} 60% 50%)`;
  }

  function open(name) {
    view = name;
    ["loading", "choose", "name", "done"].forEach((each) => (at(each).hidden = each !== name));
    at("to-choose").hidden = name === "choose" || name === "loading";
    scrollTo(0, 0);
    head();
  }

  function head() {
    if (!state) return;
    const { counts, seconds: total } = state;
    const decided = facts.items - counts.open;
    const pace = total > 20 && decided ? ` · ${Math.round((counts.named / total) * 60)} a minute` : "";
    const left = state.clusters.filter((each) => each.outcome === "open").length;
    at("progress-text").textContent = state.k
      ? `${counts.named.toLocaleString("en")} of ${many(facts.items, "image")} named · ${left} to go${pace}`
      : many(facts.items, "image");
    const bar = (count, color, title) => {
      const part = make("i", { title: `${title}: ${count}` });
      part.style.width = `${(100 * count) / facts.items}%`;
      part.style.setProperty("--of", color);
      return part;
    };
    at("progress").replaceChildren(...state.names.map(([label, count]) => bar(count, hue(label), label)));
    at("progress").setAttribute("aria-label", `${counts.named} of ${facts.items} named`);
    at("undo").disabled = !state.undoable;
  }

  function say(text) {
    at("spoken").textContent = text;
  }

  // ------------------------------------------------------------------ choosing k

  function drawTree() {
    const svg = at("tree");
    at("tree-box").hidden = !facts.tree.length;
    if (!facts.tree.length) return;
    const leaves = facts.tree.length + 1;
    const top = facts.tree.at(-1)[2] || 1;
    svg.setAttribute("viewBox", `0 0 ${leaves * 10} 100`);
    svg.setAttribute("preserveAspectRatio", "none");
    const y = (height) => 97 - 92 * (height / top);
    const places = Array.from({ length: leaves }, (_, i) => [i * 10 + 5, 100]);
    svg.replaceChildren();
    const draw = (name, attributes) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", name);
      Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
      svg.append(node);
      return node;
    };
    facts.tree.forEach(([left, right, height], merge) => {
      const [a, b] = [places[left], places[right]];
      draw("path", { d: `M${a[0]} ${a[1]}V${y(height)}H${b[0]}V${b[1]}`, "data-merge": merge });
      places.push([(a[0] + b[0]) / 2, y(height)]);
    });
    draw("line", { x1: 0, x2: leaves * 10 });
  }

  // the cut goes between the heights of two merges
  const cutHeight = (count) => {
    const merges = facts.tree.length;
    const above = merges - (count - 1);
    const high = above < merges ? facts.tree[above][2] : facts.tree.at(-1)[2] * 1.04;
    const low = above > 0 ? facts.tree[above - 1][2] : 0;
    return (high + low) / 2;
  };

  function markCut() {
    if (!facts.tree.length) return;
    const top = facts.tree.at(-1)[2] || 1;
    const y = 97 - 92 * (cutHeight(k) / top);
    const line = at("tree").querySelector("line");
    line.setAttribute("y1", y);
    line.setAttribute("y2", y);
    const merges = facts.tree.length;
    at("tree").querySelectorAll("path").forEach((path) => path.classList.toggle("below", Number(path.dataset.merge) < merges - (k - 1)));
  }

  let asked = 0;
  async function showCut() {
    const ks = facts.ks;
    at("k").value = ks.indexOf(k);
    const known = new Map(facts.silhouettes);
    at("k-text").textContent = many(k, "cluster");
    at("k").setAttribute("aria-valuetext", many(k, "cluster"));
    at("fewer").disabled = k === ks[0];
    at("more").disabled = k === ks.at(-1);
    const value = known.has(k) ? `Silhouette ${known.get(k).toFixed(3)}` : "";
    const best = known.size ? `It is highest at ${facts.best}` : "";
    const grain = known.size && known.get(facts.best) < 0.1 ? ", but low everywhere: trust your eyes" : "; it is advice, trust your eyes";
    at("advice").textContent = [value, best && best + grain].filter(Boolean).map((sentence) => `${sentence}. `).join("");
    if (ks.length === 1) {
      ["k", "fewer", "more"].forEach((id) => (at(id).hidden = true));
      at("advice").textContent = `${facts.method} found this many; what lies between them comes last, as one cluster.`;
    }
    markCut();
    const mine = ++asked;
    try {
      const cut = await ask(`/api/cut/${k}`);
      if (mine !== asked) return;
      const strips = cut.clusters.map((each) => {
        const pictures = each.sample.map((point, place) => {
          const picture = make("img", { src: image(point), alt: "", loading: "lazy", decoding: "async" });
          // what is no picture (a table's row, a text) stands by its name
          picture.addEventListener("error", () => picture.replaceWith(make("span", { textContent: each.items[place], title: each.items[place] })));
          return picture;
        });
        return make("section", { className: "strip" }, make("h2", { textContent: many(each.size, "image") }), make("div", {}, ...pictures));
      });
      at("strips").replaceChildren(...strips);
      const rest = state.left < facts.points ? "Name the rest in" : "Name these";
      at("sort").hidden = !sortable();
      at("sort").textContent = `Sort the ${many(state.left, "image")} left by name`;
      at("go").textContent = `${rest} ${many(cut.clusters.length, "cluster")}`;
      complain(null);
    } catch (error) {
      complain(error);
    }
  }

  function toChoose() {
    if (!state.left) return complain(new Error("Everything is named or deleted; there is nothing left to cut."));
    complain(null);
    open("choose");
    at("title").textContent = "How many clusters?";
    // what is left over is of many kinds
    k = state.counts.named ? facts.ks.at(-1) : state.k || k || facts.best;
    showCut();
  }

  // what is named already foretells where the rest belongs
  const sortable = () => facts.splits && state.names.length > 1 && state.left > 0;
  async function sortRest() {
    if (!sortable() || !(await decide({ do: "sort", seconds: seconds() }))) return;
    ahead.name = null;
    await begin();
  }

  function stepK(by) {
    const next = facts.ks[facts.ks.indexOf(k) + by];
    if (next !== undefined) {
      k = next;
      showCut();
    }
  }

  // ------------------------------------------------------------------ naming

  const entry = () => state.clusters.find((each) => shown && each.name === shown.name);

  async function show(name, focus = true) {
    let content;
    try {
      content = await (ahead.name === name && ahead.content ? ahead.content : ask(`/api/cluster/${name}`));
    } catch (error) {
      return complain(error);
    }
    ahead.name = null;
    shown = { ...content, struck: new Set(content.struck) };
    current = 0;
    last = null;
    if (view !== "name") open("name");
    spent = 0;
    scrollTo(0, 0);
    const tiles = shown.points.map((point, place) => {
      const picture = make("img", { src: image(point), alt: "", loading: place < 60 ? "eager" : "lazy", decoding: "async", draggable: false });
      const tile = make("button", { type: "button", className: "tile", title: shown.items[place], tabIndex: place ? -1 : 0 }, picture);
      picture.addEventListener("error", () => {
        tile.classList.add("gone");
        tile.append(visible(shown.items[place]));
      });
      tile.dataset.place = place;
      return tile;
    });
    at("grid").replaceChildren(...tiles);
    paint();
    say(`Cluster of ${many(shown.points.length, "image")}`);
    if (focus) (state.names.length ? tiles[0] : at("label")).focus({ preventScroll: true });
    fetchNext();
  }

  // the next cluster is fetched while this one is being looked at
  const ahead = { name: null, content: null };
  function fetchNext() {
    const next = following(shown.name);
    if (!next || next.name === shown.name || ahead.name === next.name) return;
    ahead.name = next.name;
    ahead.content = ask(`/api/cluster/${next.name}`);
    ahead.content.then((content) => content.points.slice(0, 40).forEach((point) => (new Image().src = image(point)))).catch(() => (ahead.name = null));
  }

  function following(name) {
    const place = state.clusters.findIndex((each) => each.name === name);
    const order = [...state.clusters.slice(place + 1), ...state.clusters.slice(0, Math.max(place, 0))];
    return order.find((each) => each.outcome === "open");
  }

  // everything about the cluster on the page but its pictures
  function paint() {
    const it = entry();
    if (!it) return;
    const open = it.outcome === "open";
    const number = state.clusters.indexOf(it) + 1;
    at("title").textContent = `Cluster ${number} of ${state.clusters.length}`;
    const out = shown.struck.size;
    const words = { open: many(it.size, "image"), named: it.label && quoted(it.label), back: "sent back", deleted: "deleted" };
    at("heading").textContent = open ? `${words.open}${out ? `, ${out} struck out` : ""}` : `${words[it.outcome]} (${many(it.size - out, "image")}${out ? `, ${out} struck out` : ""})`;
    const sorted = it.guess ? `Are these ${quoted(it.guess)}? Enter says yes.` : "These are the least sure of all that is left.";
    at("sub").textContent = !open ? "Decided. Change opens it again." : `${it.name.startsWith("sorted") ? sorted : ""} Strike out what doesn't belong; the odd ones come first.`;
    at("label").placeholder = open && it.guess ? `${visible(it.guess)}?` : "Name what these show";
    at("grid").classList.toggle("decided", !open);
    at("grid").querySelectorAll(".tile").forEach((tile, place) => {
      const struck = shown.struck.has(shown.points[place]);
      tile.setAttribute("aria-pressed", String(struck));
      tile.setAttribute("aria-label", `Image ${place + 1}${struck ? ", struck out" : ""}`);
    });
    const near = it.guess || shown.alike[0];
    at("chips").replaceChildren(
      ...state.names.map(([label], place) => {
        const key = place < 9 ? String(place + 1) : place === 9 ? "0" : "";
        const chip = make("button", { type: "button", className: "chip", title: label === near ? `${label}: ${it.guess ? "foretold" : "most alike"}` : label, disabled: !open }, make("span", { textContent: label }));
        if (key) chip.append(make("kbd", { textContent: key }));
        chip.classList.toggle("alike", label === near && open);
        chip.style.setProperty("--of", hue(label));
        chip.addEventListener("click", () => name(label));
        return chip;
      }),
    );
    at("names").replaceChildren(...state.names.map(([label]) => make("option", { value: label })));
    at("label").value = open ? "" : it.label;
    ["label", "give", "back", "delete"].forEach((id) => (at(id).disabled = !open));
    at("split").disabled = !open || it.size < 2 || !facts.splits;
    at("reopen").hidden = open;
    at("split").hidden = !open;
    list();
    head();
  }

  function cover(each) {
    const picture = make("img", { src: image(each.cover), alt: "", loading: "lazy" });
    picture.addEventListener("error", () => (picture.style.visibility = "hidden"));
    return picture;
  }

  function list() {
    const rows = state.clusters.map((each) => {
      const words = { open: each.guess ? `${each.guess}?` : "not named", named: each.label, back: "sent back", deleted: "deleted" }[each.outcome];
      const row = make("button", { type: "button", className: each.outcome, title: words }, cover(each), make("span", { textContent: words }), make("small", { textContent: each.size }));
      if (each.label) row.style.setProperty("--of", hue(each.label));
      if (each.name === shown.name) row.setAttribute("aria-current", "true");
      row.addEventListener("click", () => show(each.name));
      return row;
    });
    const keep = at("list").scrollTop;
    at("list").replaceChildren(...rows);
    at("list").scrollTop = keep;
    const now = at("list").querySelector("[aria-current]");
    if (now) {
      const box = at("list").getBoundingClientRect();
      const row = now.getBoundingClientRect();
      if (row.top < box.top || row.bottom > box.bottom) at("list").scrollTop += row.top - box.top - box.height / 3;
      if (row.left < box.left || row.right > box.right) at("list").scrollLeft += row.left - box.left - box.width / 3;
    }
  }

  async function strike(places, on) {
    const it = entry();
    if (!it || it.outcome !== "open" || !places.length) return;
    const points = places.map((place) => shown.points[place]);
    const before = new Set(shown.struck);
    points.forEach((point) => (on ? shown.struck.add(point) : shown.struck.delete(point)));
    paint();
    // strikes may come quicker than answers: they wait for each other
    const mine = shown;
    queue = queue.then(async () => {
      try {
        const told = await ask("/api/decide", { do: "strike", cluster: mine.name, points, on });
        state = told.state;
        head();
      } catch (error) {
        complain(error);
        mine.struck = before;
        if (shown === mine) paint();
      }
    });
    await queue;
  }
  let queue = Promise.resolve();

  function toggle(place, range) {
    const on = !shown.struck.has(shown.points[place]);
    const from = range && last !== null ? Math.min(last, place) : place;
    const to = range && last !== null ? Math.max(last, place) : place;
    const value = range && last !== null ? shown.struck.has(shown.points[last]) : on;
    last = place;
    strike(Array.from({ length: to - from + 1 }, (_, i) => from + i), value);
  }

  async function settle(content) {
    await queue;
    const it = entry();
    if (!it || it.outcome !== "open") return;
    const told = await decide({ cluster: shown.name, seconds: seconds(), ...content });
    if (!told) return;
    ahead.name = ahead.name && state.clusters.some((each) => each.name === ahead.name) ? ahead.name : null;
    const next = content.do === "split" ? { name: told.halves[0] } : following(shown.name);
    if (next) await show(next.name);
    else toDone();
  }

  const name = (label) => {
    if (!label.trim() && entry()?.guess) return settle({ do: "name", label: entry().guess });
    if (!label.trim()) return complain(new Error("Type a name first, or press the number of one you gave before."));
    if (shown.struck.size === shown.points.length) return complain(new Error("Everything is struck out: send the cluster back instead."));
    return settle({ do: "name", label });
  };

  async function undo() {
    await queue;
    const told = await decide({ do: "undo" });
    if (!told) return;
    ahead.name = null;
    if (told.undone.do === "k" || told.undone.do === "sort") return state.k ? begin() : toChoose();
    const wanted = told.undone.cluster;
    const there = state.clusters.find((each) => each.name === wanted) || state.clusters.find((each) => each.outcome === "open");
    if (there) await show(there.name);
  }

  async function reopen() {
    if (await decide({ do: "reopen", cluster: shown.name })) await show(shown.name);
  }

  function neighbour(by) {
    const place = state.clusters.findIndex((each) => each.name === shown.name);
    const next = state.clusters[(place + by + state.clusters.length) % state.clusters.length];
    if (next) show(next.name);
  }

  function move(to) {
    const tiles = at("grid").children;
    if (!tiles.length) return;
    const bounded = Math.max(0, Math.min(tiles.length - 1, to));
    tiles[current].tabIndex = -1;
    current = bounded;
    tiles[current].tabIndex = 0;
    tiles[current].focus();
    tiles[current].scrollIntoView({ block: "nearest" });
    if (at("large").open) enlarge(current);
  }

  const columns = () => getComputedStyle(at("grid")).gridTemplateColumns.split(" ").length;

  function enlarge(place = current) {
    current = place;
    at("large-image").src = image(shown.points[place], "large");
    at("large-title").textContent = visible(shown.items[place]);
    paintLarge();
    if (!at("large").open) at("large").showModal();
  }
  function paintLarge() {
    const out = shown.struck.has(shown.points[current]);
    at("large").classList.toggle("struck", out);
    at("large-strike").firstChild.textContent = out ? "Take back " : "Strike out ";
    at("large-strike").disabled = entry().outcome !== "open";
  }

  // ------------------------------------------------------------------ done

  function toDone() {
    open("done");
    at("title").textContent = "Done";
    const { counts } = state;
    const minutes = state.seconds / 60;
    const pace = minutes > 0.3 ? ` in ${minutes < 10 ? minutes.toFixed(1) : Math.round(minutes)} minutes at work, ${Math.round(counts.named / minutes)} a minute` : "";
    const rest = counts.struck + counts.back + counts.open;
    at("done-text").textContent = `${many(counts.named, "image")} named${pace}. ${many(rest, "image")} left: ${counts.struck} struck out, ${counts.back} sent back${counts.open ? `, ${counts.open} not decided` : ""}. ${counts.deleted} deleted.`;
    const most = Math.max(1, ...state.names.map(([, count]) => count));
    at("done-names").replaceChildren(
      ...state.names.map(([label, count]) => {
        const bar = make("i");
        bar.style.width = `${(100 * count) / most}%`;
        bar.style.setProperty("--of", hue(label));
        return make("div", {}, make("span", { textContent: label }), bar, make("span", { textContent: count.toLocaleString("en") }));
      }),
    );
    at("done-files").textContent = `Labels are in ${quoted(facts.labels)}. What is left stands there as “relabel”: cut it anew here, or ask about it one by one with gandt manifest build.`;
    at("sort-rest").textContent = `Sort the ${many(state.left, "image")} left by name`;
    at("sort-rest").hidden = !sortable();
    at("again").textContent = `Cut the ${many(state.left, "image")} left anew`;
    at("again").hidden = !state.left;
  }

  async function begin() {
    const first = state.clusters.find((each) => each.outcome === "open");
    if (first) await show(first.name);
    else if (state.clusters.length) toDone();
    else toChoose();
  }

  // ------------------------------------------------------------------ keys, clicks

  const NAMING = {
    n: () => at("label").focus(),
    Enter: () => (entry()?.guess && entry().outcome === "open" ? name("") : at("label").focus()),
    x: () => toggle(current, false),
    " ": () => toggle(current, false),
    X: () => toggle(current, true),
    z: () => (at("large").open ? at("large").close() : enlarge()),
    b: () => settle({ do: "back" }),
    d: () => settle({ do: "delete" }),
    s: () => at("split").disabled || settle({ do: "split" }),
    e: () => at("reopen").hidden || reopen(),
    ".": () => neighbour(1),
    ",": () => neighbour(-1),
    ArrowRight: () => move(current + 1),
    ArrowLeft: () => move(current - 1),
    ArrowDown: () => move(current + columns()),
    ArrowUp: () => move(current - columns()),
    Home: () => move(0),
    End: () => move(shown.points.length - 1),
    "+": () => resize(1),
    "-": () => resize(-1),
    r: sortRest,
    "?": () => at("keys-help").click(),
  };
  const CHOOSING = { r: sortRest, ArrowRight: () => stepK(1), ArrowLeft: () => stepK(-1), "+": () => stepK(1), "-": () => stepK(-1), Enter: () => at("go").click() };
  at("keys").append(
    ...[["1 … 9, 0", "a name given before"], ["n or ⏎", "type a name"], ["x or space", "strike out"], ["Shift+click or X", "strike out a range"], ["← → ↑ ↓", "move"], ["z", "enlarge"], ["s", "split"], ["b", "send back"], ["d", "delete"], [". and ,", "next, previous"], ["e", "change"], ["u", "undo"], ["c", "choose k"], ["r", "sort the rest by name"], ["+ −", "size"]].map(([key, about]) => make("span", {}, make("kbd", { textContent: key }), ` ${about}`)),
  );

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const typing = event.target === at("label");
    if (typing) {
      if (event.key === "Escape") {
        at("label").value = "";
        at("grid").children[current]?.focus({ preventScroll: true });
      }
      return;
    }
    const pressing = event.target.matches("button:not(.tile)") && (event.key === "Enter" || event.key === " ");
    const sliding = event.target.matches("input[type=range]") && /^(Arrow|Home|End|Page)/.test(event.key);
    if (pressing || sliding || view === "loading") return;
    let act = null;
    if (event.key === "u") act = () => at("undo").disabled || undo();
    else if (event.key === "c" && !at("to-choose").hidden) act = toChoose;
    else if (view === "choose") act = CHOOSING[event.key];
    else if (view === "name") {
      const place = "1234567890".indexOf(event.key);
      if (event.key.length === 1 && place >= 0) act = () => state.names[place] && name(state.names[place][0]);
      else act = NAMING[event.key];
    }
    if (!act) return;
    event.preventDefault();
    if (event.repeat && !/^Arrow/.test(event.key)) return;
    complain(null);
    act();
    if (at("large").open) paintLarge();
  });

  at("grid").addEventListener("click", (event) => {
    const tile = event.target.closest(".tile");
    if (!tile || held) return;
    at("grid").children[current].tabIndex = -1;
    current = Number(tile.dataset.place);
    tile.tabIndex = 0;
    toggle(current, event.shiftKey);
  });
  at("grid").addEventListener("focusin", (event) => {
    const tile = event.target.closest(".tile");
    if (tile) current = Number(tile.dataset.place);
  });
  // a long press enlarges, for fingers
  let held = false;
  let timer = 0;
  at("grid").addEventListener("pointerdown", (event) => {
    held = false;
    const tile = event.target.closest(".tile");
    if (!tile || event.pointerType === "mouse") return;
    timer = setTimeout(() => {
      held = true;
      enlarge(Number(tile.dataset.place));
    }, 450);
  });
  ["pointerup", "pointercancel", "pointermove"].forEach((name) => at("grid").addEventListener(name, (event) => {
    if (name !== "pointermove" || Math.abs(event.movementX) + Math.abs(event.movementY) > 4) clearTimeout(timer);
  }));
  at("grid").addEventListener("contextmenu", (event) => event.pointerType !== "mouse" && event.preventDefault());
  at("grid").addEventListener("dblclick", (event) => event.preventDefault());

  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    complain(null);
    name(at("label").value);
  });
  at("back").addEventListener("click", () => settle({ do: "back" }));
  at("delete").addEventListener("click", () => settle({ do: "delete" }));
  at("split").addEventListener("click", () => settle({ do: "split" }));
  at("reopen").addEventListener("click", reopen);
  at("next").addEventListener("click", () => neighbour(1));
  at("undo").addEventListener("click", undo);
  at("to-choose").addEventListener("click", toChoose);
  at("again").addEventListener("click", toChoose);
  at("sort").addEventListener("click", sortRest);
  at("sort-rest").addEventListener("click", sortRest);
  at("look").addEventListener("click", () => state.clusters.length && show(state.clusters[0].name));
  at("fewer").addEventListener("click", () => stepK(-1));
  at("more").addEventListener("click", () => stepK(1));
  at("k").addEventListener("input", () => {
    k = facts.ks[Number(at("k").value)];
    showCut();
  });
  at("go").addEventListener("click", async () => {
    if (await decide({ do: "k", k, seconds: seconds() })) {
      ahead.name = null;
      await begin();
    }
  });
  // a click on the dendrogram cuts it at that height
  at("tree").addEventListener("click", (event) => {
    const box = at("tree").getBoundingClientRect();
    const top = facts.tree.at(-1)[2] || 1;
    const height = ((97 - (100 * (event.clientY - box.top)) / box.height) / 92) * top;
    const above = facts.tree.filter((merge) => merge[2] > height).length + 1;
    k = facts.ks.reduce((best, each) => (Math.abs(each - above) < Math.abs(best - above) ? each : best), facts.ks[0]);
    showCut();
  });
  at("keys-help").addEventListener("click", () => {
    at("keys").hidden = !at("keys").hidden;
    at("keys-help").setAttribute("aria-expanded", String(!at("keys").hidden));
  });
  at("large-close").addEventListener("click", () => at("large").close());
  at("large-strike").addEventListener("click", () => {
    toggle(current, false);
    paintLarge();
  });
  at("large").addEventListener("click", (event) => event.target === at("large-image") && at("large").close());
  at("large").addEventListener("close", () => at("grid").children[current]?.focus({ preventScroll: true }));

  function resize(by) {
    const size = Math.max(4, Math.min(16, Number(at("size").value) + by));
    at("size").value = size;
    document.documentElement.style.setProperty("--tile", `${size}rem`);
    try { localStorage.setItem("gandt-tile", size); } catch { /* for this page only */ }
  }
  at("size").addEventListener("input", () => resize(0));
  try { at("size").value = localStorage.getItem("gandt-tile") || 9; } catch { at("size").value = 9; }
  resize(0);

  (async () => {
    try {
      const token = location.hash.slice(1);
      if (token) {
        await ask("/session", { token });
        history.replaceState(null, "", "/");
      }
      facts = await ask("/api/start");
      state = facts.state;
      state.names.forEach(([label]) => hue(label));
      k = state.k || facts.best;
      at("k").min = 0;
      at("k").max = facts.ks.length - 1;
      drawTree();
      if (state.k) await begin();
      else toChoose();
    } catch (error) {
      at("loading").firstElementChild.textContent = visible(error.message);
    }
  })();
})();
