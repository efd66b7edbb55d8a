// <crowd-entity-annotation>: labels on stretches of a text. Outside a crowd-form it brings a form of its own, in its
// shadow root, where templates' scripts look for it.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class CrowdEntityAnnotation extends crowd.CrowdWidget {
    static attributes = { ...crowd.CrowdWidget.attributes, "initial-value": "json", labels: "json", text: "string" };
    static styles = `${crowd.CrowdWidget.styles}
      .paper {
        position: relative; padding: 0.75rem 1rem; border: 1px solid var(--crowd-line); border-radius: 0.375rem; line-height: 2.1;
        white-space: pre-wrap; overflow-wrap: anywhere; cursor: text; user-select: none; -webkit-user-select: none; touch-action: pan-y;
        max-height: 70vh; overflow: auto;
      }
      .letters { position: relative; }
      mark {
        background: var(--crowd-raised); color: inherit; border: 2px solid; border-radius: 0.25rem; padding: 0.125rem 0.1875rem;
        cursor: pointer; box-decoration-break: clone; -webkit-box-decoration-break: clone;
      }
      mark.chosen { outline: 3px solid var(--crowd-accent); }
      .tag { font-size: 0.75rem; font-weight: 600; padding: 0.0625rem 0.3125rem; margin-right: 0.25rem; border-radius: 0.1875rem; background: #16191f; color: #fff; }
      .remove { border: 0; background: none; padding: 0 0.25rem; min-width: 1.5rem; min-height: 1.5rem; line-height: 1; font-weight: 600; }
      .shade { position: absolute; background: var(--crowd-accent); opacity: 0.3; pointer-events: none; }
      .caret { position: absolute; width: 2px; background: var(--crowd-accent); pointer-events: none; }
    `;

    furnish() {
      this.wear(crowd.optionSheet, crowd.toolSheet);
      this.area.classList.add("wide");
      this.entities = []; // {label, start, end}, in order, in UTF-16 units
      this.chosen = null;
      this.anchor = this.caret = null; // the selection under way: from anchor to caret
      this.past = [];
      this.future = [];
      this.label = null;
      this.shades = h("div");
      this.letters = h("span", { class: "letters" });
      this.paper = h("div", { class: "paper", tabindex: 0, role: "application", "aria-label": "Text to annotate", "aria-describedby": "hint" }, this.shades, this.letters);
      this.hint = h("p", { class: "hint", id: "hint" }, "Choose a label, then mark words: drag over them, or with the keyboard arrows, Shift and Enter.");
      this.live = h("div", { class: "unseen", "aria-live": "polite" });
      this.undoTool = this.tool("undo", "Undo", () => this.travel(this.past, this.future));
      this.redoTool = this.tool("redo", "Redo", () => this.travel(this.future, this.past));
      this.keys = crowd.dialog("Keyboard and touch", this.helpTable());
      const toolbar = h("div", { class: "toolbar", role: "toolbar", "aria-label": "Tools" }, this.undoTool, this.redoTool,
        this.tool("help", "Keyboard and touch", () => this.keys.showModal()));
      this.target.append(this.paper, this.hint, toolbar, this.live);
      this.options = h("div", { class: "options" });
      this.list = h("div", { class: "list" });
      this.picker.append(h("fieldset", {}, h("legend", {}, "Labels"), this.options), this.list);
      this.shadowRoot.append(this.keys);
      this.listen();
      if (!this.closest("crowd-form")) this.bringForm();
    }

    // The form around everything: it has the Submit button, and asks this element for its part of the answer.
    bringForm() {
      const form = h("crowd-form");
      this.layout.dataset.internal = ""; // its radio buttons are no answers
      form.append(...this.shadowRoot.childNodes);
      form.owner = this;
      this.shadowRoot.append(form);
    }

    tool(icon, text, action) {
      return h("button", { type: "button", class: "tool", "aria-label": text, title: text, onclick: action }, h("crowd-icon", { icon }));
    }

    helpTable() {
      const rows = [
        ["drag", "mark what lies between press and release"],
        ["double click, tap", "mark a word"],
        ["← and →", "move the cursor; with Ctrl by a word; with Shift select"],
        ["Enter", "mark what is selected, or choose the mark at the cursor"],
        ["Delete", "remove the mark that is chosen or at the cursor"],
        ["1 … 9, 0", "choose a label; also for the chosen mark"],
        ["Ctrl Z, Ctrl Shift Z", "undo, redo"],
        ["Ctrl Enter", "submit"],
      ];
      return h("table", { class: "help" }, h("tbody", {}, ...rows.map(([keys, text]) => h("tr", {}, h("td", {}, h("kbd", {}, keys)), h("td", {}, text)))));
    }

    get dialogOpen() {
      return this.keys.open;
    }

    // ------------------------------------------------------------------ labels and text

    // [{label, short, full}]
    labelList() {
      return (Array.isArray(this.labels) ? this.labels : []).map((item) => {
        const label = crowd.labelTexts([item])[0];
        return { label, short: String(item?.shortDisplayName ?? label), full: String(item?.fullDisplayName ?? label) };
      });
    }

    colorFor(label) {
      const index = this.labelList().findIndex((item) => item.label === label);
      return index < 0 ? "#808080" : crowd.colorOf(index);
    }

    changed(name) {
      super.changed(name);
      if (name === "labels") this.listLabels();
      if (name === "text" || name === "initial-value" || name === "labels") {
        if (this.past.length === 0) this.start();
        this.draw();
      }
    }

    start(initial = this.initialValue) {
      const known = new Set(this.labelList().map(({ label }) => label));
      const points = [...this.text];
      const at = (offset) => points.slice(0, offset).join("").length;
      const whole = (offset) => Number.isInteger(offset) && offset >= 0 && offset <= points.length;
      this.entities = [];
      for (const item of Array.isArray(initial) ? initial : initial?.entities ?? []) {
        const { label, startOffset, endOffset } = item ?? {};
        const sound = known.has(label) && whole(startOffset) && whole(endOffset) && startOffset < endOffset;
        const entity = sound ? { label, start: at(startOffset), end: at(endOffset) } : null;
        if (entity && !this.entities.some((other) => other.start < entity.end && entity.start < other.end)) this.entities.push(entity);
        else crowd.report(`<${this.localName}>: an initial value does not fit the text, the labels or the others: ${JSON.stringify(item)}`);
      }
      this.entities.sort((a, b) => a.start - b.start);
      this.chosen = this.anchor = this.caret = null;
    }

    listLabels() {
      const labels = this.labelList();
      if (!labels.some(({ label }) => label === this.label)) this.label = labels[0]?.label ?? null;
      this.options.replaceChildren(...labels.map(({ label, full }, index) => {
        const swatch = h("span", { class: "swatch" });
        swatch.style.background = this.colorFor(label);
        return h("label", { class: "option" },
          h("input", { type: "radio", name: "label", value: label, checked: label === this.label }), swatch, h("span", {}, full),
          crowd.keyName(index) ? h("kbd", { "aria-hidden": "true" }, crowd.keyName(index)) : null);
      }));
    }

    choose(label) {
      this.label = label;
      for (const input of this.options.querySelectorAll("input")) input.checked = input.value === label;
      if (this.chosen && this.chosen.label !== label) {
        const { start, end } = this.chosen;
        this.change(() => {
          this.entities = this.entities.map((entity) => (entity === this.chosen ? { label, start, end } : entity));
          this.chosen = this.entities.find((entity) => entity.start === start);
        });
        this.say(`${this.quote({ start, end })} is now ${this.nameOf(label)}.`);
      }
    }

    nameOf(label) {
      return this.labelList().find((item) => item.label === label)?.full ?? label;
    }

    quote({ start, end }) {
      return `“${this.text.slice(start, end)}”`;
    }

    // ------------------------------------------------------------------ changing

    change(action) {
      this.past.push({ entities: this.entities });
      this.future = [];
      this.entities = [...this.entities];
      action();
      this.entities.sort((a, b) => a.start - b.start);
      this.draw();
      this.announce("input");
      this.announce();
    }

    travel(from, to) {
      const step = from.pop();
      if (!step) return;
      to.push({ entities: this.entities });
      this.entities = step.entities;
      this.chosen = null;
      this.draw();
      this.say("Done.");
      this.announce();
    }

    mark(from, to) {
      let [start, end] = [Math.min(from, to), Math.max(from, to)];
      while (start < end && /\s/.test(this.text[start])) start++;
      while (end > start && /\s/.test(this.text[end - 1])) end--;
      this.anchor = null;
      if (start === end || this.inert_) return this.draw();
      if (this.label === null) return this.say("There is no label yet.");
      const touched = this.entities.filter((entity) => entity.start < end && start < entity.end);
      if (touched.some((entity) => entity.start < start || entity.end > end)) {
        this.say("A part of a mark can't be marked again: remove the mark first.");
        return this.draw();
      }
      const entity = { label: this.label, start, end };
      this.change(() => (this.entities = [...this.entities.filter((other) => !touched.includes(other)), entity]));
      return this.say(`${this.quote(entity)} marked as ${this.nameOf(this.label)}.`);
    }

    remove(entity) {
      this.change(() => {
        this.entities = this.entities.filter((other) => other !== entity);
        this.chosen = null;
      });
      this.say(`Mark removed from ${this.quote(entity)}.`);
    }

    pick(entity) {
      this.chosen = entity;
      this.anchor = null;
      if (entity) {
        this.label = entity.label;
        for (const input of this.options.querySelectorAll("input")) input.checked = input.value === entity.label;
        this.say(`${this.quote(entity)}, ${this.nameOf(entity.label)}, chosen.`);
      }
      this.draw();
    }

    word(offset) {
      const letter = /[\p{L}\p{N}_'’-]/u;
      let [start, end] = [offset, offset];
      while (start > 0 && letter.test(this.text[start - 1])) start--;
      while (end < this.text.length && letter.test(this.text[end])) end++;
      return [start, end];
    }

    entityAt(offset) {
      return this.entities.find((entity) => entity.start <= offset && offset < entity.end);
    }

    // ------------------------------------------------------------------ pointer

    listen() {
      const { paper } = this;
      this.options.addEventListener("change", (event) => this.choose(event.target.value));
      paper.addEventListener("pointerdown", (event) => {
        if (event.button !== 0 || event.target.closest(".remove")) return;
        const offset = this.offsetAt(event);
        if (offset === null) return;
        event.preventDefault();
        paper.focus({ preventScroll: true });
        this.chosen = null;
        this.held = event.pointerId;
        this.pressedAt = event;
        this.anchor = this.caret = offset;
        this.drawSelection();
      });
      paper.addEventListener("pointermove", (event) => {
        if (this.held !== event.pointerId) return;
        const moved = Math.hypot(event.clientX - this.pressedAt.clientX, event.clientY - this.pressedAt.clientY) > 3;
        if (moved) paper.setPointerCapture(event.pointerId);
        this.caret = this.offsetAt(event) ?? this.caret;
        this.drawSelection();
      });
      paper.addEventListener("pointerup", (event) => {
        if (this.held !== event.pointerId) return;
        this.held = null;
        const [from, to] = [this.anchor, this.offsetAt(event) ?? this.caret];
        const entity = event.target.closest?.("mark") ? this.entityAt(Number(event.target.closest("mark").dataset.start)) : null;
        if (from !== to) this.mark(from, to);
        else if (entity) this.pick(entity);
        else if (event.pointerType === "touch") this.mark(...this.word(from));
        else {
          this.anchor = null;
          this.draw();
        }
      });
      paper.addEventListener("pointercancel", () => {
        this.held = this.anchor = null; // the finger scrolls
        this.drawSelection();
      });
      paper.addEventListener("dblclick", (event) => {
        const offset = this.offsetAt(event);
        if (offset !== null && !event.target.closest("mark")) this.mark(...this.word(offset));
      });
      paper.addEventListener("focus", () => {
        this.caret ??= 0;
        this.drawSelection();
      });
      paper.addEventListener("blur", () => this.drawSelection());
      const listen = (event) => {
        if (!this.isConnected) document.removeEventListener("keydown", listen);
        else this.key(event);
      };
      document.addEventListener("keydown", listen);
      this.listenForDigits((index) => {
        const item = this.labelList()[index];
        if (item) this.choose(item.label);
        return item !== undefined;
      });
    }

    // Where in the text a pointer is; null when that can't be said.
    offsetAt({ clientX, clientY }) {
      const found = document.caretPositionFromPoint?.(clientX, clientY, { shadowRoots: this.roots() });
      const piece = this.pieces.find(({ node }) => node === found?.offsetNode);
      if (piece) return piece.start + found.offset;
      // Browsers that don't look into shadow roots, and points beside the text: the nearest letter, line by line.
      let [best, least] = [null, Infinity];
      const range = document.createRange();
      for (const { node, start } of this.pieces) {
        for (let i = 0; i < node.length; i++) {
          range.setStart(node, i);
          range.setEnd(node, i + 1);
          for (const box of range.getClientRects()) {
            const dy = Math.max(box.top - clientY, 0, clientY - box.bottom);
            const dx = Math.max(box.left - clientX, 0, clientX - box.right);
            if (dy * 1000 + dx >= least) continue;
            least = dy * 1000 + dx;
            best = start + i + (clientX > (box.left + box.right) / 2 ? 1 : 0);
          }
        }
      }
      return best;
    }

    roots() {
      const roots = [this.shadowRoot];
      for (let root = this.getRootNode(); root instanceof ShadowRoot; root = root.host.getRootNode()) roots.push(root);
      return roots;
    }

    // ------------------------------------------------------------------ keyboard

    key(event) {
      const command = event.ctrlKey || event.metaKey;
      const path = event.composedPath();
      if (command && event.key.toLowerCase() === "z" && path.includes(this) && !path[0].matches?.("input[type=text], textarea")) {
        if (event.shiftKey) this.travel(this.future, this.past);
        else this.travel(this.past, this.future);
        event.preventDefault();
      } else if (path[0] === this.paper && !event.altKey && this.pressed(event, command)) event.preventDefault();
    }

    pressed(event, command) {
      const { key } = event;
      const at = this.caret ?? 0;
      if (key === "ArrowLeft" || key === "ArrowRight") {
        const to = command ? this.wordEdge(at, key === "ArrowRight") : this.letter(at, key === "ArrowRight");
        if (event.shiftKey) this.anchor ??= at;
        else this.anchor = null;
        this.caret = to;
      } else if (key === "Home") this.caret = 0;
      else if (key === "End") this.caret = this.text.length;
      else if (key === "Enter" && !command) {
        if (this.anchor !== null && this.anchor !== at) this.mark(this.anchor, at);
        else if (this.entityAt(at)) this.pick(this.entityAt(at));
        else this.mark(...this.word(at));
      } else if (key === "Delete" || key === "Backspace") {
        const entity = this.chosen ?? this.entityAt(at);
        if (entity) this.remove(entity);
      } else if (key === "Escape" && (this.anchor !== null || this.chosen)) this.pick(null);
      else return false;
      this.drawSelection();
      if (key.startsWith("Arrow")) {
        this.say(this.anchor !== null ? this.quote({ start: Math.min(this.anchor, this.caret), end: Math.max(this.anchor, this.caret) }) : this.text.slice(...this.word(this.caret)) || this.text[this.caret] || "end");
      }
      return true;
    }

    letter(at, forward) {
      const characters = forward ? [...this.text.slice(at)] : [...this.text.slice(0, at)];
      return forward ? at + (characters[0]?.length ?? 0) : at - (characters.at(-1)?.length ?? 0);
    }

    wordEdge(at, forward) {
      if (forward) {
        const rest = /^\s*\S+/.exec(this.text.slice(at));
        return rest ? at + rest[0].length : this.text.length;
      }
      const before = /\S+\s*$/.exec(this.text.slice(0, at));
      return before ? before.index : 0;
    }

    // ------------------------------------------------------------------ what is seen

    draw() {
      if (!this.letters) return;
      this.pieces = []; // the text nodes and where each begins
      const parts = [];
      const piece = (start, end) => {
        const node = document.createTextNode(this.text.slice(start, end));
        this.pieces.push({ node, start });
        return node;
      };
      let at = 0;
      for (const entity of this.entities) {
        if (entity.start > at) parts.push(piece(at, entity.start));
        parts.push(this.drawing(entity, piece(entity.start, entity.end)));
        at = entity.end;
      }
      if (at < this.text.length) parts.push(piece(at, this.text.length));
      this.letters.replaceChildren(...parts);
      this.undoTool.disabled = this.past.length === 0;
      this.redoTool.disabled = this.future.length === 0;
      this.listEntities();
      this.drawSelection();
    }

    drawing(entity, node) {
      const short = this.labelList().find((item) => item.label === entity.label)?.short ?? entity.label;
      const mark = h("mark", { "data-start": entity.start, class: entity === this.chosen ? "chosen" : null },
        h("span", { class: "tag" }, short), node,
        h("button", { type: "button", class: "remove", tabindex: -1, "aria-label": `Remove the mark from ${this.quote(entity)}`, onclick: () => this.remove(entity) }, "×"));
      mark.style.borderColor = this.colorFor(entity.label);
      return mark;
    }

    listEntities() {
      const items = this.entities.map((entity) => {
        const swatch = h("span", { class: "swatch" });
        swatch.style.background = this.colorFor(entity.label);
        return h("li", {},
          h("button", { type: "button", class: "pick", "aria-pressed": String(entity === this.chosen), onclick: () => this.pick(entity) },
            swatch, h("span", {}, this.text.slice(entity.start, entity.end), " ", h("small", {}, this.nameOf(entity.label)))),
          h("button", { type: "button", "aria-label": `Remove ${this.quote(entity)}`, onclick: () => {
            this.remove(entity);
            this.paper.focus();
          } }, "×"));
      });
      this.list.replaceChildren(h("h3", {}, `${items.length} ${items.length === 1 ? "entity" : "entities"}`), h("ul", {}, ...items));
    }

    place(offset) {
      const piece = this.pieces.findLast(({ start }) => start <= offset) ?? this.pieces[0];
      return piece ? [piece.node, Math.min(offset - piece.start, piece.node.length)] : null;
    }

    drawSelection() {
      const parts = [];
      const origin = this.paper.getBoundingClientRect();
      const [dx, dy] = [this.paper.scrollLeft - origin.left - this.paper.clientLeft, this.paper.scrollTop - origin.top - this.paper.clientTop];
      const put = (kind, box, width) => {
        const part = h("div", { class: kind });
        Object.assign(part.style, { left: `${box.left + dx}px`, top: `${box.top + dy}px`, height: `${box.height}px`, ...(width && { width: `${width}px` }) });
        parts.push(part);
      };
      const range = document.createRange();
      if (this.anchor !== null && this.caret !== null && this.anchor !== this.caret) {
        for (const { node, start } of this.pieces) {
          const from = Math.max(0, Math.min(this.anchor, this.caret) - start);
          const to = Math.min(node.length, Math.max(this.anchor, this.caret) - start);
          if (from >= to) continue;
          range.setStart(node, from);
          range.setEnd(node, to);
          for (const box of range.getClientRects()) put("shade", box, box.width);
        }
      }
      const place = this.caret !== null && this.shadowRoot.activeElement === this.paper ? this.place(this.caret) : null;
      if (place) {
        const [node, at] = place;
        const end = at >= node.length;
        range.setStart(node, end ? Math.max(0, at - 1) : at);
        range.setEnd(node, end ? at : at + 1);
        const box = [...range.getClientRects()].at(end ? -1 : 0);
        if (box) put("caret", { left: end ? box.right : box.left, top: box.top, height: box.height });
      }
      this.shades.replaceChildren(...parts);
    }

    say(words) {
      this.live.textContent = words;
    }

    focusTarget() {
      return this.paper;
    }

    // ------------------------------------------------------------------ answer

    get value() {
      return this.answer;
    }

    // Offsets count Unicode characters, as Python does, and the end is the first one after the mark.
    get answer() {
      if (!this.built) return undefined;
      const count = (end) => [...this.text.slice(0, end)].length;
      return { entities: this.entities.map(({ label, start, end }) => ({ endOffset: count(end), label, startOffset: count(start) })) };
    }

    restore(answer) {
      this.start(answer?.entities ?? []);
      this.past = [];
      this.future = [];
      this.draw();
    }

    reset() {
      this.past = [];
      this.future = [];
      this.start();
      this.draw();
    }
  }

  crowd.define("crowd-entity-annotation", CrowdEntityAnnotation);
})(window.crowdElements);
