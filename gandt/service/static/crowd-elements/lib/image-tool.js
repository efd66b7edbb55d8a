// What all tools that draw on an image share: stage, toolbar, labels, undo, help and words for screen readers.
(function (crowd) {
  "use strict";
  const { h } = crowd;
  const DEPTH = 100; // steps that can be undone

  crowd.toolSheet = crowd.sheet(`
    .toolbar { display: flex; flex-wrap: wrap; align-items: center; gap: 0.375rem; margin: 0.5rem 0; }
    .tool {
      display: inline-flex; align-items: center; justify-content: center; gap: 0.375rem; min-width: 2.75rem;
      min-height: 2.75rem;
      padding: 0 0.625rem; border: 1px solid var(--crowd-line); border-radius: 0.375rem;
      background: var(--crowd-surface);
    }
    .tool:hover:not(:disabled) { background: var(--crowd-raised); }
    .tool:disabled { color: var(--crowd-quiet); border-color: var(--crowd-faint); opacity: 0.7; }
    .tool[aria-pressed="true"] {
      background: var(--crowd-chosen); border-color: var(--crowd-accent);
      box-shadow: inset 0 0 0 1px var(--crowd-accent);
    }
    .tool.finish {
      background: var(--crowd-accent); color: var(--crowd-on-accent); border-color: var(--crowd-accent);
      font-weight: 600;
    }
    .gap { width: 0.5rem; }
    .toolbar input { width: 6rem; accent-color: var(--crowd-accent); }
    .advice { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 0.75rem; min-height: 2.75rem; }
    .hint { color: var(--crowd-quiet); font-size: 0.875rem; margin: 0.25rem 0; min-height: 1.25rem; }
    .swatch {
      width: 1rem; height: 1rem; border-radius: 0.1875rem; flex: none !important;
      border: 1px solid var(--crowd-line);
    }
    .list { margin: 0.75rem 0; }
    .list h3 { font-size: 1rem; margin: 0 0 0.375rem; }
    .list ul {
      list-style: none; margin: 0; padding: 0; display: flex; flex-direction: column; gap: 0.25rem;
      max-height: 40vh; overflow: auto;
    }
    .list li { display: flex; align-items: center; gap: 0.25rem; }
    .list button {
      border: 1px solid transparent; background: none; border-radius: 0.25rem; min-height: 2.25rem;
      padding: 0.125rem 0.5rem; text-align: left;
    }
    .list button:hover { background: var(--crowd-raised); }
    .list .pick { flex: 1; display: flex; gap: 0.5rem; align-items: center; min-width: 0; overflow-wrap: anywhere; }
    .list [aria-pressed="true"] { border-color: var(--crowd-accent); background: var(--crowd-chosen); }
    .list small { color: var(--crowd-quiet); }
    .help td { padding: 0.25rem 0.75rem 0.25rem 0; vertical-align: top; }
    .help kbd {
      font: 0.875rem ui-monospace, monospace; border: 1px solid var(--crowd-faint); border-radius: 0.25rem;
      padding: 0 0.375rem; white-space: nowrap;
    }
    @media (max-width: 900px) {
      .category-picker-wrapper { display: contents; }
      fieldset { order: -1; }
      .options { flex-direction: row; flex-wrap: wrap; gap: 0.375rem; padding: 0; }
      .options.many { max-height: 8.5rem; }
      .option { min-height: 2.5rem; padding: 0.25rem 0.625rem; gap: 0.375rem; }
    }
  `);

  class ImageTool extends crowd.CrowdWidget {
    static attributes = {
      ...crowd.CrowdWidget.attributes,
      "initial-value": "json",
      "label-colors": "json",
      labels: "json",
      src: "string",
    };

    furnish() {
      this.wear(crowd.optionSheet, crowd.stageSheet, crowd.toolSheet);
      this.area.classList.add("wide");
      this.past = [];
      this.future = [];
      this.steps = 0; // done less undone since the initial value
      this.label = null;
      this.stage = new crowd.Stage(this, "Image to annotate");
      this.stage.view.setAttribute("aria-describedby", "hint");
      this.hint = h("p", { class: "hint", id: "hint" });
      this.advice = h("div", { class: "advice" }, this.hint);
      this.live = h("div", { class: "unseen", "aria-live": "polite" });
      this.failure = h("p", { class: "error", role: "alert", hidden: true });
      this.keys = crowd.dialog("Keyboard and touch", this.helpTable());
      this.toolbar = h("div", { class: "toolbar", role: "toolbar", "aria-label": "Tools" });
      this.makeTools();
      this.target.append(this.stage.element, this.failure, this.advice, this.toolbar, this.live);
      this.options = h("div", { class: "options" });
      this.picker.append(h("fieldset", {}, h("legend", {}, "Labels"), crowd.finder(this.options), this.options));
      this.list = h("div", { class: "list" });
      this.picker.append(this.list);
      this.shadowRoot.append(this.keys);
      this.options.addEventListener("change", (event) => this.choose(event.target.value));
      const { image } = this.stage;
      image.addEventListener("load", () => {
        this.fail("");
        this.stage.loaded();
        this.imageLoaded();
      });
      image.addEventListener("error", () => this.fail("The image could not be loaded."));
      const listen = (event) => {
        if (!this.isConnected) document.removeEventListener("keydown", listen);
        else this.key(event);
      };
      document.addEventListener("keydown", listen);
      this.listenForDigits((index) => {
        const label = this.labelList()[index];
        if (label === undefined) return false;
        this.choose(label);
        return true;
      });
    }

    // ------------------------------------------------------------------ toolbar

    tool(icon, text, action, extra = {}) {
      const button = h(
        "button",
        { type: "button", class: "tool", "aria-label": text, title: text, onclick: action, ...extra },
        h("crowd-icon", { icon }),
      );
      this.toolbar.append(button);
      return button;
    }

    makeTools() {
      this.makeModes();
      this.gap();
      this.undoTool = this.tool("undo", "Undo", () => this.undo());
      this.redoTool = this.tool("redo", "Redo", () => this.redo());
      this.makeMoreTools();
      this.gap();
      this.tool("zoom-in", "Zoom in", () => this.stage.zoomBy(1.5));
      this.tool("zoom-out", "Zoom out", () => this.stage.zoomBy(1 / 1.5));
      this.tool("fullscreen", "Show the whole image", () => this.stage.zoomBy(0));
      this.handTool = this.tool("pan", "Move the image", () => this.hand(), { "aria-pressed": "false" });
      this.gap();
      this.tool("help", "Keyboard and touch", () => this.keys.showModal(), { "aria-haspopup": "dialog" });
    }

    gap() {
      this.toolbar.append(h("span", { class: "gap" }));
    }

    makeModes() {}
    makeMoreTools() {}

    hand(on = !this.stage.panning) {
      this.stage.panning = on;
      this.stage.sheet.classList.toggle("moving", on);
      this.handTool.setAttribute("aria-pressed", String(on));
    }

    // [[keys, what they do]]
    help() {
      return [];
    }

    helpTable() {
      const rows = [
        ...this.help(),
        ["1 … 9, 0", "choose a label"],
        ["Ctrl Z, Ctrl Shift Z", "undo, redo"],
        ["+ and −", "zoom in and out; also Ctrl and the wheel, or two fingers"],
        ["middle button, two fingers", "move a zoomed image"],
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

    // ------------------------------------------------------------------ labels

    labelList() {
      return crowd.labelTexts(this.labels);
    }

    colorFor(label) {
      const index = this.labelList().indexOf(label);
      const own = Array.isArray(this.labelColors) ? crowd.hex(this.labelColors[index]) : null;
      return index < 0 ? "#808080" : (own ?? crowd.colorOf(index));
    }

    changed(name) {
      super.changed(name);
      if (name === "src") {
        if (this.src) this.stage.image.src = this.src;
        else this.stage.image.removeAttribute("src");
      }
      if (name === "header")
        this.stage.view.setAttribute("aria-label", this.header ? `Image: ${this.header}` : "Image to annotate");
      if (name === "labels" || name === "label-colors") this.listLabels();
      if (name === "initial-value" && this.stage.width) this.imageLoaded();
    }

    listLabels() {
      const labels = this.labelList();
      if (!labels.includes(this.label)) this.label = labels[0] ?? null;
      this.options.replaceChildren(
        ...labels.map((label, index) => {
          const swatch = h("span", { class: "swatch" });
          swatch.style.background = this.colorFor(label);
          return h(
            "label",
            { class: "option" },
            h("input", { type: "radio", name: "label", value: label, checked: label === this.label }),
            swatch,
            h("span", {}, label),
            crowd.keyName(index) ? h("kbd", { "aria-hidden": "true" }, crowd.keyName(index)) : null,
          );
        }),
      );
      this.redraw();
    }

    choose(label) {
      this.label = label;
      for (const input of this.options.querySelectorAll("input[name=label]")) input.checked = input.value === label;
      this.redraw();
    }

    // ------------------------------------------------------------------ undo

    // Something was done. Both functions bring the drawing to a state; neither runs now.
    did(undo, redo) {
      this.past.push({ undo, redo });
      if (this.past.length > DEPTH) this.past.shift();
      this.future = [];
      this.steps += 1;
      this.redraw();
      this.announce("input");
      this.announce();
    }

    undo() {
      if (this.interrupt()) return;
      const step = this.past.pop();
      if (!step) return;
      this.future.push(step);
      step.undo();
      this.steps -= 1;
      this.after("Undone.");
    }

    redo() {
      const step = this.future.pop();
      if (!step) return;
      this.past.push(step);
      step.redo();
      this.steps += 1;
      this.after("Redone.");
    }

    // Subclasses: undo within something unfinished; true when there was something.
    interrupt() {
      return false;
    }

    after(words) {
      this.redraw();
      this.say(words);
      this.announce("input");
      this.announce();
    }

    forget() {
      this.past = [];
      this.future = [];
      this.steps = 0;
    }

    say(words) {
      this.live.textContent = words;
    }

    fail(text) {
      this.failure.textContent = text;
      this.failure.hidden = !text;
    }

    // ------------------------------------------------------------------ keyboard

    key(event) {
      const command = event.ctrlKey || event.metaKey;
      if (command && !event.altKey && event.key.toLowerCase() === "z" && this.hears({ ...plain(event) })) {
        event.preventDefault();
        if (event.shiftKey) this.redo();
        else this.undo();
      } else if (this.hears(event)) {
        const onStage = event.composedPath()[0] === this.stage.view;
        if (event.key === "+" || event.key === "=") this.stage.zoomBy(1.5);
        else if (event.key === "-") this.stage.zoomBy(1 / 1.5);
        else if (!this.press(event, onStage)) return;
        event.preventDefault();
      }
    }

    // Subclasses: do what the key means; true when it means something.
    press() {
      return false;
    }

    focusTarget() {
      return this.stage.view;
    }

    // The image is there, for the first time or anew: start from the initial value.
    imageLoaded() {}

    // Bring everything that is seen up to date.
    redraw() {
      if (!this.undoTool) return;
      this.undoTool.disabled = this.past.length === 0 && !this.draft;
      this.redoTool.disabled = this.future.length === 0;
    }

    get value() {
      return this.answer;
    }

    get imageProperties() {
      return { height: this.stage.height, width: this.stage.width };
    }

    get hasInitialValue() {
      return this.initialValue !== null && this.initialValue !== undefined;
    }

    get problem() {
      return this.stage?.width ? "" : "The image has not been loaded, so it can't be annotated.";
    }

    // Stage calls these; subclasses draw.
    down() {}
    move() {}
    up() {}
    hover() {}
    cancel() {}
  }

  // An event as if neither Ctrl nor Command were held.
  const plain = (event) => ({ defaultPrevented: event.defaultPrevented, composedPath: () => event.composedPath() });

  crowd.ImageTool = ImageTool;
})(window.crowdElements);
