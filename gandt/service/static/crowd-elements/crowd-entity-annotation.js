// <crowd-entity-annotation>: labels on stretches of a text. Outside a crowd-form it brings a form of its own, in its
// shadow root, where templates' scripts look for it.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class CrowdEntityAnnotation extends crowd.TextView {
    static attributes = { ...crowd.CrowdWidget.attributes, "initial-value": "json", labels: "json", text: "string" };
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
      this.paper = h(
        "div",
        {
          class: "paper",
          tabindex: 0,
          role: "application",
          "aria-label": "Text to annotate",
          "aria-describedby": "hint",
        },
        this.shades,
        this.letters,
      );
      this.hint = h(
        "p",
        { class: "hint", id: "hint" },
        "Choose a label, then mark words: drag over them, or with the keyboard arrows, Shift and Enter.",
      );
      this.live = h("div", { class: "unseen", "aria-live": "polite" });
      this.undoTool = this.tool("undo", "Undo", () => this.travel(this.past, this.future));
      this.redoTool = this.tool("redo", "Redo", () => this.travel(this.future, this.past));
      this.keys = crowd.dialog("Keyboard and touch", this.helpTable());
      const toolbar = h(
        "div",
        { class: "toolbar", role: "toolbar", "aria-label": "Tools" },
        this.undoTool,
        this.redoTool,
        this.tool("help", "Keyboard and touch", () => this.keys.showModal()),
      );
      this.target.append(this.paper, this.hint, toolbar, this.live);
      this.options = h("div", { class: "options" });
      this.list = h("div", { class: "list" });
      this.picker.append(
        h("fieldset", {}, h("legend", {}, "Labels"), crowd.finder(this.options), this.options),
        this.list,
      );
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
      return h(
        "button",
        { type: "button", class: "tool", "aria-label": text, title: text, onclick: action },
        h("crowd-icon", { icon }),
      );
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
      return h(
        "table",
        { class: "help" },
        h("tbody", {}, ...rows.map(([keys, text]) => h("tr", {}, h("td", {}, h("kbd", {}, keys)), h("td", {}, text)))),
      );
    }

    get dialogOpen() {
      return this.keys.open;
    }

    // ------------------------------------------------------------------ labels and text

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
      for (const item of Array.isArray(initial) ? initial : (initial?.entities ?? [])) {
        const { label, startOffset, endOffset } = item ?? {};
        const sound = known.has(label) && whole(startOffset) && whole(endOffset) && startOffset < endOffset;
        const entity = sound ? { label, start: at(startOffset), end: at(endOffset) } : null;
        if (entity && !this.entities.some((other) => other.start < entity.end && entity.start < other.end))
          this.entities.push(entity);
        else
          crowd.report(
            `<${this.localName}>: an initial value does not fit text, labels or others: ${JSON.stringify(item)}`,
          );
      }
      this.entities.sort((a, b) => a.start - b.start);
      this.chosen = this.anchor = this.caret = null;
    }

    listLabels() {
      const labels = this.labelList();
      if (!labels.some(({ label }) => label === this.label)) this.label = labels[0]?.label ?? null;
      this.options.replaceChildren(
        ...labels.map(({ label, full }, index) => {
          const swatch = h("span", { class: "swatch" });
          swatch.style.background = this.colorFor(label);
          return h(
            "label",
            { class: "option" },
            h("input", { type: "radio", name: "label", value: label, checked: label === this.label }),
            swatch,
            h("span", {}, full),
            crowd.keyName(index) ? h("kbd", { "aria-hidden": "true" }, crowd.keyName(index)) : null,
          );
        }),
      );
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
      if (start === end || this.isDisabled) return this.draw();
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
        const entity = event.target.closest?.("mark")
          ? this.entityAt(Number(event.target.closest("mark").dataset.start))
          : null;
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

    // ------------------------------------------------------------------ keyboard

    key(event) {
      const command = event.ctrlKey || event.metaKey;
      const path = event.composedPath();
      if (
        command &&
        event.key.toLowerCase() === "z" &&
        path.includes(this) &&
        !path[0].matches?.("input[type=text], textarea")
      ) {
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
        this.say(
          this.anchor !== null
            ? this.quote({ start: Math.min(this.anchor, this.caret), end: Math.max(this.anchor, this.caret) })
            : this.text.slice(...this.word(this.caret)) || this.text[this.caret] || "end",
        );
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
      return {
        entities: this.entities.map(({ label, start, end }) => ({
          endOffset: count(end),
          label,
          startOffset: count(start),
        })),
      };
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
